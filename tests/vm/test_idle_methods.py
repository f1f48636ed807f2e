"""What a method promises and what it must not be called, on drives that offer a Format, or nothing at all."""

from __future__ import annotations

import pytest

from liveagent.tasks.wipe.pattern import Random

from .by_hand import paths_of, run_wipe
from .contract import disk_row, reasons_of
from .disks import SIZE, Disk, count_traces, file_hash, find_difference, refill
from .guest import Guest

pytestmark = [pytest.mark.timeout(900)]


@pytest.mark.vm
def test_purge_is_refused_where_only_clear_is_possible(idle_guest: Guest, idle_disks: dict[str, Disk]) -> None:
    """QEMU's SATA disk has neither SECURITY nor SANITIZE, and an overwrite would not be what was asked for."""
    disk = idle_disks["SATA0101"]
    before = file_hash(disk.path)
    code, result = run_wipe(idle_guest, "--disks", f"serial:{disk.serial}", "--method", "purge")
    row = disk_row(result, disk.serial)
    assert (code, row["verdict"], row["status"]) == (4, "refused", "not-erased")
    assert reasons_of(row)
    assert file_hash(disk.path) == before


@pytest.mark.vm_long
def test_auto_says_that_it_could_only_clear(idle_guest: Guest, idle_disks: dict[str, Disk]) -> None:
    """A disk that was overwritten for want of anything better is `clear`, never `purge`."""
    disk = idle_disks["SATA0101"]
    refill(disk)
    code, result = run_wipe(idle_guest, "--disks", f"serial:{disk.serial}", "--method", "auto")
    row = disk_row(result, disk.serial)
    assert (code, row["status"]) == (0, "erased"), result["summary"]
    assert (row["technique"], row["method"]) == ("overwrite", "clear")
    assert count_traces(disk) == 0


@pytest.mark.vm
def test_quick_is_never_called_erased(idle_guest: Guest, idle_disks: dict[str, Disk]) -> None:
    """`quick` takes the signatures away and says itself that the data is still there."""
    disk = idle_disks["SCSI0101"]
    refill(disk)
    path = paths_of(idle_guest)[disk.serial]
    idle_guest.run(f"mkfs.ext4 -q -F -E nodiscard {path}; udevadm settle; blkid -p {path}")
    code, result = run_wipe(idle_guest, "--disks", f"serial:{disk.serial}", "--method", "quick")
    row = disk_row(result, disk.serial)
    assert (code, row["verdict"], row["status"]) == (0, "warn", "not-erased"), result["summary"]
    assert idle_guest.attempt(f"blkid -p {path}").returncode == 2  # blkid(8): nothing was found
    assert count_traces(disk) > 0


@pytest.mark.vm_long
def test_overwrite_on_top_of_a_format(idle_guest: Guest, idle_disks: dict[str, Disk]) -> None:
    """`also_overwrite`: after the drive's own erasure every byte is the stream that the result gives the seed of."""
    disk = idle_disks["NVME0101"]
    refill(disk)
    code, result = run_wipe(idle_guest, "--disks", f"serial:{disk.serial}", "--also-overwrite", "--verify", "full")
    row = disk_row(result, disk.serial)
    assert (code, row["status"]) == (0, "erased"), result["summary"]
    assert row["technique"].startswith("nvme-format")
    assert row["bytes_written"] >= SIZE
    assert row["verification"]["bytes"] >= SIZE
    assert find_difference(disk, Random(bytes.fromhex(row["seed"])).expected) is None
