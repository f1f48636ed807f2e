"""Scripts with a header, run: their environment, limits, results, one run a disk, and all that they do wrong."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Callable

import jsonschema
import pytest

import liveagent
from liveagent.events import Event, Type, Verdict
from liveagent.host import MARK, Cancelled, Host
from liveagent.machine import Machine, probe_machine
from liveagent.machine.disks import Disk
from liveagent.machine.nics import Nic
from liveagent.machine.stack import Layer
from liveagent.machine.use import Use, UseKind
from liveagent.options import Setting, parse_options
from liveagent.tasks import Context, Outcome
from liveagent.tasks.script import parameters
from liveagent.tasks.script.header import KEYS, Header, parse_header
from liveagent.tasks.script.sitting import Sitting
from liveagent.tasks.script.targets import make_disk_target, match_disk
from liveagent.tasks.script.task import Script, make_script
from liveagent.tasks.script.workplace import KEPT
from tests.conftest import REPOSITORY, MakeLoop, need
from tests.tasks.test_wipe_select import make_disk, make_machine

SCHEMA = json.loads((Path(liveagent.__file__).parent / "schemas" / "script.json").read_text())
LONG = 60.0
MIB = 1024 * 1024
NOBODY = make_machine(is_live=False)


class Heard:
    """What a script said, thread-safe as the spool is."""

    def __init__(self) -> None:
        self.events: list[tuple[Type, Any, str]] = []
        self.wakes = threading.Event()

    def __call__(self, type: Type, data: Any, subject: str = "") -> Event | None:
        self.events.append((type, data, subject))
        if type is Type.OUTPUT:
            self.wakes.set()
        return None

    @property
    def lines(self) -> list[str]:
        return [data["line"] for type, data, _ in self.events if type is Type.OUTPUT]

    @property
    def codes(self) -> list[str]:
        return [data["code"] for type, data, _ in self.events if type is Type.FINDING]


@dataclasses.dataclass
class Bench:
    """Where a script is made and run: its file, the runs' records, this machine's door."""

    path: Path
    runs: Path
    host: Host = dataclasses.field(default_factory=Host)
    machine: Machine = NOBODY
    heard: Heard = dataclasses.field(default_factory=Heard)

    def make(self, body: str, yaml: str | None = None) -> Script:
        lines = "".join(f"# {line}\n" for line in (yaml or "").splitlines())
        metadata = f"# --- Start MAAS 1.0 script metadata ---\n{lines}# --- End MAAS 1.0 script metadata ---\n"
        self.path.write_text(f"#!/bin/bash\n{'' if yaml is None else metadata}{body}\n")
        self.path.chmod(0o755)
        return make_script("mine", str(self.path), parse_header(self.path.read_bytes()) or Header())

    def run(self, script: Script, run: str = "RUN", **values: str) -> Outcome:
        settings = {name: Setting(value, "test") for name, value in values.items()}
        parsed: Any = parse_options(script.Options, settings, "")
        assert parsed.faults == ()
        self.heard = Heard()
        directory = self.runs / run
        directory.mkdir(parents=True, exist_ok=True)
        context = Context(self.host, self.machine, "mine", self.heard, directory=directory)
        outcome = script.run(context, parsed.options)
        jsonschema.validate(outcome.data, SCHEMA)
        return outcome

    def kept(self, name: str, part: str = "", run: str = "RUN") -> str:
        return (self.runs / run / "mine" / part / name).read_text()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "mine.sh", tmp_path / "runs")


def is_alive(pid: str) -> bool:
    """Whether a process runs; one that nobody has reaped yet does not."""
    try:
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def row(outcome: Outcome) -> Any:
    (one,) = outcome.data["runs"]
    return one


# -- what a script is given -------------------------------------------------------------------------


def test_environment(bench: Bench) -> None:
    """The variables of the metadata's runner, and files that a script may read and write as it goes."""
    script = bench.make(
        'echo out; echo err >&2; touch "$DOWNLOAD_PATH/file"\n'
        'echo "$RUNTIME $HAS_STARTED $LIVEAGENT_TASK $SPEEDISO"\n'
        'for at in 1 2 3 4 5 6 7 8 9; do grep -q err "$OUTPUT_STDERR_PATH" && break; sleep 0.2; done\n'
        'cat "$OUTPUT_STDERR_PATH"; [ -f "$OUTPUT_STDOUT_PATH" ] && [ -f "$OUTPUT_COMBINED_PATH" ] || exit 1\n'
        'echo "status: passed" >"$RESULT_PATH"',
        "timeout: 00:01:30",
    )
    outcome = bench.run(script)
    assert outcome.verdict is Verdict.PASS and row(outcome)["says"] == "passed"
    assert bench.kept("stdout").splitlines() == ["out", "90 False mine mine", "err"]
    assert bench.kept("stderr") == "err\n"
    assert sorted(bench.kept("combined").splitlines()) == sorted(["out", "err", "90 False mine mine", "err"])
    place = bench.runs / "RUN" / "mine"
    assert not (place / "downloads").exists() and place.stat().st_mode & 0o777 == 0o700


