"""The questions to one drive, and when to stop asking."""

from __future__ import annotations

from collections.abc import Sequence

from liveagent.host import CommandError, CommandTimedOut, Completed, Host

QUESTION_TIMEOUT = 30.0


class Questions:
    """What one drive is asked, one after the other.

    `silent`: it let one question run out of time, and every further one is answered with None at once. A drive
    that hangs would otherwise cost half a minute a question, and each leaves a process that nobody can end.
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        self.silent = False

    def ask(self, argv: Sequence[str]) -> Completed | None:
        """What the tool said, whatever its exit status; None where it is not there or did not end."""
        # Below another root, a tool would ask the disks of the desk.
        if self.silent or not self.host.can_run:
            return None
        try:
            return self.host.run(argv, timeout=QUESTION_TIMEOUT, success=None)
        except CommandTimedOut:
            self.silent = True
        except CommandError:
            pass
        return None

    def read(self, argv: Sequence[str]) -> str:
        """All that the tool printed, stdout before stderr; "" where there is no answer."""
        said = self.ask(argv)
        return f"{said.stdout}\n{said.stderr}" if said else ""
