"""Scenarios (e) and (f): two tasks in one word, a receiver that fails for a minute, and an agent that is killed.

One boot for all three: `hello` passes, `wipe` begins on a slow disk, the agent is killed in the middle of it and
started again, and all the while the receiver answers 503 or hangs up. Everything arrives in order all the same. The
wipe goes on where it was broken off; nothing else is begun, and once it has ended, nothing is started anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from .contract import (
    FINISHED,
    assert_durable_arrived,
    assert_in_order,
    by_run,
    disk_row,
    read_spool,
    result_of,
    task_of,
)
from .disks import Disk, count_traces, file_hash, make_disk
from .guest import Hardware
from .lab import Lab
from .receiver import DROP, Event, Request

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1500)]

REFUSED_FOR = 60.0
BOOT_TIMEOUT = 300.0
SLOW = 1024 * 1024  # bytes a second: a minute for the disk, and the agent dies in the first quarter


@dataclass(frozen=True)
class Broken:
    """What was seen once the machine was switched off."""

    slow: Disk
    other: Disk
    other_before: str
    at_rest: str
    at_end: str
    console: str
    spooled: list[Event]
    events: list[Event]
    requests: list[Request]


@pytest.fixture(scope="module")
def broken(lab: Lab) -> Iterator[Broken]:
    """Boot, kill the agent in mid-wipe, start it again, wait until everything was delivered."""
    folder = lab.disk_folder()
    slow, other = (make_disk(folder, "scsi", "SLOW0001", write_limit=SLOW), make_disk(folder, "sata", "SATA0001"))
    before = file_hash(other.path)
    receiver = lab.receiver("flaky")
    receiver.refuse_for = REFUSED_FOR
    words = "systemd.setenv=SPEEDISO=hello,wipe liveagent.wipe.disks=serial:SLOW0001 liveagent.countdown=3"
    cmdline = f"{words} liveagent.callback={receiver.url}"
    with lab.boot("flaky", cmdline, Hardware(serial="LABFLAKY", disks=(slow, other))) as guest:
        guest.console.wait_for(r"wipe/sd\w+ .* [1-9]\d%", BOOT_TIMEOUT)
        guest.wait_ssh()
        said = len(guest.console.text)
        guest.run("systemctl kill --kill-whom=main --signal=KILL liveagent.service")
        # The service manager starts it again by itself; a person may do it once more.
        guest.console.wait_for(r"wipe goes on with sd\w+, where run \S+ was broken off", 90, since=said)
        receiver.wait_until(lambda events: sum(event["type"] == FINISHED for event in events) == 2, 300)
        guest.run("sync")
        at_rest = file_hash(slow.path)
        said = len(guest.console.text)
        guest.run("systemctl restart liveagent.service", timeout=120)
        guest.console.wait_for("Nothing is started anew", 90, since=said)
        spooled = read_spool(guest)
        (guest.folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in spooled))
        guest.power_off()
        at_end = file_hash(slow.path)
        yield Broken(
            slow, other, before, at_rest, at_end, guest.console.text, spooled, receiver.events, receiver.requests
        )


def test_receiver_did_refuse(broken: Broken) -> None:
    answers = [request.answer for request in broken.requests]
    assert 503 in answers
    assert DROP in answers
    assert answers[-1] == 200


def test_everything_arrived_in_order(broken: Broken) -> None:
    assert_in_order(broken.events)
    assert_durable_arrived(broken.spooled, broken.events)


def test_failing_receiver_is_named_on_the_console(broken: Broken) -> None:
    assert any("/events" in line and ("503" in line or "not" in line) for line in broken.console.splitlines())


def in_time(events: list[Event]) -> list[list[Event]]:
    """The events of each run, the first run first: a receiver that fails may have heard of the second before."""
    return [of_run for _, of_run in sorted(by_run(events).items())]


def test_first_task_passed_before_the_second_began(broken: Broken) -> None:
    first, _ = in_time(broken.events)
    steps = [(event["type"].rpartition(".")[2], event["subject"]) for event in first if ".step." in event["type"]]
    assert steps[:3] == [("started", "hello"), ("finished", "hello"), ("started", "wipe")]
    assert "hello from the lab" in broken.console
    assert task_of(result_of(first), "hello")["verdict"] == "pass"


def test_broken_run_is_unknown_not_pass(broken: Broken) -> None:
    first, _ = in_time(broken.events)
    result = result_of(first)
    assert task_of(result, "wipe")["verdict"] == "unknown"
    assert result["verdict"] == "unknown"


def test_the_wipe_went_on_and_nothing_else(broken: Broken) -> None:
    """A run of its own ends what was begun: it believes what the disk shows, and says that it went on."""
    first, rest = in_time(broken.events)
    result = result_of(rest)
    assert task_of(result, "wipe")["verdict"] == "pass"
    # It is not the whole job, and says so.
    assert [finding["code"] for finding in result["findings"]] == ["run.rest"] and result["verdict"] == "warn"
    row = disk_row(result, "SLOW0001")
    sittings = [sitting["run"] for sitting in row["sittings"]]
    assert sittings == [first[0]["run"], rest[0]["run"]] and row["sittings"][1]["from"] > 0
    assert count_traces(broken.slow) == 0
    assert broken.at_end == broken.at_rest
    assert file_hash(broken.other.path) == broken.other_before