def test_without_a_record_to_keep_it_in(bench: Bench) -> None:
    """Where the record cannot be written the script runs all the same, in a place that passes."""
    script = bench.make('echo "status: degraded" >"$RESULT_PATH"; echo "$RESULT_PATH"')
    heard = Heard()
    outcome = script.run(Context(bench.host, NOBODY, "mine", heard), script.Options())
    assert outcome.verdict is Verdict.WARN
    assert not Path(heard.lines[0]).parent.exists()


def test_parameters_become_arguments(bench: Bench) -> None:
    """As they are set, in the header's order; what nobody set is not there."""
    yaml = (
        "parameters:\n  size: {type: string, argument_format: '--size {input}'}\n  fast: {type: boolean}\n"
        "  mode: {type: choice, choices: [a, b], default: b}\n  none: {type: url}"
    )
    outcome = bench.run(bench.make('printf "<%s>" "$@"', yaml), size="a b", fast="yes")
    assert bench.heard.lines == ["<--size><a b><--fast><--choice=b>"]
    assert row(outcome)["arguments"] == ["--size", "a b", "--fast", "--choice=b"]


def test_a_password_is_not_said(bench: Bench) -> None:
    """Not by the script's own output, its result, the row, a dry run, or the files that stay."""
    yaml = "parameters:\n  key: {type: password}\nresults: [seen]"
    script = bench.make('echo "got $1"; echo "results: {seen: \\"$1\\"}" >"$RESULT_PATH"', yaml)
    outcome = bench.run(script, key="geheim12")
    assert outcome.verdict is Verdict.PASS
    preview = script.preview(bench.host, NOBODY, script.Options(key="geheim12"))  # type: ignore[call-arg]
    said = [json.dumps(bench.heard.events, default=str), json.dumps(outcome.data), str(preview), bench.kept("combined")]
    assert not any("geheim12" in text for text in said)
    assert bench.heard.lines == ["got --password=[secret]"]
    assert row(outcome)["results"][0]["value"] == "--password=[secret]"
    kept = [path.read_text() for path in bench.runs.rglob("*") if path.is_file()]
    assert len(kept) == 3 and "geheim12" not in "".join(kept)


def test_a_short_password_is_not_said_either(bench: Bench) -> None:
    """Nor one that comes back in a result that is none."""
    yaml = "parameters:\n  key: {type: password, argument_format: '{input}'}"
    script = bench.make('echo "status: $1" >"$RESULT_PATH"', yaml)
    assert bench.run(script, key="xyz").verdict is Verdict.ERROR
    assert "xyz" not in json.dumps(bench.heard.events, default=str)


@pytest.mark.parametrize(
    "password", ["it's 1 `b`", 'a"b\\c', "y" * 60, "abc\N{BELL SYMBOL}" * 12], ids=["quote", "escape", "long", "wide"]
)
@pytest.mark.parametrize("result", ["status: %s", "results: {%s: {a: b}}", "%s: 1\n%s: 2"])
def test_a_password_that_is_quoted(bench: Bench, password: str, result: str) -> None:
    """Quoting changes what it looks like, and cutting leaves half of it: neither brings it to light."""
    yaml = "parameters:\n  key: {type: password, argument_format: '{input}'}"
    write = result.replace("%s", "' + json.dumps(sys.argv[1]) + '").replace("\n", "\\n")
    body = f"python3 -c \"import json, os, sys; open(os.environ['RESULT_PATH'], 'w').write('{write}')\" \"$1\""
    script = bench.make(body, yaml)
    assert bench.run(script, key=password).verdict is Verdict.ERROR
    options: Callable[..., Any] = script.Options
    preview = script.preview(bench.host, NOBODY, options(key=password))
    assert preview.rows == (("-", f"{bench.path} '[secret]'"),)
    said = json.dumps([bench.heard.events, preview.data], default=str, ensure_ascii=False)
    quoted = (password, repr(password)[1:-1], json.dumps(password)[1:-1], password[:8])
    assert "script.result" in said and not any(one in said for one in quoted)


