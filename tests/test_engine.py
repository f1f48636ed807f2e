"""A plan carried out: order, refusals, limits, cancel, verdicts; tried with small tasks on a real spool."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Callable, ClassVar

import pytest

from liveagent.engine import (
    Cancel,
    Countdown,
    Engine,
    Heartbeat,
    make_run_id,
    report_faults,
)
from liveagent.events import Event, Finding, Result, TaskResult, Type, Verdict, exit_status, worst
from liveagent.host import Host
from liveagent.machine import Identity, Live, Machine, Nic
from liveagent.options import LIST, TEXT, Fault, option, render_options
from liveagent.plan import Plan, Step
from liveagent.report.record import read_events
from liveagent.report.spool import Spool
from liveagent.scrub import Scrubber
from liveagent.settings import AgentSettings
from liveagent.tasks import Context, NoOptions, Outcome, Task

RUN = "20260102T030405Z-1a2b3c"
LONG = 30.0
IDENTITY = Identity("CZ1234", "uuid", "HPE", "DL360", None, "node", None)
MACHINE = Machine(IDENTITY, (), (), Live(True, "the test says so"))
Body = Callable[[Context], Outcome]


def passes(context: Context) -> Outcome:
    return Outcome(Verdict.PASS, "done")


class Fake(Task):
    """A task that does what the test wants, and notes that it ran."""

    summary = "a task of this test"

    def __init__(self, name: str = "fake", body: Body = passes, limit: float | None = None) -> None:
        self.name = name  # type: ignore[misc]
        self.limit = limit  # type: ignore[misc]
        self.body = body
        self.ran = 0

    def run(self, context: Context, options: Any) -> Outcome:
        self.ran += 1
        return self.body(context)


class Eraser(Fake):
    """One that would destroy something, with guards that the test sets."""

    destructive: ClassVar[bool] = True
    refusals: Sequence[Finding] = ()

    def refuse(self, host: Host, machine: Machine, options: Any) -> Sequence[Finding]:
        return self.refusals


def ending(verdict: Verdict) -> Body:
    return lambda context: Outcome(verdict, f"ended {verdict}")


def waits(context: Context) -> Outcome:
    """Works until it is told to end, as every task should."""
    context.line("working")
    context.host.pause(LONG)
    return Outcome(Verdict.PASS, "never told")


def make_plan(*tasks: Task, at_boot: bool = False, faults: tuple[Fault, ...] = (), **settings: Any) -> Plan:
    steps = tuple(Step(task, NoOptions()) for task in tasks)
    return Plan("words", steps, AgentSettings(**settings), faults, at_boot=at_boot)


@dataclasses.dataclass
class Bench:
    """A spool in a scratch directory, and the engine's way through a plan."""

    spool: Spool
    cancel: Cancel = dataclasses.field(default_factory=Cancel)

    def engine(self, plan: Plan, **more: Any) -> Engine:
        given: dict[str, Any] = {"host": Host(), "scrub": Scrubber(), "grace": LONG, **more}
        return Engine(machine=MACHINE, plan=plan, spool=self.spool, cancel=self.cancel, **given)

    def run(self, *tasks: Task, countdown: Countdown | None = None, grace: float = LONG, **settings: Any) -> Result:
        return self.engine(make_plan(*tasks, **settings), countdown=countdown, grace=grace).run()

    @property
    def events(self) -> list[Event]:
        return read_events(self.spool.path)

    def of(self, type: Type) -> list[Event]:
        return [event for event in self.events if event.type is type]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(Spool(tmp_path / RUN, RUN, "/liveagent/CZ1234"))
    yield bench
    bench.spool.close()


def verdicts(result: Result) -> list[tuple[str, str]]:
    return [(task.task, task.verdict.value) for task in result.tasks]


def codes(result: Result) -> list[str]:
    return [finding.code for task in result.tasks for finding in task.findings]


