"""The guest's disks: raw files on the host, full of a pattern whose traces can be found again."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .command import run

MIB = 1024 * 1024
SIZE = 64 * MIB
CELL = 32  # bytes after which the pattern repeats
TRACE = 8  # this many bytes of the pattern in a row are a trace of it; by chance once in 10**10 disks
# A company's number in a WWN is a registered one; 5:25:40:0 is nobody's, like QEMU's MAC addresses.
WWN_BASE = 0x5525400000000000


@dataclass(frozen=True)
class Disk:
    """One disk: how it is attached (`nvme`, `scsi`, `sata`, `usb`), its serial, its file on the host."""

    kind: str
    serial: str
    path: Path
    write_limit: int | None = None  # bytes a second, by QEMU's throttle

    @property
    def wwn(self) -> int:
        """A world-wide name of its own, for the kinds that have one."""
        return WWN_BASE + int.from_bytes(hashlib.sha256(self.serial.encode()).digest()[:4], "big")


def pattern(serial: str) -> bytes:
    """The cell that fills the disk of this serial: it looks random, so no other data resembles it."""
    return hashlib.sha256(f"liveagent-lab {serial}".encode()).digest()[:CELL]


def make_disk(folder: Path, kind: str, serial: str, *, size: int = SIZE, write_limit: int | None = None) -> Disk:
    """Write a disk file full of its pattern, without holes."""
    path = folder / f"{serial}.raw"
    block = pattern(serial) * (MIB // CELL)
    with path.open("wb") as out:
        for _ in range(size // MIB):
            out.write(block)
    return Disk(kind, serial, path, write_limit)


def count_traces(disk: Disk) -> int:
    """How many places of the disk still hold part of its pattern; every byte is looked at."""
    cell = pattern(disk.serial) * 2
    data = disk.path.read_bytes()
    # At any offset: a trace that a shifted or partial write left behind counts as well.
    return sum(data.count(cell[start : start + TRACE]) for start in range(CELL))


def changed_blocks(before: Path, after: Path, *, block: int = 4096) -> list[int]:
    """Numbers of the blocks in which two files of one size differ."""
    changed = []
    with before.open("rb") as old, after.open("rb") as new:
        for number in range(os.path.getsize(before) // block):
            if old.read(block) != new.read(block):
                changed.append(number)
    return changed


def file_hash(path: Path) -> str:
    """SHA-256 of a disk file, to say that not a byte of it changed."""
    total = hashlib.sha256()
    with path.open("rb") as data:
        while block := data.read(MIB):
            total.update(block)
    return total.hexdigest()


def device_name(disk: Disk) -> str:
    """What QEMU calls the disk."""
    return f"dev-{disk.serial}"


def device_arguments(disks: tuple[Disk, ...]) -> list[str]:
    """QEMU's arguments for these disks, on the controllers of a q35 machine."""
    arguments = ["-device", "virtio-scsi-pci,id=scsi0", "-device", "qemu-xhci,id=xhci0"]
    sata = 0
    for number, disk in enumerate(disks):
        name = f"disk{number}"
        drive = f"if=none,id={name},format=raw,discard=ignore,file={disk.path}"
        if disk.write_limit:
            drive += f",throttling.bps-write={disk.write_limit}"
        device = f"id={device_name(disk)},drive={name},serial={disk.serial}"
        if disk.kind == "nvme":
            device = f"nvme,{device}"
        elif disk.kind == "scsi":
            device = f"scsi-hd,bus=scsi0.0,{device},wwn={disk.wwn}"
        elif disk.kind == "sata":
            device = f"ide-hd,bus=ide.{sata},{device},wwn={disk.wwn}"
            sata += 1
        elif disk.kind == "usb":
            device = f"usb-storage,bus=xhci0.0,{device}"
        else:
            raise ValueError(f"{disk.kind}: no such kind of disk in the lab")
        arguments += ["-drive", drive, "-device", device]
    return arguments


def make_file_system(disk: Disk, label: str, content: bytes) -> None:
    """Put an ext4 with one file, `evidence`, onto the disk; its free space keeps the pattern."""
    with tempfile.TemporaryDirectory() as tree:
        (Path(tree) / "evidence").write_bytes(content)
        # Nothing lazy and nothing discarded: what changes later, somebody changed.
        options = "nodiscard,lazy_itable_init=0,lazy_journal_init=0"
        run(["mkfs.ext4", "-q", "-F", "-E", options, "-L", label, "-d", tree, str(disk.path)], timeout=60)


def read_evidence(disk: Disk) -> bytes:
    """The file of `make_file_system`, read without a mount."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "evidence"
        run(["debugfs", "-R", f"dump /evidence {copy}", str(disk.path)], timeout=60)
        return copy.read_bytes() if copy.exists() else b""
