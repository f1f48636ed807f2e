"""A run on a terminal: a bar for each part that moves, and the lines above it; plain lines elsewhere."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING

import click

from liveagent.events import Event, Type
from liveagent.report import LineSink
from liveagent.report.lines import Lines, clean, render_pace
from liveagent.report.sink import Sink
from liveagent.report.spool import Reader

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

COLOURS = {"pass": "green", "warn": "yellow", "fail": "red", "error": "red", "refused": "magenta"}


def make_terminal(reader: Reader, stream: IO[str]) -> Sink:
    """The sink that suits the stream."""
    if stream.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        return Bars(reader, stream)
    return LineSink(reader, lambda line: click.echo(line, file=stream))


class Bars(Sink):
    """rich's progress bars, one a part, under the lines of the run."""

    def __init__(self, reader: Reader, stream: IO[str]) -> None:
        super().__init__("terminal", reader)
        self._stream = stream
        self._lines = Lines()
        self._bars: dict[str, TaskID] = {}
        self._progress: Progress | None = None

    def run_once(self) -> bool:
        events = self.reader.read(200)
        for event in events:
            self._show(event)
        if events:
            self._took(events[-1].sequence)
        return bool(events)

    def close(self) -> None:
        if self._progress:
            self._progress.stop()

    def _show(self, event: Event) -> None:
        progress = self._progress or self._open()
        if event.type is Type.PROGRESS:
            self._move(progress, event)
            return
        if event.type is Type.STEP_FINISHED and event.subject in self._bars:
            progress.remove_task(self._bars.pop(event.subject))
        if event.type is Type.RUN_FINISHED:
            for bar in self._bars.values():  # of parts that were broken off
                progress.remove_task(bar)
            self._bars.clear()
            progress.stop()
        style = COLOURS.get(str(event.data.get("verdict")))
        for line in self._lines.render(event):
            progress.console.print(line, style=style, markup=False, highlight=False)

    def _move(self, progress: Progress, event: Event) -> None:
        data = event.data
        if event.subject not in self._bars:
            self._bars[event.subject] = progress.add_task(clean(event.subject), total=data["total"], rest="")
        rest = clean(", ".join([str(data["label"]), *render_pace(data)]))
        progress.update(self._bars[event.subject], completed=data["done"], total=data["total"], rest=rest)

    def _open(self) -> Progress:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        # What tools say is text: `:100:` in it is no emoji, and `[1]` no markup.
        console = Console(file=self._stream, soft_wrap=True, emoji=False)
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TaskProgressColumn(),
            TextColumn("{task.fields[rest]}", markup=False),
        )
        # stdout may be a document's: rich must not take it over.
        self._progress = Progress(*columns, console=console, refresh_per_second=4, redirect_stdout=False)
        self._progress.start()
        return self._progress
