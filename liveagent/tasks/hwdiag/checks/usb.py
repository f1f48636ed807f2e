"""USB ports that cut the current off: what is plugged in, or the port itself, has a short circuit."""

from __future__ import annotations

from collections.abc import Iterator

from liveagent.events import Finding, Verdict
from liveagent.machine.inventory import Inventory
from liveagent.tasks.hwdiag.check import Check, Code
from liveagent.tasks.hwdiag.policy import Policy

OVER_CURRENT = Code(
    "usb.current",
    Verdict.WARN,
    "a USB port drew too much current: the device in it, or a bent contact",
    "over_current_count in sysfs",
)


def find(inventory: Inventory, policy: Policy) -> Iterator[Finding]:
    for hub in inventory.usb:
        for port, count in hub.over_currents.items():
            if count:
                summary = f"too much current, {count} times since boot; unplug what is in it, look at its contacts"
                yield OVER_CURRENT.found(f"USB {port}", summary, count=count)


CHECKS = (Check((OVER_CURRENT,), find),)
