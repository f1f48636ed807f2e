"""Real nginx processes with the shipped files, a tree for them to serve, and a client that sees what arrived."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import http.client
import os
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import trustme

from tests.conftest import REPOSITORY, need

SHIPPED = REPOSITORY / "delivery" / "nginx"
MIB = 1 << 20
SLICE = 8 * MIB
JOB = "speedtest"
KERNEL = "5.14.0-570.el9.x86_64"
LINKS = ("vmlinuz", "initrd", "speedtest.squashfs", "speedtest.iso")
NAMES = (*LINKS, "build.json", "build.json.sig", "SHA256SUMS")
_LOGGED = re.compile(r'"(?P<method>\S+) (?P<path>\S+) [^"]*" (?P<status>\d+) (?P<bytes>\d+) range="(?P<range>[^"]*)"')


# -- what is served -------------------------------------------------------------------------------


def make_content(name: str, size: int) -> bytes:
    """Bytes that no other name has, different at each place."""
    # No repetition of a block may fall together with a slice.
    block = b"".join(hashlib.sha256(f"{name} {n}".encode()).digest() for n in range(1021))
    return (block * (size // len(block) + 1))[:size]


class Tree:
    """The document root, as `deliver` lays it out. All builds agree in sizes and times, the worst case for an ETag."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.branch = root / "live-main"
        (self.branch / "builds" / JOB).mkdir(parents=True)

    def lay(self, number: int, squashfs: int = 64 * 1024, iso: int = 4096) -> str:
        """Put a build there; the path of its URL, with a slash at the end."""
        folder = self.branch / "builds" / JOB / str(number)
        folder.mkdir()
        files = {
            f"vmlinuz-{KERNEL}": make_content(f"vmlinuz {number}", 5000),
            f"initrd-{KERNEL}-{number}.img": make_content(f"initrd {number}", 9000),
            f"speedtest-{number}.squashfs": make_content(f"squashfs {number}", squashfs),
            f"speedtest-{number}.iso": make_content(f"iso {number}", iso),
            "build.json": b'{"number": %d}' % number,
        }
        sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items())
        files.update({"SHA256SUMS": sums.encode(), "build.json.sig": b"signature of %d" % number})
        for name, data in files.items():
            (folder / name).write_bytes(data)
            os.utime(folder / name, (1_700_000_000, 1_700_000_000))
        for link, target in zip(LINKS, files):
            (folder / link).symlink_to(target)
        return f"/live-main/builds/{JOB}/{number}/"

    def release(self, number: int) -> None:
        """Move the one link, as `deliver` does, in one step; the root links are made once."""
        new = self.branch / ".new"
        new.symlink_to(f"builds/{JOB}/{number}")
        new.rename(self.branch / "current")
        for name in NAMES:
            if not (self.branch / name).is_symlink():
                (self.branch / name).symlink_to(f"current/{name}")

    def read(self, number: int, name: str) -> bytes:
        return (self.branch / "builds" / JOB / str(number) / name).read_bytes()


# -- certificates ---------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Identity:
    """A certificate and its key as files."""

    certificate: Path
    key: Path


