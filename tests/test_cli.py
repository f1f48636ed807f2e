"""The commands as a person or a program types them: exit statuses, what goes to stdout, what is said."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Callable

import pytest

from liveagent.bus.client import Late
from liveagent.command.frame import Shell, list_fates
from liveagent.command.run import How, hand_in
from liveagent.host import Host
from liveagent.lock import Lock
from liveagent.machine.dmi import probe_identity
from liveagent.order import Order
from liveagent.places import Places
from tests.conftest import MakeLoop

MIB = 1024 * 1024
MARK = b"what must not survive the wipe! "

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Run `liveagent` with a state of this test's own, and an empty configuration."""
    config = tmp_path / "test.conf"
    config.write_text("[agent]\ndrain = 1s\n")
    environment = {**os.environ, "LIVEAGENT_RUNTIME_DIR": str(tmp_path / "run")}
    environment.pop("SPEEDISO", None)

    def run(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        common = ["--config", str(config), "--state", str(tmp_path / "state")]
        return subprocess.run(
            [sys.executable, "-m", "liveagent", *common, *words],
            env={**environment, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


def backing(device: str) -> Path:
    return Path(Path(f"/sys/block/{Path(device).name}/loop/backing_file").read_text().strip())


def test_help_says_what_will_happen(command: Command) -> None:
    """From --help alone it is clear how to see what a boot with SPEEDISO=wipe will do."""
    text = command("--help").stdout
    words = " ".join(text.split())
    assert "SPEEDISO=wipe" in words and "--dry-run" in words and "`liveagent plan` shows" in words
    for name in [
        "run",
        "plan",
        "list",
        "show",
        "status",
        "cancel",
        "history",
        "report",
        "inventory",
        "record",
        "doctor",
        "verify",
        "receive",
        "daemon",
    ]:
        assert f"\n  {name} " in text
        assert command(name, "--help").returncode == 0


def test_list_and_show(command: Command) -> None:
    """The tasks there are; one task's options with their defaults; a typo is answered with the nearest name."""
    tasks = {row["task"]: row for row in json.loads(command("list", "--json").stdout)}
    assert tasks["wipe"]["destructive"] is True
    options = {row["option"]: row for row in json.loads(command("show", "wipe", "--json").stdout)["options"]}
    assert options["disks"]["default"] == "all" and options["verify"]["default"] == "sample"
    assert set(options) >= {"disks", "except", "method", "passes", "pattern", "verify"}
    wrong = command("show", "wip")
    assert wrong.returncode == 2 and "did you mean wipe?" in wrong.stderr


@pytest.mark.loop
def test_json_is_alone_on_stdout(command: Command, make_loop: MakeLoop) -> None:
    """With --json a program reads one document; everything for people goes to stderr."""
    device = make_loop(8 * MIB, MARK)
    done = command("run", "wipe", "--disks", device, "--yes", "--json")
    result = json.loads(done.stdout)
    assert done.returncode == 0 and result["verdict"] == "pass"
    assert result["tasks"][0]["data"]["disks"][0]["path"] == device
    assert json.loads(command("report", "--json").stdout) == result
    assert "wipe" in done.stderr
    # By the disk as well as by the run.
    assert json.loads(command("report", device, "--json").stdout) == result
    assert command("report", "ZZZ").returncode == 2
    rows = json.loads(command("history", "--json").stdout)
    assert [(row["tasks"], row["verdict"], row["disks"]) for row in rows] == [("wipe", "pass", [device])]
    assert command("history").stdout.rstrip().endswith(f" cleared)  {device}")


@pytest.mark.loop
def test_where_the_certificate_is(command: Command, make_loop: MakeLoop, tmp_path: Path) -> None:
    """Who wiped is told where the certificate is, and that nothing signs it, by the run and by all that shows it."""
    done = command("run", "wipe", "--disks", make_loop(8 * MIB, MARK), "--yes")
    (directory,) = (tmp_path / "state" / "runs").iterdir()
    said = f"certificate: {directory / 'certificate.html'} (`liveagent verify --unsigned {directory.name}` checks it)"
    assert done.returncode == 0 and said in done.stderr.splitlines()
    assert said in command("report").stdout.splitlines() and said in command("attach").stderr.splitlines()
    assert command("report").stdout.count("NOTE: certificates are not signed: [agent] certificate_key is not set") == 1
    done = command("verify", directory.name[:8])
    assert done.returncode == 1 and done.stdout.splitlines()[-1].startswith("NOT SIGNED: ")
    # A page that is gone, or that nobody may see, is not named.
    # The page is what is named, and what can be checked lies beside it.
    assert command("verify", "--unsigned", str(directory / "certificate.html")).returncode == 0
    (directory / "certificate.html").unlink()
    assert f"certificate: {directory / 'certificate.json'} (" in command("report").stdout
    (directory / "certificate.json").unlink()
    assert "certificate: " not in command("report").stdout


def test_a_beginning_that_several_runs_have(command: Command, tmp_path: Path) -> None:
    """Such a name is not said to be no run's."""
    for run in ("20260101T000000Z-aaaaaa", "20260102T000000Z-bbbbbb"):
        (tmp_path / "state" / "runs" / run).mkdir(parents=True)
    for word in ("report", "attach"):
        done = command(word, "2026")
        assert done.returncode == 2 and "several runs begin with 2026" in done.stderr
    assert "there is no run 2027" in command("report", "2027").stderr


@pytest.mark.loop
def test_dry_run_touches_nothing(command: Command, make_loop: MakeLoop) -> None:
    """A dry run shows the table, leaves no run, no lock and no byte changed; with refusals it exits 4."""
    device, protected = make_loop(8 * MIB, MARK), make_loop(8 * MIB)
    before = backing(device).read_bytes()
    done = command("run", "wipe", "--disks", device, "--dry-run")
    assert done.returncode == 0 and device in done.stdout and "overwrite" in done.stdout
    assert backing(device).read_bytes() == before
    subprocess.run(["blockdev", "--setro", protected], check=True, timeout=30)
    done = command("run", "wipe", "--disks", f"{device},{protected}", "--dry-run", "--json")
    assert done.returncode == 4
    document = json.loads(done.stdout)
    preview = document["tasks"][0]["preview"]
    assert [row["path"] for row in preview["wipe"]] == [device]
    assert [row["path"] for row in preview["refused"]] == [protected]
    assert json.loads(command("history", "--json").stdout) == []


@pytest.mark.loop
def test_without_a_terminal_it_needs_yes(command: Command, make_loop: MakeLoop) -> None:
    """A script that forgot --yes wipes nothing."""
    device = make_loop(8 * MIB, MARK)
    done = command("run", "wipe", "--disks", device)
    assert done.returncode == 2 and "--yes" in done.stderr
    assert backing(device).read_bytes()[: len(MARK)] == MARK


@pytest.mark.loop
@pytest.mark.parametrize(
    ("ahead", "typed"),
    [(b"", b"yes\ny\nok\n"), (b"", b"wrong-serial\n\x04"), (b"", b"\n\n\x04"), (b"SERIAL\n", b"\x04")],
    ids=["yes", "another", "enter", "before the question"],
)
def test_the_serial_must_be_typed(
    command: Command, make_loop: MakeLoop, tmp_path: Path, ahead: bytes, typed: bytes
) -> None:
    """On a terminal the machine's serial is asked for; anything else, and what was typed before, wipes nothing."""
    device = make_loop(8 * MIB, MARK)
    names = probe_identity(Host())
    word = names.serial or names.uuid or names.hostname or "this machine"
    master, slave = pty.openpty()
    argv = [sys.executable, "-m", "liveagent", "--state", str(tmp_path / "state"), "run", "wipe", "--disks", device]
    process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env={**os.environ, "TERM": "xterm"})
    os.close(slave)
    os.write(master, ahead.replace(b"SERIAL", word.encode()))
    shown = b""
    while b"to go on" not in shown:
        shown += os.read(master, 4096)
    os.write(master, typed)
    try:
        while data := os.read(master, 4096):
            shown += data
    except OSError:
        pass  # the terminal's other side is closed
    assert process.wait(30) == 130
    os.close(master)
    assert b"nothing was touched" in shown and b"will be lost" in shown
    assert backing(device).read_bytes()[: len(MARK)] == MARK


@pytest.mark.loop
def test_a_slip_of_the_hand_may_be_mended(make_loop: MakeLoop, tmp_path: Path) -> None:
    """Whoever typed the disk in place of the machine is told which is which; small letters are no other serial."""
    device = make_loop(8 * MIB, MARK)
    names = probe_identity(Host())
    word = names.serial or names.uuid or names.hostname or "this machine"
    master, slave = pty.openpty()
    argv = [sys.executable, "-m", "liveagent", "--state", str(tmp_path / "state"), "run", "wipe", "--disks", device]
    environment = {**os.environ, "LIVEAGENT_RUNTIME_DIR": str(tmp_path / "run"), "TERM": "xterm"}
    process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env=environment)
    os.close(slave)
    shown = b""
    for typed in (device, word.swapcase()):
        seen = len(shown)
        while b"to go on" not in shown[seen:]:
            shown += os.read(master, 4096)
        os.write(master, f"{typed}\n".encode())
    with contextlib.suppress(OSError):  # the terminal's other side is closed
        while data := os.read(master, 4096):
            shown += data
    assert process.wait(60) == 0
    os.close(master)
    assert b"the disks are those above; 2 more tries" in b" ".join(shown.split())
    assert MARK not in backing(device).read_bytes()


@pytest.mark.loop
def test_who_leaves_before_the_question_is_told(make_loop: MakeLoop, tmp_path: Path) -> None:
    """Ctrl-C while the machine is looked at: nothing was touched, and it says so."""
    argv = ["env", "--default-signal=INT", sys.executable, "-m", "liveagent", "--state", str(tmp_path / "state")]
    master, slave = pty.openpty()
    process = subprocess.Popen([*argv, "run", "wipe", "--disks", make_loop(8 * MIB, MARK)], stdin=slave, stderr=slave)
    os.close(slave)
    shown = b""
    while b"looking at this machine" not in shown:
        shown += os.read(master, 4096)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    while b"nothing was touched" not in shown:
        shown += os.read(master, 4096)
    os.close(master)
    assert not list((tmp_path / "state").glob("runs/*"))


@pytest.mark.loop
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--disks", ""], "--disks is empty"),
        (["--disks="], "--disks is empty"),
        (["--except="], "--except is empty"),
        (["--disks"], "--disks needs a value"),
        (["--disks", "--method", "clear"], "--disks needs a value"),
        (["--disks", ","], "names no disk"),
    ],
)
def test_no_disk_is_not_all_disks(command: Command, words: list[str], said: str) -> None:
    """A script's variable that nobody set is a fault, and never the default."""
    done = command("run", "wipe", "--yes", *words)
    assert done.returncode == 2 and said in done.stderr


