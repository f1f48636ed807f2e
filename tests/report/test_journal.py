"""The journal sink against a socket that is read by a parser of its own, and against the real journald."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from liveagent.events import Event, Type
from liveagent.report.journal import MESSAGE_LIMIT, SOCKET, Journal, make_datagram, make_fields, open_journal
from liveagent.report.record import Reader
from liveagent.report.spool import Spool

RUN = "20260101T000000Z-ab12"
LONG = 20.0
JOURNALD = "/lib/systemd/systemd-journald"
FINDING = {"code": "disk.smart", "verdict": "warn", "part": "sda S1", "summary": "8 sectors", "measured": {}}


def parse_datagram(data: bytes) -> dict[str, str]:
    """The native protocol as systemd.io/JOURNAL_NATIVE_PROTOCOL describes it, read from the other side."""
    fields = {}
    while data:
        line, _, data = data.partition(b"\n")
        name, separator, value = line.partition(b"=")
        if not separator:
            length = int.from_bytes(data[:8], "little")
            value, end, data = data[8 : 8 + length], data[8 + length : 9 + length], data[9 + length :]
            assert end == b"\n"
        fields[name.decode("ascii")] = value.decode()
    return fields


def make_event(type: Type = Type.FINDING, data: dict[str, object] = FINDING, subject: str = "wipe/sda") -> Event:
    return Event(RUN, 7, type, "2026-01-01T00:00:00Z", "/liveagent/S", subject, data)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / RUN, RUN, "/liveagent/S")
    yield spool
    spool.close()


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(os.fspath(tmp_path / "socket"))
        listener.settimeout(LONG)
        yield listener


def test_a_finding_has_all_its_fields() -> None:
    assert parse_datagram(make_datagram(make_fields(make_event()))) == {
        "MESSAGE": "warn: sda S1: 8 sectors (disk.smart)",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "liveagent",
        "LIVEAGENT_RUN": RUN,
        "LIVEAGENT_TYPE": "liveagent.finding",
        "LIVEAGENT_SUBJECT": "wipe/sda",
        "LIVEAGENT_SEQUENCE": "7",
        "LIVEAGENT_VERDICT": "warn",
        "LIVEAGENT_CODE": "disk.smart",
    }


@pytest.mark.parametrize(
    ("type", "data", "message", "priority"),
    [
        (Type.OUTPUT, {"line": "pass 1", "command": "dd"}, "pass 1", "6"),
        (Type.STEP_STARTED, {"options": {}}, "wipe/sda step started", "6"),
        (Type.STEP_FINISHED, {"verdict": "pass", "summary": "erased"}, "wipe/sda step finished: pass: erased", "5"),
        (Type.RUN_FINISHED, {"verdict": "fail", "summary": "1 of 2"}, "wipe/sda run finished: fail: 1 of 2", "3"),
        (Type.STEP_FINISHED, {"verdict": "refused"}, "wipe/sda step finished: refused", "4"),
        (Type.STEP_FINISHED, {"verdict": "odd"}, "wipe/sda step finished: odd", "6"),
        (Type.CERTIFICATE, {"certificate": {}}, "wipe/sda certificate", "6"),
    ],
)
def test_the_message_and_the_priority(type: Type, data: dict[str, object], message: str, priority: str) -> None:
    fields = dict(make_fields(make_event(type, data)))
    assert (fields["MESSAGE"], fields["PRIORITY"]) == (message, priority)


@pytest.mark.parametrize("line", ["two\nlines", "tab\tand = sign", "ünï", "PRIORITY=0\nMESSAGE=forged", "\udcff"])
def test_a_value_cannot_become_a_field(line: str) -> None:
    fields = parse_datagram(make_datagram(make_fields(make_event(Type.OUTPUT, {"line": line}))))
    assert fields["MESSAGE"] == line.replace("\udcff", "")
    assert fields["PRIORITY"] == "6"


def test_a_message_is_bounded_and_clean() -> None:
    fields = dict(make_fields(make_event(Type.OUTPUT, {"line": "\x1b[31m" + "x" * 10**6})))
    assert len(fields["MESSAGE"]) <= MESSAGE_LIMIT and fields["MESSAGE"].startswith("[31mx")
    # The largest datagram there can be: every character of four bytes.
    assert len(make_datagram(make_fields(make_event(Type.OUTPUT, {"line": "😀" * 10**6})))) < 200_000


def test_output_and_durable_events_are_sent_and_progress_is_not(
    spool: Spool, journald: socket.socket, tmp_path: Path
) -> None:
    sink = Journal(Reader(spool.path, 0, spool), tmp_path / "socket")
    sink.start()
    spool.emit(Type.STEP_STARTED, {"options": {}}, "wipe")
    spool.emit(Type.PROGRESS, {"done": 1, "total": 2}, "wipe")
    spool.emit(Type.HEARTBEAT, {})
    spool.emit(Type.OUTPUT, {"line": "one\ntwo"}, "wipe")
    received = [parse_datagram(journald.recv(1 << 20)) for _ in range(2)]
    assert [fields["LIVEAGENT_SEQUENCE"] for fields in received] == ["1", "4"]
    assert received[1]["MESSAGE"] == "one\ntwo"
    assert sink.drain(4, LONG) and (sink.dropped, sink.trouble) == (0, "")
    assert sink.stop()


def test_a_journal_that_does_not_read_holds_nobody_up(spool: Spool, journald: socket.socket, tmp_path: Path) -> None:
    said: list[str] = []
    sink = Journal(Reader(spool.path, 0, spool), tmp_path / "socket", said.append)
    sink.start()
    for number in range(2000):
        spool.emit(Type.FINDING, {**FINDING, "summary": f"{number}" + "x" * 500})
    assert sink.drain(2000, LONG)
    assert sink.dropped > 0 and said == ["Failed to write to the journal: it does not keep up, ignoring"]
    assert sink.stop()


def test_a_journald_that_was_restarted_is_found_again(spool: Spool, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    sink = Journal(Reader(spool.path, 0, spool), path)
    sink.start()
    spool.emit(Type.FINDING, FINDING)
    assert sink.drain(1, LONG) and "No such file" in sink.trouble
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(os.fspath(path))
        listener.settimeout(LONG)
        spool.emit(Type.FINDING, FINDING)
        assert parse_datagram(listener.recv(1 << 20))["LIVEAGENT_SEQUENCE"] == "2"
        assert sink.drain(2, LONG) and sink.trouble == ""
    assert sink.stop()


def test_without_a_socket_there_is_no_sink(spool: Spool, journald: socket.socket, tmp_path: Path) -> None:
    reader = Reader(spool.path, 0, spool)
    (tmp_path / "file").touch()
    assert open_journal(reader, tmp_path / "nothing") is None
    assert open_journal(reader, tmp_path / "file") is None
    sink = open_journal(reader, tmp_path / "socket")
    assert sink is not None
    sink.close()


def test_a_sink_stops_at_once_and_survives_a_fault_of_its_own(
    spool: Spool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    failed = threading.Event()

    class Faulty(Journal):
        def run_once(self) -> bool:
            failed.set()
            raise RuntimeError("boom")

    sink = Faulty(Reader(spool.path, 0, spool), tmp_path / "socket")
    sink.start()
    assert failed.wait(LONG)
    began = time.monotonic()
    assert sink.stop(LONG) and time.monotonic() - began < 0.9
    assert sink.trouble == "RuntimeError: boom" and "Failed to run the sink journal" in caplog.text


def read_journal(count: int) -> list[dict[str, str]]:
    """What the real journal has of this process's run, once it has so much."""
    command = ["journalctl", "--output=json", f"LIVEAGENT_RUN={RUN}-{os.getpid()}"]
    limit = time.monotonic() + LONG
    while True:
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        entries = [json.loads(line) for line in text.splitlines()]
        if len(entries) >= count or time.monotonic() > limit:
            return entries
        time.sleep(0.05)


