"""The callback: a run's events to one receiver over HTTP, at least once, in order, until they are taken."""

from __future__ import annotations

import collections
import dataclasses
import logging
import random
import time
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

from liveagent.events import Event
from liveagent.report.post import Fault, Poster
from liveagent.report.record import Reader, encode_line
from liveagent.report.sink import Say, Sink
from liveagent.report.webhook import make_key
from liveagent.scrub import scrub_url

log = logging.getLogger(__name__)

BATCH_EVENTS = 200
BATCH_BYTES = 256 * 1024


@dataclasses.dataclass(frozen=True)
class Pace:
    """How often, how long. `first` to `most` bound the backoff, `slow` is for what will not pass by itself."""

    first: float = 1.0
    most: float = 60.0
    slow: float = 60.0
    retry_after: float = 600.0
    said_again: float = 300.0
    connect: float = 10.0
    read: float = 30.0


@dataclasses.dataclass(frozen=True)
class Batch:
    """What goes into one POST. It stays the same over its retries, and so does its `identity`."""

    events: tuple[Event, ...]
    body: bytes

    @property
    def identity(self) -> str:
        """`RUN/FIRST-LAST`, without the dot that separates the parts of what is signed."""
        first, last = self.events[0], self.events[-1]
        return urllib.parse.quote(f"{first.run}/{first.sequence}-{last.sequence}").replace(".", "%2E")


@dataclasses.dataclass
class Address:
    """One URL of the fail-over list, and how it goes there. `due` is of the monotonic clock."""

    url: str
    failures: int = 0
    due: float = 0.0
    said: dict[str, float] = dataclasses.field(default_factory=dict)


def make_batch(events: Sequence[Event], count: int = BATCH_EVENTS, size: int = BATCH_BYTES) -> Batch:
    """As many of the events, from the first on, as fit; always one at least."""
    lines: list[bytes] = []
    total = 2
    for event in events[:count]:
        line = encode_line(event).rstrip(b"\n")
        total += len(line) + 1
        if lines and total > size:
            break
        lines.append(line)
    return Batch(tuple(events[: len(lines)]), b"[" + b",".join(lines) + b"]")


def choose_delay(fault: Fault, failures: int, pace: Pace, uniform: Callable[[float, float], float]) -> float:
    """Seconds until a URL is tried again after its `failures`-th failure in a row: backoff with full jitter.

    A Retry-After is waited for, up to `pace.retry_after`, and a little longer, so that a room full of servers that
    were all told the same does not come back at once.
    """
    # 2 ** 20 s is beyond any `most`; without a bound the float overflows after a long night.
    delay = pace.slow if fault.lasting else uniform(0.0, min(pace.most, pace.first * 2.0 ** min(failures - 1, 20)))
    if fault.retry_after is None:
        return delay
    return max(delay, min(fault.retry_after, pace.retry_after) + uniform(0.0, pace.first))


def choose_address(addresses: Sequence[Address], now: float) -> Address:
    """The first that is due; where none is, the one that will be first."""
    return next((address for address in addresses if address.due <= now), min(addresses, key=lambda one: one.due))


def read_cursor(path: Path) -> int:
    """The number up to which all was taken; 0 where it is not known, and then all is sent again."""
    try:
        text = path.read_text("ascii").strip()
    except (OSError, ValueError):
        return 0
    return int(text) if text.isdigit() and len(text) <= 18 else 0


