"""One disk, from the last look before the first write to its verdict."""

from __future__ import annotations

import dataclasses
import errno
import logging
import secrets
import time
from collections.abc import Mapping
from typing import Any

from liveagent.events import JSON, Finding, Verdict, worst
from liveagent.host import Cancelled, CommandError
from liveagent.machine.disks import Disk
from liveagent.options import render_value
from liveagent.tasks import Context
from liveagent.tasks.wipe import overwrite as disk_io
from liveagent.tasks.wipe.guards import Armed, Refusal, arm
from liveagent.tasks.wipe.nvme import SES, format_namespace, read_controller_serial
from liveagent.tasks.wipe.options import WipeOptions
from liveagent.tasks.wipe.pattern import Pattern, make_pattern
from liveagent.tasks.wipe.select import Chosen, Held
from liveagent.tasks.wipe.technique import Technique

log = logging.getLogger(__name__)

# Stretches that are named one by one in a result; the rest is counted.
LISTED = 16


def describe_disk(disk: Disk) -> dict[str, JSON]:
    """What identifies a disk in a result, whatever became of it."""
    return {
        "name": disk.name,
        "path": disk.path,
        "serial": disk.serial,
        "wwn": disk.wwn,
        "vendor": disk.vendor,
        "model": disk.model,
        "firmware": disk.firmware,
        "size": disk.size,
        "logical_block": disk.logical_block,
        "transport": disk.transport.value,
        "contents": [dataclasses.asdict(content) for content in disk.contents],
    }


def describe_held(held: Held, verdict: Verdict) -> dict[str, JSON]:
    """The row of a disk that was not touched."""
    reasons = [{"code": reason.code, "text": reason.text} for reason in held.reasons]
    return {
        **describe_disk(held.disk),
        "verdict": verdict.value,
        "status": "not-erased",
        "reasons": reasons,
        "summary": held.text,
    }


