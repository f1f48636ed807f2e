"""A run before a person: a screen on a terminal, plain lines elsewhere; captured from a real terminal emulator."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from liveagent.events import Type
from liveagent.lock import Lock
from liveagent.report.record import Reader
from liveagent.report.spool import Spool
from liveagent.report.terminal import SAID, DisplaySink, Live, Plain, open_display
from tests.conftest import REPOSITORY, need
from tests.report.emulator import SCREENS, Tmux, compare

RUN = "20260102T030405Z-1a2b3c"
LONG = 60.0
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
SHOW = """
import sys
from pathlib import Path
from liveagent.report.record import Reader, read_events
from liveagent.report.terminal import DisplaySink, open_display
path = Path(sys.argv[1])
with open_display(sys.stderr, "a hint") as display:
    display.say("said before \x1b[2J\\nand more")
    sink = DisplaySink(Reader(path), display)
    sink.start()
    print("drained", sink.drain(read_events(path)[-1].sequence, 30), "stopped", sink.stop(30), flush=True)
    display.say("said after \x1b[2J\\nand no more")
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


def test_the_end_stays(record: Path) -> None:
    """Of a run that has ended the verdict stands below what was there before; stdout is left alone."""
    text, out = show(record, "xterm")
    assert out == "drained True stopped True\nthe document\n"
    plain = ESCAPE.sub("", text)
    assert "#####" in plain and f"run {RUN} on CZ1234" in plain and "It did not pass" in plain
    # What was said meanwhile is not lost with the screen it was said on.
    assert "said before ?[2J\r\nand more\r\n" in plain and "said after ?[2J\r\nand no more\r\n" in plain
    assert "\x1b[2J" not in text


def test_colours(record: Path) -> None:
    """The verdict is coloured; NO_COLOR is respected."""
    assert "\x1b[1;31m" in show(record, "xterm-256color")[0]
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", show(record, "xterm-256color", NO_COLOR="1")[0])


def test_dumb_terminal(record: Path) -> None:
    """A terminal that cannot move its cursor gets plain lines."""
    text, out = show(record, "dumb")
    assert "\x1b" not in text and "░" not in text
    assert "said before ?[2J\r\nand more\r\n" in text and "said after ?[2J\r\nand no more\r\n" in text
    assert "wipe/sda  overwrite  0%  0 B of 4.00 GB  180 MB/s" in text
    assert out == "drained True stopped True\nthe document\n"


def test_pipe(record: Path) -> None:
    """What is no terminal gets plain lines."""
    stream = io.StringIO()
    with open_display(stream) as display:
        assert isinstance(display, Plain)
        sink = DisplaySink(Reader(record), display)
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


def test_what_is_said_for_weeks_stays_small(capsys: pytest.CaptureFixture[str]) -> None:
    """Below the screen stands the newest, and that there was more."""
    display = Live(io.StringIO())
    for number in range(3 * SAID):
        display.say(f"line {number}")
        if number % 100 == 0:
            display.show([])
    display.close()
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["[earlier lines dropped]", *(f"line {number}" for number in range(2 * SAID, 3 * SAID))]


# -- on a terminal emulator -------------------------------------------------------------------------

# The clock stands still: what is captured is compared to the letter.
ATTACH = """
import sys, time
from pathlib import Path
from liveagent.report.record import Reader
from liveagent.report.terminal import Live
from liveagent.report.view import parse_time
display = Live(sys.stdout, "Ctrl-C leaves, and the run goes on", lambda: parse_time("2026-01-02T03:24:15Z"))
reader = Reader(Path(sys.argv[1]))
print("what stood there before", flush=True)
try:
    while True:
        display.show(reader.read())
        time.sleep(0.05)
except KeyboardInterrupt:
    display.close()
    print("gone away", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def tmux(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Tmux]:
    need(shutil.which("tmux"), "tmux")
    columns, rows, name = getattr(request, "param", (80, 24, "wipe.jsonl"))
    program = tmp_path / "attach.py"
    program.write_text(ATTACH)
    record = tmp_path / "events.jsonl"
    record.write_bytes((SCREENS / name).read_bytes())
    terminal = Tmux(tmp_path, columns, rows, sys.executable, str(program), str(record))
    yield terminal
    terminal.close()


def on_both(name: str) -> pytest.MarkDecorator:
    """A record on a small terminal and on a large one."""
    return pytest.mark.parametrize("tmux", [(80, 24, name), (200, 50, name)], indirect=True, ids=["80x24", "200x50"])


@on_both("wipe.jsonl")
def test_screens(tmux: Tmux, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """What a person sees in the middle and at the end, on a small terminal and on a large one."""
    size = request.node.callspec.id
    compare(tmux.wait_for("the others go on", "Ctrl-C leaves"), f"running-{size}.txt")
    with (tmp_path / "events.jsonl").open("ab") as file:
        file.write((SCREENS / "wipe-end.jsonl").read_bytes())
    compare(tmux.wait_for("It did not pass"), f"end-{size}.txt")


@on_both("hwdiag.jsonl")
def test_screen_of_a_diagnosis(tmux: Tmux, request: pytest.FixtureRequest) -> None:
    """What stays on the screen of a server that is not as it was ordered: what is wrong first, then what it is.

    Recorded in the boot lab from a mis-built guest, without the inventory in it.
    """
    compare(tmux.wait_for("It did not pass"), f"hwdiag-{request.node.callspec.id}.txt")


def test_resizing(tmux: Tmux) -> None:
    """Smaller, larger and back: each time the whole screen is there, and nothing of the one before."""
    before = tmux.wait_for("the others go on", "Ctrl-C leaves")
    for columns, rows in ((50, 10), (120, 40), (80, 24)):
        tmux.run("resize-window", "-x", str(columns), "-y", str(rows))
        text = tmux.wait_for("serial CZJ2440B7X", "─" * (columns - 1), "FAIL: sdc", "Ctrl-C leaves")
        assert [line for line in text.splitlines() if line.strip()][-1] == "Ctrl-C leaves, and the run goes on"
        assert text.count("serial CZJ2440B7X") == text.count("hwdiag WARN") == 1
    assert text == before


def test_leaving(tmux: Tmux) -> None:
    """Ctrl-C leaves the terminal as it was, with the cursor below what stood there before."""
    tmux.wait_for("the others go on", "Ctrl-C leaves")
    tmux.run("send-keys", "C-c")
    text = tmux.wait_for("gone away")
    assert text.split() == ["what", "stood", "there", "before", "gone", "away"]
    assert tmux.run("display-message", "-p", "#{cursor_flag} #{alternate_on}").split() == ["1", "0"]


SUSPEND = """
import sys, time
from pathlib import Path
from liveagent.report.record import Reader
from liveagent.report.terminal import DisplaySink, open_display
with open_display(sys.stdout, "a hint") as display:
    sink = DisplaySink(Reader(Path(sys.argv[1])), display)
    sink.start()
    while True:
        time.sleep(60)
