"""MegaRAID and PERC controllers by storcli or perccli, and what their states are called there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from liveagent.machine.controller import Backup, RaidController, RaidDrive, RaidVolume, State, judge, parse_celsius
from liveagent.machine.look import Look
from liveagent.machine.raid import (
    STORCLI,
    get_rows,
    get_text,
    make_storcli_disk,
    parse_address,
    parse_details,
    parse_responses,
    parse_size,
)
from liveagent.machine.smartctl import look_up, read_number

# A controller with many drives takes its time for all of them.
TIMEOUT = 60.0
# DG of a drive that carries a foreign configuration.
FOREIGN = "F"


def parse_storcli_controllers(controllers: str, drives: str = "") -> tuple[RaidController, ...]:
    """`storcli /call show all J`, or `show J` with the same on one level; `drives` is `/call/eall/sall show all J`."""
    details = parse_details(drives)
    return tuple(
        controller
        for number, response, faults in parse_responses(controllers)
        if (controller := _make(number, response, faults, details))
    )


def _make(
    number: str, response: Mapping[str, Any], faults: str, details: Mapping[tuple[str, str], Mapping[str, Any]]
) -> RaidController | None:
    address = parse_address(_pick(response, ("Basics", "PCI Address"), ("PCI Address",)))
    if not address:
        return None
    serial = _pick(response, ("Basics", "Serial Number"), ("Serial Number",))
    says = _pick(response, ("Status", "Controller Status"))
    rows = [row for row in get_rows(response.get("PD LIST")) if isinstance(row, dict)]
    patrol = _pick(response, ("Scheduled Tasks", "Patrol Read Reoccurrence"))
    following = _pick(response, ("Scheduled Tasks", "Next Patrol Read launch"))
    return RaidController(
        id=serial or address,
        address=address,
        tool="storcli",
        model=_pick(response, ("Basics", "Model"), ("Product Name",)),
        serial=serial,
        firmware=_pick(response, ("Version", "Firmware Version"), ("FW Version",)),
        driver=_pick(response, ("Version", "Driver Name"), ("Driver Name",)),
        state=judge(says) if says else State.UNKNOWN,
        says=says,
        temperature=parse_celsius(look_up(response, "HwCfg", "ROC temperature(Degree Celsius)")),
        memory_errors=read_number(response, "Status", "Memory Uncorrectable Errors"),
        foreign=_count_foreign(response, rows, faults),
        patrol_read=f"every {patrol}, next {following}" if patrol and following else patrol,
        volumes=tuple(_read_volumes(response, rows)),
        drives=tuple(_make_drive(address, row, details.get((number, get_text(row, "EID:Slt")), {})) for row in rows),
        backups=tuple(_read_backups(response)),
    )


def _pick(response: Mapping[str, Any], *paths: tuple[str, ...]) -> str:
    """The text at the first path that has one; "" without."""
    texts = (look_up(response, *path) for path in paths)
    return next((str(text).strip() for text in texts if isinstance(text, (str, int)) and str(text).strip()), "")


def _count_foreign(response: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], faults: str) -> int | None:
    """Groups of drives that are foreign, at least: some firmware counts them, some says so of the drives, and some
    fails the command over them.
    """
    counted = read_number(response, "Total Foreign Drive Groups")
    is_said = "foreign" in faults.lower() or any(get_text(row, "DG") == FOREIGN for row in rows)
    if counted is None and not rows:
        return 1 if is_said else None
    return max(counted or 0, int(is_said))


def _read_volumes(response: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Iterator[RaidVolume]:
    for row in get_rows(response.get("VD LIST") or response.get("Virtual Drives")):
        if not isinstance(row, dict):
            continue
        place = get_text(row, "DG/VD")
        group = place.partition("/")[0]
        yield RaidVolume(
            name=" ".join(part for part in (place, get_text(row, "Name")) if part),
            level=get_text(row, "TYPE"),
            state=judge(get_text(row, "State")),
            says=get_text(row, "State"),
            size=parse_size(get_text(row, "Size")),
            members=tuple(get_text(drive, "EID:Slt") for drive in rows if get_text(drive, "DG") == group),
            cache=get_text(row, "Cache"),
        )


def _make_drive(address: str, row: Mapping[str, Any], details: Mapping[str, Any]) -> RaidDrive:
    disk = make_storcli_disk(address, row, details)
    predicted = read_number(details, "Predictive Failure Count")
    alert = {"Yes": True, "No": False}.get(get_text(details, "S.M.A.R.T alert flagged by drive"))
    state = judge(disk.state)
    return RaidDrive(
        slot=disk.slot,
        state=State.PREDICTED if state is State.GOOD and (predicted or alert) else state,
        says=disk.state,
        model=disk.model,
        serial=disk.serial,
        size=disk.size,
        medium=disk.medium,
        temperature=parse_celsius(details.get("Drive Temperature")),
        media_errors=read_number(details, "Media Error Count"),
        other_errors=read_number(details, "Other Error Count"),
        predicted=predicted,
        alert=alert,
        foreign=get_text(row, "DG") == FOREIGN,
    )


def _read_backups(response: Mapping[str, Any]) -> Iterator[Backup]:
    for key, kind in (("BBU_Info", "battery"), ("Cachevault_Info", "capacitor")):
        for row in get_rows(response.get(key)):
            if isinstance(row, dict):
                says = get_text(row, "State")
                yield Backup(kind, judge(says), says, parse_celsius(row.get("Temp")))


def probe_storcli(look: Look) -> tuple[RaidController, ...]:
    """What the first of the tools that answers tells of its controllers."""
    for tool in STORCLI:
        controllers = look.ask("raid", [tool, "/call", "show", "all", "J"], timeout=TIMEOUT, success=None)
        if controllers:
            drives = look.text("raid", [tool, "/call/eall/sall", "show", "all", "J"], timeout=TIMEOUT, success=None)
            found = parse_storcli_controllers(controllers.stdout, drives)
            if found:
                return found
    return ()
