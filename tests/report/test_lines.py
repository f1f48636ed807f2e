"""Events as lines: what a person reads on an 80-column console."""

from __future__ import annotations

import pytest

from liveagent.events import Event, Finding, Result, TaskResult, Type, Verdict
from liveagent.report.banner import render_banner
from liveagent.report.lines import ADVICE, WIDTH, Lines, clean, render_bytes, render_duration

RUN = "20260102T030405Z-1a2b3c"
COLUMNS = 80
FINDING = Finding("disk.smart.reallocated", Verdict.WARN, "sda S4EWNX0N123456", "8 sectors were reallocated", {"n": 8})


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def make_event(type: Type, data: dict[str, object], subject: str = "wipe/sda") -> Event:
    return Event(RUN, 1, type, "2026-01-02T03:04:05.000Z", "/liveagent/S", subject, data)


def render(type: Type, data: dict[str, object], subject: str = "wipe/sda") -> list[str]:
    return Lines().render(make_event(type, data, subject))


def progress(done: float, total: float, subject: str = "wipe/sda", **more: object) -> Event:
    return make_event(
        Type.PROGRESS, {"done": done, "total": total, "unit": "bytes", "label": "overwrite", **more}, subject
    )


def finished(verdict: Verdict, findings: tuple[Finding, ...] = ()) -> dict[str, object]:
    machine = {"serial": "CZ1234", "vendor": "HPE"}
    task = TaskResult("wipe", verdict, "2 disks", findings=(FINDING,))
    return Result(RUN, verdict, "wipe: 2 disks", "t", "t", "1.0.0", machine, (task,), findings).encode()


def test_a_line_of_progress_that_is_too_long_loses_its_amounts() -> None:
    """And not the time that is left."""
    more = {"rate": 5.87e8, "eta": 114.0, "label": "overwrite 1/3"}
    [line] = Lines().render(progress(34e9, 103e9, "wipe/nvme0n1", **more))
    assert "34.0 GB of 103 GB" in line and line.endswith("1m 54s left")
    [line] = Lines().render(progress(34e9, 103e9, "wipe/nvme0n1-and-a-name-of-its-own", **more))
    assert "GB of" not in line and line.endswith("1m 54s left")


# -- each type --------------------------------------------------------------------------------------


def test_run_started() -> None:
    """Which version does what, on which machine."""
    data: dict[str, object] = {
        "plan": {"tasks": [{"task": "hwdiag", "options": {}}, {"task": "wipe", "options": {}}]},
        "machine": {"vendor": "HPE", "product": "DL360", "serial": "CZ1234", "uuid": None},
        "agent": "1.0.0",
    }
    assert render(Type.RUN_STARTED, data, "") == [f"liveagent 1.0.0: run {RUN}: hwdiag, wipe", "HPE DL360 CZ1234"]
    assert render(Type.RUN_STARTED, {"agent": "1.0.0"}, "") == [f"liveagent 1.0.0: run {RUN}: nothing to run"]


def test_step() -> None:
    """A step's options as they were given, without those that say nothing; its end with the verdict first."""
    options = {"disks": ["sda", "sdb"], "method": "auto", "except": [], "psid": None, "force": False, "passes": 1}
    assert render(Type.STEP_STARTED, {"options": options}) == ["wipe/sda: started disks=sda,sdb method=auto passes=1"]
    assert render(Type.STEP_STARTED, {"options": {}}) == ["wipe/sda: started"]
    end = {"verdict": "refused", "summary": "it is mounted", "data": {}}
    assert render(Type.STEP_FINISHED, end) == ["wipe/sda: REFUSED: it is mounted"]


def test_finding() -> None:
    """The verdict, the part that a person can find, what it is, and the code to look up."""
    line = "WARN: sda S4EWNX0N123456: 8 sectors were reallocated [disk.smart.reallocated]"
    assert render(Type.FINDING, FINDING.encode()) == [line]


def test_output() -> None:
    """A tool's line, and whose it is."""
    assert render(Type.OUTPUT, {"line": "pass 1 of 3", "command": "dd"}) == ["wipe/sda| pass 1 of 3"]
    assert render(Type.OUTPUT, {"line": "", "command": ""}) == ["wipe/sda| "]


@pytest.mark.parametrize("type", [Type.HEARTBEAT, Type.CERTIFICATE])
def test_not_for_people(type: Type) -> None:
    """What is for programs is not shown."""
    assert render(type, {"uptime": 1, "state": "running", "load": []}) == []


