"""The commands that a person types. No logic lives here: words in, calls, words out."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

import click

from liveagent import __version__
from liveagent.bus import Unanswered
from liveagent.command.frame import Shell, fail, print_json, print_table
from liveagent.command.group import Commands, RunCommand
from liveagent.events import EXIT_STATUS, EXIT_USAGE, Verdict
from liveagent.host import Host

LISTEN = "127.0.0.1:8080"


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--root", default="/", metavar="DIR", help="Read everything below / from DIR instead; erases nothing.")
@click.option("--config", default="", metavar="FILE", help="Use FILE instead of the files in /etc/liveagent.")
@click.option("--state", default="", metavar="DIR", help="Keep runs in DIR (default /var/lib/liveagent).")
@click.option("-v", "--verbose", is_flag=True, help="Say what is being done.")
@click.version_option(__version__, message="liveagent %(version)s")
@click.pass_context
def main(context: click.Context, root: str, config: str, state: str, verbose: bool) -> None:
    """The agent of a network-booted live image.

    A server that boots with SPEEDISO=wipe on its kernel command line has its disks wiped by the daemon. The same
    tasks can be run by hand. `liveagent plan` shows what this boot asks for, and touches nothing;
    `liveagent run wipe --dry-run` shows which disks would be erased, how, and which would not, and why.

    Exit status: 0 pass, warn or skipped; 1 fail; 2 usage, plan or option; 3 error or unknown; 4 refused;
    124 a task's limit reached; 130 cancelled.
    """
    if not os.path.isdir(root):
        fail(f"--root {root}: there is no such directory", EXIT_USAGE)
    level = logging.DEBUG if verbose else logging.ERROR
    logging.basicConfig(level=level, format="%(name)s: %(message)s", stream=sys.stderr)
    context.obj = Shell(Host(root), config, state)


def run() -> None:
    """The entry point; what a person did wrong ends in one line, not in a traceback."""
    # The C locale of a rescue shell must not make names of disks unprintable.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        sys.exit(main(prog_name="liveagent", standalone_mode=False))
    except click.NoSuchOption as error:
        near = f"; did you mean {error.possibilities[0]}?" if error.possibilities else ""
        where = error.ctx.command_path if error.ctx else "liveagent"
        fail(f"{error.option_name}: no such option{near}; `{where} --help` lists them", EXIT_USAGE)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(EXIT_STATUS[Verdict.CANCELLED])
    except PermissionError as error:
        fail(f"{error.filename}: {error.strerror}; try it as root")
    except Unanswered as error:
        fail(str(error))


# -- run --------------------------------------------------------------------------------------------


@main.command(
    name="run",
    cls=RunCommand,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    options_metavar="[OPTIONS] [--OPTION VALUE …]",
)
@click.argument("tasks", required=False, metavar="TASK[,TASK…]")
@click.option("--as-booted", is_flag=True, help="Take this boot's own plan again.")
@click.option("--dry-run", is_flag=True, help="Show exactly what would be done, and do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask before a destructive task.")
@click.option("--detach", is_flag=True, help="Leave it to the service, and do not watch it.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
@click.option("--callback", default="", metavar="URL", help="Report to this receiver.")
@click.option("--then", default="", metavar="stay|reboot|poweroff", help="What follows the last task.")
@click.pass_context
def run_command(
    context: click.Context,
    tasks: str | None,
    as_booted: bool,
    dry_run: bool,
    yes: bool,
    detach: bool,
    as_json: bool,
    callback: str,
    then: str,
) -> None:
    """Run tasks now.

    Where the service runs, it has them and this command watches: Ctrl-C leaves, and `liveagent attach` comes back.
    Elsewhere they run in this command, and Ctrl-C stops them.

    The options of a task are given as --OPTION VALUE (see `liveagent run TASK --help`), or as --TASK.OPTION VALUE where
    several tasks have one of that name: `liveagent run wipe --disks SERIAL`, `liveagent run hwdiag,wipe`. A destructive
    task shows what it would erase and asks for this machine's serial to be typed.
    """
    from liveagent.command import run as command

    given = command.Given(tasks or "", as_booted, tuple(context.args), callback, then)
    how = command.How(dry_run=dry_run, yes=yes, detach=detach, as_json=as_json)
    sys.exit(command.run(context.obj, given, how))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON on stdout.")
@click.pass_obj
def plan(shell: Shell, as_json: bool) -> None:
    """Show what this boot asks for and what would be done.

    Reads the kernel command line, the environment, the files of /etc/liveagent and the config URL, and touches
    nothing. Exit status 2 where the plan has faults.
    """
    from liveagent.command import plan as command

    sys.exit(command.show(shell, as_json))


# -- what there is ----------------------------------------------------------------------------------


@main.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON on stdout.")
@click.pass_obj
def list_command(shell: Shell, as_json: bool) -> None:
    """The tasks there are."""
    from liveagent.tasks import Registry, Task

    registry = Registry(shell.host)
    rows: list[dict[str, Any]] = []
    for name in registry.names():
        task = registry.find(name)
        if isinstance(task, Task):
            rows.append({"task": name, "summary": task.summary, "destructive": task.destructive, "usable": True})
        elif task is not None:
            rows.append({"task": name, "summary": task.reason, "destructive": None, "usable": False})
    if as_json:
        print_json(rows)
        return
    notes = {True: "DESTROYS DATA", False: "", None: "cannot be run"}
    print_table(("task", "", "what it does"), [(r["task"], notes[r["destructive"]], r["summary"]) for r in rows])


@main.command()
@click.argument("task")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON on stdout.")
@click.pass_obj
def show(shell: Shell, task: str, as_json: bool) -> None:
    """One task: its options, the tools it needs, what it may find."""
    from liveagent.command import show as command

    command.show(shell, task, as_json)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON on stdout.")
@click.option("--as-expectation", is_flag=True, help="Print what may be expected of such machines, for `hwdiag`.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of what --json prints, and look at nothing.")
@click.pass_obj
def inventory(shell: Shell, as_json: bool, as_expectation: bool, schema: bool) -> None:
    """This machine, part by part, and what could not be seen of it."""
    from liveagent.command import inventory as command

    if as_json + as_expectation + schema > 1:
        fail("--json, --as-expectation and --schema are documents of their own: ask for one", EXIT_USAGE)
    if schema:
        command.show_schema()
    elif as_expectation:
        command.show_expectation(shell)
    else:
        command.show_inventory(shell, as_json)


@main.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
def record(directory: Path) -> None:
    """Capture this machine in DIR for replay, its secrets left out."""
    from liveagent.command import record as command

    command.record(directory)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON on stdout.")
@click.pass_obj
def doctor(shell: Shell, as_json: bool) -> None:
    """Check whether this machine is fit to run the agent."""
    from liveagent.command.doctor import show_doctor

    sys.exit(show_doctor(shell, as_json))


# -- what runs, and what ran ------------------------------------------------------------------------


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON on stdout.")
@click.pass_obj
def status(shell: Shell, as_json: bool) -> None:
    """What runs now."""
    from liveagent.command import runs

    document = runs.open_records(shell).status()
    if as_json:
        print_json(document)
    else:
        runs.show_status(document)


@main.command()
@click.argument("name", metavar="[RUN]", default="")
@click.pass_obj
def attach(shell: Shell, name: str) -> None:
    """Watch a run (the one that is on, or the newest). Ctrl-C leaves, and does not cancel.

    The beginning of its name is enough, where no other begins so.
    """
    from liveagent.command import runs

    records = runs.open_records(shell)
    sys.exit(runs.attach(shell, records, runs.choose_run(records, name)))


@main.command()
@click.argument("name", metavar="[RUN]", default="")
@click.pass_obj
def cancel(shell: Shell, name: str) -> None:
    """Stop the run that is on, and wait until it has put things away."""
    from liveagent.command import runs

    runs.cancel(shell, name)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON on stdout.")
@click.pass_obj
def history(shell: Shell, as_json: bool) -> None:
    """The runs, the newest last. A run's name begins with the time at which it began, in UTC."""
    from liveagent.command import runs

    rows = runs.open_records(shell).history()
    if as_json:
        print_json(rows)
    else:
        print_table(("run", "tasks", "verdict", "took", "summary", "disks"), [runs.render_row(row) for row in rows])


