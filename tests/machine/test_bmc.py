"""The BMC: real answers by table, a whole BMC of our own by the real ipmitool, and all that may be missing."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveagent.host import CommandNotFound, CommandTimedOut, Completed, Host
from liveagent.machine import bmc_driver
from liveagent.machine.bmc import (
    Bmc,
    BmcLan,
    BmcUser,
    ChassisStatus,
    PowerReading,
    parse_chassis,
    parse_lan,
    parse_lan6,
    parse_mc,
    parse_power,
    parse_users,
    probe_bmc,
)
from liveagent.machine.bmc_driver import parse_smbios_types
from liveagent.machine.encoding import encode
from liveagent.machine.fru import FruArea
from liveagent.machine.ipmi import parse_time
from liveagent.machine.look import Look, Missing, Why
from liveagent.machine.sensors import Kind, Sensor, State
from tests.machine import ipmi_simulator as sim
from tests.machine.replies import HANGS, NOT_INSTALLED, Reply

DAY = 86400

# The form is that of ipmitool 1.8.18 and 1.8.19 at a simulated BMC, which both print the same; that BMC's status was
# `unknown` for all, and `disabled` of the first is ours.
ACCESS = """\
Maximum User IDs     : 63
Enabled User IDs     : 3

User ID              : 1
User Name            :
Fixed Name           : Yes
Access Available     : call-in / callback
Link Authentication  : disabled
IPMI Messaging       : enabled
Privilege Level      : USER
Enable Status        : disabled

User ID              : 2
User Name            : ADMIN
Fixed Name           : No
Access Available     : call-in / callback
Link Authentication  : disabled
IPMI Messaging       : enabled
Privilege Level      : ADMINISTRATOR
Enable Status        : unknown

User ID              : 4
User Name            :
Fixed Name           : No
Access Available     : call-in / callback
Link Authentication  : disabled
IPMI Messaging       : disabled
Privilege Level      : Unknown (0x00)
Enable Status        : unknown
"""
# The form is recorded there too; the simulated chassis was off and well, and what is on or faulty here is ours.
CHASSIS = """\
System Power         : on
Power Overload       : false
Power Interlock      : inactive
Main Power Fault     : false
Power Control Fault  : true
Power Restore Policy : previous
Last Power Event     : ac-failed
Chassis Intrusion    : active
Front-Panel Lockout  : inactive
Drive Fault          : true
Cooling/Fan Fault    : false
"""
# No recording: the form is read in ipmi_dcmi.c, 1.8.19, and the figures are ours.
POWER = """
    Instantaneous power reading:                   182 Watts
    Minimum during sampling period:                  0 Watts
    Maximum during sampling period:                431 Watts
    Average power reading over sample period:      180 Watts
    IPMI timestamp:                           11/29/26 04:57:50 UTC
    Sampling period:                          00000005 Seconds.
    Power reading state is:                   activated

"""


@pytest.mark.corpus
def test_a_bmc_by_its_own_words(corpus: Path) -> None:
    found = parse_mc((corpus / "ipmitool-mc/ironic.txt").read_text())
    # `Unknown (0x101)` is no name, and four zeros are no revision.
    assert found == Bmc("{vendor}", 1234, "", 2001, "0.99", "", "2.0")


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (
            "glpi-sample1.txt",
            BmcLan(
                1, None, "255.255.255.0", None, (), "00:15:17:8f:48:32", "BIOS Assigned Address", None,
                tuple(range(15)), False,
            ),
        ),
        (
            "go-hal-lanprint.txt",
            BmcLan(
                1, "10.248.36.246", "255.255.252.0", "10.248.36.1", (), "0c:c4:7a:ed:3e:27", "Static Address", None,
                (1, 2, 3, 6, 7, 8, 11, 12), False,
            ),
        ),
        ("ipa-ipmitool_lan6_print_dynamic_addr.txt", None),
        ("ipa-ipmitool_lan6_print_static_addr.txt", None),
    ],
)  # fmt: skip
def test_lan_settings(corpus: Path, file: str, expected: BmcLan | None) -> None:
    """0.0.0.0 is no address, suite 0 that nobody may use is no hole, and the SNMP community is nobody's business."""
    text = (corpus / "ipmitool-lan" / file).read_text()
    assert parse_lan(text, 1) == expected
    assert "public" not in json.dumps(encode(parse_lan(text, 1)))


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("ipa-ipmitool_lan6_print_dynamic_addr.txt", ("2001:1234:1234:1234:1234:1234:1234:1234",)),
        ("ipa-ipmitool_lan6_print_static_addr.txt", ("2001:5678:5678:5678:5678:5678:5678:5678",)),
        ("glpi-sample1.txt", ()),
        ("go-hal-lanprint.txt", ()),
    ],
)
def test_ipv6_addresses_in_use(corpus: Path, file: str, expected: tuple[str, ...]) -> None:
    assert parse_lan6((corpus / "ipmitool-lan" / file).read_text()) == expected