@pytest.mark.loop
def test_a_dry_run_says_what_it_was(command: Command, make_loop: MakeLoop) -> None:
    """Nothing was done; a refusal stands below the table, which it is no row of."""
    device = make_loop(8 * MIB, MARK)
    done = command("run", "wipe", "--disks", device, "--dry-run")
    assert done.returncode == 0 and done.stderr.splitlines()[-1] == "this was a dry run: nothing was done"
    done = command("run", "wipe", "--disks", "no-such-disk", "--dry-run")
    assert done.returncode == 4 and "\nREFUSED: there is no disk no-such-disk" in f"\n{done.stdout}"
    assert backing(device).read_bytes()[: len(MARK)] == MARK


def test_what_earlier_runs_left_of_a_disk_is_said(tmp_path: Path) -> None:
    """Once for all disks that a run left alike; of disks that are not shown nothing."""
    directory = tmp_path / "runs" / "20260102T030405Z-1a2b3c"
    directory.mkdir(parents=True)
    disks = [{"serial": f"ZA{number}", "status": "not-erased", "verdict": "cancelled"} for number in range(9)]
    disks.append({"serial": "ZB1", "status": "erased", "verdict": "pass"})
    result = {"tasks": [{"task": "wipe", "data": {"disks": disks}}], "verdict": "cancelled", "summary": ""}
    (directory / "result.json").write_text(json.dumps(result))
    shown = ["overwrite", *(f"ZA{number}" for number in range(8))]
    assert list_fates(Shell(Host(), "", str(tmp_path)), shown) == [
        f"run {directory.name} left ZA0, ZA1, ZA2, ZA3, ZA4, ZA5 and 2 more not erased (CANCELLED)"
    ]
    assert list_fates(Shell(Host(str(tmp_path)), "", str(tmp_path)), shown) == []


