"""SMBIOS structures for a guest's firmware, as files for QEMU's `-smbios file=`: its own DIMMs are all alike."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

# System Management BIOS specification 3.x, 7.18: form factor DIMM, type DDR4, registered and synchronous, 72 bits of
# which 64 are data; the array that QEMU makes itself has this handle (hw/smbios/smbios.c).
FORM_DIMM, TYPE_DDR4, DETAIL, WIDTH, DATA_WIDTH = 0x09, 0x1A, 0x2080, 72, 64
ARRAY = 0x1000
FIRST_HANDLE = 0x1100
NO_ERROR = 0xFFFE


@dataclass(frozen=True)
class Dimm:
    """A slot, with a module of `size` MiB in it; 0 for none. Speeds in MT/s."""

    slot: str
    size: int = 0
    speed: int = 3200
    configured: int = 3200
    part: str = "M393A1K43DB2-CWE"
    serial: str = ""


def write_dimms(folder: Path, dimms: tuple[Dimm, ...]) -> tuple[str, ...]:
    """The structures in files, and the arguments that make QEMU use them in place of its own."""
    arguments: list[str] = []
    for number, dimm in enumerate(dimms):
        path = folder / f"dimm-{number}.bin"
        path.write_bytes(make_dimm(dimm, FIRST_HANDLE + number))
        arguments += ["-smbios", f"file={path}"]
    return tuple(arguments)


def make_dimm(dimm: Dimm, handle: int) -> bytes:
    """A Memory Device structure (type 17) with its strings."""
    texts = [dimm.slot, "P0 CHANNEL " + dimm.slot[-2:-1]]
    if dimm.size:
        texts += ["Samsung", dimm.serial, dimm.part]
    numbers = (3, 4, 0, 5) if dimm.size else (0, 0, 0, 0)
    body = struct.pack(
        "<HHHHHBBBBBHHBBBBBIHHHH",
        ARRAY,
        NO_ERROR,
        WIDTH if dimm.size else 0xFFFF,
        DATA_WIDTH if dimm.size else 0xFFFF,
        dimm.size,
        FORM_DIMM,
        0,
        1,
        2,
        TYPE_DDR4 if dimm.size else 0x02,
        DETAIL if dimm.size else 0,
        dimm.speed if dimm.size else 0,
        *numbers,
        1 if dimm.size else 0,
        0,
        dimm.configured if dimm.size else 0,
        1200,
        1200,
        1200,
    )
    head = struct.pack("<BBH", 17, len(body) + 4, handle)
    return head + body + b"".join(text.encode("ascii") + b"\0" for text in texts) + b"\0"