def test_what_only_looks_like_a_secret(bench: Bench) -> None:
    """A script's own words stand in no finding with what follows `password=` in them."""
    bench.run(bench.make('echo "results: {\'password=hunter2\': {a: b}}" >"$RESULT_PATH"'))
    assert "neither a value" in str(bench.heard.events) and "hunter2" not in str(bench.heard.events)


def test_what_is_required(bench: Bench) -> None:
    """A parameter that has to be set and is not is a fault of the plan."""
    script = bench.make("exit 0", "parameters:\n  key: {type: string, required: true}")
    assert script.faults(script.Options()) == ["liveagent.mine.key has to be set: the script requires it"]
    assert script.faults(script.Options(key="x")) == []  # type: ignore[call-arg]


@pytest.mark.parametrize(("required", "faults"), [("", 1), (", required: true", 1), (", required: false", 0)])
def test_an_empty_default_is_not_all_disks(bench: Bench, required: str, faults: int) -> None:
    """Whoever took the default away gets no disk for it: it is named, or the script runs once without any."""
    header = f"destructive: true\nparameters:\n  storage: {{type: storage, default: ''{required}}}"
    script = bench.make("exit 0", header)
    assert len(script.faults(script.Options())) == faults
    machine = make_machine(make_disk("sda"), make_disk("sdb"))
    preview = script.preview(bench.host, machine, script.Options())
    assert preview.rows == (("-", str(bench.path)),) and "not which" in preview.serious
    assert fates(bench, script, *machine.disks, storage="sda") == {"sda": "runs"}


def test_output_as_a_terminal_shows_it(bench: Bench) -> None:
    """A bar is one line, as it stood in the end."""
    outcome = bench.run(bench.make(r"printf ' 10%%\r 50%%\r100%%\nabc\b\b\bxyz\n\033[31mred\033[0m\n'"))
    assert bench.heard.lines == ["100%", "xyz", "red"] == row(outcome)["tail"]
    assert bench.kept("stdout") == "100%\nxyz\nred\n"


# -- what becomes of it -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "end", "verdict", "codes"),
    [
        ("passed", "exit 0", Verdict.PASS, []),
        ("failed", "exit 0", Verdict.FAIL, ["script.failed"]),
        ("degraded", "exit 0", Verdict.WARN, ["script.degraded"]),
        ("skipped", "exit 0", Verdict.SKIPPED, []),
        ("skipped", "exit 3", Verdict.WARN, ["script.odd"]),
        ("passed", "exit 3", Verdict.WARN, ["script.odd"]),
        ("failed", "exit 3", Verdict.FAIL, ["script.failed"]),
        ("passed", "kill -SEGV $$", Verdict.FAIL, ["script.failed", "script.odd"]),
    ],
)
def test_status(bench: Bench, status: str, end: str, verdict: Verdict, codes: list[str]) -> None:
    """What the script says counts; that it ended otherwise is said, and whoever was killed has not passed."""
    outcome = bench.run(bench.make(f'echo "status: {status}" >"$RESULT_PATH"; {end}'))
    assert (outcome.verdict, bench.heard.codes, row(outcome)["says"]) == (verdict, codes, status)


@pytest.mark.parametrize("yaml", ["results: [speed, heat]", "results: {speed: {title: Speed}, heat: Heat}"])
def test_results(bench: Bench, yaml: str) -> None:
    """Figures come with their titles; those that are missing are said, those that nobody declared are kept."""
    body = 'printf "results:\\n  extra: [1, a]\\n  speed: 12.5\\n" >"$RESULT_PATH"'
    outcome = bench.run(bench.make(body, yaml))
    found = {one["name"]: one for one in row(outcome)["results"]}
    assert [*found] == ["speed", "extra"]
    assert (found["speed"]["value"], found["extra"]["value"]) == (12.5, [1, "a"])
    assert found["speed"]["title"] == ("Speed" if "{" in yaml else "speed")
    assert (outcome.verdict, bench.heard.codes) == (Verdict.WARN, ["script.missing"])


