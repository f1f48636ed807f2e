"""What is seen of a run: made of its events alone, small however long it is, and nothing in it moves a cursor."""

from __future__ import annotations

import re
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from liveagent.events import Event, Type
from liveagent.report.lines import Lines
from liveagent.report.paint import Painter
from liveagent.report.record import Reader, read_events
from liveagent.report.screen import render
from liveagent.report.troubles import make_trouble
from liveagent.report.view import FINDINGS, LINES, ROWS, Row, View, choose_rows

RUN = "20260102T030405Z-1a2b3c"
SCREENS = Path(__file__).parent / "screens"
SIZES = [(80, 24), (200, 50), (60, 12), (40, 10), (20, 5), (8, 3), (1, 1)]


def event(type: Type, data: dict[str, object], subject: str = "") -> Event:
    return Event(RUN, 1, type, "2026-01-02T03:04:05.000Z", "/liveagent/S", subject, data)


def progress(subject: str, done: float = 1.0, **more: object) -> Event:
    data = {"done": done, "total": 100, "unit": "bytes", "label": "overwrite", "rate": 180e6, "eta": 130, **more}
    return event(Type.PROGRESS, data, subject)


def begun(*events: Event) -> View:
    """A wipe that runs, and what came after."""
    view = View()
    machine = {"vendor": "HPE", "product": "DL380", "serial": "CZJ2440B7X"}
    plan = {"tasks": [{"task": "wipe"}]}
    view.feed(event(Type.RUN_STARTED, {"agent": "1.0.0", "plan": plan, "machine": machine, "addresses": ["10.0.0.5"]}))
    view.feed(event(Type.STEP_STARTED, {"options": {}}, "wipe"))
    for one in events:
        view.feed(one)
    return view


def show(view: View, width: int = 80, height: int = 24, hint: str = "", at: float = 60.0) -> list[str]:
    """The screen as text, without colours."""
    group = render(view, width, height, (view.started or 0) + at, hint)
    text = Painter(colours=None)._render(group, width)
    assert len(text) <= height and all(cell_len(line) <= width for line in text)
    return text


# -- from events to rows ----------------------------------------------------------------------------


def test_late_and_early_see_the_same() -> None:
    """One that came later and reads the record in one go has what one has that was there all the time."""
    for names in (["wipe.jsonl"], ["wipe.jsonl", "wipe-end.jsonl"]):
        early, late = View(), View()
        for name in names:
            reader = Reader(SCREENS / name)
            while events := reader.read(7):
                for one in events:
                    early.feed(one)
            for one in read_events(SCREENS / name):
                late.feed(one)
        for width, height in SIZES:
            assert show(early, width, height) == show(late, width, height)


def test_a_row_has_all_there_is_to_know() -> None:
    """Name, serial, what is done, how far, how fast, how warm, how long still; then the verdict and why."""
    started = event(Type.STEP_STARTED, {"options": {"technique": "overwrite", "serial": "S4EWNX0N123456"}}, "wipe/sda")
    view = begun(started, progress("wipe/sda", 42.9, temperature=38.4))
    (line,) = [line for line in show(view) if line.startswith("sda")]
    assert line.split() == [
        *("sda", "S4EWNX0N123456", "overwrite", line.split()[3], "42%", "180", "MB/s", "38°C", "2m", "10s", "left")
    ]
    assert set(line.split()[3]) == {"█", "░"}
    view.feed(event(Type.STEP_FINISHED, {"verdict": "pass", "summary": "erased", "data": {}}, "wipe/sda"))
    (line,) = [line for line in show(view) if line.startswith("sda")]
    assert line.split() == ["sda", "S4EWNX0N123456", "PASS", "erased"]


def test_no_bar_without_a_whole() -> None:
    """What does not say how much there is gets no bar and no percentage, and a finished bar is not full before 100%."""
    view = begun(progress("wipe/sda", total=0), progress("wipe/sdb", 99.9))
    first, second = (line for line in show(view) if line.startswith("sd"))
    assert "%" not in first and "░" not in first and "overwrite" in first
    assert "99%" in second and "░" in second


def test_the_head() -> None:
    """Which build does what, where, since when, how long still by the slowest part."""
    view = begun(progress("wipe/sda", eta=130), progress("wipe/sdb", eta=11_100))
    text = "\n".join(show(view, at=754))
    for words in ("liveagent 1.0.0", "serial CZJ2440B7X", "HPE DL380", "10.0.0.5", f"run {RUN}", "wipe running"):
        assert words in text
    assert "12m 34s elapsed, 3h 5m left" in text


