"""Scenario (a): one word on the kernel command line, four disks, and what became of each, read on the host."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from . import disks
from .contract import (
    FINISHED,
    assert_durable_arrived,
    assert_in_order,
    disk_row,
    read_spool,
    reasons_of,
    result_of,
    start_to_first_task_event,
    task_of,
)
from .disks import Disk, count_traces, make_disk, make_file_system, pattern, read_evidence
from .guest import Guest, Hardware
from .lab import Lab
from .receiver import Event, Request

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]

TO_WIPE = (("nvme", "NVME0001"), ("scsi", "SCSI0001"), ("sata", "SATA0001"))
KEPT = "KEEP0001"
EVIDENCE = b"this file must survive\n" * 4096
WIPE_TIMEOUT = 420.0  # firmware, boot, and 256 MiB on an emulated CPU
# ext4 writes its superblock, journal, group descriptors, bitmaps and access times when it is mounted.
METADATA_BLOCKS = 64


@dataclass(frozen=True)
class Wiped:
    """All that is known after the machine was switched off."""

    disks: dict[str, Disk]
    kept_before: Path
    console: str
    screen: str
    spooled: list[Event]
    events: list[Event]
    requests: list[Request]
    logins: str


@pytest.fixture(scope="module")
def wiped(lab: Lab) -> Iterator[Wiped]:
    """Boot, let it wipe, look around, and switch it off in order."""
    folder = lab.disk_folder()
    made = {serial: make_disk(folder, kind, serial) for kind, serial in (*TO_WIPE, ("scsi", KEPT))}
    make_file_system(made[KEPT], "keepme", EVIDENCE)
    before = folder / "kept-before.raw"
    shutil.copy(made[KEPT].path, before)
    receiver = lab.receiver("wipe")
    words = f"systemd.setenv=SPEEDISO=wipe liveagent.callback={receiver.url} liveagent.countdown=5 lab.keepme"
    with lab.boot("wipe", words, Hardware(serial="LABWIPE", disks=tuple(made.values()))) as guest:
        receiver.wait_for(FINISHED, WIPE_TIMEOUT)
        lab.note(f"wipe: kernel to the first event {guest.since_kernel(receiver.requests[0].at):.1f} s")
        guest.wait_ssh()
        spooled, screen = read_spool(guest), guest.screen()
        (guest.folder / "screen.txt").write_text(screen)
        (guest.folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in spooled))
        logins = see_logins(guest)
        seconds = start_to_first_task_event(guest, receiver.events)
        lab.note(f"wipe: unit start to the first task event {seconds:.2f} s")
        guest.power_off()
        lab.note(f"wipe: the whole cycle with power-off {guest.age():.1f} s")
        yield Wiped(made, before, guest.console.text, screen, spooled, receiver.events, receiver.requests, logins)


def see_logins(guest: Guest) -> str:
    """The first virtual terminal's login, and the second's once somebody has typed Alt+F2."""
    before = guest.attempt("systemctl is-active getty@tty1.service").stdout
    with guest.qmp() as qmp:
        qmp.execute("send-key", {"keys": [{"type": "qcode", "data": key} for key in ("alt", "f2")]})
    guest.attempt("timeout 60 sh -c 'until systemctl --quiet is-active getty@tty2.service; do sleep 0.2; done'")
    return before + guest.attempt("systemctl is-active getty@tty2.service").stdout


@pytest.mark.parametrize("serial", [serial for _, serial in TO_WIPE])
def test_no_trace_is_left(wiped: Wiped, serial: str) -> None:
    assert count_traces(wiped.disks[serial]) == 0


@pytest.mark.parametrize("serial", [serial for _, serial in TO_WIPE])
def test_result_says_erased(wiped: Wiped, serial: str) -> None:
    row = disk_row(result_of(wiped.events), serial)
    assert (row["verdict"], row["status"]) == ("pass", "erased"), row


def test_mounted_disk_is_untouched(wiped: Wiped) -> None:
    disk = wiped.disks[KEPT]
    assert read_evidence(disk) == EVIDENCE
    changed = disks.changed_blocks(wiped.kept_before, disk.path)
    assert len(changed) <= METADATA_BLOCKS
    full = pattern(KEPT) * (4096 // disks.CELL)
    with wiped.kept_before.open("rb") as before:
        for number in changed:
            before.seek(number * 4096)
            assert before.read(4096) != full, f"block {number} of the free space was written"


def test_mounted_disk_is_refused_with_its_reason(wiped: Wiped) -> None:
    result = result_of(wiped.events)
    row = disk_row(result, KEPT)
    assert row["verdict"] == "refused"
    assert "/srv/keepme" in reasons_of(row)
    assert (result["verdict"], task_of(result, "wipe")["verdict"]) == ("refused", "refused")


def test_events_arrived_in_order_and_whole(wiped: Wiped) -> None:
    assert_in_order(wiped.events)
    assert_durable_arrived(wiped.spooled, wiped.events)
    assert wiped.events[-1]["type"] == FINISHED


def test_callback_has_the_contract_s_form(wiped: Wiped) -> None:
    for request in wiped.requests:
        assert request.headers["content-type"].startswith("application/cloudevents-batch+json")
        assert isinstance(json.loads(request.body), list)
    assert result_of(wiped.events)["machine"]["serial"] == "LABWIPE"


def test_machine_is_shown_on_both_consoles(wiped: Wiped) -> None:
    assert "LABWIPE" in wiped.console
    assert "10.77.0." in wiped.console
    # The screen has 25 rows, so only the end is still there.
    assert "REFUSED" in wiped.screen


def test_the_screen_has_no_login_below_it(wiped: Wiped) -> None:
    """What is typed at the first terminal goes nowhere unseen; the next one is for logging in."""
    assert wiped.logins.split() == ["inactive", "active"]


def test_console_shows_the_countdown(wiped: Wiped) -> None:
    seconds = [number for number in range(1, 6) if f"DESTROYS DATA on this machine in {number} s" in wiped.console]
    assert 5 in seconds
    assert len(seconds) >= 3
    assert "type stop" in wiped.console


def test_console_shows_progress_and_verdict(wiped: Wiped) -> None:
    lines = wiped.console.splitlines()
    assert any("%" in line and "left" in line and "wipe/" in line for line in lines)
    assert any("wipe: REFUSED" in line for line in lines)
    assert any(KEPT in line and "mounted" in line for line in lines)
    # The word that can be read across the aisle, by the top row of its letters.
    assert any(line.split() == ["####", "#####", "#####", "#", "#", "####", "#####", "####"] for line in lines)
