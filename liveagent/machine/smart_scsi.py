"""What smartctl and sg_logs read of a SAS or SCSI drive: its counters, its defects, its background scan."""

from __future__ import annotations

import dataclasses
import re

from liveagent.machine.smartctl import MOST, Page, look_up, read_number

# SPC-5: the sense key of a background scan's result that tells of a block which cannot be read.
MEDIUM_ERROR = 3
GIGABYTE = 10**9
MINUTE = 60


@dataclasses.dataclass(frozen=True)
class ErrorCounters:
    """A log page of error counters (SPC-5, 7.3.6): corrected, and how, and uncorrected, of so many bytes."""

    fast: int | None = None
    delayed: int | None = None
    retried: int | None = None
    corrected: int | None = None
    uncorrected: int | None = None
    processed: int | None = None


@dataclasses.dataclass(frozen=True)
class BackgroundScan:
    """The scan that the drive makes on its own; `unreadable`: blocks it found that cannot be read."""

    status: str = ""
    scans: int | None = None
    unreadable: int | None = None


@dataclasses.dataclass(frozen=True)
class ScsiHealth:
    """What a SAS or SCSI drive has recorded of itself; None where it does not say.

    `grown_defects`: blocks that it gave up since it was made; `pending`: that it would like to. `used`: wear in %.
    `non_medium`: errors that are not the medium's. `made` is year-week. `starts` and `loads` are counts.
    """

    grown_defects: int | None = None
    pending: int | None = None
    used: int | None = None
    read: ErrorCounters | None = None
    write: ErrorCounters | None = None
    verify: ErrorCounters | None = None
    non_medium: int | None = None
    scan: BackgroundScan | None = None
    made: str = ""
    starts: int | None = None
    loads: int | None = None

    @property
    def uncorrected(self) -> int | None:
        """What could not be corrected, reading, writing or verifying; None where no page says."""
        said = [one.uncorrected for one in (self.read, self.write, self.verify) if one and one.uncorrected is not None]
        return sum(said) if said else None


def read_scsi(page: Page) -> ScsiHealth | None:
    """The SCSI part of a page; None where it has none."""
    cycles = "scsi_start_stop_cycle_counter"
    year, week = page.text(cycles, "year_of_manufacture"), page.text(cycles, "week_of_manufacture")
    found = ScsiHealth(
        grown_defects=page.number("scsi_grown_defect_list"),
        pending=page.number("scsi_pending_defects", "count"),
        used=page.first(("scsi_percentage_used_endurance_indicator",), ("endurance_used", "current_percent"))
        if page.protocol == "SCSI"
        else None,
        read=_read_counters(page, "read"),
        write=_read_counters(page, "write"),
        verify=_read_counters(page, "verify"),
        scan=_read_scan(page),
        made=f"{year}-{week}" if re.fullmatch(r"(19|20)\d\d", year) and re.fullmatch(r"\d\d", week) else "",
        starts=page.number(cycles, "accumulated_start_stop_cycles"),
        loads=page.number(cycles, "accumulated_load_unload_cycles"),
    )
    return found if found != ScsiHealth() else None


def _read_counters(page: Page, name: str) -> ErrorCounters | None:
    path = ("scsi_error_counter_log", name)
    if not isinstance(page.get(*path), dict):
        return None
    return ErrorCounters(
        fast=page.number(*path, "errors_corrected_by_eccfast"),
        delayed=page.number(*path, "errors_corrected_by_eccdelayed"),
        retried=page.number(*path, "errors_corrected_by_rereads_rewrites"),
        corrected=page.number(*path, "total_errors_corrected"),
        uncorrected=page.number(*path, "total_uncorrected_errors"),
        processed=_parse_gigabytes(page.get(*path, "gigabytes_processed")),
    )


def _parse_gigabytes(value: object) -> int | None:
    """Bytes; smartctl prints billions of them as text."""
    if not re.fullmatch(r"\d{1,15}(\.\d{1,3})?", str(value)):
        return None
    processed = round(float(str(value)) * GIGABYTE)
    return processed if processed < MOST else None


def _read_scan(page: Page) -> BackgroundScan | None:
    path = ("scsi_background_scan", "status")
    if not isinstance(page.get(*path), dict):
        return None
    results = page.numbered("result_", "scsi_background_scan")
    return BackgroundScan(
        status=page.text(*path, "string"),
        scans=page.number(*path, "number_scans_performed"),
        unreadable=sum(read_number(look_up(row, "sense_key"), "value") == MEDIUM_ERROR for row in results),
    )


def parse_non_medium(text: str) -> int | None:
    """`sg_logs --page=0x6`: errors that are not the medium's; None where the drive has no such page."""
    return _parse_count(r"Non-medium error count =", text)


def parse_pending(text: str) -> int | None:
    """`sg_logs --page=0x15,0x1`: blocks that wait to be given up; None where the drive has no such page (SBC-4)."""
    return _parse_count(r"Pending defect count:", text)


def _parse_count(words: str, text: str) -> int | None:
    match = re.search(rf"{words} {{1,8}}(\d{{1,19}})(?!\d)", text, re.ASCII)
    count = int(match.group(1)) if match else None
    return count if count is not None and count < MOST else None