def test_what_is_left_of_a_part_that_does_not_say() -> None:
    """A drive that erases itself may take longer than all that can be counted."""
    view = begun(progress("wipe/sda", eta=130), progress("wipe/sdb", eta=None))
    assert "12m 34s elapsed, at least 2m 10s left" in "\n".join(show(view, at=754))


def test_only_the_step_that_is_on() -> None:
    """The rows of a step that is over give way to those of the next; its verdict stays in the head."""
    end = event(Type.STEP_FINISHED, {"verdict": "warn", "summary": "", "data": {}}, "wipe")
    view = begun(progress("wipe/sda"), end, event(Type.STEP_STARTED, {"options": {}}, "burnin"))
    view.feed(progress("burnin/cpu"))
    text = show(view)
    assert [line.split()[0] for line in text if "%" in line] == ["cpu"]
    assert any("wipe WARN > burnin running" in line for line in text)


def test_a_task_without_parts() -> None:
    """A script that says how far it is has a row of its own name."""
    view = begun(progress("wipe", 50))
    assert any(line.startswith("wipe ") and "50%" in line for line in show(view))


BROKEN: list[object] = [None, "text", 7, [], {}, ["text", None, 7, [[]], {}], {"disks": 7}, {"tasks": [{"data": []}]}]
DISKS: list[object] = [
    *({"disks": one} for one in BROKEN),
    {"disks": [{"verdict": []}, {"name": [], "slot": {}}, {"name": "sda", "health": "ok"}]},
]


@pytest.mark.parametrize("value", [*BROKEN, *DISKS, 10**400, float("inf"), float("nan")])
def test_what_others_filled_breaks_nothing(value: object) -> None:
    """A drop-in task's data may hold anything: whatever stands in an event, all else is shown."""
    view, lines = begun(), Lines()
    for type in Type:
        fields = dict.fromkeys(["plan", "machine", "addresses", "options", "data", "tasks", "findings", "done"], value)
        figures = dict.fromkeys(["total", "rate", "eta", "temperature", "line", "part", "summary"], value)
        for broken in (
            event(type, {**fields, **figures, "verdict": "fail"}, "wipe"),
            event(type, {**fields, **figures, "verdict": "warn"}, "wipe/sda"),
        ):
            view.feed(broken)
            lines.render(broken)
        show(view)
    view = begun(progress("wipe/sda", done=50, rate=value, eta=value, temperature=value))
    assert any("50%" in line for line in show(view))
    good = {"verdict": "fail", "part": "fan 1", "summary": "stands still", "code": "x"}
    task = {"task": "mine", "verdict": "fail", "summary": "s", "findings": [value, good], "data": value}
    end = event(Type.RUN_FINISHED, {"verdict": "fail", "summary": "s", "tasks": [value, task], "machine": value})
    view.feed(end)
    assert "fan 1: stands still" in [line.text for line in view.troubles]
    assert "  FAIL: fan 1: stands still" in lines.render(end)


def test_an_event_that_cannot_be_shown_says_so() -> None:
    """Neither is it passed over in silence, nor are those behind it."""

    class Odd(str):
        def __str__(self) -> str:
            raise ValueError("odd")

    broken = event(Type.OUTPUT, {"line": Odd()}, "wipe/sda")
    words = "event 1 of wipe/sda cannot be shown (ValueError: odd); the run's record has it"
    assert any(words in line for line in show(begun(broken, progress("wipe/sdb"))))
    assert Lines().render(broken) == [words]


# -- more than there is room for --------------------------------------------------------------------


def test_worst_first_where_not_all_fit() -> None:
    """What ended badly stays in sight, then what moves; what is not shown is counted by its state."""
    view = begun(*(progress(f"wipe/sd{number:02}") for number in range(40)))
    for name, verdict in (("sd20", "pass"), ("sd30", "fail"), ("sd39", "warn")):
        view.feed(event(Type.STEP_FINISHED, {"verdict": verdict, "summary": "", "data": {}}, f"wipe/{name}"))
    view.feed(event(Type.FINDING, {"verdict": "fail", "part": "sd35 X", "summary": "y", "code": "z"}, "wipe/sd35"))
    text = show(view)
    names = [line.split()[0] for line in text if line.startswith("sd")]
    assert names[:4] == ["sd30", "sd35", "sd39", "sd00"]
    assert "FAIL overwrite" in next(line for line in text if line.startswith("sd35"))
    (more,) = [line for line in text if line.startswith("and ")]
    assert more == f"and {40 - len(names)} more: {39 - len(names)} running, 1 PASS"
    # Where all fit, nobody changes places.
    assert [line.split()[0] for line in show(view, 100, 80) if line.startswith("sd")] == [
        f"sd{number:02}" for number in range(40)
    ]


