"""Network links: what is wrong with one, and what only looks so."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from liveagent.events import Finding
from liveagent.machine.dmi import Identity
from liveagent.machine.ethernet import Interface, Lane, Transceiver
from liveagent.machine.inventory import Inventory
from liveagent.tasks.hwdiag.checks import nics
from liveagent.tasks.hwdiag.policy import Policy

MAC = "3c:fd:fe:00:00:01"
GOOD = Interface(
    id=MAC,
    name="eth0",
    mac=MAC,
    addresses=("10.0.0.5",),
    bus="0000:3b:00.0",
    numa_node=0,
    driver="i40e",
    driver_version="",
    firmware="8.30",
    state="up",
    carrier=True,
    carrier_changes=2,
    speed_mbit=10000,
    speed_max_mbit=10000,
    partner_max_mbit=None,
    duplex="full",
    autonegotiation=True,
    port="Twisted Pair",
    mtu=1500,
    controller="",
    virtual_functions=0,
    counters={"rx_packets": 10_000_000, "tx_packets": 5_000_000, "rx_crc_errors": 3, "rx_dropped": 90_000},
    transceiver=None,
)
DARK = Transceiver(
    "SFP", "EDGE", "LR", "EO1", 35.0, 3.3, (Lane(1, -0.9, -40.0, 51.0),), ("Laser rx power low alarm",),
    ("Laser rx power low warning",), True,
)  # fmt: skip
HOT = dataclasses.replace(DARK, alarms=(), warnings=("Module temperature high warning",))


def find(**changes: Any) -> list[Finding]:
    identity = Identity("S", None, None, None, None, None, boot_mac=MAC)
    nic = dataclasses.replace(GOOD, **changes)
    inventory = Inventory(identity=identity, nics=(nic,))
    return [finding for check in nics.CHECKS for finding in check.find(inventory, Policy())]


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({}, []),
        ({"speed_mbit": 1000}, ["nic.speed"]),
        ({"speed_mbit": 1000, "partner_max_mbit": 10000}, ["nic.speed"]),
        ({"speed_mbit": 1000, "partner_max_mbit": 1000}, ["nic.speed.below"]),
        # What a module could do is not told: the switch may well be of 10 Gbit/s.
        ({"speed_mbit": 10000, "speed_max_mbit": 25000, "port": "FIBRE"}, ["nic.speed.below"]),
        ({"speed_mbit": None}, []),
        ({"speed_max_mbit": None, "speed_mbit": 100}, []),
        ({"duplex": "half"}, ["nic.duplex"]),
        ({"duplex": ""}, []),
        ({"carrier": False}, ["nic.carrier"]),
        ({"carrier": None}, ["nic.carrier"]),
        ({"carrier": False, "addresses": (), "id": "3c:fd:fe:00:00:02", "mac": "3c:fd:fe:00:00:02"}, ["nic.unused"]),
        # A member of a bond has the boot interface's address, and its own.
        ({"carrier": False, "addresses": (), "id": "3c:fd:fe:00:00:02"}, ["nic.carrier"]),
        ({"carrier_changes": 40}, ["nic.flapping"]),
        ({"carrier_changes": None}, []),
        ({"counters": {"rx_packets": 1000, "rx_crc_errors": 12}}, ["nic.errors"]),
        ({"counters": {"rx_packets": 1000, "rx_crc_errors": 9}}, []),
        ({"counters": {"rx_packets": 10**9, "rx_crc_errors": 12}}, []),
        ({"counters": {"rx_crc_errors": 12}}, ["nic.errors"]),
        ({"counters": {}}, []),
        ({"transceiver": DARK}, ["nic.transceiver.alarm"]),
        ({"transceiver": DARK, "carrier": False}, ["nic.carrier"]),
        ({"transceiver": HOT}, ["nic.transceiver.alarm"]),
        ({"transceiver": HOT, "carrier": False}, ["nic.carrier", "nic.transceiver.alarm"]),
        ({"bus": "", "speed_mbit": 10, "carrier": False}, []),
    ],
)
def test_links(changes: dict[str, Any], codes: list[str]) -> None:
    assert [finding.code for finding in find(**changes)] == codes


def test_a_finding_has_the_figures_and_the_name_on_the_cable() -> None:
    [finding] = find(transceiver=DARK)
    assert finding.part == f"eth0 {MAC}"
    assert "EDGE LR EO1" in finding.summary
    assert finding.measured["rx_power"] == [-40.0] and finding.measured["flags"] == ["Laser rx power low alarm"]
