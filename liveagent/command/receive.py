"""`liveagent receive`: the embedded receiver, until it is stopped."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import click

from liveagent.command import frame
from liveagent.events import EXIT_USAGE, Event
from liveagent.receive import Receiver
from liveagent.report.lines import Lines


def receive(listen: str, directory: str, secret: str) -> None:
    """Show what arrives at ADDR:PORT, and keep it where there is a directory; Ctrl-C ends it."""
    address, colon, port = listen.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        frame.fail(f"--listen {listen}: say ADDR:PORT, e.g. 127.0.0.1:8080", EXIT_USAGE)
    lines = Lines()
    done = threading.Event()

    def show(event: Event) -> None:
        for line in lines.render(event):
            click.echo(line)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    where = Path(directory) if directory else None
    try:
        with Receiver((address.strip("[]"), int(port)), where, secret=secret, on_event=show) as receiver:
            frame.tell(f"receiving at {receiver.url}; Ctrl-C ends it")
            done.wait()
    except (OSError, ValueError) as error:
        frame.fail(f"Failed to receive at {listen}: {error}")
