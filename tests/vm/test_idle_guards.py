"""Guards against real things: each state of a disk is made by the tool that makes it in the field, then refused."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from .by_hand import paths_of, run_wipe
from .command import end, spawn
from .contract import disk_row, reasons_of
from .disks import MIB, Disk, file_hash, make_disk
from .guards import STATES, State
from .guest import Guest
from .lab import Lab
from .network import ADDRESS

pytestmark = [pytest.mark.vm, pytest.mark.timeout(900)]

SERIAL = "SCSI0101"


@dataclass(frozen=True)
class Refused:
    """One run that names every guarded disk, and the disks' contents before and after it."""

    code: int
    result: dict[str, Any]
    before: dict[str, str]
    after: dict[str, str]


@pytest.fixture(scope="module")
def refused(lab: Lab, idle_guest: Guest) -> Iterator[Refused]:
    """Plug a disk in for every state, make the states, name all disks in one run, undo and pull."""
    folder = lab.disk_folder()
    disks = {state: make_disk(folder, "scsi", state.serial) for state in STATES}
    idle_guest.plug_disks(list(disks.values()))
    paths = paths_of(idle_guest)
    done = []
    try:
        for state in STATES:
            idle_guest.run(f"set -e; {variables(state, paths)} mkdir -p $M; {state.make}", timeout=120)
            done.append(state)
        before = hashes(idle_guest, disks)
        code, result = run_wipe(idle_guest, "--disks", ",".join(paths[state.serial] for state in STATES))
        yield Refused(code, result, before, hashes(idle_guest, disks))
    finally:
        for state in reversed(done):
            idle_guest.attempt(f"{variables(state, paths)} {state.undo}", timeout=120)
        idle_guest.pull_disks(list(disks.values()))


def variables(state: State, paths: dict[str, str]) -> str:
    """The shell variables that a state's commands use."""
    return f"D={paths[state.serial]}; M=/run/lab/{state.name};"


def hashes(guest: Guest, disks: dict[State, Disk]) -> dict[str, str]:
    """What is on every guarded disk now, as the host sees it."""
    guest.run("udevadm settle; sync")
    return {state.serial: file_hash(disk.path) for state, disk in disks.items()}


@pytest.mark.parametrize("state", STATES, ids=[state.name for state in STATES])
def test_guarded_disk_is_refused(refused: Refused, state: State) -> None:
    row = disk_row(refused.result, state.serial)
    assert row["verdict"] == "refused"
    assert any(word.lower() in reasons_of(row).lower() for word in state.says.split("|")), reasons_of(row)


@pytest.mark.parametrize("state", STATES, ids=[state.name for state in STATES])
def test_guarded_disk_is_untouched(refused: Refused, state: State) -> None:
    assert refused.after[state.serial] == refused.before[state.serial]


def test_run_is_refused(refused: Refused) -> None:
    assert (refused.code, refused.result["verdict"]) == (4, "refused")


@pytest.fixture
def nbd_disk(lab: Lab, idle_guest: Guest) -> Iterator[Disk]:
    """A disk that is not the machine's own: a network block device, served on the lab's bridge."""
    disk = make_disk(lab.disk_folder(), "nbd", "NBD0001", size=16 * MIB)
    command = ["qemu-nbd", f"--bind={ADDRESS}", "--format=raw", "--persistent", "--export-name=lab", str(disk.path)]
    with (lab.results / "qemu-nbd.log").open("wb") as log:
        server = spawn(lab.network.command(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        # In a loop: the server takes a moment to listen.
        idle_guest.run(f"modprobe nbd; until nbd-client -N lab {ADDRESS} /dev/nbd0; do sleep .3; done", timeout=60)
        yield disk
        idle_guest.run("nbd-client -d /dev/nbd0")
    finally:
        end(server)


def test_disk_over_the_network_is_refused(idle_guest: Guest, nbd_disk: Disk) -> None:
    before = file_hash(nbd_disk.path)
    code, result = run_wipe(idle_guest, "--disks", "/dev/nbd0")
    assert code == 4, result["summary"]
    assert file_hash(nbd_disk.path) == before


def test_releasing_one_guard_lifts_no_other(idle_guest: Guest, idle_disks: dict[str, Disk]) -> None:
    """A GFS2 disk that is also held by device-mapper: `release=gfs2` leaves the other guard standing."""
    path = paths_of(idle_guest)[SERIAL]
    make = "wipefs -q -a -f ${D}1 $D 2>/dev/null; mkfs.gfs2 -q -O -K -p lock_nolock -j 1 -J 8 $D && udevadm settle && "
    idle_guest.run(f'D={path}; {make} dmsetup create labheld --table "0 $(blockdev --getsz $D) linear $D 0"')
    try:
        code, result = run_wipe(idle_guest, "--disks", f"serial:{SERIAL}", "--release", "gfs2")
    finally:
        idle_guest.run("dmsetup remove --retry labheld")
    assert code == 4, result["summary"]
    code, result = run_wipe(idle_guest, "--disks", f"serial:{SERIAL}", "--release", "gfs2")
    assert code == 0, result["summary"]