def test_what_is_refused_is_not_asked_about(command: Command) -> None:
    """Nothing would be left to do: it is said at once, and no run begins."""
    done = command("run", "wipe", "--disks", "no-such-disk")
    assert done.returncode == 4 and "there is no disk no-such-disk" in done.stderr and "--yes" not in done.stderr


def test_help_of_a_task(command: Command) -> None:
    """Its options are where one looks for them."""
    text = command("run", "wipe", "--help").stdout
    assert "Options of wipe" in text and "--except list" in text
    assert "Options of" not in command("run", "--help").stdout


FAULTS = [
    (["run"], "name the tasks"),
    (["run", "wip"], "did you mean wipe?"),
    (["run", "wipee", "--help"], "there is no task wipee; did you mean wipe?"),
    (["run", "wipe", "--disk", "sda"], "did you mean --disks?"),
    (["run", "wipe", "--dryrun"], "did you mean --dry-run?"),
    (["run", "wipe", "hwdiag"], "several tasks TASK,TASK"),
    (["run", "wipe", "--method", "overwrit"], "'overwrit' is not known; did you mean overwrite? (auto, purge,"),
    (["status", "--jsn"], "liveagent: --jsn: no such option; did you mean --json?; `liveagent status --help` lists"),
    (["wipe"], "did you mean `liveagent run wipe`"),
    (["wype"], "did you mean `liveagent run wipe`"),
    (["run", "wipe", "--passes", "many"], "not a whole number"),
    (["run", "wipe", "--passes", "0"], "not between 1 and 35"),
    (["run", "wipe", "--pattern", "blue"], "none of random, zero, ones"),
    (["run", "wipe", "--verify", "0%"], "a percentage"),
    (["run", "wipe", "--release", "mounted"], "cannot be released"),
    (["run", "wipe", "--disks", "sda", "--disks", "sdb"], "given twice"),
    (["run", "wipe", "--callback", "example.test/x"], "http://"),
    (["run", "wipe", "--then", "sleep"], "none of stay, reboot, poweroff"),
    (["run", "../../etc/passwd"], "there is no task"),
    (["run", "wipe", "stray"], "is no option"),
    (["report", "none"], "there is no run none; `liveagent history` names the runs"),
    (["verify", "none"], "neither a file nor a run none"),
    (["verify"], "no run of this machine has a certificate"),
    (["cancel"], "no run is on"),
    (["receive", "--listen", "nowhere"], "ADDR:PORT"),
]


