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
    typed = ""
    try:
        while not typed:
            question = f"Type this machine's {what}, {word}, to go on"
            typed = click.prompt(question, default="", show_default=False, err=True).strip()
    except click.Abort:
        frame.tell("")
    if typed != word:
        frame.fail(f"{'that is not it; ' if typed else ''}nothing was touched", EXIT_STATUS[Verdict.CANCELLED])
