"""One disk, from the last look before the first write to its verdict."""

from __future__ import annotations

import contextlib
import errno
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Callable

from liveagent.events import JSON, Verdict, worst
from liveagent.host import Cancelled, CommandError
from liveagent.machine.contents import probe_contents
from liveagent.machine.smart import compare
from liveagent.tasks import Context
from liveagent.tasks.wipe import ata, nvme, opal, scsi
from liveagent.tasks.wipe import overwrite as disk_io
from liveagent.tasks.wipe.account import LAST_LOOK, Account, describe_begun, describe_disk, summarize_row
from liveagent.tasks.wipe.decide import Order, describe_held, probe_drives
from liveagent.tasks.wipe.firmware import Erased, Job, Joint, NotBegun, Unconfirmed
from liveagent.tasks.wipe.flow import Flow, spans
from liveagent.tasks.wipe.guards import Armed, Refusal, arm
from liveagent.tasks.wipe.marks import Marks
from liveagent.tasks.wipe.options import WipeOptions
from liveagent.tasks.wipe.passes import Overwrite, find_passed
from liveagent.tasks.wipe.pattern import make_pattern
from liveagent.tasks.wipe.rest import note_identity
from liveagent.tasks.wipe.running import find_running, measure_anew
from liveagent.tasks.wipe.select import Held
from liveagent.tasks.wipe.technique import CLEAR, NONE, PURGE, Technique, find_exceptions

log = logging.getLogger(__name__)

# How much `quick` takes off both ends: partition tables, their copies, superblocks, the metadata of arrays.
QUICK_ENDS = 16 * 1024 * 1024
SIGNATURES = 1024 * 1024
GONE_LOOKS, GONE_PAUSE = 10, 0.5
ERASERS: Mapping[str, Callable[[Job, str], Erased]] = {
    "nvme": nvme.erase,
    "ata": ata.erase,
    "scsi": scsi.erase,
    "opal": opal.erase,
}


