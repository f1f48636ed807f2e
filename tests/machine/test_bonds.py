"""Bonds as kernels of several years describe them, whole and cut off."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveagent.host import Host
from liveagent.machine.bonds import BONDING, NOBODY, BadBonding, Bond, BondLeg, list_legs, parse_bonding, probe_bonds
from liveagent.machine.look import Look, Why

# As drivers/net/bonding/bond_procfs.c of Linux 6 prints it for root, with a leg that has no link.
NEW = """Ethernet Channel Bonding Driver: v6.1.0

Bonding Mode: IEEE 802.3ad Dynamic link aggregation
Transmit Hash Policy: layer3+4 (1)
MII Status: up
MII Polling Interval (ms): 100
Up Delay (ms): 0
Down Delay (ms): 0
Peer Notification Delay (ms): 0

802.3ad info
LACP active: on
LACP rate: fast
Min links: 0
Aggregator selection policy (ad_select): stable
System priority: 65535
System MAC address: 0c:42:a1:00:00:01
Active Aggregator Info:
\tAggregator ID: 2
\tNumber of ports: 1
\tActor Key: 21
\tPartner Key: 32773
\tPartner Mac Address: 00:23:04:EE:BE:01

Slave Interface: ens1f0
MII Status: going down
Speed: Unknown
Duplex: Unknown
Link Failure Count: 3
Permanent HW addr: 0C:42:A1:00:00:01
Slave queue ID: 0
Aggregator ID: N/A

Slave Interface: ens1f1
MII Status: up
Speed: 25000 Mbps
Duplex: full
Link Failure Count: 0
Permanent HW addr: 0c:42:a1:00:00:02
Slave queue ID: 0
Aggregator ID: 2
details partner lacp pdu:
    system mac address: 00:23:04:ee:be:01
    port state: 61
"""


def read(corpus: Path, name: str) -> Bond:
    return parse_bonding("bond0", (corpus / "proc-bonding" / f"{name}.txt").read_text())


def test_lacp_of_a_new_kernel() -> None:
    bond = parse_bonding("bond0", NEW)
    assert bond == Bond(
        id="bond0",
        mode="IEEE 802.3ad Dynamic link aggregation",
        status="up",
        hash_policy="layer3+4 (1)",
        primary="",
        active="",
        lacp_rate="fast",
        aggregator=2,
        ports=1,
        partner="00:23:04:ee:be:01",
        legs=(
            BondLeg("ens1f0", "going down", None, "", 3, "0c:42:a1:00:00:01", None),
            BondLeg("ens1f1", "up", 25000, "full", 0, "0c:42:a1:00:00:02", 2),
        ),
    )
    assert bond.has_lacp and [leg.is_up for leg in bond.legs] == [False, True]
    assert list(list_legs([bond])) == ["ens1f0", "ens1f1"]


def test_what_only_root_is_told_is_not_taken_for_no_partner() -> None:
    lines = NEW.splitlines(keepends=True)
    others = [line for line in lines if not line.startswith(("\t", "Active Agg", "System"))]
    bond = parse_bonding("bond0", "".join(others))
    assert (bond.partner, bond.aggregator, bond.ports) == ("", None, None)
    assert bond.legs[1].aggregator == 2


def test_no_aggregator_at_all() -> None:
    text = NEW.split("Active Aggregator")[0] + "bond bond0 has no active aggregator\n\nSlave Interface: eth1\n"
    bond = parse_bonding("bond0", text)
    assert bond.aggregator is None and bond.legs == (BondLeg("eth1", "", None, "", None, "", None),)


@pytest.mark.corpus
def test_lacp_without_a_partner(corpus: Path) -> None:
    bond = read(corpus, "facter")
    assert (bond.partner, bond.aggregator, bond.ports, bond.lacp_rate) == (NOBODY, 1, 1, "fast")
    assert [(leg.name, leg.aggregator, leg.failures) for leg in bond.legs] == [("eth2", 1, 1), ("eth3", 2, 1)]
    # The partner's own lines at the end of a leg are not the leg's.
    assert bond.legs[1].mac == "08:00:27:d5:44:7e"


@pytest.mark.corpus
def test_lacp_of_an_old_kernel(corpus: Path) -> None:
    """Its recording has a broken line in it."""
    bond = read(corpus, "insights-bondinfo_mode_4")
    assert (bond.aggregator, bond.lacp_rate) == (3, "slow")
    assert bond.legs[1] == BondLeg("eth2", "up", 1000, "full", 0, "00:16:35:5e:02:7e", 2)


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("name", "mode", "legs", "active", "policy"),
    [
        ("insights-bondinfo_1", "load balancing (round-robin)", ["eno1", "eno2"], "", ""),
        ("insights-bondinfo_mode_2", "load balancing (xor)", ["eno1", "eno2"], "", "layer2+3 (2)"),
        (
            "insights-bondinfo_mode_5",
            "fault-tolerance (active-backup)",
            ["enp17s0f0", "enp17s0f1"],
            "enp17s0f0",
            "",
        ),
    ],
)
def test_other_modes(corpus: Path, name: str, mode: str, legs: list[str], active: str, policy: str) -> None:
    bond = read(corpus, name)
    assert (bond.mode, bond.active, bond.primary, bond.hash_policy) == (mode, active, "", policy)
    assert [leg.name for leg in bond.legs] == legs
    assert not bond.has_lacp and bond.aggregator is None and bond.partner == ""


def test_primary_with_its_policy() -> None:
    text = "Bonding Mode: fault-tolerance (active-backup)\nPrimary Slave: eth1 (primary_reselect always)\n"
    assert parse_bonding("bond0", text).primary == "eth1"


@given(st.text() | st.integers(0, len(NEW)).map(lambda end: NEW[:end]), st.text())
def test_no_text_raises_anything_else(text: str, more: str) -> None:
    try:
        bond = parse_bonding("bond0", text + more)
    except BadBonding:
        return
    assert all(leg.speed_mbit is None or leg.speed_mbit > 0 for leg in bond.legs)


def test_a_figure_that_no_counter_holds() -> None:
    assert parse_bonding("b", f"Bonding Mode: x\nAggregator ID: {'9' * 5000}\n").aggregator is None


def test_a_machine_with_good_and_bad_bonds(tmp_path: Path) -> None:
    below = tmp_path / BONDING.strip("/")
    below.mkdir(parents=True)
    (below / "bond0").write_bytes(NEW.encode() + b"\xff\xfe")
    (below / "bond1").write_text("")
    look = Look(Host(str(tmp_path)))
    assert [bond.id for bond in probe_bonds(look)] == ["bond0"]
    assert [(one.part, one.why) for one in look.missing] == [("bonds.bond1", Why.NOT_UNDERSTOOD)]


class Barred(Host):
    """A machine whose files nobody may read."""

    def read(self, path: str) -> str:
        raise PermissionError(path)


def test_a_bond_that_may_not_be_read(tmp_path: Path) -> None:
    below = tmp_path / BONDING.strip("/")
    below.mkdir(parents=True)
    (below / "bond0").touch()
    look = Look(Barred(str(tmp_path)))
    assert probe_bonds(look) == ()
    assert [(one.part, one.why) for one in look.missing] == [("bonds.bond0", Why.NO_RIGHTS)]


def test_a_machine_without_a_bond(tmp_path: Path) -> None:
    look = Look(Host(str(tmp_path)))
    assert probe_bonds(look) == ()
    assert [(one.part, one.why) for one in look.missing] == [("bonds", Why.ABSENT)]
