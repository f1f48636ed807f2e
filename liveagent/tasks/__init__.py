"""What can be done: a task, the context it runs in, and the registry of those there are."""

from __future__ import annotations

import abc
import dataclasses
import functools
import importlib
import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, ClassVar

from liveagent.events import JSON, Finding, Type, Verdict
from liveagent.host import Host

if TYPE_CHECKING:
    from liveagent.issue import Issuer
    from liveagent.machine import Machine

ENTRY_POINTS = "liveagent.tasks"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
NO_KEY = "certificates are not signed: [agent] certificate_key is not set"
UNIT_DIRECTORIES = ("/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system")


@dataclasses.dataclass(frozen=True)
class NoOptions:
    """For a task that has none."""


@dataclasses.dataclass(frozen=True)
class Preview:
    """What a task would do on this machine: a table, and the verdict that its refusals alone would give.

    `rows` are texts under `columns`, `notes` are about none of them alone; `data` is the same for programs; `serious`
    says in a sentence what is about to be lost, for the person who confirms.
    """

    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()
    verdict: Verdict = Verdict.PASS
    serious: str = ""
    data: Mapping[str, JSON] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Table:
    """Something to look up: `rows` are texts under `columns`."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a task ended; the worst of its findings counts beside `verdict`."""

    verdict: Verdict
    summary: str
    data: Mapping[str, JSON] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Rest:
    """What goes on of a job that was broken off: its parts by name, and in words what of the job is left out."""

    options: Any
    parts: tuple[str, ...]
    left_out: tuple[str, ...] = ()


class Context:
    """What a running task has: the machine, the door to it, a way to be heard, and a cancel to look at.

    `run` is the run's name; `labels` are what the operator said about the machine and the job. Without an `issuer`
    certificates are events alone, unsigned. `directory` holds the run's record, and what a task leaves with it.
    `ca`: the file with the CA of certificates that the operator's own servers show, "" for the system's. `rest_of`: the
    run that was broken off and that this one goes on with; it knows nothing of what else was done or left undone there.
    """

    def __init__(
        self,
        host: Host,
        machine: Machine,
        step: str,
        emit: Callable[..., object],
        run: str = "",
        labels: Mapping[str, str] | None = None,
        issuer: Issuer | None = None,
        directory: Path | None = None,
        ca: str = "",
        rest_of: str = "",
    ) -> None:
        self.host = host
        self.machine = machine
        self.step = step
        self.run = run
        self.directory = directory
        self.ca = ca
        self.rest_of = rest_of
        self.labels: Mapping[str, str] = dict(labels or {})
        self.findings: list[Finding] = []
        # What is known so far, for a task that has to be left behind or raises.
        self.data: Mapping[str, JSON] = {}
        self._emit = emit
        self._issuer = issuer
        self._told: set[str] = set()
        self._lock = threading.Lock()

    @property
    def cancel(self) -> threading.Event:
        return self.host.cancel

    def line(self, text: str, part: str = "", command: str = "") -> None:
        """A line of output, of the step or of one part of it (`sda`)."""
        self._emit(Type.OUTPUT, {"line": text, "command": command}, self._subject(part))

    def progress(
        self,
        part: str,
        done: float,
        total: float,
        unit: str,
        label: str,
        rate: float | None = None,
        eta: float | None = None,
        temperature: float | None = None,
    ) -> None:
        """How far a part is: `done` of `total` in `unit`; rate in units a second, eta in seconds, temperature in °C."""
        data = {"done": done, "total": total, "unit": unit, "label": label, "rate": rate, "eta": eta}
        if temperature is not None:
            data["temperature"] = temperature
        self._emit(Type.PROGRESS, data, self._subject(part))

    def part_started(self, part: str, options: Mapping[str, JSON], identity: Mapping[str, JSON] | None = None) -> None:
        """`identity`: what the part is known by again, where the job can be resumed (`Task.resume`)."""
        data = {"options": dict(options), **({"identity": dict(identity)} if identity else {})}
        self._emit(Type.STEP_STARTED, data, self._subject(part))

    def part_finished(self, part: str, verdict: Verdict, summary: str, data: Mapping[str, JSON]) -> None:
        self._emit(
            Type.STEP_FINISHED, {"verdict": verdict.value, "summary": summary, "data": data}, self._subject(part)
        )

    def finding(self, finding: Finding, part: str = "") -> None:
        with self._lock:
            self.findings.append(finding)
        self._emit(Type.FINDING, finding.encode(), self._subject(part))

    @property
    def key(self) -> Mapping[str, JSON] | None:
        """What signs certificates, as they say it themselves; None where nothing does."""
        return self._issuer.key if self._issuer else None

    def seal(self, text: str) -> str:
        """What only an agent with the same certificate key can say of a text; "" where there is no key."""
        return self._issuer.seal(text) if self._issuer else ""

    def certify(self, name: str, document: Mapping[str, JSON], part: str = "") -> str:
        """Issue a certificate; its exact text, as it is signed. It is never lost for want of a key or of room.

        `name` is the file's without its ending: `certificate-S4EWNX0N123456`, `certificate` for the machine.
        """
        from liveagent.issue import Issuer

        issuer = self._issuer or Issuer(self.host, self._emit)
        issued = issuer.issue(name, document, self._subject(part))
        if self._issuer and not self.key and not self._was_told(NO_KEY):
            # A site may want none: it is a remark, and no fault of the run.
            self.finding(Finding("certificate.unsigned", Verdict.PASS, "certificates", NO_KEY))
        if issued.unsigned and not self._was_told(issued.unsigned):
            self.finding(Finding("certificate.sign", Verdict.WARN, name, issued.unsigned))
        if issued.unwritten:
            self.finding(Finding("certificate.write", Verdict.WARN, name, issued.unwritten))
        return issued.text

    def _was_told(self, text: str) -> bool:
        """Whether this was asked for before: what holds for every disk is said once."""
        with self._lock:
            was_told = text in self._told
            self._told.add(text)
            return was_told

    def _subject(self, part: str) -> str:
        return f"{self.step}/{part}" if part else self.step


