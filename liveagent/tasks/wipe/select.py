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
    chosen, twins = part_twins(chosen)
    return Selection(tuple(chosen), tuple(skipped), (*refused, *twins), (*faults, *fault_list))


def part_twins(chosen: Sequence[Chosen]) -> tuple[list[Chosen], list[Held]]:
    """Disks with one WWN are one medium on two paths: written side by side they would spoil each other."""
    by_wwn: dict[str, list[Chosen]] = {}
    for one in chosen:
        by_wwn.setdefault(one.disk.wwn and _bare_wwn(one.disk.wwn), []).append(one)
    alone = [one for one in chosen if not one.disk.wwn or len(by_wwn[_bare_wwn(one.disk.wwn)]) == 1]
    twins = []
    for one in chosen:
        if one not in alone:
            same = [other.disk.path for other in by_wwn[_bare_wwn(one.disk.wwn)] if other is not one]
            text = f"is the same medium as {', '.join(same)} (WWN {one.disk.wwn}): name one of them by its path"
            twins.append(Held(one.disk, (Reason("wipe.guard.twin", text),)))
    return alone, twins


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
        return disk.transport is not Transport.LOOP and disk.rotational is (value.lower() == "hdd")
    return disk.transport.value == value.lower()


def _matches_size(value: str, disk: Disk) -> bool:
    match = re.fullmatch(r"(>=|<=|>|<|=|)\s*(.+)", value)
    if not match:
        raise BadValue(f"size:{value} is not a comparison such as size:>=1TB")
    return disk.transport is not Transport.LOOP and COMPARE[match.group(1)](disk.size, parse_size(match.group(2)))


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
