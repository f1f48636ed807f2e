"""What runs and what ran: `status`, `attach`, `history`, `report`. All of it is read from the records."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from liveagent import cli
from liveagent.events import EXIT_STATUS, EXIT_USAGE, JSON, Result, Type, Verdict
from liveagent.lock import Lock
from liveagent.report import undelivered
from liveagent.report.lines import render_progress
from liveagent.report.spool import EVENTS, Reader, read_events
from liveagent.report.terminal import open_display
from liveagent.report.troubles import find_slots, list_disks, make_trouble
from liveagent.report.words import print_lines
from liveagent.session import Places

POLL = 0.2


def make_status(places: Places, image: str = "") -> dict[str, JSON]:
    """`state` is `idle` or `running`; the run is the one that is on, else the newest. `image` as `Live` has it."""
    holder = Lock(places.runtime).holder()
    directories = places.run_directories()
    directory = Path(holder.directory) if holder else (directories[-1] if directories else None)
    document: dict[str, JSON] = {"state": "running" if holder else "idle", "image": image or None, "run": None}
    if directory is None:
        return document
    document.update(run=directory.name, directory=str(directory), steps={}, progress={}, verdict=None)
    if holder:
        document.update(pid=holder.pid, word=holder.word)
    for event in read_events(directory / EVENTS):
        if event.type is Type.STEP_STARTED:
            document["steps"][event.subject] = "running"
        elif event.type is Type.STEP_FINISHED:
            document["steps"][event.subject] = event.data.get("verdict")
            document["progress"].pop(event.subject, None)
        elif event.type is Type.PROGRESS:
            document["progress"][event.subject] = dict(event.data)
        elif event.type is Type.RUN_FINISHED:
            document.update(verdict=event.data.get("verdict"), summary=event.data.get("summary"))
    document["undelivered"] = sorted(undelivered(directory))
    return document


def show_status(document: Mapping[str, Any]) -> None:
    print_lines(render_status(document), sys.stdout)


def render_status(document: Mapping[str, Any]) -> list[str]:
    image = [f"image {document['image']}"] if document.get("image") else []
    return [*image, *_render_run(document)]


def _render_run(document: Mapping[str, Any]) -> list[str]:
    if document["run"] is None:
        return ["idle: nothing has run yet; `liveagent list` shows what can be done"]
    if document["state"] == "idle":
        ended = document["verdict"] or "broken off"
        lines = [f"idle; the last run {document['run']} ended {ended}: {document.get('summary') or ''}".rstrip(": ")]
    else:
        lines = [f"running {document['word']}: run {document['run']}, process {document['pid']}"]
        for subject, state in document["steps"].items():
            progress = document["progress"].get(subject)
            lines.append(f"  {render_progress(subject, progress) if progress else f'{subject}: {state}'}")
        lines.append("`liveagent attach` shows it live, `liveagent cancel` stops it")
    if document["undelivered"]:
        lines.append(f"not delivered yet to: {', '.join(document['undelivered'])}")
    return lines


def make_history(places: Places) -> list[dict[str, str]]:
    rows = []
    for directory in places.run_directories():
        result = read_result(directory)
        if result is None:
            rows.append({"run": directory.name, "tasks": "", "verdict": "", "summary": "not ended"})
            continue
        names = ",".join(task["task"] for task in result.get("tasks", ()))
        rows.append({"run": directory.name, "tasks": names, "verdict": result["verdict"], "summary": result["summary"]})
    return rows


def read_result(directory: Path) -> dict[str, Any] | None:
    """The result of a run: `result.json`, else the last event's data; None where it has not ended."""
    try:
        document: dict[str, Any] = json.loads((directory / "result.json").read_text(encoding="utf-8"))
        return document
    except (OSError, ValueError):
        ends = [event for event in read_events(directory / EVENTS) if event.type is Type.RUN_FINISHED]
        return dict(ends[-1].data) if ends else None


def attach(places: Places, directory: Path) -> int:
    """Show a run from its beginning until it ends; the exit status is the run's."""
    reader = Reader(directory / EVENTS)
    # As Ctrl-C does, so that the terminal is put back.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with open_display(sys.stdout, "Ctrl-C leaves, and the run goes on; `liveagent cancel` stops it") as display:
            while True:
                events = reader.read()
                display.show(events)
                for event in events:
                    if event.type is Type.RUN_FINISHED:
                        return EXIT_STATUS[Verdict(event.data["verdict"])]
                if not events:
                    holder = Lock(places.runtime).holder()
                    if holder is None or holder.run != directory.name:
                        break
                    time.sleep(POLL)
        cli.fail(f"run {directory.name} was broken off")
    except KeyboardInterrupt:
        cli.tell(f"left; the run goes on. `liveagent attach {directory.name}` comes back, `liveagent cancel` stops it")
        return 0


def report(directory: Path, as_json: bool, html: str) -> int:
    """Show a result again; the exit status is the run's."""
    document = read_result(directory)
    if document is None:
        cli.fail(f"run {directory.name} has not ended; `liveagent attach {directory.name}` shows it", EXIT_USAGE)
    if html:
        from liveagent.report.page import render_page

        try:
            Path(html).write_text(render_page(document), encoding="utf-8")
        except OSError as error:
            cli.fail(f"Failed to write {html}: {error.strerror}")
        cli.tell(f"written to {html}")
    if as_json:
        cli.print_json(document)
    elif not html:
        print_lines(render_result(document), sys.stdout)
    return EXIT_STATUS[Result.decode(document).verdict]


def render_result(document: Mapping[str, Any]) -> list[str]:
    """A result as text: the verdict, each task, each disk, each finding."""
    lines = [f"{str(document['verdict']).upper()}  {document['summary']}"]
    machine = document["machine"]
    lines.append(f"machine {machine.get('serial') or 'unknown'}, run {document['run']}, {document['finished']}")
    slots = find_slots(document)
    for task in document["tasks"]:
        lines += ["", f"{task['task']}: {str(task['verdict']).upper()}: {task['summary']}"]
        for disk in list_disks(task):
            slot = f"slot {disk['slot']}, " if disk.get("slot") else ""
            name = f"{slot}{disk.get('path') or ''} {disk.get('serial') or ''}".strip()
            state = ", ".join(str(word) for word in (disk["verdict"].upper(), disk.get("status")) if word)
            lines.append(f"  {name}: {state}: {disk.get('summary')}")
        lines += [f"  {make_trouble(finding, slots)} [{finding['code']}]" for finding in task["findings"]]
    lines += [str(make_trouble(finding, slots)) for finding in document.get("findings", ())]
    return lines
