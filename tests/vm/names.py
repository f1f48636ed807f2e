"""What the image's kickstart asks for, in Debian's names: one list of packages, for EL's image and for the lab's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

KICKSTART = Path(__file__).parents[2] / "kickstart"
# What make-kickstart is given here: no repository of these is ever asked.
GIVEN = (
    *("--build", "7", "--commit", "lab"),
    *("--base", "http://lab.invalid/BaseOS", "--appstream", "http://lab.invalid/AppStream"),
    *("--epel", "http://lab.invalid/epel", "--own", "http://lab.invalid/own"),
)

# By EL's name: the names that Debian has for it.
NAMES: dict[str, tuple[str, ...]] = {
    "@core": ("systemd", "systemd-sysv", "udev", "dbus", "kmod", "procps", "iproute2", "iputils-ping", "passwd"),
    "kernel": ("linux-image-amd64",),
    "dracut-live": ("dracut", "dracut-live", "dracut-squash"),
    "dracut-network": ("dracut-network",),
    "dhcp-client": ("isc-dhcp-client", "iputils-arping"),
    "openssh-server": ("openssh-server",),
    "openssh-clients": ("openssh-client",),
    "curl": ("curl",),
    "gawk": ("gawk",),
    "bash-completion": ("bash-completion",),
    "less": ("less",),
    "tar": ("tar",),
    "zstd": ("zstd",),
    "ca-certificates": ("ca-certificates",),
    "hwdata": ("pci.ids",),
    # What liveagent.spec requires; the agent itself is of the tree under test.
    "liveagent": (
        *("python3", "python3-gi", "python3-pydbus", "python3-psutil", "python3-pyudev", "python3-rich"),
        *("python3-requests", "python3-click", "python3-cryptography", "python3-jinja2", "python3-yaml"),
    ),
    "nvme-cli": ("nvme-cli",),
    "hdparm": ("hdparm",),
    "sg3_utils": ("sg3-utils",),
    "smartmontools": ("smartmontools",),
    "lsscsi": ("lsscsi",),
    "mdadm": ("mdadm",),
    "lvm2": ("lvm2", "dmsetup"),
    "cryptsetup": ("cryptsetup-bin",),
    "parted": ("fdisk",),
    "xfsprogs": ("xfsprogs",),
    "e2fsprogs": ("e2fsprogs",),
    "dmidecode": ("dmidecode",),
    "pciutils": ("pciutils",),
    "usbutils": ("usbutils",),
    "ethtool": ("ethtool",),
    "efibootmgr": ("efibootmgr",),
    "ipmitool": ("ipmitool",),
    "tpm2-tools": ("tpm2-tools",),
}
# In no image of the lab, and why.
NOT_HERE: dict[str, str] = {
    "NetworkManager": "the initramfs sets the network up, and nothing changes it",
    "chrony": "it would ask public addresses for the time",
    "device-mapper-multipath": "its udev rules would take the lab's disks into maps",
    "dracut-config-generic": "dracut's own option says the same",
    "gdisk": "nothing calls it", "p7zip": "no test measures with it", "p7zip-plugins": "no test measures with it",
    "ledmon": "no emulated enclosure has a light", "lldpd": "no switch speaks to it",
    "linux-firmware": "no emulated device wants any", "microcode_ctl": "no emulated processor takes any",
    "liveagent-image": "installed from the tree", "liveagent-dracut": "installed from the tree",
    "python3-pydbus": "named with the agent",
    "numactl": "no test measures with it", "rasdaemon": "no emulated memory reports errors",
    "dosfstools": "nothing calls it", "fio": "no test measures with it", "iperf3": "no test measures with it",
    "qemu-img": "nothing is installed from here yet", "rsync": "nothing is installed from here yet",
    "wget": "nothing calls it", "stress-ng": "no test loads with it", "stressapptest": "no test loads with it",
    "sysbench": "no test measures with it",
}  # fmt: skip
# What the lab's own tests use beside: clusters' file systems, a network disk, caches, eMMC.
LAB = ("gfs2-utils", "ocfs2-tools", "nbd-client", "bcache-tools", "mmc-utils")


def render_kickstart(el: str, *more: str) -> str:
    """The kickstart as a build would have it."""
    argv = [sys.executable, str(KICKSTART / "make-kickstart"), "--el", el, *GIVEN, *more]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout


def read_packages(text: str, version: str) -> list[str]:
    """The packages and groups that a kickstart asks for, by the parser of that release."""
    from pykickstart.parser import KickstartParser
    from pykickstart.version import makeVersion

    parser = KickstartParser(makeVersion(version))
    parser.readKickstartFromString(text)
    packages = parser.handler.packages
    return [*(f"@{group.name}" for group in packages.groupList), *packages.packageList]


def choose_packages(asked: list[str]) -> tuple[str, ...]:
    """Debian's packages for what was asked. Raises KeyError for a name that is in neither table."""
    found = {name for word in asked if word not in NOT_HERE for name in NAMES[word]}
    return tuple(sorted({*found, *LAB}))
