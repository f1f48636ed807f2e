"""The memory: each slot with the module in it, how the firmware runs it, and what the kernel counts of its errors."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence

from liveagent.host import Host
from liveagent.machine.dmi import DMI, is_usable
from liveagent.machine.dmidecode import Structure, parse_dmidecode
from liveagent.machine.look import Look, Why

EDAC = "/sys/devices/system/edac/mc"
ARRAY, DEVICE = 16, 17
UNITS = {"kB": 2**10, "KB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}
# SMBIOS counts firmware's flash chips and CPU caches of odd machines as memory devices as well.
NO_MEMORY = ("Flash", "ROM", "EEPROM", "FEPROM", "EPROM", "CDRAM")
# Where sockets stand in slots' names: `PROC 2 DIMM 8`, `CPU1_DIMM_A1`, `P1-DIMMA1`, `P0_Node0_Channel1_Dimm0`.
SOCKET = re.compile(r"(?:PROC|CPU|Processor|Node)[ _#]{0,2}(\d+)|^/SYS/MB/P(\d)|\bP(\d+)(?:[-_]| CHANNEL)", re.I)
# Dell calls the first socket's slots A1, A2 …, and the second's B1.
LETTER = re.compile(r"([A-H])(\d{1,2})")
# Storage in a memory slot: it is no part of what the system has as memory.
PERSISTENT = "non-volatile"


@dataclasses.dataclass(frozen=True)
class Dimm:
    """A slot. `id` and `slot` are its name on the board; `size` in bytes, None for an empty one.

    `speed` is what the module is made for and `configured` what it runs at, in MT/s. `socket` is the processor's as the
    slot's name has it, "" where it has none. Texts are "" where not said.
    """

    id: str
    slot: str
    bank: str
    socket: str
    size: int | None
    type: str
    form_factor: str
    rank: int | None
    speed: int | None
    configured: int | None
    manufacturer: str
    part: str
    serial: str

    @property
    def is_persistent(self) -> bool:
        return PERSISTENT in self.type


@dataclasses.dataclass(frozen=True)
class ErrorCounts:
    """Errors that the kernel counted since boot, of a memory controller or of a module; `id` is its label."""

    id: str
    corrected: int
    uncorrected: int


@dataclasses.dataclass(frozen=True)
class Memory:
    """The memory. Bytes: `total` is the sum of the modules, `usable` what the kernel has, `maximum` what the board can.

    `ecc` is the firmware's word (`Multi-bit ECC`, `None`), "" where not said. `controllers` and `errors` are the
    kernel's counts, and empty without a driver for the memory controller. `balanced`: as many modules at each socket;
    None where the slots' names tell no sockets.
    """

    total: int | None
    usable: int | None
    maximum: int | None
    slots: int | None
    ecc: str
    balanced: bool | None
    dimms: tuple[Dimm, ...]
    controllers: tuple[ErrorCounts, ...]
    errors: tuple[ErrorCounts, ...]


def parse_size(text: str) -> int | None:
    """Bytes of `16384 MB`, `32 GB`; None for `No Module Installed`, `Unknown`, `0`."""
    match = re.match(r"(\d{1,9}) ([kKMGT]B)\b", text, re.ASCII)
    return (int(match.group(1)) * UNITS[match.group(2)] or None) if match else None


def parse_speed(text: str) -> int | None:
    """MT/s of `3200 MT/s`, or `2400 MHz` of dmidecode before 3.0; None for `Unknown`."""
    match = re.match(r"(\d{1,6}) (?:MT/s|MHz)", text, re.ASCII)
    return (int(match.group(1)) or None) if match else None


def parse_dimms(structures: Sequence[Structure]) -> tuple[Dimm, ...]:
    """Every slot for system memory, empty ones too. Two slots of one name are told apart by their bank."""
    arrays = {one.handle: one for one in structures if one.type == ARRAY}
    devices = [one for one in structures if one.type == DEVICE and _is_system(one, arrays)]
    names = [_name(device) for device in devices]
    found = []
    for number, device in enumerate(devices):
        slot, bank = names[number], device.get("Bank Locator")
        is_unique = names.count(slot) == 1
        size = parse_size(device.fields.get("Size", ""))
        identity = slot if is_unique else f"{bank} {slot}".strip()
        if not is_unique and [f"{d.get('Bank Locator')} {_name(d)}".strip() for d in devices].count(identity) > 1:
            identity = device.handle
        found.append(
            Dimm(
                id=identity,
                slot=slot,
                bank=bank,
                socket=find_socket(slot, bank),
                size=size,
                type=device.get("Type") if size else "",
                form_factor=device.get("Form Factor"),
                rank=_number(device.get("Rank")) if size else None,
                speed=parse_speed(device.fields.get("Speed", "")) if size else None,
                configured=parse_speed(_configured(device)) if size else None,
                manufacturer=device.get("Manufacturer") if size else "",
                part=device.get("Part Number") if size else "",
                serial=_serial(device.get("Serial Number")) if size else "",
            )
        )
    return tuple(found)


def _is_system(device: Structure, arrays: Mapping[str, Structure]) -> bool:
    array = arrays.get(device.fields.get("Array Handle", ""))
    is_flash = device.fields.get("Type", "") in NO_MEMORY
    return not is_flash and (array is None or array.fields.get("Use", "System Memory") == "System Memory")


def _name(device: Structure) -> str:
    return device.get("Locator") or device.get("Bank Locator") or device.handle


def _configured(device: Structure) -> str:
    fields = device.fields
    return fields.get("Configured Memory Speed") or fields.get("Configured Clock Speed") or ""


def _serial(text: str) -> str:
    return text if is_usable(text) else ""


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def find_socket(slot: str, bank: str) -> str:
    """The socket in a slot's name; "" where there is none that is known."""
    for text in (slot, bank):
        match = SOCKET.search(text)
        if match:
            return next(part for part in match.groups() if part is not None)
    letter = LETTER.fullmatch(slot)
    return letter.group(1) if letter and not bank else ""


