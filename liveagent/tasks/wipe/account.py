"""What is said of one disk while it is wiped, and what remains of it: the row of the result."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Callable

from liveagent.events import JSON, Finding, Verdict, render_time
from liveagent.host import Cancelled
from liveagent.machine.disks import Disk
from liveagent.machine.temperatures import Thermometer
from liveagent.options import render_value
from liveagent.report.lines import render_bytes
from liveagent.tasks import Context
from liveagent.tasks.wipe.flow import Span
from liveagent.tasks.wipe.overwrite import Trouble

# Stretches that are named one by one in a finding; a row lists them all.
LISTED = 16


def describe_disk(disk: Disk) -> dict[str, JSON]:
    """What identifies a disk in a result, whatever became of it."""
    return {
        "name": disk.name,
        "path": disk.path,
        "slot": disk.slot,
        "serial": disk.serial,
        "wwn": disk.wwn,
        "vendor": disk.vendor,
        "model": disk.model,
        "firmware": disk.firmware,
        "size": disk.size,
        "logical_block": disk.logical_block,
        "physical_block": disk.physical_block,
        "transport": disk.transport.value,
        "kind": disk.kind,
        "contents": [dataclasses.asdict(content) for content in disk.contents],
    }


# Before anything is written: the sum over samples, which has to be another one afterwards.
LOOK, LAST_LOOK = "samples before", "check after"


@dataclasses.dataclass(frozen=True)
class Ahead:
    """What a disk's later steps will move, in bytes: written, read at places far apart, read in a row."""

    writes: int = 0
    places: int = 0
    reads: int = 0

    def seconds(self, rate: float, pace: float | None) -> float:
        """At the rate of this step, and the pace (bytes a second) at which places were read before, where they were.

        Reading in a row is taken to be as fast as writing, and to be no slower than reading here and there.
        """
        return self.writes / rate + self.places / (pace or rate) + self.reads / max(rate, pace or 0.0)


NOTHING_AHEAD = Ahead()


