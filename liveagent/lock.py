"""One run at a time, and one boot plan a boot: the lock and the mark in /run/liveagent."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Callable

from liveagent.events import JSON
from liveagent.report.spool import write_synced


@dataclasses.dataclass(frozen=True)
class Holder:
    """Who holds the lock: the process, the run, the words of the plan, and the directory of its record."""

    pid: int
    run: str
    word: str
    directory: str

    def cancel(self) -> None:
        """Ask the process to cancel its run, and nothing else of it. Raises OSError."""
        os.kill(self.pid, signal.SIGUSR1)


Keep = Callable[[], None]


class Busy(Exception):
    """Another run is on."""

    def __init__(self, holder: Holder | None) -> None:
        self.holder = holder
        who = f"run {holder.run} ({holder.word}), process {holder.pid}" if holder else "another process"
        super().__init__(
            f"{who} is on, and only one is at a time; `liveagent attach` shows it and how long it still takes, "
            "`liveagent cancel` would stop it"
        )


class Lock:
    """`RUNTIME/lock`: flock decides, the text in it only tells who."""

    def __init__(self, runtime: Path) -> None:
        self.path = runtime / "lock"

    @contextlib.contextmanager
    def held(self, run: str, word: str, directory: Path) -> Iterator[Keep]:
        """Hold the lock, or raise Busy. Raises OSError where the runtime directory cannot be written.

        After `keep()` it is held until the process ends: for a run whose task could not be ended.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        # Not for others to open: whoever can read it can take the flock, and block every run.
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        kept = False

        def keep() -> None:
            nonlocal kept
            kept = True

        try:
            if not _take(file):
                raise Busy(self._read())
            os.ftruncate(file, 0)
            holder = Holder(os.getpid(), run, word, str(directory))
            os.pwrite(file, json.dumps(dataclasses.asdict(holder)).encode(), 0)
            yield keep
            if not kept:
                os.ftruncate(file, 0)
        finally:
            if not kept:
                os.close(file)

    def holder(self) -> Holder | None:
        """Who holds it now; None where nobody does. Raises PermissionError for others than root."""
        try:
            file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return self._read()
        finally:
            os.close(file)
        return None

    def _read(self) -> Holder | None:
        try:
            return Holder(**json.loads(self.path.read_text()))
        except (OSError, ValueError, TypeError):
            return None


def _take(file: int) -> bool:
    """Whether the lock could be had. Who asks `holder` has it for a moment, so one failure is not yet a run."""
    for pause in (0.01, 0.05, 0.2, 0.0):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
        time.sleep(pause)
    return False


@dataclasses.dataclass(frozen=True)
class BootMark:
    """`RUNTIME/boot-plan`: this boot's plan was taken. It is written and synced before the first step."""

    runtime: Path
    boot_id: str

    @property
    def path(self) -> Path:
        return self.runtime / "boot-plan"

    def read(self) -> Mapping[str, JSON] | None:
        """What was noted in this boot; None where nothing was. A mark that cannot be read counts as taken."""
        try:
            document = json.loads(self.path.read_text())
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            return {"boot_id": self.boot_id}
        if not isinstance(document, dict):
            return {"boot_id": self.boot_id}
        noted = document.get("boot_id")
        # Where one of the two is not known, better nothing runs than the same twice.
        return None if noted and self.boot_id and noted != self.boot_id else document

    def write(self, run: str, directory: Path) -> None:
        """Note that the plan is taken. Raises OSError, and then nothing may run."""
        self.runtime.mkdir(parents=True, exist_ok=True, mode=0o755)
        document = {"boot_id": self.boot_id, "run": run, "directory": str(directory)}
        write_synced(self.path, json.dumps(document).encode())
