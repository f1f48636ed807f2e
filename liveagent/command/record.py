"""`liveagent record`: all that the agent reads of a machine, for playing it back elsewhere."""

from __future__ import annotations

from pathlib import Path

from liveagent.boot import read_sources
from liveagent.command import frame
from liveagent.events import EXIT_USAGE
from liveagent.machine import probe_machine
from liveagent.machine.inventory import COLLECTORS
from liveagent.machine.look import look_side_by_side
from liveagent.recording import Recorder
from liveagent.scrub import Scrubber
from liveagent.tasks import BUILT_IN, Registry, Task


def record(directory: Path) -> None:
    """Capture all that the agent reads of this machine."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        frame.fail(f"{directory} is not an empty directory: name another one", EXIT_USAGE)
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
        frame.fail(f"Failed to record to {directory}: {error}")
    frame.tell(f"recorded {machine.identity.serial or 'a machine without a serial'} to {directory}")
    frame.tell("look it through before you share it: what looks like a secret by its name is left out, and no more")
