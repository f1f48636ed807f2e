"""Power that goes three times in a wipe: each boot goes on where the last one was, and the disk is whole in the end."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from liveagent.tasks.wipe.pattern import Random

from .contract import FINISHED, codes_of, disk_row, result_of
from .disks import MIB, Disk, count_traces, find_difference, make_disk
from .guest import Guest, Hardware
from .lab import Lab
from .receiver import Event

pytestmark = [pytest.mark.vm_long, pytest.mark.timeout(2400)]

SERIAL = "CUT0001"
SIZE = 160 * MIB
SLOW = 2 * MIB  # bytes a second: the record on the disk is at most five seconds, 10 MiB, behind
CUTS = 3
# Bytes a sitting writes before its power goes: more than a record's worth each, and all of them less than the disk.
EARLIEST, LATEST = 14 * MIB, 44 * MIB
BOOT_TIMEOUT = 300.0
MAGIC = b"liveagent-wipe-record"
SEED = "LIVEAGENT_LAB_SEED"  # names the points of an earlier run again


@dataclass(frozen=True)
class Cut:
    """The disk after the last boot, what was written in each, and what the last one reported."""

    disk: Disk
    written: list[int]  # bytes, a boot
    events: list[Event]
    console: str


@pytest.fixture(scope="module")
def cut(lab: Lab) -> Iterator[Cut]:
    """Boot with one and the same command line, pull the plug at three random points, and let the fourth boot end."""
    seed = os.environ.get(SEED) or str(random.SystemRandom().randrange(2**32))
    points = [random.Random(f"{seed} {number}").randrange(EARLIEST, LATEST) for number in range(CUTS)]
    lab.note(f"power cut: {SEED}={seed}, after {', '.join(f'{point / MIB:.1f}' for point in points)} MiB of a boot")
    disk = make_disk(lab.disk_folder(), "scsi", SERIAL, size=SIZE, write_limit=SLOW)
    receiver = lab.receiver("power-cut")
    words = f"systemd.setenv=SPEEDISO=wipe liveagent.wipe.disks=serial:{SERIAL} liveagent.wipe.verify=full"
    cmdline = f"{words} liveagent.countdown=1 liveagent.callback={receiver.url}"
    hardware = Hardware(serial="LABCUT", disks=(disk,), direct=True)
    written = []
    for number, point in enumerate(points):
        with lab.boot(f"power-cut-{number}", cmdline, hardware) as guest:
            written.append(cut_after(guest, disk, point))
    assert not [event for event in receiver.events if event["type"] == FINISHED]
    with lab.boot("power-cut-end", cmdline, hardware) as guest:
        receiver.wait_for(FINISHED, BOOT_TIMEOUT + 2 * SIZE / SLOW)
        written.append(guest.bytes_written(disk))
        lab.note(f"power cut: {', '.join(f'{count / MIB:.1f}' for count in written)} MiB written, of {SIZE // MIB}")
        guest.wait_ssh()
        guest.power_off()
        yield Cut(disk, written, receiver.events, guest.console.text)


def cut_after(guest: Guest, disk: Disk, point: int) -> int:
    """Pull the plug as soon as the disk has taken so many bytes of this boot, and return how many they were."""
    guest.console.wait_for(rf"wipe/sd\w+.*{SERIAL}", BOOT_TIMEOUT)
    while (written := guest.bytes_written(disk)) < point:
        guest.console.wait_news(0.2)
    guest.cut_power()
    return written


def test_last_boot_went_on_where_the_others_were(cut: Cut) -> None:
    """The fourth boot says that it resumed, and wrote only what the others had not."""
    result = result_of(cut.events)
    row = disk_row(result, SERIAL)
    assert (result["verdict"], row["verdict"], row["status"]) == ("pass", "pass", "erased"), row
    assert "wipe.resumed" in codes_of(result)
    assert "resumed" in cut.console
    # Each boot may write again what lay between its last record and the cut, and each writes records.
    again = CUTS * (5 * SLOW + MIB)
    assert sum(cut.written) <= SIZE + again + MIB * len(cut.written)
    assert cut.written[-1] < SIZE - CUTS * EARLIEST + again


def test_result_shows_every_sitting(cut: Cut) -> None:
    """Somebody who reads the result sees that the power went, how often, and how far each boot came."""
    row = disk_row(result_of(cut.events), SERIAL)
    sittings = row["sittings"]
    assert len({sitting["run"] for sitting in sittings}) == CUTS + 1, sittings
    assert [sitting["from"] for sitting in sittings] == [0, *(sitting["to"] for sitting in sittings[:-1])]
    for sitting, written in zip(sittings, cut.written):
        # None was for nothing, and none claims what the disk had not taken when the power went.
        assert 0 < sitting["to"] - sitting["from"] <= written, (sittings, cut.written)
    assert row["bytes_written"] == SIZE


def test_every_byte_is_the_stream(cut: Cut) -> None:
    """All four boots wrote one and the same stream: the disk can be made again from the seed in the result."""
    seed = bytes.fromhex(disk_row(result_of(cut.events), SERIAL)["seed"])
    assert find_difference(cut.disk, Random(seed).expected) is None
    assert count_traces(cut.disk) == 0


def test_nothing_of_the_record_is_left(cut: Cut) -> None:
    """What the wipe noted on the disk for itself went with the rest."""
    assert MAGIC not in cut.disk.path.read_bytes()
