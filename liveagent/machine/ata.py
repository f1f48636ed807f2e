"""What an ATA drive says of itself, by hdparm, which exits 0 for nearly anything: only what it prints counts."""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Iterator

from liveagent.host import Host
from liveagent.machine.disks import Disk
from liveagent.machine.nameplate import clean, clean_serial
from liveagent.machine.question import Questions

# One that a drive can have, and no part of a longer one: what answers garbage may print thousands of digits.
NUMBER = r"(?<![0-9])([0-9]{1,18})(?![0-9])"
# What a drive has that says nothing else (ACS-3, IDENTIFY DEVICE word 106).
SECTOR_SIZE = 512
# SPROG of SANITIZE STATUS EXT counts to 65536.
PROGRESS_WHOLE = 65536
# Words of hdparm 9.65 for bits of IDENTIFY DEVICE. Word 119 bit 8, the Accessible Max Address Configuration, and word
# 69 bits 1:0, zoned, have no name there.
SANITIZE = "SANITIZE feature set"
SANITIZE_ACTIONS = {
    "CRYPTO_SCRAMBLE_EXT command": "crypto",
    "BLOCK_ERASE_EXT command": "block",
    "OVERWRITE_EXT command": "overwrite",
}
ANTIFREEZE = "SANITIZE_ANTIFREEZE_LOCK_EXT command"
HPA = "Host Protected Area feature set"
DCO = "Device Configuration Overlay feature set"
AMAC = ("unknown 119[8]", "Accessible Max Address Configuration")
ENCRYPTS = "Device encrypts all user data"
ZONED = {(True, False): "host-aware", (False, True): "drive-managed", (False, False): "none"}
# SAT-3 and SPC-4: sense keys of a command that the drive did not carry out; ATA STATUS bit 0 ERR, ERROR bit 2 ABRT.
SENSE_REFUSED = (0x05, 0x0B)
STATUS_ERR, ERROR_ABORT = 1 << 0, 1 << 2
ATA_RETURN_DESCRIPTOR = 0x09


@dataclasses.dataclass(frozen=True)
class AtaSecurity:
    """The Security block of hdparm.

    Minutes are the drive's own estimate; 508 and 65532 are where its field ends, and may stand for more. Of a block
    that is cut nothing is offered, and it counts as frozen. `level`: "high", "maximum", or "" where no password is set.
    """

    supported: bool
    enabled: bool
    locked: bool
    frozen: bool
    expired: bool
    enhanced: bool
    erase_minutes: int | None = None
    enhanced_minutes: int | None = None
    level: str = ""


class AtaSanitizeState(enum.Enum):
    """The states SD0 to SD3 of ACS-3; SD4 of hdparm is an idle drive whose last sanitize succeeded."""

    IDLE = "idle"
    FROZEN = "frozen"
    RUNNING = "running"
    FAILED = "failed"


_STATES = {
    "SD0": AtaSanitizeState.IDLE,
    "SD1": AtaSanitizeState.FROZEN,
    "SD2": AtaSanitizeState.RUNNING,
    "SD3": AtaSanitizeState.FAILED,
    "SD4": AtaSanitizeState.IDLE,
}


@dataclasses.dataclass(frozen=True)
class AtaSanitizeStatus:
    """`progress` runs from 0 to 1, None where nothing runs. `completed`: the last sanitize ended without error,
    whenever that was and whoever began it.
    """

    state: AtaSanitizeState
    progress: float | None
    completed: bool


@dataclasses.dataclass(frozen=True)
class AtaFacts:
    """A drive as IDENTIFY DEVICE describes it.

    `rotation`: revolutions a minute, 0 for solid state, None where not said. `sectors` are those that can be reached
    now, of `sector_size` bytes. `sanitize`: of "crypto", "block", "overwrite". Hidden sectors are None where unknown;
    `hpa_hidden` counts those behind an accessible max address as well, which `amac` says the drive has. `encrypts`: the
    drive encrypts all user data. `zoned`: none, host-aware, drive-managed, or "" where not said.
    """

    model: str
    serial: str
    firmware: str
    rotation: int | None
    sectors: int | None
    sector_size: int
    security: AtaSecurity
    sanitize: frozenset[str]
    antifreeze: bool
    status: AtaSanitizeStatus | None
    hpa_hidden: int | None
    dco_hidden: int | None
    amac: bool | None
    encrypts: bool
    zoned: str


