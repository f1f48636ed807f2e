"""The lab's way to run a tool on the host: always with a timeout, always with the reason when it fails."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

SHOWN = 4096  # bytes of a failed command's output that are worth reading


class CommandFailed(Exception):
    """A tool of the host failed or took too long; the message can be pasted into a shell."""


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> str:
    """Run argv to its end and return its stdout; `env` is added to the lab's own environment."""
    done = attempt(argv, timeout=timeout, cwd=cwd, env=env, stdin=stdin)
    if done.returncode:
        raise CommandFailed(f"{shlex.join(argv)}: exit {done.returncode}\n{(done.stdout + done.stderr)[-SHOWN:]}")
    return done.stdout


def attempt(
    argv: Sequence[str],
    *,
    timeout: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run argv to its end, whatever its exit status is."""
    try:
        return subprocess.run(
            list(argv),
            cwd=cwd,
            env={**os.environ, **(env or {})},
            # An empty input rather than none: a tool that asks a question gets an end of file, not our terminal.
            input=stdin or "",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        said = "".join(part.decode(errors="replace") for part in (late.stdout, late.stderr) if isinstance(part, bytes))
        raise CommandFailed(f"{shlex.join(argv)}: not done within {timeout:.0f} s\n{said[-SHOWN:]}") from late


def spawn(argv: Sequence[str], *, stdin: int, stdout: int | IO[bytes], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a long-lived child that the kernel ends when the lab itself is killed."""
    return subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "--", *argv],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        # Its own group: Ctrl-C in pytest is for pytest, which then ends its children in order.
        start_new_session=True,
    )


def end(child: subprocess.Popen[bytes], *, patience: float = 10) -> int:
    """End this one child, politely first, and return its exit status."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(patience)
        except subprocess.TimeoutExpired:
            child.kill()
    return child.wait(patience)
