"""Clocks that are off, and firmware whose date tells of one."""

from __future__ import annotations

import dataclasses

import pytest

from liveagent.machine.clock import Clock
from liveagent.machine.inventory import Inventory
from liveagent.machine.system import System
from liveagent.tasks.hwdiag.checks import system as checks
from liveagent.tasks.hwdiag.policy import Policy
from tests.tasks.hwdiag.machines import SYSTEM

UNKNOWN = Clock(None, None, None, None)


def find(clock: Clock | None = None, system: System | None = None, taken: str = "2026-01-02T03:04:05Z") -> list[str]:
    inventory = Inventory(taken=taken, clock=clock, system=system)
    return [finding.code for check in checks.CHECKS for finding in check.find(inventory, Policy())]


@pytest.mark.parametrize(
    ("clock", "codes"),
    [
        (Clock(True, 0.0001, 2, 0.4), []),
        (Clock(True, -3.5, 2, 0.4), ["clock.offset"]),
        (Clock(True, None, None, -86400.0 * 400), ["clock.rtc"]),
        (Clock(True, None, None, 500.0), ["clock.rtc"]),
        # The time of a zone is a choice, and 55 minutes are none.
        (Clock(True, None, None, 7201.0), ["clock.rtc.zone"]),
        (Clock(True, None, None, -19800.5), ["clock.rtc.zone"]),
        (Clock(True, None, None, 3300.0), ["clock.rtc"]),
        # Nobody knows which of the two is right.
        (Clock(None, None, None, -86400.0), []),
        (Clock(False, None, None, -86400.0), ["clock.unkept"]),
        (UNKNOWN, []),
        (None, []),
    ],
)
def test_clocks(clock: Clock | None, codes: list[str]) -> None:
    assert find(clock) == codes


@pytest.mark.parametrize(
    ("date", "released", "taken", "clock", "codes"),
    [
        ("08/09/2024", "2024-08-09", "2026-01-02T03:04:05Z", UNKNOWN, []),
        # Its battery was empty: the system is of before its own firmware.
        ("08/09/2024", "2024-08-09", "2009-01-01T00:00:05Z", UNKNOWN, ["clock.past"]),
        ("08/09/2024", "2024-08-09", "2009-01-01T00:00:05Z", None, ["clock.past"]),
        ("08/09/2034", "2034-08-09", "2026-01-02T03:04:05Z", Clock(True, 0.0, 2, 0.0), ["system.bios.date"]),
        ("01/01/1980", "1980-01-01", "2026-01-02T03:04:05Z", UNKNOWN, ["system.bios.date"]),
        ("99/99/2024", "", "2026-01-02T03:04:05Z", UNKNOWN, ["system.bios.date"]),
        ("", "", "2026-01-02T03:04:05Z", UNKNOWN, []),
        ("08/09/2024", "2024-08-09", "", UNKNOWN, []),
    ],
)
def test_dates(date: str, released: str, taken: str, clock: Clock | None, codes: list[str]) -> None:
    assert find(clock, dataclasses.replace(SYSTEM, bios_date=date, bios_released=released), taken) == codes


@pytest.mark.parametrize(("state", "codes"), [(True, []), (None, []), (False, ["system.secure_boot"])])
def test_secure_boot(state: bool | None, codes: list[str]) -> None:
    assert find(None, dataclasses.replace(SYSTEM, secure_boot=state)) == codes
