"""A run before a person: a screen on a terminal that can show one, plain lines elsewhere."""

from __future__ import annotations

import collections
import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from typing import IO, Callable, Protocol

import click

from liveagent.events import Event, Type
from liveagent.report.banner import render_banner
from liveagent.report.lines import Lines, clean_lines
from liveagent.report.record import Reader
from liveagent.report.sink import Sink
from liveagent.report.words import measure, print_lines

# At most so often; what somebody else wrote over the screen is put right after a while.
REDRAW = 0.25
WHOLE = 5.0
# What a serial line without a size of its own has.
# So much of what was said stands below the screen when it is left.
SAID = 1000


class Display(Protocol):
    """What shows a run. Only one thread shows; `say` may come from any."""

    def show(self, events: Sequence[Event]) -> None:
        """Take the next events, which may be none: time passes all the same."""

    def say(self, text: str) -> None:
        """A line of the agent's own, on stderr where there is no screen."""

    def close(self) -> None:
        """Leave the terminal as it was."""


@contextlib.contextmanager
def open_display(stream: IO[str], hint: str = "") -> Iterator[Display]:
    """What suits the stream. `hint` says at the foot of a screen what Ctrl-C does. Main thread only."""
    if not stream.isatty() or os.environ.get("TERM", "dumb") in ("dumb", "unknown", ""):
        yield Plain(stream)
        return
    live = Live(stream, hint)
    with _suspendable(live):
        try:
            yield live
        finally:
            live.close()


@contextlib.contextmanager
def _suspendable(live: Live) -> Iterator[None]:
    """Ctrl-Z gives the terminal back to the shell, and `fg` has the screen drawn again."""

    def suspend(*_: object) -> None:
        # Nothing is drawn from here until the process goes on.
        with live.left():
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTSTP)
            signal.signal(signal.SIGTSTP, suspend)

    before = signal.getsignal(signal.SIGTSTP)
    # A shell without job control has it ignored: nobody could have the process go on.
    if before is signal.SIG_DFL:
        signal.signal(signal.SIGTSTP, suspend)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, before)


class DisplaySink(Sink):
    """Shows a run that goes on in this process."""

    def __init__(self, reader: Reader, display: Display) -> None:
        super().__init__("terminal", reader)
        self._display = display

    def run_once(self) -> bool:
        events = self.reader.read()
        self._display.show(events)
        if events:
            self._took(events[-1].sequence)
        return bool(events)

    def close(self) -> None:
        self._display.close()


class Plain:
    """Lines, at most one of progress a second a part."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._lines = Lines()

    def show(self, events: Sequence[Event]) -> None:
        for event in events:
            for line in self._lines.render(event):
                click.echo(line, file=self._stream)

    def say(self, text: str) -> None:
        click.echo(clean_lines(text), err=True)

    def close(self) -> None:
        """There is nothing to put back."""


class Live:
    """The whole terminal while the run is on, and how it ended below what stood there before."""

    def __init__(self, stream: IO[str], hint: str = "", clock: Callable[[], float] = time.time) -> None:
        # rich costs as much as the rest of the start, and only this needs it.
        from liveagent.report.paint import Painter
        from liveagent.report.view import View

        self._stream = stream
        self._hint = hint
        self._clock = clock
        self._view = View()
        # What was said, and what of it is not in the view yet: any thread may say, only one may change the view.
        self._said: collections.deque[str] = collections.deque(maxlen=SAID)
        self._unheard: collections.deque[str] = collections.deque(maxlen=SAID)
        self._has_dropped = False
        encoding = str(getattr(stream, "encoding", "") or "").lower()
        self._painter = Painter(plain=not encoding.startswith("utf"))
        self._is_open = self._is_over = False
        # Whoever leaves the screen may do so in a signal's handler, in the middle of a picture of the same thread.
        self._drawing = threading.RLock()
        # A run that has ended already is over before the first picture.
        self._drawn = time.monotonic()
        self._whole = float("-inf")
        self._is_stale = True

    def show(self, events: Sequence[Event]) -> None:
        if self._is_over:
            return
        for event in events:
            self._view.feed(event)
        self._is_stale |= bool(events or self._unheard)
        while self._unheard:
            self._view.say(self._unheard.popleft())
        now = time.monotonic()
        # The clock in the head moves also where nothing else does.
        self._is_stale |= int(now) != int(self._drawn)
        if events and events[-1].type is Type.RUN_FINISHED:
            self.close()
            self._print_end(events[-1])
        elif self._is_stale and now - self._drawn >= REDRAW:
            with self._drawing:
                self._draw(now)

    @contextlib.contextmanager
    def left(self) -> Iterator[None]:
        """The terminal as it was before, for so long; the next picture enters it again."""
        from liveagent.report.paint import LEAVE

        with self._drawing:
            if self._is_open:
                # Past the stream, which may be in the middle of a write.
                os.write(self._stream.fileno(), LEAVE.encode())
            self._is_open, self._is_stale, self._whole = False, True, float("-inf")
            yield

    def say(self, text: str) -> None:
        text = clean_lines(text)
        if self._is_over:
            click.echo(text, err=True)
            return
        # Once in the picture, where it is seen now, and once below it, where it stays.
        self._has_dropped |= len(self._said) == SAID
        self._said.append(text)
        self._unheard.append(text)

    def close(self) -> None:
        from liveagent.report.paint import LEAVE

        if self._is_over:
            return
        self._is_over = True
        with self._drawing:
            if self._is_open:
                self._write(LEAVE)
        if self._has_dropped:
            click.echo("[earlier lines dropped]", err=True)
        for text in self._said:
            click.echo(text, err=True)

    def _draw(self, now: float) -> None:
        from liveagent.report.paint import ENTER
        from liveagent.report.screen import render

        width, height = measure(self._stream)
        is_whole = now - self._whole >= WHOLE
        # Noted first and asked for last: while the picture is made the screen may be left, and then it is all to send.
        self._drawn, self._whole = now, now if is_whole else self._whole
        self._is_stale = False
        # The last column stays free: a terminal that waits there to wrap would lose a letter.
        group = render(self._view, width - 1, height, self._clock(), self._hint)
        text = self._painter.paint(group, width - 1, height, is_whole)
        enter, self._is_open = "" if self._is_open else ENTER, True
        self._write(enter + text)

    def _print_end(self, event: Event) -> None:
        from liveagent.report.screen import COLOURS

        letters = render_banner(self._view.verdict)
        for line in Lines().render(event):
            print_lines([line], self._stream, COLOURS.get(self._view.verdict, "") if line in letters else "")

    def _write(self, text: str) -> None:
        if text:
            self._stream.write(text)
            self._stream.flush()
