"""What will be done to every disk, before anything is touched: the table that a dry run prints, and a run obeys."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Callable

from liveagent.events import JSON, Verdict
from liveagent.host import Cancelled, Host, NotRecorded
from liveagent.machine import Machine
from liveagent.machine.ata import AtaSanitizeState
from liveagent.machine.disks import Disk, Transport
from liveagent.machine.drive import Drive, probe_drive
from liveagent.machine.nvme import SanitizeState
from liveagent.machine.raid import RaidSurvey, describe_volume, probe_raid
from liveagent.machine.scsi import ScsiState
from liveagent.report.lines import render_bytes
from liveagent.tasks import Preview
from liveagent.tasks.wipe.account import describe_disk
from liveagent.tasks.wipe.dismantle import render_steps
from liveagent.tasks.wipe.guards import Reason
from liveagent.tasks.wipe.options import WipeOptions
from liveagent.tasks.wipe.select import Chosen, Held, Selection, choose_disks, is_same_medium
from liveagent.tasks.wipe.technique import NONE, Choice, choose_techniques, find_exceptions, find_lock

log = logging.getLogger(__name__)

# Drives answer slowly and one at a time; a rack of them is asked side by side.
ASKED_AT_ONCE = 8
# Each question has a limit of its own; this is for what no limit ends, an open that hangs in the kernel.
PROBE_LIMIT = 600.0
NAMED = 8  # disks that nothing is done to, in a line
# Guards that hold what nobody can look at, by the name under which they are lifted.
BLIND = {"wipe.guard.unreadable": "unreadable", "wipe.guard.no_size": "no_size"}


@dataclasses.dataclass(frozen=True)
class Order:
    """What is to be done to one disk: chosen, with its drive's facts and the techniques in the order of trial."""

    chosen: Chosen
    drive: Drive
    choice: Choice

    @property
    def disk(self) -> Disk:
        return self.chosen.disk

    @property
    def text(self) -> str:
        """In words: `nvme-sanitize-block (purge: the drive offers it), else nvme-format-user`."""
        first, *rest = self.choice.techniques
        if first.method == NONE:
            return f"{first.name} ({first.why}): signatures and both ends, no more; NOT ERASED afterwards"
        words = f"{first.name} ({first.method}: {first.why})"
        return words + (f", else {', '.join(one.name for one in rest)}" if rest else "")


@dataclasses.dataclass(frozen=True)
class Decision:
    """An order for each disk that is wiped; the rest stands in `selection`. `drives` are the facts, by kernel name."""

    orders: tuple[Order, ...]
    selection: Selection
    raid: RaidSurvey
    drives: Mapping[str, Drive]


def decide(
    host: Host, machine: Machine, options: WipeOptions, held: Mapping[str, tuple[Reason, ...]] | None = None
) -> Decision:
    """Ask the drives that were chosen, and take a technique for each; one without is refused, with what hangs on it.

    `held` are disks, by kernel name, that are refused for reasons found since.
    """
    drives: dict[str, Drive] = {}
    barred = dict(held or {})
    while True:
        selection = choose_disks(machine, options, barred)
        selection = _take_unreadable(host, selection, options, drives)
        wanted = [chosen.disk for chosen in selection.chosen if chosen.disk.name not in drives]
        drives.update(probe_drives(host, wanted))
        orders, refused = [], {}
        for chosen in selection.chosen:
            companions = find_companions(chosen.disk, selection)
            choice = choose_techniques(chosen.disk, drives[chosen.disk.name], options, companions)
            if isinstance(choice, Reason):
                refused[chosen.disk.name] = (choice,)
            else:
                orders.append(Order(chosen, drives[chosen.disk.name], choice))
        if not refused:
            return Decision(tuple(orders), selection, _probe_raid(host), drives)
        barred.update(refused)


def probe_drives(host: Host, disks: Sequence[Disk]) -> dict[str, Drive]:
    """What each drive says of itself, by kernel name, all asked side by side.

    One that hangs in the kernel is left alone after a while, and one whose answer nobody understands says nothing:
    neither holds up the others.
    """
    found = {disk.name: Drive(zoned="", volume=describe_volume(disk.vendor, disk.model), silent=True) for disk in disks}

    def ask(disk: Disk) -> None:
        try:
            drive = probe_drive(host, disk)
        except (Cancelled, NotRecorded):
            raise
        except Exception:  # a tool's output that nobody has seen before must not end the run
            log.exception("Failed to understand what %s says, ignoring", disk.name)
        else:
            found[disk.name] = drive

    errors: list[BaseException] = []
    for start in range(0, len(disks), ASKED_AT_ONCE):
        limit = time.monotonic() + PROBE_LIMIT
        group = [_start(ask, disk, errors) for disk in disks[start : start + ASKED_AT_ONCE]]
        for thread in group:
            thread.join(max(0.0, limit - time.monotonic()))
    if errors:
        raise errors[0]
    return dict(found)