@pytest.mark.parametrize("room", range(5))
def test_choose_rows(room: int) -> None:
    """Never more than there is room for."""
    rows = [Row("wipe", "a"), Row("wipe", "b", verdict="pass"), Row("wipe", "c", verdict="fail")]
    assert [row.name for row in choose_rows(rows, room)] == (["c", "a", "b"][:room] if room < 3 else ["a", "b", "c"])


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_every_size(width: int, height: int) -> None:
    """No size breaks it, at no moment of a run, and no line is longer than the screen (see `show`)."""
    view = View()
    for name in ("wipe.jsonl", "wipe-end.jsonl"):
        for one in read_events(SCREENS / name):
            view.feed(one)
            show(view, width, height, hint="a hint")


@pytest.mark.parametrize("width", [60, 79, 100, 200])
def test_serials_are_whole(width: int) -> None:
    """Whatever else gives way: a serial that is cut is no serial."""
    serials = [f"S4EWNX0N1234567890{number:02}" for number in range(4)]
    view = begun()
    for number, serial in enumerate(serials):
        options = {"technique": "ata-secure-erase-enhanced", "serial": serial}
        view.feed(event(Type.STEP_STARTED, {"options": options}, f"wipe/nvme{number}n1"))
        view.feed(progress(f"wipe/nvme{number}n1", temperature=40))
    text = show(view, width)
    assert all(any(f" {serial} " in line for line in text) for serial in serials)
    assert any("serial CZJ2440B7X" in line for line in text)


@pytest.mark.parametrize("width", range(40, 80))
def test_the_foot_is_whole(width: int) -> None:
    """What Ctrl-C does and what stops the run: on one line or on two, never without the command to type."""
    hint = "Ctrl-C leaves, and the run goes on; `liveagent cancel` stops it"
    text = show(begun(progress("wipe/sda")), width - 1, 15, hint)
    assert len(text) == 15
    assert (
        text[-1:] == [hint]
        if len(hint) < width
        else text[-2:] == [part + ";" * (part[0] == "C") for part in hint.split("; ")]
    )
    for height in (1, 2, 5):
        assert "`liveagent cancel` stops it" in show(begun(progress("wipe/sda")), width - 1, height, hint)[-1]


def test_how_it_ended_is_told_where_there_is_room() -> None:
    """A row that has ended goes on below itself, beside the names; where lines are short, the worst comes first."""
    view = begun()
    for name, verdict, summary in (
        ("sda", "pass", "overwrite (clear) with random, read back 35.7 MB in 512 places"),
        ("sdb", "refused", "is mounted at /; what lies on it cannot be read, so it may belong to a cluster"),
    ):
        view.feed(event(Type.STEP_STARTED, {"options": {"serial": f"S4EWNX0N123456{name}"}}, f"wipe/{name}"))
        end = {"verdict": verdict, "summary": summary, "data": {}}
        view.feed(event(Type.STEP_FINISHED, end, f"wipe/{name}"))
    assert show(view, 60)[5:10] == [
        "sda S4EWNX0N123456sda PASS      overwrite (clear) with",
        "    random, read back 35.7 MB in 512 places",
        "sdb S4EWNX0N123456sdb REFUSED   is mounted at /; what lies",
        "    on it cannot be read, so it may belong to a cluster",
        "─" * 60,
    ]
    assert show(view, 60, 11)[5:8] == [
        "sda S4EWNX0N123456sda PASS      overwrite (clear) with rand…",
        "sdb S4EWNX0N123456sdb REFUSED   is mounted at /; what lies",
        "    on it cannot be read, so it may belong to a cluster",
    ]
    # Not a letter is cut where a word does not fit beside the verdict.
    first, second = show(view, 40)[5:7]
    assert (first.rstrip(), second) == ("sda S4EWNX0N123456sda PASS", "    overwrite (clear) with random, read")


