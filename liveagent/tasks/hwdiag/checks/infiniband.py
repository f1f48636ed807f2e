"""InfiniBand links that are down, narrow, slow or lossy. What RoCE and iWARP carry is Ethernet's, and said there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from liveagent.events import Finding, Verdict
from liveagent.machine.infiniband import RdmaPort
from liveagent.machine.inventory import Inventory
from liveagent.tasks.hwdiag.check import Check, Code
from liveagent.tasks.hwdiag.policy import Limit, Policy

_THRESHOLDS = "error_thresholds of infiniband-diags, which ibqueryerrors reads"
ERROR_COUNT = Limit("infiniband.errors", 10, "errors", _THRESHOLDS)
LOSSES = Limit("infiniband.downed", 10, "times", _THRESHOLDS)

DOWN = Code(
    "infiniband.down",
    Verdict.WARN,
    "a port that something is plugged into has no link",
    "phys_state in sysfs, beside the transceiver, what was counted, and a link that trains",
)
UNUSED = Code("infiniband.unused", Verdict.PASS, "a port has no link", "phys_state in sysfs")
UNMANAGED = Code(
    "infiniband.unmanaged",
    Verdict.PASS,
    "a link is up, and no subnet manager made it ready",
    "state in sysfs: INIT and ARMED are what a subnet manager leads a port out of",
)
NARROW = Code(
    "infiniband.width",
    Verdict.WARN,
    "a link runs with fewer than four lanes: a lane is lost in cable, connector or port",
    "rate in sysfs; up to EDR no port or cable has fewer lanes by design",
)
SPLIT = Code(
    "infiniband.width.split",
    Verdict.PASS,
    "a link runs with fewer than four lanes, which from HDR on is a split port, or a lane that is lost",
    "rate in sysfs; HDR100 and NDR200 have two lanes",
)
SLOW = Code(
    "infiniband.rate",
    Verdict.WARN,
    "a link stayed at the speed that every link begins with: cable or connector",
    "rate in sysfs; links begin at 2.5 Gbit/s a lane, SDR, and agree on a higher speed then",
)
UNNAMED = Code(
    "infiniband.rate.unnamed",
    Verdict.PASS,
    "a link is at SDR, or at a speed that this kernel has no name for",
    "the kernel prints SDR for a speed that it does not know (drivers/infiniband/core/sysfs.c, rate_show)",
)
ERRORS = Code(
    "infiniband.errors",
    Verdict.WARN,
    "a port counted errors of its link: cable, connector or port",
    "PortCounters of the InfiniBand specification",
    (ERROR_COUNT,),
)
FLAPS = Code(
    "infiniband.flapping",
    Verdict.WARN,
    "the link went down, or retrained, more often than a boot explains",
    "link_downed and link_error_recovery of PortCounters",
    (LOSSES,),
)
# What a bad link makes; packets that were dropped or refused tell of load and of partitions.
BROKEN = ("symbol_error", "port_rcv_errors", "local_link_integrity_errors", "excessive_buffer_overrun_errors")
LOST = ("link_downed", "link_error_recovery")
SPLITTABLE = ("HDR", "NDR", "XDR")
TRAINING = ("PortConfigurationTraining", "LinkErrorRecovery")
FULL_WIDTH = 4


def find(inventory: Inventory, policy: Policy) -> Iterator[Finding]:
    for port in inventory.infiniband:
        if port.is_infiniband:
            yield from _find_link(port, _name_sign(port, inventory))
            yield from _find_errors(port, policy)


# ConnectX-8, by its PCI device id (drivers/net/ethernet/mellanox/mlx5/core/main.c); older ones print MT and theirs.
FIRST_WITH_XDR = 4131


def _find_link(port: RdmaPort, sign: str) -> Iterator[Finding]:
    if port.physical and port.physical != "LinkUp":
        if sign:
            summary = f"no link ({port.physical}), and {sign}; look at cable and switch port"
            yield DOWN.found(port.label, summary, physical=port.physical, state=port.state)
        else:
            yield UNUSED.found(port.label, f"no link ({port.physical})", physical=port.physical)
        return
    if port.state in ("INIT", "ARMED"):
        summary = f"the link is up, and no subnet manager made it ready ({port.state})"
        yield UNMANAGED.found(port.label, summary, state=port.state)
    if port.width is not None and port.width < FULL_WIDTH:
        if port.generation in SPLITTABLE:
            yield SPLIT.found(port.label, f"{_words(port)}; a split port, or a lane is lost", width=port.width)
        else:
            summary = f"{_words(port)}, of {FULL_WIDTH} lanes; look at cable, connector and switch port"
            yield NARROW.found(port.label, summary, width=port.width, possible=FULL_WIDTH)
    if port.generation == "SDR" and not is_before_xdr(port.model):
        yield UNNAMED.found(port.label, f"{_words(port)}, or at a speed that this kernel has no name for")
    elif port.generation == "SDR":
        summary = f"{_words(port)}, the speed that links begin with; look at cable, connector and switch port"
        yield SLOW.found(port.label, summary, rate=port.rate, generation=port.generation)


def is_before_xdr(model: str) -> bool:
    """Whether every speed of an adapter has a name in the kernels that know it: mlx4 and mlx5 up to NDR. Pure."""
    match = re.fullmatch(r"MT(\d{1,6})", model, re.ASCII)
    return match is not None and int(match[1]) < FIRST_WITH_XDR


def _words(port: RdmaPort) -> str:
    return f"it runs at {(port.rate or 0) / 10**9:g} Gbit/s ({port.width}X {port.generation})"


def _name_sign(port: RdmaPort, inventory: Inventory) -> str:
    """What tells that something is plugged in; "" where nothing does."""
    if port.physical in TRAINING:
        return "something answers at the other end"
    if port.counters.get("link_downed") or port.counters.get("port_rcv_packets"):
        return "it had one before"
    # Of an adapter with several ports nobody knows whose transceiver it is.
    is_alone = [one.bus for one in inventory.infiniband].count(port.bus) == 1
    modules = [nic.transceiver for nic in inventory.nics if port.bus and nic.bus == port.bus and is_alone]
    words = [f"{one.vendor} {one.part} {one.serial}".strip() or one.kind for one in modules if one]
    return f"{words[0]} is plugged in" if words else ""


def _find_errors(port: RdmaPort, policy: Policy) -> Iterator[Finding]:
    lost = {name: port.counters[name] for name in LOST if port.counters.get(name)}
    most = policy.limit(LOSSES, port.model)
    if sum(lost.values()) > most:
        words = ", ".join(f"{name} {count}" for name, count in lost.items())
        summary = f"the link was lost or retrained too often ({words}); look at cable and switch port"
        yield FLAPS.found(port.label, summary, **lost, threshold=most)
    most = policy.limit(ERROR_COUNT, port.model)
    broken = {name: port.counters[name] for name in BROKEN if port.counters.get(name, 0) > most}
    if broken:
        words = ", ".join(f"{name} {count}" for name, count in broken.items())
        summary = f"errors of the link ({words}); clean or replace the cable, look at the switch port"
        yield ERRORS.found(port.label, summary, **broken, threshold=most)


CHECKS = (Check((DOWN, UNUSED, UNMANAGED, NARROW, SPLIT, SLOW, UNNAMED, ERRORS, FLAPS), find),)
