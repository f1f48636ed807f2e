"""What stands on the disks. The trees have sysfs' shape; guests of the lab prove it on real kernels."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from liveagent.host import CommandNotFound, Completed, Host
from liveagent.machine.stack import (
    Layer,
    find_owner,
    parse_container,
    parse_layer_kind,
    parse_zpools,
    probe_layers,
    sort_layers,
)
from liveagent.machine.use import UseKind

SET = "7ab3c9d2-5a2e-4a0e-9a52-27ce27b2e1f0"


class Tree:
    """A /sys and /proc that a test fills, device by device."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.devices: list[dict[str, object]] = []
        self.write("/proc/swaps", "Filename\t\t\tType\t\tSize\t\tUsed\t\tPriority\n")
        self.write("/proc/self/mountinfo", "")

    def write(self, path: str, text: str) -> None:
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def link(self, path: str, target: str) -> None:
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)

    def device(self, name: str, number: str, *below: str, **attributes: str) -> None:
        """A whole device that stands on others; attributes such as dm__uuid are files of its directory."""
        inside = f"/sys/devices/virtual/block/{name}"
        self.write(f"{inside}/dev", f"{number}\n")
        for directory in ("holders", "slaves"):
            (self.root / f"{inside}/{directory}".lstrip("/")).mkdir()
        self._publish(name, number, inside)
        for slave in below:
            where = (self.root / f"sys/class/block/{slave}").resolve()
            self.link(f"{inside}/slaves/{slave}", f"/sys/class/block/{slave}")
            (where / "holders" / name).symlink_to(f"/sys/block/{name}")
        for key, value in attributes.items():
            self.write(f"{inside}/{key.replace('__', '/')}", f"{value}\n")
        (self.root / "sys/block").mkdir(exist_ok=True)
        self.link(f"/sys/block/{name}", f"../devices/virtual/block/{name}")

    def partition(self, whole: str, name: str, number: str) -> None:
        inside = f"/sys/devices/virtual/block/{whole}/{name}"
        self.write(f"{inside}/dev", f"{number}\n")
        self.write(f"{inside}/partition", "1\n")
        (self.root / f"{inside}/holders".lstrip("/")).mkdir()
        self._publish(name, number, inside)

    def _publish(self, name: str, number: str, inside: str) -> None:
        self.link(f"/sys/class/block/{name}", f"../..{inside.removeprefix('/sys')}")
        self.link(f"/sys/dev/block/{number}", f"../..{inside.removeprefix('/sys')}")
        self.write(f"/dev/{name}", "")

    def udev(self, name: str, **properties: str) -> None:
        self.devices.append({"name": name, "path": f"/devices/{name}", "properties": properties})
        self.write("/udev.json", json.dumps({"block": self.devices}))

    def layers(self) -> dict[str, Layer]:
        return {layer.name: layer for layer in probe_layers(Host(str(self.root)))}


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Two disks with a partition each, and a third without."""
    tree = Tree(tmp_path)
    for name, number in (("sda", "8:0"), ("sdb", "8:16"), ("sdc", "8:32")):
        tree.device(name, number)
    tree.partition("sda", "sda1", "8:1")
    tree.partition("sdb", "sdb1", "8:17")
    return tree


def test_nothing_stands_on_plain_disks(tree: Tree) -> None:
    """A disk with partitions is no layer, and no command is run to find that out."""
    assert tree.layers() == {}


def test_luks_on_lvm_on_md(tree: Tree) -> None:
    """Topmost first, each with the partitions or layers right below it and the whole disks at the bottom."""
    tree.device("md127", "9:127", "sda1", "sdb1", md__level="raid1", md__metadata_version="1.2")
    tree.device("dm-1", "253:1", "md127", dm__uuid="LVM-CCpPUugg92h65118NwJdlvd0XSzeRXQX", dm__name="vg0-root")
    tree.device("dm-0", "253:0", "dm-1", dm__uuid="CRYPT-LUKS2-202265fe98424c2dac9baba1b05deb63", dm__name="luks-a")
    found = tree.layers()
    assert list(found) == ["dm-0", "dm-1", "md127"]
    disks = ("sda", "sdb")
    assert found["md127"] == Layer("md127", UseKind.MD, "RAID1", ("sda1", "sdb1"), disks, (), "/dev/md127")
    assert found["dm-1"] == Layer("dm-1", UseKind.LVM, "vg0-root", ("md127",), disks, (), "/dev/dm-1")
    assert found["dm-0"] == Layer("dm-0", UseKind.CRYPT, "luks-a", ("dm-1",), disks, (), "/dev/dm-0")
    assert [layer.words for layer in found.values()] == ["dm-crypt luks-a", "LVM volume vg0-root", "md127 (RAID1)"]
    assert json.loads(json.dumps(found["md127"].encode()))["disks"] == ["sda", "sdb"]


def test_what_uses_a_layer(tree: Tree) -> None:
    """Mounts, swap, loop devices and strange holders are uses; a layer on top is not, it is judged by itself."""
    tree.device("md0", "9:0", "sda1", md__level="raid0")
    tree.partition("md0", "md0p1", "259:1")
    tree.partition("md0", "md0p2", "259:2")
    tree.device("dm-0", "253:0", "md0p2", dm__uuid="LVM-abc", dm__name="vg0-swap")
    tree.device("dm-1", "253:1", "sdb", dm__uuid="", dm__name="hand-made")
    tree.device("drbd0", "147:0", "dm-1")
    tree.device("loop3", "7:3", loop__backing_file="/dev/dm-1")
    tree.link("/dev/mapper/vg0-swap", "../dm-0")
    swap = "/dev/mapper/vg0-swap                    partition\t8388604\t0\t-2\n"
    tree.write("/proc/swaps", f"Filename\t\t\tType\t\tSize\t\tUsed\t\tPriority\n{swap}")
    tree.write("/proc/self/mountinfo", "36 35 259:1 / /srv rw,noatime - ext4 /dev/md0p1 rw\n")
    found = tree.layers()
    assert found["md0"].in_use == ("is mounted at /srv (md0p1)",)
    assert (found["dm-0"].below, found["dm-0"].in_use) == (("md0p2",), ("is swap in use",))
    assert found["dm-1"].in_use == ("is behind loop3", "is behind drbd0")
    assert found["dm-1"].kind is UseKind.DM


def test_multipath(tree: Tree) -> None:
    """A map stands on all its paths; what kpartx made of it is a multipath device too, above it.

    Names and UUIDs as multipath-tools gave them on a machine of the corpus (probert/multipath.json).
    """
    tree.device("dm-0", "253:0", "sda", "sdb", dm__uuid="mpath-35000c50015ea71aa", dm__name="mpatha")
    tree.device("dm-1", "253:1", "dm-0", dm__uuid="part1-mpath-35000c50015ea71aa", dm__name="mpatha-part1")
    found = tree.layers()
    assert list(found) == ["dm-1", "dm-0"]
    assert {layer.kind for layer in found.values()} == {UseKind.MULTIPATH}
    assert {layer.disks for layer in found.values()} == {("sda", "sdb")}


def test_firmware_raid(tree: Tree) -> None:
    """The array and its container have the same members; the array comes first, or the container is busy."""
    tree.device("md127", "9:127", "sda", "sdb", md__level="", md__metadata_version="external:imsm")
    tree.device("md126", "9:126", "sda", "sdb", md__level="raid1", md__metadata_version="external:/md127/0")
    found = tree.layers()
    assert list(found) == ["md126", "md127"]
    assert found["md126"].below == ("sda", "sdb", "md127")
    assert found["md127"].words == "md127"


def test_bcache(tree: Tree) -> None:
    """A cache set lives on when its bcache0 is stopped: it is a layer of its own, below it."""
    tree.device("bcache0", "252:0", "sdb", "sdc")
    tree.link("/sys/block/bcache0/bcache", "/sys/block/sdb/bcache")
    tree.link("/sys/block/sdb/bcache/cache", f"/sys/fs/bcache/{SET}")
    tree.write("/sys/block/sdc/bcache/cache_replacement_policy", "[lru] fifo random\n")
    tree.link(f"/sys/fs/bcache/{SET}/cache0", "/sys/devices/virtual/block/sdc/bcache")
    tree.link(f"/sys/fs/bcache/{SET}/bdev0", "/sys/devices/virtual/block/sdb/bcache")
    tree.write("/sys/fs/bcache/register", "")
    found = tree.layers()
    assert list(found) == ["bcache0", SET]
    assert found["bcache0"].below == ("sdb", "sdc", SET)
    assert found["bcache0"].disks == ("sdb", "sdc")
    assert found[SET] == Layer(SET, UseKind.BCACHE, f"set {SET}", ("sdc",), ("sdc",), (), f"/sys/fs/bcache/{SET}")
    assert [layer.words for layer in found.values()] == ["bcache0", f"bcache set {SET}"]


def test_bcache_members_without_a_device(tree: Tree) -> None:
    """A cache set that nobody uses, and a backing device that waits for its set, hold their disks unseen."""
    tree.link(f"/sys/fs/bcache/{SET}/cache0", "/sys/devices/virtual/block/sda/sda1/bcache")
    tree.write("/sys/devices/virtual/block/sda/sda1/bcache/written", "0\n")
    tree.write("/sys/devices/virtual/block/sdb/bcache/running", "0\n")
    assert tree.layers() == {}  # udev saw no member
    tree.udev("sda1", ID_FS_TYPE="bcache")
    tree.udev("sdb", ID_FS_TYPE="bcache")
    found = tree.layers()
    assert {name: layer.disks for name, layer in found.items()} == {SET: ("sda",), "sdb/bcache": ("sdb",)}
    assert found["sdb/bcache"].words == "bcache backing device sdb"


class Answering(Host):
    """A tree whose commands answer what the test says; one that it does not name is not installed."""

    def __init__(self, root: Path, answers: Mapping[str, str]) -> None:
        super().__init__(str(root))
        self.answers = answers
        self.asked: list[str] = []

    @property
    def can_run(self) -> bool:
        return True

    def run(self, argv: Sequence[str], **more: object) -> Completed:  # type: ignore[override]
        line = " ".join(argv)
        self.asked.append(line)
        if line not in self.answers:
            raise CommandNotFound(f"{argv[0]} is not installed", Completed(tuple(argv), None, "", "", 0.0))
        return Completed(tuple(argv), 0, self.answers[line], "", 0.0)


# Written after OpenZFS 2.1's form (zpool_main.c, print_list_stats): tabs in script mode, but not in headings.
ZPOOL_LIST = (
    "tank\t928G\t1.20M\t928G\t-\t-\t0%\t0%\t1.00x\tONLINE\t-\n"
    "\tmirror-0\t928G\t1.20M\t928G\t-\t-\t0%\t0.00%\t-\tONLINE\n"
    "\t/dev/sda1\t-\t-\t-\t-\t-\t-\t-\t-\tONLINE\n"
    "\t/dev/disk/by-id/wwn-0x5000c500a1b2-part1\t-\t-\t-\t-\t-\t-\t-\t-\tONLINE\n"
    "cache               -      -      -        -         -      -      -      -         -\n"
    "\t/dev/sdc\t119G\t512\t119G\t-\t-\t0%\t0.00%\t-\tONLINE\n"
    "spool\t9.50G\t130K\t9.50G\t-\t-\t0%\t0%\t1.00x\tONLINE\t-\n"
    "\t/srv/pool.img\t9.50G\t130K\t9.50G\t-\t-\t0%\t0.00%\t-\tONLINE\n"
)
ZPOOL = "zpool list -v -H -P"


def test_zpool_list() -> None:
    """Each pool's devices, caches included; a mirror is none, nor is a file."""
    assert parse_zpools(ZPOOL_LIST) == {
        "tank": ("/dev/sda1", "/dev/disk/by-id/wwn-0x5000c500a1b2-part1", "/dev/sdc"),
        "spool": (),
    }
    assert parse_zpools("") == parse_zpools("no pools available\n") == {}


