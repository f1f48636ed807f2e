"""Self-tests as drives remember them: one shape for ATA, SCSI and NVMe."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveagent.machine.selftest import (
    SelfTest,
    SelfTests,
    TestResult,
    name_kind,
    parse_nvme_tests,
    parse_scsi_tests,
    read_ata_tests,
    read_scsi_tests,
)
from liveagent.machine.smartctl import Page, parse_page


def read(corpus: Path, name: str) -> Page:
    return parse_page((corpus / "smartctl" / name).read_text())


@pytest.mark.corpus
def test_the_page_that_is_polled(corpus: Path) -> None:
    """`smartctl --capabilities --log=selftest` of a disk that has ended a short test."""
    tests = read_ata_tests(read(corpus, "vm-smartctl-ata-c.json"))
    passed = SelfTest("short", TestResult.PASSED, "Completed without error", 4660)
    assert tests == SelfTests(offered=True, log=(passed,), running=False, remaining=None, short=120, long=3240)


@pytest.mark.corpus
def test_a_failed_one(corpus: Path) -> None:
    """Where it failed stands beside it; three of twenty-one."""
    tests = read_ata_tests(read(corpus, "scrutiny-smart-fail2.json"))
    assert tests is not None
    failed = [one for one in tests.log if one.result is TestResult.FAILED]
    assert len(tests.log) == 21 and len(failed) == 3
    assert failed[0] == SelfTest("long", TestResult.FAILED, "Completed: read failure", 4, 104870168)


@pytest.mark.corpus
def test_entries_that_a_power_cut_left_running(corpus: Path) -> None:
    """Two of eleven "run" since three thousand hours: they are no results, and nothing runs."""
    tests = read_ata_tests(read(corpus, "ironlib-x11dph-t-sdn.json"))
    assert tests is not None
    assert (len(tests.log), tests.running, {one.result for one in tests.log}) == (9, False, {TestResult.PASSED})


@pytest.mark.corpus
def test_a_sas_drives_log(corpus: Path) -> None:
    """In the order of their numbers, with the estimate in seconds."""
    tests = read_scsi_tests(read(corpus, "telegraf-scsi-extended.json"))
    assert tests is not None
    assert [(one.kind, one.hours) for one in tests.log] == [
        ("long", 90),
        ("long", 66),
        ("reserved(7)", 5),
        ("short", 2),
    ]
    assert (tests.offered, tests.running, tests.long) == (True, False, 80400)


def make_ata(value: object) -> Page:
    return Page({"ata_smart_data": {"self_test": {"status": {"value": value}}}})


@pytest.mark.parametrize(
    ("value", "running", "remaining"),
    [(0, False, None), (249, True, 90), (240, True, 0), (0x73, False, None), (255, True, 100), (256, False, None)],
)
def test_how_far_an_ata_test_is(value: int, running: bool, remaining: int | None) -> None:
    """The low nibble has tenths that are left."""
    tests = read_ata_tests(make_ata(value))
    assert tests is not None and (tests.running, tests.remaining) == (running, remaining)


@pytest.mark.parametrize("value", [None, "0", -1, {}])
def test_no_status_is_not_idle(value: object) -> None:
    assert read_ata_tests(make_ata(value)) is None


@pytest.mark.parametrize(
    ("value", "result"),
    [
        (0x00, TestResult.PASSED),
        (0x19, TestResult.ABORTED),
        (0x25, TestResult.ABORTED),
        (0x30, TestResult.FAILED),
        (0x79, TestResult.FAILED),
        (0x88, TestResult.FAILED),
        (0x90, TestResult.UNKNOWN),
        (None, TestResult.UNKNOWN),
    ],
)
def test_ata_results(value: int | None, result: TestResult) -> None:
    """A result that is not known is not a pass."""
    row = {"type": {"string": "Extended offline"}, "status": {"value": value, "string": "x"}, "lifetime_hours": 7}
    tests = read_ata_tests(Page({"ata_smart_self_test_log": {"standard": {"table": [row]}}}))
    assert tests is not None and tests.log == (SelfTest("long", result, "x", 7),)


@pytest.mark.parametrize(("words", "kind"), [("Foreground long", "long"), ("Vendor (0xff)", "vendor (0xff)"), ("", "")])
def test_kinds(words: str, kind: str) -> None:
    assert name_kind(words) == kind


# What sg_logs 1.81 prints of a page that was made for it: one that runs, one that failed, one that passed, one aborted.
SG_LOGS = """Self-test results page  [0x10]
  Parameter code = 1, accumulated power-on hours = 0
    self-test code: background short [1]
    self-test result: self test in progress [15]
  Parameter code = 2, accumulated power-on hours = 34617
    self-test code: background short [1]
    self-test result: another segment in self test failed [7]
    self-test number = 3
    address of first error = 0x1aad9
    sense key = 0x3 [Medium Error] , asc = 0x11, ascq = 0x0      [Additional sense: Unrecovered read error]
  Parameter code = 3, accumulated power-on hours = 34600
    self-test code: background extended [2]
    self-test result: completed without error [0]
  Parameter code = 4, accumulated power-on hours = 34000
    self-test code: background extended [2]
    self-test result: aborted by SEND DIAGNOSTIC [1]