@pytest.mark.parametrize(
    ("write", "words"),
    [
        ('echo "status: [" >"$RESULT_PATH"', "no YAML: line 2"),
        ('echo "status: great" >"$RESULT_PATH"', "status great is none of passed"),
        ('echo "status: [failed]" >"$RESULT_PATH"', "is none of passed"),
        ('echo "status: {failed: 1}" >"$RESULT_PATH"', "is none of passed"),
        ('echo "status: no" >"$RESULT_PATH"', "status False is none of passed"),
        ('echo "results: {a: 0x$(printf "%05000d" 0 | tr 0 f)}" >"$RESULT_PATH"', "more than 64 bits"),
        ('echo "results: {a: [!!int \'\']}" >"$RESULT_PATH"', "not what its tag says"),
        ('echo "- a" >"$RESULT_PATH"', "no mapping"),
        ('echo "results: [a]" >"$RESULT_PATH"', "no mapping of names"),
        ('echo "results: {a: {b: c}}" >"$RESULT_PATH"', "neither a value"),
        ('echo "status: &x passed" >"$RESULT_PATH"; echo "b: *x" >>"$RESULT_PATH"', "alias"),
        ('printf "\\377" >"$RESULT_PATH"', "not UTF-8"),
        ('head -c 300000 /dev/zero >"$RESULT_PATH"', "longer than"),
        ('mkfifo "$RESULT_PATH"', "no file"),
        ('ln -s /etc/passwd "$RESULT_PATH"', "cannot be opened"),
        ('mkdir "$RESULT_PATH"', "no file"),
    ],
)
def test_broken_results(bench: Bench, write: str, words: str) -> None:
    """It said something, and nobody can tell what: no pass, whatever the exit status."""
    outcome = bench.run(bench.make(write))
    assert outcome.verdict is Verdict.ERROR and bench.heard.codes == ["script.result"]
    (finding,) = (data for type, data, _ in bench.heard.events if type is Type.FINDING)
    assert words in finding["summary"]


def test_no_result(bench: Bench) -> None:
    """None, or an empty one, leaves it to the exit status."""
    assert bench.run(bench.make("exit 0", "timeout: 60")).verdict is Verdict.PASS
    assert bench.run(bench.make(': >"$RESULT_PATH"')).verdict is Verdict.PASS
    assert bench.run(bench.make("exit 1", "timeout: 60")).verdict is Verdict.FAIL


# -- limits -----------------------------------------------------------------------------------------


def test_timeout(bench: Bench) -> None:
    """The run ends with a finding that makes the exit status 124, as `timeout` has it."""
    began = time.monotonic()
    outcome = bench.run(bench.make("sleep 1000", "timeout: 1"))
    assert time.monotonic() - began < LONG
    assert (outcome.verdict, bench.heard.codes) == (Verdict.ERROR, ["task.limit"])
    assert row(outcome)["status"] == 124 and "did not end within 1 s" in outcome.summary


def test_a_script_that_ignores_sigterm(bench: Bench) -> None:
    """It is killed, with all that it started, and that is said."""
    script = bench.make("trap '' TERM; echo $$; while :; do sleep 1; done", "timeout: 1")
    outcome = bench.run(script)
    assert "ignored SIGTERM and was killed" in outcome.summary and row(outcome)["status"] == 124
    assert not is_alive(bench.heard.lines[0])


def test_a_child_that_hides(bench: Bench) -> None:
    """A session of its own and an empty environment do not save what the script started, nor what that started."""
    child = "env -i setsid sh -c 'trap \"\" TERM; env -i setsid sleep 1000 & echo $! $$; wait' </dev/null &"
    bench.run(bench.make(f"{child} wait", "timeout: 1"))
    pids = bench.heard.lines[0].split()
    assert len(pids) == 2 and not any(map(is_alive, pids))


def test_runtime(bench: Bench) -> None:
    """A runtime that is asked for moves the limit, with time to put things away."""
    yaml = "timeout: 1\nparameters:\n  runtime: {type: runtime, max: 100}"
    outcome = bench.run(bench.make('sleep 1.5; echo "$RUNTIME $1"', yaml), runtime="2s")
    assert outcome.verdict is Verdict.PASS and bench.heard.lines == ["2 --runtime=2"]


# -- what scripts do wrong --------------------------------------------------------------------------


def test_a_script_that_forks_and_leaves(bench: Bench) -> None:
    """What it left running is ended, and that is said; a session of its own does not save it."""
    outcome = bench.run(bench.make('setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo "$!"; exit 0'))
    assert outcome.verdict is Verdict.PASS and "1 process that it left running ended" in outcome.summary
    assert not is_alive(bench.heard.lines[0])


