"""Drop-in tasks: which file is which task, which must not be run, and what its exit status means."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Callable

import pytest

from liveagent.boot import make_request, read_sources
from liveagent.events import Type, Verdict
from liveagent.host import Cancelled, Host
from liveagent.machine import probe_machine
from liveagent.plan import Plan, make_plan
from liveagent.tasks import BUILT_IN, Context, Outcome, Registry, Unusable, script
from liveagent.tasks.script.task import Script
from tests.conftest import need

USR, ETC = script.DIRECTORIES
Drop = Callable[..., Path]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    need(os.geteuid() == 0, "root: a drop-in has to be root's")
    return Host(str(tmp_path))


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    """Puts a script into a `tasks.d` of the tree."""

    def drop(name: str, text: str = "#!/bin/sh\nexit 0\n", directory: str = ETC, mode: int = 0o755) -> Path:
        path = tmp_path / directory.lstrip("/") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.parent.chmod(0o755)
        path.write_text(text)
        path.chmod(mode)
        return path

    return drop


class Heard:
    """What a task said while it ran."""

    def __init__(self, host: Host) -> None:
        self.events: list[tuple[Type, Any, str]] = []
        self.context = Context(host, probe_machine(host), "mine", self._emit)

    def _emit(self, type: Type, data: Any, subject: str) -> None:
        self.events.append((type, data, subject))

    @property
    def lines(self) -> list[str]:
        return [data["line"] for type, data, _ in self.events if type is Type.OUTPUT]


def run(host: Host, name: str) -> tuple[Outcome, Heard]:
    task = script.find(host, name)
    assert isinstance(task, Script)
    heard = Heard(host)
    return task.run(heard.context, task.Options()), heard


def reason(host: Host, name: str) -> str:
    """Why a drop-in must not be run; "" where it may."""
    found = script.find(host, name)
    return found.reason if isinstance(found, Unusable) else ""


# -- which file is which task -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "name"),
    [("mine", "mine"), ("mine.sh", "mine"), ("mine.py", "mine"), ("mine.pl", "mine.pl"), ("a-b_c.2.sh", "a-b_c.2")],
)
def test_a_file_is_the_task_of_its_name(host: Host, drop: Drop, file: str, name: str) -> None:
    """NAME, NAME.sh and NAME.py are the task NAME, as it stands."""
    drop(file)
    assert script.names(host) == (name,)
    found = Registry(host).find(name)
    assert isinstance(found, Script) and (found.name, found.path) == (name, f"{ETC}/{file}")
    assert not found.destructive


def test_no_directory_no_tasks(host: Host) -> None:
    """A machine without drop-ins has none."""
    assert (script.names(host), script.find(host, "mine")) == ((), None)


def test_what_is_no_task(host: Host, drop: Drop, tmp_path: Path) -> None:
    """Hidden files, directories, links to nowhere and names that cannot be a word are passed over."""
    for name in (".hidden", "mine~", "a b", "größe.sh"):
        drop(name)
    (tmp_path / ETC.lstrip("/") / "directory").mkdir()
    (tmp_path / ETC.lstrip("/") / "nowhere").symlink_to("/nowhere")
    assert script.names(host) == ()
    assert Registry(host).names() == tuple(BUILT_IN)


def test_two_files_of_one_name(host: Host, drop: Drop) -> None:
    """Which of the two is meant, nobody can say: neither is run."""
    drop("mine.sh")
    drop("mine.py")
    found = Registry(host).find("mine")
    assert isinstance(found, Unusable)
    assert found.reason == f"{ETC}/mine.py and {ETC}/mine.sh are both called mine: leave one"


def test_etc_wins(host: Host, drop: Drop) -> None:
    """Of two drop-ins of a name, the administrator's stands before the package's."""
    drop("mine", directory=USR)
    drop("mine.sh", directory=ETC)
    found = script.find(host, "mine")
    assert isinstance(found, Script) and found.path == f"{ETC}/mine.sh"


def test_a_built_in_wins(host: Host, drop: Drop) -> None:
    """A file named `wipe` does not become the wipe."""
    drop("wipe")
    assert not isinstance(Registry(host).find("wipe"), Script)
    assert Registry(host).names() == tuple(BUILT_IN)


# -- which must not be run --------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "words"), [(0o775, "by others"), (0o757, "by others"), (0o644, "not executable")])
def test_a_file_that_others_may_write(host: Host, drop: Drop, mode: int, words: str) -> None:
    """Whoever may write it would run as root at the next boot."""
    drop("mine", mode=mode)
    assert words in reason(host, "mine")


def test_a_file_that_is_not_roots(host: Host, drop: Drop) -> None:
    """Its owner could make it anything."""
    path = drop("mine")
    assert reason(host, "mine") == ""
    os.chown(path, 1, 0)
    assert "does not belong to root" in reason(host, "mine")


@pytest.mark.parametrize(("owner", "mode"), [(0, 0o775), (0, 0o777), (1, 0o755)])
def test_a_directory_that_others_may_write(host: Host, drop: Drop, owner: int, mode: int) -> None:
    """Whoever may write the directory may put another file in its place."""
    directory = drop("mine").parent
    directory.chmod(mode)
    os.chown(directory, owner, 0)
    assert f"{ETC} may be written by others" in reason(host, "mine")


def test_a_link_is_as_good_as_where_it_leads(host: Host, drop: Drop, tmp_path: Path) -> None:
    """A link from tasks.d into a directory of somebody else's is that somebody's task."""
    target = drop("real.sh", directory="/opt/tasks")
    (tmp_path / ETC.lstrip("/")).mkdir(parents=True)
    (tmp_path / ETC.lstrip("/") / "mine").symlink_to("/opt/tasks/real.sh")
    assert reason(host, "mine") == ""
    target.parent.chmod(0o777)
    assert "/opt/tasks may be written by others" in reason(host, "mine")


def test_a_task_that_must_not_be_run_is_a_fault(host: Host, drop: Drop) -> None:
    """The plan says why, and runs nothing."""
    drop("mine", mode=0o777)
    plan = make_plan(make_request({"SPEEDISO": "mine"}, *read_sources(host, "")), Registry(host))
    assert [fault.code for fault in plan.faults] == ["plan.task.unusable"] and "chmod go-w" in plan.faults[0].message
    assert "mine" in Registry(host).names()


def test_a_script_has_no_options(host: Host, drop: Drop) -> None:
    """An option for it is a fault, as for any task that does not have it."""
    drop("mine")
    words = {"mine": {}}
    plan = make_plan(make_request({"SPEEDISO": "mine"}, *read_sources(host, ""), by_hand=words), Registry(host))
    assert plan.faults == () and [step.task.name for step in plan.steps] == ["mine"]
    conf = Path(host.root, "etc/liveagent/liveagent.conf")
    conf.write_text("[mine]\nx = 1\n")
    plan = make_plan(make_request({"SPEEDISO": "mine"}, *read_sources(host, "")), Registry(host))
    assert [fault.code for fault in plan.faults] == ["plan.option.unknown"]


METADATA = """#!/bin/sh
# --- Start MAAS 1.0 script metadata ---
# title: Look at the fans
# script_type: test
# timeout: 60
# parameters:
#   speed: {type: choice, choices: [low, high], default: low, title: How fast}
#   pass-word: {type: password, required: true}
# --- End MAAS 1.0 script metadata ---
echo "$@"
"""


def test_parameters_are_options(host: Host, drop: Drop) -> None:
    """They are set from the kernel command line as those of any task, and bad values are faults of the plan."""
    drop("fans", METADATA)
    line = Path(host.root, "proc/cmdline")
    line.parent.mkdir()

    def plan(words: str) -> Plan:
        line.write_text(f"SPEEDISO=fans {words}\n")
        return make_plan(make_request({}, *read_sources(host, "")), Registry(host))

    good = plan("liveagent.fans.speed=HIGH liveagent.fans.pass-word=geheim12")
    assert good.faults == () and good.steps[0].encode()["options"] == {"speed": "high"}
    assert [fault.code for fault in plan("liveagent.fans.speed=fast liveagent.fans.heat=1").faults] == [
        "plan.option.value",
        "plan.option.unknown",
    ]
    (missing,) = plan("").faults
    assert missing.code == "plan.option.conflict" and "liveagent.fans.pass_word has to be set" in missing.message


def test_a_built_in_task_is_replaced_on_purpose_only(host: Host, drop: Drop) -> None:
    """By what /etc/liveagent names, and then by nothing else: without the operator's own there is none."""
    path = drop("hwdiag", "#!/bin/sh\n")
    drop("wipe", "#!/bin/sh\n")
    conf = Path(host.root, "etc/liveagent/liveagent.conf")
    assert not isinstance(Registry(host).find("hwdiag"), Script)
    conf.write_text("[agent]\nreplace = hwdiag\n")
    assert isinstance(Registry(host).find("hwdiag"), Script)
    assert not isinstance(Registry(host).find("wipe"), Script)
    path.unlink()
    missing = Registry(host).find("hwdiag")
    assert isinstance(missing, Unusable) and "there is no drop-in" in missing.reason


