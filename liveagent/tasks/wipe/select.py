"""Which disks: the words of `disks` and `except` against the disks there are. Pure."""

from __future__ import annotations

import dataclasses
import fnmatch
import operator
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Callable

from liveagent.machine import Machine
from liveagent.machine.disks import Disk, Transport, UseKind
from liveagent.machine.stack import Layer
from liveagent.options import BadValue, parse_size, suggest
from liveagent.tasks.wipe.dismantle import choose_steps
from liveagent.tasks.wipe.guards import Reason, is_emmc_boot, want_reasons
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
NAMED = 8  # serials that are told to who misspelt one


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
    """Every disk of the machine that was asked for, in one of three ways; `faults` make the whole task refuse.

    `dismantle` is what stands on the chosen disks and is taken apart first, topmost first.
    """

    chosen: tuple[Chosen, ...] = ()
    skipped: tuple[Held, ...] = ()
    refused: tuple[Held, ...] = ()
    faults: tuple[Reason, ...] = ()
    dismantle: tuple[Layer, ...] = ()


@dataclasses.dataclass(frozen=True)
class _Asked:
    """What the words mean. `named`: whether each disk that was named was so by serial or WWN; `first` as typed."""

    wants_all: bool
    named: Mapping[str, bool]
    first: Collection[str]
    excepted: Collection[str]
    faults: tuple[Reason, ...]


def choose_disks(
    machine: Machine, options: WipeOptions, barred: Mapping[str, tuple[Reason, ...]] | None = None
) -> Selection:
    """What would be wiped, what is left out, what is refused, each with its reasons.

    `barred` are disks, by kernel name, with reasons to refuse them that were found later (a technique that the
    drive lacks): whatever stands on them stays, and holds the other disks that it stands on.
    """
    asked = _read_words(machine, options)
    chosen: list[Chosen] = []
    skipped: list[Held] = []
    refused: list[Held] = []
    spared: list[Disk] = []
    for disk in machine.disks:
        is_named = disk.name in asked.named
        release = options.release if asked.named.get(disk.name) else ()
        if not is_named and (not asked.wants_all or disk.transport is Transport.LOOP):
            spared += [disk] if want_reasons(disk) or disk.name in asked.excepted else []
            continue
        if disk.name in asked.excepted:
            skipped.append(Held(disk, (Reason("wipe.excepted", "was excepted", leaves_out=True),)))
            spared.append(disk)
            continue
        # What stands on it is not judged here, but together with all that it reaches.
        apart = [layer.name for layer in machine.layers if disk.name in layer.disks]
        reasons = (*want_reasons(disk, release, apart), *(barred or {}).get(disk.name, ()))
        if not reasons:
            lifted = {reason.guard for reason in want_reasons(disk)} & set(release)
            chosen.append(Chosen(disk, tuple(sorted(lifted))))
            continue
        spared.append(disk)
        leaves_out = not is_named and any(reason.leaves_out for reason in reasons)
        (skipped if leaves_out else refused).append(Held(disk, reasons))
    chosen, held, steps = part_held(chosen, spared, machine.layers)
    chosen, paths = part_paths(chosen, steps, asked.first)
    return Selection(tuple(chosen), (*skipped, *paths), (*refused, *held), asked.faults, steps)


def _read_words(machine: Machine, options: WipeOptions) -> _Asked:
    """The disks that `disks` and `except` name. A path of a multipath map means its medium, so all its paths."""
    named: dict[str, bool] = {}
    faults: list[Reason] = []
    words = [word for word in options.disks if word.lower() != "all"]
    wants_all = len(words) < len(options.disks)
    if wants_all and not machine.live.is_live:
        text = f"`all` is refused: this is not a live image ({machine.live.reason}); name the disks"
        faults.append(Reason("wipe.guard.not_live", text))
    for word in words:
        matches, fault = find_disks(word, machine.disks, machine.layers)
        faults += [fault] if fault else []
        for disk in matches:
            named[disk.name] = named.get(disk.name, False) or is_by_identity(word, disk)
    first = tuple(named)
    for name, by_identity in list(named.items()):
        for path in find_paths(name, machine.layers):
            named[path] = named.get(path, False) or by_identity
    excepted, more = _excepted(options, machine)
    return _Asked(wants_all, named, first, excepted, (*faults, *more))


