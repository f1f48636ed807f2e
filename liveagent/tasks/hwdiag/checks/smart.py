"""What drives say of their own health: assessment, attributes, logs, wear, self-tests."""

from __future__ import annotations

import re
from collections.abc import Iterator

from liveagent.events import Finding, Verdict
from liveagent.machine.device import Device
from liveagent.machine.inventory import Inventory
from liveagent.machine.selftest import SelfTest, TestResult
from liveagent.machine.smart_ata import Attribute, WhenFailed
from liveagent.tasks.hwdiag.check import Check, Code
from liveagent.tasks.hwdiag.policy import Limit, Policy

BACKBLAZE = "Backblaze, drive stats: of the drives that failed most had one of the five above zero, of the others few"
OWN = "own choice"
WATCH = "run a long self-test, and replace the drive if it fails or the count grows"

FAILING = Code(
    "disk.smart.failing",
    Verdict.FAIL,
    "the drive's own assessment says that it is failing: replace it",
    "smartctl(8), exit status, bit 3; ATA SMART RETURN STATUS; SCSI informational exceptions",
)
PREFAIL = Code(
    "disk.smart.prefail",
    Verdict.FAIL,
    "a prefail attribute is at or below the maker's threshold: replace the drive",
    "smartctl(8), -A: WHEN_FAILED of a Pre-fail attribute",
)
USAGE = Code(
    "disk.smart.usage",
    Verdict.WARN,
    "an attribute of age or use is at or below the maker's threshold",
    "smartctl(8), -A: WHEN_FAILED of an Old_age attribute",
)
PAST = Code(
    "disk.smart.past",
    Verdict.WARN,
    "a prefail attribute was at or below the maker's threshold in the past",
    "smartctl(8), -A: In_the_past",
)
_ROTATING = "disks that rotate"
REALLOCATED = Code(
    "disk.smart.reallocated",
    Verdict.WARN,
    "sectors were replaced by spares (attribute 5)",
    BACKBLAZE,
    (
        Limit("disk.reallocated", 0, "sectors", BACKBLAZE),
        Limit("disk.reallocated_ssd", 100, "blocks", f"{OWN}: flash retires blocks as it wears, and has a threshold"),
    ),
)
REPORTED = Code(
    "disk.smart.reported_uncorrectable",
    Verdict.WARN,
    "reads failed that no correction could save (attribute 187)",
    BACKBLAZE,
    (Limit("disk.reported_uncorrectable", 0, "errors", BACKBLAZE),),
)
TIMEOUTS = Code(
    "disk.smart.command_timeout",
    Verdict.WARN,
    "commands took too long (attribute 188): look at cable, backplane and power, then at the drive",
    f"{BACKBLAZE}; {_ROTATING} only",
    (Limit("disk.command_timeouts", 100, "commands", f"{OWN}: power cycles and resets leave some on sound drives"),),
)
PENDING = Code(
    "disk.smart.pending",
    Verdict.WARN,
    "sectors cannot be read and wait to be replaced (attribute 197, the log of pending defects)",
    BACKBLAZE,
    (Limit("disk.pending", 0, "sectors", BACKBLAZE),),
)
UNCORRECTABLE = Code(
    "disk.smart.uncorrectable",
    Verdict.WARN,
    "the drive's own scan found sectors that cannot be read (attribute 198)",
    BACKBLAZE,
    (Limit("disk.uncorrectable", 0, "sectors", BACKBLAZE),),
)
CRC = Code(
    "disk.smart.crc",
    Verdict.WARN,
    "transfers between drive and controller were damaged (attribute 199): look at cable and backplane",
    "drivedb.h, attribute 199; the counter never goes back",
    (Limit("disk.crc_errors", 20, "errors", f"{OWN}: plugging and unplugging leaves a few for ever"),),
)
NVME_WARNING = Code(
    "disk.nvme.critical_warning",
    Verdict.FAIL,
    "the drive has set a critical warning",
    "NVM Express base specification 2.0, SMART log, Critical Warning",
)
SPARE = Code(
    "disk.nvme.spare",
    Verdict.FAIL,
    "the spare is at or below the drive's threshold: replace the drive",
    "NVM Express base specification 2.0, SMART log, Available Spare Threshold",
)
MEDIA_ERRORS = Code(
    "disk.nvme.media_errors",
    Verdict.WARN,
    "data could not be read back as it was written",
    "NVM Express base specification 2.0, SMART log, Media and Data Integrity Errors",
    (Limit("disk.media_errors", 0, "errors", "the specification counts unrecovered errors alone"),),
)
WORN = Code(
    "disk.wear.end",
    Verdict.FAIL,
    "the drive has reached the end of the life that its maker gives it: replace it",
    "NVM Express base specification 2.0, Percentage Used; SCSI percentage used endurance indicator; ACS-4 statistics",
    (Limit("disk.wear_end", 100, "%", "100 % is the maker's estimate of its life"),),
)
WEAR = Code(
    "disk.wear",
    Verdict.WARN,
    "the drive is near the end of the life that its maker gives it",
    "NVM Express base specification 2.0, Percentage Used; SCSI percentage used endurance indicator; ACS-4 statistics",
    (Limit("disk.wear", 90, "%", f"{OWN}, as smartd and vendors' tools have it"),),
)
GROWN = Code(
    "disk.scsi.grown_defects",
    Verdict.WARN,
    "blocks were given up since the drive was made",
    "SPC-5, grown defect list",
    (Limit("disk.grown_defects", 0, "blocks", f"{OWN}, like attribute 5"),),
)
SCSI_PENDING = Code(
    "disk.scsi.pending",
    Verdict.WARN,
    "blocks cannot be read and wait to be replaced",
    "SBC-4, pending defects log page; background scan results with a medium error",
    (Limit("disk.scsi_pending", 0, "blocks", f"{OWN}, like attribute 197"),),
)
UNCORRECTED = Code(
    "disk.scsi.uncorrected",
    Verdict.WARN,
    "errors that no correction could save",
    "SPC-5, error counter log pages, total uncorrected errors",
    (Limit("disk.uncorrected", 0, "errors", f"{OWN}, like attribute 187"),),
)
TEST_FAILED = Code(
    "disk.selftest.failed",
    Verdict.FAIL,
    "a self-test of the drive failed, and none after it that says as much passed: replace it",
    "the drive's own log; ACS-4, SPC-5, NVM Express base specification 2.0",
)
TEST_FAILED_BEFORE = Code(
    "disk.selftest.failed_before",
    Verdict.WARN,
    "a self-test failed before, and a later one passed",
    "the drive's own log; ACS-4, SPC-5, NVM Express base specification 2.0",
)
# What comes of the self-tests that are asked for (`selftest=`).
TEST_PASSED = Code(
    "disk.selftest.passed", Verdict.PASS, "the self-test that was asked for passed", "the drive's own log"
)
TEST_UNKNOWN = Code(
    "disk.selftest.unknown",
    Verdict.UNKNOWN,
    "the self-test that was asked for did not come to an end: run it again",
    "the drive's own log; twice the drive's own estimate as the limit",
)
TEST_NOT_OFFERED = Code(
    "disk.selftest.not_offered",
    Verdict.PASS,
    "the drive has no self-test: not measured",
    "ACS-4, SPC-5, NVM Express base specification 2.0 (OACS)",
)

