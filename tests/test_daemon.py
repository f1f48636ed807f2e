"""The service as it runs: a real process, a pseudo-terminal for a console, a loop device for a disk."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from liveagent.daemon import Daemon
from liveagent.host import Completed, Host
from liveagent.places import Places
from liveagent.receive import Receiver
from liveagent.resume import Begun, UnderWay
from liveagent.systemd import SYSTEM_MANAGER
from tests.conftest import MakeLoop
from tests.keys import Key

pytestmark = pytest.mark.loop

MIB = 1024 * 1024
MARK = b"what must not survive the wipe! "


class Console:
    """A pseudo-terminal, and everything that was written to it."""

    def __init__(self) -> None:
        self.master, slave = os.openpty()
        self.path = os.ttyname(slave)
        self._slave = slave  # kept open: a console outlives those who write to it
        self._text = ""
        self._changed = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(self.master, 4096):
                with self._changed:
                    self._text += data.decode("utf-8", "replace")
                    self._changed.notify_all()

    @property
    def text(self) -> str:
        with self._changed:
            return self._text

    def wait_for(self, words: str, timeout: float = 60) -> str:
        with self._changed:
            if not self._changed.wait_for(lambda: words in self._text, timeout):
                pytest.fail(f"{words!r} did not appear on the console:\n{self._text}")
            return self._text

    def type(self, data: bytes) -> None:
        os.write(self.master, data)

    def close(self) -> None:
        os.close(self._slave)
        os.close(self.master)


class Service:
    """A daemon of the tests' own, with its own state, runtime directory and configuration."""

    def __init__(self, directory: Path, console: Console) -> None:
        self.directory = directory
        self.console = console
        self.config = directory / "liveagent.conf"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(directory / "notify"))
        self.notify.settimeout(30)

    def configure(self, agent: dict[str, str], wipe: dict[str, str] | None = None) -> None:
        agent = {"consoles": self.console.path, "countdown": "0s", **agent}
        lines = ["[agent]", *(f"{key} = {value}" for key, value in agent.items())]
        lines += ["[wipe]", *(f"{key} = {value}" for key, value in (wipe or {}).items())]
        self.config.write_text("\n".join(lines) + "\n")

    @property
    def environment(self) -> dict[str, str]:
        environment = {**os.environ, "LIVEAGENT_RUNTIME_DIR": str(self.directory / "run")}
        environment.pop("SPEEDISO", None)
        return environment

    @property
    def program(self) -> list[str]:
        common = ["--config", str(self.config), "--state", str(self.directory / "state")]
        return [sys.executable, "-m", "liveagent", *common]

    def start(self, word: str) -> subprocess.Popen[bytes]:
        environment = {**self.environment, "NOTIFY_SOCKET": str(self.directory / "notify")}
        if word:
            environment["SPEEDISO"] = word
        process = subprocess.Popen([*self.program, "daemon"], env=environment, stderr=subprocess.PIPE)
        self.processes.append(process)
        return process

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self.program, *words], env=self.environment, capture_output=True, text=True, timeout=60)

    @property
    def motd(self) -> str:
        """What who logs in is told, on one line."""
        return " ".join((self.directory / "run/motd").read_text().split())

    def stop(self, process: subprocess.Popen[bytes]) -> int:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
        assert b"Traceback" not in errors, errors.decode()
        return process.returncode

    def runs(self) -> list[Path]:
        return sorted((self.directory / "state" / "runs").glob("*"))

    def result(self) -> dict[str, object]:
        document: dict[str, object] = json.loads((self.runs()[-1] / "result.json").read_text())
        return document

    def close(self) -> None:
        self.notify.close()
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait(30)
            if process.stderr:
                process.stderr.close()


@pytest.fixture
def console() -> Iterator[Console]:
    console = Console()
    yield console
    console.close()


@pytest.fixture
def service(tmp_path: Path, console: Console) -> Iterator[Service]:
    service = Service(tmp_path, console)
    yield service
    service.close()


def arrivals(tmp_path: Path) -> list[str]:
    """The lines that the receiver kept, of the one run there was."""
    return next((tmp_path / "received").glob("*/events.jsonl")).read_text().splitlines()


