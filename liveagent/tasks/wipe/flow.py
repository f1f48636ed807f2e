"""Moves through a disk with several reads or writes in flight: threads that each take the next stretch."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Callable

from liveagent.tasks.wipe.pattern import Buffer

# Two in flight keep a disk busy while the third stretch is being made or compared. Small stretches keep the
# memory of many disks flat: 1.5 MiB each.
DEPTH = 3
CHUNK = 512 * 1024
POLL = 0.2
# What a disk may take to answer what it was told before the flow was ended.
LANE_GRACE = 10.0


@dataclasses.dataclass(frozen=True)
class Span:
    """A stretch of a disk, in bytes."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        return self.offset + self.length


def spans(start: int, end: int, chunk: int = CHUNK) -> Iterator[Span]:
    """The stretch from `start` to `end` in pieces."""
    for offset in range(start, end, chunk):
        yield Span(offset, min(chunk, end - offset))


# Does the work of one stretch in the buffer; what it raises ends the flow.
Work = Callable[[Buffer, Span], None]


class Flow:
    """One pass over stretches of a disk, by `depth` threads.

    `run` returns when all is done, and raises what a thread raised. `step(bytes)` is called after each stretch,
    from any thread. `watch()` is called several times a second by the one that runs it, and may raise to end it: the
    disk may be silent, the one that waits never is.
    """

    def __init__(
        self,
        places: Iterable[Span],
        work: Work,
        step: Callable[[int], None],
        watch: Callable[[], None],
        depth: int = DEPTH,
        chunk: int = CHUNK,
    ) -> None:
        self._places = iter(places)
        self._work = work
        self._step = step
        self.watch = watch
        self._depth = depth
        self._chunk = chunk
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._busy: dict[int, Span] = {}
        self._errors: list[BaseException] = []
        self._beyond = 0

    @property
    def mark(self) -> int:
        """The byte before which everything has been done, of places that come in order."""
        with self._lock:
            return min((span.offset for span in self._busy.values()), default=self._beyond)

    def run(self) -> None:
        threads = [
            threading.Thread(target=self._lane, args=(number,), name=f"lane-{number}", daemon=True)
            for number in range(self._depth)
        ]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                while thread.is_alive():
                    thread.join(POLL)
                    self.watch()
        finally:
            self._stop.set()
            # Whoever hangs in the kernel is left there; it takes nothing more once it comes back.
            limit = time.monotonic() + LANE_GRACE
            for thread in threads:
                thread.join(max(0.0, limit - time.monotonic()))
        if self._errors:
            raise self._errors[0]

    def _lane(self, number: int) -> None:
        buffer = Buffer(self._chunk)
        try:
            while not self._stop.is_set():
                span = self._take(number)
                if span is None:
                    break
                self._work(buffer, span)
                with self._lock:
                    del self._busy[number]
                self._step(span.length)
        except BaseException as error:  # raised again by the one who runs the flow
            # The place stays busy: the mark must not pass what was not done.
            self._errors.append(error)
            self._stop.set()
        finally:
            buffer.close()

    def _take(self, number: int) -> Span | None:
        with self._lock:
            span = next(self._places, None)
            if span is not None:
                self._busy[number] = span
                self._beyond = span.end
            return span