def _start(ask: Callable[[Disk], None], disk: Disk, errors: list[BaseException]) -> threading.Thread:
    def work() -> None:
        try:
            ask(disk)
        except BaseException as error:  # raised again by the one who waits
            errors.append(error)

    thread = threading.Thread(target=work, name=f"probe-{disk.name}", daemon=True)
    thread.start()
    return thread


def _probe_raid(host: Host) -> RaidSurvey:
    try:
        return probe_raid(host)
    except (Cancelled, NotRecorded):
        raise
    except Exception:  # see probe_drives
        log.exception("Failed to understand what the RAID controllers' tools say, ignoring")
        return RaidSurvey((), (), ("of whatever kind: its tool's output was not understood",))


def find_companions(disk: Disk, selection: Selection) -> frozenset[int]:
    """The other namespaces of the same NVMe drive that were chosen, by number."""
    others = [chosen.disk for chosen in selection.chosen if chosen.disk.name != disk.name]
    shared = [one for one in others if set(one.nvme_controllers) & set(disk.nvme_controllers)]
    return frozenset(one.nvme_namespace for one in shared if one.nvme_namespace is not None)


def _take_unreadable(host: Host, selection: Selection, options: WipeOptions, drives: dict[str, Drive]) -> Selection:
    """Disks that nobody can read since their drive is erasing itself, or encrypts and its PSID was given.

    Their contents are gone or out of reach whatever is done, so that the guard which wants to see them is lifted.
    """
    held = [one for one in selection.refused if all(reason.code in BLIND for reason in one.reasons)]
    drives.update(probe_drives(host, [one.disk for one in held if one.disk.name not in drives]))
    # A second path of a medium that is held back, or that is wiped by another name, is neither.
    seen = [one.disk for one in selection.chosen]
    seen += [one.disk for one in (*selection.skipped, *selection.refused)]
    held = [one for one in held if not any(is_same_medium(disk, one.disk) for disk in seen)]
    taken = [one for one in held if can_be_blind(one, drives[one.disk.name], options.find_psid(one.disk.serial))]
    return dataclasses.replace(
        selection,
        chosen=(*selection.chosen, *(Chosen(one.disk, _lift(one)) for one in taken)),
        refused=tuple(_say_locked(one, drives.get(one.disk.name)) for one in selection.refused if one not in taken),
    )


def _lift(held: Held) -> tuple[str, ...]:
    return tuple(sorted({BLIND[reason.code] for reason in held.reasons}))


def _say_locked(held: Held, drive: Drive | None) -> Held:
    """A disk that cannot be read since its drive is locked: that is what a person can do something about."""
    reason = find_lock(drive) if drive else None
    return dataclasses.replace(held, reasons=(reason, *held.reasons)) if reason else held


def can_be_blind(held: Held, drive: Drive, psid: str) -> bool:
    """Whether a drive has a good reason not to be read: it erases itself, or it is locked and can be reverted."""
    is_erasing = (
        (drive.nvme is not None and drive.nvme.log is not None and drive.nvme.log.state is SanitizeState.RUNNING)
        or (
            drive.ata is not None
            and drive.ata.status is not None
            and drive.ata.status.state is AtaSanitizeState.RUNNING
        )
        or (drive.scsi is not None and drive.scsi.state is ScsiState.SANITIZING)
    )
    return is_erasing or bool(held.disk.size and psid and drive.opal and drive.opal.locked)


# -- as people and programs see it ------------------------------------------------------------------


