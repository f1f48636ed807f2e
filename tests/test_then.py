"""What follows a run: done when all is delivered, never over somebody else's run, and never after a cancel."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import pytest

from liveagent.engine import Cancel
from liveagent.events import Result, Verdict
from liveagent.host import Host
from liveagent.lock import Busy, Lock
from liveagent.places import Places
from liveagent.plan import Plan, Step
from liveagent.report import Sinks
from liveagent.session import Ended
from liveagent.settings import AgentSettings
from liveagent.tasks import NoOptions
from liveagent.tasks.wipe import Wipe
from liveagent.then import conclude

RUN = "20260102T030405Z-1a2b3c"


class Site:
    """A machine whose `systemctl` only notes what it was told."""

    def __init__(self, directory: Path) -> None:
        self.told = directory / "told"
        self.places = Places(directory / "state", directory / "run")
        self.said: list[str] = []
        self.cancel = Cancel()
        program = directory / "bin" / "systemctl"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\necho "$@" >>{self.told}\n')
        program.chmod(0o755)
        self._host = Host(environment={"PATH": f"{program.parent}:/usr/bin:/bin"})

    def conclude(self, then: str, drain: Callable[[], list[str]], erases: bool = False, kept: bool = False) -> str:
        """What the machine was told in the end."""
        steps = (Step(Wipe(), NoOptions()),) if erases else ()
        plan = Plan("hwdiag", steps, AgentSettings(then=then))
        result = Result(RUN, Verdict.PASS, "", "", "", "", {})
        ended = Ended(result, Sinks(()), 1, "", kept)
        conclude(self._host, self.places, plan, ended, self.said.append, drain, self.cancel)
        return self.told.read_text().strip() if self.told.exists() else ""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_it_is_done_when_all_is_delivered(site: Site) -> None:
    """Nothing else can begin meanwhile, and who asks is told what is waited for."""
    seen = []

    def drain() -> list[str]:
        with (
            pytest.raises(Busy) as refused,
            Lock(site.places.runtime).held("other", "wipe", site.places.runs / "other"),
        ):
            pass
        seen.append(str(refused.value))
        return []

    assert site.conclude("reboot", drain) == "reboot" and site.said == ["reboot now"]
    assert f"run {RUN} (hwdiag, then reboot)" in seen[0]
    assert Lock(site.places.runtime).holder() is None


def test_a_run_that_began_meanwhile_is_not_cut_off(site: Site) -> None:
    with Lock(site.places.runtime).held("other", "wipe", site.places.runs / "other"):
        assert site.conclude("poweroff", lambda: []) == ""
    assert len(site.said) == 1 and "poweroff is not done: run other (wipe)" in site.said[0]


def test_a_run_that_keeps_its_lock_is_not_in_its_own_way(site: Site) -> None:
    """A task that could not be ended leaves the lock with the process; the machine is rebooted all the same."""
    with Lock(site.places.runtime).held(RUN, "hwdiag", site.places.runs / RUN) as keep:
        keep()
    assert site.conclude("reboot", lambda: [], kept=True) == "reboot" and site.said == ["reboot now"]
    holder = Lock(site.places.runtime).holder()
    assert holder and holder.run == RUN


def test_who_cancels_while_it_waits_is_heard(site: Site) -> None:
    def drain() -> list[str]:
        site.cancel.end("asked to")
        return ["not delivered"]

    assert site.conclude("reboot", drain) == "" and site.said == ["reboot is not done: it was cancelled (asked to)"]


def test_after_a_cancelled_run_the_machine_stays(site: Site) -> None:
    site.cancel.end("Ctrl-C")
    assert site.conclude("reboot", lambda: []) == "" and site.said == ["reboot is not done: the run was cancelled"]


@pytest.mark.parametrize(("erases", "told"), [(True, ""), (False, "poweroff")])
def test_evidence_of_a_wipe_is_waited_for(site: Site, erases: bool, told: str) -> None:
    """What else is not delivered may be lost; that data was destroyed may not."""
    assert site.conclude("poweroff", lambda: ["not delivered"], erases) == told
    assert any("evidence of the wipe" in text for text in site.said) is erases


def test_it_stays(site: Site) -> None:
    """By default; what is to be delivered is waited for all the same."""
    drained: list[str] = []
    assert site.conclude("stay", lambda: drained) == "" and site.said == []