def is_balanced(dimms: Sequence[Dimm]) -> bool | None:
    """Whether each socket has as many modules; None where the names tell of fewer than two sockets."""
    if not dimms or any(not dimm.socket for dimm in dimms):
        return None
    counts = {dimm.socket: 0 for dimm in dimms}
    for dimm in dimms:
        counts[dimm.socket] += dimm.size is not None
    # A socket without a processor has no modules, and is none that should.
    used = [count for count in counts.values() if count]
    return len(set(used)) <= 1 if len(used) > 1 else None


def parse_meminfo(text: str) -> int | None:
    """MemTotal of /proc/meminfo in bytes."""
    match = re.search(r"^MemTotal:\s+(\d{1,15}) kB", text, re.MULTILINE | re.ASCII)
    return int(match.group(1)) * 1024 if match else None


def probe_memory(look: Look) -> Memory:
    """Slots by dmidecode, which only root may ask; the rest by sysfs and /proc."""
    has_tables = look.host.exists(DMI)
    text = look.text("memory.dimms", ["dmidecode", "-t", str(ARRAY), "-t", str(DEVICE)]) if has_tables else ""
    structures = parse_dmidecode(text)
    dimms = parse_dimms(structures)
    if (text or not has_tables) and not dimms:
        look.note("memory.dimms", Why.ABSENT, "the firmware describes no memory modules")
    arrays = [
        one for one in structures if one.type == ARRAY and one.fields.get("Use", "System Memory") == "System Memory"
    ]
    capacities = [parse_size(one.fields.get("Maximum Capacity", "")) for one in arrays]
    sizes = [dimm.size for dimm in dimms if dimm.size is not None and not dimm.is_persistent]
    controllers, errors = _probe_errors(look)
    return Memory(
        total=sum(sizes) if sizes else None,
        usable=parse_meminfo(look.host.read_or("/proc/meminfo")),
        maximum=sum(size for size in capacities if size) or None,
        slots=len(dimms) or None,
        ecc=next((one.fields["Error Correction Type"] for one in arrays if "Error Correction Type" in one.fields), ""),
        balanced=is_balanced(dimms),
        dimms=dimms,
        controllers=controllers,
        errors=errors,
    )


def _probe_errors(look: Look) -> tuple[tuple[ErrorCounts, ...], tuple[ErrorCounts, ...]]:
    """(by controller, by module)."""
    host = look.host
    names = [name for name in host.list(EDAC) if re.fullmatch(r"mc\d+", name)]
    if not names:
        look.note("memory.ecc", Why.NO_DRIVER, "no EDAC driver knows this memory controller: errors were not measured")
        return (), ()
    controllers, modules = [], []
    for name in names:
        below = f"{EDAC}/{name}"
        counts = _read_counts(host, below, "ce_count", "ue_count")
        if counts:
            controllers.append(ErrorCounts(f"{name} {host.read_or(f'{below}/mc_name')}".strip(), *counts))
        modules += list(_probe_modules(host, below, name))
    return tuple(controllers), tuple(modules)


def _probe_modules(host: Host, below: str, controller: str) -> Iterator[ErrorCounts]:
    for name in host.list(below):
        if re.fullmatch(r"(dimm|rank)\d+", name):
            counts = _read_counts(host, f"{below}/{name}", "dimm_ce_count", "dimm_ue_count")
            label = host.read_or(f"{below}/{name}/dimm_label") or host.read_or(f"{below}/{name}/dimm_location")
            if counts:
                yield ErrorCounts(f"{controller}/{name} {label}".strip(), *counts)


def _read_counts(host: Host, below: str, corrected: str, uncorrected: str) -> tuple[int, int] | None:
    found = [_number(host.read_or(f"{below}/{name}")) for name in (corrected, uncorrected)]
    return (found[0], found[1]) if found[0] is not None and found[1] is not None else None
