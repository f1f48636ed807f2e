"""`liveagent run`: words into a plan, the confirmation, the run, the exit status."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence

from liveagent import cli
from liveagent.boot import BY_HAND, Request, Sections
from liveagent.daemon import take_request
from liveagent.engine import Cancel, exit_status
from liveagent.events import EXIT_STATUS, EXIT_USAGE, worst
from liveagent.host import CommandError
from liveagent.lock import Busy
from liveagent.machine import Machine, probe_machine
from liveagent.options import Fault, Setting, make_name, rows, suggest
from liveagent.plan import Plan, make_plan
from liveagent.report.sink import Sink
from liveagent.report.spool import Reader
from liveagent.report.terminal import DisplaySink, open_display
from liveagent.session import Ended, Session
from liveagent.signals import Handler, handled
from liveagent.tasks import Registry, Task

DRAIN_SAID_AFTER = 2.0


@dataclasses.dataclass(frozen=True)
class Given:
    """The words after `run`: `extra` are the tasks' own options, as typed."""

    tasks: str
    as_booted: bool
    extra: tuple[str, ...]
    callback: str
    then: str


def run(shell: cli.Shell, given: Given, dry_run: bool, yes: bool, as_json: bool) -> int:
    """Carry out what was typed; the exit status."""
    if bool(given.tasks) == given.as_booted:
        cli.fail("name the tasks to run, or say --as-booted (`liveagent list` names them)", EXIT_USAGE)
    registry = Registry(shell.host)
    request = gather(shell, given, registry)
    plan = make_plan(request, registry, at_boot=False)
    for notice in plan.notices:
        cli.tell(f"note: {notice}")
    if plan.faults or not plan.steps:
        return _tell_faults(plan, as_json)
    if dry_run:
        return _dry_run(shell, plan, as_json)
    machine = probe_machine(shell.host)
    if plan.is_destructive and not yes and shell.host.is_real:
        # Also where every disk is refused now: the run looks again, and might find one that is not.
        cli.ask_for_serial(machine, cli.show_previews(shell, plan, err=True))
    return _carry_out(shell, plan, request, machine, as_json)


def gather(shell: cli.Shell, given: Given, registry: Registry) -> Request:
    """What was typed, over what the boot, the config URL and the files say."""
    # As booted, the tasks are not known yet: an option then belongs to every task that has it.
    names = registry.names() if given.as_booted else [name.strip() for name in given.tasks.split(",")]
    by_hand, faults = parse_extra(given.extra, names, registry)
    for key in ("callback", "then"):
        value = getattr(given, key)
        if value:
            by_hand.setdefault("agent", {})[key] = Setting(value, BY_HAND)
    environment = os.environ if given.as_booted else {"SPEEDISO": given.tasks}
    request, _ = take_request(shell.host, shell.config, environment, cli.tell, by_hand)
    word = request.word if given.as_booted else Setting(given.tasks, BY_HAND)
    return dataclasses.replace(request, word=word, faults=(*request.faults, *faults))


def parse_extra(extra: Sequence[str], names: Sequence[str], registry: Registry) -> tuple[Sections, list[Fault]]:
    """`--disks sda --wipe.verify=full` into settings by task; an option belongs to each task that has it."""
    tasks = {name: registry.find(name) for name in names}
    known = {name: {row.name for row in rows(task.Options)} for name, task in tasks.items() if isinstance(task, Task)}
    sections: Sections = {}
    faults: list[Fault] = []
    for word, value in _pairs(extra, faults):
        task, dot, option = word.partition(".")
        if dot:
            owners, name = [task], make_name(option)
        else:
            name = make_name(word)
            owners = [owner for owner, options in known.items() if name in options]
        if not owners:
            every = sorted({option for options in known.values() for option in options})
            message = f"--{word}: no such option{suggest(name, every)}; `liveagent show TASK` lists them"
            faults.append(Fault("plan.option.unknown", BY_HAND, message))
        for owner in owners:
            settings = sections.setdefault(owner, {})
            if name in settings and settings[name].value != value:
                message = f"--{word} is given twice, with different values; say it once"
                faults.append(Fault("plan.option.twice", BY_HAND, message))
            settings[name] = Setting(value, BY_HAND)
    return sections, faults


