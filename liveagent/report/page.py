"""A result as a page: one file without anything from elsewhere, to be read, printed and kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from liveagent.report.lines import render_bytes, render_duration


def render_page(result: Mapping[str, Any]) -> str:
    """The HTML of a result (`result.json`)."""
    import jinja2  # 60 ms, and only this needs it

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("liveagent", "report"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["bytes"] = render_bytes
    environment.filters["duration"] = render_duration
    return environment.get_template("page.html.j2").render(result=result)