def backing(device: str) -> Path:
    return Path(Path(f"/sys/block/{Path(device).name}/loop/backing_file").read_text().strip())


def test_the_whole_way(service: Service, console: Console, make_loop: MakeLoop, tmp_path: Path) -> None:
    """One word in the environment; the disk is wiped, the console shows it, and the result arrives."""
    device = make_loop(32 * MIB, MARK)
    with Receiver(("127.0.0.1", 0), tmp_path / "received", secret="a secret of the test") as receiver:
        service.configure(
            {"callback": receiver.url, "callback_secret": "a secret of the test", "countdown": "2s"}, {"disks": device}
        )
        process = service.start("wipe")
        console.wait_for("DESTROYS DATA on this machine in 1 s")
        console.wait_for("wipe: PASS: 1 disk erased")
        assert service.command("attach").returncode == 0  # returns when the run has ended
        last = len((service.runs()[-1] / "events.jsonl").read_text().splitlines())
        assert receiver.wait(last, 30)
        assert service.notify.recv(64) == b"READY=1"
        assert service.stop(process) == 0
    assert "idle" in service.motd and "last result: PASS: wipe: 1 disk erased" in service.motd
    result = service.result()
    assert "PASS" in (service.runs()[-1] / "report.html").read_text()
    assert MARK not in backing(device).read_bytes()
    arrived = [json.loads(line) for line in arrivals(tmp_path)]
    assert [event["sequence"] for event in arrived] == [str(number + 1) for number in range(last)]
    assert arrived[-1]["data"] == result and result["verdict"] == "pass"
    assert "a secret of the test" not in json.dumps(arrived) + console.text


@pytest.mark.parametrize("typed", [b"\x03", b"stop\r"], ids=["ctrl-c", "stop"])
def test_countdown_is_stopped_on_the_console(
    service: Service, console: Console, make_loop: MakeLoop, typed: bytes
) -> None:
    """A technician before the rack can stop it; then nothing at all was written."""
    device = make_loop(8 * MIB, MARK)
    before = backing(device).read_bytes()
    service.configure({"countdown": "60s"}, {"disks": device})
    process = service.start("wipe")
    console.wait_for("DESTROYS DATA")
    console.type(b"\xff\x03\x00garbage")
    console.wait_for("garbage")  # its echo
    console.wait_for("in 55 s")
    console.type(b"\r" + typed if typed.startswith(b"s") else typed)
    console.wait_for("nothing was begun")
    assert service.stop(process) == 0
    assert service.result()["verdict"] == "cancelled"
    assert backing(device).read_bytes() == before


def test_countdown_is_stopped_over_ssh(service: Service, console: Console, make_loop: MakeLoop) -> None:
    """`liveagent cancel` ends the run and not the service."""
    device = make_loop(8 * MIB, MARK)
    service.configure({"countdown": "60s"}, {"disks": device})
    process = service.start("wipe")
    console.wait_for("DESTROYS DATA")
    status = json.loads(service.command("status", "--json").stdout)
    assert (status["state"], status["word"]) == ("running", "wipe")
    assert "running wipe, as this boot asks: run " in service.command("status").stdout
    [row] = json.loads(service.command("history", "--json").stdout)
    assert (row["tasks"], row["summary"]) == ("wipe", "running")
    assert service.command("run", "wipe", "--disks", device, "--yes").returncode == 3
    cancelled = service.command("cancel")
    assert cancelled.returncode == 0 and "it has ended: CANCELLED: " in cancelled.stderr
    console.wait_for("nothing was begun")
    assert process.poll() is None
    assert service.stop(process) == 0
    assert backing(device).read_bytes()[: len(MARK)] == MARK


def test_who_cancels_is_told_what_became_of_each_disk(service: Service, console: Console, make_loop: MakeLoop) -> None:
    """That one was written to is the first thing to know, and is not left to a second command."""
    device = make_loop(256 * MIB, MARK)
    service.configure({"countdown": "1s"}, {"disks": device, "passes": "35"})
    process = service.start("wipe")
    console.wait_for(f"wipe/{Path(device).name}  overwrite ")
    told = service.command("cancel").stderr.splitlines()
    assert told[1] == "it has ended: CANCELLED: wipe: 0 disks erased, 1 written to and not erased"
    assert told[2] == f"  {device}: CANCELLED: overwrite: written to, not erased"
    assert service.stop(process) == 0