# -- a run ------------------------------------------------------------------------------------------


def test_order(bench: Bench) -> None:
    """Steps run one after the other, in order; the record says all of it, from the first event to the last."""
    begun: list[str] = []

    def note(name: str) -> Body:
        def body(context: Context) -> Outcome:
            begun.append(name)
            context.line(f"{name} speaks", part="sda")
            return Outcome(Verdict.PASS, "done", {"n": 1})

        return body

    result = bench.run(*(Fake(name, note(name)) for name in ("one", "two", "three")))
    assert begun == ["one", "two", "three"]
    assert result.verdict is Verdict.PASS and result.summary == "one: done; two: done; three: done"
    shown = [(event.type.value.partition(".")[2], event.subject) for event in bench.events]
    steps = [
        (type, subject)
        for name in begun
        for type, subject in (("step.started", name), ("output", f"{name}/sda"), ("step.finished", name))
    ]
    assert shown == [("run.started", ""), *steps, ("run.finished", "")]
    started = bench.events[0].data
    assert started["machine"]["serial"] == "CZ1234" and [t["task"] for t in started["plan"]["tasks"]] == begun


def test_the_first_event_says_where(bench: Bench) -> None:
    """Whoever sees the run knows under which addresses the machine can be reached, also where nothing runs."""
    nics = (Nic("eth0", "aa:bb", ("10.0.0.5", "2001:db8::5"), True, 1000), Nic("eth1", "aa:bc", (), None, None))
    plan = make_plan(faults=(Fault("plan.option.word", "here", "no"),))
    report_faults(bench.spool.emit, bench.spool, dataclasses.replace(MACHINE, nics=nics), plan)
    assert bench.events[0].data["addresses"] == ["10.0.0.5", "2001:db8::5"]


def test_result_is_the_last_event(bench: Bench) -> None:
    """What is returned, the last event's data and result.json are one document."""

    def body(context: Context) -> Outcome:
        context.finding(Finding("disk.smart", Verdict.WARN, "sda", "8 sectors", {"count": 8, "path": Path("/dev/sda")}))
        return Outcome(Verdict.PASS, "done", {"disks": ({"path": "sda"},), "nan": float("nan")})

    result = bench.run(Fake("fake", body))
    document = json.loads((bench.spool.directory / "result.json").read_text())
    assert result.encode() == bench.events[-1].data == document
    assert document["verdict"] == "warn" and document["tasks"][0]["data"]["disks"] == [{"path": "sda"}]
    assert Result.decode(document) == result


def test_nothing_to_do(bench: Bench) -> None:
    """A plan without steps ends too."""
    result = bench.run()
    assert result.verdict is Verdict.SKIPPED and result.summary == "nothing to do"


@pytest.mark.parametrize("verdict", Verdict)
@pytest.mark.parametrize("keep_going", [False, True])
def test_what_stops_the_steps_after(bench: Bench, verdict: Verdict, keep_going: bool) -> None:
    """FAIL, ERROR, REFUSED and UNKNOWN stop them unless keep_going; CANCELLED always; the others never."""
    after = Fake("after")
    result = bench.run(Fake("first", ending(verdict)), after, keep_going=keep_going)
    stopping = (Verdict.FAIL, Verdict.ERROR, Verdict.REFUSED, Verdict.UNKNOWN)
    stops = verdict is Verdict.CANCELLED or (verdict in stopping and not keep_going)
    assert after.ran == (0 if stops else 1)
    assert verdicts(result) == [("first", verdict.value), ("after", "skipped" if stops else "pass")]
    if stops:
        assert result.tasks[1].summary == f"not begun, since first ended {verdict}"
    assert result.verdict is worst([verdict, Verdict.SKIPPED if stops else Verdict.PASS])


