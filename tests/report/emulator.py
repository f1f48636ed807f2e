"""A terminal emulator (tmux), and the screens that were captured from it and kept."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from tests.conftest import REPOSITORY

LONG = 60.0
SCREENS = Path(__file__).parent / "screens"


class Tmux:
    """A terminal emulator of the test's own, and a program in it."""

    def __init__(self, directory: Path, columns: int, rows: int, *program: str) -> None:
        self._common = ["tmux", "-u", "-S", str(directory / "tmux"), "-f", "/dev/null"]
        self._environment = {**os.environ, "LC_ALL": "C.UTF-8", "TERM": "xterm", "PYTHONPATH": str(REPOSITORY)}
        self.run("new-session", "-d", "-x", str(columns), "-y", str(rows), *program)

    def run(self, *words: str) -> str:
        argv = [*self._common, *words]
        done = subprocess.run(argv, env=self._environment, capture_output=True, text=True, timeout=LONG)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def wait_for(self, *words: str) -> str:
        """The screen as soon as all of the words stand on it."""
        limit = time.monotonic() + LONG
        while True:
            text = self.run("capture-pane", "-p")
            if all(word in text for word in words):
                return text
            assert time.monotonic() < limit, f"{words} did not appear:\n{text}"
            time.sleep(0.05)  # tmux tells nobody when a pane has changed

    @property
    def path(self) -> str:
        """The terminal that the program has."""
        return self.run("display-message", "-p", "#{pane_tty}").strip()

    def close(self) -> None:
        self.run("kill-server")


def compare(text: str, name: str) -> None:
    """With the kept screen; LIVEAGENT_KEEP_SCREENS=1 keeps what there is now, to be looked at before it is believed."""
    kept = SCREENS / name
    if os.environ.get("LIVEAGENT_KEEP_SCREENS"):
        kept.write_text(text)
    assert text == kept.read_text()
