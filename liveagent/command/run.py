"""`liveagent run`: words into a plan, the confirmation, the run, the exit status."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from liveagent.boot import BY_HAND, Request, Sections
from liveagent.bootnote import KeptDocument
from liveagent.bus import MARK as BUS_MARK
from liveagent.command import frame, runs
from liveagent.command.confirm import ask_for_serial
from liveagent.engine import Cancel
from liveagent.events import EXIT_STATUS, EXIT_USAGE, JSON, Result, Verdict, exit_status, worst
from liveagent.host import Host
from liveagent.lock import Busy
from liveagent.machine import Machine, probe_machine
from liveagent.options import FLAG, Fault, Setting, is_url, make_name, rows, suggest
from liveagent.order import Order
from liveagent.plan import Plan, make_plan
from liveagent.report.record import Reader
from liveagent.report.sink import Sink
from liveagent.report.terminal import DisplaySink, open_display
from liveagent.session import Ended, Session
from liveagent.signals import Handler, handled, let_go
from liveagent.systemd import read_environment
from liveagent.tasks import Registry, Task
from liveagent.then import conclude

if TYPE_CHECKING:
    from liveagent.bus.client import Client

DRAIN_SAID_AFTER = 2.0
EARLY_POLL = 0.5
# What is no task's, and misspelt is looked for among the tasks' own.
OWN_OPTIONS = ("--as-booted", "--callback", "--detach", "--dry-run", "--json", "--then", "--yes")


@dataclasses.dataclass(frozen=True)
class Given:
    """The words after `run`: `extra` are the tasks' own options, as typed."""

    tasks: str
    as_booted: bool
    extra: tuple[str, ...]
    callback: str
    then: str


@dataclasses.dataclass(frozen=True)
class How:
    """What is to be done with the plan."""

    dry_run: bool = False
    yes: bool = False
    detach: bool = False
    as_json: bool = False


@dataclasses.dataclass(frozen=True)
class Ready:
    """What was asked for, looked at and confirmed."""

    plan: Plan
    order: Order
    request: Request
    machine: Machine


def run(shell: frame.Shell, given: Given, how: How) -> int:
    """Carry out what was typed; the exit status."""
    try:
        ready = _make_ready(shell, given, how)
    except KeyboardInterrupt:
        frame.fail("nothing was touched", EXIT_STATUS[Verdict.CANCELLED])
    if isinstance(ready, int):
        return ready
    client = find_service(shell)
    if client:
        # By name, as shown and confirmed: what the service would find now could be another word.
        return hand_in(shell, client, dataclasses.replace(ready.order, tasks=ready.plan.word, as_booted=False), how)
    if how.detach:
        frame.fail("there is no service to leave it to (systemctl status liveagent); without --detach it runs here")
    return _carry_out(shell, ready, how.as_json)


def _make_ready(shell: frame.Shell, given: Given, how: How) -> Ready | int:
    """Up to what a person confirms; an exit status where there is nothing more to do."""
    if bool(given.tasks) == given.as_booted:
        frame.fail("name the tasks to run, or say --as-booted (`liveagent list` names them)", EXIT_USAGE)
    registry = Registry(shell.host)
    order, faults = make_order(given, registry)
    environment = read_boot_environment(shell.host) if given.as_booted else {}
    kept = KeptDocument(shell.host, shell.places.runtime)
    request = order.request(shell.host, shell.config, environment, frame.tell, kept)
    request = dataclasses.replace(request, faults=(*request.faults, *faults))
    plan = make_plan(request, registry, at_boot=False)
    for notice in plan.notices:
        frame.tell(f"note: {notice}")
    if plan.faults or not plan.steps:
        return _tell_faults(plan, how.as_json)
    if not given.as_booted:
        _tell_origins(plan, request)
    holder = frame.find_holder(shell)
    if how.dry_run:
        if holder:
            frame.tell_holder(holder)
        return _dry_run(shell, plan, how.as_json)
    if holder:
        # Before anything is asked of a person; who asks for the lock is told again.
        frame.fail(f"nothing was begun: {Busy(holder)}")
    frame.tell_look()
    machine = probe_machine(shell.host)
    if plan.is_destructive and not how.yes and shell.host.is_real:
        previews = frame.show_previews(shell, plan, err=True)
        if all(preview.verdict is Verdict.REFUSED and not preview.serious for preview in previews):
            frame.fail("refused, and nothing was touched", EXIT_STATUS[Verdict.REFUSED])
        ask_for_serial(machine, previews)
    return Ready(plan, order, request, machine)


def _tell_origins(plan: Plan, request: Request) -> None:
    """Options that were not typed: the boot's count as well, and are not what `show` calls the default."""
    for step in plan.steps:
        shown = {row.name for row in rows(step.task.Options) if not row.secret}
        for name, setting in request.sections.get(step.task.name, {}).items():
            if setting.origin != BY_HAND and setting.value and name in shown:
                option = f"--{name.replace('_', '-')}"
                frame.tell(f"note: {option} {setting.value} is from the {setting.origin}; typed, it is another")


