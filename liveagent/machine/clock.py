"""The clocks: the system's against a time server's, and the one on the board."""

from __future__ import annotations

import dataclasses

from liveagent.machine.look import Look, Why

RTC = "/sys/class/rtc/rtc0/since_epoch"
# chronyc(1), `tracking` as a report of values: the reference, its stratum, then times and offsets in seconds.
REFERENCE, STRATUM, OFFSET, LEAP, FIELDS = 0, 2, 4, 13, 14
NO_REFERENCE = "Not synchronised"


@dataclasses.dataclass(frozen=True)
class Clock:
    """Seconds; None where not known. `offset`: the system's clock before (+) the time server's, `stratum` that one's.

    `rtc_offset`: the board's clock before the system's. `synchronised`: whether anything keeps the system's right.
    """

    synchronised: bool | None
    offset: float | None
    stratum: int | None
    rtc_offset: float | None


def parse_tracking(text: str) -> tuple[bool, float, int] | None:
    """(synchronised, offset, stratum) of `chronyc -c tracking`; None for anything else."""
    fields = text.strip().split(",")
    try:
        if len(fields) != FIELDS:
            return None
        return fields[LEAP] != NO_REFERENCE, float(fields[OFFSET]), int(fields[STRATUM])
    except ValueError:
        return None


def parse_timedatectl(text: str) -> bool | None:
    """`timedatectl show --property=NTPSynchronized`."""
    return {"NTPSynchronized=yes": True, "NTPSynchronized=no": False}.get(text.strip())


def probe_clock(look: Look) -> Clock:
    """Asks what keeps the clock, and no time server itself."""
    tracking = None
    if look.host.exists("/run/chrony/chronyd.sock") or look.host.exists("/run/chrony"):
        tracking = parse_tracking(look.text("clock.offset", ["chronyc", "-c", "tracking"]))
    synchronised = tracking[0] if tracking else None
    if tracking is None:
        look.note("clock.offset", Why.NOT_ASKED, "no time service runs whose offset could be asked for")
        text = look.text("clock.synchronised", ["timedatectl", "show", "--property=NTPSynchronized"], success=(0,))
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
