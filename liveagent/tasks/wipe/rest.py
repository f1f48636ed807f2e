"""What goes on of a wipe whose agent was killed: the disks that it had begun, and no other one in their place."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from liveagent.events import JSON
from liveagent.machine.disks import Disk, Transport
from liveagent.tasks import Rest
from liveagent.tasks.wipe.options import WipeOptions

# What is cleared once every disk is erased, which a rest does not know.
CLEARED = ("clear_tpm", "clear_bmc_log", "clear_boot_entries")


def note_identity(disk: Disk) -> dict[str, JSON]:
    """What a disk is known by again; of a loop device the model is the file behind it."""
    return {"serial": disk.serial, "wwn": disk.wwn, "model": disk.model, "size": disk.size}


def find_rest(disks: Sequence[Disk], options: WipeOptions, begun: Mapping[str, Mapping[str, JSON]]) -> Rest | None:
    """The options for those of the begun disks that are there just as they were noted; None where none is. Pure."""
    by_name = {disk.name: disk for disk in disks}
    words = {name: _name_again(by_name.get(name), noted, options, disks) for name, noted in begun.items()}
    taken = tuple(name for name, word in words.items() if word)
    if not taken:
        return None
    lost = [f"{name} (not to be told apart from other disks, or not as it was)" for name in words if name not in taken]
    cleared = [name for name in CLEARED if getattr(options, name)]
    chosen = tuple(filter(None, words.values()))
    rest = dataclasses.replace(options, disks=chosen, clear_tpm=False, clear_bmc_log=False, clear_boot_entries=False)
    return Rest(rest, taken, (*lost, *cleared))


def _name_again(disk: Disk | None, noted: Mapping[str, JSON], options: WipeOptions, disks: Iterable[Disk]) -> str:
    """The word that means this disk alone; "" where it is not certain that it is the same."""
    if disk is None or any(noted.get(name) != value for name, value in note_identity(disk).items()):
        return ""
    if not disk.serial and not disk.wwn and disk.transport is not Transport.LOOP:
        return ""
    if not options.release:
        return disk.path
    # A guard is lifted for what is named by serial or WWN only.
    for name in ("wwn", "serial"):
        value = getattr(disk, name)
        if value and [one.name for one in disks if getattr(one, name) == value] == [disk.name]:
            return f"{name}:{value}"
    return ""
