"""What a command prints: lines and tables, on a terminal with their verdicts in colour, and always as clean text."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import IO, TYPE_CHECKING

import click

from liveagent.events import Verdict
from liveagent.report.lines import clean, fold

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

# Columns: what lies between two of a table, and the least in which a sentence can be read.
GAP, SENTENCE = 2, 40
# Columns and rows of a terminal that says nothing of itself.
WIDTH, HEIGHT = 80, 24


def measure(stream: IO[str]) -> tuple[int, int]:
    """Columns and rows of a terminal at this moment; COLUMNS and LINES where it does not say."""
    try:
        size = os.get_terminal_size(stream.fileno())
        if size.columns > 0 and size.lines > 0:
            return size.columns, size.lines
    except (OSError, ValueError):
        pass

    def given(name: str, default: int) -> int:
        text = os.environ.get(name, "")
        return int(text) if text.isdigit() and 0 < int(text) < 10_000 else default

    return given("COLUMNS", WIDTH), given("LINES", HEIGHT)


def print_lines(lines: Iterable[str], stream: IO[str], style: str = "") -> None:
    """Lines as they are; on a terminal folded, verdicts in capitals coloured, and the rest in `style`."""
    if not stream.isatty():
        for line in lines:
            click.echo(clean(line), file=stream)
        return
    console = _open(stream)
    for line in lines:
        for part in fold(line, console.width - 1) if len(line) >= console.width else [line]:
            console.print(_colour(part, style, [verdict.value.upper() for verdict in Verdict]))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], stream: IO[str]) -> None:
    """A table: by rich on a terminal, aligned text elsewhere.

    On a terminal no word is broken that fits a line: a serial or a run's name is there to be compared and copied.
    Sentences wrap; where that leaves them too little, the columns that do not fit stand below each row.
    """
    cells = [[clean(cell) for cell in row] for row in rows]
    if stream.isatty():
        _print_on_terminal([*columns], cells, stream)
        return
    widths = [max(len(row[index]) for row in (columns, *cells)) for index in range(len(columns))]
    for row in ([*columns], *cells):
        padded = [cell.ljust(width) for cell, width in zip(row, widths)]
        click.echo("  ".join(padded).rstrip(), file=stream)


def _print_on_terminal(columns: list[str], rows: Sequence[list[str]], stream: IO[str]) -> None:
    from rich.cells import cell_len
    from rich.table import Table

    console = _open(stream)
    lanes = [*zip(columns, *rows)]
    widths = [max(map(cell_len, lane)) for lane in lanes]
    least = [
        min(width, max(SENTENCE, *(cell_len(word) for text in lane for word in text.split())))
        if any(" " in cell for cell in lane[1:])
        else width
        for lane, width in zip(lanes, widths)
    ]
    # rich of EL 9 counts a gap behind the last column as well, and would cut a cell for want of it.
    room = console.width - GAP * len(columns)
    if sum(least) > room:
        _print_blocks(columns, rows, widths, console)
        return
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    for name, width in zip(columns, _share(widths, least, room)):
        table.add_column(name, width=width)
    for row in rows:
        table.add_row(*map(_colour_cell, row))
    console.print(table, soft_wrap=False)


def _share(widths: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """How wide each column is: what it has to be, and of the rest the same for each that wants more."""
    shared = [*least]
    spare = room - sum(least)
    wanting = sorted(range(len(widths)), key=lambda index: widths[index] - least[index])
    for number, index in enumerate(wanting):
        more = min(widths[index] - least[index], spare // (len(wanting) - number))
        shared[index] += more
        spare -= more
    return shared


def _print_blocks(
    columns: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int], console: Console
) -> None:
    """The first columns side by side, as many as fit and at least one; the others by name below each row."""
    from rich.cells import set_cell_size
    from rich.text import Text

    beside, used = 1, widths[0]
    while beside < len(columns) and used + GAP + widths[beside] <= console.width:
        used += GAP + widths[beside]
        beside += 1

    def lay(cells: Iterable[str], style: str = "") -> None:
        line = Text(" " * GAP).join(
            _colour_cell(cell, style, set_cell_size(cell, width)) for cell, width in zip(cells, widths[:beside])
        )
        line.rstrip()
        if line:
            console.print(line)

    lay(columns, "bold")
    for row in rows:
        lay(row)
        # A row without them is about none of those above it.
        indent = " " * GAP if any(row[:beside]) else ""
        for name, cell in zip(columns[beside:], row[beside:]):
            for line in fold(f"{indent}{name}: {cell}" if name else f"{indent}{cell}", console.width) if cell else ():
                console.print(_colour_cell(cell, "", line))


def _open(stream: IO[str]) -> Console:
    from rich.console import Console

    # What is longer than a line and has no place to fold at is left to the terminal, to be copied as one.
    return Console(file=stream, soft_wrap=True, width=measure(stream)[0])


def _colour_cell(cell: str, style: str = "", text: str = "") -> Text:
    """A cell, or the line that it stands on; its verdict is coloured where it is one, and no word of a sentence."""
    return _colour(text or cell, style, [cell] if cell in [verdict.value for verdict in Verdict] else [])


def _colour(text: str, style: str, words: Iterable[str]) -> Text:
    from rich.text import Text

    from liveagent.report.screen import COLOURS

    # Of what tools say `:100:` is no emoji, and `[1]` no markup: a Text is taken as it is.
    made = Text(clean(text), style)
    for word in words:
        made.highlight_regex(rf"\b{word}\b", COLOURS[word.lower()])
    return made
