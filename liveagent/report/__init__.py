"""Where events go. The spool is the record; every other sink is a reader of it with a cursor of its own."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Callable

from liveagent.report.record import EVENTS, Reader, read_last
from liveagent.report.sink import Sink
from liveagent.report.spool import Spool

RECEIVERS = "receivers.json"

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Delivery:
    """Where a run's events are to be brought: receivers by name, each a fail-over list, and what opens them."""

    callbacks: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    secret: str = ""
    token: str = ""
    ca: str = ""


class Sinks:
    """The sinks of one run: started together, drained, stopped."""

    def __init__(self, deliveries: Sequence[Sink], watchers: Sequence[Sink] = ()) -> None:
        self.deliveries = tuple(deliveries)
        self.watchers = tuple(watchers)

    def start(self) -> None:
        for sink in (*self.watchers, *self.deliveries):
            sink.start()

    def drain(self, until: int, seconds: float) -> list[Sink]:
        """Wait until everything is delivered, for `seconds` at most; the sinks that are behind then."""
        limit = time.monotonic() + seconds
        return [sink for sink in self.deliveries if not sink.drain(until, max(0.0, limit - time.monotonic()))]

    def settle(self, until: int, seconds: float = 5.0) -> None:
        """Let those who watch see the end."""
        limit = time.monotonic() + seconds
        for sink in self.watchers:
            sink.drain(until, max(0.0, limit - time.monotonic()))

    def stop(self) -> None:
        for sink in (*self.watchers, *self.deliveries):
            sink.stop()


def make_cursor(directory: Path, name: str) -> Path:
    return directory / f"{name}.cursor"


def open_callbacks(directory: Path, delivery: Delivery, say: Say, spool: Spool | None = None) -> list[Sink]:
    """A sink for each receiver of a run, going on where it was."""
    if not delivery.callbacks:
        return []
    from liveagent.report.callback import Callback

    return [
        Callback(
            name,
            urls,
            Reader(directory / EVENTS, spool=spool),
            make_cursor(directory, name),
            say,
            secret=delivery.secret,
            token=delivery.token,
            ca=delivery.ca,
        )
        for name, urls in delivery.callbacks.items()
    ]


def note_receivers(directory: Path, delivery: Delivery) -> None:
    """Keep with the run where it is to go (without secrets), so that a daemon can take over. Raises OSError."""
    document = {name: list(urls) for name, urls in delivery.callbacks.items()}
    file = os.open(directory / RECEIVERS, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(file, "w", encoding="utf-8") as stream:
        json.dump(document, stream)


def read_receivers(directory: Path) -> dict[str, tuple[str, ...]]:
    """Where a run was to go; empty where it was to stay."""
    try:
        document = json.loads((directory / RECEIVERS).read_text(encoding="utf-8"))
        return {str(name): tuple(map(str, urls)) for name, urls in document.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def undelivered(directory: Path) -> dict[str, tuple[str, ...]]:
    """The receivers of a run that have not taken all of it."""
    receivers = read_receivers(directory)
    if not receivers:
        return {}
    from liveagent.report.callback import read_cursor

    newest = read_last(directory / EVENTS)
    last = newest.sequence if newest else 0
    return {name: urls for name, urls in receivers.items() if read_cursor(make_cursor(directory, name)) < last}


def render_undelivered(sinks: Iterable[Sink]) -> list[str]:
    """What is said about receivers that did not take everything."""
    return [f"not delivered to {sink.name}: {sink.trouble or 'it did not answer in time'}" for sink in sinks]
