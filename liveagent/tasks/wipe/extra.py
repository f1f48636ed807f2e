"""What is cleared beside the disks: what came of it, and how its tools are asked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from liveagent.events import JSON, Verdict
from liveagent.host import CommandError, Completed, Host, describe

QUESTION_TIMEOUT = 30.0


@dataclasses.dataclass(frozen=True)
class Extra:
    """What became of one thing that was to be cleared. `what` is its key in `extras.EXTRAS`."""

    what: str
    verdict: Verdict
    summary: str
    data: Mapping[str, JSON] = dataclasses.field(default_factory=dict)


def ask(
    host: Host, argv: Sequence[str], timeout: float = QUESTION_TIMEOUT, environment: Mapping[str, str] | None = None
) -> Completed:
    """What a tool said, whatever its exit status; where it never ended, why stands in `stderr`."""
    if not host.can_run:
        return Completed(tuple(argv), None, "", f"{argv[0]} would answer for another machine", 0.0)
    try:
        return host.run(argv, timeout=timeout, success=None, environment=environment)
    except CommandError as error:
        return dataclasses.replace(error.completed, status=None, stderr=str(error))


def never_began(said: Completed) -> bool:
    """Whether the tool could not even be started: it is not there."""
    return said.status is None and not said.seconds


def describe_failure(said: Completed) -> str:
    """The last line that the tool printed, where it is no success; libraries print theirs before it."""
    lines = (said.stderr.strip() or said.stdout.strip()).splitlines()
    return lines[-1].strip() if lines else describe(said.status)


def judge_unread(said: Completed) -> Verdict:
    """Of what could not be looked at nobody knows; that the image lacks the tool is the agent's own fault."""
    return Verdict.ERROR if never_began(said) else Verdict.UNKNOWN
