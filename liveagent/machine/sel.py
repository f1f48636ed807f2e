"""The BMC's event log (SEL): how full it is, and what happened, told once however often it is logged."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from liveagent.events import render_time
from liveagent.machine.ipmi import parse_count, parse_flag, parse_pairs, parse_time

# What the JSON holds at most: a log may have thousands of entries, and hardly ever so many that differ.
EVENTS_KEPT = 256
EMPTY = "SEL has no entries"
# `Get SEL Entry 8 command failed : …`: the list goes on, or ends, without that entry, and the exit status is 0. What
# the makers' decoders complain of beside (`Get Board ID command failed`) costs no entry.
DAMAGED = re.compile(r"\bSEL\b.* command failed\b|^Error", re.MULTILINE)
ENTRY = re.compile(r"^\s*[0-9a-fA-F]+ *\|")
# The types of sensors, IPMI 2.0 table 42-3, as ipmitool writes them before a sensor's name.
TYPES = (
    *("Temperature", "Voltage", "Current", "Fan", "Physical Security", "Platform Security", "Processor"),
    *("Power Supply", "Power Unit", "Cooling Device", "Other", "Memory", "Drive Slot / Bay", "POST Memory Resize"),
    *("System Firmwares", "System Firmware", "Event Logging Disabled", "Watchdog1", "Watchdog 1", "System Event"),
    *("Critical Interrupt", "Button", "Module / Board", "Microcontroller", "Add-in Card", "Chassis", "Chip Set"),
    *("Other FRU", "Cable / Interconnect", "Terminator", "System Boot Initiated", "Boot Error", "OS Boot"),
    *("OS Critical Stop", "OS Stop/Shutdown", "Slot / Connector", "System ACPI Power State", "Watchdog2"),
    *("Watchdog 2", "Platform Alert", "Entity Presence", "Monitor ASIC", "LAN", "Management Subsys Health"),
    *("Battery", "Session Audit", "Version Change", "FRU State", "Unknown", "reserved"),
)
LONGEST_FIRST = sorted(TYPES, key=len, reverse=True)


@dataclasses.dataclass(frozen=True)
class SelEvent:
    """Something that was logged: `type` is the sensor's (IPMI 2.0, table 42-3), `sensor` its name or number.

    `count`: how often it was asserted. `standing`: whether the last entry about it asserted it. `first` and `last` are
    RFC 3339 by the BMC's clock, None where that was not set. `detail`: what the maker adds (a DIMM, a PCI address).
    `line` is the last entry as ipmitool prints it.
    """

    id: str
    type: str
    sensor: str
    event: str
    detail: str
    count: int
    standing: bool
    first: str | None
    last: str | None
    line: str


@dataclasses.dataclass(frozen=True)
class Sel:
    """The log: its entries, bytes free, percent used; None for what the BMC does not say.

    `complete`: whether every entry could be read. `events`: oldest first; `left_out`: how many older ones are not here.
    """

    entries: int | None = None
    free_bytes: int | None = None
    used_percent: int | None = None
    overflow: bool | None = None
    last_added: str | None = None
    complete: bool = True
    events: tuple[SelEvent, ...] = ()
    left_out: int = 0


@dataclasses.dataclass(frozen=True)
class _Entry:
    type: str
    sensor: str
    event: str
    detail: str
    asserted: bool
    time: float | None
    line: str

    @property
    def key(self) -> tuple[str, ...]:
        # Of a threshold the detail is a reading, which is another one each time.
        return (self.type, self.sensor, self.event, "" if self.detail.startswith("Reading ") else self.detail)


def parse_sel_info(text: str) -> Sel | None:
    """The log without its events, from `ipmitool sel info`; None where that is something else."""
    pairs = parse_pairs(text)
    entries = parse_count(pairs.get("entries"))
    if entries is None:
        return None
    used = parse_count(pairs.get("percent used"))
    units, free = parse_count(pairs.get("# of alloc units")), parse_count(pairs.get("# free units"))
    if units and free is not None and free <= units:
        # Counted in the BMC's own units; the percentage before it takes 65,535 for all that is more.
        used = 100 * (units - free) // units
    free_bytes = pairs.get("free space", "")
    return Sel(
        entries=entries,
        free_bytes=None if "or more" in free_bytes else parse_count(free_bytes),
        used_percent=used if used is not None and used <= 100 else None,
        overflow=parse_flag(pairs.get("overflow")),
        last_added=_render(parse_time(pairs.get("last add time", ""))),
    )


def parse_sel(stdout: str, stderr: str = "") -> tuple[tuple[SelEvent, ...], bool] | None:
    """What happened, oldest first, and whether all entries could be read, from `ipmitool sel elist`.

    None where it printed neither entries nor that there are none.
    """
    lines = [line.strip() for line in stdout.splitlines() if ENTRY.match(line)]
    if not lines and EMPTY not in stdout + stderr:
        return None
    entries = [entry for entry in map(_parse_entry, lines) if entry]
    complete = len(entries) == len(lines) and not DAMAGED.search(stdout + "\n" + stderr)
    return tell_once(entries), complete


def tell_once(entries: Sequence[_Entry]) -> tuple[SelEvent, ...]:
    """Each thing once, in the order in which it was logged last."""
    groups: dict[tuple[str, ...], list[_Entry]] = {}
    for entry in entries:
        # Taken out and put in again, so that it stands where it was logged last.
        groups[entry.key] = [*groups.pop(entry.key, []), entry]
    return tuple(_make_event(group) for group in groups.values())


def choose_kept(events: Sequence[SelEvent]) -> tuple[tuple[SelEvent, ...], int]:
    """The newest that the inventory keeps, and how many it leaves out."""
    return tuple(events[-EVENTS_KEPT:]), max(0, len(events) - EVENTS_KEPT)


def _make_event(group: Sequence[_Entry]) -> SelEvent:
    asserted = [entry for entry in group if entry.asserted]
    told = asserted or group
    last = told[-1]
    return SelEvent(
        id="/".join(filter(None, last.key)),
        type=last.type,
        sensor=last.sensor,
        event=last.event,
        detail=last.detail,
        count=len(asserted),
        standing=group[-1].asserted,
        first=_render(told[0].time),
        last=_render(last.time),
        line=last.line,
    )


def _parse_entry(line: str) -> _Entry | None:
    """One line: `id | date | time | type name | event | Asserted | more`, or a record of the maker's own."""
    cells = [cell.strip() for cell in line.split("|")][1:]
    time = None
    if len(cells) > 2 and not cells[0].startswith(("OEM record", "Linux kernel panic")):
        time = parse_time(f"{cells[0]} {cells[1]}")
        cells = cells[2:]
    if not cells:
        return None
    if cells[0].startswith("OEM record"):
        # The maker's number tells what they are; the bytes after it, nobody.
        return _Entry(cells[0], "", cells[1] if len(cells) > 2 else "", "", True, time, line)
    if cells[0].startswith("Linux kernel panic"):
        return _Entry(
            "OS Critical Stop", "", "Linux kernel panic", cells[0].partition(":")[2].strip(), True, time, line
        )
    place = next((place for place, cell in enumerate(cells) if cell in ("Asserted", "Deasserted")), 0)
    if place < 2:
        return None
    type_, sensor = _split_sensor(cells[0])
    # Dell's decoder writes bars of its own: `Uncorrectable ECC (UnCorrectable ECC |  DIMM2, DIMM5) | Asserted`.
    event, detail = _split_detail(" | ".join(cells[1:place]))
    detail = "; ".join(filter(None, [detail, *cells[place + 1 :]]))
    return _Entry(type_, sensor, event, detail, cells[place] == "Asserted", time, line)


def _split_sensor(text: str) -> tuple[str, str]:
    """The type and the name or number: `Power Supply PS2 Status`, `Memory #0x21`, `Critical Interrupt`."""
    for type_ in LONGEST_FIRST:
        if text == type_ or text.startswith(f"{type_} "):
            return type_, text[len(type_) :].strip()
    return text, ""


def _split_detail(text: str) -> tuple[str, str]:
    """The event, and what a maker's own decoder put in brackets behind it."""
    event, bracket, detail = text.partition("(")
    return (event.strip(), detail[:-1].strip()) if bracket and detail.endswith(")") else (text, "")


def _render(time: float | None) -> str | None:
    return None if time is None else render_time(time)
