"""Runs whose agent was killed in the middle: what is known of them is said and reported."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from liveagent import __version__
from liveagent.engine import finish
from liveagent.events import Event, Finding, Result, TaskResult, Type, Verdict, make_source, render_time
from liveagent.lock import Lock
from liveagent.machine import Machine
from liveagent.places import Places
from liveagent.report import Delivery, note_receivers, read_receivers
from liveagent.report.record import EVENTS, read_events
from liveagent.report.spool import Spool


def close_broken_runs(places: Places, machine: Machine) -> list[str]:
    """End the records of all runs that nobody carries out any more, whoever did; what is known of each."""
    holder = Lock(places.runtime).holder()
    return [
        close_broken_run(places, directory.name, machine)
        for directory in places.run_directories()
        if not (directory / "result.json").exists()
        and (directory / EVENTS).exists()
        and (holder is None or holder.run != directory.name)
    ]


def close_broken_run(places: Places, run: str, machine: Machine) -> str:
    """End the record of a run whose agent was killed, and say what is known of it."""
    directory = places.runs / run
    events = read_events(directory / EVENTS)
    if any(event.type is Type.RUN_FINISHED for event in events):
        return f"run {run} has ended before"
    if not events and any(event.type is Type.RUN_FINISHED for event in read_events(_lost(places, run) / EVENTS)):
        return f"the record of run {run} was lost, and that is reported"
    result = _close(directory, events, machine) if events else _report_lost(places, run, machine)
    ended = f"{result.verdict}: {result.summary}"
    return f"run {run} was broken off when the agent ended: {ended}"


def _lost(places: Places, run: str) -> Path:
    return places.runs / f"{run}-lost"


def _close(directory: Path, events: Sequence[Event], machine: Machine) -> Result:
    """Every step that was open is unknown, and so is every one that the plan still had."""
    spool = Spool(directory, events[0].run, _make_source(machine))
    started = [event for event in events if event.type is Type.STEP_STARTED]
    finished = {event.subject: event for event in events if event.type is Type.STEP_FINISHED}
    tasks: list[TaskResult] = []
    try:
        for event in reversed(started):
            if event.subject in finished:
                continue
            summary = "the agent ended in the middle of it: what was done is unknown"
            finding = Finding("run.broken", Verdict.UNKNOWN, event.subject, summary)
            spool.emit(Type.FINDING, finding.encode(), event.subject)
            data = {"verdict": Verdict.UNKNOWN.value, "summary": summary, "data": {}}
            spool.emit(Type.STEP_FINISHED, data, event.subject)
        begun = {event.subject: event for event in started if "/" not in event.subject}
        planned = events[0].data.get("plan", {}).get("tasks", [])
        now = read_events(spool.path)
        tasks += [_recover_task(name, event.data.get("options", {}), now) for name, event in begun.items()]
        tasks += [
            TaskResult(step["task"], Verdict.UNKNOWN, "the agent ended before it was begun", step["options"])
            for step in planned
            if step["task"] not in begun
        ]
        return finish(spool.emit, spool, machine, events[0].time, tasks, ())
    finally:
        spool.close()


def _report_lost(places: Places, run: str, machine: Machine) -> Result:
    """A run of its own that says that the record of another one is lost: it was in memory, and may have erased."""
    spool = Spool(_lost(places, run), f"{run}-lost", _make_source(machine))
    summary = f"the record of run {run} is lost: what was done is unknown"
    finding = Finding("run.broken", Verdict.UNKNOWN, run, summary)
    receivers = read_receivers(places.runs / run)
    try:
        started = render_time(time.time())
        data = {"plan": {"tasks": []}, "machine": machine.identity.encode(), "agent": __version__}
        spool.emit(Type.RUN_STARTED, data)
        spool.emit(Type.FINDING, finding.encode())
        with contextlib.suppress(OSError):
            note_receivers(spool.directory, Delivery(receivers))
        return finish(spool.emit, spool, machine, started, (), (finding,))
    finally:
        spool.close()


def _make_source(machine: Machine) -> str:
    identity = machine.identity
    return make_source(identity.serial, identity.uuid, identity.boot_mac)


def _recover_task(name: str, options: Mapping[str, object], events: Sequence[Event]) -> TaskResult:
    """A task's result from its events."""
    end: Mapping[str, object] = {}
    findings: list[Finding] = []
    for event in events:
        if event.type is Type.STEP_FINISHED and event.subject == name:
            end = event.data
        elif event.type is Type.FINDING and event.subject.split("/")[0] == name:
            findings.append(Finding.decode(event.data))
    data = end.get("data")
    return TaskResult(
        name,
        Verdict(str(end.get("verdict", "unknown"))),
        str(end.get("summary", "")),
        dict(options),
        tuple(findings),
        data if isinstance(data, dict) else {},
    )
