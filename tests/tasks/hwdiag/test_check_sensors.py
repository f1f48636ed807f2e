"""What is found about readings and states: by the sensor's own word, and nothing where nobody set a limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from liveagent.events import Finding, Verdict
from liveagent.machine.bmc import Bmc, ChassisStatus
from liveagent.machine.fru import Fru, FruArea
from liveagent.machine.inventory import Inventory
from liveagent.machine.power_supplies import PowerSupply, parse_power_supplies
from liveagent.machine.sensors import Kind, Sensor, State, parse_sensors
from liveagent.tasks.hwdiag.check import run_checks
from liveagent.tasks.hwdiag.checks import power, sensors
from liveagent.tasks.hwdiag.policy import Policy

CHECKS = (*sensors.CHECKS, *power.CHECKS)


def judge(inventory: Inventory) -> list[Finding]:
    return run_checks(CHECKS, inventory, Policy())


def reading(kind: Kind, value: float | None, state: State | None, **limits: float) -> Sensor:
    type_ = {Kind.TEMPERATURE: "Temperature", Kind.FAN: "Fan", Kind.VOLTAGE: "Voltage"}[kind]
    unit = {Kind.TEMPERATURE: "°C", Kind.FAN: "RPM", Kind.VOLTAGE: "V"}[kind]
    return Sensor("X1 (0x1)", "X1", "bmc", kind, type_, "3.1", value, unit, state, limits)


def asserting(type_: str, *states: str, name: str = "PS2 Status") -> Sensor:
    return Sensor(f"{name} (0x21)", name, "bmc", Kind.STATE, type_, "10.2", states=states)


@pytest.mark.parametrize(
    ("sensor", "expected"),
    [
        (reading(Kind.TEMPERATURE, 60.0, State.OK, unc=95.0, ucr=100.0), []),
        (reading(Kind.TEMPERATURE, 96.0, State.UNC, unc=95.0, ucr=100.0), [("sensor.noncritical", Verdict.WARN)]),
        (reading(Kind.TEMPERATURE, 101.0, State.UCR, unc=95.0, ucr=100.0), [("sensor.critical", Verdict.FAIL)]),
        (reading(Kind.TEMPERATURE, 106.0, State.UNR, unr=105.0), [("sensor.critical", Verdict.FAIL)]),
        (reading(Kind.VOLTAGE, 10.5, State.LCR, lcr=10.8), [("sensor.critical", Verdict.FAIL)]),
        (reading(Kind.FAN, 0.0, State.LNR, lnr=300.0), [("fan.failed", Verdict.FAIL)]),
        (reading(Kind.FAN, 450.0, State.LNC, lnc=500.0), [("sensor.noncritical", Verdict.WARN)]),
        # It stands still, and the BMC finds nothing in it.
        (reading(Kind.FAN, 0.0, State.OK, lcr=500.0), [("fan.stopped", Verdict.WARN)]),
        (reading(Kind.FAN, 0.0, State.OK), []),
        (reading(Kind.FAN, 0.0, State.OK, lcr=0.0), []),
        # What is not there is not broken.
        (reading(Kind.FAN, None, None, lcr=500.0), []),
        (reading(Kind.TEMPERATURE, None, State.UCR), []),
        # A margin below zero is well, whatever its threshold looks like.
        (reading(Kind.TEMPERATURE, -58.0, State.OK, unc=85.0, ucr=90.0), []),
    ],
)
def test_readings(sensor: Sensor, expected: list[tuple[str, Verdict]]) -> None:
    found = judge(Inventory(bmc=Bmc(sensors=(sensor,))))
    assert [(one.code, one.verdict) for one in found] == expected
    assert all(one.measured["value"] == sensor.value and "threshold" in one.measured for one in found)


def test_the_summary_has_both_figures() -> None:
    (found,) = judge(Inventory(bmc=Bmc(sensors=(reading(Kind.TEMPERATURE, 101.0, State.UCR, ucr=100.0),))))
    assert found.summary == (
        "X1 is at 101 °C, above its critical threshold of 100 °C; look at airflow, fans and heat sinks"
    )


@pytest.mark.parametrize(
    ("sensor", "expected"),
    [
        (asserting("Power Supply", "Presence detected"), []),
        (asserting("Power Supply", "Presence detected", "Power Supply AC lost"), [("power.lost", Verdict.WARN)]),
        (asserting("Power Supply", "Presence detected", "Failure detected"), [("power.failed", Verdict.FAIL)]),
        (asserting("Power Supply", "Redundancy Lost"), [("power.redundancy", Verdict.WARN)]),
        (asserting("Power Supply", "Fully Redundant"), []),
        (asserting("Drive Slot / Bay", "Drive Present"), []),
        (asserting("Drive Slot / Bay", "Drive Present", "Drive Fault"), [("sensor.failed", Verdict.FAIL)]),
        (asserting("Drive Slot / Bay", "Predictive Failure"), [("sensor.doubtful", Verdict.WARN)]),
        (asserting("Memory", "Presence Detected", "Uncorrectable ECC"), [("sensor.failed", Verdict.FAIL)]),
        (asserting("Processor", "Presence detected"), []),
        (asserting("Physical Security", "General Chassis intrusion"), [("chassis.intrusion", Verdict.WARN)]),
        (asserting("Physical Security", "System unplugged from LAN"), []),
        (asserting("Cable / Interconnect", "Connected"), []),
        (asserting("Fan", "Redundancy Lost"), [("sensor.doubtful", Verdict.WARN)]),
        # These happened some time: the log has them with their date.
        (asserting("Watchdog2", "Hard reset"), []),
        (asserting("Critical Interrupt", "PCI SERR"), []),
        (asserting("System Event", "Undetermined system hardware failure"), []),
        (asserting("OEM Reserved", "State Asserted"), []),
    ],
)
def test_states(sensor: Sensor, expected: list[tuple[str, Verdict]]) -> None:
    assert [(one.code, one.verdict) for one in judge(Inventory(bmc=Bmc(sensors=(sensor,))))] == expected


def test_an_open_chassis_is_one_finding() -> None:
    opened = ChassisStatus(True, intrusion=True)
    assert [one.code for one in judge(Inventory(bmc=Bmc(chassis=opened)))] == ["chassis.intrusion"]
    sensor = asserting("Physical Security", "General Chassis intrusion")
    both = Inventory(bmc=Bmc(chassis=opened, sensors=(sensor,)))
    assert [one.code for one in judge(both)] == ["chassis.intrusion"]


def test_an_empty_bay_beside_a_supply() -> None:
    """A remark, since a server may be ordered so; with the supply's own serial where it is known."""
    frus = (Fru("PS1", "PS1", 1, True, board=FruArea(serial="PSU0001")),)
    present = asserting("Power Supply", "Presence detected", "Predictive failure", name="PS1 Status")
    found = judge(Inventory(bmc=Bmc(sensors=(present, asserting("Power Supply")), frus=frus)))
    assert [(one.code, one.verdict, one.part) for one in found] == [
        ("power.lost", Verdict.WARN, "PS1 Status PSU0001"),
        ("power.absent", Verdict.PASS, "PS2 Status"),
    ]
    # None is there at all: nobody measured.
    assert judge(Inventory(bmc=Bmc(sensors=(asserting("Power Supply"),)))) == []


