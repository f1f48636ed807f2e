"""What there is to see of a run at a moment, made of its events alone: whoever reads them all sees the same.

It stays small however long the run is: the last lines, the last findings, and so many rows. All text in it is
clean: a disk's model or a script's output is never more than letters here.
"""

from __future__ import annotations

import collections
import dataclasses
import re

from liveagent.events import WORST_FIRST, Event, Type, parse_time
from liveagent.report.lines import clean, describe_broken, to_number
from liveagent.report.overview import list_not_measured, list_not_named, list_overview
from liveagent.report.troubles import GOOD, list_done, list_troubles, make_trouble, only_mapping, only_mappings, rank

LINES = 100
FINDINGS = 50
ROWS = 500
TEXT = 400
# The seconds that are left, as a countdown says them.
_COUNTED = re.compile(r"\b(in|another) \d+ s\b")


@dataclasses.dataclass(frozen=True)
class Line:
    """A line below the rows: output of a part, or (without a part) what the agent says itself."""

    text: str
    part: str = ""
    verdict: str = ""


@dataclasses.dataclass
class Row:
    """A part that is worked on: a disk, a stressor. Numbers are None where no event had them."""

    step: str
    name: str
    serial: str = ""
    slot: str = ""
    label: str = ""
    done: float = 0.0
    total: float = 0.0
    unit: str = ""
    rate: float | None = None
    eta: float | None = None
    temperature: float | None = None
    # The worst that was found about it so far; its verdict comes when it has ended.
    found: str = ""
    verdict: str = ""
    summary: str = ""

    @property
    def rank(self) -> int:
        """The worst first, then what moves, then what ended well."""
        worst = self.verdict or self.found
        if worst and worst not in GOOD:
            return rank(worst)
        return len(WORST_FIRST) + bool(self.verdict)

    @property
    def share(self) -> float | None:
        """From 0 to 1; None where the whole is not known."""
        return min(1.0, max(0.0, self.done / self.total)) if self.total > 0 else None


