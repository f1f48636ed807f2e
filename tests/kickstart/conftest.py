"""What the tests of the builds share."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kickstart.trees import Podman, need_root


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A place that is full after two megabytes."""
    need_root()
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], check=True, timeout=30)
    yield place
    subprocess.run(["umount", str(place)], check=True, timeout=30)


@pytest.fixture
def podman() -> Iterator[Podman]:
    """In a place with a short path: podman does not find its own state again below a long one, and waits for it."""
    with tempfile.TemporaryDirectory(prefix="podman-") as place:
        yield Podman(Path(place))