@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.WARN, Verdict.UNKNOWN, Verdict.REFUSED])
def test_a_finding_counts(bench: Bench, verdict: Verdict) -> None:
    """A task cannot pass over what it found."""

    def body(context: Context) -> Outcome:
        context.finding(Finding("x", verdict, "sda", "found"), part="sda")
        return Outcome(Verdict.PASS, "all is well")

    result = bench.run(Fake("fake", body))
    assert result.verdict is verdict and bench.of(Type.STEP_FINISHED)[0].data["verdict"] == verdict.value
    assert bench.of(Type.FINDING)[0].subject == "fake/sda"


# -- tasks that go wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError("a bug"), SystemExit(0), KeyboardInterrupt(), OSError(5, "I/O error")])
def test_a_task_that_raises(bench: Bench, error: BaseException) -> None:
    """Whatever a task raises is an ERROR with its name and place; the run ends with a result."""

    def body(context: Context) -> Outcome:
        context.line("about to")
        raise error

    result = bench.run(Fake("fake", body), Fake("after"))
    assert verdicts(result) == [("fake", "error"), ("after", "skipped")] and codes(result) == ["task.error"]
    assert type(error).__name__ in result.summary and "test_engine.py:" in result.summary
    assert bench.events[-1].type is Type.RUN_FINISHED


@pytest.mark.parametrize("answer", [None, True, Verdict.PASS, "pass"])
def test_a_task_that_answers_nothing(bench: Bench, answer: Any) -> None:
    """What is no Outcome is never a pass."""
    result = bench.run(Fake("fake", lambda context: answer))
    assert result.verdict is Verdict.ERROR and "is no Outcome" in result.summary


def test_a_refusal_that_raises(bench: Bench) -> None:
    """A guard that cannot answer is no permission."""

    class Broken(Eraser):
        def refuse(self, host: Host, machine: Machine, options: Any) -> Sequence[Finding]:
            raise RuntimeError("cannot look")

    task = Broken("wipe")
    result = bench.run(task)
    assert task.ran == 0 and result.verdict is Verdict.ERROR and "cannot look" in result.summary


def test_a_task_that_reaches_its_limit(bench: Bench) -> None:
    """It is told to end, and the step is an ERROR that says so: never a pass."""
    result = bench.run(Fake("fake", waits, limit=0.1), Fake("after"))
    assert verdicts(result) == [("fake", "error"), ("after", "skipped")]
    assert codes(result) == ["task.limit"] and "its limit of 0.1 s" in result.summary
    assert exit_status(result) == 124


def test_a_task_that_passes_over_its_limit(bench: Bench) -> None:
    """One that says PASS after it was told to end did not pass."""

    def body(context: Context) -> Outcome:
        assert context.cancel.wait(LONG)
        return Outcome(Verdict.PASS, "who cares")

    result = bench.run(Fake("fake", body, limit=0.1))
    assert result.verdict is Verdict.ERROR and codes(result) == ["task.limit"]


@pytest.mark.parametrize("kind", [Fake, Eraser])
def test_a_task_that_never_ends(bench: Bench, kind: type[Fake]) -> None:
    """It is left behind, the run ends with a result, and what it says afterwards is not in the record."""
    release, said = threading.Event(), threading.Event()

    def body(context: Context) -> Outcome:
        release.wait(LONG)
        context.line("I am still here")
        context.finding(Finding("late", Verdict.FAIL, "sda", "late"))
        said.set()
        return Outcome(Verdict.PASS, "done after all")

    try:
        result = bench.run(kind("fake", body, limit=0.05), grace=0.05)
    finally:
        release.set()
    assert said.wait(LONG)
    assert result.verdict is Verdict.ERROR and codes(result) == ["task.stuck", "task.limit"]
    assert "did not end within 0.05 s" in result.summary
    assert bench.events[-1].type is Type.RUN_FINISHED and bench.spool.last == bench.events[-1].sequence
    assert exit_status(result) == 124


# -- cancel and deadline ----------------------------------------------------------------------------


