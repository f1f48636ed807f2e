"""The question before a person erases disks by hand."""

from __future__ import annotations

import sys
import termios
from collections.abc import Sequence

import click

from liveagent.command import frame
from liveagent.events import EXIT_STATUS, EXIT_USAGE, Verdict
from liveagent.machine import Machine
from liveagent.tasks import Preview

TRIES = 3


def ask_for_serial(machine: Machine, previews: Sequence[Preview]) -> None:
    """Have a person type the machine's serial, or leave."""
    for preview in previews:
        if preview.serious:
            frame.tell(preview.serious)
    identity = machine.identity
    names = {"serial": identity.serial, "UUID": identity.uuid, "host name": identity.hostname}
    what, word = next(((what, name) for what, name in names.items() if name), ("name", "this machine"))
    if not sys.stdin.isatty():
        frame.fail("this destroys data: there is no terminal to ask on, so say --yes", EXIT_USAGE)
    # What was typed before the question was seen is no answer to it.
    termios.tcflush(sys.stdin, termios.TCIFLUSH)
    question = f"Type this machine's {what}, {word}, to go on"
    for left in reversed(range(TRIES)):
        typed = ""
        try:
            while not typed:
                typed = click.prompt(question, default="", show_default=False, err=True).strip()
        except click.Abort:
            frame.tell("")
            break
        # In small letters it is the same label that was read.
        if typed.casefold() == word.casefold():
            return
        hint = "; the disks are those above" if any(typed in row for one in previews for row in one.rows) else ""
        more = f"; {left} more {'try' if left == 1 else 'tries'}" if left else ""
        frame.tell(f"that is not the {what} of this machine{hint}{more}")
    frame.fail("nothing was touched", EXIT_STATUS[Verdict.CANCELLED])
