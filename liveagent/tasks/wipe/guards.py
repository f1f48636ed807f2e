"""What must live: the reasons why a disk is not touched, and `arm()`, the only way to a disk that may be erased."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import os
import re
import stat
import struct
import time
from collections.abc import Collection, Iterator

from liveagent.host import Host
from liveagent.machine.disks import UNREADABLE, Disk, Transport, UseKind, probe_disk
from liveagent.machine.live import probe_live
from liveagent.machine.nameplate import probe_nameplate

# <linux/fs.h>
BLKGETSIZE64 = 0x80081272
BLKROGET = 0x125E

# Cluster file systems by what libblkid calls them; they may be in use by machines that this one cannot see.
CLUSTER_KINDS = {
    "gfs2": "gfs2",
    "gfs": "gfs2",
    "ocfs2": "ocfs2",
    "ocfs": "ocfs2",
    "VMFS": "vmfs",
    "VMFS_volume_member": "vmfs",
    "vmfs": "vmfs",
    "gpfs": "gpfs",
}
# Partition types: GPT GUIDs, and 0xfb of an MBR.
CLUSTER_TYPES = {
    "37affc90-ef7d-4e96-91c3-2d7ae055b174": "gpfs",
    "aa31e02a-400f-11db-9590-000c2911d1b8": "vmfs",
    "9d275380-40ad-11db-bf97-000c2911d1b8": "vmfs",
    "0xfb": "vmfs",
}
USE_WORDS = {
    UseKind.MOUNTED: "is mounted at",
    UseKind.SWAP: "is swap in use",
    UseKind.MD: "is part of the array",
    UseKind.LVM: "holds the logical volume",
    UseKind.CRYPT: "holds the encrypted volume",
    UseKind.MULTIPATH: "is a path of the multipath device",
    UseKind.DM: "is held by the device-mapper device",
    UseKind.BCACHE: "is part of the bcache",
    UseKind.ZFS: "is part of the ZFS pool",
    UseKind.OTHER: "is held by",
}
# What must not have changed since a disk was chosen; where the drive is asked to erase itself, its controller too.
SAME = ("serial", "wwn", "model", "size", "device_number", "logical_block", "nvme_controllers", "nvme_namespace")
# udev looks at a disk for a moment whenever it changes.
LOCK_WAIT = 10.0


@dataclasses.dataclass(frozen=True)
class Reason:
    """Why a disk is not touched. `leaves_out`: under `all` it is skipped; otherwise the disk is refused."""

    code: str
    text: str
    leaves_out: bool = False
    guard: str = ""


def want_reasons(disk: Disk, release: tuple[str, ...] = (), apart: Collection[str] = ()) -> tuple[Reason, ...]:
    """Every reason that holds the disk back, except guards that were released for it. Pure.

    Holders in `apart`, by kernel name, do not count: they are taken apart first, or judged by whoever asks.
    """
    reasons = list(_identity_reasons(disk))
    if not disk.size:
        text = (
            "reports no size: sectors of a length that the kernel does not take (520 or 528 bytes; "
            "sg_format --format --size=512 makes it usable), or a drive that is not ready"
        )
        reasons.append(Reason("wipe.guard.no_size", text, guard="no_size"))
    if disk.read_only:
        reasons.append(Reason("wipe.guard.read_only", "is read-only"))
    for use in disk.uses:
        if use.holder and use.holder in apart:
            continue
        who = "" if use.device == disk.name else f"{use.device} "
        what = USE_WORDS[use.kind]
        words = f"{who}{what}" if use.kind is UseKind.SWAP else f"{who}{what} {use.by}"
        reasons.append(Reason(f"wipe.guard.{use.kind.value}", words))
    reasons += _cluster_reasons(disk)
    return tuple(reason for reason in dict.fromkeys(reasons) if not reason.guard or reason.guard not in release)


def is_emmc_boot(name: str) -> bool:
    """Whether this is a boot area of an eMMC (JESD84-B51, 6.2), which the kernel shows as a disk of its own."""
    return bool(re.fullmatch(r"mmcblk\d+boot\d+", name))


def _identity_reasons(disk: Disk) -> Iterator[Reason]:
    if disk.live_medium:
        yield Reason("wipe.guard.live_medium", "the live image came from it", leaves_out=True)
    if is_emmc_boot(disk.name):
        yield Reason("wipe.guard.emmc_boot", "holds the board's boot firmware", leaves_out=True)
    if disk.virtual_media:
        yield Reason("wipe.guard.virtual_media", "is the BMC's virtual media", leaves_out=True)
    if disk.transport is Transport.USB:
        yield Reason("wipe.guard.usb", "is attached by USB", leaves_out=True, guard="usb")
    if disk.removable:
        yield Reason("wipe.guard.removable", "is removable", leaves_out=True, guard="removable")
    if disk.transport is Transport.LOOP and disk.model.startswith("/dev/") and not disk.model.startswith("/dev/shm/"):
        # The kernel gives the loop device exclusively, whoever has the disk behind it.
        yield Reason("wipe.guard.loop", f"stands on {disk.model}: name that disk itself")
    if not disk.transport.is_local and disk.transport is not Transport.LOOP:
        text = f"is not local ({disk.transport.value})"
        yield Reason("wipe.guard.not_local", text, leaves_out=True)


def _cluster_reasons(disk: Disk) -> Iterator[Reason]:
    for content in disk.contents:
        if content.kind == UNREADABLE:
            text = f"what lies on {content.device} cannot be read, so it may belong to a cluster"
            yield Reason("wipe.guard.unreadable", text, guard="unreadable")
        guard = CLUSTER_KINDS.get(content.kind) or CLUSTER_TYPES.get(content.partition_type.lower())
        if guard:
            text = f"{content.device} holds a {guard.upper()} file system, which other machines may be using"
            yield Reason(f"wipe.guard.{guard}", text, guard=guard)


@dataclasses.dataclass(frozen=True)
class Armed:
    """A disk that may be erased: looked at again a moment ago, and held open exclusively. Only `arm` makes one."""

    disk: Disk
    file: int
    released: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Refusal:
    """Why a disk that was chosen is not erased after all."""

    disk: Disk
    reasons: tuple[Reason, ...]


@contextlib.contextmanager
def arm(host: Host, chosen: Disk, release: tuple[str, ...] = ()) -> Iterator[Armed | Refusal]:
    """Look at the disk once more, then hold it exclusively until the end of the block.

    The kernel itself refuses the exclusive open where anything has the disk or a part of it: a mount in
    whatever namespace, md, LVM, swap, another program of this kind.
    """
    reasons = _look_again(host, chosen, release)
    if reasons:
        yield Refusal(chosen, reasons)
        return
    try:
        file = host.open(chosen.path, os.O_RDWR | os.O_EXCL | os.O_DIRECT)
    except OSError as error:
        if error.errno == errno.EBUSY:
            reason = Reason("wipe.guard.busy", "is in use: the kernel does not give it exclusively")
        else:
            reason = Reason("wipe.guard.open", f"cannot be opened for writing: {error.strerror}")
        yield Refusal(chosen, (reason,))
        return
    try:
        reasons = _check_open(chosen, file) or _check_plate(host, chosen)
        _take_from_udev(file)
        yield Refusal(chosen, reasons) if reasons else Armed(chosen, file, release)
    finally:
        os.close(file)


def _look_again(host: Host, chosen: Disk, release: tuple[str, ...]) -> tuple[Reason, ...]:
    now = probe_disk(host, chosen.name)
    if now is None:
        return (Reason("wipe.guard.gone", "is no longer there"),)
    for what in SAME:
        before, after = getattr(chosen, what), getattr(now, what)
        if before != after:
            text = f"is another disk than a moment ago: its {what} was {before!r} and is {after!r}"
            return (Reason("wipe.guard.changed", text),)
    if chosen.name in probe_live(host).disks:
        now = dataclasses.replace(now, live_medium=True)
    return want_reasons(now, release)


def _check_open(chosen: Disk, file: int) -> tuple[Reason, ...]:
    """Whether what was opened is the disk that was looked at."""
    status = os.fstat(file)
    number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    if not stat.S_ISBLK(status.st_mode) or number != chosen.device_number:
        text = f"{chosen.path} is not block device {chosen.device_number}"
        return (Reason("wipe.guard.changed", text),)
    size = struct.unpack("Q", fcntl.ioctl(file, BLKGETSIZE64, b"\0" * 8))[0]
    if size != chosen.size:
        return (Reason("wipe.guard.changed", f"has {size} bytes now, and had {chosen.size}"),)
    if struct.unpack("i", fcntl.ioctl(file, BLKROGET, b"\0" * 4))[0]:
        return (Reason("wipe.guard.read_only", "is read-only"),)
    return ()


def _check_plate(host: Host, chosen: Disk) -> tuple[Reason, ...]:
    """Whether the disk that is held open says that it is the one: a moment ago another could still take its name."""
    if chosen.transport is Transport.LOOP:
        return ()
    udev = {device.name: device.properties for device in host.udev("block")}
    plate = probe_nameplate(host, chosen.name, udev.get(chosen.name, {}))
    for what in ("serial", "wwn", "model"):
        before, after = getattr(chosen, what), getattr(plate, what)
        if before != after:
            text = f"is another disk than a moment ago: its {what} was {before!r} and is {after!r}"
            return (Reason("wipe.guard.changed", text),)
    return ()


def _take_from_udev(file: int) -> None:
    """Hold the lock that keeps udev from looking at a disk that is being written (BLOCK_DEVICE_LOCKING)."""
    limit = time.monotonic() + LOCK_WAIT
    while time.monotonic() < limit:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            time.sleep(0.1)  # there is nothing to wait on: a blocking flock could not be given up