@pytest.mark.parametrize("verdict", Verdict)
def test_end_of_a_run(verdict: Verdict) -> None:
    """For every verdict: large letters, each part that it is about, the serial, and what to do."""
    lines = render(Type.RUN_FINISHED, finished(verdict), "")
    banner = render_banner(verdict.value)
    # The parts, and below them what has to be left on a console of 24 lines.
    assert lines[:3] == [
        "",
        f"wipe: {verdict.value.upper()}: 2 disks",
        "  WARN: sda S4EWNX0N123456: 8 sectors were reallocated",
    ]
    at = lines.index(f"run {RUN} on CZ1234")
    assert lines[at - 6 : at - 1] == banner
    advice = " ".join(line.strip() for line in lines[lines.index(f"run {RUN} on CZ1234") + 1 :])
    assert advice == ADVICE.get(verdict.value, "")
    assert advice or verdict in (Verdict.PASS, Verdict.SKIPPED)
    assert max(map(len, lines)) < COLUMNS


def test_end_of_a_run_names_slots() -> None:
    """A technician finds a disk by its slot."""
    data = finished(Verdict.FAIL)
    disk = {"name": "sda", "serial": "S4EWNX0N123456", "slot": "Bay 3"}
    data["tasks"][0]["data"] = {"disks": [disk]}  # type: ignore[index]
    line = "  WARN: slot Bay 3, sda S4EWNX0N123456: 8 sectors were reallocated"
    assert line in render(Type.RUN_FINISHED, data, "")


def test_end_of_a_run_without_steps() -> None:
    """A plan with faults: each of them stands under the banner."""
    fault = Finding("plan.option.unknown", Verdict.ERROR, "kernel cmdline", "liveagent.wipe.dsiks is no option")
    data = {**finished(Verdict.ERROR, (fault,)), "tasks": []}
    assert "  ERROR: kernel cmdline: liveagent.wipe.dsiks is no option" in render(Type.RUN_FINISHED, data, "")


# -- 80 columns -------------------------------------------------------------------------------------


def test_banner_of_every_verdict() -> None:
    """Five rows of plain ASCII that fit a serial console, each verdict's own."""
    banners = {verdict: render_banner(verdict.value) for verdict in Verdict}
    for verdict, rows in banners.items():
        assert len(rows) == 5 and max(map(len, rows)) < COLUMNS
        assert set("".join(rows)) == {"#", " "}
        # One letter of five columns each, two apart: nothing is missing in the middle of a word.
        width = 7 * len(verdict.value)
        columns = [{row.ljust(width)[at : at + 5] for row in rows} - {"     "} for at in range(0, width, 7)]
        assert all(columns)
    assert len({tuple(rows) for rows in banners.values()}) == len(Verdict)


def test_our_own_words_fit() -> None:
    """Options, names of tasks and progress are folded or cut; what a tool says is left whole, to be searched for."""
    options = {f"option{number}": "value" * 3 for number in range(20)}
    lines = render(Type.STEP_STARTED, {"options": options})
    assert len(lines) > 1 and max(map(len, lines)) <= WIDTH
    assert all(line.startswith("  ") for line in lines[1:])
    assert " ".join(line.strip() for line in lines).split()[2:] == [
        f"{name}={value}" for name, value in options.items()
    ]
    tasks = [{"task": f"a-drop-in-task-{number}"} for number in range(10)]
    assert max(map(len, render(Type.RUN_STARTED, {"plan": {"tasks": tasks}, "agent": "1.0.0"}))) <= WIDTH
    (line,) = Lines().render(progress(1, 2, "wipe/" + "x" * 100))
    assert len(line) == WIDTH
    long = "y" * 300
    assert render(Type.OUTPUT, {"line": long}) == [f"wipe/sda| {long}"]


# -- progress ---------------------------------------------------------------------------------------


def test_progress_is_at_most_one_a_second_a_part() -> None:
    """A slow serial line is not flooded, also not at the end of a part or where a part says 0 of 0."""
    clock = Clock()
    lines = Lines(clock=clock)
    shown: dict[str, list[float]] = {"wipe/sda": [], "wipe/sdb": []}
    for tick in range(400):
        clock.now = 100 + tick / 100
        for subject, times in shown.items():
            if lines.render(progress(min(tick, 250), 250, subject)) or lines.render(progress(0, 0, subject)):
                times.append(clock.now)
    for times in shown.values():
        assert len(times) == 4
        assert all(later - earlier >= 1 for earlier, later in zip(times, times[1:]))


