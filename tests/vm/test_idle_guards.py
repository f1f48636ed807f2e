"""Guards against real things: each state of a disk is made by the tool that makes it in the field, then refused."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from .command import end, spawn
from .contract import disk_row, reasons_of
from .disks import MIB, Disk, file_hash, make_disk
from .guest import Guest
from .lab import Lab
from .network import ADDRESS
from .test_idle_guest import run_wipe

pytestmark = [pytest.mark.vm, pytest.mark.timeout(600)]

# The disk that every state is made on, and what a table of partitions on it looks like.
SERIAL = "SCSI0101"
GPFS_TYPE = "37AFFC90-EF7D-4E96-91C3-2D7AE055B174"
VMFS_TYPE = "AA31E02A-400F-11DB-9590-000C2911D1B8"
ONE_PARTITION = "echo 'label: gpt\n,,{type}' | sfdisk -q $D && udevadm settle"


@dataclass(frozen=True)
class State:
    """A state of a disk: how it is made and undone in the guest ($D is the disk), and what the reason must say."""

    name: str
    make: str
    undo: str
    says: str


STATES = (
    State("mounted", "mkfs.ext4 -q -F $D && mount -o ro,noload $D /mnt", "umount /mnt", "/mnt"),
    State(
        "partition-mounted",
        ONE_PARTITION.format(type="L") + " && mkfs.ext4 -q -F ${D}1 && mount -o ro,noload ${D}1 /mnt",
        "umount /mnt",
        "/mnt",
    ),
    State(
        "mounted-elsewhere",  # in a service's own mount namespace: no mount table that the agent reads has it
        "mkfs.ext4 -q -F $D && systemd-run --quiet --collect --unit=lab-holder --property=PrivateMounts=yes "
        'sh -c "mount -o ro,noload $D /mnt && touch /run/lab-mounted && exec sleep infinity" && '
        "until [ -e /run/lab-mounted ]; do sleep .1; done",
        "systemctl stop lab-holder; rm /run/lab-mounted; until "
        "python3 -c 'import os, sys; os.open(sys.argv[1], os.O_RDWR | os.O_EXCL)' $D 2>/dev/null; do sleep .2; done",
        "in use|mounted",
    ),
    State("swap", "mkswap -q $D && swapon $D", "swapoff $D", "swap"),
    State(
        "md",
        "modprobe raid1; mdadm --quiet --create /dev/md77 --run --force --level=1 --metadata=1.2 --raid-devices=2 "
        "$D missing </dev/null && udevadm settle && mdadm --readonly /dev/md77",
        "mdadm --stop /dev/md77 && mdadm --zero-superblock $D",
        "md77|array",
    ),
    State(
        "lvm",
        "pvcreate -q -ff -y $D && vgcreate -q lab $D && lvcreate -q -y -Wn -Zn -n volume -l 100%FREE lab",
        "vgremove -q -f -y lab && pvremove -q -y $D",
        "logical volume|lab",
    ),
    State(
        "dm-linear",
        'dmsetup create labline --table "0 $(blockdev --getsz $D) linear $D 0"',
        "dmsetup remove --retry labline",
        "labline|device-mapper",
    ),
    State(
        "dm-crypt",
        "echo secret | cryptsetup open --type plain --cipher aes-xts-plain64 --key-size 256 --hash sha256 $D labcrypt",
        "cryptsetup close labcrypt",
        "labcrypt|encrypted",
    ),
    State("gfs2", "mkfs.gfs2 -q -O -K -p lock_nolock -j 1 -J 8 $D", "wipefs -q -a $D", "GFS2"),
    State(
        "gfs2-partition",
        ONE_PARTITION.format(type="L") + " && mkfs.gfs2 -q -O -K -p lock_nolock -j 1 -J 8 ${D}1",
        "wipefs -q -a ${D}1",
        "GFS2",
    ),
    State("ocfs2", "yes | mkfs.ocfs2 -q -F -x -M local -N 1 -J size=4M $D", "wipefs -q -a $D", "OCFS2"),
    State(
        "ocfs2-partition",
        ONE_PARTITION.format(type="L") + " && yes | mkfs.ocfs2 -q -F -x -M local -N 1 -J size=4M ${D}1",
        "wipefs -q -a ${D}1",
        "OCFS2",
    ),
    State("gpfs-partition", ONE_PARTITION.format(type=GPFS_TYPE), "true", "GPFS"),
    State("vmfs-partition", ONE_PARTITION.format(type=VMFS_TYPE), "true", "VMFS"),
    State("vmfs-mbr", "echo 'label: dos\n,,fb' | sfdisk -q $D && udevadm settle", "true", "VMFS"),
    State("read-only", "blockdev --setro $D", "blockdev --setrw $D", "read-only"),
)


def path_of(guest: Guest, serial: str) -> str:
    """The kernel's name for the disk of this serial, in this boot."""
    lines = guest.run("lsblk --nodeps --noheadings --output PATH,SERIAL").splitlines()
    (path,) = (line.split()[0] for line in lines if line.split()[1:] == [serial])
    return path


