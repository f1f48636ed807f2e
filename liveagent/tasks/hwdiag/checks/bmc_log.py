"""What the BMC's event log says of damage: what is recent, what is history, and whether it can still log."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Iterator

from liveagent.events import Finding, Verdict
from liveagent.machine.bmc import Bmc
from liveagent.machine.inventory import Inventory
from liveagent.machine.sel import SelEvent
from liveagent.tasks.hwdiag.check import Check, Code
from liveagent.tasks.hwdiag.checks.ipmi_events import LASTING, SOURCE, Meaning, find_meaning
from liveagent.tasks.hwdiag.policy import Limit, Policy

DAY = 86400.0
RECENT = Limit("bmc.sel.recent", 30.0, "days", "a month: from a server's return to the end of its checks")
USED = Limit("bmc.sel.used", 90.0, "%", "the warning that IPMI 2.0, table 42-3 calls `log almost full`")
CRITICAL = Code("bmc.sel.critical", Verdict.FAIL, "the BMC logged that something is broken", SOURCE, (RECENT,))
WARNING = Code("bmc.sel.warning", Verdict.WARN, "the BMC logged a sign of damage", SOURCE, (RECENT,))
UNDATED = Code(
    "bmc.sel.undated",
    Verdict.WARN,
    "the BMC logged damage, and its clock was not set then: when, nobody knows",
    "IPMI 2.0, 37.1: times below 0x20000000 count from the BMC's start",
)
HISTORY = Code("bmc.sel.history", Verdict.PASS, "the BMC logged damage that is over, or long ago", SOURCE, (RECENT,))
FULL = Code(
    "bmc.sel.full", Verdict.WARN, "the log is full or nearly so: what comes next is lost", "IPMI 2.0, 31.2", (USED,)
)
# Of the history, as many lines as a person reads.
LINES = 10


class Age(enum.Enum):
    RECENT = "recent"
    PAST = "past"
    UNDATED = "undated"


def find_events(inventory: Inventory, policy: Policy) -> Iterator[Finding]:
    bmc = inventory.bmc
    if bmc is None or bmc.sel is None:
        return
    now = read_clock(inventory, bmc)
    past = []
    for event in bmc.sel.events:
        meaning = find_meaning(event.type, event.event)
        if meaning is None or not event.count or is_said_elsewhere(bmc, event):
            continue
        age = choose_age(event, now, policy.limit(RECENT))
        if age is Age.PAST or is_over(bmc, event):
            past.append(event)
        else:
            yield _describe(event, meaning, age)
    if past:
        lines = [event.line for event in past[-LINES:]]
        summary = f"{len(past)} {'event' if len(past) == 1 else 'events'} of damage that is over or long ago; "
        yield HISTORY.found("BMC log", f"{summary}the last: {past[-1].line}", count=len(past), lines=lines)


def _describe(event: SelEvent, meaning: Meaning, age: Age) -> Finding:
    part = " ".join(filter(None, (event.type, event.sensor, event.detail)))
    times = "" if event.count == 1 else f" ({event.count} times)"
    when = "at an unknown time" if age is Age.UNDATED else f"at {event.last}"
    summary = f"{part}: {event.event}{times}, logged {when}; {meaning.advice}"
    measured = {"line": event.line, "count": event.count, "first": event.first, "last": event.last}
    if age is Age.UNDATED:
        return UNDATED.found(part, summary, **measured)
    # One that was taken back is not there any more, and was there.
    is_broken = meaning.verdict is Verdict.FAIL and event.standing
    return (CRITICAL if is_broken else WARNING).found(part, summary, **measured)


def read_clock(inventory: Inventory, bmc: Bmc) -> datetime.datetime | None:
    """What time the BMC had: its entries are as old as its own clock says."""
    return _parse(bmc.clock) or _parse(inventory.taken)


def choose_age(event: SelEvent, now: datetime.datetime | None, recent: float) -> Age:
    """How old it is, in days; one from the future has no date that means anything."""
    last = _parse(event.last)
    if last is None or now is None:
        return Age.UNDATED
    age = (now - last).total_seconds()
    if age < -DAY:
        return Age.UNDATED
    return Age.RECENT if age <= recent * DAY else Age.PAST


def is_over(bmc: Bmc, event: SelEvent) -> bool:
    """Whether a state that lasts is no more: taken back in the log, or not asserted by its sensor now."""
    if event.type not in LASTING:
        return False
    if not event.standing:
        return True
    sensors = [one for one in bmc.sensors if one.name == event.sensor and one.type == event.type and one.readable]
    return bool(sensors) and not any(event.event in one.states for one in sensors)


def is_said_elsewhere(bmc: Bmc, event: SelEvent) -> bool:
    """Whether the sensor itself says so now, which is a finding of its own."""
    for sensor in bmc.sensors:
        if sensor.name == event.sensor and sensor.type == event.type and sensor.readable:
            if event.event in sensor.states:
                return True
            if " going " in event.event and sensor.state is not None and sensor.state.value != "ok":
                return True
    return False


def find_full(inventory: Inventory, policy: Policy) -> Iterator[Finding]:
    sel = inventory.bmc.sel if inventory.bmc else None
    if sel is None:
        return
    limit = policy.limit(USED)
    measured = {"value": sel.used_percent, "threshold": limit, "unit": "%", "entries": sel.entries}
    if sel.overflow:
        yield FULL.found("BMC log", "the log is full, and entries were lost; keep it and clear it", **measured)
    elif sel.used_percent is not None and sel.used_percent >= limit:
        summary = f"{sel.used_percent} % of the log are used by {sel.entries} entries; keep it and clear it"
        yield FULL.found("BMC log", summary, **measured)


def _parse(text: str | None) -> datetime.datetime | None:
    try:
        return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None
    except ValueError:
        return None


CHECKS = (Check((CRITICAL, WARNING, UNDATED, HISTORY), find_events), Check((FULL,), find_full))
