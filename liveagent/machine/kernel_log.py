"""What the kernel complained of since boot: lines that match a table of patterns, counted by what they are about."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable

from liveagent.machine.kernel_patterns import PATTERNS, Pattern
from liveagent.machine.look import Look, Why

# Lines are short; one that is not is a dump of something.
LINE_LIMIT = 300
# The stamp before a line: a priority; seconds since boot or a date; who said it (CONFIG_PRINTK_CALLER). A journal has
# host and "kernel:" after it.
_CALLER = r"(?:\[\s*[TC]\d+\]\s?)?"
_JOURNAL = r"(?:(?:\S+ +)?kernel: )?"
_SYSLOG = r"\w{3}\s+\d+ [\d:]{8}\s+(?:\S+ +)?kernel: (?:\[[^\]]*\] )?"
STAMP = re.compile(
    rf"^(?:<\d+>)?(?:\[\s*(?P<seconds>\d+\.\d+)\]\s?{_CALLER}{_JOURNAL}|\[[^\]]*\d{{4}}\]\s?|{_SYSLOG})?"
)
# A line without any of these matches no pattern; most lines have none, and one search is cheaper than fifty.
_HINT = re.compile(
    r"rror|EDAC|ERROR|fail|Fail|timeout|timed out|reset|abort|Check|temperature|espond|NMI|kvm: |Firmware|DPC|Link Down"
    r"|DMAR|AMD-Vi|PCIe|Xid|amdgpu|nvme|ata\d|Sense|rejecting|offlined|mpt\dsas|megaraid|hpsa|smartpqi|WATCHDOG|Hang"
    r"|hecksum|overheat|over heated|compromised|SFP|blocked for|lockup|LOCKUP|stall|Out of memory|BUG|Oops|protection"
    r"|orruption|BTRFS|over-current|clocksource|storm|ECC"
)
# The model behind a port, from the line in which the kernel finds it.
_ATA_MODEL = re.compile(r"^(ata\d+\.\d+): ATA\S*: ([^,]{1,60}),")


@dataclasses.dataclass(frozen=True)
class Complaint:
    """Complaints of one kind about one part. `id` is both; `first` and `last` are the kernel's words.

    `count`: how many there were, where the kernel says several in a line, or lines. `first_seconds` and `last_seconds`
    since boot, None where the log has none.
    """

    id: str
    code: str
    part: str
    count: int
    first: str
    last: str
    first_seconds: float | None
    last_seconds: float | None


@dataclasses.dataclass(frozen=True)
class KernelLog:
    """The kernel's log since boot. `lines` that were read; `complete` is false where the beginning was overwritten."""

    lines: int
    complete: bool
    complaints: tuple[Complaint, ...]


def parse_kernel_log(text: str, patterns: Iterable[Pattern] = PATTERNS) -> KernelLog:
    """A log as dmesg or a journal prints it; lines of others are passed over."""
    found: dict[tuple[str, str], Complaint] = {}
    models: dict[str, str] = {}
    kinds = tuple(patterns)
    lines = [line for line in text.splitlines() if line.strip()]
    for line in lines:
        stamp = STAMP.match(line)
        body = line[stamp.end() if stamp else 0 :][:LINE_LIMIT]
        if not _HINT.search(body):
            continue
        model = _ATA_MODEL.match(body)
        if model:
            models[model.group(1)] = model.group(2).strip()
        seconds = float(stamp["seconds"]) if stamp and stamp["seconds"] else None
        for kind in kinds:
            match = kind.expression.search(body)
            if match:
                part = _name_part(match, models)
                known = found.get((kind.code, part))
                found[kind.code, part] = _add(known, kind.code, part, match, _clean(body), seconds)
                break
    return KernelLog(len(lines), any("Linux version " in line[:120] for line in lines[:5]), tuple(found.values()))


def _name_part(match: re.Match[str], models: dict[str, str]) -> str:
    """What a line is about; an ATA port with the model of its drive, which is what somebody can find."""
    named = match.re.groupindex.values()
    part = " ".join(word for number, word in enumerate(match.groups(), 1) if word and number not in named)
    model = models.get(part) or models.get(f"{part}.00")
    return f"{part} {model}" if model else part


def _add(
    known: Complaint | None, code: str, part: str, match: re.Match[str], line: str, seconds: float | None
) -> Complaint:
    count = int(match["n"]) if "n" in match.re.groupindex and match["n"] else 1
    if known is None:
        return Complaint(f"{code} {part}".strip(), code, part, count, line, line, seconds, seconds)
    return dataclasses.replace(known, count=known.count + count, last=line, last_seconds=seconds)


def _clean(line: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in line).strip()


def probe_kernel_log(look: Look) -> KernelLog | None:
    """dmesg, which only root may read; else, or where its beginning was overwritten, what the journal kept."""
    noted = len(look.missing)
    log = parse_kernel_log(look.text("kernel_log", ["dmesg", "--kernel", "--nopager"]))
    if not log.complete:
        command = ["journalctl", "--dmesg", "--boot", "--output=short-monotonic", "--no-pager", "--quiet"]
        log = max(log, parse_kernel_log(look.text("kernel_log", command)), key=lambda log: log.lines)
    if not log.lines:
        look.note("kernel_log", Why.ABSENT, "the kernel's log is empty")
        return None
    # What one way of asking did not show, the other did.
    del look.missing[noted:]
    if not log.complete:
        look.note("kernel_log.beginning", Why.ABSENT, "the beginning of the kernel's log was overwritten")
    return log
