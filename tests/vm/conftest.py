"""Fixtures of the boot lab: the lab itself, cold boots, and one idle guest that serves all tests over SSH."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from .disks import Disk, make_disk
from .guest import Guest, Hardware
from .image import build_image, cache_dir
from .lab import NOTES, Lab, check_host, choose_accelerator
from .network import Network, scratch_of

REPO = Path(__file__).resolve().parents[2]
RESULTS = REPO / "build" / "vm"
SLOW = 2 * 1024 * 1024  # bytes a second: a wipe of half a minute, to do something in the middle of
# Kind, serial, bytes a second, namespace: a second one cannot be hot-plugged, so it is there from the start.
IDLE_DISKS = (
    ("nvme", "NVME0101", None, 0),
    ("nvme", "TWIN0101", None, 1),
    ("nvme", "TWIN0101", None, 2),
    ("scsi", "SCSI0101", None, 0),
    ("scsi", "PULL0101", SLOW, 0),
    ("sata", "SATA0101", None, 0),
    ("usb", "USB0101", None, 0),
)
WAS_USED = pytest.StashKey[bool]()


@pytest.fixture(scope="session")
def lab(pytestconfig: pytest.Config) -> Iterator[Lab]:
    """The whole lab, with the agent of this tree in the image."""
    check_host()
    pytestconfig.stash[WAS_USED] = True
    shutil.rmtree(RESULTS, ignore_errors=True)
    RESULTS.mkdir(parents=True)
    image = build_image(REPO)
    accelerator = choose_accelerator(image.kernel, cache_dir())
    with Network(RESULTS, image.boot_files) as network:
        scratch = scratch_of(network.name)
        scratch.mkdir(parents=True)
        lab = Lab(image, network, RESULTS, accelerator, scratch)
        lab.note(f"accelerator {accelerator}")
        try:
            yield lab
        finally:
            lab.close()
            shutil.rmtree(scratch)


@pytest.fixture(scope="session")
def idle_disks(lab: Lab) -> dict[str, Disk]:
    """The idle guest's disks by name, which is the serial but for namespaces."""
    folder = lab.disk_folder()
    made = [
        make_disk(folder, kind, serial, write_limit=limit, namespace=namespace)
        for kind, serial, limit, namespace in IDLE_DISKS
    ]
    return {disk.name: disk for disk in made}


@pytest.fixture(scope="session")
def idle_guest(lab: Lab, idle_disks: dict[str, Disk]) -> Iterator[Guest]:
    """A guest that was booted without SPEEDISO and stays: what needs no boot of its own runs here."""
    with lab.boot("idle", "", Hardware(serial="LABIDLE", disks=tuple(idle_disks.values()))) as guest:
        lab.note(f"idle: kernel to login {guest.wait_login():.1f} s")
        guest.wait_ssh()
        lab.note(f"idle: QEMU to SSH {guest.age():.1f} s")
        yield guest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was measured and where everything lies."""
    if not terminalreporter.config.stash.get(WAS_USED, False) or not (RESULTS / NOTES).exists():
        return
    terminalreporter.section("boot lab")
    terminalreporter.write((RESULTS / NOTES).read_text())
    terminalreporter.write_line(f"consoles, events and screens: {RESULTS}")