@pytest.mark.corpus
def test_an_error_is_nothing_at_all(corpus: Path) -> None:
    files = sorted((corpus / "ipmitool-error").iterdir())
    assert len(files) == 2
    for file in files:
        text = file.read_text()
        assert (parse_mc(text), parse_lan(text, 1), parse_chassis(text), parse_power(text)) == (None,) * 4
        assert parse_users(text, 1) == () and parse_lan6(text) == ()


def test_users_are_those_who_have_a_name_or_a_way_in() -> None:
    assert parse_users(ACCESS, 1) == (BmcUser("1/2", 2, 1, "ADMIN", "ADMINISTRATOR", True, None),)
    assert parse_users(ACCESS.replace("disabled\n\nUser ID              : 2", "enabled\n\nUser ID : 2"), 1)[0] == (
        BmcUser("1/1", 1, 1, "", "USER", True, True)
    )


def test_the_chassis() -> None:
    assert parse_chassis(CHASSIS) == ChassisStatus(True, False, False, True, True, True, False, "previous", "ac-failed")


def test_power() -> None:
    assert parse_power(POWER) == PowerReading(182, 0, 431, 180, 5)
    # A BMC without a meter gives zeros: a server that answers draws some.
    assert parse_power(POWER.replace("182 Watts", "0 Watts")) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("11/29/2026 04:57:50", 1795928270.0),  # 1.8.18
        ("11/29/26 04:57:50 UTC", 1795928270.0),  # 1.8.19
        ("06/10/2019 09:37:05", 1560159425.0),
        ("01/01/98 00:00:00 UTC", 883612800.0),
        ("01/01/1970 00:53:11", None),  # 1.8.18, seconds since the BMC's start
        ("01/01/70 00:53:11 UTC", None),
        ("S+ 00:53:11", None),  # the same of 1.8.19
        ("11/29/26 13:57:50 JST", None),  # it was not asked for UTC
        ("13/29/2026 04:57:50", None),
        ("Unspecified", None),
        ("Not Available", None),
        ("", None),
    ],
)
def test_times(text: str, expected: float | None) -> None:
    assert parse_time(text) == expected


# -- a whole BMC ------------------------------------------------------------------------------------