"""


def test_sg_logs() -> None:
    """Older smartctl has nothing of it in JSON."""
    assert parse_scsi_tests(SG_LOGS) == SelfTests(
        offered=True,
        running=True,
        log=(
            SelfTest("short", TestResult.FAILED, "another segment in self test failed", 34617, 109273),
            SelfTest("long", TestResult.PASSED, "completed without error", 34600),
            SelfTest("long", TestResult.ABORTED, "aborted by SEND DIAGNOSTIC", 34000),
        ),
    )
    assert parse_scsi_tests("Self-test results page  [0x10]\n") == SelfTests(offered=True, running=False)
    assert parse_scsi_tests("sg_logs: log_sense: failed, Illegal request") is None


def test_sg_logs_cut() -> None:
    """An entry without its result is none, wherever the text ends."""
    for end in range(0, len(SG_LOGS), 7):
        tests = parse_scsi_tests(SG_LOGS[:end])
        assert tests is None or all(one.result is not TestResult.UNKNOWN for one in tests.log)


def test_only_the_newest_scsi_test_can_run() -> None:
    older = SG_LOGS.replace("completed without error [0]", "self test in progress [15]")
    tests = parse_scsi_tests(older.replace("self test in progress [15]", "completed without error [0]", 1))
    assert tests is not None and tests.running is False


@pytest.mark.corpus
def test_an_nvme_entry(corpus: Path) -> None:
    """As nvme-cli prints it, within the page that it belongs to."""
    entry = json.loads((corpus / "nvme" / "json-entry-passed-extended.json").read_text())
    page = {
        "Current Device Self-Test Operation": 1,
        "Current Device Self-Test Completion": 35,
        "List of Valid Reports": [
            entry,
            {**entry, "Self test result": 7, "Self test code": 1, "Valid Diagnostic Information": 2, "Failing LBA": 99},
            {**entry, "Self test result": 2, "Failing LBA": (1 << 64) - 1},
            {"Self test result": 15},
        ],
    }
    assert parse_nvme_tests(json.dumps(page)) == SelfTests(
        running=True,
        remaining=65,
        log=(
            SelfTest("long", TestResult.PASSED, "completed without error", 285),
            SelfTest("short", TestResult.FAILED, "segments failed", 285, 99),
            SelfTest("long", TestResult.ABORTED, "aborted by a reset of the controller", 285),
        ),
    )


@pytest.mark.corpus
def test_no_other_nvme_file_is_a_log(corpus: Path) -> None:
    """Neither the texts of older releases nor an entry on its own are taken for a drive without failures."""
    for file in (corpus / "nvme").iterdir():
        assert parse_nvme_tests(file.read_text(encoding="utf-8", errors="replace")) is None, file.name


JUNK = st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.lists(st.integers(), max_size=2)
KEYS = st.sampled_from([
    "Current Device Self-Test Operation", "Current Device Self-Test Completion", "List of Valid Reports",
    "Self test result", "Self test code", "Power on hours", "Failing LBA", "Valid Diagnostic Information",
])  # fmt: skip


@given(st.dictionaries(KEYS, JUNK | st.lists(st.dictionaries(KEYS, JUNK), max_size=3)))
def test_nvme_pages_out_of_shape_raise_nothing(document: dict[str, object]) -> None:
    parse_nvme_tests(json.dumps(document))


@given(st.integers(0, len(SG_LOGS)), st.text(max_size=6), st.integers(0, 40))
def test_scsi_pages_out_of_shape_raise_nothing(place: int, text: str, gone: int) -> None:
    parse_scsi_tests(SG_LOGS[:place] + text + SG_LOGS[place + gone :])
