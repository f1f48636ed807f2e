"""Modules that do not match, memory that is missing, and errors that were counted."""

from __future__ import annotations

import collections
from collections.abc import Iterator

from liveagent.events import Finding, Verdict
from liveagent.machine.inventory import Inventory
from liveagent.machine.memory import Dimm, Memory
from liveagent.tasks.hwdiag.check import Check, Code
from liveagent.tasks.hwdiag.policy import Limit, Policy

SEEN = Limit(
    "memory.seen.share",
    0.85,
    "of what is fitted",
    "the kernel's own tables and a crash kernel take 2 to 10 %; graphics in the processor some more",
)
CORRECTED = Limit("memory.corrected", 1, "errors", "each corrected error is a bit that flipped since boot")

MIXED_SIZE = Code(
    "memory.mixed.size", Verdict.WARN, "modules of several sizes: channels are not filled alike", "SMBIOS type 17"
)
MIXED_KIND = Code(
    "memory.mixed.kind", Verdict.WARN, "modules of several types, ranks or rated speeds", "SMBIOS type 17"
)
MIXED_PART = Code("memory.mixed.part", Verdict.PASS, "modules of several makers or part numbers", "SMBIOS type 17")
SLOW = Code(
    "memory.speed.uneven", Verdict.WARN, "a module runs slower than the others", "SMBIOS type 17, configured speed"
)
BELOW = Code(
    "memory.speed.below",
    Verdict.PASS,
    "all modules run below what they are made for: most platforms do so by design",
    "SMBIOS type 17, configured speed",
)
UNBALANCED = Code(
    "memory.unbalanced", Verdict.WARN, "the sockets have different numbers of modules", "names of the slots"
)
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
NO_ECC = Code("memory.ecc.none", Verdict.PASS, "the memory has no error correction", "SMBIOS type 16")


def find(inventory: Inventory, policy: Policy) -> Iterator[Finding]:
    memory = inventory.memory
    if memory is None:
        return
    yield from _find_unlike([dimm for dimm in memory.dimms if dimm.size is not None and not dimm.is_persistent])
    if memory.balanced is False:
        counts = collections.Counter(dimm.socket for dimm in memory.dimms if dimm.size is not None)
        words = ", ".join(f"socket {socket}: {count}" for socket, count in sorted(counts.items()))
        yield UNBALANCED.found(
            "memory", f"{words}; a module is missing, or sits in the wrong slot", counts=dict(counts)
        )
    share = policy.limit(SEEN)
    if memory.usable is not None and memory.total is not None and memory.usable < share * memory.total:
        summary = (
            f"the system has {_gib(memory.usable)} of {_gib(memory.total)} that are fitted; look at the firmware's log"
        )
        yield MISSING.found("memory", summary, usable=memory.usable, total=memory.total, threshold=share)
    yield from _find_errors(memory, policy)
    if memory.ecc == "None":
        yield NO_ECC.found("memory", "no error correction")


def _find_unlike(dimms: list[Dimm]) -> Iterator[Finding]:
    sizes = collections.Counter(dimm.size for dimm in dimms)
    if len(sizes) > 1:
        words = ", ".join(f"{count} × {_gib(size or 0)}" for size, count in sizes.most_common())
        yield MIXED_SIZE.found(_odd(dimms, "size"), f"modules of several sizes: {words}", sizes=_counts(dimms, "size"))
    for field in ("type", "rank", "speed"):
        counted = _counts(dimms, field)
        if len(counted) > 1:
            words = ", ".join(f"{count} × {value}" for value, count in counted.items())
            yield MIXED_KIND.found(
                _odd(dimms, field), f"modules of several kinds ({field}): {words}", **{field: counted}
            )
    if len(parts := _counts(dimms, "part")) > 1:
        yield MIXED_PART.found("memory", f"{len(parts)} part numbers: {', '.join(parts)}", parts=parts)
    running = {dimm.configured for dimm in dimms if dimm.configured is not None}
    if len(running) > 1:
        slow = [dimm.slot for dimm in dimms if dimm.configured == min(running)]
        summary = f"runs at {min(running)} MT/s, others at {max(running)}"
        yield SLOW.found(", ".join(slow), summary, slowest=min(running), fastest=max(running))
    elif running:
        rated = [dimm.speed for dimm in dimms if dimm.speed is not None]
        if rated and max(rated) > max(running):
            summary = f"all modules run at {max(running)} MT/s of {max(rated)}"
            yield BELOW.found("memory", summary, configured=max(running), rated=max(rated))


def _counts(dimms: list[Dimm], field: str) -> dict[str, int]:
    """How often each value is there; what is not said is none."""
    counted = collections.Counter(str(value) for dimm in dimms if (value := getattr(dimm, field)))
    return dict(counted.most_common())


def _odd(dimms: list[Dimm], field: str) -> str:
    """The slots of the rarer modules, which somebody will look at."""
    most = next(iter(_counts(dimms, field)))
    odd = [dimm.slot for dimm in dimms if getattr(dimm, field) and str(getattr(dimm, field)) != most]
    return ", ".join(odd[:8]) + (f" and {len(odd) - 8} more" if len(odd) > 8 else "")


def _find_errors(memory: Memory, policy: Policy) -> Iterator[Finding]:
    # A module is what somebody can replace; the controller's own count has those that no module was found for.
    modules = [one for one in memory.errors if one.corrected or one.uncorrected]
    for one in modules or [one for one in memory.controllers if one.corrected or one.uncorrected]:
        if one.uncorrected:
            summary = f"{one.uncorrected} uncorrected errors since boot; replace the module"
            yield UNCORRECTED.found(one.id, summary, uncorrected=one.uncorrected)
        least = policy.limit(CORRECTED)
        if one.corrected >= least:
            summary = f"{one.corrected} corrected errors since boot; watch the module, or replace it"
            yield CORRECTABLE.found(one.id, summary, corrected=one.corrected, threshold=least)


def _gib(size: int) -> str:
    return f"{size / 2**30:.4g} GiB"


CHECKS = (
    Check(
        (MIXED_SIZE, MIXED_KIND, MIXED_PART, SLOW, BELOW, UNBALANCED, MISSING, UNCORRECTED, CORRECTABLE, NO_ECC), find
    ),
)
