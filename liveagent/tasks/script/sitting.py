"""One run of a script, from its arguments to its verdict."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from liveagent.events import EXIT_LIMIT, JSON, Finding, Verdict, worst
from liveagent.host import Cancelled, CommandError, CommandTimedOut, Completed, Host, hide
from liveagent.options import LONGEST
from liveagent.scrub import Scrubber
from liveagent.tasks import Context
from liveagent.tasks.script.header import Header
from liveagent.tasks.script.parameters import list_secrets, make_arguments
from liveagent.tasks.script.results import BadResult, Said, judge, name_results, read_result
from liveagent.tasks.script.targets import Target, find_again
from liveagent.tasks.script.workplace import Begun, Kept, Workplace, open_workplace
from liveagent.tasks.wipe.guards import Armed, arm
from liveagent.tasks.wipe.select import Held

# Beyond a runtime that was asked for, to put things away.
TIDYING = 60.0
SYSTEMCTL_TIMEOUT = 10.0


@dataclasses.dataclass
class Sitting:
    """One run of a script on one target."""

    context: Context
    name: str
    path: str
    header: Header
    options: Any
    target: Target
    verdicts: list[Verdict] = dataclasses.field(default_factory=list)

    def run(self) -> dict[str, JSON]:
        """Run it; what became of it, as a row of the task's data. Raises Cancelled."""
        if self.context.cancel.is_set():
            raise Cancelled("cancelled")
        target = find_again(self.context.host, self.target)
        if target is None:
            return self._row(Verdict.FAIL, "script.gone", "the disk is no longer there")
        if self.header.destructive and target.disk:
            with arm(self.context.host, target.disk) as armed:
                if not isinstance(armed, Armed):
                    for reason in armed.reasons:
                        self._find(reason.code, Verdict.REFUSED, f"not run on it: {reason.text}")
                    return self._row(Verdict.REFUSED, "", Held(target.disk, armed.reasons).text)
            # Given back at once: what the script calls wants to have the disk to itself as well.
        with open_workplace(self.context.directory, self.name, self.target.part, self._tell_mounted) as place:
            try:
                row = self._carry_out(place, target)
            finally:
                if self.secrets:
                    place.forget_result()
        return {**row, "verdict": worst([Verdict(row["verdict"]), *self.verdicts]).value}

    def _carry_out(self, place: Workplace, target: Target) -> dict[str, JSON]:
        arguments = make_arguments(self.header.parameters, self.options, target.values)
        kept = Kept(place)
        has_started = self._begin(target)
        try:
            completed = self._call(place, kept, arguments, has_started)
        except CommandTimedOut as error:
            words = f"did not end within {self.limit:g} s"
            words += ", ignored SIGTERM and was killed" if error.completed.status == -9 else ""
            self._end(target)
            row = self._row(Verdict.ERROR, "task.limit", words)
            return {**row, **self._encode(error.completed, EXIT_LIMIT, kept)}
        except CommandError as error:
            self._end(target)
            words = f"cannot be started: {error}; its first line names an interpreter that is there, as #!/bin/sh does"
            return self._row(Verdict.ERROR, "script.start", words)
        except Cancelled:
            self._end(target)
            raise
        finally:
            kept.close()
        self._end(target)
        assert completed.status is not None
        return {**self._judge(place, kept, completed), **self._encode(completed, completed.status, kept)}

    def _call(self, place: Workplace, kept: Kept, arguments: list[str], has_started: bool) -> Completed:
        secrets, part = self.secrets, self.target.part

        def hear(line: str, stream: str) -> None:
            line = hide(line, secrets) if secrets else line
            kept.write(line, stream)
            self.context.line(line, part, self.path)

        return self.context.host.run(
            [str(self.context.host.locate(self.path)), *arguments],
            timeout=self.limit,
            success=None,
            keep=0,  # each line is kept as it comes, and there may be a run for each of sixty disks
            on_line=lambda line: hear(line, "stdout"),
            on_error=lambda line: hear(line, "stderr"),
            secret=secrets,
            environment={
                "LIVEAGENT_TASK": self.name,
                "SPEEDISO": self.name,
                "RUNTIME": "" if self.seconds is None else f"{self.seconds:.0f}",
                "HAS_STARTED": str(has_started),
                **place.environment,
            },
        )

    def _judge(self, place: Workplace, kept: Kept, completed: Completed) -> dict[str, JSON]:
        """The verdict, with a finding for whatever a person should know."""
        assert completed.status is not None
        try:
            said = read_result(place.result)
        except BadResult as error:
            said = Said()
            self._find(
                "script.result", Verdict.ERROR, f"left a result that cannot be taken: {Scrubber().text(str(error))}"
            )
        judgement = judge(completed.status, said)
        if judgement.verdict is Verdict.FAIL:
            self._find("script.failed", Verdict.FAIL, judgement.words, {"status": completed.status})
        elif judgement.verdict is Verdict.WARN:
            self._find("script.degraded", Verdict.WARN, judgement.words, {"status": completed.status})
        if judgement.odd:
            self._find("script.odd", Verdict.WARN, f"says {said.status}, and ended otherwise: {judgement.words}")
        missing = [name for name in self.header.results if name not in said.results]
        if missing and judgement.verdict is Verdict.PASS:
            self._find("script.missing", Verdict.WARN, f"left no result called {', '.join(missing)}")
        words = [judgement.words]
        if completed.left:
            words.append(f"{completed.left} process{'es' if completed.left > 1 else ''} that it left running ended")
        if kept.cut:
            words.append("printed more than is kept")
        results = self._hide(name_results(self.header.results, said.results))
        verdict = worst([judgement.verdict, *self.verdicts])
        return {**self._row(verdict, "", "; ".join(words)), "says": said.status, "results": results}

    # -- limits, secrets, marks -------------------------------------------------------------------------

    @property
    def seconds(self) -> float | None:
        """How long it is meant to run: the runtime that was asked for, else the header's timeout."""
        parameter = self.header.runtime
        asked: float | None = parameter.value(self.options) if parameter else None
        return self.header.timeout if asked is None else asked

    @property
    def limit(self) -> float:
        """Seconds after which it is ended."""
        parameter = self.header.runtime
        asked = parameter.value(self.options) if parameter else None
        return LONGEST if self.seconds is None else self.seconds + (TIDYING if asked is not None else 0)

    @property
    def secrets(self) -> tuple[str, ...]:
        return list_secrets(self.header.parameters, self.options)

    def _mark(self, target: Target) -> Begun | None:
        if not self.header.may_reboot or self.context.directory is None:
            return None
        # The namespaces of one NVMe drive share its serial; so do some disks that have nothing else of their own.
        disk = target.disk
        label = f"{disk.serial}-{disk.wwn or disk.nvme_namespace or disk.name}" if disk else target.part
        return Begun(self.context.directory, self.name, label)

    def _begin(self, target: Target) -> bool:
        """Note that it begins; whether it did before, and did not end."""
        mark = self._mark(target)
        try:
            return mark.begin() if mark else False
        except OSError as error:
            words = f"that it was begun cannot be noted, so that it would begin anew after a reboot: {error.strerror}"
            self._find("script.mark", Verdict.WARN, words)
            return False

    def _end(self, target: Target) -> None:
        """Note that it ended; of one that took the machine down, or went down with it, that it goes on after that."""
        mark = self._mark(target)
        if mark and not is_going_down(self.context.host):
            mark.end()

    def _tell_mounted(self, directory: Path) -> None:
        words = f"{directory} is not removed: a file system is mounted in it. Unmount it, then remove the directory"
        self._find("script.mounted", Verdict.WARN, words)

    # -- what is said -----------------------------------------------------------------------------------

    def _find(self, code: str, verdict: Verdict, words: str, measured: Mapping[str, JSON] | None = None) -> None:
        self.verdicts.append(verdict)
        subject = self.target.label or self.path
        # What quotes a script's text may have escaped what stands in it.
        summary = hide(words, [*self.secrets, *(repr(secret)[1:-1] for secret in self.secrets)])
        self.context.finding(Finding(code, verdict, subject, summary, measured or {}), self.target.part)

    def _row(self, verdict: Verdict, code: str, summary: str) -> dict[str, JSON]:
        if code:
            self._find(code, verdict, f"{self.path} {summary}" if not self.target.label else summary)
        return make_row(self.target, verdict, summary)

    def _hide(self, value: JSON) -> JSON:
        """A result without the passwords, however short they are."""
        if isinstance(value, str):
            return hide(value, self.secrets)
        if isinstance(value, list):
            return [self._hide(item) for item in value]
        if isinstance(value, dict):
            return {key: self._hide(item) for key, item in value.items()}
        return value

    def _encode(self, completed: Completed, status: int, kept: Kept) -> dict[str, JSON]:
        arguments = [hide(word, self.secrets) for word in completed.argv[1:]]
        seconds = round(completed.seconds, 3)
        return {"status": status, "seconds": seconds, "arguments": arguments, "tail": [*kept.tail]}


def make_row(target: Target, verdict: Verdict, summary: str) -> dict[str, JSON]:
    """A run that was not begun; what became of one that was is put over it."""
    return {
        "part": target.part,
        "label": target.label,
        "disk": (target.disk.serial or target.disk.path) if target.disk else "",
        "verdict": verdict.value,
        "summary": summary,
        "status": None,
        "seconds": 0.0,
        "arguments": [],
        "says": "",
        "results": [],
        "tail": [],
    }


def is_going_down(host: Host) -> bool:
    """Whether the system is shutting down. The run is cancelled by then, so it is asked apart from that."""
    try:
        asked = host.cancelled_by(threading.Event()).run(
            ["systemctl", "is-system-running"], timeout=SYSTEMCTL_TIMEOUT, success=None
        )
    except CommandError:
        return False
    return asked.stdout.strip() == "stopping"
