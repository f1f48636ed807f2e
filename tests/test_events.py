"""The one codec: what is written is what is read, and the published CloudEvents package takes every event."""

from __future__ import annotations

import datetime
import itertools
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liveagent.events import (
    EXIT_STATUS,
    Event,
    Finding,
    Result,
    TaskResult,
    Type,
    Verdict,
    make_source,
    render_time,
    worst,
)

RUN = "20260102T030405Z-1a2b3c"
FINDING = Finding("disk.smart.reallocated", Verdict.WARN, "sda S4EWNX0N123456", "8 sectors", {"sectors": 8})
RESULT = Result(
    RUN,
    Verdict.WARN,
    "wipe: 1 disk erased",
    "2026-01-02T03:04:05.000Z",
    "2026-01-02T03:04:06.000Z",
    "1.0.0",
    {"serial": "S1", "uuid": None},
    (TaskResult("wipe", Verdict.WARN, "1 disk erased", {"disks": ["all"]}, (FINDING,), {"disks": []}),),
    (Finding("run.machine", Verdict.REFUSED, "S1", "another machine"),),
)
DATA = {
    Type.RUN_STARTED: {"plan": {"tasks": []}, "machine": {"serial": "S1"}},
    Type.RUN_FINISHED: RESULT.encode(),
    Type.STEP_STARTED: {"options": {"disks": ["all"]}},
    Type.STEP_FINISHED: {"verdict": "pass", "summary": "größer", "data": {}},
    Type.FINDING: FINDING.encode(),
    Type.CERTIFICATE: {"certificate": {}, "signature": "-----BEGIN SSH SIGNATURE-----\n"},
    Type.OUTPUT: {"line": "\x1b[1m100 %\t\N{SNOWMAN}", "command": "nvme"},
    Type.PROGRESS: {"done": 1, "total": 2**63, "unit": "byte", "label": "", "rate": None, "eta": 0.5},
    Type.HEARTBEAT: {"uptime": 5.0, "state": "running", "load": [0.1, 0.2, 0.3]},
}


def make_event(type: Type, subject: str = "wipe/nvme0n1", sequence: int = 7) -> Event:
    source = make_source("S/4 Ä?")
    return Event(RUN, sequence, type, "2026-01-02T03:04:05.678Z", source, subject, DATA[type])


def read_elsewhere(document: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """(attributes with extensions, data) as the published cloudevents package reads a document, and checks it."""
    text = json.dumps(document)
    try:
        from cloudevents.core.formats.json import JSONFormat
    except ImportError:  # cloudevents 1, which is what Python 3.9 gets
        from cloudevents.http import from_json

        old = from_json(text)
        moment = datetime.datetime.fromisoformat(old["time"].replace("Z", "+00:00"))
        return {**old.get_attributes(), "time": moment}, old.get_data()
    new = JSONFormat().read(None, text)
    return dict(new.get_attributes()), new.get_data()


@pytest.mark.parametrize("type", Type)
def test_the_published_package_reads_every_event(type: Type) -> None:
    """A receiver that knows CloudEvents and not us gets id, source, time, type, subject, extensions and data."""
    event = make_event(type)
    attributes, data = read_elsewhere(event.encode())
    assert attributes == {
        "specversion": "1.0",
        "id": f"{RUN}/7",
        "type": type.value,
        "source": "/liveagent/S%2F4%20%C3%84%3F",
        "subject": "wipe/nvme0n1",
        "time": datetime.datetime(2026, 1, 2, 3, 4, 5, 678000, datetime.timezone.utc),
        "datacontenttype": "application/json",
        "run": RUN,
        "sequence": "7",
    }
    assert data == DATA[type]


@pytest.mark.parametrize("type", Type)
@pytest.mark.parametrize("subject", ["wipe/nvme0n1", ""])
def test_what_is_written_is_what_is_read(type: Type, subject: str) -> None:
    """An event survives the spool: decode(encode(e)) is e, also through JSON text."""
    event = make_event(type, subject)
    assert Event.decode(event.encode()) == event
    assert Event.decode(json.loads(json.dumps(event.encode()))) == event


def test_an_event_outside_a_step_has_no_subject() -> None:
    """An empty subject is not valid CloudEvents; it is left out."""
    document = make_event(Type.RUN_STARTED, subject="").encode()
    assert "subject" not in document
    assert "subject" not in read_elsewhere(document)[0]


@settings(deadline=None, database=None, max_examples=50)
@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    st.integers(1, 2**63),
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.integers() | st.text() | st.none()),
)
def test_any_text_comes_back(subject: str, sequence: int, data: dict[str, object]) -> None:
    """Names of parts and lines of tools may hold any character."""
    event = Event(RUN, sequence, Type.OUTPUT, "2026-01-02T03:04:05.678Z", make_source(subject), subject, data)
    assert Event.decode(json.loads(json.dumps(event.encode()))) == event