def test_a_finding_is_whole_where_there_is_room() -> None:
    """It is why somebody looks; where rows need the lines it is cut, the older ones first."""
    said = "resumed at 41.9 MB, the last point that run 20261130T180020Z-ac37ae saved; and " * 2 + "no more"
    found = [{"verdict": verdict, "part": "sda", "summary": said, "code": "c"} for verdict in ("pass", "warn", "fail")]
    view = begun(progress("wipe/sda"), *(event(Type.FINDING, data, "wipe") for data in found))
    assert sum("no more" in line for line in show(view)) == 3
    for number in range(20):
        view.feed(progress(f"wipe/more{number}"))
    text = show(view)
    assert [line[:9] for line in text if line.startswith(("WARN", "FAIL"))] == ["WARN: sda", "FAIL: sda"]
    assert sum(line.rstrip().endswith("…") for line in text) == 2 and any(line.startswith("NOTE") for line in text)


def test_it_stays_small() -> None:
    """Of a run that goes on for weeks nobody holds more than a screen can show."""
    view = begun()
    tracemalloc.start()
    for number in range(5 * ROWS):
        view.feed(progress(f"wipe/part{number}"))
        view.feed(event(Type.OUTPUT, {"line": "x" * 10_000}, "wipe"))
        view.feed(event(Type.FINDING, {"verdict": "warn", "part": "p", "summary": "y" * 10_000, "code": "z"}, "wipe"))
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (len(view.rows), len(view.lines), len(view.findings)) == (ROWS, LINES, FINDINGS)
    assert size < 2_000_000
    # What is not held any more is still counted.
    text = show(view)
    shown = sum(line.startswith("part") for line in text)
    assert f"and {5 * ROWS - shown} more: {5 * ROWS - shown} running" in text


def test_what_failed_is_not_forgotten() -> None:
    """However many parts come after it: what ended badly is held, and what is not is counted by its verdict."""
    view = begun()
    end = {"summary": "s", "data": {}}
    view.feed(progress("wipe/slow"))
    for number in range(3 * ROWS):
        verdict = "fail" if number == 1 else "skipped" if number == 2 else "pass"
        view.feed(event(Type.STEP_FINISHED, {**end, "verdict": verdict}, f"wipe/part{number}"))
    text = show(view)
    assert [line.split()[0] for line in text if line.startswith(("slow", "part"))][:2] == ["part1", "slow"]
    (more,) = [line for line in text if line.startswith("and ")]
    held = sum(line.startswith("part") for line in text)
    assert more == f"and {3 * ROWS - held} more: {3 * ROWS - 1 - held} PASS, 1 SKIPPED"
    # Nobody looks for the rows of a step that is over.
    view.feed(event(Type.STEP_STARTED, {"options": {}}, "burnin"))
    for number in range(ROWS):
        view.feed(progress(f"burnin/part{number}"))
    assert len(view.list_rows()) == ROWS == len(view.rows) and not view.forgotten


def test_the_step_that_is_on_is_in_sight() -> None:
    """However many tasks there are: those that are over give way to it."""
    tasks = [f"a-long-name-{number}" for number in range(9)]
    view = begun()
    view.tasks = {**dict.fromkeys(tasks[:6], "pass"), tasks[6]: "running", **dict.fromkeys(tasks[7:], "")}
    for width in (40, 79):
        (line,) = [line for line in show(view, width) if "a-long-name" in line]
        assert line.startswith("… > ") and "a-long-name-6 running" in line
    (line,) = [line for line in show(view, 250) if "a-long-name" in line]
    assert line.startswith("a-long-name-0 PASS > ") and line.endswith("a-long-name-8 waiting")


def test_only_a_countdown_counts_in_place() -> None:
    """Other figures are news: two receivers that do not answer are two lines."""
    view = View()
    for number in (1, 2):
        view.say(f"Failed to deliver to 10.0.0.{number}")
    for left in (10, 9, 8):
        view.say(f"*** wipe DESTROYS DATA on this machine in {left} s. To stop it: Ctrl-C here ***")
    for left in (60, 55):
        view.say(f"https://a.example.test: it does not answer; trying for another {left} s")
    assert [line.text for line in view.lines] == [
        "Failed to deliver to 10.0.0.1",
        "Failed to deliver to 10.0.0.2",
        "*** wipe DESTROYS DATA on this machine in 8 s. To stop it: Ctrl-C here ***",
        "https://a.example.test: it does not answer; trying for another 55 s",
    ]


