"""A view as a screen of so many columns and rows: rich renders it, nothing here touches a terminal.

Whatever the size, a serial stays whole: bars, rates and labels give way first. A verdict is a word in a colour,
never a colour alone.
"""

from __future__ import annotations

import collections
import textwrap
from collections.abc import Iterable, Mapping, Sequence

from rich.cells import cell_len, set_cell_size
from rich.console import Group
from rich.text import Text

from liveagent.report.banner import render_banner
from liveagent.report.lines import ADVICE, fold, render_duration, render_rate
from liveagent.report.overview import fold_not_measured, fold_overview
from liveagent.report.troubles import name_finding
from liveagent.report.view import Line, Row, View, choose_rows

COLOURS = {
    "pass": "green",
    "warn": "yellow",
    "fail": "bold red",
    "error": "red",
    "refused": "magenta",
    "unknown": "magenta",
    "cancelled": "yellow",
    "skipped": "dim",
    "running": "bold",
}
FULL, EMPTY, RULE, MORE = "█", "░", "─", "…"
# Columns: the least and the most of a bar, the least of a label, the most of a name, and what is always as wide.
BAR, BAR_MOST, LABEL, LABEL_MOST, NAME = 6, 40, 6, 25, 16
PERCENT, VERDICT = 4, 9
# These give way in this order where there is no room: `9.99 MB/s`, `104°C`, `23h 59m left`.
OPTIONAL = {"rate": 9, "temperature": 5, "left": 12}
LEFT = " left"
WIDE = 100
# From here on there is room for letters of twice the size.
TALL = 40


def render(view: View, width: int, height: int, now: float, hint: str = "") -> Group:
    """The screen: at most `height` lines of at most `width` columns. `now` is in seconds since the epoch."""
    head = _render_head(view, width, now) if view.run else [Text("the service looks at this machine …"), _rule(width)]
    foot = _render_foot(hint, width)[-height:]
    room = max(0, height - len(head))
    if view.verdict:
        body = _render_end(view, width, room)
        # What came out of it is more than the hint.
        foot = foot if len(body) + len(foot) <= room else []
    else:
        body = _render_running(view, width, max(0, room - len(foot)))
    lines = [*head, *body]
    if foot:
        lines = lines[: height - len(foot)]
        lines += [Text()] * (height - len(foot) - len(lines)) + foot
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return Group(*lines[:height])


def _render_foot(hint: str, width: int) -> list[Text]:
    """The hint on one line, or each half of it on its own: a command in it has to stay whole."""
    lines = [hint] if cell_len(hint) <= width else hint.replace("; ", ";\n").split("\n")
    return [Text(line, "dim") for line in lines if line]


# -- the head ---------------------------------------------------------------------------------------


def _render_head(view: View, width: int, now: float) -> list[Text]:
    build = " ".join(word for word in (f"liveagent {view.agent}", view.image and f"  {view.image}") if word)
    serial = Text.assemble("serial ", (view.serial or "unknown", "bold"))
    place = [_spread(Text(view.product), Text(", ".join(view.addresses)), width)]
    return [
        _spread(Text(build), serial, width),
        *(place if view.product or view.addresses else []),
        _spread(Text(f"run {view.run}"), Text(_render_clock(view, now)), width),
        _render_steps(view.tasks, width),
        _rule(width),
    ]


def _render_steps(tasks: Mapping[str, str], width: int) -> Text:
    """Where not all fit: those that are over give way, the first of them first, to the one that runs."""
    steps = [_render_step(name, state) for name, state in tasks.items()]
    over = next((number for number, state in enumerate(tasks.values()) if state in ("", "running")), 0)
    for number in range(over + 1):
        line = Text(" > ").join([*([Text(MORE)] if number else []), *steps[number:]])
        if line.cell_len <= width:
            break
    return line


def _render_step(name: str, state: str) -> Text:
    word = state if state == "running" else state.upper() or "waiting"
    return Text.assemble(f"{name} ", (word, COLOURS.get(state, "dim")))


def _render_clock(view: View, now: float) -> str:
    if view.started is None:
        return ""
    passed = render_duration(max(0.0, (view.finished or now) - view.started))
    if view.verdict:
        return f"took {passed}"
    eta = view.eta()
    least = "" if view.is_eta_whole() else "at least "
    return f"{passed} elapsed" + (f", {least}{render_duration(eta)} left" if eta is not None else "")


# -- while it runs ----------------------------------------------------------------------------------


