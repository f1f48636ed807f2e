"""What is found about a BMC: its log by age and by what came after, its clock, its serial, who may enter; and nothing
about one that is well."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import pytest

from liveagent.events import Finding, Verdict, render_time
from liveagent.host import Host
from liveagent.machine.bmc import Bmc, BmcLan, BmcUser, ChassisStatus, probe_bmc
from liveagent.machine.dmi import Identity
from liveagent.machine.fru import Fru, FruArea
from liveagent.machine.inventory import Inventory
from liveagent.machine.look import Look, Missing, Why
from liveagent.machine.sel import Sel, parse_sel
from liveagent.machine.sensors import Kind, Sensor, State
from liveagent.tasks.hwdiag.check import run_checks
from liveagent.tasks.hwdiag.checks import CHECKS, bmc, bmc_log
from liveagent.tasks.hwdiag.checks.ipmi_events import MEANINGS, find_meaning
from liveagent.tasks.hwdiag.policy import Policy, Rules
from tests.machine import ipmi_simulator as sim

TAKEN = "2026-11-29T05:00:00.000Z"
IDENTITY = Identity("SRV0001", "4c4c4544-0032-4a10-8046-b2c04f313533", "ACME", "Server X1", None, None, None)
LAN = BmcLan(1, "10.0.0.9", "255.255.255.0", None, (), "0c:c4:7a:ed:3e:27", "DHCP Address", None, (3, 17), False)
WELL = Bmc(
    firmware="2.55",
    clock=TAKEN,
    clock_offset=0.4,
    clock_is_set=True,
    lans=(LAN,),
    users=(BmcUser("1/2", 2, 1, "ops", "ADMINISTRATOR", True, True),),
    chassis=ChassisStatus(True, False, False, False, False, False, False),
    frus=(Fru("Builtin FRU Device (ID 0)", "Builtin FRU Device", 0, True, product=FruArea(serial="SRV0001")),),
    sel=Sel(2, 900, 10, False),
)

DEFAULT = Policy()


def judge(policy: Policy = DEFAULT, missing: tuple[Missing, ...] = (), **changes: Any) -> list[Finding]:
    inventory = Inventory(taken=TAKEN, identity=IDENTITY, bmc=dataclasses.replace(WELL, **changes), missing=missing)
    return run_checks((*bmc.CHECKS, *bmc_log.CHECKS), inventory, policy)


def codes(found: list[Finding]) -> list[tuple[str, Verdict]]:
    return [(one.code, one.verdict) for one in found]


def log(*lines: str) -> Sel:
    text = "\n".join(f"{number + 1:4x} | {line}" for number, line in enumerate(lines))
    parsed = parse_sel(text)
    assert parsed is not None and parsed[1]
    return Sel(len(lines), 900, 10, False, events=parsed[0])


def test_nothing_about_one_that_is_well() -> None:
    assert judge() == []
    assert run_checks((*bmc.CHECKS, *bmc_log.CHECKS), Inventory(), Policy()) == []


def test_a_hot_sensor_and_a_critical_entry_are_those_two_findings(tmp_path: Path) -> None:
    """A whole BMC, asked by the real ipmitool: what was broken there is found, and nothing else."""
    fan = sim.Analog(2, "FAN1", (29, 1), sim.FAN, sim.RPM, 56, {"lnr": 3, "lcr": 5}, 100)
    hot = sim.Analog(1, "CPU1 Temp", (3, 1), sim.TEMPERATURE, sim.CELSIUS, 101, {"unc": 95, "ucr": 100})
    supply = sim.Discrete(0x20, "PS1 Status", (10, 1), sim.SUPPLY, sim.SPECIFIC, (0,))
    frus = {0: ("", (0, 0), sim.make_fru(product=("ACME", "Server X1", "X1-P", "01", "SRV0001")))}
    with sim.run_simulator(tmp_path, (hot, fan, supply), frus) as running:
        running.set_clock(time.time())
        # What the BMC logs of the heat itself is the sensor's finding, and told once.
        running.log(sim.TEMPERATURE, 1, sim.THRESHOLD, (0x59, 101, 100))
        running.log(sim.MEMORY, 0, sim.SPECIFIC, (0xA1, 0xFF, 0x12))
        seen = probe_bmc(Look(Host()), running.interface)
    assert seen is not None
    inventory = Inventory(taken=render_time(time.time()), identity=IDENTITY, bmc=seen)
    found = run_checks(CHECKS, inventory, Policy())
    assert [(one.code, one.verdict, one.part) for one in found if one.code != "bmc.no_address"] == [
        ("bmc.sel.critical", Verdict.FAIL, "Memory UnCorrectable ECC | DIMM2, DIMM5; CPU 2 DIMM 1"),
        ("sensor.critical", Verdict.FAIL, "CPU1 Temp"),
    ]


# -- the log ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        # Recent, and nothing undid it.
        (("11/27/26 | 05:00:00 UTC | Memory | Uncorrectable ECC | Asserted",), [("bmc.sel.critical", Verdict.FAIL)]),
        (("11/27/26 | 05:00:00 | Critical Interrupt | PCI SERR () | Asserted",), [("bmc.sel.critical", Verdict.FAIL)]),
        (("11/27/2026 | 05:00:00 | Processor CPU1 | IERR | Asserted",), [("bmc.sel.critical", Verdict.FAIL)]),
        (
            ("11/27/26 | 05:00:00 UTC | Memory | Correctable ECC logging limit reached | Asserted",),
            [("bmc.sel.warning", Verdict.WARN)],
        ),
        # A moment is not undone by being taken back, and is not there any more.
        (
            (
                "11/27/26 | 05:00:00 UTC | Memory | Uncorrectable ECC | Asserted",
                "11/27/26 | 05:09:00 UTC | Memory | Uncorrectable ECC | Deasserted",
            ),
            [("bmc.sel.warning", Verdict.WARN)],
        ),
        # Long ago.
        (("08/27/26 | 05:00:00 UTC | Memory | Uncorrectable ECC | Asserted",), [("bmc.sel.history", Verdict.PASS)]),
        # Over: it came back.
        (
            (
                "11/27/26 | 05:00:00 UTC | Power Supply PS2 | Power Supply AC lost | Asserted",
                "11/27/26 | 05:09:00 UTC | Power Supply PS2 | Power Supply AC lost | Deasserted",
            ),
            [("bmc.sel.history", Verdict.PASS)],
        ),
        # Nobody knows when.
        (("Pre-Init  |0000003115| Memory | Uncorrectable ECC | Asserted",), [("bmc.sel.undated", Verdict.WARN)]),
        (("12/27/26 | 05:00:00 UTC | Memory | Uncorrectable ECC | Asserted",), [("bmc.sel.undated", Verdict.WARN)]),
        # What every server logs.
        (
            (
                "11/27/26 | 05:00:00 UTC | Event Logging Disabled SEL | Log area reset/cleared | Asserted",
                "11/27/26 | 05:00:00 UTC | Power Unit Pwr Unit Status | Power off/down | Asserted",
                "11/27/26 | 05:00:00 UTC | Power Unit Pwr Unit Status | AC lost | Asserted",
                "11/27/26 | 05:00:00 UTC | System Event | Timestamp Clock Sync | Asserted",
                "11/27/26 | 05:00:00 UTC | Power Supply PS1 | Presence detected | Asserted",
                "11/27/26 | 05:00:00 UTC | Power Supply Redundancy | Fully Redundant | Asserted",
                "11/27/26 | 05:00:00 UTC | Management Subsys Health AutoCfg Status | State Asserted | Asserted",
                "11/27/26 | 05:00:00 UTC | Boot Error | No bootable media | Asserted",
                "11/27/26 | 05:00:00 UTC | Temperature Inlet | Upper Critical going low | Asserted",
                "11/27/26 | 05:00:00 UTC | Temperature Inlet | Upper Non-critical going high | Asserted",
                "11/27/26 | 05:00:00 UTC | OEM record df | 000137 | 010203040506",
                "OEM record e1 | 000102030405060708090a0b0c",
            ),
            [],
        ),
        # It was put back before it was logged.
        (("11/27/26 | 05:00:00 UTC | Power Supply PS2 | Power Supply AC lost | Deasserted",), []),
    ],
)  # fmt: skip
def test_the_log(lines: tuple[str, ...], expected: list[tuple[str, Verdict]]) -> None:
    found = judge(sel=log(*lines))
    assert codes(found) == expected
    for one in found:
        evidence = one.measured.get("line") or one.measured["lines"][-1]
        assert any(evidence.endswith(line) for line in lines)


def test_the_dimm_stands_in_it() -> None:
    said = "11/27/26 | 05:11:46 UTC | Memory | Uncorrectable ECC (UnCorrectable ECC |  DIMM2, DIMM5) | Asserted"
    (found,) = judge(sel=log(said, said))
    assert "DIMM2, DIMM5" in found.part and "(2 times)" in found.summary and "replace the DIMM" in found.summary


def test_how_old_is_old_is_the_policys() -> None:
    sel = log("08/27/26 | 05:00:00 UTC | Memory | Uncorrectable ECC | Asserted")
    policy = Policy(Rules(limits={"bmc.sel.recent": 365.0}))
    assert codes(judge(policy, sel=sel)) == [("bmc.sel.critical", Verdict.FAIL)]


def test_age_is_by_the_bmcs_own_clock() -> None:
    """One that runs twenty years behind has logged a recent event twenty years ago."""
    sel = log("11/27/06 | 05:00:00 UTC | Memory | Uncorrectable ECC | Asserted")
    found = judge(sel=sel, clock="2006-11-29T05:00:00.000Z", clock_offset=-631152000.0)
    assert ("bmc.sel.critical", Verdict.FAIL) in codes(found)


LOST = "11/27/26 | 05:00:00 UTC | Power Supply PS2 | Power Supply AC lost | Asserted"
HOT = "11/27/26 | 05:00:00 UTC | Temperature CPU1 Temp | Upper Critical going high | Asserted | Reading 101"


@pytest.mark.parametrize(
    ("line", "sensor", "expected"),
    [
        # The sensor says that it is over, though no entry does.
        (LOST, Sensor("PS2", "PS2", "bmc", Kind.STATE, "Power Supply", states=("Presence",)), ["bmc.sel.history"]),
        # The sensor says so itself: that is a finding of its own.
        (LOST, Sensor("PS2", "PS2", "bmc", Kind.STATE, "Power Supply", states=("Power Supply AC lost",)), []),
        # It cannot be asked.
        (LOST, Sensor("PS2", "PS2", "bmc", Kind.STATE, "Power Supply", readable=False), ["bmc.sel.warning"]),
        (
            HOT,
            Sensor("CPU1 Temp", "CPU1 Temp", "bmc", Kind.TEMPERATURE, "Temperature", value=40, state=State.OK),
            ["bmc.sel.history"],
        ),
        (HOT, Sensor("CPU1 Temp", "CPU1 Temp", "bmc", Kind.TEMPERATURE, "Temperature", value=101, state=State.UCR), []),
    ],
)  # fmt: skip
def test_the_log_and_the_sensor_are_one_finding(line: str, sensor: Sensor, expected: list[str]) -> None:
    assert [one.code for one in judge(sel=log(line), sensors=(sensor,))] == expected


@pytest.mark.parametrize(
    ("sel", "expected"),
    [
        (Sel(490, 5000, 89, False), []),
        (Sel(490, 100, 90, False), ["bmc.sel.full"]),
        (Sel(490, 100, None, True), ["bmc.sel.full"]),
        (Sel(490), []),
    ],
)
def test_a_full_log(sel: Sel, expected: list[str]) -> None:
    assert [one.code for one in judge(sel=sel)] == expected


def test_every_meaning_can_be_met() -> None:
    """A row that an earlier one hides, or whose words no table of IPMI has, protects nobody."""
    reached = {find_meaning(type_, words) for type_, words in WORDS}
    assert [one for one in MEANINGS if one not in reached] == []


# Of IPMI 2.0, tables 42-2 and 42-3, as ipmitool 1.8.19 writes them (ipmi_sel.h).
WORDS = (
    *(("Memory", words) for words in ("Uncorrectable ECC", "Parity", "Correctable ECC logging limit reached")),
    *(("Memory", "Correctable ECC"), ("Processor", "Correctable machine check error")),
    ("Critical Interrupt", "Bus Correctable error"),
    *(("Memory", "Configuration Error"), ("Event Logging Disabled", "Correctable memory error logging disabled")),
    *(
        ("Processor", words)
        for words in ("IERR", "SM BIOS Uncorrectable CPU-complex Error", "Thermal Trip", "Throttled")
    ),
    *(("Processor", "FRB1/BIST failure"), ("Chip Set", "Thermal Trip"), ("Critical Interrupt", "PCI PERR")),
    *(("Critical Interrupt", words) for words in ("Fatal NMI", "Bus Degraded")),
    *(("Power Supply", words) for words in ("Failure detected", "Predictive failure", "AC lost or out-of-range")),
    *(("Power Supply", "Config Error: Vendor Mismatch"), ("Power Unit", "Soft-power control failure")),
    *(
        ("Power Unit", "240VA power down"),
        ("Drive Slot / Bay", "Drive Fault"),
        ("Drive Slot / Bay", "In Critical Array"),
    ),
    *(("Physical Security", "General Chassis intrusion"), ("Battery", "Failed"), ("Battery", "Low")),
    *(("System Event", "Undetermined system hardware failure"), ("System Firmwares", "No usable system memory")),
    *(("System Firmwares", "Unrecoverable system-board failure"), ("OS Critical Stop", "Run-time critical stop")),
    *(("Watchdog2", "Hard reset"), ("Slot / Connector", "Fault Status"), ("Cable / Interconnect", "Config Error")),
    *(("Management Subsys Health", "Sensor failure"), ("Power Unit", "Redundancy Lost")),
    *(("Fan", "Redundancy Degraded from Fully Redundant"), ("Fan", "Predictive Failure Asserted")),
    *(("Module / Board", "Transition to Critical from less severe"), ("Module / Board", "Transition to Degraded")),
    ("Fan", "Lower Critical going low"),
)


# -- the BMC itself ---------------------------------------------------------------------------------


def test_one_that_does_not_answer() -> None:
    missing = Missing("bmc", Why.NO_ANSWER, "ipmitool did not end within 15 s")
    checks = (*bmc.CHECKS, *bmc_log.CHECKS)
    (found,) = run_checks(checks, Inventory(missing=(missing,)), Policy())
    assert (found.code, found.verdict) == ("bmc.silent", Verdict.WARN)
    assert "does not answer" in found.summary
    # One that is not there is no defect.
    assert run_checks(checks, Inventory(missing=(Missing("bmc", Why.ABSENT, ""),)), Policy()) == []
    # The task itself tells of a part that took its whole time.
    assert run_checks(checks, Inventory(missing=(missing,), silent=("bmc",)), Policy()) == []


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        (299.0, []),
        (-301.0, ["bmc.clock"]),
        (86400.0 * 300, ["bmc.clock"]),
        (3600.0, ["bmc.clock_zone"]),
        (-5 * 3600.0 - 20, ["bmc.clock_zone"]),
        (5.75 * 3600, ["bmc.clock_zone"]),
        (15 * 3600.0, ["bmc.clock"]),
        (3600.0 + 400, ["bmc.clock"]),
    ],
)
def test_its_clock(offset: float, expected: list[str]) -> None:
    assert [one.code for one in judge(clock_offset=offset)] == expected


def test_a_clock_that_was_never_set() -> None:
    assert codes(judge(clock=None, clock_offset=None, clock_is_set=False)) == [("bmc.clock", Verdict.WARN)]
    assert judge(clock=None, clock_offset=None, clock_is_set=None) == []


@pytest.mark.parametrize(
    ("fru", "expected"),
    [
        (Fru("a", "a", 0, True, product=FruArea(serial="OTHER99")), ["bmc.fru_serial"]),
        (Fru("a", "a", 0, True, product=FruArea(serial="srv0001")), []),
        # A board has a serial of its own, and so has a part that is not the server.
        (Fru("a", "a", 0, True, board=FruArea(serial="BRD0001")), []),
        (Fru("PS1", "PS1", 1, True, product=FruArea(serial="PSU0001")), []),
        (Fru("a", "a", 0, True, product=FruArea(serial=None)), []),
    ],
)
def test_its_serial(fru: Fru, expected: list[str]) -> None:
    assert [one.code for one in judge(frus=(fru,))] == expected


def user(name: str, privilege: str = "ADMINISTRATOR", messaging: bool = True, enabled: bool | None = None) -> BmcUser:
    return BmcUser("1/2", 2, 1, name, privilege, messaging, enabled)


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (user("ADMIN"), ["bmc.default_user"]),
        (user("root"), ["bmc.default_user"]),
        (user("root", "OPERATOR"), []),
        (user("root", enabled=False), []),
        (user("root", messaging=False), []),
        (user("root", "NO ACCESS"), []),
        (user("", "USER"), ["bmc.anonymous"]),
        (user("", "ADMINISTRATOR", False), []),
    ],
)
def test_who_may_enter(one: BmcUser, expected: list[str]) -> None:
    found = judge(users=(one,))
    assert [finding.code for finding in found] == expected
    assert all(finding.verdict is Verdict.PASS for finding in found)


def test_how_it_is_reached() -> None:
    hole = dataclasses.replace(LAN, ciphers=(0, 3), cipher_zero=True)
    assert codes(judge(lans=(hole,))) == [("bmc.cipher_zero", Verdict.WARN)]
    nowhere = dataclasses.replace(LAN, address=None)
    assert codes(judge(lans=(nowhere,))) == [("bmc.no_address", Verdict.PASS)]
    assert judge(lans=(nowhere, LAN)) == []
    assert judge(lans=(dataclasses.replace(nowhere, addresses_v6=("2001:db8::1",)),)) == []
    assert judge(lans=()) == []


def test_its_summary_of_the_chassis() -> None:
    status = ChassisStatus(True, drive_fault=True, fan_fault=True, power_control_fault=None)
    assert codes(judge(chassis=status)) == [("bmc.fault", Verdict.WARN)] * 2
