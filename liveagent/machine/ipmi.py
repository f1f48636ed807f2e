"""What ipmitool is asked, and the forms of its answers that its commands share: blocks of `name : value`, times."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping, Sequence

from liveagent.host import Completed
from liveagent.machine.look import Look

TOOL = "ipmitool"
# The first question shows whether the BMC lives: it is answered within a second, or never.
ANSWER_TIMEOUT = 15.0
# All sensors, or a log: hundreds of questions to a slow bus. Chosen, not measured at a real BMC.
LIST_TIMEOUT = 75.0
# Versions differ in whether they convert a BMC's time to local time; in UTC all of them print the same.
ENVIRONMENT: Mapping[str, str] = {"TZ": "UTC"}

# Times below this count from the BMC's start: nobody had told it the time (IPMI 2.0, 37.1).
SINCE_START = 0x20000000
# 11/29/2026 04:56:56 of 1.8.18, 11/29/26 04:56:56 UTC of 1.8.19.
TIME = re.compile(r"(\d\d)/(\d\d)/(\d{4}|\d\d) (\d\d):(\d\d):(\d\d)(?: UTC| GMT)?")


class Ipmi:
    """ipmitool over one interface: the kernel's, unless `interface` says otherwise (`-I lanplus -H …`)."""

    def __init__(self, look: Look, interface: Sequence[str] = ()) -> None:
        self.look = look
        self.argv = (TOOL, *interface)

    def ask(
        self,
        part: str,
        *words: str,
        timeout: float = ANSWER_TIMEOUT,
        success: Sequence[int] | None = (0,),
    ) -> Completed | None:
        """What it said; None, and noted for `part`, where it said nothing that counts."""
        argv = [*self.argv, *words]
        return self.look.ask(part, argv, timeout=timeout, success=success, environment=ENVIRONMENT)

    def text(
        self,
        part: str,
        *words: str,
        timeout: float = ANSWER_TIMEOUT,
        success: Sequence[int] | None = (0,),
    ) -> str:
        """What it printed on stdout; "" where it said nothing that counts."""
        said = self.ask(part, *words, timeout=timeout, success=success)
        return said.stdout if said else ""


def parse_pairs(text: str) -> dict[str, str]:
    """`name : value` by name, in lower case; the first of a name counts."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        # A time or an address has colons too, and a row of a table has bars.
        if colon and name.strip() and "|" not in name and (not value or value[0].isspace()):
            found.setdefault(name.strip().lower(), value.strip())
    return found


def parse_blocks(text: str, head: str) -> Iterator[str]:
    """The parts of a text, each from a line with the name `head` on; what stands before the first is no part."""
    lines: list[str] = []
    for line in text.splitlines():
        if re.match(rf"\s*{re.escape(head)}\s*:", line):
            if lines:
                yield "\n".join(lines)
            lines = [line]
        elif lines:
            lines.append(line)
    if lines:
        yield "\n".join(lines)


def parse_time(text: str) -> float | None:
    """Seconds since the epoch; None where it is no time, or one that only counts from the BMC's start."""
    match = TIME.fullmatch(text.strip())
    if not match:
        return None
    month, day, year, hour, minute, second = (int(word) for word in match.groups())
    if year < 100:
        year += 1900 if year >= 70 else 2000  # as strptime(3) reads %y
    try:
        moment = datetime.datetime(year, month, day, hour, minute, second, tzinfo=datetime.timezone.utc)
    except ValueError:
        return None
    return moment.timestamp() if moment.timestamp() >= SINCE_START else None


def parse_flag(text: str | None) -> bool | None:
    """Yes or no, in the words that ipmitool has for it; None for any other."""
    word = (text or "").strip().lower()
    if word in ("true", "active", "on", "yes", "enabled"):
        return True
    return False if word in ("false", "inactive", "off", "no", "disabled") else None


def parse_count(text: str | None) -> int | None:
    """The whole number that a value begins with; None where it begins with none."""
    match = re.match(r"\s*(\d{1,12})\b", text or "")
    return int(match.group(1)) if match else None