def part_held(
    chosen: Sequence[Chosen], spared: Sequence[Disk], layers: Sequence[Layer]
) -> tuple[list[Chosen], list[Held], tuple[Layer, ...]]:
    """(what is wiped, what is refused after all, what is taken apart first).

    A disk that is refused holds its other paths, and what stands on it holds the disks that it reaches: until
    nothing falls out any more.
    """
    left, spared = list(chosen), list(spared)
    refused: list[Held] = []
    while True:
        found = choose_steps(layers, [one.disk.name for one in left])
        fallen = [Held(one.disk, found.held[one.disk.name]) for one in left if one.disk.name in found.held]
        if not fallen:
            fallen = part_twins(left, spared, found.steps)[1]
        if not fallen:
            return left, refused, found.steps
        refused += fallen
        spared += [held.disk for held in fallen]
        gone = {held.disk.name for held in fallen}
        left = [one for one in left if one.disk.name not in gone]


def part_twins(
    chosen: Sequence[Chosen], spared: Sequence[Disk], layers: Sequence[Layer] = ()
) -> tuple[list[Chosen], list[Held]]:
    """Disks that are one medium on two paths (dual-path SAS without multipath).

    What holds one path holds the other: the kernel knows them as two devices, and would give away the second.
    Two that were chosen would spoil each other's work, written side by side; those that a map of `layers` groups
    are known to be one, and only one of them is written.
    """
    alone: list[Chosen] = []
    twins: list[Held] = []
    for one in chosen:
        held = [disk for disk in spared if is_same_medium(disk, one.disk)]
        paths = find_paths(one.disk.name, layers)
        others = [other.disk for other in chosen if other is not one and other.disk.name not in paths]
        same = [other for other in others if is_same_medium(other, one.disk)]
        if held:
            text = f"is the same medium as {held[0].path}, which is held back"
            twins.append(Held(one.disk, (Reason("wipe.guard.twin", text),)))
        elif same:
            text = f"is the same medium as {same[0].path}: name one of them by its path"
            twins.append(Held(one.disk, (Reason("wipe.guard.twin", text),)))
        else:
            alone.append(one)
    return alone, twins


def part_paths(
    chosen: Sequence[Chosen], steps: Sequence[Layer], first: Collection[str]
) -> tuple[list[Chosen], list[Held]]:
    """Of the paths of a map that is taken apart, one is wiped: one that was typed, else the first by name."""
    alone: list[Chosen] = []
    others: list[Held] = []
    names = [one.disk.name for one in chosen]
    for one in chosen:
        paths = [name for name in names if name in find_paths(one.disk.name, steps)]
        kept = next((name for name in paths if name in first), paths[0] if paths else one.disk.name)
        if kept == one.disk.name:
            alone.append(one)
        else:
            text = f"is another path to the medium of {kept}, which is wiped"
            others.append(Held(one.disk, (Reason("wipe.twin_path", text, leaves_out=True),)))
    return alone, others


def find_paths(name: str, layers: Sequence[Layer]) -> tuple[str, ...]:
    """All paths of the multipath map that a disk is a path of, itself included; none where there is no map."""
    maps = [layer for layer in layers if layer.kind is UseKind.MULTIPATH and name in layer.disks]
    return tuple(dict.fromkeys(path for layer in maps for path in layer.disks))


def is_same_medium(left: Disk, right: Disk) -> bool:
    """Whether two disks are paths to one medium: by WWN, or by serial, model and size where there is none."""
    if left.name == right.name or Transport.LOOP in (left.transport, right.transport):
        return False
    if left.wwn and right.wwn:
        return _bare_wwn(left.wwn) == _bare_wwn(right.wwn)
    return bool(left.serial) and (left.serial, left.model, left.size) == (right.serial, right.model, right.size)


def _excepted(options: WipeOptions, machine: Machine) -> tuple[set[str], list[Reason]]:
    """The disks that `except` names. A word that names none is a fault: it was meant to save something."""
    names: set[str] = set()
    faults: list[Reason] = []
    for word in options.except_:
        matches, fault = find_disks(word, machine.disks, machine.layers)
        names |= {disk.name for disk in matches}
        faults += [fault] if fault else []
    return names, faults


def find_disks(
    word: str, disks: Sequence[Disk], layers: Sequence[Layer] = ()
) -> tuple[tuple[Disk, ...], Reason | None]:
    """The disks that a word means. None, or several where one is meant, is a fault.

    Several paths of one multipath map are one disk.
    """
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
        # The boot areas of an eMMC may carry its serial, and are meant by their own names only.
        matches = tuple(disk for disk in matches if not is_emmc_boot(disk.name)) or matches
    paths = find_paths(matches[0].name, layers)
    if is_one and len(matches) > 1 and not all(disk.name in paths for disk in matches):
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
    near = suggest(word, [name for disk in disks for name in make_names(disk)])
    own = [disk.serial or disk.path for disk in disks if disk.transport is not Transport.LOOP]
    more = f" and {len(own) - NAMED} more" if len(own) > NAMED else ""
    return near or (f"; there are {', '.join(own[:NAMED])}{more}" if own else "")
