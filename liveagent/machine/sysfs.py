"""What files of sysfs say, as values: a figure or none, the end of a link."""

from __future__ import annotations

from liveagent.host import Host


def to_number(text: str) -> int | None:
    """A whole number that is not negative; None for anything else, and for one that no counter holds."""
    return int(text) if text.isdecimal() and len(text) <= 20 else None


def read_number(host: Host, path: str) -> int | None:
    """The same of a file."""
    return to_number(host.read_or(path))


def read_link(host: Host, path: str) -> str:
    """The name of what a link leads to; "" where there is none."""
    return host.resolve(path).rsplit("/", 1)[-1] if host.exists(path) else ""