def _pairs(extra: Sequence[str], faults: list[Fault]) -> Iterator[tuple[str, str]]:
    rest = list(extra)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--") or len(word) < 3:
            faults.append(Fault("plan.option.word", BY_HAND, f"{word!r} is no option; options are --OPTION VALUE"))
            continue
        name, equals, value = word[2:].partition("=")
        if not equals and rest and not rest[0].startswith("--"):
            value = rest.pop(0)
        elif not equals:
            value = "1"  # a flag
        yield name, value


def _tell_faults(plan: Plan, as_json: bool) -> int:
    if as_json:
        cli.print_json(plan.encode())
    if not plan.faults:
        cli.tell("liveagent: this boot asks for no task; there is nothing to run")
    for fault in plan.faults:
        cli.tell(f"liveagent: {fault}")
    return EXIT_USAGE if plan.faults else 0


def _dry_run(shell: cli.Shell, plan: Plan, as_json: bool) -> int:
    """What would be done; stdout has it as a table, or as one JSON document."""
    previews = cli.show_previews(shell, plan, err=as_json)
    verdict = worst(preview.verdict for preview in previews)
    if as_json:
        steps = [{**step.encode(), "preview": preview.data} for step, preview in zip(plan.steps, previews)]
        cli.print_json({"dry_run": True, "verdict": verdict.value, "tasks": steps})
    return EXIT_STATUS[verdict]


def _carry_out(shell: cli.Shell, plan: Plan, request: Request, machine: Machine, as_json: bool) -> int:
    cancel = Cancel()
    ends: dict[signal.Signals, Handler] = {
        signal.SIGINT: lambda: cancel.end("Ctrl-C"),
        signal.SIGTERM: lambda: cancel.end("SIGTERM"),
        signal.SIGUSR1: lambda: cancel.end("asked to by `liveagent cancel`"),
    }
    with handled(ends):
        try:
            # With --json stdout is the document's alone; people are told on stderr.
            with open_display(sys.stderr if as_json else sys.stdout, "Ctrl-C stops the run") as display:

                def watchers(reader: Reader) -> Iterable[Sink]:
                    yield DisplaySink(reader, display)

                session = Session(shell.host, shell.places, machine, display.say, watchers, cancel)
                ended = session.run(plan, request)
        except Busy as error:
            cli.fail(str(error))
        except OSError as error:
            cli.fail(f"{error.filename or shell.places.runtime}: {error.strerror}; nothing was run")
        status = exit_status(ended.result)
        if as_json:
            cli.print_json(ended.result.encode())
        elif ended.trouble:
            cli.tell(ended.trouble)
        else:
            cli.tell(f"the record of this run is in {shell.places.runs / ended.result.run}")
        late = _drain(ended, plan, cancel)
        _then(shell, plan, late, cancel)
        ended.close()
    return status


def _drain(ended: Ended, plan: Plan, cancel: Cancel) -> list[str]:
    """Wait for delivery, a second Ctrl-C ends that; what is undelivered then is said."""
    limit = plan.settings.drain
    late = ended.drain(min(limit, DRAIN_SAID_AFTER))
    was_cancelled = cancel.is_set()
    waited = DRAIN_SAID_AFTER
    if late and limit > waited:
        cli.tell(f"waiting up to {limit:g} s for delivery; Ctrl-C leaves")
    while late and waited < limit and (was_cancelled or not cancel.is_set()):
        late = ended.drain(1.0)
        waited += 1.0
        if was_cancelled:
            break
    for line in late:
        cli.tell(line)
    return late


def _then(shell: cli.Shell, plan: Plan, late: list[str], cancel: Cancel) -> None:
    then = plan.settings.then
    if then == "stay" or cancel.is_set():
        return
    if late and plan.is_destructive:
        cli.tell(f"{then} is not done: the evidence of the wipe would be lost")
        return
    try:
        shell.host.run(["systemctl", then], timeout=60)
    except CommandError as error:
        cli.tell(f"Failed to {then}: {error}")
