"""Machines captured whole, out of the corpus."""

from __future__ import annotations

from typing import Callable

import pytest

from liveagent.host import Host
from tests.conftest import UnpackTree

# Beside it, such a tree has files on CPUs, buses and memory, which take their time.
READ = r"/proc/(cmdline|self|swaps)|/(block|net|dmi|nvme|hwmon|applesmc\.768|target[\d:]+)/"


@pytest.fixture(scope="session")
def unpack(unpack_tree: UnpackTree) -> Callable[[str], Host]:
    """What there is of disks, interfaces and identity in a captured machine."""
    return lambda name: unpack_tree(name, READ)
