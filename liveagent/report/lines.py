"""Events as lines of plain text, for consoles, serial lines, pipes and logs. Nothing here touches the machine."""

from __future__ import annotations

import math
import re
import textwrap
import time
from collections.abc import Mapping
from typing import Any, Callable

from liveagent.events import Event, Type
from liveagent.report.banner import render_banner
from liveagent.report.overview import render_not_measured, render_overview
from liveagent.report.troubles import find_slots, list_done, make_trouble, only_mapping, only_mappings

WIDTH = 79
COMMAND, NO_BREAK = re.compile(r"`[^`]*`"), "\N{NO-BREAK SPACE}"
# At most one line of progress a second a part.
PROGRESS_EVERY = 1.0
# Of what went well so many parts are named at the end; the rest is counted, and the report names them all.
DONE = 6
ADVICE = {
    "fail": "It did not pass: look at what is named above.",
    "error": "The agent or a tool failed, or the request was wrong: see above. Nothing is proved about the machine.",
    "refused": "A guard held, so the job is not done: see the reasons above.",
    "unknown": "Something was begun and could not be confirmed: treat it as not done.",
    "cancelled": "Stopped on request: only what passed is done.",
    "warn": "Done, with something to look at: see above.",
}


class Lines:
    """Renders events to lines, with at most one progress line a second a part, and none where nothing has moved."""

    def __init__(self, every: float = PROGRESS_EVERY, clock: Callable[[], float] = time.monotonic) -> None:
        self._every = every
        self._clock = clock
        # Of each part when, and what, apart from its rate: that changes also where nothing moves.
        self._shown: dict[str, tuple[float, str]] = {}

    def render(self, event: Event) -> list[str]:
        """The lines of an event; none for one that people need not see. One that is broken says so, and no more."""
        render = self._progress if event.type is Type.PROGRESS else _RENDER.get(event.type)
        try:
            texts = render(event) if render else []
        except Exception as error:  # those behind it in the record are shown all the same
            texts = [describe_broken(event, error)]
        # Names and messages are the hardware's and the tools' own: they may hold anything, also more lines.
        return [clean(line) for text in texts for line in text.split("\n")]

    def _progress(self, event: Event) -> list[str]:
        now, state = self._clock(), render_progress(event.subject, {**event.data, "rate": None})
        at, shown = self._shown.get(event.subject, (float("-inf"), ""))
        if now - at < self._every or state == shown:
            return []
        self._shown[event.subject] = now, state
        line = clean(render_progress(event.subject, event.data))
        if len(line) > WIDTH:
            line = clean(render_progress(event.subject, event.data, amounts=False))
        return [line[:WIDTH]]


def render_progress(subject: str, data: Mapping[str, Any], amounts: bool = True) -> str:
    """`wipe/sda  overwrite  42%  1.2 GB of 4.0 GB  180 MB/s  2m 10s left`."""
    done, total = to_number(data.get("done")) or 0.0, to_number(data.get("total")) or 0.0
    words = [subject, str(data.get("label") or "")]
    if total > 0:
        # Rounded down: 100% is the end, and nothing before it.
        words.append(f"{min(100, int(100 * done / total))}%")
    if amounts and data.get("unit") == "bytes":
        words.append(f"{render_bytes(done)} of {render_bytes(total)}")
    return "  ".join(word for word in (*words, *render_pace(data)) if word)


def render_pace(data: Mapping[str, Any]) -> list[str]:
    """`180 MB/s` and `2m 10s left`, as far as they are known."""
    words = []
    rate, eta = to_number(data.get("rate")), to_number(data.get("eta"))
    if rate is not None:
        words.append(render_rate(rate, str(data.get("unit"))))
    if eta is not None:
        words.append(f"{render_duration(eta)} left")
    return words


def render_rate(rate: float, unit: str) -> str:
    """`180 MB/s`, `7,000,000 IO/s`, `0.25 passes/s`."""
    number = f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"
    return f"{render_bytes(rate)}/s" if unit == "bytes" else f"{number} {unit}/s"


def render_bytes(number: float) -> str:
    """Decimal units, as on a disk's label: `512 B`, `64.0 MB`, `3.84 TB`."""
    units = iter(("B", "kB", "MB", "GB", "TB"))
    unit = next(units)
    # What would be rounded to 1000 is the next unit already.
    while abs(number) >= 999.5 and unit != "TB":
        number, unit = number / 1000, next(units)
    digits = 0 if unit == "B" or abs(number) >= 99.95 else 1 if abs(number) >= 9.995 else 2
    return f"{number:.{digits}f} {unit}"


