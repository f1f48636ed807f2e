"""Which disks: the words of `disks` and `except` against the disks there are. Pure."""

from __future__ import annotations

import dataclasses
import fnmatch
import operator
import re
from collections.abc import Mapping, Sequence
from typing import Callable

from liveagent.machine import Machine
from liveagent.machine.disks import Disk, Transport
from liveagent.options import BadValue, parse_size, suggest
from liveagent.tasks.wipe.guards import Reason, want_reasons
from liveagent.tasks.wipe.options import WipeOptions

COMPARE: Mapping[str, Callable[[int, int], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
    "": operator.eq,
}
PREFIXES = ("serial", "wwn", "model", "size", "kind", "slot")
KINDS = ("nvme", "sata", "sas", "hdd", "ssd")


@dataclasses.dataclass(frozen=True)
class Chosen:
    """A disk to wipe, with the guards that were lifted for it."""

    disk: Disk
    released: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Held:
    """A disk that is not wiped, and why."""

    disk: Disk
    reasons: tuple[Reason, ...]

    @property
    def text(self) -> str:
        return "; ".join(reason.text for reason in self.reasons)


@dataclasses.dataclass(frozen=True)
class Selection:
    """Every disk of the machine that was asked for, in one of three ways; `faults` make the whole task refuse."""

    chosen: tuple[Chosen, ...] = ()
    skipped: tuple[Held, ...] = ()
    refused: tuple[Held, ...] = ()
    faults: tuple[Reason, ...] = ()


def choose_disks(machine: Machine, options: WipeOptions) -> Selection:
    """What would be wiped, what is left out, what is refused, each with its reasons."""
    named: dict[str, bool] = {}
    faults: list[Reason] = []
    for word in options.disks:
        if word.lower() == "all":
            if not machine.live.is_live:
                text = f"`all` is refused: this is not a live image ({machine.live.reason}); name the disks"
                faults.append(Reason("wipe.guard.not_live", text))
            continue
        matches, fault = find_disks(word, machine.disks)
        faults += [fault] if fault else []
        for disk in matches:
            named[disk.name] = named.get(disk.name, False) or is_by_identity(word, disk)
    excepted, fault_list = _excepted(options, machine.disks)
    wants_all = any(word.lower() == "all" for word in options.disks)
    chosen, skipped, refused = [], [], []
    for disk in machine.disks:
        is_named = disk.name in named
        if not is_named and (not wants_all or disk.transport is Transport.LOOP):
            continue
        if disk.name in excepted:
            skipped.append(Held(disk, (Reason("wipe.excepted", "was excepted", leaves_out=True),)))
            continue
        release = options.release if named.get(disk.name) else ()
        reasons = want_reasons(disk, release)
        if not reasons:
            lifted = {reason.guard for reason in want_reasons(disk)} & set(release)
            chosen.append(Chosen(disk, tuple(sorted(lifted))))
        elif not is_named and any(reason.leaves_out for reason in reasons):
            skipped.append(Held(disk, reasons))
        else:
            refused.append(Held(disk, reasons))
    spared = [
        disk
        for disk in machine.disks
        if disk.name in excepted or want_reasons(disk, options.release if named.get(disk.name) else ())
    ]
    chosen, twins = part_twins(chosen, spared)
    return Selection(tuple(chosen), tuple(skipped), (*refused, *twins), (*faults, *fault_list))


def part_twins(chosen: Sequence[Chosen], spared: Sequence[Disk]) -> tuple[list[Chosen], list[Held]]:
    """Disks that are one medium on two paths (dual-path SAS without multipath).

    What holds one path holds the other: the kernel knows them as two devices, and would give away the second.
    Two that were chosen would spoil each other's work, written side by side.
    """
    alone: list[Chosen] = []
    twins: list[Held] = []
    for one in chosen:
        held = [disk for disk in spared if is_same_medium(disk, one.disk)]
        same = [other.disk for other in chosen if other is not one and is_same_medium(other.disk, one.disk)]
        if held:
            text = f"is the same medium as {held[0].path}, which is held back"
            twins.append(Held(one.disk, (Reason("wipe.guard.twin", text),)))
        elif same:
            text = f"is the same medium as {same[0].path}: name one of them by its path"
            twins.append(Held(one.disk, (Reason("wipe.guard.twin", text),)))
        else:
            alone.append(one)
    return alone, twins


def is_same_medium(left: Disk, right: Disk) -> bool:
    """Whether two disks are paths to one medium: by WWN, or by serial, model and size where there is none."""
    if left.name == right.name or Transport.LOOP in (left.transport, right.transport):
        return False
    if left.wwn and right.wwn:
        return _bare_wwn(left.wwn) == _bare_wwn(right.wwn)
    return bool(left.serial) and (left.serial, left.model, left.size) == (right.serial, right.model, right.size)


def _excepted(options: WipeOptions, disks: Sequence[Disk]) -> tuple[set[str], list[Reason]]:
    """The disks that `except` names. A word that names none is a fault: it was meant to save something."""
    names: set[str] = set()
    faults: list[Reason] = []
    for word in options.except_:
        matches, fault = find_disks(word, disks)
        names |= {disk.name for disk in matches}
        faults += [fault] if fault else []
    return names, faults


def find_disks(word: str, disks: Sequence[Disk]) -> tuple[tuple[Disk, ...], Reason | None]:
    """The disks that a word means. None, or several where one is meant, is a fault."""
    prefix, colon, rest = word.partition(":")
    if colon and prefix.lower() in PREFIXES:
        try:
            matches = tuple(disk for disk in disks if _matches(prefix.lower(), rest.strip(), disk))
        except BadValue as error:
            return (), Reason("wipe.disk.term", str(error))
        is_one = prefix.lower() in ("serial", "wwn")
    else:
        matches = tuple(disk for disk in disks if word in make_names(disk))
        is_one = True
    if not matches:
        return (), Reason("wipe.disk.unknown", f"there is no disk {word}{_hint(word, disks)}")
    if is_one and len(matches) > 1:
        names = ", ".join(disk.path for disk in matches)
        return (), Reason("wipe.disk.ambiguous", f"{word} is more than one disk: {names}; name them by path")
    return matches, None


def make_names(disk: Disk) -> set[str]:
    """Every plain name of a disk. A loop device is only meant by its path."""
    if disk.transport is Transport.LOOP:
        return {disk.path}
    links = {f"/dev/disk/by-id/{name}" for name in disk.ids}
    return {disk.name, disk.path, *disk.ids, *links, disk.serial} - {""}


def is_by_identity(word: str, disk: Disk) -> bool:
    """Whether a word names the disk by serial or WWN: what `release` asks for."""
    prefix, colon, _ = word.partition(":")
    return (bool(colon) and prefix.lower() in ("serial", "wwn")) or (bool(disk.serial) and word == disk.serial)


def _matches(prefix: str, value: str, disk: Disk) -> bool:
    if not value:
        raise BadValue(f"{prefix}: says nothing after the colon")
    if disk.transport is Transport.LOOP:
        return False  # only meant by its path: its "model" is somebody's file
    if prefix == "serial":
        return disk.serial == value
    if prefix == "wwn":
        return bool(disk.wwn) and _bare_wwn(disk.wwn) == _bare_wwn(value)
    if prefix == "model":
        return fnmatch.fnmatchcase(disk.model.lower(), value.lower())
    if prefix == "slot":
        return bool(disk.slot) and disk.slot == value
    if prefix == "size":
        return _matches_size(value, disk)
    if value.lower() not in KINDS:
        raise BadValue(f"kind:{value} is none of {', '.join(KINDS)}")
    if value.lower() in ("hdd", "ssd"):
        return disk.rotational is (value.lower() == "hdd")
    return bool(disk.transport.value == value.lower())


def _matches_size(value: str, disk: Disk) -> bool:
    match = re.fullmatch(r"(>=|<=|>|<|=|)\s*(.+)", value)
    if not match:
        raise BadValue(f"size:{value} is not a comparison such as size:>=1TB")
    size: int = parse_size(match.group(2))
    return COMPARE[match.group(1)](disk.size, size)


def _bare_wwn(wwn: str) -> str:
    """A WWN without the ways of writing it: `0x5000…`, `eui.0025…`, `naa.5000…`, `wwn-0x5000…`."""
    return re.sub(r"^(wwn-)?(0x|eui\.|naa\.|nvme\.)?", "", wwn.lower())


def _hint(word: str, disks: Sequence[Disk]) -> str:
    for disk in disks:
        if any(word in (part.name, f"/dev/{part.name}") for part in disk.partitions):
            return f": it is a partition of {disk.path}, and only whole disks are wiped"
        if disk.transport is Transport.LOOP and word == disk.name:
            return f": a loop device is named by its path, {disk.path}"
    return suggest(word, [name for disk in disks for name in make_names(disk)])
