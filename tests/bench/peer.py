"""ironic-python-agent, as the peer of benchmarks: in a virtual environment of its own, kept for the next run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PEER = Path(__file__).parents[2] / "build" / "bench-ipa"


def make_peer() -> Path:
    """The virtual environment, made where it is not there."""
    if not (PEER / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(PEER)], check=True, timeout=120)
        install = [str(PEER / "bin" / "pip"), "install", "--quiet", "ironic-python-agent"]
        subprocess.run(install, check=True, timeout=900)
    return PEER
