"""What stands on the disks, layer by layer: arrays, volumes, encryption, multipath maps, caches, pools."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence

from liveagent.events import JSON
from liveagent.host import CommandError, Host, UdevDevice
from liveagent.machine.contents import make_path
from liveagent.machine.topology import Mount, natural_key, probe_node, probe_whole
from liveagent.machine.use import Claims, UseKind, parse_dm_kind, probe_claims, probe_mounts

ZPOOL_TIMEOUT = 20.0

# What the kernel makes of other block devices. A named array is `md_home`, and has no number.
_LAYERS = re.compile(r"(dm-|bcache)\d+|md[_\d].*")
# kpartx names the partitions of a map after it: part1-mpath-35000c50015ea71aa (kpartx.c, devmapper.c).
_KPARTX = re.compile(r"part\d+-")
_WORDS = {
    UseKind.LVM: "LVM volume",
    UseKind.CRYPT: "dm-crypt",
    UseKind.MULTIPATH: "multipath map",
    UseKind.DM: "device-mapper device",
    UseKind.BCACHE: "bcache",
    UseKind.ZFS: "ZFS pool",
}


@dataclasses.dataclass(frozen=True)
class Layer:
    """Something that stands on disks, or on another layer.

    `name` is the kernel's (`dm-2`, `md127`, `bcache0`); a bcache set is called by its UUID, a backing device that
    waits for its set `sdb/bcache`, a ZFS pool `zpool:tank`. `label` is what people call it (`vg0-root`), an
    array's level (`RAID1`), or "". `below` are the devices that it stands on directly, partitions as such, and the
    layers that have no block device; `disks` the whole disks at the bottom. `in_use` says in words what uses it,
    layers above left out. `path` is its node below /dev, or its directory in sysfs; "" for a pool.
    """

    name: str
    kind: UseKind
    label: str
    below: tuple[str, ...]
    disks: tuple[str, ...] = ()
    in_use: tuple[str, ...] = ()
    path: str = ""

    @property
    def words(self) -> str:
        """As people are told of it: `LVM volume vg0-root`, `md127 (RAID1)`."""
        if self.kind is UseKind.MD:
            return f"{self.name} ({self.label})" if self.label else self.name
        if self.kind is UseKind.BCACHE and not self.label:
            return self.name
        return f"{_WORDS.get(self.kind, '')} {self.label or self.name}".strip()

    def encode(self) -> dict[str, JSON]:
        lists: dict[str, JSON] = {what: list(getattr(self, what)) for what in ("below", "disks", "in_use")}
        return {**dataclasses.asdict(self), "kind": self.kind.value, **lists}


def parse_layer_kind(uuid: str) -> UseKind:
    """What sort of device-mapper device has this UUID; a partition that kpartx made is of its parent's sort."""
    return parse_dm_kind(_KPARTX.sub("", uuid, count=1))


def parse_container(version: str) -> str:
    """The container of an array whose metadata is the firmware's; '' for any other array.

    md/metadata_version is `external:/md127/0` then, with `-` for `/` while the array is read-only, and
    `external:imsm` for the container itself (md.rst of the kernel).
    """
    match = re.fullmatch(r"external:[/-](md[^/]+)/.+", version)
    return match.group(1) if match else ""


def parse_zpools(text: str) -> dict[str, tuple[str, ...]]:
    """The paths below /dev of each pool's devices, from `zpool list -v -H -P`.

    A pool's line starts with its name, a device's with a tab. Headings such as `cache` have no tab at all.
    """
    pools: dict[str, list[str]] = {}
    pool = ""
    for line in text.splitlines():
        name, tab, rest = line.partition("\t")
        if name and tab:
            pool = name
            pools[pool] = []
        elif tab and pool:
            path = rest.split("\t")[0].strip()
            pools[pool] += [path] if path.startswith("/dev/") else []
    return {pool: tuple(paths) for pool, paths in pools.items()}


def find_owner(device: str, layers: Mapping[str, Layer]) -> Layer | None:
    """The layer that a device is, or is a partition of: `md0p1` is of md0, `md_home1` of md_home."""
    names = (device, re.sub(r"(?<=\d)p\d+$", "", device), re.sub(r"\d+$", "", device))
    return next((layers[name] for name in names if name in layers), None)