# The names that drivedb.h gives to an attribute which is what its number says; on other drives it may be anything.
_NAMES = {
    5: re.compile(r"Realloc|Retired_Block|Bad_Block", re.I),
    187: re.compile(r"Reported_Uncorrect|Uncorrectable_Error", re.I),
    188: re.compile(r"Command_Timeout", re.I),
    197: re.compile(r"Pending", re.I),
    198: re.compile(r"Offline_Uncorrect", re.I),
    199: re.compile(r"CRC_Error", re.I),
}


def find(inventory: Inventory, policy: Policy) -> Iterator[Finding]:
    for device in inventory.disks:
        if device.health:
            yield from _find_assessment(device)
            yield from _find_attributes(device, policy)
            yield from _find_nvme(device, policy)
            yield from _find_scsi(device, policy)
            yield from _find_wear(device, policy)
        yield from _find_tests(device)


def _find_assessment(device: Device) -> Iterator[Finding]:
    """NVMe drives say by their warnings what it is."""
    if device.health and device.health.passed is False and not device.health.critical_warning:
        yield FAILING.found(device.label, f"{device.name} says itself that it is failing: replace it")
    for attribute in device.ata.attributes if device.ata else ():
        code = _judge(attribute)
        if code:
            shown = f"{attribute.id} {attribute.name}"
            when = "is" if attribute.when_failed is WhenFailed.NOW else "was"
            yield code.found(
                device.label,
                f"attribute {shown} {when} at or below its threshold {attribute.threshold}",
                attribute=attribute.id,
                value=attribute.value,
                worst=attribute.worst,
                threshold=attribute.threshold,
                raw=attribute.raw_text,
            )


def _judge(attribute: Attribute) -> Code | None:
    """What has no consequence is none: a temperature that was too high once stays in the past for ever."""
    if attribute.when_failed is WhenFailed.NOW:
        return PREFAIL if attribute.prefail else USAGE
    return PAST if attribute.when_failed is WhenFailed.PAST and attribute.prefail else None


