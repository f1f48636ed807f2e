"""The life of one command until the last of its descendants is gone: fed, read, and ended with all that it left."""

from __future__ import annotations

import contextlib
import enum
import logging
import os
import selectors
import signal
import threading
import time
from typing import IO, Protocol

from liveagent.family import Family
from liveagent.stream import Stream

log = logging.getLogger(__name__)

# /proc/sys/fs/pipe-max-size as the kernel has it: a pipe of our own never holds more.
PIPE_LIMIT = 1024 * 1024
# Between SIGTERM and SIGKILL, and how long a killed process may stay in the kernel before it is left there.
TERM_GRACE = 2.0
KILL_GRACE = 5.0
POLL = 0.1


class Child(Protocol):
    """A process that `host.py` has started, with pipes."""

    pid: int
    stdin: IO[bytes] | None
    stdout: IO[bytes] | None
    stderr: IO[bytes] | None

    def poll(self) -> int | None:
        """Reap it where it has ended."""


class How(enum.Enum):
    """How the watch over a command ended."""

    ENDED = "ended"
    LATE = "late"
    CANCELLED = "cancelled"


class Process:
    """One child. `mark` stands in its environment, and so in that of all that it starts; `name` is for the log.

    After `end` nothing of it lives, `strays` is how many of its descendants had to be ended, and it is reaped.
    """

    def __init__(
        self, child: Child, name: str, mark: str, input: memoryview | None, stdout: Stream, stderr: Stream
    ) -> None:
        assert child.stdout and child.stderr
        self._child = child
        self._name = name
        self._mark = mark
        self._input = input
        self._streams = [(child.stdout, stdout), (child.stderr, stderr)]
        self._pipes = [pipe for pipe in (child.stdin, child.stdout, child.stderr) if pipe]
        self.strays = 0
        for pipe in self._pipes:
            os.set_blocking(pipe.fileno(), False)

    def follow(self, cancel: threading.Event, deadline: float) -> How:
        """Feed and read until it has ended, the run is cancelled, or it is `deadline` on the monotonic clock."""
        with selectors.DefaultSelector() as selector:
            for file, stream in self._streams:
                selector.register(file, selectors.EVENT_READ, stream)
            if self._child.stdin:
                selector.register(self._child.stdin, selectors.EVENT_WRITE)
            # What it left behind may hold the pipes and write for ever: the command's own end is what counts.
            while not _has_ended(self._child.pid):
                if cancel.is_set():
                    return How.CANCELLED
                if time.monotonic() > deadline:
                    return How.LATE
                ready = selector.select(POLL) if selector.get_map() else []
                for key, _ in ready:
                    more = self._feed() if key.data is None else _take(key.fd, key.data)
                    if more:
                        continue
                    selector.unregister(key.fileobj)
                    if key.fileobj is self._child.stdin:
                        self._child.stdin.close()
                if not selector.get_map():
                    time.sleep(POLL / 10)
        return How.ENDED

    def end(self) -> None:
        """End all that lives of it, then read what is left in its pipes and close them."""
        self._end_processes()
        try:
            for file, stream in self._streams:
                # A stray that could not be ended may go on writing: no more is read than a pipe can hold.
                limit = stream.taken + PIPE_LIMIT
                while stream.taken < limit and _take(file.fileno(), stream):
                    pass
                stream.end()
        finally:
            for pipe in self._pipes:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _feed(self) -> bool:
        """Write what stdin takes now; whether there is more, and somebody who reads it."""
        assert self._child.stdin and self._input is not None
        try:
            self._input = self._input[os.write(self._child.stdin.fileno(), self._input[:65536]) :]
        except BlockingIOError:
            return True
        except BrokenPipeError:
            return False
        return bool(self._input)

    def _end_processes(self) -> None:
        """End every process of the group, every marked one and their descendants, wait until they are gone, then reap.

        The leader is reaped last: as long as it is a zombie its number cannot be given to somebody else.
        """
        family = Family(self._child.pid, self._mark)
        left = family.living()
        self.strays = len(left)
        for number, grace in ((signal.SIGTERM, TERM_GRACE), (signal.SIGKILL, KILL_GRACE)):
            limit = time.monotonic() + grace
            told: set[int] = set()
            while left and time.monotonic() < limit:
                # What was forked since the last look is told as well.
                for pid in set(left) - told:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, number)
                told |= set(left)
                time.sleep(0.02)
                left = family.living()
            if not left:
                break
        else:
            log.error("Failed to end %s (pid %d): it stays in the kernel, ignoring", self._name, self._child.pid)
        self._child.poll()


def _take(file: int, stream: Stream) -> bool:
    """Read what is there; False where nothing more comes, or nothing for now."""
    try:
        data = os.read(file, 65536)
    except BlockingIOError:
        return False
    if data:
        stream.take(data)
    return bool(data)


def _has_ended(pid: int) -> bool:
    """Whether a child has ended; it is not reaped, so that its number stays its own."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