@pytest.mark.parametrize(
    ("words", "said"), FAULTS, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_usage_faults(command: Command, words: list[str], said: str) -> None:
    """Every wrong word is exit status 2 and one clear sentence, and nothing has run."""
    done = command(*words)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr and "Traceback" not in done.stderr
    assert json.loads(command("history", "--json").stdout) == []


def test_of_a_wrong_task_nothing_else_is_said(command: Command) -> None:
    """Its options are nobody's, which would lead astray."""
    done = command("run", "wipee", "--disks", "sda")
    assert done.returncode == 2 and "did you mean wipe?" in done.stderr and "no such option" not in done.stderr


def test_beside_a_run_that_is_on(command: Command, tmp_path: Path) -> None:
    """`report` has the last one that ended, and `plan` says what is in its way."""
    command("run", "wipe", "--disks", "serial:NO-SUCH-SERIAL", "--yes")
    places = Places(tmp_path / "state", tmp_path / "run")
    (ended,) = (directory.name for directory in places.run_directories())
    run = "20990101T000000Z-aaaaaa"
    with Lock(places.runtime).held(run, "wipe", places.runs / run):
        shown = command("report")
        assert shown.returncode == 4 and f"run {run} is on" in shown.stderr and f"run {ended}" in shown.stdout
        assert f"run {run} (wipe) is on" in command("plan").stdout
        dry = command("run", "wipe", "--disks", "serial:NO-SUCH-SERIAL", "--dry-run")
        assert f"note: run {run} (wipe) is on" in dry.stderr
        refused = command("run", "wipe", "--yes")
        assert refused.returncode == 3 and "nothing was begun" in refused.stderr and run in refused.stderr
    assert "is on" not in command("report").stderr + command("plan").stdout


def test_a_narrow_terminal_cuts_no_run(command: Command, tmp_path: Path) -> None:
    """What `history` shows on a terminal is there to be copied for `report`: the whole of it."""
    command("run", "wipe", "--disks", "serial:NO-SUCH-SERIAL", "--yes")
    (run,) = [row["run"] for row in json.loads(command("history", "--json").stdout)]
    master, slave = pty.openpty()
    argv = [sys.executable, "-m", "liveagent", "--state", str(tmp_path / "state"), "history"]
    environment = {**os.environ, "LIVEAGENT_RUNTIME_DIR": str(tmp_path / "run"), "TERM": "xterm", "COLUMNS": "40"}
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=slave, env=environment, timeout=60)
    os.close(slave)
    shown = os.read(master, 4096).decode()
    os.close(master)
    assert done.returncode == 0 and run in shown.split() and "…" not in shown
    assert command("report", run).returncode == 4


