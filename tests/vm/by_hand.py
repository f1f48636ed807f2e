"""Runs by hand, over SSH, in a guest that stays: to their end, or beside what the test does meanwhile."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from .contract import RUNS
from .guest import Guest
from .receiver import Event

LOG = "/run/lab/aside.log"
Ended = tuple[int, dict[str, Any]]  # exit status, result


def run_wipe(guest: Guest, *options: str, task: str = "wipe", before: str = "", timeout: float = 240) -> Ended:
    """`liveagent run` by hand: its exit status and its result. `before` are words before `run`."""
    done = guest.attempt(f"liveagent {before} run {task} {' '.join(options)} --yes --json", timeout=timeout)
    assert done.stdout and done.returncode != 2, done.stderr  # 2: the words were wrong, and nothing ran
    result: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, result


@dataclass(frozen=True)
class Aside:
    """A run that goes on while the test does something to it."""

    guest: Guest
    ended: Future[Ended]

    def wait_said(self, expected: str, timeout: float) -> None:
        """Wait until the run has shown the extended regular expression to the person at its terminal."""
        # `-s`: the log is there a moment after the run was asked for.
        found = f"grep -Esq -e {shlex.quote(expected)} {LOG}"
        self.guest.run(f"until {found}; do sleep .2; done", timeout=timeout)

    def events(self) -> list[Event]:
        """What the newest run of the guest has on record so far."""
        newest = f"{RUNS}/$(ls -t {RUNS} | head -n 1)/events.jsonl"
        return [json.loads(line) for line in self.guest.run(f"cat {newest}").splitlines() if line]


@contextlib.contextmanager
def run_aside(guest: Guest, *options: str, timeout: float = 480) -> Iterator[Aside]:
    """`liveagent run wipe` beside the block, whose end waits for the run's."""
    guest.run(f"install -d {PurePosixPath(LOG).parent}; rm -f {LOG}")
    with ThreadPoolExecutor(1) as pool:
        yield Aside(guest, pool.submit(run_wipe, guest, *options, f"2>{LOG}", timeout=timeout))


def paths_of(guest: Guest) -> dict[str, str]:
    """The kernel's names of the disks in this boot, by serial."""
    lines = guest.run("lsblk --nodeps --noheadings --output SERIAL,PATH").splitlines()
    return {line.split()[0]: line.split()[1] for line in lines if len(line.split()) == 2}
