"""The record of a run: numbers without gaps, on disk before anyone is told, and never in the way of the run."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from liveagent.events import Event, Type
from liveagent.report.record import EVENTS, Reader, encode_line, read_events
from liveagent.report.spool import BURST, PENDING_LIMIT, RATE, Spool, Thinner, write_synced
from tests.conftest import REPOSITORY, need

RUN = "20260101T000000Z-ab12"
LONG = 30.0
FINDING = {"code": "disk.smart", "verdict": "warn", "part": "sda", "summary": "8 sectors", "measured": {}}


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Always(Clock):
    """Time that passes so fast that nothing is thinned."""

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "runs" / RUN


@contextlib.contextmanager
def opened(directory: Path, limit: int = 64 * 1024 * 1024, clock: Clock | None = None) -> Iterator[Spool]:
    spool = Spool(directory, RUN, "/liveagent/S", limit, clock or Always())
    try:
        yield spool
    finally:
        spool.close()


def numbers(events: list[Event]) -> list[int]:
    return [event.sequence for event in events]


def read_all(reader: Reader) -> list[Event]:
    events: list[Event] = []
    while more := reader.read(7):
        events += more
    return events


# -- numbers ----------------------------------------------------------------------------------------


def test_numbers_have_no_gaps(directory: Path) -> None:
    """Eight threads at once: every number once, in order in the file, and every durable event in it."""
    with opened(directory) as spool:

        def work(name: str) -> None:
            for number in range(50):
                spool.emit(Type.OUTPUT, {"line": str(number)}, name)
                spool.emit(Type.FINDING, {**FINDING, "part": f"{name} {number}"}, name)

        threads = [threading.Thread(target=work, args=(f"wipe/sd{letter}",)) for letter in "abcdefgh"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONG)
        assert spool.last == 8 * 50 * 2
    events = read_events(spool.path)
    assert numbers(events) == list(range(1, 801))
    parts = [event.data["part"] for event in events if event.type is Type.FINDING]
    assert sorted(parts) == sorted(f"wipe/sd{letter} {number}" for letter in "abcdefgh" for number in range(50))


def test_documents(directory: Path) -> None:
    """A line is a CloudEvent with everything that SPEC.md section 4 says of it."""
    with opened(directory) as spool:
        event = spool.emit(Type.FINDING, FINDING, "wipe/sda")
    (document,) = map(json.loads, (directory / EVENTS).read_text().splitlines())
    assert event and document == event.encode()
    assert document["id"] == f"{RUN}/1" and document["sequence"] == "1" and document["specversion"] == "1.0"
    assert (document["subject"], document["type"], document["data"]) == ("wipe/sda", "liveagent.finding", FINDING)


def test_written_before_anyone_is_told(directory: Path) -> None:
    """When a reader wakes, the durable event is in the file for every other process too."""
    seen: list[tuple[list[int], list[int]]] = []
    with opened(directory) as spool:
        ready = threading.Event()

        def follow() -> None:
            after = 0
            ready.set()
            while spool.wait(after, LONG):
                pending = numbers(spool.pending(0))
                after = spool.last
                seen.append((pending, numbers(read_events(spool.path))))

        thread = threading.Thread(target=follow)
        thread.start()
        assert ready.wait(LONG)
        for _ in range(20):
            spool.emit(Type.FINDING, FINDING)
        assert seen or spool.last == 20
    thread.join(LONG)
    assert seen and not any(pending for pending, _ in seen)
    # Whatever number the reader woke for, the file ended with it, or beyond.
    ends = [written[-1] for _, written in seen]
    assert ends == sorted(ends) and ends[-1] == 20


def test_wait(directory: Path) -> None:
    """A reader that waits is woken by an event and by the end, and sees which it was."""
    with opened(directory) as spool:
        assert not spool.wait(0, 0.0)
        spool.emit(Type.FINDING, FINDING)
        assert spool.wait(0, 0.0) and not spool.wait(1, 0.0)
        threading.Timer(0.05, spool.close).start()
        assert not spool.wait(1, LONG)
        assert spool.closed


def test_after_the_end(directory: Path) -> None:
    """A thread that was left behind says nothing more after the last event."""
    with opened(directory) as spool:
        spool.emit(Type.RUN_FINISHED, {})
    assert spool.emit(Type.FINDING, FINDING) is None
    assert spool.last == 1 and numbers(read_all(Reader(spool.path, spool=spool))) == [1]


def test_data_that_is_not_json(directory: Path) -> None:
    """Whatever a task hands over is recorded as well as it can be: an event is never lost for that."""
    strange = {
        "path": Path("/x"),
        "nan": float("nan"),
        "set": {1},
        (1, 2): b"x",
        "half": "\udcff",
        "deep": [{"inf": 1e999}],
    }
    with opened(directory) as spool:
        event = spool.emit(Type.FINDING, strange)
        spool.emit(Type.FINDING, FINDING)
    first, second = read_events(spool.path)
    assert event and second.data == FINDING
    expected = {"path": "/x", "nan": None, "set": [1], "(1, 2)": "b'x'", "deep": [{"inf": None}]}
    assert first.data == {**expected, "half": "?"}
    assert {**event.data, "half": "?"} == first.data
    assert "NaN" not in spool.path.read_text()


# -- thinning ---------------------------------------------------------------------------------------


def test_thinner() -> None:
    """At most 5 a second a step over time; another step, or another type, has its own."""
    clock = Clock()
    thinner = Thinner(clock)
    assert [thinner.admit(Type.OUTPUT, "a") for _ in range(int(BURST) + 10)] == [True] * int(BURST) + [False] * 10
    assert thinner.admit(Type.OUTPUT, "b") and thinner.admit(Type.PROGRESS, "a")
    passed = 0
    for _ in range(1000):
        clock.now += 0.01
        passed += thinner.admit(Type.OUTPUT, "a")
    assert passed in (10 * int(RATE) - 1, 10 * int(RATE))
    clock.now += 3600
    assert [thinner.admit(Type.OUTPUT, "a") for _ in range(int(BURST) + 1)] == [True] * int(BURST) + [False]


def test_dropped_lines_are_said(directory: Path) -> None:
    """What was thinned out leaves no gap, and is said before the next event of that step."""
    clock = Clock()
    with opened(directory, clock=clock) as spool:
        for number in range(80):
            spool.emit(Type.OUTPUT, {"line": str(number), "command": ""}, "wipe/sda")
        assert spool.emit(Type.OUTPUT, {"line": "80", "command": ""}, "wipe/sda") is None
        spool.emit(Type.FINDING, FINDING, "wipe/sdb")
        spool.emit(Type.STEP_FINISHED, {"verdict": "pass"}, "wipe/sda")
        clock.now += 1
        spool.emit(Type.OUTPUT, {"line": "later", "command": ""}, "wipe/sda")
    events = read_events(spool.path)
    assert numbers(events) == list(range(1, int(BURST) + 5))
    tail = [(event.subject, event.data.get("line", "")) for event in events[int(BURST) :]]
    assert tail == [
        ("wipe/sdb", ""),
        ("wipe/sda", "[31 lines dropped]"),
        ("wipe/sda", ""),
        ("wipe/sda", "later"),
    ]


def test_durable_events_are_never_thinned(directory: Path) -> None:
    """Thinning is for output, progress and heartbeats alone."""
    with opened(directory, clock=Clock()) as spool:
        for type in Type:
            for _ in range(int(BURST) + 10):
                spool.emit(type, {}, "wipe")
    counts = dict.fromkeys(Type, 0)
    for event in read_events(spool.path):
        counts[event.type] += 1
    assert all(counts[type] == int(BURST) + 10 for type in Type if type.durable)
    assert counts[Type.PROGRESS] == counts[Type.HEARTBEAT] == int(BURST)


# -- a directory that cannot be written -------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    need(os.geteuid() == 0, "root, to mount a small file system")
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "liveagent-test", str(place)]
    need(subprocess.run(mount, capture_output=True, timeout=30).returncode == 0, "mounting a tmpfs")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True, timeout=30)


@pytest.mark.loop
def test_full_directory(small: Path) -> None:
    """The run goes on with its record in memory, readers see all in order, and it is written when there is room."""
    filler = small / "filler"
    filler.write_bytes(b"x" * 40 * 1024)
    with opened(small / RUN) as spool:
        inside, outside = Reader(spool.path, spool=spool), Reader(spool.path)
        while not spool.trouble:
            spool.emit(Type.FINDING, {**FINDING, "summary": "y" * 500})
        assert "No space left on device" in spool.trouble and str(spool.path) in spool.trouble
        for _ in range(20):
            spool.emit(Type.OUTPUT, {"line": "in memory"}, "wipe")
        last = spool.last
        assert spool.path.read_bytes().endswith(b"\n")
        assert numbers(read_all(inside)) == list(range(1, last + 1))
        written = numbers(read_all(outside))
        assert written == list(range(1, len(written) + 1)) and len(written) < last
        filler.unlink()
        spool.emit(Type.FINDING, FINDING)
        assert spool.trouble == ""
        assert numbers(read_all(outside)) == list(range(len(written) + 1, last + 2))
        assert numbers(read_all(inside)) == [last + 1]
    assert numbers(read_events(spool.path)) == list(range(1, last + 2))


@pytest.mark.loop
def test_read_only_directory(small: Path) -> None:
    """A file system that turns read-only in the middle of a run, and back."""
    with opened(small / RUN) as spool:
        reader = Reader(spool.path, spool=spool)
        spool.emit(Type.FINDING, FINDING)
    remount = ["mount", "-o", "remount,ro", str(small)]
    subprocess.run(remount, check=True, timeout=30)
    with opened(small / RUN) as spool:
        reader = Reader(spool.path, spool=spool)
        spool.emit(Type.FINDING, FINDING)
        assert "Read-only file system" in spool.trouble
        assert numbers(read_all(reader)) == [1, 2]
        subprocess.run([*remount[:2], "remount,rw", str(small)], check=True, timeout=30)
        spool.emit(Type.FINDING, FINDING)
        assert not spool.trouble
        assert numbers(read_all(reader)) == [3]
    assert numbers(read_events(spool.path)) == [1, 2, 3]


def test_no_directory(tmp_path: Path) -> None:
    """A state directory that cannot be made: all of it stays in memory, and the end is reached."""
    (tmp_path / "file").write_text("")
    with opened(tmp_path / "file" / RUN) as spool:
        reader = Reader(spool.path, spool=spool)
        for _ in range(3):
            assert spool.emit(Type.FINDING, FINDING)
        assert "Not a directory" in spool.trouble
        assert numbers(read_all(reader)) == [1, 2, 3]
    assert not reader.read()


def test_memory_is_bounded_without_a_directory(tmp_path: Path) -> None:
    """What is kept in memory is bounded: the oldest volatile events go; durable ones and the newest stay."""
    (tmp_path / "file").write_text("")
    with opened(tmp_path / "file" / RUN) as spool:
        spool.emit(Type.RUN_STARTED, {})
        for number in range(PENDING_LIMIT + 10):
            spool.emit(Type.OUTPUT, {"line": str(number)}, "wipe")
            if number == 100:
                spool.emit(Type.FINDING, FINDING)
            assert spool.last == number + 2 + (number >= 100)
        kept = spool.pending(0)
        assert len(kept) <= PENDING_LIMIT
        assert [event.type for event in kept[:2]] == [Type.RUN_STARTED, Type.FINDING]
        assert kept[-1].sequence == spool.last == PENDING_LIMIT + 12
        assert numbers(kept) == sorted(set(numbers(kept)))


# -- what an earlier process left -------------------------------------------------------------------


def test_adoption_continues_the_numbers(directory: Path) -> None:
    """A process that takes a record over goes on where it ended."""
    with opened(directory) as spool:
        for _ in range(3):
            spool.emit(Type.FINDING, FINDING)
    with opened(directory) as spool:
        assert spool.last == 3
        event = spool.emit(Type.RUN_FINISHED, {})
    assert event and event.sequence == 4
    assert numbers(read_events(spool.path)) == [1, 2, 3, 4]


@pytest.mark.parametrize("rest", [b'{"specversion": "1.0", "id"', b"\0" * 4096, b"{"])
def test_half_a_line(directory: Path, rest: bytes) -> None:
    """A process that was killed in the middle of a line: nobody reads it, and the next event stands on its own."""
    with opened(directory) as spool:
        spool.emit(Type.FINDING, FINDING)
    with spool.path.open("ab") as file:
        file.write(rest)
    reader = Reader(spool.path)
    assert numbers(read_all(reader)) == [1] == numbers(read_events(spool.path))
    with opened(directory) as spool:
        assert spool.last == 1
        spool.emit(Type.FINDING, FINDING)
    assert numbers(read_all(reader)) == [2]
    assert len(spool.path.read_bytes().splitlines()) == 2


@pytest.mark.parametrize("damage", [b"\n", b"{}\n", b"no json\n", b"[1]\n", b"\xff\xfe\n", b'{"sequence": null}\n'])
def test_damaged_lines_are_passed_over(directory: Path, damage: bytes) -> None:
    """One damaged line does not hide the events after it."""
    with opened(directory) as spool:
        spool.emit(Type.FINDING, FINDING)
        with spool.path.open("ab") as file:
            file.write(damage)
        spool.emit(Type.FINDING, FINDING)
    assert numbers(read_events(spool.path)) == [1, 2] == numbers(read_all(Reader(spool.path)))
    assert numbers(read_events(spool.path, after=1)) == [2]


def test_no_record(directory: Path) -> None:
    """Where nothing was recorded there is nothing to read."""
    assert read_events(directory / EVENTS) == []
    assert Reader(directory / EVENTS).read() == []


FOLLOW = """
import sys
from pathlib import Path
from liveagent.report.record import Reader
reader = Reader(Path(sys.argv[1]))
for line in sys.stdin:
    print(*[event.sequence for event in reader.read()], flush=True)
