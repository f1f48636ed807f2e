from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from liveagent.host import Host
from liveagent.machine.disks import Use, UseKind, probe_disk
from liveagent.machine.topology import Mount, find_mount, parse_mountinfo
from liveagent.machine.use import parse_dm_kind, parse_swaps, probe_claims, probe_uses
from tests.conftest import need
from tests.machine.tools import MakeLoop, attach, make_image, tool


@contextlib.contextmanager
def mounted(source: str, point: Path) -> Iterator[str]:
    point.mkdir(exist_ok=True)
    done = subprocess.run(["mount", source, str(point)], capture_output=True, text=True, timeout=30)
    need(done.returncode == 0, f"a mount: {done.stderr.strip()}")
    try:
        yield str(point)
    finally:
        subprocess.run(["umount", str(point)], check=True, timeout=30)


def test_mountinfo() -> None:
    """Optional fields, octal escapes, and a source with a space: proc(5)."""
    text = (
        "36 35 98:0 /mnt1 /a\\040b rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue\n"
        "27 1 0:40 / / rw,relatime - btrfs /dev/sda2 rw,subvol=/\n"
        "cut off\n"
    )
    assert parse_mountinfo(text) == (
        Mount("98:0", "/a b", "ext3", "/dev/root", "rw,errors=continue"),
        Mount("0:40", "/", "btrfs", "/dev/sda2", "rw,subvol=/"),
    )


def test_the_mount_that_a_path_lies_on() -> None:
    """Of several mounts on one point the last is on top; /srv2 is not below /srv."""
    mounts = [Mount(f"8:{n}", point, "ext4", "", "") for n, point in enumerate(("/", "/srv", "/", "/srv"))]
    assert find_mount(mounts, "/srv/image") == mounts[3]
    assert find_mount(mounts, "/srv2/image") == mounts[2]
    assert find_mount([], "/") is None


def test_swaps() -> None:
    """A swap file's path has its blanks escaped."""
    text = "Filename\t\t\tType\t\tSize\n/dev/dm-1 partition\t8388604\n/swap\\040file file\t1\n"
    assert parse_swaps(text) == ("/dev/dm-1", "/swap file")
    assert parse_swaps("") == ()


@pytest.mark.parametrize(
    ("uuid", "kind"),
    [
        ("mpath-35000c50015ea71aa", UseKind.MULTIPATH),
        ("part1-mpath-35000c50015ea71aa", UseKind.DM),
        ("LVM-NckLF5ANBLjQ8spdVMN5vOamnjDrVeSO", UseKind.LVM),
        ("CRYPT-LUKS2-202265fe98424c2dac9baba1b05deb63-data", UseKind.CRYPT),
        ("DMRAID-isw_ddgdcbibhd_test1", UseKind.DM),
        ("", UseKind.DM),
    ],
)
def test_device_mapper_kinds(uuid: str, kind: UseKind) -> None:
    """What a refusal says of a volume: "holds the logical volume" only where it is one."""
    assert parse_dm_kind(uuid) is kind


@pytest.mark.loop
def test_a_mounted_disk(tmp_path: Path, make_loop: MakeLoop) -> None:
    """A mount shows as a use, and is gone as soon as it is unmounted: `arm()` looks again."""
    image = make_image(tmp_path)
    tool("mkfs.ext4", "-q", "-F", str(image))
    loop = attach(make_loop, image)
    with mounted(f"/dev/{loop}", tmp_path / "a point") as point:
        disk = probe_disk(Host(), loop)
        assert disk and disk.uses == (Use(UseKind.MOUNTED, loop, point),)
    disk = probe_disk(Host(), loop)
    assert disk and disk.uses == ()


@pytest.mark.loop
def test_every_disk_of_a_mounted_btrfs(tmp_path: Path, make_loop: MakeLoop) -> None:
    """The mount of a btrfs over two disks has a made-up number and names one of them: both are in use."""
    need("btrfs" in Path("/proc/filesystems").read_text(), "btrfs in the kernel")
    loops = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        image = make_image(tmp_path / name, 160)
        image.rename(tmp_path / f"{name}.img")
        loops.append(attach(make_loop, tmp_path / f"{name}.img"))
    tool("mkfs.btrfs", "-q", "-f", "-d", "raid1", *(f"/dev/{loop}" for loop in loops))
    subprocess.run(["btrfs", "device", "scan", *(f"/dev/{loop}" for loop in loops)], timeout=30, capture_output=True)
    with mounted(f"/dev/{loops[0]}", tmp_path / "point") as point:
        claims = probe_claims(Host())
        for loop in loops:
            assert probe_uses(Host(), (loop,), claims) == (Use(UseKind.MOUNTED, loop, point),)


@pytest.mark.loop
def test_a_disk_behind_a_loop_device(tmp_path: Path, make_loop: MakeLoop) -> None:
    """A loop device over a disk holds it, though neither `holders` nor an exclusive open says so."""
    below = attach(make_loop, make_image(tmp_path))
    above = subprocess.run(
        ["losetup", "--find", "--show", f"/dev/{below}"], check=True, capture_output=True, text=True, timeout=20
    ).stdout.strip()
    try:
        disk = probe_disk(Host(), below)
        assert disk and disk.uses == (Use(UseKind.OTHER, below, above.replace("/dev/", "")),)
    finally:
        subprocess.run(["losetup", "--detach", above], check=True, timeout=20)


@pytest.mark.loop
def test_swap_in_use(tmp_path: Path, make_loop: MakeLoop) -> None:
    """Swap in use holds the disk."""
    image = make_image(tmp_path)
    tool("mkswap", str(image))
    loop = attach(make_loop, image)
    done = subprocess.run(["swapon", f"/dev/{loop}"], capture_output=True, text=True, timeout=20)
    need(done.returncode == 0, f"swap in the kernel: {done.stderr.strip()}")
    try:
        disk = probe_disk(Host(), loop)
        assert disk and [use.kind for use in disk.uses] == [UseKind.SWAP]
    finally:
        subprocess.run(["swapoff", f"/dev/{loop}"], check=True, timeout=20)


def test_what_stands_on_what_is_told(tmp_path: Path) -> None:
    """sda1 → md0 → vg0-root → /: the refusal names all of it. The shape is sysfs'; the guests of the lab prove it."""
    block = tmp_path / "sys/block"
    (block / "sda/holders").mkdir(parents=True)
    (block / "sda/sda1/holders/md0").mkdir(parents=True)
    (block / "md0/holders/dm-0").mkdir(parents=True)
    (block / "dm-0/holders").mkdir(parents=True)
    (block / "dm-0/dm").mkdir()
    (block / "dm-0/dm/uuid").write_text("LVM-abc\n")
    (block / "dm-0/dm/name").write_text("vg0-root\n")
    claims = {"dm-0": (Use(UseKind.MOUNTED, "dm-0", "/"),)}
    uses = probe_uses(Host(str(tmp_path)), ("sda", "sda1"), claims)
    assert uses == (Use(UseKind.MD, "sda1", "md0 (vg0-root (mounted at /))", "md0"),)
