from __future__ import annotations

from pathlib import Path

import pytest

from liveagent.cmdline import parse_cmdline
from liveagent.host import Host, UdevDevice
from liveagent.image import parse_image
from liveagent.machine.live import find_live_word, parse_medium_words, probe_live, want_device

# The command line that booted in the lab (boot-lab.md, 4), and mounts as dracut's dmsquash-live leaves them.
NETBOOT = "root=live:http://10.77.0.1/live.squashfs rd.live.image rd.live.overlay.overlayfs=1 ip=dhcp"
MEDIUM = "root=live:CDLABEL=LIVE rd.live.image"
OVERLAY = "25 1 0:30 / / rw - overlay LiveOS_rootfs rw,lowerdir=/run/rootfsbase,upperdir=/run/overlayfs,workdir=/run/w"
RUN = "26 25 0:25 / /run rw - tmpfs tmpfs rw"
SQUASH = "27 26 7:0 / /run/rootfsbase ro - squashfs /dev/loop0 ro"


def make_tree(root: Path, cmdline: str, mounts: list[str], backing: str = "/run/initramfs/squashed.img") -> Host:
    """A machine with sda (one partition), sdb and loop0."""
    sys, proc = root / "sys", root / "proc/self"
    proc.mkdir(parents=True)
    (root / "proc/cmdline").write_text(cmdline + "\n")
    (proc / "mountinfo").write_text("\n".join(mounts) + "\n")
    nodes = {"sda": "8:0", "sda/sda1": "8:1", "sdb": "8:16", "sdb/sdb1": "8:17", "loop0": "7:0", "dm-0": "254:0"}
    for path, number in nodes.items():
        directory = sys / "devices/x/block" / path
        directory.mkdir(parents=True)
        (directory / "dev").write_text(number + "\n")
        name = path.split("/")[-1]
        for link in (f"class/block/{name}", f"dev/block/{number}", *([] if "/" in path else [f"block/{name}"])):
            (sys / link).parent.mkdir(parents=True, exist_ok=True)
            (sys / link).symlink_to("../" * link.count("/") + f"devices/x/block/{path}")
        if "/" in path:
            (directory / "partition").write_text("1\n")
        (root / "dev").mkdir(exist_ok=True)
        (root / "dev" / name).touch()
    (sys / "block/loop0/loop").mkdir()
    (sys / "block/loop0/loop/backing_file").write_text(backing + "\n")
    (sys / "block/dm-0/slaves/loop0").mkdir(parents=True)
    return Host(str(root))


def _udev(name: str, **properties: str) -> UdevDevice:
    return UdevDevice(name, f"/devices/x/block/{name}", {"DEVNAME": f"/dev/{name}", **properties})


@pytest.mark.parametrize(
    ("cmdline", "word"),
    [
        (NETBOOT, "root"),
        ("root=squash:http://10.0.0.1/squashfs overlayroot=tmpfs", "root"),
        ("boot=live components", "boot"),
        ("boot=casper", "boot"),
        ("rd.live.image", "rd.live.image"),
        ("rd.live.image=0", None),
        ("root=UUID=abc ro quiet", None),
        ("root=/dev/mapper/vg-root rd.lvm.lv=vg/root", None),
        ("boot=/dev/sda1 root=LABEL=live", None),
        ("quiet -- rd.live.image", None),
    ],
)
def test_what_asks_for_a_live_root(cmdline: str, word: str | None) -> None:
    """`all` is for live images alone: an installed system must never look like one."""
    found = find_live_word(parse_cmdline(cmdline.encode()).words)
    assert (found.name if found else None) == word


@pytest.mark.parametrize(
    ("cmdline", "specs"),
    [
        (NETBOOT, ()),
        (MEDIUM, ("CDLABEL=LIVE",)),
        ("root=live:/dev/disk/by-label/LIVE", ("/dev/disk/by-label/LIVE",)),
        ("root=live:UUID=12-34 live-media=/dev/sdb1", ("UUID=12-34", "/dev/sdb1")),
        ("root=live:block:/dev/sdb", ("/dev/sdb",)),
        ("boot=live live-media=removable", ()),
        ("root=UUID=abc", ()),
    ],
)
def test_how_the_medium_is_named(cmdline: str, specs: tuple[str, ...]) -> None:
    """An installed root (`root=UUID=`) is not a live medium; over the network there is none."""
    assert parse_medium_words(parse_cmdline(cmdline.encode()).words) == specs


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ("CDLABEL=My\\x20Live", True),
        ("LABEL=My Live", True),
        ("LABEL=Other", False),
        ("LABEL=", False),
        ("UUID=AB-CD", True),
        ("/dev/disk/by-label/My\\x20Live", True),
        ("/dev/sdb1", True),
        ("/dev/sdb", False),
    ],
)
def test_udev_finds_the_medium(spec: str, wanted: bool) -> None:
    """By any of the ways that dracut and live-boot take."""
    device = _udev(
        "sdb1",
        ID_FS_LABEL="My_Live",
        ID_FS_LABEL_ENC="My\\x20Live",
        ID_FS_UUID="ab-cd",
        DEVLINKS="/dev/disk/by-label/My\\x20Live /dev/disk/by-uuid/ab-cd",
    )
    assert want_device(spec, device) is wanted


