"""The service: takes the boot's plan once, shows it on every console, then stays and sees that all is delivered."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Callable

from liveagent import __version__
from liveagent.adopter import Adopter
from liveagent.boot import Request, make_request, read_sources
from liveagent.bootnote import BOOT_ID, KeptDocument
from liveagent.broken import close_broken_run, close_broken_runs
from liveagent.bus.service import Service, Signals
from liveagent.cmdline import Cmdline
from liveagent.countdown import ConsoleCountdown
from liveagent.desk import Desk
from liveagent.engine import GRACE, Cancel
from liveagent.glance.service import Glance
from liveagent.heartbeat import attend
from liveagent.host import Cancelled, CommandError, Host
from liveagent.lock import BootMark, Busy
from liveagent.machine import Machine, probe_machine
from liveagent.order import Order, take_request
from liveagent.places import Places
from liveagent.plan import UNKNOWN_WORD, Plan, make_plan
from liveagent.report.console import Consoles, choose_consoles, choose_screens
from liveagent.report.login import keep_screen, show_idle
from liveagent.report.panel import Panel
from liveagent.report.record import Reader
from liveagent.report.sink import Sink
from liveagent.resume import Begun, Broken, CannotGoOn, UnderWay, find_broken, make_rest
from liveagent.session import Ended, Session
from liveagent.settings import AgentSettings, parse_settings
from liveagent.signals import handled
from liveagent.systemd import Manager, read_environment
from liveagent.tasks import Registry
from liveagent.then import conclude

log = logging.getLogger(__name__)

# Gettys wait for the countdown (they are ordered after the service); never longer than this.
READY_LIMIT = 120.0
SETTLE = 60.0
ADOPT_EVERY = 10.0
# With the grace of a task and this, the service still ends before systemd's TimeoutStopSec of 90 s.
STOP_DRAIN = 15.0


class Daemon:
    """The life of the service. `stopping` ends it; `run` returns when it has ended."""

    def __init__(self, host: Host, places: Places, config: str, environment: Mapping[str, str]) -> None:
        self._host = host
        self._places = places
        self._config = config
        self._environment = environment
        self._consoles = Consoles(host, ())
        self.cancel = Cancel()
        self.stopping = threading.Event()
        self._manager = Manager(host, environment)
        self._ready_limit = threading.Timer(READY_LIMIT, self._manager.ready)
        self._kept = KeptDocument(host, places.runtime)
        self._underway = UnderWay(host, places.runtime)
        self._left: Begun | None = None
        self._broken: Broken | None = None
        self._desk = Desk(
            host,
            places,
            config,
            environment,
            self._say,
            self._watchers,
            self._after_order,
            self._manager.beat,
        )
        self._bus = Service(self._desk, places.runtime, self._say)
        self._glance = Glance(host, places)
        self._adopter: Adopter | None = None
        # The run that was carried out here, whose delivery is nobody else's.
        self._own = ""

    def run(self) -> int:
        """Serve until told to stop. The exit status is 0 even after a run that failed: the service did not."""
        # As long as the unit is not ready the manager draws its "Job … running" over the consoles.
        self._manager.show_status("no")
        self._ready_limit.daemon = True
        self._ready_limit.start()
        handlers = {signal.SIGTERM: self._stop, signal.SIGINT: self._stop, signal.SIGUSR1: self._end_run}
        with handled(handlers):
            self._read_left()
            self._bus.start()
            self._glance.start()
            try:
                self._boot()
            except Cancelled:
                self._say("stopped before the plan was made")
            finally:
                self._ready_limit.cancel()
                self._manager.ready()
                self._glance.stop()
                self._bus.stop()
                self._consoles.stop()
        return 0

    def _read_left(self) -> None:
        """What an earlier service was killed in; its record says where that was until it is ended as one broken off.

        Where a person starts the service again nothing goes on by itself: he may have used the disks meanwhile.
        """
        self._left = self._underway.read()
        if self._left and self._manager.was_restarted() is False:
            self._left = None
            self._underway.clear()
        self._broken = find_broken(self._places.runs / self._left.run) if self._left else None

    # -- the boot's plan ----------------------------------------------------------------------------

    def _boot(self) -> None:
        # The config URL may take minutes, and may name other consoles: until then those that are known now.
        request, line = self._request_at_hand()
        settings, _ = parse_settings(request.agent)
        self._open_consoles(settings, line)
        mark = BootMark(self._places.runtime, self._host.read_or(BOOT_ID))
        taken = mark.read()
        host = self._host.cancelled_by(self.stopping)
        self._settle(host)
        # Ready or not, after two minutes the watchdog listens; a server full of disks that hang takes longer.
        machine = attend(lambda: probe_machine(host), self._manager.beat)
        self._greet(machine)
        for text in close_broken_runs(self._places, machine):
            self._say(text)
        if taken is not None:
            self._say_taken(machine, str(taken.get("run") or ""))
            self._go_on(machine)
            return
        request = self._fetch()
        plan = make_plan(request, Registry(self._host))
        for notice in plan.notices:
            self._say(notice)
        self._open_consoles(plan.settings, line)
        if plan.is_idle:
            self._spend(mark)
            units = f"left to the unit {', '.join(plan.units)}" if plan.units else "no task was asked for"
            self._say(f"idle: {units}; SSH is open, `liveagent list` shows what can be done")
            self._stay(plan.settings)
            return

        def note(run: str, directory: Path) -> None:
            mark.write(run, directory)
            self._underway.write(Begun(run))

        ended = self._take(plan, request, machine, note)
        if ended is None:
            self._spend(mark)
        elif plan.settings.then != "stay":
            self._after(plan, ended, self.cancel)
        self._stay(plan.settings, ended)

    def _take(self, plan: Plan, request: Request, machine: Machine, note: Callable[[str, Path], None]) -> Ended | None:
        """Carry a plan out here; None where it was not taken. What is noted is on disk before the first event."""
        if self._consoles.screens:
            keep_screen(self._places.runtime)
        if plan.faults:
            self._say_faults(plan)
        if plan.faults or not plan.is_destructive:
            self._manager.ready()

        def begin(run: str, directory: Path) -> None:
            self._desk.open()
            note(run, directory)

        session = Session(
            self._host,
            self._places,
            machine,
            self._say,
            self._watchers,
            self.cancel,
            ConsoleCountdown(
                self._consoles,
                self._say,
                self._manager.beat,
                self._manager.ready,
                listens=lambda: not plan.rest_of and self._hold_logins(),
            ),
            self._manager.beat,
        )
        try:
            ended = session.run(plan, request, before=begin)
        except Busy as error:
            self._say(f"{plan.word} was not begun: {error}")
        except OSError as error:
            self._say(f"{plan.word} was not begun: {error.filename or self._places.runtime}: {error.strerror}")
        else:
            self._underway.clear()
            return ended
        return None

    def _hold_logins(self) -> bool:
        """Have logins on consoles wait for the end of the countdown; False where they have waited too long already."""
        self._ready_limit.cancel()
        return not self._manager.is_ready

    def _spend(self, mark: BootMark) -> None:
        """Note that this boot's plan was looked at, and nothing came of it: a restart is not another boot."""
        try:
            mark.write("", self._places.runs)
        except OSError as error:
            self._say(f"Failed to write {mark.path}: {error.strerror}, ignoring")

    def _say_faults(self, plan: Plan) -> None:
        unknown = any(fault.code == UNKNOWN_WORD for fault in plan.faults)
        self._say("")
        self._say(f"*** SPEEDISO={plan.word}: {'UNKNOWN WORD' if unknown else 'NOTHING RUNS'} ***")
        for fault in plan.faults:
            self._say(f"  {fault}")
        self._say("The system stays up; SSH is open. `liveagent plan` shows this again.")
        self._say("")

    # -- afterwards ---------------------------------------------------------------------------------

    def _after(self, plan: Plan, ended: Ended, cancel: Cancel) -> None:
        """Wait for delivery; `then` is not done before, and not at all where a wipe's evidence would be lost."""
        was_cancelled = cancel.is_set()

        def drain() -> list[str]:
            limit = time.monotonic() + plan.settings.drain
            late = ended.drain(0)
            while late and time.monotonic() < limit and not self.stopping.is_set():
                if cancel.is_set() and not was_cancelled:
                    break
                self._beat()
                late = ended.drain(1.0)
            for line in late if plan.settings.then != "stay" else ():
                self._say(line)
            return late

        conclude(self._host, self._places, plan, ended, self._say, drain, cancel)

    def _after_order(self, plan: Plan, ended: Ended, cancel: Cancel) -> None:
        self._after(plan, ended, cancel)
        if self.stopping.is_set():
            ended.drain(STOP_DRAIN)

    def _say_taken(self, machine: Machine, run: str) -> None:
        """The service was started again in the same boot: say how the boot's run ended."""
        self._manager.ready()
        if not run:
            self._say("this boot's plan was looked at before, and nothing of it ran")
        else:
            self._say(f"this boot's plan was taken: {close_broken_run(self._places, run, machine)}")
            self._show_idle(machine)

    def _go_on(self, machine: Machine) -> None:
        """Go on with what the service was killed in, where it can; start nothing anew."""
        left, broken = self._left, self._broken
        found = self._find_rest(left, broken, machine) if left and broken else None
        if left is None or broken is None or found is None:
            self._say("Nothing is started anew.")
            # Only for the receivers and their secrets, which may stand in the config document alone.
            self._stay(parse_settings(self._fetch().agent)[0])
            return
        rest, request = found
        asked = broken.options if left.asked is None else left.asked
        # How the broken run ended is brought meanwhile: the rest of a wipe may take days.
        self._make_adopter(rest.settings).look()
        ended = self._take(
            rest,
            request,
            machine,
            lambda run, _: self._underway.write(Begun(run, left.order, left.times + 1, asked)),
        )
        self._stay(rest.settings, ended)

    def _find_rest(self, left: Begun, broken: Broken, machine: Machine) -> tuple[Plan, Request] | None:
        """What goes on of a run that was broken off, with all that was asked for then; None where nothing does."""
        try:
            request = self._ask_again(left.order) if left.order else self._fetch()
            plan = make_plan(request, Registry(self._host), at_boot=left.order is None)
            rest = make_rest(plan, left, broken, machine, self._host.now())
        except CannotGoOn as error:
            self._say(f"run {left.run} does not go on: {error}")
            return None
        self._say(rest.notices[-1])
        return rest, request

    def _ask_again(self, order: Order) -> Request:
        host = self._host.cancelled_by(self.stopping)
        environment = {**self._environment, **read_environment(self._host)} if order.as_booted else {}
        # Cut short by the host itself, as in `_fetch`.
        return attend(lambda: order.request(host, self._config, environment, self._say, self._kept), self._manager.beat)

    def _fetch(self) -> Request:
        """Everything that was asked for. A config URL has its own limit, which may be longer than the watchdog's."""
        host = self._host.cancelled_by(self.stopping)
        # Cut short by the host itself, which says so to whoever waits.
        return attend(
            lambda: take_request(host, self._config, self._environment, self._say, self._kept)[0], self._manager.beat
        )

    def _request_at_hand(self) -> tuple[Request, Cmdline]:
        """What was asked for as far as this machine knows it, without the config URL."""
        words, files, policy, line = read_sources(self._host, self._config)
        return make_request(self._environment, words, files, policy, line), line

    def _stay(self, settings: AgentSettings, ended: Ended | None = None) -> None:
        """Bring what is left, from whatever run, until told to stop."""
        self._manager.ready()
        self._desk.open()
        self._own = ended.result.run if ended else ""
        adopter = self._adopter or self._make_adopter(settings)
        while not self.stopping.is_set():
            adopter.look()
            looked = time.monotonic()
            while not self.stopping.is_set() and time.monotonic() - looked < ADOPT_EVERY:
                self._beat()
                self.stopping.wait(min(ADOPT_EVERY, self._manager.interval or ADOPT_EVERY))
        # What was ordered by hand has the same time to put things away as the boot's.
        self._desk.join(GRACE + STOP_DRAIN)
        if ended:
            # What is left of a run that was just stopped is its end: the receiver should have it.
            ended.drain(STOP_DRAIN)
        adopter.close()
        if ended:
            ended.close()

    def _make_adopter(self, settings: AgentSettings) -> Adopter:
        self._adopter = Adopter(
            self._places, settings, self._say, lambda run: run == self._own or self._desk.is_own(run)
        )
        return self._adopter

    # -- people -------------------------------------------------------------------------------------

    def _open_consoles(self, settings: AgentSettings, line: Cmdline) -> None:
        paths = choose_consoles(line, settings.consoles)
        if paths != self._consoles.paths:
            self._consoles.stop()
            self._consoles = Consoles(self._host, paths, choose_screens(self._host, paths))
            self._consoles.start()

    def _greet(self, machine: Machine) -> None:
        addresses = ", ".join(address for nic in machine.nics for address in nic.addresses if nic.name != "lo")
        identity = machine.identity
        name = " ".join(word for word in (identity.vendor, identity.product) if word)
        self._say(f"liveagent {__version__}{f', {machine.live.image}' if machine.live.image else ''}")
        self._say(f"serial {identity.serial or 'unknown'}  {name}  addresses {addresses or 'none'}")
        self._show_idle(machine)

    def _show_idle(self, machine: Machine) -> None:
        addresses = [address for nic in machine.nics for address in nic.addresses]
        serial = machine.identity.serial or ""
        show_idle(self._places.runtime, machine.live.image, serial, addresses, self._places.runs)

    def _say(self, text: str) -> None:
        log.info("%s", text)
        self._consoles.write(text)

    def _watchers(self, reader: Reader) -> Iterator[Sink]:
        yield Panel(reader, self._consoles)
        yield Signals(reader.twin(), self._bus)

    def _settle(self, host: Host) -> None:
        """Disks may still be coming up; what udev has not seen cannot be guarded."""
        if not host.is_real:
            return
        try:
            host.run(["udevadm", "settle", f"--timeout={SETTLE:.0f}"], timeout=SETTLE + 10)
        except CommandError as error:
            self._say(f"udev did not settle: {error}, ignoring")

    # -- the service manager ------------------------------------------------------------------------

    def _beat(self) -> None:
        """A sign of life of this loop, but for a run that is on elsewhere: that one has its own engine to show it."""
        if not self._desk.turns:
            self._manager.beat()

    def _end_run(self) -> None:
        """End what is on; a boot's plan that is not on yet is none of it."""
        # What somebody ends does not go on by itself, also where the service is killed before it has ended.
        self._underway.clear()
        reason = "asked to by `liveagent cancel`"
        if self._desk.running:
            self._desk.end(reason)
        else:
            self.cancel.end(reason)

    def _stop(self) -> None:
        self._underway.clear()
        self.cancel.end("the service was stopped")
        self._desk.end("the service was stopped")
        self.stopping.set()
