"""All disks of a server together: how many ended how, and the one status that may be said of the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from liveagent.events import JSON

# What was left out for these is no medium of this server, or is reached by another path and counted there.
OUTSIDE = frozenset(("wipe.guard.virtual_media", "wipe.guard.not_local", "wipe.twin_path"))

Row = Mapping[str, Any]


def is_skipped(row: Row) -> bool:
    return bool(row["verdict"] == "skipped")


def is_outside(row: Row) -> bool:
    """Whether a disk that was left out is none of this server's own."""
    codes = {reason.get("code") for reason in row.get("reasons") or ()}
    return is_skipped(row) and bool(codes & OUTSIDE)


def count_disks(rows: Sequence[Row]) -> dict[str, JSON]:
    """How many disks were seen, and how many of them ended how; the parts add up to `disks`."""
    asked = [row for row in rows if not is_skipped(row)]
    failed = [row for row in asked if row["status"] == "not-erased"]
    return {
        "disks": len(rows),
        "erased": sum(row["status"] == "erased" for row in asked),
        "erased_with_exceptions": sum(row["status"] == "erased-with-exceptions" for row in asked),
        "not_erased": sum(row["verdict"] != "refused" for row in failed),
        "refused": sum(row["verdict"] == "refused" for row in failed),
        "left_out": len(rows) - len(asked),
    }


def list_exceptions(rows: Sequence[Row], raid: Mapping[str, Any]) -> list[str]:
    """What keeps the server from being simply erased, where every disk that was asked for is."""
    found = [
        f"{row.get('path')} {row.get('serial') or ''}".strip() + f": {exception}"
        for row in rows
        for exception in row.get("exceptions") or ()
    ]
    found += [
        f"{row.get('path')} {row.get('serial') or ''}".strip() + f" was left out: {row.get('summary') or 'not wiped'}"
        for row in rows
        if is_skipped(row) and not is_outside(row)
    ]
    found += [f"the disks behind {controller} could not be listed" for controller in raid.get("unlisted") or ()]
    # In a controller's pass-through mode a disk is listed, and has a row of its own.
    reached = {row.get("serial") for row in rows}
    return found + [
        f"{disk.get('controller')} {disk.get('slot')} {disk.get('serial') or 'without a serial'} lies behind a RAID "
        "controller, and was reached through its volumes at most"
        for disk in raid.get("physical") or ()
        if not disk.get("serial") or disk["serial"] not in reached
    ]


def choose_status(rows: Sequence[Row], raid: Mapping[str, Any]) -> str:
    """The status of the server: that of its worst disk which was to be erased; of no disk, it is not erased."""
    statuses = [row["status"] for row in rows if not is_skipped(row)]
    if not statuses or "not-erased" in statuses:
        return "not-erased"
    if "erased-with-exceptions" in statuses or list_exceptions(rows, raid):
        return "erased-with-exceptions"
    return "erased"


def make_statement(rows: Sequence[Row], raid: Mapping[str, Any]) -> str:
    """One sentence that nobody can misread."""
    totals, status = count_disks(rows), choose_status(rows, raid)
    asked = totals["disks"] - totals["left_out"]
    left = f"; {totals['left_out']} left out" if totals["left_out"] else ""
    if not asked:
        return f"NOT ERASED: no disk was wiped{left}."
    if status == "not-erased":
        return f"NOT ERASED: {totals['not_erased'] + totals['refused']} of {asked} disks are not erased{left}."
    word = "ERASED" if status == "erased" else "ERASED WITH EXCEPTIONS"
    disks = "the one disk that was" if asked == 1 else f"all {asked} disks that were"
    return f"{word}: {disks} to be erased{left}."