def test_cancel(bench: Bench) -> None:
    """Cancel ends the step in the middle, says why, and nothing after it begins, whatever keep_going says."""
    after = Fake("after")

    def body(context: Context) -> Outcome:
        bench.cancel.end("asked to by the test")
        return waits(context)

    result = bench.run(Fake("fake", body), after, keep_going=True)
    assert verdicts(result) == [("fake", "cancelled"), ("after", "skipped")] and after.ran == 0
    assert result.tasks[0].summary == "cancelled: asked to by the test"
    assert result.verdict is Verdict.CANCELLED and exit_status(result) == 130


@pytest.mark.parametrize("limit", [None, 0.1])
def test_what_is_known_of_a_task_that_was_ended(bench: Bench, limit: float | None) -> None:
    """A task that is cancelled, or reaches its limit, among its disks leaves what is known of each."""

    def body(context: Context) -> Outcome:
        context.data = {"runs": [{"part": "sda"}]}
        if limit is None:
            bench.cancel.end("the test says so")
        return waits(context)

    (task,) = bench.run(Fake(body=body, limit=limit)).tasks
    assert task.verdict is (Verdict.CANCELLED if limit is None else Verdict.ERROR)
    assert task.data == {"runs": [{"part": "sda"}]}


def test_cancel_between_two_steps(bench: Bench) -> None:
    """A step that ended before the cancel reached it stays what it was; the run is cancelled all the same."""

    def body(context: Context) -> Outcome:
        bench.cancel.end("asked to by the test")
        return Outcome(Verdict.PASS, "done")

    after = Eraser("after")
    result = bench.run(Fake("fake", body), after, Fake("last"))
    assert verdicts(result) == [("fake", "pass"), ("after", "cancelled"), ("last", "skipped")] and after.ran == 0
    assert result.tasks[1].summary == "cancelled: asked to by the test; nothing was begun"
    assert result.verdict is Verdict.CANCELLED


def test_cancel_before_the_run(bench: Bench) -> None:
    """Cancelled before it began: nothing runs, there is no countdown, and there is a result."""
    bench.cancel.end("too late")
    task = Eraser("wipe")
    result = bench.run(task, countdown=pytest.fail, at_boot=True)
    assert task.ran == 0 and result.verdict is Verdict.CANCELLED and "nothing was begun" in result.summary


def test_cancel_while_guards_are_asked(bench: Bench) -> None:
    """Guards may take long (a disk that does not answer): they can be cancelled too."""

    class Slow(Eraser):
        def refuse(self, host: Host, machine: Machine, options: Any) -> Sequence[Finding]:
            threading.Timer(0.05, bench.cancel.end, ("asked to by the test",)).start()
            host.pause(LONG)
            return ()

    task = Slow("wipe")
    result = bench.run(task)
    assert task.ran == 0 and result.tasks[0].summary == "cancelled: asked to by the test; nothing was begun"


def test_the_first_reason_stays() -> None:
    """Why a run was ended is what ended it, not what came after."""
    cancel = Cancel()
    cancel.end("first", by_limit=True)
    cancel.end("second")
    assert (cancel.reason, cancel.by_limit, cancel.is_set()) == ("first", True, True)


def test_deadline(bench: Bench) -> None:
    """The plan's deadline ends it like a limit, also the steps that had not begun."""
    after = Fake("after")
    result = bench.run(Fake("fake", waits), after, deadline=0.1, keep_going=True)
    assert verdicts(result) == [("fake", "error"), ("after", "error")] and after.ran == 0
    assert codes(result) == ["task.limit", "task.limit"] and "deadline of 0.1 s" in result.summary
    assert "nothing was begun" in result.tasks[1].summary
    assert exit_status(result) == 124


# -- guards -----------------------------------------------------------------------------------------


