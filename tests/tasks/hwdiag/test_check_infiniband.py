"""InfiniBand links: what is wrong with one, what only looks so, and what a network interface says of the same."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from liveagent.events import Finding
from liveagent.machine.ethernet import Transceiver
from liveagent.machine.infiniband import RdmaPort, probe_infiniband
from liveagent.machine.inventory import Inventory
from liveagent.machine.look import Look
from liveagent.tasks.hwdiag.checks import infiniband, nics
from liveagent.tasks.hwdiag.policy import Policy
from tests.conftest import UnpackTree
from tests.tasks.hwdiag.test_check_nics import GOOD as NIC

PORT = RdmaPort(
    id="0c42:a103:0000:0001/1",
    name="mlx5_0/1",
    bus="0000:81:00.0",
    transport="InfiniBand",
    model="MT4123",
    board="MT_0000000223",
    firmware="20.31.1014",
    description="node1 HCA-1",
    state="ACTIVE",
    physical="LinkUp",
    rate=200 * 10**9,
    width=4,
    generation="HDR",
    lid=12,
    manager_lid=1,
    capabilities="0x2651e848",
    counters={"symbol_error": 3, "link_downed": 1, "port_rcv_packets": 5000, "port_xmit_discards": 900},
)
NO_LINK: dict[str, Any] = {
    "physical": "Polling",
    "state": "DOWN",
    "rate": None,
    "width": None,
    "generation": "",
    "counters": {"symbol_error": 0, "link_downed": 0, "port_rcv_packets": 0},
}
IPOIB = dataclasses.replace(
    NIC, id="ib0", name="ib0", mac=":".join(["80"] * 20), bus=PORT.bus, carrier=False, driver="mlx5_core"
)
CABLE = Transceiver("QSFP56", "Mellanox", "MCP1650-H001E30", "MT2023", None, None, (), (), (), False)


def find(*ports: RdmaPort, **more: Any) -> list[Finding]:
    inventory = Inventory(infiniband=ports, **more)
    return [finding for check in infiniband.CHECKS for finding in check.find(inventory, Policy())]


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({}, []),
        (NO_LINK, ["infiniband.unused"]),
        ({**NO_LINK, "counters": {}}, ["infiniband.unused"]),
        ({**NO_LINK, "physical": "Disabled"}, ["infiniband.unused"]),
        # Something is plugged in: it trains, or there was a link.
        ({**NO_LINK, "physical": "PortConfigurationTraining"}, ["infiniband.down"]),
        ({**NO_LINK, "counters": {"link_downed": 1}}, ["infiniband.down"]),
        ({**NO_LINK, "physical": ""}, []),
        ({"state": "INIT"}, ["infiniband.unmanaged"]),
        ({"width": 1, "rate": 25 * 10**9, "generation": "EDR"}, ["infiniband.width"]),
        ({"width": 2, "rate": 100 * 10**9}, ["infiniband.width.split"]),
        ({"width": 12, "rate": 300 * 10**9, "generation": "EDR"}, []),
        ({"rate": 10**10, "generation": "SDR"}, ["infiniband.rate"]),
        # A kernel calls a speed that it does not know SDR as well.
        ({"rate": 10**10, "generation": "SDR", "model": "MT4131"}, ["infiniband.rate.unnamed"]),
        ({"rate": 2_500_000_000, "width": 1, "generation": "SDR"}, ["infiniband.width", "infiniband.rate"]),
        ({"counters": {"symbol_error": 10}}, []),
        ({"counters": {"symbol_error": 65535, "port_rcv_errors": 11}}, ["infiniband.errors"]),
        ({"counters": {"link_downed": 6, "link_error_recovery": 5}}, ["infiniband.flapping"]),
        ({"transport": "RoCE", **NO_LINK, "counters": {"link_downed": 40}}, []),
        ({"transport": "iWARP", "rate": 10**10, "generation": "SDR"}, []),
    ],
)
def test_ports(changes: dict[str, Any], codes: list[str]) -> None:
    assert [finding.code for finding in find(dataclasses.replace(PORT, **changes))] == codes


def test_a_finding_says_where_it_is_and_what_was_counted() -> None:
    [finding] = find(dataclasses.replace(PORT, counters={"symbol_error": 99, "VL15_dropped": 5000}))
    assert finding.part == "mlx5_0/1 MT4123 0000:81:00.0"
    assert finding.measured == {"symbol_error": 99, "threshold": 10} and "symbol_error 99" in finding.summary


def test_a_cable_that_is_plugged_in_and_has_no_link() -> None:
    port = dataclasses.replace(PORT, **NO_LINK)
    nic = dataclasses.replace(IPOIB, transceiver=CABLE)
    [finding] = find(port, nics=(nic,))
    assert finding.code == "infiniband.down" and "Mellanox MCP1650-H001E30 MT2023 is plugged in" in finding.summary
    # Of two ports at one address nobody knows whose cable it is.
    other = dataclasses.replace(port, id="x/2", name="mlx5_0/2")
    assert {one.code for one in find(port, other, nics=(nic,))} == {"infiniband.unused"}


@pytest.mark.parametrize(
    ("port", "nic", "codes"),
    [
        (NO_LINK, {}, []),
        ({}, {}, ["nic.carrier"]),
        # An Ethernet interface of the same adapter, and a port of it that speaks Ethernet.
        (NO_LINK, {"mac": "3c:fd:fe:00:00:09"}, ["nic.carrier"]),
        ({**NO_LINK, "transport": "RoCE"}, {"mac": "3c:fd:fe:00:00:09"}, ["nic.carrier"]),
    ],
)
def test_a_port_without_a_link_is_said_once(port: dict[str, Any], nic: dict[str, Any], codes: list[str]) -> None:
    inventory = Inventory(infiniband=(dataclasses.replace(PORT, **port),), nics=(dataclasses.replace(IPOIB, **nic),))
    assert [one.code for check in nics.CHECKS for one in check.find(inventory, Policy())] == codes


@pytest.mark.corpus
@pytest.mark.parametrize(
    "tree", ["hwloc-tree/32em64t-2n8c+dax+nvme+mic+dimms.tar.bz2", "hwloc-tree/40intel64-2g2n4c+pcilocality.tar.bz2"]
)
def test_recorded_servers_have_no_false_alarm(unpack_tree: UnpackTree, tree: str) -> None:
    ports = probe_infiniband(Look(unpack_tree(tree, r"/(class/infiniband/|.*/infiniband/)")))
    assert ports and find(*ports) == []
