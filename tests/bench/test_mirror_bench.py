"""`make bench`: what a mirror asks of the centre for many clients, and how soon a roll-back shows. Nothing is judged.

Real nginx with the shipped files on the loopback, HTTPS between mirror and centre. A relay between the two counts what
comes from the centre: TLS, headers and questions included.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.delivery.web import MIB, Authority, Lab, Nginx, get

pytestmark = [pytest.mark.bench, pytest.mark.timeout(300)]

CLIENTS = 100
SQUASHFS = 32 * MIB
NAMES = ("vmlinuz", "initrd", "speedtest.squashfs")
ROLL_BACKS = 50


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path, Authority(tmp_path / "ca"))
    made.tree.lay(41, squashfs=SQUASHFS)
    made.tree.lay(42, squashfs=SQUASHFS)
    made.tree.release(42)
    yield made
    made.close()


class Wire:
    """Passes connections on to a port, and counts the bytes that come back."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = int(self._listener.getsockname()[1])
        self.received = 0
        self._lock = threading.Lock()
        self._sockets = [self._listener]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [near, far]
                for source, target, counts in ((near, far, False), (far, near, True)):
                    thread = threading.Thread(target=self._pass, args=(source, target, counts))
                    self._threads.append(thread)
                    thread.start()

    def _pass(self, source: socket.socket, target: socket.socket, counts: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 18):
                target.sendall(data)
                if counts:
                    with self._lock:
                        self.received += len(data)
        _end(target)

    def close(self) -> None:
        _end(self._listener)
        self._threads[0].join()
        for one in self._sockets:
            _end(one)
        for thread in self._threads:
            thread.join()
        for one in self._sockets:
            one.close()


def _end(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


def boot(mirror: Nginx, right: dict[str, bytes], seconds: list[float], gate: threading.Barrier) -> None:
    """One server: all that it boots from, one after the other, by the names without a number."""
    gate.wait(timeout=60)
    started = time.perf_counter()
    for name in NAMES:
        connection = http.client.HTTPConnection("127.0.0.1", mirror.http, timeout=120)
        with contextlib.closing(connection):
            connection.request("GET", f"/live-main/{name}")
            answer, made = connection.getresponse(), hashlib.sha256()
            while chunk := answer.read(1 << 18):
                made.update(chunk)
        assert made.digest() == right[name]
    seconds.append(time.perf_counter() - started)


def test_a_hundred_clients_of_a_new_build(lab: Lab) -> None:
    """100 servers boot a build that the mirror does not have: bytes from the centre against one copy."""
    lab.centre.start()
    wire = Wire(lab.centre.https)
    mirror = lab.make_mirror(wire.port)
    mirror.start()
    right = {name: hashlib.sha256(lab.tree.read(42, name)).digest() for name in NAMES}
    copy = sum(len(lab.tree.read(42, name)) for name in NAMES)
    seconds: list[float] = []
    gate = threading.Barrier(CLIENTS)
    clients = [threading.Thread(target=boot, args=(mirror, right, seconds, gate)) for _ in range(CLIENTS)]
    started = time.perf_counter()
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    whole = time.perf_counter() - started
    assert len(seconds) == CLIENTS, "a client did not get what it asked for"
    alone = time.perf_counter()
    get(mirror.http, "/live-main/speedtest.squashfs")
    alone = time.perf_counter() - alone
    lab.centre.stop()
    wire.close()
    files, questions = lab.centre.read_log("/live-main/builds/"), lab.centre.read_log("/resolve/")
    print(
        f"\n{CLIENTS} clients, a build of {copy / MIB:.1f} MiB: x{wire.received / copy:.4f} of one copy over the wire,"
        f" x{sum(int(line['bytes']) for line in files) / copy:.4f} in files"
        f" ({len(files)} requests for files, {len(questions)} questions);"
        f"\n{CLIENTS * copy / whole / MIB:.0f} MiB/s to the clients; {statistics.median(seconds):.1f} s the median"
        f" client, {max(seconds):.1f} s the last, {alone:.2f} s one client alone"
    )


def test_time_to_roll_back(lab: Lab) -> None:
    """From the moment the link moved to the first client with the other kernel, and who got the one before."""
    mirror = lab.start_both()
    kernels = {number: lab.tree.read(number, "vmlinuz") for number in (41, 42)}
    for number in (41, 42):
        lab.tree.release(number)
        get(mirror.http, "/live-main/vmlinuz")
    stale, times = 0, []
    for turn in range(ROLL_BACKS):
        number = 41 + turn % 2
        lab.tree.release(number)
        started = time.perf_counter()
        while get(mirror.http, "/live-main/vmlinuz").body != kernels[number]:
            stale += 1
        times.append(time.perf_counter() - started)
    direct = []
    for _ in range(ROLL_BACKS):
        started = time.perf_counter()
        get(lab.centre.http, "/live-main/vmlinuz")
        direct.append(time.perf_counter() - started)
    median, peer = statistics.median(times), statistics.median(direct)
    print(
        f"\n{ROLL_BACKS} roll-backs: {stale} requests got the build before; {median * 1000:.1f} ms the median,"
        f" {max(times) * 1000:.1f} ms the longest, x{median / peer:.1f} of a request to the centre itself"
    )