def test_zfs_pool(tree: Tree) -> None:
    """A pool holds its disks, though sysfs has no holder for it; mounted datasets and volumes in use hold the pool."""
    tree.link("/dev/disk/by-id/wwn-0x5000c500a1b2-part1", "../../sdb1")
    host = Answering(tree.root, {ZPOOL: ZPOOL_LIST})
    tree.udev("sda1", ID_FS_TYPE="zfs_member")
    assert probe_layers(host) == () and not host.asked  # the module is not loaded
    (tree.root / "sys/module/zfs").mkdir(parents=True)
    found = {layer.name: layer for layer in probe_layers(host)}
    assert list(found) == ["zpool:tank"]  # the other one stands on a file
    pool = found["zpool:tank"]
    assert (pool.below, pool.disks) == (("sda1", "sdb1", "sdc"), ("sda", "sdb", "sdc"))
    assert (pool.kind, pool.words, pool.in_use) == (UseKind.ZFS, "ZFS pool tank", ())
    mounts = ("tank/home /home", "tank /tank", "tanker /other")
    lines = [f"40 1 0:50 / {m.split()[1]} rw shared:1 - zfs {m.split()[0]} rw,xattr\n" for m in mounts]
    tree.write("/proc/self/mountinfo", "".join(lines))
    tree.device("zd0", "230:0")
    tree.udev("zd0", DEVLINKS="/dev/zvol/tank/guest /dev/tank/guest")
    tree.device("dm-4", "253:4", "zd0", dm__uuid="LVM-abc", dm__name="guest-root")
    pool = {layer.name: layer for layer in probe_layers(host)}["zpool:tank"]
    assert pool.in_use == ("is mounted at /home", "is mounted at /tank", "is behind dm-4 (zd0)")


