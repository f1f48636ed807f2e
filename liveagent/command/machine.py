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
from liveagent.machine.inventory import COLLECTORS, probe_inventory
from liveagent.machine.look import look_side_by_side
from liveagent.recording import Recorder
from liveagent.report.inventory import list_sections
from liveagent.scrub import Scrubber
from liveagent.settings import parse_settings
from liveagent.tasks import BUILT_IN, Registry, Task


def show_inventory(shell: cli.Shell, as_json: bool) -> None:
    """Every part of this machine."""
    document = probe_inventory(shell.host).encode()
    if as_json:
        cli.print_json(document)
        return
    for number, section in enumerate(list_sections(document)):
        click.echo(f"{chr(10) if number else ''}{section.title}")
        cli.print_table(section.columns or ("", ""), section.rows)


def show_expectation(shell: cli.Shell) -> None:
    """What may be expected of machines like this one, for `expect` of hwdiag."""
    from liveagent.tasks.hwdiag.ordered import render_expectation

    click.echo(render_expectation(probe_inventory(shell.host).encode()), nl=False)


def show_schema() -> None:
    """What the words of an inventory mean."""
    from liveagent.machine.schema import make_schema

    cli.print_json(make_schema())


def record(directory: Path) -> None:
    """Capture all that the agent reads of this machine."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        cli.fail(f"{directory} is not an empty directory: name another one", EXIT_USAGE)
    recorder = Recorder(directory, Scrubber().text)
    try:
        machine = probe_machine(recorder)
        # One after the other: a recording is one list of answers.
        look_side_by_side(recorder, COLLECTORS, workers=1)
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
