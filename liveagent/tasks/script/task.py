"""A script as a task: its header gives the options, what holds it back, what a dry run shows, and its runs."""

from __future__ import annotations

import collections
import threading
from collections.abc import Sequence
from typing import Any, Callable, ClassVar

from liveagent.events import JSON, Finding, Verdict, worst
from liveagent.host import Cancelled, Host, make_command_line
from liveagent.machine import Machine
from liveagent.tasks import Context, Outcome, Preview, Task
from liveagent.tasks.script.header import Header, Parallel
from liveagent.tasks.script.parameters import list_secrets, make_arguments, make_options
from liveagent.tasks.script.sitting import Sitting, make_row
from liveagent.tasks.script.targets import Choice, Target, choose_targets, make_disk_target
from liveagent.tasks.wipe.select import Held


class Script(Task):
    """An executable that somebody else wrote, as it stands. `make_script` makes one; each run has its own limit."""

    name: ClassVar[str] = ""
    summary: ClassVar[str] = "a drop-in script"
    path: ClassVar[str] = ""
    header: ClassVar[Header] = Header()

    def faults(self, options: Any) -> Sequence[str]:
        return [
            f"liveagent.{self.name}.{one.option} has to be set: the script requires it"
            for one in self.header.parameters
            if one.required and one.value(options) is None
        ]

    def refuse(self, host: Host, machine: Machine, options: Any) -> Sequence[Finding]:
        choice = choose_targets(host, machine, self.header, options)
        return [Finding(fault.code, Verdict.REFUSED, self.name, fault.text) for fault in choice.faults]

    def preview(self, host: Host, machine: Machine, options: Any) -> Preview:
        choice = choose_targets(host, machine, self.header, options)
        secrets = list_secrets(self.header.parameters, options)
        runs = []
        for target in choice.targets:
            arguments = make_arguments(self.header.parameters, options, target.values)
            runs.append((target.label or "-", make_command_line([self.path, *arguments], secrets)))
        held = [(one.disk.label, f"refused: {one.text}") for one in choice.refused]
        held += [(one.disk.label, f"left out: {one.text}") for one in choice.skipped]
        held += [(self.name, f"refused: {fault.text}") for fault in choice.faults]
        rows = (*runs, *held, *(("note", note) for note in self.notes))
        return Preview(
            columns=("on", "runs"),
            rows=rows,
            verdict=Verdict.REFUSED if choice.refused or choice.faults else Verdict.PASS,
            serious=self._warn(choice) if self.destructive else "",
            data={"path": self.path, "runs": [command for _, command in runs], "held": [list(row) for row in held]},
        )

    def _warn(self, choice: Choice) -> str:
        if any(not target.part for target in choice.targets):
            return f"{self.path} says that it destroys data, and not which: no guard can hold it back."
        labels = ", ".join(target.label for target in choice.targets)
        return f"{self.path} says that it destroys data, and is given: {labels or 'nothing'}."

    def run(self, context: Context, options: Any) -> Outcome:
        choice = choose_targets(context.host, context.machine, self.header, options)
        for fault in choice.faults:  # the machine was looked at again since the engine asked
            context.finding(Finding(fault.code, Verdict.REFUSED, self.name, fault.text))
        if choice.faults:
            return Outcome(Verdict.REFUSED, "; ".join(fault.text for fault in choice.faults))
        for note in self.notes:
            context.line(note, command=self.path)
        rows = [_tell_held(context, one, Verdict.REFUSED) for one in choice.refused]
        rows += [_tell_held(context, one, Verdict.SKIPPED) for one in choice.skipped]
        context.data = {"path": self.path, "runs": rows}
        if not choice.targets and not choice.refused:
            summary = "there is nothing to run it on"
            context.finding(Finding("script.no_target", Verdict.FAIL, self.path, summary, {"left_out": len(rows)}))
            return Outcome(Verdict.FAIL, summary, context.data)
        self._warn_of_reboots(context)

        def tell(target: Target, row: dict[str, JSON]) -> None:
            rows.append(row)
            if target.part:
                context.part_finished(target.part, Verdict(row["verdict"]), row["summary"], row)

        def sit(target: Target) -> None:
            if target.part:
                context.part_started(target.part, {"serial": target.values.get("serial") or ""})
            try:
                row = Sitting(context, self.name, self.path, self.header, options, target).run()
            except Cancelled:
                tell(target, make_row(target, Verdict.CANCELLED, "cancelled"))
                raise
            except Exception as error:  # the agent's own
                tell(target, make_row(target, Verdict.ERROR, f"{type(error).__name__}: {error}"))
                raise
            tell(target, row)

        run_all(sit, choice.targets, side_by_side=self.header.parallel is not Parallel.DISABLED)
        verdict = worst(Verdict(row["verdict"]) for row in rows)
        return Outcome(verdict, summarize(rows), context.data)

    def _warn_of_reboots(self, context: Context) -> None:
        if self.header.may_reboot and context.machine.live.is_live:
            summary = (
                "may reboot the machine, and a live image forgets that it was begun: "
                "keep /var/lib/liveagent on a disk, or the next boot begins anew"
            )
            context.finding(Finding("script.forgets", Verdict.WARN, self.path, summary))


def make_script(name: str, path: str, header: Header) -> Script:
    """The task of a script. A task's texts and options belong to its class, so each script is one."""
    about = " ".join(filter(None, [header.title, f"({header.description})" if header.description else ""]))
    notes = list(header.notes)
    if header.name not in ("", name):
        notes.append(f"the header calls it {header.name}; it is run by the name of its file")
    declared = {
        "name": name,
        "path": path,
        "header": header,
        "summary": about or f"drop-in {path}",
        "destructive": header.destructive,
        "Options": make_options(header.parameters),
        "notes": tuple(notes),
    }
    made: Script = type("DropIn", (Script,), declared)()
    return made


def run_all(sit: Callable[[Target], None], targets: Sequence[Target], side_by_side: bool) -> None:
    """One after the other, or all at once; the first exception of a run is raised when all have ended."""
    raised: list[BaseException] = []

    def work(target: Target) -> None:
        try:
            sit(target)
        except BaseException as error:  # whatever it is, the others have to be waited for
            raised.append(error)

    if side_by_side:
        threads = [
            threading.Thread(target=work, args=(one,), name=f"script-{one.part}", daemon=True) for one in targets
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    else:
        for one in targets:
            work(one)
    if raised:
        raise raised[0]


def summarize(rows: Sequence[dict[str, JSON]]) -> str:
    """What one run says; of several, how many ended how."""
    if len(rows) == 1:
        return ": ".join(filter(None, [rows[0]["label"], rows[0]["summary"]]))
    counts = collections.Counter(row["verdict"] for row in rows)
    words = ", ".join(f"{counts[verdict.value]} {verdict}" for verdict in Verdict if counts[verdict.value])
    return f"{len(rows)} runs: {words}"


def _tell_held(context: Context, held: Held, verdict: Verdict) -> dict[str, JSON]:
    """Say why a disk gets no run, and give its row."""
    for reason in held.reasons:
        context.finding(Finding(reason.code, verdict, held.disk.label, f"not run on it: {reason.text}"), held.disk.name)
    return make_row(make_disk_target(held.disk), verdict, held.text)
