"""The self-tests of a drive: those it remembers, the one that runs, and how long one takes, whatever the protocol."""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from liveagent.machine.smart_nvme import parse_object
from liveagent.machine.smartctl import Page, look_up, read_number

MINUTE = 60


class TestResult(enum.Enum):
    """How a self-test ended. ABORTED says nothing of the drive: somebody, or a reset, ended it."""

    __test__ = False  # for pytest, which takes the name for a test's

    PASSED = "passed"
    FAILED = "failed"
    ABORTED = "aborted"
    RUNNING = "running"
    UNKNOWN = "unknown"


@dataclasses.dataclass(frozen=True)
class SelfTest:
    """A self-test in the drive's log. `kind`: short, long, or the drive's own word; `says`: the result in words.

    `hours`: the drive's age when it ended; ATA and SCSI count to 65535 and begin anew. `lba`: the first block that
    could not be read; None where none is named.
    """

    kind: str
    result: TestResult
    says: str
    hours: int | None = None
    lba: int | None = None


@dataclasses.dataclass(frozen=True)
class SelfTests:
    """What a drive says of its self-tests. `offered`: whether it has any; None where that is not said.

    `log`: the newest first, without one that still runs. `remaining`: % of the one that runs, None where none does or
    it does not say; `running`: None where that is not said either. `short`, `long`: the drive's estimates in seconds.
    """

    offered: bool | None = None
    log: tuple[SelfTest, ...] = ()
    running: bool | None = None
    remaining: int | None = None
    short: int | None = None
    long: int | None = None


_KINDS = {"short": re.compile(r"\bshort\b", re.I), "long": re.compile(r"\b(long|extended)\b", re.I)}


def name_kind(words: str) -> str:
    """`Extended offline`, `Background long` and their like as short or long; other words as they are."""
    return next((kind for kind, pattern in _KINDS.items() if pattern.search(words)), words.strip().lower())


# -- ATA --------------------------------------------------------------------------------------------

# ACS-3, SMART READ DATA, the high nibble: 0 done, 1 and 2 ended by somebody, 3 to 8 failed, 15 runs. The low nibble has
# the tenths that are left.
ATA_PASSED, ATA_ABORTED, ATA_FAILED, ATA_RUNNING = 0, (1, 2), range(3, 9), 15


def _judge_ata(status: int | None) -> TestResult:
    code = None if status is None or status > 0xFF else status >> 4
    if code == ATA_PASSED:
        return TestResult.PASSED
    if code == ATA_RUNNING:
        return TestResult.RUNNING
    if code in ATA_ABORTED:
        return TestResult.ABORTED
    return TestResult.FAILED if code in ATA_FAILED else TestResult.UNKNOWN


def read_ata_tests(page: Page) -> SelfTests | None:
    """An ATA drive's; None where the page says nothing of them."""
    table = "extended" if isinstance(page.get("ata_smart_self_test_log", "extended"), dict) else "standard"
    tests = [_read_ata_entry(row) for row in page.rows("ata_smart_self_test_log", table, "table")]
    status = page.number("ata_smart_data", "self_test", "status", "value")
    is_running = None if status is None else _judge_ata(status) is TestResult.RUNNING
    minutes = ("ata_smart_data", "self_test", "polling_minutes")
    found = SelfTests(
        offered=page.flag("ata_smart_data", "capabilities", "self_tests_supported"),
        log=tuple(one for one in tests if one.result is not TestResult.RUNNING),
        running=is_running,
        remaining=min((status & 0xF) * 10, 100) if is_running and status is not None else None,
        short=_seconds(page.number(*minutes, "short")),
        long=_seconds(page.number(*minutes, "extended")),
    )
    return found if found != SelfTests() else None


def _seconds(minutes: int | None) -> int | None:
    """0 and 65535 minutes are no estimates."""
    return minutes * MINUTE if minutes is not None and 0 < minutes < 0xFFFF else None


def _read_ata_entry(row: Mapping[str, Any]) -> SelfTest:
    return SelfTest(
        kind=name_kind(str(look_up(row, "type", "string") or "")),
        result=_judge_ata(read_number(row, "status", "value")),
        says=str(look_up(row, "status", "string") or ""),
        hours=read_number(row, "lifetime_hours"),
        lba=read_number(row, "lba"),
    )


# -- SCSI -------------------------------------------------------------------------------------------

# SPC-5, table 421: 0 done, 1 and 2 ended by somebody, 3 to 7 failed, 15 runs.
SCSI_RESULTS = {
    0: TestResult.PASSED,
    1: TestResult.ABORTED,
    2: TestResult.ABORTED,
    **dict.fromkeys(range(3, 8), TestResult.FAILED),
    15: TestResult.RUNNING,
}


