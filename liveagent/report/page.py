"""A result as a page: one file without anything from elsewhere, to be read, printed and kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from liveagent.report.lines import render_bytes, render_duration
from liveagent.report.overview import list_differences, list_not_measured, list_not_named, list_overview
from liveagent.report.troubles import list_disks, name_finding

if TYPE_CHECKING:
    import jinja2


def render_page(result: Mapping[str, Any]) -> str:
    """The HTML of a result (`result.json`)."""
    return make_environment().get_template("page.html.j2").render(result=result)


def make_environment() -> jinja2.Environment:
    """Where the pages' templates are, and how they show sizes and times."""
    import jinja2  # 60 ms, and only this needs it

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("liveagent", "report"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["bytes"] = render_bytes
    environment.filters["duration"] = render_duration
    environment.filters["disks"] = list_disks
    environment.filters["finding"] = name_finding
    environment.filters["overview"] = list_overview
    environment.filters["differences"] = list_differences
    environment.filters["not_measured"] = list_not_measured
    environment.filters["not_named"] = list_not_named
    return environment
