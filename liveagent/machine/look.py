"""One look at a machine: what is asked, what could not be seen and why, and many looks side by side."""

from __future__ import annotations

import dataclasses
import enum
import logging
import queue
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Callable, Generic, TypeVar

from liveagent.events import JSON
from liveagent.host import Cancelled, CommandError, CommandNotFound, CommandTimedOut, Completed, Host, describe

log = logging.getLogger(__name__)

Value = TypeVar("Value")

QUESTION_TIMEOUT = 20.0
# So many children at once do not keep a small machine from answering, and sixty disks are through in four rounds.
WORKERS = 16
# Hears the names of the looks that have not ended.
Tell = Callable[[Sequence[str]], None]
POLL = 0.1
TELL_EVERY = 2.0
NO_RIGHTS = ("permission denied", "operation not permitted", "must be root", "need root", "are you root")


class Why(enum.Enum):
    """Why something was not measured."""

    ABSENT = "absent"  # the machine has no such thing
    NO_TOOL = "no-tool"
    NO_RIGHTS = "no-rights"
    NO_DRIVER = "no-driver"
    NO_ANSWER = "no-answer"  # it did not end within its time
    NOT_UNDERSTOOD = "not-understood"  # what was said is no answer to what was asked
    NOT_ASKED = "not-asked"


@dataclasses.dataclass(frozen=True)
class Missing:
    """What was not measured: `part` is its path in the inventory (`memory.ecc`, `disks.sda.health`)."""

    part: str
    why: Why
    detail: str

    def encode(self) -> dict[str, JSON]:
        return {"part": self.part, "why": self.why.value, "detail": self.detail}

    def __str__(self) -> str:
        return f"{self.part}: {self.why.value}{f': {self.detail}' if self.detail else ''}"