@pytest.mark.parametrize("is_recorded", [True, False])
def test_a_script_that_leaves_a_mount(bench: Bench, tmp_path: Path, is_recorded: bool) -> None:
    """What it mounted where it downloads is not emptied with that, and is said; no other run is held back by it."""
    need(os.geteuid() == 0, "root: it mounts")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("precious")
    mount = f'mkdir "$DOWNLOAD_PATH/a b"; mount --bind {outside} "$DOWNLOAD_PATH/a b"'
    script = bench.make(f'{mount} || exit 1; echo "$DOWNLOAD_PATH"; kill -9 $$')
    heard = Heard()
    directory = tmp_path / "runs" if is_recorded else None
    outcome = script.run(Context(bench.host, NOBODY, "mine", heard, directory=directory), script.Options())
    downloads = Path(heard.lines[0])
    try:
        assert (outside / "file").read_text() == "precious" == (downloads / "a b" / "file").read_text()
        assert heard.codes == ["script.failed", "script.mounted"] and outcome.verdict is Verdict.FAIL
    finally:
        subprocess.run(["umount", downloads / "a b"], check=True)
        if not is_recorded:
            shutil.rmtree(downloads.parent)


def test_a_script_that_prints_a_gigabyte(bench: Bench) -> None:
    """It runs to its end; what is kept is bounded, and that not all of it is kept is said."""
    line = "x" * 4095
    outcome = bench.run(bench.make(f"yes {line} | head -c 1073741824; exit 0"))
    assert outcome.verdict is Verdict.PASS and "printed more than is kept" in outcome.summary
    assert KEPT // 2 < (bench.runs / "RUN/mine/stdout").stat().st_size <= KEPT
    assert len(bench.heard.lines) == 1073741824 // 4096


def test_a_gigabyte_without_a_line(bench: Bench) -> None:
    """One that never ends its line fills no memory either."""
    outcome = bench.run(bench.make("head -c 268435456 /dev/zero | tr '\\0' x"))
    assert outcome.verdict is Verdict.PASS and max(map(len, bench.heard.lines)) <= 128 * 1024


def test_a_script_that_prints_binary(bench: Bench) -> None:
    """What is no text is shown as such, and the lines around it are whole."""
    outcome = bench.run(bench.make("echo before; head -c 100000 /dev/urandom; echo; echo after"))
    assert outcome.verdict is Verdict.PASS
    assert bench.heard.lines[0] == "before" and bench.heard.lines[-1] == "after"
    json.dumps(bench.heard.lines).encode()
    assert bench.kept("stdout").startswith("before\n")


@pytest.mark.parametrize(
    ("text", "words"), [("#!/nowhere/interpreter\n", "is not installed"), ("\x7fnot a program", "Exec format error")]
)
def test_a_file_that_cannot_be_started(bench: Bench, text: str, words: str) -> None:
    """That is the script's fault, not the machine's, and the text says what to do."""
    bench.path.write_text(text)
    bench.path.chmod(0o755)
    outcome = bench.run(make_script("mine", str(bench.path), Header()))
    assert (outcome.verdict, bench.heard.codes) == (Verdict.ERROR, ["script.start"])
    assert words in outcome.summary and "#!/bin/sh" in outcome.summary


# -- reboots ----------------------------------------------------------------------------------------


def cancelled_run(bench: Bench, script: Script, run: str) -> tuple[Heard, Context]:
    """Run a script until it has said something, and end it from outside then."""
    cancel = threading.Event()
    directory = bench.runs / run
    directory.mkdir(parents=True, exist_ok=True)
    heard = Heard()
    context = Context(bench.host.cancelled_by(cancel), bench.machine, "mine", heard, directory=directory)
    raised: list[BaseException] = []

    def work() -> None:
        try:
            script.run(context, script.Options())
        except Cancelled as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert heard.wakes.wait(LONG)
    cancel.set()
    thread.join(LONG)
    assert raised
    return heard, context