def render_preview(
    decision: Decision,
    more: Sequence[str],
    disks: Sequence[Disk] = (),
    unfinished: Mapping[str, str] | None = None,
    begun: Collection[str] = (),
) -> Preview:
    """Every disk, with what would be done to it or why nothing would; `more` is what else would be done.

    `disks` are all that the machine has: those that nobody named are said to be left alone. `unfinished` says by
    kernel name what goes on of a wipe that was broken off; `begun`: disks on which one has not ended.
    """
    going_on = unfinished or {}

    def make_row(disk: Disk, what: str, volume: str = "") -> tuple[str, ...]:
        nothing = "a wipe that has not ended" if disk.name in begun else "nothing recognised"
        holds = ", ".join(dict.fromkeys(content.kind for content in disk.contents)) or nothing
        model = f"{disk.model or '-'} [{volume}]" if volume else disk.model or "-"
        return (disk.path, model, disk.serial or "-", render_bytes(disk.size), holds, what)

    orders, selection = decision.orders, decision.selection
    nothing = "nothing: the whole task is refused, see below" if selection.faults else ""
    rows = []
    for order in orders:
        words = "; ".join(filter(None, (order.text, going_on.get(order.disk.name))))
        rows.append(make_row(order.disk, nothing or words, order.drive.volume))
    rows += [make_row(held.disk, f"REFUSED: {held.text}") for held in selection.refused]
    rows += [make_row(held.disk, f"left out: {held.text}") for held in selection.skipped]
    named = {order.disk.name for order in orders} | {one.disk.name for one in (*selection.refused, *selection.skipped)}
    others = [disk for disk in disks if disk.name not in named and disk.transport is not Transport.LOOP]
    rows += [make_row(disk, "left alone: not named") for disk in others if not selection.faults]
    for disk in decision.raid.physical:
        place = f"{disk.controller} {disk.slot}".strip()
        size = render_bytes(disk.size) if disk.size else "-"
        what = "behind a RAID controller: reached only through its volumes"
        rows.append((place, disk.model or "-", disk.serial or "-", size, "-", what))
    notes = [f"REFUSED: {fault.text}" for fault in selection.faults]
    notes += [] if selection.faults else [f"first: {step}" for step in render_steps(selection.dismantle)]
    notes += [f"controller {name}: its physical disks cannot be listed" for name in decision.raid.unlisted]
    notes += [] if selection.faults else [f"last: {line}" for line in more]
    is_refused = bool(selection.refused or selection.faults)
    return Preview(
        columns=("disk", "model", "serial", "size", "holds", "what will be done"),
        rows=tuple(rows),
        notes=tuple(notes),
        verdict=Verdict.REFUSED if is_refused else Verdict.PASS if orders else Verdict.FAIL,
        serious=_render_loss(orders, [*(held.disk for held in (*selection.refused, *selection.skipped)), *others])
        if orders and not selection.faults
        else "",
        data=_encode(decision, more, going_on),
    )


def _render_loss(orders: Sequence[Order], others: Sequence[Disk]) -> str:
    """What a person says yes to, and what he does not; the method is the same for all of them."""
    more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
    spared = f" Nothing is done to {', '.join(disk.label for disk in others[:NAMED])}{more}." if others else ""
    names = ", ".join(order.disk.label for order in orders)
    if all(order.choice.first.method == NONE for order in orders):
        return (
            f"Partitions and file systems on {names} will be gone. Most of the data stays: this is NOT ERASED.{spared}"
        )
    return f"Everything on {names} will be lost.{spared}"


def describe_held(held: Held, verdict: Verdict) -> dict[str, JSON]:
    """The row of a disk that was not touched."""
    return {
        **describe_disk(held.disk),
        "verdict": verdict.value,
        "status": "not-erased",
        "reasons": [{"code": reason.code, "text": reason.text} for reason in held.reasons],
        "summary": held.text,
    }


def encode_raid(raid: RaidSurvey) -> dict[str, JSON]:
    return {
        "controllers": list(raid.controllers),
        "physical": [dataclasses.asdict(disk) for disk in raid.physical],
        "unlisted": list(raid.unlisted),
    }


def _encode(decision: Decision, more: Sequence[str], unfinished: Mapping[str, str]) -> dict[str, Any]:
    selection = decision.selection
    rows: list[JSON] = [
        {
            "path": order.disk.path,
            "serial": order.disk.serial,
            "technique": order.choice.first.name,
            "method": order.choice.first.method,
            "why": order.choice.first.why,
            "else": [technique.name for technique in order.choice.techniques[1:]],
            "exceptions": list(find_exceptions(order.drive, order.choice.first)),
            "released": list(order.chosen.released),
            "unfinished": unfinished.get(order.disk.name, ""),
        }
        for order in decision.orders
    ]
    return {
        "wipe": rows,
        "refused": [describe_held(held, Verdict.REFUSED) for held in selection.refused],
        "skipped": [describe_held(held, Verdict.SKIPPED) for held in selection.skipped],
        "faults": [fault.text for fault in selection.faults],
        "dismantle": render_steps(selection.dismantle),
        "also": list(more),
        "raid": encode_raid(decision.raid),
    }
