"""What lies on a disk: file systems, members of arrays and volumes, partition tables, partition types.

Three sources, and their union, since a guard must see what any of them sees: libblkid reading the disk itself,
the partition table as partx reads it (a kernel may know neither the table nor its partitions), and udev.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence

from liveagent.host import CommandError, CommandTimedOut, Host

BLKID_TIMEOUT = 20.0
# The exit statuses of `blkid --probe` (blkid(8)): found, nothing, several that contradict each other.
BLKID_FOUND, BLKID_NOTHING, BLKID_SEVERAL = 0, 2, 8
SECTOR = 512  # what partx and sysfs count in, whatever the disk's own sectors

# The kind of a Content where a device could not be read: it may hold anything.
UNREADABLE = "unreadable"

# Names of partition types that matter to people or to a guard, for where nothing else is recognised inside.
# GPT: UEFI specification, the Discoverable Partitions Specification, libfdisk's gpt.c; MBR: libfdisk's pt-mbr.
PARTITION_TYPES = {
    "37affc90-ef7d-4e96-91c3-2d7ae055b174": "gpfs",
    "aa31e02a-400f-11db-9590-000c2911d1b8": "vmfs",
    "9d275380-40ad-11db-bf97-000c2911d1b8": "vmware-diagnostic",
    "9198effc-31c0-11db-8f78-000c2911d1b8": "vmware-reserved",
    "c12a7328-f81f-11d2-ba4b-00a0c93ec93b": "efi",
    "21686148-6449-6e6f-744e-656564454649": "bios-boot",
    "0fc63daf-8483-4772-8e79-3d69d8477de4": "linux",
    "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f": "linux-swap",
    "e6d6d379-f507-44c2-a23c-238f2a3df928": "linux-lvm",
    "a19d880f-05fc-4d3b-a006-743f0f84911e": "linux-raid",
    "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7": "microsoft-data",
    "e3c9e316-0b5c-4db8-817d-f92df00215ae": "microsoft-reserved",
    "6a898cc3-1dd2-11b2-99a6-080020736631": "zfs",
    "4fbd7e29-9d25-41b8-afd0-062c0ceff05d": "ceph",
    "0xfb": "vmfs",
    "0xfc": "vmware-swap",
    "0x5": "extended",
    "0xf": "extended",
    "0x82": "linux-swap",
    "0x83": "linux",
    "0x8e": "linux-lvm",
    "0xee": "gpt-protective",
    "0xef": "efi",
    "0xfd": "linux-raid",
}
# blkid's export format, by what udev calls the same.
_EXPORT_NAMES = {
    "TYPE": "ID_FS_TYPE",
    "LABEL": "ID_FS_LABEL",
    "AMBIVALENT": "ID_FS_AMBIVALENT",
    "PTTYPE": "ID_PART_TABLE_TYPE",
    "PART_ENTRY_TYPE": "ID_PART_ENTRY_TYPE",
    "PART_ENTRY_NAME": "ID_PART_ENTRY_NAME",
}


@dataclasses.dataclass(frozen=True)
class Content:
    """Something found on a disk or partition.

    `kind` is libblkid's TYPE ("ext4", "LVM2_member", "VMFS_volume_member"), its PTTYPE for a partition table
    ("gpt", "dos"), the partition type's name where nothing is recognised inside, or "unreadable".
    `partition_type` is the GPT GUID in lower case, or "0xfb" for MBR; "" where there is none.
    """

    device: str
    kind: str
    partition_type: str = ""
    label: str = ""


@dataclasses.dataclass(frozen=True)
class Entry:
    """An entry of a partition table. `name` is what the kernel would call it; sizes in bytes."""

    name: str
    start: int
    size: int
    type: str
    label: str


def parse_blkid(text: str) -> dict[str, str]:
    """What `blkid --probe` says of one device, by udev's names; `--output udev` or `export`."""
    lines = (line.partition("=") for line in text.splitlines())
    return {_EXPORT_NAMES.get(key, key): value for key, equals, value in lines if equals}


