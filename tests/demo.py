"""The demo: a scratch disk on a loop device is wiped as a boot would have it, and the result is received.

It makes one file in a temporary directory, attaches it to a loop device, starts the embedded receiver on
127.0.0.1 and hands `SPEEDISO=wipe` over by environment and `--config`. Nothing but that file is written to.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from liveagent.receive import Receiver

SIZE = 256 * 1024 * 1024
SECRET = "demonstration"
MARK = b"customer data that must not survive "


def say(text: str) -> None:
    print(f"\n== {text}", flush=True)


@contextlib.contextmanager
def scratch_disk(file: Path) -> Iterator[str]:
    """A loop device over a scratch file full of a known text."""
    with file.open("wb") as stream:
        stream.write((MARK * (SIZE // len(MARK) + 1))[:SIZE])
    argv = ["losetup", "--find", "--show", str(file)]
    device = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=30).stdout.strip()
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", device], check=True, timeout=30)


def count_marks(file: Path) -> int:
    with file.open("rb") as stream:
        return sum(chunk.count(MARK) for chunk in iter(lambda: stream.read(1 << 24), b""))


def liveagent(*words: str, environment: dict[str, str] | None = None) -> int:
    """Run the command as a person would, its output straight to this terminal."""
    program = str(Path(sys.executable).with_name("liveagent"))
    print("$", *(f"{name}={value}" for name, value in (environment or {}).items()), "liveagent", *words, flush=True)
    return subprocess.run([program, *words], env={**os.environ, **(environment or {})}, timeout=300).returncode


def main() -> int:
    if os.geteuid() != 0:
        print("The demo attaches a loop device, so it needs root: sudo make demo", file=sys.stderr)
        return 2
    # Kept afterwards: the record, the page and the events are what there is to look at.
    directory = Path(tempfile.mkdtemp(prefix="liveagent-demo-"))
    disk_file, state, config = directory / "disk.img", directory / "state", directory / "demo.conf"
    received = directory / "received"
    say(f"A scratch disk of {SIZE // 1024 // 1024} MiB, full of {MARK.decode()!r}, on a loop device")
    with scratch_disk(disk_file) as device, Receiver(("127.0.0.1", 0), received, secret=SECRET) as receiver:
        print(f"{device}: {count_marks(disk_file)} marks on it")
        config.write_text(
            f"[agent]\ncallback = {receiver.url}\ncallback_secret = {SECRET}\ncountdown = 3s\n"
            f"[wipe]\ndisks = {device}\n"
        )
        common = ["--config", str(config), "--state", str(state)]
        boot = {"SPEEDISO": "wipe", "LIVEAGENT_RUNTIME_DIR": str(directory / "run")}
        say("What this boot asks for (liveagent plan)")
        liveagent(*common, "plan", environment=boot)
        say("The boot's plan is carried out; --yes stands in for the countdown on a server's consoles")
        status = liveagent(*common, "run", "--as-booted", "--yes", environment=boot)
        say("The result again (liveagent report)")
        page = directory / "report.html"
        liveagent(*common, "report", "--html", str(page), environment=boot)
        liveagent(*common, "report", environment=boot)
    left = count_marks(disk_file)
    events = [json.loads(line) for file in received.glob("*/events.jsonl") for line in file.open(encoding="utf-8")]
    say("What is left")
    print(f"marks on the disk   {left}")
    print(f"exit status         {status}")
    print(f"events received     {len(events)}, the last one {events[-1]['type'] if events else 'none'}")
    print(f"record of the run   {next(state.glob('runs/*'), 'none')}")
    print(f"page                {page}")
    print(f"Remove it all with: rm -r {directory}")
    return 0 if status == 0 and left == 0 and events and events[-1]["type"] == "liveagent.run.finished" else 1


if __name__ == "__main__":
    sys.exit(main())
