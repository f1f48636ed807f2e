"""What runs and what ran: `status`, `attach`, `cancel`, `history`, `report`. Read from the records, or over the bus."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from liveagent.certificate import MACHINE
from liveagent.command import frame
from liveagent.events import EXIT_USAGE, Result, Type, Verdict, exit_status, parse_time
from liveagent.image import probe_image
from liveagent.lock import Lock
from liveagent.machine.live import probe_live
from liveagent.places import Places
from liveagent.records import Disk, Records
from liveagent.report.lines import WIDTH, render_duration
from liveagent.report.overview import list_not_measured, list_not_named, list_output, render_overview
from liveagent.report.status import render_status
from liveagent.report.troubles import find_slots, list_disks, make_trouble
from liveagent.report.words import measure, print_lines

POLL = 0.2
# A disk that hangs is given up after 30 s, and its certificate is written then.
CANCEL_SHOWN_FOR = 60.0
RUNS_NAMED = 4
PARTS_NAMED = 8  # with what became of them, once a run was stopped
DISKS_NAMED = 3  # of a run, in the table of all runs


def open_records(shell: frame.Shell) -> Records:
    """The records of this machine: its files for those who may read them, else what the daemon tells over the bus."""
    places = shell.places
    barred = [str(path) for path in (Lock(places.runtime).path, places.state) if not may_read(path)]
    if not barred:
        return Disk(places, probe_image(shell.host))
    from liveagent.bus.client import Client, NoDaemon

    try:
        return Client()
    except NoDaemon as error:
        frame.fail(f"only root may read {' and '.join(barred)}, and {error}; try it as root")


def may_read(path: Path) -> bool:
    """Whether nothing would be in the way; what is not there is no secret either."""
    return not os.path.exists(path) or os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0))


def choose_run(records: Records, name: str) -> str:
    """A run by its name or its beginning, or the newest that was at work on the disk of this serial.

    Leaves where there is none, or several.
    """
    found = records.find(name)
    if found:
        return found
    rows = records.history()
    by_disk = [str(row["run"]) for row in rows if name in (row.get("disks") or ())]
    return by_disk[-1] if by_disk else fail_choice(name, [row["run"] for row in rows])


def choose_ended(records: Records, name: str) -> str:
    """The same of a run whose result is wanted: without a run's name the newest that has ended, where there is one."""
    newest = choose_run(records, name)
    is_named = name and records.find(name)
    if is_named or records.result(newest) or not records.is_on(newest):
        return newest
    rows = [row for row in reversed(records.history()) if not name or name in (row.get("disks") or ())]
    ended = next((str(row["run"]) for row in rows if records.result(str(row["run"]))), "")
    if not ended:
        return newest
    frame.tell(f"run {newest} is on (`liveagent attach` shows it); this is the last one that has ended")
    return ended


def fail_choice(name: str, known: Sequence[str], what: str = "no run") -> NoReturn:
    """Say why a name means none of the runs that are known."""
    if name and any(run.startswith(name) for run in known):
        several = [run for run in known if run.startswith(name)]
        listed = ", ".join(several[-RUNS_NAMED:]) + (" and others" if len(several) > RUNS_NAMED else "")
        frame.fail(f"several runs begin with {name} ({listed}); `liveagent history` names them", EXIT_USAGE)
    frame.fail(f"there is {what} {name or 'yet'}; `liveagent history` names the runs", EXIT_USAGE)


def show_status(document: Mapping[str, Any]) -> None:
    width = measure(sys.stdout)[0] if sys.stdout.isatty() else 0
    print_lines(render_status(document, width), sys.stdout)


def render_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    """A row of `history` for a person: of many disks the first."""
    disks = row.get("disks") or ()  # a service from before an update has none
    shown = disks if len(disks) <= DISKS_NAMED else [*disks[: DISKS_NAMED - 1], f"{len(disks) - DISKS_NAMED + 1} more"]
    began, ended = (parse_time(str(row.get(name, ""))) for name in ("started", "finished"))
    # A clock that was set back meanwhile cannot tell.
    took = "" if began is None or ended is None or ended < began else render_duration(ended - began)
    return (*(str(row[name]) for name in ("run", "tasks", "verdict")), took, str(row["summary"]), ", ".join(shown))


def cancel(shell: frame.Shell, name: str) -> None:
    """Stop the run that is on."""
    try:
        holder = Lock(shell.places.runtime).holder()
    except PermissionError:
        frame.fail("only root may stop a run; try it as root")
    if holder is None or not holder.run.startswith(name):
        frame.fail("no run is on" if holder is None else f"run {name} is not on; {holder.run} is", EXIT_USAGE)
    try:
        holder.cancel()
    except OSError as error:
        frame.fail(f"Failed to cancel run {holder.run}: {error.strerror}")
    try:
        frame.tell(f"asked run {holder.run} to stop")
        has_ended = _wait_for_end(shell, holder.run)
    except KeyboardInterrupt:
        has_ended = False
    if not has_ended:
        frame.tell("it is still putting things away; `liveagent status` shows when it has ended")
        return
    result = open_records(shell).result(holder.run)
    if result is None:
        frame.tell("it was broken off")
        return
    was_late = result["verdict"] != Verdict.CANCELLED.value
    how = "it had come to its end before it could be stopped" if was_late else "it has ended"
    frame.tell(f"{how}: {result['verdict'].upper()}: {result['summary']}")
    parts = [part for task in result["tasks"] for part in list_disks(task)]
    for part in parts[:PARTS_NAMED]:
        frame.tell(f"  {render_disk(part)}")
    frame.tell(f"`liveagent report {holder.run}` says what became of each part")


