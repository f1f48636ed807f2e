"""Machines captured whole, out of the corpus."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path
from typing import Callable

import pytest

from liveagent.host import Host

# Beside it, such a tree has tens of thousands of files on CPUs, buses and memory, which take their time.
READ = re.compile(r"/proc/(cmdline|self|swaps)|/(block|net|dmi|nvme|target[\d:]+)/")


@pytest.fixture(scope="session")
def unpack(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Host]:
    """A door to a /sys and /proc that were captured on a real machine; only to be read."""
    roots: dict[str, Path] = {}

    def unpack(name: str) -> Host:
        if name not in roots:
            roots[name] = tmp_path_factory.mktemp("tree")
            with tarfile.open(corpus / name) as archive:
                # Links are kept as they stand: sysfs is made of them, and the door never leaves its root.
                archive.extraction_filter = lambda member, path: member
                for member in archive:
                    is_inside = not member.name.startswith("/") and ".." not in Path(member.name).parts
                    if is_inside and READ.search(f"/{member.name}"):
                        archive.extract(member, roots[name])
        root = roots[name]
        return Host(str(root if (root / "sys").is_dir() else next(root.iterdir())))

    return unpack