class View:
    """The state of one run. `feed` takes its events in order; a screen is rendered from the rest."""

    def __init__(self) -> None:
        self.run = self.agent = self.image = self.serial = self.product = ""
        self.addresses: tuple[str, ...] = ()
        # Seconds since the epoch by the machine's clock; None where no event said so.
        self.started: float | None = None
        self.finished: float | None = None
        # Each task of the plan: "" is waiting, `running`, or its verdict.
        self.tasks: dict[str, str] = {}
        self.step = ""
        self.rows: dict[str, Row] = {}
        # How many of the step's rows are not held any more, by their verdict ("" while they moved).
        self.forgotten: collections.Counter[str] = collections.Counter()
        self.lines: collections.deque[Line] = collections.deque(maxlen=LINES)
        self.findings: collections.deque[Line] = collections.deque(maxlen=FINDINGS)
        self.verdict = self.summary = ""
        # What to look at when it has ended, the worst first.
        self.troubles: tuple[Line, ...] = ()
        # What went well, by its part.
        self.done: tuple[Line, ...] = ()
        # What the tasks have to say of the machine, as (name, text), and what they did not measure.
        self.overview: tuple[tuple[str, str], ...] = ()
        self.not_measured: tuple[str, ...] = ()
        self.not_named: tuple[str, ...] = ()

    def feed(self, event: Event) -> None:
        """Take the next event; one that people need not see changes nothing, and one that is broken only says so."""
        take = _TAKE.get(event.type)
        if not take:
            return
        try:
            take(self, event)
        except Exception as error:
            # Those behind it in the record are shown all the same.
            self.say(describe_broken(event, error))

    def say(self, text: str) -> None:
        """Take a line of the agent's own that is no event: a countdown, a receiver that does not answer.

        A countdown counts in place. Other figures are news: an address, a disk, a number of tries.
        """
        for line in filter(None, map(cut, text.split("\n"))):
            last = self.lines[-1] if self.lines else None
            if last and not last.part and _COUNTED.sub("", last.text) == _COUNTED.sub("", line):
                self.lines.pop()
            self.lines.append(Line(line))

    def list_rows(self) -> list[Row]:
        """The rows of the step that is on, as they came."""
        return [row for row in self.rows.values() if row.step == self.step]

    def eta(self) -> float | None:
        """How long the step still takes, by its slowest part; None where none of them says."""
        return max((row.eta for row in self.list_rows() if row.eta is not None and not row.verdict), default=None)

    def is_eta_whole(self) -> bool:
        """Whether every part that is not done says how long it takes; else the step may take longer."""
        return all(row.eta is not None or row.verdict for row in self.list_rows())

    def _run_started(self, event: Event) -> None:
        data, machine = event.data, only_mapping(event.data.get("machine"))
        self.run, self.started = cut(event.run), parse_time(event.time)
        self.agent, self.image = cut(data.get("agent")), cut(data.get("image"))
        self.serial = cut(machine.get("serial"))
        self.product = " ".join(cut(machine[name]) for name in ("vendor", "product") if machine.get(name))
        self.addresses = tuple(cut(address) for address in data.get("addresses") or ())
        self.tasks = {cut(task.get("task")): "" for task in only_mappings(only_mapping(data.get("plan")).get("tasks"))}

    def _step_started(self, event: Event) -> None:
        step, part = _split(event.subject)
        if not part:
            self.step = step
            self.forgotten.clear()
            self.tasks[step] = "running"
            return
        options = only_mapping(event.data.get("options"))
        row = self._row(event.subject)
        row.serial, row.label = cut(options.get("serial")), cut(options.get("technique"))

    def _step_finished(self, event: Event) -> None:
        step, part = _split(event.subject)
        verdict, data = cut(event.data.get("verdict")), only_mapping(event.data.get("data"))
        if not part:
            self.tasks[step] = verdict
            if event.subject not in self.rows:
                return
        row = self._row(event.subject)
        row.verdict, row.summary = verdict, cut(event.data.get("summary"))
        row.serial = row.serial or cut(data.get("serial"))
        row.slot = cut(data.get("slot"))

    def _progress(self, event: Event) -> None:
        data, row = event.data, self._row(event.subject)
        row.label, row.unit = cut(data.get("label")), cut(data.get("unit"))
        row.done, row.total = to_number(data.get("done")) or 0.0, to_number(data.get("total")) or 0.0
        row.rate, row.eta = to_number(data.get("rate")), to_number(data.get("eta"))
        row.temperature = to_number(data.get("temperature"))

    def _output(self, event: Event) -> None:
        step, part = _split(event.subject)
        self.lines.append(Line(cut(event.data.get("line")), part or step))

    def _finding(self, event: Event) -> None:
        verdict = cut(event.data.get("verdict"))
        line = Line(cut(make_trouble(event.data, {}).text), verdict=verdict)
        row = self.rows.get(event.subject)
        if row and verdict not in GOOD and rank(verdict) <= rank(row.found):
            row.found = verdict
        (self.lines if verdict in GOOD else self.findings).append(line)

    def _run_finished(self, event: Event) -> None:
        self.finished = parse_time(event.time)
        self.verdict, self.summary = cut(event.data.get("verdict")), cut(event.data.get("summary"))
        troubles = list_troubles(event.data)[:ROWS]
        self.troubles = tuple(Line(cut(one.text), verdict=cut(one.verdict)) for one in troubles)
        self.done = tuple(Line(cut(one.text), verdict="pass") for one in list_done(event.data)[:ROWS])
        # Of a record that was thinned or broken off the last event alone may have said it.
        self.serial = self.serial or cut(only_mapping(event.data.get("machine")).get("serial"))
        tasks = only_mappings(event.data.get("tasks"))
        self.overview = tuple((cut(name), cut(text)) for task in tasks for name, text in list_overview(task)[:FINDINGS])
        self.not_measured = tuple(cut(text) for task in tasks for text in list_not_measured(task)[:FINDINGS])
        self.not_named = tuple(cut(text) for task in tasks for text in list_not_named(task)[:FINDINGS])
        self.tasks.update((cut(task.get("task")), cut(task.get("verdict"))) for task in tasks)

    def _row(self, subject: str) -> Row:
        if subject not in self.rows:
            if len(self.rows) >= ROWS:
                self._forget()
            step, part = _split(subject)
            self.rows[subject] = Row(step, part or step)
        return self.rows[subject]

    def _forget(self) -> None:
        """Let a row go: of a step that is over, else what ended well, else what moves; the oldest of them."""
        key, row = max(self.rows.items(), key=lambda item: (item[1].step != self.step, item[1].rank))
        del self.rows[key]
        if row.step == self.step:
            self.forgotten[row.verdict] += 1


_TAKE = {
    Type.RUN_STARTED: View._run_started,
    Type.RUN_FINISHED: View._run_finished,
    Type.STEP_STARTED: View._step_started,
    Type.STEP_FINISHED: View._step_finished,
    Type.PROGRESS: View._progress,
    Type.OUTPUT: View._output,
    Type.FINDING: View._finding,
}


def choose_rows(rows: list[Row], room: int) -> list[Row]:
    """All where there is room; else what ended badly, then what moves, then the rest, each as it came."""
    return rows if len(rows) <= room else sorted(rows, key=lambda row: row.rank)[: max(0, room)]


def cut(value: object) -> str:
    """A text that is fit to be shown; "" for None. Nobody looks at more than so much of it."""
    return "" if value is None else clean(str(value)[:TEXT]).replace("\t", "    ")


def _split(subject: str) -> tuple[str, str]:
    step, _, part = cut(subject).partition("/")
    return step, part
