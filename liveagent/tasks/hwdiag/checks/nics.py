"""Network links that are slow, unsteady or lossy, and transceivers that say so themselves."""

from __future__ import annotations

from collections.abc import Iterator

from liveagent.events import Finding, Verdict
from liveagent.machine.bonds import list_legs
from liveagent.machine.ethernet import Interface
from liveagent.machine.inventory import Inventory
from liveagent.tasks.hwdiag.check import Check, Code
from liveagent.tasks.hwdiag.policy import Limit, Policy

ERROR_SHARE = Limit(
    "nic.errors.share",
    1e-6,
    "of all packets",
    "a clean link loses far less than the 1e-12 a bit that IEEE 802.3 allows",
)
ERROR_COUNT = Limit("nic.errors.count", 10, "packets", "a few are what plugging a cable leaves behind")
CHANGES = Limit(
    "nic.carrier.changes", 20, "ups and downs", "drivers and switches make two to eight while a server boots"
)

SLOW = Code(
    "nic.speed",
    Verdict.WARN,
    "a copper link is slower than the interface can, and the other end offers more or does not say: cable or port",
    "ethtool: link modes of both ends",
)
BELOW = Code(
    "nic.speed.below",
    Verdict.PASS,
    "a link is slower than the interface can, by what the other end offers, or by the transceiver",
    "ethtool: link modes of both ends",
)
HALF = Code("nic.duplex", Verdict.WARN, "a link runs half duplex: one end does not negotiate", "IEEE 802.3, clause 28")
DOWN = Code(
    "nic.carrier",
    Verdict.WARN,
    "an interface that the server was booted by, or that has an address, has no link",
    "carrier in sysfs",
)
UNUSED = Code("nic.unused", Verdict.PASS, "an interface has no link", "carrier in sysfs")
FLAPS = Code(
    "nic.flapping",
    Verdict.WARN,
    "the link went up and down more often than a boot explains",
    "carrier_changes in sysfs",
    (CHANGES,),
)
ERRORS = Code(
    "nic.errors",
    Verdict.WARN,
    "packets arrive broken: cable, connector or transceiver",
    "rx_crc_errors, rx_frame_errors and tx_carrier_errors of the kernel's statistics",
    (ERROR_SHARE, ERROR_COUNT),
)
ALARM = Code(
    "nic.transceiver.alarm",
    Verdict.WARN,
    "a transceiver is beyond a limit of its own",
    "SFF-8472 and SFF-8636, alarm and warning flags",
)
COPPER = ("Twisted Pair", "MII")
# What a broken link makes, and neither a full queue nor a frame for somebody else.
BROKEN = ("rx_crc_errors", "rx_frame_errors", "tx_carrier_errors")


def find(inventory: Inventory, policy: Policy) -> Iterator[Finding]:
    boot_mac = inventory.identity.boot_mac if inventory.identity else None
    for nic in inventory.nics:
        if not nic.bus:
            continue
        if not is_said_elsewhere(nic, inventory):
            yield from _find_link(nic, boot_mac)
        yield from _find_losses(nic, policy)
        yield from _find_alarms(nic)


def is_said_elsewhere(nic: Interface, inventory: Inventory) -> bool:
    """Whether it has no link, and the bond that it is in, or the InfiniBand port that it is made of, says so. Pure."""
    if nic.carrier:
        return False
    leg = list_legs(inventory.bonds).get(nic.name)
    ports = [port for port in inventory.infiniband if port.is_infiniband and port.bus == nic.bus]
    has_no_port = nic.is_over_infiniband and any(port.physical != "LinkUp" for port in ports)
    return has_no_port or (leg is not None and not leg.is_up)


def _find_link(nic: Interface, boot_mac: str | None) -> Iterator[Finding]:
    if not nic.carrier:
        is_used = bool(nic.addresses) or (boot_mac is not None and boot_mac in (nic.mac, nic.id))
        if is_used:
            yield DOWN.found(nic.label, "it was in use and has no link now; look at cable and switch port")
        elif nic.carrier is False:
            yield UNUSED.found(nic.label, "no link")
        return
    if nic.duplex == "half":
        yield HALF.found(nic.label, "the link runs half duplex; let both ends negotiate", duplex=nic.duplex)
    if nic.speed_mbit is None or nic.speed_max_mbit is None or nic.speed_mbit >= nic.speed_max_mbit:
        return
    measured = {"speed": nic.speed_mbit, "possible": nic.speed_max_mbit, "unit": "Mbit/s"}
    offers_more = nic.partner_max_mbit is not None and nic.partner_max_mbit > nic.speed_mbit
    if not offers_more and (nic.partner_max_mbit is not None or nic.port not in COPPER):
        # In a cage the module decides, and what it could do is not told.
        why = "all that the other end offers" if nic.partner_max_mbit is not None else "by transceiver or switch"
        yield BELOW.found(nic.label, f"{nic.speed_mbit} Mbit/s of {nic.speed_max_mbit}, {why}", **measured)
    else:
        summary = f"the link runs at {nic.speed_mbit} Mbit/s of {nic.speed_max_mbit}; look at cable and switch port"
        yield SLOW.found(nic.label, summary, **measured)


def is_flapping(nic: Interface, policy: Policy) -> bool:
    """Whether its link went up and down too often. Pure."""
    return nic.carrier_changes is not None and nic.carrier_changes > policy.limit(CHANGES, nic.driver)


def _find_losses(nic: Interface, policy: Policy) -> Iterator[Finding]:
    if is_flapping(nic, policy):
        most = policy.limit(CHANGES, nic.driver)
        summary = f"the link went up and down {nic.carrier_changes} times since boot; look at cable and transceiver"
        yield FLAPS.found(nic.label, summary, changes=nic.carrier_changes, threshold=most)
    broken = {name: nic.counters[name] for name in BROKEN if nic.counters.get(name)}
    packets = nic.counters.get("rx_packets", 0) + nic.counters.get("tx_packets", 0)
    count, share = sum(broken.values()), policy.limit(ERROR_SHARE, nic.driver)
    if count >= policy.limit(ERROR_COUNT, nic.driver) and count > share * packets:
        words = ", ".join(f"{name} {number}" for name, number in broken.items())
        summary = f"{count} broken packets of {packets} ({words}); look at cable, connector and transceiver"
        yield ERRORS.found(nic.label, summary, **broken, packets=packets, threshold=share)


def _find_alarms(nic: Interface) -> Iterator[Finding]:
    module = nic.transceiver
    if module is None:
        return
    raised = [
        *module.alarms,
        *(word for word in module.warnings if word.replace("warning", "alarm") not in module.alarms),
    ]
    if not nic.carrier:
        # Nothing is plugged in at the other end: darkness is no fault of the module.
        raised = [flag for flag in raised if not ("rx power" in flag.lower() and " low " in flag)]
    if raised:
        powers = [lane.rx_power for lane in module.lanes]
        summary = f"transceiver {module.vendor} {module.part} {module.serial}: {', '.join(raised)}; clean or replace it"
        yield ALARM.found(nic.label, summary, flags=raised, temperature=module.temperature, rx_power=powers)


CHECKS = (Check((SLOW, BELOW, HALF, DOWN, UNUSED, FLAPS, ERRORS, ALARM), find),)
