"""A run on the consoles: drawn in place where there is a picture, told in lines on a serial line."""

from __future__ import annotations

import fcntl
import os
import re
import select
import shutil
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from liveagent.events import Event
from liveagent.host import Host
from liveagent.report.console import Consoles, choose_screens
from liveagent.report.panel import Panel
from liveagent.report.record import Reader, read_events
from liveagent.report.spool import Spool
from liveagent.report.view import parse_time
from tests.conftest import need
from tests.report.emulator import LONG, SCREENS, Tmux, compare

RUN = "20260102T030405Z-1a2b3c"
# What reads nothing and prints nothing: the terminal is the console's.
IDLE = "import signal; signal.pause()"


def clock() -> float:
    return parse_time("2026-01-02T03:24:15Z") or 0.0


def copy(spool: Path, name: str) -> list[Event]:
    """A part of the kept record into a spool's file, as an agent would have written it."""
    with spool.open("ab") as file:
        file.write((SCREENS / name).read_bytes())
    return read_events(spool)


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Tmux]:
    """A VGA console of 80 by 25, as far as a terminal emulator is one."""
    need(shutil.which("tmux"), "tmux")
    terminal = Tmux(tmp_path, 80, 25, sys.executable, "-c", IDLE)
    yield terminal
    terminal.close()


@pytest.fixture
def serial(tmp_path: Path) -> Iterator[Tmux]:
    need(shutil.which("tmux"), "tmux")
    (tmp_path / "serial").mkdir()
    terminal = Tmux(tmp_path / "serial", 80, 100, sys.executable, "-c", IDLE)
    yield terminal
    terminal.close()


@pytest.fixture
def consoles(screen: Tmux, serial: Tmux) -> Iterator[Consoles]:
    consoles = Consoles(Host(), (screen.path, serial.path), screens={screen.path})
    consoles.start()
    consoles.write("liveagent 0.1.0, build 41", "a line before the run")
    for terminal in (screen, serial):
        terminal.wait_for("a line before the run")
    yield consoles
    consoles.stop(1.0)


def start(consoles: Consoles, record: Path) -> Panel:
    panel = Panel(Reader(record), consoles, clock)
    panel.start()
    return panel


def test_the_whole_run(consoles: Consoles, screen: Tmux, serial: Tmux, tmp_path: Path) -> None:
    """A picture that is redrawn while it runs and left standing at the end; lines go below it; serial has lines."""
    record = tmp_path / "events.jsonl"
    copy(record, "wipe.jsonl")
    panel = start(consoles, record)
    text = screen.wait_for("the others go on", "Alt+F2")
    # In place: nothing of what stood there before is left, and nothing was scrolled out.
    compare(text, "console-running-80x25.txt")
    assert screen.run("display-message", "-p", "#{history_size}").strip() == "0"
    consoles.write("Failed to deliver to https://receiver.example.test: it does not answer")
    screen.wait_for("Failed to deliver to https://receiver.example.test", "Alt+F2", "serial CZJ2440B7X")
    last = copy(record, "wipe-end.jsonl")[-1].sequence
    assert panel.drain(last, LONG)
    text = screen.wait_for("It did not pass", "FAIL: slot 3, sdc WWZ00K02L")
    compare(text, "console-end-80x25.txt")
    assert text.isascii()
    consoles.write("one line after it", "and another one")
    text = screen.wait_for("and another one")
    assert "#####   ###   #####  #" in text and "one line after it" in text
    assert panel.stop()
    told = serial.wait_for("It did not pass", "and another one")
    assert "wipe: started disks=all" in told and "Failed to deliver" in told and "Alt+F2" not in told


def test_the_end_of_a_diagnosis(consoles: Consoles, screen: Tmux, tmp_path: Path) -> None:
    """The technician before the rack reads what is wrong; the same guest's as in the terminal's tests."""
    record = tmp_path / "events.jsonl"
    panel = start(consoles, record)
    assert panel.drain(copy(record, "hwdiag.jsonl")[-1].sequence, LONG)
    text = screen.wait_for("It did not pass")
    compare(text, "console-hwdiag-80x25.txt")
    assert text.isascii()
    assert panel.stop()


def test_the_countdown_counts_in_place(consoles: Consoles, screen: Tmux, tmp_path: Path) -> None:
    """The warning before a wipe stands once on the screen, whole, with the seconds that are left."""
    spool = Spool(tmp_path / RUN, RUN, "/liveagent/S")
    first = read_events(SCREENS / "wipe.jsonl")[0]
    spool.emit(first.type, first.data)
    panel = start(consoles, spool.path)
    # Drawn once, so what is said from here on belongs to the picture.
    screen.wait_for("Alt+F2")
    for seconds in (30, 25, 20):
        consoles.write(
            f"*** wipe DESTROYS DATA on this machine in {seconds} s. To stop it: Ctrl-C here, or type stop and Enter,"
            " or `liveagent cancel` ***"
        )
    text = screen.wait_for("DESTROYS DATA on this machine in 20 s")
    assert text.count("DESTROYS DATA") == 1 and "`liveagent cancel` ***" in text
    spool.close()
    assert panel.stop()


