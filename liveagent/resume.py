"""A run that the service was killed in: what it was, and the part of its plan that can go on where it ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from liveagent.bootnote import BootNote
from liveagent.events import JSON, Type
from liveagent.host import Host
from liveagent.options import encode_options
from liveagent.order import BadOrder, Order, decode_order
from liveagent.plan import Plan
from liveagent.report.record import EVENTS, read_events

# A service that dies again and again over the same job does not try for ever.
TIMES = 3


@dataclasses.dataclass(frozen=True)
class Begun:
    """A run of the service: what was ordered (None: the boot's plan), and how often it had gone on before."""

    run: str
    order: Order | None = None
    times: int = 0


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
            return Begun(str(noted["run"]), order, int(noted["times"]))
        except (KeyError, TypeError, ValueError, BadOrder):
            return None

    def write(self, begun: Begun) -> None:
        """Raises OSError."""
        order = begun.order.encode() if begun.order else ""
        self._note.write({"run": begun.run, "order": order, "times": begun.times})

    def clear(self) -> None:
        """It has ended, or was told to: nothing goes on after this."""
        self._note.clear()


@dataclasses.dataclass(frozen=True)
class Open:
    """The task that a run was broken off in, and what it was started with; so too its parts that had not ended."""

    task: str
    options: Mapping[str, JSON]
    parts: Mapping[str, Mapping[str, JSON]]


def find_open(directory: Path) -> Open | None:
    """The task that the run recorded there is in the middle of; None where it is in none."""
    begun: dict[str, Mapping[str, JSON]] = {}
    for event in read_events(directory / EVENTS):
        if event.type is Type.STEP_STARTED:
            begun[event.subject] = event.data.get("options") or {}
        elif event.type is Type.STEP_FINISHED:
            begun.pop(event.subject, None)
    task = next((subject for subject in begun if "/" not in subject), None)
    if task is None:
        return None
    parts = {name.partition("/")[2]: data for name, data in begun.items() if name.startswith(f"{task}/")}
    return Open(task, begun[task], parts)


class CannotGoOn(Exception):
    """Nothing of the run goes on; the message says why."""


def make_rest(plan: Plan, left: Begun, broken: Open) -> Plan:
    """What of a plan goes on: the task that was broken off, with the parts that it had begun. Raises CannotGoOn.

    What had not begun does not begin now, and all is counted down once more: nobody confirmed that it goes on.
    """
    if plan.faults:
        raise CannotGoOn("; ".join(map(str, plan.faults)))
    if left.times >= TIMES:
        raise CannotGoOn(f"it was broken off {left.times + 1} times")
    step = next((step for step in plan.steps if step.task.name == broken.task), None)
    if step is None or encode_options(step.options) != broken.options:
        raise CannotGoOn("what is asked for now is not what it was")
    options = step.task.resume(step.options, broken.parts)
    if options is None:
        raise CannotGoOn(f"{broken.task} cannot go on in the middle")
    notice = f"{broken.task} goes on with {', '.join(broken.parts)}, where run {left.run} was broken off"
    return dataclasses.replace(
        plan,
        word=broken.task,
        steps=(dataclasses.replace(step, options=options),),
        units=(),
        notices=(*plan.notices, notice),
        at_boot=True,
    )