def test_a_hundred_thousand_events() -> None:
    """One that comes late to a long run has caught up in seconds."""
    view = begun()
    events = [progress(f"wipe/sd{number % 24}", number % 100) for number in range(50_000)]
    events += [
        event(Type.OUTPUT, {"line": f"line {number} of a tool's output"}, "wipe/sda") for number in range(50_000)
    ]
    begin = time.process_time()
    for one in events:
        view.feed(one)
    assert time.process_time() - begin < 5
    assert view.lines[-1].text.startswith("line 49999 ")


# -- what tools and hardware say --------------------------------------------------------------------


@given(st.text(), st.text(), st.text(), st.sampled_from(SIZES))
def test_nothing_moves_the_cursor(name: str, line: str, verdict: str, size: tuple[int, int]) -> None:
    """Whatever stands in a name, a serial, a label or a line of output: only letters arrive, within the width."""
    machine = {"vendor": name, "product": line, "serial": name}
    view = View()
    view.feed(event(Type.RUN_STARTED, {"agent": line, "machine": machine, "plan": {"tasks": [{"task": name}]}}))
    view.feed(event(Type.STEP_STARTED, {"options": {}}, f"wipe/{name}"))
    view.feed(event(Type.STEP_STARTED, {"options": {}}, "wipe"))
    view.feed(event(Type.STEP_STARTED, {"options": {"serial": line, "technique": name}}, f"wipe/{name}"))
    view.feed(progress(f"wipe/{line}", label=name, unit=line))
    view.feed(event(Type.OUTPUT, {"line": line}, f"wipe/{name}"))
    view.feed(event(Type.FINDING, {"verdict": verdict, "part": name, "summary": line, "code": "x"}, "wipe"))
    view.feed(event(Type.STEP_FINISHED, {"verdict": verdict, "summary": line, "data": {"slot": name}}, f"wipe/{name}"))
    view.say(f"{name}\n{line}")
    assert all(text.isprintable() for text in show(view, *size, hint="hint"))


def test_wide_characters_stay_in_line() -> None:
    """A name of characters two columns wide moves no column beside it."""
    view = begun(progress("wipe/ディスクディスクディスク"), progress("wipe/sda"))
    rows = [line for line in show(view, 100) if "%" in line]
    assert len({cell_len(row[: row.index("overwrite")]) for row in rows}) == 1


# -- the end ----------------------------------------------------------------------------------------


def test_the_end_says_where_to_go() -> None:
    """The verdict in large letters, slot and serial of what failed before what only warns, and what to do."""
    view = View()
    for name in ("wipe.jsonl", "wipe-end.jsonl"):
        for one in read_events(SCREENS / name):
            view.feed(one)
    text = "\n".join(show(view))
    assert "#####   ###   #####  #" in text
    assert "FAIL: slot 3, sdc WWZ00K02L: 8 places (4096 bytes)" in text
    assert text.index("FAIL: slot 3") < text.index("REFUSED: sdr") < text.index("WARN: BMC")
    assert "It did not pass" in text
    # Where there is room, twice as large.
    assert "##########" in "\n".join(show(view, 200, 50))


def test_the_end_of_a_disk_without_a_finding() -> None:
    """A disk that is not erased is named also where no finding is about it; one that is, after it."""
    disks = [
        {"name": "sda", "serial": "A", "slot": "7", "verdict": "unknown", "summary": "did not end"},
        {"name": "sdb", "serial": "B", "slot": "8", "verdict": "pass", "summary": "erased"},
    ]
    task = {"task": "wipe", "verdict": "unknown", "summary": "s", "findings": [], "data": {"disks": disks}}
    view = begun(event(Type.RUN_FINISHED, {"verdict": "unknown", "summary": "s", "tasks": [task], "machine": {}}))
    text = [line for line in show(view) if "sd" in line]
    assert text == ["UNKNOWN: slot 7, sda A: did not end", "PASS: slot 8, sdb B: erased"]


