"""Rows of a wipe's result as its workers leave them, for tests of what is made of them."""

from __future__ import annotations

import hashlib
from typing import Any

MIB = 1024 * 1024
SIZE = 8_001_563_222_016
RUN = "20261124T081502Z-5f0c2e"
MACHINE = {
    "serial": "CZJ2440B7X", "uuid": "39373638-3935-5a43-4a32-343430423758", "vendor": "HPE",
    "product": "ProLiant DL380", "asset_tag": "DC-004417", "hostname": "live", "boot_mac": "94:40:c9:a1:7e:10",
}  # fmt: skip
LABELS = {"operator": "Ada Kowalska", "organisation": "Nordhafen", "site": "HAM2", "order": "DECOM-1183"}


def digest(word: str) -> str:
    return hashlib.sha256(word.encode()).hexdigest()


def make_plate(name: str = "sda", serial: str = "WWZ0K7L", **more: Any) -> dict[str, Any]:
    """What identifies a disk."""
    return {
        "name": name, "path": f"/dev/{name}", "slot": "", "serial": serial, "wwn": "", "vendor": "ATA",
        "model": "ST8000NM017B", "firmware": "SN01", "size": SIZE, "logical_block": 512, "physical_block": 4096,
        "transport": "sata", "kind": "hdd",
        "contents": [{"device": name, "kind": "gpt", "partition_type": "", "label": ""}], **more,
    }  # fmt: skip


def make_erased(name: str = "sda", serial: str = "WWZ0K7L", **more: Any) -> dict[str, Any]:
    """A disk that was overwritten and read back."""
    drive = {"nvme": None, "ata": {"rotation": 7200}, "scsi": None, "volume": "", "health": {"power_on_hours": 30156}}
    positions = [[0, MIB], [4096 * MIB, MIB], [SIZE - MIB, MIB]]
    return {
        **make_plate(name, serial), "method": "clear", "technique": "overwrite", "technique_why": "nothing stronger",
        "fallbacks": [{"technique": "ata-secure-erase", "reason": "the drive is frozen"}], "released": [],
        "pattern": "random", "passes": 1, "seed": digest("seed"), "also_overwrite": False, "bytes_written": SIZE,
        "started": "2026-11-24T08:16:04.112Z", "finished": "2026-11-24T20:16:31.804Z", "seconds": 43227.692,
        "sittings": [{"run": RUN, "started": "2026-11-24T08:16:04.112Z", "finished": "2026-11-24T20:00:31.804Z",
                      "from": 0, "to": SIZE}],
        "before": {"drive": drive, "holds": ["gpt", "xfs"], "digest": digest("before"), "unreadable": 0},
        "after": {"drive": drive, "holds": [], "digest": digest("after"), "unreadable": 0},
        "verification": {"verify": "sample", "seed": 7, "samples": 3, "bytes": 3 * MIB, "mismatches": 0,
                         "unreadable": 0, "positions": positions},
        "exceptions": [], "errors": [], "reasons": [], "verdict": "pass", "status": "erased",
        "summary": "overwrite with random, read back 3145728 bytes in 3 places", **more,
    }  # fmt: skip


def make_excepted(name: str = "sdb", serial: str = "WWZ1K7L") -> dict[str, Any]:
    """One with sectors that could not be written."""
    return make_erased(
        name, serial, status="erased-with-exceptions", verdict="warn",
        exceptions=["3 sectors could not be written"],
        errors=[{"offset": 5 * MIB, "length": 1536, "message": "Input/output error"}],
    )  # fmt: skip


def make_failed(name: str = "sdc", serial: str = "21132EF1", verdict: str = "unknown") -> dict[str, Any]:
    """One that was begun and is not erased."""
    return {
        **make_plate(name, serial, kind="ssd"), "method": "none", "technique": "ata-sanitize-crypto", "errors": [],
        "exceptions": [], "bytes_written": 0, "verdict": verdict, "status": "not-erased",
        "summary": "ata-sanitize-crypto: not erased",
        "reasons": [{"code": "wipe.vanished", "text": "vanished during the wipe"}],
    }  # fmt: skip


def make_behind(serial: str) -> dict[str, Any]:
    """A disk that a RAID controller lists."""
    return {
        "controller": "0000:3b:00.0", "slot": "252:0", "model": "ST600MM0088", "serial": serial, "size": None,
        "medium": "SAS HDD", "state": "Onln",
    }  # fmt: skip


def make_untouched(
    name: str = "sdd", serial: str = "S4NFNA", verdict: str = "refused", code: str = "wipe.guard.vmfs"
) -> dict[str, Any]:  # fmt: skip
    """One that was refused or left out."""
    reasons = [{"code": code, "text": f"is held back by {code}"}]
    held = {"verdict": verdict, "status": "not-erased", "summary": "is held back", "reasons": reasons}
    return {**make_plate(name, serial), **held}
