"""The memory: each slot with the module in it, how the firmware runs it, and what the kernel counts of its errors."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from liveagent.machine.dimm import ARRAY, DEVICE, Dimm, is_balanced, parse_dimms, parse_size
from liveagent.machine.dmi import DMI
from liveagent.machine.dmidecode import Structure, parse_dmidecode
from liveagent.machine.edac import ErrorCounts, MemoryController, probe_errors
from liveagent.machine.look import Look, Why


@dataclasses.dataclass(frozen=True)
class Memory:
    """The memory. Bytes: `total` is the sum of the modules, `usable` what the kernel has, `maximum` what the board can.

    `total` is without storage in memory slots, which is `persistent`. Where some of that storage serves as memory, it
    alone is the total: the modules before it are its cache. `ecc` is the firmware's word (`Multi-bit ECC`, `None`), ""
    where not said. `controllers` and `errors` are the kernel's counts, and empty without a driver for the memory
    controller. `balanced`: as many modules at each socket; None where the slots' names tell no sockets.
    """

    total: int | None
    usable: int | None
    persistent: int | None
    maximum: int | None
    slots: int | None
    ecc: str
    balanced: bool | None
    dimms: tuple[Dimm, ...]
    controllers: tuple[MemoryController, ...]
    errors: tuple[ErrorCounts, ...]


def parse_meminfo(text: str) -> int | None:
    """MemTotal of /proc/meminfo in bytes."""
    match = re.search(r"^MemTotal:\s+(\d{1,15}) kB", text, re.MULTILINE | re.ASCII)
    return int(match.group(1)) * 1024 if match else None


def make_memory(
    structures: Sequence[Structure],
    usable: int | None = None,
    controllers: tuple[MemoryController, ...] = (),
    errors: tuple[ErrorCounts, ...] = (),
) -> Memory:
    """The memory from dmidecode's structures, what the kernel has, and what it counted."""
    dimms = parse_dimms(structures)
    arrays = [
        one for one in structures if one.type == ARRAY and one.fields.get("Use", "System Memory") == "System Memory"
    ]
    capacities = [parse_size(one.fields.get("Maximum Capacity", "")) for one in arrays]
    stored = [dimm for dimm in dimms if dimm.is_persistent and dimm.size is not None]
    serving = sum(dimm.volatile or 0 for dimm in stored)
    fitted = sum(dimm.size for dimm in dimms if dimm.size is not None and not dimm.is_persistent)
    words = [one.fields.get("Error Correction Type", "") for one in arrays]
    return Memory(
        total=serving or fitted or None,
        usable=usable,
        persistent=sum(dimm.size or 0 for dimm in stored) - serving or None,
        maximum=sum(size for size in capacities if size) or None,
        slots=len(dimms) or None,
        ecc=next((word for word in words if word and word != "Unknown"), ""),
        balanced=is_balanced([dimm for dimm in dimms if not dimm.is_persistent]),
        dimms=dimms,
        controllers=controllers,
        errors=errors,
    )


def probe_memory(look: Look) -> Memory:
    """Slots by dmidecode, which only root may ask; the rest by sysfs and /proc."""
    has_tables = look.host.exists(DMI)
    text = look.text("memory.dimms", ["dmidecode", "-t", str(ARRAY), "-t", str(DEVICE)]) if has_tables else ""
    structures = parse_dmidecode(text)
    memory = make_memory(structures, parse_meminfo(look.host.read_or("/proc/meminfo")), *probe_errors(look))
    if (text or not has_tables) and not memory.dimms:
        look.note("memory.dimms", Why.ABSENT, "the firmware describes no memory modules")
    nameless = [dimm.slot for dimm in memory.dimms if not dimm.channel]
    if len(memory.dimms) > 1 and nameless:
        words = f"the names of slots tell no channel ({nameless[0]}): a channel without a module was not looked for"
        look.note("memory.channels", Why.NOT_UNDERSTOOD, words)
    for device in structures:
        # SMBIOS has a value for it; a slot like this may hold a module.
        if device.type == DEVICE and device.fields.get("Size") == "Unknown":
            slot = device.get("Locator") or device.handle
            look.note(f"memory.dimms.{slot}", Why.NOT_UNDERSTOOD, "the firmware does not know what is in the slot")
    return memory
