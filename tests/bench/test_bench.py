"""`make bench`: ratios against a peer measured in the same run. Figures are printed, nothing is judged."""

from __future__ import annotations

import io
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from liveagent.host import Host
from liveagent.report.record import Reader
from liveagent.report.spool import Spool
from liveagent.report.terminal import DisplaySink, Plain
from liveagent.tasks import Context

pytestmark = pytest.mark.bench

ROUNDS = 15
LINES = 100_000


# A process's peak counts what it was forked from: a small one has to do the forking, not the test runner.
LAUNCHER = """
import json, os, resource, subprocess, sys, time
argv = json.loads(sys.argv[1])
started = time.perf_counter()
status = subprocess.call(argv, stdout=subprocess.DEVNULL)
seconds = time.perf_counter() - started
print(json.dumps([status, seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024]))
"""


def measure(argv: list[str]) -> tuple[float, int]:
    """(wall seconds, peak bytes of memory) of one run of a command."""
    launcher = [sys.executable, "-S", "-c", LAUNCHER, json.dumps(argv)]
    status, seconds, memory = json.loads(subprocess.run(launcher, check=True, capture_output=True, timeout=60).stdout)
    assert status == 0
    return seconds, memory


def compare(commands: dict[str, list[str]]) -> dict[str, tuple[float, float]]:
    """Medians of each command, their rounds interleaved so that a noisy moment hits all of them."""
    samples: dict[str, list[tuple[float, int]]] = {name: [] for name in commands}
    for argv in commands.values():
        measure(argv)  # warm the caches
    for _ in range(ROUNDS):
        for name, argv in commands.items():
            samples[name].append(measure(argv))
    return {
        name: (statistics.median(s for s, _ in rows), statistics.median(m for _, m in rows))
        for name, rows in samples.items()
    }


def test_start() -> None:
    """`liveagent --version` and `list` against `python3 -c pass`."""
    program = str(Path(sys.executable).with_name("liveagent"))
    medians = compare(
        {
            "python -c pass": [sys.executable, "-c", "pass"],
            "liveagent --version": [program, "--version"],
            "liveagent list": [program, "list"],
        }
    )
    base_seconds, base_memory = medians["python -c pass"]
    print()
    for name, (seconds, memory) in medians.items():
        print(
            f"{name:20} {seconds * 1000:7.1f} ms  {memory / 1e6:6.1f} MB"
            f"   time x{seconds / base_seconds:.2f}  memory x{memory / base_memory:.2f}"
        )


@pytest.mark.parametrize("thinned", [True, False], ids=["as a task's output", "every line an event"])
def test_lines(tmp_path: Path, thinned: bool) -> None:
    """100,000 lines of output through the engine's emitter, the spool and a sink, against printing them to a file."""
    text = "a line of output as a tool prints it, with some figures 0x1234 5678 90.1 MB/s"
    peer = tmp_path / "peer"
    started = time.perf_counter()
    with peer.open("w") as stream:
        for number in range(LINES):
            stream.write(f"{number} {text}\n")
    plain = time.perf_counter() - started
    spool = Spool(tmp_path / "run", "run", "/liveagent/bench")
    shown = io.StringIO()
    sink = DisplaySink(Reader(spool.path, spool=spool), Plain(shown))
    sink.start()
    machine: object = None
    context = Context(Host(), machine, "wipe", spool.emit)  # type: ignore[arg-type]
    process = psutil.Process()
    started = time.perf_counter()
    peaks = []
    for number in range(LINES):
        # A step of its own for every few lines passes the thinning: the worst case of many busy parts.
        context.line(f"{number} {text}", part="" if thinned else str(number // 40))
        if number % (LINES // 4) == LINES // 4 - 1:
            peaks.append(process.memory_info().rss)
    written = time.perf_counter() - started
    sink.drain(spool.last, 120)
    delivered = time.perf_counter() - started
    spool.close()
    sink.stop()
    count = len(shown.getvalue().splitlines())
    print(
        f"\n{LINES / written:9.0f} lines a second in, {count} shown, all shown after {delivered:.2f} s;"
        f" time x{written / plain:.1f} of writing them plainly"
    )
    print("memory of the process after each quarter: " + ", ".join(f"{peak / 1e6:.1f} MB" for peak in peaks))