def test_guards_that_take_long_are_shown_to_be_waited_for(bench: Bench) -> None:
    """A server full of disks that hang is looked at for minutes: the watchdog must not take that for a dead engine."""
    beats = threading.Semaphore(0)

    class Slow(Eraser):
        def refuse(self, host: Host, machine: Machine, options: Any) -> Sequence[Finding]:
            assert all(beats.acquire(timeout=LONG) for _ in range(3))
            return ()

    result = bench.engine(make_plan(Slow("slow")), beat=beats.release).run()
    assert verdicts(result) == [("slow", "pass")]


def test_guards_that_never_answer_hold_no_run(bench: Bench) -> None:
    """One that is told to end, and cannot, is left behind; nothing was begun."""
    looking, never = threading.Event(), threading.Event()

    class Hangs(Eraser):
        def refuse(self, host: Host, machine: Machine, options: Any) -> Sequence[Finding]:
            looking.set()
            never.wait(LONG)
            return ()

    task = Hangs("hangs")
    engine = bench.engine(make_plan(task), grace=0.2)
    threading.Thread(target=lambda: looking.wait(LONG) and bench.cancel.end("the test")).start()
    result = engine.run()
    never.set()
    assert verdicts(result) == [("hangs", "cancelled")] and task.ran == 0


def test_refused(bench: Bench) -> None:
    """A task that refuses does not run; each of its reasons is a finding."""
    task = Eraser("wipe")
    task.refusals = [Finding(f"wipe.{n}", Verdict.REFUSED, "sda", f"reason {n}") for n in (1, 2)]
    result = bench.run(task)
    assert task.ran == 0 and result.verdict is Verdict.REFUSED and exit_status(result) == 4
    assert codes(result) == ["wipe.1", "wipe.2"] and result.tasks[0].summary == "reason 1; reason 2"
    assert [event.data["code"] for event in bench.of(Type.FINDING)] == ["wipe.1", "wipe.2"]


def test_destructive_below_another_root(bench: Bench, tmp_path: Path) -> None:
    """On a desk's tree nothing destructive runs: it would read there and erase here."""
    task, harmless = Eraser("wipe"), Fake("look")
    plan = make_plan(harmless, task, at_boot=True)
    result = bench.engine(plan, host=Host(str(tmp_path)), countdown=pytest.fail).run()
    assert (task.ran, harmless.ran) == (0, 1)
    assert verdicts(result) == [("look", "pass"), ("wipe", "refused")] and codes(result) == ["task.root"]


@pytest.mark.parametrize(("expected", "runs"), [("", True), ("CZ1234", True), ("CZ9999", False), ("CZ12345", False)])
def test_expect_serial(bench: Bench, expected: str, runs: bool) -> None:
    """On any other machine everything is refused, also what destroys nothing."""
    task = Fake("look")
    result = bench.run(task, expect_serial=expected)
    assert task.ran == int(runs) and result.verdict is (Verdict.PASS if runs else Verdict.REFUSED)
    if not runs:
        assert [finding.code for finding in result.findings] == ["run.machine"] and not result.tasks
        assert exit_status(result) == 4 and result.findings[0].measured == {"expected": expected, "serial": "CZ1234"}


def test_a_machine_without_a_serial_is_never_the_expected_one(bench: Bench) -> None:
    """Where the serial is not known, a serial that is expected refuses."""
    task = Fake("look")
    engine = bench.engine(make_plan(task, expect_serial="CZ1234"))
    engine.machine = dataclasses.replace(MACHINE, identity=dataclasses.replace(IDENTITY, serial=None))
    assert engine.run().verdict is Verdict.REFUSED and task.ran == 0


# -- countdown --------------------------------------------------------------------------------------


@dataclasses.dataclass
class Shown:
    """What a countdown was called with; `then` is what happens while it is shown."""

    calls: list[tuple[float, tuple[str, ...], int]] = dataclasses.field(default_factory=list)
    then: Callable[[], object] = lambda: None
    tasks: Sequence[Fake] = ()

    def __call__(self, seconds: float, names: Sequence[str], cancel: threading.Event) -> None:
        self.calls.append((seconds, tuple(names), sum(task.ran for task in self.tasks)))
        self.then()


