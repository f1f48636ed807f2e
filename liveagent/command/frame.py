"""What every command has: where things lie, and how it says something, prints, and leaves."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import sys
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import click

from liveagent.events import EXIT_STATUS, Verdict
from liveagent.host import Host

if TYPE_CHECKING:
    from liveagent.lock import Holder
    from liveagent.places import Places
    from liveagent.plan import Plan
    from liveagent.tasks import Preview

# Of the disks that a note is about so many are named.
FATES = 6
EXIT_ERROR = EXIT_STATUS[Verdict.ERROR]


@dataclasses.dataclass(frozen=True)
class Shell:
    """What the options before the command say."""

    host: Host
    config: str
    state: str

    @property
    def is_plain(self) -> bool:
        """Whether nothing was said of where things lie: only then is the service's the same machine and state."""
        return self.host.is_real and not self.config and not self.state

    @property
    def places(self) -> Places:
        from liveagent.places import choose_places

        return choose_places(self.state, os.environ)


def tell(text: str, err: bool = True) -> None:
    """Lines for a person, clean of what moves a terminal: stdout belongs to what was asked for."""
    from liveagent.report.lines import clean, fold

    stream = sys.stderr if err else sys.stdout
    width = shutil.get_terminal_size().columns - 1 if stream.isatty() else 0
    lines = [clean(line) for line in text.split("\n")]
    folded = [part for line in lines for part in (fold(line, width) if 0 < width < len(line) else [line])]
    if err:
        # What was asked for comes first, also where both go into one pipe; nobody need read it any more.
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
    click.echo("\n".join(folded), err=err)


def tell_look() -> None:
    """To a person who waits: a server with many disks takes its time."""
    if sys.stderr.isatty():
        tell("looking at this machine …")


def fail(text: str, status: int = EXIT_ERROR) -> NoReturn:
    tell(f"liveagent: {text}")
    sys.exit(status)


def print_json(document: Any) -> None:
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], err: bool = False) -> None:
    """A table: by rich on a terminal, aligned text elsewhere."""
    from liveagent.report import words

    words.print_table(columns, rows, sys.stderr if err else sys.stdout)


def find_holder(shell: Shell) -> Holder | None:
    """Who has a run on, on this machine; None where nobody has, or where only root could know."""
    from liveagent.lock import Lock

    return Lock(shell.places.runtime).holder() if shell.host.is_real and os.geteuid() == 0 else None


def tell_holder(holder: Holder, err: bool = True) -> None:
    tell(f"note: run {holder.run} ({holder.word}) is on, and changes what is shown here: `liveagent status`", err=err)


def show_previews(shell: Shell, made: Plan, err: bool) -> list[Preview]:
    """What each step would do, in order."""
    from liveagent.machine import probe_machine
    from liveagent.options import render_options

    machine = probe_machine(shell.host)
    previews = []
    for step in made.steps:
        tell(f"{step.task.name}: {step.task.summary}; {render_options(step.options) or 'no options'}", err=err)
        preview = step.task.preview(shell.host, machine, step.options)
        if preview.rows:
            print_table(preview.columns, preview.rows, err=err)
        for note in preview.notes:
            tell(note, err=err)
        previews.append(preview)
    if made.is_destructive:
        for line in list_fates(shell, [cell for preview in previews for row in preview.rows for cell in row]):
            tell(f"note: {line}", err=err)
    return previews


def list_fates(shell: Shell, shown: Collection[str]) -> list[str]:
    """What earlier runs left of the disks whose serials are `shown`: one that nothing is known of need not be new."""
    from liveagent.records import Disk

    if not shell.host.is_real or not os.access(shell.places.runs, os.R_OK | os.X_OK):
        return []
    return [
        f"run {run} left {', '.join(serials[:FATES])}"
        + (f" and {len(serials) - FATES} more" if len(serials) > FATES else "")
        + f" {status.replace('-', ' ')} ({verdict.upper()})"
        for (run, status, verdict), serials in Disk(shell.places).fates(shown).items()
    ]
