"""The job of `wipe`: what stands on the disks is taken apart, all are wiped side by side, and each is accounted for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence

from liveagent import __version__
from liveagent.events import JSON, Finding, Verdict, render_time, worst
from liveagent.host import Cancelled, CommandError, Host
from liveagent.machine import Machine, probe_machine
from liveagent.machine.disks import Disk, Transport
from liveagent.machine.drive import ASKED
from liveagent.machine.stack import probe_layers
from liveagent.tasks import Context, Outcome, Preview
from liveagent.tasks.wipe import ata
from liveagent.tasks.wipe.decide import Decision, Order, decide, describe_held, encode_raid, render_preview
from liveagent.tasks.wipe.dismantle import render_steps, take_all_apart
from liveagent.tasks.wipe.evidence import make_certificate_names, make_disk_certificate, make_machine_certificate
from liveagent.tasks.wipe.extras import EXTRAS, PLANS, Extra
from liveagent.tasks.wipe.firmware import Joint
from liveagent.tasks.wipe.guards import Reason
from liveagent.tasks.wipe.options import WipeOptions
from liveagent.tasks.wipe.select import Held, choose_disks
from liveagent.tasks.wipe.side_by_side import Patience, SideBySide
from liveagent.tasks.wipe.technique import PURGE
from liveagent.tasks.wipe.unfinished import describe_unfinished, find_records
from liveagent.tasks.wipe.worker import Worker

log = logging.getLogger(__name__)

NAMED = 8  # disks by name in a line; more are counted


def refuse(machine: Machine, options: WipeOptions) -> Sequence[Finding]:
    """The reasons why nothing at all is wiped: a word that means no one disk, `all` where it must not be said."""
    faults = choose_disks(machine, options).faults
    return [Finding(fault.code, Verdict.REFUSED, "wipe", fault.text) for fault in faults]


def preview(host: Host, machine: Machine, options: WipeOptions) -> Preview:
    """Every disk, with what would be done to it or why nothing would."""
    more = [PLANS[what](host) for what in wanted_extras(options)]
    decision = decide(host, machine, options)
    # Also of disks that nobody named: what one holds is the same whoever asks.
    shown = [disk for disk in machine.disks if disk.size and disk.transport is not Transport.LOOP]
    records = find_records(
        host, {disk.name: disk for disk in (*shown, *(order.disk for order in decision.orders))}.values()
    )
    unfinished = describe_unfinished(records, decision.orders, options.patterns)
    return render_preview(decision, more, machine.disks, unfinished, records)


def wanted_extras(options: WipeOptions) -> list[str]:
    """What is cleared beside the disks."""
    wanted = {"tpm": options.clear_tpm, "bmc_log": options.clear_bmc_log, "boot_entries": options.clear_boot_entries}
    return [what for what in EXTRAS if wanted[what]]


def run(context: Context, options: WipeOptions, patience: Patience | None = None) -> Outcome:
    """Wipe what was chosen, and account for every disk."""
    started = render_time(context.host.now())
    context.line("looking at what each disk can do …")
    decision = decide(context.host, context.machine, options)
    if _free_locked(context, decision):
        context.machine = probe_machine(context.host)
        decision = decide(context.host, context.machine, options)
    if decision.selection.faults:
        # The machine was looked at again since the engine asked.
        return _refuse_all(context, decision.selection.faults)
    decision, dismantled = _take_apart(context, decision, options)
    selection, orders = decision.selection, decision.orders
    if selection.faults:
        return _refuse_all(context, selection.faults)
    held = [_tell_held(context, one, Verdict.REFUSED) for one in selection.refused]
    held += [_tell_held(context, one, Verdict.SKIPPED) for one in selection.skipped]
    if not orders and not selection.refused:
        summary = "there is no disk to wipe"
        context.finding(Finding("wipe.no_disks", Verdict.FAIL, "wipe", summary, {"skipped": len(held)}))
    _tell_raid(context, decision)
    workers = make_workers(context, orders, options)
    rows: list[Mapping[str, JSON]] = [*(worker.unfinished() for worker in workers), *held]
    # What is known at any moment: a run that has to be left behind still accounts for every disk.
    data: dict[str, JSON] = {
        "disks": rows,
        "not_measured": list(find_not_measured(orders)),
        "not_named": list_not_named(context.machine.disks, [row["name"] for row in rows]),
        "dismantled": dismantled,
        "also": [],
        "raid": encode_raid(decision.raid),
    }
    context.data = data
    if workers:
        names = [order.disk.name for order in orders]
        context.line(f"at work on {', '.join(names) if len(names) <= NAMED else f'{len(names)} disks'} …")
    certify = _Certifier(context, [worker.account.row for worker in workers])
    SideBySide(context, workers, rows, patience or Patience(), certify.disk).run()
    for what in wanted_extras(options):
        extra = _clear(context, what, rows)
        data["also"].append({"what": what, "verdict": extra.verdict.value, "summary": extra.summary})
        context.finding(Finding(f"wipe.{what}", extra.verdict, what, extra.summary, extra.data))
    if not context.rest_of:
        # The rest of a wipe knows of its own disks alone, and they have certificates of their own.
        certify.machine(data, started)
    verdict = worst([Verdict(row["verdict"]) for row in rows])
    return Outcome(verdict, summarize(rows), data)


def _refuse_all(context: Context, faults: Sequence[Reason]) -> Outcome:
    for fault in faults:
        context.finding(Finding(fault.code, Verdict.REFUSED, "wipe", fault.text))
    return Outcome(Verdict.REFUSED, "; ".join(fault.text for fault in faults))


def _clear(context: Context, what: str, rows: Sequence[Mapping[str, JSON]]) -> Extra:
    """Clear something beside the disks; whatever becomes of it, the disks keep their certificate.

    A disk that lives may need its boot entry, and the key that the TPM holds for it.
    """
    kept = [row for row in rows if row["status"] == "not-erased"]
    if len(kept) == len(rows) or any(row["verdict"] != "skipped" for row in kept):
        return Extra(what, Verdict.SKIPPED, "not cleared, since not every disk that was asked for is erased")
    if context.cancel.is_set():
        return Extra(what, Verdict.CANCELLED, "cancelled: it was not begun")
    try:
        return EXTRAS[what](context.host)
    except Cancelled:
        return Extra(what, Verdict.CANCELLED, "cancelled: it may have been begun")
    except Exception as error:  # the agent's own: it is said, and the wipe's evidence goes out all the same
        log.exception("Clearing %s raised", what)
        return Extra(what, Verdict.ERROR, f"{type(error).__name__}: {error}")


def _free_locked(context: Context, decision: Decision) -> bool:
    """Take our own password off drives that a wipe was broken off on: nothing of them can be seen before that."""
    selection = decision.selection
    freed = False
    for disk in [*(one.disk for one in selection.chosen), *(one.disk for one in selection.refused)]:
        drive = decision.drives.get(disk.name)
        security = drive.ata.security if drive and drive.ata else None
        if not security or not security.locked or security.frozen or security.expired:
            continue
        now = ata.recover(context.host, disk)
        if now and not now.security.enabled:
            freed = True
            summary = "was found with the password of an erase that was broken off, and freed of it"
            context.finding(Finding("wipe.ata.recovered", Verdict.PASS, disk.label, summary), disk.name)
    return freed


def _take_apart(context: Context, decision: Decision, options: WipeOptions) -> tuple[Decision, list[str]]:
    """Stop what stands on the disks. Where that fails its disks are refused, and all is decided anew without them."""
    held: dict[str, tuple[Reason, ...]] = {}
    dismantled: list[str] = []
    while decision.selection.dismantle:
        steps = decision.selection.dismantle
        for line in render_steps(steps):
            context.line(line)
        paths = [one.disk.name for one in decision.selection.skipped if one.reasons[0].code == "wipe.twin_path"]
        wanted = [order.disk.name for order in decision.orders] + paths
        try:
            for step in take_all_apart(context.host, steps, probe_layers, wanted):
                dismantled.append(step)
            return decision, dismantled
        except CommandError as error:
            reason = Reason("wipe.guard.stack", f"what stands on it could not be taken apart: {error}")
            held.update({disk: (reason,) for layer in steps for disk in layer.disks})
        context.machine = probe_machine(context.host)
        decision = decide(context.host, context.machine, options, held)
    return decision, dismantled


def _tell_raid(context: Context, decision: Decision) -> None:
    """Disks that only a controller reaches: those that it lists, and that nobody can list."""
    for name in decision.raid.unlisted:
        summary = "its physical disks cannot be listed: whatever is not in one of its volumes was not looked at"
        context.finding(Finding("wipe.raid.unlisted", Verdict.WARN, f"controller {name}", summary))
    # In a controller's pass-through mode a disk is listed, and is one of the machine's as well.
    serials = {disk.serial for disk in context.machine.disks if disk.serial}
    for disk in decision.raid.physical:
        if disk.serial not in serials:
            part = f"{disk.controller} {disk.slot} {disk.serial}".strip()
            summary = "lies behind a RAID controller, and was reached through its volumes at most"
            context.finding(Finding("wipe.raid.physical", Verdict.WARN, part, summary))


def find_not_measured(orders: Sequence[Order]) -> Iterator[str]:
    """What nobody could ask a drive, or erase on it, and no policy requires: said on every report."""
    for order in orders:
        disk, drive = order.disk, order.drive
        if drive.health is None and disk.transport in ASKED:
            yield f"{disk.label}: its SMART data could not be read, on which no verdict hangs"
        if drive.ata and (drive.ata.hpa_hidden is None or drive.ata.dco_hidden is None):
            yield f"{disk.label}: whether sectors are hidden from this system is not known (HPA, DCO)"
        if disk.transport is Transport.MMC or (drive.nvme and drive.nvme.rpmb):
            yield f"{disk.label}: a replay protected area (RPMB), which nobody can erase without its key"


def list_not_named(disks: Sequence[Disk], named: Sequence[JSON]) -> list[str]:
    """The disks that nobody asked for, and that are left as they are: whoever reads of one disk should know of them."""
    others = (disk for disk in disks if disk.name not in named and disk.transport is not Transport.LOOP)
    return [" ".join(filter(None, (disk.path, disk.model, disk.serial))) for disk in others]


def make_workers(context: Context, orders: Sequence[Order], options: WipeOptions) -> list[Worker]:
    """One a disk; those that are namespaces of one drive share what erases all of it at once."""
    joints: dict[frozenset[str], Joint] = {}
    workers = []
    for order in orders:
        mine = set(order.disk.nvme_controllers)
        members = frozenset(one.disk.name for one in orders if mine & set(one.disk.nvme_controllers))
        joint = joints.setdefault(members, Joint(members)) if len(members) > 1 else None
        workers.append(Worker(context, order, options, joint))
    return workers


def _tell_no_certificate(context: Context, what: str, error: Exception) -> None:
    """The agent's own mistake: the row stands, and whoever looks for the evidence learns why there is none."""
    log.error("The certificate of %s could not be made", what, exc_info=error)
    summary = f"there is no certificate: it could not be made ({type(error).__name__}: {error})"
    context.finding(Finding("wipe.certificate", Verdict.WARN, what, summary))