def _wait_for_end(shell: frame.Shell, run: str) -> bool:
    """Whether a run that was asked to stop has, within `CANCEL_SHOWN_FOR`."""
    deadline = time.monotonic() + CANCEL_SHOWN_FOR
    while time.monotonic() < deadline:
        holder = Lock(shell.places.runtime).holder()
        if holder is None or holder.run != run:
            return True
        time.sleep(POLL)
    return False


def attach(shell: frame.Shell, records: Records, run: str) -> int:
    """Show a run from its beginning until it ends; the exit status is the run's."""
    if not records.is_on(run):
        frame.tell(f"run {run} has ended; this is what it was")
    try:
        result = follow(records, run, "Ctrl-C leaves, and the run goes on; `liveagent cancel` stops it")
    except KeyboardInterrupt:
        frame.tell(f"left; the run goes on. `liveagent attach {run}` comes back, `liveagent cancel` stops it")
        return 0
    frame.tell(f"`liveagent report {run}` shows this again")
    tell_certificate(shell, run)
    return exit_status(Result.decode(result))


def follow(records: Records, run: str, hint: str, on_stderr: bool = False) -> Mapping[str, Any]:
    """Show a run until it ends; its result. Raises KeyboardInterrupt for who leaves."""
    from liveagent.bus.client import Late
    from liveagent.report.terminal import open_display

    # As Ctrl-C does, so that the terminal is put back.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    after = 0
    with open_display(sys.stderr if on_stderr else sys.stdout, hint) as display:
        while True:
            try:
                # Asked first: what is written before it ends is then read below.
                is_on = records.is_on(run)
                events = records.events(run, after)
            except Late as error:
                # On a machine with much to do; the run is the service's, and knows nothing of who watches.
                display.say(f"{error}; asking again")
                display.show([])
                continue
            display.show(events)
            for event in events:
                after = event.sequence
                if event.type is Type.RUN_FINISHED:
                    return event.data
            if not events and not is_on:
                break
            if not events:
                time.sleep(POLL)
    frame.fail(f"run {run} was broken off; `liveagent status` shows whether the service goes on with it")


def describe_certificate(places: Places, run: str) -> str:
    """Where the certificate of a run is; "" where there is none, or none that may be read by who asks."""
    signed = "" if os.path.exists(places.runs / run / f"{MACHINE}.json.sig") else "--unsigned "
    for name in (f"{MACHINE}.html", f"{MACHINE}.json"):
        path = places.runs / run / name
        if os.path.exists(path):
            return f"certificate: {path} (`liveagent verify {signed}{run}` checks it)"
    return ""


def tell_certificate(shell: frame.Shell, run: str) -> None:
    """Say at the end of a run where its certificate is."""
    certificate = describe_certificate(shell.places, run)
    if certificate:
        frame.tell(certificate)
        # With a directory of one's own it may lie anywhere.
        if shell.is_plain and probe_live(shell.host).is_live:
            frame.tell("it lies in the memory of this live system: copy it away before that goes down")


def report(records: Records, run: str, as_json: bool, html: str, places: Places) -> int:
    """Show a result again; the exit status is the run's."""
    document = records.result(run)
    if document is None:
        frame.fail(f"run {run} has not ended; `liveagent attach {run}` shows it", EXIT_USAGE)
    if html:
        from liveagent.report.page import render_page

        try:
            Path(html).write_text(render_page(document), encoding="utf-8")
        except OSError as error:
            frame.fail(f"Failed to write {html}: {error.strerror}")
        frame.tell(f"written to {html}")
    if as_json:
        frame.print_json(document)
    elif not html:
        print_lines(render_result(document, describe_certificate(places, run)), sys.stdout)
    return exit_status(Result.decode(document))


def render_result(document: Mapping[str, Any], certificate: str = "") -> list[str]:
    """A result as text: the verdict, where its certificate is, each task, each disk, each finding."""
    lines = [f"{str(document['verdict']).upper()}  {document['summary']}"]
    machine = document["machine"]
    lines.append(f"machine {machine.get('serial') or 'unknown'}, run {document['run']}, ended {document['finished']}")
    lines += [certificate] if certificate else []
    slots = find_slots(document)
    for task in document["tasks"]:
        lines += ["", f"{task['task']}: {str(task['verdict']).upper()}: {task['summary']}"]
        lines += [f"  {line}" for line in render_overview(task, WIDTH - 2)]
        for disk in list_disks(task):
            lines.append(f"  {render_disk(disk)}")
        lines += [f"  {make_trouble(finding, slots)} [{finding['code']}]" for finding in task["findings"]]
        lines += [f"  not measured: {text}" for text in list_not_measured(task)]
        lines += [f"  left as it was, not named: {text}" for text in list_not_named(task)]
        lines += [f"  | {line}" for line in list_output(task)]
    lines += [str(make_trouble(finding, slots)) for finding in document.get("findings", ())]
    return lines


def render_disk(row: Mapping[str, Any]) -> str:
    """A disk and what became of it; its status only where the summary does not say the same."""
    slot = f"slot {row['slot']}, " if row.get("slot") else ""
    name = f"{slot}{row.get('path') or ''} {row.get('serial') or ''}".strip()
    status, summary = str(row.get("status") or ""), str(row.get("summary") or "")
    is_said = status.replace("-", " ") in summary
    return f"{name}: {row['verdict'].upper()}{f', {status}' if status and not is_said else ''}: {summary}"
