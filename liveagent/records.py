"""What runs and what ran, for whoever looks: read from the records, or asked for over the bus by those who may not.

Both say the same, since the daemon reads the same records.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from liveagent.events import JSON, Event, Type, Verdict
from liveagent.lock import Holder, Lock
from liveagent.places import Places
from liveagent.report import undelivered
from liveagent.report.record import EVENTS, Reader, read_events, read_last
from liveagent.report.troubles import list_disks, list_runs, only_mapping, only_mappings

# Disks with these were not at work.
HELD_BACK = (Verdict.SKIPPED.value, Verdict.REFUSED.value)
# Findings of a run that did not see the end of a task: its result does not have all that this was at work on.
BROKEN = "run.broken"
OPEN = {BROKEN, "task.stuck"}
# A page of events: enough that a long record is read in a few, and small enough that none holds anybody up.
PAGE = 1000
# A part that is at work says how far it is five times a second; one that did not among so many is not at work.
RECENT = 5_000


class Records(Protocol):
    """The runs of a machine. Runs are named whole, but for `find`."""

    def status(self) -> dict[str, JSON]:
        """`state` is `idle` or `running`; the run is the one that is on, else the newest."""

    def history(self) -> list[dict[str, JSON]]:
        """Every run, the newest last: `run`, `tasks`, `verdict`, `summary`, `disks` that it was at work on.

        `started` and `finished` as in its result; "" where it is on or was broken off.
        """

    def find(self, name: str) -> str:
        """As `choose_run`; the one that is on counts as the newest."""

    def events(self, run: str, after: int) -> Sequence[Event]:
        """The next events beyond `after`, a page of them."""

    def is_on(self, run: str) -> bool:
        """Whether the run is going on."""

    def result(self, run: str) -> dict[str, Any] | None:
        """How a run ended; None where it has not."""


def choose_run(runs: Sequence[str], name: str) -> str:
    """A run by its name or its beginning, "" is the last; "" where there is none, or several."""
    if not name:
        return runs[-1] if runs else ""
    if name in runs:
        return name
    matches = [run for run in runs if run.startswith(name)]
    return matches[0] if len(matches) == 1 else ""


class Status:
    """What the newest run does, kept up with its record: each look reads only what is new, the first what lasts."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._path = directory / EVENTS
        self._reader: Reader | None = None
        self._steps: dict[str, JSON] = {}
        self._progress: dict[str, JSON] = {}
        self._serials: dict[str, JSON] = {}
        self._at_boot: JSON = None
        self._end: dict[str, JSON] = {"verdict": None}

    def read(self) -> dict[str, JSON]:
        if self._reader is None:
            newest = read_last(self._path)
            for event in read_events(self._path, durable=True):
                self._take(event)
            # Some of the durable ones come a second time, in the same order, and say the same again.
            self._reader = Reader(self._path, max(0, newest.sequence - RECENT) if newest else 0)
        while events := self._reader.read(PAGE):
            for event in events:
                self._take(event)
        return {
            "steps": dict(self._steps),
            "serials": dict(self._serials),
            "progress": dict(self._progress),
            "at_boot": self._at_boot,
            **self._end,
        }

    def _take(self, event: Event) -> None:
        if event.type is Type.RUN_STARTED:
            self._at_boot = event.data.get("at_boot")
        elif event.type is Type.STEP_STARTED:
            self._steps[event.subject] = "running"
            serial = only_mapping(event.data.get("options")).get("serial")
            if serial:
                self._serials[event.subject] = serial
        elif event.type is Type.STEP_FINISHED:
            self._steps[event.subject] = event.data.get("verdict")
            self._progress.pop(event.subject, None)
        elif event.type is Type.PROGRESS:
            self._progress[event.subject] = dict(event.data)
        elif event.type is Type.RUN_FINISHED:
            self._end = {"verdict": event.data.get("verdict"), "summary": event.data.get("summary")}


