"""Smart Array and SmartRAID controllers by ssacli: one page of headings, indented by what belongs to what."""

from __future__ import annotations

import re
from collections.abc import Iterator

from liveagent.machine.controller import Backup, RaidController, RaidDrive, RaidVolume, State, judge, parse_celsius
from liveagent.machine.look import Look
from liveagent.machine.raid import SSACLI, find_line, make_ssacli_disk, parse_address, parse_rounded

TIMEOUT = 60.0


def parse_ssacli_controllers(text: str) -> tuple[RaidController, ...]:
    """`ssacli ctrl all show config detail`, and `ctrl all show detail`, which has the controllers alone."""
    parts = re.split(r"^(?=\S.* in Slot )", text, flags=re.MULTILINE)
    return tuple(controller for part in parts if (controller := _make(part)))


def _make(part: str) -> RaidController | None:
    address = parse_address(find_line(r"PCI Address \(Domain:Bus:Device\.Function\): *(\S+)", part))
    if not address:
        return None
    heading = part.partition(" in Slot ")[0].strip()
    # What is said of the controller itself stands three blanks in, and ends where its ports, arrays and drives begin.
    own = "".join(re.findall(r"^ {3}\S[^\n]*\n?", part, re.MULTILINE))
    says, serial = find_line(r"Controller Status: *(.*)", own), find_line(r"Serial Number: *(.*)", own)
    return RaidController(
        id=serial or address,
        address=address,
        tool="ssacli",
        model=heading,
        serial=serial,
        firmware=find_line(r"Firmware Version: *(.*)", own),
        driver=find_line(r"Driver Name: *(.*)", own),
        state=judge(says) if says else State.UNKNOWN,
        says=says,
        temperature=parse_celsius(find_line(r"Controller Temperature \(C\): *(.*)", own)),
        volumes=tuple(_read_volumes(part)),
        drives=tuple(_read_drives(address, part)),
        backups=tuple(_read_backups(own)),
    )


def _read_backups(own: str) -> Iterator[Backup]:
    says = find_line(r"Battery/Capacitor Status: *(.*)", own)
    if says:
        source = find_line(r"Cache Backup Power Source: *(.*)", own)
        degrees = parse_celsius(find_line(r"Capacitor Temperature +\(C\): *(.*)", own))
        yield Backup("capacitor" if "apacitor" in source else "battery", judge(says), says, degrees)
    # Without one the cache says so itself: "Temporarily Disabled", "Permanently Disabled", with a reason.
    cache = find_line(r"Cache Status: *(.*)", own)
    if cache and cache not in ("OK", "Not Configured"):
        yield Backup("cache", judge(cache), cache)


def _read_volumes(part: str) -> Iterator[RaidVolume]:
    for array in re.split(r"^ {3}Array: ", part, flags=re.MULTILINE)[1:]:
        members = tuple(dict.fromkeys(re.findall(r"^ +physicaldrive (\S+) *$", array, re.MULTILINE)))
        for block in re.split(r"^ +Logical Drive: ", array, flags=re.MULTILINE)[1:]:
            # The array's drives follow its volumes, and have states of their own.
            block = re.split(r"^ +physicaldrive ", block, flags=re.MULTILINE)[0]
            says = find_line(r"Status: *(.*)", block)
            level = find_line(r"Fault Tolerance: *(.*)", block)
            yield RaidVolume(
                name=block.split("\n", 1)[0].strip(),
                level=f"RAID{level}" if level else "",
                state=judge(says),
                says=says,
                size=parse_rounded(find_line(r"Size: *(.*)", block), 1024),
                members=members,
                cache=find_line(r"Caching: *(.*)", block),
                device=find_line(r"Disk Name: *(.*)", block),
            )


def _read_drives(address: str, part: str) -> Iterator[RaidDrive]:
    found = re.findall(r"^ +physicaldrive (\S+) *\n((?: +\S[^\n]*: ?[^\n]*\n?)+)", part, re.MULTILINE)
    for slot, block in dict(found).items():
        disk = make_ssacli_disk(address, slot, block)
        yield RaidDrive(
            slot=slot,
            state=judge(disk.state),
            says=disk.state,
            model=disk.model,
            serial=disk.serial,
            size=disk.size,
            medium=disk.medium,
            temperature=parse_celsius(find_line(r"Current Temperature \(C\): *(.*)", block)),
        )


def probe_ssacli(look: Look) -> tuple[RaidController, ...]:
    """What the first of the tools that answers tells of its controllers."""
    for tool in SSACLI:
        argv = [tool, "ctrl", "all", "show", "config", "detail"]
        found = parse_ssacli_controllers(look.text("raid", argv, timeout=TIMEOUT, success=None))
        if found:
            return found
    return ()
