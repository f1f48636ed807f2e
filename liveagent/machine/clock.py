"""The clocks: the system's against a time server's, and the one on the board."""

from __future__ import annotations

import dataclasses
import math

from liveagent.machine.look import Look, Why

RTC = "/sys/class/rtc/rtc0/since_epoch"
# chronyc(1), `tracking` as a report of values: the reference, its stratum, then times and offsets in seconds.
REFERENCE, STRATUM, OFFSET, LEAP, FIELDS = 0, 2, 4, 13, 14
NO_REFERENCE = "Not synchronised"
# 127.127.1.1: chrony's own clock stands in (`local` in chrony.conf), and nothing keeps it right.
ITSELF = "7F7F0101"


@dataclasses.dataclass(frozen=True)
class Clock:
    """Seconds; None where not known. `offset`: the system's clock before (+) the time server's or behind (-).

    `stratum`: how many servers it is away from a clock that nobody has to set; that server's own, and one more.
    `rtc_offset`: the board's clock before the system's. `synchronised`: whether anything keeps the system's right.
    The BMC's clock is with its log, and to be held against `taken` of the inventory.
    """

    synchronised: bool | None
    offset: float | None
    stratum: int | None
    rtc_offset: float | None


def parse_tracking(text: str) -> tuple[bool, float, int] | None:
    """(synchronised, offset, stratum) of `chronyc -c tracking`; None for anything else.

    What it prints as a negative value is, in its own words, "fast of NTP time".
    """
    fields = text.strip().split(",")
    try:
        if len(fields) != FIELDS:
            return None
        is_kept = fields[LEAP] != NO_REFERENCE and fields[REFERENCE] != ITSELF
        offset, stratum = -float(fields[OFFSET]), int(fields[STRATUM])
    except ValueError:
        return None
    return (is_kept, offset, stratum) if math.isfinite(offset) and 0 <= stratum <= 16 else None


def parse_timedatectl(text: str) -> bool | None:
    """`timedatectl show --property=NTPSynchronized`."""
    return {"NTPSynchronized=yes": True, "NTPSynchronized=no": False}.get(text.strip())


def probe_clock(look: Look) -> Clock:
    """Asks what keeps the clock, and no time server itself."""
    tracking = None
    if look.host.exists("/run/chrony"):
        text = look.text("clock.offset", ["chronyc", "-c", "tracking"])
        tracking = parse_tracking(text)
        if text and tracking is None:
            look.note("clock.offset", Why.NOT_UNDERSTOOD, f"chronyc said {text[:80]!r}")
    else:
        look.note("clock.offset", Why.NOT_ASKED, "no time service runs whose offset could be asked for")
    synchronised = tracking[0] if tracking else None
    if tracking is None:
        text = look.text("clock.synchronised", ["timedatectl", "show", "--property=NTPSynchronized"])
        synchronised = parse_timedatectl(text)
    rtc = look.host.read_or(RTC)
    if not rtc.isdecimal():
        look.note("clock.rtc", Why.ABSENT, "the kernel has no clock of the board's")
    known = tracking if tracking and tracking[0] else None
    return Clock(
        synchronised=synchronised,
        offset=known[1] if known else None,
        stratum=known[2] if known else None,
        rtc_offset=round(int(rtc) - look.host.now(), 1) if rtc.isdecimal() else None,
    )