SENSORS = (
    sim.Analog(1, "CPU1 Temp", (3, 1), sim.TEMPERATURE, sim.CELSIUS, 101, {"unc": 95, "ucr": 100, "unr": 105}),
    sim.Analog(2, "Inlet Temp", (64, 1), sim.TEMPERATURE, sim.CELSIUS, 24, {"lcr": 3, "lnc": 5, "unc": 40, "ucr": 45}),
    sim.Analog(3, "FAN1", (29, 1), sim.FAN, sim.RPM, 0, {"lnr": 3, "lcr": 5}, 100),
    sim.Analog(4, "FAN2", (29, 2), sim.FAN, sim.RPM, 56, {"lnr": 3, "lcr": 5}, 100),
    sim.Analog(5, "12V", (7, 1), sim.VOLTAGE, sim.VOLTS, 192, {"lcr": 171, "ucr": 213}, 63, -3),
    sim.Analog(6, "PSU1 Power", (10, 1), sim.OTHER, sim.WATTS, 110, {}),
    sim.Discrete(0x20, "PS1 Status", (10, 1), sim.SUPPLY, sim.SPECIFIC, (0,)),
    sim.Discrete(0x21, "PS2 Status", (10, 2), sim.SUPPLY, sim.SPECIFIC, (0, 3)),
    sim.Discrete(0x22, "PS Redundancy", (10, 96), sim.SUPPLY, sim.REDUNDANCY, (1,)),
)
FRUS = {
    0: (
        "",
        (0, 0),
        sim.make_fru(
            ("CSE-1", "CHASSIS77"),
            ("ACME", "X1-BOARD", "BRD0001", "X1-PN"),
            ("ACME", "Server X1", "X1-P", "01", "SRV0001", "RACK 9"),
        ),
    ),
    1: ("PS1", (10, 1), sim.make_fru(board=("DELTA", "PWR SPLY,750W", "PSU0001", "05RHV"))),
    2: ("BP1", (15, 1), b""),
}


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sim.Simulator]:
    users = ('user 3 true "ops" "secret-of-ops" operator 10 none md5',)
    with sim.run_simulator(tmp_path_factory.mktemp("bmc"), SENSORS, FRUS, users) as running:
        now = time.time()
        running.log(sim.SUPPLY, 0x20, sim.SPECIFIC, (0, 0xFF, 0xFF))  # before the clock is set
        running.set_clock(now - 90 * DAY)
        running.log(sim.MEMORY, 0, sim.SPECIFIC, (0xA0, 0xFF, 0x12))
        running.set_clock(now - 2 * DAY)
        running.log(sim.MEMORY, 0, sim.SPECIFIC, (0xA1, 0xFF, 0x12))
        running.log(sim.TEMPERATURE, 1, sim.THRESHOLD, (0x59, 101, 100))
        running.log(sim.TEMPERATURE, 1, sim.THRESHOLD, (0x59, 90, 100), asserted=False)
        running.log(sim.TEMPERATURE, 1, sim.THRESHOLD, (0x59, 102, 100))
        running.set_clock(time.time() + 1000)
        yield running


@pytest.fixture(scope="module")
def seen(simulator: sim.Simulator) -> tuple[Bmc, Look]:
    look = Look(Host())
    bmc = probe_bmc(look, simulator.interface)
    assert bmc is not None
    return bmc, look


def test_what_the_simulator_was_given_is_what_is_seen(seen: tuple[Bmc, Look]) -> None:
    """Every value here was put into the BMC byte by byte: nothing is told by the parsers alone."""
    bmc, look = seen
    assert (bmc.manufacturer_id, bmc.product_id, bmc.firmware, bmc.ipmi_version) == (674, 256, "2.55", "2.0")
    assert bmc.manufacturer.startswith(("DELL", "Dell"))  # 1.8.18, and the list of IANA that 1.8.19 reads
    assert [(user.number, user.name, user.privilege) for user in bmc.users] == [
        (2, "tester", "ADMINISTRATOR"),
        (3, "ops", "OPERATOR"),
    ]
    assert [lan.channel for lan in bmc.lans] == [1]
    assert bmc.clock_is_set and bmc.clock_offset is not None and 990 < bmc.clock_offset < 1010
    assert bmc.chassis is not None and bmc.chassis.intrusion is False
    # The one thing that it has not; what it has is there.
    assert look.missing == [Missing("bmc.power", Why.ABSENT, "the BMC does not measure what the server draws")]


