"""A result that is shown again, as text and as a page."""

from __future__ import annotations

import html

import pytest

from liveagent.command.runs import render_result
from liveagent.events import JSON, Finding, Result, TaskResult, Verdict
from liveagent.report.page import render_page

WIPED = {
    "name": "sda", "path": "/dev/sda", "slot": "3", "serial": "WWZ00K02L", "model": None, "size": 4_000_000_000,
    "verdict": "pass", "status": "erased", "summary": "overwritten", "seconds": 130.0,
}  # fmt: skip


def make_result(disks: JSON) -> dict[str, JSON]:
    found = Finding("fan.still", Verdict.FAIL, "fan 1", "stands still")
    task = TaskResult("mine", Verdict.FAIL, "1 fan", findings=(found,), data={"disks": disks})
    return Result("run", Verdict.FAIL, "mine: 1 fan", "t", "t", "1.0.0", dict.fromkeys(MACHINE), (task,)).encode()


MACHINE = ("serial", "vendor", "product", "uuid", "hostname")


def test_a_disk_is_named_with_what_became_of_it() -> None:
    """Where it is, which it is, how it went."""
    result = make_result([WIPED])
    assert "  slot 3, /dev/sda WWZ00K02L: PASS, erased: overwritten" in render_result(result)
    page = html.unescape(render_page(result))
    assert "<td>/dev/sda<td>–<td>WWZ00K02L<td>4.00 GB<td>erased<td>overwritten, 2m 10s" in page


def test_disks_that_nobody_named_are_told_as_well() -> None:
    """Whoever reads that one disk was erased asks about the others."""
    result = make_result([WIPED])
    assert "not named" not in " ".join(render_result(result)) and "Not named" not in render_page(result)
    result["tasks"][0]["data"]["not_named"] = ["/dev/sdb ZC1B77QK"]
    assert "  left as it was, not named: /dev/sdb ZC1B77QK" in render_result(result)
    assert "<h3>Not named, and left as they are</h3>\n<ul><li>/dev/sdb ZC1B77QK" in render_page(result)


@pytest.mark.parametrize(
    ("runs", "lines"),
    [
        ([{"part": "", "tail": [str(number) for number in range(12)]}], [f"  | {number}" for number in range(2, 12)]),
        ([{"part": "sda", "tail": ["a"]}, {"part": "sdb", "tail": ["b"]}], ["  | sda: a", "  | sdb: b"]),
        ([{"part": "sda"}, 7, {"tail": "text"}], []),
        ("text", []),
    ],
)
def test_what_a_script_said_last(runs: JSON, lines: list[str]) -> None:
    """Why it failed stands in its own words, and a drop-in may keep anything as `runs`."""
    result = make_result(None)
    result["tasks"][0]["data"] = {"runs": runs}
    assert [line for line in render_result(result) if line.startswith("  | ")] == lines


@pytest.mark.parametrize(
    "disks", [None, 7, "text", {"sda": 1}, ["sda", None], [{"name": "sda"}], [{"verdict": "pass", "size": "big"}]]
)
def test_disks_of_another_shape(disks: JSON) -> None:
    """A drop-in task may keep anything as `disks`: what was found is shown all the same."""
    result = make_result(disks)
    assert "  FAIL: fan 1: stands still [fan.still]" in render_result(result)
    assert "<td>fan 1<td>stands still<td>" in render_page(result)
