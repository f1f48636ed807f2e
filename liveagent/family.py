"""The processes of one command, as /proc shows them: those that it started, and what these did."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Sequence

# Processes and threads a second: more than any machine starts. So long as the numbers cannot have gone round since a
# command began, none of its descendants has a lower one than it.
FORKS = 1_000_000


@dataclasses.dataclass(frozen=True)
class _State:
    """What /proc/PID/stat says; `start` in clock ticks since boot."""

    letter: str
    parent: int
    group: int
    start: int


class Family:
    """A command's processes: its group, whoever carries its mark, and what descends from either.

    A descendant is known for good once it was seen, whoever its parent is by then. One that was never seen, in a
    session of its own, without the mark and without a living parent among these, is not known for what it is.
    """

    def __init__(self, leader: int, mark: str) -> None:
        self._leader = leader
        self._mark = mark.encode()
        # By number and start: a number is given to somebody else in time.
        self._seen: set[tuple[int, int]] = set()

    def living(self) -> list[int]:
        """Those that live now, zombies aside."""
        leader = _read_state(self._leader)
        since = leader.start if leader else 0
        states = {pid: state for pid in self._candidates(leader) if (state := _read_state(pid))}
        ours = {self._leader}
        # Parents first.
        for pid, state in sorted(states.items(), key=lambda one: (one[1].start, one[0])):
            if state.start < since:
                continue
            is_known = state.group == self._leader or state.parent in ours or (pid, state.start) in self._seen
            if is_known or self._is_marked(pid):
                ours.add(pid)
                self._seen.add((pid, state.start))
        return [pid for pid in ours if pid in states and states[pid].letter not in "ZX"]

    def _candidates(self, leader: _State | None) -> Sequence[int]:
        """The processes that may be descendants.

        A large server has thousands, most of them the kernel's: of a command that was short, those that are older are
        known by their numbers, which the kernel gives out upwards, and need not be looked at.
        """
        everybody = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        with contextlib.suppress(OSError, ValueError, IndexError):
            # proc(5): how many threads there are, each of which has a number, and the number that was given last, which
            # is below the leader's where they have begun anew since.
            words = _read("/proc/loadavg").split()
            threads, last = int(words[3].split(b"/")[1]), int(words[4])
            free = int(_read("/proc/sys/kernel/pid_max")) - threads
            if leader and _age(leader) < free / FORKS:
                return [pid for pid in everybody if pid >= self._leader or pid <= last < self._leader]
        return everybody

    def _is_marked(self, pid: int) -> bool:
        with contextlib.suppress(OSError):
            return self._mark in _read(f"/proc/{pid}/environ")
        return False


def _age(state: _State) -> float:
    """Seconds since it began."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - state.start / os.sysconf("SC_CLK_TCK")


def _read_state(pid: int) -> _State | None:
    """Of this machine; None where it has gone. proc(5)."""
    try:
        fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        return _State(fields[0].decode(), int(fields[1]), int(fields[2]), int(fields[19]))
    except (OSError, ValueError, IndexError):
        return None


def _read(path: str) -> bytes:
    """A file of /proc. There are thousands at a look: without the layers of `open()` it takes half the time."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return b"".join(iter(lambda: os.read(file, 65536), b""))
    finally:
        os.close(file)
