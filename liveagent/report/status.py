"""What runs now, as lines for a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from liveagent.report.lines import render_progress

INDENT = 2


def render_status(document: Mapping[str, Any], width: int = 0) -> list[str]:
    """`width` in columns, 0 where a line may be of any length: what is too long loses its amounts, as elsewhere."""
    image = [f"image {document['image']}"] if document.get("image") else []
    return [*image, *_render_run(document, width)]


def _render_run(document: Mapping[str, Any], width: int) -> list[str]:
    if document["run"] is None:
        return ["idle: nothing has run yet; `liveagent list` shows what can be done"]
    if document["state"] == "idle":
        ended = document["verdict"] or "broken off"
        lines = [f"idle; the last run {document['run']} ended {ended}: {document.get('summary') or ''}".rstrip(": ")]
    else:
        at_boot = document.get("at_boot")
        why = "" if at_boot is None else ", as this boot asks" if at_boot else ", started by hand"
        lines = [f"running {document['word']}{why}: run {document['run']}, process {document['pid']}"]
        for subject, state in document["steps"].items():
            progress, serial = document["progress"].get(subject), (document.get("serials") or {}).get(subject)
            name = f"{subject} {serial}" if serial else subject
            line = render_progress(name, progress) if progress else f"{name}: {state}"
            if progress and 0 < width <= len(line) + INDENT:
                line = render_progress(name, progress, amounts=False)
            lines.append(" " * INDENT + line)
        lines.append("`liveagent attach` shows it live, `liveagent cancel` stops it")
    if document["undelivered"]:
        lines.append(f"not delivered yet to: {', '.join(document['undelivered'])}")
    return lines
