"""A run before a person: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from liveagent.events import Type
from liveagent.report import LineSink
from liveagent.report.spool import Reader, Spool
from liveagent.report.terminal import make_terminal
from tests.conftest import REPOSITORY

RUN = "20260102T030405Z-1a2b3c"
LONG = 60.0
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
SHOW = """
import sys
from pathlib import Path
from liveagent.report.spool import Reader, read_events
from liveagent.report.terminal import make_terminal
path = Path(sys.argv[1])
sink = make_terminal(Reader(path), sys.stderr)
sink.start()
print("drained", sink.drain(read_events(path)[-1].sequence, 30), "stopped", sink.stop(30), flush=True)
print("the document", flush=True)
"""


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Path]:
    """A run with progress of two parts, of which one is broken off; odd words in what is said."""
    spool = Spool(tmp_path / RUN, RUN, "/liveagent/S")
    part: dict[str, object] = {"total": 4_000_000_000, "unit": "bytes", "label": "overwrite", "eta": None}
    spool.emit(Type.RUN_STARTED, {"plan": {"tasks": [{"task": "wipe"}]}, "machine": {}, "agent": "1.0.0"})
    spool.emit(Type.STEP_STARTED, {"options": {"disks": ["all"]}}, "wipe")
    for done in (0, 1_000_000_000, 3_000_000_000):
        for disk in ("sda", "sdb"):
            spool.emit(Type.PROGRESS, {**part, "done": done, "rate": 180e6}, f"wipe/{disk}")
    spool.emit(Type.PROGRESS, {**part, "done": 5, "total": 9, "unit": "IO", "rate": 7e6, "label": "[1]"}, "wipe/sdb")
    spool.emit(Type.OUTPUT, {"line": "wwn 5:100:2 [bold]as it is[/bold] \x1b[2J:smile:", "command": ""}, "wipe/sda")
    spool.emit(Type.STEP_FINISHED, {"verdict": "pass", "summary": "erased", "data": {}}, "wipe/sda")
    spool.emit(Type.RUN_FINISHED, {"verdict": "fail", "tasks": [], "machine": {"serial": "CZ1234"}})
    spool.close()
    yield spool.path


def show(path: Path, term: str, columns: int = 80, **more: str) -> tuple[str, str]:
    """What a process with this terminal as stderr writes: (terminal, stdout)."""
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": term, "COLUMNS": str(columns), "LINES": "24", **more}
    argv = [sys.executable, "-c", SHOW, str(path)]
    process = subprocess.Popen(argv, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=slave, text=True)
    os.close(slave)
    text = b""
    limit = time.monotonic() + LONG
    try:
        while select.select([master], [], [], max(0.0, limit - time.monotonic()))[0]:
            try:
                data = os.read(master, 65536)
            except OSError:
                break  # the process has ended
            text += data
        out, _ = process.communicate(timeout=LONG)
    finally:
        process.kill()
        process.wait(LONG)
        os.close(master)
    assert process.returncode == 0, text.decode()
    return text.decode(), out


def test_bars(record: Path) -> None:
    """A bar for each part that moves, with rate and unit; the lines above it as they are; stdout left alone."""
    text, out = show(record, "xterm")
    assert out == "drained True stopped True\nthe document\n"
    plain = ESCAPE.sub("", text)
    assert "wipe/sda| wwn 5:100:2 [bold]as it is[/bold] ?[2J:smile:" in plain
    assert "wipe/sdb" in plain and "━" in plain
    assert "wipe/sda: PASS: erased" in plain and f"run {RUN} on CZ1234" in plain


def test_terminal_is_left_clean(record: Path) -> None:
    """At the end the cursor is shown again, and no half bar stands under the verdict."""
    text, _ = show(record, "xterm")
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    end = ESCAPE.sub("", text[text.rindex("#####") :])
    assert "━" not in end and "wipe/" not in end
    assert ESCAPE.sub("", text).endswith("\n")


def test_colours(record: Path) -> None:
    """The verdict is coloured; NO_COLOR is respected."""
    assert "\x1b[31m" in show(record, "xterm-256color")[0]
    assert "\x1b[31m" not in show(record, "xterm-256color", NO_COLOR="1")[0]


def test_dumb_terminal(record: Path) -> None:
    """A terminal that cannot move its cursor gets plain lines."""
    text, out = show(record, "dumb")
    assert "\x1b" not in text and "━" not in text
    assert "wipe/sda  overwrite  0%  0 B of 4.00 GB  180 MB/s" in text
    assert out == "drained True stopped True\nthe document\n"


def test_pipe(record: Path) -> None:
    """What is no terminal gets plain lines."""
    stream = io.StringIO()
    sink = make_terminal(Reader(record), stream)
    assert isinstance(sink, LineSink)
    while sink.run_once():
        pass
    lines = stream.getvalue().splitlines()
    assert lines[0] == f"liveagent 1.0.0: run {RUN}: wipe"
    assert "wipe/sda| wwn 5:100:2 [bold]as it is[/bold] ?[2J:smile:" in lines
    assert [line for line in lines if "overwrite" in line] == [
        "wipe/sda  overwrite  0%  0 B of 4.00 GB  180 MB/s",
        "wipe/sdb  overwrite  0%  0 B of 4.00 GB  180 MB/s",
    ]
    assert "\x1b" not in stream.getvalue()


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_beside_a_bar(tmp_path: Path) -> None:
    """The label as it is, and the rate in the part's own unit."""
    spool = Spool(tmp_path / RUN, RUN, "/liveagent/S")
    data = {"done": 5, "total": 9, "unit": "IO", "label": "[1] \x1b[2J", "rate": 7e6, "eta": 130}
    spool.emit(Type.PROGRESS, data, "burnin/sdb")
    spool.close()
    stream = Terminal()
    saved = os.environ.get("TERM")
    os.environ["TERM"] = "xterm"
    try:
        sink = make_terminal(Reader(spool.path), stream)
        while sink.run_once():
            pass
        sink.close()
    finally:
        os.environ.pop("TERM") if saved is None else os.environ.update(TERM=saved)
    plain = ESCAPE.sub("", stream.getvalue())
    assert not isinstance(sink, LineSink)
    assert "burnin/sdb" in plain and "56%" in plain and "[1] ?[2J, 7,000,000 IO/s, 2m 10s left" in plain
