"""The consoles, on real pseudo-terminals: each gets every line, none holds the others up, and noise stops nothing."""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import os
import pty
import queue
import random
import select
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

from liveagent.cmdline import parse_cmdline
from liveagent.host import Host
from liveagent.report.console import QUEUE, Consoles, StopWord, choose_consoles

LONG = 30.0
CONTROL = 3  # termios: the local flags


class Terminal:
    """A pseudo-terminal and the person before it."""

    def __init__(self) -> None:
        self.master, self._slave = pty.openpty()
        self.path = os.ttyname(self._slave)
        self.text = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def read_until(self, words: str) -> str:
        limit = time.monotonic() + LONG
        while words not in self.text:
            if not select.select([self.master], [], [], max(0.0, limit - time.monotonic()))[0]:
                pytest.fail(f"{words!r} did not arrive at {self.path}: {self.text[-500:]!r}")
            self.text += self._decoder.decode(os.read(self.master, 65536))
        return self.text

    def type(self, data: bytes) -> None:
        os.write(self.master, data)

    def wait_for(self, want: Callable[[int], bool]) -> None:
        """Wait until the local flags are as wanted: the listener has begun, or ended."""
        limit = time.monotonic() + LONG
        while not want(self.flags):
            assert time.monotonic() < limit, f"the flags of {self.path} stay {self.flags:o}"
            os.sched_yield()

    def type_and_wait(self, words: str) -> None:
        """Type a line, and wait until whoever listens has taken it: the echo says that it is there to be read."""
        self.type(words.encode() + b"\r")
        self.read_until(words + "\r\n")
        limit = time.monotonic() + LONG
        while fcntl.ioctl(self._slave, termios.FIONREAD, bytes(4)) != bytes(4):
            assert time.monotonic() < limit, f"nobody reads {self.path}"
            os.sched_yield()

    @property
    def flags(self) -> int:
        return int(termios.tcgetattr(self._slave)[CONTROL])

    def close(self) -> None:
        for file in (self._slave, self.master):
            with contextlib.suppress(OSError):
                os.close(file)


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    made = [Terminal() for _ in range(3)]
    yield made
    for terminal in made:
        terminal.close()


@contextlib.contextmanager
def started(*paths: str) -> Iterator[Consoles]:
    consoles = Consoles(Host(), paths)
    consoles.start()
    try:
        yield consoles
    finally:
        consoles.stop(1.0)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("console ")]


# -- lines ------------------------------------------------------------------------------------------


def test_every_console_gets_every_line(terminals: list[Terminal]) -> None:
    """Not only the last console of the cmdline."""
    with started(*(terminal.path for terminal in terminals)) as consoles:
        for number in range(200):
            consoles.write(f"line {number}", "and its second")
        for terminal in terminals:
            lines = terminal.read_until("line 199").replace("\r", "").split("\n")
            assert [line for line in lines if line.startswith("line ")] == [f"line {number}" for number in range(200)]


def test_lines_are_clean(terminals: list[Terminal]) -> None:
    """Whatever is said, a console gets whole lines of text: no escape sequence, no staircase."""
    with started(terminals[0].path) as consoles:
        consoles.write("one\ntwo\x1b[2J größe", "", "end")
        assert terminals[0].read_until("end").replace("\r", "").split("\n")[:4] == ["one", "two?[2J größe", "", "end"]


def test_a_console_that_blocks(terminals: list[Terminal]) -> None:
    """One that nobody reads loses its own lines, holds neither the writer nor the others, nor the end."""
    blocked, read = terminals[:2]
    with started(blocked.path, read.path) as consoles:
        begun = time.monotonic()
        total = 3 * QUEUE
        for number in range(total):
            consoles.write(f"line {number} " + "x" * 60)
            if number % 100 == 99:
                read.read_until(f"line {number} ")
        assert time.monotonic() - begun < LONG
        begun = time.monotonic()
        consoles.stop(0.5)
        assert time.monotonic() - begun < 5
        # Even the thread of the blocked one has let go.
        assert threads() == []
    # The terminal itself can be used again.
    with started(blocked.path) as consoles:
        consoles.write("a new beginning")
        blocked.read_until("a new beginning")


def test_dropped_lines_are_said(terminals: list[Terminal]) -> None:
    """A console that was blocked says how much it lost, and goes on with what is newest."""
    (blocked,) = terminals[:1]
    with started(blocked.path) as consoles:
        for number in range(3 * QUEUE):
            consoles.write(f"line {number} " + "x" * 60)
        text = blocked.read_until(f"line {3 * QUEUE - 1} ")
    dropped = sum(int(part.rpartition("[")[2]) for part in text.split(" lines dropped]")[:-1])
    assert dropped > QUEUE
    assert dropped + text.count("line ") == 3 * QUEUE


