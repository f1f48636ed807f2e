"""A run that the service was killed in: what it was, and the part of its plan that can go on where it ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from liveagent.bootnote import BootNote
from liveagent.events import JSON, Event, Finding, Type, Verdict, parse_time
from liveagent.host import Host
from liveagent.machine import Machine
from liveagent.options import encode_options
from liveagent.order import BadOrder, Order, decode_order
from liveagent.plan import Plan
from liveagent.report.record import EVENTS, read_events, read_last

# A service that dies again and again over the same job does not try for ever.
TIMES = 3
# Seconds after a run's last sign of life beyond which somebody may have used its disks: more than the watchdog takes.
RECENT = 600.0


@dataclasses.dataclass(frozen=True)
class Begun:
    """A run of the service: what was ordered (None: the boot's plan), and how often it had gone on before.

    `asked`: the options of the task as they were ordered, where the run is itself the rest of another one.
    """

    run: str
    order: Order | None = None
    times: int = 0
    asked: Mapping[str, JSON] | None = None


class UnderWay:
    """`RUNTIME/under-way`: the run that the service carries out, for the service that comes after a killed one."""

    def __init__(self, host: Host, runtime: Path) -> None:
        self._note = BootNote(host, runtime / "under-way")

    def read(self) -> Begun | None:
        """The run that was on when the service ended; None where none was, or where it had been told to end."""
        noted = self._note.read()
        if noted is None:
            return None
        try:
            order = decode_order(noted["order"]) if noted["order"] else None
            asked = dict(noted["asked"]) if noted["asked"] is not None else None
            return Begun(str(noted["run"]), order, int(noted["times"]), asked)
        except (KeyError, TypeError, ValueError, OverflowError, BadOrder):
            return None

    def write(self, begun: Begun) -> None:
        """Raises OSError."""
        order = begun.order.encode() if begun.order else ""
        self._note.write({"run": begun.run, "order": order, "times": begun.times, "asked": begun.asked})

    def clear(self) -> None:
        """It has ended, or was told to: nothing goes on after this."""
        self._note.clear()


@dataclasses.dataclass(frozen=True)
class Broken:
    """The task that a run was broken off in, its options, its parts that had not ended with what each is known by
    again, and when the run was last heard of (seconds since the epoch).
    """

    task: str
    options: Mapping[str, JSON]
    parts: Mapping[str, Mapping[str, JSON]]
    heard: float


def find_broken(directory: Path) -> Broken | None:
    """The task that the run recorded there is in the middle of; None where it is in none."""
    started: dict[str, Event] = {}
    for event in read_events(directory / EVENTS, durable=True):
        if event.type is Type.STEP_STARTED:
            started[event.subject] = event
        elif event.type is Type.STEP_FINISHED:
            started.pop(event.subject, None)
    task = next((subject for subject in started if "/" not in subject), None)
    last = read_last(directory / EVENTS)
    if task is None or last is None:
        return None
    parts = {
        subject.partition("/")[2]: event.data.get("identity") or {}
        for subject, event in started.items()
        if subject.startswith(f"{task}/")
    }
    return Broken(task, started[task].data.get("options") or {}, parts, parse_time(last.time) or 0.0)


class CannotGoOn(Exception):
    """Nothing of the run goes on; the message says why."""


def make_rest(plan: Plan, left: Begun, broken: Broken, machine: Machine, now: float) -> Plan:
    """What of a plan goes on: the task that was broken off, with the parts that it had begun. Raises CannotGoOn.

    What had not begun does not begin now, nothing follows it, and all is counted down once more: nobody confirmed that
    it goes on. It is no pass, since it is not all that was ordered.
    """
    if plan.faults:
        raise CannotGoOn("; ".join(map(str, plan.faults)))
    if left.times >= TIMES:
        raise CannotGoOn(f"it was broken off {left.times + 1} times")
    if not 0 <= now - broken.heard <= RECENT:
        raise CannotGoOn("it was not just now that it was last heard of, and somebody may have used the machine since")
    if plan.settings.deadline:
        raise CannotGoOn("it had a deadline for all of it")
    step = next((step for step in plan.steps if step.task.name == broken.task), None)
    if step is None or encode_options(step.options) != (broken.options if left.asked is None else left.asked):
        raise CannotGoOn("what is asked for now is not what it was")
    rest = step.task.resume(machine, step.options, broken.parts)
    if rest is None:
        raise CannotGoOn(f"{broken.task} cannot go on in the middle")
    later = [one.task.name for one in plan.steps[plan.steps.index(step) + 1 :]]
    notice = f"{broken.task} goes on with {', '.join(rest.parts)}, where run {left.run} was broken off"
    left_out = [*rest.left_out, *later, *([f"then={plan.settings.then}"] if plan.settings.then != "stay" else [])]
    not_done = f"; not done: {', '.join(left_out)}" if left_out else ""
    summary = f"{notice}{not_done}. What became of all else stands in that run"
    return dataclasses.replace(
        plan,
        word=broken.task,
        steps=(dataclasses.replace(step, options=rest.options),),
        settings=dataclasses.replace(plan.settings, then="stay"),
        units=(),
        notices=(*plan.notices, f"{notice}{not_done}"),
        at_boot=True,
        rest_of=left.run,
        findings=(Finding("run.rest", Verdict.WARN, broken.task, summary, {"run": left.run, "left_out": left_out}),),
    )
