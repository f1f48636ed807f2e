"""Which run is meant, and what is on: the same for those who read the records and those who ask over the bus."""

from __future__ import annotations

from pathlib import Path

import pytest

from liveagent.lock import Lock
from liveagent.places import Places
from liveagent.records import Disk, choose_run

RUNS = ["20260101T000000Z-aaaaaa", "20260102T000000Z-bbbbbb", "20260102T000000Z-bbbbbb-lost"]


@pytest.mark.parametrize(
    ("name", "run"),
    [("", RUNS[-1]), ("20260101", RUNS[0]), ("2026", ""), ("2027", ""), (RUNS[1], RUNS[1]), (f"{RUNS[1]}-", RUNS[2])],
)
def test_choose_run(name: str, run: str) -> None:
    """A whole name is that run's, also where another one begins with it."""
    assert choose_run(RUNS, name) == run
    assert choose_run([], name) == ""


def test_a_run_that_has_just_been_taken_is_the_newest(tmp_path: Path) -> None:
    """It holds the lock, and has nothing on record yet."""
    places = Places(tmp_path / "state", tmp_path / "run")
    (places.runs / RUNS[1]).mkdir(parents=True)
    disk = Disk(places)
    assert disk.find("") == RUNS[1] and disk.status()["state"] == "idle"
    # By name an older one: what is on counts, and not how it is called.
    with Lock(places.runtime).held(RUNS[0], "wipe", places.runs / RUNS[0]):
        assert disk.find("") == disk.find("20260101") == RUNS[0] and disk.is_on(RUNS[0])
        status = disk.status()
        assert (status["state"], status["run"], status["word"]) == ("running", RUNS[0], "wipe")
        assert status["steps"] == {} and status["undelivered"] == []
    with Lock(places.runtime).held("elsewhere", "wipe", tmp_path / "other" / "elsewhere"):
        assert disk.find("") == RUNS[1]