@pytest.mark.parametrize(
    ("part", "summary", "text"),
    [
        ("Inlet Temp", "Inlet Temp is at 49 °C; look", "Inlet Temp is at 49 °C; look"),
        ("memory.dimms", "memory.dimms: 1 missing", "memory.dimms: 1 missing"),
        ("FAN 3", "fan FAN 3 stands still", "fan FAN 3 stands still"),
        ("sda A", "did not end", "sda A: did not end"),
        ("sda", "sdaa is beside it", "sda: sdaa is beside it"),
        ("PSU (1)", "PSU (1): failed", "PSU (1): failed"),
        ("PSU", "PSU", "PSU"),
        ("1", "1 sector is bad", "1: 1 sector is bad"),
        ("eth0", "eth0.100 has no link", "eth0: eth0.100 has no link"),
        ("sda", "sda-2 is lost", "sda: sda-2 is lost"),
    ],
)
def test_a_part_is_named_once(part: str, summary: str, text: str) -> None:
    """What a person reads has the part in each finding, and does not stutter."""
    finding = {"verdict": "fail", "part": part, "summary": summary, "code": "c"}
    assert show(begun(event(Type.FINDING, finding, "hwdiag"))).count(f"FAIL: {text}") == 1
    assert make_trouble(finding, {}).text == text
    assert make_trouble(finding, {part: "3"}).text == f"slot 3, {text}"


# -- onto a terminal --------------------------------------------------------------------------------


def test_only_what_changed_is_sent() -> None:
    """A serial line of 9600 baud carries it: a second that passes costs a line, and the same screen nothing."""
    view = begun(*(progress(f"wipe/sd{number}") for number in range(8)))
    painter = Painter("standard")

    def paint(at: float, whole: bool = False) -> str:
        return painter.paint(render(view, 79, 24, (view.started or 0) + at), 79, 24, whole)

    first = paint(60)
    assert first.count("\x1b[K") == 24 and "\n" not in first
    assert paint(60) == ""
    assert paint(61).count("\x1b[K") == 1
    assert paint(61, whole=True).count("\x1b[K") == 24
    # After a resize nothing is where it was.
    assert painter.paint(render(view, 60, 20, (view.started or 0) + 61), 60, 20).count("\x1b[K") == 20


def test_a_terminal_that_lacks_our_ornaments() -> None:
    """Our own marks become ASCII there."""
    view = begun(progress("wipe/sda", 50, label="a label that is far too long for its column", temperature=40))
    view.feed(event(Type.FINDING, {"verdict": "warn", "part": "Inlet", "summary": "is at 49 °C, above 47 °C"}))
    text = Painter("standard", plain=True).paint(render(view, 79, 24, 0), 79, 24)
    assert text.isascii() and "###" in text and "~" in text and "40 C" in text
    assert "is at 49 C, above 47 C" in text


def test_the_end_of_a_script_says_what_it_said_last() -> None:
    """An exit status alone tells nobody why an operator's own check failed."""
    task = {"task": "check", "verdict": "fail", "summary": "exit status 1", "findings": [], "data": {}}
    end = {"verdict": "fail", "summary": "check: exit status 1", "tasks": [task], "machine": {}}
    view = begun(event(Type.OUTPUT, {"line": "no route to the licence server"}, "check"), event(Type.RUN_FINISHED, end))
    assert "check| no route to the licence server" in show(view)


def test_the_end_names_what_was_done() -> None:
    """Also where all is well: which disks they were is what a person wants to know; of many, the first."""
    disks = [
        {"name": f"sd{letter}", "serial": f"S{letter}", "verdict": "pass", "summary": "erased"} for letter in "abcdefgh"
    ]
    task = {"task": "wipe", "verdict": "pass", "summary": "8 disks erased", "findings": [], "data": {"disks": disks}}
    end = {"verdict": "pass", "summary": "wipe: 8 disks erased", "tasks": [task], "machine": {}}
    text = show(begun(event(Type.RUN_FINISHED, end)))
    assert text.index("wipe: 8 disks erased") < text.index("PASS: sda Sa: erased")
    assert "PASS: sdh Sh: erased" in text
    few = show(begun(event(Type.RUN_FINISHED, end)), height=18)
    assert "PASS: sda Sa: erased" in few and "PASS: sdh Sh: erased" not in few
    assert any(re.fullmatch(r"and \d more", line) for line in few)
    # And which it were not.
    task["data"] = {"disks": disks, "not_named": ["/dev/sdi Si", "/dev/sdj Sj"]}
    other = show(begun(event(Type.RUN_FINISHED, end)))
    assert other.index("PASS: sdh Sh: erased") + 1 == other.index("left alone, not named: /dev/sdi Si, /dev/sdj Sj")
    assert not any("not named" in line for line in show(begun(event(Type.RUN_FINISHED, end)), height=18))
    plain = [line for line in Lines().render(event(Type.RUN_FINISHED, end)) if "PASS" in line]
    assert plain[-2:] == ["  PASS: sdf Sf: erased", "  PASS: 2 more"]