def count_wakes(pid: int, seconds: float) -> int:
    """How often any thread of a process went to sleep in so long a time."""

    def count() -> int:
        texts = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status")]
        return sum(int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0]) for text in texts)

    before = count()
    time.sleep(seconds)
    return count() - before


def test_a_service_whose_run_has_ended_is_at_rest(service: Service, console: Console, make_loop: MakeLoop) -> None:
    """It stays for days on a server that is rented out: nothing of a run that is over and delivered looks for more."""
    with Receiver(("127.0.0.1", 0), service.directory / "received") as receiver:
        service.configure({"callback": receiver.url}, {"disks": make_loop(8 * MIB, MARK)})
        process = service.start("wipe")
        console.wait_for("####    ###")  # PASS
        # A thread that looks five times a second for what comes next would be seen in each of these.
        wakes = [count_wakes(process.pid, 2.0) for _ in range(5)]
        assert min(wakes) < 5, wakes
        assert service.stop(process) == 0


def test_who_waits_for_a_cancel_may_leave(service: Service, console: Console, make_loop: MakeLoop) -> None:
    """A run that cannot end yet holds up nobody; when it can, it ends as it was asked to."""
    service.configure({"countdown": "60s"}, {"disks": make_loop(8 * MIB, MARK)})
    process = service.start("wipe")
    console.wait_for("DESTROYS DATA")
    process.send_signal(signal.SIGSTOP)
    argv = ["env", "--default-signal=INT", *service.program, "cancel"]  # what is started in the background ignores it
    cancel = subprocess.Popen(argv, env=service.environment, stderr=subprocess.PIPE, text=True, bufsize=1)
    assert cancel.stderr and "asked run" in cancel.stderr.readline()
    cancel.send_signal(signal.SIGINT)
    _, told = cancel.communicate(timeout=30)
    assert cancel.returncode == 0 and "still putting things away" in told
    process.send_signal(signal.SIGCONT)
    console.wait_for("nothing was begun")
    assert service.stop(process) == 0


def test_killed_in_the_middle_goes_on(service: Service, console: Console, make_loop: MakeLoop, tmp_path: Path) -> None:
    """kill -9 in mid-wipe, twice, and the service is started again: that is reported, and what was begun is ended."""
    device, done, key = make_loop(256 * MIB, MARK), make_loop(8 * MIB, MARK), Key(tmp_path / "key")
    with Receiver(("127.0.0.1", 0), tmp_path / "received") as receiver:
        agent = {"callback": receiver.url, "certificate_key": str(key.path), "countdown": "1s"}
        service.configure(agent, {"disks": f"{device},{done}", "passes": "35", "clear_tpm": "yes"})
        process = service.start("wipe")
        console.wait_for(f"wipe/{Path(done).name}: PASS")
        console.wait_for(f"wipe/{Path(device).name}  overwrite ")
        process.kill()
        process.wait(30)
        written = backing(done).read_bytes()
        process = service.start("wipe")
        console.wait_for("resumed at")
        process.kill()
        process.wait(30)
        again = service.start("wipe")
        console.wait_for("wipe: PASS: 1 disk erased")
        broken, second, rest = service.runs()
        last = len((rest / "events.jsonl").read_text().splitlines())
        assert receiver.wait(last, 60)
        assert service.stop(again) == 0
    for directory in (broken, second):
        assert json.loads((directory / "result.json").read_text())["verdict"] == "unknown"
    told = f"wipe goes on with {Path(device).name}, where run {second.name} was broken off; not done: clear_tpm"
    # Nobody confirmed that it goes on, so that it can be stopped; the consoles are the gettys' by now.
    assert "DESTROYS DATA on this machine in 1 s. To stop it: `liveagent cancel` ***" in console.text.partition(told)[2]
    result = service.result()
    [task] = result["tasks"]  # type: ignore[misc]
    # What had ended is left as it is, and what else was done is not known to this run: it is no pass of the job.
    assert backing(done).read_bytes() == written
    assert (task["verdict"], result["verdict"]) == ("pass", "warn")
    assert [finding["code"] for finding in result["findings"]] == ["run.rest"]  # type: ignore[attr-defined]
    assert task["options"]["disks"] == [device] and task["options"]["clear_tpm"] is False
    assert "wipe.resumed" in [finding["code"] for finding in task["findings"]]
    assert MARK not in backing(device).read_bytes()
    certificates = [path.name for path in rest.glob("certificate*.json")]
    assert len(certificates) == 1 and certificates[0] != "certificate.json"
    assert len(list((tmp_path / "received").glob("*/events.jsonl"))) == 3


