"""Signs of life: of a run, as an event; of who waits for something that may take long."""

from __future__ import annotations

import threading
import time
from typing import Callable, TypeVar

from liveagent.events import Type
from liveagent.host import Cancelled

EVERY = 30.0
POLL = 0.05

Value = TypeVar("Value")


def attend(
    work: Callable[[], Value],
    beat: Callable[[], None] | None,
    cancel: threading.Event | None = None,
    grace: float = 0.0,
) -> Value:
    """Do something that may take long in a thread of its own, and show meanwhile that somebody waits for it.

    What it raises is raised here. Where it goes on for `grace` seconds after `cancel`, it is left behind, and
    Cancelled is raised.
    """
    values: list[Value] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            values.append(work())
        except BaseException as error:  # raised again by the one who waits
            errors.append(error)

    thread = threading.Thread(target=run, name="attended", daemon=True)
    thread.start()
    limit: float | None = None
    while thread.is_alive():
        thread.join(POLL)
        if beat:
            beat()
        if cancel is not None and cancel.is_set() and limit is None:
            limit = time.monotonic() + grace
        if limit is not None and time.monotonic() > limit and thread.is_alive():
            raise Cancelled("left behind")
    if errors:
        raise errors[0]
    return values[0]


class Heartbeat(threading.Thread):
    """An event every 30 s while a run is on."""

    def __init__(self, emit: Callable[..., object], every: float = EVERY) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._emit = emit
        self._every = every
        self._stopped = threading.Event()

    def run(self) -> None:
        import psutil

        while not self._stopped.wait(self._every):
            load = [round(value, 2) for value in psutil.getloadavg()]
            data = {"uptime": round(time.time() - psutil.boot_time(), 1), "state": "running", "load": load}
            self._emit(Type.HEARTBEAT, data)

    def stop(self) -> None:
        self._stopped.set()
        self.join()
