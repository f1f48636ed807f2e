"""The record of a run: events are numbered and written here first; every sink is a reader with a cursor.

`RUN/events.jsonl` holds one CloudEvent a line. Durable events are on disk (fsync) before any reader is woken.
Where the directory cannot be written, events stay in memory in order, readers see them all the same, and they
are written as soon as there is room again.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import logging
import math
import os
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Callable

from liveagent.events import JSON, Event, Type, render_time

log = logging.getLogger(__name__)

EVENTS = "events.jsonl"
DEFAULT_LIMIT = 64 * 1024 * 1024
# Volatile events a step: so many a second over time, and so many at once.
RATE = 5.0
BURST = 50.0
# Volatile events kept in memory while the directory cannot be written.
PENDING_LIMIT = 10_000
# Of a record that is searched and not gone through: what is read at its end, and the stretch that is.
TAIL = 16 * 1024
STRETCH = 64 * 1024
# As a line says that it is volatile. `type` stands before all that a task or a tool could have written.
TYPE = b'"type":"'
VOLATILE = tuple(TYPE + type.value.encode() for type in Type if not type.durable)


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
        for line, event in _lines(self.path):
            sizes[event.type.durable] += len(line)
        excess = sizes[False] - max(0, self._limit // 2 - sizes[True])
        with fresh.open("wb") as file:
            for line, event in _lines(self.path):
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


class Reader:
    """A sink's side: events beyond a cursor, in order. Follows the file when it is compacted."""

    def __init__(self, path: Path, after: int = 0, spool: Spool | None = None) -> None:
        self.after = after
        self._path = path
        self._spool = spool
        self._offset = 0
        self._line = b""

    def twin(self) -> Reader:
        """Another one of the same record, at its beginning."""
        return Reader(self._path, spool=self._spool)

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
                # After a compaction another line stands where the last one was. (An inode's number would not
                # tell: it is given again.)
                file.seek(self._offset - len(self._line))
                if file.read(len(self._line)) != self._line:
                    self._offset, self._line = 0, b""
                if not self._offset:
                    self._offset = file.seek(find_offset(file, self.after))
                while len(events) < limit:
                    line = file.readline()
                    if not line.endswith(b"\n"):
                        break
                    self._offset += len(line)
                    self._line = line
                    event = decode_line(line)
                    if event and event.sequence > self.after:
                        events.append(event)
        except OSError:
            return events
        return events


def encode_line(event: Event) -> bytes:
    """The event as one line. Raises TypeError or ValueError where its data is not JSON, or has a NaN in it."""
    text = json.dumps(event.encode(), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace") + b"\n"


def make_plain(value: JSON) -> JSON:
    """The value as JSON can carry it: what is no number becomes null, what is not known its text."""
    if isinstance(value, Mapping):
        return {str(key): make_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [make_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (str, int, float)) else str(value)


def decode_line(line: bytes) -> Event | None:
    """The event of a line; None where the line is damaged."""
    try:
        return Event.decode(json.loads(line))
    except (ValueError, KeyError, TypeError):
        return None


def read_events(path: Path, after: int = 0, durable: bool = False) -> list[Event]:
    """Every whole event of a file beyond `after`, or the durable ones alone; empty where there is none."""
    try:
        return [event for _, event in _lines(path, durable) if event.sequence > after]
    except OSError:
        return []


def read_last(path: Path) -> Event | None:
    """The newest whole event of a file, found from its end; None where there is none."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            size = TAIL
            while True:
                file.seek(max(0, end - size))
                lines = file.read(min(size, end)).split(b"\n")
                # Before the first newline stands the end of a line, behind the last one none that is whole.
                for line in reversed(lines[(1 if size < end else 0) : -1]):
                    event = decode_line(line)
                    if event:
                        return event
                if size >= end:
                    return None
                size *= 8
    except OSError:
        return None


def find_offset(file: IO[bytes], after: int) -> int:
    """Where a line of the file begins that is not far before the first event beyond `after`, and never behind it."""
    low, high = 0, file.seek(0, os.SEEK_END) if after else 0
    while high - low > STRETCH:
        middle = (low + high) // 2
        file.seek(middle)
        at, event = middle + len(file.readline()), None
        while event is None and at < high:
            line = file.readline()
            event = decode_line(line)
            at += 0 if event else len(line)
            if not line:
                break
        if event is None or event.sequence > after:
            high = middle
        else:
            low = at
    return low


def _lines(path: Path, durable: bool = False) -> Iterator[tuple[bytes, Event]]:
    """Each whole line of a file with its event, or of durable events alone; a damaged line is passed over."""
    with path.open("rb") as file:
        for line in file:
            if durable and line.startswith(VOLATILE, line.find(TYPE)):
                continue
            event = decode_line(line) if line.endswith(b"\n") else None
            if event:
                yield line, event


def write_synced(path: Path, data: bytes) -> None:
    """Write a file so that after a crash it is there as a whole, or as it was before. Raises OSError."""
    fresh = path.with_name(path.name + ".new")
    with fresh.open("wb") as file:
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
