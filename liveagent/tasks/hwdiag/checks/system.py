"""How the server was started, and whether its clocks are right."""

from __future__ import annotations

from collections.abc import Iterator

from liveagent.events import Finding, Verdict
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
INSECURE = Code("system.secure_boot", Verdict.PASS, "UEFI started the server with Secure Boot off", "UEFI, SecureBoot")


def find(inventory: Inventory, policy: Policy) -> Iterator[Finding]:
    clock = inventory.clock
    if clock is not None:
        most, far = policy.limit(OFFSET), policy.limit(RTC)
        if clock.offset is not None and abs(clock.offset) > most:
            yield OFF.found("clock", f"{clock.offset:+.1f} s off", offset=clock.offset, threshold=most)
        # Against a clock that nothing keeps, the board's may be the better one.
        if clock.rtc_offset is not None and abs(clock.rtc_offset) > far and clock.synchronised:
            summary = f"the board's clock is {clock.rtc_offset:+.0f} s off; set it, or replace the battery"
            yield BOARD.found("clock", summary, offset=clock.rtc_offset, threshold=far)
        if clock.synchronised is False:
            yield UNKEPT.found("clock", "nothing keeps it right")
    if inventory.system is not None and inventory.system.secure_boot is False:
        yield INSECURE.found("system", "Secure Boot is off")


CHECKS = (Check((OFF, BOARD, UNKEPT, INSECURE), find),)
