"""`inventory`: this machine as it is."""

from __future__ import annotations

import click

from liveagent.command import frame
from liveagent.machine.inventory import probe_inventory
from liveagent.report.inventory import list_sections


def show_inventory(shell: frame.Shell, as_json: bool) -> None:
    """Every part of this machine."""
    frame.tell_look()
    document = probe_inventory(shell.host).encode()
    if as_json:
        frame.print_json(document)
        return
    for number, section in enumerate(list_sections(document)):
        click.echo(f"{chr(10) if number else ''}{section.title}")
        frame.print_table(section.columns or ("", ""), section.rows)


def show_expectation(shell: frame.Shell) -> None:
    """What may be expected of machines like this one, for `expect` of hwdiag."""
    from liveagent.tasks.hwdiag.ordered import render_expectation

    click.echo(render_expectation(probe_inventory(shell.host).encode()), nl=False)


def show_schema() -> None:
    """What the words of an inventory mean."""
    from liveagent.machine.schema import make_schema

    frame.print_json(make_schema())
