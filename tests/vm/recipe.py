"""What the live image is made of: packages, initramfs, units, and the lab's own files in it."""

from __future__ import annotations

import functools
import shlex
from pathlib import Path

from .command import CommandFailed, run
from .names import choose_packages, read_packages, render_kickstart

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

ENABLED = ("liveagent.service", "ssh.service", "image-access.service", "lab-keepme.service")
# What the image does not have, and only a test lab does not want: cluster services that take ten seconds to find no
# cluster, and a time service.
DISABLED = ("o2cb.service", "ocfs2.service", "systemd-timesyncd.service")

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
    # Many tests share one connection.
    "etc/ssh/sshd_config.d/lab.conf": (0o644, "MaxSessions 50\n"),
    "usr/lib/systemd/system/lab-keepme.service": (0o644, KEEPME_UNIT),
    "usr/libexec/liveagent/tasks.d/hello.sh": (0o755, HELLO),
    "usr/libexec/liveagent/tasks.d/scratch-fails.sh": (0o755, SCRATCH_FAILS),
}


@functools.cache
def packages() -> tuple[str, ...]:
    """The image's own list, through a table of names."""
    return choose_packages(read_packages(render_kickstart("9"), "RHEL9"))


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