"""


def test_suspending(tmp_path: Path) -> None:
    """Ctrl-Z gives the shell its terminal as it was; `fg` has the whole picture again."""
    need(shutil.which("tmux"), "tmux")
    need(shutil.which("bash"), "bash")
    program = tmp_path / "suspend.py"
    program.write_text(SUSPEND)
    terminal = Tmux(tmp_path, 80, 24, "bash", "--norc", "--noprofile", "-i")
    try:
        terminal.run("send-keys", f"{sys.executable} {program} {SCREENS / 'wipe.jsonl'}", "Enter")
        for _ in range(2):
            terminal.wait_for("the others go on", "a hint", "serial CZJ2440B7X")
            terminal.run("send-keys", "C-z")
            text = terminal.wait_for("Stopped")
            assert "a hint" not in text
            assert terminal.run("display-message", "-p", "#{cursor_flag} #{alternate_on}").split() == ["1", "0"]
            terminal.run("send-keys", "fg", "Enter")
        terminal.wait_for("the others go on", "a hint", "serial CZJ2440B7X")
    finally:
        terminal.close()


def test_what_others_write_is_put_right(tmux: Tmux) -> None:
    """A message of the kernel or of `wall` does not stay in the middle of the picture."""
    before = tmux.wait_for("the others go on", "Ctrl-C leaves")
    with open(tmux.path, "w") as stream:
        stream.write("\x1b[8;1HBroadcast message from root@live")
    tmux.wait_for("Broadcast message")
    assert tmux.wait_for("sda ", "Ctrl-C leaves", before.splitlines()[7]) == before


@pytest.mark.parametrize("way", ["C-c", "SIGTERM"])
def test_attach_leaves_the_run_alone(tmp_path: Path, way: str) -> None:
    """The command itself: two watch the same run; one that leaves says how to come back, and the run goes on."""
    need(shutil.which("tmux"), "tmux")
    directory = tmp_path / "state/runs" / RUN
    directory.mkdir(parents=True)
    (directory / "events.jsonl").write_bytes((SCREENS / "wipe.jsonl").read_bytes())
    environment = {"LIVEAGENT_STATE_DIR": str(tmp_path / "state"), "LIVEAGENT_RUNTIME_DIR": str(tmp_path / "run")}
    words = ["env", *(f"{name}={value}" for name, value in environment.items()), sys.executable, "-m", "liveagent"]
    # The shell stays, so that what is left on the terminal can be looked at.
    program = ["sh", "-c", 'trap : INT; "$@"; echo "status $?"; exec sleep 600', "sh", *words, "attach"]
    terminals = []
    with Lock(tmp_path / "run").held(RUN, "wipe", directory):
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            terminals.append(Tmux(tmp_path / name, 80, 24, *program))
        try:
            one, two = (terminal.wait_for("the others go on", "Ctrl-C leaves").splitlines() for terminal in terminals)
            # Line 3 has the clock.
            assert one[:2] + one[3:] == two[:2] + two[3:]
            if way == "C-c":
                terminals[0].run("send-keys", "C-c")
            else:
                shell = psutil.Process(int(terminals[0].run("display-message", "-p", "#{pane_pid}")))
                shell.children()[0].terminate()
            text = terminals[0].wait_for("status 0")
            assert f"`liveagent attach {RUN}` comes back" in " ".join(text.split()) and "sda" not in text
            assert terminals[0].run("display-message", "-p", "#{cursor_flag} #{alternate_on}").split() == ["1", "0"]
            # The other one goes on watching, until the end.
            with (directory / "events.jsonl").open("ab") as file:
                file.write((SCREENS / "wipe-end.jsonl").read_bytes())
            assert "FAIL: slot 3, sdc WWZ00K02L" in terminals[1].wait_for("It did not pass", "status 1")
        finally:
            for terminal in terminals:
                terminal.close()