def test_unknown_disk_refuses(command: Command) -> None:
    """A disk that is not there refuses the whole task, before anything is touched."""
    done = command("run", "wipe", "--disks", "serial:NO-SUCH-SERIAL", "--yes", "--json")
    assert done.returncode == 4
    assert json.loads(done.stdout)["verdict"] == "refused"


def test_other_root_never_destroys(command: Command, tmp_path: Path) -> None:
    """Below --root the disks of this machine are not the ones that were looked at."""
    root = tmp_path / "root"
    (root / "proc").mkdir(parents=True)
    (root / "proc" / "cmdline").write_text("root=live:http://x/y rd.live.image SPEEDISO=wipe\n")
    done = command("--root", str(root), "run", "wipe", "--yes", "--json")
    assert done.returncode == 4
    assert [finding["code"] for finding in json.loads(done.stdout)["tasks"][0]["findings"]] == ["task.root"]


def test_plan_of_a_tree(command: Command, tmp_path: Path) -> None:
    """`--root` tries a boot on a desk: what the cmdline asks for, and exit status 2 for its faults."""
    (tmp_path / "root" / "proc").mkdir(parents=True)
    line = tmp_path / "root" / "proc" / "cmdline"
    line.write_text('SPEEDISO="wipe" liveagent.wipe.passes=3 liveagent.callback=http://127.0.0.1/x\n')
    good = command("--root", str(tmp_path / "root"), "plan", "--json")
    document = json.loads(good.stdout)
    assert good.returncode == 0 and document["faults"] == []
    assert document["tasks"][0]["task"] == "wipe" and document["tasks"][0]["options"]["passes"] == 3
    line.write_text("SPEEDISO=wipe liveagent.wipe.passes=x liveagent.then=reboot liveagent.nonsense=1\n")
    bad = command("--root", str(tmp_path / "root"), "plan", "--json")
    assert bad.returncode == 2
    codes = {fault["code"] for fault in json.loads(bad.stdout)["faults"]}
    assert codes == {"plan.option.value", "plan.then.reboot", "plan.option.unknown"}


def test_plan_moves_no_terminal(command: Command, tmp_path: Path) -> None:
    """Whoever writes the command line of a server writes nothing but letters on the screen of who looks at it."""
    (tmp_path / "root" / "proc").mkdir(parents=True)
    (tmp_path / "root" / "proc" / "cmdline").write_text('SPEEDISO=wipe liveagent.expect_serial="\x1b]0;owned\x07"\n')
    done = command("--root", str(tmp_path / "root"), "plan")
    assert done.returncode == 0 and "owned" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr and "\x07" not in done.stdout + done.stderr


def test_receive_prints_what_comes(tmp_path: Path, command: Command) -> None:
    """The embedded receiver takes a run's events and shows them."""
    argv = [sys.executable, "-m", "liveagent", "receive", "--listen", "127.0.0.1:0", "--dir", str(tmp_path / "kept")]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr and process.stdout
        url = process.stderr.readline().split()[2].rstrip(";")
        done = command("run", "wipe", "--disks", "serial:NONE", "--yes", "--callback", url)
        assert done.returncode == 4
        lines = [process.stdout.readline() for _ in range(3)]
        assert any("run" in line for line in lines)
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert list((tmp_path / "kept").glob("*/events.jsonl"))


def test_report_as_a_page(command: Command, tmp_path: Path) -> None:
    """The page stands by itself: no script, nothing fetched from elsewhere, everything escaped."""
    command("run", "wipe", "--disks", "serial:<b>X</b>", "--yes")
    page = tmp_path / "report.html"
    assert command("report", "--html", str(page)).returncode == 4
    text = page.read_text()
    assert "REFUSED" in text and "&lt;b&gt;X&lt;/b&gt;" in text
    assert "<b>X" not in text and "http" not in text.replace("http-equiv", "") and "<script" not in text


@pytest.mark.parametrize(("what", "status"), [(KeyboardInterrupt(), 130), (Late("it did not answer"), 3)])
def test_without_an_answer_nobody_says_that_nothing_was_begun(
    what: BaseException, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """The order may have arrived: a person who believes that it has not gives it to a second machine."""

    class Asked:
        def submit(self, order: str) -> None:
            raise what

    with pytest.raises(SystemExit) as left:
        hand_in(Shell(Host(), "", ""), Asked(), Order("hwdiag"), How())  # type: ignore[arg-type]
    assert left.value.code == status
    assert "may have begun it all the same; `liveagent status` shows what runs" in capsys.readouterr().err
