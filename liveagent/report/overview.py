"""What a task has to show of a machine beside verdicts: a few lines of what it is, and what was not measured.

Any task may leave them in its data: `overview` is a list of {name, text}, `not_measured` a list of texts,
`differences` a list of {path, ordered, found, verdict}, `runs` a list of {part, tail} of commands.
"""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from liveagent.report.troubles import GOOD, list_runs, only_mapping, only_mappings

NOT_MEASURED = "not measured"
# A column of names that are one word, and a gap.
NAME = 10
# Of what a command printed, so many lines say how it ended.
LAST = 10
# Of more parts that were not measured there is no room for the reasons.
FEW = 1


def list_overview(task: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The lines, each with its name."""
    rows = only_mappings(only_mapping(task.get("data")).get("overview"))
    return [(str(row.get("name") or ""), str(row.get("text") or "")) for row in rows]


def list_not_measured(task: Mapping[str, Any]) -> list[str]:
    """What was not measured, and why."""
    return _list_texts(task, "not_measured")


def list_not_named(task: Mapping[str, Any]) -> list[str]:
    """The disks that nobody asked for, and that were left as they are."""
    return _list_texts(task, "not_named")


def _list_texts(task: Mapping[str, Any], name: str) -> list[str]:
    rows = only_mapping(task.get("data")).get(name)
    return [str(row) for row in rows] if isinstance(rows, (list, tuple)) else []


def list_output(task: Mapping[str, Any]) -> list[str]:
    """The last lines of what the task's commands printed, with the part before them where there were several."""
    runs = list_runs(task)
    found = []
    for run in runs:
        part = f"{run.get('part')}: " if len(runs) > 1 else ""
        tail = run.get("tail")
        found += [f"{part}{line}" for line in (tail[-LAST:] if isinstance(tail, (list, tuple)) else ())]
    return found


def list_differences(task: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """What is not as it should be: path, ordered, found, verdict."""
    rows = only_mappings(only_mapping(task.get("data")).get("differences"))
    made = [tuple(str(row.get(key, "")) for key in ("path", "ordered", "found", "verdict")) for row in rows]
    return [(path, ordered, found, verdict) for path, ordered, found, verdict in made if verdict not in GOOD]


def render_overview(task: Mapping[str, Any], width: int) -> list[str]:
    """Lines of at most `width` columns, names in a column of their own."""
    return fold_overview(list_overview(task), width)


def fold_overview(rows: Iterable[tuple[str, str]], width: int) -> list[str]:
    """The same of rows."""
    lines: list[str] = []
    for name, text in rows:
        lines += textwrap.wrap(
            text, max(20, width), initial_indent=name.ljust(NAME), subsequent_indent=" " * NAME, break_on_hyphens=False
        ) or [name]
    return lines


def render_not_measured(task: Mapping[str, Any], width: int) -> list[str]:
    """The parts that were not measured, in a few lines; the reasons stand in the report."""
    return fold_not_measured(list_not_measured(task), width)


def fold_not_measured(texts: Iterable[str], width: int) -> list[str]:
    """The same of texts, of which the part stands before the first colon; with their reasons, where they are few."""
    texts = [*texts]
    if len(texts) <= FEW:
        lines = (textwrap.wrap(f"{NOT_MEASURED}: {text}", max(20, width), subsequent_indent="  ") for text in texts)
        return [*itertools.chain(*lines)]
    parts = dict.fromkeys(text.partition(":")[0] for text in texts)
    text = f"{NOT_MEASURED}: {', '.join(parts)}"
    return textwrap.wrap(text, max(20, width), subsequent_indent="  ", break_on_hyphens=False) if parts else []
