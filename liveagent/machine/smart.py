"""How a drive is: what smartctl reads of ATA, NVMe and SCSI drives, and what got worse between two looks."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from liveagent.events import JSON
from liveagent.host import Host
from liveagent.machine.disks import Disk
from liveagent.machine.question import Questions

# smartctl(8), exit status: a bitmask. Bits 0 and 1: nothing was asked of the drive. Bit 3: it says that it is failing.
# The other bits are about its past, or about one command of many.
NOT_ASKED, FAILING = 0b11, 1 << 3
# The ATA attributes whose raw value means the same on every drive that has them (smartmontools, drivedb.h).
ATTRIBUTES = {
    5: "reallocated",
    187: "reported_uncorrectable",
    197: "pending",
    198: "uncorrectable",
    199: "crc_errors",
}
NO_ATTRIBUTE = re.compile(r"not_in_use|unknown", re.IGNORECASE)
# NVM Express base specification 2.0, SMART log, Critical Warning.
WARNINGS = {
    0: "the spare is below its threshold",
    1: "a temperature is beyond its threshold",
    2: "the reliability is degraded",
    3: "the medium is read-only",
    4: "the backup of the volatile memory has failed",
    5: "the persistent memory region is read-only or unreliable",
}
WARNING_READ_ONLY = 1 << 3


@dataclasses.dataclass(frozen=True)
class Health:
    """What a drive says of its state; None where it does not.

    `passed` is its own overall assessment. Hours and °C; `percentage_used` is wear and may go beyond 100,
    `available_spare` goes down from 100. `uncorrectable`: ATA attribute 198, or the errors of the SCSI error counters.
    `media_errors` and `critical_warning` are NVMe's, `grown_defects` SCSI's. `exit_status` is smartctl's bitmask,
    `messages` are its complaints.
    """

    passed: bool | None = None
    serial: str = ""
    power_on_hours: int | None = None
    power_cycles: int | None = None
    start_stop: int | None = None
    temperature: int | None = None
    reallocated: int | None = None
    reported_uncorrectable: int | None = None
    pending: int | None = None
    uncorrectable: int | None = None
    crc_errors: int | None = None
    media_errors: int | None = None
    grown_defects: int | None = None
    percentage_used: int | None = None
    available_spare: int | None = None
    critical_warning: int | None = None
    read_only: bool | None = None
    exit_status: int | None = None
    messages: tuple[str, ...] = ()

    def encode(self) -> dict[str, JSON]:
        return {**dataclasses.asdict(self), "messages": list(self.messages)}


# What a drive that answers says at least one of.
_MEASURED = tuple(
    field.name
    for field in dataclasses.fields(Health)
    if field.name not in ("serial", "exit_status", "messages", "power_cycles")
)


def parse_health(text: str) -> Health | None:
    """`smartctl --json=c --all`; None where the drive told nothing of its health."""
    try:
        document = json.loads(text)
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    status = _number(document, "smartctl", "exit_status")
    if status is not None and status & NOT_ASKED:
        return None
    health = Health(
        passed=_parse_passed(document, status),
        serial=str(document.get("serial_number", "")).strip(),
        power_on_hours=_number(document, "power_on_time", "hours"),
        power_cycles=_number(document, "power_cycle_count"),
        start_stop=_number(document, "scsi_start_stop_cycle_counter", "accumulated_start_stop_cycles"),
        # A drive without a sensor says 0.
        temperature=_number(document, "temperature", "current") or None,
        media_errors=_number(document, "nvme_smart_health_information_log", "media_errors"),
        grown_defects=_number(document, "scsi_grown_defect_list"),
        percentage_used=_first(document, _USED),
        available_spare=_first(document, _SPARE),
        exit_status=status,
        messages=tuple(_parse_messages(document)),
        **_parse_warning(document),
        **_parse_counters(document),
    )
    return health if any(getattr(health, name) is not None for name in _MEASURED) else None


_USED = (
    ("nvme_smart_health_information_log", "percentage_used"),
    ("scsi_percentage_used_endurance_indicator",),
    ("endurance_used", "current_percent"),
)
_SPARE = (("nvme_smart_health_information_log", "available_spare"), ("spare_available", "current_percent"))


def _look(document: Any, *path: str) -> Any:
    for key in path:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def _number(document: Any, *path: str) -> int | None:
    value = _look(document, *path)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _first(document: Any, paths: tuple[tuple[str, ...], ...]) -> int | None:
    return next((number for path in paths if (number := _number(document, *path)) is not None), None)


def _parse_passed(document: Mapping[str, Any], status: int | None) -> bool | None:
    passed = _look(document, "smart_status", "passed")
    if status is not None and status & FAILING:
        return False
    return passed if isinstance(passed, bool) else None


def _parse_messages(document: Mapping[str, Any]) -> Iterator[str]:
    messages = _look(document, "smartctl", "messages")
    for message in messages if isinstance(messages, list) else ():
        if _look(message, "string"):
            yield str(message["string"])


def _parse_warning(document: Mapping[str, Any]) -> dict[str, Any]:
    warning = _number(document, "nvme_smart_health_information_log", "critical_warning")
    return {
        "critical_warning": warning,
        "read_only": None if warning is None else bool(warning & WARNING_READ_ONLY),
    }


def _parse_counters(document: Mapping[str, Any]) -> dict[str, Any]:
    """ATA attributes, or the SCSI error counters."""
    counters = {}
    table = _look(document, "ata_smart_attributes", "table")
    for attribute in table if isinstance(table, list) else ():
        name = ATTRIBUTES.get(_look(attribute, "id"))
        value = _parse_raw(_look(attribute, "raw"))
        if name and value is not None and not NO_ATTRIBUTE.search(str(_look(attribute, "name"))):
            counters[name] = value
    log = _look(document, "scsi_error_counter_log")
    if isinstance(log, dict):
        errors = [_number(part, "total_uncorrected_errors") for part in log.values()]
        if errors and None not in errors:
            counters["uncorrectable"] = sum(filter(None, errors))
    return counters


def _parse_raw(raw: Any) -> int | None:
    """A raw value, six bytes of which may hold more than one number: smartctl's own reading has to agree with it."""
    value, words = _number(raw, "value"), re.match(r"\d+", str(_look(raw, "string")))
    shown = int(words.group(0)) if words else None
    if value is None or shown is None:
        return None
    return shown if shown in (value, value & 0xFFFFFFFF, value & 0xFFFF) else None