def _render_running(view: View, width: int, height: int) -> list[Text]:
    """The rows, what was found below them, and the last lines of output at the bottom."""
    found = [*view.findings][-max(1, height // 6) :]
    # A quarter is for what is said, and a line for the rule.
    said = max(2, height // 4)
    rows = _render_rows(view, width, max(2, height - said - len(found) - 1))
    top = [*rows, *([_rule(width)] if rows else [])]
    top += _render_findings(found, width, height - said - len(top))
    return [*top, *_render_tail(view.lines, width, height - len(top))]


def _render_findings(found: Sequence[Line], width: int, room: int) -> list[Text]:
    """A line each, and on as many lines as they need where there is room, the newest first."""
    spare = room - len(found)
    made: list[Text] = []
    for line in reversed(found):
        folded = _fold_line(line, width, name_finding(line.verdict))
        if len(folded) - 1 > spare:
            folded = [_render_line(line)]
        spare -= len(folded) - 1
        made = folded + made
    return made


def _render_rows(view: View, width: int, room: int) -> list[Text]:
    rows = view.list_rows()
    too_many = len(rows) > room or bool(view.forgotten)
    shown = choose_rows(rows, room - too_many)
    columns = Columns(rows, width)
    made = {id(row): [columns.render(row)] for row in shown}
    # How a part ended is told on as many lines as are free, the worst first.
    spare = room - too_many - len(shown)
    for row in sorted(shown, key=lambda row: row.rank):
        folded = columns.fold(row, width)
        if len(folded) - 1 <= spare:
            spare -= len(folded) - 1
            made[id(row)] = folded
    lines = [line for row in shown for line in made[id(row)]]
    if too_many:
        kept = {id(row) for row in shown}
        lines.append(Text(_render_more([row for row in rows if id(row) not in kept], view.forgotten), "dim"))
    return lines


def _render_more(hidden: Iterable[Row], forgotten: Mapping[str, int]) -> str:
    """`and 12 more: 9 running, 3 PASS`."""
    counts = collections.Counter(row.verdict for row in hidden)
    counts.update(forgotten)
    verdicts = sorted(counts, key=lambda verdict: Row("", "", verdict=verdict).rank)
    states = ", ".join(f"{counts[verdict]} {verdict.upper() or 'running'}" for verdict in verdicts)
    return f"and {sum(counts.values())} more: {states}"


def _render_tail(lines: Sequence[Line], width: int, room: int) -> list[Text]:
    """The last lines that fit; what the agent says or found is folded, since its end matters as well."""
    tail: list[Text] = []
    for line in reversed(lines):
        if len(tail) >= room:
            break
        if line.verdict:
            folded = _fold_line(line, width, name_finding(line.verdict))
        elif line.part:
            folded = [_render_line(line)]
        else:
            folded = [Text(text, "bold") for text in fold(line.text, width)]
        tail = folded + tail
    return tail[max(0, len(tail) - room) :]


def _render_line(line: Line) -> Text:
    if line.verdict:
        return Text.assemble((name_finding(line.verdict), COLOURS.get(line.verdict, "")), f": {line.text}")
    return Text.assemble((f"{line.part}| ", "dim"), line.text)


class Columns:
    """How wide each column is: one measure for all rows, shown or not, so that nothing jumps."""

    def __init__(self, rows: Sequence[Row], width: int) -> None:
        self.gap = 2 if width >= WIDE else 1
        self.name = min(NAME, max((cell_len(row.name) for row in rows), default=0))
        self.serial = max((cell_len(row.serial) for row in rows), default=0)
        has = {
            "rate": any(row.rate is not None for row in rows),
            "temperature": any(row.temperature is not None for row in rows),
            "left": any(row.eta is not None for row in rows),
        }
        self.optional = {name: size for name, size in OPTIONAL.items() if has[name]}
        wanted = min(LABEL_MOST, max((self._label(row).cell_len for row in rows), default=0))
        self.left = LEFT
        if self._spare(width) < wanted + self.gap + BAR and "left" in self.optional:
            # The head says what these figures are.
            self.left = ""
            self.optional["left"] -= len(LEFT)
        while self._spare(width) < LABEL + self.gap + BAR and self.optional:
            del self.optional[next(iter(self.optional))]
        spare = self._spare(width)
        self.label = max(0, min(max(LABEL, wanted), spare - self.gap - BAR))
        self.bar = min(BAR_MOST, spare - self.gap - self.label)
        if self.bar < BAR:
            self.label, self.bar = max(0, spare), 0

    def _spare(self, width: int) -> int:
        """What is left for label and bar."""
        fixed = [self.name, *([self.serial] if self.serial else []), PERCENT, *self.optional.values()]
        return width - sum(fixed) - self.gap * len(fixed)

    def fold(self, row: Row, width: int) -> list[Text]:
        """A row that has ended, on as many lines as its summary needs, beside the column of names; others on one."""
        line = self.render(row)
        if not row.verdict or line.cell_len <= width:
            return [line]
        used = len(line) - len(row.summary)
        first, *rest = _wrap(row.summary, width, used, min(self.name + self.gap, used)) or [""]
        return [line[:used].append(first[used:]), *map(Text, rest)]

    def render(self, row: Row) -> Text:
        who = [_cell(row.name, self.name), *([_cell(row.serial, self.serial)] if self.serial else [])]
        if row.verdict:
            verdict = Text(_cell(row.verdict.upper(), VERDICT), COLOURS.get(row.verdict, ""))
            return self._join([*who, verdict, row.summary])
        share = row.share
        size = self.label + self.gap + (self.bar + self.gap if self.bar else 0) + PERCENT
        work: list[str | Text] = [_set_size(self._label(row), size)]
        if share is not None:
            # Rounded down: 100% is the end, and nothing before it.
            full = int(share * self.bar)
            bar = [FULL * full + EMPTY * (self.bar - full)] if self.bar else []
            work = [_set_size(self._label(row), self.label), *bar, f"{int(100 * share)}%".rjust(PERCENT)]
        cells = {
            "rate": "" if row.rate is None else render_rate(row.rate, row.unit),
            "temperature": "" if row.temperature is None else f"{row.temperature:.0f}°C",
            "left": "" if row.eta is None else render_duration(row.eta) + self.left,
        }
        return self._join(
            [*who, *work, *(_cell(cells[name].rjust(size), size) for name, size in self.optional.items())]
        )

    def _label(self, row: Row) -> Text:
        found = [Text(row.found.upper(), COLOURS.get(row.found, ""))] if row.found else []
        return Text(" ").join([*found, Text(row.label)])

    def _join(self, cells: Iterable[str | Text]) -> Text:
        return Text(" " * self.gap).join(cell if isinstance(cell, Text) else Text(cell) for cell in cells)


# -- at the end -------------------------------------------------------------------------------------


def _render_end(view: View, width: int, height: int) -> list[Text]:
    """The verdict in letters for the aisle, what it is about, and what to do."""
    style = COLOURS.get(view.verdict, "")
    scale = 2 if height >= TALL else 1
    rows = ["".join(mark * scale for mark in row) for row in render_banner(view.verdict) for _ in range(scale)]
    top = [Text(), *(Text(f"  {row}", style) for row in rows), Text()]
    todo = fold(ADVICE.get(view.verdict, ""), width)
    bottom = [Text(), *(Text(line, "bold") for line in todo)] if todo else []
    room = height - len(top) - len(bottom)
    # Where nothing is wrong, in short what was done; then each part, so that nobody has to wonder which it was.
    about = [] if view.troubles else [Text(line) for line in fold(view.summary, width)][: max(0, room)]
    parts = [*view.troubles, *view.done]
    for number, part in enumerate(parts):
        lines = _fold_line(part, width)
        left = len(parts) - number
        if len(about) + len(lines) + (left > 1) > room:
            about += [Text(f"and {left} more", "dim")][: max(0, room - len(about))]
            break
        about += lines
    # Whoever named one disk of three wants to read of the others what was not done.
    others = fold(f"left alone, not named: {', '.join(view.not_named)}", width) if view.not_named else []
    about += [Text(line) for line in others] if len(about) + len(others) <= room else []
    about += _render_machine(view, width, room - len(about)) or _render_last(view, width, room - len(about))
    return [*top, *about, *bottom]


def _render_last(view: View, width: int, room: int) -> list[Text]:
    """What a task that has nothing to show for itself said last: an operator's script, and why it failed."""
    lines = [line for line in view.lines if line.part] if not view.done else []
    return [Text(), *_render_tail(lines, width, room - 1)] if lines and room > 1 else []


def _render_machine(view: View, width: int, room: int) -> list[Text]:
    """What the machine is, as far as there is room below what is wrong with it."""
    lines = [*fold_overview(view.overview, width), *fold_not_measured(view.not_measured, width)]
    return [Text(), *(Text(line) for line in lines[: room - 1])] if lines and room > 1 else []


def _fold_line(line: Line, width: int, name: str = "") -> list[Text]:
    name = name or line.verdict.upper()
    first, *rest = fold(f"{name}: {line.text}", width) or [""]
    head = Text(first)
    head.stylize(COLOURS.get(line.verdict, ""), 0, len(name))
    return [head, *(Text(text) for text in rest)]


# -- lines ------------------------------------------------------------------------------------------


def _rule(width: int) -> Text:
    return Text(RULE * width, "dim")


def _spread(left: Text, right: Text, width: int) -> Text:
    """One at each side; where both do not fit, the left one is cut."""
    left.truncate(max(0, width - right.cell_len - 2), overflow="ellipsis")
    return Text.assemble(left, " " * max(0, width - left.cell_len - right.cell_len), right)


def _wrap(text: str, width: int, first: int, indent: int) -> list[str]:
    """The text beside `first` columns that are taken, or below them where not even a word fits, and `indent` after."""

    def wrap(taken: int) -> list[str]:
        return textwrap.wrap(
            text,
            max(1, width),
            initial_indent=" " * taken,
            subsequent_indent=" " * indent,
            break_long_words=False,
            break_on_hyphens=False,
        )

    lines = wrap(first)
    return lines if not lines or len(lines[0]) <= width else ["", *wrap(indent)]


def _set_size(text: Text, width: int) -> Text:
    """The same for what has colours."""
    text.truncate(width, overflow="ellipsis", pad=True)
    return text


def _cell(text: str, width: int) -> str:
    """The text in exactly so many columns."""
    return set_cell_size(text, width) if cell_len(text) <= width else set_cell_size(text, max(0, width - 1)) + MORE
