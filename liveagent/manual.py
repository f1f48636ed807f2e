"""The man pages, from the same texts as --help and `show`: `python3 -m liveagent.manual liveagent.8`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator

import click

from liveagent import __version__
from liveagent.cli import main as command
from liveagent.host import Host
from liveagent.options import Row, rows
from liveagent.settings import AgentSettings
from liveagent.tasks import REPLACEABLE, Registry, Task

FILES = {
    "/etc/liveagent/liveagent.conf, /etc/liveagent/conf.d/*.conf": "Settings; see liveagent.conf(5).",
    "/usr/libexec/liveagent/tasks.d, /etc/liveagent/tasks.d": "An executable NAME here is the task NAME.",
    "/etc/liveagent/certificate_signers": "Who may sign certificates, for `liveagent verify`.",
    "/etc/liveagent/config_signers": "Who may sign config documents.",
    "/var/lib/liveagent/runs/RUN/": "A run's record: events.jsonl, result.json, and a wipe's certificates.",
    "/run/liveagent/lock": "One run at a time.",
}


def escape(text: str) -> str:
    """Text as roff prints it: a line that begins with a dot or a quote is text as well."""
    plain = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join(f"\\&{line}" if line[:1] in (".", "'") else line for line in plain.splitlines())


def render_command() -> str:
    """liveagent(8): every command with its options."""
    context = click.Context(command, info_name="liveagent")
    lines = [*_head("liveagent", 8, "run the tasks of a network-booted live image")]
    lines += [".SH SYNOPSIS", ".B liveagent", "[OPTIONS] COMMAND [ARGS]…", ".SH DESCRIPTION"]
    lines += _paragraphs(command.help or "")
    lines += [".SH OPTIONS", *_options(command, context), ".SH COMMANDS"]
    for name in command.list_commands(context):
        one = command.get_command(context, name)
        if one is None or one.hidden:
            continue
        inner = click.Context(one, info_name=name, parent=context)
        lines += [f".SS {escape(f'liveagent {name} ' + ' '.join(one.collect_usage_pieces(inner)))}"]
        lines += [*_paragraphs(one.help or ""), *_options(one, inner)]
    lines += [".SH FILES"]
    for path, what in FILES.items():
        lines += [".TP", f".I {escape(path)}", escape(what)]
    return "\n".join([*lines, ".SH SEE ALSO", r"liveagent.conf(5), ssh\-keygen(1)"]) + "\n"


def render_settings() -> str:
    """liveagent.conf(5): the agent's keys, and the options of each task that comes with it."""
    lines = [*_head("liveagent.conf", 5, "settings of liveagent"), ".SH SYNOPSIS"]
    lines += [".nf", "[agent]", "KEY = VALUE", "", "[TASK]", "OPTION = VALUE", ".fi", ".SH DESCRIPTION"]
    lines += _paragraphs(
        "An INI file; values are taken as they stand. The files of conf.d are read after it in the order of their "
        "names, and the last one wins. Stronger are the config URL, the kernel command line (liveagent.KEY=VALUE, "
        "liveagent.TASK.OPTION=VALUE) and what is typed.\n\n"
        "A file that does not parse, or holds an unknown key, keeps the boot's plan from running."
    )
    lines += [".SH [agent]", *(line for row in rows(AgentSettings) for line in _row(row))]
    lines += [".TP", r"\fBdestructive\fR = any | serial | signed | never", escape(
        "In these files only: what a destructive task at boot needs. serial: a matching expect_serial; signed: a "
        "config document that is signed by a key of config_signers.")]  # fmt: skip
    lines += [".TP", r"\fBlocked\fR = KEY, …", "In these files only: keys that nothing overrides."]
    replaced = f"In these files only: built-in tasks ({', '.join(REPLACEABLE)}) that a task of your own stands in for."
    lines += [".TP", r"\fBreplace\fR = NAME, …", replaced]
    lines += [".TP", r"\fBcallback.NAME\fR = URL, …", "A further receiver."]
    registry = Registry(Host("/nonexistent"))
    for name in registry.names():
        task = registry.find(name)
        if isinstance(task, Task) and rows(task.Options):
            lines += [f".SH [{escape(name)}]", escape(f"{task.summary}."), *_task_rows(task)]
    return "\n".join([*lines, ".SH SEE ALSO", "liveagent(8)"]) + "\n"


def _head(name: str, section: int, what: str) -> Iterator[str]:
    yield f'.TH {escape(name.upper())} {section} "" "liveagent {__version__}" "liveagent"'
    yield from (".SH NAME", rf"{escape(name)} \- {escape(what)}")


def _paragraphs(text: str) -> Iterator[str]:
    # \b is click's word for a paragraph that keeps its lines.
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        kept = paragraph.startswith("\b")
        yield ".PP"
        yield from (".nf", escape(paragraph.lstrip("\b\n")), ".fi") if kept else (escape(paragraph),)


def _options(one: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in one.get_params(context):
        record = parameter.get_help_record(context)
        # Every command has --help; once is enough.
        if record and (parameter.name != "help" or context.parent is None):
            yield from (".TP", rf"\fB{escape(record[0])}\fR", escape(record[1]))


def _task_rows(task: Task) -> Iterator[str]:
    for row in rows(task.Options):
        yield from _row(row)


def _row(row: Row) -> Iterator[str]:
    shown = f" Default: {row.default_text}." if row.default_text and not row.secret else ""
    yield from (".TP", rf"\fB{escape(row.name)}\fR = {escape(row.kind.name)}")
    yield escape(f"{row.help[:1].upper()}{row.help[1:]}.{shown}")


PAGES = {"liveagent.8": render_command, "liveagent.conf.5": render_settings}


def main() -> None:
    """Print one page."""
    if len(sys.argv) != 2 or sys.argv[1] not in PAGES:
        sys.exit(f"Usage: python3 -m liveagent.manual {'|'.join(PAGES)}")
    sys.stdout.write(PAGES[sys.argv[1]]())


if __name__ == "__main__":
    main()
