"""Whether the modules match, and sit where they should."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence

from liveagent.events import Finding, Verdict
from liveagent.machine.dimm import Dimm
from liveagent.machine.memory import Memory
from liveagent.report.lines import render_memory
from liveagent.tasks.hwdiag.check import Code
from liveagent.tasks.hwdiag.policy import Limit, Policy

SPEED = Limit(
    "memory.speed.share",
    0.5,
    "of the rated speed",
    "platforms lower the speed by processor and by modules a channel, down to 64 % on a recorded one; less is a fault",
)

MIXED_SIZE = Code(
    "memory.mixed.size", Verdict.WARN, "modules of several sizes: channels are not filled alike", "SMBIOS type 17"
)
MIXED_KIND = Code(
    "memory.mixed.kind",
    Verdict.WARN,
    "modules of several types, ranks, rated speeds or ways to drive their lines",
    "SMBIOS type 17",
)
MIXED_PART = Code("memory.mixed.part", Verdict.PASS, "modules of several makers or part numbers", "SMBIOS type 17")
UNEVEN_SPEED = Code(
    "memory.speed.uneven", Verdict.WARN, "a module runs slower than the others", "SMBIOS type 17, configured speed"
)
LOW = Code(
    "memory.speed.low",
    Verdict.WARN,
    "the modules run far below what they are made for",
    "SMBIOS type 17, configured against rated speed",
    (SPEED,),
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
UNEVEN = Code(
    "memory.channels.uneven",
    Verdict.WARN,
    "a socket's channels hold different numbers of modules, or a number of them is filled that cannot be interleaved",
    "names of the slots; Intel's and AMD's rules of population have no odd number of channels above three",
)
FEW = Code("memory.channels", Verdict.PASS, "channels without a module: bandwidth is lost", "names of the slots")
CODES = (MIXED_SIZE, MIXED_KIND, MIXED_PART, UNEVEN_SPEED, LOW, BELOW, UNBALANCED, UNEVEN, FEW)

KINDS = {"type": "type", "buffering": "kind", "rank": "ranks", "speed": "MT/s"}
# So many slots of a kind are named.
NAMED = 8


def find_modules(memory: Memory, sockets: int | None, policy: Policy) -> Iterator[Finding]:
    """All about modules of system memory; `sockets` is the number of processors."""
    slots = [dimm for dimm in memory.dimms if not dimm.is_persistent]
    filled = [dimm for dimm in slots if dimm.size is not None]
    yield from _find_unlike(filled)
    yield from _find_slow(filled, policy)
    yield from _find_unbalanced(memory, slots, filled, sockets)
    yield from _find_channels(slots)


def _find_unlike(dimms: list[Dimm]) -> Iterator[Finding]:
    sizes = collections.Counter(dimm.size for dimm in dimms)
    if len(sizes) > 1:
        words = ", ".join(f"{count} × {render_memory(size or 0)}" for size, count in sizes.most_common())
        yield MIXED_SIZE.found(_odd(dimms, "size"), f"modules of several sizes: {words}", sizes=_counts(dimms, "size"))
    unlike = {field: counts for field in KINDS if len(counts := _counts(dimms, field)) > 1}
    if unlike:
        words = "; ".join(
            ", ".join(f"{count} × {value}" + (f" {KINDS[field]}" if value.isdecimal() else "") for value, count in c)
            for field, c in ((field, counts.items()) for field, counts in unlike.items())
        )
        part = _odd(dimms, next(iter(unlike)))
        yield MIXED_KIND.found(part, f"modules that do not match: {words}", **unlike)
    if len(parts := _counts(dimms, "part")) > 1:
        yield MIXED_PART.found("memory", f"{len(parts)} part numbers: {', '.join(parts)}", parts=parts)


def _find_slow(dimms: list[Dimm], policy: Policy) -> Iterator[Finding]:
    running = {dimm.configured for dimm in dimms if dimm.configured is not None}
    rated = [dimm.speed for dimm in dimms if dimm.speed is not None]
    if not running:
        return
    least, most = min(running), max(running)
    share = policy.limit(SPEED)
    if least < most:
        slow = [dimm.slot for dimm in dimms if dimm.configured == least]
        summary = f"runs at {least} MT/s, others at {most}"
        yield UNEVEN_SPEED.found(_name(slow), summary, slowest=least, fastest=most)
    elif rated and most < share * min(rated):
        summary = f"all modules run at {most} MT/s of {min(rated)}; look at the firmware's setup"
        yield LOW.found("memory", summary, configured=most, rated=min(rated), threshold=share)
    elif rated and most < min(rated):
        summary = f"all modules run at {most} MT/s of {min(rated)}"
        yield BELOW.found("memory", summary, configured=most, rated=min(rated))


def _find_unbalanced(
    memory: Memory, slots: Sequence[Dimm], filled: Sequence[Dimm], sockets: int | None
) -> Iterator[Finding]:
    counts = {dimm.socket: 0 for dimm in slots if dimm.socket}
    counts.update(collections.Counter(dimm.socket for dimm in filled))
    used = [name for name, count in counts.items() if count]
    # Slots of a socket without a processor are empty; those of one with a processor should not be.
    bare = sockets is not None and all(counts) and len(used) < min(sockets, len(counts))
    if memory.balanced is False or bare:
        words = ", ".join(f"socket {name}: {count}" for name, count in sorted(counts.items()))
        yield UNBALANCED.found("memory", f"{words} modules; one is missing, or sits in the wrong slot", counts=counts)


def _find_channels(slots: Sequence[Dimm]) -> Iterator[Finding]:
    """By socket, where the names tell a channel of every slot, and of some of them more than one."""
    owners = _find_owners(slots)
    for socket in dict.fromkeys(owners[dimm.id] for dimm in slots):
        own = [dimm for dimm in slots if owners[dimm.id] == socket]
        counts = {dimm.channel: 0 for dimm in own}
        for dimm in own:
            counts[dimm.channel] += dimm.size is not None
        filled = {channel: count for channel, count in counts.items() if count}
        if "" in counts or not filled or len(counts) < 2:
            continue
        part = f"socket {socket}" if socket else "memory"
        words = " ".join(f"{channel}:{count}" for channel, count in counts.items())
        if len(set(filled.values())) > 1 or (len(filled) % 2 and len(filled) > 3):
            summary = f"modules by channel: {words}; one is missing, or sits in the wrong slot"
            yield UNEVEN.found(part, summary, modules=counts)
        elif len(filled) < len(counts):
            yield FEW.found(part, f"{len(filled)} of {len(counts)} channels are filled", modules=counts)


def _find_owners(slots: Sequence[Dimm]) -> dict[str, str]:
    """The socket of each slot, by its id. Some boards say it of filled slots alone, and letter all channels through.

    Then an empty slot is of the socket whose letters stand around its own, where those are as many for each. Where one
    socket alone has modules nobody knows how many letters are its own.
    """
    owners = {dimm.id: dimm.socket for dimm in slots}
    sockets = sorted({dimm.socket for dimm in slots if dimm.socket})
    letters = sorted({dimm.channel for dimm in slots if dimm.channel})
    if len(sockets) < 2 or all(owners.values()) or len(letters) % len(sockets):
        return owners
    share = len(letters) // len(sockets)
    by_letter = {letter: sockets[number // share] for number, letter in enumerate(letters)}
    if any(dimm.socket and by_letter.get(dimm.channel, dimm.socket) != dimm.socket for dimm in slots):
        return owners
    return {dimm.id: dimm.socket or by_letter.get(dimm.channel, "") for dimm in slots}


def _counts(dimms: list[Dimm], field: str) -> dict[str, int]:
    """How often each value is there; what is not said is none."""
    counted = collections.Counter(str(value) for dimm in dimms if (value := getattr(dimm, field)))
    return dict(counted.most_common())


def _odd(dimms: list[Dimm], field: str) -> str:
    """The slots of the rarer modules, with their serials, which somebody will look at."""
    most = next(iter(_counts(dimms, field)))
    odd = [dimm for dimm in dimms if getattr(dimm, field) and str(getattr(dimm, field)) != most]
    return _name([f"{dimm.slot} {dimm.serial}".strip() for dimm in odd])


def _name(slots: Sequence[str]) -> str:
    return ", ".join(slots[:NAMED]) + (f" and {len(slots) - NAMED} more" if len(slots) > NAMED else "")