def test_pools_that_cannot_be_listed(tree: Tree) -> None:
    """Without zpool there is no layer to take apart: the kernel does not give the disk, and it is refused then."""
    (tree.root / "sys/module/zfs").mkdir(parents=True)
    tree.udev("sda1", ID_FS_TYPE="zfs_member")
    assert probe_layers(Answering(tree.root, {})) == ()


@pytest.mark.parametrize(
    ("uuid", "kind"),
    [
        ("mpath-35000c50015ea71aa", UseKind.MULTIPATH),
        ("part1-mpath-35000c50015ea71aa", UseKind.MULTIPATH),
        ("LVM-gy9uAwD7LuTIApplr2sogbOx5iS0FTaxJqQ6DLofdR0uWkTnlpkRnFShO3PgqhCT", UseKind.LVM),
        ("CRYPT-LUKS2-202265fe98424c2dac9baba1b05deb63-data", UseKind.CRYPT),
        ("part1-DMRAID-isw_ddgdcbibhd_test1", UseKind.DM),
        ("part1-devnode_8:16_Wh5pYvM", UseKind.DM),
        ("", UseKind.DM),
    ],
)
def test_layer_kinds(uuid: str, kind: UseKind) -> None:
    """Partitions of a multipath map go with the map; of what made the others nothing is known."""
    assert parse_layer_kind(uuid) is kind


