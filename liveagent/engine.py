"""Carries out a plan: order, deadlines, cancel, the countdown, the worst verdict; everything it does is an event."""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import secrets
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Callable, Protocol

from liveagent import __version__
from liveagent.events import (
    JSON,
    Event,
    Finding,
    Result,
    TaskResult,
    Type,
    Verdict,
    render_time,
    worst,
)
from liveagent.heartbeat import Heartbeat, attend
from liveagent.host import Cancelled, Host
from liveagent.issue import Issuer
from liveagent.machine import Machine
from liveagent.options import encode_options
from liveagent.plan import Plan, Step
from liveagent.report.spool import Spool, write_synced
from liveagent.scrub import Scrubber
from liveagent.tasks import Context, Outcome

log = logging.getLogger(__name__)

# How long a task that was told to end may take to put things away before it is left behind.
GRACE = 60.0
POLL = 0.05
# What stops the steps after it, unless keep_going; CANCELLED always does.
STOPPING = (Verdict.FAIL, Verdict.ERROR, Verdict.REFUSED, Verdict.UNKNOWN)


class Emit(Protocol):
    def __call__(self, type: Type, data: Mapping[str, JSON], subject: str = "") -> Event | None: ...


# Shows how many seconds are left before the destructive tasks named; returns as soon as told to stop.
Countdown = Callable[[float, Sequence[str], "Cancel"], None]


