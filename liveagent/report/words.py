"""What a command prints: lines and tables, on a terminal with their verdicts in colour, and always as clean text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import IO, TYPE_CHECKING

import click

from liveagent.events import Verdict
from liveagent.report.lines import clean

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


def print_lines(lines: Iterable[str], stream: IO[str], style: str = "") -> None:
    """Lines as they are; verdicts in capitals are coloured, the rest has `style`, where it is a terminal."""
    if not stream.isatty():
        for line in lines:
            click.echo(clean(line), file=stream)
        return
    console = _open(stream)
    for line in lines:
        console.print(_colour(line, style, [verdict.value.upper() for verdict in Verdict]))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], stream: IO[str]) -> None:
    """A table: by rich on a terminal, aligned text elsewhere."""
    cells = [[clean(cell) for cell in row] for row in rows]
    if stream.isatty():
        from rich.table import Table

        names = [verdict.value for verdict in Verdict]
        table = Table(*columns, box=None, pad_edge=False)
        for row in cells:
            table.add_row(*(_colour(cell, "", [cell] if cell in names else []) for cell in row))
        _open(stream, wraps=True).print(table)
        return
    widths = [max(len(row[index]) for row in (columns, *cells)) for index in range(len(columns))]
    for row in ([*columns], *cells):
        padded = [cell.ljust(width) for cell, width in zip(row, widths)]
        click.echo("  ".join(padded).rstrip(), file=stream)


def _open(stream: IO[str], wraps: bool = False) -> Console:
    from rich.console import Console

    # A line is left to the terminal to wrap, so that it can be copied and searched for as one.
    return Console(file=stream, soft_wrap=not wraps)


def _colour(text: str, style: str, words: Iterable[str]) -> Text:
    from rich.text import Text

    from liveagent.report.screen import COLOURS

    # Of what tools say `:100:` is no emoji, and `[1]` no markup: a Text is taken as it is.
    made = Text(clean(text), style)
    for word in words:
        made.highlight_regex(rf"\b{word}\b", COLOURS[word.lower()])
    return made