def write_cursor(path: Path, sequence: int) -> None:
    """Raises OSError. Not synced: after a power cut an older cursor sends a few batches twice, and no more."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(f"{sequence}\n", "ascii")
    fresh.replace(path)


class Callback(Sink):
    """One receiver: a thread that POSTs batches to the first URL of its list that takes them.

    `say` is called from that thread. `secret` is Standard Webhooks (`webhook.make_key` says in which forms; raises
    ValueError here for one that is none), `token` a bearer token, `ca` a file with the CA that alone is trusted.
    `wait` sleeps for seconds, returning True where the sink was stopped meanwhile; `uniform` is random.uniform.
    """

    def __init__(
        self,
        name: str,
        urls: Sequence[str],
        reader: Reader,
        cursor: Path,
        say: Say,
        *,
        secret: str = "",
        token: str = "",
        ca: str = "",
        pace: Pace = Pace(),
        wait: Callable[[float], bool] | None = None,
        uniform: Callable[[float, float], float] = random.uniform,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not urls:
            raise ValueError(f"the receiver {name} has no URL")
        if secret:
            make_key(secret)
        reader.after = max(reader.after, read_cursor(cursor))
        super().__init__(name, reader, say)
        self._addresses = [Address(url) for url in urls]
        self._cursor = cursor
        self._pace = pace
        self._wait = wait or self._stopping.wait
        self._uniform = uniform
        # Made in the thread, since it imports `requests`.
        self._make_poster: Callable[[], Poster] = lambda: Poster(secret, token, ca, (pace.connect, pace.read), clock)
        self._poster: Poster | None = None
        self._backlog: collections.deque[Event] = collections.deque()
        self._batch: Batch | None = None
        self._room = BATCH_BYTES
        self._cursor_fails = False

    @property
    def urls(self) -> tuple[str, ...]:
        """The fail-over list as it is tried now, fit to be shown."""
        return tuple(scrub_url(address.url) for address in self._addresses)

    def run_once(self) -> bool:
        batch = self._batch = self._batch or self._next_batch()
        if not batch:
            return False
        now = time.monotonic()
        address = choose_address(self._addresses, now)
        if address.due > now and self._wait(address.due - now):
            return True
        if self._poster is None:
            self._poster = self._make_poster()
        fault = self._poster.post(address.url, batch.identity, batch.body)
        if fault is None:
            self._take(address, batch)
        else:
            self._fail(address, batch, fault)
        return True

    def close(self) -> None:
        if self._poster:
            self._poster.close()

    def _next_batch(self) -> Batch | None:
        if not self._backlog:
            self._backlog.extend(self.reader.read(BATCH_EVENTS))
        if not self._backlog:
            return None
        batch = make_batch(tuple(self._backlog), BATCH_EVENTS, self._room)
        for _ in batch.events:
            self._backlog.popleft()
        return batch

    def _take(self, address: Address, batch: Batch) -> None:
        if address.failures:
            self._say_seldom(address, "works", f"Delivering to {scrub_url(address.url)} again")
        address.failures, address.due = 0, 0.0
        self._addresses.remove(address)
        self._addresses.insert(0, address)
        self.trouble = ""
        self._batch = None
        taken = batch.events[-1].sequence
        try:
            write_cursor(self._cursor, taken)
            self._cursor_fails = False
        except OSError as error:
            if not self._cursor_fails:
                log.warning("Failed to write %s: %s, ignoring", self._cursor, error.strerror)
            self._cursor_fails = True
        self._took(taken)

    def _fail(self, address: Address, batch: Batch, fault: Fault) -> None:
        address.failures += 1
        self.trouble = f"Failed to deliver to {scrub_url(address.url)}: {fault.words}"
        if fault.too_large and len(batch.events) > 1:
            # Half of a body that was too large is never less than half of what is allowed: no need to grow again.
            self._room = len(batch.body) // 2
            self._backlog.extendleft(reversed(batch.events))
            self._batch = None
            self._say_seldom(address, fault.kind, f"{self.trouble}, sending less at once")
            return
        address.due = time.monotonic() + choose_delay(fault, address.failures, self._pace, self._uniform)
        again = f"every {self._pace.slow:g} s" if fault.lasting else "again"
        self._say_seldom(address, fault.kind, f"{self.trouble}, trying {again}")

    def _say_seldom(self, address: Address, kind: str, text: str) -> None:
        """Say each kind of trouble of a URL once in a while, and not at each attempt."""
        now = time.monotonic()
        if now - address.said.get(kind, float("-inf")) >= self._pace.said_again:
            address.said[kind] = now
            self._say(text)