def make_order(given: Given, registry: Registry) -> tuple[Order, list[Fault]]:
    """What was typed, for this process or for the service."""
    # As booted, the tasks are not known yet: an option then belongs to every task that has it.
    names = registry.names() if given.as_booted else [name.strip() for name in given.tasks.split(",")]
    by_hand, faults = parse_extra(given.extra, names, registry)
    settings = {
        section: {name: _place(registry, section, name, one.value) for name, one in words.items()}
        for section, words in by_hand.items()
    }
    for key in ("callback", "then"):
        value = getattr(given, key)
        if value:
            settings.setdefault("agent", {})[key] = value
    return Order(given.tasks, given.as_booted, settings), faults


def _place(registry: Registry, section: str, name: str, value: str) -> str:
    """A value that names a path, as one that the service finds as well: it works in another directory."""
    task = registry.find(section)
    names_path = isinstance(task, Task) and any(row.name == name and row.kind.names_path for row in rows(task.Options))
    return os.path.abspath(value) if names_path and value and not is_url(value) else value


def read_boot_environment(host: Host) -> Mapping[str, str]:
    """What the service would find: a login has nothing of the manager's environment."""
    return {**read_environment(host), **os.environ}


# -- with the service -------------------------------------------------------------------------------


def find_service(shell: frame.Shell) -> Client | None:
    """The service, where it is there and takes orders; None where the run is this command's own."""
    # Without its mark nothing is asked: asking costs a quarter of a second, and most containers have no bus.
    if not shell.is_plain or os.geteuid() != 0 or not (shell.places.runtime / BUS_MARK).exists():
        return None
    from liveagent.bus.client import Client, NoDaemon

    try:
        return Client()
    except NoDaemon as error:
        frame.tell(f"note: {error}; it runs in this command")
        return None


def hand_in(shell: frame.Shell, client: Client, order: Order, how: How) -> int:
    """Have the service run it, and watch; who leaves leaves the run alone."""
    answer = _submit(client, order)
    if answer.get("kind") == "early":
        frame.tell("the service makes this boot's own plan, which comes first; waiting for it (Ctrl-C leaves) …")
    while answer.get("kind") == "early":
        try:
            time.sleep(EARLY_POLL)
        except KeyboardInterrupt:
            frame.fail("nothing was touched", EXIT_STATUS[Verdict.CANCELLED])
        answer = _submit(client, order)
    if "error" in answer:
        frame.fail(answer["error"])
    run = answer["run"]
    if how.detach:
        frame.tell(f"run {run} is with the service; `liveagent attach {run}` shows it, `liveagent cancel` stops it")
        if how.as_json:
            frame.print_json(answer)
        return 0
    try:
        leave = "Ctrl-C leaves, and the run goes on; `liveagent cancel` stops it"
        document = runs.follow(runs.open_records(shell), run, leave, on_stderr=how.as_json)
    except KeyboardInterrupt:
        frame.tell(f"left; the run goes on. `liveagent attach {run}` comes back, `liveagent cancel` stops it")
        # How it ends is not known here, and a script must not take that for a pass.
        return EXIT_STATUS[Verdict.UNKNOWN]
    if how.as_json:
        frame.print_json(dict(document))
    else:
        frame.tell(f"`liveagent report {run}` shows this again; the record of this run is in {shell.places.runs / run}")
        runs.tell_certificate(shell, run)
    return exit_status(Result.decode(document))


def _submit(client: Client, order: Order) -> Mapping[str, JSON]:
    """The service's answer. Without one nobody knows here whether the run has begun, and that is said."""
    from liveagent.bus.client import Late

    see = "may have begun it all the same; `liveagent status` shows what runs"
    try:
        return client.submit(order.encode())
    except Late as error:
        frame.fail(f"{error}, and {see}")
    except KeyboardInterrupt:
        # Ctrl-C is heard when the call is over, so with the answer lost.
        frame.fail(f"left while the service was asked, which {see}", EXIT_STATUS[Verdict.CANCELLED])


# -- here -------------------------------------------------------------------------------------------


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
        if not owners and tasks.keys() == known.keys():
            # Of a task that is none, that is all there is to say.
            every = {f"--{option.replace('_', '-')}" for options in known.values() for option in options}
            near = suggest(f"--{word}", sorted(every.union(OWN_OPTIONS)))
            message = f"--{word}: no such option{near}; `liveagent run {','.join(names)} --help` lists them"
            faults.append(Fault("plan.option.unknown", BY_HAND, message))
        if value is None and not _is_flag(registry, owners, name):
            faults.append(Fault("plan.option.value", BY_HAND, f"--{word} needs a value"))
            continue
        if value == "":
            # Of a script's variable that nobody set; what it leaves out would be taken for the default, all disks.
            faults.append(Fault("plan.option.value", BY_HAND, f"--{word} is empty; say what it is, or leave it out"))
            continue
        for owner in owners:
            settings = sections.setdefault(owner, {})
            if name in settings and settings[name].value != value:
                message = f"--{word} is given twice, with different values; say it once"
                faults.append(Fault("plan.option.twice", BY_HAND, message))
            settings[name] = Setting("1" if value is None else value, BY_HAND)
    return sections, faults


