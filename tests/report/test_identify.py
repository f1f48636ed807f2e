"""The lights after a fail: which are lit, and that none of them ever changes a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from liveagent.boot import Request
from liveagent.events import Finding, Result, TaskResult, Verdict
from liveagent.host import ENVIRONMENT, Host
from liveagent.machine import Identity, Live, Machine
from liveagent.places import Places
from liveagent.plan import Plan, Step
from liveagent.report.identify import choose_slots, light_up
from liveagent.session import Session
from liveagent.settings import AgentSettings
from liveagent.tasks import Context, NoOptions, Outcome, Task

DISKS = {"sda": "/dev/sda", "sdb": "/dev/sdb", "nvme0n1": "/dev/nvme0n1"}


def make_result(verdict: Verdict, *findings: Finding) -> Result:
    task = TaskResult("wipe", verdict, "s", findings=findings)
    return Result("run", verdict, "s", "t", "t", "1", {}, (task,))


def find(part: str, verdict: Verdict = Verdict.FAIL) -> Finding:
    return Finding("code", verdict, part, "summary")


FAILED = make_result(
    Verdict.FAIL,
    find("sda A"),
    find("sdb B", Verdict.WARN),
    find("sda A"),
    find("nvme0n1 N"),
    find("memory DIMM_A1"),
    find("sdz gone"),
)


def make_tools(directory: Path, **scripts: str) -> Host:
    """A host whose ipmitool and ledctl note their words, then do as the script says; no server has its lights lit."""
    for name, script in scripts.items():
        tool = directory / name
        tool.write_text(f'#!/bin/sh\necho {name} "$@" >> {directory}/told\n{script}\n')
        tool.chmod(0o755)
    return Host(environment={"PATH": f"{directory}:{ENVIRONMENT['PATH']}"})


def told(directory: Path) -> list[str]:
    path = directory / "told"
    return path.read_text().splitlines() if path.exists() else []


def test_choose_slots() -> None:
    """Only disks that failed, each once; what only warns, is no disk, or is not there any more has no slot to light."""
    assert choose_slots(FAILED, DISKS) == ("/dev/sda", "/dev/nvme0n1")


def test_what_is_lit(tmp_path: Path) -> None:
    """The chassis until somebody turns it off, and each failed disk's slot; how to turn them off is said."""
    said: list[str] = []
    light_up(make_tools(tmp_path, ipmitool="", ledctl=""), FAILED, DISKS, said.append)
    assert told(tmp_path) == [
        "ipmitool chassis identify force",
        "ledctl locate=/dev/sda",
        "ledctl locate=/dev/nvme0n1",
    ]
    assert "`ipmitool chassis identify 0`" in said[0] and "`ledctl locate_off=/dev/sda`" in said[1]


def test_an_old_bmc(tmp_path: Path) -> None:
    """One that does not know `force` is lit for as long as it can."""
    said: list[str] = []
    host = make_tools(tmp_path, ipmitool='test "$3" != force', ledctl="")
    light_up(host, make_result(Verdict.FAIL, find("memory DIMM_A1")), DISKS, said.append)
    assert told(tmp_path) == ["ipmitool chassis identify force", "ipmitool chassis identify 255"]
    assert said == ["the chassis' identify light is on; `ipmitool chassis identify 0` turns it off"]


@pytest.mark.parametrize("verdict", [verdict for verdict in Verdict if verdict is not Verdict.FAIL])
def test_only_after_a_fail(tmp_path: Path, verdict: Verdict) -> None:
    """The machine has a fault, or nobody has to walk."""
    light_up(make_tools(tmp_path, ipmitool="", ledctl=""), make_result(verdict, find("sda A")), DISKS, print)
    assert told(tmp_path) == []


def test_what_cannot_be_lit_is_a_note(tmp_path: Path) -> None:
    """No BMC, a backplane that does not know the slot: said, and the next one is tried."""
    said: list[str] = []
    host = make_tools(tmp_path, ipmitool="echo no BMC >&2; exit 1", ledctl='test "$1" != locate=/dev/sda')
    light_up(host, FAILED, DISKS, said.append)
    assert "no BMC" in said[0] and said[0].endswith("ignoring")
    assert said[1].startswith("the slot of /dev/sda does not blink: ") and "the slot of /dev/nvme0n1 blinks" in said[2]


def test_tools_that_are_not_there(tmp_path: Path) -> None:
    """An image without them says so."""
    said: list[str] = []
    light_up(Host(environment={"PATH": str(tmp_path)}), FAILED, DISKS, said.append)
    assert said == [
        "the chassis' identify light is not on: ipmitool is not installed, ignoring",
        "the slot of /dev/sda does not blink: ledctl is not installed, ignoring",
        "the slot of /dev/nvme0n1 does not blink: ledctl is not installed, ignoring",
    ]


class Failing(Task):
    """A task that finds a fault of the machine."""

    name = "failing"
    summary = "a task of this test"

    def run(self, context: Context, options: Any) -> Outcome:
        context.finding(find("memory DIMM_A1"))
        return Outcome(Verdict.FAIL, "one part has a fault")


@pytest.mark.parametrize(("identify", "lit"), [(True, ["ipmitool chassis identify force"]), (False, [])])
def test_only_on_request(tmp_path: Path, identify: bool, lit: list[str]) -> None:
    """A whole run: the lights come after its last event, and only where `identify` asks for them."""
    host = make_tools(tmp_path, ipmitool="", ledctl="")
    machine = Machine(Identity("CZ1234", None, None, None, None, None, None), (), (), Live(True, "the test says so"))
    session = Session(host, Places(tmp_path / "state", tmp_path / "run"), machine, lambda text: None, lambda reader: ())
    plan = Plan("failing", (Step(Failing(), NoOptions()),), AgentSettings(identify=identify))
    ended = session.run(plan, Request(None, {}))
    ended.close()
    assert ended.result.verdict is Verdict.FAIL
    assert told(tmp_path) == lit
