"""Sensors of BMCs and of the kernel: real ones by eye, and no number that nothing can have."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveagent.host import Host
from liveagent.machine.hwmon import make_sensor, probe_hwmon
from liveagent.machine.look import Look, Why
from liveagent.machine.sensors import Kind, Sensor, State, parse_sensors

# Recorded of `ipmitool -v sensor list` 1.8.18 and 1.8.19, which print the same, at a simulated BMC; two of its sensors.
RECORDED = """\
Sensor ID              : CPU1 Temp (0x1)
 Entity ID             : 3.1
 Sensor Type (Threshold)  : Temperature
 Sensor Reading        : 101 (+/- 0) degrees C
 Status                : Upper Critical
 Lower Non-Recoverable : na
 Lower Critical        : na
 Lower Non-Critical    : na
 Upper Non-Critical    : 95.000
 Upper Critical        : 100.000
 Upper Non-Recoverable : 105.000
 Positive Hysteresis   : 2.000
 Negative Hysteresis   : 2.000
 Assertions Enabled    : lnc- lnc+ lcr- lcr+ lnr- lnr+ unc- unc+ ucr- ucr+ unr- unr+
 Deassertions Enabled  : lnc- lnc+ lcr- lcr+ lnr- lnr+ unc- unc+ ucr- ucr+ unr- unr+

Sensor ID              : PS2 Status (0x21)
 Entity ID             : 10.2
 Sensor Type (Discrete): Power Supply
 States Asserted       : Power Supply
                         [Presence detected]
                         [Power Supply AC lost]

"""
# No recording: the forms are read in ipmi_sensor.c, 1.8.19, and the values are ours.
FORMS = """\
Sensor ID              : P1 DIMMA1 TEMP (0xb0)
 Entity ID             : 32.1
 Sensor Type (Threshold)  : Temperature
 Sensor Reading        :  Unable to read sensor: Device Not Present

Sensor ID              : Fan 1 (0x7)
 Entity ID             : 7.1
 Sensor Type (Threshold)  : Fan
 Sensor Reading        : 39.200 (+/- 0) percent
 Status                : ok

Sensor ID              : Outlet (0x8)
 Entity ID             : 55.1
 Sensor Type (Threshold)  : Temperature
 Sensor Reading        : 104 (+/- 0) degrees F
 Status                : ok
 Upper Critical        : 212.000

Sensor ID              : Power Meter (0x9)
 Entity ID             : 7.2
 Sensor Type (Discrete): Current
 Sensor Reading        : 182 Watts
 States Asserted       : Current
                         [Device Present]

Sensor ID              : Intrusion (0x73)
 Entity ID             : 7.1
 Sensor Type (Discrete): Physical Security
 Unable to read sensor: Device Not Present

Sensor ID              : Odd (0x74)
 Entity ID             : 7.1
 Sensor Type (Threshold)  : Temperature
 Sensor Reading        : 65535 (+/- 0) degrees C
 Status                : ok
