"""What a shell completes beside commands and their options: tasks, the options of tasks, disks and runs.

Only looked at while a shell asks (`_LIVEAGENT_COMPLETE`); nothing else waits for it. What cannot be read completes to
nothing: an error in the middle of a line that somebody types would help nobody.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterable, Iterator
from typing import Callable

import click
from click.shell_completion import CompletionItem

from liveagent.host import Host
from liveagent.options import Row, rows
from liveagent.settings import THEN
from liveagent.tasks import Registry, Task

Complete = Callable[[click.Context, str], Iterable[CompletionItem]]


def teach(main: click.Group) -> None:
    """Have the commands know their words."""
    for command, parameter, complete in (
        ("show", "task", _tasks),
        ("attach", "name", _runs),
        ("cancel", "name", _run_that_is_on),
        ("report", "name", _runs),
        ("verify", "certificate", _certificates),
    ):
        for found in main.commands[command].params:
            if found.name == parameter:
                _give(found, complete)
    run = main.commands["run"]
    for found in run.params:
        if found.name == "tasks":
            _give(found, lambda context, incomplete: _last_of_list(incomplete, _tasks(context, "")))
        elif found.name == "then":
            _give(found, lambda context, incomplete: map(CompletionItem, THEN))
    known = run.shell_complete

    def complete_run(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        # Once the tasks are named, what follows is theirs.
        return [*known(ctx, incomplete), *complete_task_option(ctx, incomplete)]

    run.shell_complete = complete_run  # type: ignore[method-assign]


def _give(parameter: click.Parameter, complete: Complete) -> None:
    def fitting(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        return [item for item in complete(ctx, incomplete) if item.value.startswith(incomplete)]

    parameter.shell_complete = fitting  # type: ignore[method-assign]


# -- words ------------------------------------------------------------------------------------------


def _host(context: click.Context) -> Host:
    return Host(context.find_root().params.get("root") or "/")


def _tasks(context: click.Context, incomplete: str) -> Iterator[CompletionItem]:
    registry = Registry(_host(context))
    for name in registry.names():
        task = registry.find(name)
        yield CompletionItem(name, help=task.summary if isinstance(task, Task) else "cannot be run")


def _runs(context: click.Context, incomplete: str) -> Iterator[CompletionItem]:
    from liveagent.places import choose_places

    for directory in choose_places(context.find_root().params.get("state") or "", os.environ).run_directories():
        yield CompletionItem(directory.name)


def _run_that_is_on(context: click.Context, incomplete: str) -> Iterator[CompletionItem]:
    from liveagent.lock import Lock
    from liveagent.places import choose_places

    places = choose_places(context.find_root().params.get("state") or "", os.environ)
    with contextlib.suppress(OSError):
        holder = Lock(places.runtime).holder()
        if holder:
            yield CompletionItem(holder.run)


def _certificates(context: click.Context, incomplete: str) -> Iterator[CompletionItem]:
    """The runs that have one, and any file: bash forgets what came before the word that files fit, so it is first."""
    from liveagent.command.verify import CERTIFICATE
    from liveagent.places import choose_places

    yield CompletionItem(incomplete, type="file")
    places = choose_places(context.find_root().params.get("state") or "", os.environ)
    for directory in places.run_directories():
        if (directory / CERTIFICATE).exists():
            yield CompletionItem(directory.name)


def _disks(host: Host) -> Iterator[CompletionItem]:
    """By kernel name and by serial, each with what it is."""
    from liveagent.machine.disks import Transport, probe_disks
    from liveagent.report.lines import render_bytes

    for disk in probe_disks(host):
        if disk.transport is Transport.LOOP:
            continue  # by its path alone, and mostly it is the image itself
        # Without a comma: click has fish cut the text there.
        what = f"{disk.model or disk.kind} {render_bytes(disk.size)}".replace(",", " ")
        yield CompletionItem(disk.name, help=f"{what} serial {disk.serial or 'unknown'}")
        if disk.serial and not any(character.isspace() or character == "," for character in disk.serial):
            yield CompletionItem(disk.serial, help=f"{disk.name} {what}")


def _last_of_list(incomplete: str, words: Iterable[CompletionItem]) -> Iterator[CompletionItem]:
    """The last word of a list with commas; those before it stay, and are not offered again."""
    before, comma, _ = incomplete.rpartition(",")
    given = before.split(",")
    for word in words:
        if word.value not in given:
            yield CompletionItem(f"{before}{comma}{word.value}", help=word.help)


# -- the options of tasks ---------------------------------------------------------------------------


def complete_task_option(context: click.Context, incomplete: str) -> list[CompletionItem]:
    """`--OPTION` of the tasks that were named, or the value of the one that was typed last."""
    options = _options(context)
    name, joined = _typed_option(context)
    if name in options:
        before = f"--{name}=" if joined else ""
        found = _values(_host(context), options[name], incomplete)
        return [
            CompletionItem(before + item.value, help=item.help) for item in found if item.value.startswith(incomplete)
        ]
    if not incomplete.startswith("-"):
        return []
    given = {word.partition("=")[0] for word in context.args}
    items = [CompletionItem(f"--{row.name.replace('_', '-')}", help=row.help) for row in options.values()]
    return [item for item in items if item.value.startswith(incomplete) and item.value not in given]


def _options(context: click.Context) -> dict[str, Row]:
    registry = Registry(_host(context))
    tasks = [registry.find(name) for name in (context.params.get("tasks") or "").split(",")]
    return {row.name: row for task in tasks if isinstance(task, Task) for row in rows(task.Options)}


def _typed_option(context: click.Context) -> tuple[str, bool]:
    """The option whose value is being typed, and whether both are one word (`--disks=sd`); "" for none.

    bash parts a word at `=`, the other shells do not, and click keeps the name of the option to itself.
    """
    try:
        last = shlex.split(os.environ.get("COMP_WORDS", ""))[-1:]
    except ValueError:
        last = []
    if last and last[0].startswith("--") and "=" in last[0]:
        return _name(last[0].partition("=")[0]), True
    args = context.args[:-1] if context.args[-1:] == ["="] else context.args
    if args and args[-1].startswith("--") and "=" not in args[-1]:
        return _name(args[-1]), False
    return "", False


def _name(option: str) -> str:
    return option.lstrip("-").replace("-", "_")


def _values(host: Host, row: Row, incomplete: str) -> Iterator[CompletionItem]:
    if row.kind.names_disks:
        words = [*map(CompletionItem, row.kind.words), *_disks(host)]
        yield from _last_of_list(incomplete, words)
    else:
        yield from map(CompletionItem, row.kind.words)
