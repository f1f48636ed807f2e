"""The sign of life of a run, as an event."""

from __future__ import annotations

import threading
import time
from typing import Callable

from liveagent.events import Type

EVERY = 30.0


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
