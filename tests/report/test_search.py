"""A long record is searched, not gone through: what is found is what whoever reads all of it would find."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from liveagent.events import Event, Type
from liveagent.records import RECENT, Status
from liveagent.report.record import EVENTS, Reader, encode_line, read_events, read_last

RUN = "20260101T000000Z-ab12"
NOISE = [b"half of a li", b"\xff\xfe\n", b"{}\n", b"\n"]


def make_line(sequence: int, type: Type = Type.OUTPUT, text: str = "", subject: str = "wipe") -> bytes:
    event = Event(RUN, sequence, type, "2026-01-01T00:00:00.000Z", "/liveagent/S", subject, {"line": text})
    return encode_line(event)


def write_record(path: Path, seed: int, count: int) -> list[int]:
    """A record as years leave it: numbers missing after a compaction, huge lines, damaged ones; the numbers in it."""
    dice = random.Random(seed)
    sequences, at = [], 0
    with path.open("wb") as file:
        for _ in range(count):
            at += dice.choice([1, 1, 1, 1, 500])
            sequences.append(at)
            # One as large as several of the stretches that the search goes by.
            size = dice.choice([10] * 40 + [3000] * 5 + [300_000])
            file.write(make_line(at, text="x" * size))
            if dice.random() < 0.02:
                file.write(dice.choice(NOISE[1:]))
        file.write(NOISE[0])
    return sequences


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", [0, 1, 7, 1500])
def test_a_reader_begins_anywhere(tmp_path: Path, seed: int, count: int) -> None:
    path = tmp_path / EVENTS
    sequences = write_record(path, seed, count)
    newest = read_last(path)
    assert (newest.sequence if newest else 0) == (sequences[-1] if sequences else 0)
    dice = random.Random(seed)
    last = sequences[-1] if sequences else 0
    for after in [0, 1, last - 1, last, last + 1, *(dice.randrange(last + 2) for _ in range(20))]:
        found = [event.sequence for event in Reader(path, after).read(5)]
        assert found == [sequence for sequence in sequences if sequence > after][:5], after


def test_a_reader_far_along_survives_a_record_that_was_made_smaller(tmp_path: Path) -> None:
    path = tmp_path / EVENTS
    path.write_bytes(b"".join(make_line(number) for number in range(1, 3000)))
    reader = Reader(path, 2000)
    assert reader.read(1)[0].sequence == 2001
    path.write_bytes(b"".join(make_line(number) for number in (*range(1, 1000, 10), *range(2500, 3001))))
    assert [event.sequence for event in reader.read(1000)] == list(range(2500, 3001))
    path.write_bytes(b"")
    assert reader.read() == []


def test_what_is_said_in_a_line_does_not_make_it_volatile(tmp_path: Path) -> None:
    """A finding that quotes an event is one all the same."""
    path = tmp_path / EVENTS
    quoted = '"type":"liveagent.output"'
    path.write_bytes(make_line(1) + make_line(2, Type.FINDING, quoted, subject=quoted) + make_line(3, Type.HEARTBEAT))
    assert [event.sequence for event in read_events(path, durable=True)] == [2]


@pytest.mark.parametrize("lines", [10, RECENT + 100])
def test_first_look_at_a_status_is_as_good_as_having_followed_it(tmp_path: Path, lines: int) -> None:
    path = tmp_path / EVENTS
    early = [
        make_line(1, Type.RUN_STARTED),
        make_line(2, Type.STEP_STARTED),
        make_line(3, Type.STEP_STARTED, "", "a/1"),
    ]
    path.write_bytes(b"".join(early))
    follower = Status(tmp_path)
    assert follower.read()["steps"] == {"wipe": "running", "a/1": "running"}
    with path.open("ab") as file:
        for number in range(4, 4 + lines):
            file.write(make_line(number, Type.PROGRESS, str(number), f"a/{number % 7}"))
        end = Event(RUN, 4 + lines, Type.STEP_FINISHED, "", "/liveagent/S", "a/1", {"verdict": "pass"})
        file.write(encode_line(end))
    followed, looked = follower.read(), Status(tmp_path).read()
    assert looked == followed
    assert followed["steps"]["a/1"] == "pass" and "a/1" not in followed["progress"] and len(followed["progress"]) == 6
