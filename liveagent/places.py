"""Where the records of runs are kept, and where the lock and the boot's mark are."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from pathlib import Path

STATE = "/var/lib/liveagent"
RUNTIME = "/run/liveagent"


@dataclasses.dataclass(frozen=True)
class Places:
    """Where runs are kept, and where the lock and the boot's mark are."""

    state: Path
    runtime: Path

    @property
    def runs(self) -> Path:
        return self.state / "runs"

    def run_directories(self) -> list[Path]:
        """The directories of all runs, oldest first."""
        with contextlib.suppress(OSError):
            return sorted(path for path in self.runs.iterdir() if path.is_dir())
        return []


def choose_places(state: str, environment: Mapping[str, str]) -> Places:
    """`--state`, then LIVEAGENT_STATE_DIR, then systemd's STATE_DIRECTORY; LIVEAGENT_RUNTIME_DIR for the lock."""
    chosen = state or environment.get("LIVEAGENT_STATE_DIR") or environment.get("STATE_DIRECTORY", "").split(":")[0]
    return Places(Path(chosen or STATE), Path(environment.get("LIVEAGENT_RUNTIME_DIR") or RUNTIME))
