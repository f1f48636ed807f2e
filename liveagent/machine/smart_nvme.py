"""What an NVMe drive says of its health. Fields are those of the NVM Express base specification 2.0."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from liveagent.machine.smart import WARNINGS
from liveagent.machine.smartctl import MOST, Page, read_number
from liveagent.machine.temperatures import parse_kelvin

# SMART log: data units are 1000 blocks of 512 bytes, busy and temperature times are minutes.
DATA_UNIT = 512_000
MINUTE = 60
# Identify Controller, OACS: bit 4 Device Self-test.
OACS_SELF_TEST = 1 << 4
LOG = "nvme_smart_health_information_log"


@dataclasses.dataclass(frozen=True)
class FirmwareSlot:
    """A slot for firmware and what is in it; `active` runs now, `next` will after the next reset."""

    slot: int
    revision: str
    active: bool = False
    next: bool = False


@dataclasses.dataclass(frozen=True)
class NvmeHealth:
    """The SMART log; None where the drive does not say.

    `warnings`: the critical warnings that are set, in words. Spare and its threshold count down from 100 %, `used` is
    wear in % and may go beyond 100. `written` and `read` in bytes. `busy`, `warm`, `hot` in seconds: at work, above the
    warning temperature, above the critical one. `sensors` in °C.
    """

    critical_warning: int | None = None
    warnings: tuple[str, ...] = ()
    spare: int | None = None
    spare_threshold: int | None = None
    used: int | None = None
    media_errors: int | None = None
    error_entries: int | None = None
    unsafe_shutdowns: int | None = None
    written: int | None = None
    read: int | None = None
    busy: int | None = None
    warm: int | None = None
    hot: int | None = None
    sensors: tuple[int, ...] = ()
    firmware_slots: tuple[FirmwareSlot, ...] = ()


@dataclasses.dataclass(frozen=True)
class NvmeLimits:
    """Of Identify Controller: temperatures in °C, None for no limit; whether it tests itself, and how long that takes
    at most, in seconds.
    """

    warning: int | None = None
    critical: int | None = None
    self_test: bool | None = None
    long_test: int | None = None


def read_nvme(page: Page) -> NvmeHealth | None:
    """The NVMe part of a page; None where it has none."""
    if not isinstance(page.get(LOG), dict):
        return None
    warning = page.number(LOG, "critical_warning")
    sensors = page.get(LOG, "temperature_sensors")
    return NvmeHealth(
        critical_warning=warning,
        warnings=tuple(words for bit, words in WARNINGS.items() if (warning or 0) & (1 << bit)),
        spare=page.number(LOG, "available_spare"),
        spare_threshold=page.number(LOG, "available_spare_threshold"),
        used=page.number(LOG, "percentage_used"),
        media_errors=page.number(LOG, "media_errors"),
        error_entries=page.number(LOG, "num_err_log_entries"),
        unsafe_shutdowns=page.number(LOG, "unsafe_shutdowns"),
        written=_times(page.number(LOG, "data_units_written"), DATA_UNIT),
        read=_times(page.number(LOG, "data_units_read"), DATA_UNIT),
        busy=_times(page.number(LOG, "controller_busy_time"), MINUTE),
        warm=_times(page.number(LOG, "warning_temp_time"), MINUTE),
        hot=_times(page.number(LOG, "critical_comp_time"), MINUTE),
        sensors=tuple(one for one in (sensors if isinstance(sensors, list) else ()) if _is_temperature(one)),
    )


def _times(count: int | None, size: int) -> int | None:
    return count * size if count is not None and count * size < MOST else None


def _is_temperature(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -60 <= value <= 150


def parse_limits(text: str) -> NvmeLimits | None:
    """`nvme id-ctrl --output-format=json`; None where it is no such page."""
    document = parse_object(text)
    oacs = read_number(document, "oacs")
    if oacs is None:
        return None
    # EDSTT: minutes of an extended test; 0 where the field is not used.
    minutes = read_number(document, "edstt") or 0
    return NvmeLimits(
        warning=parse_kelvin(document.get("wctemp")),
        critical=parse_kelvin(document.get("cctemp")),
        self_test=bool(oacs & OACS_SELF_TEST),
        long_test=minutes * MINUTE or None,
    )


def parse_firmware_slots(text: str) -> tuple[FirmwareSlot, ...]:
    """`nvme fw-log --output-format=json`: what is in each slot, as text; () where it is no such page.

    The revision is printed as a number with the text in brackets behind it.
    """
    # The log stands under the name of the device.
    log = next((value for value in parse_object(text).values() if isinstance(value, dict)), {})
    active = _parse_number(log.get("Active Firmware Slot (afi)"))
    # The first releases counted from 0, and printed the empty ones as well.
    first = 0 if "Firmware Rev Slot 0" in log else 1
    slots = []
    for number in range(1, 8):
        text = str(log.get(f"Firmware Rev Slot {number - 1 + first}") or "")
        bracketed = re.search(r"\((.*)\)", text)
        revision = (bracketed.group(1) if bracketed else text).strip()
        if revision:
            # AFI: bits 2:0 the slot that runs, bits 6:4 the one that runs after a reset.
            slots.append(FirmwareSlot(number, revision, active & 0x7 == number, (active >> 4) & 0x7 == number))
    return tuple(slots)


def _parse_number(value: Any) -> int:
    """A number that is printed as such, or as text in any base; 0 where it is neither."""
    if isinstance(value, int):
        return value if 0 <= value < 256 else 0
    try:
        return int(str(value), 0) & 0xFF
    except ValueError:
        return 0


def parse_object(text: str) -> Mapping[str, Any]:
    """A JSON object; empty for anything else. nvme prints lines before it."""
    for start in _starts(text):
        try:
            document = json.loads(text[start:])
        except (ValueError, RecursionError):
            continue
        return document if isinstance(document, dict) else {}
    return {}


def _starts(text: str) -> Iterator[int]:
    """Where the document may begin: at once, or at the first line that is a brace."""
    yield 0
    match = re.search(r"^\{", text, re.MULTILINE)
    if match and match.start():
        yield match.start()