class Disk:
    """The records themselves. Not for several threads at once."""

    def __init__(self, places: Places, image: str = "") -> None:
        self._places = places
        self._image = image
        self._status: Status | None = None

    def status(self) -> dict[str, JSON]:
        holder = Lock(self._places.runtime).holder()
        directories = self._places.run_directories()
        directory = Path(holder.directory) if holder else (directories[-1] if directories else None)
        document: dict[str, JSON] = {"state": "running" if holder else "idle", "image": self._image or None}
        if directory is None:
            return {**document, "run": None}
        if self._status is None or self._status.directory != directory:
            self._status = Status(directory)
        document.update(run=directory.name, directory=str(directory), **self._status.read())
        if holder:
            document.update(pid=holder.pid, word=holder.word)
        document["undelivered"] = sorted(undelivered(directory))
        return document

    def history(self) -> list[dict[str, JSON]]:
        holder = Lock(self._places.runtime).holder()
        return [self._make_row(run, holder) for run in self._list(holder)]

    def _make_row(self, run: str, holder: Holder | None) -> dict[str, JSON]:
        result = self.result(run) or {}
        codes, tasks = _list_codes(result), only_mappings(result.get("tasks"))
        names, serials = list_begun(self._places.runs / run) if not result or codes & OPEN else ((), ())
        disks = [*(name for task in tasks for name in _name_disks(task)), *serials]
        row: dict[str, JSON] = {
            "run": run,
            "tasks": ",".join([str(task.get("task")) for task in tasks] if result else names),
            "verdict": result.get("verdict", ""),
            "started": result.get("started", ""),
            # Of one that was killed, it is when its record was ended.
            "finished": "" if BROKEN in codes else result.get("finished", ""),
            "summary": result.get("summary", "") if result else "broken off",
            "disks": list(dict.fromkeys(disks)),
        }
        if holder and run == holder.run:
            row.update(tasks=holder.word, verdict="", finished="", summary="running")
        return row

    def fates(self, serials: Collection[str]) -> dict[tuple[str, str, str], list[str]]:
        """How the newest wipe of each of these disks left it: serials by run, status and verdict.

        Nothing from before a run that has no result, since it is on or was broken off, or one whose record is lost: it
        may be at work on them. Nor of a disk that was in work when a run was killed.
        """
        found: dict[tuple[str, str, str], list[str]] = {}
        known: set[str] = set()
        for run in reversed(self._list(Lock(self._places.runtime).holder())):
            result = self.result(run)
            codes = _list_codes(result or {})
            if result is None or (BROKEN in codes and not result.get("tasks")):
                break
            for disk in (disk for task in only_mappings(result.get("tasks")) for disk in list_disks(task)):
                serial = str(disk.get("serial") or "")
                if serial not in serials or serial in known or not disk.get("status") or disk["verdict"] in HELD_BACK:
                    continue
                known.add(serial)
                found.setdefault((run, str(disk["status"]), disk["verdict"]), []).append(serial)
            if codes & OPEN:
                known.update(list_begun(self._places.runs / run)[1])
        return found

    def find(self, name: str) -> str:
        return choose_run(self._list(Lock(self._places.runtime).holder()), name)

    def _list(self, holder: Holder | None) -> list[str]:
        """The runs by name; the one that is on is the newest, whatever it is called."""
        runs = [directory.name for directory in self._places.run_directories()]
        # One that has just been taken has nothing on record yet.
        if holder and Path(holder.directory).parent == self._places.runs:
            runs = [*(run for run in runs if run != holder.run), holder.run]
        return runs

    def events(self, run: str, after: int, limit: int = PAGE) -> list[Event]:
        return Reader(self._places.runs / run / EVENTS, after).read(min(limit, PAGE))

    def is_on(self, run: str) -> bool:
        holder = Lock(self._places.runtime).holder()
        return holder is not None and holder.run == run

    def result(self, run: str) -> dict[str, Any] | None:
        return read_result(self._places.runs / run)


def read_result(directory: Path) -> dict[str, Any] | None:
    """`result.json` of a run, else the last event's data; None where it has not ended."""
    try:
        document: dict[str, Any] = json.loads((directory / "result.json").read_text(encoding="utf-8"))
        return document
    except (OSError, ValueError):
        newest = read_last(directory / EVENTS)
        return dict(newest.data) if newest and newest.type is Type.RUN_FINISHED else None


def _list_codes(result: Mapping[str, Any]) -> set[str]:
    """Of all findings, those of its tasks as well."""
    sources = (*only_mappings(result.get("tasks")), result)
    return {str(finding.get("code")) for one in sources for finding in only_mappings(one.get("findings"))}


def list_begun(directory: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a run has begun, by its events: the tasks, and the serials of the disks."""
    begun = [event for event in read_events(directory / EVENTS, durable=True) if event.type is Type.STEP_STARTED]
    tasks = [event.subject for event in begun if "/" not in event.subject]
    parts = [event for event in begun if "/" in event.subject]
    serials = [only_mapping(event.data.get("options")).get("serial") for event in parts]
    return tuple(dict.fromkeys(tasks)), tuple(dict.fromkeys(str(serial) for serial in serials if serial))


def _name_disks(task: Mapping[str, Any]) -> Iterator[str]:
    """By serial, else by path; not those that were left out or held back."""
    named = [(disk, disk.get("serial") or disk.get("path") or disk.get("name")) for disk in list_disks(task)]
    named += [(run, run.get("disk")) for run in list_runs(task)]
    for row, name in named:
        if name and row.get("verdict") not in HELD_BACK:
            yield str(name)
