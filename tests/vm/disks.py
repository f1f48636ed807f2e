"""The guest's disks: raw files on the host, full of a pattern whose traces can be found again."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .command import run

MIB = 1024 * 1024
SIZE = 64 * MIB
SECTOR = 512
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
    namespace: int = 0  # of several on the one NVMe controller that has the serial; 0 where it stands alone
    logical: int = SECTOR  # bytes, what it calls a block
    physical: int = SECTOR  # bytes, what it says that its medium is made of
    read_only: bool = False  # made so by the host, as a drive's own write protection is
    bad: tuple[int, ...] = ()  # sectors that can be read, and not written

    @property
    def name(self) -> str:
        """What tells it from all others of the lab: namespaces share a serial."""
        return f"{self.serial}-n{self.namespace}" if self.namespace else self.serial

    @property
    def wwn(self) -> int:
        """A world-wide name of its own, for the kinds that have one."""
        return WWN_BASE + int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:4], "big")


def pattern(name: str) -> bytes:
    """The cell that fills the disk of this name: it looks random, so no other data resembles it."""
    return hashlib.sha256(f"liveagent-lab {name}".encode()).digest()[:CELL]


def make_disk(
    folder: Path, kind: str, serial: str, *, size: int = SIZE, write_limit: int | None = None, namespace: int = 0
) -> Disk:
    """Write a disk file full of its pattern, without holes."""
    disk = Disk(kind, serial, folder / serial, write_limit, namespace)
    disk = replace(disk, path=folder / f"{disk.name}.raw")
    disk.path.touch()
    os.truncate(disk.path, size)
    refill(disk)
    return disk


def refill(disk: Disk) -> None:
    """Write the pattern over the whole disk file, in place: a guest that has the disk goes on having it."""
    block = pattern(disk.name) * (MIB // CELL)
    with disk.path.open("r+b") as out:
        for _ in range(disk.path.stat().st_size // MIB):
            out.write(block)


def count_traces(disk: Disk) -> int:
    """How many places of the disk still hold part of its pattern; every byte is looked at."""
    cell = pattern(disk.name) * 2
    data = disk.path.read_bytes()
    # At any offset: a trace that a shifted or partial write left behind counts as well.
    return sum(data.count(cell[start : start + TRACE]) for start in range(CELL))


def find_difference(disk: Disk, expected: Callable[[int, int], bytes], *, skip: Sequence[int] = ()) -> int | None:
    """The first byte at which the disk is not `expected(offset, length)`, the sectors of `skip` aside; None is good."""
    with disk.path.open("rb") as data:
        for start in range(0, disk.path.stat().st_size, MIB):
            found, wanted = bytearray(data.read(MIB)), expected(start, MIB)
            for at in (sector * SECTOR - start for sector in skip):
                if 0 <= at < MIB:
                    found[at : at + SECTOR] = wanted[at : at + SECTOR]
            if found != wanted:
                return start + next(at for at, pair in enumerate(zip(found, wanted)) if pair[0] != pair[1])
    return None


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
