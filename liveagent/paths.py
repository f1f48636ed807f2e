"""How a path is followed below a root other than `/`."""

from __future__ import annotations

import errno
import os
from pathlib import Path

# The kernel's own limit (MAXSYMLINKS).
LINK_LIMIT = 40


def walk(root: str, path: str) -> tuple[Path, tuple[str, ...]]:
    """Follow `path` below `root` as if `root` were `/`: the real place, and the links (below root) on the way.

    A part that does not exist is kept as it stands. Raises OSError on a loop of links.
    """
    done: list[str] = []
    links: list[str] = []
    rest = [part for part in path.split("/") if part not in ("", ".")]
    while rest:
        part = rest.pop(0)
        if part == "..":
            done = done[:-1]
            continue
        here = os.path.join(root, *done, part)
        if not os.path.islink(here):
            done.append(part)
            continue
        links.append("/" + "/".join([*done, part]))
        if len(links) > LINK_LIMIT:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        target = os.readlink(here)
        if target.startswith("/"):
            done = []
        rest = [step for step in target.split("/") if step not in ("", ".")] + rest
    return Path(os.path.join(root, *done)), tuple(links)
