"""What follows a run: its delivery, and then a reboot or the end of the machine, where that was asked for.

It is done under the lock: it would cut off whatever began meanwhile, and who cancels the run cancels this as well.
"""

from __future__ import annotations

from typing import Callable

from liveagent.engine import Cancel
from liveagent.host import CommandError, Host
from liveagent.lock import Busy, Lock
from liveagent.places import Places
from liveagent.plan import Plan
from liveagent.session import Ended, Say

TIMEOUT = 60.0


def conclude(
    host: Host,
    places: Places,
    plan: Plan,
    ended: Ended,
    say: Say,
    drain: Callable[[], list[str]],
    cancel: Cancel,
) -> None:
    """`drain` waits for delivery, says what is late, and returns that; `cancel` is the run's, also after its end."""
    then, run = plan.settings.then, ended.result.run
    if then == "stay" or plan.faults:
        drain()
        return
    if cancel.is_set():
        say(f"{then} is not done: the run was cancelled")
        drain()
        return
    if ended.kept:  # A task could not be ended: the run's own lock is still on, and nothing can have begun.
        _leave(host, plan, say, drain, cancel)
        return
    try:
        with Lock(places.runtime).held(run, f"{plan.word}, then {then}", places.runs / run):
            _leave(host, plan, say, drain, cancel)
    except (Busy, OSError) as error:
        say(f"{then} is not done: {error}")
        drain()


def _leave(host: Host, plan: Plan, say: Say, drain: Callable[[], list[str]], cancel: Cancel) -> None:
    then = plan.settings.then
    late = drain()
    if cancel.is_set():
        say(f"{then} is not done: it was cancelled ({cancel.reason})")
        return
    if late and plan.is_destructive:
        say(f"{then} is not done: the evidence of the wipe would be lost")
        return
    say(f"{then} now")
    try:
        host.run(["systemctl", then], timeout=TIMEOUT)
    except CommandError as error:
        say(f"Failed to {then}: {error}")