@pytest.mark.parametrize("change", ["word", "options", "again and again", "cancelled"])
def test_killed_in_the_middle_starts_nothing_anew(
    service: Service, console: Console, make_loop: MakeLoop, tmp_path: Path, change: str
) -> None:
    """Another thing is asked for now, it always ends like this, or somebody had ended it: nothing goes on."""
    device = make_loop(256 * MIB, MARK)
    with Receiver(("127.0.0.1", 0), tmp_path / "received") as receiver:
        service.configure({"callback": receiver.url}, {"disks": device, "passes": "35"})
        process = service.start("wipe")
        console.wait_for("/35")
        assert "running wipe since" in service.motd
        if change == "cancelled":
            process.send_signal(signal.SIGUSR1)
            until = time.monotonic() + 30
            while (service.directory / "run/under-way").exists():
                assert time.monotonic() < until
                time.sleep(0.001)
        process.kill()
        process.wait(30)
        written = backing(device).read_bytes()
        if change == "options":
            service.configure({"callback": receiver.url}, {"disks": device, "passes": "34"})
        if change == "again and again":
            note = service.directory / "run/under-way"
            note.write_text(note.read_text().replace('"times": 0', '"times": 3'))
        again = service.start("wipe" if change != "word" else "hwdiag")
        console.wait_for("Nothing is started anew")
        last = len((service.runs()[-1] / "events.jsonl").read_text().splitlines())
        assert receiver.wait(last, 60)
        assert len(service.runs()) == 1
        assert service.stop(again) == 0
    assert backing(device).read_bytes() == written
    assert service.result()["verdict"] in ("unknown", "cancelled")
    assert "running" not in service.motd and "last result: " in service.motd
    arrived = [json.loads(line) for line in arrivals(tmp_path)]
    assert [int(event["sequence"]) for event in arrived] == list(range(1, last + 1))
    assert arrived[-1]["type"] == "liveagent.run.finished"


class Answering(Host):
    """This machine, where systemctl answers what a test says."""

    restarts = "0"

    def run(self, argv: Sequence[str], **more: Any) -> Completed:
        return Completed(tuple(argv), 0, f"{self.restarts}\n", "", 0.0)


@pytest.mark.parametrize(("restarts", "is_kept"), [("0", False), ("1", True), ("", True)])
def test_what_a_person_starts_goes_on_with_nothing(tmp_path: Path, restarts: str, is_kept: bool) -> None:
    """He may have used the disks since; what systemd itself starts again goes on."""
    host = Answering()
    host.restarts = restarts
    UnderWay(host, tmp_path / "run").write(Begun("R-1"))
    daemon = Daemon(host, Places(tmp_path / "state", tmp_path / "run"), "", {"NOTIFY_SOCKET": SYSTEM_MANAGER})
    daemon._read_left()
    assert (daemon._left is not None) is is_kept
    assert (UnderWay(host, tmp_path / "run").read() is not None) is is_kept


def test_stopped_in_the_middle(service: Service, console: Console, make_loop: MakeLoop) -> None:
    """SIGTERM in mid-wipe: the run ends in order, cancelled, and the disk is not called erased."""
    device = make_loop(256 * MIB, MARK)
    service.configure({}, {"disks": device, "passes": "35"})
    process = service.start("wipe")
    console.wait_for("/35")
    assert service.stop(process) == 0
    result = service.result()
    assert result["verdict"] == "cancelled"
    assert result["tasks"][0]["data"]["disks"][0]["status"] == "not-erased"  # type: ignore[index]