@pytest.mark.parametrize(
    ("name", "said"),
    [("wipe", "wipe is never replaced"), ("hwdiga", "is no built-in task; did you mean hwdiag?")],
)
def test_what_cannot_be_replaced(host: Host, drop: Drop, name: str, said: str) -> None:
    """It is a fault of every plan: an operator thinks that his own task runs."""
    drop(name, "#!/bin/sh\n")
    Path(host.root, "etc/liveagent/liveagent.conf").write_text(f"[agent]\nreplace = {name}\n")
    (fault,) = make_request({}, *read_sources(host, "")).faults
    assert fault.code == "plan.option.value" and said in fault.message
    assert not isinstance(Registry(host).find("wipe"), Script)


def test_no_more_than_the_beginning_is_read(host: Host, drop: Drop) -> None:
    """A script with a large archive behind it is looked at in no time and little memory."""
    path = drop("mine", METADATA)
    os.truncate(path, 1 << 40)
    assert isinstance(script.find(host, "mine"), Script)
    path.write_text(METADATA.partition("# --- End")[0])
    os.truncate(path, 1 << 40)
    assert "no end in its first 256 KiB" in reason(host, "mine")


def test_list_show_and_run(host: Host, drop: Drop, tmp_path: Path) -> None:
    """By hand: the title, the options with their types, the notes; a script that must not be run, and why."""
    drop("fans", METADATA)
    drop("broken", METADATA.replace("timeout: 60", "timout: 60"))

    def liveagent(*words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "liveagent", "--root", host.root, "--state", str(tmp_path / "state"), *words]
        environment = {**os.environ, "LIVEAGENT_RUNTIME_DIR": str(tmp_path / "run")}
        return subprocess.run(
            argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
        )

    rows = {row["task"]: row for row in json.loads(liveagent("list", "--json").stdout)}
    assert rows["fans"]["summary"] == "Look at the fans"
    assert "did you mean timeout?" in rows["broken"]["summary"] and not rows["broken"]["usable"]
    drop("painted", METADATA.replace("Look at the fans", '"Look \\e[2J\u202eat"'))
    dry = ["run", "painted", "--pass-word", "geheim12", "--dry-run"]
    painted = [liveagent(*words) for words in (["show", "painted"], ["list"], dry)]
    said = [one.stdout + one.stderr for one in painted]
    assert len(said) == 3
    assert all("Look ?[2J?at" in one and "\33" not in one and "\u202e" not in one for one in said)
    shown = liveagent("show", "fans").stdout
    assert "low|high" in shown and "How fast" in shown and "script_type is passed over" in shown
    done = liveagent("run", "fans", "--pass-word", "geheim12", "--json")
    assert done.returncode == 0 and "geheim12" not in done.stdout + done.stderr
    assert json.loads(done.stdout)["tasks"][0]["data"]["runs"][0]["verdict"] == "pass"
    record = "".join(path.read_text() for path in (tmp_path / "state").rglob("*") if path.is_file())
    assert "--password=[secret]" in record and "geheim12" not in record
    assert liveagent("run", "fans").returncode == 2


