from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from liveagent.host import Host
from liveagent.machine.contents import (
    UNREADABLE,
    Content,
    Entry,
    make_contents,
    make_partition_name,
    merge,
    parse_blkid,
    parse_partx,
    probe_contents,
)
from tests.machine.tools import IMAGE, MakeLoop, attach, make_image, tool

GPFS = "37affc90-ef7d-4e96-91c3-2d7ae055b174"
VMFS = "aa31e02a-400f-11db-9590-000c2911d1b8"
LINUX = "0fc63daf-8483-4772-8e79-3d69d8477de4"


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({}, ()),
        ({"ID_FS_TYPE": "ext4", "ID_FS_LABEL_ENC": r"my\x20data"}, (Content("sda1", "ext4", "", "my data"),)),
        (
            {"ID_FS_TYPE": "btrfs", "ID_PART_TABLE_TYPE": "dos"},
            (Content("sda1", "btrfs"), Content("sda1", "dos")),
        ),
        (
            {"ID_FS_AMBIVALENT": "filesystem:gfs2:1.0 filesystem:btrfs"},
            (Content("sda1", "gfs2"), Content("sda1", "btrfs")),
        ),
        ({"ID_PART_ENTRY_TYPE": GPFS.upper()}, (Content("sda1", "gpfs", GPFS),)),
        ({"ID_PART_ENTRY_TYPE": "0xfb"}, (Content("sda1", "vmfs", "0xfb"),)),
        ({"ID_PART_ENTRY_TYPE": "0xa5"}, (Content("sda1", "partition", "0xa5"),)),
        ({"ID_FS_TYPE": "ext4", "ID_PART_ENTRY_TYPE": GPFS}, (Content("sda1", "ext4", GPFS),)),
    ],
)
def test_contents_of_a_device(properties: Mapping[str, str], expected: tuple[Content, ...]) -> None:
    """Nothing that libblkid or a partition table says of a device is lost on the way to a guard."""
    assert make_contents("sda1", properties) == expected


def test_both_sources_are_seen() -> None:
    """A cluster file system that only one of libblkid and udev knows still holds the disk back."""
    union = merge([Content("sda1", "linux", LINUX), Content("sda", "gpt"), Content("sda1", "gfs2", "", "cluster:data")])
    assert union == (Content("sda1", "gfs2", LINUX, "cluster:data"), Content("sda", "gpt"))
    types = merge([Content("sda1", "ext4", LINUX), Content("sda1", "gpfs", GPFS)])
    assert {content.partition_type for content in types} == {LINUX, GPFS}


@pytest.mark.parametrize(("disk", "name"), [("sda", "sda1"), ("nvme0n1", "nvme0n1p1"), ("loop0", "loop0p1")])
def test_partition_names(disk: str, name: str) -> None:
    """As the kernel would call it, since a finding is read beside `lsblk`."""
    assert make_partition_name(disk, 1) == name


def test_partx_pairs() -> None:
    """Printed by util-linux 2.38.1 of a GPT made with sfdisk."""
    text = f'NR="1" START="2048" SECTORS="8192" TYPE="{GPFS}" NAME="gp fs" SCHEME="gpt"\nnonsense\n'
    assert parse_partx("sda", text) == (Entry("sda1", 1048576, 4194304, GPFS, "gp fs"),)


@pytest.mark.corpus
def test_every_low_probe_of_util_linux(corpus: Path) -> None:
    """libblkid's own test outputs: each gives exactly its one kind."""
    kinds = {}
    for path in sorted((corpus / "blkid").glob("utillinux-low-probe-*.txt")):
        contents = make_contents("x", parse_blkid(path.read_text(encoding="utf-8", errors="replace")))
        kinds[path.stem.replace("utillinux-low-probe-", "")] = [content.kind for content in contents]
    assert kinds["vmfs-volume"] == ["VMFS_volume_member"]
    assert kinds["mdraid"] == kinds["mdraid-1"] == ["linux_raid_member"]
    assert kinds["ntfs"] == ["ntfs"]
    assert kinds["luks2"] == ["crypto_LUKS"]
    assert len(kinds) == 17 and all(len(found) == 1 for found in kinds.values())


@pytest.mark.corpus
def test_export_format_of_real_disks(corpus: Path) -> None:
    """`blkid -o export` as an EL 7 printed it."""
    text = (corpus / "blkid" / "jc-centos-7.7-blkid-ip-multi.txt").read_text(encoding="utf-8")
    found = [make_contents("sda", parse_blkid(block)) for block in text.split("\n\n")]
    assert found == [(Content("sda", "LVM2_member", "0x8e"),), (Content("sda", "xfs", "0x83"),)]