def test_a_console_that_vanishes_and_comes_back(terminals: list[Terminal], tmp_path: Path) -> None:
    """An unplugged serial-over-LAN: its lines wait, the others go on, and it is opened again."""
    gone, other, back = terminals
    link = tmp_path / "ttyS0"
    link.symlink_to(gone.path)
    with started(str(link), other.path) as consoles:
        consoles.write("before")
        gone.read_until("before")
        gone.close()
        link.unlink()
        link.symlink_to(back.path)
        consoles.write("while it was away")
        other.read_until("while it was away")
        back.read_until("while it was away")
        consoles.write("after")
        back.read_until("after")


def test_a_console_that_is_not_there(terminals: list[Terminal], tmp_path: Path) -> None:
    """A `console=` without a device is passed over, and does not delay the end."""
    with started("/dev/no-such-tty", str(tmp_path), terminals[0].path) as consoles:
        consoles.write("here")
        terminals[0].read_until("here")
        begun = time.monotonic()
        consoles.stop(10.0)
        assert time.monotonic() - begun < 5
        assert threads() == []


def test_stop_lets_the_lines_out(terminals: list[Terminal]) -> None:
    """The verdict at the very end is still written; after that nothing is open."""
    with started(*(terminal.path for terminal in terminals)) as consoles:
        consoles.write(*(f"line {number}" for number in range(20)), "PASS")
    assert threads() == []
    for terminal in terminals:
        assert "line 19" in terminal.read_until("PASS")


# -- the word to stop -------------------------------------------------------------------------------


@contextlib.contextmanager
def listening(*terminals: Terminal) -> Iterator[queue.Queue[str]]:
    """The consoles that asked to stop, as they come."""
    asked: queue.Queue[str] = queue.Queue()
    consoles = Consoles(Host(), [terminal.path for terminal in terminals])
    with consoles.listening(asked.put):
        for terminal in terminals:
            terminal.wait_for(lambda flags: not flags & (termios.ICANON | termios.ISIG))
        yield asked


@pytest.mark.parametrize("typed", [b"\x03", b"stop\r", b"stop\n", b"  STOP \r", b"stpo\x7f\x7fop\r", b"hello\rstop\r"])
def test_whoever_asks_to_stop_is_heard(terminals: list[Terminal], typed: bytes) -> None:
    """Ctrl-C or the word, on any console, once; afterwards the terminal is as it was."""
    before = [termios.tcgetattr(terminal.master) for terminal in terminals[:2]]
    with listening(*terminals[:2]) as asked:
        terminals[1].type(typed)
        assert asked.get(timeout=LONG) == terminals[1].path
        terminals[1].wait_for(lambda flags: bool(flags & termios.ISIG))
        terminals[1].type(typed)
    assert asked.empty()
    assert [termios.tcgetattr(terminal.master) for terminal in terminals[:2]] == before


def test_typed_letter_by_letter(terminals: list[Terminal]) -> None:
    """People type slowly: the word may come in as many reads as it has letters."""
    with listening(terminals[0]) as asked:
        for letter in b"stop\r":
            terminals[0].type(bytes([letter]))
            # The echo: the letter went through the terminal.
            terminals[0].read_until(chr(letter) if letter != 13 else "\n")
        assert asked.get(timeout=LONG) == terminals[0].path


# Without XOFF, which would stop the echo that the test looks at.
NOISE = bytes(random.Random(1).randrange(256) for _ in range(1000)).replace(b"\x13", b"") + b"x\x03y"


@pytest.mark.parametrize(
    "noise", [b"nonstop\r", b"stopp\r", b"stop", b"s\rt\ro\rp\r", b"\x00\x03\xff", b"x\x03\r", NOISE], ids=range(7)
)
def test_noise_is_not_heard(terminals: list[Terminal], noise: bytes) -> None:
    """What is not the word, and the byte 3 among others, stop nothing; Ctrl-C after them does."""
    with listening(terminals[0]) as asked:
        terminals[0].type(noise)
        terminals[0].type_and_wait("one")
        # Whoever had taken it for the word would not read this any more.
        terminals[0].type_and_wait("two")
        assert asked.empty()
        terminals[0].type(b"\x03")
        assert asked.get(timeout=LONG) == terminals[0].path


