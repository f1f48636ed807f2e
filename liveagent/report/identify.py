"""Lights for whoever walks the aisle: the chassis' own, and the slots of the disks that failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Callable

from liveagent.events import Result, Verdict
from liveagent.host import CommandError, Host, HostError

TIMEOUT = 20.0
# "force" stays on until somebody turns it off, and is of IPMI 2.0; before that the longest is 255 s (ipmitool(1)).
FORCE, LONGEST = "force", "255"


def light_up(host: Host, result: Result, disks: Mapping[str, str], say: Callable[[str], None]) -> None:
    """After a fail: `disks` are the machine's, path by name. What cannot be lit is said, and changes no verdict."""
    if result.verdict is not Verdict.FAIL:
        return
    try:
        _light_chassis(host)
        say("the chassis' identify light is on; `ipmitool chassis identify 0` turns it off")
    except HostError as error:
        say(f"the chassis' identify light is not on: {error}, ignoring")
    for path in choose_slots(result, disks):
        try:
            host.run(["ledctl", f"locate={path}"], timeout=TIMEOUT)
            say(f"the slot of {path} blinks; `ledctl locate_off={path}` turns it off")
        except HostError as error:
            say(f"the slot of {path} does not blink: {error}, ignoring")


def choose_slots(result: Result, disks: Mapping[str, str]) -> tuple[str, ...]:
    """The paths of the disks that a failing finding names as its part. Pure."""
    findings = [*result.findings, *(finding for task in result.tasks for finding in task.findings)]
    names = [finding.part.split(" ")[0] for finding in findings if finding.verdict is Verdict.FAIL]
    return tuple(disks[name] for name in dict.fromkeys(names) if name in disks)


def _light_chassis(host: Host) -> None:
    try:
        host.run(["ipmitool", "chassis", "identify", FORCE], timeout=TIMEOUT)
    except CommandError as error:
        if error.completed.status is None:
            raise
        host.run(["ipmitool", "chassis", "identify", LONGEST], timeout=TIMEOUT)
