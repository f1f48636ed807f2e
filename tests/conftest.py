"""What all tests share: the corpus of recorded outputs, loop devices, trees that look like a machine."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest
from hypothesis import settings

from liveagent.host import Host

REPOSITORY = Path(__file__).resolve().parent.parent
IN_CI = bool(os.environ.get("CI"))
# How long a parser takes is no property that a busy machine can show.
settings.register_profile("untimed", settings.default, deadline=None)
settings.load_profile("untimed")


def need(condition: object, what: str) -> None:
    """Skip where something is missing, and say what; in CI a missing thing is a failure."""
    if condition:
        return
    if IN_CI:
        pytest.fail(f"CI lacks {what}")
    pytest.skip(f"needs {what}")


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The recorded outputs of real tools; `LIVEAGENT_CORPUS` names another place."""
    path = Path(os.environ.get("LIVEAGENT_CORPUS") or REPOSITORY.parent / "shared" / "corpus")
    need((path / "INDEX-disks.md").exists(), f"the corpus of recorded outputs at {path} (LIVEAGENT_CORPUS)")
    return path


UnpackTree = Callable[[str, str], Host]


@pytest.fixture(scope="session")
def unpack_tree(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> UnpackTree:
    """A door to a /sys and /proc that were captured on a real machine; only to be read.

    Of the archive's files those are taken that match a pattern: some have tens of thousands.
    """
    roots: dict[tuple[str, str], Path] = {}

    def unpack(name: str, only: str) -> Host:
        if (name, only) not in roots:
            root = roots[(name, only)] = tmp_path_factory.mktemp("tree")
            with tarfile.open(corpus / name) as archive:
                # Links are kept as they stand: sysfs is made of them, and the door never leaves its root.
                archive.extraction_filter = lambda member, path: member
                for member in archive:
                    is_inside = not member.name.startswith("/") and ".." not in Path(member.name).parts
                    if is_inside and re.search(only, f"/{member.name}"):
                        archive.extract(member, root)
        root = roots[(name, only)]
        return Host(str(root if (root / "sys").is_dir() else next(root.iterdir())))

    return unpack


MakeLoop = Callable[..., str]


@pytest.fixture
def make_loop(tmp_path: Path) -> Iterator[MakeLoop]:
    """Makes loop devices over scratch files of this test; only those are ever detached."""
    need(os.geteuid() == 0 and os.path.exists("/dev/loop-control"), "root and loop devices")
    made: list[str] = []

    def make(size: int, content: bytes = b"", name: str = "") -> str:
        file = tmp_path / (name or f"disk{len(made)}.img")
        if not file.exists():
            with file.open("wb") as stream:
                if content:
                    whole = content * (size // len(content) + 1)
                    stream.write(whole[:size])
                stream.truncate(size)
        argv = ["losetup", "--find", "--show", "--partscan", str(file)]
        device = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=30).stdout.strip()
        made.append(device)
        # A test that protected it would leave it so for the next one: the kernel keeps that with the number.
        subprocess.run(["blockdev", "--setrw", device], check=True, timeout=30)
        return device

    yield make
    for device in made:
        with contextlib.suppress(subprocess.CalledProcessError):
            subprocess.run(["blockdev", "--setrw", device], check=True, timeout=30)
            subprocess.run(["losetup", "--detach", device], check=True, timeout=30)
