"""What stands on what: mounts, partitions, loop devices and the device-mapper, down to the disk."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from liveagent.host import Host


@dataclasses.dataclass(frozen=True)
class Mount:
    """A line of /proc/self/mountinfo. `device` is major:minor, and made up (`0:…`) for btrfs and its kind."""

    device: str
    point: str
    kind: str
    source: str
    options: str


def parse_mountinfo(text: str) -> tuple[Mount, ...]:
    """The mounts, in the order in which they were made; proc(5), `/proc/pid/mountinfo`."""
    mounts = []
    for line in text.splitlines():
        left, separator, right = line.partition(" - ")
        fields, rest = left.split(" "), right.split(" ")
        if separator and len(fields) >= 6 and len(rest) >= 2:
            options = rest[2] if len(rest) > 2 else ""
            mounts.append(Mount(fields[2], unescape(fields[4]), rest[0], unescape(rest[1]), unescape(options)))
    return tuple(mounts)


def unescape(text: str) -> str:
    """A name out of /proc with its octal escapes (`\\040` is a space) undone."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), text)


def find_mount(mounts: Sequence[Mount], path: str) -> Mount | None:
    """The mount that a path lies on: the longest that leads to it, and of several the one on top."""
    best = None
    for mount in mounts:
        point = mount.point.rstrip("/")
        if (path == mount.point or path.startswith(point + "/")) and (
            best is None or len(point) >= len(best.point.rstrip("/"))
        ):
            best = mount
    return best


def natural_key(name: str) -> tuple[object, ...]:
    """Sorts sda, sdb, sdaa, and nvme2n1 before nvme10n1."""
    match = re.match(r"(sd|vd|hd|xvd)([a-z]+)", name)
    family, letters = match.groups() if match else ("", "")
    # Text and numbers take turns, so that like is compared with like.
    parts = re.split(r"(\d+)", name[len(family) + len(letters) :])
    return (family or parts[0], len(letters), letters, *(int(part) if part.isdigit() else part for part in parts))


def probe_name(host: Host, number: str) -> str | None:
    """The kernel name of the block device with this major:minor; None where there is none (`0:21`)."""
    name = host.resolve(f"/sys/dev/block/{number}").rsplit("/", 1)[-1]
    return None if name == number else name


def probe_node(host: Host, path: str) -> str | None:
    """The kernel name of the block device that a path below /dev leads to, through its links."""
    found = host.resolve(path)
    if not found.startswith("/dev/"):
        return None
    name = found[len("/dev/") :].replace("/", "!")
    return name if name and host.exists(f"/sys/class/block/{name}/dev") else None


def probe_whole(host: Host, name: str) -> str:
    """The disk that a partition is part of; anything else is itself."""
    path = host.resolve(f"/sys/class/block/{name}")
    return path.rsplit("/", 2)[-2] if host.exists(f"{path}/partition") else name


def probe_mounted_devices(host: Host, mount: Mount) -> tuple[str, ...]:
    """The kernel names of the devices of a mount: by number, and by source path, since btrfs makes numbers up.

    bcachefs gives all its devices as one source, with colons between.
    """
    names = [] if mount.device.startswith("0:") else [probe_name(host, mount.device)]
    if mount.source.startswith("/dev/"):
        names += [probe_node(host, path) for path in mount.source.split(":") if path.startswith("/dev/")]
    return tuple(dict.fromkeys(name for name in names if name))


def probe_backing_file(host: Host, loop: str) -> str:
    """The file (or device) behind a loop device; '' where it is not in use."""
    return unescape(host.read_or(f"/sys/block/{loop}/loop/backing_file")).replace(" (deleted)", "")


def probe_disks_below(
    host: Host, name: str, mounts: Sequence[Mount], seen: frozenset[str] = frozenset()
) -> tuple[str, ...]:
    """The disks that a block device stands on in the end: through partitions, loop files, md and device-mapper."""
    whole = probe_whole(host, name)
    if whole in seen:
        return ()
    seen = seen | {whole}
    below = [probe_whole(host, slave) for slave in host.list(f"/sys/block/{whole}/slaves")]
    if whole.startswith("loop"):
        below = list(probe_devices_of(host, probe_backing_file(host, whole), mounts))
    elif not below:
        return (whole,)
    found = [disk for device in below for disk in probe_disks_below(host, device, mounts, seen)]
    return tuple(dict.fromkeys(found))


def probe_devices_of(host: Host, path: str, mounts: Sequence[Mount]) -> tuple[str, ...]:
    """The block devices that a file lies on, or the one that it is."""
    if not path:
        return ()
    node = probe_node(host, path) if path.startswith("/dev/") else None
    if node:
        return (node,)
    mount = find_mount(mounts, path)
    return probe_mounted_devices(host, mount) if mount else ()
