"""A drive that erases itself: what all its ways have in common, and the only three ways in which one ends.

It is done and was seen to be (`erase` returns); it never began, so that something else may follow (`NotBegun`); or it
was begun and its end could not be confirmed (`Unconfirmed`), and nothing weaker may hide that.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import threading
import time
from collections.abc import Collection, Iterator
from typing import Callable

from liveagent.host import Cancelled, Host
from liveagent.machine.disks import Disk
from liveagent.machine.drive import Drive
from liveagent.tasks.wipe.account import Account
from liveagent.tasks.wipe.guards import Armed

QUERY_TIMEOUT = 30.0
# What a drive may take to accept a command that it then carries out by itself; a large one thinks first.
START_TIMEOUT = 300.0
# Between two looks at a drive that is erasing itself: the first soon, since a key is changed in an instant.
FIRST_LOOK, LAST_LOOK = 0.5, 15.0
TICK = 5.0
# So many looks in a row without an answer, at the slowest pace some ten minutes.
SILENT_LOOKS = 40
# A drive whose progress stands still for so long has hung up; a sanitize of a large disk takes a day, but it moves.
STILL = 6 * 3600.0


class NotBegun(Exception):
    """The drive did not begin; what was on it is as it was."""


class Unconfirmed(Exception):
    """It was begun, and nobody saw it end well: neither erased nor not erased."""


class Stage(enum.Enum):
    """Where a drive stands that was told to erase itself."""

    RUNNING = "running"
    DONE = "done"
    IDLE = "idle"
    FAILED = "failed"


@dataclasses.dataclass(frozen=True)
class Look:
    """One look at a drive that erases itself; progress from 0 to 1, None where it does not say."""

    stage: Stage
    progress: float | None = None


@dataclasses.dataclass(frozen=True)
class Erased:
    """What had it done, with its version; `seen`: this run saw the drive at work, or change to done."""

    tool: str
    seen: bool


@dataclasses.dataclass(frozen=True)
class Job:
    """One armed disk, what its drive says of itself, and the account of what is done to it."""

    host: Host
    armed: Armed
    drive: Drive
    account: Account
    psid: str = ""

    @property
    def disk(self) -> Disk:
        return self.armed.disk

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """While the drive carries out one long command it says nothing: until that command's own limit it is alive."""
        done = threading.Event()

        def tick() -> None:
            while not done.wait(TICK):
                self.account.alive(None)

        ticker = threading.Thread(target=tick, name=f"at-work-{self.disk.name}", daemon=True)
        ticker.start()
        try:
            yield
        finally:
            done.set()
            ticker.join()

    def version(self, argv: list[str], name: str) -> str:
        """`nvme-cli 2.3`: a tool by name and the first number that it prints."""
        said = self.host.run(argv, timeout=QUERY_TIMEOUT, success=None)
        words = f"{said.stdout}\n{said.stderr}".replace(",", " ").split()
        numbers = [word.lstrip("vV") for word in words if word.lstrip("vV")[:1].isdigit()]
        return f"{name} {numbers[0]}" if numbers else name


def follow(job: Job, look: Callable[[], Look | None], first: Look | None = None) -> tuple[Look, bool]:
    """Wait until a drive has ended what it does: (the last look, whether it was seen running).

    `look` returns None where the drive does not answer. Raises Unconfirmed; a cancel is one too, since the drive goes
    on by itself whatever anybody wants.
    """
    pause, silent = FIRST_LOOK, 0
    seen_running = first is not None and first.stage is Stage.RUNNING
    moved, progress = time.monotonic(), first.progress if first else None
    while True:
        try:
            job.host.pause(pause)
            now = look()
        except Cancelled:
            raise Unconfirmed("cancelled while the drive was erasing itself: it goes on until it is done") from None
        pause = min(pause * 2, LAST_LOOK)
        if now is None:
            silent += 1
            if silent >= SILENT_LOOKS:
                raise Unconfirmed(f"the drive did not answer {silent} times in a row")
            continue
        silent = 0
        job.account.alive(now.progress)
        if now.stage is not Stage.RUNNING:
            return now, seen_running
        seen_running = True
        if now.progress != progress:
            moved, progress = time.monotonic(), now.progress
        elif time.monotonic() - moved > STILL:
            stuck = "no progress" if progress is None else f"{progress:.0%}"
            raise Unconfirmed(f"the drive stands at {stuck} since {STILL / 3600:.0f} hours")


class Joint:
    """A command that erases several namespaces of one drive at once: nobody gives it before all are ready for it.

    Each member calls `run` with the technique; one of them gives the command, all get what came of it. A member that
    is not to be erased after all calls `leave`, and then the command is not given.
    """

    def __init__(self, members: frozenset[str]) -> None:
        self._members = members
        self._gone: set[str] = set()
        self._ready: dict[str, set[str]] = {}
        self._given: set[str] = set()
        self._ended: dict[str, Erased | BaseException] = {}
        self._turn = threading.Condition()

    def leave(self, name: str) -> None:
        with self._turn:
            self._gone.add(name)
            self._turn.notify_all()

    def run(self, technique: str, job: Job, command: Callable[[], Erased]) -> Erased:
        """Raises what the command raised, NotBegun where a member left before all were ready, Cancelled."""
        name = job.disk.name
        with self._turn:
            ready = self._ready.setdefault(technique, set())
            ready.add(name)
            self._turn.notify_all()
            while ready != self._members and technique not in self._ended:
                self._wait(job)
        if name == min(self._members):
            job.account.check()
            self._give(technique, command)
        with self._turn:
            while technique not in self._ended:
                if min(self._members) in self._gone and technique in self._given:
                    raise Unconfirmed("the command was given for all of the drive, and nobody saw how it ended")
                self._wait(job, but=self._gone if technique in self._given else frozenset())
            ended = self._ended[technique]
        if isinstance(ended, BaseException):
            raise ended
        return ended

    def _wait(self, job: Job, but: Collection[str] = frozenset()) -> None:
        if self._gone.difference(but):
            names = ", ".join(sorted(self._gone))
            raise NotBegun(f"{names}, of the same drive, is not erased by a command for all of it")
        self._turn.wait(0.2)
        job.account.alive(None)
        job.account.check()

    def _give(self, technique: str, command: Callable[[], Erased]) -> None:
        ended: Erased | BaseException
        with self._turn:
            if self._gone:
                raise NotBegun(f"{', '.join(sorted(self._gone))}, of the same drive, is not erased")
            self._given.add(technique)
        try:
            ended = command()
        except BaseException as error:  # raised again in every member
            ended = error
        with self._turn:
            self._ended[technique] = ended
            self._turn.notify_all()