def sort_layers(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Topmost first: each before whatever it stands on; what is on one floor by name."""
    by_name = {layer.name: layer for layer in layers}
    floors: dict[str, int] = {}

    def find_floor(layer: Layer) -> int:
        if layer.name not in floors:
            floors[layer.name] = 0  # a ring, which no kernel makes, ends here
            below = [owner for device in layer.below if (owner := find_owner(device, by_name))]
            floors[layer.name] = 1 + max((find_floor(owner) for owner in below), default=0)
        return floors[layer.name]

    return tuple(sorted(layers, key=lambda layer: (-find_floor(layer), natural_key(layer.name))))


def probe_layers(host: Host) -> tuple[Layer, ...]:
    """Everything that stands on block devices, topmost first; what stands on none is left out.

    bcache sets and ZFS pools hold their disks without being block devices. They are looked for where udev saw a
    member of one, and an idle one that it did not see is left to the kernel, which does not give its disks away.
    """
    claims = probe_claims(host)
    udev = host.udev("block")
    kinds = {device.name: device.properties.get("ID_FS_TYPE", "") for device in udev}
    found = [_probe_device(host, name, claims) for name in host.list("/sys/block") if _LAYERS.fullmatch(name)]
    if "bcache" in kinds.values() or any(layer.kind is UseKind.BCACHE for layer in found):
        found += _probe_bcache(host, [name for name, kind in kinds.items() if kind == "bcache"])
    if "zfs_member" in kinds.values() and host.can_run and host.exists("/sys/module/zfs"):
        found += _probe_pools(host, udev, claims)
    found = [layer for layer in found if layer.below]
    below = {layer.name: [probe_whole(host, device) for device in layer.below] for layer in found}
    return sort_layers([dataclasses.replace(layer, disks=_find_disks(layer.name, below)) for layer in found])


def _find_disks(name: str, below: Mapping[str, Sequence[str]], seen: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """The whole disks at the bottom, by name: what is no layer itself."""
    if name in seen:
        return ()
    if name not in below:
        return (name,)
    found = {disk for device in below[name] for disk in _find_disks(device, below, seen | {name})}
    return tuple(sorted(found, key=natural_key))


def _probe_device(host: Host, name: str, claims: Claims) -> Layer:
    """A layer that is a block device."""
    inside = f"/sys/block/{name}"
    kind, label = UseKind.BCACHE, ""
    below = list(host.list(f"{inside}/slaves"))
    if name.startswith("dm-"):
        kind, label = parse_layer_kind(host.read_or(f"{inside}/dm/uuid")), host.read_or(f"{inside}/dm/name")
    elif name.startswith("md"):
        kind, label = UseKind.MD, host.read_or(f"{inside}/md/level").upper()
        container = parse_container(host.read_or(f"{inside}/md/metadata_version"))
        below += [container] if container else []
    else:
        cache = host.resolve(f"{inside}/bcache/cache")
        below += [cache.rsplit("/", 1)[-1]] if cache.startswith("/sys/fs/bcache/") else []
    in_use = _probe_users(host, name, claims)
    return Layer(name, kind, label, tuple(below), in_use=in_use, path=make_path(name))


def _probe_users(host: Host, name: str, claims: Claims) -> tuple[str, ...]:
    """What uses a device or its partitions, but for layers on top."""
    words: list[str] = []
    inside = f"/sys/block/{name}"
    partitions = [n for n in host.list(inside) if n.startswith(name) and host.exists(f"{inside}/{n}/partition")]
    for device in (name, *sorted(partitions, key=natural_key)):
        where = "" if device == name else f" ({device})"
        for use in claims.get(device, ()):
            if use.kind is UseKind.MOUNTED:
                words.append(f"is mounted at {use.by}{where}")
            else:
                words.append(f"is swap in use{where}" if use.kind is UseKind.SWAP else f"is behind {use.by}{where}")
        holders = host.list(f"{inside}/holders" if device == name else f"{inside}/{device}/holders")
        words += [f"is behind {holder}{where}" for holder in holders if not _LAYERS.fullmatch(holder)]
    return tuple(dict.fromkeys(words))


def _probe_bcache(host: Host, members: Sequence[str]) -> list[Layer]:
    """The cache sets that the kernel has, and backing devices that wait for theirs (bcache.rst of the kernel)."""
    found = []
    for uuid in host.list("/sys/fs/bcache"):
        inside = f"/sys/fs/bcache/{uuid}"
        caches = [name for name in host.list(inside) if re.fullmatch(r"cache\d+", name)]
        # Each leads to the `bcache` directory of the device that it is on.
        devices = [host.resolve(f"{inside}/{cache}").rsplit("/", 2)[-2] for cache in caches]
        found.append(Layer(uuid, UseKind.BCACHE, f"set {uuid}", tuple(devices), path=inside))
    for device in members:
        inside = f"/sys/class/block/{device}/bcache"
        if host.read_or(f"{inside}/running") == "0":
            label = f"backing device {device}"
            found.append(Layer(f"{device}/bcache", UseKind.BCACHE, label, (device,), path=inside))
    return found


def _probe_pools(host: Host, udev: Sequence[UdevDevice], claims: Claims) -> list[Layer]:
    """The imported ZFS pools; none where they cannot be listed."""
    try:
        text = host.run(["zpool", "list", "-v", "-H", "-P"], timeout=ZPOOL_TIMEOUT).stdout
    except CommandError:
        return []
    mounts = probe_mounts(host)
    volumes = {device.name: device.properties.get("DEVLINKS", "") for device in udev if device.name.startswith("zd")}
    found = []
    for pool, paths in parse_zpools(text).items():
        nodes = [probe_node(host, path) for path in paths]
        below = tuple(dict.fromkeys(node for node in nodes if node))
        in_use = [f"is mounted at {mount.point}" for mount in mounts if _is_of_pool(mount, pool)]
        for volume, links in volumes.items():
            # A volume whose pool is not known may be of any.
            if f"/dev/zvol/{pool}/" in links or "/dev/zvol/" not in links:
                in_use += [f"{words} ({volume})" for words in _probe_volume_users(host, volume, claims)]
        found.append(Layer(f"zpool:{pool}", UseKind.ZFS, pool, below, in_use=tuple(in_use)))
    return found


def _probe_volume_users(host: Host, volume: str, claims: Claims) -> tuple[str, ...]:
    """What uses a ZFS volume; layers count here, since the kernel does not know that they stand on the pool."""
    above = [f"is behind {holder}" for holder in host.list(f"/sys/block/{volume}/holders")]
    return tuple(dict.fromkeys([*_probe_users(host, volume, claims), *above]))


def _is_of_pool(mount: Mount, pool: str) -> bool:
    return mount.kind == "zfs" and re.split("[/@]", mount.source)[0] == pool