class Look:
    """The door, for one part of a machine, and a list of what could not be seen through it.

    A program that lets one question run out of time is not asked again in this look: a device that hangs would cost
    that time for every further question, and each leaves a process that nobody can end.
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        self.missing: list[Missing] = []
        self._silent: set[str] = set()

    def note(self, part: str, why: Why, detail: str = "") -> None:
        """Say that a part was not measured."""
        self.missing.append(Missing(part, why, detail))

    def ask(
        self,
        part: str,
        argv: Sequence[str],
        *,
        timeout: float = QUESTION_TIMEOUT,
        success: Sequence[int] | None = (0,),
        environment: Mapping[str, str] | None = None,
    ) -> Completed | None:
        """What a program said; None, and noted for `part`, where it said nothing that counts.

        `success` are the exit statuses that count; None takes every one. `environment` is for this program alone.
        """
        program = argv[0]
        if not self.host.can_run:
            self.note(part, Why.NOT_ASKED, "nothing is run below another root")
            return None
        if program in self._silent:
            self.note(part, Why.NOT_ASKED, f"{program} had not answered before")
            return None
        try:
            said = self.host.run(argv, timeout=timeout, success=None, environment=environment)
        except CommandNotFound:
            self.note(part, Why.NO_TOOL, f"{program} is not installed")
            return None
        except CommandTimedOut as error:
            self._silent.add(program)
            self.note(part, Why.NO_ANSWER, str(error))
            return None
        except CommandError as error:
            self.note(part, Why.NO_TOOL, str(error))
            return None
        if success is not None and said.status not in success:
            self.note(part, *explain(said))
            return None
        return said

    def text(
        self,
        part: str,
        argv: Sequence[str],
        *,
        timeout: float = QUESTION_TIMEOUT,
        success: Sequence[int] | None = (0,),
    ) -> str:
        """What a program printed on stdout; "" and noted where it said nothing that counts."""
        said = self.ask(part, argv, timeout=timeout, success=success)
        return said.stdout if said else ""


def explain(said: Completed) -> tuple[Why, str]:
    """Why a program that failed did, in its own last words."""
    words = (said.stderr.strip() or said.stdout.strip()).splitlines()
    detail = f"{said.argv[0]}: {words[-1][:200] if words else describe(said.status)}"
    is_barred = any(phrase in detail.lower() for phrase in NO_RIGHTS)
    return (Why.NO_RIGHTS if is_barred else Why.NOT_UNDERSTOOD), detail


# -- side by side -----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Looked(Generic[Value]):
    """What came of several looks: the values by name, what is missing, and the seconds that each took.

    `silent`: those that did not end within their time, `failed`: those that raised, with what they said.
    """

    values: Mapping[str, Value]
    missing: tuple[Missing, ...]
    seconds: Mapping[str, float]
    silent: tuple[str, ...] = ()
    failed: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Job(Generic[Value]):
    """One look: `limit` in seconds, after which it is given up."""

    name: str
    probe: Callable[[Look], Value]
    limit: float


@dataclasses.dataclass
class _Running(Generic[Value]):
    job: Job[Value]
    look: Look
    cancel: threading.Event
    started: float


def look_side_by_side(
    host: Host, jobs: Iterable[Job[Value]], workers: int = WORKERS, tell: Tell | None = None
) -> Looked[Value]:
    """Carry out looks side by side; one that hangs or raises costs the others nothing. Raises Cancelled.

    One that is over its limit is told to end and left behind: a thread that waits in the kernel cannot be ended.
    `tell` is called with the names of those that are waited for still, whenever that changes and every `TELL_EVERY`.
    """
    waiting = list(jobs)[::-1]
    running: dict[str, _Running[Value]] = {}
    ended: queue.SimpleQueue[tuple[str, Value | None, BaseException | None]] = queue.SimpleQueue()
    values: dict[str, Value] = {}
    seconds: dict[str, float] = {}
    missing: list[Missing] = []
    silent: list[str] = []
    failed: dict[str, str] = {}
    told, told_at = -1, 0.0
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                _start(host, waiting.pop(), running, ended)
            for name, value, error in _take(ended):
                one = running.pop(name, None)
                if one is None:
                    continue  # it was given up before
                seconds[name] = round(time.monotonic() - one.started, 3)
                missing += one.look.missing
                if error is None:
                    values[name] = value  # type: ignore[assignment]
                else:
                    failed[name] = f"{type(error).__name__}: {error}"
                    missing.append(Missing(name, Why.NOT_UNDERSTOOD, failed[name]))
                    log.error("Failed to look at %s", name, exc_info=error)
            for one in [one for one in running.values() if time.monotonic() - one.started > one.job.limit]:
                one.cancel.set()
                del running[one.job.name]
                seconds[one.job.name] = round(time.monotonic() - one.started, 3)
                silent.append(one.job.name)
                missing += one.look.missing
                missing.append(Missing(one.job.name, Why.NO_ANSWER, f"no end within {one.job.limit:g} s"))
            awaited = [*running, *(job.name for job in reversed(waiting))]
            if tell and (len(awaited) != told or time.monotonic() - told_at > TELL_EVERY):
                told, told_at = len(awaited), time.monotonic()
                tell(awaited)
            if host.cancel.is_set():
                raise Cancelled("cancelled")
    finally:
        for one in running.values():
            one.cancel.set()
    return Looked(values, tuple(missing), seconds, tuple(silent), failed)


def _start(
    host: Host,
    job: Job[Value],
    running: dict[str, _Running[Value]],
    ended: queue.SimpleQueue[tuple[str, Value | None, BaseException | None]],
) -> None:
    cancel = threading.Event()
    look = Look(host.cancelled_by(cancel))

    def work() -> None:
        try:
            ended.put((job.name, job.probe(look), None))
        except BaseException as error:  # whatever a probe raises is about its part alone
            ended.put((job.name, None, error))

    running[job.name] = _Running(job, look, cancel, time.monotonic())
    threading.Thread(target=work, name=f"look-{job.name}", daemon=True).start()


def _take(
    ended: queue.SimpleQueue[tuple[str, Value | None, BaseException | None]],
) -> Iterator[tuple[str, Value | None, BaseException | None]]:
    """What has ended; waits a moment for the first."""
    try:
        yield ended.get(timeout=POLL)
        while True:
            yield ended.get_nowait()
    except queue.Empty:
        return
