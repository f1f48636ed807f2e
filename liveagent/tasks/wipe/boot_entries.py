"""The UEFI boot entries that start from a disk: which they are, and deleting them."""

from __future__ import annotations

import dataclasses
import enum
import re

from liveagent.events import JSON, Verdict
from liveagent.host import Completed, Host
from liveagent.tasks.wipe.extra import Extra, ask, describe_failure, judge_unread

WHAT = "boot_entries"
EFI = "/sys/firmware/efi"

# `Boot000A* ubuntu<TAB>HD(1,GPT,…)/File(\EFI\ubuntu\grubx64.efi)`; without the star it is switched off. Version 18
# puts `dp:` and `data:` on lines of their own below it.
ENTRY = re.compile(r"^Boot([0-9A-Fa-f]{4})(\*?)[ ]?([^\t\n]*)(?:\t(.*))?$", re.MULTILINE)
WORD = re.compile(r"^(BootCurrent|BootNext): ([0-9A-Fa-f]{4})$", re.MULTILINE)
# The nodes of a device path from its start on. What comes after them may be the entry's own data, which may look
# like anything. Before version 12 nothing stood between the nodes.
PATH = re.compile(r"(?:/?[A-Za-z]\w*\([^()]*\))*")
NODE = re.compile(r"([A-Za-z]\w*)\(([^()]*)\)")


class Start(enum.Enum):
    """Where a boot entry starts from."""

    DISK = "disk"
    NETWORK = "network"
    USB = "USB"
    OPTICAL = "CD or virtual media"
    FIRMWARE = "firmware"
    OTHER = "something else"
    UNKNOWN = "cannot be read"


# The nodes of the UEFI specification, section 10.3, as efivar writes them. The first group of which a path has a node
# counts: a partition of a disk in a SAN or on USB is no disk of this wipe.
NODES = (
    (Start.NETWORK, {"mac", "ipv4", "ipv6", "uri", "iscsi", "fibre", "fibreex", "infiniband", "dns", "wifi"}),
    (Start.OPTICAL, {"cdrom"}),
    (Start.USB, {"usb", "usbclass", "usbwwid"}),
    (Start.FIRMWARE, {"fv", "fvvol", "fvfile"}),
    (Start.DISK, {"hd", "nvme", "sata", "scsi", "sas", "sasex", "ata", "sd", "emmc", "ufs"}),
)
# What a BIOS Boot Specification node names: the entries that some firmware makes for a legacy start.
BBS = {"hd": Start.DISK, "network": Start.NETWORK, "cdrom": Start.OPTICAL, "usb": Start.USB}


@dataclasses.dataclass(frozen=True)
class BootEntry:
    """One Boot#### variable. `path` is its device path as efibootmgr prints it, None where that cannot be read."""

    number: str
    label: str
    active: bool
    path: str | None
    start: Start

    def __str__(self) -> str:
        return f"Boot{self.number} {self.label}".strip()

    def encode(self) -> dict[str, JSON]:
        return {**dataclasses.asdict(self), "start": self.start.value}


@dataclasses.dataclass(frozen=True)
class BootList:
    """What the firmware would start. `current`: what started this system; `next`: what the next start alone takes."""

    entries: tuple[BootEntry, ...]
    current: str | None
    next: str | None


def parse_boot_list(text: str) -> BootList:
    """What `efibootmgr --verbose` printed, of any version from 11 to 18."""
    words = dict(WORD.findall(text))
    entries = tuple(
        BootEntry(number.upper(), label.strip(), bool(star), path or None, choose_start(path or None))
        for number, star, label, path in ENTRY.findall(text)
    )
    return BootList(entries, words.get("BootCurrent"), words.get("BootNext"))


def choose_start(path: str | None) -> Start:
    """Where a device path leads. Of what is not surely a disk it is not said to be one."""
    if path is None:
        return Start.UNKNOWN
    matched = PATH.match(path)
    nodes = {name.lower(): inner for name, inner in NODE.findall(matched.group() if matched else "")}
    if "bbs" in nodes:
        return BBS.get(nodes["bbs"].split(",")[0].lower(), Start.OTHER)
    return next((start for start, names in NODES if names.intersection(nodes)), Start.OTHER)