def parse_identify(text: str) -> AtaFacts | None:
    """`hdparm -I`; None unless there really is identify text. Of hidden sectors: 0 where no feature could hide any."""
    features, is_whole = _parse_features(text)
    model = clean(_find(r"Model Number:(.*)", text))
    # Of a SCSI disk that refuses the command hdparm prints "ATA device", and what follows from a page of zeros.
    if re.search(r"^ATAPI\b", text, re.MULTILINE) or not (model or features):
        return None
    amac = any(name in features for name in AMAC) or (False if is_whole else None)
    return AtaFacts(
        model=model,
        serial=clean_serial(_find(r"Serial Number:(.*)", text)),
        firmware=clean(_find(r"Firmware Revision:(.*)", text)),
        rotation=_parse_rotation(text),
        sectors=_parse_sectors(text),
        sector_size=int(_find(rf"Logical(?:/Physical)? +Sector size: +{NUMBER} bytes", text) or SECTOR_SIZE),
        security=parse_security(text),
        sanitize=frozenset(
            action for name, action in SANITIZE_ACTIONS.items() if name in features and SANITIZE in features
        ),
        antifreeze=ANTIFREEZE in features,
        status=None,
        hpa_hidden=0 if is_whole and HPA not in features and not amac else None,
        dco_hidden=0 if is_whole and DCO not in features else None,
        amac=amac,
        encrypts=ENCRYPTS in features,
        zoned=ZONED.get(("reserved 69[0]" in features, "reserved 69[1]" in features), "") if is_whole else "",
    )


def _find(pattern: str, text: str) -> str:
    """The group of the first line that says so; "" without one."""
    match = re.search(rf"^\s*{pattern}", text, re.MULTILINE)
    return match.group(1).strip() if match else ""


def _parse_features(text: str) -> tuple[frozenset[str], bool]:
    """What the drive supports, by hdparm's words (a star: also enabled), and whether the list has an end."""
    found: set[str] = set()
    for line in text.partition("Commands/features:")[2].splitlines()[1:]:
        if line[:1] not in (" ", "\t"):
            return frozenset(found), True
        found.add(line.strip().lstrip("*").strip())
    return frozenset(found), False


def _parse_rotation(text: str) -> int | None:
    rate = _find(r"Nominal Media Rotation Rate:(.*)", text)
    if rate == "Solid State Device":
        return 0
    return int(rate) or None if re.fullmatch(NUMBER, rate) else None


def _parse_sectors(text: str) -> int | None:
    """LBA48 before LBA, which ends at 128 GiB."""
    counts = [int(_find(rf"{kind} +user addressable sectors: *{NUMBER}", text) or 0) for kind in ("LBA48", "LBA")]
    return next((count for count in counts if count > 1), None)


# The lines of the Security block, by field; each is there with or without "not" before it.
_SECURITY = {
    "supported": "supported",
    "enabled": "enabled",
    "locked": "locked",
    "frozen": "frozen",
    "expired: security count": "expired",
    "supported: enhanced erase": "enhanced",
}


def parse_security(text: str) -> AtaSecurity:
    """The Security block of `hdparm -I`; a drive without one has no such feature set."""
    heading = re.search(r"^Security:", text, re.MULTILINE)
    block = text[heading.end() :] if heading else ""
    said: dict[str, bool] = {}
    # The log of hdparm's first versions and of forums has blanks for tabs.
    for words in (line.split() for line in block.splitlines()):
        is_not = words[:1] == ["not"]
        field = _SECURITY.get(" ".join(words[is_not:]))
        if field:
            said.setdefault(field, not is_not)
    is_cut = heading is not None and not {"supported", "enabled", "locked", "frozen"} <= said.keys()
    minutes = {bool(enhanced): int(number) for number, enhanced in _ERASE_TIMES.findall(block)}
    return AtaSecurity(
        supported=said.get("supported", False) and not is_cut,
        enabled=said.get("enabled", False),
        locked=said.get("locked", False),
        frozen=said.get("frozen", False) or is_cut,
        expired=said.get("expired", False),
        enhanced=said.get("enhanced", False) and not is_cut,
        erase_minutes=minutes.get(False),
        enhanced_minutes=minutes.get(True),
        level=_find(r"Security level (\w+)", block),
    )


_ERASE_TIMES = re.compile(rf"{NUMBER}\s*min for (ENHANCED )?SECURITY ERASE UNIT")


def parse_sanitize_status(text: str) -> AtaSanitizeStatus | None:
    """`hdparm --sanitize-status`, stdout and stderr; None where the drive did not answer.

    A refused question is followed by a state all the same, made of zeros: SD0, idle. That is no answer.
    """
    states = re.findall(r"\b(SD[0-4])\b", text)
    if not states or (states[-1] != "SD3" and is_refused(text)):
        return None
    state = _STATES[states[-1]]
    progress = re.search(r"Progress:\s*(0x[0-9a-fA-F]{1,8})\b", text)
    completed = states[-1] == "SD4" or "Last Sanitize Operation Completed Without Error" in text
    is_running = state is AtaSanitizeState.RUNNING
    return AtaSanitizeStatus(
        state=state,
        progress=min(int(progress.group(1), 16) / PROGRESS_WHOLE, 1.0) if progress and is_running else None,
        completed=completed and not is_running and state is not AtaSanitizeState.FAILED,
    )


