"""Drop-in tasks: an executable in a `tasks.d` is the task of its name; exit status 0 is pass."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from liveagent.events import Finding, Verdict
from liveagent.host import CommandTimedOut, Host, describe
from liveagent.tasks import NAME, Context, Outcome, Preview, Task, Unusable

DIRECTORIES = ("/usr/libexec/liveagent/tasks.d", "/etc/liveagent/tasks.d")
SUFFIXES = ("", ".sh", ".py")
# A drop-in says nothing of how long it takes; a day is more than any of them should.
LIMIT = 24 * 3600.0
HEADER = re.compile(rb"#\s*--- Start MAAS 1\.0 script metadata ---")
HEAD = 64 * 1024


class Script(Task):
    """An executable that somebody else wrote, as it stands."""

    summary = "a drop-in script"
    limit = LIMIT

    def __init__(self, name: str, path: str) -> None:
        self.name = name  # type: ignore[misc]
        self.path = path
        self.summary = f"drop-in {path}"  # type: ignore[misc]

    def preview(self, host: Host, machine: object, options: Any) -> Preview:
        return Preview(columns=("runs",), rows=((self.path,),), data={"path": self.path})

    def run(self, context: Context, options: Any) -> Outcome:
        argv = [str(context.host.locate(self.path))]
        environment = {"LIVEAGENT_TASK": self.name, "SPEEDISO": self.name}
        try:
            completed = context.host.run(
                argv,
                timeout=LIMIT,
                success=None,
                on_line=lambda line: context.line(line, command=self.path),
                environment=environment,
            )
        except CommandTimedOut as error:
            context.finding(Finding("task.limit", Verdict.ERROR, self.path, str(error)))
            return Outcome(Verdict.ERROR, str(error))
        data = {"path": self.path, "status": completed.status, "seconds": round(completed.seconds, 3)}
        if completed.status == 0:
            return Outcome(Verdict.PASS, f"{self.path}: exit status 0", data)
        summary = f"{self.path}: {describe(completed.status)}"
        context.finding(Finding("script.failed", Verdict.FAIL, self.path, summary, {"status": completed.status}))
        return Outcome(Verdict.FAIL, summary, data)


def names(host: Host) -> tuple[str, ...]:
    """The names of all drop-ins, also of those that must not be run."""
    return tuple(sorted({name for name, _ in _files(host)}))


def find(host: Host, name: str) -> Script | Unusable | None:
    """The drop-in of that name; of two, the one in /etc."""
    paths = [path for found, path in _files(host) if found == name]
    if not paths:
        return None
    path = paths[-1]
    reason = refuse_file(host, path)
    return Unusable(name, reason) if reason else Script(name, path)


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
    if HEADER.search(host.read_bytes(path)[:HEAD]):
        # Its `destructive` or `timeout` would be passed over: better not run than run blindly.
        return f"{path} carries a script-metadata header, which this version does not read"
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
