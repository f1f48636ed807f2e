"""Modules that do not match, memory that is missing, and errors that were counted."""

from __future__ import annotations

from collections.abc import Iterator

from liveagent.events import Finding, Verdict
from liveagent.machine.dimm import find_labelled
from liveagent.machine.inventory import Inventory
from liveagent.machine.memory import Memory
from liveagent.report.lines import render_memory
from liveagent.tasks.hwdiag.check import Check, Code
from liveagent.tasks.hwdiag.checks.dimms import CODES as DIMM_CODES
from liveagent.tasks.hwdiag.checks.dimms import find_modules
from liveagent.tasks.hwdiag.policy import Limit, Policy

SEEN = Limit(
    "memory.seen.share",
    0.983,
    "of what is fitted",
    "the kernel's table of pages takes 1.6 % (64 bytes for each 4 KiB); what else is kept, for a crash kernel and by "
    "the firmware, is less than half a module",
)
CORRECTED = Limit("memory.corrected", 1, "errors", "each corrected error is a bit that flipped since boot")

MISSING = Code(
    "memory.missing",
    Verdict.WARN,
    "the kernel has less memory than is fitted: a module is disabled, mirrored or spared",
    "MemTotal against the sum of SMBIOS type 17",
    (SEEN,),
)
UNCORRECTED = Code(
    "memory.ecc.uncorrected", Verdict.FAIL, "the kernel counted uncorrected errors since boot", "EDAC in sysfs"
)
CORRECTABLE = Code(
    "memory.ecc.corrected",
    Verdict.WARN,
    "the kernel counted corrected errors since boot",
    "EDAC in sysfs",
    (CORRECTED,),
)
ECC_OFF = Code(
    "memory.ecc.off",
    Verdict.WARN,
    "the modules or the kind of server are made for error correction, and there is none",
    "SMBIOS type 16 against the widths of type 17 and the chassis of type 3",
)
NO_ECC = Code("memory.ecc.none", Verdict.PASS, "the memory has no error correction", "SMBIOS type 16")
# Chassis that nobody sells without; a desktop's board in a rack says desktop.
SERVERS = ("main server", "rack mount", "blade", "multi-system", "blade enclosure")


def find(inventory: Inventory, policy: Policy) -> Iterator[Finding]:
    memory = inventory.memory
    if memory is None:
        return
    yield from _find_errors(memory, policy)
    # What a hypervisor describes is what it was told to, in whatever pieces.
    if inventory.is_virtual:
        return
    yield from find_modules(memory, inventory.cpu.sockets if inventory.cpu else None, policy)
    yield from _find_missing(memory, policy)
    if memory.ecc == "None":
        able = [dimm.slot for dimm in memory.dimms if dimm.ecc]
        chassis = inventory.system.chassis if inventory.system else ""
        if able or chassis in SERVERS:
            why = f"modules have it ({', '.join(able[:8])})" if able else f"this is a server ({chassis})"
            yield ECC_OFF.found("memory", f"no error correction, though {why}; look at the firmware's setup")
        else:
            yield NO_ECC.found("memory", "no error correction")


def _find_missing(memory: Memory, policy: Policy) -> Iterator[Finding]:
    """One module of a few that is not there shows in the sum; what the kernel keeps for itself is less than that."""
    if memory.usable is None or memory.total is None:
        return
    share, lacking = policy.limit(SEEN), memory.total - memory.usable
    smallest = min(dimm.size for dimm in memory.dimms if dimm.size is not None and not dimm.is_persistent)
    if lacking >= (1 - share) * memory.total + smallest / 2:
        summary = (
            f"the system has {render_memory(memory.usable)} of {render_memory(memory.total)} that are fitted; look in "
            "the firmware's log for a module that is disabled, and in its setup for mirroring"
        )
        yield MISSING.found("memory", summary, usable=memory.usable, total=memory.total, threshold=share)


def _find_errors(memory: Memory, policy: Policy) -> Iterator[Finding]:
    """By module, which is what somebody can replace; what no module was found for by its controller."""
    counts = {one.id: (one.corrected, one.uncorrected) for one in memory.errors}
    for controller in memory.controllers:
        name = controller.id.split()[0]
        own = [one for one in memory.errors if one.id.startswith(f"{name}/")]
        placed = sum(one.corrected for one in own), sum(one.uncorrected for one in own)
        counts[controller.id] = (
            max(controller.corrected - placed[0], controller.unplaced_corrected, 0),
            max(controller.uncorrected - placed[1], controller.unplaced_uncorrected, 0),
        )
    least = policy.limit(CORRECTED)
    for place, (corrected, uncorrected) in counts.items():
        name, _, label = place.partition(" ")
        dimm = find_labelled(label, memory.dimms) if "/" in name else None
        part = f"{dimm.slot} {dimm.serial}".strip() if dimm else place
        seen = {"counted_by": place} if dimm else {}
        if uncorrected:
            summary = f"{uncorrected} uncorrected errors since boot; replace the module"
            yield UNCORRECTED.found(part, summary, uncorrected=uncorrected, **seen)
        if corrected and corrected >= least:
            summary = f"{corrected} corrected errors since boot; watch the module, or replace it"
            yield CORRECTABLE.found(part, summary, corrected=corrected, threshold=least, **seen)


CHECKS = (Check((*DIMM_CODES, MISSING, UNCORRECTED, CORRECTABLE, ECC_OFF, NO_ECC), find),)
