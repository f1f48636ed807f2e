"""How a drive is: what smartctl reads of ATA, NVMe and SCSI drives, and what got worse between two looks."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

from liveagent.events import JSON
from liveagent.host import Host
from liveagent.machine.disks import Disk
from liveagent.machine.question import Questions
from liveagent.machine.smartctl import FAILING, BadPage, Page, look_up, parse_page, read_number

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
        return read_health(parse_page(text))
    except BadPage:
        return None


def read_health(page: Page) -> Health | None:
    """What a page says of a drive's state; None where the drive told nothing of it."""
    if not page.was_asked:
        return None
    health = Health(
        passed=_read_passed(page),
        serial=str(page.get("serial_number") or "").strip(),
        power_on_hours=page.number("power_on_time", "hours"),
        power_cycles=page.number("power_cycle_count"),
        start_stop=page.number("scsi_start_stop_cycle_counter", "accumulated_start_stop_cycles"),
        # A drive without a sensor says 0.
        temperature=page.number("temperature", "current") or None,
        media_errors=page.number("nvme_smart_health_information_log", "media_errors"),
        grown_defects=page.number("scsi_grown_defect_list"),
        percentage_used=_read_used(page),
        available_spare=page.first(*_SPARE),
        exit_status=page.status,
        messages=page.messages,
        **_read_warning(page),
        **_read_counters(page),
    )
    return health if any(getattr(health, name) is not None for name in _MEASURED) else None


_USED = (
    ("nvme_smart_health_information_log", "percentage_used"),
    ("scsi_percentage_used_endurance_indicator",),
    ("endurance_used", "current_percent"),
)
_SPARE = (("nvme_smart_health_information_log", "available_spare"), ("spare_available", "current_percent"))


# Attributes of flash whose normalized value counts down from 100, and whose drives they mean that of: the same names
# stand in smartctl's table for others, which count something else there.
_LEFT = (
    ("Media_Wearout_Indicator", r"INTEL "),
    ("Percent_Lifetime_Remain", r"Micron|Crucial|MTFD|CT\d"),
    ("Wear_Leveling_Count", r"SAMSUNG|Samsung|SSD 8\d0 "),
)


def _read_used(page: Page) -> int | None:
    """How much of a drive's endurance is used, in percent; it may be more than 100."""
    used = page.first(*_USED)
    if used is None:
        used = dict(read_statistics(page)).get("Percentage Used Endurance Indicator")
    if used is None:
        model = page.text("model_name")
        names = {name for name, models in _LEFT if re.search(models, model)}
        left = [
            read_number(row, "value")
            for row in page.rows("ata_smart_attributes", "table")
            if str(row.get("name")) in names
        ]
        used = next((100 - value for value in left if value and value <= 100), None)
    return used


def read_statistics(page: Page) -> Iterator[tuple[str, int]]:
    """The device statistics (ACS-3, 9.5) that are valid, by their names in smartctl."""
    for part in page.rows("ata_device_statistics", "pages"):
        table = part.get("table")
        for row in table if isinstance(table, list) else ():
            value = read_number(row, "value")
            if value is not None and look_up(row, "flags", "valid") is True:
                yield str(look_up(row, "name")), value


def _read_passed(page: Page) -> bool | None:
    return False if (page.status or 0) & FAILING else page.flag("smart_status", "passed")


def _read_warning(page: Page) -> dict[str, Any]:
    warning = page.number("nvme_smart_health_information_log", "critical_warning")
    return {
        "critical_warning": warning,
        "read_only": None if warning is None else bool(warning & WARNING_READ_ONLY),
    }


def _read_counters(page: Page) -> dict[str, Any]:
    """ATA attributes, or the SCSI error counters."""
    counters = {}
    for attribute in page.rows("ata_smart_attributes", "table"):
        name = ATTRIBUTES.get(read_number(attribute, "id") or 0)
        value = read_raw(attribute.get("raw"))
        if name and value is not None and not NO_ATTRIBUTE.search(str(attribute.get("name"))):
            counters[name] = value
    log = page.get("scsi_error_counter_log")
    if isinstance(log, dict):
        errors = [read_number(part, "total_uncorrected_errors") for part in log.values()]
        if errors and None not in errors:
            counters["uncorrectable"] = sum(filter(None, errors))
    return counters


def read_raw(raw: Any) -> int | None:
    """A raw value, six bytes of which may hold more than one number: smartctl's own reading has to agree with it."""
    value, words = read_number(raw, "value"), re.match(r"\d+", str(look_up(raw, "string")))
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
