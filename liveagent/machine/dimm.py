"""Memory modules as SMBIOS describes them: one for each slot, with what the slot's name tells of its place."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence

from liveagent.machine.dmi import is_usable
from liveagent.machine.dmidecode import Structure
from liveagent.machine.sysfs import to_number

ARRAY, DEVICE = 16, 17
UNITS = {"kB": 2**10, "KB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}
# SMBIOS counts firmware's flash chips and CPU caches of odd machines as memory devices as well.
NO_MEMORY = ("Flash", "ROM", "EEPROM", "FEPROM", "EPROM", "CDRAM")
# What numbers each module where nobody wrote anything: ModulePartNumber00, SerNum3, Manufacturer11, DIMM_A1_AssetTag.
_NUMBERED = re.compile(r"(.*_)?((module)?part|ser(ial)?|manufacturer|asset(tag)?)_?(num(ber)?)?_?\d{0,3}", re.I)
# The JEDEC codes (JEP106) of those who make memory, by bank and code; some firmware shows the SPD's bytes as they are.
MAKERS = {(0, 0xCE): "Samsung", (0, 0xAD): "SK Hynix", (0, 0x2C): "Micron", (0, 0x89): "Intel", (1, 0x98): "Kingston"}
CONTINUED, PARITY = 0x7F, 0x80
# How a module drives its lines, from the words of `Type Detail`; kinds do not run side by side.
BUFFERS = {"LRDIMM": "load-reduced", "Registered": "registered", "Unbuffered": "unbuffered"}

# Where sockets stand in slots' names: `PROC 2 DIMM 8`, `CPU1_DIMM_A1`, `P1-DIMMA1`, `DIMM_P0_A0`, `/SYS/MB/P0`,
# `P0_Node0_Channel1_Dimm0`, `SOCKET 1 CHANNEL 7 DIMM 1`. A node is a socket where nothing nearer is said.
_SOCKETS = (
    re.compile(r"(?:PROC|CPU|Processor|SOCKET)[ _#]{0,2}(\d{1,2})", re.I),
    re.compile(r"(?<![A-Z0-9])P(\d{1,2})(?:[-_]| CHANNEL|$)", re.I),
    re.compile(r"Node[ _]?(\d{1,2})(?=$|[ _]+CHAN)", re.I),
)
# And channels: `P0 CHANNEL A`, `ChannelA-DIMM0`, `CHAN A DIMM 1`, `CPU0_C3D1`, `DIMM_P0_A0`. Of one socket the boards
# of some makers count them by memory controller (Node).
_CHANNELS = (
    re.compile(r"(?:Node[ _]?(\d{1,2})[ _]+)?CHAN(?:NEL)?[ _]?([A-P]|\d{1,2})(?![A-Z0-9])", re.I),
    re.compile(r"()_C(\d{1,2})D\d"),
    re.compile(r"()DIMM_P\d{1,2}_([A-P])\d$"),
)
# A letter with a number is a channel with its slots (`DIMM_A1`, `P1-DIMMC2`), or, as Dell has it, a socket with its
# slots (`A12`, `DIMM_B7`): no channel has more than three.
_LETTER = re.compile(r"(?:^|DIMM[ _]?)([A-P])(\d{1,2})$")
_DELL = re.compile(r"(?:DIMM_)?([A-D])\d{1,2}")
MOST_ON_A_CHANNEL = 3


@dataclasses.dataclass(frozen=True)
class Dimm:
    """A slot. `id` and `slot` are its name on the board; `size` in bytes, None for an empty one.

    `speed` is what the module is made for and `configured` what it runs at, in MT/s (what firmware of before 2015 or
    so fills in is the clock, half of that). `socket` and `channel` as far as the slot's name tells them, "" where it
    does not. `buffering` is registered, unbuffered or load-reduced; `ecc`: whether it has bits for error correction.
    `technology` is SMBIOS's word (`DRAM`, `NVDIMM-N`, `Intel Optane DC persistent memory`), `volatile` the bytes of a
    module with persistent memory that serve as memory. Texts are "" where not said.
    """

    id: str
    slot: str
    bank: str
    socket: str
    channel: str
    size: int | None
    type: str
    form_factor: str
    buffering: str
    ecc: bool | None
    rank: int | None
    speed: int | None
    configured: int | None
    manufacturer: str
    part: str
    serial: str
    technology: str
    volatile: int | None

    @property
    def is_persistent(self) -> bool:
        """Whether it is storage in a memory slot, which is no part of what the system has as memory.

        An NVDIMM-N is memory with a battery, and counts as storage all the same: so the kernel takes it.
        """
        return any(word in f"{self.type} {self.technology}" for word in ("non-volatile", "NVDIMM", "persistent"))


def parse_size(text: str) -> int | None:
    """Bytes of `16384 MB`, `32 GB`; None for `No Module Installed`, `Unknown`, `0`."""
    match = re.match(r"(\d{1,9}) ([kKMGT]B)\b", text, re.ASCII)
    return (int(match.group(1)) * UNITS[match.group(2)] or None) if match else None


def parse_speed(text: str) -> int | None:
    """MT/s of `3200 MT/s`, or `2400 MHz` of dmidecode before 3.0; None for `Unknown`."""
    match = re.match(r"(\d{1,6}) (?:MT/s|MHz)", text, re.ASCII)
    return (int(match.group(1)) or None) if match else None


def parse_maker(text: str) -> str:
    """A maker's name: as it stands, or of the JEDEC code in `00CE00B300CE`, `CE00B300CE00`, `0x7F98000000000000`.

    A code that is not known stands as it is; "" for a filler.
    """
    code = re.fullmatch(r"(?:0x)?((?:[0-9A-F]{2}){2,8})", text)
    if not code:
        return make_name(text)
    data = bytes.fromhex(code.group(1))
    bank = len(data) - len(data.lstrip(bytes((CONTINUED,))))
    data = data[bank:]
    if not bank and len(data) > 1 and not data[0] & ~PARITY:
        data = data[1:]  # the bank first: so many continuation codes, with parity
    return MAKERS.get((bank, data[0]), text) if data else text


def parse_part(text: str) -> str:
    """A part number; one that stands as the SPD's bytes (`0x4D33…`) is read."""
    code = re.fullmatch(r"0x((?:[0-9A-F]{2}){8,20})", text)
    if code:
        read = bytes.fromhex(code.group(1)).decode("latin-1").strip("\0 ")
        text = read if read.isascii() and read.isprintable() else text
    return make_name(text)