@main.command()
@click.argument("name", metavar="[RUN]", default="")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON on stdout.")
@click.option("--html", default="", metavar="FILE", help="Write it as a page.")
@click.pass_obj
def report(shell: Shell, name: str, as_json: bool, html: str) -> None:
    """The result of a run (the newest that has ended, or RUN), again.

    The beginning of its name is enough, where no other begins so.
    """
    from liveagent.command import runs

    records = runs.open_records(shell)
    sys.exit(runs.report(records, runs.choose_ended(records, name), as_json, html, shell.places))


@main.command()
@click.argument("certificate", metavar="[CERTIFICATE|RUN]", required=False, type=click.Path(path_type=Path))
@click.option("--signers", default="", metavar="FILE", help="Those who may sign (an OpenSSH allowed-signers file).")
@click.option("--unsigned", is_flag=True, help="Look at the contents of one that is not signed.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON on stdout.")
@click.option("--html", default="", metavar="FILE", help="Write a machine's certificate as a page, with its state.")
@click.option("--validate-as", "name", default="", metavar="NAME", help="Countersign it as this person, with --key.")
@click.option("--key", default="", metavar="FILE", help="The person's private key, or the .pub of one in an agent.")
@click.option("--position", default="", help="The person's position or title.")
@click.option("--location", default="", help="Where the person looked at it.")
@click.option("--contact", default="", help="How the person can be reached.")
@click.pass_obj
def verify(shell: Shell, /, certificate: Path | None, **given: Any) -> None:
    """Check a certificate, or countersign it.

    CERTIFICATE is certificate.json, a disk's own, or the directory that has them. RUN is a run of this machine: the
    beginning of its name is enough, where no other begins so. Without either it is the newest that has a certificate.

    Exit status 0: it is as it was signed, and agrees with itself (what became of the disks is what it says); 1: it
    was altered, is not signed, is signed by nobody that is known, or contradicts itself; 2: it cannot be read.
    Without --signers (or /etc/liveagent/certificate_signers) it is not known whose the signature is, and it says so.
    """
    from liveagent.command import verify as command

    sys.exit(command.run(shell, certificate, command.Given(**given)))


