"""`inventory`, `record` and `doctor`: this machine as it is."""

from __future__ import annotations

import os
from pathlib import Path

import click

from liveagent import cli
from liveagent.boot import make_request, read_sources
from liveagent.doctor import examine
from liveagent.events import EXIT_STATUS, EXIT_USAGE, worst
from liveagent.machine import probe_machine
from liveagent.machine.disks import Disk
from liveagent.recording import Recorder
from liveagent.report.lines import render_bytes
from liveagent.scrub import Scrubber
from liveagent.settings import parse_settings
from liveagent.tasks import BUILT_IN, Registry, Task


def show_inventory(shell: cli.Shell, as_json: bool) -> None:
    """Who this machine is, and its disks."""
    machine = probe_machine(shell.host)
    if as_json:
        cli.print_json(machine.encode())
        return
    for name, value in machine.identity.encode().items():
        click.echo(f"{name:10} {value or 'unknown'}")
    click.echo("")
    rows = [
        (disk.path, disk.transport.value, disk.model or "-", disk.serial or "-", render_bytes(disk.size), _holds(disk))
        for disk in machine.disks
    ]
    cli.print_table(("disk", "kind", "model", "serial", "size", "holds"), rows)


def _holds(disk: Disk) -> str:
    uses = [f"{use.device} {use.kind.value} {use.by}" for use in disk.uses]
    return ", ".join([*dict.fromkeys(content.kind for content in disk.contents), *uses]) or "-"


def record(directory: Path) -> None:
    """Capture all that the agent reads of this machine."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        cli.fail(f"{directory} is not an empty directory: name another one", EXIT_USAGE)
    recorder = Recorder(directory, Scrubber().text)
    try:
        machine = probe_machine(recorder)
        read_sources(recorder, "")
        Registry(recorder).names()
        for name in BUILT_IN:
            # What a task asks of its own (a drive's offers, say) belongs to the machine too; nothing is touched.
            task = Registry(recorder).find(name)
            if isinstance(task, Task):
                task.preview(recorder, machine, task.Options())
        recorder.save()
    except OSError as error:
        cli.fail(f"Failed to record to {directory}: {error}")
    cli.tell(f"recorded {machine.identity.serial or 'a machine without a serial'} to {directory}")
    cli.tell("look it through before you share it: what looks like a secret by its name is left out, and no more")


def show_doctor(shell: cli.Shell, as_json: bool) -> int:
    """Every check as a row; the exit status is that of the worst one."""
    request = make_request(os.environ, *read_sources(shell.host, shell.config))
    settings, faults = parse_settings(request.agent)
    found = examine(shell.host, shell.places, settings, probe_machine(shell.host))
    verdict = worst(finding.verdict for finding in found)
    if as_json:
        cli.print_json({"verdict": verdict.value, "findings": [finding.encode() for finding in found]})
    else:
        cli.print_table(("verdict", "part", "what was found"), [(str(f.verdict), f.part, f.summary) for f in found])
        for fault in (*request.faults, *faults):
            click.echo(f"fault  {fault}")
    return EXIT_USAGE if request.faults or faults else EXIT_STATUS[verdict]
