"""Reads and writes of one disk, past the page cache; what fails is cut down to the sector and noted."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import hashlib
import itertools
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Callable

from liveagent.tasks.wipe.flow import Span, Work, spans
from liveagent.tasks.wipe.guards import Armed
from liveagent.tasks.wipe.pattern import Buffer, Pattern

# <linux/fs.h>
BLKFLSBUF = 0x1261
BLKRRPART = 0x125F

# More bad stretches, or more bad sectors, than this, and the disk is not worth going on with.
RANGE_LIMIT = 256
SECTOR_LIMIT = 4096
GONE = (errno.ENODEV, errno.ENXIO, errno.ENOMEDIUM)
# What a drive says of a place; anything else is about the disk as a whole, or about us.
BAD_PLACE = (errno.EIO, errno.EREMOTEIO, errno.ENODATA, errno.EILSEQ, errno.ETIMEDOUT, errno.ENOSPC)


@dataclasses.dataclass(frozen=True)
class Trouble:
    """A stretch that could not be written or read, or did not read back, and why."""

    offset: int
    length: int
    message: str

    @property
    def end(self) -> int:
        return self.offset + self.length


class Vanished(Exception):
    """The disk is gone."""


class TooManyErrors(Exception):
    """More places failed than the limits allow; `troubles` are those there were."""

    def __init__(self, troubles: Sequence[Trouble]) -> None:
        super().__init__(f"{len(troubles)} stretches failed, the last one at byte {troubles[-1].offset}")
        self.troubles = tuple(troubles)


class Damage:
    """The places of one disk that failed, noted by several threads; neighbours with one cause become one stretch."""

    def __init__(self, troubles: Iterable[Trouble] = ()) -> None:
        self._lock = threading.Lock()
        self._found = list(troubles)
        self._sectors = 0
        # Bytes that failed, counted each time they do: a place that fails in two passes was missed twice.
        self.lost = sum(trouble.length for trouble in self._found)

    def add(self, trouble: Trouble) -> None:
        """Note a place. Raises TooManyErrors."""
        with self._lock:
            self._found.append(trouble)
            self._sectors += 1
            self.lost += trouble.length
            self._found = _merge(self._found)
            if len(self._found) > RANGE_LIMIT or self._sectors > SECTOR_LIMIT:
                raise TooManyErrors(self._found)

    @property
    def troubles(self) -> tuple[Trouble, ...]:
        with self._lock:
            return tuple(_merge(self._found))

    @property
    def bytes(self) -> int:
        return sum(trouble.length for trouble in self.troubles)


def _merge(troubles: Iterable[Trouble]) -> list[Trouble]:
    merged: list[Trouble] = []
    for trouble in sorted(troubles, key=lambda one: (one.offset, one.length)):
        last = merged[-1] if merged else None
        if last and trouble.offset <= last.end and trouble.message == last.message:
            merged[-1] = Trouble(last.offset, max(last.end, trouble.end) - last.offset, last.message)
        else:
            merged.append(trouble)
    return merged


class Medium:
    """One armed disk as a place to write to and read from, until it is closed.

    It has a file of its own, which stays open as long as any thread is inside the kernel with it: a number that is
    given away under a thread that hangs could be another disk's when it comes back. After `close` nothing is read or
    written any more; a disk that hangs is held until it answers.
    """

    def __init__(self, armed: Armed, note_answer: Callable[[], bool] = lambda: True) -> None:
        self._file = os.dup(armed.file)
        self._busy = 0
        self._is_closed = False
        self._lock = threading.Lock()
        self.size = armed.disk.size
        disk = armed.disk
        # A sector as the platter has it: a part of one could only be written after the rest of it was read.
        whole = disk.physical_block % disk.logical_block == 0 and disk.size % disk.physical_block == 0
        self.sector = disk.physical_block if whole else disk.logical_block
        # Called for each error; whether the disk is still there.
        self._note_answer = note_answer

    def __enter__(self) -> Medium:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
        self._let_go(0)

    @contextlib.contextmanager
    def _open(self) -> Iterator[int]:
        """The file, for one call into the kernel. Raises OSError once the medium is closed."""
        with self._lock:
            if self._is_closed:
                raise OSError(errno.EBADF, "the disk was let go of")
            self._busy += 1
        try:
            yield self._file
        finally:
            self._let_go(1)

    def _let_go(self, calls: int) -> None:
        with self._lock:
            self._busy -= calls
            if self._is_closed and not self._busy and self._file >= 0:
                os.close(self._file)
                self._file = -1

    def writer(self, pattern: Pattern, damage: Damage) -> Work:
        """Writes the pattern; a place that will not take it is noted, and the rest of the stretch is written."""

        def work(buffer: Buffer, span: Span) -> None:
            pattern.fill(buffer, span.offset, span.length)
            self._write(buffer, span, 0, damage)

        return work

    def checker(self, pattern: Pattern, damage: Damage) -> Work:
        """Reads back and compares each byte; what differs or cannot be read is noted."""

        def check(buffer: Buffer, span: Span) -> None:
            at = pattern.find_difference(buffer, span.offset, span.length)
            if at is not None:
                damage.add(Trouble(span.offset + at, span.length - at, "does not hold what was written"))

        return self.reader(check, damage)

    def believer(self, pattern: Pattern, before: Pattern, damage: Damage) -> Work:
        """Like `checker`, for a stretch where one pattern was being written over another: a sector holds either."""

        def look(buffer: Buffer, span: Span) -> None:
            both, start, stuck = (before, pattern), span.offset, 0
            for turn in itertools.count():
                at = both[turn % 2].find_difference(buffer, start, span.end - start)
                if at is None:
                    return
                stuck = stuck + 1 if at < self.sector else 0
                if stuck == 2:
                    damage.add(Trouble(start, span.end - start, "holds neither of two passes"))
                    return
                start += at // self.sector * self.sector
                # Comparing may use the buffer up.
                self.read(buffer, Span(start, span.end - start))

        return self.reader(look, damage)

    def reader(self, look: Work, damage: Damage) -> Work:
        """Reads a stretch into the buffer and has it looked at; what cannot be read is noted, the rest looked at."""

        def work(buffer: Buffer, span: Span) -> None:
            try:
                self.read(buffer, span)
            except OSError as error:
                self._note(error, span, damage, lambda half: work(buffer, half))
            else:
                look(buffer, span)

        return work

    def read(self, buffer: Buffer, span: Span) -> None:
        """Raises OSError; a short read is one too."""
        with self._open() as file:
            done = os.preadv(file, [buffer.view[: span.length]], span.offset)
        if done != span.length:
            raise OSError(errno.EIO, f"only {done} of {span.length} bytes were read")

    def write(self, buffer: Buffer, span: Span, at: int = 0) -> None:
        """Writes what the buffer holds from `at` on. Raises OSError."""
        done = 0
        while done < span.length:
            with self._open() as file:
                written = os.pwrite(file, buffer.view[at + done : at + span.length], span.offset + done)
            if written <= 0:
                raise OSError(errno.ENOSPC, "the disk takes no more bytes")
            done += written

    def flush(self) -> None:
        """Have the drive put its cache down, so that what was written outlives a power cut. Raises OSError."""
        with self._open() as file:
            os.fdatasync(file)

    def drop_caches(self) -> None:
        """Write out and drop what the kernel keeps of the disk, so that a read comes from the drive. Raises OSError."""
        with self._open() as file:
            os.fsync(file)
            fcntl.ioctl(file, BLKFLSBUF, 0)

    def reread_partitions(self) -> None:
        """Have the kernel forget the partitions that are no longer there. Raises OSError."""
        with self._open() as file:
            fcntl.ioctl(file, BLKRRPART, 0)

    def _write(self, buffer: Buffer, span: Span, at: int, damage: Damage) -> None:
        try:
            self.write(buffer, span, at)
        except OSError as error:
            start = span.offset

            def again(half: Span) -> None:
                self._write(buffer, half, at + half.offset - start, damage)

            self._note(error, span, damage, again)

    def _note(self, error: OSError, span: Span, damage: Damage, again: Callable[[Span], None]) -> None:
        """Halve a stretch that failed, down to the sector that does. Raises Vanished, OSError, TooManyErrors."""
        if not self._note_answer() or error.errno in GONE:
            raise Vanished(error.strerror) from None
        if error.errno not in BAD_PLACE:
            raise error
        if span.length <= self.sector:
            damage.add(Trouble(span.offset, span.length, error.strerror or str(error)))
            return
        middle = (span.offset + span.length // 2) // self.sector * self.sector
        middle = middle if middle > span.offset else span.offset + self.sector
        again(Span(span.offset, middle - span.offset))
        again(Span(middle, span.end - middle))


class Digest:
    """A sum over stretches of a disk that may come in any order: what was there before, without what it was.

    A stretch that cannot be read is counted and passed over: a dying disk is not asked for the same place twice.
    """

    def __init__(self, medium: Medium) -> None:
        self._medium = medium
        self._lock = threading.Lock()
        self._sums: dict[int, bytes] = {}
        # Stretches that are not one byte over and over: only of those a sum that stays the same says anything.
        self._told: dict[int, int] = {}
        self.unreadable = 0

    def work(self, buffer: Buffer, span: Span) -> None:
        try:
            self._medium.read(buffer, span)
        except OSError:
            with self._lock:
                self.unreadable += 1
            return
        data = buffer.view[: span.length]
        total, is_blank = hashlib.sha256(data).digest(), bytes(data) == bytes(data[:1]) * span.length
        with self._lock:
            self._sums[span.offset] = total
            if not is_blank:
                self._told[span.offset] = span.length

    def find_same(self, after: Digest) -> list[Span]:
        """The stretches that hold something and whose sum is the same in another digest."""
        same = [offset for offset in sorted(self._told) if after._sums.get(offset) == self._sums[offset]]
        return [Span(offset, self._told[offset]) for offset in same]

    def __str__(self) -> str:
        """SHA-256, in hex, over offset and SHA-256 of each stretch that was read, in order."""
        total = hashlib.sha256()
        for offset, part in sorted(self._sums.items()):
            total.update(offset.to_bytes(8, "big") + part)
        return total.hexdigest()


def cut_out(places: Iterable[Span], troubles: Sequence[Trouble]) -> Iterator[Span]:
    """The places without the stretches that are known to be bad."""
    for span in places:
        start = span.offset
        for trouble in troubles:
            if trouble.end <= start or trouble.offset >= span.end:
                continue
            if trouble.offset > start:
                yield Span(start, trouble.offset - start)
            start = max(start, trouble.end)
        if start < span.end:
            yield Span(start, span.end - start)


def clip(places: Iterable[Span], end: int) -> Iterator[Span]:
    """The places before `end`, in pieces that a buffer holds."""
    for span in places:
        yield from spans(span.offset, min(span.end, end))
