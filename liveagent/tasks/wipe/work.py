"""The job of `wipe`: which disks, by what means, all of them side by side, and what became of each."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from liveagent.events import JSON, Finding, Verdict, worst
from liveagent.host import Host
from liveagent.machine import Machine
from liveagent.machine.disks import Disk
from liveagent.report.lines import render_bytes
from liveagent.tasks import Context, Outcome, Preview
from liveagent.tasks.wipe.guards import Reason
from liveagent.tasks.wipe.nvme import probe_nvme
from liveagent.tasks.wipe.options import WipeOptions
from liveagent.tasks.wipe.select import Chosen, Held, Selection, choose_disks
from liveagent.tasks.wipe.technique import Technique, choose_technique
from liveagent.tasks.wipe.worker import Worker, describe_held

# A disk that has not moved for so long is said to be stalled.
STALLED = 60.0
POLL = 0.1

Pair = tuple[Chosen, Technique]


def refuse(machine: Machine, options: WipeOptions) -> Sequence[Finding]:
    """The reasons why nothing at all is wiped: a word that means no one disk, `all` where it must not be said."""
    faults = choose_disks(machine, options).faults
    return [Finding(fault.code, Verdict.REFUSED, "wipe", fault.text) for fault in faults]


def preview(host: Host, machine: Machine, options: WipeOptions) -> Preview:
    """Every disk, with what would be done to it or why nothing would."""
    pairs, selection = choose_techniques(host, choose_disks(machine, options), options)
    nothing = "nothing: the whole task is refused, see below" if selection.faults else ""
    rows = [_row(pair[0].disk, nothing or f"{pair[1].name} ({pair[1].why})") for pair in pairs]
    rows += [_row(held.disk, f"REFUSED: {held.text}") for held in selection.refused]
    rows += [_row(held.disk, f"left out: {held.text}") for held in selection.skipped]
    rows += [("", "", "", "", "", f"REFUSED: {fault.text}") for fault in selection.faults]
    is_refused = bool(selection.refused or selection.faults)
    names = ", ".join(pair[0].disk.label for pair in pairs)
    return Preview(
        columns=("disk", "model", "serial", "size", "holds", "what will be done"),
        rows=tuple(rows),
        verdict=Verdict.REFUSED if is_refused else Verdict.PASS if pairs else Verdict.FAIL,
        serious=f"Everything on {names} will be lost." if pairs and not selection.faults else "",
        data=_encode_preview(pairs, selection),
    )


def run(context: Context, options: WipeOptions) -> Outcome:
    """Wipe what was chosen, all disks side by side, and account for every disk."""
    pairs, selection = choose_techniques(context.host, choose_disks(context.machine, options), options)
    held = [_tell_held(context, one, Verdict.REFUSED) for one in selection.refused]
    held += [_tell_held(context, one, Verdict.SKIPPED) for one in selection.skipped]
    if not pairs and not selection.refused:
        summary = "there is no disk to wipe"
        context.finding(Finding("wipe.no_disks", Verdict.FAIL, "wipe", summary, {"skipped": len(held)}))
    workers = [Worker(context, chosen, technique, options) for chosen, technique in pairs]
    rows: list[Mapping[str, JSON]] = [*(worker.unfinished() for worker in workers), *held]
    # What is known at any moment: a run that has to be left behind still accounts for every disk.
    context.data = {"disks": rows, "not_measured": []}
    run_side_by_side(context, workers, rows)
    verdict = worst([Verdict(row["verdict"]) for row in rows])
    return Outcome(verdict, summarize(rows), context.data)


def choose_techniques(host: Host, selection: Selection, options: WipeOptions) -> tuple[list[Pair], Selection]:
    """A technique for each disk that was chosen; those without one are refused."""
    pairs: list[Pair] = []
    refused = list(selection.refused)
    for chosen in selection.chosen:
        facts = probe_nvme(host, chosen.disk) if chosen.disk.nvme_controllers else None
        technique = choose_technique(chosen.disk, options.method, facts)
        if isinstance(technique, Reason):
            refused.append(Held(chosen.disk, (technique,)))
        else:
            pairs.append((chosen, technique))
    return pairs, Selection(selection.chosen, selection.skipped, tuple(refused), selection.faults)


def run_side_by_side(context: Context, workers: Sequence[Worker], rows: list[Mapping[str, JSON]]) -> None:
    """Every disk in a thread of its own, its row put in place as it ends.

    One that hangs does not hold up the others, and is said to hang; its row stays `unknown` until it ends.
    """

    def work(index: int) -> None:
        rows[index] = workers[index].run()

    threads = [
        threading.Thread(target=work, args=(index,), name=f"wipe-{worker.disk.name}", daemon=True)
        for index, worker in enumerate(workers)
    ]
    for thread in threads:
        thread.start()
    stalled: set[int] = set()
    while any(thread.is_alive() for thread in threads):
        next(thread for thread in threads if thread.is_alive()).join(POLL)
        for index, worker in enumerate(workers):
            if threads[index].is_alive():
                _watch(context, worker, index, stalled)


def _watch(context: Context, worker: Worker, index: int, stalled: set[int]) -> None:
    meter = worker.meter
    if meter is None or meter.done >= meter.total:
        return
    silent = time.monotonic() - meter.moved
    if silent > STALLED and index not in stalled:
        stalled.add(index)
        context.line(f"stalled: {worker.disk.label} has not moved for {silent:.0f} s", worker.disk.name)
    elif silent < STALLED and index in stalled:
        stalled.discard(index)
        context.line(f"{worker.disk.label} moves again", worker.disk.name)


def summarize(rows: Sequence[Mapping[str, JSON]]) -> str:
    """`3 disks erased, 1 refused, 1 left out`."""
    erased = sum(row["status"] == "erased" for row in rows)
    words = [f"{erased} disk{'' if erased == 1 else 's'} erased"]
    for verdict, word in (("refused", "refused"), ("skipped", "left out")):
        count = sum(row["verdict"] == verdict for row in rows)
        words += [f"{count} {word}"] if count else []
    other = len(rows) - erased - sum(row["verdict"] in ("refused", "skipped") for row in rows)
    return ", ".join([*words, *([f"{other} not erased"] if other else [])])


def _tell_held(context: Context, held: Held, verdict: Verdict) -> Mapping[str, JSON]:
    """Say why a disk is not touched, and give its row."""
    for reason in held.reasons:
        context.finding(Finding(reason.code, verdict, held.disk.label, f"not wiped: {reason.text}"), held.disk.name)
    if verdict is Verdict.SKIPPED and could_hold_data(held):
        summary = "was left out, and could hold data"
        context.finding(Finding("wipe.left_out", Verdict.WARN, held.disk.label, summary), held.disk.name)
    return describe_held(held, verdict)


def could_hold_data(held: Held) -> bool:
    """Whether a disk that was left out is local, writable, and was not excepted by a person."""
    excepted = any(reason.code == "wipe.excepted" for reason in held.reasons)
    return held.disk.transport.is_local and not held.disk.read_only and not held.disk.virtual_media and not excepted


def _row(disk: Disk, what: str) -> tuple[str, ...]:
    holds = ", ".join(dict.fromkeys(content.kind for content in disk.contents)) or "nothing known"
    return (disk.path, disk.model or "-", disk.serial or "-", render_bytes(disk.size), holds, what)


def _encode_preview(pairs: Sequence[Pair], selection: Selection) -> dict[str, Any]:
    rows: list[JSON] = [
        {
            "path": chosen.disk.path,
            "serial": chosen.disk.serial,
            "technique": technique.name,
            "why": technique.why,
            "released": list(chosen.released),
        }
        for chosen, technique in pairs
    ]
    return {
        "wipe": rows,
        "refused": [describe_held(held, Verdict.REFUSED) for held in selection.refused],
        "skipped": [describe_held(held, Verdict.SKIPPED) for held in selection.skipped],
        "faults": [fault.text for fault in selection.faults],
    }
