"""The daemon, as a command reaches it over the bus."""

from __future__ import annotations

import json
from typing import Any

from liveagent.bus import NAME, PATH, Unanswered
from liveagent.events import JSON, Event, Type
from liveagent.records import choose_run

TIMEOUT = 25


class NoDaemon(Unanswered):
    """There is no daemon on the bus, or it does not answer."""


class Late(NoDaemon):
    """The daemon is there and has not answered in time: whether it did what it was asked is not known."""


class Denied(Unanswered):
    """The bus does not let this user ask that."""


class Client:
    """The daemon: `Records` over the bus, and what root may have done. Raises Unanswered, LookupError."""

    def __init__(self) -> None:
        try:
            import pydbus
            from gi.repository import Gio

            # A connection of our own: with the one that it shares, GLib ends the process when the bus goes.
            bus = pydbus.connect(Gio.dbus_address_get_for_bus_sync(Gio.BusType.SYSTEM, None))
            # Asked first: a call would start the service, which takes the boot's plan.
            if not bus.dbus.NameHasOwner(NAME):
                raise NoDaemon("the service does not run (systemctl status liveagent)")
        except ImportError as error:
            raise NoDaemon(f"{error.name or 'pydbus'} is not installed") from None
        except NoDaemon:
            raise
        except Exception as error:  # GLib.Error has no class to catch before gi is imported
            raise NoDaemon(f"there is no system bus: {_words(error)}") from None
        self._connection = bus.con

    def _call(self, method: str, signature: str = "", *words: Any) -> Any:
        from gi.repository import Gio, GLib

        arguments = GLib.Variant(f"({signature})", words) if signature else None
        # Nothing is started, and a daemon that hangs is not waited for without end.
        flags = Gio.DBusCallFlags.NO_AUTO_START
        try:
            answer = self._connection.call_sync(NAME, PATH, NAME, method, arguments, None, flags, TIMEOUT * 1000, None)
        except GLib.Error as error:
            remote = Gio.DBusError.get_remote_error(error) or ""
            if remote.endswith("AccessDenied"):
                raise Denied("only root, and who is in the group liveagent, may look; only root may change") from None
            if remote.endswith("LookupError"):
                raise LookupError(_words(error)) from None
            if error.matches(Gio.io_error_quark(), Gio.IOErrorEnum.TIMED_OUT):
                raise Late(f"the service did not answer within {TIMEOUT} s") from None
            raise NoDaemon(f"the service did not answer: {_words(error)}") from None
        return answer.unpack()[0]

    def submit(self, order: str) -> dict[str, JSON]:
        document: dict[str, JSON] = json.loads(self._call("Submit", "s", order))
        return document

    def status(self) -> dict[str, JSON]:
        document: dict[str, JSON] = json.loads(self._call("Status"))
        return document

    def history(self) -> list[dict[str, JSON]]:
        return [json.loads(row) for row in self._call("Runs")]

    def find(self, name: str) -> str:
        newest = self.status()["run"]
        runs = [row["run"] for row in self.history() if row["run"] != newest]
        return choose_run([*runs, newest] if newest else runs, name)

    def events(self, run: str, after: int) -> list[Event]:
        return [Event.decode(json.loads(text)) for text in self._call("Events", "suu", run, after, 0)]

    def is_on(self, run: str) -> bool:
        status = self.status()
        return bool(status["state"] == "running" and status["run"] == run)

    def result(self, run: str) -> dict[str, Any] | None:
        after = 0
        while events := self.events(run, after):
            after = events[-1].sequence
            if events[-1].type is Type.RUN_FINISHED:
                return dict(events[-1].data)
        return None


def _words(error: BaseException) -> str:
    """What the other end said, without the name that GLib puts before it."""
    text = str(getattr(error, "message", "") or error)
    return text.rpartition("Error.")[2].partition(": ")[2] or text
