"""What is counted of a disk's work, and what of it is told."""

from __future__ import annotations

from typing import Any

import pytest

from liveagent.tasks.wipe import work
from liveagent.tasks.wipe.account import Ahead, Meter, describe_begun
from tests.tasks.rows import make_erased, make_failed


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_disk_that_is_only_watched_tells_nothing() -> None:
    """Before anything is counted a sign of life is noted, and no figures are made up for people to read."""
    told: list[tuple[int, int]] = []
    clock = Clock()
    meter = Meter(0, lambda done, total, rate, eta: told.append((done, total)), clock=clock)
    clock.now += 5
    meter.add(0)
    assert meter.moved == clock.now and told == []


def test_signs_of_life_are_no_news() -> None:
    """Progress is told once a second and at its end, and what follows without moving anything is not."""
    told: list[tuple[int, int]] = []
    clock = Clock()
    meter = Meter(10, lambda done, total, rate, eta: told.append((done, total)), clock=clock)
    for length in (2, 2, 0, 6, 0, 0):
        clock.now += 0.1
        meter.add(length)
    assert told == [(2, 10), (10, 10)] and meter.moved == clock.now


def test_what_comes_after_a_step_is_counted_at_its_own_pace() -> None:
    """Reading back samples is no overwriting: the disk has shown before how fast it reads places far apart."""
    left: list[float | None] = []
    clock = Clock()
    ahead = Ahead(writes=1000, places=600)
    for later in (lambda rate: ahead.seconds(rate, None), lambda rate: ahead.seconds(rate, 300.0)):
        meter = Meter(1000, lambda done, total, rate, eta: left.append(eta), 0, later, clock)
        clock.now += 5
        meter.add(500)
    # 500 bytes and 1,000 more at 100 a second; 600 at that as well, or at 300.
    assert left == [5 + 10 + 6, 5 + 10 + 2]


def test_reading_in_a_row_is_no_slower_than_writing() -> None:
    """Of a disk that seeks, the pace of its samples says nothing of a read-back in full."""
    assert Ahead(reads=1000).seconds(100.0, 10.0) == 10
    assert Ahead(reads=1000).seconds(100.0, 1000.0) == 1
    assert Ahead(reads=1000).seconds(100.0, None) == 10


def test_marks_are_data_that_is_gone() -> None:
    """A drive that was to erase itself and was cancelled before is not as it was."""
    row = {"bytes_written": 0, "size": 67_108_864}
    words = describe_begun(row, 31_300_000, was_told=False)
    assert "31.3 MB of marks" in words and "own erase was not begun" in words
    assert "not seen to end" in describe_begun(row, 31_300_000, was_told=True)
    assert "67.1 MB a pass" in describe_begun({**row, "bytes_written": 4096, "passes": 3}, 0, was_told=False)
    assert "33.6 MB of 67.1 MB" in describe_begun({**row, "bytes_written": 33_554_432, "passes": 1}, 0, was_told=False)
    assert describe_begun(row, 0, was_told=False) == "it was begun and is not erased"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([make_erased()], "1 disk erased (0 purged, 1 cleared)"),
        ([make_failed()], "0 disks erased, 1 not erased"),
        ([{**make_failed(), "bytes_written": 4096}] * 2, "0 disks erased, 2 written to and not erased"),
        (
            [{**make_failed(), "bytes_written": 4096}, make_failed(), make_failed("sdd", "X", "refused")],
            "0 disks erased, 1 refused, 2 not erased, 1 of them written to",
        ),
    ],
)
def test_a_summary_tells_what_was_begun(rows: list[dict[str, Any]], words: str) -> None:
    """A disk that was overwritten in part is not one that nothing was done to."""
    assert work.summarize(rows) == words