"""


def test_recorded() -> None:
    temperature, supply = parse_sensors(RECORDED)
    assert temperature == Sensor(
        "CPU1 Temp (0x1)", "CPU1 Temp", "bmc", Kind.TEMPERATURE, "Temperature", "3.1", 101.0, "°C", State.UCR,
        {"unc": 95.0, "ucr": 100.0, "unr": 105.0},
    )  # fmt: skip
    assert supply == Sensor(
        "PS2 Status (0x21)", "PS2 Status", "bmc", Kind.STATE, "Power Supply", "10.2",
        states=("Presence detected", "Power Supply AC lost"),
    )  # fmt: skip


def test_forms() -> None:
    dimm, fan, outlet, meter, intrusion, odd = parse_sensors(FORMS)
    assert (dimm.value, dimm.kind, dimm.state, dimm.readable) == (None, Kind.TEMPERATURE, None, False)
    assert (fan.value, fan.unit, fan.kind) == (39.2, "%", Kind.FAN)
    assert (outlet.value, outlet.unit, outlet.limits) == (40.0, "°C", {"ucr": 100.0})
    assert (meter.value, meter.unit, meter.kind, meter.states) == (182.0, "W", Kind.POWER, ("Device Present",))
    assert (intrusion.states, intrusion.readable) == ((), False)
    assert (odd.value, odd.state) == (None, None)


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("file", "expected"),
    [
        # A margin to the limit of the processor is below zero, and is so meant.
        (
            "ironic-v-0.txt",
            [
                ("Temp (0x1)", -58, "°C", {"unc": 85, "ucr": 90}),
                ("Temp (0x2)", 50, "°C", {"unc": 85, "ucr": 90}),
                ("FAN MOD 1A RPM (0x30)", 8400, "RPM", {"lcr": 4275}),
                ("FAN MOD 1B RPM (0x31)", 8550, "RPM", {"lcr": 4275}),
            ],
        ),
        # One without its reading, which says `ok` all the same.
        (
            "ironic-v-1.txt",
            [
                ("Temp (0x1)", None, "", {}),
                ("Temp (0x2)", 50, "°C", {"unc": 85, "ucr": 90}),
                ("FAN MOD 1A RPM (0x30)", 8400, "RPM", {"lcr": 4275}),
            ],
        ),
        # Behind the noise of a session, and moved to the right.
        (
            "ironic-v-2.txt",
            [
                ("Temp (0x2)", 50, "°C", {"unc": 85, "ucr": 90}),
                ("FAN MOD 1A RPM (0x30)", 8400, "RPM", {"lcr": 4275}),
            ],
        ),
        # Rows of `sdr elist`, which nobody asks for: another form is nothing, rather than something else.
        ("telegraf-2.txt", []),
    ],
)
def test_real_bmcs(corpus: Path, file: str, expected: list[tuple[object, ...]]) -> None:
    found = parse_sensors((corpus / "ipmitool-sdr" / file).read_text())
    assert [(one.id, one.value, one.unit, dict(one.limits)) for one in found] == expected
    assert all(one.state is (State.OK if one.value is not None else None) for one in found)


LINES = st.sampled_from((RECORDED + FORMS).splitlines())


@given(st.lists(st.one_of(LINES, st.text(max_size=40))).map("\n".join), st.integers(0, 1500))
def test_any_text(text: str, cut: int) -> None:
    for one in (text, RECORDED[:cut], FORMS[:cut]):
        found = parse_sensors(one)
        assert len({sensor.id for sensor in found}) <= len(found)
        for sensor in found:
            assert sensor.kind is not Kind.TEMPERATURE or sensor.value is None or -128 <= sensor.value <= 300
            assert sensor.value is not None or not sensor.limits


# -- the kernel's -----------------------------------------------------------------------------------


@pytest.mark.corpus
def test_a_real_tree(unpack: Callable[[str], Host]) -> None:
    """Two sockets, a Super I/O that nobody set up, an old driver that keeps all with the device, and a bogus chip."""
    look = Look(unpack("sysfs-tree/node_exporter-hwmon.tar.gz"))
    found = {sensor.id: sensor for sensor in probe_hwmon(look)}
    assert not look.missing
    assert len(found) == 17
    assert found["coretemp.1/temp4"] == Sensor(
        "coretemp.1/temp4", "Core 2", "coretemp", Kind.TEMPERATURE, "", "", 53.0, "°C", None, {"unc": 84, "ucr": 100}
    )
    fan = found["applesmc.768/fan1"]
    assert (fan.name, fan.value, fan.limits) == ("Left side", 0, {"lnc": 2160, "unc": 6156})
    voltage = found["nct6775.656/in1"]
    assert (voltage.value, voltage.unit, voltage.limits, voltage.states) == (
        1.024, "V", {"lnc": 0, "unc": 0}, ("alarm",),
    )  # fmt: skip
    assert not any("bogus" in id for id in found)


def test_this_machine() -> None:
    """Whatever it has: numbers that a machine can have, under names of their own."""
    look = Look(Host())
    found = probe_hwmon(look)
    assert len({sensor.id for sensor in found}) == len(found)
    assert bool(found) != any(one.why is Why.ABSENT for one in look.missing)


@pytest.mark.parametrize(
    ("form", "values", "value", "limits", "state"),
    [
        # A drive without a limit: 65,535 K.
        ("temp", {"input": "38850", "max": "65261850", "min": "-273150", "crit": "84850"}, 38.85, {"ucr": 84.85}, None),
        ("temp", {"input": "101000", "crit": "100000", "crit_alarm": "1"}, 101.0, {"ucr": 100.0}, State.UCR),
        ("temp", {"input": "-128000"}, None, {}, None),
        ("temp", {"input": "40000", "fault": "1"}, None, {}, None),
        ("power", {"average": "182000000"}, 182.0, {}, None),
        ("fan", {"input": "-1"}, None, {}, None),
        ("fan", {"input": ""}, None, {}, None),
        ("curr", {"input": "7200"}, 7.2, {}, None),
        ("in", {"input": "12096", "lcrit": "10800", "lcrit_alarm": "0"}, 12.096, {"lcr": 10.8}, None),
    ],
)
def test_attributes(
    form: str, values: dict[str, str], value: float | None, limits: dict[str, float], state: State | None
) -> None:
    sensor = make_sensor("chip", "place", form, "1", values)
    assert (sensor.value, sensor.limits, sensor.state) == (value, limits, state)
    assert sensor.readable == (value is not None)


def test_no_chip(tmp_path: Path) -> None:
    look = Look(Host(str(tmp_path)))
    assert probe_hwmon(look) == ()
    assert [one.why for one in look.missing] == [Why.ABSENT]