@pytest.mark.parametrize(("state", "has_started"), [("stopping", "True"), ("running", "False")])
def test_has_started(bench: Bench, tmp_path: Path, state: str, has_started: str) -> None:
    """A script that went down with the machine learns that it was begun; one that a person cancelled begins anew."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "systemctl").write_text(f"#!/bin/sh\necho {state}\n")
    (tools / "systemctl").chmod(0o755)
    bench.host = Host(environment={"PATH": f"{tools}:/usr/bin:/bin"})
    script = bench.make('echo "$HAS_STARTED"; [ "$HAS_STARTED" = True ] && exit 0; sleep 1000', "may_reboot: true")
    cancelled_run(bench, script, "RUN-1")
    ended = bench.make('echo "$HAS_STARTED"', "may_reboot: true")
    bench.run(ended, "RUN-2")
    assert bench.heard.lines == [has_started]


def test_has_started_after_an_end(bench: Bench) -> None:
    """One that ended by itself begins anew the next time, and one that may not reboot keeps no mark."""
    script = bench.make('echo "$HAS_STARTED"', "may_reboot: true")
    bench.run(script, "RUN-1")
    bench.run(script, "RUN-2")
    assert bench.heard.lines == ["False"] and not [*bench.runs.rglob("begun*")]


def test_one_mark_a_disk(bench: Bench, tmp_path: Path) -> None:
    """Disks that share a serial, as the namespaces of a drive do, are begun each for itself."""
    script = bench.make("exit 0", f"may_reboot: true\n{EACH}")
    disks = [
        dataclasses.replace(make_disk(name, serial="S"), wwn=wwn, nvme_namespace=number)
        for name, wwn, number in [
            ("nvme0n1", "eui.1", 1),
            ("nvme0n2", "eui.2", 2),
            ("nvme1n1", "", 1),
            ("nvme1n2", "", 2),
            ("sda", "", None),
            ("sdb", "", None),
        ]
    ]
    context = Context(bench.host, NOBODY, "mine", Heard(), directory=tmp_path / "runs" / "RUN")
    begun = []
    for disk in disks:
        target = make_disk_target(disk)
        mark = Sitting(context, "mine", script.path, script.header, script.Options(), target)._mark(target)
        assert mark is not None
        begun.append(mark.begin())
    assert begun == [False] * len(disks)


def test_an_image_that_forgets(bench: Bench) -> None:
    """A live image keeps nothing over a reboot: the next boot would begin anew, for ever, and that is said."""
    bench.machine = make_machine(is_live=True)
    outcome = bench.run(bench.make("exit 0", "may_reboot: true"))
    assert "script.forgets" in bench.heard.codes and outcome.verdict is Verdict.PASS


# -- one run a disk ---------------------------------------------------------------------------------

EACH = "parameters:\n  storage: {type: storage, argument_format: '{path}'}"


@pytest.mark.loop
def test_one_run_a_disk(bench: Bench, make_loop: MakeLoop) -> None:
    """Each disk has its own row, its own events, and its own files; the worst counts."""
    good, bad = make_loop(MIB), make_loop(MIB)
    bench.machine = probe_machine(bench.host)
    script = bench.make(f'echo "on $1"; [ "$1" = {good} ]', EACH)
    outcome = bench.run(script, storage=f"{good},{bad}")
    names = [Path(good).name, Path(bad).name]
    rows = {one["part"]: one for one in outcome.data["runs"]}
    assert outcome.verdict is Verdict.FAIL and outcome.summary == "2 runs: 1 fail, 1 pass"
    assert [rows[name]["verdict"] for name in names] == ["pass", "fail"]
    assert [rows[name]["disk"] for name in names] == [good, bad]
    assert bench.kept("stdout", names[0]) == f"on {good}\n"
    started = [subject for type, _, subject in bench.heard.events if type is Type.STEP_STARTED]
    finished = [subject for type, _, subject in bench.heard.events if type is Type.STEP_FINISHED]
    assert sorted(started) == sorted(finished) == sorted(f"mine/{name}" for name in names)


@pytest.mark.loop
@pytest.mark.parametrize("parallel", ["disabled", "any"])
def test_cancelled_among_disks(bench: Bench, make_loop: MakeLoop, parallel: str) -> None:
    """Every disk has an end of its own, also those that were not begun."""
    names = sorted((make_loop(MIB), make_loop(MIB)))
    bench.machine = probe_machine(bench.host)
    yaml = f"parallel: {parallel}\nparameters:\n  storage: {{type: storage, default: '{','.join(names)}'}}"
    script = bench.make("echo begun; sleep 1000", yaml)
    heard, context = cancelled_run(bench, script, "RUN")
    rows = {one["part"]: one["verdict"] for one in context.data["runs"]}
    assert rows == {Path(name).name: "cancelled" for name in names}
    assert sum(type is Type.STEP_FINISHED for type, _, _ in heard.events) == 2


@pytest.mark.loop
@pytest.mark.parametrize(("parallel", "overlap"), [("disabled", False), ("instance", True), ("any", True)])
def test_parallel(bench: Bench, make_loop: MakeLoop, tmp_path: Path, parallel: str, overlap: bool) -> None:
    """`instance` and `any` run the disks side by side, `disabled` one after the other."""
    first, second = make_loop(MIB), make_loop(MIB)
    bench.machine = probe_machine(bench.host)
    # Each waits until it sees the other, or until that would have come.
    body = (
        f'cd {tmp_path}; touch "here-$(basename "$1")"\n'
        "for at in $(seq 20); do set -- here-*; [ $# = 2 ] && echo together && break; sleep 0.1; done\n"
        "rm here-*; exit 0"
        if not overlap
        else f'cd {tmp_path}; touch "here-$(basename "$1")"\n'
        "for at in $(seq 200); do set -- here-*; [ $# = 2 ] && echo together && break; sleep 0.1; done; exit 0"
    )
    bench.run(bench.make(body, f"parallel: {parallel}\n{EACH}"), storage=f"{first},{second}")
    assert bench.heard.lines == (["together", "together"] if overlap else [])


@pytest.mark.loop
def test_a_destructive_script_and_the_guards(bench: Bench, make_loop: MakeLoop) -> None:
    """A disk that anything has is refused by the same guards as in a wipe, just before the script would begin."""
    free, held = make_loop(MIB), make_loop(MIB)
    bench.machine = probe_machine(bench.host)
    script = bench.make('printf gone | dd of="$1" conv=notrunc,fsync status=none', f"destructive: true\n{EACH}")
    assert script.destructive
    # Somebody takes the disk after it was chosen: only the last look can see that.
    file = os.open(held, os.O_RDONLY | os.O_EXCL)
    try:
        outcome = bench.run(script, storage=f"{free},{held}")
    finally:
        os.close(file)
    rows = {one["label"]: one for one in outcome.data["runs"]}
    assert outcome.verdict is Verdict.REFUSED and bench.heard.codes == ["wipe.guard.busy"]
    assert [rows[Path(name).name]["verdict"] for name in (free, held)] == ["pass", "refused"]
    assert Path(free).read_bytes()[:4] == b"gone" and Path(held).read_bytes()[:4] == b"\0\0\0\0"


def fates(bench: Bench, script: Script, *disks: Disk, storage: str = "all", layers: tuple[Layer, ...] = ()) -> Any:
    """What would become of each disk, by name: `runs`, or why not."""
    options: Callable[..., Any] = script.Options
    machine = make_machine(*disks, layers=layers)
    preview = script.preview(bench.host, machine, options(storage=tuple(storage.split(","))))
    words = {label.split()[0]: text.partition(":")[0] for label, text in preview.rows}
    return {name: text if text in ("refused", "left out") else "runs" for name, text in words.items()}


def test_which_disks_a_destructive_script_gets(bench: Bench) -> None:
    """As in a wipe: none that is in use, and none that anything stands on: nothing is taken apart for a script."""
    script = bench.make("exit 0", f"destructive: true\n{EACH}")
    mounted = make_disk("sdb", uses=(Use(UseKind.MOUNTED, "sdb1", "/srv"),))
    member = make_disk("sdc", uses=(Use(UseKind.MD, "sdc", "md0", "md0"),))
    stick = make_disk("sdd", removable=True)
    layer = Layer("md0", UseKind.MD, "RAID1", ("sdc",), ("sdc",))
    found = fates(bench, script, make_disk("sda"), mounted, member, stick, layers=(layer,))
    assert found == {"sda": "runs", "sdb": "refused", "sdc": "refused", "sdd": "left out"}
    named = fates(bench, script, make_disk("sda"), mounted, member, stick, storage="sdd", layers=(layer,))
    assert named == {"sdd": "refused"}


def test_all_where_it_must_not_be_said(bench: Bench) -> None:
    """`all` is refused for a destructive script on an installed system, and a word that means no disk for any."""
    script = bench.make("exit 0", f"destructive: true\n{EACH}")
    plain = bench.make("exit 0", EACH)
    desk = make_machine(make_disk(), is_live=False)
    assert [one.code for one in script.refuse(bench.host, desk, script.Options())] == ["wipe.guard.not_live"]
    assert plain.refuse(bench.host, desk, plain.Options()) == []
    (finding,) = plain.refuse(bench.host, desk, plain.Options(storage=("sdz",)))  # type: ignore[call-arg]
    assert (finding.code, finding.verdict) == ("wipe.disk.unknown", Verdict.REFUSED)


def test_which_disks_another_script_gets(bench: Bench) -> None:
    """One that only looks is given disks in use as well, and removable ones where they are named."""
    script = bench.make("exit 0", EACH)
    disks = (make_disk("sda", uses=(Use(UseKind.MOUNTED, "sda1", "/srv"),)), make_disk("sdb", removable=True))
    assert fates(bench, script, *disks) == {"sda": "runs", "sdb": "left out"}
    assert fates(bench, script, *disks, storage="sdb") == {"sdb": "runs"}


def test_no_disk_at_all(bench: Bench) -> None:
    """A server without disks has not passed a test of its disks."""
    outcome = bench.run(bench.make("exit 0", EACH))
    assert outcome.verdict is Verdict.FAIL and bench.heard.codes == ["script.no_target"]


def test_a_disk_that_is_gone(bench: Bench) -> None:
    """A disk that vanished since it was chosen is the machine's fault."""
    bench.machine = make_machine(make_disk("sdzz"))
    outcome = bench.run(bench.make("exit 0", EACH), storage="sdzz")
    assert outcome.verdict is Verdict.FAIL and bench.heard.codes == ["script.gone"]