def test_what_others_write_is_put_right(consoles: Consoles, screen: Tmux, tmp_path: Path) -> None:
    """The kernel and a getty write to the same terminal: a second later the picture is whole again."""
    record = tmp_path / "events.jsonl"
    copy(record, "wipe.jsonl")
    panel = start(consoles, record)
    before = screen.wait_for("the others go on", "Alt+F2")
    with open(screen.path, "w") as stream:
        stream.write("\x1b[H\x1b[Jlogin: \n[  12.3] sd 0:0:0:0: [sda] something\n")
    limit = time.monotonic() + LONG
    while screen.wait_for("Alt+F2") != before:
        assert time.monotonic() < limit, screen.wait_for("")
    assert panel.stop()


def test_who_is_logged_in_has_the_terminal_to_himself(
    consoles: Consoles, screen: Tmux, serial: Tmux, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """He may be watching the run there himself, which a picture on top would spoil; when he leaves it comes back."""
    login = subprocess.Popen([sys.executable, "-c", IDLE])
    there = [SimpleNamespace(terminal=one.path.removeprefix("/dev/"), pid=login.pid) for one in (screen, serial)]
    monkeypatch.setattr(psutil, "users", lambda: there)
    record = tmp_path / "events.jsonl"
    panel = start(consoles, record)
    assert panel.drain(copy(record, "wipe.jsonl")[-1].sequence, LONG)
    for terminal in (screen, serial):
        with open(terminal.path, "w") as stream:
            stream.write("# liveagent attach\n")
        text = terminal.wait_for("# liveagent attach")
        assert "a line before the run" in text and "wipe" not in text
    # Its entry stays, as that of a login that was killed does.
    login.kill()
    login.wait()
    screen.wait_for("the others go on", "Alt+F2")
    assert panel.drain(copy(record, "wipe-end.jsonl")[-1].sequence, LONG)
    assert "wipe: started" not in serial.wait_for("It did not pass")
    assert panel.stop()


def test_an_aborted_run_lets_go(consoles: Consoles, screen: Tmux, tmp_path: Path) -> None:
    """Where the run never said that it ended, the console is there for lines again."""
    record = tmp_path / "events.jsonl"
    copy(record, "wipe.jsonl")
    panel = start(consoles, record)
    screen.wait_for("the others go on", "Alt+F2")
    assert panel.stop()
    consoles.write("a line of its own")
    assert screen.wait_for("a line of its own").rstrip().endswith("a line of its own")


def test_the_first_picture_has_the_size_of_the_console(tmp_path: Path) -> None:
    """Also before anything went out, and of what stood there before nothing is left below it."""
    master, slave = os.openpty()
    consoles = Consoles(Host(), (os.ttyname(slave),), screens={os.ttyname(slave)})
    record = tmp_path / "events.jsonl"
    copy(record, "wipe.jsonl")
    try:
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 40, 132, 0, 0))
        # Drawn before the console's thread has begun: a picture of another size would be in its place.
        panel = Panel(Reader(record), consoles, clock)
        panel.run_once()
        consoles.start()
        text = b""
        while not re.search(rb"Alt\+F2.*\x1b\[\d+;1H$", text, re.DOTALL):
            assert select.select([master], [], [], LONG)[0], text
            text += os.read(master, 65536)
        assert text.endswith(b"\x1b[40;1H") and b"-" * 131 in text
        assert text.index(b"\x1b[J") > text.rindex(b"\x1b[K")
        panel.close()
    finally:
        consoles.stop(1.0)
        os.close(slave)
        os.close(master)


@pytest.mark.parametrize(
    ("active", "paths", "screens"),
    [
        ("ttyS0 tty0", ("/dev/tty0", "/dev/ttyS0"), {"/dev/tty0"}),
        ("tty0", ("/dev/console",), {"/dev/console"}),
        ("tty0 ttyS0", ("/dev/console",), set()),
        ("", ("/dev/console", "/dev/tty1", "/dev/ttyAMA0", "/dev/hvc0", "/dev/pts/3"), {"/dev/tty1"}),
    ],
)
def test_choose_screens(tmp_path: Path, active: str, paths: tuple[str, ...], screens: set[str]) -> None:
    """Virtual terminals have a picture; serial lines, hypervisors' consoles and what is not known have lines."""
    file = tmp_path / "sys/class/tty/console/active"
    file.parent.mkdir(parents=True)
    file.write_text(active + "\n")
    assert choose_screens(Host(str(tmp_path)), paths) == screens


def test_a_console_that_blocks_gets_the_newest_picture(tmp_path: Path) -> None:
    """Whoever holds a screen with Ctrl-S sees what is now when it goes on, and not an hour of old pictures."""
    master, slave = os.openpty()
    consoles = Consoles(Host(), (os.ttyname(slave),), screens={os.ttyname(slave)})
    try:
        (tty,) = consoles.screens
        for number in range(1000):
            tty.show(f"picture {number} {'x' * 2000} end of {number}\r\n")
        consoles.start()
        text = b""
        while b"end of 999" not in text:
            text += os.read(master, 65536)
        assert text.count(b"picture") == 1
    finally:
        consoles.stop(1.0)
        os.close(slave)
        os.close(master)
