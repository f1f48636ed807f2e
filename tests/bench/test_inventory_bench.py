"""`make bench`: the whole inventory of this machine, against lshw and ironic-python-agent in the same run."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import need

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]

ROUNDS = 7
PEER = Path(__file__).parents[2] / "build" / "bench-ipa"
# What its own inspection posts as `inventory`; its options have to be there before the rest is imported.
COLLECT = """
from ironic_python_agent import config
from ironic_python_agent import encoding, hardware
from oslo_config import cfg
cfg.CONF([], project="ironic-python-agent")
print(encoding.RESTJSONEncoder().encode(hardware.dispatch_to_managers("list_hardware_info")))
"""


def make_peer() -> list[str]:
    """ironic-python-agent in a virtual environment of its own, kept for the next run."""
    python = PEER / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(PEER)], check=True, timeout=120)
        install = [str(PEER / "bin" / "pip"), "install", "--quiet", "ironic-python-agent"]
        subprocess.run(install, check=True, timeout=900)
    return [str(python), "-c", COLLECT]


def measure(argv: list[str]) -> tuple[float, float, int, str]:
    """Wall seconds, processor seconds with all children, peak bytes of the largest process, stdout."""
    started = time.perf_counter()
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout
    text = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    assert process.returncode == 0, argv
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, text


def count_facts(value: Any) -> int:
    """The values of a document that say something: what is null, empty or "unknown" does not."""
    if isinstance(value, dict):
        return sum(count_facts(item) for item in value.values())
    if isinstance(value, list):
        return sum(count_facts(item) for item in value)
    return value not in (None, "", "unknown", "Unknown")


def count_names(value: Any, path: str = "") -> set[str]:
    """The names of what is said, list positions left out: how many kinds of facts there are."""
    if isinstance(value, dict):
        return set().union(*(count_names(item, f"{path}.{key}") for key, item in value.items()), set())
    if isinstance(value, list):
        return set().union(*(count_names(item, path) for item in value), set())
    return {path} if value not in (None, "", "unknown", "Unknown") else set()


def test_inventory() -> None:
    """The same rounds for all three, interleaved; what is a flag of the processor counts once."""
    need(Path("/usr/bin/lshw").exists(), "lshw")
    program = str(Path(sys.executable).with_name("liveagent"))
    commands = {
        "lshw -json": ["lshw", "-json", "-quiet"],
        "ironic-python-agent": make_peer(),
        "liveagent inventory": [program, "inventory", "--json"],
    }
    samples: dict[str, list[tuple[float, float, int, str]]] = {name: [] for name in commands}
    for argv in commands.values():
        measure(argv)  # warm the caches
    for _ in range(ROUNDS):
        for name, argv in commands.items():
            samples[name].append(measure(argv))
    print(f"\nload {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors, medians of {ROUNDS}")
    base = statistics.median(row[0] for row in samples["lshw -json"])
    for name, rows in samples.items():
        wall, processor, memory = (statistics.median(row[column] for row in rows) for column in range(3))
        document = json.loads(rows[-1][3])
        facts = f"{len(count_names(document)):4} kinds of facts, {count_facts(document)} facts"
        print(
            f"{name:20} {wall * 1000:8.0f} ms x{wall / base:.2f}  processor {processor * 1000:7.0f} ms"
            f"  memory {memory / 1e6:6.1f} MB  {facts}"
        )