@pytest.mark.parametrize("state", STATES, ids=[state.name for state in STATES])
def test_disk_in_use_is_refused(idle_guest: Guest, idle_disks: dict[str, Disk], state: State) -> None:
    path = path_of(idle_guest, SERIAL)
    shell = f"D={path}; wipefs -q -a -f ${{D}}1 $D 2>/dev/null; udevadm settle; "
    made = idle_guest.attempt(f"{shell}{state.make}", timeout=120)
    assert made.returncode == 0, made.stderr
    try:
        idle_guest.run("udevadm settle; sync")
        before = file_hash(idle_disks[SERIAL].path)
        code, result = run_wipe(idle_guest, "--disks", path)
        idle_guest.run("sync")
        after = file_hash(idle_disks[SERIAL].path)
    finally:
        idle_guest.run(f"D={path}; {state.undo}; udevadm settle", timeout=120)
    assert code == 4, result["summary"]
    row = disk_row(result, SERIAL)
    assert row["verdict"] == "refused"
    assert any(word.lower() in reasons_of(row).lower() for word in state.says.split("|")), reasons_of(row)
    assert after == before


@pytest.fixture
def nbd_disk(lab: Lab, idle_guest: Guest) -> Iterator[Disk]:
    """A disk that is not the machine's own: a network block device, served on the lab's bridge."""
    disk = make_disk(lab.disk_folder(), "nbd", "NBD0001", size=16 * MIB)
    command = [
        "qemu-nbd",
        f"--bind={ADDRESS}",
        "--format=raw",
        "--persistent",
        "--export-name=lab",
        str(disk.path),
    ]
    with (lab.results / "qemu-nbd.log").open("wb") as log:
        server = spawn(lab.network.command(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        # In a loop: the server takes a moment to listen.
        idle_guest.run(f"modprobe nbd; until nbd-client -N lab {ADDRESS} /dev/nbd0; do sleep .3; done", timeout=60)
        yield disk
        idle_guest.run("nbd-client -d /dev/nbd0")
    finally:
        end(server)


def test_disk_over_the_network_is_refused(idle_guest: Guest, nbd_disk: Disk) -> None:
    before = file_hash(nbd_disk.path)
    code, result = run_wipe(idle_guest, "--disks", "/dev/nbd0")
    assert code == 4, result["summary"]
    assert file_hash(nbd_disk.path) == before


def test_releasing_one_guard_lifts_no_other(idle_guest: Guest, idle_disks: dict[str, Disk]) -> None:
    """A GFS2 disk that is also held by device-mapper: `release=gfs2` leaves the other guard standing."""
    path = path_of(idle_guest, SERIAL)
    make = "wipefs -q -a -f ${D}1 $D 2>/dev/null; mkfs.gfs2 -q -O -K -p lock_nolock -j 1 -J 8 $D && udevadm settle && "
    idle_guest.run(f'D={path}; {make} dmsetup create labline --table "0 $(blockdev --getsz $D) linear $D 0"')
    try:
        code, result = run_wipe(idle_guest, "--disks", f"serial:{SERIAL}", "--release", "gfs2")
    finally:
        idle_guest.run("dmsetup remove --retry labline")
    assert code == 4, result["summary"]
    code, result = run_wipe(idle_guest, "--disks", f"serial:{SERIAL}", "--release", "gfs2")
    assert code == 0, result["summary"]