class _Certifier:
    """Issues a certificate a disk as it ends, and the machine's when all have."""

    def __init__(self, context: Context, rows: Sequence[Mapping[str, JSON]]) -> None:
        self._context = context
        self._texts: dict[str, str] = {}
        self._names = dict(zip((row["name"] for row in rows), make_certificate_names(rows)))
        self._lock = threading.Lock()
        self._identity = context.machine.identity.encode()

    def disk(self, row: Mapping[str, JSON]) -> None:
        context = self._context
        try:
            document = make_disk_certificate(row, self._identity, context.run, __version__, context.labels, context.key)
            name = self._names[row["name"]]
            text = context.certify(name, document, row["name"])
        except Exception as error:  # what became of the disk is on its row; for want of a certificate nothing may hang
            _tell_no_certificate(context, str(row["path"]), error)
            return
        with self._lock:
            self._texts[name] = text

    def machine(self, data: Mapping[str, JSON], started: str) -> None:
        context = self._context
        try:
            document = make_machine_certificate(
                data,
                self._texts,
                self._identity,
                context.run,
                __version__,
                context.labels,
                context.key,
                started,
                render_time(context.host.now()),
            )
            context.certify("certificate", document)
        except Exception as error:  # what became of the disks is known, and goes out all the same
            _tell_no_certificate(context, "machine", error)


