"""The record of a run: events are numbered and written here first; every sink is a reader with a cursor.

`RUN/events.jsonl` holds one CloudEvent a line. Durable events are on disk (fsync) before any reader is woken.
Where the directory cannot be written, events stay in memory in order, readers see them all the same, and they
are written as soon as there is room again.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import logging
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Callable

from liveagent.events import JSON, Event, Type, render_time
from liveagent.report.record import EVENTS, decode_line, encode_line, make_plain, read_lines

log = logging.getLogger(__name__)

DEFAULT_LIMIT = 64 * 1024 * 1024
# Volatile events a step: so many a second over time, and so many at once.
RATE = 5.0
BURST = 50.0
# Volatile events kept in memory while the directory cannot be written.
PENDING_LIMIT = 10_000


class Thinner:
    """Decides which volatile events are numbered at all: RATE a second a step and type, BURST at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tokens: dict[tuple[str, Type], tuple[float, float]] = {}
        self._dropped: collections.Counter[str] = collections.Counter()

    def admit(self, type: Type, subject: str) -> bool:
        """Whether this event may pass. Dropped lines of output are counted for `dropped`."""
        key, now = (subject, type), self._clock()
        tokens, since = self._tokens.get(key, (BURST, now))
        tokens = min(BURST, tokens + (now - since) * RATE)
        passes = tokens >= 1
        self._tokens[key] = (tokens - 1 if passes else tokens, now)
        if not passes and type is Type.OUTPUT:
            self._dropped[subject] += 1
        return passes

    def dropped(self, subject: str) -> int:
        """How many lines of a step were dropped since this was last asked."""
        return self._dropped.pop(subject, 0)


