"""The countdown before a boot destroys data: on every console, and ended there."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Callable

from liveagent.engine import Cancel
from liveagent.report.console import Consoles


class ConsoleCountdown:
    """Says what is coming. `listens` is asked as it begins: whether Ctrl-C or `stop` on any console ends it; a console
    that a getty has got by then is the getty's. `beat` is called as long as it counts, `done` when it has ended.
    """

    def __init__(
        self,
        consoles: Consoles,
        say: Callable[[str], None],
        beat: Callable[[], None],
        done: Callable[[], None],
        listens: Callable[[], bool] = lambda: True,
    ) -> None:
        self._consoles = consoles
        self._say = say
        self._beat = beat
        self._done = done
        self._listens = listens

    def __call__(self, seconds: float, names: Sequence[str], cancel: Cancel) -> None:
        what = ", ".join(names)
        limit = time.monotonic() + seconds
        listens = self._listens()
        ways = "Ctrl-C here, or type stop and Enter, or `liveagent cancel`" if listens else "`liveagent cancel`"

        def stop(console: str) -> None:
            self._say(f"stopped on {console}: nothing was erased")
            cancel.end(f"stopped on {console} during the countdown")

        with self._consoles.listening(stop) if listens else contextlib.nullcontext():
            while not cancel.is_set():
                left = limit - time.monotonic()
                if left <= 0:
                    break
                self._say(f"*** {what} DESTROYS DATA on this machine in {left:.0f} s. To stop it: {ways} ***")
                self._beat()
                cancel.wait(min(left, 1.0 if left <= 10 else 5.0))
        self._done()