def test_countdown(bench: Bench) -> None:
    """At boot it is shown once, for all destructive tasks, just before the first of them."""
    tasks = [Fake("look"), Eraser("wipe"), Eraser("install")]
    shown = Shown(tasks=tasks)
    assert bench.run(*tasks, countdown=shown, at_boot=True).verdict is Verdict.PASS
    assert shown.calls == [(30.0, ("wipe", "install"), 1)]


def test_no_countdown(bench: Bench) -> None:
    """By hand somebody has confirmed already; what destroys nothing needs none."""
    shown = Shown()
    bench.run(Eraser("wipe"), countdown=shown, at_boot=False)
    bench.run(Fake("look"), countdown=shown, at_boot=True)
    assert shown.calls == []


def test_countdown_after_a_refusal(bench: Bench) -> None:
    """A first destructive task that a guard refused has used nothing up: the second one is counted down."""
    first, second = Eraser("wipe"), Eraser("install")
    first.refusals = [Finding("wipe.held", Verdict.REFUSED, "sda", "it is mounted")]
    shown = Shown(tasks=[first, second])
    bench.run(first, second, countdown=shown, at_boot=True, keep_going=True)
    assert len(shown.calls) == 1 and second.ran == 1


def test_cancel_in_the_countdown(bench: Bench) -> None:
    """Ctrl-C or `stop` in the countdown: nothing was begun, and nothing else is."""
    tasks = [Eraser("wipe"), Fake("after")]
    shown = Shown(then=lambda: bench.cancel.end("stopped on /dev/ttyS0 during the countdown"))
    result = bench.run(*tasks, countdown=shown, at_boot=True, keep_going=True)
    assert [task.ran for task in tasks] == [0, 0] and len(shown.calls) == 1
    summary = "cancelled: stopped on /dev/ttyS0 during the countdown; nothing was begun"
    assert result.tasks[0].summary == summary and result.verdict is Verdict.CANCELLED


def test_a_countdown_that_fails(bench: Bench) -> None:
    """Where nobody could be warned nothing is destroyed."""

    def fault() -> None:
        raise OSError("no console")

    task = Eraser("wipe")
    assert bench.run(task, countdown=Shown(then=fault), at_boot=True).verdict is Verdict.ERROR and task.ran == 0


# -- secrets ----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class SecretOptions:
    psid: str = option(TEXT, "", "the secret of the disk", secret=True)
    disks: tuple[str, ...] = option(LIST, (), "which")


def test_secrets_do_not_leave(bench: Bench) -> None:
    """A secret is in no event, not in result.json, and not in what is returned; neither as an option nor in a line."""
    secret = "hunter2-hunter2"

    def body(context: Context) -> Outcome:
        context.line(f"using {secret}")
        context.finding(Finding("x", Verdict.WARN, "sda", f"psid {secret} was wrong", {"deep": [{"psid": secret}]}))
        raise RuntimeError(f"nvme --psid={secret}")

    steps = (Step(Fake("fake", body), SecretOptions(secret, ("sda",))),)
    plan = Plan("fake", steps, AgentSettings(callback_secret=secret), at_boot=False)
    result = bench.engine(plan, scrub=Scrubber([secret])).run()
    written = bench.spool.path.read_text() + (bench.spool.directory / "result.json").read_text()
    assert secret not in written and secret not in json.dumps(result.encode())
    assert "[secret]" in written and result.tasks[0].options == {"disks": ["sda"]}
    assert render_options(SecretOptions(secret, ("sda", "sdb"))) == "disks=sda,sdb"


