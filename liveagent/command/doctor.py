"""`liveagent doctor`: whether a machine is fit to run the agent."""

from __future__ import annotations

import os

import click

from liveagent.boot import make_request, read_sources
from liveagent.command import frame
from liveagent.doctor import examine
from liveagent.events import EXIT_STATUS, EXIT_USAGE, worst
from liveagent.machine import probe_machine
from liveagent.settings import parse_settings


def show_doctor(shell: frame.Shell, as_json: bool) -> int:
    """Every check as a row; the exit status is that of the worst one."""
    request = make_request(os.environ, *read_sources(shell.host, shell.config))
    settings, faults = parse_settings(request.agent)
    found = examine(shell.host, shell.places, settings, probe_machine(shell.host))
    verdict = worst(finding.verdict for finding in found)
    if as_json:
        frame.print_json({"verdict": verdict.value, "findings": [finding.encode() for finding in found]})
    else:
        frame.print_table(("verdict", "part", "what was found"), [(str(f.verdict), f.part, f.summary) for f in found])
        for fault in (*request.faults, *faults):
            click.echo(f"fault  {fault}")
    return EXIT_USAGE if request.faults or faults else EXIT_STATUS[verdict]
