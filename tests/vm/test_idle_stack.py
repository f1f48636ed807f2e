"""Stacks over two disks: taken apart where both are to be wiped, refused where one is not or somebody uses it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from .by_hand import paths_of, run_wipe
from .contract import disk_row, disk_rows, reasons_of, task_of
from .disks import Disk, changed_blocks, count_traces, make_disk
from .guest import Guest
from .lab import Lab
from .stacks import STACKS, Stack

pytestmark = [pytest.mark.vm_long, pytest.mark.timeout(1200)]

POINT = "/run/lab/stack"
HEAD = 16  # blocks: the labels of md, LVM and bcache lie in the first 64 KiB


@dataclass(frozen=True)
class Observed:
    """One run: its exit status and result, and the blocks of each disk that it changed."""

    code: int
    result: dict[str, Any]
    changed: list[list[int]]


@dataclass(frozen=True)
class Story:
    """What became of one stack: one disk of two named, both while it is mounted, both while nobody uses it."""

    stack: Stack
    disks: tuple[Disk, Disk]
    paths: tuple[str, str]
    one: Observed
    mounted: Observed
    both: Observed
    left: str  # what the kernel still has on the disks at the end


@pytest.fixture(scope="module", params=STACKS, ids=[stack.name for stack in STACKS])
def story(request: pytest.FixtureRequest, lab: Lab, idle_guest: Guest) -> Iterator[Story]:
    """Build the stack once, and go through the three runs in this order: the last one takes it apart."""
    stack: Stack = request.param
    folder = lab.disk_folder()
    first, second = (make_disk(folder, "scsi", serial) for serial in stack.serials)
    idle_guest.plug_disks([first, second])
    known = paths_of(idle_guest)
    paths = (known[first.serial], known[second.serial])

    def observe(*serials: str) -> Observed:
        settle = "udevadm settle; sync"
        idle_guest.run(settle)
        before = [shutil.copy(disk.path, disk.path.with_suffix(".before")) for disk in (first, second)]
        named = ",".join(f"serial:{serial}" for serial in serials)
        code, result = run_wipe(idle_guest, "--disks", named, timeout=400)
        idle_guest.run(settle)
        return Observed(code, result, [changed_blocks(*pair) for pair in zip(before, (first.path, second.path))])

    try:
        idle_guest.run(f"set -e; A={paths[0]}; B={paths[1]}; {stack.make}", timeout=180)
        one = observe(first.serial)
        idle_guest.run(f"mkdir -p {POINT}; mount -o ro,noload {stack.top} {POINT}")
        try:
            mounted = observe(first.serial, second.serial)
        finally:
            idle_guest.run(f"umount {POINT}")
        both = observe(first.serial, second.serial)
        left = idle_guest.run(f"lsblk --noheadings --output NAME,TYPE,FSTYPE {paths[0]} {paths[1]}")
        yield Story(stack, (first, second), paths, one, mounted, both, left)
    finally:
        idle_guest.attempt(stack.undo, timeout=120)
        idle_guest.pull_disks([first, second])


def assert_untouched(stack: Stack, observed: Observed) -> None:
    """Nobody but the stack itself wrote anything, and not where the disks say what they are part of."""
    for changed in observed.changed:
        assert len(changed) <= stack.own, changed
        assert not [block for block in changed if block < HEAD], changed


def test_stack_that_reaches_out_is_refused(story: Story) -> None:
    """A stack whose other half nobody asked for stays whole, and the reason says which disk that is."""
    row = disk_row(story.one.result, story.disks[0].serial)
    assert (story.one.code, row["verdict"], row["status"]) == (4, "refused", "not-erased")
    other = (story.disks[1].serial, story.paths[1], story.paths[1].rpartition("/")[2])
    assert any(word in reasons_of(row) for word in other), reasons_of(row)
    assert_untouched(story.stack, story.one)


def test_stack_in_use_is_refused(story: Story) -> None:
    """What is mounted on top of a stack holds every disk below it, and says where."""
    for disk in story.disks:
        row = disk_row(story.mounted.result, disk.serial)
        assert row["verdict"] == "refused", row
        assert POINT in reasons_of(row), reasons_of(row)
    assert story.mounted.code == 4
    assert_untouched(story.stack, story.mounted)


def test_stack_is_taken_apart_and_wiped(story: Story) -> None:
    """Both disks asked for and nobody in the way: every layer is stopped and listed, and no trace is left of either."""
    assert (story.both.code, story.both.result["verdict"]) == (0, "pass"), story.both.result["summary"]
    assert [row["status"] for row in disk_rows(story.both.result)] == ["erased", "erased"]
    assert [count_traces(disk) for disk in story.disks] == [0, 0]
    dismantled = task_of(story.both.result, "wipe")["data"]["dismantled"]
    assert all(isinstance(line, str) for line in dismantled)
    assert story.stack.top.rpartition("/")[2] in "\n".join(dismantled), dismantled


def test_nothing_of_the_stack_is_left(story: Story) -> None:
    """The kernel has two bare disks in the end, without a signature or anything on top."""
    assert sorted(line.split() for line in story.left.splitlines()) == sorted(
        [path.rpartition("/")[2], "disk"] for path in story.paths
    )
