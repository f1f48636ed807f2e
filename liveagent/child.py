"""What a child does before it becomes the command: it steps back behind the agent."""

from __future__ import annotations

import contextlib
import os

# The agent outlives what it runs: memory is taken from a child first, and it waits for processor and disk (the kernel
# makes an I/O priority of niceness). The unit's OOMScoreAdjust= and Nice= are the other half.
OOM_SCORE = b"500"
NICENESS = 5


def step_back() -> None:
    """Between fork and exec, so that nothing the command starts has the agent's place.

    System calls and nothing else: a lock that another thread held at the fork is never let go here.
    """
    with contextlib.suppress(OSError):
        file = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(file, OOM_SCORE)
        os.close(file)
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))
