"""A run on the consoles: a screen that is redrawn in place on those with a picture, lines on the others."""

from __future__ import annotations

import collections
import contextlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Callable

from liveagent.events import Event, Type
from liveagent.report.console import Consoles, Tty
from liveagent.report.lines import Lines
from liveagent.report.record import Reader
from liveagent.report.sink import Sink

if TYPE_CHECKING:
    from liveagent.report.paint import Painter
    from liveagent.report.view import View

# Each time the whole of it: the kernel and a getty write over it as well.
REDRAW = 1.0
HINT = "Alt+F2 is for logging in; `liveagent cancel` there stops the run"
OVER = "Alt+F2 is for logging in"
SAID = 100


class Panel(Sink):
    """Shows one run until it has ended, then leaves the end standing and the consoles as they were.

    Where somebody is logged in nothing is shown: he may well be watching the run there himself.
    """

    def __init__(self, reader: Reader, consoles: Consoles, clock: Callable[[], float] = time.time) -> None:
        super().__init__("consoles", reader)
        self._clock = clock
        self._consoles = consoles
        self._lines = Lines()
        self._drawing: Drawing | None = None

    def run_once(self) -> bool:
        events = self.reader.read(200)
        serials = [tty for tty in self._consoles.serials if not tty.is_taken()] if events else []
        for event in events:
            for line in self._lines.render(event):
                for tty in serials:
                    tty.write(line)
        if self._consoles.screens:
            if events and self._drawing is None:
                self._drawing = Drawing(self._consoles.screens, self._clock)
            if self._drawing:
                self._drawing.show(events)
        if events:
            self._took(events[-1].sequence)
        return bool(events)

    def close(self) -> None:
        if self._drawing:
            self._drawing.close()


class Drawing:
    """The screens of one run. What is said meanwhile stands in them."""

    def __init__(self, ttys: Sequence[Tty], clock: Callable[[], float]) -> None:
        # rich is not needed on a machine that has serial lines only.
        from liveagent.report.paint import Painter
        from liveagent.report.view import View

        self._view: View = View()
        # The kernel's fonts have no more than ASCII for sure, and 16 colours.
        self._painters: list[tuple[Tty, Painter]] = [(tty, Painter("standard", plain=True)) for tty in ttys]
        self._said: collections.deque[str] = collections.deque(maxlen=SAID)
        self._clock = clock
        self._drawn = float("-inf")
        for tty in ttys:
            tty.hold(self._said.append)

    def show(self, events: Sequence[Event]) -> None:
        for event in events:
            self._view.feed(event)
        with contextlib.suppress(IndexError):
            while True:
                self._view.say(self._said.popleft())
        now = time.monotonic()
        is_over = bool(events) and events[-1].type is Type.RUN_FINISHED
        if is_over or (now - self._drawn >= REDRAW and not self._view.verdict):
            self._drawn = now
            self._draw()
        if is_over:
            self.close()

    def close(self) -> None:
        """What is said from now on goes below the picture."""
        for tty, _ in self._painters:
            tty.hold(None)

    def _draw(self) -> None:
        from liveagent.report.screen import render

        for tty, painter in self._painters:
            if tty.is_taken():
                continue
            columns, rows = tty.measure()
            # The last row and column stay free: there a console would wrap, or scroll.
            width, height = columns - 1, rows - 1
            group = render(self._view, width, height, self._clock(), OVER if self._view.verdict else HINT)
            tty.show(f"{painter.paint(group, width, height, whole=True)}\x1b[{rows};1H")