def make_run_id(seconds: float) -> str:
    """A run's name, sortable by time: `20260102T030405Z-1a2b3c`."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds)) + "-" + secrets.token_hex(3)


class Cancel(threading.Event):
    """The event that ends a run, with the reason why."""

    reason = ""
    by_limit = False

    def end(self, reason: str, by_limit: bool = False) -> None:
        """End the run; the first reason stays."""
        if not self.is_set():
            self.reason, self.by_limit = reason, by_limit
            self.set()


@dataclasses.dataclass
class Engine:
    """One run of one plan, from the first event to the last.

    `countdown` is shown before the first destructive step of a plan taken at boot. `cancel` may be set by
    anyone. The plan has no faults; `report_faults` is for those that have.
    """

    host: Host
    machine: Machine
    plan: Plan
    spool: Spool
    scrub: Scrubber
    cancel: Cancel
    countdown: Countdown | None = None
    grace: float = GRACE
    # Looks at the machine anew: a step may begin hours after the run did.
    look: Callable[[], Machine] | None = None
    # Called again and again while a task looks or runs: who hears it no more knows that the engine is stuck.
    beat: Callable[[], None] | None = None

    def run(self) -> Result:
        """Carry the plan out. Returns the result, which is the data of the last event as well."""
        started = self._start()
        limit = threading.Timer(self.plan.settings.deadline, self._over) if self.plan.settings.deadline else None
        beat = Heartbeat(self.emit)
        beat.start()
        if limit:
            limit.daemon = True
            limit.start()
        tasks: list[TaskResult] = []
        findings: list[Finding] = []
        try:
            findings = self._expected_machine()
            if not findings:
                tasks = self._steps()
        finally:
            if limit:
                limit.cancel()
            beat.stop()
        return finish(self.emit, self.spool, self.machine, started, tasks, [*self.plan.findings, *findings])

    def emit(self, type: Type, data: Mapping[str, JSON], subject: str = "") -> Event | None:
        """An event of this run, its secrets removed."""
        return self.spool.emit(type, self.scrub.document(data), subject)

    def _over(self) -> None:
        self.cancel.end(f"the plan's deadline of {self.plan.settings.deadline:g} s was reached", by_limit=True)

    def _start(self) -> str:
        started = render_time(self.host.now())
        self.emit(Type.RUN_STARTED, describe_start(self.machine, self.plan))
        for finding in self.plan.findings:
            self.emit(Type.FINDING, finding.encode())
        return started

    def _expected_machine(self) -> list[Finding]:
        """`expect_serial`: on any other machine everything is refused."""
        expected, serial = self.plan.settings.expect_serial, self.machine.identity.serial
        if not expected or expected == serial:
            return []
        summary = f"this is {serial or 'a machine without a serial'}, and the run was meant for {expected}"
        measured = {"expected": expected, "serial": serial}
        finding = Finding("run.machine", Verdict.REFUSED, serial or "machine", summary, measured)
        self.emit(Type.FINDING, finding.encode())
        return [finding]

    def _steps(self) -> list[TaskResult]:
        tasks: list[TaskResult] = []
        stopped_by: TaskResult | None = None
        for step in self.plan.steps:
            if stopped_by is not None:
                tasks.append(self._skip(step, f"not begun, since {stopped_by.task} ended {stopped_by.verdict}"))
                continue
            tasks.append(self._step(step))
            verdict = tasks[-1].verdict
            if verdict is Verdict.CANCELLED or (verdict in STOPPING and not self.plan.settings.keep_going):
                stopped_by = tasks[-1]
        return tasks

    def _skip(self, step: Step, summary: str) -> TaskResult:
        result = TaskResult(step.task.name, Verdict.SKIPPED, summary, encode_options(step.options))
        self._finish_step(result)
        return result

    def _step(self, step: Step) -> TaskResult:
        name, options = step.task.name, encode_options(step.options)
        self.emit(Type.STEP_STARTED, {"options": options}, name)
        cancel = Cancel()
        gate, record = Gate(self.emit), Gate(self.spool.emit)
        context = self._make_context(name, cancel, gate, record)
        outcome = self._carry_out(step, context, cancel)
        gate.close()
        record.close()
        findings = tuple(context.findings)
        verdict = worst([outcome.verdict, *(finding.verdict for finding in findings)])
        result = TaskResult(name, verdict, outcome.summary, options, findings, outcome.data)
        self._finish_step(result)
        return result

    def _make_context(self, name: str, cancel: Cancel, gate: Gate, record: Gate) -> Context:
        settings = self.plan.settings
        issuer = Issuer(
            self.host,
            # As it is signed: the issuer has scrubbed it, and nobody may change a letter after that.
            record.emit,
            self.scrub,
            self.spool.directory,
            settings.certificate_key,
            settings.certificate_key_origin,
            self.machine.live.is_live,
            lambda: record.closed,
        )
        host = self.host.cancelled_by(cancel)
        return Context(
            host,
            self.machine,
            name,
            gate.emit,
            self.spool.run,
            settings.labels,
            issuer,
            self.spool.directory,
            settings.callback_ca,
            self.plan.rest_of,
        )

    def _finish_step(self, result: TaskResult) -> None:
        data = {"verdict": result.verdict.value, "summary": result.summary, "data": result.data}
        self.emit(Type.STEP_FINISHED, data, result.task)

    def _carry_out(self, step: Step, context: Context, cancel: Cancel) -> Outcome:
        """Refuse, count down, run; whatever the task raises becomes an outcome."""
        try:
            if self.cancel.is_set():
                return self._not_begun(step, context)
            if step.task.destructive and not self.host.is_real:
                summary = f"{step.task.name} is refused: files are read below {self.host.root}, not from this machine"
                context.finding(Finding("task.root", Verdict.REFUSED, step.task.name, summary))
                return Outcome(Verdict.REFUSED, summary)
            refused = self._refuse(step, context)
            if refused is None and step.task.destructive and self.plan.at_boot and self.countdown:
                self._count_down()
                # Half a minute is enough for a disk to come up, or to be mounted.
                refused = None if self.cancel.is_set() else self._refuse(step, context)
            if self.cancel.is_set():
                return self._not_begun(step, context)
            if refused is not None:
                return refused
            return self._run_task(step, context, cancel)
        except Cancelled:
            return self._not_begun(step, context)
        except Exception as error:  # a task may raise anything, and the run must still end with a result
            return self._raised(step, context, error)

    def _refuse(self, step: Step, context: Context) -> Outcome | None:
        """The task's guards, on the machine as it is now. None where nothing holds it back."""

        def work() -> tuple[Finding, ...]:
            # Nothing runs yet that a limit could end: only the run's own cancel counts.
            if self.look:
                context.machine = self.look()
            return tuple(step.task.refuse(self.host.cancelled_by(self.cancel), context.machine, step.options))

        # A server full of disks that hang is looked at for minutes.
        refusals = attend(work, self.beat, self.cancel, self.grace)
        for refusal in refusals:
            context.finding(refusal)
        return Outcome(Verdict.REFUSED, "; ".join(one.summary for one in refusals)) if refusals else None

    def _count_down(self) -> None:
        """Once a run, before the first destructive step that no guard refused."""
        if self.countdown is None:
            return
        countdown, self.countdown = self.countdown, None
        names = [step.task.name for step in self.plan.steps if step.task.destructive]
        countdown(self.plan.settings.countdown, names, self.cancel)

    def _run_task(self, step: Step, context: Context, cancel: Cancel) -> Outcome:
        """The task in a thread of its own, so that one that never ends cannot hold the run."""
        box: list[Outcome] = []

        def work() -> None:
            try:
                outcome = step.task.run(context, step.options)
                if not isinstance(outcome, Outcome):
                    raise TypeError(f"{type(outcome).__name__} is no Outcome")
                box.append(outcome)
            except Cancelled:
                box.append(self._cancelled(step, context, cancel))
            except BaseException as error:  # see _carry_out; a sys.exit() would end the thread without a word
                box.append(self._raised(step, context, error))

        thread = threading.Thread(target=work, name=f"task-{step.task.name}", daemon=True)
        thread.start()
        limit = time.monotonic() + step.task.limit if step.task.limit else None
        while thread.is_alive() and not cancel.is_set():
            thread.join(POLL)
            if self.beat:
                self.beat()
            if not thread.is_alive():
                break
            if self.cancel.is_set():
                cancel.end(self.cancel.reason, self.cancel.by_limit)
            elif limit is not None and time.monotonic() > limit:
                cancel.end(f"{step.task.name} reached its limit of {step.task.limit:g} s", by_limit=True)
        given_up = time.monotonic() + self.grace
        while thread.is_alive() and time.monotonic() < given_up:
            thread.join(POLL)
            if self.beat:
                self.beat()
        if thread.is_alive():
            return self._stuck(step, context, cancel)
        if cancel.by_limit and not any(finding.code == "task.limit" for finding in context.findings):
            context.finding(Finding("task.limit", Verdict.ERROR, step.task.name, cancel.reason))
        return box[0]

    def _stuck(self, step: Step, context: Context, cancel: Cancel) -> Outcome:
        summary = f"{step.task.name} did not end within {self.grace:g} s of being told to ({cancel.reason})"
        context.finding(Finding("task.stuck", Verdict.ERROR, step.task.name, summary))
        if cancel.by_limit:
            context.finding(Finding("task.limit", Verdict.ERROR, step.task.name, cancel.reason))
        # A copy: the thread that was left behind must not change what was reported.
        return Outcome(
            Verdict.UNKNOWN if step.task.destructive else Verdict.ERROR, summary, copy.deepcopy(context.data)
        )

    def _not_begun(self, step: Step, context: Context) -> Outcome:
        outcome = self._cancelled(step, context, self.cancel)
        return dataclasses.replace(outcome, summary=f"{outcome.summary}; nothing was begun")

    def _cancelled(self, step: Step, context: Context, cancel: Cancel) -> Outcome:
        if cancel.by_limit:
            context.finding(Finding("task.limit", Verdict.ERROR, step.task.name, cancel.reason))
            return Outcome(Verdict.ERROR, cancel.reason, context.data)
        return Outcome(Verdict.CANCELLED, f"cancelled: {cancel.reason or 'asked to'}", context.data)

    def _raised(self, step: Step, context: Context, error: BaseException) -> Outcome:
        log.error("Task %s raised", step.task.name, exc_info=error)
        where = traceback.extract_tb(error.__traceback__)[-1] if error.__traceback__ else None
        place = f" ({Path(where.filename).name}:{where.lineno})" if where else ""
        summary = f"{step.task.name}: {type(error).__name__}: {error}{place}"
        context.finding(Finding("task.error", Verdict.ERROR, step.task.name, summary))
        return Outcome(Verdict.ERROR, summary, context.data)