def test_network_boot_is_live(tmp_path: Path) -> None:
    """The usual way: the image is in memory, and no disk is a live medium."""
    live = probe_live(make_tree(tmp_path, NETBOOT, [OVERLAY, RUN, SQUASH]), ())
    assert (live.is_live, live.disks) == (True, ())
    assert "root=live:" in live.reason and "overlay" in live.reason


def test_installed_system_is_not_live(tmp_path: Path) -> None:
    """Neither half is enough: a live root that was asked for, and a root that stands on a disk."""
    root = "27 1 8:1 / / rw - ext4 /dev/sda1 rw"
    plain = probe_live(make_tree(tmp_path / "a", "root=/dev/sda1", [root]), ())
    assert (plain.is_live, plain.disks) == (False, ())
    pretended = probe_live(make_tree(tmp_path / "b", f"root=/dev/sda1 {MEDIUM}", [root]), ())
    assert not pretended.is_live
    assert "ext4 on sda1" in pretended.reason
    assert "sda" in pretended.disks
    overlaid = probe_live(make_tree(tmp_path / "c", "root=/dev/sda1 overlayroot=tmpfs", [OVERLAY, RUN]), ())
    assert not overlaid.is_live


def test_overlay_over_an_installed_system_is_not_live(tmp_path: Path) -> None:
    """overlayroot puts memory over the disk's own system; the word of a live image does not make it one."""
    base = "27 26 8:1 / /run/rootfsbase ro - ext4 /dev/sda1 ro"
    live = probe_live(make_tree(tmp_path, NETBOOT, [OVERLAY, RUN, base]), ())
    assert not live.is_live
    assert "on sda" in live.reason


def test_snapshot_over_a_loop_is_live(tmp_path: Path) -> None:
    """dracut's other way: device-mapper over the image, no overlayfs."""
    live = probe_live(make_tree(tmp_path, NETBOOT, ["25 1 254:0 / / rw - ext4 /dev/mapper/live-rw rw"]), ())
    assert live.is_live


def test_unknown_root_is_not_live(tmp_path: Path) -> None:
    """Where the mounts cannot be read, `all` stays refused."""
    assert not probe_live(make_tree(tmp_path, NETBOOT, []), ()).is_live


def test_stick_that_is_mounted(tmp_path: Path) -> None:
    """loop0 → squashfs.img → /run/initramfs/live → sdb1 → sdb."""
    medium = "28 26 8:17 / /run/initramfs/live ro - vfat /dev/sdb1 ro"
    backing = "/run/initramfs/live/LiveOS/squashfs.img"
    live = probe_live(make_tree(tmp_path, MEDIUM, [OVERLAY, RUN, SQUASH, medium], backing), ())
    assert (live.is_live, live.disks) == (True, ("sdb",))


def test_stick_that_was_copied_to_memory(tmp_path: Path) -> None:
    """`rd.live.ram`: nothing of it is mounted any more, and it is still the live medium."""
    host = make_tree(tmp_path, f"{MEDIUM} rd.live.ram=1", [OVERLAY, RUN, SQUASH])
    assert probe_live(host, (_udev("sda1", ID_FS_LABEL="root"), _udev("sdb1", ID_FS_LABEL="LIVE"))).disks == ("sdb",)


def test_image_file_on_a_local_disk(tmp_path: Path) -> None:
    """iso-scan: the image is a file on an installed disk, which is a live medium then."""
    scan = "28 26 8:1 / /run/initramfs/isoscan ro - ext4 /dev/sda1 ro"
    host = make_tree(tmp_path, MEDIUM, [OVERLAY, RUN, SQUASH, scan], "/run/initramfs/isoscan/live.iso (deleted)")
    assert probe_live(host, ()).disks == ("sda",)


@pytest.mark.parametrize(
    ("text", "image"),
    [
        ('NAME="AlmaLinux"\nIMAGE_ID=speedtest\nIMAGE_VERSION=42\nBUILD_ID=4f2a9c1\n', "speedtest 42 (4f2a9c1)"),
        ('IMAGE_ID="speedtest"\nIMAGE_VERSION="42"\n', "speedtest 42"),
        ("IMAGE_ID=speedtest\n", "speedtest"),
        ("NAME=Debian\nIMAGE_VERSION=42\nBUILD_ID=x\n", ""),
        ('IMAGE_ID="speedtest\nIMAGE_VERSION=42', ""),
        ("", ""),
    ],
)
def test_which_build_it_is(text: str, image: str) -> None:
    """Only an os-release that names an image has a build; one that is broken names none."""
    assert parse_image(text) == image
