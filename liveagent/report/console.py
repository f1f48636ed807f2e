"""The consoles of the kernel command line: what a technician before the rack sees, and the word to stop.

Each console has a thread and a bounded queue of its own, and is opened without blocking: one that is full,
unplugged or gone (a serial-over-LAN without a listener) loses its own lines and holds nobody up.
"""

from __future__ import annotations

import collections
import contextlib
import fcntl
import os
import re
import select
import sys
import termios
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from typing import Callable

from liveagent.cmdline import Cmdline
from liveagent.host import Host
from liveagent.report.lines import clean

# What a terminal has that does not tell.
SIZE = (80, 24)
QUEUE = 1000
REOPEN = 5.0
POLL = 0.5
# What comes within so many seconds was typed, or was noise, together.
BURST = 0.1
CTRL_C = b"\x03"
# asm-generic/ioctls.h: the number of the terminal that a file really is; /dev/tty0 and /dev/console lead to another.
TIOCGDEV = 0x80045432
# Two names may lead to one terminal: what is read of it and what is set is one step.
_ATTRIBUTES = threading.Lock()


def choose_consoles(line: Cmdline, configured: Sequence[str]) -> tuple[str, ...]:
    """The devices of every `console=` of the cmdline, or those that are configured. `tty0` is what is on screen."""
    names = list(configured)
    if not names:
        names = [(word.value or "").partition(",")[0] for word in line.words if word.name == "console"]
    names = [name for name in names if name and name not in ("null", "ttynull")]
    # Without a `console=` the kernel has chosen one itself. To it `tty` is the screen, to a process its own terminal.
    names = ["tty0" if name == "tty" else name for name in names or ["console"]]
    return tuple(dict.fromkeys(name if name.startswith("/") else f"/dev/{name}" for name in names))


def choose_screens(host: Host, paths: Sequence[str]) -> frozenset[str]:
    """Those of the consoles that have a picture, to be redrawn in place: virtual terminals, no serial lines."""
    # The last one that is listed is what /dev/console is.
    active = host.read_or("/sys/class/tty/console/active").split()[-1:]
    names = {path: active[0] if path == "/dev/console" and active else path.rpartition("/")[2] for path in paths}
    return frozenset(path for path, name in names.items() if re.fullmatch(r"tty\d+", name))