class Gate:
    """What a task says, until its step has ended: one that was left behind must not speak after the last event."""

    def __init__(self, emit: Emit) -> None:
        self._emit: Emit | None = emit
        self._lock = threading.Lock()

    def emit(self, type: Type, data: Mapping[str, JSON], subject: str = "") -> Event | None:
        with self._lock:
            return self._emit(type, data, subject) if self._emit else None

    @property
    def closed(self) -> bool:
        return self._emit is None

    def close(self) -> None:
        with self._lock:
            self._emit = None


def describe_start(machine: Machine, plan: Plan) -> dict[str, JSON]:
    """The data of a run's first event: what is to be done, where, by which build."""
    return {
        "plan": plan.encode(),
        "machine": machine.identity.encode(),
        "addresses": [address for nic in machine.nics for address in nic.addresses],
        "agent": __version__,
        "image": machine.live.image or None,
        "labels": plan.settings.labels,
        "at_boot": plan.at_boot,
    }


def finish(
    emit: Emit,
    spool: Spool,
    machine: Machine,
    started: str,
    tasks: Sequence[TaskResult],
    findings: Sequence[Finding],
) -> Result:
    """The last event of a run, and `result.json` beside its record. Returns what they say: no secret is in it."""
    verdict = worst([*(task.verdict for task in tasks), *(finding.verdict for finding in findings)])
    parts = [f"{task.task}: {task.summary}" for task in tasks] or [finding.summary for finding in findings]
    result = Result(
        run=spool.run,
        verdict=verdict,
        summary="; ".join(parts) or "nothing to do",
        started=started,
        finished=render_time(time.time()),
        agent=__version__,
        machine=machine.identity.encode(),
        tasks=tuple(tasks),
        findings=tuple(findings),
    )
    event = emit(Type.RUN_FINISHED, result.encode())
    if event is None:
        return result
    write_result(spool, event.data)
    return Result.decode(event.data)


def write_result(spool: Spool, document: Mapping[str, JSON]) -> None:
    """`result.json`, the last event's data; a directory that cannot be written is said and passed over."""
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    try:
        write_synced(spool.directory / "result.json", text.encode("utf-8", "replace"))
    except OSError as error:
        log.error("Failed to write %s: %s, ignoring", spool.directory / "result.json", error.strerror)


def report_faults(emit: Emit, spool: Spool, machine: Machine, plan: Plan) -> Result:
    """A run without steps that says why nothing ran."""
    started = render_time(time.time())
    emit(Type.RUN_STARTED, describe_start(machine, plan))
    findings = [Finding(fault.code, Verdict.ERROR, fault.origin, fault.message) for fault in plan.faults]
    for finding in findings:
        emit(Type.FINDING, finding.encode())
    return finish(emit, spool, machine, started, (), findings)
