"""All disks at once, each in a thread of its own: one that hangs is said to hang, and in the end is left behind."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Callable

from liveagent.events import JSON
from liveagent.report.lines import render_duration
from liveagent.tasks import Context
from liveagent.tasks.wipe.worker import Worker

log = logging.getLogger(__name__)

POLL = 0.1


@dataclasses.dataclass(frozen=True)
class Patience:
    """Seconds without a sign of life until a disk is said to hang, and until the others end without it.

    `cancelled`: the same once the run was told to end, within what the engine leaves a task to put things away.
    """

    stalled: float = 60.0
    given_up: float = 1800.0
    cancelled: float = 30.0


class SideBySide:
    """The workers of one run, and the rows that their disks get.

    A row is put in place as its disk ends, and handed to `ended`, which raises nothing: from then on the disk cannot be
    left behind any more, nor can one that was left behind say anything.
    """

    def __init__(
        self,
        context: Context,
        workers: Sequence[Worker],
        rows: list[Mapping[str, JSON]],
        patience: Patience,
        ended: Callable[[Mapping[str, JSON]], None],
    ) -> None:
        self._context = context
        self._workers = workers
        self._rows = rows
        self._patience = patience
        self._ended = ended
        self._lock = threading.Lock()
        self._left = set(range(len(workers)))
        self._stalled: set[int] = set()
        self._cancelled: float | None = None

    def run(self) -> None:
        """Until each has ended or was left behind."""
        threads = [
            threading.Thread(target=self._work, args=(index,), name=f"wipe-{worker.disk.name}", daemon=True)
            for index, worker in enumerate(self._workers)
        ]
        for thread in threads:
            thread.start()
        behind: set[int] = set()
        while self._left:
            time.sleep(POLL)
            if self._cancelled is None and self._context.cancel.is_set():
                self._cancelled = time.monotonic()
            behind.update(index for index in [*self._left] if self._leave_behind(index))
        for index, thread in enumerate(threads):
            if index not in behind:
                thread.join()

    def _work(self, index: int) -> None:
        try:
            row = self._workers[index].run()
            with self._lock:
                if row is None or index not in self._left:
                    return  # it was left behind, and the row that it got then stands
                self._rows[index] = row
                # From here on it cannot be left behind: what it says last is what counts.
                self._left.discard(index)
            self._ended(row)
        except Exception:  # the agent's own, past all that the worker catches: its row stays unknown
            log.exception("The wipe of %s raised", self._workers[index].disk.name)
        finally:
            with self._lock:
                self._left.discard(index)

    def _leave_behind(self, index: int) -> bool:
        """Whether a disk has been silent for too long, and has not had its last word meanwhile."""
        silent = self._watch(index)
        # Whoever was told to end may take a moment for it, however long he was silent before.
        waited = min(silent, time.monotonic() - self._cancelled) if self._cancelled is not None else 0.0
        if silent < self._patience.given_up and waited < self._patience.cancelled:
            return False
        words = f"gave no sign of life for {render_duration(silent)} and was left behind: what it holds is unknown"
        row = self._workers[index].abandon(words)
        if row is None:
            return False
        with self._lock:
            self._left.discard(index)
            self._rows[index] = row
        self._ended(row)
        return True

    def _watch(self, index: int) -> float:
        """Say it where a disk has begun or ended to hang; for how many seconds it has not moved."""
        worker = self._workers[index]
        meter = worker.account.meter
        if meter is None:
            return 0.0
        silent = time.monotonic() - meter.moved
        if silent > self._patience.stalled and index not in self._stalled:
            self._stalled.add(index)
            self._context.line(f"stalled: {worker.disk.label} has not moved for {silent:.0f} s", worker.disk.name)
            # The pace that it last had is none any more.
            self._context.progress(worker.disk.name, meter.done, meter.total, "bytes", "stalled")
        elif silent < self._patience.stalled and index in self._stalled:
            self._stalled.discard(index)
            self._context.line(f"{worker.disk.label} moves again", worker.disk.name)
        return silent
