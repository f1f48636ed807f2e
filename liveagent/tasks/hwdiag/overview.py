"""The server in a dozen lines: what one would hang on the rack. Pure."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence

from liveagent.events import JSON
from liveagent.machine.bonds import Bond
from liveagent.machine.device import Device
from liveagent.machine.ethernet import Interface
from liveagent.machine.gpu import Gpu
from liveagent.machine.infiniband import RdmaPort
from liveagent.machine.inventory import Inventory
from liveagent.machine.lldp import Neighbour
from liveagent.machine.memory import Memory
from liveagent.machine.sensors import State
from liveagent.report.lines import render_bytes, render_memory

# More kinds of one part than these are counted, not named.
KINDS = 4


def make_overview(inventory: Inventory) -> list[JSON]:
    """Lines as {name, text}; a part that was not seen has none."""
    return [{"name": name, "text": text} for name, text in _list_lines(inventory) if text]


def _list_lines(inventory: Inventory) -> Iterator[tuple[str, str]]:
    yield "server", _describe_server(inventory)
    yield "processor", _describe_cpu(inventory)
    yield "memory", _describe_memory(inventory.memory) if inventory.memory else ""
    yield "disks", _describe_disks(inventory.disks)
    yield (
        "RAID",
        "; ".join(
            f"{one.model or one.id}, firmware {one.firmware or 'unknown'}, {one.state.value}" for one in inventory.raid
        ),
    )
    yield "network", _describe_nics(inventory)
    yield "bonds", "; ".join(_describe_bond(bond) for bond in inventory.bonds)
    yield "InfiniBand", _count([_describe_port(port) for port in inventory.infiniband if port.is_infiniband])
    yield "graphics", _count([_describe_gpu(gpu) for gpu in inventory.gpus])
    yield "BMC", _describe_bmc(inventory)
    supplies = [f"{one.max_watts} W" if one.max_watts else "of unknown power" for one in inventory.power_supplies]
    yield "power", _count(supplies)


def _count(words: Sequence[str]) -> str:
    """`8 × 3.84 TB nvme SAMSUNG MZQL2…; 2 × …`: the commonest first."""
    counted = collections.Counter(words).most_common()
    shown = [f"{count} × {word}" for word, count in counted[:KINDS]]
    rest = sum(count for _, count in counted[KINDS:])
    return "; ".join([*shown, *([f"and {rest} more"] if rest else [])])


def _join(*words: str) -> str:
    return ", ".join(word for word in words if word)


def _describe_server(inventory: Inventory) -> str:
    identity, system = inventory.identity, inventory.system
    if identity is None:
        return ""
    name = " ".join(word for word in (identity.vendor, identity.product) if word) or "unknown maker"
    version = system.bios_version if system else ""
    date = f" ({system.bios_date})" if system and system.bios_date else ""
    started = {"uefi": "UEFI", "bios": "BIOS mode"}.get(system.boot_mode, "") if system else ""
    secure = ", Secure Boot" if system and system.secure_boot else ""
    return _join(
        name,
        f"serial {identity.serial or 'unknown'}",
        f"asset {identity.asset_tag}" if identity.asset_tag else "",
        f"firmware {version}{date}" if version else "",
        f"{started}{secure}",
        f"TPM {system.tpm}" if system and system.tpm else "",
    )


def _describe_cpu(inventory: Inventory) -> str:
    cpu = inventory.cpu
    if cpu is None:
        return ""
    count = f"{cpu.sockets} × " if cpu.sockets else ""
    cores = f"{cpu.cores} cores" if cpu.cores else ""
    microcode = f"microcode {cpu.microcode}" if cpu.microcode else ""
    virtual = "virtual" if cpu.virtual else ""
    threads = f"{cpu.threads} threads" if cpu.threads else ""
    return _join(f"{count}{cpu.model or 'of unknown model'}", cores, threads, microcode, virtual)


def _describe_memory(memory: Memory) -> str:
    fitted = [dimm for dimm in memory.dimms if dimm.size is not None]
    kinds = [
        " ".join(
            word
            for word in (
                render_memory(dimm.size or 0),
                dimm.type,
                f"at {dimm.configured} MT/s" if dimm.configured else "",
            )
            if word
        )
        for dimm in fitted
    ]
    total = memory.total or memory.usable
    slots = f"{len(fitted)} of {memory.slots} slots" if memory.slots else ""
    ecc = "" if memory.ecc in ("", "None") else memory.ecc
    return _join(
        f"{render_memory(total)}: {_count(kinds)}" if total and kinds else render_memory(total or 0), slots, ecc
    )


def _describe_disks(disks: Sequence[Device]) -> str:
    words = [
        " ".join(word for word in (render_bytes(disk.size) if disk.size else "", disk.kind, disk.model) if word)
        for disk in disks
    ]
    return _count(words) or "none"


def _describe_gpu(gpu: Gpu) -> str:
    """`NVIDIA A100-SXM4-80GB 80 GiB`; drivers write the maker's name into the model's, and the bus does not."""
    vendor = "" if gpu.vendor.lower() in gpu.model.lower() else gpu.vendor
    return " ".join(word for word in (vendor, gpu.model, render_memory(gpu.memory) if gpu.memory else "") if word)


def _describe_nics(inventory: Inventory) -> str:
    switches = {one.interface: f"{one.system or one.chassis} {_name_port(one)}".strip() for one in inventory.lldp}
    words = []
    for nic in inventory.nics:
        if not nic.bus:
            continue
        speed = _speed(nic)
        switch = f" to {switches[nic.name]}" if nic.name in switches else ""
        words.append(_join(f"{nic.name} {speed}{switch}".strip(), *(nic.addresses[:1])))
    more = f"; and {len(words) - 2 * KINDS} more" if len(words) > 2 * KINDS else ""
    return "; ".join(words[: 2 * KINDS]) + more


def _name_port(neighbour: Neighbour) -> str:
    """A number of the switch's own says nothing to who stands before it; what the port is called there does."""
    return (neighbour.port.isdecimal() and neighbour.port_description) or neighbour.port


def _speed(nic: Interface) -> str:
    if not nic.carrier:
        return "no link"
    if nic.speed_mbit is None:
        return "up"
    return f"{nic.speed_mbit / 1000:g} Gbit/s" if nic.speed_mbit >= 1000 else f"{nic.speed_mbit} Mbit/s"


def _describe_bond(bond: Bond) -> str:
    up = [leg.name for leg in bond.legs if leg.is_up]
    return _join(f"{bond.id} {bond.mode}", f"{len(up)} of {len(bond.legs)} legs up")


def _describe_port(port: RdmaPort) -> str:
    speed = f"{port.rate / 10**9:g} Gbit/s ({port.width}X {port.generation})" if port.rate else "no link"
    return _join(port.model or "of unknown model", f"firmware {port.firmware}" if port.firmware else "", speed)


def _describe_bmc(inventory: Inventory) -> str:
    bmc = inventory.bmc
    if bmc is None:
        return ""
    name = " ".join(word for word in (bmc.manufacturer, bmc.product) if word) or "unknown maker"
    addresses = [lan.address for lan in bmc.lans if lan.address]
    bad = [one.name for one in bmc.sensors if one.state is not None and one.state is not State.OK]
    sensors = f"{len(bmc.sensors)} sensors" if bmc.sensors else ""
    return _join(
        name,
        f"firmware {bmc.firmware}" if bmc.firmware else "",
        *addresses,
        f"{sensors}, {len(bad)} beyond limits" if bad else sensors,
    )
