"""What is counted of a disk's work, and what of it is told."""

from __future__ import annotations

from liveagent.tasks.wipe.account import Meter


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
