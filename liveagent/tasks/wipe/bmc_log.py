"""The BMC's event log (SEL): kept for the record, cleared, and seen to be empty."""

from __future__ import annotations

import dataclasses
import re

from liveagent.events import JSON, Verdict
from liveagent.host import Completed, Host
from liveagent.machine.bmc_driver import SMBIOS_BMC, has_device
from liveagent.machine.sel import EMPTY, ENTRY, parse_sel_info
from liveagent.tasks.wipe.extra import Extra, ask, describe_failure, judge_unread

WHAT = "bmc_log"
# A log of some thousand entries takes minutes: each is a question of its own over a slow bus.
LIST_TIMEOUT = 900.0
# The BMC takes the order and erases behind it; "a few seconds", as ipmitool says.
LOOKS, POLL = 30, 2.0
KEPT_TEXT = 64 * 1024

# `Get SEL Entry 8 command failed : …`: the list goes on, or ends, without that entry, and the exit status is 0.
DAMAGED = re.compile(r"\bcommand failed\b|^Error", re.MULTILINE)
# Most BMCs note the clearing itself as the first entry of the empty log.
NOTE = "log area reset/cleared"


@dataclasses.dataclass(frozen=True)
class EventLog:
    """The entries of the log, a line each, oldest first; not `complete` where some could not be read."""

    lines: tuple[str, ...]
    complete: bool

    @property
    def events(self) -> frozenset[str]:
        """What was recorded, beside notes that the log was cleared."""
        return frozenset(line for line in self.lines if NOTE not in line.lower())


def parse_count(text: str) -> int | None:
    """How many entries `ipmitool sel info` tells of; None where it does not."""
    info = parse_sel_info(text)
    return info.entries if info else None


def parse_log(stdout: str, stderr: str) -> EventLog | None:
    """What `ipmitool sel list` printed; None where it is neither entries nor the word that there are none."""
    lines = tuple(line.strip() for line in stdout.splitlines() if ENTRY.match(line))
    if not lines and EMPTY not in stdout + stderr:
        return None
    return EventLog(lines, not DAMAGED.search(stdout + "\n" + stderr))


def is_cleared(before: EventLog, after: EventLog | None) -> bool:
    """Whether nothing is left of what the log held. New entries may have come since."""
    if after is None or not after.complete:
        return False
    # Of entries that could not be read before, it cannot be said that they are not among those of now.
    return not (before.events & after.events if before.complete else after.events)


def choose_kept_text(lines: tuple[str, ...]) -> tuple[str, bool]:
    """The newest entries that fit into 64 KiB, and whether that is all of them."""
    kept: list[str] = []
    room = KEPT_TEXT
    for line in reversed(lines):
        room -= len(line.encode()) + 1
        if room < 0:
            break
        kept.append(line)
    return "".join(f"{line}\n" for line in reversed(kept)), len(kept) == len(lines)


def probe_log(host: Host) -> EventLog | Completed:
    """The log's entries; where they cannot be read, what ipmitool said."""
    said = ask(host, ["ipmitool", "sel", "list"], LIST_TIMEOUT)
    log = None if said.status is None else parse_log(said.stdout, said.stderr)
    return said if log is None else dataclasses.replace(log, complete=log.complete and said.status == 0)


def find_absence(host: Host) -> Extra | None:
    """Why there is no log to clear; None where there is one."""
    if has_device(host):
        return None
    if host.exists(SMBIOS_BMC):
        summary = "the machine has a BMC, and its device /dev/ipmi0 is not there (is ipmi_devintf loaded?)"
        return Extra(WHAT, Verdict.UNKNOWN, summary)
    return Extra(WHAT, Verdict.SKIPPED, "no BMC: there is no device /dev/ipmi0")


def describe_bmc_log(host: Host) -> str:
    """What would be cleared, for a dry run; only reads."""
    absence = find_absence(host)
    if absence:
        return f"BMC log: {absence.summary}"
    said = ask(host, ["ipmitool", "sel", "info"])
    count = parse_count(said.stdout)
    if count is None:
        return f"BMC log: cannot be read ({describe_failure(said)})"
    return f"BMC log: {_count(count)} would be kept in the result and cleared"


def clear_bmc_log(host: Host) -> Extra:
    """Keep the log's entries, clear it, and look until they are gone; an order that was taken says nothing."""
    absence = find_absence(host)
    if absence:
        return absence
    told = parse_count(ask(host, ["ipmitool", "sel", "info"]).stdout)
    before = probe_log(host)
    if isinstance(before, Completed):
        # What is cleared unread is lost to everyone.
        summary = f"the BMC's log cannot be read, and was not cleared: {describe_failure(before)}"
        return Extra(WHAT, judge_unread(before), summary, {"entries": told})
    text, whole = choose_kept_text(before.lines)
    data: dict[str, JSON] = {"entries": told, "kept": len(before.lines), "text": text, "truncated": not whole}
    if before.complete and not before.events:
        return Extra(WHAT, Verdict.PASS, "the BMC's log holds no events", data)
    said = ask(host, ["ipmitool", "sel", "clear"])
    after = await_cleared(host, before)
    data["left"] = None if after is None else len(before.events & after.events)
    data["new"] = None if after is None else len(after.events - before.events)
    return judge_clearing(before, after, said, data)


def await_cleared(host: Host, before: EventLog) -> EventLog | None:
    """Look until the log is cleared, a minute at most; the last that was seen of it. Raises Cancelled."""
    last: EventLog | None = None
    for number in range(LOOKS):
        if number:
            host.pause(POLL)
        seen = probe_log(host)
        last = None if isinstance(seen, Completed) else seen
        if is_cleared(before, last):
            break
    return last


def judge_clearing(before: EventLog, after: EventLog | None, said: Completed, data: dict[str, JSON]) -> Extra:
    """What became of the log, by what it holds now."""
    refused = f" ({describe_failure(said)})" if said.status != 0 else ""
    if is_cleared(before, after):
        kept = f"{_count(len(before.lines))} kept"
        if before.complete:
            return Extra(WHAT, Verdict.PASS, f"the BMC's log was cleared, {kept}", data)
        return Extra(WHAT, Verdict.WARN, f"the BMC's log was cleared, {kept}; others could not be read", data)
    if after is not None and after.complete and before.events & after.events:
        left = len(before.events & after.events)
        return Extra(WHAT, Verdict.FAIL, f"the BMC's log still holds {_count(left)} of before{refused}", data)
    return Extra(WHAT, Verdict.UNKNOWN, f"the BMC was told to clear its log, and nobody saw it done{refused}", data)


def _count(number: int) -> str:
    return f"{number} entr{'y' if number == 1 else 'ies'}"
