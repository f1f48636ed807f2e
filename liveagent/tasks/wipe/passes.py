"""A disk overwritten from end to end: all passes, the read-back, and going on where an earlier sitting ended."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import secrets
import time
from collections.abc import Iterable, Sequence

from liveagent.events import JSON, Verdict
from liveagent.host import Cancelled
from liveagent.report.lines import render_bytes
from liveagent.tasks.wipe.account import LOOK, Account, Ahead, name_pass
from liveagent.tasks.wipe.flow import Flow, Span, Work, spans
from liveagent.tasks.wipe.guards import Armed
from liveagent.tasks.wipe.options import WipeOptions
from liveagent.tasks.wipe.overwrite import Damage, Digest, Medium, TooManyErrors, Trouble, clip, cut_out
from liveagent.tasks.wipe.pattern import Pattern, make_patterns
from liveagent.tasks.wipe.record import PAGE, SEALED, UNSEALED, Keeper, Record, Sitting, find_reserved, why_not_same
from liveagent.tasks.wipe.samples import choose_claims, choose_samples, describe_places

# A power cut costs at most this many seconds of work; the drive's cache goes down each time.
RECORD_EVERY = 5.0
# Bytes from which on a seek before them takes no time worth counting.
IN_A_ROW = 4 * 1024 * 1024


def find_passed(account: Account, armed: Armed, options: WipeOptions) -> tuple[str, ...]:
    """The techniques that never began in an earlier sitting, which then came to overwriting the disk as wanted now."""
    overwrite = Overwrite(account, armed, options, "")
    try:
        return overwrite.find_passed()
    finally:
        overwrite.close()


class Overwrite:
    """One disk's passes. `run` fills the account's row; what it raises is what the disk did, or a cancel."""

    def __init__(
        self, account: Account, armed: Armed, options: WipeOptions, run: str, every: float = RECORD_EVERY
    ) -> None:
        self._account = account
        self._options = options
        self._run = run
        self._every = every
        self._medium = Medium(armed, account.note_answer)
        self._damage = Damage()
        self._reserved = find_reserved(armed.disk)
        self._body = self._reserved.offset if self._reserved else armed.disk.size
        self._keeper = Keeper(self._medium, self._reserved, account.context.seal) if self._reserved else None
        self._kept = 0.0
        self._finished = self._judged = self._is_closed = False
        self._mismatches = Damage()
        # What was noted before, as of a firmware erase that this follows; the passes' own comes after it.
        self._noted = list(account.row["errors"])
        # Drawn anew in every sitting: where it will be looked at nobody who had the disk in his hands can know.
        self._sample_seed = secrets.randbits(32)
        disk = armed.disk
        self._record = Record(
            serial=disk.serial,
            model=disk.model,
            size=disk.size,
            body=self._body,
            patterns=options.patterns,
            seed=secrets.token_hex(32),
            digest_seed=secrets.randbits(32),
            passed=tuple(row["technique"] for row in account.row.get("fallbacks", ())),
            contents=tuple(dict.fromkeys(content.kind for content in disk.contents)),
        )

    def run(self) -> None:
        """Raises Vanished, TooManyErrors, OSError, Cancelled."""
        try:
            if not self._medium.size:
                raise OSError(errno.ENOSPC, "the disk has no size: there is nothing to write to")
            self._resume()
            self._account.begin(LOOK)
            self._sum_up()
            self._note_row()
            for number in range(self._record.number, len(self._record.patterns)):
                if self._record.phase == "write":
                    self._write_pass(number)
            if self._record.phase == "write":
                self._checkpoint(phase="verify", offset=0)
            self._verify()
        except Cancelled:
            # Whoever goes on does so just here, and both certificates say the same of this sitting.
            with contextlib.suppress(OSError):
                if self._kept:
                    self._checkpoint()
                    self._is_closed = True
            raise
        finally:
            self._tell_mismatches()
            self._close_sitting()
            self._note_row()
            self.close()

    def close(self) -> None:
        """Let go of the disk."""
        if self._keeper:
            self._keeper.close()
        self._medium.close()

    # -- going on where an earlier sitting ended ----------------------------------------------------

    def find_record(self) -> Record | None:
        """The record of an earlier sitting of this same wipe, where what it claims is there."""
        found = self._keeper.read() if self._keeper else None
        if not found:
            return None
        why = why_not_same(found, self._record) or self._why_not_provable(found) or self._why_not_believed(found)
        if why:
            self._account.say(f"begun anew: it carries the record of another wipe ({why})")
        return None if why else found

    def find_passed(self) -> tuple[str, ...]:
        """The techniques that a sealed record passed over. By anybody else's word none is: they are tried again."""
        found = self.find_record()
        return found.passed if found and self._keeper and self._keeper.is_sealed(found) else ()

    def _why_not_provable(self, record: Record) -> str:
        """Of what nothing seals only the last pass can be read back: that there were others is its word alone."""
        is_sealed = self._keeper is not None and self._keeper.is_sealed(record)
        is_later = len(record.patterns) > 1 and (record.phase == "verify" or record.number > 0)
        return "nothing seals it, and its first passes cannot be read back" if is_later and not is_sealed else ""

    def _resume(self) -> None:
        """Take over the record of an earlier sitting, where there is one that counts."""
        # The sitting is as long as this run is at work on the disk, in the record and in the certificate.
        started = str(self._account.row.get("started") or self._account.now())
        found = self.find_record()
        if found and self._keeper:
            is_sealed = self._keeper.is_sealed(found)
            if not is_sealed:
                whole = found.phase == "verify" or found.number == len(found.patterns)
                claimed = self._body if whole else found.offset
                # A place that is said not to take data could be one that somebody wants to keep: it is tried again.
                suspected = (*found.suspected, *found.errors)
                found = dataclasses.replace(found, claimed=max(found.claimed, claimed), suspected=suspected, errors=())
            self._record = found
            self._damage = Damage(found.errors)
            is_sealed = is_sealed and not found.claimed and not found.suspected
            self._account.row["resumed"] = SEALED if is_sealed else UNSEALED
            sittings = [sitting.encode() for sitting in found.sittings]
            measured = {"from": found.written, "sittings": sittings, "sealed": is_sealed}
            words = f"resumed at {render_bytes(found.written)}, the last point that run {found.sittings[-1].run} saved"
            if not is_sealed:
                words += "; that is not signed by this agent's key, so all that it claims to have written is read back"
            self._account.find("wipe.resumed", Verdict.PASS, words, measured)
        sitting = Sitting(self._run, started, "", self._record.written, self._record.written)
        self._record = dataclasses.replace(self._record, sittings=(*self._record.sittings, sitting))

    def _why_not_believed(self, record: Record) -> str:
        """Look at what a record claims: somebody may have used the disk since. "" where it holds."""
        patterns = make_patterns(record.patterns, bytes.fromhex(record.seed))
        number, end = (record.number, record.offset) if record.phase == "write" else (len(patterns) - 1, self._body)
        if number == len(patterns):
            number, end = number - 1, self._body
        if number == 0 and end == 0:
            return ""
        damage = Damage()
        bad = [Trouble(one.offset, one.length, "") for one in map(self._align, (*record.errors, *record.suspected))]
        claims = [(Span(0, end), self._medium.checker(patterns[number], damage))]
        if number:
            # Since the record was written the pass went on for a while, so that behind it both are found.
            believer = self._medium.believer(patterns[number], patterns[number - 1], damage)
            claims.append((Span(end, self._body - end), believer))
        looks = [([*cut_out(choose_claims(claim, self._sample_seed), bad)], work) for claim, work in claims]
        with contextlib.suppress(TooManyErrors), self._account.pacing(span for places, _ in looks for span in places):
            for places, work in looks:
                self._flow(places, work, count=False)
        if damage.troubles:
            return f"byte {damage.troubles[0].offset} does not hold what it says: the disk was used since"
        return ""

    # -- the passes ---------------------------------------------------------------------------------

    def _look_ahead(self, number: int) -> Ahead:
        """What comes after the pass of this number."""
        record = self._record
        lengths = [span.length for span in self._samples()]
        reads = sum(length for length in lengths if length >= IN_A_ROW)
        return Ahead(record.size * (len(record.patterns) - number - 1), sum(lengths) - reads, reads)

    def _sum_up(self) -> None:
        """The sum over samples of what was there before the first write, once: marks or passes may be there by now."""
        before = self._account.row.get("before", {})
        if self._record.digest:
            return
        if "digest_seed" in before:
            known = {name: before[name] for name in ("digest", "unreadable", "digest_seed")}
            self._record = dataclasses.replace(self._record, **known)
            return
        with self._account.pacing(self._choose_looks()):
            digest = self._make_digest()
        self._record = dataclasses.replace(self._record, digest=str(digest), unreadable=digest.unreadable)

    def _make_digest(self) -> Digest:
        """The sum over the same places, before and after."""
        digest = Digest(self._medium)
        self._flow(self._choose_looks(), digest.work, count=False)
        return digest

    def _choose_looks(self) -> Sequence[Span]:
        record = self._record
        return choose_samples(record.size, "sample", self._medium.sector, record.digest_seed)

    def _write_pass(self, number: int) -> None:
        record = self._record
        self._account.label = name_pass(number, len(record.patterns))
        pattern = self._patterns()[number]
        start = record.offset if number == record.number else 0
        self._record = dataclasses.replace(record, phase="write", number=number, offset=start)
        flow = self._make_flow(spans(start, self._body), self._medium.writer(pattern, self._damage))

        def watch() -> None:
            self._account.check()
            if time.monotonic() - self._kept > self._every:
                self._checkpoint(offset=max(start, flow.mark))

        flow.watch = watch
        self._checkpoint(offset=start)
        self._account.measure(record.size, start, self._look_ahead(number))
        try:
            flow.run()
        finally:
            self._record = dataclasses.replace(self._record, offset=max(start, flow.mark))
        self._account.complete()  # the record's own space is written last
        self._medium.flush()
        self._checkpoint(number=number + 1, offset=0)

    def _checkpoint(self, **change: JSON) -> None:
        """Note how far it is: on the medium first, then in the record."""
        self._medium.flush()
        record = dataclasses.replace(self._record, **change)
        *earlier, sitting = record.sittings
        sitting = dataclasses.replace(sitting, finished=self._account.now(), end=record.written)
        self._record = dataclasses.replace(
            record, sequence=record.sequence + 1, sittings=(*earlier, sitting), errors=self._damage.troubles
        )
        self._kept = time.monotonic()
        self._note_row()
        if self._keeper:
            try:
                self._keeper.write(self._record)
            except (OSError, ValueError) as error:
                self._account.say(f"Failed to write the record for resuming: {error}, ignoring")
                self._keeper.close()
                self._keeper = None

    # -- the read-back ------------------------------------------------------------------------------

    def _samples(self) -> tuple[Span, ...]:
        chosen = choose_samples(self._record.size, self._options.verify, self._medium.sector, self._sample_seed)
        claimed = self._record.claimed
        if not claimed:
            return chosen
        behind = (Span(max(span.offset, claimed), span.end - max(span.offset, claimed)) for span in chosen)
        return (Span(0, claimed), *(span for span in behind if span.length > 0))

    def _verify(self) -> None:
        """Read back what is before the reserved space, wipe that space, and read it back too."""
        samples, last = self._samples(), self._patterns()[-1]
        self._account.label = "overwrite"
        suspected = [self._align(trouble) for trouble in self._record.suspected]
        self._flow(suspected, self._medium.writer(last, self._damage), count=False)
        self._medium.flush()
        self._medium.drop_caches()
        self._account.label = "read back"
        self._account.measure(sum(span.length for span in samples))
        check = self._medium.checker(last, self._mismatches)
        flow = self._make_flow(cut_out(clip(samples, self._body), self._damage.troubles), check)

        def watch() -> None:
            self._account.check()
            if self._mismatches.troubles and self._record.phase == "verify":
                # Whoever goes on from here must not take it for a disk that only needs its samples read.
                self._checkpoint(phase="write", number=len(self._record.patterns) - 1, offset=0)

        flow.watch = watch
        with contextlib.suppress(TooManyErrors):
            flow.run()
        if self._reserved:
            self._write_reserved(self._reserved, check)
        self._account.complete()
        self._finished = True
        digest = self._make_digest()
        self._account.row.setdefault("after", {}).update(digest=str(digest), unreadable=digest.unreadable)
        self._judge(samples, self._mismatches)

    def _write_reserved(self, reserved: Span, check: Work) -> None:
        """The record's own space, all passes: after this nothing of the record is left."""
        keeper, self._keeper = self._keeper, None
        if keeper:
            keeper.close()
        for pattern in self._patterns():
            places = spans(reserved.offset, reserved.end)
            self._flow(places, self._medium.writer(pattern, self._damage), count=False)
            self._medium.flush()
        self._medium.drop_caches()
        self._flow(cut_out(spans(reserved.offset, reserved.end), self._damage.troubles), check, count=False)

    def _judge(self, samples: Sequence[Span], mismatches: Damage) -> None:
        account = self._account
        self._judged = True
        account.row["errors"] = [*self._noted]
        places = describe_places(cut_out(samples, self._damage.troubles))
        data: dict[str, JSON] = {
            "verify": self._options.verify,
            "seed": self._sample_seed,
            "samples": len(places),
            "bytes": sum(length for _, length in places),
            "mismatches": len(mismatches.troubles),
            "positions": places,
        }
        account.row["verification"] = data
        if self._damage.troubles:
            lost = len(self._damage.troubles)
            summary = f"{lost} {'place' if lost == 1 else 'places'}, {self._damage.bytes} bytes, could not be written"
            measured = account.list_troubles(self._damage.troubles)
            account.find("wipe.write_error", Verdict.FAIL, summary, measured)
        self._find_mismatches()
        if not samples or self._options.verify == "none":
            account.find("wipe.not_verified", Verdict.WARN, "was not read back (verify=none)")

    def _find_mismatches(self) -> None:
        found = self._mismatches.troubles
        if found:
            summary = f"{len(found)} places do not read back; byte {found[0].offset}: {found[0].message}"
            measured = self._account.list_troubles(found)
            self._account.find("wipe.verify.mismatch", Verdict.FAIL, summary, measured)

    def _tell_mismatches(self) -> None:
        """Where the read-back did not come to its end, what it had found until then is said all the same."""
        if self._judged or not self._mismatches.troubles:
            return
        with contextlib.suppress(OSError):
            if self._record.phase == "verify":
                self._checkpoint(phase="write", number=len(self._record.patterns) - 1, offset=0)
        self._judged = True
        self._find_mismatches()

    def _align(self, trouble: Trouble) -> Span:
        """A stretch on whole pages, before the reserved space."""
        start = trouble.offset // PAGE * PAGE
        return Span(start, max(0, min(-(-trouble.end // PAGE) * PAGE, self._body) - start))

    # -- what they have in common -------------------------------------------------------------------

    def _patterns(self) -> list[Pattern]:
        return make_patterns(self._record.patterns, bytes.fromhex(self._record.seed))

    def _make_flow(self, places: Iterable[Span], work: Work, count: bool = True) -> Flow:
        step = self._account.step if count else self._silent
        return Flow(places, work, step, self._account.check)

    def _flow(self, places: Iterable[Span], work: Work, count: bool = True) -> None:
        self._make_flow(clip(places, self._medium.size), work, count).run()

    def _silent(self, length: int) -> None:
        """A sign of life that counts as no progress."""
        self._account.step(0)

    @property
    def _written(self) -> int:
        """Bytes written over all passes; the record's own space is wiped when no record can say so any more."""
        return self._record.size * len(self._record.patterns) if self._finished else self._record.written

    def _close_sitting(self) -> None:
        *earlier, sitting = self._record.sittings or (None,)
        if sitting and not self._is_closed:
            sitting = dataclasses.replace(sitting, finished=self._account.now(), end=self._written)
            self._record = dataclasses.replace(self._record, sittings=(*earlier, sitting))

    def _note_row(self) -> None:
        record, row = self._record, self._account.row
        patterns = self._patterns()
        row["pattern"] = ",".join(dict.fromkeys(record.patterns))
        row["passes"] = len(record.patterns)
        row["seed"] = patterns[-1].seed
        row["bytes_written"] = max(0, self._written - self._damage.lost)
        row["sittings"] = [sitting.encode() for sitting in record.sittings]
        if not self._judged:
            row["errors"] = [*self._noted, *(dataclasses.asdict(trouble) for trouble in self._damage.troubles)]
        row.setdefault("before", {}).update(
            digest=record.digest,
            digest_seed=record.digest_seed,
            unreadable=record.unreadable,
            holds=list(record.contents),
        )
        if len(record.sittings) > 1:
            row["started"] = record.sittings[0].started
