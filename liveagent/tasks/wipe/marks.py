"""Marks on a disk before its own firmware erases it: they have to be gone afterwards, whatever the drive says."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Iterable

from liveagent.events import JSON, Verdict
from liveagent.tasks.wipe.account import LOOK, Account, Ahead
from liveagent.tasks.wipe.flow import Flow, Span, Work
from liveagent.tasks.wipe.guards import Armed
from liveagent.tasks.wipe.overwrite import (
    RANGE_LIMIT,
    Damage,
    Digest,
    Medium,
    TooManyErrors,
    Trouble,
    Vanished,
    clip,
    cut_out,
)
from liveagent.tasks.wipe.pattern import Buffer, make_pattern
from liveagent.tasks.wipe.samples import choose_samples, describe_places

# A place still holds its mark where so many bytes in a row are as they were written.
WINDOW = 512
# Whether a disk holds what is written to it is seen on its first megabyte.
FIRST = 1024 * 1024


class Marks:
    """A random stream on the samples of one disk. `write` before the erase, `check` after it."""

    def __init__(self, account: Account, armed: Armed, verify: str) -> None:
        self._account = account
        self._medium = Medium(armed, account.note_answer)
        self._mark = make_pattern("random")
        self._seed = secrets.randbits(32)
        # The same places before and after, also where an erase that never began was tried before.
        known = account.row.get("before", {}).get("digest_seed")
        self._digest_seed = secrets.randbits(32) if known is None else known
        size, sector = self._medium.size, self._medium.sector
        # Somebody who wants no read-back is shown one all the same: without it a firmware erase proves nothing.
        self._samples = choose_samples(size, "sample" if verify == "none" else verify, sector, self._seed)
        self._looked_at = choose_samples(size, "sample", sector, self._digest_seed)
        self._unmarked = Damage()
        # Bytes of marks: what they were written over is gone, whatever comes after.
        self.written = 0
        self._before = Digest(self._medium)
        self._to_mark = sum(span.length for span in self._samples)

    def write(self) -> bool:
        """Sum up what is there, then mark it. False where the disk does not hold what is written to it."""
        account = self._account
        account.begin(LOOK)
        with account.pacing(self._looked_at):
            self._flow(self._looked_at, self._before.work, count=False)
        # An erase that never began may have been tried before: what it marked is not what was there.
        account.row.setdefault("before", {}).setdefault("digest_seed", self._digest_seed)
        account.row["before"].setdefault("digest", str(self._before))
        account.row["before"].setdefault("unreadable", self._before.unreadable)
        account.label = "marks before erase"
        account.measure(self._to_mark, ahead=Ahead(places=self._to_mark))
        try:
            self._flow(self._samples, self._medium.writer(self._mark, self._unmarked))
            self._medium.flush()
        except TooManyErrors:
            # A drive that lets nobody write, as one that is locked: it may erase itself all the same.
            self._unmarked = Damage((Trouble(0, self._medium.size, "took no mark"),))
            return True
        finally:
            done = account.meter.done if account.meter else 0
            self.written = max(0, done - self._unmarked.lost)
        first = Damage()
        self._medium.drop_caches()
        places = cut_out(self._samples[:1], self._unmarked.troubles)
        checker = self._medium.checker(self._mark, first)
        self._flow((Span(span.offset, min(span.length, FIRST)) for span in places), checker, count=False)
        if first.troubles:
            account.find("wipe.mark", Verdict.FAIL, "does not hold what is written to it, before the erase")
        return not first.troubles

    def close(self) -> None:
        """Let go of the disk."""
        self._medium.close()

    @property
    def count(self) -> int:
        """How many places carry a mark."""
        return len(self._marked())

    def _marked(self) -> list[list[int]]:
        return describe_places(cut_out(self._samples, self._unmarked.troubles))

    def check(self) -> None:
        """After a firmware erase a place may read as anything but what it held."""
        account = self._account
        account.label = "read back"
        account.measure(self._to_mark)
        self._medium.drop_caches()
        held, unreadable = Damage(), _Count()

        def work(buffer: Buffer, span: Span) -> None:
            try:
                self._medium.read(buffer, span)
            except OSError as error:
                if not account.note_answer():
                    raise Vanished(error.strerror) from None
                unreadable.add()
                if unreadable.number > RANGE_LIMIT:
                    raise TooManyErrors([Trouble(span.offset, span.length, "cannot be read")]) from None
                return
            if holds_any(bytes(buffer.view[: span.length]), self._mark.expected(span.offset, span.length)):
                held.add(Trouble(span.offset, span.length, "still holds what was there before"))

        with contextlib.suppress(TooManyErrors):
            self._flow(cut_out(self._samples, self._unmarked.troubles), work)
        after = Digest(self._medium)
        self._flow(self._looked_at, after.work, count=False)
        account.row.setdefault("after", {}).update(digest=str(after), unreadable=after.unreadable)
        for span in self._before.find_same(after):
            # Where no mark could be written, what was there before is one, unless it was nothing.
            if any(one.offset <= span.offset and span.end <= one.end for one in self._unmarked.troubles):
                held.add(Trouble(span.offset, span.length, "is as it was before"))
        self._judge(held, unreadable.number)

    def _judge(self, held: Damage, unreadable: int) -> None:
        account, places = self._account, self._marked()
        data: dict[str, JSON] = {
            "verify": "marks",
            "seed": self._seed,
            "samples": len(places),
            "bytes": sum(length for _, length in places),
            "mismatches": len(held.troubles),
            "unreadable": unreadable,
            "positions": places,
        }
        account.row["verification"] = data
        if held.troubles:
            first = held.troubles[0]
            summary = f"{len(held.troubles)} places {first.message}, the first at byte {first.offset}"
            account.find("wipe.verify.unchanged", Verdict.FAIL, summary, account.list_troubles(held.troubles))
        if unreadable:
            summary = f"{unreadable} places cannot be read after the erase"
            account.find("wipe.verify.unreadable", Verdict.UNKNOWN, summary)
        if not places:
            summary = "took no mark before the erase, so that little but the drive itself says that it was done"
            account.find("wipe.not_verified", Verdict.WARN, summary)

    def _flow(self, places: Iterable[Span], work: Work, count: bool = True) -> None:
        step = self._account.step if count else self._quiet
        Flow(clip(places, self._medium.size), work, step, self._account.check).run()

    def _quiet(self, length: int) -> None:
        self._account.step(0)


class _Count:
    """A number that several threads count up."""

    def __init__(self) -> None:
        self.number = 0
        self._lock = threading.Lock()

    def add(self) -> None:
        with self._lock:
            self.number += 1


def holds_any(data: bytes, mark: bytes, window: int = WINDOW) -> bool:
    """Whether any block of a stretch is as it was marked."""
    return any(data[at : at + window] == mark[at : at + window] for at in range(0, len(mark), window))
