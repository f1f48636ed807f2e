"""Whether the running system is a live image, and which disks that image came from."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence

from liveagent.cmdline import Word, parse_cmdline
from liveagent.events import JSON
from liveagent.host import Host, UdevDevice
from liveagent.image import probe_image
from liveagent.machine.topology import (
    Mount,
    find_mount,
    natural_key,
    probe_devices_of,
    probe_disks_below,
    probe_mounted_devices,
    probe_node,
    probe_whole,
)
from liveagent.machine.use import probe_mounts

# Where live systems keep the medium and the image: dracut (dmsquash-live), Debian's live-boot, Ubuntu's casper,
# archiso, MAAS' overlayroot.
MEDIUM_MOUNTS = (
    "/run/initramfs/live",
    "/run/initramfs/isoscan",
    "/run/initramfs/squashfs",
    "/run/initramfs/overlayfs",
    "/run/rootfsbase",
    "/run/live",
    "/lib/live/mount",
    "/cdrom",
    "/isodevice",
    "/run/archiso",
    "/media/root-ro",
)
MEMORY = ("tmpfs", "ramfs", "rootfs")
IMAGES = ("squashfs", "erofs", "iso9660", "udf", "cramfs")


@dataclasses.dataclass(frozen=True)
class Live:
    """`reason` says why it is, or is not, a live image. `disks` are kernel names: the image came from them.

    `image` is which build of which image it is, as its os-release says: `speedtest 42 (4f2a9c1)`, or "".
    """

    is_live: bool
    reason: str
    disks: tuple[str, ...] = ()
    image: str = ""

    def encode(self) -> dict[str, JSON]:
        return {**dataclasses.asdict(self), "disks": list(self.disks)}


def find_live_word(words: Sequence[Word]) -> Word | None:
    """The word of the kernel command line that asks for a live root."""
    for word in words:
        value = word.value or ""
        if word.name == "root" and re.match(r"(live|squash|liveiso|livenet):", value):
            return word
        if word.name in ("rd.live.image", "liveimg", "archisobasedir") and value not in ("0", "no"):
            return word
        if word.name == "boot" and value in ("live", "casper"):
            return word
    return None


def parse_medium_words(words: Sequence[Word]) -> tuple[str, ...]:
    """How the command line names the disk of the live image: `CDLABEL=…`, `UUID=…`, `/dev/…`; not over the network.

    dracut's `root=live:…` and `live:…`, live-boot's `live-media=` and `bootfrom=`.
    """
    found = []
    for word in words:
        value = word.value or ""
        if word.name == "root":
            value = re.sub(r"^(live|squash|liveiso):", "", value) if ":" in value else ""
        elif word.name not in ("live-media", "bootfrom", "fromiso", "archisodevice"):
            continue
        value = re.sub(r"^block:", "", value)
        if re.match(r"(CDLABEL|LABEL|UUID|PARTUUID|PARTLABEL)=|/dev/", value):
            found.append(value)
    return tuple(found)


def want_device(spec: str, device: UdevDevice) -> bool:
    """Whether a `LABEL=…`, `UUID=…` or `/dev/…` of the command line may mean this device. Pure."""
    properties = device.properties
    links = [*properties.get("DEVLINKS", "").split(), properties.get("DEVNAME", "")]
    if spec.startswith("/dev/"):
        return spec in links
    key, _, value = spec.partition("=")
    names: Mapping[str, tuple[str, ...]] = {
        "CDLABEL": ("ID_FS_LABEL", "ID_FS_LABEL_ENC"),
        "LABEL": ("ID_FS_LABEL", "ID_FS_LABEL_ENC"),
        "UUID": ("ID_FS_UUID", "ID_FS_UUID_ENC"),
        "PARTUUID": ("ID_PART_ENTRY_UUID",),
        "PARTLABEL": ("ID_PART_ENTRY_NAME",),
    }
    # The command line writes a space as \x20, as udev does in *_ENC; the plain property has "_" instead.
    wanted = {value, value.replace(" ", "\\x20"), value.replace("\\x20", "_").replace(" ", "_")} - {""}
    if key in ("UUID", "PARTUUID"):
        wanted = {value.lower()} - {""}
        return any(properties.get(name, "").lower() in wanted for name in names.get(key, ()))
    return any(properties.get(name, "") in wanted for name in names.get(key, ()))


def probe_live(host: Host, udev: Sequence[UdevDevice] | None = None) -> Live:
    """Whether this is a live image: the command line asks for one, and the root really stands on one.

    `udev` are the block devices where the caller has them already.
    """
    words = parse_cmdline(host.read_or("/proc/cmdline").encode("utf-8", "replace")).words
    asked, image = find_live_word(words), probe_image(host)
    if not asked:
        reason = "the kernel command line asks for no live root (root=live:…, rd.live.image, boot=live)"
        return Live(False, reason, image=image)
    mounts = probe_mounts(host)
    disks = _probe_medium(host, words, mounts, host.udev("block") if udev is None else udev)
    shown = asked.name if asked.value is None else f"{asked.name}={asked.value}"
    against, root = _describe_root(host, mounts)
    if against:
        return Live(False, f"the kernel was started with {shown}, but {root}", disks, image)
    return Live(True, f"the kernel was started with {shown}, and {root}", disks, image)


def _describe_root(host: Host, mounts: Sequence[Mount]) -> tuple[bool, str]:
    """(whether this speaks against a live image, what the root file system is in words)."""
    root = find_mount(mounts, "/")
    if root is None:
        return True, "it is not known what the root file system is"
    if root.kind in MEMORY or root.kind in IMAGES:
        return False, f"the root file system is {root.kind}"
    if root.kind == "overlay":
        for layer in _parse_layers(root, "lowerdir"):
            base = find_mount(mounts, layer)
            disks = _disks_of_tree(host, base, mounts) if base and base.point != "/" else ()
            if disks:
                return True, f"the root file system is an overlay over {layer} on {', '.join(disks)}"
        return False, "the root file system is an overlay"
    devices = probe_mounted_devices(host, root)
    on_loop = [device for device in devices if _stands_on_loop(host, device)]
    if devices and len(on_loop) == len(devices):
        return False, f"the root file system is {root.kind} on {devices[0]}, over a loop device"
    return True, f"the root file system is {root.kind} on {', '.join(devices) or root.source}"


def _disks_of_tree(host: Host, mount: Mount, mounts: Sequence[Mount]) -> tuple[str, ...]:
    """The disks of a mount that holds a plain tree; an image, or a tree in memory or in a loop file, has none."""
    if mount.kind in MEMORY or mount.kind in IMAGES:
        return ()
    devices = [device for device in probe_mounted_devices(host, mount) if not _stands_on_loop(host, device)]
    return tuple(disk for device in devices for disk in probe_disks_below(host, device, mounts))


def _stands_on_loop(host: Host, device: str, depth: int = 8) -> bool:
    """Whether a device is a loop device, or device-mapper over nothing but loop devices."""
    whole = probe_whole(host, device)
    slaves = host.list(f"/sys/block/{whole}/slaves")
    if whole.startswith("loop"):
        return True
    return depth > 0 and bool(slaves) and all(_stands_on_loop(host, slave, depth - 1) for slave in slaves)


def _parse_layers(mount: Mount, option: str) -> tuple[str, ...]:
    match = re.search(rf"(?:^|,){option}=([^,]*)", mount.options)
    return tuple(path for path in match.group(1).split(":") if path.startswith("/")) if match else ()


def _probe_medium(
    host: Host, words: Sequence[Word], mounts: Sequence[Mount], udev: Sequence[UdevDevice]
) -> tuple[str, ...]:
    """The disks that the image came from: below the mounts of a live system, and as the command line names them.

    The second counts also when nothing of it is mounted any more: the image was copied to memory. Where several
    disks carry that label, each may have been the one.
    """
    devices: list[str] = []
    for mount in mounts:
        if mount.point == "/" or any(f"{mount.point}/".startswith(f"{point}/") for point in MEDIUM_MOUNTS):
            devices += probe_mounted_devices(host, mount)
    root = find_mount(mounts, "/")
    for option in ("lowerdir", "upperdir", "workdir") if root else ():
        assert root
        devices += [device for path in _parse_layers(root, option) for device in probe_devices_of(host, path, mounts)]
    for spec in parse_medium_words(words):
        devices += [device.name for device in udev if want_device(spec, device)]
        node = probe_node(host, spec) if spec.startswith("/dev/") else None
        devices += [node] if node else []
    disks = {disk for device in devices for disk in probe_disks_below(host, device, mounts)}
    return tuple(sorted(disks, key=natural_key))
