"""How warm a drive is, was, and may become."""

from __future__ import annotations

import dataclasses
import re
import time

from liveagent.host import Host
from liveagent.machine.smartctl import Page, look_up

# No drive that still answers is colder or warmer; firmware puts 127, 128, -128 or 255 where it has no value.
COLDEST, HOTTEST = -60, 126
KELVIN = 273


@dataclasses.dataclass(frozen=True)
class Temperatures:
    """°C; None where the drive does not say.

    `lowest` and `highest` since it was switched on, `lifetime_…` of its whole life. `warning` is the highest at which
    it may work all the time (SCT, WCTEMP), `critical` the one that it must not reach (SCT, CCTEMP, trip temperature).
    `beyond` and `below`: how often it was outside its limits (SCT).
    """

    now: int | None = None
    lowest: int | None = None
    highest: int | None = None
    lifetime_lowest: int | None = None
    lifetime_highest: int | None = None
    warning: int | None = None
    critical: int | None = None
    beyond: int | None = None
    below: int | None = None


def read_temperatures(page: Page) -> Temperatures | None:
    """The temperatures of a page, whatever the drive; None where it has none."""
    found = Temperatures(
        # A drive without a sensor says 0.
        now=_read(page, ("temperature", "current")) or None,
        lowest=_read(page, ("temperature", "power_cycle_min"), ("ata_sct_status", "temperature", "power_cycle_min")),
        highest=_read(page, ("temperature", "power_cycle_max"), ("ata_sct_status", "temperature", "power_cycle_max")),
        lifetime_lowest=_read(page, ("temperature", "lifetime_min"), ("ata_sct_status", "temperature", "lifetime_min")),
        lifetime_highest=_read(
            page, ("temperature", "lifetime_max"), ("ata_sct_status", "temperature", "lifetime_max")
        ),
        warning=_read_limit(page, *_WARNING),
        critical=_read_limit(page, *_CRITICAL),
        beyond=page.first(
            ("ata_sct_status", "temperature", "over_limit_count"), ("temperature", "over_limit_count")
        ),
        below=page.first(
            ("ata_sct_status", "temperature", "under_limit_count"), ("temperature", "under_limit_count")
        ),
    )  # fmt: skip
    return found if found != Temperatures() else None


_WARNING = (
    ("nvme_composite_temperature_threshold", "warning"),
    ("temperature", "op_limit_max"),
    ("ata_sct_temperature_history", "temperature", "op_limit_max"),
    ("ata_sct_status", "temperature", "op_limit_max"),
)
_CRITICAL = (
    ("nvme_composite_temperature_threshold", "critical"),
    ("temperature", "critical_limit_max"),
    ("temperature", "limit_max"),
    ("ata_sct_temperature_history", "temperature", "limit_max"),
    ("temperature", "drive_trip"),
    ("scsi_temperature", "drive_trip"),
)


def _read(page: Page, *paths: tuple[str, ...]) -> int | None:
    """The first of several places that has a temperature which a drive can have."""
    for path in paths:
        value = look_up(page.document, *path)
        if isinstance(value, int) and not isinstance(value, bool) and COLDEST <= value <= HOTTEST:
            return value
    return None


def _read_limit(page: Page, *paths: tuple[str, ...]) -> int | None:
    """A limit; 0 stands for none."""
    return next((value for path in paths if (value := _read(page, path))), None)


def parse_kelvin(value: object) -> int | None:
    """°C of an NVMe field in kelvins; 0 stands for none."""
    if not isinstance(value, int) or isinstance(value, bool) or not COLDEST <= value - KELVIN <= HOTTEST:
        return None
    return value - KELVIN


class Thermometer:
    """How warm a disk is while it works, by the kernel's own drivers (nvme, drivetemp); looked at now and then."""

    EVERY = 10.0  # seconds; drivetemp asks the drive itself

    def __init__(self, host: Host, disk: str) -> None:
        self._host = host
        # An NVMe drive has it below its controller, the driver of ATA disks below a directory more.
        below = f"/sys/block/{disk}/device"
        self._places = (f"{below}/hwmon*/temp1_input", f"{below}/hwmon/hwmon*/temp1_input")
        self._read = float("-inf")
        self._celsius: float | None = None

    def read(self) -> float | None:
        """°C, at most `EVERY` seconds old; None where no driver says."""
        now = time.monotonic()
        if now - self._read >= self.EVERY:
            self._read = now
            found = [path for place in self._places for path in self._host.glob(place)]
            self._celsius = parse_millidegrees(self._host.read_or(found[0])) if found else None
        return self._celsius


def parse_millidegrees(text: str) -> float | None:
    """°C of hwmon's thousandths; None for what no drive has."""
    celsius = int(text) / 1000 if re.fullmatch(r"-?\d{1,9}", text) else None
    # One without a sensor says 0.
    return celsius if celsius and COLDEST <= celsius <= HOTTEST else None
