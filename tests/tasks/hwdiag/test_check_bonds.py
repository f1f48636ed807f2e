"""Bonds: legs that are down or apart, and what an interface says of the same."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from liveagent.events import Finding
from liveagent.machine.bonds import NOBODY, Bond, BondLeg, parse_bonding
from liveagent.machine.ethernet import Interface
from liveagent.machine.inventory import Inventory
from liveagent.tasks.hwdiag.checks import bonds, nics
from liveagent.tasks.hwdiag.policy import Policy
from tests.tasks.hwdiag.test_check_nics import GOOD as NIC

ONE = BondLeg("eth0", "up", 10000, "full", 1, "3c:fd:fe:00:00:01", 1)
TWO = BondLeg("eth1", "up", 10000, "full", 0, "3c:fd:fe:00:00:02", 1)
BOND = Bond(
    "bond0", "IEEE 802.3ad Dynamic link aggregation", "up", "layer2", "", "", "fast", 1, 2, "00:23:04:ee:be:01",
    (ONE, TWO),
)  # fmt: skip
DOWN = dataclasses.replace(TWO, status="down", aggregator=2)


def find(bond: Bond, *interfaces: Interface) -> list[Finding]:
    inventory = Inventory(bonds=(bond,), nics=interfaces)
    return [finding for check in bonds.CHECKS for finding in check.find(inventory, Policy())]


@pytest.mark.parametrize(
    ("bond", "codes"),
    [
        (BOND, []),
        (dataclasses.replace(BOND, legs=(ONE, DOWN)), ["bond.degraded"]),
        (dataclasses.replace(BOND, legs=(DOWN, DOWN), aggregator=None, partner=""), ["bond.down"]),
        (dataclasses.replace(BOND, legs=(DOWN, DOWN), partner=NOBODY), ["bond.down"]),
        (dataclasses.replace(BOND, legs=(ONE,)), ["bond.single"]),
        (dataclasses.replace(BOND, legs=()), []),
        (dataclasses.replace(BOND, legs=(ONE, dataclasses.replace(TWO, aggregator=2))), ["bond.aggregator"]),
        # Each is in a group of its own then, and that is no second finding.
        (
            dataclasses.replace(BOND, partner=NOBODY, legs=(ONE, dataclasses.replace(TWO, aggregator=2))),
            ["bond.partner"],
        ),
        # Without root's rights the kernel tells neither partner nor group.
        (dataclasses.replace(BOND, partner="", aggregator=None), []),
        (dataclasses.replace(BOND, mode="fault-tolerance (active-backup)", partner=NOBODY), []),
        (dataclasses.replace(BOND, legs=(ONE, dataclasses.replace(TWO, failures=11))), ["bond.flapping"]),
        (dataclasses.replace(BOND, legs=(ONE, dataclasses.replace(TWO, failures=None))), []),
    ],
)
def test_bonds(bond: Bond, codes: list[str]) -> None:
    assert [finding.code for finding in find(bond)] == codes


def test_the_words_name_the_cable() -> None:
    [finding] = find(dataclasses.replace(BOND, legs=(ONE, DOWN)))
    assert finding.part == "bond0" and finding.measured == {"up": ["eth0"], "down": ["eth1 3c:fd:fe:00:00:02"]}
    assert finding.summary == (
        "1 of 2 legs have a link, and nothing stands in for eth0; look at the cable of eth1 3c:fd:fe:00:00:02"
    )


def test_an_interface_and_its_bond_say_a_thing_once() -> None:
    nic = dataclasses.replace(NIC, name="eth1", carrier=False, controller="bond0")
    broken = dataclasses.replace(BOND, legs=(ONE, DOWN))
    inventory = Inventory(bonds=(broken,), nics=(nic,))
    assert [one.code for one in nics.CHECKS[0].find(inventory, Policy())] == []
    assert [one.code for one in nics.CHECKS[0].find(Inventory(nics=(nic,)), Policy())] == ["nic.carrier"]
    flapping = dataclasses.replace(BOND, legs=(ONE, dataclasses.replace(TWO, failures=40)))
    assert find(flapping, dataclasses.replace(NIC, name="eth1", carrier_changes=80)) == []


@pytest.mark.corpus
def test_recorded_bonds(corpus: Path) -> None:
    """Two of the five had no partner when they were recorded; the others have nothing wrong."""
    found = {
        path.stem: [one.code for one in find(parse_bonding("bond0", path.read_text()))]
        for path in sorted((corpus / "proc-bonding").glob("*.txt"))
    }
    assert {name: codes for name, codes in found.items() if codes} == {
        "facter": ["bond.partner"],
        "insights-bondinfo_mode_4": ["bond.partner"],
    }
    assert len(found) == 5
