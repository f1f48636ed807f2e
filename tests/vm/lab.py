"""The whole lab of one run: image, network, receivers, guests, and the results that are kept to be read later."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from .command import CommandFailed
from .guest import CMDLINE, UEFI, Guest, Hardware
from .image import Image
from .network import GRUB, PXELINUX, Network, Plug
from .receiver import Receiver

# Debian's package for each tool the lab starts.
TOOLS = {
    "apt-get": "apt",
    "debugfs": "e2fsprogs",
    "mkfs.ext4": "e2fsprogs",
    "dnsmasq": "dnsmasq-base",
    "ip": "iproute2",
    "mksquashfs": "squashfs-tools",
    "mmdebstrap": "mmdebstrap",
    "qemu-nbd": "qemu-utils",
    "qemu-system-x86_64": "qemu-system-x86",
    "setpriv": "util-linux",
    "ssh": "openssh-client",
    PXELINUX[0]: "pxelinux",
    PXELINUX[1]: "syslinux-common",
    GRUB: "grub-efi-amd64-bin",
    UEFI: "ovmf",
}
NOTES = "measured.txt"
TRY_SECONDS = 15.0  # a stock kernel panics for want of a root file system within 2 s where KVM is real


@dataclass
class Lab:
    """What every test of this room shares."""

    image: Image
    network: Network
    results: Path
    accelerator: str
    scratch: Path
    _open: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def folder(self, name: str) -> Path:
        """An empty directory for a test's console, events and files, kept after the run."""
        folder = self.results / re.sub(r"[^\w.-]+", "-", name)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def disk_folder(self) -> Path:
        """A directory for disk files, which are large and go with the lab."""
        return Path(tempfile.mkdtemp(dir=self.scratch))

    def receiver(self, name: str) -> Receiver:
        """A callback receiver, up until the lab is closed; its log is kept under `name`."""
        receiver = Receiver(self.network.listen(), self.results / f"{name}.requests.jsonl")
        self._open.callback(receiver.close)
        return receiver

    def boot(self, name: str, cmdline: str, hardware: Hardware) -> Guest:
        """Start a guest from the lab's own image; it ends with the lab at the latest."""
        words = f"{CMDLINE} {self.image.access} {cmdline}".replace("{sha256}", hardware.sha256 or self.image.sha256)
        return self.start(name, self.network.plug(words), hardware)

    def start(self, name: str, plug: Plug, hardware: Hardware) -> Guest:
        """Start a guest that boots what it finds where it is plugged in."""
        guest = Guest(self.network, self.image, self.accelerator, hardware, plug, self.folder(name))
        self._open.callback(guest.close)
        return guest

    def note(self, text: str) -> None:
        """Keep a measurement; all of them are printed when the run ends."""
        with (self.results / NOTES).open("a") as notes:
            notes.write(text + "\n")

    def close(self) -> None:
        """End all guests and receivers."""
        self._open.close()


def check_host() -> None:
    """Say all that the lab misses on this machine, before it does anything."""
    missing = sorted({package for tool, package in TOOLS.items() if not (shutil.which(tool) or Path(tool).is_file())})
    faults = [f"missing packages: {' '.join(missing)}"] if missing else []
    if os.geteuid():
        faults.append("it needs root: network namespaces, mmdebstrap and chroot")
    if not Path("/dev/net/tun").exists():
        faults.append("there is no /dev/net/tun")
    if faults:
        raise CommandFailed("The boot lab cannot run here: " + "; ".join(faults))


def choose_accelerator(kernel: Path, cache: Path) -> str:
    """KVM where it boots a stock kernel in no time, else emulation: /dev/kvm alone says nothing (it may crawl)."""
    emulation = "tcg,thread=multi"
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return emulation
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    known = cache / f"accelerator-{boot}"
    if not known.exists():
        for old in cache.glob("accelerator-*"):
            old.unlink()
        known.write_text("kvm" if kvm_boots(kernel) else emulation)
    return known.read_text()


def kvm_boots(kernel: Path) -> bool:
    """Whether a kernel without a root file system gets as far as its panic, which ends QEMU, in time."""
    argv = ["qemu-system-x86_64", "-accel", "kvm", "-m", "512", "-display", "none", "-nodefaults", "-serial", "stdio"]
    argv += ["-no-reboot", "-kernel", str(kernel), "-append", "console=ttyS0 panic=-1"]
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=TRY_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0 and b"Kernel panic" in done.stdout
