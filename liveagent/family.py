"""The processes of one command, as /proc shows them: those that it started, and what these did."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from pathlib import Path


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
        states: dict[int, _State] = {}
        for name in os.listdir("/proc"):
            if name.isdigit():
                with contextlib.suppress(OSError, ValueError, IndexError):
                    states[int(name)] = _read_state(int(name))
        leader = states.get(self._leader)
        since = leader.start if leader else 0
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

    def _is_marked(self, pid: int) -> bool:
        with contextlib.suppress(OSError):
            return self._mark in Path("/proc", str(pid), "environ").read_bytes()
        return False


def _read_state(pid: int) -> _State:
    """Of this machine; proc(5)."""
    fields = Path("/proc", str(pid), "stat").read_text(errors="replace").rpartition(")")[2].split()
    return _State(fields[0], int(fields[1]), int(fields[2]), int(fields[19]))
