"""A sink: one thread that follows a run's record and takes its events somewhere."""

from __future__ import annotations

import logging
import threading
import time
from typing import Callable

from liveagent.report.record import Reader

log = logging.getLogger(__name__)

# How long a sink that has nothing to do may take to see that it is stopped.
POLL = 0.2
# After a fault of our own; the thread goes on, since nobody would start it again.
FAULT_PAUSE = 1.0

Say = Callable[[str], None]


def say_nothing(_text: str) -> None:
    """For a sink whose troubles nobody wants to hear."""


class Sink:
    """The life of one sink: `start`, `drain`, `stop`. A subclass says in `run_once` what one turn does.

    Its thread ends by itself once the run is over and all of it was dealt with: a service at rest has none.

    `delivered` is the number up to which every event was taken (or, in a sink that may drop, dealt with).
    `trouble` is what is wrong now, in words; '' when nothing is.
    """

    def __init__(self, name: str, reader: Reader, say: Say = say_nothing) -> None:
        self.name = name
        self.reader = reader
        self.trouble = ""
        self._say = say
        self._stopping = threading.Event()
        self._moved = threading.Condition()
        self._delivered = reader.after
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def delivered(self) -> int:
        return self._delivered

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> bool:
        """Stop without waiting for what is not delivered yet; whether the thread has ended by then."""
        self._stopping.set()
        with self._moved:
            self._moved.notify_all()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def drain(self, until: int, seconds: float) -> bool:
        """Wait until the event numbered `until` and all before it are taken; whether they are."""
        with self._moved:
            self._moved.wait_for(lambda: self._delivered >= until or self._stopping.is_set(), seconds)
            return self._delivered >= until

    def run_once(self) -> bool:
        """Do one turn; whether there was anything to do. Runs in the sink's thread."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of what the thread holds; runs in the sink's thread, last."""

    def _took(self, sequence: int) -> None:
        with self._moved:
            self._delivered = max(self._delivered, sequence)
            self._moved.notify_all()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    busy = self.run_once()
                except Exception as error:  # nobody would start the thread again
                    log.exception("Failed to run the sink %s, ignoring", self.name)
                    self.trouble = f"{type(error).__name__}: {error}"
                    self._stopping.wait(FAULT_PAUSE)
                    continue
                if not busy and self.reader.is_over():
                    break
                if not busy:
                    self._idle()
        finally:
            self.close()

    def _idle(self) -> None:
        """Wait for the next event, or for a moment where the reader cannot wait (no live spool, or a closed one)."""
        limit = time.monotonic() + POLL
        if not self.reader.wait(POLL):
            self._stopping.wait(max(0.0, limit - time.monotonic()))
