"""Loop devices that always go away again, and the shared corpus."""

from __future__ import annotations

import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

from liveagent.host import Host

MakeLoop = Callable[[Path], str]


@pytest.fixture(scope="session")
def corpus() -> Path:
    """Real outputs of real tools; a desk may lack them, CI may not."""
    default = Path(__file__).resolve().parents[2].parent / "shared" / "corpus"
    place = Path(os.environ.get("LIVEAGENT_CORPUS", default))
    if not place.is_dir():
        reason = f"the corpus is not at {place}; set LIVEAGENT_CORPUS"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return place


@pytest.fixture
def unpack(corpus: Path, tmp_path: Path) -> Callable[[str], Host]:
    """A door to a /sys and /proc that were captured on a real machine, out of the corpus."""

    def unpack(name: str) -> Host:
        with tarfile.open(corpus / name) as archive:
            archive.extractall(tmp_path / "tree", filter="tar")
        root = tmp_path / "tree"
        return Host(str(root if (root / "sys").is_dir() else next(root.iterdir())))

    return unpack


@pytest.fixture
def make_image(tmp_path: Path) -> Callable[..., Path]:
    """An empty image file of a size in MiB."""

    def make(name: str, mebibytes: int = 64) -> Path:
        path = tmp_path / name
        with path.open("wb") as file:
            file.truncate(mebibytes << 20)
        return path

    return make


@pytest.fixture
def make_loop() -> Iterator[MakeLoop]:
    """Attaches a file to a loop device and gives its kernel name; detaches what it made."""
    if os.geteuid() != 0 or not Path("/dev/loop-control").exists():
        pytest.skip("needs root and loop devices")
    made: list[str] = []

    def make(path: Path) -> str:
        done = subprocess.run(["losetup", "--find", "--show", str(path)], capture_output=True, text=True, timeout=20)
        if done.returncode != 0:
            pytest.skip(f"losetup failed: {done.stderr.strip()}")
        made.append(done.stdout.strip())
        return made[-1].replace("/dev/", "")

    try:
        yield make
    finally:
        for device in reversed(made):
            subprocess.run(["losetup", "--detach", device], timeout=20, check=True)


def tool(*argv: str, input: str | None = None) -> None:
    """Run a tool of the test's own; skips where it is not installed."""
    try:
        subprocess.run(argv, check=True, capture_output=True, input=input, text=True, timeout=60)
    except FileNotFoundError:
        pytest.skip(f"{argv[0]} is not installed")
