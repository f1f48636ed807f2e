"""Bonds that have lost a leg, or whose legs the switch does not take for one."""

from __future__ import annotations

from collections.abc import Iterator

from liveagent.events import Finding, Verdict
from liveagent.machine.bonds import NOBODY, Bond
from liveagent.machine.inventory import Inventory
from liveagent.tasks.hwdiag.check import Check, Code
from liveagent.tasks.hwdiag.checks import nics
from liveagent.tasks.hwdiag.policy import Limit, Policy

_FILE = "/proc/net/bonding"
FAILURES = Limit(
    "bond.failures",
    10,
    "losses of the link",
    "liveagent's own: half of the ups and downs that nic.carrier.changes allows",
)
DOWN = Code("bond.down", Verdict.WARN, "no leg of a bond has a link", _FILE)
DEGRADED = Code("bond.degraded", Verdict.WARN, "a leg of a bond is down", _FILE)
SINGLE = Code("bond.single", Verdict.PASS, "a bond has one leg alone: nothing stands in for it", _FILE)
NO_PARTNER = Code(
    "bond.partner", Verdict.WARN, "no switch speaks LACP with a bond: only one of its legs is used", "IEEE 802.1AX"
)
APART = Code(
    "bond.aggregator",
    Verdict.WARN,
    "a leg is in another LACP group than the others, and not used: another switch, or a port that is set otherwise",
    "IEEE 802.1AX; aggregator ids of /proc/net/bonding",
)
FLAPS = Code("bond.flapping", Verdict.WARN, "a leg lost its link more often than a boot explains", _FILE, (FAILURES,))


def find(inventory: Inventory, policy: Policy) -> Iterator[Finding]:
    for bond in inventory.bonds:
        yield from _find_legs(bond)
        if bond.has_lacp:
            yield from _find_groups(bond)
        yield from _find_losses(bond, inventory, policy)


def _find_legs(bond: Bond) -> Iterator[Finding]:
    up = [leg.name for leg in bond.legs if leg.is_up]
    down = [f"{leg.name} {leg.mac}".strip() for leg in bond.legs if not leg.is_up]
    if down and not up:
        summary = f"no leg has a link; look at the cables of {', '.join(down)}, and at the switch ports"
        yield DOWN.found(bond.id, summary, down=down)
    elif down:
        rest = f", and nothing stands in for {up[0]}" if len(up) == 1 else ""
        summary = f"{len(up)} of {len(bond.legs)} legs have a link{rest}; look at the cable of {', '.join(down)}"
        yield DEGRADED.found(bond.id, summary, up=up, down=down)
    elif len(up) == 1:
        yield SINGLE.found(bond.id, f"{up[0]} is its only leg", up=up)


def _find_groups(bond: Bond) -> Iterator[Finding]:
    up = [leg for leg in bond.legs if leg.is_up and leg.aggregator is not None]
    if bond.partner == NOBODY:
        if up:
            yield NO_PARTNER.found(bond.id, "the switch does not speak LACP with it; look at the switch's ports")
        return
    apart = {leg.name: leg.aggregator for leg in up if leg.aggregator != bond.aggregator}
    if bond.aggregator is not None and apart:
        words = ", ".join(f"{name} is in group {group}" for name, group in apart.items())
        summary = f"{words}, and {bond.aggregator} is used; look where the cable leads, and how that port is set"
        yield APART.found(bond.id, summary, used=bond.aggregator, apart=apart)


def _find_losses(bond: Bond, inventory: Inventory, policy: Policy) -> Iterator[Finding]:
    most = policy.limit(FAILURES)
    flapping = {nic.name for nic in inventory.nics if nics.is_flapping(nic, policy)}
    for leg in bond.legs:
        # The interface itself may have said it already.
        if leg.failures is not None and leg.failures > most and leg.name not in flapping:
            summary = f"the link was lost {leg.failures} times since it is in {bond.id}; look at cable and transceiver"
            yield FLAPS.found(f"{leg.name} {leg.mac}".strip(), summary, failures=leg.failures, threshold=most)


CHECKS = (Check((DOWN, DEGRADED, SINGLE, NO_PARTNER, APART, FLAPS), find),)