class Meter:
    """How far one step is, how fast, how long still: a rate over the last seconds, and progress at most once a second.

    `moved` is when the disk last gave a sign of life, on the monotonic clock. Threads may add at the same time.
    With a total of 0 there is nothing to tell of: the disk is watched, and no more. `later` are the seconds, at the
    rate of this step, that those after it will take.
    """

    WINDOW = 20.0

    def __init__(
        self,
        total: int,
        tell: Callable[[int, int, float | None, float | None], None],
        done: int = 0,
        later: Callable[[float], float] = lambda rate: 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total = total
        self.done = done
        self._later = later
        self._clock = clock
        self.moved = clock()
        self._tell = tell
        self._told = 0.0
        self._marks: list[tuple[float, int]] = [(self.moved, done)]

    def add(self, length: int) -> None:
        now = self._clock()
        self.done += length
        self.moved = now
        # A mere sign of life is no news at the end either.
        if not self.total or (now - self._told < 1 and (self.done < self.total or not length)):
            return
        self._told = now
        self._marks = [mark for mark in self._marks if now - mark[0] <= self.WINDOW] or self._marks[-1:]
        since, before = self._marks[0]
        self._marks.append((now, self.done))
        rate = (self.done - before) / (now - since) if now > since else None
        eta = (self.total - self.done) / rate + self._later(rate) if rate else None
        self._tell(self.done, self.total, rate, eta)


class Account:
    """One disk's row, verdicts and voice. `label` is what is being done, for progress."""

    def __init__(self, context: Context, disk: Disk) -> None:
        self.context = context
        self.disk = disk
        self.meter: Meter | None = None
        self.label = ""
        # Bytes a second of reading places far apart, as it was seen on this disk.
        self._pace: float | None = None
        self._thermometer = Thermometer(context.host, disk.name)
        # Set when the disk was left behind: what its thread says after that is not heard.
        self.is_closed = False
        # Whether the drive may have the password of a security erase at this moment.
        self.has_password = False
        self._lock = threading.Lock()
        self.codes: list[tuple[str, Verdict]] = []
        self.row: dict[str, JSON] = {
            **describe_disk(disk),
            "bytes_written": 0,
            "errors": [],
            "exceptions": [],
            "reasons": [],
        }

    def copy_row(self) -> dict[str, JSON]:
        """What is known of the disk at this moment, which its thread no longer changes."""
        return {name: copy.copy(value) for name, value in self.row.copy().items()}

    @property
    def verdicts(self) -> list[Verdict]:
        return [verdict for _, verdict in self.codes]

    def now(self) -> str:
        """The time by the machine's clock, RFC 3339."""
        return render_time(self.context.host.now())

    def say(self, text: str) -> None:
        if not self.is_closed:
            self.context.line(text, self.disk.name)

    def find(self, code: str, verdict: Verdict, summary: str, measured: Mapping[str, JSON] | None = None) -> None:
        if not self.is_closed:
            self.note(code, verdict, summary, measured)

    def note(self, code: str, verdict: Verdict, summary: str, measured: Mapping[str, JSON] | None = None) -> None:
        """A finding also of a disk that is closed: for whoever closed it."""
        self.codes.append((code, verdict))
        if verdict not in (Verdict.PASS, Verdict.WARN):
            self.row["reasons"].append({"code": code, "text": summary})
        self.context.finding(Finding(code, verdict, self.disk.label, summary, measured or {}), self.disk.name)

    def check(self) -> None:
        """Raises Cancelled as soon as the run is, and where the disk was left behind: its run is over."""
        if self.context.cancel.is_set() or self.is_closed:
            raise Cancelled("cancelled")

    def watch(self) -> None:
        """Begin to note signs of life, where there is nothing to count or not known yet how much."""
        self.measure(0)

    def begin(self, label: str) -> None:
        """Something that takes its time and counts nothing; the figures of what came before are not its own."""
        self.label = label
        self.watch()
        if not self.is_closed:
            self.context.progress(self.disk.name, 0, 0, "", label)

    def measure(self, total: int, done: int = 0, ahead: Ahead = NOTHING_AHEAD) -> None:
        """Begin to count a step: `total` bytes are to be moved, `done` of them were before."""
        self.meter = Meter(total, self._progress, done, lambda rate: ahead.seconds(rate, self._pace))

    @contextlib.contextmanager
    def pacing(self, places: Iterable[Span]) -> Iterator[None]:
        """Places far apart are read meanwhile: how fast that goes is the pace of those that are read later."""
        started = time.monotonic()
        yield
        length, seconds = sum(span.length for span in places), time.monotonic() - started
        self._pace = length / seconds if length and seconds > 0 else None

    def complete(self) -> None:
        """What is left of the step will be done at another time, or is done already."""
        if self.meter:
            self.meter.add(self.meter.total - self.meter.done)

    def step(self, length: int) -> None:
        self.check()
        if self.meter:
            self.meter.add(length)

    def alive(self, progress: float | None) -> None:
        """A sign of life of a drive that works by itself; progress from 0 to 1, None where it does not say."""
        if self.meter:
            self.meter.moved = time.monotonic()
        if progress is not None:
            self._report(round(progress * 100, 1), 100, "%")

    def finish(self, verdict: Verdict, summary: str, row: Mapping[str, JSON]) -> bool:
        """The last word of this disk, unless somebody had it before; whether it was still to be had."""
        is_mine = self.close()
        if is_mine:
            self.context.part_finished(self.disk.name, verdict, summary, row)
        return is_mine

    def close(self) -> bool:
        """Take the last word; whether it was still to be had."""
        with self._lock:
            was_closed, self.is_closed = self.is_closed, True
        return not was_closed

    def note_answer(self) -> bool:
        """The disk answered, if only with an error; whether the kernel still knows it: one that was pulled errs too."""
        self.alive(None)
        return self.is_there()

    def is_there(self) -> bool:
        """Whether the kernel still has the disk, and has not taken it offline."""
        host, below = self.context.host, f"/sys/block/{self.disk.name}"
        return host.exists(below) and "offline" not in host.read_or(f"{below}/device/state")

    def list_troubles(self, troubles: Iterable[Trouble]) -> dict[str, JSON]:
        """Note stretches in the row, unless they lie in one that is there; what a finding says of them."""
        noted = [*troubles]
        rows = [dataclasses.asdict(trouble) for trouble in noted]
        known = [(error["offset"], error["offset"] + error["length"]) for error in self.row["errors"]]
        self.row["errors"] += [
            row
            for row, trouble in zip(rows, noted)
            if not any(start <= trouble.offset and trouble.end <= end for start, end in known)
        ]
        return {"places": len(rows), "first": rows[:LISTED]}

    def _progress(self, done: int, total: int, rate: float | None, eta: float | None) -> None:
        self._report(done, total, "bytes", rate, eta)

    def _report(
        self, done: float, total: float, unit: str, rate: float | None = None, eta: float | None = None
    ) -> None:
        self.context.progress(self.disk.name, done, total, unit, self.label, rate, eta, self._thermometer.read())


def name_pass(number: int, passes: int) -> str:
    """`overwrite 1/3` of three passes: each is counted for itself, and the time left is that of all."""
    return "overwrite" if passes == 1 else f"overwrite {number + 1}/{passes}"


def describe_begun(row: Mapping[str, Any], marked: int, was_told: bool) -> str:
    """How far it came with a disk that is not erased: what of it is gone, and what need not be.

    `marked` are the bytes of marks before an erase by the drive itself; `was_told`: whether that was begun.
    """
    state, written = "it was begun and is not erased", row["bytes_written"]
    if written:
        of = f"of {render_bytes(row['size'])} " if row.get("passes") == 1 else ""
        passes = "" if of else f", {render_bytes(row['size'])} a pass"
        return f"{state}: {render_bytes(written)} {of}written{passes}; the rest may be as it was"
    if marked:
        told = "begun, and not seen to end" if was_told else "not begun"
        return f"{state}: {render_bytes(marked)} of marks written over what was there; the drive's own erase was {told}"
    return state


def summarize_row(row: Mapping[str, Any], technique: str) -> str:
    """What became of a disk, in a line."""
    if row["status"] == "not-erased":
        return f"{technique}: {'written to, ' if row.get('bytes_written') else ''}not erased"
    verification = row.get("verification", {})
    words = f"{technique} ({row['method']})"
    if technique == "overwrite":
        words += f" with {render_value(row['pattern'])}"
    elif row.get("also_overwrite"):
        words += f", then overwritten with {render_value(row['pattern'])}"
    checked, samples = verification.get("bytes", 0), verification.get("samples", 0)
    words += f", read back {render_bytes(checked)} in {samples} places" if checked else ", not read back"
    return f"{words}, except {'; '.join(row['exceptions'])}" if row["exceptions"] else words