"""


def test_reader_in_another_process(directory: Path) -> None:
    """The record can be followed by another process, from before it exists to its end, over a compaction."""
    argv = [sys.executable, "-c", FOLLOW, str(directory / EVENTS)]
    with subprocess.Popen(argv, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:

        def ask() -> list[int]:
            assert other.stdin and other.stdout
            other.stdin.write("\n")
            other.stdin.flush()
            return [int(word) for word in other.stdout.readline().split()]

        assert ask() == []
        with opened(directory, limit=4096) as spool:
            spool.emit(Type.FINDING, FINDING)
            assert ask() == [1] and ask() == []
            spool.emit(Type.OUTPUT, {"line": "x"}, "wipe")
            spool.emit(Type.FINDING, FINDING)
            assert ask() == [2, 3]
            for _ in range(50):
                spool.emit(Type.OUTPUT, {"line": "x" * 100}, "wipe")
            spool.emit(Type.FINDING, FINDING)
            got = ask()
            assert got[-1] == spool.last == 54 and got == sorted(got) and got[0] > 3


# -- compaction -------------------------------------------------------------------------------------


def test_compaction(directory: Path) -> None:
    """At spool_max the oldest volatile events go; durable ones stay, readers go on, numbers go on."""
    limit = 20_000
    with opened(directory, limit=limit) as spool:
        reader = Reader(spool.path, spool=spool)
        seen: list[Event] = []
        inodes = set()
        for number in range(1000):
            spool.emit(Type.OUTPUT, {"line": "x" * 100, "command": ""}, "wipe")
            if number % 100 == 0:
                spool.emit(Type.FINDING, {**FINDING, "part": str(number)})
            inodes.add(os.stat(spool.path).st_ino)
            seen += reader.read()
        assert len(inodes) > 1 and spool.path.stat().st_size < 2 * limit
        assert not spool.path.with_suffix(".new").exists()
    assert numbers(seen) == list(range(1, 1011))
    left = read_events(spool.path)
    assert [event.data["part"] for event in left if event.type.durable] == [str(n) for n in range(0, 1000, 100)]
    assert left[-1].sequence == 1010 and 20 < len(left) < 500


def test_a_slow_reader_loses_nothing_durable(directory: Path) -> None:
    """A receiver that was away over several compactions still gets every durable event.

    The file's inode may be given again to a later one: nothing may be concluded from it.
    """
    with opened(directory, limit=10_000) as spool:
        reader = Reader(spool.path, spool=spool)
        spool.emit(Type.FINDING, FINDING)
        assert numbers(reader.read()) == [1]
        got = []
        for turn in range(12):
            for number in range(37 + turn):
                spool.emit(Type.OUTPUT, {"line": "x" * (100 + number), "command": ""}, "wipe")
            spool.emit(Type.FINDING, FINDING)
            # The reader takes a few lines and stops in the middle of the file.
            got += reader.read(5)
        got += read_all(reader)
    assert sum(event.type.durable for event in got) == 12
    assert numbers(got) == sorted(set(numbers(got)))


def test_only_durable_events(directory: Path) -> None:
    """More durable events than spool_max: they all stay, and the file is not rewritten for each of them."""
    with opened(directory, limit=1000) as spool:
        reader = Reader(spool.path, spool=spool)
        inodes = []
        for _ in range(200):
            spool.emit(Type.FINDING, FINDING)
            spool.emit(Type.OUTPUT, {"line": "newest"}, "wipe")
            inodes.append(os.stat(spool.path).st_ino)
            # The newest is there even where there is no room for it: readers wait for its number.
            assert numbers(read_all(reader))[-1] == spool.last
        rewritten = sum(before != after for before, after in zip(inodes, inodes[1:]))
    assert sum(event.type is Type.FINDING for event in read_events(spool.path)) == 200
    assert 0 < rewritten < 20


@pytest.mark.loop
def test_no_room_to_compact(small: Path) -> None:
    """Where the new file finds no room the old one is kept, nothing half stays beside it, and the run goes on."""
    (small / "filler").write_bytes(b"x" * 16 * 1024)
    with opened(small / RUN, limit=30_000) as spool:
        while not spool.trouble:
            spool.emit(Type.FINDING, {**FINDING, "summary": "y" * 200})
        assert os.listdir(small / RUN) == [EVENTS]
    events = read_events(spool.path)
    assert numbers(events) == list(range(1, len(events) + 1))


def test_memory_is_flat(directory: Path) -> None:
    """100,000 lines through the spool, a reader and some compactions cost no more memory than a thousand."""
    process = psutil.Process()
    with opened(directory, limit=12_000_000) as spool:
        reader = Reader(spool.path, spool=spool)

        def work(count: int) -> int:
            for number in range(count):
                spool.emit(Type.OUTPUT, {"line": f"line {number}", "command": "dd"}, f"wipe/sd{number % 10}")
                if number % 500 == 499:
                    reader.read()
            return int(process.memory_info().rss)

        few = work(1000)
        many = work(99_000)
        assert spool.last == 100_000
    # The lines alone are 25 MB; as events they are several times that.
    assert many - few < 8_000_000


# -- a file as a whole ------------------------------------------------------------------------------


def test_write_synced(tmp_path: Path) -> None:
    """A file is replaced as a whole; where that fails the old one stays."""
    path = tmp_path / "result.json"
    write_synced(path, b"first")
    write_synced(path, b"second")
    assert path.read_bytes() == b"second" and os.listdir(tmp_path) == ["result.json"]
    (tmp_path / "result.json.new").mkdir()
    with pytest.raises(OSError):
        write_synced(path, b"third")
    assert path.read_bytes() == b"second"


def test_encode_line() -> None:
    """One event is one line, whatever is in it."""
    event = Event(RUN, 1, Type.OUTPUT, "2026-01-01T00:00:00.000Z", "/liveagent/S", "", {"line": "a\nb\u2028ü"})
    line = encode_line(event)
    assert line.count(b"\n") == 1 and line.endswith(b"\n") and "ü".encode() in line
    assert Event.decode(json.loads(line)) == event
