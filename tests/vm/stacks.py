"""What stands on two disks, active and used by nobody: each stack made by the tools that make it in the field."""

from __future__ import annotations

from dataclasses import dataclass

WAIT_CLEAN = "until grep -q clean /sys/block/md78/md/array_state; do sleep .2; done"


@dataclass(frozen=True)
class Stack:
    """A stack on the disks $A and $B, and the name of what is on top of it.

    `undo` takes apart what may be left of it, in whatever state; it is not part of the test. `own` is how many blocks
    of a disk the stack may write by itself while nobody does anything.
    """

    name: str
    make: str
    top: str
    undo: str
    own: int = 0

    @property
    def serials(self) -> tuple[str, str]:
        """The serials of its two disks."""
        return f"STACK-{self.name}-A", f"STACK-{self.name}-B"


STACKS = (
    Stack(
        "md-lvm-luks",
        "modprobe raid1; mdadm --quiet --create /dev/md78 --run --force --level=1 --metadata=1.2 --raid-devices=2 "
        "--assume-clean $A $B </dev/null; udevadm settle; "
        "pvcreate -q -ff -y /dev/md78; vgcreate -q labstack /dev/md78; "
        "lvcreate -q -y -Wn -Zn -n inner -L 32M labstack; "
        # Few rounds for the key: what makes a passphrase slow to guess makes an emulated CPU slow.
        "echo secret | cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 "
        "--cipher aes-xts-plain64 --key-size 256 /dev/labstack/inner; "
        "echo secret | cryptsetup open /dev/labstack/inner labsecret; "
        f"mkfs.ext4 -q -F -E nodiscard /dev/mapper/labsecret; sync; udevadm settle; {WAIT_CLEAN}",
        "/dev/mapper/labsecret",
        "cryptsetup close labsecret; vgchange -q -an labstack; mdadm --quiet --stop /dev/md78",
    ),
    Stack(
        "bcache",
        # $A the cache, $B what it stands before. udev's rule for bcache is not in the image: registered by hand.
        "modprobe bcache; make-bcache --bucket 64k --block 4k -C $A -B $B >/dev/null; udevadm settle; "
        "echo $A > /sys/fs/bcache/register; echo $B > /sys/fs/bcache/register; "
        "until [ -b /dev/bcache0 ]; do sleep .2; done; udevadm settle; "
        # Or whoever reads from the bcache would thereby write to the cache.
        "echo none > /sys/block/bcache0/bcache/cache_mode; "
        "mkfs.ext4 -q -F -E nodiscard /dev/bcache0; sync; udevadm settle",
        "/dev/bcache0",
        "echo 1 > /sys/block/bcache0/bcache/stop; for set in /sys/fs/bcache/*-*; do echo 1 > $set/stop; done",
        # A node of the cache's tree is written half a minute after it was changed (btree.c of the kernel's bcache).
        own=8,
    ),
)
