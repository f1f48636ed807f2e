"""Which build of which image this system is."""

from __future__ import annotations

import contextlib
import shlex

from liveagent.host import Host


def parse_image(text: str) -> str:
    """The image that an os-release names, with its build; "" where it names none."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        with contextlib.suppress(ValueError):  # a quote that is not closed
            found[name] = "".join(shlex.split(value)) if equals else ""
    words = [found[name] for name in ("IMAGE_ID", "IMAGE_VERSION") if found.get(name)]
    build = found.get("BUILD_ID")
    return " ".join([*words, *([f"({build})"] if build else [])]) if found.get("IMAGE_ID") else ""


def probe_image(host: Host) -> str:
    """Which build of which image this system is."""
    return parse_image(host.read_or("/etc/os-release") or host.read_or("/usr/lib/os-release"))
