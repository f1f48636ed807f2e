"""`show`: one task, with all that a person may look up of it."""

from __future__ import annotations

import click

from liveagent.command import frame
from liveagent.events import EXIT_USAGE
from liveagent.options import rows, suggest
from liveagent.tasks import Registry, Task, Unusable


def show(shell: frame.Shell, name: str, as_json: bool) -> None:
    """The task's options, tools, notes and tables; leaves where there is none of that name."""
    task = find_task(shell, name)
    options = [
        {"option": row.name, "type": row.kind.name, "default": row.default_text, "help": row.help}
        for row in rows(task.Options)
    ]
    if as_json:
        document = {"task": name, "summary": task.summary, "destructive": task.destructive}
        tables = [{"title": one.title, "columns": one.columns, "rows": one.rows} for one in task.tables()]
        frame.print_json(
            {**document, "options": options, "tools": list(task.tools), "notes": list(task.notes), "tables": tables}
        )
        return
    frame.tell(f"{name}: {task.summary}{' (DESTROYS DATA)' if task.destructive else ''}", err=False)
    by_hand = f"by hand: `liveagent run {name} --OPTION VALUE`"
    frame.tell(f"at boot: `SPEEDISO={name} liveagent.{name}.OPTION=VALUE`; {by_hand}\n", err=False)
    if options:
        frame.print_table(
            ("option", "type", "default", "what it says"),
            [(row["option"], row["type"], row["default"], row["help"]) for row in options],
        )
    else:
        frame.tell("it has no options", err=False)
    frame.tell("\n".join([f"\nneeds the tools: {', '.join(task.tools) or 'none'}", *task.notes]), err=False)
    for table in task.tables():
        click.echo(f"\n{table.title}:\n")
        frame.print_table(table.columns, table.rows)


def render_options(task: Task) -> str:
    """The options of a task as a section of a help text."""
    formatter = click.HelpFormatter(max_width=100)
    with formatter.section(f"Options of {task.name} ({task.summary})"):
        formatter.write_dl(
            [
                (
                    f"--{row.name.replace('_', '-')} {row.kind.name}",
                    f"{row.help} (default: {row.default_text or 'none'})",
                )
                for row in rows(task.Options)
            ]
            or [("none", "")]
        )
    return formatter.getvalue().rstrip()


def find_task(shell: frame.Shell, name: str) -> Task:
    """The task of this name; leaves where there is none, or where it cannot be run."""
    registry = Registry(shell.host)
    task = registry.find(name)
    if task is None:
        near = suggest(name, registry.names())
        frame.fail(f"there is no task {name}{near}; `liveagent list` names them", EXIT_USAGE)
    if isinstance(task, Unusable):
        frame.fail(f"{name} cannot be run: {task.reason}", EXIT_USAGE)
    return task