def _is_flag(registry: Registry, owners: Iterable[str], name: str) -> bool:
    """Whether an option is one that is on without a value, of whichever task has it."""
    tasks = [registry.find(owner) for owner in owners]
    kinds = [row.kind for task in tasks if isinstance(task, Task) for row in rows(task.Options) if row.name == name]
    return all(kind is FLAG for kind in kinds)


def _pairs(extra: Sequence[str], faults: list[Fault]) -> Iterator[tuple[str, str | None]]:
    """Options as typed, with their values; None where none follows."""
    rest = list(extra)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--") or len(word) < 3:
            faults.append(
                Fault(
                    "plan.option.word",
                    BY_HAND,
                    f"{word!r} is no option; options are --OPTION VALUE (--help names them), several tasks TASK,TASK",
                )
            )
            continue
        name, equals, value = word[2:].partition("=")
        if equals:
            yield name, value
        else:
            yield name, rest.pop(0) if rest and not rest[0].startswith("--") else None


def _tell_faults(plan: Plan, as_json: bool) -> int:
    if as_json:
        frame.print_json(plan.encode())
    if not plan.faults:
        frame.tell("liveagent: this boot asks for no task; there is nothing to run")
    for fault in plan.faults:
        frame.tell(f"liveagent: {fault}")
    return EXIT_USAGE if plan.faults else 0


def _dry_run(shell: frame.Shell, plan: Plan, as_json: bool) -> int:
    """What would be done; stdout has it as a table, or as one JSON document."""
    frame.tell_look()
    previews = frame.show_previews(shell, plan, err=as_json)
    verdict = worst(preview.verdict for preview in previews)
    if as_json:
        steps = [{**step.encode(), "preview": preview.data} for step, preview in zip(plan.steps, previews)]
        frame.print_json({"dry_run": True, "verdict": verdict.value, "tasks": steps})
    else:
        frame.tell("this was a dry run: nothing was done")
    return EXIT_STATUS[verdict]


def _carry_out(shell: frame.Shell, ready: Ready, as_json: bool) -> int:
    plan, cancel = ready.plan, Cancel()
    ends: dict[signal.Signals, Handler] = {
        signal.SIGINT: lambda: cancel.end("Ctrl-C"),
        signal.SIGTERM: lambda: cancel.end("SIGTERM"),
        signal.SIGUSR1: lambda: cancel.end("asked to by `liveagent cancel`"),
    }
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        terminals = [number for number in (0, 1, 2) if os.isatty(number)]

        def hang_up() -> None:
            cancel.end("the terminal was closed")
            # What is said from now on would be an error, in the middle of what is put away.
            let_go(terminals)

        ends[signal.SIGHUP] = hang_up
    with handled(ends):
        try:
            # With --json stdout is the document's alone; people are told on stderr.
            with open_display(sys.stderr if as_json else sys.stdout, "Ctrl-C stops the run") as display:

                def watchers(reader: Reader) -> Iterable[Sink]:
                    yield DisplaySink(reader, display)

                session = Session(shell.host, shell.places, ready.machine, display.say, watchers, cancel)
                ended = session.run(plan, ready.request)
        except Busy as error:
            frame.fail(f"nothing was begun: {error}")
        except OSError as error:
            hint = "; try it as root" if isinstance(error, PermissionError) else ""
            frame.fail(f"{error.filename or shell.places.runtime}: {error.strerror}; nothing was run{hint}")
        status = exit_status(ended.result)
        if as_json:
            frame.print_json(ended.result.encode())
        elif ended.trouble:
            frame.tell(ended.trouble)
        else:
            frame.tell(f"the record of this run is in {shell.places.runs / ended.result.run}")
            runs.tell_certificate(shell, ended.result.run)
        conclude(
            shell.host,
            shell.places,
            plan,
            ended,
            frame.tell,
            drain=lambda: _drain(ended, plan, cancel),
            cancel=cancel,
        )
        ended.close()
    return status


def _drain(ended: Ended, plan: Plan, cancel: Cancel) -> list[str]:
    """Wait for delivery, a second Ctrl-C ends that; what is undelivered then is said."""
    limit = plan.settings.drain
    late = ended.drain(min(limit, DRAIN_SAID_AFTER))
    was_cancelled = cancel.is_set()
    waited = DRAIN_SAID_AFTER
    if late and limit > waited:
        frame.tell(f"waiting up to {limit:g} s for delivery; Ctrl-C leaves")
    while late and waited < limit and (was_cancelled or not cancel.is_set()):
        late = ended.drain(1.0)
        waited += 1.0
        if was_cancelled:
            break
    for line in late:
        frame.tell(line)
    return late