def test_the_same_disk_again() -> None:
    """By model and serial, whatever it is called now; one without a serial by its name and size."""
    disk = make_disk("sda")
    moved = dataclasses.replace(disk, name="sdq", path="/dev/sdq")
    other = make_disk("sda", serial="another")
    assert match_disk(disk, [other, moved]) is moved
    assert match_disk(disk, [other, dataclasses.replace(moved, model="another")]) is None
    assert match_disk(disk, [dataclasses.replace(moved, nvme_namespace=2)]) is None
    plain = make_disk("vda", serial="", wwn="")
    assert match_disk(plain, [dataclasses.replace(plain, name="vdb"), plain]) is plain
    assert match_disk(plain, [dataclasses.replace(plain, size=1)]) is None
    assert make_disk_target(moved).values["path"] == "/dev/sdq"


# -- interfaces, and what a person sees -------------------------------------------------------------


def test_one_run_an_interface(bench: Bench) -> None:
    """`all` are those with an address; one is named by its name or its MAC address."""
    yaml = "parameters:\n  interface: {type: interface, argument_format: '{name} {mac}'}"
    nics = (Nic("eth0", "aa:00", ("192.0.2.1",), True, 1000), Nic("eth1", "aa:01", (), True, None))
    bench.machine = dataclasses.replace(NOBODY, nics=nics)
    script = bench.make('echo "$@"', yaml)
    bench.run(script)
    assert bench.heard.lines == ["eth0 aa:00"]
    bench.run(script, interface="AA:01")
    assert bench.heard.lines == ["eth1 aa:01"]
    options: Callable[..., Any] = script.Options
    (finding,) = script.refuse(bench.host, bench.machine, options(interface=("eth7",)))
    assert finding.code == "script.interface.unknown" and "did you mean eth" in finding.summary