def send_to_the_real_journal(directory: str) -> None:
    run = f"{RUN}-{os.getpid()}"
    spool = Spool(Path(directory, run), run, "/liveagent/S")
    sink = open_journal(Reader(spool.path, 0, spool))
    assert sink is not None
    sink.start()
    spool.emit(Type.FINDING, FINDING, "wipe/sda")
    spool.emit(Type.OUTPUT, {"line": "one\ntwo\ud83d" + "x" * 10**5}, "wipe/sda")
    assert sink.drain(2, LONG) and sink.trouble == ""
    first, second = read_journal(2)
    assert first["MESSAGE"] == "warn: sda S1: 8 sectors (disk.smart)" and first["LIVEAGENT_CODE"] == "disk.smart"
    assert (first["PRIORITY"], first["SYSLOG_IDENTIFIER"]) == ("4", "liveagent")
    # journalctl answers null for a field of more than 4,096 bytes unless it is asked with --all.
    assert second["LIVEAGENT_SEQUENCE"] == "2"
    assert sink.stop()
    spool.close()


@pytest.mark.skipif(not os.path.exists(SOCKET) or not shutil.which("journalctl"), reason="journald does not run here")
def test_the_journald_of_this_machine_takes_it(tmp_path: Path) -> None:
    send_to_the_real_journal(str(tmp_path))


PRIVATE = """
mount -t tmpfs none /run && mkdir -p /run/systemd/journal /run/log/journal || exit
{journald} & trap "kill $!" EXIT
for _ in $(seq 100); do [ -S /run/systemd/journal/socket ] && break; sleep 0.05; done
[ -S /run/systemd/journal/socket ] || exit
echo ready
cd {here} && PYTHONPATH={path} {python} -c 'import test_journal; test_journal.send_to_the_real_journal("{tmp}")'
"""


@pytest.mark.skipif(
    os.geteuid() != 0
    or not os.access(JOURNALD, os.X_OK)
    or not shutil.which("journalctl")
    or not shutil.which("unshare"),
    reason="needs root, journald and unshare",
)
def test_a_real_journald_in_a_run_of_its_own_takes_it(tmp_path: Path) -> None:
    here = Path(__file__).parent
    path = os.pathsep.join(filter(None, sys.path))
    script = PRIVATE.format(journald=JOURNALD, here=here, path=path, python=sys.executable, tmp=tmp_path)
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
    )
    if "ready" not in done.stdout:
        pytest.skip(f"journald does not start here: {done.stderr}")
    assert done.returncode == 0, done.stderr
