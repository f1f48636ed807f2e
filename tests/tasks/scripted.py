"""A drive that erases itself, where no emulator has one: a loop device, with the answers of its tools in order.

The answers are recorded outputs, or written in the tool's own form; every test says which. What a command does to the
medium is done to the file behind the loop device. Whatever is asked out of turn is an error.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

from liveagent.host import CommandTimedOut, Completed, Host, check
from liveagent.machine import probe_machine
from liveagent.machine.disks import Disk
from liveagent.machine.drive import Drive
from liveagent.tasks import Context
from liveagent.tasks.wipe.decide import Order
from liveagent.tasks.wipe.options import WipeOptions
from liveagent.tasks.wipe.select import Chosen
from liveagent.tasks.wipe.technique import choose_techniques
from liveagent.tasks.wipe.worker import Worker

TOOLS = ("nvme", "hdparm", "sg_sanitize", "sg_requests", "sg_turs", "smartctl", "sedutil-cli")


@dataclasses.dataclass(frozen=True)
class Answer:
    """What is asked next (words that must be in the command), what the tool prints, and what it does to the disk."""

    words: str
    stdout: str = ""
    stderr: str = ""
    status: int = 0
    effect: Callable[[], None] = lambda: None
    times_out: bool = False
    seconds: float = 1.0


class ScriptedHost(Host):
    """The real machine, but for the tools that talk to drives. Pauses are over at once."""

    def __init__(self, script: Sequence[Answer] = ()) -> None:
        super().__init__()
        self.script = list(script)
        self.asked: list[str] = []

    def pause(self, seconds: float) -> None:
        super().pause(0)

    def run(self, argv: Sequence[str], **more: object) -> Completed:  # type: ignore[override]
        if argv[0] not in TOOLS:
            return super().run(argv, **more)  # type: ignore[arg-type]
        command = " ".join(argv)
        self.asked.append(command)
        assert self.script, f"nobody expected {command}"
        answer = self.script.pop(0)
        assert answer.words in command, f"{command} came where {answer.words} was expected"
        answer.effect()
        done = Completed(tuple(argv), answer.status, answer.stdout, answer.stderr, answer.seconds)
        if answer.times_out:
            raise CommandTimedOut(f"{argv[0]} did not end within 1 s", done)
        return check(done, more.get("success", (0,)))  # type: ignore[arg-type]


class Bench:
    """One loop device that plays a drive, and the run of one worker on it."""

    def __init__(self, device: str, drive: Drive, options: WipeOptions, **plate: object) -> None:
        self.device = device
        self.file = Path(Path(f"/sys/block/{Path(device).name}/loop/backing_file").read_text().strip())
        self.host = ScriptedHost()
        self.drive = drive
        self.options = options
        self.plate = plate
        self.said: list[tuple[str, dict[str, object]]] = []

    @property
    def disk(self) -> Disk:
        found = next(disk for disk in probe_machine(Host()).disks if disk.path == self.device)
        return dataclasses.replace(found, **self.plate)  # type: ignore[arg-type]

    def blank(self) -> None:
        """What a block erase does: every byte of the medium reads as zero."""
        with self.file.open("r+b") as stream:
            stream.write(bytes(self.file.stat().st_size))

    def run(self, script: Sequence[Answer]) -> dict[str, object]:
        """The row of a worker on this drive; every answer must have been asked for."""
        self.host.script = list(script)
        context = Context(self.host, probe_machine(Host()), "wipe", self._hear, run="RUN")
        disk = self.disk
        # The loop device stays one for the guards, which look at it again; its drive's kind decides what is tried.
        choice = choose_techniques(disk, self.drive, self.options)
        order = Order(Chosen(dataclasses.replace(disk, **self._loop_plate())), self.drive, choice)  # type: ignore[arg-type]
        row = dict(Worker(context, order, self.options).run())
        assert not self.host.script, f"never asked: {[answer.words for answer in self.host.script]}"
        return row

    def _loop_plate(self) -> dict[str, object]:
        plain = next(disk for disk in probe_machine(Host()).disks if disk.path == self.device)
        return {"transport": plain.transport, "rotational": plain.rotational, "nvme_namespace": None}

    def _hear(self, type: object, data: dict[str, object], subject: str = "") -> None:
        self.said.append((str(getattr(type, "value", type)), data))

    def codes(self) -> list[str]:
        return [str(data["code"]) for kind, data in self.said if kind == "liveagent.finding"]


__all__ = ("Answer", "Bench", "ScriptedHost")
