"""Servers as inventories have them, made here so that a part can be changed at will, and the form of real ones."""

from __future__ import annotations

import copy
from typing import Any

from liveagent.machine.form import make_form
from liveagent.machine.schema import make_schema

FORM = make_form(make_schema())
GIB = 2**30
NVME_SIZE = 3_840_755_982_336
SSD_SIZE = 480_103_981_056


def make_disk(name: str, kind: str = "nvme", size: int | None = NVME_SIZE, **more: Any) -> dict[str, Any]:
    made = {"id": f"wwn-{name}", "name": name, "kind": kind, "size": size, "model": "SAMSUNG MZQL23T8"}
    return {**made, "serial": f"S-{name}", "slot": "", "firmware": "GDC5902Q", "transport": "nvme", **more}


def make_dimm(serial: str, slot: str, size: int | None = 32 * GIB) -> dict[str, Any]:
    empty = {"id": slot, "slot": slot, "size": None, "type": "", "speed": None, "configured": None, "serial": ""}
    full = {"size": size, "type": "DDR4", "speed": 3200, "configured": 3200, "serial": f"{serial}{slot}"}
    return {**empty, **full} if size else empty


def make_nic(number: int, serial: str = "SN1", **more: Any) -> dict[str, Any]:
    made = {"id": f"{serial}-mac{number}", "name": f"eno{number}", "bus": f"0000:3b:00.{number}", "driver": "mlx5_core"}
    speeds = {"speed_mbit": 25_000, "speed_max_mbit": 25_000, "transceiver": {"kind": "SFP28"}}
    return {**made, **speeds, "firmware": "14.32.1010 (MT_0000000080)", **more}


def make_port(number: int, serial: str = "SN1", **more: Any) -> dict[str, Any]:
    """An InfiniBand port with a link."""
    made = {"id": f"{serial}-guid{number}/1", "name": f"mlx5_{number}/1", "bus": f"0000:8{number}:00.0"}
    link = {"transport": "InfiniBand", "physical": "LinkUp", "rate": 100 * 10**9, "width": 4, "generation": "EDR"}
    return {**made, **link, "model": "MT4115", "firmware": "12.28.2006", **more}


def make_server(serial: str = "SN1", **changes: Any) -> dict[str, Any]:
    """Two sockets, four DIMMs in eight slots, two NVMe and one SSD, two NICs; `changes` are parts of the document."""
    model = "Intel Xeon Gold 6330"
    document: dict[str, Any] = {
        "form": 1,
        "agent": "1.0.0",
        "taken": "2026-01-02T03:04:05.000Z",
        "missing": [],
        "identity": {"vendor": "Dell Inc.", "product": "PowerEdge R650", "serial": serial, "uuid": f"uuid-{serial}"},
        "system": {"bios_version": "2.10.2", "bios_date": "", "secure_boot": False, "boot_mode": "uefi"},
        "cpu": {
            "model": model,
            "sockets": 2,
            "flags": ["aes", "avx512f"],
            "smt": "on",
            "governor": "performance",
            "microcode": "0xd0003a5",
            "vulnerabilities": {"meltdown": "Not affected"},
            "packages": [{"id": str(number), "model": model, "cores": 28, "threads": 56} for number in (0, 1)],
        },
        "memory": {
            # The kernel has a little less than what is fitted.
            "total": 128 * GIB,
            "usable": 128 * GIB - 3 * 2**29,
            "dimms": [
                *(make_dimm(serial, slot) for slot in ("A1", "A2", "B1", "B2")),
                *(make_dimm(serial, slot, None) for slot in ("A3", "A4", "B3", "B4")),
            ],
        },
        "clock": {"offset": 0.1},
        "disks": [make_disk("nvme0n1"), make_disk("nvme1n1"), make_disk("sda", "ssd", SSD_SIZE, model="INTEL SSDSC2")],
        "nics": [make_nic(1, serial), make_nic(2, serial), {"id": "bond0", "name": "bond0", "bus": ""}],
        "pci": [{"id": "0000:3b:00.1", "model": "ConnectX-5", "link": {"speed": 8.0, "width": 8}}],
        "raid": [],
    }
    return copy.deepcopy({**document, **changes})


def change(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The same with another value at a path; numbers in it are places in a list."""
    changed = copy.deepcopy(document)
    *above, last = [int(name) if name.isdigit() else name for name in path.split(".")]
    place: Any = changed
    for name in above:
        place = place[name]
    place[last] = value
    return changed
