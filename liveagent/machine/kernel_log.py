"""What the kernel complained of since boot: lines that match a table of patterns, counted by what they are about."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable

from liveagent.machine.look import Look, Why

# Lines are short; one that is not is a dump of something.
LINE_LIMIT = 300
# The stamp before a line: seconds since boot, a date, or a syslog's date, host and "kernel:".
_SYSLOG = r"\w{3}\s+\d+ [\d:]{8}\s+(?:\S+ +)?kernel: (?:\[[^\]]*\] )?"
STAMP = re.compile(rf"^(?:<\d+>)?(?:\[\s*(?P<seconds>\d+\.\d+)\]\s?|\[[^\]]*\d{{4}}\]\s?|{_SYSLOG})?")


@dataclasses.dataclass(frozen=True)
class Pattern:
    """A kind of complaint: its code, and the expression; its first group that matches is what it is about."""

    code: str
    expression: re.Pattern[str]


def _pattern(code: str, *expressions: str) -> Pattern:
    return Pattern(code, re.compile("|".join(expressions)))


_PCI = r"([0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.\d)"
_ERROR = r"\[Hardware Error\]: "
# Of several that match the first counts: what was corrected must not be taken for what was not. Words as in the
# kernel's own sources: arch/x86/kernel/cpu/mce, drivers/edac, drivers/firmware/efi/cper.c, drivers/pci/pcie/aer.c,
# block/blk-core.c, drivers/ata/libata-eh.c, drivers/nvme/host, net/sched/sch_generic.c, kernel/hung_task.c.
PATTERNS: tuple[Pattern, ...] = (
    _pattern("kernel.edac.corrected", r"EDAC (MC\d+): \d+ CE "),
    _pattern("kernel.edac.uncorrected", r"EDAC (MC\d+): \d+ UE "),
    _pattern("kernel.aer.corrected", rf"{_PCI}: (?:AER: )?PCIe Bus Error: severity=Correct(?:ed|able)"),
    _pattern("kernel.aer.uncorrected", rf"{_PCI}: (?:AER: )?PCIe Bus Error: severity=Uncorrect"),
    _pattern("kernel.mce.uncorrected", rf"{_ERROR}.*(?:Uncorrected|UC error)", r"mce: .*Fatal machine check"),
    _pattern("kernel.mce", rf"mce: {_ERROR}Machine check events? logged"),
    _pattern("kernel.ghes.uncorrected", rf"\{{\d+\}}{_ERROR}event severity: (?:fatal|recoverable)"),
    _pattern("kernel.ghes.corrected", rf"\{{\d+\}}{_ERROR}event severity: corrected"),
    _pattern("kernel.medium", r"critical medium error, dev ([a-z]+[0-9a-z]*)"),
    _pattern("kernel.io", r"(?:critical target error|I/O error), dev ((?!loop|sr|fd)[a-z]+[0-9a-z]*)"),
    _pattern(
        "kernel.nvme",
        r"nvme (nvme\d+): (?:I/O .*timeout|Device not ready; abort|controller is down|Removing after)",
    ),
    _pattern(
        "kernel.ata.reset", r"(ata\d+(?:\.\d+)?): (?:hard resetting link|COMRESET failed|limiting SATA link speed)"
    ),
    _pattern("kernel.ata.failed", r"(ata\d+\.\d+): failed command"),
    _pattern(
        "kernel.scsi.reset",
        r"(?:sd|scsi) ([\d:]+): .*(?:task abort|reset)",
        r"(?:mpt\w+|megaraid_sas|hpsa|smartpqi) ([\d:.a-f]+): .*(?:task abort|resetting|FW in FAULT)",
    ),
    _pattern(
        "kernel.nic.reset",
        r"NETDEV WATCHDOG: (\S+)",
        r"(\S+): (?:transmit queue \d+ timed out|Detected Hardware Unit Hang|Reset adapter)",
    ),
    _pattern("kernel.throttle", r"(CPU\d+): (?:Core|Package) temperature (?:is )?above threshold"),
    _pattern("kernel.hang", r"task (\S+):\d+ blocked for more than \d+ seconds", r"(?:soft|hard) lockup - (CPU#\d+)"),
    _pattern("kernel.memory", r"Out of memory: Killed process", r"page allocation failure"),
    _pattern("kernel.xid", r"NVRM: Xid \(PCI:([0-9a-f:]+)\)"),
    _pattern("kernel.bandwidth", rf"{_PCI}: .*available PCIe bandwidth, limited by"),
    _pattern("kernel.firmware", r"\[Firmware (?:Bug|Warn)\]"),
)
# What is about the medium under it, and would be said twice.
_SAID_TWICE = re.compile(r"Buffer I/O error")


@dataclasses.dataclass(frozen=True)
class Complaint:
    """Lines of one kind about one part. `id` is both; `first` and `last` are the kernel's words; seconds since boot."""

    id: str
    code: str
    part: str
    count: int
    first: str
    last: str
    first_seconds: float | None


@dataclasses.dataclass(frozen=True)
class KernelLog:
    """The kernel's log since boot. `lines` that were read; `complete` is false where the beginning was overwritten."""

    lines: int
    complete: bool
    complaints: tuple[Complaint, ...]


def parse_kernel_log(text: str, patterns: Iterable[Pattern] = PATTERNS) -> KernelLog:
    """A log as dmesg or a journal prints it; lines of others are passed over."""
    found: dict[tuple[str, str], list[tuple[str, float | None]]] = {}
    lines = [line for line in text.splitlines() if line.strip()]
    kinds = tuple(patterns)
    for line in lines:
        stamp = STAMP.match(line)
        body = line[stamp.end() :] if stamp else line
        if _SAID_TWICE.search(body):
            continue
        for kind in kinds:
            match = kind.expression.search(body[:LINE_LIMIT])
            if match:
                part = next((word for word in match.groups() if word), "")
                seconds = float(stamp.group("seconds")) if stamp and stamp.group("seconds") else None
                found.setdefault((kind.code, part), []).append((_clean(body), seconds))
                break
    complaints = tuple(
        Complaint(f"{code} {part}".strip(), code, part, len(rows), rows[0][0], rows[-1][0], rows[0][1])
        for (code, part), rows in found.items()
    )
    return KernelLog(len(lines), any("Linux version " in line[:120] for line in lines[:5]), complaints)


def _clean(line: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in line[:LINE_LIMIT]).strip()


def probe_kernel_log(look: Look) -> KernelLog | None:
    """dmesg, which only root may read; else what the journal kept."""
    said = look.ask("kernel_log", ["dmesg", "--kernel", "--nopager"])
    if said is None:
        said = look.ask("kernel_log", ["journalctl", "--dmesg", "--boot", "--output=short", "--no-pager", "--quiet"])
    if said is None or not said.stdout.strip():
        look.note("kernel_log", Why.NO_RIGHTS, "the kernel's log could not be read, or is empty")
        return None
    return parse_kernel_log(said.stdout)
