"""Media that are not like others: large sectors, write protection, zones, protection information."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import pytest

from liveagent.tasks.wipe.pattern import Random

from .by_hand import run_wipe
from .contract import disk_row, reasons_of
from .disks import MIB, Disk, count_traces, file_hash, find_difference, make_disk
from .guest import Guest
from .lab import Lab

pytestmark = [pytest.mark.vm_long, pytest.mark.timeout(900)]

FORMS = {"4KN0101": (4096, 4096), "512E0101": (512, 4096)}  # serial to logical and physical sector
PROTECTED = "RO0101"


@pytest.fixture(scope="module")
def media(lab: Lab, idle_guest: Guest) -> Iterator[dict[str, Disk]]:
    """The disks of this module by serial, plugged in together."""
    folder = lab.disk_folder()
    disks = [
        dataclasses.replace(make_disk(folder, "scsi", serial, size=32 * MIB), logical=logical, physical=physical)
        for serial, (logical, physical) in FORMS.items()
    ]
    disks.append(dataclasses.replace(make_disk(folder, "scsi", PROTECTED, size=16 * MIB), read_only=True))
    idle_guest.plug_disks(disks)
    yield {disk.serial: disk for disk in disks}
    idle_guest.pull_disks(disks)


@pytest.mark.parametrize("serial", FORMS)
def test_large_sectors(idle_guest: Guest, media: dict[str, Disk], serial: str) -> None:
    """Disks with sectors of 4 KiB, said or hidden, are written whole: every byte is the stream's."""
    code, result = run_wipe(idle_guest, "--disks", f"serial:{serial}", "--pattern", "random", "--verify", "full")
    row = disk_row(result, serial)
    assert (code, row["status"]) == (0, "erased"), row
    assert row["logical_block"] == FORMS[serial][0]
    assert row["verification"]["bytes"] >= 32 * MIB
    assert find_difference(media[serial], Random(bytes.fromhex(row["seed"])).expected) is None
    assert count_traces(media[serial]) == 0


def test_write_protected_disk_is_refused(idle_guest: Guest, media: dict[str, Disk]) -> None:
    """A disk that protects itself is said to be read-only, not tried."""
    before = file_hash(media[PROTECTED].path)
    code, result = run_wipe(idle_guest, "--disks", f"serial:{PROTECTED}")
    row = disk_row(result, PROTECTED)
    assert (code, row["verdict"]) == (4, "refused")
    assert "read-only" in reasons_of(row)
    assert file_hash(media[PROTECTED].path) == before


@contextlib.contextmanager
def simulated_disk(guest: Guest, parameters: str) -> Iterator[str]:
    """The path of a disk that the guest's kernel simulates, which can be what QEMU's cannot; full of `trace`."""
    guest.run(f"modprobe scsi_debug delay=0 inq_vendor=LAB {parameters} && udevadm settle", timeout=60)
    try:
        yield guest.run("lsblk --nodeps --noheadings --output PATH,VENDOR | awk '$2 == \"LAB\" {print $1}'").strip()
    finally:
        # In a loop: something still looks at it for a moment.
        guest.run("udevadm settle; until rmmod scsi_debug; do sleep .3; done", timeout=60)


FILL = "yes trace | head -c 16M | dd of={path} bs=1M iflag=fullblock oflag=direct status=none"
COUNT = "dd if={path} bs=1M iflag=direct status=none | grep -a -o trace | wc -l"


@pytest.mark.parametrize("method", ["auto", "overwrite"])
def test_zoned_disk_is_refused(idle_guest: Guest, method: str) -> None:
    """Host-managed zones are not written like a disk's blocks: refused with that reason, and nothing is written."""
    with simulated_disk(idle_guest, "zbc=managed zone_size_mb=4 zone_nr_conv=0 dev_size_mb=16") as path:
        idle_guest.run(FILL.format(path=path))
        before = idle_guest.run(f"sha256sum {path}")
        code, result = run_wipe(idle_guest, "--disks", path, "--method", method)
        (row,) = (row for row in result["tasks"][0]["data"]["disks"] if row["path"] == path)
        assert (code, row["verdict"]) == (4, "refused"), row
        assert "zone" in reasons_of(row)
        assert idle_guest.run(f"sha256sum {path}") == before


def test_disk_that_says_it_is_write_protected(lab: Lab, idle_guest: Guest) -> None:
    """The WP bit of a SCSI disk's mode pages holds it back."""
    with simulated_disk(idle_guest, "wp=1 dev_size_mb=16") as path:
        code, result = run_wipe(idle_guest, "--disks", path)
        (row,) = (row for row in result["tasks"][0]["data"]["disks"] if row["path"] == path)
        assert (code, row["verdict"]) == (4, "refused"), row
        assert "read-only" in reasons_of(row)


def test_protection_information_does_not_get_in_the_way(lab: Lab, idle_guest: Guest) -> None:
    """A disk formatted with protection type 1 takes plain writes, and loses what it held."""
    with simulated_disk(idle_guest, "dif=1 dix=0 dev_size_mb=16") as path:
        idle_guest.run(FILL.format(path=path))
        assert int(idle_guest.run(COUNT.format(path=path))) > 0
        code, result = run_wipe(idle_guest, "--disks", path, "--verify", "full")
        (row,) = (row for row in result["tasks"][0]["data"]["disks"] if row["path"] == path)
        lab.note(f"protection type 1: {row['verdict']}, {row['status']}: {row['summary']}")
        assert (code, row["status"]) == (0, "erased"), row
        assert int(idle_guest.run(COUNT.format(path=path))) == 0
