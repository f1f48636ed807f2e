"""Which run is meant, and what is on: the same for those who read the records and those who ask over the bus."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from liveagent.events import Event, Type
from liveagent.lock import Lock
from liveagent.places import Places
from liveagent.records import Disk, Status, choose_run
from liveagent.report.status import render_status

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
        rows = [(row["run"], row["tasks"], row["summary"]) for row in disk.history()]
        assert rows == [(RUNS[1], "", "broken off"), (RUNS[0], "wipe", "running")]
    with Lock(places.runtime).held("elsewhere", "wipe", tmp_path / "other" / "elsewhere"):
        assert disk.find("") == RUNS[1]


def test_history_names_the_disks_of_scripts_as_well(tmp_path: Path) -> None:
    """By the same names as those of a wipe; what was left out was not at work."""
    places = Places(tmp_path / "state", tmp_path / "run")
    directory = places.runs / RUNS[0]
    directory.mkdir(parents=True)
    disks = [{"name": "sda", "serial": "ZA1", "verdict": "pass"}, {"name": "sdb", "serial": "", "verdict": "refused"}]
    runs = [
        {"disk": "ZA2", "verdict": "fail"},
        {"disk": "/dev/sdd", "verdict": "pass"},
        {"disk": "ZA3", "verdict": "skipped"},
        {"disk": "", "verdict": "pass"},  # of an interface, or the only one
        {"verdict": "pass"},
    ]
    tasks = [{"task": "wipe", "data": {"disks": disks}}, {"task": "mine", "data": {"runs": runs}}]
    result = {"tasks": tasks, "verdict": "fail", "summary": "one failed"}
    (directory / "result.json").write_text(json.dumps(result))
    [row] = Disk(places).history()
    assert row["disks"] == ["ZA1", "ZA2", "/dev/sdd"]


def test_fates_are_those_of_the_newest_wipe_of_each_disk(tmp_path: Path) -> None:
    """What was left alone, or only looked at, says nothing of a disk."""
    places = Places(tmp_path / "state", tmp_path / "run")

    def write(run: str, *disks: dict[str, str]) -> None:
        (places.runs / run).mkdir(parents=True)
        result = {"tasks": [{"task": "wipe", "data": {"disks": [*disks]}}], "verdict": "fail", "summary": ""}
        (places.runs / run / "result.json").write_text(json.dumps(result))

    good = {"status": "erased", "verdict": "pass"}
    write(RUNS[0], {"serial": "ZA1", **good}, {"serial": "ZA2", **good}, {"serial": "ZA3", **good})
    write(
        RUNS[1],
        {"serial": "ZA1", "status": "not-erased", "verdict": "cancelled"},
        {"serial": "ZA2", "status": "not-erased", "verdict": "refused"},
        {"serial": "ZA4", "verdict": "pass"},
    )
    assert Disk(places).fates(["ZA1", "ZA2", "ZA4", "ZA5", ""]) == {
        (RUNS[1], "not-erased", "cancelled"): ["ZA1"],
        (RUNS[0], "erased", "pass"): ["ZA2"],
    }
    # One that has no result may be at work on any of them.
    (places.runs / RUNS[2]).mkdir()
    assert Disk(places).fates(["ZA1", "ZA2"]) == {}


def test_status_says_which_disks_and_who_asked(tmp_path: Path) -> None:
    """By serial, as everywhere else; and whether the boot or somebody wants it."""
    events = [
        (Type.RUN_STARTED, {"at_boot": True}, ""),
        (Type.STEP_STARTED, {"options": {}}, "wipe"),
        (Type.STEP_STARTED, {"options": {"technique": "overwrite", "serial": "ZA1"}}, "wipe/sda"),
        (Type.STEP_STARTED, {"options": {"technique": "overwrite", "serial": ""}}, "wipe/sdb"),
    ]
    directory = tmp_path / RUNS[0]
    directory.mkdir()
    lines = [
        json.dumps(Event(RUNS[0], number, type, "2026-01-01T00:00:00.000Z", "/liveagent/S", subject, data).encode())
        for number, (type, data, subject) in enumerate(events, 1)
    ]
    (directory / "events.jsonl").write_text("".join(f"{line}\n" for line in lines))
    status = Status(directory).read()
    assert status["serials"] == {"wipe/sda": "ZA1"} and status["at_boot"] is True
    shown = render_status({"state": "running", "word": "wipe", "run": RUNS[0], "pid": 7, "undelivered": [], **status})
    assert shown[:4] == [
        f"running wipe, as this boot asks: run {RUNS[0]}, process 7",
        "  wipe: running",
        "  wipe/sda ZA1: running",
        "  wipe/sdb: running",
    ]
