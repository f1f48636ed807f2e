"""The directory of one run: what the script prints, the result that it leaves, and whether it was begun before."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, TextIO

from liveagent.host import Host
from liveagent.machine.use import probe_mounts

# Of each file. A script may print a gigabyte, and the files may lie in memory.
KEPT = 1024 * 1024
# What goes into the result itself: the last lines, each up to as many letters.
TAIL = 10
TAIL_WIDTH = 200


@dataclasses.dataclass(frozen=True)
class Workplace:
    """Where one run has its files; only root may look in."""

    directory: Path

    @property
    def result(self) -> Path:
        return self.directory / "result.yaml"

    @property
    def downloads(self) -> Path:
        return self.directory / "downloads"

    @property
    def stdout(self) -> Path:
        return self.directory / "stdout"

    @property
    def stderr(self) -> Path:
        return self.directory / "stderr"

    @property
    def combined(self) -> Path:
        return self.directory / "combined"

    def forget_result(self) -> None:
        """Remove what the script left: there may be a password in it that it was given."""
        with contextlib.suppress(OSError):
            self.result.unlink()

    @property
    def environment(self) -> dict[str, str]:
        return {
            "OUTPUT_STDOUT_PATH": str(self.stdout),
            "OUTPUT_STDERR_PATH": str(self.stderr),
            "OUTPUT_COMBINED_PATH": str(self.combined),
            "RESULT_PATH": str(self.result),
            "DOWNLOAD_PATH": str(self.downloads),
        }


@contextlib.contextmanager
def open_workplace(
    directory: Path | None, name: str, part: str, on_mounted: Callable[[Path], object]
) -> Iterator[Workplace]:
    """A place in the run's own directory, kept with its record, its downloads removed at the end.

    Where there is no such directory, or it cannot be written, a passing one takes its place. `on_mounted` is told
    what is not removed, since something may be mounted in it.
    """
    try:
        if directory is None:
            raise FileNotFoundError
        place = Path(os.path.abspath(directory), name, part)
        _make(place)
        passing = place / "downloads"
    except OSError:
        place = passing = Path(tempfile.mkdtemp(prefix="liveagent-"))
        _make(place)
    try:
        yield Workplace(place)
    finally:
        if may_hold_mounts(passing):
            on_mounted(passing)
        else:
            shutil.rmtree(passing, ignore_errors=True)


def may_hold_mounts(directory: Path) -> bool:
    """Whether a file system is mounted there or below: to remove what is in the directory would empty that as well."""
    # Of this process and its own root, whatever machine the run is about.
    points = [mount.point for mount in probe_mounts(Host())]
    real = os.path.realpath(directory)
    return not points or any(point == real or point.startswith(f"{real}/") for point in points)


def _make(place: Path) -> None:
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    (place / "downloads").mkdir(mode=0o700, exist_ok=True)


class Kept:
    """The output of one run in its three files, line by line, each up to a limit."""

    def __init__(self, place: Workplace) -> None:
        paths = (place.stdout, place.stderr, place.combined)
        # Line by line on disk: the script may read them as it goes.
        self._files: dict[str, TextIO] = {
            path.name: path.open("w", encoding="utf-8", errors="replace", buffering=1) for path in paths
        }
        self._room = dict.fromkeys(self._files, KEPT)
        self.cut = False
        self.tail: collections.deque[str] = collections.deque(maxlen=TAIL)

    def write(self, line: str, stream: str) -> None:
        """A line of `stdout` or `stderr`."""
        self.tail.append(line[:TAIL_WIDTH])
        for name in (stream, "combined"):
            self._room[name] -= len(line) + 1
            if self._room[name] < 0:
                self.cut = True
                continue
            try:
                self._files[name].write(line + "\n")
            except OSError:
                self.cut = True  # no room for it: the line is told all the same
                self._room[name] = 0

    def close(self) -> None:
        for file in self._files.values():
            with contextlib.suppress(OSError):
                file.close()


class Begun:
    """The marks of a script that may reboot the machine: what was begun, in whichever run, and never ended.

    They lie beside the records of the runs, and are as lasting as these.
    """

    def __init__(self, directory: Path, name: str, label: str) -> None:
        self._mark = Path(name, "begun-" + re.sub(r"[^A-Za-z0-9._-]", "_", label) if label else "begun")
        self._directory = directory

    def begin(self) -> bool:
        """Mark it as begun; whether it had been, and did not end."""
        found = list(self._directory.parent.glob(f"*/{self._mark}"))
        mark = self._directory / self._mark
        mark.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with mark.open("w") as file:
            os.fsync(file.fileno())
        # The directory too: the script may have the power taken in a moment.
        for directory in (mark.parent, mark.parent.parent):
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
            os.fsync(descriptor)
            os.close(descriptor)
        for old in found:
            if old != mark:
                old.unlink(missing_ok=True)
        return bool(found)

    def end(self) -> None:
        (self._directory / self._mark).unlink(missing_ok=True)