def test_idle(service: Service, console: Console) -> None:
    """Without a word nothing runs, the service is ready at once, and says so."""
    service.configure({})
    process = service.start("")
    console.wait_for("idle: no task was asked for")
    assert service.notify.recv(64) == b"READY=1"
    assert json.loads(service.command("status", "--json").stdout)["state"] == "idle"
    assert "idle; `liveagent list`" in service.motd and "last result" not in service.motd
    assert service.stop(process) == 0
    assert service.runs() == []


def test_a_restart_is_not_another_boot(service: Service, console: Console, make_loop: MakeLoop) -> None:
    """An idle boot stays one: a word that appears before a restart of the service starts nothing."""
    device = make_loop(8 * MIB, MARK)
    service.configure({}, {"disks": device})
    first = service.start("")
    console.wait_for("idle: no task was asked for")
    first.kill()
    first.wait(30)
    again = service.start("wipe")
    console.wait_for("Nothing is started anew")
    assert service.stop(again) == 0
    assert service.runs() == [] and backing(device).read_bytes()[: len(MARK)] == MARK


def test_bad_secret_is_a_fault(service: Service, console: Console, make_loop: MakeLoop) -> None:
    """A secret that is none would sign nothing: it is said before anything runs."""
    device = make_loop(8 * MIB, MARK)
    service.configure({"callback": "http://127.0.0.1:9/", "callback_secret": "whsec_a"}, {"disks": device})
    process = service.start("wipe")
    console.wait_for("NOTHING RUNS")
    assert service.stop(process) == 0
    assert backing(device).read_bytes()[: len(MARK)] == MARK


BAD = [
    ("wip", {}, "did you mean wipe?", "plan.word.unknown"),
    ("../../etc/passwd", {}, "there is no task '../../etc/passwd'", "plan.word.unknown"),
    ("wipe", {"passes": "many"}, "'many' is not a whole number", "plan.option.value"),
    ("wipe", {"disk": "sda"}, "did you mean disks?", "plan.option.unknown"),
]


@pytest.mark.parametrize(("word", "wipe", "said", "code"), BAD)
def test_a_wrong_request_is_said_and_reported(
    service: Service,
    console: Console,
    make_loop: MakeLoop,
    tmp_path: Path,
    word: str,
    wipe: dict[str, str],
    said: str,
    code: str,
) -> None:
    """Nothing runs, every console says why, the receiver is told, and the service stays up."""
    device = make_loop(8 * MIB, MARK)
    with Receiver(("127.0.0.1", 0), tmp_path / "received") as receiver:
        service.configure({"callback": receiver.url}, {"disks": device, **wipe})
        process = service.start(word)
        console.wait_for(said)
        assert receiver.wait(3, 30)
        assert service.notify.recv(64) == b"READY=1"
        assert process.poll() is None
        assert service.stop(process) == 0
    result = service.result()
    assert code in [finding["code"] for finding in result["findings"]]  # type: ignore[attr-defined]
    assert result["tasks"] == []
    assert backing(device).read_bytes()[: len(MARK)] == MARK


class Pages(http.server.BaseHTTPRequestHandler):
    """Answers 404 to `/404`, a document to the first who asks for `/once?…`, a log-in page to everything else."""

    def do_GET(self) -> None:
        spent: set[str] = self.server.spent  # type: ignore[attr-defined]
        is_once = self.path.startswith("/once")
        self.send_response(404 if self.path.startswith("/404") else 403 if is_once and self.path in spent else 200)
        self.end_headers()
        page = (
            b'{"wipe": {"passes": 2}, "agent": {"site": "HAM2"}}'
            if is_once
            else b"<!doctype html><title>Log in</title>"
        )
        self.wfile.write(page)
        spent.add(self.path)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def pages() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        server.spent = set()  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("page", "said"),
    [("nothing", "could not be had within 1 s"), ("/404", "HTTP 404"), ("/html", "is not JSON")],
)
def test_config_url_that_is_not_to_be_had(
    service: Service, console: Console, make_loop: MakeLoop, pages: str, page: str, said: str
) -> None:
    """The document that may have said which disks to leave alone is missing: nothing runs, seen on the disk."""
    device = make_loop(8 * MIB, MARK)
    before = backing(device).read_bytes()
    url = "http://127.0.0.1:9/config.json" if page == "nothing" else f"{pages}{page}"
    service.configure({"config": f"{url}?token=hidden", "config_wait": "1s"}, {"disks": device})
    process = service.start("wipe")
    console.wait_for(said)
    console.wait_for("NOTHING RUNS")
    assert service.stop(process) == 0
    assert backing(device).read_bytes() == before
    assert "hidden" not in console.text + (service.runs()[-1] / "events.jsonl").read_text()


