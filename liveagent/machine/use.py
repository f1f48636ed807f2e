"""What uses a disk at this moment: mounts, swap, arrays, volumes, other block devices on top."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence

from liveagent.host import Host
from liveagent.machine.topology import (
    Mount,
    natural_key,
    parse_mountinfo,
    probe_backing_file,
    probe_mounted_devices,
    probe_node,
    unescape,
)


class UseKind(enum.Enum):
    """What has a disk, or a part of it, in use."""

    MOUNTED = "mounted"
    SWAP = "swap"
    MD = "md"
    LVM = "lvm"
    CRYPT = "crypt"
    MULTIPATH = "multipath"
    DM = "dm"
    BCACHE = "bcache"
    ZFS = "zfs"
    OTHER = "other"


@dataclasses.dataclass(frozen=True)
class Use:
    """One use: `device` is the disk or partition used, `by` says for people what uses it.

    `holder` is the kernel name of the block device that stands on it; "" where none does.
    """

    kind: UseKind
    device: str
    by: str
    holder: str = ""


# What uses a block device directly, by the device's kernel name.
Claims = Mapping[str, Sequence[Use]]

# /sys/block/dm-N/dm/uuid says by its first part who made the device.
_DM_KINDS = (("mpath-", UseKind.MULTIPATH), ("LVM-", UseKind.LVM), ("CRYPT-", UseKind.CRYPT))


def parse_swaps(text: str) -> tuple[str, ...]:
    """The paths of what is swapped to; proc(5), `/proc/swaps`."""
    lines = text.splitlines()[1:]
    return tuple(unescape(line.split()[0]) for line in lines if line.split())


def parse_dm_kind(uuid: str) -> UseKind:
    """What sort of device-mapper device has this UUID."""
    return next((kind for prefix, kind in _DM_KINDS if uuid.startswith(prefix)), UseKind.DM)


def probe_mounts(host: Host) -> tuple[Mount, ...]:
    """The mounts of this process' own namespace."""
    return parse_mountinfo(host.read_or("/proc/self/mountinfo"))


def probe_claims(host: Host) -> Claims:
    """What is mounted, swapped to, or opened by a loop device, of all block devices at once."""
    claims: dict[str, dict[Use, None]] = {}

    def claim(kind: UseKind, device: str, by: str) -> None:
        claims.setdefault(device, {})[Use(kind, device, by)] = None

    mounts = probe_mounts(host)
    for mount in mounts:
        for device in probe_mounted_devices(host, mount):
            claim(UseKind.MOUNTED, device, mount.point)
    for path in parse_swaps(host.read_or("/proc/swaps")):
        swapped = probe_node(host, path) if path.startswith("/dev/") else None
        if swapped:
            claim(UseKind.SWAP, swapped, "swap")
    for device, by in _probe_btrfs(host, claims):
        claim(UseKind.MOUNTED, device, by)
    for loop in host.list("/sys/block"):
        backing = probe_backing_file(host, loop) if loop.startswith("loop") else ""
        behind = probe_node(host, backing) if backing.startswith("/dev/") else None
        if behind:
            claim(UseKind.OTHER, behind, loop)
    return {device: tuple(uses) for device, uses in claims.items()}


def _probe_btrfs(host: Host, claims: Mapping[str, Mapping[Use, None]]) -> list[tuple[str, str]]:
    """Every device of every mounted btrfs: a mount names only one of them, the kernel's list has all."""
    found = []
    for uuid in host.list("/sys/fs/btrfs"):
        devices = host.list(f"/sys/fs/btrfs/{uuid}/devices")
        points = [use.by for device in devices for use in claims.get(device, {}) if use.kind is UseKind.MOUNTED]
        by = points[0] if points else f"btrfs {uuid}"
        found += [(device, by) for device in devices]
    return found


def probe_uses(host: Host, devices: Sequence[str], claims: Claims) -> tuple[Use, ...]:
    """What uses a disk: `devices` are the disk and its partitions."""
    disk = devices[0]
    uses: list[Use] = []
    for device in devices:
        uses += claims.get(device, ())
        below = f"/sys/block/{disk}" if device == disk else f"/sys/block/{disk}/{device}"
        for holder in sorted(host.list(f"{below}/holders"), key=natural_key):
            kind, name = _probe_holder(host, holder)
            above = _describe_above(host, holder, claims, frozenset((disk,)))
            uses.append(Use(kind, device, f"{name} ({above})" if above else name, holder))
    return tuple(dict.fromkeys(uses))


def _probe_holder(host: Host, holder: str) -> tuple[UseKind, str]:
    """What a holder is, and the name that people know it by."""
    if holder.startswith("dm-"):
        uuid = host.read_or(f"/sys/block/{holder}/dm/uuid")
        return parse_dm_kind(uuid), host.read_or(f"/sys/block/{holder}/dm/name") or holder
    if holder.startswith("md"):
        return UseKind.MD, holder
    if holder.startswith("bcache"):
        return UseKind.BCACHE, holder
    return UseKind.OTHER, holder


def _describe_above(host: Host, device: str, claims: Claims, seen: frozenset[str]) -> str:
    """What in turn uses a holder: `mounted at /srv`, `vg0-root (mounted at /)`."""
    if device in seen:
        return ""
    words = []
    for name in (device, *(n for n in host.list(f"/sys/block/{device}") if n.startswith(device))):
        for use in claims.get(name, ()):
            words.append(f"mounted at {use.by}" if use.kind is UseKind.MOUNTED else use.by)
        inside = f"/sys/block/{device}" if name == device else f"/sys/block/{device}/{name}"
        for holder in host.list(f"{inside}/holders"):
            above = _describe_above(host, holder, claims, seen | {device})
            held_by = _probe_holder(host, holder)[1]
            words.append(f"{held_by} ({above})" if above else held_by)
    return ", ".join(dict.fromkeys(words))