def test_what_a_person_is_told(bench: Bench) -> None:
    """The title stands for the script; what is passed over of the header is said before and while it runs."""
    script = bench.make(
        "exit 0", "name: other\ntitle: Title\ndescription: what it does\nscript_type: test\npackages: {}"
    )
    assert script.summary == "Title (what it does)"
    assert [note.split()[0] for note in script.notes] == ["script_type", "the"]
    bench.run(script)
    assert bench.heard.lines == [*script.notes]
    warning = bench.make("exit 0", "destructive: true").preview(bench.host, NOBODY, Header()).serious
    assert "and not which" in warning


# -- the manual -------------------------------------------------------------------------------------

MANUAL = (REPOSITORY / "docs" / "tasks.md").read_text()


@pytest.mark.loop
def test_the_example_of_the_manual(bench: Bench, make_loop: MakeLoop) -> None:
    """What a person copies from the manual runs, and its figure arrives with its title."""
    text = MANUAL.partition("```sh\n")[2].partition("```")[0]
    bench.path.write_text(text)
    bench.path.chmod(0o755)
    device = make_loop(4 * MIB)
    bench.machine = probe_machine(bench.host)
    header = parse_header(text.encode())
    assert header is not None and (header.timeout, header.parallel.value) == (8 * 3600, "instance")
    outcome = bench.run(make_script("mine", str(bench.path), header), storage=device, block="64k")
    assert (outcome.verdict, bench.heard.codes) == (Verdict.PASS, [])
    assert row(outcome)["arguments"] == [device, "bs=64K"]
    assert outcome.summary == f"{Path(device).name}: exit status 0"
    (speed,) = row(outcome)["results"]
    assert speed["title"] == "Speed" and 0 < speed["value"] <= 4


def test_the_manual_is_whole(bench: Bench) -> None:
    """Every key, type, variable and finding that there is stands in it."""
    source = "".join(path.read_text() for path in (REPOSITORY / "liveagent" / "tasks" / "script").glob("*.py"))
    codes = re.findall(r'"(script\.[a-z_.]+)"', source)
    assert len(codes) > 10
    bench.run(bench.make("env"))
    variables = {line.partition("=")[0] for line in bench.heard.lines}
    assert "RESULT_PATH" in variables
    of_bash = {"PWD", "SHLVL", "_", MARK}
    words = {*KEYS, *parameters.KEYS, *(one.value for one in parameters.Type), *codes, *(variables - of_bash)}
    assert not {word for word in words if not re.search(rf"`{re.escape(word)}\b", MANUAL)}