# -- services ---------------------------------------------------------------------------------------


@main.command()
@click.option("--listen", default=LISTEN, metavar="ADDR:PORT", envvar="LIVEAGENT_RECEIVE_LISTEN", show_default=True)
@click.option("--dir", "directory", default="", metavar="DIR", help="Keep what arrives in DIR/RUN/events.jsonl.")
@click.option(
    "--secret", default="", metavar="S", envvar="LIVEAGENT_RECEIVE_SECRET", help="Take only what is signed with it."
)
def receive(listen: str, directory: str, secret: str) -> None:
    """Receive callbacks: for a desk, a demo and tests.

    LIVEAGENT_RECEIVE_LISTEN and LIVEAGENT_RECEIVE_SECRET say the same: every user of the machine can read arguments.
    """
    try:
        import liveagent.command.receive as command
    except ModuleNotFoundError as error:
        fail(f"the receiver is not installed ({error.name}): install the package liveagent-receive")

    command.receive(listen, directory, secret)


@main.command()
@click.pass_obj
def daemon(shell: Shell) -> None:
    """What the service runs: take the boot's plan once, then stay."""
    from liveagent import heap
    from liveagent.daemon import Daemon

    heap.keep_one()
    logging.getLogger().setLevel(logging.INFO)
    sys.exit(Daemon(shell.host, shell.places, shell.config, os.environ).run())