# -- around it --------------------------------------------------------------------------------------


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    """The run goes on and ends; its record stays in memory."""
    (tmp_path / "file").write_text("")
    spool = Spool(tmp_path / "file" / RUN, RUN, "/liveagent/S")
    try:
        result = Bench(spool).run(Fake("fake"))
        assert result.verdict is Verdict.PASS and spool.trouble
        assert spool.pending(0)[-1].data == result.encode()
    finally:
        spool.close()


def test_heartbeat() -> None:
    """While a run is on somebody hears of it, and after its end nobody."""
    beats: list[dict[str, Any]] = []
    heard = threading.Event()

    def emit(type: Type, data: Any, subject: str = "") -> None:
        assert type is Type.HEARTBEAT and subject == ""
        beats.append(data)
        if len(beats) == 3:
            heard.set()

    beat = Heartbeat(emit, every=0.01)
    beat.start()
    assert heard.wait(LONG)
    beat.stop()
    assert not beat.is_alive() and set(beats[0]) == {"uptime", "state", "load"}
    assert beats[0]["uptime"] > 0 and len(beats[0]["load"]) == 3


def test_faults_are_a_run_without_steps(bench: Bench) -> None:
    """A plan with faults runs nothing; each fault is a finding, and the exit status is that of a wrong request."""
    task = Fake("fake")
    faults = (Fault("plan.option.unknown", "kernel cmdline", "no such option"), Fault("plan.word.unknown", "x", "y"))
    engine = bench.engine(make_plan(task, faults=faults))
    result = report_faults(engine.emit, bench.spool, MACHINE, engine.plan)
    assert task.ran == 0 and not result.tasks and result.verdict is Verdict.ERROR
    assert [(f.code, f.part, f.summary) for f in result.findings] == [(f.code, f.origin, f.message) for f in faults]
    assert [event.type for event in bench.events] == [
        Type.RUN_STARTED,
        Type.FINDING,
        Type.FINDING,
        Type.RUN_FINISHED,
    ]
    assert result.encode() == bench.events[-1].data and exit_status(result) == 2


def make_result(verdict: Verdict, task_codes: Sequence[str] = (), run_codes: Sequence[str] = ()) -> Result:
    def findings(names: Sequence[str]) -> tuple[Finding, ...]:
        return tuple(Finding(code, Verdict.ERROR, "", "") for code in names)

    task = TaskResult("fake", verdict, "", findings=findings(task_codes))
    return Result(RUN, verdict, "", "", "", "", {}, (task,), findings(run_codes))


@pytest.mark.parametrize(
    ("verdict", "task_codes", "run_codes", "status"),
    [
        (Verdict.PASS, (), (), 0),
        (Verdict.WARN, (), (), 0),
        (Verdict.SKIPPED, (), (), 0),
        (Verdict.FAIL, ("disk.smart",), (), 1),
        (Verdict.ERROR, (), ("plan.option.unknown",), 2),
        (Verdict.ERROR, ("task.error",), (), 3),
        (Verdict.UNKNOWN, (), (), 3),
        (Verdict.REFUSED, (), ("run.machine",), 4),
        (Verdict.ERROR, ("task.limit",), (), 124),
        (Verdict.ERROR, ("task.stuck", "task.limit"), (), 124),
        (Verdict.CANCELLED, (), (), 130),
        # A task may have codes of its own that begin so: the request was right all the same.
        (Verdict.FAIL, ("plan.partitions",), (), 1),
    ],
)
def test_exit_status(verdict: Verdict, task_codes: tuple[str, ...], run_codes: tuple[str, ...], status: int) -> None:
    """The table of SPEC.md section 2."""
    assert exit_status(make_result(verdict, task_codes, run_codes)) == status


def test_run_id() -> None:
    """Runs sort by time, and two of the same second have two names."""
    first = make_run_id(0)
    assert first.startswith("19700101T000000Z-") and len(first) == len(RUN)
    assert first != make_run_id(0) and sorted([make_run_id(1e9), first])[0] == first
    assert make_run_id(4e9) > make_run_id(2e9)