def make_name(text: str) -> str:
    """What says something of this module; "" for what firmware says where it knows nothing."""
    return "" if _NUMBERED.fullmatch(text) or not is_usable(text) else text


def parse_dimms(structures: Sequence[Structure]) -> tuple[Dimm, ...]:
    """Every slot for system memory, empty ones too. Two slots of one name are told apart by their bank."""
    arrays = {one.handle: one for one in structures if one.type == ARRAY}
    devices = [one for one in structures if one.type == DEVICE and _is_system(one, arrays)]
    slots = [_name(device) for device in devices]
    places = choose_places([(slot, device.get("Bank Locator")) for slot, device in zip(slots, devices)])
    longer = [f"{device.get('Bank Locator')} {slot}".strip() for slot, device in zip(slots, devices)]
    found: dict[str, Dimm] = {}
    for number, (device, slot, name, place) in enumerate(zip(devices, slots, longer, places), 1):
        identity = slot if slots.count(slot) == 1 else name if longer.count(name) == 1 else device.handle
        # Handles are given twice by firmware that counts wrong.
        identity = f"{identity} {number}" if identity in found else identity
        found[identity] = _make_dimm(device, identity, slot, *place)
    return tuple(found.values())


def find_labelled(label: str, dimms: Sequence[Dimm]) -> Dimm | None:
    """The module that the kernel's label of a place names; None where it does not name just one.

    Firmware-first drivers put the bank before the slot, and a table of the board's names gives the slot alone. What a
    driver makes of its own numbers (`CPU_SrcID#0_MC#0_Chan#1_DIMM#0`) names no slot: which it is differs by board.
    """
    named = [
        dimm for dimm in dimms if dimm.size is not None and label in (dimm.id, dimm.slot, f"{dimm.bank} {dimm.slot}")
    ]
    return named[0] if len(named) == 1 else None