def test_a_token_that_is_good_for_one_look(service: Service, console: Console, make_loop: MakeLoop, pages: str) -> None:
    """The boot spends it; what was said then counts for who asks later in this boot, and nobody else can read it."""
    device = make_loop(8 * MIB, MARK)
    service.configure({"config": f"{pages}/once?token=hidden"}, {"disks": device})
    process = service.start("wipe")
    console.wait_for("wipe: PASS")
    kept = service.directory / "run/config-document"
    assert kept.stat().st_mode & 0o777 == 0o600
    planned = service.command("plan", "--json")
    assert planned.returncode == 0
    assert json.loads(planned.stdout)["tasks"] == []  # the word stood in the service's environment
    assert "what it said earlier in this boot counts" in planned.stderr and "hidden" not in planned.stderr
    dry = json.loads(service.command("run", "wipe", "--dry-run", "--json").stdout)
    assert dry["tasks"][0]["options"]["passes"] == 2
    assert service.stop(process) == 0
    # Another URL's is not this one's, and a document of another boot is none.
    service.configure({"config": f"{pages}/once?token=other"}, {"disks": device})
    assert service.command("plan").returncode == 0
    assert service.command("plan").returncode == 2
    service.configure({"config": f"{pages}/once?token=hidden"}, {"disks": device})
    kept.write_text(kept.read_text().replace('"boot_id": "', '"boot_id": "0'))
    assert service.command("plan").returncode == 2


def test_state_that_cannot_be_written(service: Service, console: Console, make_loop: MakeLoop, tmp_path: Path) -> None:
    """A full state directory is said; the wipe goes on, and its result still arrives, the certificate as an event."""
    device = make_loop(16 * MIB, MARK)
    state = tmp_path / "state"
    state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k,nr_inodes=8", "tmpfs", str(state)], check=True, timeout=30)
    try:
        (state / "ballast").write_bytes(bytes(12 * 1024))
        with Receiver(("127.0.0.1", 0), tmp_path / "received") as receiver:
            service.configure({"callback": receiver.url}, {"disks": device})
            process = service.start("wipe")
            console.wait_for("the run goes on")
            console.wait_for("the certificate went out as an event all the same")
            console.wait_for("wipe: WARN: 1 disk erased")
            assert receiver.wait(6, 30)
            assert service.stop(process) == 0
        arrived = [json.loads(line) for line in arrivals(tmp_path)]
        assert arrived[-1]["type"] == "liveagent.run.finished"
    finally:
        subprocess.run(["umount", str(state)], check=True, timeout=30)


def test_undelivered_run_of_a_command_is_adopted(
    service: Service, console: Console, make_loop: MakeLoop, tmp_path: Path
) -> None:
    """What a run by hand could not deliver is delivered by the daemon once the receiver is there."""
    device = make_loop(8 * MIB, MARK)
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    service.configure({"callback": f"http://127.0.0.1:{port}/", "drain": "1s"}, {"disks": device})
    done = service.command("run", "wipe", "--yes")
    assert done.returncode == 0 and "not delivered to callback" in done.stderr
    process = service.start("")
    console.wait_for("was not delivered to callback: going on")
    with Receiver(("127.0.0.1", port), tmp_path / "received") as receiver:
        last = len((service.runs()[-1] / "events.jsonl").read_text().splitlines())
        assert receiver.wait(last, 90)
        console.wait_for("is delivered")
        assert service.stop(process) == 0