@pytest.mark.parametrize(
    "document", [{}, {"run": RUN, "sequence": "x"}, {**make_event(Type.OUTPUT).encode(), "type": "other.type"}]
)
def test_what_is_not_ours_is_told(document: dict[str, object]) -> None:
    """A line that is no event of ours raises one of two exceptions, which the readers know."""
    with pytest.raises((KeyError, ValueError)):
        Event.decode(document)


def test_a_result_comes_back() -> None:
    """The result in the last event is the result again, findings of the run and of its tasks alike."""
    assert Result.decode(json.loads(json.dumps(RESULT.encode()))) == RESULT
    assert Finding.decode(FINDING.encode()) == FINDING


def test_only_what_may_be_thinned_is_volatile() -> None:
    """Output, progress and heartbeat may go; everything else is on disk first (SPEC.md, section 4)."""
    assert {type.value for type in Type if not type.durable} == {
        "liveagent.output",
        "liveagent.progress",
        "liveagent.heartbeat",
    }


WORST_FIRST = ["fail", "error", "refused", "unknown", "cancelled", "warn", "pass", "skipped"]


@pytest.mark.parametrize(("worse", "better"), [*itertools.combinations(WORST_FIRST, 2)])
def test_the_worst_counts(worse: str, better: str) -> None:
    """The order of the contract (SPEC.md, section 3), in whichever order they come."""
    assert worst([Verdict(better), Verdict(worse)]) is worst([Verdict(worse), Verdict(better)]) is Verdict(worse)


def test_nothing_is_skipped() -> None:
    """Of no verdict at all nothing is claimed."""
    assert worst([]) is Verdict.SKIPPED


def test_exit_statuses() -> None:
    """Every verdict has the exit status that scripts rely on (SPEC.md, section 2)."""
    expected = {"pass": 0, "warn": 0, "skipped": 0, "fail": 1, "error": 3, "unknown": 3, "refused": 4, "cancelled": 130}
    assert {verdict.value: EXIT_STATUS[verdict] for verdict in Verdict} == expected


@pytest.mark.parametrize(
    ("serial", "uuid", "mac", "source"),
    [
        ("S1", "u", "m", "/liveagent/S1"),
        (None, "4c4c4544-0000", "m", "/liveagent/4c4c4544-0000"),
        ("", None, "aa:bb:cc:dd:ee:ff", "/liveagent/aa%3Abb%3Acc%3Add%3Aee%3Aff"),
        (None, None, None, "/liveagent/unknown"),
        ("../x?y#z", None, None, "/liveagent/..%2Fx%3Fy%23z"),
    ],
)
def test_a_source_names_the_machine(serial: str | None, uuid: str | None, mac: str | None, source: str) -> None:
    """The serial, else the UUID, else the boot MAC, percent-encoded: one part of a URI, whatever stands in it."""
    assert make_source(serial, uuid, mac) == source


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "1970-01-01T00:00:00.000Z"), (1767323045.6785, "2026-01-02T03:04:05.678Z"), (-1, "1969-12-31T23:59:59.000Z")],
)
def test_times(seconds: float, text: str) -> None:
    """RFC 3339 in UTC with milliseconds, also for a clock that was never set."""
    assert render_time(seconds) == text
