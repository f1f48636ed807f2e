"""What the live image is made of: packages, initramfs, units, and the lab's own files in it."""

from __future__ import annotations

import shlex
from pathlib import Path

from .command import CommandFailed, run

BASE = """systemd systemd-sysv udev dbus kmod zstd procps iproute2 iputils-arping iputils-ping openssh-server curl
    ca-certificates"""
BOOT = "linux-image-amd64 dracut dracut-network dracut-live dracut-squash isc-dhcp-client"
PYTHON = """python3 python3-gi python3-pydbus python3-psutil python3-pyudev python3-rich python3-requests
    python3-click python3-cryptography python3-jinja2 python3-yaml"""
TOOLS = """nvme-cli hdparm sg3-utils smartmontools mdadm lvm2 dmsetup cryptsetup-bin fdisk e2fsprogs xfsprogs
    gfs2-utils ocfs2-tools nbd-client dmidecode pciutils usbutils ethtool lsscsi bcache-tools efibootmgr ipmitool
    tpm2-tools mmc-utils"""
# Not here on purpose: a time service and an update service, which would try public addresses, and
# multipath-tools, which would take disks into maps of its own.
PACKAGES = tuple(f"{BASE} {BOOT} {PYTHON} {TOOLS}".split())

# Nothing a server without a screen boots; half of the kernel's modules, and a minute of unpacking them.
LEFT_OUT = (
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/locale/*",
    "/lib/modules/*/kernel/drivers/gpu/*",
    "/lib/modules/*/kernel/drivers/infiniband/*",
    "/lib/modules/*/kernel/drivers/media/*",
    "/lib/modules/*/kernel/drivers/net/wireless/*",
    "/lib/modules/*/kernel/drivers/staging/*",
    "/lib/modules/*/kernel/sound/*",
)

# Debian's dracut picks systemd-networkd by itself, and then livenet waits for ever. Nothing that assembles
# disks (md, LVM, multipath, NVMe over fabrics) may run before the agent has looked at them.
DRACUT = (
    "dracut",
    "--quiet",
    "--zstd",
    "--no-hostonly",
    "--no-early-microcode",
    # Of the drivers for disks none: the root comes over the network, and the live system loads them itself. Network
    # drivers are all in it. Half the size, which an emulated CPU fetches and unpacks in half the time.
    "--drivers=virtio_pci",
    "--add=livenet dmsquash-live bash network-legacy base kernel-modules",
    "--omit=plymouth systemd-networkd network-manager connman mdraid dmraid lvm crypt multipath nvmf resume",
)

# $1 the root tree, $2 where the initramfs goes, then dracut's own arguments. dracut writes to a tmpfs, so that
# the tree stays as it is; its file comes out 0600, which an HTTP server of another user cannot read.
INITRAMFS_SCRIPT = """
root=$1 out=$2
shift 2
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount -t tmpfs tmpfs "$root/tmp"
chroot "$root" "$@"
install -m 644 "$root/tmp/initramfs" "$out/initramfs"
"""

ENABLED = ("liveagent.service", "ssh.service", "lab-keepme.service")
# Timers and monitors that a test lab does not want, what would activate disks before the agent has looked, cluster
# services that take ten seconds to find no cluster, and shutdown helpers that want an initramfs in /boot and without
# one hold a power-off up for 90 s.
DISABLED = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "dm-event.socket",
    "dracut-shutdown.service",
    "lvm2-lvmpolld.socket",
    "lvm2-monitor.service",
    "mdadm-shutdown.service",
    "mdcheck_start.timer",
    "mdmonitor.service",
    "nvmefc-boot-connections.service",
    "nvmf-autoconnect.service",
    "o2cb.service",
    "ocfs2.service",
    "smartmontools.service",
    "systemd-pstore.service",
    "systemd-timesyncd.service",
    "uuidd.socket",
)

# The disk that must survive is mounted before the agent looks: a disk with data that somebody still uses.
# Only where the test asks for it, so that other boots do not wait for a disk they do not have.
KEEPME_UNIT = """[Unit]
Description=Mount the lab's disk that must survive
ConditionKernelCommandLine=lab.keepme
After=systemd-udevd.service
Before=liveagent.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/udevadm wait --timeout=60 /dev/disk/by-label/keepme
ExecStart=/usr/bin/mkdir -p /srv/keepme
ExecStart=/usr/bin/mount /dev/disk/by-label/keepme /srv/keepme

[Install]
WantedBy=multi-user.target
"""

HELLO = """#!/bin/sh
echo "hello from the lab"
echo "running as $(id -un) on $(uname -r)"
exit 0
"""

SCRATCH_FAILS = """#!/bin/sh
echo "this task fails on purpose"
exit 1
"""

# Where the image has it, its mode, its text.
LAB_FILES = {
    "etc/hostname": (0o644, "livehost\n"),
    # mmdebstrap leaves this machine's own name server in it, to which no guest must talk.
    "etc/resolv.conf": (0o644, "# the lab has no name server\n"),
    "etc/fstab": (0o644, "# a live system mounts nothing by itself\n"),
    "etc/mdadm/mdadm.conf": (0o644, "# the agent must see members, not arrays\nAUTO -all\n"),
    # What is registered as soon as it is plugged in would be held before the agent has looked at it.
    "etc/udev/rules.d/69-bcache.rules": (0o644, "# the agent must see members, not bcaches\n"),
    "etc/lvm/lvmlocal.conf": (0o644, "global {\n    event_activation = 0\n}\n"),
    "etc/ssh/sshd_config.d/lab.conf": (
        0o644,
        "PermitRootLogin prohibit-password\nPasswordAuthentication no\nUseDNS no\nMaxSessions 50\n",
    ),
    "usr/lib/systemd/system/lab-keepme.service": (0o644, KEEPME_UNIT),
    "usr/libexec/liveagent/tasks.d/hello.sh": (0o755, HELLO),
    "usr/libexec/liveagent/tasks.d/scratch-fails.sh": (0o755, SCRATCH_FAILS),
}


def host_release() -> str:
    """The Debian release of this machine, which is also the image's: `bookworm`."""
    words = shlex.split(Path("/etc/os-release").read_text())
    release = dict(word.split("=", 1) for word in words if "=" in word)
    if release.get("ID") != "debian":
        raise CommandFailed(
            "The lab builds its image from the Debian packages that this machine uses: it needs a Debian"
        )
    return release["VERSION_CODENAME"]


def host_sources(release: str) -> str:
    """The package sources of this release that this machine is set up with, as lines of a sources.list."""
    wanted = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)"]
    suites = (release, f"{release}-updates", f"{release}-security")
    lines = []
    for target in run([*wanted, "Created-By: Packages"], timeout=60).splitlines():
        uri, suite, component, *origin = target.split()
        # The suite's name alone could be a third party's; the origin is known once `apt-get update` has run.
        if suite in suites and component == "main" and origin == ["Debian"]:
            lines.append(f"deb {uri} {suite} main\n")
    if not lines:
        raise CommandFailed(
            f"No package source for Debian {release} main is set up here, or `apt-get update` has never run"
        )
    return "".join(sorted(set(lines)))


def host_apt_options() -> list[str]:
    """How this machine reaches its mirror (proxies, time checks); for the build only, never for the image."""
    kept = ("http", "https", "Retries", "Check-Date", "Check-Valid-Until")
    named = [f"Acquire::{key}" for key in kept]
    return run(["apt-config", "dump", "--no-empty", "--format", '%f "%v";%n', *named], timeout=60).splitlines()
