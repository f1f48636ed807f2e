"""What a task shows of a machine: on lines, on screens and on the page, whatever stands in its data."""

from __future__ import annotations

import pytest

from liveagent.events import Event, Type
from liveagent.report.lines import WIDTH, Lines
from liveagent.report.overview import list_differences, list_overview, render_not_measured, render_overview
from liveagent.report.page import render_page
from tests.report.test_view import begun, show

RUN = "20260102T030405Z-1a2b3c"
TASK = {
    "task": "hwdiag",
    "verdict": "warn",
    "summary": "2 disks; 1 finding",
    "options": {},
    "findings": [
        {"code": "bmc.sel", "verdict": "warn", "part": "BMC", "summary": "its log is 92 % full", "measured": {}}
    ],
    "data": {
        "overview": [
            {"name": "server", "text": "HPE ProLiant DL380 Gen10, serial CZJ2440B7X, BIOS U30 2.68 (2022-07-14), UEFI"},
            {"name": "memory", "text": "384 GiB: 12 × 32 GiB DDR4 at 2666 MT/s; 12 of 24 slots"},
        ],
        "not_measured": ["memory.ecc: no-driver: no EDAC driver", "bmc.sel: no-answer: ipmitool did not end"],
        "differences": [
            {"path": "memory.total", "ordered": ">= 512 GiB", "found": "384 GiB", "verdict": "fail"},
            {"path": "cpu.sockets", "ordered": "2", "found": "2", "verdict": "pass"},
        ],
    },
}
RESULT = {
    "run": RUN,
    "verdict": "warn",
    "summary": "hwdiag: 2 disks; 1 finding",
    "started": "2026-01-02T03:04:05.000Z",
    "finished": "2026-01-02T03:05:05.000Z",
    "agent": "1.0.0",
    "machine": {"serial": "CZJ2440B7X", "uuid": None, "vendor": "HPE", "product": "DL380", "hostname": None},
    "tasks": [TASK],
}
END = Event(RUN, 9, Type.RUN_FINISHED, "2026-01-02T03:05:05.000Z", "/liveagent/S", "", RESULT)


def test_lines_of_a_serial_console() -> None:
    lines = Lines().render(END)
    assert all(len(line) <= WIDTH for line in lines)
    text = "\n".join(lines)
    for part in (
        "server    HPE ProLiant",
        "memory    384 GiB",
        "WARN: BMC: its log",
        "not measured: memory.ecc, bmc.sel",
    ):
        assert part in text


def test_a_screen_of_80_columns_and_24_rows_has_what_is_wrong_and_what_the_machine_is() -> None:
    shown = show(begun(END))
    text = "\n".join(shown)
    assert text.index("WARN: BMC") < text.index("server    HPE") < text.index("memory    384 GiB")
    assert "not measured: memory.ecc, bmc.sel" in text


def test_the_reason_of_one_part_that_was_not_measured() -> None:
    """There is room for one; of several the report has them."""
    task = {"data": {"not_measured": ["sda ZA1: its SMART data could not be read"]}}
    assert render_not_measured(task, 40) == ["not measured: sda ZA1: its SMART data", "  could not be read"]


def test_a_small_screen_keeps_the_verdict() -> None:
    """What the machine is gives way to what is wrong with it, and that to the letters for the aisle."""
    assert "server" not in "\n".join(show(begun(END), 60, 16)[5:])
    assert "WARN: BMC" in "\n".join(show(begun(END), 60, 16))


def test_the_page_has_reasons_and_differences() -> None:
    page = render_page(RESULT)
    for part in ("12 × 32 GiB DDR4", "no-driver: no EDAC driver", "&gt;= 512 GiB", "384 GiB"):
        assert part in page
    assert "cpu.sockets" not in page


@pytest.mark.parametrize("data", [None, {"overview": 3, "not_measured": "x", "differences": [1]}, {"overview": [{}]}])
def test_what_a_drop_in_left_under_these_names(data: object) -> None:
    """A script's own data may hold anything under any name."""
    task = {**TASK, "data": data}
    assert list_overview(task) in ([], [("", "")])
    assert list_differences(task) == [] and render_not_measured(task, 80) == []
    render_overview(task, 80)
    render_page({**RESULT, "tasks": [task]})
