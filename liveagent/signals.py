"""Signals, handled in a thread: a handler that sets an event can deadlock with the wait that it interrupts."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Callable

Handler = Callable[[], None]


@contextlib.contextmanager
def handled(handlers: Mapping[signal.Signals, Handler]) -> Iterator[None]:
    """Call a handler for each signal that comes, in the order in which they come. Main thread only."""
    # SimpleQueue.put is the one way to wake a thread that is documented to be safe in a signal handler.
    came: queue.SimpleQueue[int] = queue.SimpleQueue()

    def work() -> None:
        while (number := came.get()) != 0:
            handlers[signal.Signals(number)]()

    thread = threading.Thread(target=work, name="signals", daemon=True)
    thread.start()
    saved = {number: signal.signal(number, lambda number, frame: came.put(number)) for number in handlers}
    try:
        yield
    finally:
        for number, handler in saved.items():
            signal.signal(number, handler)
        came.put(0)
        thread.join()


def let_go(descriptors: Iterable[int]) -> None:
    """Have these lead nowhere: of a terminal that is gone every write fails."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
