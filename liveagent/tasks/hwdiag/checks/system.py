"""How the server was started, and whether its clocks are right."""

from __future__ import annotations

from collections.abc import Iterator

from liveagent.events import Finding, Verdict
from liveagent.machine.clock import Clock
from liveagent.machine.inventory import Inventory
from liveagent.tasks.hwdiag.check import Check, Code
from liveagent.tasks.hwdiag.policy import Limit, Policy

OFFSET = Limit("clock.offset", 1.0, "seconds", "far above what a time service leaves, which is milliseconds")
RTC = Limit(
    "clock.rtc", 120.0, "seconds", "a board's clock drifts by some seconds a week; empty batteries are off by years"
)

OFF = Code("clock.offset", Verdict.WARN, "the system's clock is off", "chronyc(1), tracking", (OFFSET,))
BOARD = Code(
    "clock.rtc",
    Verdict.WARN,
    "the board's clock is off: its battery, or nobody ever set it",
    "the board's clock against the system's",
    (RTC,),
)
UNKEPT = Code("clock.unkept", Verdict.PASS, "nothing keeps the clock right", "timedatectl(1)")
ZONE = Code(
    "clock.rtc.zone", Verdict.PASS, "the board's clock has the time of a zone, and not UTC", "zones of the world"
)
PAST = Code(
    "clock.past",
    Verdict.WARN,
    "the system's clock is before the day when its firmware was made: it was lost",
    "the time of the diagnosis against SMBIOS type 0",
)
DATE = Code("system.bios.date", Verdict.PASS, "the firmware's date is none that firmware can have", "SMBIOS type 0")
HALF_HOUR, MINUTE = 1800.0, 60.0
OLDEST = "1995"  # the first version of SMBIOS
INSECURE = Code("system.secure_boot", Verdict.PASS, "UEFI started the server with Secure Boot off", "UEFI, SecureBoot")


def find(inventory: Inventory, policy: Policy) -> Iterator[Finding]:
    if inventory.clock is not None:
        yield from _find_clock(inventory.clock, policy)
    system = inventory.system
    if system is None:
        return
    if system.secure_boot is False:
        yield INSECURE.found("system", "Secure Boot is off")
    released, today = system.bios_released, inventory.taken[:10]
    said = system.bios_date
    # Days as year-month-day have the order of their letters.
    if said and (not released or released < OLDEST):
        yield DATE.found("firmware", f"its date is {said}", date=said)
    elif released and today and today < released:
        is_kept = inventory.clock is not None and inventory.clock.synchronised
        if is_kept:
            yield DATE.found("firmware", f"its date is {said}, and today is {today}", date=said)
        else:
            summary = f"the clock says {today}, and the firmware is of {released}; set it, or replace the battery"
            yield PAST.found("clock", summary, today=today, firmware=released)


def _find_clock(clock: Clock, policy: Policy) -> Iterator[Finding]:
    most, far = policy.limit(OFFSET), policy.limit(RTC)
    if clock.offset is not None and abs(clock.offset) > most:
        yield OFF.found("clock", f"{clock.offset:+.1f} s off", offset=clock.offset, threshold=most)
    # Against a clock that nothing keeps, the board's may be the better one.
    if clock.rtc_offset is not None and abs(clock.rtc_offset) > far and clock.synchronised:
        hours = f"{clock.rtc_offset / 3600:+.1f} h"
        if _is_zone(clock.rtc_offset):
            yield ZONE.found("clock", f"the board's clock is {hours} off, as in a zone", offset=clock.rtc_offset)
        else:
            summary = f"the board's clock is {clock.rtc_offset:+.0f} s off; set it, or replace the battery"
            yield BOARD.found("clock", summary, offset=clock.rtc_offset, threshold=far)
    if clock.synchronised is False:
        yield UNKEPT.found("clock", "nothing keeps it right")


def _is_zone(offset: float) -> bool:
    """Whether the board's clock may have the time of a zone: fourteen hours away at most, and by halves of one."""
    halves = round(offset / HALF_HOUR)
    return 0 < abs(halves) <= 28 and abs(offset - halves * HALF_HOUR) <= MINUTE


CHECKS = (Check((OFF, BOARD, ZONE, UNKEPT, PAST, INSECURE, DATE), find),)