def _find_attributes(device: Device, policy: Policy) -> Iterator[Finding]:
    if not device.ata:
        return
    counts = {
        one.id: one.raw
        for one in device.ata.attributes
        if one.raw is not None and one.id in _NAMES and _NAMES[one.id].search(one.name)
    }
    spins = device.rotation is not None and device.rotation > 0
    pending = max((count for count in (counts.get(197), device.ata.pending) if count is not None), default=None)
    timeouts = device.ata.timeouts if spins and 188 in counts else None
    yield from _beyond(REALLOCATED, device, policy, counts.get(5), "reallocated sectors", WATCH, 0 if spins else 1)
    yield from _beyond(REPORTED, device, policy, counts.get(187), "errors that could not be corrected", WATCH)
    yield from _beyond(TIMEOUTS, device, policy, timeouts, "commands that took too long", "look at cable and power")
    yield from _beyond(PENDING, device, policy, pending, "sectors that cannot be read", WATCH)
    yield from _beyond(UNCORRECTABLE, device, policy, counts.get(198), "sectors that cannot be read", WATCH)
    yield from _beyond(CRC, device, policy, counts.get(199), "damaged transfers", "look at cable and backplane")


def _beyond(
    code: Code, device: Device, policy: Policy, count: int | None, words: str, advice: str, limit: int = 0
) -> Iterator[Finding]:
    """A count beyond the threshold of a code; `limit` is the number of the one that counts, of several."""
    threshold = policy.limit(code.limits[limit], device.model)
    if count is not None and count > threshold:
        yield code.found(device.label, f"{words}: {count}; {advice}", count=count, threshold=threshold)


def _find_nvme(device: Device, policy: Policy) -> Iterator[Finding]:
    nvme = device.nvme
    if not nvme:
        return
    for words in nvme.warnings:
        yield NVME_WARNING.found(device.label, f"{words}: replace the drive", warning=nvme.critical_warning)
    # A drive of a hypervisor has neither, and says 0 for both.
    if nvme.spare is not None and nvme.spare_threshold and nvme.spare <= nvme.spare_threshold:
        summary = f"spare {nvme.spare} %, threshold {nvme.spare_threshold} %: replace the drive"
        yield SPARE.found(device.label, summary, spare=nvme.spare, threshold=nvme.spare_threshold)
    yield from _beyond(MEDIA_ERRORS, device, policy, nvme.media_errors, "errors of medium or data", WATCH)


def _find_scsi(device: Device, policy: Policy) -> Iterator[Finding]:
    scsi = device.scsi
    if not scsi:
        return
    yield from _beyond(GROWN, device, policy, scsi.grown_defects, "grown defects", WATCH)
    unreadable = scsi.scan.unreadable if scsi.scan else None
    pending = max((count for count in (scsi.pending, unreadable) if count is not None), default=None)
    yield from _beyond(SCSI_PENDING, device, policy, pending, "blocks that cannot be read", WATCH)
    yield from _beyond(UNCORRECTED, device, policy, scsi.uncorrected, "errors that could not be corrected", WATCH)


def _find_wear(device: Device, policy: Policy) -> Iterator[Finding]:
    used = device.health.percentage_used if device.health else None
    if used is None:
        return
    for code, words in ((WORN, "replace it"), (WEAR, "plan to replace it")):
        threshold = policy.limit(code.limits[0], device.model)
        if used >= threshold:
            yield code.found(device.label, f"worn to {used} %: {words}", used=used, threshold=threshold)
            return


def _find_tests(device: Device) -> Iterator[Finding]:
    """The newest that somebody did not end counts; a longer one that passed later outweighs a failure."""
    tests = device.self_tests.log if device.self_tests else ()
    ended = [one for one in tests if one.result in (TestResult.PASSED, TestResult.FAILED)]
    failures = [one for one in ended if one.result is TestResult.FAILED]
    if not failures:
        return
    code = TEST_FAILED if ended[0].result is TestResult.FAILED or not _outweighs(ended, failures[0]) else None
    code = code or TEST_FAILED_BEFORE
    failed = failures[0]
    at = f" at block {failed.lba}" if failed.lba is not None else ""
    yield code.found(
        device.label,
        f"{failed.kind} self-test failed: {failed.says}{at}",
        says=failed.says,
        hours=failed.hours,
        lba=failed.lba,
        failures=len(failures),
        tests=len(ended),
    )


def _outweighs(ended: list[SelfTest], failed: SelfTest) -> bool:
    """Whether a test after the failed one says more than it did: any, or a long one after a long one."""
    later = ended[: ended.index(failed)]
    return any(one.kind == "long" or failed.kind != "long" for one in later)


CHECKS = (
    Check(
        (
            FAILING, PREFAIL, USAGE, PAST, REALLOCATED, REPORTED, TIMEOUTS, PENDING, UNCORRECTABLE, CRC, NVME_WARNING,
            SPARE, MEDIA_ERRORS, WORN, WEAR, GROWN, SCSI_PENDING, UNCORRECTED, TEST_FAILED, TEST_FAILED_BEFORE,
        ),
        find,
    ),
    # What `selftest.run_selftests` finds, for the table of codes and for policies.
    Check((TEST_PASSED, TEST_UNKNOWN, TEST_NOT_OFFERED), lambda inventory, policy: ()),
)  # fmt: skip
