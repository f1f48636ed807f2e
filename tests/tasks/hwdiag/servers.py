"""Servers as inventories have them, and the form of those: made here, so that a part can be changed at will."""

from __future__ import annotations

import copy
from typing import Any

from liveagent.machine.form import Form, make_form

TEXT = {"anyOf": [{"type": "string"}, {"type": "null"}]}
NUMBER = {"anyOf": [{"type": "integer"}, {"type": "null"}]}
FLAG = {"anyOf": [{"type": "boolean"}, {"type": "null"}]}


def thing(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def listed(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


FORM: Form = make_form(
    {
        "properties": {
            "form": {"const": 1},
            "taken": TEXT,
            "missing": listed({"type": "object"}),
            "identity": {"anyOf": [{"$ref": "#/$defs/Identity"}, {"type": "null"}]},
            "system": thing(bios_version=TEXT, secure_boot=FLAG, boot_mode={"enum": ["uefi", "bios"]}),
            "cpu": thing(
                model=TEXT, sockets=NUMBER, flags=listed({"type": "string"}), smt=TEXT, load={"type": "number"}
            ),
            "memory": thing(total=NUMBER, dimms=listed({"$ref": "#/$defs/Dimm"})),
            "disks": listed({"$ref": "#/$defs/Disk"}),
            "nics": listed({"$ref": "#/$defs/Nic"}),
            "gpus": listed(thing(name={"type": "string"})),
            "vulnerabilities": {"type": "object", "additionalProperties": {"type": "string"}},
        },
        "$defs": {
            "Nic": thing(
                id=TEXT,
                name=TEXT,
                bus=TEXT,
                driver=TEXT,
                firmware=TEXT,
                speed_mbit=NUMBER,
                speed_max_mbit=NUMBER,
                transceiver=thing(kind=TEXT),
            ),
            "Identity": thing(vendor=TEXT, product=TEXT, serial=TEXT, uuid=TEXT),
            "Dimm": thing(id=TEXT, slot=TEXT, size=NUMBER, speed=NUMBER, serial=TEXT, part=TEXT),
            "Disk": thing(
                id=TEXT, name=TEXT, kind=TEXT, size=NUMBER, model=TEXT, serial=TEXT, slot=TEXT, firmware=TEXT
            ),
        },
    }
)
GIB = 2**30
NVME_SIZE = 3_840_755_982_336
SSD_SIZE = 480_103_981_056


def make_disk(name: str, kind: str = "nvme", size: int | None = NVME_SIZE, **more: Any) -> dict[str, Any]:
    made = {"id": f"wwn-{name}", "name": name, "kind": kind, "size": size, "model": "SAMSUNG MZQL23T8"}
    return {**made, "serial": f"S-{name}", "slot": "", "firmware": "GDC5902Q", **more}


def make_nic(number: int, serial: str = "SN1", **more: Any) -> dict[str, Any]:
    made = {"id": f"{serial}-mac{number}", "name": f"eno{number}", "bus": f"0000:3b:00.{number}", "driver": "mlx5_core"}
    speeds = {"speed_mbit": 25_000, "speed_max_mbit": 25_000, "transceiver": {"kind": "SFP28"}}
    return {**made, **speeds, "firmware": "14.32.1010 (MT_0000000080)", **more}


def make_server(serial: str = "SN1", **changes: Any) -> dict[str, Any]:
    """Two sockets, four DIMMs, two NVMe and one SSD, two NICs; `changes` are parts of the document."""
    document: dict[str, Any] = {
        "form": 1,
        "agent": "1.0.0",
        "taken": "2026-01-02T03:04:05.000Z",
        "missing": [],
        "identity": {"vendor": "Dell Inc.", "product": "PowerEdge R650", "serial": serial, "uuid": f"uuid-{serial}"},
        "system": {"bios_version": "2.10.2", "secure_boot": False, "boot_mode": "uefi"},
        "cpu": {"model": "Intel Xeon Gold 6330", "sockets": 2, "flags": ["aes", "avx512f"], "smt": "on", "load": 0.1},
        "memory": {
            "total": 128 * GIB,
            "dimms": [
                {"id": slot, "slot": slot, "size": 32 * GIB, "speed": 3200, "serial": f"{serial}{slot}", "part": "M393"}
                for slot in ("A1", "A2", "B1", "B2")
            ],
        },
        "disks": [make_disk("nvme0n1"), make_disk("nvme1n1"), make_disk("sda", "ssd", SSD_SIZE, model="INTEL SSDSC2")],
        "nics": [make_nic(1, serial), make_nic(2, serial), {"id": "bond0", "name": "bond0", "bus": ""}],
        "gpus": [],
        "vulnerabilities": {"meltdown": "Not affected"},
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
