"""Inventories side by side: measured in interleaved rounds, their facts counted.

Run as a program (in a guest), it reads `{"rounds": N, "commands": {NAME: {"argv": […], "env": {…}}}}` from stdin and
prints the rows.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# What ironic-python-agent's inspection posts as `inventory`; its options have to be there before the rest is imported.
COLLECT = """
from ironic_python_agent import config
from ironic_python_agent import encoding, hardware
from oslo_config import cfg
cfg.CONF([], project="ironic-python-agent")
print(encoding.RESTJSONEncoder().encode(hardware.dispatch_to_managers("list_hardware_info")))
"""
LSHW, IPA, LIVEAGENT = "lshw -json", "ironic-python-agent", "liveagent inventory"

Row = Sequence[Any]


def measure(argv: Sequence[str], env: Mapping[str, str]) -> Row:
    """Wall seconds, processor seconds with all children, peak bytes of the largest process, stdout."""
    with tempfile.TemporaryFile() as complaints:
        started = time.perf_counter()
        process = subprocess.Popen(
            argv, env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=complaints, stdin=subprocess.DEVNULL
        )
        assert process.stdout
        text = process.stdout.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stdout.close()
        complaints.seek(0)
        assert process.returncode == 0, f"{argv}: {complaints.read().decode(errors='replace')[-2000:]}"
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, text


def measure_all(rounds: int, commands: Mapping[str, Mapping[str, Any]]) -> dict[str, list[Row]]:
    """Rows by command; the first round only warms the caches."""
    rows: dict[str, list[Row]] = {name: [] for name in commands}
    for _ in range(rounds + 1):
        for name, command in commands.items():
            rows[name].append(measure(command["argv"], command.get("env", {})))
    return {name: own[1:] for name, own in rows.items()}


def name_facts(value: Any, path: str = "") -> Iterator[str]:
    """The name of each value that says something (not null, empty or "unknown"), list positions left out.

    lshw has an object of capabilities, a name for each flag of a processor; others have a list, which is one name.
    """
    if isinstance(value, dict):
        for key, item in value.items():
            yield from name_facts(item, path if path.endswith(".capabilities") else f"{path}.{key}")
    elif isinstance(value, list):
        for item in value:
            yield from name_facts(item, path)
    elif value not in (None, "", "unknown", "Unknown"):
        yield path


def render(rows: Mapping[str, Sequence[Row]]) -> Iterator[str]:
    """A line a command: medians, ratios to lshw, and how many facts there are."""
    base = statistics.median(row[0] for row in rows[LSHW])
    for name, own in rows.items():
        wall, processor, memory = (statistics.median(row[column] for row in own) for column in range(3))
        facts = list(name_facts(json.loads(own[-1][3])))
        yield (
            f"{name:20} {wall * 1000:8.0f} ms x{wall / base:.2f}  processor {processor * 1000:7.0f} ms"
            f"  memory {memory / 1e6:6.1f} MB  {len(set(facts)):4} kinds of facts, {len(facts)} facts"
        )


if __name__ == "__main__":
    print(json.dumps(measure_all(**json.load(sys.stdin))))
