"""The desk on the bus. Lives without one, and takes the name when there is one."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

from liveagent.bus import INTERFACE, MARK, NAME, PATH
from liveagent.events import JSON, Event
from liveagent.report.record import Reader
from liveagent.report.sink import Sink

if TYPE_CHECKING:
    from liveagent.desk import Desk

log = logging.getLogger(__name__)

AGAIN = 5.0
# How many events are signalled at once, and the characters of the longest; whoever needs all of them asks for them.
BATCH = 100
LONGEST = 64 * 1024

# pydbus logs what a method raises, as a fault of ours; LookupError is what we answer to who asks for what is not there.
logging.getLogger("pydbus.registration").addFilter(
    lambda record: not record.exc_info or record.exc_info[0] is not LookupError
)


class Face:
    """What the bus sees: names and texts, and no logic. An exception's class is its name on the bus."""

    def __init__(self, desk: Desk, flush: Callable[[None], object]) -> None:
        from pydbus.generic import signal

        self._desk = desk
        self.flush = flush
        type(self).Event = signal()

    Event: Any = None

    def Submit(self, order: str) -> str:
        return _render(self._desk.submit(order))

    def Cancel(self, run: str) -> None:
        self._desk.cancel(run)

    def Status(self) -> str:
        return _render(self._desk.records.status())

    def Runs(self) -> list[str]:
        return [_render(row) for row in self._desk.records.history()]

    def Events(self, run: str, after: int, limit: int) -> list[str]:
        return self._desk.events(run, after, limit)


def _render(document: JSON) -> str:
    return json.dumps(document, ensure_ascii=False)


class Service(threading.Thread):
    """Serves the desk until it is stopped, in a thread of its own, which has GLib's main context to itself."""

    def __init__(self, desk: Desk, runtime: Path, say: Callable[[str], None]) -> None:
        super().__init__(name="bus", daemon=True)
        self._mark = runtime / MARK
        self._desk = desk
        self._say = say
        self._stopping = threading.Event()
        self._lost = threading.Event()
        self._face: Face | None = None
        self._told = ""
        self.named = threading.Event()

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._serve()
            except Exception as error:  # GLib's, pydbus's, or that one of them is not installed
                self._tell(f"not on the system bus: {error}")
            self.named.clear()
            with contextlib.suppress(OSError):
                self._mark.unlink()
            self._stopping.wait(AGAIN)

    def stop(self) -> None:
        self._stopping.set()
        self._wake()
        self.join(AGAIN)

    def _serve(self) -> None:
        import pydbus
        from gi.repository import Gio, GLib

        # A connection of our own: the one that GLib shares ends the process when the bus goes.
        bus = pydbus.connect(Gio.dbus_address_get_for_bus_sync(Gio.BusType.SYSTEM, None))
        self._lost.clear()
        bus.con.connect("closed", lambda *_: self._lost.set())
        self._face = Face(self._desk, bus.con.flush_sync)
        context = GLib.MainContext.default()
        with bus.publish(NAME, (PATH, self._face, INTERFACE)):
            self.named.set()
            self._told = ""
            self._mark.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
            self._mark.touch()
            while not self._stopping.is_set() and not self._lost.is_set():
                context.iteration(True)
        self._tell("the system bus has gone")

    def _tell(self, text: str) -> None:
        """Say it once, and go on."""
        if text != self._told and not self._stopping.is_set():
            self._told = text
            self._say(f"{text}; trying again, `liveagent` works without it for root")

    def _wake(self) -> None:
        if self.named.is_set():
            from gi.repository import GLib

            GLib.MainContext.default().wakeup()

    def emit(self, events: Sequence[Event]) -> None:
        """Signal events, and wait until they have left: GLib would keep whatever a bus that hangs does not take."""
        face = self._face
        if face is None or not self.named.is_set() or not events:
            return
        from gi.repository import GLib

        texts = [_render(event.encode()) for event in events]
        # The bus may go meanwhile, which the loop above finds out by itself.
        with contextlib.suppress(GLib.Error):
            for text in texts:
                if len(text) <= LONGEST:
                    face.Event(text)
            face.flush(None)


class Signals(Sink):
    """A run's events as signals on the bus: a help for those who want to know soon, and no record."""

    def __init__(self, reader: Reader, service: Service) -> None:
        super().__init__("bus", reader)
        self._service = service

    def run_once(self) -> bool:
        events = self.reader.read(BATCH)
        self._service.emit(events)
        if events:
            self._took(events[-1].sequence)
        return bool(events)