def test_the_bmcs_summary_of_power() -> None:
    status = ChassisStatus(True, power_fault=True, power_overload=True)
    assert [one.code for one in judge(Inventory(bmc=Bmc(chassis=status)))] == ["power.failed", "power.lost"]


def supply(**changes: object) -> PowerSupply:
    values = {"present": True, "plugged": True, "status": "OK", "is_described": True, **changes}
    return PowerSupply("PSU1", "PSU1", "PWS", None, None, "P1", None, 400, hot_replaceable=True, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (supply(), []),
        (supply(status=None), []),
        (supply(plugged=None), []),
        (supply(plugged=False), ["power.unplugged"]),
        (supply(status="Critical"), ["power.failed"]),
        (supply(status="Non-critical"), ["power.lost"]),
        (supply(plugged=False, status="Critical", is_described=False), []),
    ],
)
def test_supplies_of_the_table(one: PowerSupply, expected: list[str]) -> None:
    assert [finding.code for finding in judge(Inventory(power_supplies=(one,)))] == expected


def hwmon(source: str, value: float, **limits: float) -> Sensor:
    return Sensor("place/temp1", "Package id 0", source, Kind.TEMPERATURE, value=value, unit="°C", limits=limits)


@pytest.mark.parametrize(
    ("sensor", "expected"),
    [
        (hwmon("coretemp", 55.0, unc=84.0, ucr=100.0), []),
        (hwmon("coretemp", 84.0, unc=84.0, ucr=100.0), [("temperature.high", Verdict.WARN)]),
        (hwmon("coretemp", 100.0, unc=84.0, ucr=100.0), [("temperature.critical", Verdict.FAIL)]),
        (hwmon("coretemp", 55.0, ucr=0.0), []),
        # A drive says itself how warm it may be, and on a Super I/O nobody knows what is connected.
        (hwmon("nvme", 90.0, ucr=84.0), []),
        (hwmon("nct6779", 127.0, unc=80.0), []),
    ],
)
def test_the_kernels_temperatures(sensor: Sensor, expected: list[tuple[str, Verdict]]) -> None:
    assert [(one.code, one.verdict) for one in judge(Inventory(sensors=(sensor,)))] == expected


@pytest.mark.corpus
def test_no_false_alarm_over_the_corpus(corpus: Path) -> None:
    """These servers ran, and nobody had complained of them."""
    for file in (corpus / "ipmitool-sdr").iterdir():
        assert judge(Inventory(bmc=Bmc(sensors=parse_sensors(file.read_text())))) == [], file.name
    for file in (*(corpus / "dmidecode-psu").iterdir(), *(corpus / "dmidecode").iterdir()):
        supplies = parse_power_supplies(file.read_text(errors="replace"))
        assert judge(Inventory(power_supplies=supplies)) == [], file.name
