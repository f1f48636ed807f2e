"""`make bench`: the whole inventory of this machine, against lshw and ironic-python-agent in the same run."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.bench.inventories import COLLECT, IPA, LIVEAGENT, LSHW, measure_all, render
from tests.bench.peer import make_peer
from tests.conftest import need

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]

ROUNDS = 7


def test_inventory() -> None:
    """What is a flag of the processor counts once."""
    need(Path("/usr/bin/lshw").exists(), "lshw")
    program = str(Path(sys.executable).with_name("liveagent"))
    commands = {
        LSHW: {"argv": ["lshw", "-json", "-quiet"]},
        IPA: {"argv": [str(make_peer() / "bin" / "python"), "-c", COLLECT]},
        LIVEAGENT: {"argv": [program, "inventory", "--json"]},
    }
    rows = measure_all(ROUNDS, commands)
    print(f"\nload {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors, medians of {ROUNDS}")
    print("\n".join(render(rows)))
