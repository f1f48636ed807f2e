"""What smartctl reads of an ATA drive: its attributes, its logs, its statistics."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator

from liveagent.machine.smart import read_raw, read_statistics
from liveagent.machine.smartctl import Page, look_up, read_number

# Attribute 188 as Seagate packs it: three words, all timeouts in the lowest, those over 5 s and over 7.5 s above it.
# drivedb.h calls that raw16; a drive that it does not know shows one large number instead.
COMMAND_TIMEOUT = 188
WORD = 0xFFFF
SECTOR = 512


class WhenFailed(enum.Enum):
    """Whether an attribute is, or ever was, at or below its threshold."""

    NEVER = ""
    NOW = "now"
    PAST = "past"


@dataclasses.dataclass(frozen=True)
class Attribute:
    """A line of the SMART attributes. `value`, `worst` and `threshold` count down from 253, 200 or 100.

    `raw` is None where its six bytes and smartctl's reading of them (`raw_text`) do not agree: then it is more than
    a number. `prefail`: at its threshold the drive is about to fail; of others it is worn.
    """

    id: int
    name: str
    value: int | None
    worst: int | None
    threshold: int | None
    raw: int | None
    raw_text: str
    prefail: bool
    when_failed: WhenFailed


@dataclasses.dataclass(frozen=True)
class AtaHealth:
    """What an ATA drive has recorded of itself; None where it does not say.

    `errors`: entries that its error log ever had. `pending`: sectors in its log of pending defects. `timeouts`:
    commands that took too long. `link_errors`: transfers over the cable that failed their checksum. `written` and
    `read` in bytes. All but the attributes and timeouts are standard (ACS-4), and mean the same on every drive.
    """

    attributes: tuple[Attribute, ...] = ()
    errors: int | None = None
    pending: int | None = None
    timeouts: int | None = None
    link_errors: int | None = None
    written: int | None = None
    read: int | None = None


def read_ata(page: Page) -> AtaHealth | None:
    """The ATA part of a page; None where it has none."""
    attributes = tuple(_read_attributes(page))
    statistics = dict(read_statistics(page))
    block = page.number("logical_block_size") or SECTOR
    found = AtaHealth(
        attributes=attributes,
        errors=page.first(("ata_smart_error_log", "extended", "count"), ("ata_smart_error_log", "summary", "count")),
        pending=page.number("ata_pending_defects_log", "count"),
        timeouts=_read_timeouts(page),
        link_errors=statistics.get("Number of Interface CRC Errors"),
        written=_times(statistics.get("Logical Sectors Written"), block),
        read=_times(statistics.get("Logical Sectors Read"), block),
    )
    return found if found != AtaHealth() else None


def _times(count: int | None, size: int) -> int | None:
    return None if count is None else count * size


def _read_attributes(page: Page) -> Iterator[Attribute]:
    for row in page.rows("ata_smart_attributes", "table"):
        number = read_number(row, "id")
        if number is None or not 0 < number < 256:
            continue
        when = look_up(row, "when_failed")
        yield Attribute(
            id=number,
            name=str(row.get("name") or ""),
            value=_read_byte(row, "value"),
            worst=_read_byte(row, "worst"),
            threshold=_read_byte(row, "thresh"),
            raw=read_raw(row.get("raw")),
            raw_text=str(look_up(row, "raw", "string") or ""),
            prefail=look_up(row, "flags", "prefailure") is True,
            when_failed=WhenFailed(when) if when in ("now", "past") else WhenFailed.NEVER,
        )


def _read_byte(row: object, name: str) -> int | None:
    value = read_number(row, name)
    return value if value is not None and value < 256 else None


def _read_timeouts(page: Page) -> int | None:
    """By smartctl's number: of three words its text has the highest first, which is another count."""
    for row in page.rows("ata_smart_attributes", "table"):
        if read_number(row, "id") == COMMAND_TIMEOUT:
            value = read_number(row, "raw", "value")
            return None if value is None else value & WORD
    return None
