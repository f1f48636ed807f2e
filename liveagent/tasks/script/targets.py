"""What a script is run on: one run for each disk or interface that its parameter names, or one run on nothing.

A destructive script gets its disks by the choice and the guards of `wipe`, and by nothing else.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from liveagent.host import Host
from liveagent.machine import Machine
from liveagent.machine.disks import Disk, Transport, probe_disk, probe_disks
from liveagent.machine.nics import Nic
from liveagent.options import suggest
from liveagent.tasks.script.header import Header
from liveagent.tasks.script.parameters import Type
from liveagent.tasks.wipe.guards import Reason, want_reasons
from liveagent.tasks.wipe.options import WipeOptions
from liveagent.tasks.wipe.select import Held, choose_disks, find_disks

ALL = "all"


@dataclasses.dataclass(frozen=True)
class Target:
    """What one run is given. `part` is its name in events ("" where there is only one run); `label` is for people."""

    part: str = ""
    label: str = ""
    values: Mapping[str, str] = dataclasses.field(default_factory=dict)
    disk: Disk | None = None


@dataclasses.dataclass(frozen=True)
class Choice:
    """The runs, and the disks that were asked for and get none; `faults` make the whole task refuse."""

    targets: tuple[Target, ...] = ()
    skipped: tuple[Held, ...] = ()
    refused: tuple[Held, ...] = ()
    faults: tuple[Reason, ...] = ()


def choose_targets(host: Host, machine: Machine, header: Header, options: object) -> Choice:
    """What a script would be run on."""
    parameter = header.target
    if parameter is None:
        return Choice((Target(),))
    words = parameter.value(options)
    if words is None:
        return Choice((Target(),))
    if parameter.type is Type.INTERFACE:
        return _choose_nics(host, machine.nics, words)
    return _choose_guarded(machine, words) if header.destructive else _choose_disks(machine, words)


def _choose_guarded(machine: Machine, words: tuple[str, ...]) -> Choice:
    """As `wipe` would choose. Nothing is taken apart for a script: a disk with anything standing on it is refused."""
    barred = {
        disk: (Reason("wipe.guard.stack", f"{layer.name} stands on it, and is not taken apart for a script"),)
        for layer in machine.layers
        for disk in layer.disks
    }
    selection = choose_disks(machine, WipeOptions(disks=words), barred)
    targets = tuple(make_disk_target(chosen.disk) for chosen in selection.chosen)
    return Choice(targets, selection.skipped, selection.refused, selection.faults)


def _choose_disks(machine: Machine, words: Sequence[str]) -> Choice:
    """For a script that says it destroys nothing: disks in use as well, and under `all` none that `wipe` leaves out."""
    named: dict[str, Disk] = {}
    faults: list[Reason] = []
    for word in words:
        if word.lower() != ALL:
            found, fault = find_disks(word, machine.disks, machine.layers)
            named.update((disk.name, disk) for disk in found)
            faults += [fault] if fault else []
    targets: list[Disk] = []
    skipped: list[Held] = []
    wants_all = any(word.lower() == ALL for word in words)
    for disk in machine.disks:
        left_out = tuple(reason for reason in want_reasons(disk) if reason.leaves_out)
        if disk.name in named:
            targets.append(disk)
        elif wants_all and left_out:
            skipped.append(Held(disk, left_out))
        elif wants_all and disk.transport is not Transport.LOOP:
            targets.append(disk)
    return Choice(tuple(make_disk_target(disk) for disk in targets), tuple(skipped), (), tuple(faults))


def _choose_nics(host: Host, nics: Sequence[Nic], words: Iterable[str]) -> Choice:
    """Interfaces by name or MAC address; `all` are those that have an address."""
    chosen: dict[str, Nic] = {}
    faults: list[Reason] = []
    names = [name for nic in nics for name in (nic.name, nic.mac) if name]
    for word in words:
        found = [nic for nic in nics if word in (nic.name, ALL) or word.lower() == nic.mac]
        if not found and word != ALL:
            faults.append(Reason("script.interface.unknown", f"there is no interface {word}{suggest(word, names)}"))
        chosen.update((nic.name, nic) for nic in found if word != ALL or nic.addresses)
    udev = {device.name: device.properties for device in host.udev("net")} if chosen else {}
    return Choice(tuple(make_nic_target(nic, udev.get(nic.name, {})) for nic in chosen.values()), faults=tuple(faults))


def make_disk_target(disk: Disk) -> Target:
    values = {"name": disk.name, "path": disk.path, "model": disk.model, "serial": disk.serial, "input": disk.path}
    return Target(disk.name, disk.label, values, disk)


def make_nic_target(nic: Nic, udev: Mapping[str, str]) -> Target:
    values = {
        "name": nic.name,
        "mac": nic.mac,
        "mac_address": nic.mac,
        "vendor": udev.get("ID_VENDOR_FROM_DATABASE", ""),
        "product": udev.get("ID_MODEL_FROM_DATABASE", ""),
        "input": nic.name,
    }
    return Target(nic.name, f"{nic.name} {nic.mac}".strip(), values)


# -- the same disk again ----------------------------------------------------------------------------


def find_again(host: Host, target: Target) -> Target | None:
    """The target under the name that its disk has now; None where it is gone.

    Runs may be hours apart, and a disk that came back may have another name, or another disk its name.
    """
    if target.disk is None:
        return target
    now = probe_disk(host, target.disk.name)
    found = match_disk(target.disk, [now] if now else []) or match_disk(target.disk, probe_disks(host))
    if found is None:
        return None
    # What else is known of it stays as it was when it was chosen: a guard compares that with what it is now.
    moved = dataclasses.replace(target.disk, name=found.name, path=found.path, device_number=found.device_number)
    return dataclasses.replace(make_disk_target(moved), part=target.part)


def match_disk(chosen: Disk, disks: Iterable[Disk]) -> Disk | None:
    """The disk of the same model and serial; where it has none, of the same model, size and name.

    The namespaces of one NVMe drive share both, and differ in WWN or number.
    """
    for disk in disks:
        if any(getattr(disk, what) != getattr(chosen, what) for what in ("model", "serial", "wwn", "nvme_namespace")):
            continue
        if chosen.serial or (disk.name, disk.size) == (chosen.name, chosen.size):
            return disk
    return None