# -- what becomes of it -----------------------------------------------------------------------------


def test_exit_status_0_is_pass(host: Host, drop: Drop) -> None:
    """Its lines are heard as they come, from both streams, and its own name is in its environment."""
    drop("mine", '#!/bin/sh\necho "to $LIVEAGENT_TASK $SPEEDISO"; echo oops >&2; printf "no end"\n')
    outcome, heard = run(host, "mine")
    (row,) = outcome.data["runs"]
    assert outcome.verdict is Verdict.PASS and (row["status"], row["verdict"], row["part"]) == (0, "pass", "")
    assert sorted(heard.lines) == ["no end", "oops", "to mine mine"]
    assert heard.context.findings == []


@pytest.mark.parametrize(
    ("end", "status", "words"), [("exit 1", 1, "exit status 1"), ("kill -SEGV $$", -11, "ended by SIGSEGV")]
)
def test_anything_else_is_fail(host: Host, drop: Drop, end: str, status: int, words: str) -> None:
    """An exit status or a signal is a finding about the machine, with the figure in it."""
    drop("mine", f"#!/bin/sh\n{end}\n")
    outcome, heard = run(host, "mine")
    assert outcome.verdict is Verdict.FAIL and words in outcome.summary
    (finding,) = heard.context.findings
    assert (finding.code, finding.verdict, finding.measured) == ("script.failed", Verdict.FAIL, {"status": status})


def test_a_script_is_ended_with_the_run(host: Host, drop: Drop) -> None:
    """Cancel ends a script that never ends; it does not become a verdict of its own."""
    drop("mine", "#!/bin/sh\nexec 2>/dev/null\necho begun\nwhile :; do sleep 1000; done\n")
    task = script.find(host, "mine")
    assert isinstance(task, Script)
    cancel = threading.Event()
    said: list[str] = []

    def emit(type: Type, data: Any, subject: str) -> None:
        said.append(data["line"])
        cancel.set()

    context = Context(host.cancelled_by(cancel), probe_machine(host), "mine", emit)
    with pytest.raises(Cancelled):
        task.run(context, task.Options())
    assert said == ["begun"]


def test_a_dry_run_says_what_it_would_run(host: Host, drop: Drop) -> None:
    """The preview names the file, and runs nothing."""
    marker = Path(host.root, "ran")
    drop("mine", f"#!/bin/sh\ntouch {marker}\n")
    task = script.find(host, "mine")
    assert isinstance(task, Script)
    assert task.preview(host, probe_machine(host), task.Options()).rows == (("-", f"{ETC}/mine"),)
    assert not marker.exists()
    task.run(Heard(host).context, task.Options())
    assert marker.exists()