def test_its_sensors(seen: tuple[Bmc, Look]) -> None:
    found = {sensor.name: sensor for sensor in seen[0].sensors}
    assert list(found) == [sensor.name for sensor in SENSORS]
    assert found["CPU1 Temp"] == Sensor(
        "CPU1 Temp (0x1)", "CPU1 Temp", "bmc", Kind.TEMPERATURE, "Temperature", "3.1", 101.0, "°C", State.UCR,
        {"unc": 95.0, "ucr": 100.0, "unr": 105.0},
    )  # fmt: skip
    assert found["FAN1"].state is State.LNR and found["FAN1"].value == 0
    assert (found["FAN2"].value, found["FAN2"].unit, found["FAN2"].limits) == (5600, "RPM", {"lnr": 300, "lcr": 500})
    assert (found["12V"].value, found["12V"].unit, found["12V"].limits) == (12.096, "V", {"lcr": 10.773, "ucr": 13.419})
    assert (found["PSU1 Power"].kind, found["PSU1 Power"].value, found["PSU1 Power"].unit) == (Kind.POWER, 110, "W")
    assert found["PS2 Status"].states == ("Presence detected", "Power Supply AC lost")
    assert found["PS Redundancy"].states == ("Redundancy Lost",)


def test_its_parts(seen: tuple[Bmc, Look]) -> None:
    server, supply, backplane = seen[0].frus
    assert server.product == FruArea("ACME", "Server X1", "X1-P", "01", "SRV0001", "RACK 9", None)
    assert server.board == FruArea("ACME", "X1-BOARD", "X1-PN", None, "BRD0001", None, "2020-05-23")
    assert server.chassis is not None and server.chassis.serial == "CHASSIS77"
    assert supply.name == "PS1" and supply.board is not None and supply.board.serial == "PSU0001"
    assert (backplane.name, backplane.present) == ("BP1", False)


def test_its_log(seen: tuple[Bmc, Look]) -> None:
    sel = seen[0].sel
    assert sel is not None and sel.complete
    # The BMC logs that its clock was set, or not; what was given is there in its order.
    events = [event for event in sel.events if event.type != "System Event"]
    assert [(event.type, event.sensor, event.event, event.count, event.standing) for event in events] == [
        ("Power Supply", "PS1 Status", "Presence detected", 1, True),
        ("Memory", "", "Correctable ECC", 1, True),
        ("Memory", "", "Uncorrectable ECC", 1, True),
        ("Temperature", "CPU1 Temp", "Upper Critical going high", 2, True),
    ]
    assert events[0].last is None and "Pre-Init" in events[0].line
    assert events[1].last is not None and events[3].last is not None and events[1].last < events[3].last
    assert "Reading 102 > Threshold 100 degrees C" in events[3].line


def test_no_secret_is_kept(seen: tuple[Bmc, Look]) -> None:
    document = json.dumps(encode(seen[0]))
    assert "public" not in document and "secret" not in document


# -- what is missing --------------------------------------------------------------------------------


def make_table(*types: int) -> bytes:
    return b"".join(bytes([type_, 8, 0, 0, 0x40, 0, 0, 0]) + b"\0\0" for type_ in types)


@pytest.mark.parametrize(
    ("table", "why"),
    [(b"", Why.ABSENT), (make_table(0, 1, 127), Why.ABSENT), (make_table(0, 38, 127), Why.NO_DRIVER)],
)
def test_no_device(tmp_path: Path, table: bytes, why: Why) -> None:
    """Whether there is no BMC or only no driver, the board's own table tells."""
    file = tmp_path / bmc_driver.SMBIOS_TABLE.lstrip("/")
    file.parent.mkdir(parents=True)
    file.write_bytes(table)
    look = Look(Host(str(tmp_path)))
    assert probe_bmc(look) is None
    assert [(one.part, one.why) for one in look.missing] == [("bmc", why)]


def test_what_the_kernel_knows_without_ipmitool(tmp_path: Path) -> None:
    place = tmp_path / "sys/bus/platform/devices/ipmi_bmc.0"
    place.mkdir(parents=True)
    for name, text in (("firmware_revision", "2.55"), ("ipmi_version", "2.0"), ("manufacturer_id", "0x0002a2")):
        (place / name).write_text(f"{text}\n")
    look = Look(Host(str(tmp_path)))
    assert probe_bmc(look) == Bmc(manufacturer_id=674, firmware="2.55", ipmi_version="2.0")
    assert [one.why for one in look.missing] == [Why.NO_DRIVER]


