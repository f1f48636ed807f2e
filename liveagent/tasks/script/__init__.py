"""Drop-in tasks: an executable in a `tasks.d` is the task of its name. Which file is which, and which must not run."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from liveagent.host import Host
from liveagent.tasks import NAME, Unusable

if TYPE_CHECKING:
    from liveagent.tasks.script.task import Script

DIRECTORIES = ("/usr/libexec/liveagent/tasks.d", "/etc/liveagent/tasks.d")
SUFFIXES = ("", ".sh", ".py")


def names(host: Host) -> tuple[str, ...]:
    """The names of all drop-ins, also of those that must not be run."""
    return tuple(sorted({name for name, _ in _files(host)}))


def find(host: Host, name: str) -> Script | Unusable | None:
    """The drop-in of that name; of two, the one in /etc."""
    paths = [path for found, path in _files(host) if found == name]
    if not paths:
        return None
    path = paths[-1]
    same = [other for other in paths if PurePosixPath(other).parent == PurePosixPath(path).parent]
    reason = f"{' and '.join(same)} are both called {name}: leave one" if len(same) > 1 else refuse_file(host, path)
    return Unusable(name, reason) if reason else _load(host, name, path)


def _load(host: Host, name: str, path: str) -> Script | Unusable:
    from liveagent.tasks.script.header import HEADER_LIMIT, Header, parse_header
    from liveagent.tasks.script.parameters import BadHeader
    from liveagent.tasks.script.task import make_script

    try:
        header = parse_header(host.read_bytes(path, HEADER_LIMIT))
    except BadHeader as error:
        # What is not understood may be its `destructive`: better not run than run blindly.
        return Unusable(name, f"{path}: {error}")
    return make_script(name, path, header or Header())


def refuse_file(host: Host, path: str) -> str:
    """Why a drop-in must not be run; "" where it may."""
    status = host.status(path)
    if status.st_uid != 0:
        return f"{path} does not belong to root (chown root {path})"
    # Who may write a directory may put another file in the place of this one; a link's target has one, too.
    directories = [str(PurePosixPath(name).parent) for name in (path, host.resolve(path))]
    for place in dict.fromkeys([path, *directories]):
        found = host.status(place)
        if found.st_uid != 0 or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return f"{place} may be written by others than root (chown root {place}; chmod go-w {place})"
    if not status.st_mode & stat.S_IXUSR:
        return f"{path} is not executable (chmod +x {path})"
    return ""


def _files(host: Host) -> Iterator[tuple[str, str]]:
    """(task name, path) of each file, weaker directories first."""
    for directory in DIRECTORIES:
        for file in host.list(directory):
            stem, suffix = os.path.splitext(file)
            path = f"{directory}/{file}"
            name = stem if suffix in SUFFIXES else file
            if NAME.fullmatch(name) and _is_file(host, path):
                yield name, path


def _is_file(host: Host, path: str) -> bool:
    try:
        return stat.S_ISREG(host.status(path).st_mode)
    except OSError:
        return False  # a link to nowhere
