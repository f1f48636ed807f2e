"""Machines whose tools answer what a test gives them; anything else that is asked is an error."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Mapping
from pathlib import Path

from liveagent.machine.disks import Disk, Transport
from liveagent.recording import Replay


@dataclasses.dataclass(frozen=True)
class Reply:
    """What a tool prints and how it ends; `raised` names the exception where it never did."""

    stdout: str = ""
    stderr: str = ""
    status: int = 0
    raised: str = ""


NOT_INSTALLED = Reply(raised="CommandNotFound")
HANGS = Reply(raised="CommandTimedOut")

DISK = Disk(
    "sda", "/dev/sda", "8:0", "X", "", "S4EWNX0N123456", "", "", 10**12, 512, 4096, None, Transport.SATA, False, False
)
NVME = dataclasses.replace(
    DISK,
    name="nvme0n1",
    path="/dev/nvme0n1",
    transport=Transport.NVME,
    nvme_controllers=("nvme0",),
    nvme_namespace=1,
)


def make_replay(
    place: Path,
    replies: Mapping[str, str | Reply],
    files: Mapping[str, str] = {},
    lists: Mapping[str, tuple[str, ...]] = {},
) -> Replay:
    """A recording with these replies by command line, files by path, and lists as `recording.Recorder` keeps them."""
    lines = []
    for command, reply in replies.items():
        said = Reply(reply) if isinstance(reply, str) else reply
        ended = {"status": None if said.raised else said.status, "seconds": 0.1, "truncated": False}
        printed = {"stdout": said.stdout, "stderr": said.stderr, "raised": said.raised, "message": said.raised}
        lines.append(json.dumps({"argv": shlex.split(command), **ended, **printed}) + "\n")
    (place / "commands.jsonl").write_text("".join(lines))
    (place / "lists.json").write_text(json.dumps(lists))
    (place / "missing.json").write_text("{}")
    for path, text in files.items():
        file = place / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return Replay(place)
