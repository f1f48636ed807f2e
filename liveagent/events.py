"""What the agent says: verdicts, findings, results and events, with the one codec (CloudEvents 1.0, JSON)."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Any

JSON = Any


class Verdict(enum.Enum):
    """How something ended. FAIL is the machine, ERROR is the agent, REFUSED is a guard that held."""

    FAIL = "fail"
    ERROR = "error"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"
    WARN = "warn"
    PASS = "pass"
    SKIPPED = "skipped"

    def __str__(self) -> str:
        return self.value


WORST_FIRST = tuple(Verdict)

# The exit status of a run, by its verdict.
EXIT_STATUS: Mapping[Verdict, int] = {
    Verdict.PASS: 0,
    Verdict.WARN: 0,
    Verdict.SKIPPED: 0,
    Verdict.FAIL: 1,
    Verdict.ERROR: 3,
    Verdict.UNKNOWN: 3,
    Verdict.REFUSED: 4,
    Verdict.CANCELLED: 130,
}
EXIT_USAGE = 2
EXIT_LIMIT = 124


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of several verdicts; of none, SKIPPED."""
    return min(verdicts, key=WORST_FIRST.index, default=Verdict.SKIPPED)


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that was found, about one part.

    `code` is dotted and stable; `part` names the thing a person can find (kernel name and serial);
    `measured` holds the figures behind the verdict, in base units.
    """

    code: str
    verdict: Verdict
    part: str
    summary: str
    measured: Mapping[str, JSON] = dataclasses.field(default_factory=dict)

    def encode(self) -> dict[str, JSON]:
        return {
            "code": self.code,
            "verdict": self.verdict.value,
            "part": self.part,
            "summary": self.summary,
            "measured": dict(self.measured),
        }

    @classmethod
    def decode(cls, document: Mapping[str, JSON]) -> Finding:
        return cls(
            code=document["code"],
            verdict=Verdict(document["verdict"]),
            part=document["part"],
            summary=document["summary"],
            measured=document.get("measured", {}),
        )


@dataclasses.dataclass(frozen=True)
class TaskResult:
    """How one task ended. `data` is the task's own, documented by a schema in `liveagent/schemas`."""

    task: str
    verdict: Verdict
    summary: str
    options: Mapping[str, JSON] = dataclasses.field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    data: Mapping[str, JSON] = dataclasses.field(default_factory=dict)

    def encode(self) -> dict[str, JSON]:
        return {
            "task": self.task,
            "verdict": self.verdict.value,
            "summary": self.summary,
            "options": dict(self.options),
            "findings": [finding.encode() for finding in self.findings],
            "data": dict(self.data),
        }

    @classmethod
    def decode(cls, document: Mapping[str, JSON]) -> TaskResult:
        return cls(
            task=document["task"],
            verdict=Verdict(document["verdict"]),
            summary=document["summary"],
            options=document.get("options", {}),
            findings=tuple(Finding.decode(finding) for finding in document.get("findings", [])),
            data=document.get("data", {}),
        )


@dataclasses.dataclass(frozen=True)
class Result:
    """How one run ended: `liveagent run --json`, `report --json`, and the data of the last event."""

    run: str
    verdict: Verdict
    summary: str
    started: str
    finished: str
    agent: str
    machine: Mapping[str, JSON]
    tasks: tuple[TaskResult, ...] = ()
    findings: tuple[Finding, ...] = ()

    def encode(self) -> dict[str, JSON]:
        document: dict[str, JSON] = {
            "run": self.run,
            "verdict": self.verdict.value,
            "summary": self.summary,
            "started": self.started,
            "finished": self.finished,
            "agent": self.agent,
            "machine": dict(self.machine),
            "tasks": [task.encode() for task in self.tasks],
        }
        if self.findings:
            document["findings"] = [finding.encode() for finding in self.findings]
        return document

    @classmethod
    def decode(cls, document: Mapping[str, JSON]) -> Result:
        return cls(
            run=document["run"],
            verdict=Verdict(document["verdict"]),
            summary=document["summary"],
            started=document["started"],
            finished=document["finished"],
            agent=document["agent"],
            machine=document["machine"],
            tasks=tuple(TaskResult.decode(task) for task in document["tasks"]),
            findings=tuple(Finding.decode(finding) for finding in document.get("findings", [])),
        )


def exit_status(result: Result) -> int:
    """The exit status of a run by its result."""
    if any(finding.code.startswith("plan.") for finding in result.findings):
        return EXIT_USAGE
    if any(finding.code == "task.limit" for task in result.tasks for finding in task.findings):
        return EXIT_LIMIT
    return EXIT_STATUS[result.verdict]


class Type(enum.Enum):
    """The types of event. Durable ones are on disk before anyone is told; the others may be thinned."""

    RUN_STARTED = "liveagent.run.started"
    RUN_FINISHED = "liveagent.run.finished"
    STEP_STARTED = "liveagent.step.started"
    STEP_FINISHED = "liveagent.step.finished"
    FINDING = "liveagent.finding"
    CERTIFICATE = "liveagent.certificate"
    OUTPUT = "liveagent.output"
    PROGRESS = "liveagent.progress"
    HEARTBEAT = "liveagent.heartbeat"

    @property
    def durable(self) -> bool:
        return self not in (Type.OUTPUT, Type.PROGRESS, Type.HEARTBEAT)


@dataclasses.dataclass(frozen=True)
class Event:
    """One event of a run. `sequence` counts from 1 without gaps; `subject` is the step, e.g. `wipe/nvme0n1`."""

    run: str
    sequence: int
    type: Type
    time: str
    source: str
    subject: str
    data: Mapping[str, JSON]

    @property
    def id(self) -> str:
        return f"{self.run}/{self.sequence}"

    def encode(self) -> dict[str, JSON]:
        """The event as a CloudEvents 1.0 document; `sequence` is decimal digits in a string."""
        document: dict[str, JSON] = {
            "specversion": "1.0",
            "id": self.id,
            "source": self.source,
            "type": self.type.value,
            "time": self.time,
            "datacontenttype": "application/json",
            "run": self.run,
            "sequence": str(self.sequence),
            "data": dict(self.data),
        }
        if self.subject:
            document["subject"] = self.subject
        return document

    @classmethod
    def decode(cls, document: Mapping[str, JSON]) -> Event:
        """Raises KeyError or ValueError where the document is not one of ours."""
        return cls(
            run=document["run"],
            sequence=int(document["sequence"]),
            type=Type(document["type"]),
            time=document["time"],
            source=document["source"],
            subject=document.get("subject", ""),
            data=document["data"],
        )


def make_source(serial: str | None, uuid: str | None = None, boot_mac: str | None = None) -> str:
    """`/liveagent/SERIAL`, percent-encoded; the UUID or the boot MAC stands in where there is no usable serial."""
    name = serial or uuid or boot_mac or "unknown"
    return "/liveagent/" + urllib.parse.quote(name, safe="")


def render_time(seconds: float) -> str:
    """Seconds since the epoch as RFC 3339 in UTC, with milliseconds."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_time(text: str) -> float | None:
    """RFC 3339 as seconds since the epoch; None where it is none."""
    try:
        return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None
