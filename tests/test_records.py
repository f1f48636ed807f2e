"""Which run is meant, and what is on: the same for those who read the records and those who ask over the bus."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from liveagent.broken import close_broken_run
from liveagent.command.runs import choose_ended
from liveagent.events import JSON, Event, Type
from liveagent.host import Host
from liveagent.lock import Lock
from liveagent.machine import probe_machine
from liveagent.places import Places
from liveagent.records import Disk, Status, choose_run
from liveagent.report.status import render_status

RUNS = ["20260101T000000Z-aaaaaa", "20260102T000000Z-bbbbbb", "20260102T000000Z-bbbbbb-lost"]


BEGUN: list[tuple[Type, dict[str, JSON], str]] = [
    (Type.RUN_STARTED, {"at_boot": False}, ""),
    (Type.STEP_STARTED, {"options": {}}, "wipe"),
    (Type.STEP_STARTED, {"options": {"serial": "ZA1"}}, "wipe/sda"),
    (Type.STEP_STARTED, {"options": {"serial": "ZA2"}}, "wipe/sdb"),
]


def write_events(directory: Path, events: Sequence[tuple[Type, dict[str, JSON], str]]) -> None:
    """The record of a run: type, data and subject of each event."""
    directory.mkdir(parents=True)
    made = [
        Event(directory.name, number, type, "2026-01-01T00:00:00.000Z", "/liveagent/S", subject, data)
        for number, (type, data, subject) in enumerate(events, 1)
    ]
    (directory / "events.jsonl").write_text("".join(f"{json.dumps(event.encode())}\n" for event in made))


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


def test_history_names_what_an_unfinished_run_was_at_work_on(tmp_path: Path) -> None:
    """While it is on, after it was killed, and where somebody has put an end to its record since."""
    places = Places(tmp_path / "state", tmp_path / "run")
    write_events(places.runs / RUNS[0], BEGUN)
    disk = Disk(places)
    with Lock(places.runtime).held(RUNS[0], "as booted", places.runs / RUNS[0]):
        [row] = disk.history()
        assert (row["tasks"], row["summary"], row["disks"]) == ("as booted", "running", ["ZA1", "ZA2"])
    [row] = disk.history()
    assert (row["tasks"], row["summary"], row["disks"]) == ("wipe", "broken off", ["ZA1", "ZA2"])
    assert row["started"] == row["finished"] == ""
    close_broken_run(places, RUNS[0], probe_machine(Host(str(tmp_path))))
    [row] = disk.history()
    assert (row["tasks"], row["verdict"], row["disks"]) == ("wipe", "unknown", ["ZA1", "ZA2"])
    # Its record was ended long after it was.
    assert row["started"] == "2026-01-01T00:00:00.000Z" and row["finished"] == ""


def test_history_names_the_disks_of_a_run_that_is_leaving(tmp_path: Path) -> None:
    """It has its result, and holds the machine until this is delivered and the power is off."""
    places = Places(tmp_path / "state", tmp_path / "run")
    (places.runs / RUNS[0]).mkdir(parents=True)
    tasks = [{"task": "wipe", "data": {"disks": [{"serial": "ZA1", "verdict": "pass"}]}}]
    result = {"tasks": tasks, "verdict": "pass", "summary": "done"}
    (places.runs / RUNS[0] / "result.json").write_text(json.dumps(result))
    with Lock(places.runtime).held(RUNS[0], "wipe, then poweroff", places.runs / RUNS[0]):
        [row] = Disk(places).history()
    assert (row["tasks"], row["summary"], row["disks"]) == ("wipe, then poweroff", "running", ["ZA1"])


def test_a_result_is_wanted_of_a_disk_that_is_being_wiped_again(tmp_path: Path) -> None:
    """The run that is on has none yet; whoever names it by its own name means it all the same."""
    places = Places(tmp_path / "state", tmp_path / "run")
    (places.runs / RUNS[0]).mkdir(parents=True)
    tasks = [{"task": "wipe", "data": {"disks": [{"serial": "ZA1", "verdict": "pass"}]}}]
    result = {"tasks": tasks, "verdict": "pass", "summary": ""}
    (places.runs / RUNS[0] / "result.json").write_text(json.dumps(result))
    write_events(places.runs / RUNS[1], BEGUN)
    disk = Disk(places)
    with Lock(places.runtime).held(RUNS[1], "wipe", places.runs / RUNS[1]):
        assert choose_ended(disk, "ZA1") == choose_ended(disk, "") == RUNS[0]
        assert choose_ended(disk, "ZA2") == choose_ended(disk, RUNS[1]) == RUNS[1]
    assert choose_ended(disk, "ZA1") == RUNS[1]


def test_an_earlier_fate_does_not_outlive_a_wipe_that_was_killed(tmp_path: Path) -> None:
    """What was erased once may have been half overwritten since; a disk that it was not at work on is as it was."""
    places = Places(tmp_path / "state", tmp_path / "run")
    (places.runs / RUNS[0]).mkdir(parents=True)
    disks = [{"serial": serial, "status": "erased", "verdict": "pass"} for serial in ("ZA1", "ZA2", "ZA3")]
    result = {"tasks": [{"task": "wipe", "data": {"disks": disks}}], "verdict": "pass", "summary": ""}
    (places.runs / RUNS[0] / "result.json").write_text(json.dumps(result))
    # What went before says the worst of the run; and a script's own option is no disk.
    before: list[tuple[Type, dict[str, JSON], str]] = [
        (Type.STEP_STARTED, {"options": {"serial": "ZA3"}}, "hwdiag"),
        (Type.STEP_FINISHED, {"verdict": "fail", "summary": "", "data": {"disks": [{"serial": "ZA9"}]}}, "hwdiag"),
    ]
    write_events(places.runs / RUNS[1], [BEGUN[0], *before, *BEGUN[1:]])
    close_broken_run(places, RUNS[1], probe_machine(Host(str(tmp_path))))
    disk = Disk(places)
    assert disk.fates(["ZA1", "ZA2", "ZA3"]) == {(RUNS[0], "erased", "pass"): ["ZA3"]}
    row = disk.history()[-1]
    assert row["verdict"] == "fail" and set(row["disks"]) >= {"ZA1", "ZA2"} and "ZA3" not in row["disks"]
    # Of a run whose record is lost nobody knows what it was at work on.
    close_broken_run(places, RUNS[2], probe_machine(Host(str(tmp_path))))
    assert disk.fates(["ZA3"]) == {}


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
    write_events(directory, events)
    status = Status(directory).read()
    assert status["serials"] == {"wipe/sda": "ZA1"} and status["at_boot"] is True
    shown = render_status({"state": "running", "word": "wipe", "run": RUNS[0], "pid": 7, "undelivered": [], **status})
    assert shown[:4] == [
        f"running wipe, as this boot asks: run {RUNS[0]}, process 7",
        "  wipe: running",
        "  wipe/sda ZA1: running",
        "  wipe/sdb: running",
    ]
