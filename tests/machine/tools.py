"""What the tests of the machine do with images: make them, fill them, attach them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Callable

from tests.conftest import need

MakeLoop = Callable[..., str]
IMAGE = "disk.img"


def make_image(place: Path, mebibytes: int = 64) -> Path:
    """A scratch image, which `attach` takes."""
    path = place / IMAGE
    with path.open("wb") as file:
        file.truncate(mebibytes << 20)
    path.chmod(0o600)  # mkswap complains otherwise
    return path


def attach(make_loop: MakeLoop, image: Path) -> str:
    """The kernel name of a loop device over the image; it goes away with the test."""
    return make_loop(image.stat().st_size, name=image.name).replace("/dev/", "")


def tool(*argv: str, input: str | None = None) -> str:
    """What a tool of the test's own printed; skips where it is not installed."""
    try:
        return subprocess.run(argv, check=True, capture_output=True, input=input, text=True, timeout=60).stdout
    except FileNotFoundError:
        need(False, argv[0])
        raise