class Spool:
    """The writer's side of one run's record. Any thread may emit; events get consecutive numbers from 1."""

    def __init__(
        self,
        directory: Path,
        run: str,
        source: str,
        limit: int = DEFAULT_LIMIT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.directory = directory
        self.run = run
        self.path = directory / EVENTS
        self.trouble = ""
        self.closed = False
        self._source = source
        self._threshold = limit
        self._limit = limit
        self._size = 0
        self._file = -1
        # Where half a line begins that could not be cut off yet; it is, before anything more is written.
        self._torn: int | None = None
        self._last = 0
        # With their lines, so that a full disk does not have them encoded over and over.
        self._pending: collections.deque[tuple[Event, bytes]] = collections.deque()
        self._changed = threading.Condition()
        self._thinner = Thinner(clock)
        with self._changed:
            self._adopt()

    @property
    def last(self) -> int:
        """The number of the newest event; 0 where there is none."""
        return self._last

    def emit(self, type: Type, data: Mapping[str, JSON], subject: str = "") -> Event | None:
        """Number and write an event, then wake the readers. None where a volatile one was thinned out.

        What is not JSON in `data` becomes it as well as it can: an event is never lost for that. After `close`
        nothing is taken any more.
        """
        with self._changed:
            if self.closed:
                return None
            if not type.durable and not self._thinner.admit(type, subject):
                return None
            dropped = self._thinner.dropped(subject)
            if dropped:
                self._append(Type.OUTPUT, {"line": f"[{dropped} lines dropped]", "command": ""}, subject)
            event = self._append(type, data, subject)
            self._flush()
            self._changed.notify_all()
            return event

    def wait(self, after: int, timeout: float) -> bool:
        """Wait until there is an event beyond `after`, or the spool is closed; whether there is one."""
        with self._changed:
            self._changed.wait_for(lambda: self.last > after or self.closed, timeout)
            return self.last > after

    def pending(self, after: int) -> list[Event]:
        """What is in memory only, beyond `after`."""
        with self._changed:
            return [event for event, _ in self._pending if event.sequence > after]

    def close(self) -> None:
        """No more events come; readers are woken."""
        with self._changed:
            self._flush()
            self.closed = True
            if self._file >= 0:
                os.close(self._file)
                self._file = -1
            self._changed.notify_all()

    def _append(self, type: Type, data: Mapping[str, JSON], subject: str) -> Event:
        event = Event(self.run, self._last + 1, type, render_time(time.time()), self._source, subject, data)
        try:
            line = encode_line(event)
        except (TypeError, ValueError):
            event = dataclasses.replace(event, data=make_plain(data))
            line = encode_line(event)
        self._last = event.sequence
        self._pending.append((event, line))
        return event

    def _flush(self) -> None:
        """Write what is pending; on failure keep it, and say so in `trouble`."""
        if self.closed or not self._pending:
            return
        try:
            self._open()
            data = b"".join(line for _, line in self._pending)
            self._write(data, sync=any(event.type.durable for event, _ in self._pending))
        except OSError as error:
            self.trouble = f"Failed to write {self.path}: {error.strerror}"
            self._bound_pending()
            return
        self.trouble = ""
        self._pending.clear()
        if self._size > self._threshold:
            self._compact()

    def _open(self) -> None:
        if self._file >= 0:
            return
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o755)
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        if self._torn is not None:
            os.ftruncate(self._file, self._torn)
            self._torn = None
        self._size = os.fstat(self._file).st_size
        _sync_directory(self.directory)

    def _write(self, data: bytes, sync: bool) -> None:
        try:
            done = 0
            while done < len(data):
                done += os.write(self._file, data[done:])
            if sync:
                os.fsync(self._file)
        except OSError:
            # Half a line must not stay: the same events are written again later.
            try:
                os.ftruncate(self._file, self._size)
            except OSError:
                self._torn = self._size
                os.close(self._file)
                self._file = -1
            raise
        self._size += len(data)

    def _bound_pending(self) -> None:
        """Let the older volatile events go where there are too many; the newest stays, since readers wait for it."""
        if len(self._pending) > PENDING_LIMIT:
            since = self._last - PENDING_LIMIT // 2
            kept = (pair for pair in self._pending if pair[0].type.durable or pair[0].sequence > since)
            self._pending = collections.deque(kept)

    def _compact(self) -> None:
        """Make the file smaller; where that fails (no room for the new one), it is tried again when it has grown."""
        fresh = self.path.with_suffix(".new")
        try:
            self._write_compacted(fresh)
            fresh.replace(self.path)
        except OSError as error:
            log.warning("Failed to compact %s: %s, ignoring", self.path, error.strerror)
            with contextlib.suppress(OSError):
                fresh.unlink()
            self._threshold = self._size + self._limit // 4
            return
        os.close(self._file)
        self._file = -1
        with contextlib.suppress(OSError):
            self._open()
        self._threshold = max(self._limit, 2 * self._size)

    def _write_compacted(self, fresh: Path) -> None:
        """Without the older volatile events: the durable ones and the newest stay, and half of the room is freed."""
        sizes = {True: 0, False: 0}
        for line, event in read_lines(self.path):
            sizes[event.type.durable] += len(line)
        excess = sizes[False] - max(0, self._limit // 2 - sizes[True])
        with fresh.open("wb") as file:
            for line, event in read_lines(self.path):
                if event.type.durable or excess <= 0 or event.sequence == self._last:
                    file.write(line)
                else:
                    excess -= len(line)
            file.flush()
            os.fsync(file.fileno())

    def _adopt(self) -> None:
        """Go on after what an earlier process wrote."""
        try:
            with self.path.open("rb") as file:
                at = 0
                for line in file:
                    if not line.endswith(b"\n"):
                        self._torn = at
                        break
                    at += len(line)
                    event = decode_line(line)
                    self._last = event.sequence if event else self._last
        except OSError:
            return


def write_synced(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Write a file so that after a crash it is there as a whole, or as it was before. Raises OSError.

    `mode` is what it is made with, less the umask.
    """
    fresh = path.with_name(path.name + ".new")
    # One that a crash left may have another mode.
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
