"""Many small disks at once: all of them wiped side by side by one run, in one process's memory."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from .contract import disk_rows
from .disks import MIB, Disk, count_traces, make_disk
from .guest import Guest
from .lab import Lab

pytestmark = [pytest.mark.vm_long, pytest.mark.timeout(1200)]

COUNT = 24
# The kernel's own account of the largest process of the run: getrusage(2), ru_maxrss in KiB.
MEASURED = """
import os, subprocess, sys, time
begun = time.monotonic()
child = subprocess.Popen(sys.argv[1:])
_, status, used = os.wait4(child.pid, 0)
print(time.monotonic() - begun, used.ru_maxrss, used.ru_utime + used.ru_stime, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""


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
    idle_guest.put(MEASURED, "/run/lab/measured.py")
    named = ",".join(f"serial:{disk.serial}" for disk in disks)
    command = f"python3 /run/lab/measured.py liveagent run wipe --disks {named} --yes --json"
    done = idle_guest.attempt(command, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    seconds, peak, processor = (float(word) for word in done.stderr.splitlines()[-1].split())
    lab.note(
        f"{COUNT} disks of 16 MiB: {seconds:.1f} s, {processor:.1f} s of processor time, "
        f"peak of the agent's memory {peak / 1024:.0f} MiB"
    )
    rows = disk_rows(json.loads(done.stdout))
    assert {row["serial"]: row["status"] for row in rows} == {disk.serial: "erased" for disk in disks}
    assert [disk.serial for disk in disks if count_traces(disk)] == []