class Silent(Host):
    """A machine whose BMC answers nothing after the first `answers` questions."""

    def __init__(self, answers: int) -> None:
        super().__init__()
        self.answers = answers
        self.asked: list[str] = []

    def exists(self, path: str) -> bool:
        return path in bmc_driver.DEVICES

    def run(self, argv, **more):  # type: ignore[no-untyped-def]
        self.asked.append(" ".join(argv[1:]))
        if len(self.asked) > self.answers:
            raise CommandTimedOut("ipmitool did not end within 15 s", Completed(tuple(argv), None, "", "", 15.0))
        return Completed(tuple(argv), 0, "Device ID : 32\nFirmware Revision : 2.55\n", "", 0.1)


def test_a_dead_bmc_is_asked_once() -> None:
    """Each further question would cost its whole time, and leave a process in the kernel."""
    host = Silent(0)
    look = Look(host)
    assert probe_bmc(look) is None
    assert host.asked == ["mc info"]
    assert look.missing == [Missing("bmc", Why.NO_ANSWER, "ipmitool did not end within 15 s")]


def test_one_that_dies_in_between_keeps_what_it_said() -> None:
    host = Silent(1)
    look = Look(host)
    found = probe_bmc(look)
    assert found is not None and found.firmware == "2.55" and found.sel is None and found.sensors == ()
    assert len(host.asked) == 2
    assert [one.why for one in look.missing if one.why is Why.NO_ANSWER] == [Why.NO_ANSWER]
    assert {one.part for one in look.missing} >= {"bmc.clock", "bmc.sensors", "bmc.frus", "bmc.sel", "bmc.chassis"}


class Saying(Host):
    """A machine whose ipmitool says this, whatever it is asked."""

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self.reply = reply

    def exists(self, path: str) -> bool:
        return path in bmc_driver.DEVICES

    def run(self, argv, **more):  # type: ignore[no-untyped-def]
        said = Completed(tuple(argv), self.reply.status, self.reply.stdout, self.reply.stderr, 0.1)
        if self.reply.raised:
            raise {"CommandNotFound": CommandNotFound, "CommandTimedOut": CommandTimedOut}[self.reply.raised]("", said)
        return said


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (NOT_INSTALLED, Why.NO_TOOL),
        (HANGS, Why.NO_ANSWER),
        (Reply(stdout="garbage\n\x00\ufffd"), Why.NOT_UNDERSTOOD),
        (Reply(stderr="Could not open device at /dev/ipmi0 or …: Permission denied", status=1), Why.NO_RIGHTS),
    ],
)
def test_why_it_said_nothing(reply: Reply, why: Why) -> None:
    look = Look(Saying(reply))
    assert probe_bmc(look) is None
    assert [(one.part, one.why) for one in look.missing] == [("bmc", why)]


# -- anything at all --------------------------------------------------------------------------------


@given(st.binary(max_size=400))
def test_any_table(table: bytes) -> None:
    for type_, body in parse_smbios_types(table):
        assert 0 <= type_ < 256 and len(body) >= 4


LINES = st.sampled_from((ACCESS + CHASSIS + POWER).splitlines())
TEXTS = st.one_of(st.text(), st.lists(st.one_of(LINES, st.text(max_size=30))).map("\n".join))


@given(TEXTS)
def test_any_text(text: str) -> None:
    """Nothing is raised, and no number comes out that nothing can have."""
    parse_mc(text), parse_chassis(text), parse_lan6(text), parse_lan(text, 1)
    power = parse_power(text)
    assert power is None or all(value is None or value >= 0 for value in dataclasses.astuple(power))
    assert all(user.number >= 0 for user in parse_users(text, 1))
    time = parse_time(text)
    assert time is None or time >= 0x20000000