class Worker:
    """Wipes one disk. `run` never raises for what the disk does; the row it returns says what became of it."""

    def __init__(self, context: Context, chosen: Chosen, technique: Technique, options: WipeOptions) -> None:
        self.disk = chosen.disk
        self.meter: disk_io.Meter | None = None
        self._context = context
        self._chosen = chosen
        self._technique = technique
        self._options = options
        self._begun = False
        self._label = technique.name
        self._verdicts: list[Verdict] = []
        self._row: dict[str, JSON] = {
            **describe_disk(chosen.disk),
            "technique": technique.name,
            "technique_why": technique.why,
            "released": list(chosen.released),
            "bytes_written": 0,
            "errors": [],
        }

    def unfinished(self) -> Mapping[str, JSON]:
        """The row of the disk as long as nothing else is known of it."""
        unknown = {"verdict": Verdict.UNKNOWN.value, "status": "not-erased", "summary": "did not end"}
        return {**describe_disk(self.disk), **unknown, "technique": self._technique.name, "reasons": []}

    def run(self) -> Mapping[str, JSON]:
        started = time.monotonic()
        self._context.part_started(self.disk.name, {"technique": self._technique.name, "serial": self.disk.serial})
        try:
            with arm(self._context.host, self.disk, self._chosen.released) as answer:
                if isinstance(answer, Refusal):
                    return self._end_refused(answer)
                self._erase(answer)
        except Cancelled:
            state = "it was begun and is not erased" if self._begun else "it was not begun"
            self._find("wipe.cancelled", Verdict.CANCELLED, f"cancelled: {state}")
        except disk_io.Vanished as error:
            self._find(
                "wipe.vanished", Verdict.UNKNOWN, f"vanished during the wipe ({error}): what it holds is unknown"
            )
        except disk_io.TooManyErrors as error:
            listed = self._list_troubles(error.troubles)
            self._find("wipe.too_many_errors", Verdict.FAIL, f"given up: {error}", listed)
        except CommandError as error:
            self._find("wipe.technique.failed", Verdict.UNKNOWN, f"{self._technique.name} was not confirmed: {error}")
        except OSError as error:
            verdict = Verdict.UNKNOWN if error.errno in disk_io.GONE else Verdict.FAIL
            self._find("wipe.io_error", verdict, f"{self._label}: {error.strerror or error}")
        except Exception as error:  # the agent's own: this disk's row says so, and the others keep theirs
            log.exception("The wipe of %s raised", self.disk.name)
            self._find("task.error", Verdict.ERROR, f"{type(error).__name__}: {error}")
        return self._end(time.monotonic() - started)

    # -- the two ways -------------------------------------------------------------------------------

    def _erase(self, armed: Armed) -> None:
        if self._technique.name in SES:
            self._format(armed)
        else:
            self._overwrite(armed)
        try:
            disk_io.reread_partitions(armed)
        except OSError as error:
            if error.errno == errno.EINVAL:
                return  # a device that has no partitions
            self._context.line(f"Failed to re-read the partition table: {error.strerror}, ignoring", self.disk.name)

    def _overwrite(self, armed: Armed) -> None:
        """All passes, then the read-back of the last one."""
        options, size = self._options, self.disk.size
        seed = secrets.randbits(32)
        samples = disk_io.choose_samples(size, options.verify, self.disk.logical_block, seed)
        self.meter = disk_io.Meter(size * options.passes + sum(span.length for span in samples), self._progress)
        pattern = make_pattern(options.pattern)
        self._begun = True
        troubles: list[disk_io.Trouble] = []
        for number in range(1, options.passes + 1):
            self._label = "overwrite" if options.passes == 1 else f"overwrite {number}/{options.passes}"
            pattern = make_pattern(options.pattern)
            found = disk_io.overwrite(armed, pattern, self._step)
            troubles += found
            self._row["bytes_written"] += max(0, size - sum(trouble.length for trouble in found))
        self._row.update(pattern=options.pattern, passes=options.passes, seed=pattern.seed)
        if troubles:
            lost = sum(trouble.length for trouble in troubles)
            summary = f"{len(troubles)} places, {lost} bytes, could not be written"
            self._find("wipe.write_error", Verdict.FAIL, summary, self._list_troubles(troubles))
        self._verify(armed, pattern, samples, seed)

    def _verify(self, armed: Armed, pattern: Pattern, samples: tuple[disk_io.Span, ...], seed: int) -> None:
        options = self._options
        data: dict[str, JSON] = {"verify": options.verify, "seed": seed, "samples": len(samples)}
        data["bytes"] = sum(span.length for span in samples)
        self._row["verification"] = data
        if not samples:
            self._find("wipe.not_verified", Verdict.WARN, "was not read back (verify=none)")
            return
        self._label = "read back"
        troubles = disk_io.read_back(armed, pattern, samples, self._step)
        data["mismatches"] = len(troubles)
        if troubles:
            first = troubles[0]
            summary = f"{len(troubles)} of {len(samples)} places do not read back; byte {first.offset}: {first.message}"
            self._find("wipe.verify.mismatch", Verdict.FAIL, summary, self._list_troubles(troubles))

    def _format(self, armed: Armed) -> None:
        """NVMe Format between two looks at the same places: a mark written before must be gone after."""
        seed = secrets.randbits(32)
        verify = "sample" if self._options.verify == "none" else self._options.verify
        samples = disk_io.choose_samples(self.disk.size, verify, self.disk.logical_block, seed)
        mark = make_pattern("random")
        self.meter = disk_io.Meter(2 * sum(span.length for span in samples), self._progress)
        self._begun = True
        self._label = "mark"
        for span in samples:
            disk_io.write_span(armed, span, mark.expected(span.offset, span.length))
            self._step(span.length)
        if disk_io.read_back(armed, mark, samples[:1], lambda length: None):
            self._find("wipe.mark", Verdict.FAIL, "does not hold what is written to it, before the format")
            return
        self._label = self._technique.name
        if read_controller_serial(self._context.host, self.disk) != self.disk.serial:
            self._find("wipe.guard.changed", Verdict.REFUSED, "its controller is another drive than a moment ago")
            return
        self._row["tool"] = format_namespace(self._context.host, armed, self._technique.name)
        self._check_marks(armed, mark, samples, seed)

    def _check_marks(self, armed: Armed, mark: Pattern, samples: tuple[disk_io.Span, ...], seed: int) -> None:
        """After a firmware erase a place may read as anything but what it held."""
        self._label = "read back"
        disk_io.flush_caches(armed)
        held = []
        for span in samples:
            try:
                data = disk_io.read_span(armed, span)
            except OSError as error:
                held.append(disk_io.Trouble(span.offset, span.length, error.strerror or str(error)))
            else:
                expected = mark.expected(span.offset, span.length)
                if holds_any(data, expected):
                    held.append(disk_io.Trouble(span.offset, span.length, "still holds what was there before"))
            self._step(span.length)
        self._row["verification"] = {
            "verify": "marks", "seed": seed, "samples": len(samples),
            "bytes": sum(span.length for span in samples), "mismatches": len(held),
        }  # fmt: skip
        if held:
            summary = f"{len(held)} of {len(samples)} places: {held[0].message}, first at byte {held[0].offset}"
            self._find("wipe.verify.unchanged", Verdict.FAIL, summary, self._list_troubles(held))

    # -- what is said -------------------------------------------------------------------------------

    def _step(self, length: int) -> None:
        if self._context.cancel.is_set():
            raise Cancelled("cancelled")
        assert self.meter
        self.meter.add(length)

    def _progress(self, done: int, total: int, rate: float | None, eta: float | None) -> None:
        self._context.progress(self.disk.name, done, total, "bytes", self._label, rate, eta)

    def _find(self, code: str, verdict: Verdict, summary: str, measured: Mapping[str, JSON] | None = None) -> None:
        self._verdicts.append(verdict)
        self._context.finding(Finding(code, verdict, self.disk.label, summary, measured or {}), self.disk.name)

    def _list_troubles(self, troubles: Any) -> dict[str, JSON]:
        rows = [dataclasses.asdict(trouble) for trouble in troubles]
        self._row["errors"] += rows[: LISTED * LISTED]
        return {"places": len(rows), "first": rows[:LISTED]}

    def _end_refused(self, refusal: Refusal) -> Mapping[str, JSON]:
        held = Held(refusal.disk, refusal.reasons)
        for reason in refusal.reasons:
            self._find(reason.code, Verdict.REFUSED, f"refused just before the first write: {reason.text}")
        row = describe_held(held, Verdict.REFUSED)
        self._context.part_finished(self.disk.name, Verdict.REFUSED, held.text, row)
        return row

    def _end(self, seconds: float) -> Mapping[str, JSON]:
        verdict = worst(self._verdicts) if self._verdicts else Verdict.PASS
        is_erased = verdict in (Verdict.PASS, Verdict.WARN)
        status = "erased" if is_erased else "not-erased"
        self._row.update(verdict=verdict.value, status=status, seconds=round(seconds, 3), reasons=[])
        self._row["summary"] = self._summary(is_erased)
        self._context.part_finished(self.disk.name, verdict, self._row["summary"], self._row)
        return self._row

    def _summary(self, is_erased: bool) -> str:
        verification = self._row.get("verification", {})
        if not is_erased:
            return f"{self._technique.name}: not erased"
        words = [self._technique.name]
        if self._technique.name == "overwrite":
            words.append(f"with {render_value(self._row['pattern'])}")
        checked = verification.get("bytes", 0)
        words.append(
            f"read back {checked} bytes in {verification.get('samples', 0)} places" if checked else "not read back"
        )
        return ", ".join([" ".join(words[:-1]), words[-1]])


def holds_any(data: bytes, mark: bytes, window: int = 512) -> bool:
    """Whether any block of a stretch is as it was marked."""
    return any(data[at : at + window] == mark[at : at + window] for at in range(0, len(mark), window))
