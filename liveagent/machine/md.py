"""Software RAID: the arrays of the kernel's md driver, by /proc/mdstat."""

from __future__ import annotations

import dataclasses
import re

from liveagent.machine.controller import State
from liveagent.machine.look import Look

KIBIBYTE = 1024


@dataclasses.dataclass(frozen=True)
class MdArray:
    """An array. `members`: kernel names that are in it; `failed` and `spares` likewise, and in neither of the others.

    `wanted` members of which `working` are in sync; None for levels that have no redundancy. `action`: resync,
    recovery, check, reshape, "" where it rests, with `progress` in %. `size` in bytes. `id` is the UUID where udev
    tells it: md127 may be another one after the next boot.
    """

    id: str
    name: str
    level: str
    state: State
    says: str
    size: int | None = None
    members: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    spares: tuple[str, ...] = ()
    wanted: int | None = None
    working: int | None = None
    action: str = ""
    progress: float | None = None


_HEAD = re.compile(r"^(md\S*) : (active|inactive)(?: \(([\w-]+)\))?((?: \S+)*) *$")
_CONTAINER = re.compile(r"external:(imsm|ddf)\b")
_MEMBER = re.compile(r"(\S+?)\[\d+\]((?:\([A-Z]\))*)")


def parse_mdstat(text: str) -> tuple[MdArray, ...]:
    """/proc/mdstat, but for containers of firmware RAID, which hold no data of their own."""
    found = []
    for block in re.split(r"^(?=md)", text, flags=re.MULTILINE):
        lines = block.splitlines()
        head = _HEAD.match(lines[0]) if lines else None
        if head and not _CONTAINER.search(block):
            found.append(_make(head, "\n".join(lines[1:])))
    return tuple(found)


def _make(head: re.Match[str], body: str) -> MdArray:
    words = head.group(4).split()
    level = words[0] if words and "[" not in words[0] else ""
    flags = {match.group(1): match.group(2) for word in words if (match := _MEMBER.fullmatch(word))}
    failed = tuple(name for name, flag in flags.items() if "(F)" in flag)
    spares = tuple(name for name, flag in flags.items() if "(S)" in flag and "(F)" not in flag)
    counted = re.search(r"\[(\d{1,4})/(\d{1,4})\] \[[U_]+\]", body)
    wanted, working = (int(counted.group(1)), int(counted.group(2))) if counted else (None, None)
    action = re.search(r"\b(resync|recovery|check|reshape|repair) *= *(\d{1,3}(?:\.\d+)?)%", body)
    waiting = re.search(r"\b(resync|recovery|reshape)=(DELAYED|PENDING)", body)
    size = re.search(r"^ +(\d{1,16}) blocks", body, re.MULTILINE)
    is_active = head.group(2) == "active"
    says = f"{head.group(2)}{f' ({head.group(3)})' if head.group(3) else ''}"
    return MdArray(
        id=head.group(1),
        name=head.group(1),
        level=level,
        state=_judge(is_active, level, wanted, working, action.group(1) if action else ""),
        says=f"{says} [{wanted}/{working}]" if counted else says,
        size=int(size.group(1)) * KIBIBYTE if size else None,
        members=tuple(name for name in flags if name not in failed and name not in spares),
        failed=failed,
        spares=spares,
        wanted=wanted,
        working=working,
        action=action.group(1) if action else f"{waiting.group(1)} {waiting.group(2).lower()}" if waiting else "",
        progress=min(float(action.group(2)), 100.0) if action else None,
    )


def _judge(is_active: bool, level: str, wanted: int | None, working: int | None, action: str) -> State:
    if not is_active:
        return State.UNKNOWN  # members are missing, or nobody has started it
    if wanted is not None and working is not None and working < wanted:
        return State.DEGRADED
    if action in ("resync", "recovery", "reshape"):
        return State.BUSY
    return State.GOOD


def probe_md(look: Look) -> tuple[MdArray, ...]:
    """The arrays that are assembled at this moment; () where the kernel has no md."""
    arrays = parse_mdstat(look.host.read_or("/proc/mdstat"))
    if not arrays:
        return ()
    uuids = {device.name: device.properties.get("MD_UUID", "") for device in look.host.udev("block")}
    return tuple(dataclasses.replace(array, id=uuids.get(array.name) or array.id) for array in arrays)