# Counters that ought to stay as they are, as people name them. Wear and hours do not: a wipe adds to both.
_GROWING = {
    "reallocated": "reallocated sectors",
    "reported_uncorrectable": "reported uncorrectable errors",
    "pending": "pending sectors",
    "uncorrectable": "uncorrectable errors",
    "crc_errors": "transfer errors on the cable",
    "media_errors": "media errors",
    "grown_defects": "grown defects",
}


def compare(before: Health, after: Health) -> list[str]:
    """What got worse, in words; only what both looks know is compared."""
    worse = []
    if before.passed and after.passed is False:
        worse.append("the drive no longer passes its own assessment")
    for name, words in _GROWING.items():
        old, new = getattr(before, name), getattr(after, name)
        if old is not None and new is not None and new > old:
            worse.append(f"{words}: {old} before, {new} after")
    old, new = before.available_spare, after.available_spare
    if old is not None and new is not None and new < old:
        worse.append(f"available spare: {old} % before, {new} % after")
    if before.critical_warning is not None and after.critical_warning is not None:
        raised = after.critical_warning & ~before.critical_warning
        worse += [f"a new warning: {words}" for bit, words in WARNINGS.items() if raised & (1 << bit)]
    return worse


def probe_health(host: Host, disk: Disk, questions: Questions | None = None) -> Health | None:
    """How the drive is; None where it does not say, or smartctl is not there. Its exit status is a bitmask."""
    said = (questions or Questions(host)).ask(["smartctl", "--json=c", "--all", disk.path])
    return parse_health(said.stdout) if said else None