def choose_deletions(boot: BootList) -> tuple[BootEntry, ...]:
    """The entries that are deleted; all others stay."""
    return tuple(entry for entry in boot.entries if entry.start is Start.DISK)


def probe_boot_list(host: Host) -> BootList | Completed:
    """The boot entries; where they cannot be read, what efibootmgr said."""
    said = ask(host, ["efibootmgr", "--verbose"])
    # It stops at an entry that it cannot read, and does not print those behind it.
    return parse_boot_list(said.stdout) if said.status == 0 and "Boot" in said.stdout else said


def describe_boot_entries(host: Host) -> str:
    """What would be deleted and what stays, for a dry run; only reads."""
    if not host.exists(EFI):
        return "boot entries: none, this system was not started by UEFI"
    boot = probe_boot_list(host)
    if isinstance(boot, Completed):
        return f"boot entries: cannot be read ({describe_failure(boot)})"
    doomed = choose_deletions(boot)
    kept = [entry for entry in boot.entries if entry not in doomed]
    if not doomed:
        return f"boot entries: none starts from a disk; {_count_kept(kept)}"
    verb = "that start from a disk" if len(doomed) > 1 else "that starts from a disk"
    return f"{_count(len(doomed))} {verb} would be deleted: {', '.join(map(str, doomed))}; {_count_kept(kept)}"


def clear_boot_entries(host: Host) -> Extra:
    """Delete the entries that start from a disk, and look again whether they are gone."""
    if not host.exists(EFI):
        return Extra(WHAT, Verdict.SKIPPED, "no boot entries: this system was not started by UEFI")
    before = probe_boot_list(host)
    if isinstance(before, Completed):
        return Extra(WHAT, judge_unread(before), f"boot entries cannot be read: {describe_failure(before)}")
    doomed = choose_deletions(before)
    troubles = {}
    for entry in doomed:
        said = ask(host, ["efibootmgr", f"--bootnum={entry.number}", "--delete-bootnum"])
        if said.status != 0:
            troubles[entry.number] = describe_failure(said)
    after = probe_boot_list(host) if doomed else before
    return judge_deletion(before, None if isinstance(after, Completed) else after, troubles)


def judge_deletion(before: BootList, after: BootList | None, troubles: dict[str, str]) -> Extra:
    """What became of the entries, by what the firmware lists now; `after` None: it could not be asked again."""
    doomed = choose_deletions(before)
    data: dict[str, JSON] = {
        "to_delete": [entry.encode() for entry in doomed],
        "kept": [entry.encode() for entry in before.entries if entry not in doomed],
        "boot_current": before.current,
        "boot_next": before.next,
        "troubles": troubles,
    }
    if after is None:
        return Extra(WHAT, Verdict.UNKNOWN, "boot entries were deleted, and cannot be listed to see it", data)
    # By what they are and not by number alone: a firmware may have made another entry of that number by now.
    left = [entry for entry in after.entries if entry in doomed]
    data["left"] = [entry.number for entry in left]
    if left:
        why = "; ".join(f"{entry}: {troubles.get(entry.number, 'is still listed')}" for entry in left)
        return Extra(WHAT, Verdict.FAIL, f"{_count(len(left))} could not be deleted: {why}", data)
    unread = [entry for entry in after.entries if entry.start is Start.UNKNOWN]
    done = f"{_count(len(doomed))} deleted" if doomed else "no boot entry starts from a disk"
    if unread:
        names = ", ".join(map(str, unread))
        return Extra(WHAT, Verdict.WARN, f"{done}; stays, since where it starts from cannot be read: {names}", data)
    return Extra(WHAT, Verdict.PASS, f"{done}; {_count_kept(after.entries)}", data)


def _count(number: int) -> str:
    return f"{number} boot entr{'y' if number == 1 else 'ies'}"


def _count_kept(kept: list[BootEntry] | tuple[BootEntry, ...]) -> str:
    """`3 stay (2 network, 1 firmware)`."""
    starts = [entry.start for entry in kept]
    words = [f"{starts.count(start)} {start.value}" for start in Start if start in starts]
    return f"{len(kept)} stay{'s' if len(kept) == 1 else ''}" + (f" ({', '.join(words)})" if words else "")