def read_scsi_tests(page: Page) -> SelfTests | None:
    """A SCSI drive's; None where the page says nothing of them, as of every smartctl before 7.3."""
    rows = page.numbered("scsi_self_test_") or tuple(page.rows("scsi_self_test", "table"))
    tests = [_read_scsi_entry(row) for row in rows]
    seconds = page.number("scsi_extended_self_test_seconds")
    if not tests and seconds is None:
        return None
    return SelfTests(
        offered=True,
        log=tuple(one for one in tests if one.result is not TestResult.RUNNING),
        running=_is_running(tests),
        long=seconds or None,
    )


def _is_running(tests: Sequence[SelfTest]) -> bool:
    """By the newest entry: older ones that run for ever were cut off by a power cut."""
    return bool(tests) and tests[0].result is TestResult.RUNNING


def _read_scsi_entry(row: Mapping[str, Any]) -> SelfTest:
    code = read_number(row, "result", "value")
    return SelfTest(
        kind=name_kind(str(look_up(row, "code", "string") or "")),
        result=SCSI_RESULTS.get(-1 if code is None else code, TestResult.UNKNOWN),
        says=str(look_up(row, "result", "string") or ""),
        hours=read_number(row, "power_on_time", "hours"),
        lba=read_number(row, "lba_first_failure", "value"),
    )


def parse_scsi_tests(text: str) -> SelfTests | None:
    """`sg_logs --page=0x10`; None where the drive has no such page."""
    if not re.search(r"^Self-test results page", text, re.MULTILINE):
        return None
    tests = [
        one for block in re.split(r"^  (?=Parameter code = )", text, flags=re.MULTILINE)[1:] if (one := _parse(block))
    ]
    return SelfTests(
        offered=True,
        log=tuple(one for one in tests if one.result is not TestResult.RUNNING),
        running=_is_running(tests),
    )


def _parse(block: str) -> SelfTest | None:
    """One entry of sg_logs; None of one that is cut."""
    code = re.search(r"self-test code: (.*?) \[(\d+)\]", block)
    result = re.search(r"self-test result: (.*?) \[(\d+)\]", block)
    hours = re.search(r"accumulated power-on hours = (\d+)", block)
    lba = re.search(r"address of first error = (0x[0-9a-fA-F]{1,15})\b", block)
    if not code or not result:
        return None
    return SelfTest(
        kind=name_kind(code.group(1)),
        result=SCSI_RESULTS.get(int(result.group(2)[:3]), TestResult.UNKNOWN),
        says=result.group(1),
        hours=int(hours.group(1)) if hours and len(hours.group(1)) < 8 else None,
        lba=int(lba.group(1), 16) if lba else None,
    )


# -- NVMe -------------------------------------------------------------------------------------------

# NVM Express base specification 2.0, Device Self-test log. Results 5 to 7 are failures, 15 is an entry not used.
NVME_RESULTS = {
    0: (TestResult.PASSED, "completed without error"),
    1: (TestResult.ABORTED, "aborted by a command"),
    2: (TestResult.ABORTED, "aborted by a reset of the controller"),
    3: (TestResult.ABORTED, "aborted, since a namespace was removed"),
    4: (TestResult.ABORTED, "aborted by a format"),
    5: (TestResult.FAILED, "a fatal error, or an unknown one"),
    6: (TestResult.FAILED, "a segment failed that is not known"),
    7: (TestResult.FAILED, "segments failed"),
    8: (TestResult.ABORTED, "aborted for an unknown reason"),
    9: (TestResult.ABORTED, "aborted by a sanitize"),
}
NVME_UNUSED = 15
NVME_KINDS = {1: "short", 2: "long", 14: "vendor's own"}
# Valid Diagnostic Information, bit 1: the failing LBA is valid.
LBA_VALID = 1 << 1


def parse_nvme_tests(text: str) -> SelfTests | None:
    """`nvme self-test-log --output-format=json`; None where it is no such page."""
    document = parse_object(text)
    operation = read_number(document, "Current Device Self-Test Operation")
    if operation is None:
        return None
    done = read_number(document, "Current Device Self-Test Completion")
    is_running = operation != 0
    reports = document.get("List of Valid Reports")
    return SelfTests(
        log=tuple(_read_nvme_entries(reports if isinstance(reports, list) else ())),
        running=is_running,
        remaining=100 - done if is_running and done is not None and done <= 100 else None,
    )


def _read_nvme_entries(rows: Any) -> Iterator[SelfTest]:
    for row in rows:
        code = read_number(row, "Self test result")
        if code is None or code == NVME_UNUSED:
            continue
        kind = read_number(row, "Self test code") or 0
        result, says = NVME_RESULTS.get(code, (TestResult.UNKNOWN, f"a result that is not known, {code}"))
        valid = read_number(row, "Valid Diagnostic Information") or 0
        hours = read_number(row, "Power on hours")
        lba = read_number(row, "Failing LBA") if valid & LBA_VALID else None
        yield SelfTest(NVME_KINDS.get(kind, f"code {kind}"), result, says, hours, lba)
