"""What will be done: a Request becomes a Plan, or every fault of it at once. Nothing runs here."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from liveagent.boot import BY_HAND, CMDLINE, Request
from liveagent.cmdline import CUT_AT
from liveagent.events import JSON, Finding
from liveagent.options import Fault, Setting, encode_options, parse_options, render_names, suggest
from liveagent.settings import AgentSettings, parse_settings
from liveagent.tasks import NAME, Registry, Task, Unusable

UNKNOWN_WORD = "plan.word.unknown"


@dataclasses.dataclass(frozen=True)
class Step:
    """One task with its options, typed."""

    task: Task
    options: Any

    def encode(self) -> dict[str, JSON]:
        return {"task": self.task.name, "options": encode_options(self.options)}


@dataclasses.dataclass(frozen=True)
class Plan:
    """The steps in order. Where there is a fault, nothing of it runs. `at_boot`: nobody sits there to confirm.

    `rest_of`: the run that was broken off, of which these are the rest. `findings` are known before it begins.
    """

    word: str
    steps: tuple[Step, ...]
    settings: AgentSettings
    faults: tuple[Fault, ...] = ()
    notices: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    at_boot: bool = True
    rest_of: str = ""
    findings: tuple[Finding, ...] = ()

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do and nothing wrong."""
        return not self.steps and not self.faults

    @property
    def is_destructive(self) -> bool:
        return any(step.task.destructive for step in self.steps)

    def encode(self) -> dict[str, JSON]:
        return {
            "speediso": self.word,
            "tasks": [step.encode() for step in self.steps],
            "faults": [dataclasses.asdict(fault) for fault in self.faults],
            "units": list(self.units),
            "then": self.settings.then,
            "notices": list(self.notices),
            "rest_of": self.rest_of,
        }


def make_plan(request: Request, registry: Registry, at_boot: bool = True) -> Plan:
    """The plan of a request; `at_boot` where nobody confirms it."""
    settings, faults = parse_settings(request.agent)
    found = [*request.faults, *faults]
    word = request.word.value if request.word else ""
    origin = request.word.origin if request.word else ""
    steps: list[Step] = []
    units: list[str] = []
    names = [part.strip() for part in word.split(",")] if word else []
    # Two steps of one name could not be told apart in the record, and share their options anyway.
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        found.append(Fault("plan.word.twice", origin, f"SPEEDISO: {render_names(twice)} is named twice"))
    for name in dict.fromkeys(names):
        task = registry.find(name)
        if isinstance(task, Task):
            step, step_faults = make_step(task, request.sections.get(name, {}))
            steps.append(step)
            found += step_faults
        elif isinstance(task, Unusable):
            found.append(Fault("plan.task.unusable", origin, f"{name} cannot be run: {task.reason}"))
        elif registry.operator_unit(name):
            units.append(name)
        else:
            found.append(_unknown(name, origin, registry))
    found += _stray_sections(request.sections, [step.task.name for step in steps], registry)
    plan = Plan(word, tuple(steps), settings, (), request.notices, tuple(units), at_boot)
    found += check_safety(plan, request)
    return dataclasses.replace(plan, faults=tuple(found))


def make_step(task: Task, settings: Mapping[str, Setting]) -> tuple[Step, list[Fault]]:
    parsed: Any = parse_options(task.Options, settings, f"liveagent.{task.name}.")
    faults = list(parsed.faults)
    if not faults:
        origins = sorted({setting.origin for setting in settings.values()})
        where = ", ".join(origins) or task.name
        faults = [Fault("plan.option.conflict", where, message) for message in task.faults(parsed.options)]
    return Step(task, parsed.options), faults


def check_safety(plan: Plan, request: Request) -> list[Fault]:
    """What keeps a boot from doing harm, as far as words alone can tell."""
    if not plan.is_destructive:
        return []
    faults: list[Fault] = []
    policy, settings = request.policy.destructive, plan.settings
    names = render_names([step.task.name for step in plan.steps if step.task.destructive])
    if policy == "never":
        message = f"{names} is destructive, and [agent] destructive = never"
        faults.append(Fault("plan.policy.never", "/etc/liveagent", message))
    if settings.then == "poweroff" and not settings.callbacks:
        message = f"poweroff after {names} would lose the evidence: name a receiver (liveagent.callback=URL)"
        faults.append(Fault("plan.then.poweroff", _origin(request, "then"), message))
    return faults + (_check_boot(plan, request, names) if plan.at_boot else [])


def _check_boot(plan: Plan, request: Request, names: str) -> list[Fault]:
    faults: list[Fault] = []
    policy, settings = request.policy.destructive, plan.settings
    if request.cut:
        message = f"{CUT_AT} bytes or more, so the kernel may have cut it: {names} does not run from such a line"
        faults.append(Fault("plan.cmdline.cut", CMDLINE, message))
    if settings.then == "reboot":
        message = f"reboot after {names}: the next boot would do it again"
        faults.append(Fault("plan.then.reboot", _origin(request, "then"), message))
    if policy == "serial" and not settings.expect_serial:
        message = f"{names} at boot needs liveagent.expect_serial=SERIAL ([agent] destructive = serial)"
        faults.append(Fault("plan.policy.serial", "/etc/liveagent", message))
    if policy == "signed" and not request.signed:
        message = f"{names} at boot needs a signed config document ([agent] destructive = signed)"
        faults.append(Fault("plan.policy.signed", "/etc/liveagent", message))
    return faults


def _origin(request: Request, name: str) -> str:
    return request.agent[name].origin if name in request.agent else "defaults"


def _unknown(name: str, origin: str, registry: Registry) -> Fault:
    known = registry.names()
    shown = name if NAME.fullmatch(name) else ascii(name)
    word = "" if origin == BY_HAND else "SPEEDISO: "
    message = f"{word}there is no task {shown}{suggest(name, known)}; known: {render_names(known)}"
    return Fault(UNKNOWN_WORD, origin, message)


def _stray_sections(
    sections: Mapping[str, Mapping[str, Setting]], planned: Sequence[str], registry: Registry
) -> list[Fault]:
    """Options of a task that does not exist: most likely a misspelt name, whose task would run without them."""
    faults = []
    for section, settings in sections.items():
        if section == "agent" or section in planned or not settings or registry.find(section):
            continue
        if registry.operator_unit(section):
            continue
        origin = next(iter(settings.values())).origin
        message = f"liveagent.{section}.{next(iter(settings))}: there is no task {section}{suggest(section, planned)}"
        faults.append(Fault("plan.option.task", origin, message))
    return faults
