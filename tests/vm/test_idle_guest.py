"""What needs no boot of its own: runs by hand over SSH, in the idle guest."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .by_hand import run_wipe
from .contract import disk_row, reasons_of, task_of
from .disks import Disk, count_traces, file_hash
from .guest import Guest
from .lab import Lab

pytestmark = [pytest.mark.vm, pytest.mark.timeout(900)]


def test_inventory_names_every_disk(idle_guest: Guest, idle_disks: dict[str, Disk]) -> None:
    text = idle_guest.run("liveagent inventory --json", timeout=240)
    assert all(disk.serial in text for disk in idle_disks.values())


def test_doctor_finds_it_fit(idle_guest: Guest) -> None:
    done = idle_guest.attempt("liveagent doctor --json")
    assert done.returncode == 0, done.stdout


def test_dry_run_touches_nothing(idle_guest: Guest, idle_disks: dict[str, Disk]) -> None:
    disk = idle_disks["SATA0101"]
    before = file_hash(disk.path)
    done = idle_guest.attempt("liveagent run wipe --disks serial:SATA0101 --dry-run")
    assert done.returncode == 0, done.stderr
    assert "SATA0101" in done.stdout
    assert file_hash(disk.path) == before


def test_failed_task_stops_the_wipe_after_it(idle_guest: Guest, idle_disks: dict[str, Disk]) -> None:
    disk = idle_disks["SATA0101"]
    before = file_hash(disk.path)
    code, result = run_wipe(idle_guest, "--disks", "serial:SATA0101", task="scratch-fails,wipe")
    assert code == 1
    assert task_of(result, "scratch-fails")["verdict"] == "fail"
    assert task_of(result, "wipe")["verdict"] == "skipped"
    assert file_hash(disk.path) == before


def test_two_tasks_by_hand(idle_guest: Guest, idle_disks: dict[str, Disk]) -> None:
    code, result = run_wipe(idle_guest, "--disks", "serial:SATA0101", "--verify", "full", task="hello,wipe")
    assert (code, result["verdict"]) == (0, "pass"), result["summary"]
    assert [task["task"] for task in result["tasks"]] == ["hello", "wipe"]
    assert count_traces(idle_disks["SATA0101"]) == 0


def test_nvme_is_erased_by_its_own_firmware(idle_guest: Guest, idle_disks: dict[str, Disk]) -> None:
    code, result = run_wipe(idle_guest, "--disks", "serial:NVME0101")
    assert code == 0, result["summary"]
    assert disk_row(result, "NVME0101")["technique"].startswith("nvme-format")
    assert count_traces(idle_disks["NVME0101"]) == 0


def test_loop_device_is_wiped_when_named_by_path(idle_guest: Guest) -> None:
    loop = idle_guest.run(
        "yes trace | head -c 8388608 > /run/scratch.img && losetup --find --show /run/scratch.img"
    ).strip()
    code, result = run_wipe(idle_guest, "--disks", loop)
    assert code == 0, result["summary"]
    assert idle_guest.run("grep -c 'trace' /run/scratch.img || true").strip() == "0"
    idle_guest.run(f"losetup -d {loop} && rm /run/scratch.img")


def test_live_image_s_own_device_is_refused(idle_guest: Guest) -> None:
    loop = idle_guest.run("losetup --noheadings --output NAME,BACK-FILE | awk '/squashfs|rootfs/ {print $1}'").split()[
        0
    ]
    code, _ = run_wipe(idle_guest, "--disks", loop)
    assert code == 4
    assert idle_guest.run("systemctl is-active liveagent.service").strip() == "active"


def test_disk_that_is_pulled_in_mid_wipe_is_unknown(idle_guest: Guest, idle_disks: dict[str, Disk]) -> None:
    said = len(idle_guest.console.text)
    idle_guest.run("install -d /run/lab")
    with ThreadPoolExecutor(1) as pool:
        wiping = pool.submit(run_wipe, idle_guest, "--disks", "serial:PULL0101", "2>/run/lab/pull.log")
        idle_guest.run("until grep -q '[0-9]%' /run/lab/pull.log; do sleep .2; done", timeout=120)
        idle_guest.pull_disks([idle_disks["PULL0101"]])
        code, result = wiping.result(timeout=240)
    assert code in (1, 3), idle_guest.console.text[said:]
    row = disk_row(result, "PULL0101")
    assert row["verdict"] in ("unknown", "fail"), row
    assert row["status"] == "not-erased"


def test_record_gives_a_machine_for_the_suite(lab: Lab, idle_guest: Guest) -> None:
    idle_guest.run("liveagent record /run/lab/recorded", timeout=400)
    recorded: Path = lab.results / "recorded"
    idle_guest.fetch_tree("/run/lab/recorded", recorded)
    files = [path for path in recorded.rglob("*") if path.is_file()]
    assert files
    text = "".join(path.read_text(errors="replace") for path in files)
    assert "NVME0101" in text
    assert "LABIDLE" in text


def test_usb_disk_is_refused_and_can_be_released(idle_guest: Guest, idle_disks: dict[str, Disk]) -> None:
    before = file_hash(idle_disks["USB0101"].path)
    code, result = run_wipe(idle_guest, "--disks", "serial:USB0101")
    assert code == 4
    assert "USB" in reasons_of(disk_row(result, "USB0101"))
    assert file_hash(idle_disks["USB0101"].path) == before
    code, result = run_wipe(idle_guest, "--disks", "serial:USB0101", "--release", "usb,removable")
    assert code == 0, result["summary"]
    assert disk_row(result, "USB0101")["released"] == ["usb"]
    assert count_traces(idle_disks["USB0101"]) == 0