def _make_dimm(device: Structure, identity: str, slot: str, socket: str, channel: str) -> Dimm:
    size = parse_size(device.fields.get("Size", ""))
    said = device if size else Structure(DEVICE, device.handle, "", {})  # of an empty slot nothing else is true
    detail, volatile = said.get("Type Detail"), parse_size(said.fields.get("Volatile Size", ""))
    return Dimm(
        id=identity,
        slot=slot,
        bank=device.get("Bank Locator"),
        socket=socket,
        channel=channel,
        size=size,
        type=said.get("Type"),
        form_factor=device.get("Form Factor"),
        buffering=next((word for name, word in BUFFERS.items() if re.search(rf"\b{name}\b", detail)), ""),
        ecc=_has_ecc(said),
        rank=to_number(said.get("Rank")),
        speed=parse_speed(said.get("Speed")),
        configured=parse_speed(said.get("Configured Memory Speed") or said.get("Configured Clock Speed")),
        manufacturer=parse_maker(said.get("Manufacturer")),
        part=parse_part(said.get("Part Number")),
        serial=make_name(said.get("Serial Number")),
        technology=said.get("Memory Technology"),
        volatile=volatile,
    )


def _has_ecc(device: Structure) -> bool | None:
    """More bits than data: 72 of 64, of DDR5 80 of 64. Some firmware has the two the wrong way round, or alike."""
    widths = [to_number(device.get(name).removesuffix(" bits")) for name in ("Total Width", "Data Width")]
    if widths[0] is None or widths[1] is None:
        return None
    # 64 and 32 are widths of data; everything between the powers of two has more.
    return widths[0] != widths[1] or widths[0] & (widths[0] - 1) != 0


def _is_system(device: Structure, arrays: Mapping[str, Structure]) -> bool:
    array = arrays.get(device.fields.get("Array Handle", ""))
    is_flash = device.fields.get("Type", "") in NO_MEMORY
    return not is_flash and (array is None or array.fields.get("Use", "System Memory") == "System Memory")


def _name(device: Structure) -> str:
    return device.get("Locator") or device.get("Bank Locator") or device.handle


def choose_places(names: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """(socket, channel) for each (slot, bank) of a board; "" for what the names do not tell.

    What a letter means can only be seen in all of them.
    """
    letters = [match for slot, _ in names if (match := _LETTER.search(slot))]
    by_channel = bool(letters) and max(int(match.group(2)) for match in letters) <= MOST_ON_A_CHANNEL
    by_socket = not by_channel and all(_DELL.fullmatch(slot) for slot, _ in names)
    found = []
    for slot, bank in names:
        letter = _LETTER.search(slot)
        # A bank's name is not there for an empty slot on some boards, and of another socket on others.
        channel = _find_channel(slot) or (letter.group(1) if letter and by_channel else "") or _find_channel(bank)
        found.append((find_socket(slot, bank) or (slot.removeprefix("DIMM_")[0] if by_socket else ""), channel))
    return tuple(found)


def find_socket(slot: str, bank: str) -> str:
    """The socket that a slot's name or its bank's has; "" where there is none."""
    for text in (slot, bank):
        for expression in _SOCKETS:
            match = expression.search(text)
            if match:
                return match.group(1)
    return ""


def _find_channel(text: str) -> str:
    for expression in _CHANNELS:
        match = expression.search(text)
        if match:
            return ".".join(part.upper() for part in match.groups() if part)
    return ""


def is_balanced(dimms: Sequence[Dimm]) -> bool | None:
    """Whether each socket has as many modules; None where the names tell of fewer than two sockets.

    A socket with fewer slots than the others, all of them filled, lacks nothing.
    """
    if not dimms or any(not dimm.socket for dimm in dimms if dimm.size is not None):
        return None
    filled = {dimm.socket: 0 for dimm in dimms if dimm.socket}
    slots = dict(filled)
    for dimm in dimms:
        if dimm.socket:
            slots[dimm.socket] += 1
            filled[dimm.socket] += dimm.size is not None
    # A socket without a processor has no modules, and is none that should.
    used = {socket: count for socket, count in filled.items() if count}
    if len(used) < 2:
        return None
    return all(count == max(used.values()) or count == slots[socket] for socket, count in used.items())
