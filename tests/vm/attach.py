"""How disks are attached: QEMU's arguments for a machine that starts, QMP's for one that runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .disks import Disk

EIO = 5


def device_name(disk: Disk) -> str:
    """What QEMU calls the disk."""
    return f"dev-{disk.name}"


def device_arguments(disks: Sequence[Disk]) -> list[str]:
    """QEMU's arguments for these disks, on the controllers of a q35 machine."""
    arguments = ["-device", "virtio-scsi-pci,id=scsi0", "-device", "qemu-xhci,id=xhci0"]
    sata = 0
    controllers: list[str] = []
    for number, disk in enumerate(disks):
        drive = f"if=none,id=disk{number},format=raw,discard=ignore,file={disk.path}"
        if disk.write_limit:
            drive += f",throttling.bps-write={disk.write_limit}"
        device = f"id={device_name(disk)},drive=disk{number}"
        serial = f"serial={disk.serial}"
        if disk.kind == "nvme" and disk.namespace:
            if disk.serial not in controllers:
                controllers.append(disk.serial)
                arguments += ["-device", f"nvme,id=nvme-{disk.serial},{serial}"]
            device = f"nvme-ns,bus=nvme-{disk.serial},nsid={disk.namespace},{device}"
        elif disk.kind == "nvme":
            device = f"nvme,{device},{serial}"
        elif disk.kind == "scsi":
            device = f"scsi-hd,bus=scsi0.0,{device},{serial},wwn={disk.wwn}"
        elif disk.kind == "sata":
            device = f"ide-hd,bus=ide.{sata},{device},{serial},wwn={disk.wwn}"
            sata += 1
        elif disk.kind == "usb":
            device = f"usb-storage,bus=xhci0.0,{device},{serial}"
        else:
            raise ValueError(f"{disk.kind}: no such kind of disk in the lab")
        arguments += ["-drive", drive, "-device", device]
    return arguments


def make_node(disk: Disk) -> dict[str, Any]:
    """What `blockdev-add` is told of the disk's file, faults included."""
    file: dict[str, Any] = {"driver": "file", "filename": str(disk.path), "read-only": disk.read_only}
    if disk.bad:
        rules = [
            # Every way to change the sector fails, for ever; reads, and requests beside it, go through.
            {"event": "none", "iotype": kind, "sector": sector, "errno": EIO, "once": False}
            for sector in disk.bad
            for kind in ("write", "write-zeroes", "discard")
        ]
        file = {"driver": "blkdebug", "image": file, "inject-error": rules}
    return {"driver": "raw", "node-name": f"node-{disk.name}", "read-only": disk.read_only, "file": file}


def make_device(disk: Disk) -> dict[str, Any]:
    """What `device_add` is told, for a SCSI disk on the node of `make_node`."""
    return {
        "driver": "scsi-hd",
        "bus": "scsi0.0",
        "id": device_name(disk),
        "drive": f"node-{disk.name}",
        "serial": disk.serial,
        "wwn": disk.wwn,
        "logical_block_size": disk.logical,
        "physical_block_size": disk.physical,
    }


def make_limit(disk: Disk, write_limit: int) -> dict[str, Any]:
    """What `block_set_io_throttle` is told: bytes a second that may be written, 0 for as many as there are."""
    others = dict.fromkeys(("bps", "bps_rd", "iops", "iops_rd", "iops_wr"), 0)
    return {"id": device_name(disk), "bps_wr": write_limit, **others}