def parse_max_sectors(text: str) -> tuple[int, int] | None:
    """`hdparm -N`: the sectors that can be reached, and those that could be. None where the numbers make no sense."""
    pattern = rf"max sectors\s*=\s*{NUMBER}/{NUMBER}, (?:HPA is|ACCESSIBLE MAX ADDRESS) (?:enabled|disabled)"
    match = re.search(pattern, text)
    if not match or is_refused(text):
        return None
    reached, native = int(match.group(1)), int(match.group(2))
    return (reached, native) if 1 < reached <= native else None


def parse_dco(text: str) -> int | None:
    """`hdparm --dco-identify`: the sectors that the drive has at most; None where it does not say."""
    match = re.search(rf"Real max sectors:\s*{NUMBER}", text)
    if not match or "DCO Checksum FAILED" in text or is_refused(text):
        return None
    return int(match.group(1)) if int(match.group(1)) > 1 else None


def is_refused(text: str) -> bool:
    """Whether the drive refused a command that hdparm reports as issued, at an exit status of 0.

    Sense data that is missing altogether, as behind RAID controllers, is no refusal: the command may have been taken.
    """
    if "not supported" in text or re.search(r"SANITIZE device error reason: (?!Reason not reported)", text):
        return True
    return any(_is_abort(sense) for sense in _parse_sense(text))


def _parse_sense(text: str) -> Iterator[bytes]:
    for match in re.finditer(r"bad/missing sense data, sb\[\]:((?:\s+[0-9a-fA-F]{2})+)", text):
        yield bytes.fromhex(match.group(1))


def _is_abort(sense: bytes) -> bool:
    """Sense data that says so by its key, or by the ATA registers in it (SAT-3, 12.2.2.6 and 12.2.2.7)."""
    sense = sense.ljust(32, b"\0")
    if sense[0] & 0x7F in (0x72, 0x73):
        found = [(sense[11], sense[21])] if sense[8] == ATA_RETURN_DESCRIPTOR else []
        key = sense[1] & 0x0F
    elif sense[0] & 0x7F in (0x70, 0x71):
        # Bytes 3 and 4 by the standard; older kernels put the registers at 8 and 9.
        found, key = [(sense[3], sense[4]), (sense[8], sense[9])], sense[2] & 0x0F
    else:
        return False
    aborts = any(status & STATUS_ERR and error & ERROR_ABORT for error, status in found)
    return aborts or key in SENSE_REFUSED


def measure_hidden(facts: AtaFacts, reach: tuple[int, int] | None, real: int | None) -> AtaFacts:
    """The facts with the hidden sectors, out of `hdparm -N` and the DCO; what contradicts the drive is unknown."""
    hpa, dco, native = facts.hpa_hidden, facts.dco_hidden, facts.sectors
    if hpa is None:
        is_sound = reach is not None and facts.sectors is not None and reach[0] == facts.sectors
        native = reach[1] if reach and is_sound else None
        hpa = native - facts.sectors if native is not None and facts.sectors is not None else None
    if dco is None and real is not None and native is not None and real >= native:
        dco = real - native
    return dataclasses.replace(facts, hpa_hidden=hpa, dco_hidden=dco)


def probe_ata(host: Host, disk: Disk, questions: Questions | None = None) -> AtaFacts | None:
    """What the drive offers; None where there is no ATA drive that answers at the disk's path."""
    questions = questions or Questions(host)
    facts = parse_identify(questions.read(["hdparm", "-I", disk.path]))
    if not facts:
        return None
    reach = parse_max_sectors(questions.read(["hdparm", "-N", disk.path])) if facts.hpa_hidden is None else None
    real = parse_dco(questions.read(["hdparm", "--dco-identify", disk.path])) if facts.dco_hidden is None else None
    status = probe_sanitize_status(host, disk.path, questions) if facts.sanitize else None
    return dataclasses.replace(measure_hidden(facts, reach, real), status=status)


def probe_sanitize_status(host: Host, path: str, questions: Questions | None = None) -> AtaSanitizeStatus | None:
    """How the drive stands with sanitize; None where it does not say."""
    return parse_sanitize_status((questions or Questions(host)).read(["hdparm", "--sanitize-status", path]))