def summarize(rows: Sequence[Mapping[str, JSON]]) -> str:
    """`3 disks erased (2 purged, 1 cleared), 1 refused, 1 left out, 2 not erased, 1 of them written to`."""
    erased = [row for row in rows if row["status"] != "not-erased"]
    purged = sum(row.get("method") == PURGE for row in erased)
    words = [f"{len(erased)} disk{'' if len(erased) == 1 else 's'} erased"]
    if erased:
        words[0] += f" ({purged} purged, {len(erased) - purged} cleared)"
    excepted = sum(row["status"] == "erased-with-exceptions" for row in rows)
    words += [f"{excepted} of them with exceptions"] if excepted else []
    for verdict, word in (("refused", "refused"), ("skipped", "left out")):
        count = sum(row["verdict"] == verdict for row in rows)
        words += [f"{count} {word}"] if count else []
    others = [row for row in rows if row["status"] == "not-erased" and row["verdict"] not in ("refused", "skipped")]
    written = sum(bool(row.get("bytes_written")) for row in others)
    if written:
        # Who reads only this must not take them for disks as they were.
        words += [f"{len(others)} {'not erased' if written < len(others) else 'written to and not erased'}"]
        words += [f"{written} of them written to"] if written < len(others) else []
    elif others:
        words += [f"{len(others)} not erased"]
    return ", ".join(words)


def _tell_held(context: Context, held: Held, verdict: Verdict) -> Mapping[str, JSON]:
    """Say why a disk is not touched, and give its row."""
    for reason in held.reasons:
        context.finding(Finding(reason.code, verdict, held.disk.label, f"not wiped: {reason.text}"), held.disk.name)
    if verdict is Verdict.SKIPPED and could_hold_data(held):
        summary = "was left out, and could hold data"
        context.finding(Finding("wipe.left_out", Verdict.WARN, held.disk.label, summary), held.disk.name)
    return describe_held(held, verdict)


def could_hold_data(held: Held) -> bool:
    """Whether a disk that was left out is local, writable, not excepted, and no path of one that is wiped."""
    codes = {reason.code for reason in held.reasons}
    spared = codes & {"wipe.excepted", "wipe.twin_path"}
    return held.disk.transport.is_local and not held.disk.read_only and not held.disk.virtual_media and not spared
