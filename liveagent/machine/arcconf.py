"""Adaptec controllers by arcconf, whose words changed their capitals from one release to the next."""

from __future__ import annotations

import re
from collections.abc import Iterator

from liveagent.machine.controller import Backup, RaidController, RaidDrive, RaidVolume, State, judge, parse_celsius
from liveagent.machine.look import Look, Why
from liveagent.machine.raid import parse_address

TIMEOUT = 60.0
# A server has one or two; each is asked by its number.
MOST = 8
MEBIBYTE = 1 << 20


def parse_found(text: str) -> int:
    """How many controllers there are, by the first line of any page; 0 where it does not say."""
    match = re.search(r"^Controllers found: (\d+)", text, re.MULTILINE)
    return min(int(match.group(1)[:3]), MOST) if match else 0


def parse_arcconf(text: str) -> RaidController | None:
    """`arcconf getconfig N`; None where it tells neither of a controller nor of a drive."""
    sections = _split(text)
    own = sections.get("controller", "")
    drives = tuple(_read_drives(sections.get("physical", "")))
    says, serial = _find("Controller Status", own), _find("Controller Serial Number", own)
    if not says and not drives:
        return None
    return RaidController(
        id=serial,
        address=parse_address(_find_address(own)),
        tool="arcconf",
        model=_find("Controller Model", own),
        serial=serial,
        firmware=_find("Firmware", own),
        state=judge(says) if says else State.UNKNOWN,
        says=says,
        temperature=parse_celsius(_find("Temperature", own)),
        volumes=tuple(_read_volumes(sections.get("logical", ""))),
        drives=drives,
        backups=tuple(_read_backups(own)),
    )


def _split(text: str) -> dict[str, str]:
    """The parts of a page by the first word of their headings, which stand between lines of dashes."""
    parts = re.split(r"^-{60,}\n(\w+)[^\n]*\n-{60,}$", text, flags=re.MULTILINE)
    return {name.lower(): body for name, body in zip(parts[1::2], parts[2::2])}


def _find_address(own: str) -> str:
    match = re.search(r"^ *PCI Address *\([^)]*\) *: *(\S+)", own, re.MULTILINE | re.IGNORECASE)
    return match.group(1) if match else ""


def _find(name: str, text: str) -> str:
    match = re.search(rf"^ *{re.escape(name)} *: *(.*?) *$", text, re.MULTILINE | re.IGNORECASE)
    return match.group(1) if match else ""


def _read_backups(own: str) -> Iterator[Backup]:
    said = [says for name in ("Overall Backup Unit Status", "Supercap Status") if (says := _find(name, own))]
    if said:
        # Of the whole and its capacitor the one that is not well counts.
        says = next((one for one in said if judge(one) is not State.GOOD), said[0])
        yield Backup("capacitor", judge(says), says, parse_celsius(_find("Current Temperature", own)))
        return
    battery = own.partition("Controller Battery Information")[2]
    says = _find("Status", battery)
    if says:
        yield Backup("battery", judge(says), says)


# Present (5723166MB, SATA, HDD, Enclosure:1, Slot:0) SERIAL; Present (Controller:1,Connector:0,Device:3) SERIAL
_SEGMENTS = re.compile(r"^ *Segment \d+ *: *\w+ *\((?:.*?, *)?(\w+:\d+, *\w+:\d+)\)", re.MULTILINE)


def _read_volumes(text: str) -> Iterator[RaidVolume]:
    for block in re.split(r"^Logical [Dd](?:evice|rive) number ", text, flags=re.MULTILINE)[1:]:
        says = _find("Status of Logical Device", block) or _find("Status of logical drive", block)
        size = re.match(r"(\d{1,12}) MB", _find("Size", block))
        level = _find("RAID level", block).split(" ")[0]
        name = _find("Logical Device name", block)
        yield RaidVolume(
            name=" ".join(part for part in (block.split("\n", 1)[0].strip(), name) if part),
            level=f"RAID{level}" if level.isdecimal() else level,
            state=judge(says),
            says=says,
            size=int(size.group(1)) * MEBIBYTE if size else None,
            members=tuple(place.replace(":", " ") for place in _SEGMENTS.findall(block)),
            cache=_find("Write-cache status", block),
        )


def _read_drives(text: str) -> Iterator[RaidDrive]:
    for block in re.split(r"^ *Device #\d+ *$", text, flags=re.MULTILINE)[1:]:
        says, size = _find("State", block), re.match(r"(\d{1,12}) MB", _find("Total Size", block))
        if not says:
            continue  # an enclosure's own processor
        warnings = _find("S.M.A.R.T. warnings", block)
        predicted = int(warnings) if warnings.isdecimal() and len(warnings) < 10 else None
        state = judge(says)
        bus = _find("Transfer Speed", block).split(" ")[0]
        yield RaidDrive(
            slot=_find("Reported Location", block).partition("(")[0].strip(),
            state=State.PREDICTED if state is State.GOOD and predicted else state,
            says=says,
            model=_find("Model", block),
            serial=_find("Serial number", block),
            size=int(size.group(1)) * MEBIBYTE if size else None,
            medium=f"{bus} {'SSD' if _find('SSD', block) == 'Yes' else 'HDD'}".strip(),
            temperature=parse_celsius(_find("Temperature", block)),
            media_errors=_count("Medium Error Count", block),
            other_errors=_count("Hardware Error Count", block),
            predicted=predicted,
            alert={"Yes": True, "No": False}.get(_find("S.M.A.R.T.", block)),
        )


def _count(name: str, block: str) -> int | None:
    text = _find(name, block)
    return int(text) if text.isdecimal() and len(text) < 10 else None


def probe_arcconf(look: Look) -> tuple[RaidController, ...]:
    """What arcconf tells of every controller it knows."""
    first = look.text("raid", ["arcconf", "getconfig", "1"], timeout=TIMEOUT, success=None)
    pages = [first]
    for number in range(2, parse_found(first) + 1):
        pages.append(look.text("raid", ["arcconf", "getconfig", str(number)], timeout=TIMEOUT, success=None))
    found = tuple(controller for page in pages if (controller := parse_arcconf(page)))
    if first and not found:
        look.note("raid", Why.NOT_UNDERSTOOD, "arcconf tells of no controller")
    return found
