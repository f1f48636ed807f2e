"""What the daemon does with what people hand in: one run at a time, carried out here, and told to whoever looks."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Mapping
from typing import Callable

from liveagent.bootnote import KeptDocument
from liveagent.engine import Cancel, make_run_id
from liveagent.events import JSON
from liveagent.host import Cancelled, Host
from liveagent.lock import Busy, Keep, Lock
from liveagent.machine import probe_machine
from liveagent.order import BadOrder, Order, decode_order
from liveagent.places import Places
from liveagent.plan import Plan, make_plan
from liveagent.records import PAGE, Disk
from liveagent.resume import Begun, UnderWay
from liveagent.session import Ended, Session, Watchers
from liveagent.systemd import read_environment
from liveagent.tasks import Registry

log = logging.getLogger(__name__)

Say = Callable[[str], None]
# What a reply holds, but for an event that is larger by itself; dbus-daemon closes on who sends it more than 32 MiB
# (max_message_size, dbus-daemon(1)), and that would be us.
REPLY = 4 * 1024 * 1024
LARGEST = 24 * 1024 * 1024


class Desk:
    """Takes orders, and answers questions about runs. Its methods are called by the bus, one at a time.

    `after(plan, ended, cancel)` is called when a run has ended, in the run's own thread.
    """

    def __init__(
        self,
        host: Host,
        places: Places,
        config: str,
        environment: Mapping[str, str],
        say: Say,
        watchers: Watchers,
        after: Callable[[Plan, Ended, Cancel], None],
        beat: Callable[[], None],
    ) -> None:
        self._host = host
        self._places = places
        self._config = config
        self._environment = environment
        self._say = say
        self._watchers = watchers
        self._after = after
        self._beat = beat
        self._cancel = Cancel()
        self._thread: threading.Thread | None = None
        # Until the boot's plan is on, or there is none: whoever came before it would take its place.
        self._is_open = threading.Event()
        # The run that is on here, and those whose delivery is still this process's.
        self.running = ""
        # Whether its engine has begun, and shows by itself that it turns.
        self.turns = False
        self._own: set[str] = set()
        self._failed: dict[str, str] = {}
        self.records = Disk(places)
        self._kept = KeptDocument(host, places.runtime)
        self._underway = UnderWay(host, places.runtime)

    def is_own(self, run: str) -> bool:
        return run in self._own

    def open(self) -> None:
        """Take orders from now on."""
        self._is_open.set()

    # -- the bus ------------------------------------------------------------------------------------

    def submit(self, text: str) -> dict[str, JSON]:
        """Begin what is ordered; `run`, or why not as `error`, with its `kind`: order, early, busy, lock."""
        try:
            order = decode_order(text)
        except BadOrder as error:
            return {"error": str(error), "kind": "order"}
        if not self._is_open.is_set():
            return {"error": "this boot's own plan is being made; try again in a moment", "kind": "early"}
        run = make_run_id(self._host.now())
        lock = contextlib.ExitStack()
        try:
            # From here on everybody sees that it is on, also while it looks at the machine.
            word = order.tasks or "as booted"
            keep = lock.enter_context(Lock(self._places.runtime).held(run, word, self._places.runs / run))
        except Busy as error:
            return {"error": f"nothing was begun: {error}", "kind": "busy"}
        except OSError as error:
            return {"error": f"{error.filename or self._places.runtime}: {error.strerror}", "kind": "lock"}
        self.running, self._cancel = run, Cancel()
        self._own.add(run)
        work = threading.Thread(target=self._carry_out, args=(run, order, lock, keep), name=f"run-{run}", daemon=True)
        work.start()
        self._thread = work
        return {"run": run}

    def cancel(self, run: str) -> None:
        """Stop the run that is on ("" is whichever), here or in a command. Raises LookupError, OSError."""
        holder = Lock(self._places.runtime).holder()
        if holder is None or (run and holder.run != run):
            raise LookupError(f"run {run} is not on" if run else "no run is on")
        if holder.run == self.running:
            self.end("asked to over the bus")
        else:
            holder.cancel()

    def events(self, run: str, after: int, limit: int) -> list[str]:
        """The next events of a run, as JSON: a page of them, `limit` at most where it is not 0."""
        if run in self._failed:
            raise LookupError(self._failed[run])
        if self.records.find(run) != run:
            raise LookupError(f"there is no run {run}")
        found: list[str] = []
        size = 0
        for event in self.records.events(run, after, limit or PAGE):
            text = json.dumps(event.encode(), ensure_ascii=False)
            size += len(text.encode("utf-8", "replace"))
            if found and size > REPLY:
                break
            if size > LARGEST:
                raise LookupError(f"event {event.sequence} of run {run} has {size} bytes, too many for the bus")
            found.append(text)
        return found

    # -- the run ------------------------------------------------------------------------------------

    def end(self, reason: str) -> None:
        """End what is on here, if anything is."""
        # What somebody ends does not go on by itself, also where the service is killed before it has ended.
        if self.running:
            self._underway.clear()
        self._cancel.end(reason)

    def join(self, seconds: float) -> None:
        """Wait for the run to put things away."""
        if self._thread:
            self._thread.join(seconds)

    def _carry_out(self, run: str, order: Order, lock: contextlib.ExitStack, keep: Keep) -> None:
        cancel = self._cancel
        try:
            # The manager's may have been set since this process was started with what it had then.
            environment = {**self._environment, **read_environment(self._host)} if order.as_booted else {}
            request = order.request(self._host.cancelled_by(cancel), self._config, environment, self._say, self._kept)
            plan = make_plan(request, Registry(self._host), at_boot=False)
            # To its end also where it is cancelled meanwhile: the run then has a record that says so.
            machine = probe_machine(self._host)
            session = Session(self._host, self._places, machine, self._say, self._watchers, cancel, beat=self._beat)
            self._underway.write(Begun(run, order))
            self.turns = True
            ended = session.run_held(plan, request, run, keep)
        except Cancelled:
            self._failed[run] = "cancelled before it was known what to run; nothing was run"
            return
        except Exception as error:  # it is said to the one who waits for the run, and the service goes on
            log.error("Failed to carry out run %s", run, exc_info=error)
            known = f"what was done stands in {self._places.runs / run}" if self.turns else "nothing was run"
            self._failed[run] = f"{type(error).__name__}: {error}; {known}"
            return
        finally:
            self.turns = False
            self._underway.clear()
            lock.close()
            if run in self._failed:
                self._forget(run)
        try:
            self._after(plan, ended, cancel)
        finally:
            self._forget(run)
            ended.close()

    def _forget(self, run: str) -> None:
        self._own.discard(run)
        # Another one may be on by now.
        if self.running == run:
            self.running = ""
