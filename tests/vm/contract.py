"""What SPEC.md promises about events and results, as checks that the scenarios share."""

from __future__ import annotations

import datetime
import json
from collections import defaultdict
from typing import Any

from .guest import Guest
from .receiver import Event

FINISHED = "liveagent.run.finished"
STARTED = "liveagent.run.started"
STEP_STARTED = "liveagent.step.started"
VOLATILE = {"liveagent.output", "liveagent.progress", "liveagent.heartbeat"}
RUNS = "/var/lib/liveagent/runs"


def by_run(events: list[Event]) -> dict[str, list[Event]]:
    """The events of each run, in the order in which they arrived."""
    runs: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        runs[event["run"]].append(event)
    return dict(runs)


def assert_in_order(events: list[Event]) -> None:
    """Each run's events are well-formed, came in order, and none is missing."""
    assert events
    for run, of_run in by_run(events).items():
        numbers = [int(event["sequence"]) for event in of_run]
        assert numbers == list(range(1, len(numbers) + 1)), f"run {run}: {numbers}"
        for event in of_run:
            assert event["specversion"] == "1.0"
            assert event["id"] == f"{run}/{event['sequence']}"
            assert isinstance(event["sequence"], str)
            assert event["source"].startswith("/liveagent/")
        assert of_run[0]["type"] == STARTED


def read_spool(guest: Guest) -> list[Event]:
    """All events that the guest has on record."""
    lines = guest.run(f"cat {RUNS}/*/events.jsonl").splitlines()
    return [json.loads(line) for line in lines if line]


def assert_durable_arrived(spooled: list[Event], events: list[Event]) -> None:
    """Every durable event of the guest's own record has arrived."""
    durable = {event["id"] for event in spooled if event["type"] not in VOLATILE}
    assert durable
    assert durable <= {event["id"] for event in events}


def result_of(events: list[Event]) -> dict[str, Any]:
    """The result in the last event of the last run."""
    finished = [event for event in events if event["type"] == FINISHED]
    assert finished, [event["type"] for event in events]
    data: dict[str, Any] = finished[-1]["data"]
    return data


def task_of(result: dict[str, Any], name: str) -> dict[str, Any]:
    """One task of a result."""
    (task,) = (task for task in result["tasks"] if task["task"] == name)
    found: dict[str, Any] = task
    return found


def disk_rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    """What a wipe's result says about every disk."""
    rows: list[dict[str, Any]] = task_of(result, "wipe")["data"]["disks"]
    return rows


def disk_row(result: dict[str, Any], serial: str) -> dict[str, Any]:
    """What a wipe's result says about one disk."""
    (row,) = (row for row in disk_rows(result) if row["serial"] == serial)
    return row


def codes_of(result: dict[str, Any]) -> set[str]:
    """The codes of all findings of a wipe."""
    return {finding["code"] for finding in task_of(result, "wipe")["findings"]}


def reasons_of(row: dict[str, Any]) -> str:
    """All reasons that a result gives for one disk, as one text."""
    return "; ".join(reason["text"] for reason in row["reasons"])


def findings_of(events: list[Event]) -> str:
    """The parts and summaries of all findings, as one text."""
    found = [event["data"] for event in events if event["type"] == "liveagent.finding"]
    return "\n".join(f"{data['part']}: {data['summary']}" for data in found)


def start_to_first_task_event(guest: Guest, events: list[Event]) -> float:
    """Seconds from systemd starting the unit to the run's first event about a task, both by the guest's clock."""
    shown = guest.run("systemctl show --timestamp=us+utc --value -p ExecMainStartTimestamp liveagent.service")
    day, clock = shown.split()[1:3]
    started = datetime.datetime.strptime(f"{day} {clock}", "%Y-%m-%d %H:%M:%S.%f")
    first = next(event for event in events if event.get("subject"))
    when = first["time"].replace("Z", "").split("+")[0]
    form = "%Y-%m-%dT%H:%M:%S.%f" if "." in when else "%Y-%m-%dT%H:%M:%S"
    return (datetime.datetime.strptime(when, form) - started).total_seconds()