class Worker:
    """Wipes one disk. `run` never raises for what the disk does; the row it returns says what became of it."""

    def __init__(self, context: Context, order: Order, options: WipeOptions, joint: Joint | None = None) -> None:
        self.disk = order.disk
        self.account = Account(context, order.disk)
        self._context = context
        self._order = order
        self._options = options
        self._joint = joint
        self._begun = False
        # Of an erase by the drive itself: bytes of marks that were written before it, and whether it was told to.
        self._marked = 0
        self._was_told = False
        self._was_awaited = False
        self._technique = order.choice.first
        row = self.account.row
        row["released"] = list(order.chosen.released)
        row["before"] = {"drive": order.drive.encode(), "holds": [content.kind for content in order.disk.contents]}
        row["fallbacks"] = []
        self._note_technique(order.choice.first)
        # From its first moment it is watched: an open can hang in the kernel as well as a write.
        self.account.watch()

    def unfinished(self) -> Mapping[str, JSON]:
        """The row of the disk as long as nothing else is known of it."""
        unknown = {"verdict": Verdict.UNKNOWN.value, "status": "not-erased", "summary": "did not end", "reasons": []}
        return {**describe_disk(self.disk), **unknown, "technique": self._technique.name, "method": NONE}

    def abandon(self, summary: str) -> Mapping[str, JSON] | None:
        """The row of a disk that hangs, as it is left behind; None where it ends at this very moment."""
        account = self.account
        if not account.close():
            return None
        if self._joint:
            self._joint.leave(self.disk.name)
        account.note("wipe.stalled", Verdict.UNKNOWN, summary)
        if account.has_password:
            # Whoever would take it off is the one that hangs.
            account.note("wipe.ata.password", Verdict.UNKNOWN, ata.explain_password("may still have", self.disk))
        # Its thread may come back at any time, and goes on with its own.
        row = account.copy_row()
        row.update(verdict=Verdict.UNKNOWN.value, status="not-erased", method=NONE, summary=summary)
        row["finished"] = account.now()
        self._context.part_finished(self.disk.name, Verdict.UNKNOWN, summary, row)
        return row

    def run(self) -> Mapping[str, JSON] | None:
        """The row, as the disk ended; None where it was left behind before that."""
        started = time.monotonic()
        account, name = self.account, self.disk.name
        account.row["started"] = account.now()
        options = {"technique": self._technique.name, "serial": self.disk.serial}
        self._context.part_started(name, options, note_identity(self.disk))
        try:
            with arm(self._context.host, self.disk, self._order.chosen.released) as answer:
                if isinstance(answer, Refusal):
                    return self._end_refused(answer)
                self._erase(answer)
                self._look_after(answer)
        except Cancelled:
            words = describe_begun(account.row, self._marked, self._was_told) if self._begun else "it was not begun"
            account.find("wipe.cancelled", Verdict.CANCELLED, words)
        except Unconfirmed as error:
            summary = f"{self._technique.name} was begun and not confirmed: {error}"
            account.find("wipe.technique.failed", Verdict.UNKNOWN, summary)
        except disk_io.Vanished as error:
            summary = f"vanished during the wipe ({error}): what it holds is unknown"
            account.find("wipe.vanished", Verdict.UNKNOWN, summary)
        except disk_io.TooManyErrors as error:
            listed = account.list_troubles(error.troubles)
            verdict = Verdict.UNKNOWN if self._is_gone() else Verdict.FAIL
            account.find("wipe.too_many_errors", verdict, f"given up: {error}", listed)
        except CommandError as error:
            account.find("wipe.technique.failed", Verdict.UNKNOWN, f"{self._technique.name} was not confirmed: {error}")
        except OSError as error:
            verdict = Verdict.UNKNOWN if error.errno in disk_io.GONE or self._is_gone() else Verdict.FAIL
            account.find("wipe.io_error", verdict, f"{account.label}: {error.strerror or error}")
        except Exception as error:  # the agent's own: this disk's row says so, and the others keep theirs
            log.exception("The wipe of %s raised", name)
            account.find("task.error", Verdict.ERROR, f"{type(error).__name__}: {error}")
        finally:
            if self._joint:
                self._joint.leave(name)
        return self._end(time.monotonic() - started)

    # -- the ways -----------------------------------------------------------------------------------

    def _erase(self, armed: Armed) -> None:
        """Try the techniques in their order; the next one only where the one before never began."""
        if self._await_running(armed):
            return
        if self._order.choice.unlock:
            ata.recover(self._context.host, self.disk)
        for technique in self._choose_rest(armed):
            self.account.check()
            self._technique = technique
            self._note_technique(technique)
            self._note_attempt(technique)
            if self._joint and not self._is_for_all(technique):
                self._joint.leave(self.disk.name)
            try:
                if technique.is_firmware:
                    self._firmware(armed, technique)
                elif technique.name == "quick":
                    self._quick(armed)
                else:
                    self._overwrite(armed)
            except NotBegun as error:
                self._pass_over(technique, str(error))
                continue
            self._judge_fallback(technique)
            if technique.is_firmware:
                self._overwrite_too(armed)
            return
        self.account.row["method"] = NONE
        summary = "; ".join(f"{row['technique']}: {row['reason']}" for row in self.account.row["fallbacks"])
        self.account.find("wipe.technique.refused", Verdict.FAIL, f"nothing was begun: {summary}")

    def _choose_rest(self, armed: Armed) -> Sequence[Technique]:
        """What is left to try: where an earlier sitting had come to overwriting, what it passed over never began."""
        techniques = self._order.choice.techniques
        last = techniques[-1]
        is_late = len(techniques) > 1 and not last.is_firmware and not self._options.also_overwrite
        passed = find_passed(self.account, armed, self._options) if is_late else ()
        for technique in techniques:
            if technique.name in passed:
                self._pass_over(technique, "it never began in an earlier sitting, which overwrites already")
        return [technique for technique in techniques if technique.name not in passed]

    def _overwrite_too(self, armed: Armed) -> None:
        """On top of what the firmware has erased, where that was asked for and all is well so far."""
        if not self._options.also_overwrite or self._has_failed():
            return
        self.account.row["verification_firmware"] = self.account.row.pop("verification", {})
        self._overwrite(armed)
        self.account.row["also_overwrite"] = True

    def _overwrite(self, armed: Armed) -> None:
        self._begun = True
        Overwrite(self.account, armed, self._options, self._context.run).run()

    def _firmware(self, armed: Armed, technique: Technique) -> None:
        """The drive's own erase between two looks at the same places: a mark written before must be gone after."""
        marks = Marks(self.account, armed, self._options.verify)
        try:
            self._firmware_between(armed, technique, marks)
        finally:
            self._marked += marks.written
            marks.close()

    def _firmware_between(self, armed: Armed, technique: Technique, marks: Marks) -> None:
        self._begun = True
        self._was_told = False  # another technique may have been tried before
        if not marks.write():
            return
        self.account.label = technique.name
        job = self._make_job(armed)
        erase = ERASERS[technique.name.partition("-")[0]]

        def command() -> Erased:
            self._was_told = True
            return erase(job, technique.name)

        if self._joint and self._is_for_all(technique):
            erased = self._joint.run(technique.name, job, command)
        else:
            erased = command()
        self.account.row["tool"] = erased.tool
        marks.check()
        if not erased.seen and not marks.count:
            summary = "the drive says that it is done, and was seen neither at work nor changed by it"
            self.account.find("wipe.technique.unseen", Verdict.UNKNOWN, summary)

    def _is_for_all(self, technique: Technique) -> bool:
        """Whether a technique takes every namespace of the drive along."""
        facts = self._order.drive.nvme
        if technique.name.startswith("nvme-format-"):
            return bool(facts and facts.format_all)
        return technique.name.startswith("nvme-sanitize-") or technique.name == "opal-psid-revert"

    def _quick(self, armed: Armed) -> None:
        """Signatures and both ends. What lies between is all there, and nothing calls this erased."""
        self._begun = True
        self.account.label = "quick"
        size = self.disk.size
        ends = [(0, min(QUICK_ENDS, size)), (max(0, size - QUICK_ENDS), size)]
        ends += [(part.start, min(part.start + QUICK_ENDS, size)) for part in self.disk.partitions]
        places = [span for start, end in dict.fromkeys(ends) for span in spans(start, end)]
        self.account.measure(sum(span.length for span in places))
        damage = disk_io.Damage()
        with disk_io.Medium(armed, self.account.note_answer) as medium:
            Flow(places, medium.writer(make_pattern("zero"), damage), self.account.step, self.account.check).run()
            medium.flush()
        self.account.row["bytes_written"] = sum(span.length for span in places) - damage.lost
        if damage.troubles:
            summary = f"{damage.bytes} bytes could not be written"
            self.account.find("wipe.write_error", Verdict.FAIL, summary, self.account.list_troubles(damage.troubles))
        self.account.find("wipe.quick", Verdict.WARN, "signatures and both ends are gone, and what lies between is not")

    def _await_running(self, armed: Armed) -> bool:
        """Wait for a sanitize that an earlier boot began; whether that is all there is to do."""
        running = find_running(self._order.drive)
        if running is None:
            return False
        name, job = running.name, self._make_job(armed)
        self._begun = self._was_awaited = True
        self._technique = Technique(name, PURGE, "the drive was found erasing itself, and was waited for")
        self._note_technique(self._technique)
        self._note_attempt(self._technique)
        self.account.label = name
        self.account.watch()
        self.account.say(f"{name} runs already, since before this boot: waiting for it")
        running.wait(job)
        had_size = bool(self.disk.size)
        if not had_size:
            measure_anew(self._context.host, self.account)
        self.account.find(
            "wipe.sanitize.found", Verdict.PASS, "a sanitize that ran already was waited for, and ended well"
        )
        wanted = [technique.name for technique in self._order.choice.techniques]
        is_enough = self._options.method in ("auto", "purge") or any(one.startswith(name) for one in wanted)
        if not is_enough and had_size:
            return False
        summary = "the drive's own log is the only evidence: it was erasing itself before anyone could mark it"
        self.account.find("wipe.not_verified", Verdict.WARN, summary)
        if not had_size and (not is_enough or self._options.also_overwrite):
            summary = "it had no size when this run began: what else was asked for is not done; run it again"
            self.account.find("wipe.io_error", Verdict.FAIL, summary)
        else:
            self._overwrite_too(armed)
        return True

    def _make_job(self, armed: Armed) -> Job:
        psid = self._options.find_psid(self.disk.serial)
        return Job(self._context.host, armed, self._order.drive, self.account, psid)

    # -- what is said -------------------------------------------------------------------------------

    def _note_technique(self, technique: Technique) -> None:
        self.account.row.update(technique=technique.name, technique_why=technique.why, method=technique.method)

    def _note_attempt(self, technique: Technique) -> None:
        """What is being tried, for a disk that it does not erase."""
        words = (technique.name,) if technique.method == NONE else (technique.method, technique.name)
        self.account.row["attempted"] = ", ".join(words)

    def _pass_over(self, technique: Technique, reason: str) -> None:
        self.account.row["attempted"] = None
        self.account.row["fallbacks"].append({"technique": technique.name, "reason": reason})
        self.account.say(f"{technique.name} never began: {reason}")

    def _judge_fallback(self, technique: Technique) -> None:
        """What was to be a purge and became a clear is said: nobody shall find that out from the small print."""
        if self._order.choice.first.method == PURGE and technique.method == CLEAR:
            first = self.account.row["fallbacks"][0]
            summary = f"only a clear: {first['technique']}, which is a purge, never began ({first['reason']})"
            self.account.find("wipe.fell_back", Verdict.WARN, summary)

    def _look_after(self, armed: Armed) -> None:
        """What the drive says of itself now, and whether anything is still recognised on it."""
        host, account = self._context.host, self.account
        account.begin(LAST_LOOK)
        try:
            with disk_io.Medium(armed) as medium:
                medium.reread_partitions()
        except OSError as error:
            if error.errno != errno.EINVAL:  # a device that has no partitions
                account.say(f"Failed to re-read the partition table: {error.strerror}, ignoring")
        drive = probe_drives(host, [self.disk])[self.disk.name]
        left = self._find_signatures()
        if left and self._was_awaited:
            # No mark could be made before it: what is still there is the only witness.
            summary = f"something is still recognised on it: {', '.join(left)}"
            account.find("wipe.signature", Verdict.UNKNOWN, summary)
        elif left and self._technique.is_firmware and not account.row.get("also_overwrite"):
            # What a changed key makes of the disk may look like anything, and some drives keep their first sectors.
            self._clear_ends(armed)
            left = self._find_signatures()
            if left:
                summary = f"something is still recognised on it: {', '.join(left)}"
                account.find("wipe.signature", Verdict.FAIL, summary)
        account.row.setdefault("after", {}).update(drive=drive.encode(), holds=left)
        before = self._order.drive.health
        if before and drive.health:
            worse = compare(before, drive.health)
            if worse:
                account.find("wipe.health", Verdict.WARN, f"got worse during the wipe: {'; '.join(worse)}")

    def _find_signatures(self) -> list[str]:
        return [content.kind for content in probe_contents(self._context.host, self.disk.name, (), {})]

    def _clear_ends(self, armed: Armed) -> None:
        """Zeros over both ends, where signatures lie."""
        size = self.disk.size
        places = [*spans(0, min(SIGNATURES, size)), *spans(max(0, size - SIGNATURES), size)]
        with disk_io.Medium(armed, self.account.note_answer) as medium:
            work = medium.writer(make_pattern("zero"), disk_io.Damage())
            Flow(places, work, lambda length: None, self.account.check).run()
            medium.drop_caches()

    def _end_refused(self, refusal: Refusal) -> Mapping[str, JSON] | None:
        held = Held(refusal.disk, refusal.reasons)
        for reason in refusal.reasons:
            self.account.find(reason.code, Verdict.REFUSED, f"refused just before the first write: {reason.text}")
        row = describe_held(held, Verdict.REFUSED)
        return row if self.account.finish(Verdict.REFUSED, held.text, row) else None

    def _end(self, seconds: float) -> Mapping[str, JSON] | None:
        account, row = self.account, self.account.row
        exceptions = list(find_exceptions(self._order.drive, self._technique)) if self._begun else []
        if exceptions and not self._has_failed({"wipe.write_error"}):
            row["exceptions"] += exceptions
            if self._technique.name != "quick":
                account.find("wipe.exceptions", Verdict.WARN, f"not reached: {'; '.join(exceptions)}")
        verdict = worst(account.verdicts) if account.verdicts else Verdict.PASS
        row["status"] = self._choose_status()
        if row["status"] == "not-erased":
            row["bytes_written"] = row["bytes_written"] or self._marked
        row.update(verdict=verdict.value, finished=account.now(), seconds=round(seconds, 3))
        if row["status"] == "not-erased":
            row["method"] = NONE
        row["summary"] = summarize_row(row, self._technique.name)
        return row if account.finish(verdict, row["summary"], row) else None

    def _has_failed(self, but: Collection[str] = ()) -> bool:
        return any(
            verdict not in (Verdict.PASS, Verdict.WARN) for code, verdict in self.account.codes if code not in but
        )

    def _is_gone(self) -> bool:
        """Whether the disk was pulled: the kernel takes a moment to find out, and errs until then."""
        for _ in range(GONE_LOOKS):
            if not self.account.is_there():
                return True
            with contextlib.suppress(Cancelled):
                self._context.host.pause(GONE_PAUSE)
        return False

    def _choose_status(self) -> str:
        """`erased-with-exceptions`: all but places that are named, each of which was tried, or could not be."""
        row = self.account.row
        is_listed = {"wipe.write_error"}
        if not self._begun or self._technique.name == "quick" or self._has_failed(is_listed):
            return "not-erased"
        if self._has_failed():
            lost = len(row["errors"])
            row["exceptions"].append(f"{lost} {'stretch' if lost == 1 else 'stretches'} that could not be written")
        return "erased-with-exceptions" if row["exceptions"] else "erased"
