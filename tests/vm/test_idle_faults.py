"""Disks that fail while they are wiped: sectors that cannot be written, and a disk that falls silent."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator

import pytest

from liveagent.tasks.wipe.pattern import Random

from .by_hand import run_aside, run_wipe
from .contract import codes_of, disk_row
from .disks import SECTOR, Disk, find_difference, make_disk, pattern
from .guest import Guest
from .lab import Lab

pytestmark = [pytest.mark.vm, pytest.mark.timeout(900)]

# One alone, not at a page's start; two on both sides of a write's border; three in a row.
BAD = (8191, 8192, 20001, 60000, 60001, 60002)
SLOW = 1024 * 1024  # bytes a second: a minute, to stall the disk in the middle of it
STALLED = 1  # bytes a second: the next write will not end in this life


@pytest.fixture
def failing_disk(lab: Lab, idle_guest: Guest) -> Iterator[Disk]:
    """A disk some sectors of which cannot be written."""
    disk = dataclasses.replace(make_disk(lab.disk_folder(), "scsi", "BAD0101"), bad=BAD)
    idle_guest.plug_disks([disk])
    yield disk
    idle_guest.pull_disks([disk])


def test_bad_sectors_are_named_and_all_others_erased(idle_guest: Guest, failing_disk: Disk) -> None:
    """Down to the sector: what the result names could not be written, and each byte that it does not name was."""
    options = ("--disks", f"serial:{failing_disk.serial}", "--verify", "full")
    code, result = run_wipe(idle_guest, *options, timeout=480)
    row = disk_row(result, failing_disk.serial)
    assert (code, row["verdict"], row["status"]) == (1, "fail", "erased-with-exceptions"), row
    assert "wipe.write_error" in codes_of(result)
    assert all(error["offset"] % SECTOR == 0 and error["length"] % SECTOR == 0 for error in row["errors"])
    named = [at for error in row["errors"] for at in range(error["offset"], error["offset"] + error["length"], SECTOR)]
    assert sorted(named) == [sector * SECTOR for sector in BAD]
    assert find_difference(failing_disk, Random(bytes.fromhex(row["seed"])).expected, skip=BAD) is None
    with failing_disk.path.open("rb") as data:
        for sector in BAD:
            data.seek(sector * SECTOR)
            old = data.read(SECTOR)
            assert old == pattern(failing_disk.name) * (SECTOR // len(pattern(failing_disk.name)))


@pytest.fixture
def stalling_disks(lab: Lab, idle_guest: Guest) -> Iterator[tuple[Disk, Disk]]:
    """A slow disk, which will fall silent, and another that has nothing."""
    folder = lab.disk_folder()
    disks = (make_disk(folder, "scsi", "STALL0101", write_limit=SLOW), make_disk(folder, "scsi", "FINE0101"))
    idle_guest.plug_disks(disks)
    yield disks
    idle_guest.pull_disks(disks)


def test_stalled_disk_is_said_and_the_other_goes_on(
    lab: Lab, idle_guest: Guest, stalling_disks: tuple[Disk, Disk]
) -> None:
    """A disk whose write does not come back is named while it hangs, holds nobody up, and ends well once it answers."""
    stalling, fine = stalling_disks
    with run_aside(idle_guest, "--disks", f"serial:{stalling.serial},serial:{fine.serial}") as aside:
        try:
            aside.wait_said(r"wipe/sd[a-z]+ .* [1-9][0-9]?%", 120)
            idle_guest.limit_writes(stalling, STALLED)
            silent = time.monotonic()
            aside.wait_said(rf"stalled.*{stalling.serial}|{stalling.serial}.*stalled", 180)
            lab.note(f"stalled: said {time.monotonic() - silent:.0f} s after the disk fell silent")
            ended = [event for event in aside.events() if event["type"] == "liveagent.step.finished"]
            assert [event["data"]["data"]["serial"] for event in ended] == [fine.serial]
        finally:
            idle_guest.limit_writes(stalling, 0)
        code, result = aside.ended.result(timeout=240)
    assert (disk_row(result, fine.serial)["verdict"], disk_row(result, fine.serial)["status"]) == ("pass", "erased")
    assert disk_row(result, stalling.serial)["status"] == "erased"
    assert code == 0, result["summary"]
