"""Templates rendered by Ruby as a Foreman would, and what a loader hands to the kernel from what comes out."""

from __future__ import annotations

import dataclasses
import json
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.conftest import REPOSITORY, need

TEMPLATES = REPOSITORY / "foreman" / "templates"
SNIPPETS = {"liveagent_cmdline": str(TEMPLATES / "liveagent_cmdline.erb")}
LOADERS = ("pxelinux", "ipxe", "grub2")
HERE = Path(__file__).resolve().parent
MAC = "52:54:00:00:00:0c"
TOKEN = "91e32877-adc8-42ed-be23-617fd0b9a4b4"


@dataclasses.dataclass(frozen=True)
class Server:
    """A host of Foreman as a template sees it; `token` is None where it is not in build."""

    parameters: Mapping[str, Any]
    facts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    name: str = "node02.lab.example.com"
    token: str | None = TOKEN

    def encode(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "mac": MAC}


def ask_ruby(script: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run one of the scripts beside this file."""
    need(shutil.which("ruby"), "ruby")
    argv = ["ruby", str(HERE / script), *arguments]
    return subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=60, encoding="utf-8")


def render_all(requests: Sequence[tuple[object, Server]]) -> list[dict[str, str]]:
    """What becomes of each (template, server): `text`, or `error`."""
    encoded = [{"template": template, "snippets": SNIPPETS, "host": server.encode()} for template, server in requests]
    done = ask_ruby("render.rb", stdin=json.dumps(encoded))
    assert done.returncode == 0, done.stderr
    answers: list[dict[str, str]] = json.loads(done.stdout)
    return answers


def render_boots(servers: Sequence[Server]) -> list[dict[str, str]]:
    """Each server's boot, by loader."""
    requests = [(str(TEMPLATES / f"liveagent_{loader}.erb"), server) for server in servers for loader in LOADERS]
    answers = render_all(requests)
    assert not [answer for answer in answers if "error" in answer], answers
    texts = [answer["text"] for answer in answers]
    width = len(LOADERS)
    return [dict(zip(LOADERS, texts[at : at + width])) for at in range(0, len(texts), width)]


def read_line(loader: str, text: str) -> str:
    """The command line that the kernel gets, made by the rule of that loader; fails where nothing is booted."""
    if loader == "pxelinux":
        (line,) = [line.split(None, 1)[1] for line in text.splitlines() if line.split()[:1] == ["APPEND"]]
        assert "  IPAPPEND 2" in text.splitlines()
        return f"{line} BOOTIF=01-{MAC.replace(':', '-')}"
    if loader == "ipxe":
        (line,) = [line for line in text.splitlines() if line.startswith("kernel ")]
        words, _, failed = line.partition(" || ")
        assert failed == "goto failed"
        return words.split(" ", 2)[2].replace("${netX/mac:hexhyp}", MAC.replace(":", "-"))
    (line,) = [line for line in text.splitlines() if line.split()[:1] == ["linux"]]
    # In single quotes GRUB takes everything as it stands, as a shell does; it joins words with one blank.
    return " ".join(shlex.split(line)[2:]).replace("$net_default_mac", MAC)


def is_local_boot(loader: str, text: str) -> bool:
    """Whether this text boots no kernel and says a word to whoever stands there."""
    commands = [line.split()[0] for line in text.splitlines() if line.split() and not line.startswith("#")]
    kernels = {"KERNEL", "LINUX", "APPEND", "INITRD", "kernel", "initrd", "boot", "linux", "linuxefi", "menuentry"}
    ends = {"pxelinux": "LOCALBOOT", "ipxe": "exit", "grub2": "exit"}
    shows = {"pxelinux": "SAY", "ipxe": "echo", "grub2": "echo"}
    return not kernels & set(commands) and commands[-1] == ends[loader] and shows[loader] in commands