@pytest.mark.parametrize(
    ("version", "container"),
    [
        ("external:/md127/0", "md127"),
        ("external:-md127/0", "md127"),
        ("external:/md_imsm0/1", "md_imsm0"),
        ("external:imsm", ""),
        ("external:ddf", ""),
        ("1.2", ""),
        ("none", ""),
        ("", ""),
    ],
)
def test_containers(version: str, container: str) -> None:
    """The forms that md/metadata_version has; read-only arrays of a container have a dash."""
    assert parse_container(version) == container


def test_owner_of_a_device() -> None:
    """A partition of an array belongs to it; md12 is no partition of md1."""
    layers = {name: Layer(name, UseKind.MD, "", ("sda",)) for name in ("md1", "md_home")}
    owners = [find_owner(name, layers) for name in ("md1", "md1p2", "md_home", "md_home3", "md12", "sda1", "nvme0n1p1")]
    assert [owner.name if owner else None for owner in owners] == ["md1", "md1", "md_home", "md_home", None, None, None]


def test_order() -> None:
    """A layer of many floors on one side comes before all of them; a ring, which no kernel makes, ends."""
    side = [Layer("dm-9", UseKind.LVM, "", ("md0p1", "sdc")), Layer("md0", UseKind.MD, "", ("dm-3",))]
    low = [Layer("dm-3", UseKind.CRYPT, "", ("sda",)), Layer("dm-10", UseKind.CRYPT, "", ("sdc",))]
    for layers in ([*side, *low], [*low, *side], [*reversed(side), *reversed(low)]):
        assert [layer.name for layer in sort_layers(layers)] == ["dm-9", "md0", "dm-3", "dm-10"]
    ring = [Layer("dm-0", UseKind.DM, "", ("dm-1",)), Layer("dm-1", UseKind.DM, "", ("dm-0",))]
    assert len(sort_layers(ring)) == 2
