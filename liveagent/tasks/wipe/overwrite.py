"""Writes a pattern over a whole disk and reads it back, past the page cache."""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import os
import random
import time
from collections.abc import Iterator, Sequence
from typing import Callable

from liveagent.tasks.wipe.guards import Armed
from liveagent.tasks.wipe.pattern import Buffer, Pattern

# <linux/fs.h>
BLKFLSBUF = 0x1261
BLKRRPART = 0x125F

MIB = 1024 * 1024
CHUNK = 4 * MIB
SAMPLE = 64 * 1024
# How many places a plain `sample` looks at, beside the first and the last megabyte.
SAMPLES = 512
# More bad places than this, and the disk is not worth going on with.
ERROR_LIMIT = 256
GONE = (errno.ENODEV, errno.ENXIO, errno.ENOMEDIUM)

Step = Callable[[int], None]


@dataclasses.dataclass(frozen=True)
class Span:
    """A stretch of a disk, in bytes."""

    offset: int
    length: int


@dataclasses.dataclass(frozen=True)
class Trouble:
    """A stretch that could not be written, or did not read back, and why."""

    offset: int
    length: int
    message: str


class Vanished(Exception):
    """The disk is gone."""


class TooManyErrors(Exception):
    """More places failed than ERROR_LIMIT; `troubles` are those there were."""

    def __init__(self, troubles: Sequence[Trouble]) -> None:
        super().__init__(f"more than {ERROR_LIMIT} places failed, the last one at byte {troubles[-1].offset}")
        self.troubles = tuple(troubles)


def overwrite(armed: Armed, pattern: Pattern, step: Step) -> tuple[Trouble, ...]:
    """Write the pattern from the first byte to the last, and have the drive put its cache down.

    `step(bytes)` is called after each chunk, and may raise to end it. Returns the stretches that could not be
    written. Raises Vanished, TooManyErrors.
    """
    buffer = Buffer(CHUNK)
    troubles: list[Trouble] = []
    try:
        for span in spans(armed.disk.size, CHUNK):
            pattern.fill(buffer, span.offset, span.length)
            try:
                _write_all(armed.file, buffer, span)
            except OSError as error:
                _note(troubles, span, error)
            step(span.length)
        os.fsync(armed.file)
    except OSError as error:
        _note(troubles, Span(0, armed.disk.size), error)
    finally:
        buffer.close()
    return tuple(troubles)


def choose_samples(size: int, verify: str, block: int, seed: int) -> tuple[Span, ...]:
    """Which stretches are read back, in order and without overlap. Pure, and repeatable by its seed.

    `full` is all of the disk. `sample` is the first and the last megabyte and 512 places of 64 KiB, one in each
    of as many equal strata; `N%` is so many strata of the same size that they make up N percent of the disk.
    """
    if verify == "none":
        return ()
    if verify in ("full", "100%") or size <= 2 * MIB + SAMPLES * SAMPLE:
        return tuple(spans(size, CHUNK))
    inner = Span(MIB, (size - 2 * MIB) // SAMPLE * SAMPLE)
    strata = inner.length // SAMPLE
    count = SAMPLES if verify == "sample" else max(1, round(strata * float(verify.rstrip("%")) / 100))
    generator = random.Random(seed)
    places = []
    for index in range(min(count, strata)):
        first, beyond = strata * index // count, strata * (index + 1) // count
        slot = generator.randrange(first, max(beyond, first + 1))
        places.append(Span(inner.offset + slot * SAMPLE, SAMPLE))
    last = (size - MIB) // block * block
    return (Span(0, MIB), *places, Span(last, size - last))


def read_back(armed: Armed, pattern: Pattern, samples: Sequence[Span], step: Step) -> tuple[Trouble, ...]:
    """Read the stretches from the drive itself and compare each byte. Returns what differs or cannot be read."""
    troubles: list[Trouble] = []
    try:
        flush_caches(armed)
    except OSError as error:
        _note(troubles, Span(0, armed.disk.size), error)
    for span in samples:
        try:
            data = read_span(armed, span)
        except OSError as error:
            _note(troubles, span, error)
        else:
            at = find_difference(data, pattern.expected(span.offset, span.length))
            if at is not None:
                _add(troubles, Trouble(span.offset + at, span.length - at, "does not hold what was written"))
        step(span.length)
    return tuple(troubles)


def flush_caches(armed: Armed) -> None:
    """Write out and drop what the kernel keeps of the disk, so that a read comes from the drive."""
    os.fsync(armed.file)
    fcntl.ioctl(armed.file, BLKFLSBUF, 0)


def reread_partitions(armed: Armed) -> None:
    """Have the kernel forget the partitions that are no longer there. Raises OSError."""
    fcntl.ioctl(armed.file, BLKRRPART, 0)


def read_span(armed: Armed, span: Span) -> bytes:
    """A stretch of the disk, by O_DIRECT. Raises OSError; a short read is one too."""
    buffer = Buffer(span.length)
    try:
        done = os.preadv(armed.file, [buffer.view[: span.length]], span.offset)
        if done != span.length:
            raise OSError(errno.EIO, f"only {done} of {span.length} bytes were read")
        return bytes(buffer.view[: span.length])
    finally:
        buffer.close()


def write_span(armed: Armed, span: Span, data: bytes) -> None:
    """Write a stretch of the disk, by O_DIRECT. Raises OSError."""
    buffer = Buffer(span.length)
    try:
        buffer.view[: span.length] = data
        _write_all(armed.file, buffer, span)
    finally:
        buffer.close()


def find_difference(left: bytes, right: bytes) -> int | None:
    """Where two stretches first differ; None where they do not."""
    if left == right:
        return None
    return next(index for index, pair in enumerate(zip(left, right)) if pair[0] != pair[1])


def spans(size: int, chunk: int) -> Iterator[Span]:
    for offset in range(0, size, chunk):
        yield Span(offset, min(chunk, size - offset))


def _write_all(file: int, buffer: Buffer, span: Span) -> None:
    done = 0
    while done < span.length:
        written = os.pwrite(file, buffer.view[done : span.length], span.offset + done)
        if written <= 0:
            raise OSError(errno.ENOSPC, "the disk takes no more bytes")
        done += written


def _note(troubles: list[Trouble], span: Span, error: OSError) -> None:
    if error.errno in GONE:
        raise Vanished(error.strerror) from None
    _add(troubles, Trouble(span.offset, span.length, error.strerror or str(error)))


def _add(troubles: list[Trouble], trouble: Trouble) -> None:
    troubles.append(trouble)
    if len(troubles) > ERROR_LIMIT:
        raise TooManyErrors(troubles)


class Meter:
    """How far, how fast, how long still: a rate over the last seconds, and progress at most once a second."""

    WINDOW = 20.0

    def __init__(self, total: int, tell: Callable[[int, int, float | None, float | None], None]) -> None:
        self.total = total
        self.done = 0
        self.moved = time.monotonic()
        self._tell = tell
        self._told = 0.0
        self._marks: list[tuple[float, int]] = [(self.moved, 0)]

    def add(self, length: int) -> None:
        now = time.monotonic()
        self.done += length
        self.moved = now
        if now - self._told < 1 and self.done < self.total:
            return
        self._told = now
        self._marks = [mark for mark in self._marks if now - mark[0] <= self.WINDOW] or self._marks[-1:]
        since, before = self._marks[0]
        self._marks.append((now, self.done))
        rate = (self.done - before) / (now - since) if now > since else None
        eta = (self.total - self.done) / rate if rate else None
        self._tell(self.done, self.total, rate, eta)