def test_a_listener_survives_a_vanished_console(terminals: list[Terminal], tmp_path: Path) -> None:
    """A console that comes back during the countdown can still stop it, and so can all the others."""
    gone, other, back = terminals
    link = tmp_path / "ttyS0"
    link.symlink_to(gone.path)
    asked: queue.Queue[str] = queue.Queue()
    with Consoles(Host(), [str(link), other.path, "/dev/no-such-tty"]).listening(asked.put):
        gone.wait_for(lambda flags: not flags & termios.ICANON)
        gone.close()
        link.unlink()
        link.symlink_to(back.path)
        back.wait_for(lambda flags: not flags & termios.ICANON)
        back.type(b"\x03")
        assert asked.get(timeout=LONG) == str(link)
        other.type(b"stop\r")
        assert asked.get(timeout=LONG) == other.path


def test_two_names_of_one_terminal(terminals: list[Terminal], tmp_path: Path) -> None:
    """/dev/console and ttyS0 may be one: it is put back as it was, whoever lets go last."""
    link = tmp_path / "console"
    link.symlink_to(terminals[0].path)
    before = termios.tcgetattr(terminals[0].master)
    for _ in range(5):
        with Consoles(Host(), [terminals[0].path, str(link)]).listening(lambda path: None):
            terminals[0].wait_for(lambda flags: not flags & termios.ICANON)
        assert termios.tcgetattr(terminals[0].master) == before


@pytest.mark.parametrize(
    ("bursts", "asks"),
    [
        ([b"\x03"], True),
        ([b"\x03\x03"], True),
        ([b"\r\n\x03"], True),
        ([b"stop\r"], True),
        ([b"stop\n"], True),
        ([b"Stop \r\n"], True),
        ([b"s", b"t", b"o", b"p", b"\r"], True),
        ([b"foo\rstop\rbar"], True),
        ([b"sotp\b\b\btop\r"], True),
        ([b"\x7f\x7fstop\r"], True),
        ([b"hello", b"\x03"], True),
        ([b"\xff\xfe\x03\x00", b"\x03"], True),
        ([b"\xff" * 500, b"\rstop\r"], True),
        ([b"stop"], False),
        ([b"stop now\r"], False),
        ([b"nonstop\r"], False),
        ([b"stopp\r"], False),
        ([b"st\rop\r"], False),
        ([b"st", b"\r", b"op\r"], False),
        ([b"stopx\r"], False),
        ([b"stop\x7f\r"], False),
        ([b"x\x03"], False),
        ([b"\x03x"], False),
        ([b"\xff" * 500, b"stop\r"], False),
        ([b"\r", b"\n", b"\r\n"], False),
        ([b""], False),
    ],
)
def test_stop_word(bursts: list[bytes], asks: bool) -> None:
    """What counts, burst by burst."""
    word = StopWord()
    assert [word.feed(burst) for burst in bursts] == [False] * (len(bursts) - 1) + [asks]


# -- which consoles ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cmdline", "configured", "paths"),
    [
        ("BOOT_IMAGE=/vmlinuz quiet", (), ["/dev/console"]),
        ("console=tty0 console=ttyS0,115200n8", (), ["/dev/tty0", "/dev/ttyS0"]),
        ("console=ttyS1,115200n8 console=tty0 console=ttyS1", (), ["/dev/ttyS1", "/dev/tty0"]),
        ("console=tty1 console=ttyS0 earlyprintk=ttyS0", (), ["/dev/tty1", "/dev/ttyS0"]),
        ("console=tty console=hvc0", (), ["/dev/tty0", "/dev/hvc0"]),
        ("console=ttyAMA0,115200 console=ttyS0,115200n8r rd.live.image", (), ["/dev/ttyAMA0", "/dev/ttyS0"]),
        ('console="ttyS0,115200n8" systemd.setenv=SPEEDISO=wipe', (), ["/dev/ttyS0"]),
        ("console= console=null console=ttynull", (), ["/dev/console"]),
        ("console", (), ["/dev/console"]),
        ("root=live:http://h/i -- console=ttyS5", (), ["/dev/console"]),
        ("console=tty0 console=ttyS0", ("ttyS1", "/dev/pts/7"), ["/dev/ttyS1", "/dev/pts/7"]),
    ],
)
def test_choose_consoles(cmdline: str, configured: tuple[str, ...], paths: list[str]) -> None:
    """Every `console=` once, in order, without its options; the operator's own list instead."""
    assert list(choose_consoles(parse_cmdline(cmdline.encode()), configured)) == paths