class Task(abc.ABC):
    """One job. A subclass is a singleton without state; its options are a frozen dataclass."""

    name: ClassVar[str]
    summary: ClassVar[str]
    Options: ClassVar[type] = NoOptions
    destructive: ClassVar[bool] = False
    # Programs that it runs, by name: `doctor` and `show` tell which are missing.
    tools: ClassVar[tuple[str, ...]] = ()
    # What a person should know before running it, a sentence each.
    notes: ClassVar[tuple[str, ...]] = ()
    # Seconds after which it is ended; None for a job as long as the machine is large.
    limit: ClassVar[float | None] = None

    def faults(self, options: Any) -> Sequence[str]:
        """What is wrong with options that are each right by themselves. Pure."""
        return ()

    def refuse(self, host: Host, machine: Machine, options: Any) -> Sequence[Finding]:
        """The reasons why the whole task must not run here; nothing has been touched by then."""
        return ()

    def preview(self, host: Host, machine: Machine, options: Any) -> Preview:
        """Exactly what `run` would do, touching nothing."""
        return Preview()

    def resume(self, machine: Machine, options: Any, begun: Mapping[str, Mapping[str, JSON]]) -> Rest | None:
        """What goes on of a job that the agent was killed in; None where nothing can. Pure.

        `begun`: the parts that had not ended, by name, with the `identity` that each was started with. One that
        `machine` does not have just so any more is none to go on with.
        """
        return None

    def tables(self) -> Sequence[Table]:
        """What `show` prints beside the options: codes that it may find, thresholds. Pure."""
        return ()

    @abc.abstractmethod
    def run(self, context: Context, options: Any) -> Outcome:
        """Do it. Exceptions are the agent's own errors; what the machine did wrong is a finding."""


# -- the registry -----------------------------------------------------------------------------------

# Built in, by module: a name is known without importing what is behind it.
BUILT_IN: Mapping[str, str] = {"hwdiag": "liveagent.tasks.hwdiag", "wipe": "liveagent.tasks.wipe"}
# What an operator may put a task of his own in the place of. A wipe is what its certificate says, and nobody else's.
REPLACEABLE = tuple(name for name in BUILT_IN if name != "wipe")


@dataclasses.dataclass(frozen=True)
class Unusable:
    """A task that is there and must not be run; the reason is a fault of the plan."""

    name: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Registry:
    """The tasks of one machine: built in, brought by Python packages, dropped in as executables."""

    host: Host

    def find(self, name: str) -> Task | Unusable | None:
        """The task of that name; None where there is none."""
        if not NAME.fullmatch(name):
            return None
        is_replaced = name in REPLACEABLE and name in self._replaced
        if name in BUILT_IN and not is_replaced:
            task: Task = importlib.import_module(BUILT_IN[name]).TASK
            return task
        from liveagent.tasks import script

        found = script.find(self.host, name) or self._load(name)
        if found is None and is_replaced:
            return Unusable(name, "[agent] replace names it, and there is no drop-in and no package of that name")
        return found

    @functools.cached_property
    def _replaced(self) -> tuple[str, ...]:
        """The built-in tasks that /etc/liveagent has others stand in for."""
        from liveagent.boot import read_files, read_policy

        return read_policy([read_files(self.host, "")])[0].replaced

    def names(self) -> tuple[str, ...]:
        """Every name there is, sorted; the built-in ones first."""
        from liveagent.tasks import script

        others = {*script.names(self.host), *self._entry_points()}
        return (*BUILT_IN, *sorted(others - set(BUILT_IN)))

    def operator_unit(self, name: str) -> str:
        """The operator's own unit for a word, gated by SPEEDISO: its path, or ""."""
        if not NAME.fullmatch(name):
            return ""
        for directory in UNIT_DIRECTORIES:
            path = f"{directory}/{name}.service"
            if self.host.exists(path) and "SPEEDISO" in self.host.read_or(path):
                return path
        return ""

    def _load(self, name: str) -> Task | Unusable | None:
        load = self._entry_points().get(name)
        if load is None:
            return None
        try:
            task = load()
        except (Exception, SystemExit) as error:  # somebody else's package may raise anything on import
            return Unusable(name, f"its package cannot be loaded: {error!r}")
        if not isinstance(task, Task):
            return Unusable(name, f"its entry point is no Task but {type(task)!r}")
        # Its options are looked for under the one name, and its steps are called by the other.
        return task if task.name == name else Unusable(name, f"its package calls it {task.name}")

    def _entry_points(self) -> Mapping[str, Callable[[], Any]]:
        # Scanning costs as much as starting Python five times over; it is left for last.
        from importlib import metadata

        found: Any = metadata.entry_points()
        group = found.select(group=ENTRY_POINTS) if hasattr(found, "select") else found.get(ENTRY_POINTS, ())
        return {point.name: point.load for point in group}
