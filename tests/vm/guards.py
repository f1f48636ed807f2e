"""The states that a guard must see, each made by the tool that makes it in the field."""

from __future__ import annotations

from dataclasses import dataclass

GPFS_TYPE = "37AFFC90-EF7D-4E96-91C3-2D7AE055B174"
VMFS_TYPE = "AA31E02A-400F-11DB-9590-000C2911D1B8"
VMFS_MARK = (
    "printf '{mark}' | dd of=$D bs=4 seek={mebibyte}M oflag=seek_bytes conv=notrunc,fsync status=none && "
    "udevadm trigger --settle $D"
)
ONE_PARTITION = "echo 'label: gpt\n,,{type}' | sfdisk -q $D && udevadm settle"


@dataclass(frozen=True)
class State:
    """A state of a disk: how it is made and undone in the guest, and what the reason must say.

    $D is the disk, $M a directory of its own to mount on.
    """

    name: str
    make: str
    undo: str
    says: str

    @property
    def serial(self) -> str:
        """The serial of the disk that this state is made on."""
        return f"GUARD-{self.name}"


STATES = (
    State("mounted", "mkfs.ext4 -q -F $D && mount -o ro,noload $D $M", "umount $M", "mounted"),
    State(
        "partition-mounted",
        ONE_PARTITION.format(type="L") + " && mkfs.ext4 -q -F ${D}1 && mount -o ro,noload ${D}1 $M",
        "umount $M",
        "mounted",
    ),
    State(
        "mounted-elsewhere",  # in a service's own mount namespace: no mount table that the agent reads has it
        "mkfs.ext4 -q -F $D && systemd-run --quiet --collect --unit=lab-holder --property=PrivateMounts=yes "
        'sh -c "mount -o ro,noload $D $M && touch /run/lab-mounted && exec sleep infinity" && '
        "until [ -e /run/lab-mounted ]; do sleep .1; done",
        "systemctl stop lab-holder; rm /run/lab-mounted; until "
        "python3 -c 'import os, sys; os.open(sys.argv[1], os.O_RDWR | os.O_EXCL)' $D 2>/dev/null; do sleep .2; done",
        "in use|mounted",
    ),
    State("swap", "mkswap -q $D && swapon $D", "swapoff $D", "swap"),
    State(
        # Used, all of these: what only stands on the disk would be taken apart with it.
        "md",
        "modprobe raid1; mdadm --quiet --create /dev/md77 --run --force --level=1 --metadata=1.2 --raid-devices=2 "
        "$D missing </dev/null && udevadm settle && mkfs.ext4 -q -F -E nodiscard /dev/md77 && sync && "
        # udev looks at what mkfs made, and an array that is open for writing does not become read-only.
        "for try in 1 2 3 4 5 6 7 8; do udevadm settle; mdadm --readonly /dev/md77 && break; sleep .5; done; "
        "grep -q readonly /sys/block/md77/md/array_state && mount -o ro,noload /dev/md77 $M",
        "umount $M; mdadm --stop /dev/md77 && mdadm --zero-superblock $D",
        "md77|array",
    ),
    State(
        "lvm",
        "pvcreate -q -ff -y $D && vgcreate -q lab $D && lvcreate -q -y -Wn -Zn -n volume -l 100%FREE lab && "
        "mkfs.ext4 -q -F -E nodiscard /dev/lab/volume && mount -o ro,noload /dev/lab/volume $M",
        "umount $M; vgremove -q -f -y lab && pvremove -q -y $D",
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
        "echo secret | cryptsetup open --type plain --cipher aes-xts-plain64 --key-size 256 --hash sha256 $D labcrypt "
        "&& mkswap -q /dev/mapper/labcrypt && swapon /dev/mapper/labcrypt",
        "swapoff /dev/mapper/labcrypt; cryptsetup close labcrypt",
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
    # No tool outside of ESXi makes these: the marks by which libblkid knows them, where it looks for them.
    State("vmfs", VMFS_MARK.format(mark=r"\136\361\253\057", mebibyte=2), "true", "VMFS"),
    State("vmfs-member", VMFS_MARK.format(mark=r"\015\320\001\300", mebibyte=1), "true", "VMFS"),
    State("vmfs-mbr", "echo 'label: dos\n,,fb' | sfdisk -q $D && udevadm settle", "true", "VMFS"),
    State("read-only", "blockdev --setro $D", "blockdev --setrw $D", "read-only"),
)