def test_progress_that_stands_still_is_shown_once() -> None:
    """What says the same again is no news, nor is a rate that falls because nothing moves; what moves is shown."""
    clock = Clock()
    lines = Lines(clock=clock)

    def show(done: float, subject: str = "wipe/sda", **more: object) -> list[str]:
        clock.now += 2
        return lines.render(progress(done, 4e9, subject, **more))

    assert [len(show(0, rate=0)), len(show(0, rate=0)), len(show(0, "wipe/sdb"))] == [1, 0, 1]
    assert [len(show(1e9, rate=9e6, eta=60)), len(show(1e9, rate=8e6, eta=60)), len(show(1e9, eta=70))] == [1, 0, 1]
    assert [len(show(4e9, rate=rate, eta=0)) for rate in (5e6, 4e6, 3e6)] == [1, 0, 0]
    assert len(show(0, label="read back")) == 1
    # What was not shown does not keep back what comes within the second after it.
    assert show(0, label="read back") == []
    clock.now += 0.1
    assert len(lines.render(progress(1e9, 4e9, label="read back"))) == 1


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (progress(0, 4e9), "wipe/sda  overwrite  0%  0 B of 4.00 GB"),
        (
            progress(1.68e9, 4e9, rate=180e6, eta=130),
            "wipe/sda  overwrite  42%  1.68 GB of 4.00 GB  180 MB/s  2m 10s left",
        ),
        (progress(3.999e9, 4e9), "wipe/sda  overwrite  99%  4.00 GB of 4.00 GB"),
        (progress(5e9, 4e9), "wipe/sda  overwrite  100%  5.00 GB of 4.00 GB"),
        (progress(0, 0), "wipe/sda  overwrite  0 B of 0 B"),
        (progress(5, 10, unit="passes", rate=0.25, eta=0), "wipe/sda  overwrite  50%  0.25 passes/s  0s left"),
        (progress(5, 10, unit="IO", rate=123456.7), "wipe/sda  overwrite  50%  123,457 IO/s"),
        (make_event(Type.PROGRESS, {}), "wipe/sda"),
    ],
)
def test_progress(event: Event, line: str) -> None:
    """How far, how fast, how long still; 100% is the end and nothing before it; bytes only where it is bytes."""
    assert Lines().render(event) == [line]


# -- what tools and hardware say --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain ü ✓", "plain ü ✓"),
        ("tab\tstays", "tab\tstays"),
        ("\x1b[2J\x1b]0;title\x07", "?[2J?]0;title?"),
        ("10%\r20%\b", "10%?20%?"),
        ("\x9b31m\u202e\x00\x7f", "?31m???"),
        ("", ""),
    ],
)
def test_clean(text: str, cleaned: str) -> None:
    """Nothing moves the cursor, changes colours or turns the text around."""
    assert clean(text) == cleaned


@pytest.mark.parametrize("type", [Type.OUTPUT, Type.FINDING, Type.STEP_FINISHED, Type.STEP_STARTED, Type.RUN_STARTED])
def test_every_line_is_clean(type: Type) -> None:
    """A disk's model and a tool's message may hold anything: a line is one line, and only text."""
    evil = "one\ntwo\x1b[2J\rthree\x07"
    data: dict[str, object] = {
        "line": evil, "verdict": "fail", "part": evil, "summary": evil, "code": "x",
        "options": {"model": evil}, "machine": {"product": evil}, "agent": evil,
    }  # fmt: skip
    lines = render(type, data, evil) + Lines().render(progress(1, 2, evil, label=evil))
    assert lines and all(line == clean(line) and "\n" not in line for line in lines)
    assert "two?[2J?three?" in "".join(lines)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (512, "512 B"),
        (999, "999 B"),
        (999.7, "1.00 kB"),
        (1000, "1.00 kB"),
        (4096, "4.10 kB"),
        (9_994, "9.99 kB"),
        (9_996, "10.0 kB"),
        (64_000_000, "64.0 MB"),
        (99_960_000, "100 MB"),
        (179_900_000, "180 MB"),
        (999_499_999, "999 MB"),
        (999_700_000, "1.00 GB"),
        (1_000_204_886_016, "1.00 TB"),
        (3_840_755_982_336, "3.84 TB"),
        (1_500_000_000_000_000, "1500 TB"),
        (-2_000_000, "-2.00 MB"),
    ],
)
def test_render_bytes(number: float, text: str) -> None:
    """Three digits and the unit of a disk's label, also where rounding crosses to the next unit."""
    assert render_bytes(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.4, "0s"),
        (45, "45s"),
        (59.6, "1m 0s"),
        (130, "2m 10s"),
        (3599.7, "1h 0m"),
        (11_100, "3h 5m"),
        (86_399, "23h 59m"),
        (187_200, "2d 4h"),
    ],
)
def test_render_duration(seconds: float, text: str) -> None:
    """Two units at most."""
    assert render_duration(seconds) == text
