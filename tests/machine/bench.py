"""A server of files, whose tools answer what a test says, hang, or are not there."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable

from liveagent.host import Cancelled, CommandNotFound, CommandTimedOut, Completed, Host

Answer = Callable[[Sequence[str]], "str | tuple[int, str]"]


class Hangs(Exception):
    """The tool does not end within its time."""


class Bench(Host):
    """A tree below `place` as the machine; `answer` prints for each command, or raises LookupError for no such tool."""

    def __init__(self, place: Path, answer: Answer) -> None:
        super().__init__(str(place))
        self.asked: list[tuple[str, ...]] = []
        self._answer = answer
        self._lock = threading.Lock()

    @property
    def can_run(self) -> bool:
        return True

    def run(self, argv: Sequence[str], *, timeout: float, success: Any = (0,), **more: Any) -> Completed:
        if self.cancel.is_set():
            raise Cancelled("cancelled")
        with self._lock:
            self.asked.append(tuple(argv))
        try:
            said = self._answer(argv)
        except Hangs:
            raise CommandTimedOut("no end", Completed(tuple(argv), None, "", "", timeout)) from None
        except LookupError:
            raise CommandNotFound("not installed", Completed(tuple(argv), None, "", "", 0.0)) from None
        status, text = said if isinstance(said, tuple) else (0, said)
        return Completed(tuple(argv), status, text, "", 0.0)


def add_disk(place: Path, name: str, number: int, **files: str) -> Path:
    """A SATA disk of its own port, as sysfs has it; returns its directory."""
    port = f"devices/pci0000:00/0000:00:17.0/ata{number}/host{number}/target{number}:0:0/{number}:0:0:0"
    block = place / "sys" / port / "block" / name
    contents = {
        "size": "1953525168", "dev": f"8:{number * 16}", "ro": "0", "removable": "0", "queue/rotational": "1",
        "queue/logical_block_size": "512", "queue/physical_block_size": "4096", "../../vendor": "ATA",
        "../../model": "ST1000NM0033", "../../wwid": f"naa.5000c500{number:08x}", **files,
    }  # fmt: skip
    for path, text in contents.items():
        file = block / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")
    (block / "device").symlink_to("../..")
    link = place / "sys/block" / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(f"../{port}/block/{name}")
    speeds = place / f"sys/class/ata_link/link{number}"
    speeds.mkdir(parents=True)
    (speeds / "sata_spd").write_text("3.0 Gbps\n")
    (speeds / "hw_sata_spd_limit").write_text("6.0 Gbps\n")
    return block