@pytest.mark.corpus
def test_udev_hands_the_table_down_to_partitions(corpus: Path) -> None:
    """udev says ID_PART_TABLE_TYPE=dos of sda1 too, which holds a file system and no table."""
    text = (corpus / "udevadm" / "checkbox-dell-idrac.txt").read_text(encoding="utf-8", errors="replace")
    udev = {}
    for record in text.split("\n\n"):
        values = dict(line[3:].split("=", 1) for line in record.splitlines() if line.startswith("E: ") and "=" in line)
        if values.get("SUBSYSTEM") == "block":
            udev[values["DEVNAME"].replace("/dev/", "")] = values
    found = probe_contents(Host("/nonexistent"), "sda", ("sda1", "sda2", "sda5"), udev)
    assert found == (
        Content("sda", "dos"),
        Content("sda1", "ext4", "0x83"),
        Content("sda2", "extended", "0x5"),
        Content("sda5", "swap", "0x82"),
    )


@pytest.mark.loop
def test_a_disk_with_nothing(tmp_path: Path, make_loop: MakeLoop) -> None:
    """An empty disk has no contents, and is not unreadable."""
    assert probe_contents(Host(), attach(make_loop, make_image(tmp_path)), (), {}) == ()


@pytest.mark.loop
def test_a_disk_that_cannot_be_read(make_loop: MakeLoop, tmp_path: Path) -> None:
    """Of a disk with I/O errors blkid says "nothing found", as of an empty one: it must not pass for empty."""
    loop = attach(make_loop, make_image(tmp_path))
    os.truncate(tmp_path / IMAGE, 0)
    assert probe_contents(Host(), loop, (), {}) == (Content(loop, UNREADABLE),)


@pytest.mark.loop
def test_a_disk_that_is_not_there() -> None:
    """A device that cannot be opened may hold anything."""
    assert probe_contents(Host(), "no-such-disk", (), {}) == (Content("no-such-disk", UNREADABLE),)


@pytest.mark.loop
def test_cluster_partitions_that_the_kernel_did_not_make(tmp_path: Path, make_loop: MakeLoop) -> None:
    """GPFS has no signature, only its partition type, and a kernel without partition support shows no partition.

    The table itself is read: in this field a guard is known that looks at the whole disk alone, and sees nothing.
    """
    image = make_image(tmp_path)
    table = f'label: gpt\nsize=4MiB, type={GPFS}, name="gp fs"\nsize=4MiB, type={VMFS}\nsize=10MiB, type={LINUX}\n'
    tool("sfdisk", "--quiet", str(image), input=table)
    tool("mkfs.ext4", "-q", "-F", "-L", "inside", "-E", f"offset={18432 * 512}", str(image), "10M")
    loop = attach(make_loop, image)
    assert probe_contents(Host(), loop, (), {}) == (
        Content(loop, "gpt"),
        Content(f"{loop}p1", "gpfs", GPFS, "gp fs"),
        Content(f"{loop}p2", "vmfs", VMFS),
        Content(f"{loop}p3", "ext4", LINUX, "inside"),
    )


@pytest.mark.loop
def test_cluster_partition_of_an_mbr(tmp_path: Path, make_loop: MakeLoop) -> None:
    """VMFS before version 5 sits in MBR partitions of type 0xfb."""
    image = make_image(tmp_path)
    tool("sfdisk", "--quiet", str(image), input="label: dos\nsize=4MiB, type=fb\nsize=8MiB, type=5\n")
    loop = attach(make_loop, image)
    assert probe_contents(Host(), loop, (), {}) == (
        Content(loop, "dos"),
        Content(f"{loop}p1", "vmfs", "0xfb"),
        Content(f"{loop}p2", "extended", "0x5"),
    )


@pytest.mark.loop
@pytest.mark.parametrize(
    ("argv", "kind"),
    [
        (("mkfs.ext4", "-q", "-F", "-L", "a label"), "ext4"),
        (("mkswap", "-q", "-L", "a label"), "swap"),
        (("mkfs.btrfs", "-q", "-L", "a label"), "btrfs"),
    ],
)
def test_file_systems_on_a_whole_disk(argv: tuple[str, ...], kind: str, tmp_path: Path, make_loop: MakeLoop) -> None:
    """What is shown before a wipe is what mkfs wrote, label and all."""
    image = make_image(tmp_path, 160)
    tool(*argv, str(image))
    loop = attach(make_loop, image)
    assert probe_contents(Host(), loop, (), {}) == (Content(loop, kind, "", "a label"),)


@pytest.mark.loop
def test_two_file_systems_on_one_disk(tmp_path: Path, make_loop: MakeLoop) -> None:
    """Where signatures contradict each other blkid prints neither TYPE (exit 8): the guard must see both."""
    image = make_image(tmp_path)
    tool("mkfs.ext4", "-q", "-F", str(image))
    with image.open("r+b") as file:
        file.seek(0x10040)
        file.write(b"_BHRfS_M")
    done = subprocess.run(["blkid", "--probe", "--output", "export", str(image)], capture_output=True, timeout=20)
    assert (done.returncode, done.stdout) == (8, b"")
    loop = attach(make_loop, image)
    assert {content.kind for content in probe_contents(Host(), loop, (), {})} == {"ext4", "btrfs"}
