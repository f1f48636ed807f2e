"""What who logs in is told, and who is about to: `motd` and `issue` beside the lock, renewed as a run starts and ends.

`/run/motd.d/liveagent` and `/run/issue.d/liveagent.issue` are links to them (systemd/liveagent.tmpfiles.conf), so
that the agent writes in no directory but its own.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path

from liveagent.events import Type
from liveagent.report.lines import fold
from liveagent.report.record import Reader
from liveagent.report.sink import Sink
from liveagent.report.view import View, cut

log = logging.getLogger(__name__)

MOTD, ISSUE, SCREEN = "motd", "issue", "screen"
IDLE = "idle; `liveagent list` shows what can be done"


class Login(Sink):
    """Follows one run. `last` is how the one before it ended, as `read_last` has it."""

    def __init__(self, reader: Reader, directory: Path, last: str) -> None:
        super().__init__("login", reader)
        self._directory = directory
        self._last = last
        self._view = View()

    def run_once(self) -> bool:
        events = self.reader.read()
        for event in events:
            self._view.feed(event)
        if any(event.type in (Type.RUN_STARTED, Type.RUN_FINISHED) for event in events):
            view = self._view
            state = IDLE if view.verdict else render_running(view)
            last = render_last(view.verdict, view.summary) if view.verdict else self._last
            write_fragments(self._directory, render_fragment(view.image, view.serial, view.addresses, state, last))
        if events:
            self._took(events[-1].sequence)
        return bool(events)


def show_idle(directory: Path, image: str, serial: str, addresses: Sequence[str], runs: Path) -> None:
    """Nothing runs (yet): after a boot, or where the agent was started again."""
    write_fragments(directory, render_fragment(image, serial, addresses, IDLE, read_last(runs)))


def keep_screen(directory: Path) -> None:
    """Have no login prompt on the terminal that a run is drawn on: the image's unit for it looks for this file.

    It stands until the next boot. The verdict is to be read when everybody has gone.
    """
    with contextlib.suppress(OSError):
        (directory / SCREEN).touch()


def render_running(view: View) -> str:
    since = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(view.started)) if view.started else "a while"
    what = ", ".join(view.tasks) or "nothing"
    return f"running {what} since {since}; `liveagent attach` shows it, `liveagent cancel` stops it"


def render_last(verdict: str, summary: str) -> str:
    return f"last result: {verdict.upper()}: {summary}; `liveagent report` shows it"


def render_fragment(image: str, serial: str, addresses: Sequence[str], state: str, last: str) -> list[str]:
    """Build, serial, addresses; what runs; the last result."""
    where = ", ".join(filter(None, addresses)) or "none"
    who = f"{image or 'liveagent'}, serial {serial or 'unknown'}, addresses {where}"
    return [line for text in (who, state, last) for line in fold(cut(text))]


def read_last(runs: Path) -> str:
    """How the newest run that has a result ended; "" where there is none."""
    for path in sorted(runs.glob("*/result.json"), reverse=True):
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
            return render_last(str(result["verdict"]), str(result["summary"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return ""


def write_fragments(directory: Path, lines: Sequence[str]) -> None:
    """Both files, each whole at every moment. What cannot be written is logged, and the run goes on."""
    text = "\n".join(lines) + "\n"
    # agetty(8) makes something of a backslash, and of nothing else.
    for name, content in ((MOTD, text), (ISSUE, text.replace("\\", "\\\\") + "\n")):
        path = directory / name
        fresh = directory / f"{name}.new"
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o755)
            fresh.write_text(content, encoding="utf-8", errors="replace")
            fresh.chmod(0o644)
            fresh.replace(path)
        except OSError as error:
            log.warning("Failed to write %s: %s, ignoring", path, error.strerror)