def render_memory(number: float) -> str:
    """Binary units, as memory is sold: `384 GiB`, `1.5 TiB`."""
    for unit, size in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if number >= size:
            return f"{number / size:.4g} {unit}"
    return f"{number:g} B"


def render_duration(seconds: float) -> str:
    """`45s`, `2m 10s`, `3h 5m`, `2d 4h`."""
    whole = int(round(seconds))
    for unit, size, small, small_size in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size}{unit} {whole % size // small_size}{small}"
    return f"{whole}s"


def _run_started(event: Event) -> list[str]:
    plan, machine = only_mapping(event.data.get("plan")), only_mapping(event.data.get("machine"))
    names = ", ".join(str(task.get("task")) for task in only_mappings(plan.get("tasks"))) or "nothing to run"
    who = " ".join(str(machine[key]) for key in ("vendor", "product", "serial") if machine.get(key))
    return [*fold(f"liveagent {event.data.get('agent', '')}: run {event.run}: {names}"), *([who] if who else [])]


def _step_started(event: Event) -> list[str]:
    options = only_mapping(event.data.get("options"))
    shown = [
        f"{name}={','.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in options.items()
        if value not in ("", [], None, False)
    ]
    return fold(" ".join([f"{event.subject}: started", *shown]))


def _step_finished(event: Event) -> list[str]:
    return [f"{event.subject}: {str(event.data.get('verdict')).upper()}: {event.data.get('summary')}"]


def _finding(event: Event) -> list[str]:
    return [f"{make_trouble(event.data, {})} [{event.data.get('code')}]"]


def _output(event: Event) -> list[str]:
    return [f"{event.subject}| {event.data.get('line', '')}"]


def _run_finished(event: Event) -> list[str]:
    """The parts first: on a console of 24 lines the verdict has to be what is left on it."""
    data, lines = event.data, [""]
    slots = find_slots(data)
    for task in only_mappings(data.get("tasks")):
        lines.append(f"{task.get('task')}: {str(task.get('verdict')).upper()}: {task.get('summary')}")
        lines += [f"  {line}" for line in render_overview(task, WIDTH - 2)]
        done = list_done({"tasks": [task]})
        lines += [f"  PASS: {part.text}" for part in done[:DONE]]
        lines += [f"  PASS: {len(done) - DONE} more"] if len(done) > DONE else []
        lines += [f"  {make_trouble(finding, slots)}" for finding in only_mappings(task.get("findings"))]
        lines += [f"  {line}" for line in render_not_measured(task, WIDTH - 2)]
    lines += [f"  {make_trouble(finding, slots)}" for finding in only_mappings(data.get("findings"))]
    verdict, serial = str(data.get("verdict")), only_mapping(data.get("machine")).get("serial")
    lines += ["", *render_banner(verdict), "", f"run {event.run}" + (f" on {serial}" if serial else "")]
    return lines + fold(ADVICE.get(verdict, ""))


def fold(text: str, width: int = WIDTH) -> list[str]:
    """Our own words within the width of a serial console; what tools say is left as it is, to be searched for.

    A command in `…` stands on one line, to be copied.
    """
    indent = " " * min(len(text) - len(text.lstrip()) + 2, width // 4)
    whole = COMMAND.sub(lambda found: found[0].replace(" ", NO_BREAK), text)
    lines = textwrap.wrap(
        whole, max(20, width), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return [line.replace(NO_BREAK, " ") for line in lines]


def describe_broken(event: Event, error: Exception) -> str:
    """What stands in the place of an event that cannot be shown."""
    subject = f" of {event.subject}" if event.subject else ""
    return f"event {event.sequence}{subject} cannot be shown ({type(error).__name__}: {error}); the run's record has it"


def to_number(value: object) -> float | None:
    """A figure to count with; None for what is none, or larger than anything that is measured."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def clean(text: str) -> str:
    """Text without what would move a terminal's cursor or change its state."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() or character == "\t" else "?" for character in text)


def clean_lines(text: str) -> str:
    """The same for what may be of several lines."""
    return "\n".join(map(clean, text.split("\n")))


_RENDER: Mapping[Type, Callable[[Event], list[str]]] = {
    Type.RUN_STARTED: _run_started,
    Type.RUN_FINISHED: _run_finished,
    Type.STEP_STARTED: _step_started,
    Type.STEP_FINISHED: _step_finished,
    Type.FINDING: _finding,
    Type.OUTPUT: _output,
}
