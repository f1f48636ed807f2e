"""The record of a run as it is read: events by line, from a place on or found from the end; `spool` writes it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING

from liveagent.events import JSON, Event, Type

if TYPE_CHECKING:
    from liveagent.report.spool import Spool

EVENTS = "events.jsonl"
# Of a record that is searched and not gone through: what is read at its end, and the stretch that is.
TAIL = 16 * 1024
STRETCH = 64 * 1024
# As a line says that it is volatile. `type` stands before all that a task or a tool could have written.
TYPE = b'"type":"'
VOLATILE = tuple(TYPE + type.value.encode() for type in Type if not type.durable)


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

    def is_over(self) -> bool:
        """Whether all was read and nothing comes any more; never without a spool, where nobody can know."""
        return self._spool is not None and self._spool.closed and self.after >= self._spool.last

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
        return [event for _, event in read_lines(path, durable) if event.sequence > after]
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


def read_lines(path: Path, durable: bool = False) -> Iterator[tuple[bytes, Event]]:
    """Each whole line of a file with its event, or of durable events alone; a damaged line is passed over."""
    with path.open("rb") as file:
        for line in file:
            if durable and line.startswith(VOLATILE, line.find(TYPE)):
                continue
            event = decode_line(line) if line.endswith(b"\n") else None
            if event:
                yield line, event
