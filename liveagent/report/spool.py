"""The record of a run: events are numbered and written here first; every sink is a reader with a cursor.

`RUN/events.jsonl` holds one CloudEvent a line. Durable events are on disk (fsync) before any reader is woken.
Where the directory cannot be written, events stay in memory in order, readers see them all the same, and they
are written as soon as there is room again.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Callable

from liveagent.events import JSON, Event, Type, render_time

EVENTS = "events.jsonl"
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

    def __init__(self, directory: Path, run: str, source: str, limit: int = DEFAULT_LIMIT) -> None:
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
        self._written = 0
        self._pending: collections.deque[Event] = collections.deque()
        self._changed = threading.Condition()
        self._thinner = Thinner()
        with self._changed:
            self._adopt()

    @property
    def last(self) -> int:
        """The number of the newest event; 0 where there is none."""
        return self._pending[-1].sequence if self._pending else self._written

    def emit(self, type: Type, data: Mapping[str, JSON], subject: str = "") -> Event | None:
        """Number and write an event, then wake the readers. None where a volatile one was thinned out."""
        with self._changed:
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
            return [event for event in self._pending if event.sequence > after]

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
        moment = render_time(time.time())
        event = Event(self.run, self.last + 1, type, moment, self._source, subject, data)
        self._pending.append(event)
        return event

    def _flush(self) -> None:
        """Write what is pending; on failure keep it, and say so in `trouble`."""
        if self.closed or not self._pending:
            return
        data = b"".join(encode_line(event) for event in self._pending)
        try:
            self._open()
            self._write(data, sync=any(event.type.durable for event in self._pending))
        except OSError as error:
            self.trouble = f"Failed to write {self.path}: {error.strerror}"
            self._bound_pending()
            return
        self.trouble = ""
        self._written = self._pending[-1].sequence
        self._pending.clear()
        if self._size > self._threshold:
            with contextlib.suppress(OSError):
                self._compact()

    def _open(self) -> None:
        if self._file >= 0:
            return
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o755)
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
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
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)
            raise
        self._size += len(data)

    def _bound_pending(self) -> None:
        if len(self._pending) > PENDING_LIMIT:
            self._pending = collections.deque(event for event in self._pending if event.type.durable)

    def _compact(self) -> None:
        """Drop the older volatile events from the file: the durable ones stay, and half of the room is freed."""
        durable = volatile = 0
        for line, is_durable in _lines(self.path):
            durable, volatile = (durable + len(line), volatile) if is_durable else (durable, volatile + len(line))
        excess = volatile - max(0, self._limit // 2 - durable)
        fresh = self.path.with_suffix(".new")
        with fresh.open("wb") as file:
            for line, is_durable in _lines(self.path):
                if is_durable or excess <= 0:
                    file.write(line)
                else:
                    excess -= len(line)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)
        os.close(self._file)
        self._file = -1
        self._open()
        self._threshold = max(self._limit, 2 * self._size)

    def _adopt(self) -> None:
        """Go on after what an earlier process wrote; half a line at the end is cut off."""
        try:
            data = self.path.read_bytes()
        except OSError:
            return
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            with contextlib.suppress(OSError):
                os.truncate(self.path, whole)
        events = read_events(self.path)
        self._written = events[-1].sequence if events else 0


class Reader:
    """A sink's side: events beyond a cursor, in order. Follows the file when it is compacted."""

    def __init__(self, path: Path, after: int = 0, spool: Spool | None = None) -> None:
        self.after = after
        self._path = path
        self._spool = spool
        self._inode = -1
        self._offset = 0

    def read(self, limit: int = 500) -> list[Event]:
        """The next events, at most `limit`; the cursor moves past them."""
        # What is in memory is asked for first: an event that is written meanwhile is then seen in the file.
        pending = self._spool.pending(self.after) if self._spool else []
        events = self._read_file(limit)
        newest = events[-1].sequence if events else self.after
        if len(events) < limit:
            events += [event for event in pending if event.sequence > newest][: limit - len(events)]
        if events:
            self.after = events[-1].sequence
        return events

    def wait(self, timeout: float) -> bool:
        """Wait for an event beyond the cursor; whether there is one. Only beside a live spool."""
        return self._spool.wait(self.after, timeout) if self._spool else False

    def _read_file(self, limit: int) -> list[Event]:
        events: list[Event] = []
        try:
            with self._path.open("rb") as file:
                inode = os.fstat(file.fileno()).st_ino
                if inode != self._inode:
                    self._inode, self._offset = inode, 0
                file.seek(self._offset)
                while len(events) < limit:
                    line = file.readline()
                    if not line.endswith(b"\n"):
                        break
                    self._offset += len(line)
                    event = decode_line(line)
                    if event and event.sequence > self.after:
                        events.append(event)
        except OSError:
            return events
        return events


def encode_line(event: Event) -> bytes:
    return json.dumps(event.encode(), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"


def decode_line(line: bytes) -> Event | None:
    """The event of a line; None where the line is damaged."""
    try:
        return Event.decode(json.loads(line))
    except (ValueError, KeyError, TypeError):
        return None


def read_events(path: Path, after: int = 0) -> list[Event]:
    """Every whole event of a file beyond `after`; empty where there is none."""
    try:
        data = path.read_bytes()
    except OSError:
        return []
    lines = data[: data.rfind(b"\n") + 1].split(b"\n")
    events = [event for event in map(decode_line, filter(None, lines)) if event]
    return [event for event in events if event.sequence > after]


def _lines(path: Path) -> Iterator[tuple[bytes, bool]]:
    """Each line of a file with whether its event is durable; a damaged line is passed over."""
    with path.open("rb") as file:
        for line in file:
            event = decode_line(line)
            if event:
                yield line, event.type.durable


def write_synced(path: Path, data: bytes) -> None:
    """Write a file so that it is whole after a crash. Raises OSError."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