class Authority:
    """A private CA in a folder: the one that is there, or a new one."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self.file, key = place / "ca.pem", place / "ca.key"
        if key.exists():
            self._ca = trustme.CA.from_pem(self.file.read_bytes(), key.read_bytes())
            return
        place.mkdir(parents=True)
        self._ca = trustme.CA()
        self._ca.cert_pem.write_to_path(self.file)
        self._ca.private_key_pem.write_to_path(key)

    def issue(self, *names: str) -> Identity:
        issued = self._ca.issue_cert(*names)
        found = Identity(self._place / f"{names[0]}.pem", self._place / f"{names[0]}.key")
        found.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(found.key)
        return found

    @property
    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.file))


# -- nginx ----------------------------------------------------------------------------------------


_given: set[int] = set()


def find_port() -> int:
    """A port of the loopback that nobody has, that no outgoing connection takes, and that is given once."""
    while True:
        port = random.randrange(12_000, 32_000)
        with contextlib.suppress(OSError), socket.socket() as one:
            one.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port


def render(name: str, values: dict[str, str | None]) -> str:
    """A shipped file with its words between @ filled in, as the documented sed does it; None leaves their lines out."""
    text = (SHIPPED / name).read_text()
    for word, value in values.items():
        if value is None:
            text = "".join(line for line in text.splitlines(keepends=True) if f"@{word}@" not in line)
        else:
            text = text.replace(f"@{word}@", value)
    left = re.findall(r"@[A-Z_]+@", text)
    assert not left, f"{name} has words that nobody filled in: {left}"
    return text


class Nginx:
    """One nginx with one shipped file, in a directory of its own; `http` and `https` are its ports."""

    def __init__(
        self, place: Path, shipped: str, values: dict[str, str | None], more: str = "", https: int = 0
    ) -> None:  # fmt: skip
        need(shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin"), "nginx")
        place.mkdir(parents=True)
        self.place = place
        self.http, self.https = find_port(), https or find_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.log = place / "access.log"
        self._configuration = place / "nginx.conf"
        values = {
            "HTTP": f"127.0.0.1:{self.http}",
            "HTTPS": f"127.0.0.1:{self.https}",
            "LOG": str(self.log),
            **values,
        }
        user = "user root;" if os.geteuid() == 0 else ""
        self._configuration.write_text(
            f"{user} worker_processes 2; pid {place}/nginx.pid; error_log {place}/error.log info;"
            f" events {{ worker_connections 1024; }}\nhttp {{ client_body_temp_path {place}/body;"
            f" fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; scgi_temp_path {place}/s; {more}\n"
            f"{render(shipped, values)}\n}}\n"
        )

    @property
    def argv(self) -> list[str]:
        program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") or "nginx"
        return [program, "-p", str(self.place), "-c", str(self._configuration), "-e", f"{self.place}/error.log"]

    @property
    def errors(self) -> str:
        return (self.place / "error.log").read_text()

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def check(self) -> str:
        """What `nginx -t` says of the file; it is an assertion that it finds nothing."""
        done = subprocess.run([*self.argv, "-t"], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stderr + self.errors

    def start(self, within: Sequence[str] = ()) -> None:
        """Start it, and wait until it listens. `within`: a command that starts it in surroundings of its own."""
        assert not self._process
        self._process = subprocess.Popen([*within, *self.argv, "-g", "daemon off;"], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        # It is written once all ports are open, wherever those are.
        while not (self.place / "nginx.pid").exists():
            assert self._process.poll() is None and time.monotonic() < deadline, self.errors
            time.sleep(0.01)

    def stop(self) -> None:
        """End it once its answers are out and logged."""
        if self._process:
            self._process.send_signal(signal.SIGQUIT)
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGTERM)
                self._process.wait(timeout=10)
            self._process = None

    def read_log(self, part: str = "") -> list[dict[str, str]]:
        """What was asked of it: method, path, status, bytes, range; the lines with `part` in their path."""
        lines = (_LOGGED.search(line) for line in self.log.read_text().splitlines())
        return [found.groupdict() for found in lines if found and part in found["path"]]


def is_open(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class Lab:
    """A centre and a mirror in a directory, with a CA between them; what was started is ended with it."""

    def __init__(self, place: Path, authority: Authority) -> None:
        self.place = place
        self.authority = authority
        self.tree = Tree(place / "root")
        self.started: list[Nginx] = []
        self.made = 0
        self.centre = self.make_centre()

    def _make(
        self, shipped: str, identity: Identity, values: dict[str, str | None], more: str = "", https: int = 0
    ) -> Nginx:  # fmt: skip
        self.made += 1
        certificate = {"CERTIFICATE": str(identity.certificate), "CERTIFICATE_KEY": str(identity.key)}
        made = Nginx(self.place / f"nginx{self.made}", shipped, {"NAME": "_", **certificate, **values}, more, https)
        self.started.append(made)
        return made

    def make_centre(self, identity: Identity | None = None, more: str = "", https: int = 0) -> Nginx:
        """A centre that is not started."""
        identity = identity or self.authority.issue("centre.test", "127.0.0.1")
        return self._make("central.conf", identity, {"ROOT": str(self.tree.root)}, more, https)

    def make_mirror(self, centre_port: int = 0, **values: str | None) -> Nginx:
        """A mirror of the centre by HTTPS (of another port, by `SCHEME`); not started."""
        cache = self.place / f"cache{self.made}"
        cache.mkdir()
        values = {
            "CENTRE": f"127.0.0.1:{centre_port or self.centre.https}",
            "CENTRE_NAME": "centre.test",
            "CENTRE_CA": str(self.authority.file),
            "SCHEME": "https",
            "CACHE": str(cache),
            "TEMPORARY": str(self.place / f"temporary{self.made}"),
            "SLICES": f"127.0.0.1:{find_port()}",
            "KEEP": "1g",
            "LEAVE": "1m",
            **values,
        }
        return self._make("mirror.conf", self.authority.issue("mirror.test", "127.0.0.1"), values)

    def start_both(self) -> Nginx:
        """Start the centre and a mirror of it."""
        self.centre.start()
        mirror = self.make_mirror()
        mirror.start()
        return mirror

    def close(self) -> None:
        for one in self.started:
            one.stop()


# -- a client -------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Reply:
    """An answer as it came. `whole`: as many bytes arrived as its Content-Length had said."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool


def get(
    port: int, path: str, method: str = "GET", context: ssl.SSLContext | None = None, **headers: str
) -> Reply:  # fmt: skip
    """Ask a server on the loopback; `If_Range=...` is the header If-Range. The path is sent as it stands."""
    connection: http.client.HTTPConnection
    if context:
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=40, context=context)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=40)
    with contextlib.closing(connection):
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        fields = {name.lower(): value for name, value in answer.getheaders()}
        try:
            body = answer.read()
        except http.client.IncompleteRead as error:
            return Reply(answer.status, fields, error.partial, False)
        except ConnectionResetError:
            return Reply(answer.status, fields, b"", False)
    return Reply(answer.status, fields, body, True)


def read_disk(place: Path) -> int:
    """Bytes of all files below a directory."""
    total = 0
    for path in list_files(place):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def list_files(place: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(place):
        yield from (Path(folder, name) for name in names)
