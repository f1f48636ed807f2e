"""One run from the lock to the last delivery: what the daemon and the command line have in common."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Callable

from liveagent import heap
from liveagent.boot import Request
from liveagent.engine import Cancel, Countdown, Engine, make_run_id, report_faults
from liveagent.events import Result, make_source
from liveagent.heartbeat import attend
from liveagent.host import Host
from liveagent.lock import Keep, Lock
from liveagent.machine import Machine, probe_machine
from liveagent.places import Places
from liveagent.plan import Plan
from liveagent.report import (
    Delivery,
    Sinks,
    note_receivers,
    open_callbacks,
    render_undelivered,
)
from liveagent.report.identify import light_up
from liveagent.report.journal import open_journal
from liveagent.report.login import Login, read_last
from liveagent.report.record import Reader
from liveagent.report.sink import Sink
from liveagent.report.spool import Spool
from liveagent.scrub import Scrubber
from liveagent.settings import AgentSettings

log = logging.getLogger(__name__)

Say = Callable[[str], None]
# Makes the sinks of those who watch: the consoles, a terminal.
Watchers = Callable[[Reader], Iterable[Sink]]


def make_delivery(settings: AgentSettings) -> Delivery:
    return Delivery(settings.callbacks, settings.callback_secret, settings.callback_token, settings.callback_ca)


@dataclasses.dataclass(frozen=True)
class Ended:
    """A run that ended: its result, the open sinks, what the spool had to say, and whether its lock stays held."""

    result: Result
    sinks: Sinks
    last: int
    trouble: str
    kept: bool = False

    def drain(self, seconds: float) -> list[str]:
        """Wait for delivery; what is undelivered then, in words."""
        return render_undelivered(self.sinks.drain(self.last, seconds))

    def close(self) -> None:
        self.sinks.stop()


@dataclasses.dataclass
class Session:
    """What a run needs beside its plan. `say` speaks to whoever sits there; it may be called from any thread."""

    host: Host
    places: Places
    machine: Machine
    say: Say
    watchers: Watchers
    cancel: Cancel = dataclasses.field(default_factory=Cancel)
    countdown: Countdown | None = None
    # Called by the engine as long as it turns.
    beat: Callable[[], None] | None = None

    def run(self, plan: Plan, request: Request, before: Callable[[str, Path], None] | None = None) -> Ended:
        """Carry a plan out, or report its faults. Raises Busy, OSError (no lock: nothing ran).

        `before(run, directory)` is called under the lock before the first event; what it raises ends it all.
        """
        run = make_run_id(self.host.now())
        directory = self.places.runs / run
        with Lock(self.places.runtime).held(run, plan.word, directory) as keep:
            if before:
                before(run, directory)
            return self.run_held(plan, request, run, keep)

    def run_held(self, plan: Plan, request: Request, run: str, keep: Keep) -> Ended:
        """The same under a lock that the caller holds; `keep()` has it held on after him."""
        ended = self._run(plan, request, run, self.places.runs / run)
        if any(finding.code == "task.stuck" for task in ended.result.tasks for finding in task.findings):
            # It may still be writing: nothing else starts beside it as long as this process lives.
            keep()
            ended = dataclasses.replace(ended, kept=True)
        heap.give_back()
        return ended

    def _run(self, plan: Plan, request: Request, run: str, directory: Path) -> Ended:
        identity = self.machine.identity
        source = make_source(identity.serial, identity.uuid, identity.boot_mac)
        spool = Spool(directory, run, source, plan.settings.spool_max)
        sinks = self.open_sinks(spool, plan.settings)
        sinks.start()
        scrub = Scrubber(request.secrets)
        engine = Engine(
            self.host,
            self.machine,
            plan,
            spool,
            scrub,
            self.cancel,
            self.countdown,
            look=lambda: probe_machine(self.host),
            beat=self.beat,
        )
        watch = threading.Thread(target=self._watch_spool, args=(spool,), name="spool", daemon=True)
        watch.start()
        try:
            result = report_faults(engine.emit, spool, self.machine, plan) if plan.faults else engine.run()
            trouble, last = spool.trouble, spool.last
        finally:
            spool.close()
        write_page(directory, result)
        sinks.settle(last)
        if plan.settings.identify and self.host.can_run:
            paths = {disk.name: disk.path for disk in self.machine.disks}
            # A server full of failed disks takes longer than the watchdog waits.
            attend(lambda: light_up(self.host, result, paths, self.say), self.beat)
        return Ended(result, sinks, last, trouble)

    def open_sinks(self, spool: Spool, settings: AgentSettings) -> Sinks:
        """The sinks of a run; where it is to go is noted with it, for a daemon that may have to take over."""
        delivery = make_delivery(settings)
        try:
            spool.directory.mkdir(parents=True, exist_ok=True)
            note_receivers(spool.directory, delivery)
        except OSError as error:
            self.say(f"Failed to write {spool.directory}: {error.strerror}; the run goes on with its record in memory")
        deliveries = open_callbacks(spool.directory, delivery, self.say, spool)
        watchers = [*self.watchers(Reader(spool.path, spool=spool))]
        watchers.append(Login(Reader(spool.path, spool=spool), self.places.runtime, read_last(self.places.runs)))
        journal = open_journal(Reader(spool.path, spool=spool), say=self.say) if self.host.is_real else None
        return Sinks(deliveries, [*watchers, *([journal] if journal else [])])

    def _watch_spool(self, spool: Spool) -> None:
        """Say once when the record cannot be written, and once when it can again."""
        told = ""
        after = 0
        while not spool.closed:
            spool.wait(after, 1.0)
            after = spool.last
            if spool.trouble != told:
                told = spool.trouble
                self.say(f"{told}; the run goes on, its record in memory" if told else f"{spool.path} is written again")


def write_page(directory: Path, result: Result) -> None:
    """`report.html` beside the record; what cannot be written is said and passed over, the record has it all."""
    from liveagent.report.page import render_page

    try:
        page = render_page(result.encode())
        (directory / "report.html").write_text(page, encoding="utf-8", errors="replace")
    except Exception as error:  # whatever a task put into its data, the run is over and its result is kept
        log.error("Failed to write %s: %s, ignoring", directory / "report.html", error)
