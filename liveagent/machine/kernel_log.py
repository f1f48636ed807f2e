"""What the kernel complained of since boot: lines that match a table of patterns, counted by what they are about."""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Iterable, Mapping

from liveagent.host import Host
from liveagent.machine.disks import list_disks
from liveagent.machine.kernel_patterns import PATTERNS, Pattern
from liveagent.machine.look import Look, Why
from liveagent.machine.transport import probe_nvme_controllers

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
    r"|orruption|BTRFS|over-current|clocksource|storm|ECC|Attached SCSI"
)
# The model behind a port, from the line in which the kernel finds it.
_ATA_MODEL = re.compile(r"^(ata\d+\.\d+): ATA\S*: ([^,]{1,60}),")
# The lines in which a drive is found: libata's, sd's, nvme's. A second one of a name may be another drive's.
_ARRIVAL = re.compile(
    r"^(?:(ata\d+\.\d+): ATA\S*: |sd [\d:]+: \[(sd[a-z]+)\] Attached SCSI|nvme (nvme\d+): pci function)"
)
# Where a SCSI device hangs: behind an ATA port, where it is a SATA drive's, and its host:channel:target:lun.
_PLACE = re.compile(r"(?:/(ata\d+)/host\d+/.*)?/(\d+:(\d+):(\d+):\d+)/block/\w+$")


@dataclasses.dataclass(frozen=True)
class Complaint:
    """Complaints of one kind about one part. `id` is both; `first` and `last` are the kernel's words.

    `count`: how many there were, where the kernel says several in a line, or lines. `first_seconds` and `last_seconds`
    since boot, None where the log has none. `disk`: the kernel name of the one disk that it is about, "" where there is
    none, or another one may have been in its place then.
    """

    id: str
    code: str
    part: str
    count: int
    first: str
    last: str
    first_seconds: float | None
    last_seconds: float | None
    disk: str = ""


@dataclasses.dataclass(frozen=True)
class KernelLog:
    """The kernel's log since boot. `lines` that were read; `complete` is false where the beginning was overwritten."""

    lines: int
    complete: bool
    complaints: tuple[Complaint, ...]


def parse_kernel_log(
    text: str, patterns: Iterable[Pattern] = PATTERNS, disks: Mapping[str, str] | None = None
) -> KernelLog:
    """A log as dmesg or a journal prints it; lines of others are passed over. `disks`: see `probe_disk_names`."""
    found: dict[tuple[str, str], Complaint] = {}
    models: dict[str, str] = {}
    arrivals: collections.Counter[str] = collections.Counter()
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
        arrival = _ARRIVAL.match(body)
        if arrival:
            arrivals[str(arrival[arrival.lastindex or 0])] += 1
        seconds = float(stamp["seconds"]) if stamp and stamp["seconds"] else None
        for kind in kinds:
            match = kind.expression.search(body)
            if match:
                part = _name_part(match, models)
                known = found.get((kind.code, part))
                found[kind.code, part] = _add(known, kind.code, part, match, _clean(body), seconds)
                break
    complete = any("Linux version " in line[:120] for line in lines[:5])
    # Of a drive that was there at boot, a log without its beginning tells no arrival.
    swapped = [word for word, count in arrivals.items() if count > int(complete)]
    placed = _place_on_disks(found.values(), disks or {}, swapped)
    return KernelLog(len(lines), complete, tuple(placed))


def _place_on_disks(
    complaints: Iterable[Complaint], disks: Mapping[str, str], swapped: Iterable[str]
) -> Iterable[Complaint]:
    unsure = {disks.get(word) for word in swapped}
    for complaint in complaints:
        name = next((disks[word] for word in complaint.part.split() if word in disks), "")
        yield dataclasses.replace(complaint, disk=name) if name and name not in unsure else complaint


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


def probe_disk_names(host: Host) -> Mapping[str, str]:
    """The kernel names of disks by what lines call them: `sda`, `0:0:0:0`, `ata1.00`, `ata1`, `nvme0`.

    What several disks are behind names none of them. The number behind an ATA port is a port multiplier's, or that of
    one of two drives on a cable (libata's `ata_dev_printk` adds them up, and one of them is always 0).
    """
    found: dict[str, set[str]] = collections.defaultdict(set)
    for name in list_disks(host):
        words = {name}
        if name.startswith("nvme"):
            words.update(probe_nvme_controllers(host, name))
        elif name.startswith("sd"):
            place = _PLACE.search(host.resolve(f"/sys/block/{name}"))
            if place:
                port, address, channel, target = place.groups()
                words |= {address, *((port, f"{port}.{int(channel) + int(target):02d}") if port else ())}
        for word in words:
            found[word].add(name)
    return {word: names.pop() for word, names in found.items() if len(names) == 1}


def probe_kernel_log(look: Look) -> KernelLog | None:
    """dmesg, which only root may read; else, or where its beginning was overwritten, what the journal kept."""
    noted = len(look.missing)
    disks = probe_disk_names(look.host)
    log = parse_kernel_log(look.text("kernel_log", ["dmesg", "--kernel", "--nopager"]), disks=disks)
    if not log.complete:
        command = ["journalctl", "--dmesg", "--boot", "--output=short-monotonic", "--no-pager", "--quiet"]
        kept = parse_kernel_log(look.text("kernel_log", command), disks=disks)
        log = max(log, kept, key=lambda log: log.lines)
    if not log.lines:
        look.note("kernel_log", Why.ABSENT, "the kernel's log is empty")
        return None
    # What one way of asking did not show, the other did.
    del look.missing[noted:]
    if not log.complete:
        look.note("kernel_log.beginning", Why.ABSENT, "the beginning of the kernel's log was overwritten")
    return log
