"""Many small disks at once: all of them wiped side by side by one run, in one process's memory."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from .contract import disk_rows
from .disks import MIB, Disk, count_traces, make_disk
from .guest import Guest
from .lab import Lab

pytestmark = [pytest.mark.vm_long, pytest.mark.timeout(1200)]

COUNT = 24
# The service does the work: its largest size from here on, as the kernel counts it (proc(5): clear_refs, VmHWM in KiB).
SERVICE = "/proc/$(systemctl show --value --property MainPID liveagent.service)"


@pytest.fixture
def disks(lab: Lab, idle_guest: Guest) -> Iterator[list[Disk]]:
    """Two dozen disks, plugged in while the guest runs."""
    folder = lab.disk_folder()
    many = [make_disk(folder, "scsi", f"MANY{number:04}", size=16 * MIB) for number in range(COUNT)]
    idle_guest.plug_disks(many)
    yield many
    idle_guest.pull_disks(many)


def test_two_dozen_disks_in_one_run(lab: Lab, idle_guest: Guest, disks: list[Disk]) -> None:
    """One run erases every one of them and accounts for each by its serial."""
    named = ",".join(f"serial:{disk.serial}" for disk in disks)
    idle_guest.run(f"echo 5 >{SERVICE}/clear_refs")
    begun = time.monotonic()
    done = idle_guest.attempt(f"liveagent run wipe --disks {named} --yes --json", timeout=600)
    seconds = time.monotonic() - begun
    assert done.returncode == 0, done.stderr[-3000:]
    peak = int(idle_guest.run(f"grep VmHWM {SERVICE}/status").split()[1]) / 1024
    lab.note(f"{COUNT} disks of 16 MiB: {seconds:.1f} s, peak of the service's memory {peak:.0f} MiB")
    rows = disk_rows(json.loads(done.stdout))
    assert {row["serial"]: row["status"] for row in rows} == {disk.serial: "erased" for disk in disks}
    assert [disk.serial for disk in disks if count_traces(disk)] == []