class Tty:
    """One console: lines go in from anywhere, out as fast as it takes them; the oldest go when it does not.

    Of a screen only the newest goes out.
    """

    def __init__(self, host: Host, path: str) -> None:
        self.path = path
        self._screen = ""
        self._held: Callable[[str], None] | None = None
        self._host = host
        self._queue: collections.deque[str] = collections.deque(maxlen=QUEUE)
        self._rest = b""
        self._dropped = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._until = float("inf")
        self._file = -1
        self._device: int | None = None
        self._thread = threading.Thread(target=self._work, name=f"console {path}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def write(self, line: str) -> None:
        """Take a line; never waits."""
        held = self._held
        if held:
            held(line)
            return
        with self._lock:
            self._dropped += len(self._queue) == QUEUE
            self._queue.append(clean(line))
        self._wake.set()

    def show(self, screen: str) -> None:
        """Take a screen, as it is to be sent, in place of all that has not gone out yet; never waits."""
        with self._lock:
            self._screen = screen
            self._queue.clear()
            self._dropped = 0
        self._wake.set()

    def measure(self) -> tuple[int, int]:
        """Columns and rows at this moment. The file is its own: the first screen is made before anything goes out."""
        with contextlib.suppress(OSError):
            file = self._open()
            try:
                size = os.get_terminal_size(file)
            finally:
                os.close(file)
            if size.columns and size.lines:
                return size.columns, size.lines
        return SIZE

    def hold(self, held: Callable[[str], None] | None) -> None:
        """As long as a screen is shown, lines go to whoever draws it; None has them written again."""
        self._held = held

    def is_taken(self) -> bool:
        """Whether somebody is logged in there, who has the terminal to himself, and `attach` to see a run."""
        return self._device is not None and self._device in _list_taken()

    def stop(self, until: float) -> None:
        """Let what is queued go out until then (by the monotonic clock), then let go; `join` waits for that."""
        self._until = until
        self._stopping.set()
        self._wake.set()

    def join(self, timeout: float) -> None:
        self._thread.join(timeout)

    def _work(self) -> None:
        while time.monotonic() < self._until:
            if not self._rest and not self._queue and not self._screen:
                if self._stopping.is_set():
                    break
                self._wake.wait()
                self._wake.clear()
                continue
            try:
                self._send()
            except OSError:
                self._close()
                if self._stopping.wait(REOPEN):
                    break
        self._close()

    def _send(self) -> None:
        if self._file < 0:
            self._file = self._open()
            self._device = _number(self._file)
        if not self._rest:
            self._rest = self._next().encode("utf-8", "replace")
        try:
            written = os.write(self._file, self._rest)
        except BlockingIOError:
            select.select([], [self._file], [], min(POLL, max(0.0, self._until - time.monotonic())))
            return
        self._rest = self._rest[written:]

    def _next(self) -> str:
        with self._lock:
            if self._screen:
                screen, self._screen = self._screen, ""
                return screen
            dropped, self._dropped = self._dropped, 0
            return (f"[{dropped} lines dropped]" if dropped else self._queue.popleft()) + "\r\n"

    def _open(self) -> int:
        return self._host.open(self.path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)

    def _close(self) -> None:
        if self._file < 0:
            return
        # A serial line that nobody reads would hold close() for its closing_wait of 30 s.
        with contextlib.suppress(termios.error):
            if self._rest:
                termios.tcflush(self._file, termios.TCOFLUSH)
        with contextlib.suppress(OSError):
            os.close(self._file)
        self._file = -1


def _number(file: int) -> int | None:
    """Which device a terminal is; None of what is none (a file that stands for one)."""
    try:
        return int.from_bytes(fcntl.ioctl(file, TIOCGDEV, bytes(4)), sys.byteorder)
    except OSError:
        return None


def _list_taken() -> set[int]:
    """The terminals at which somebody is logged in, by number (utmp(5)); a login that was killed leaves its entry."""
    import psutil  # costs 30 ms

    taken = set()
    for user in psutil.users():
        if not user.pid or not psutil.pid_exists(int(user.pid)):
            continue
        with contextlib.suppress(OSError):
            taken.add(os.stat(f"/dev/{user.terminal}").st_rdev)
    return taken


class Consoles:
    """All of them: a line goes to every one. On `screens` a run is drawn, on the others it is told in lines."""

    def __init__(self, host: Host, paths: Sequence[str], screens: Collection[str] = ()) -> None:
        self.paths = tuple(paths)
        self._host = host
        self._ttys = [Tty(host, path) for path in paths]
        self.screens = tuple(tty for tty in self._ttys if tty.path in screens)
        self.serials = tuple(tty for tty in self._ttys if tty.path not in screens)

    def start(self) -> None:
        for tty in self._ttys:
            tty.start()

    def write(self, *lines: str) -> None:
        """Take lines; never waits."""
        for tty in self._ttys:
            for line in lines:
                for part in line.split("\n"):
                    tty.write(part)

    def stop(self, timeout: float = 3.0) -> None:
        """Let what was written go out for at most `timeout` seconds."""
        limit = time.monotonic() + timeout
        for tty in self._ttys:
            tty.stop(limit)
        for tty in self._ttys:
            tty.join(max(0.0, limit - time.monotonic()) + BURST)

    @contextlib.contextmanager
    def listening(self, on_stop: Callable[[str], None]) -> Iterator[None]:
        """Call `on_stop(console)` when somebody types Ctrl-C or the word `stop` on any console."""
        done = threading.Event()
        threads = [
            threading.Thread(target=_listen, args=(self._host, path, on_stop, done), daemon=True) for path in self.paths
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            done.set()
            for thread in threads:
                thread.join(2 * POLL)


class StopWord:
    """Finds Ctrl-C or the word `stop` in what is typed; noise on a line is neither.

    Ctrl-C counts only where nothing else came with it: a burst of noise may well hold the byte 3. It counts
    whatever noise came before, and so does the word on a line of its own.
    """

    def __init__(self) -> None:
        self._line = b""

    def feed(self, data: bytes) -> bool:
        """Take what came in one read; whether it asks to stop."""
        if CTRL_C in data and not data.strip(CTRL_C + b"\r\n"):
            return True
        *lines, rest = (self._line + data).replace(b"\r", b"\n").split(b"\n")
        self._line = rest[-64:]
        return any(_rub_out(line).strip().lower() == b"stop" for line in lines)


def _rub_out(line: bytes) -> bytes:
    """The line without what was deleted again: typed byte by byte, it holds the backspaces too."""
    typed = bytearray()
    for byte in line:
        if byte in b"\b\x7f":
            del typed[-1:]
        else:
            typed.append(byte)
    return bytes(typed)


def _listen(host: Host, path: str, on_stop: Callable[[str], None], done: threading.Event) -> None:
    """Wait for the word on one console; one that cannot be opened, or vanishes, is tried again."""
    asked = False
    while not asked and not done.is_set():
        with contextlib.suppress(OSError, termios.error):
            file = host.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
            try:
                with _as_typed(file):
                    asked = _hear(file, done)
            finally:
                os.close(file)
        if not asked:
            done.wait(POLL)
    if asked:
        on_stop(path)


def _hear(file: int, done: threading.Event) -> bool:
    """Whether to stop; False as well where the line was hung up. Raises OSError."""
    word = StopWord()
    while not done.is_set():
        if not select.select([file], [], [], POLL)[0]:
            continue
        done.wait(BURST)
        try:
            data = os.read(file, 4096)
        except BlockingIOError:
            continue  # somebody else (a getty) took it
        if not data:
            return False
        if word.feed(data):
            return True
    return False


@contextlib.contextmanager
def _as_typed(file: int) -> Iterator[None]:
    """Every byte as it is typed: without this the terminal keeps Ctrl-C for itself. Put back afterwards."""
    cleared = 0
    with _ATTRIBUTES, contextlib.suppress(termios.error):  # what is no terminal has none
        attributes = termios.tcgetattr(file)
        cleared = attributes[3] & (termios.ISIG | termios.ICANON)
        attributes[3] &= ~cleared
        termios.tcsetattr(file, termios.TCSANOW, attributes)
    try:
        yield
    finally:
        # Only those flags: a getty may have set others meanwhile.
        with _ATTRIBUTES, contextlib.suppress(termios.error):
            attributes = termios.tcgetattr(file)
            attributes[3] |= cleared
            termios.tcsetattr(file, termios.TCSANOW, attributes)
