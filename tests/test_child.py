"""The agent outlives what it runs: shown by the kernel's own choice where memory is short."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from liveagent.child import NICENESS, OOM_SCORE
from liveagent.host import CommandFailed, Host
from tests.conftest import REPOSITORY, need

LIMIT = 256 * 1024 * 1024
# What stands for the agent holds more than what is left for its child: without a score of its own it would go.
AGENT = """
import os, signal, sys
from liveagent.host import CommandFailed, Host
groups, grown = sys.argv[1:3]
with open(os.path.join(groups, "cgroup.procs"), "w") as file:
    file.write(str(os.getpid()))
held = bytearray(b"x") * (150 << 20)
eat = "import sys; held = []\\nwhile True: held.append(bytearray(b'x') * (1 << 20))"
if grown == "nested":
    # What a command starts itself is taken as well: here a shell's child, and the shell says so.
    argv = ["sh", "-c", f'"{sys.executable}" -c "$0"; echo "ended $?"', eat]
else:
    argv = [sys.executable, "-c", eat]
try:
    print(Host().run(argv, timeout=60).stdout.strip())
except CommandFailed as error:
    print(error)
print("the agent lives, and holds", len(held) >> 20)
"""


@pytest.fixture
def memory_group() -> Iterator[Path]:
    """A memory cgroup of this test, with a limit and without swap; version 1 or 2, as this machine has it."""
    root = Path("/sys/fs/cgroup")
    old = (root / "memory").is_dir()
    parent = root / "memory" if old else root
    need(os.geteuid() == 0 and os.access(parent, os.W_OK), "root and a memory cgroup that can be written")
    group = parent / f"liveagent-test-{os.getpid()}"
    group.mkdir()
    try:
        (group / ("memory.limit_in_bytes" if old else "memory.max")).write_text(str(LIMIT))
        swap = group / ("memory.memsw.limit_in_bytes" if old else "memory.swap.max")
        if swap.exists():
            swap.write_text(str(LIMIT) if old else "0")
    except OSError as error:
        group.rmdir()
        need(False, f"a memory cgroup with a limit ({error})")
    yield group
    # A process that was ended by force leaves its group a moment later.
    limit = time.monotonic() + 30
    while (group / "cgroup.procs").read_text() and time.monotonic() < limit:
        os.sched_yield()
    group.rmdir()


@pytest.mark.parametrize("grown", ["itself", "nested"])
def test_memory_is_taken_from_the_child(memory_group: Path, grown: str) -> None:
    """A task's command eats all memory: the kernel ends it, or what it started, and not the larger agent."""
    argv = [sys.executable, "-c", AGENT, str(memory_group), grown]
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"the kernel took the agent: {done.returncode} {done.stderr}"
    first, last = done.stdout.splitlines()
    assert first == "ended 137" if grown == "nested" else "ended by SIGKILL" in first
    assert last == "the agent lives, and holds 150"


def test_every_child_steps_back() -> None:
    """Before it begins, so that nothing is started in the agent's place; in a process group of its own."""
    script = "cat /proc/self/oom_score_adj; nice; ps -o pgid= -p $$; echo $$"
    score, niceness, group, own = Host().run(["sh", "-c", script], timeout=30).stdout.split()
    assert (score, int(niceness)) == (OOM_SCORE.decode(), max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))
    assert group == own != str(os.getpgrp())


def test_the_agent_stays_where_it_is() -> None:
    """What the child does to itself does not reach the agent."""
    score = Path("/proc/self/oom_score_adj")
    before = score.read_text(), os.getpriority(os.PRIO_PROCESS, 0)
    Host().run(["true"], timeout=30)
    assert (score.read_text(), os.getpriority(os.PRIO_PROCESS, 0)) == before


def test_one_that_may_not_become_nicer_is_run_all_the_same() -> None:
    """An agent that somebody made nicer than its children does not fail to run them."""
    code = "from liveagent.host import Host; print(Host().run(['nice'], timeout=30).stdout)"
    argv = ["nice", "-n", "19", sys.executable, "-c", code]
    assert subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, timeout=60).stdout.strip() == "19"


def test_many_threads_start_children() -> None:
    """A worker a disk starts its tools at the same time as the others: none of them is held up by a fork."""
    failed: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(25):
                Host().run(["true"], timeout=20)
        except (CommandFailed, OSError) as error:
            failed.append(error)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failed and not any(thread.is_alive() for thread in threads)


def test_the_unit_is_the_other_half() -> None:
    """The service is where memory is taken last, and its children would inherit that."""
    unit = (REPOSITORY / "systemd" / "liveagent.service").read_text().splitlines()
    values = dict(line.split("=", 1) for line in unit if "=" in line and not line.startswith("#"))
    assert int(values["OOMScoreAdjust"]) < 0 < int(OOM_SCORE)
    assert int(values["Nice"]) < 0 < NICENESS