def parse_partx(disk: str, text: str) -> tuple[Entry, ...]:
    """The table that `partx --pairs --output NR,START,SECTORS,TYPE,NAME` prints of a disk."""
    entries = []
    for line in text.splitlines():
        values = {key: _unescape(value) for key, value in re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', line)}
        if not all(values.get(key, "").isdigit() for key in ("NR", "START", "SECTORS")):
            continue
        entries.append(
            Entry(
                name=make_partition_name(disk, int(values["NR"])),
                start=int(values["START"]) * SECTOR,
                size=int(values["SECTORS"]) * SECTOR,
                type=values.get("TYPE", "").lower(),
                label=values.get("NAME", ""),
            )
        )
    return tuple(entries)


def make_partition_name(disk: str, number: int) -> str:
    """sda1, nvme0n1p1: a `p` between where the disk's own name ends in a digit."""
    return f"{disk}{'p' if disk[-1:].isdigit() else ''}{number}"


def make_contents(device: str, properties: Mapping[str, str]) -> tuple[Content, ...]:
    """What the properties of one device, by udev's names, say lies on it.

    Where several signatures fit, libblkid names none and lists all: `ID_FS_AMBIVALENT` is
    `filesystem:ext4:1.0 filesystem:btrfs`.
    """
    kinds = [properties.get("ID_FS_TYPE", "")]
    kinds += [word.split(":")[1] for word in properties.get("ID_FS_AMBIVALENT", "").split() if ":" in word]
    kinds.append(properties.get("ID_PART_TABLE_TYPE", ""))
    found = [kind for kind in dict.fromkeys(kinds) if kind]
    type = properties.get("ID_PART_ENTRY_TYPE", "").lower()
    name = _unescape(properties.get("ID_PART_ENTRY_NAME", ""))
    label = _unescape(properties.get("ID_FS_LABEL_ENC") or properties.get("ID_FS_LABEL", "")) or name
    if type and not found:
        found = [PARTITION_TYPES.get(type, "partition")]
    return tuple(Content(device, kind, type, label) for kind in found)


def merge(contents: Iterable[Content]) -> tuple[Content, ...]:
    """The union, in order of appearance. What two sources say of one device goes together.

    A file system loses no partition type for having been seen by a source that does not know it; where sources
    disagree about the type, each stands.
    """
    by_device: dict[str, list[Content]] = {}
    for content in contents:
        by_device.setdefault(content.device, []).append(content)
    return tuple(merged for group in by_device.values() for merged in _merge_device(group))


def _merge_device(group: Sequence[Content]) -> Iterable[Content]:
    types = list(dict.fromkeys(content.partition_type for content in group if content.partition_type)) or [""]
    kinds = list(dict.fromkeys(content.kind for content in group))
    names_of_types = {*PARTITION_TYPES.values(), "partition"}
    # A type's name stands in for content, and is dropped where there is some.
    real = [kind for kind in kinds if kind not in names_of_types]
    for kind in real or kinds[:1]:
        labels = [content.label for content in group if content.label and content.kind == kind]
        labels += [content.label for content in group if content.label]
        for type in types:
            yield Content(group[0].device, kind, type, labels[0] if labels else "")


def _unescape(text: str) -> str:
    """A name with udev's escapes (`\\x20` is a space) undone; what they spell is UTF-8."""
    data = re.sub(
        rb"\\x([0-9a-fA-F]{2})", lambda match: bytes((int(match.group(1), 16),)), text.encode("utf-8", "replace")
    )
    return data.decode("utf-8", "replace").strip()


def probe_contents(
    host: Host, disk: str, partitions: Sequence[str], udev: Mapping[str, Mapping[str, str]]
) -> tuple[Content, ...]:
    """What lies on a disk and its partitions. `udev` has the properties of block devices by name."""
    found: list[Content] = []
    if host.can_run:
        found += _probe_by_reading(host, disk, partitions)
    for device in (disk, *partitions):
        properties = dict(udev.get(device, {}))
        if device != disk:
            properties.pop("ID_PART_TABLE_TYPE", None)  # udev hands the disk's down to its partitions
        found += make_contents(device, properties)
    return merge(found)


def _probe_by_reading(host: Host, disk: str, partitions: Sequence[str]) -> list[Content]:
    """What blkid and partx read from the disk. It stops at the first that does not answer: a dying disk is slow."""
    found: list[Content] = []
    try:
        found += _probe_device(host, disk, make_path(disk))
        entries = _probe_table(host, disk)
        for entry in entries:
            found += make_contents(entry.name, {"ID_PART_ENTRY_TYPE": entry.type, "ID_PART_ENTRY_NAME": entry.label})
        for partition in partitions:
            found += _probe_device(host, partition, make_path(partition))
        for entry in entries:
            # An extended partition's own first sectors are a table, which partx has read.
            if entry.name not in partitions and PARTITION_TYPES.get(entry.type) != "extended":
                found += _probe_device(host, entry.name, make_path(disk), entry)
    except CommandTimedOut:
        found.append(Content(disk, UNREADABLE))
    return found


def make_path(name: str) -> str:
    """The path below /dev of a kernel name: `cciss!c0d0` is /dev/cciss/c0d0."""
    return "/dev/" + name.replace("!", "/")


def _probe_device(host: Host, device: str, path: str, part: Entry | None = None) -> tuple[Content, ...]:
    argv = ["blkid", "--probe", "--output", "udev"]
    if part:
        argv += ["--offset", str(part.start), "--size", str(part.size)]
    try:
        completed = host.run([*argv, path], timeout=BLKID_TIMEOUT, success=None)
        found = completed.status in (BLKID_FOUND, BLKID_SEVERAL)
        if found or (completed.status == BLKID_NOTHING and _can_read(host, path, part.start if part else 0)):
            return make_contents(device, parse_blkid(completed.stdout))
    except CommandTimedOut:
        raise
    except CommandError:
        pass
    return (Content(device, UNREADABLE),)


def _can_read(host: Host, path: str, start: int) -> bool:
    """Whether a device can be read where superblocks are.

    blkid says "nothing found" as well of a device that is gone, or that answers with I/O errors, and prints
    nothing then (util-linux 2.38.1; a loop device over a truncated file shows it).
    """
    argv = ["dd", f"if={path}", "of=/dev/null", "bs=128K", "count=1", f"skip={start}", "iflag=direct,skip_bytes"]
    return host.run(argv, timeout=BLKID_TIMEOUT, success=None).status == 0


def _probe_table(host: Host, disk: str) -> tuple[Entry, ...]:
    argv = ["partx", "--pairs", "--output", "NR,START,SECTORS,TYPE,NAME", make_path(disk)]
    try:
        # Status 1 is "no table", or one that makes no sense.
        return parse_partx(disk, host.run(argv, timeout=BLKID_TIMEOUT, success=None).stdout)
    except CommandTimedOut:
        raise
    except CommandError:
        return ()
