"""Delivery of runs that ended with something undelivered: of an earlier daemon, or of a command that left."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Callable

from liveagent.lock import Lock
from liveagent.places import Places
from liveagent.report import open_callbacks, undelivered
from liveagent.report.record import EVENTS
from liveagent.report.sink import Sink
from liveagent.session import make_delivery
from liveagent.settings import AgentSettings


class Adopter:
    """Takes over the delivery of runs that nobody delivers. `is_own`: whether this process still does it itself."""

    def __init__(
        self, places: Places, settings: AgentSettings, say: Callable[[str], None], is_own: Callable[[str], bool]
    ) -> None:
        self._places = places
        self._delivery = make_delivery(settings)
        self._say = say
        self._is_own = is_own
        self._sinks: dict[Path, list[Sink]] = {}
        self._seen: dict[Path, int] = {}

    def look(self) -> None:
        """Start what is left, put away what is done."""
        holder = Lock(self._places.runtime).holder()
        for directory in self._places.run_directories():
            is_on = self._is_own(directory.name) or (holder is not None and holder.run == directory.name)
            if is_on or directory in self._sinks or not self._is_new(directory):
                continue
            late = undelivered(directory)
            if late:
                self._say(f"run {directory.name} was not delivered to {', '.join(late)}: going on")
                sinks = open_callbacks(directory, dataclasses.replace(self._delivery, callbacks=late), self._say)
                self._sinks[directory] = sinks
                for sink in sinks:
                    sink.start()
        for directory in [directory for directory in self._sinks if not undelivered(directory)]:
            for sink in self._sinks.pop(directory):
                sink.stop()
            self._say(f"run {directory.name} is delivered")

    def close(self) -> None:
        for sinks in self._sinks.values():
            for sink in sinks:
                sink.stop()

    def _is_new(self, directory: Path) -> bool:
        """Whether a run's record grew since it was last looked at: an old one is read only once."""
        try:
            size = (directory / EVENTS).stat().st_size
        except OSError:
            return False
        is_new = self._seen.get(directory) != size
        self._seen[directory] = size
        return is_new
