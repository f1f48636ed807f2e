"""One daemon on a real bus: it has the runs, everybody sees the same, and only root may change anything."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import psutil
import pytest

from liveagent.events import Event, Type
from liveagent.report.record import encode_line
from tests.bus.conftest import MEMBER, STRANGER, Bus, Server

pytestmark = pytest.mark.timeout(600)
NAME, PATH = "org.liveagent.Agent1", "/org/liveagent/Agent1"


@pytest.fixture
def running(server: Server) -> Server:
    server.start()
    server.wait_for_name()
    return server


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """What a command said up to a line with these words."""
    assert process.stdout
    said = ""
    for line in process.stdout:
        said += line
        if words in line:
            return said
    pytest.fail(f"{words!r} was not said:\n{said}")


def call(server: Server, *words: str, user: str = "") -> subprocess.CompletedProcess[str]:
    """A client that is not ours."""
    argv = ["busctl", "--system", "--json=short", *words]
    if user:
        argv = [*server.become(user), *argv]
    return subprocess.run(argv, env=server.environment, capture_output=True, text=True, timeout=60)


def test_a_run_is_handed_in_seen_by_two_and_cancelled(running: Server) -> None:
    """Who leaves, and who dies, leaves the run alone; one who comes late sees it from its beginning."""
    owner = running.spawn("run", "hold")
    read_until(owner, "holding on")
    run = running.status()["run"]
    late = running.spawn("attach")
    assert "holding on" in read_until(late, "waiting")
    owner.kill()
    owner.wait(60)
    assert owner.stdout and owner.stderr
    owner.stdout.close(), owner.stderr.close()
    left = running.spawn("attach", run)
    read_until(left, "waiting")
    left.send_signal(signal.SIGINT)
    _, said = left.communicate(timeout=120)
    assert left.returncode == 0 and f"`liveagent attach {run}` comes back" in said and "`liveagent cancel`" in said
    assert running.status()["state"] == "running"
    assert running.command("cancel").returncode == 0
    rest, _ = late.communicate(timeout=60)
    assert "CANCELLED" in rest and late.returncode == 130
    report = json.loads(running.command("report", run, "--json").stdout)
    assert (report["run"], report["verdict"]) == (run, "cancelled")


def test_the_result_is_the_runs_own(running: Server) -> None:
    done = running.command("run", "quick", "--json")
    result = json.loads(done.stdout)
    assert (result["verdict"], result["tasks"][0]["task"], done.returncode) == ("warn", "quick", 0)
    assert [row["run"] for row in json.loads(running.command("history", "--json").stdout)] == [result["run"]]


def test_a_wrong_order_runs_nothing_and_a_second_one_waits_for_nobody(running: Server) -> None:
    assert running.command("run", "hodl").returncode == 2
    detached = running.command("run", "hold", "--detach", "--json")
    run = json.loads(detached.stdout)["run"]
    assert f"liveagent attach {run}" in detached.stderr
    second = running.command("run", "quick")
    assert second.returncode == 3 and run in second.stderr and "nothing was begun" in second.stderr
    assert running.command("cancel", "20").returncode == 0
    assert running.command("attach").returncode == 130


def test_what_was_ordered_is_the_newest_at_once(running: Server) -> None:
    """Also before anything of it is on record, and for those who ask over the bus."""
    running.command("run", "quick")
    run = json.loads(running.command("run", "hold", "--detach", "--json").stdout)["run"]
    assert running.status()["run"] == run
    for user in ("", MEMBER):
        shown = running.command("report", user=user)
        assert f"run {run} is on" in shown.stderr and "quick" in shown.stdout
    running.command("cancel")
    assert running.command("attach", run[:-1]).returncode == 130


def test_a_service_that_is_stopped_waits_for_the_run(running: Server) -> None:
    """A run by hand has its time to put things away, as the boot's has."""
    watcher = running.spawn("run", "tidy")
    read_until(watcher, "at it")
    running.stop()
    watcher.communicate(timeout=60)
    result = json.loads(running.command("report", "--json").stdout)
    assert result["tasks"][0]["verdict"] == "cancelled" and "put away" in result["summary"]


def test_as_booted_runs_what_was_shown(running: Server) -> None:
    """The command's word, by name: what the service finds in its own environment could be another one."""
    done = subprocess.run(
        running.argv("run", "--as-booted", "--json"),
        env={**running.environment, "SPEEDISO": "quick"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert [task["task"] for task in json.loads(done.stdout)["tasks"]] == ["quick"]


def test_without_the_service_it_runs_here(server: Server) -> None:
    assert server.command("run", "quick").returncode == 0
    refused = server.command("run", "quick", "--detach")
    assert refused.returncode == 3 and "no service" in refused.stderr


def test_a_terminal_that_is_closed_ends_a_run_of_its_own(server: Server) -> None:
    """Nobody else is there to end it: it is cancelled, and what it began is put away and on record."""
    master, slave = os.openpty()
    begun = subprocess.Popen(
        # A suite that was started with nohup ignores it, and hands that on: such a run goes on, as is meant then.
        ["env", "--default-signal=HUP", *server.argv("run", "tidy")],
        env=server.environment,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        cwd="/",
        start_new_session=True,
    )
    os.close(slave)
    shown = b""
    while b"at it" not in shown:
        shown += os.read(master, 4096)
    # As a terminal does: the line is gone, and who leads the session is told.
    os.close(master)
    begun.send_signal(signal.SIGHUP)
    assert begun.wait(180) == 130
    result = json.loads(server.command("report", "--json").stdout)
    assert result["tasks"][0]["verdict"] == "cancelled" and "put away" in result["summary"]


def test_who_may_what(running: Server) -> None:
    """By the policy that the package brings: root all, the group looks, nobody else knows that there is anything."""
    run = json.loads(running.command("run", "hold", "--detach", "--json").stdout)["run"]
    looked = running.command("status", "--json", user=MEMBER)
    assert json.loads(looked.stdout)["run"] == run
    assert run in running.command("history", user=MEMBER).stdout
    barred = running.command("status", user=STRANGER)
    assert barred.returncode == 3 and "root" in barred.stderr and "Traceback" not in barred.stderr
    for words in (("run", "quick"), ("cancel",)):
        denied = running.command(*words, user=MEMBER)
        assert denied.returncode != 0 and "root" in denied.stderr, words
    for method, *arguments in (("Submit", "s", "{}"), ("Cancel", "s", "")):
        said = call(running, "call", NAME, PATH, NAME, method, *arguments, user=MEMBER)
        assert said.returncode != 0 and "Access denied" in said.stderr
    assert call(running, "call", NAME, PATH, NAME, "Status", user=STRANGER).returncode != 0
    assert running.status()["state"] == "running"
    running.command("cancel")
    assert running.command("attach").returncode == 130
    # The end is there for the group as well, and the report of it.
    assert json.loads(running.command("report", run, "--json", user=MEMBER).stdout)["verdict"] == "cancelled"


def test_where_the_certificate_is(running: Server) -> None:
    """Whoever may not look into the state directory is told of no file there, and root is at the run's end."""
    done = running.command("run", "paper")
    run = running.status()["run"]
    place = running.directory / "state" / "runs" / run / "certificate.html"
    said = f"certificate: {place} (`liveagent verify --unsigned {run}` checks it)"
    assert done.returncode == 0 and said in done.stderr.splitlines()
    assert said in running.command("report").stdout.splitlines()
    looked = running.command("report", user=MEMBER)
    assert looked.returncode == 0 and run in looked.stdout and "certificate" not in looked.stdout + looked.stderr
    barred = running.command("verify", run, user=MEMBER)
    assert barred.returncode == 3 and "the runs are for root alone to read; try it as root" in barred.stderr
    # What a beginning means is the same over the bus.
    running.command("run", "quick")
    for user in ("", MEMBER):
        assert "several runs begin with 2 (" in running.command("report", "2", user=user).stderr


def test_the_interface_is_introspectable(running: Server) -> None:
    said = call(running, "call", NAME, PATH, "org.freedesktop.DBus.Introspectable", "Introspect", user=MEMBER)
    [interface] = (one for one in ElementTree.fromstring(json.loads(said.stdout)["data"][0]) if one.get("name") == NAME)
    signatures = {
        method.get("name"): "".join(
            argument.get("type", "") for argument in method if argument.get("direction") == "in"
        )
        for method in interface
        if method.tag == "method"
    }
    assert signatures == {"Submit": "s", "Cancel": "s", "Status": "", "Runs": "", "Events": "suu"}


@pytest.mark.parametrize(
    "order",
    [
        "",
        "[]",
        "{",
        '{"tasks": 3}',
        '{"tasks": "quick", "as_booted": true}',
        '{"task": "quick"}',
        pytest.param("x" * (2 << 20), id="too long"),
    ],
)
def test_what_is_no_order(running: Server, order: str) -> None:
    """Another client may send anything: it is told what is wrong, and nothing runs."""
    from gi.repository import Gio, GLib

    address = f"unix:path={running.bus.socket}"
    flags = Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION
    connection = Gio.DBusConnection.new_for_address_sync(address, flags, None, None)
    arguments = GLib.Variant("(s)", (order,))
    answer = connection.call_sync(NAME, PATH, NAME, "Submit", arguments, None, Gio.DBusCallFlags.NONE, 20_000, None)
    connection.close_sync(None)
    document = json.loads(answer.unpack()[0])
    assert document["kind"] == "order" and "order" in document["error"]
    assert running.status()["state"] == "idle"


def write_record(server: Server, run: str, *data: dict[str, Any]) -> None:
    """A run that ended, as another day left it."""
    directory = server.directory / "state" / "runs" / run
    directory.mkdir(parents=True)
    with (directory / "events.jsonl").open("wb") as file:
        for number, one in enumerate(data, 1):
            kind = Type.RUN_FINISHED if "verdict" in one else Type.OUTPUT
            file.write(encode_line(Event(run, number, kind, "2026-01-02T03:04:05.000Z", "/liveagent/S", "x", one)))


END = {
    "verdict": "pass",
    "summary": "",
    "run": "",
    "started": "",
    "finished": "",
    "agent": "",
    "machine": {},
    "tasks": [],
}


def test_a_hundred_thousand_events_and_one_of_ten_megabytes(running: Server) -> None:
    """A page at a time: no reply is too large for a bus, and the daemon answers others meanwhile."""
    run = "20260102T030405Z-1a2b3c"
    lines = [{"line": f"line {number}", "command": ""} for number in range(100_000)]
    write_record(running, run, *lines, {"line": "x" * 10_000_000, "command": ""}, END)
    started = time.monotonic()
    shown = running.command("attach", run, user=MEMBER, timeout=200)
    assert shown.returncode == 0
    assert shown.stdout.count("| line ") == 100_000 and "x" * 10_000_000 in shown.stdout
    print(f"100,000 events and 10 MB over the bus in {time.monotonic() - started:.1f} s")
    said = call(running, "call", NAME, PATH, NAME, "Events", "suu", run, "0", "100000")
    assert len(json.loads(said.stdout)["data"][0]) == 1000


def test_an_event_that_no_bus_takes(server: Server) -> None:
    """dbus-daemon closes on who sends more than 32 MiB: it is said, and the daemon keeps its name."""
    run = "20260102T030405Z-1a2b3c"
    write_record(server, run, {"line": "x" * (33 << 20), "command": ""}, END)
    server.start()
    server.wait_for_name()
    said = call(server, "call", NAME, PATH, NAME, "Events", "suu", run, "0", "1")
    assert said.returncode != 0 and "too many for the bus" in said.stderr
    assert (
        len(json.loads(call(server, "call", NAME, PATH, NAME, "Events", "suu", run, "1", "1").stdout)["data"][0]) == 1
    )


def test_a_long_record_holds_up_nobody(running: Server) -> None:
    """Asked as often as somebody who watches asks: of 60 MB that are not delivered yet, each look reads little."""
    run = "20260102T030405Z-1a2b3c"
    write_record(running, run, *({"line": f"{number} {'x' * 400}", "command": ""} for number in range(100_000)))
    receivers = running.directory / "state" / "runs" / run / "receivers.json"
    receivers.write_text(json.dumps({"callback": ["http://127.0.0.1:9/"]}))
    questions = (["Status"], ["Runs"], ["Events", "suu", run, "50000", "10"])
    for words in questions:
        call(running, "call", NAME, PATH, NAME, *words)
    assert running.process
    spent = psutil.Process(running.process.pid).cpu_times
    before = spent().user
    for _ in range(10):
        for words in questions:
            assert call(running, "call", NAME, PATH, NAME, *words).returncode == 0
    # To read all of it takes a second and more; thirty times a second of processor time would be a stall.
    assert spent().user - before < 3


def test_a_bus_that_takes_nothing_holds_no_run(running: Server, bus: Bus) -> None:
    """The bus itself stands still: the run goes on and ends, and afterwards the daemon answers as before."""
    running.command("run", "many", "--detach")
    assert bus.process
    bus.process.send_signal(signal.SIGSTOP)
    try:
        assert running.command("attach").returncode == 0
    finally:
        bus.process.send_signal(signal.SIGCONT)
    assert call(running, "call", NAME, PATH, NAME, "Status").returncode == 0


def test_who_watches_needs_no_bus(running: Server, bus: Bus) -> None:
    """Whoever may read the record is not sent away by a bus that goes."""
    watcher = running.spawn("run", "hold")
    read_until(watcher, "holding on")
    bus.stop()
    assert running.status()["state"] == "running"
    assert running.command("cancel").returncode == 0
    _, said = watcher.communicate(timeout=60)
    assert watcher.returncode == 130 and "did not answer" not in said


def test_who_watches_waits_for_a_service_that_is_slow(running: Server) -> None:
    """On a machine with much to do: who has only the bus to look through asks again, and is there at the end."""
    run = json.loads(running.command("run", "hold", "--detach", "--json").stdout)["run"]
    attach = (
        f"import sys, liveagent.bus.client as client; client.TIMEOUT = 1; sys.argv = ['liveagent', 'attach', '{run}']"
    )
    argv = [*running.become(MEMBER), "/usr/bin/python3", "-c", f"{attach}; from liveagent.__main__ import main; main()"]
    watcher = subprocess.Popen(
        argv, env=running.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/"
    )
    read_until(watcher, "holding on")
    assert running.process and watcher.stderr
    running.process.send_signal(signal.SIGSTOP)
    try:
        while "the service did not answer within 1 s; asking again" not in (line := watcher.stderr.readline()):
            assert line, "it left"
    finally:
        running.process.send_signal(signal.SIGCONT)
    assert running.command("cancel").returncode == 0
    watcher.communicate(timeout=60)
    assert watcher.returncode == 130


def test_a_client_that_stopped_reading_slows_nobody(running: Server) -> None:
    """A terminal that was stopped with Ctrl-S, and one on the bus: the task says as much as without them."""
    alone = json.loads(running.command("run", "speak", "--json").stdout)["tasks"][0]["data"]["lines"]
    listener = subprocess.Popen(
        ["gdbus", "monitor", "--system", "--dest", NAME], env=running.environment, stdout=subprocess.PIPE, text=True
    )
    read_until(listener, "is owned by")
    watcher = running.spawn("attach")
    running.command("run", "speak", "--detach")
    for process in (listener, watcher):
        os.kill(process.pid, signal.SIGSTOP)
    try:
        assert running.command("attach").returncode == 0
    finally:
        for process in (listener, watcher):
            os.kill(process.pid, signal.SIGCONT)
            process.kill()
            process.communicate(timeout=120)
    watched = json.loads(running.command("report", "--json").stdout)["tasks"][0]["data"]["lines"]
    print(f"{alone / 2:.0f} lines a second alone, {watched / 2:.0f} beside two that do not read")
    # A third of it would be a stall; what is left is the noise of a machine with other work.
    assert watched > alone / 3


def test_the_daemon_outlives_its_bus(running: Server, bus: Bus) -> None:
    """A bus that is restarted is taken again; meanwhile root works without it."""
    bus.stop()
    assert running.command("status").returncode == 0
    bus.start()
    running.wait_for_name()
    assert json.loads(running.command("run", "quick", "--json").stdout)["verdict"] == "warn"
    assert running.process and running.process.poll() is None


def test_a_daemon_without_a_bus(server: Server, bus: Bus, tmp_path: Path) -> None:
    """In a container there is none: it says so once, and the boot's plan is taken all the same."""
    bus.stop()
    server.start()
    deadline = time.monotonic() + 120
    while "not on the system bus" not in (server.directory / "log").read_text():
        assert time.monotonic() < deadline and server.process and server.process.poll() is None
        time.sleep(0.1)
    assert server.command("run", "quick").returncode == 0


def test_signals_tell_whoever_may_hear(running: Server) -> None:
    """All of a run, also of more events than may wait at once: what has left makes room."""
    argv = ["gdbus", "monitor", "--system", "--dest", NAME]
    hearer = subprocess.Popen(argv, env=running.environment, stdout=subprocess.PIPE, text=True)
    try:
        read_until(hearer, "is owned by")
        assert running.command("run", "many").returncode == 0
        assert read_until(hearer, "liveagent.run.finished").count("liveagent.finding") == 700
    finally:
        hearer.kill()
        hearer.communicate(timeout=10)


def test_killed_in_the_middle_it_says_so_when_it_is_back(running: Server) -> None:
    """A run by hand that the daemon took along is unknown, not running and not passed."""
    run = json.loads(running.command("run", "hold", "--detach", "--json").stdout)["run"]
    watcher = running.spawn("attach", run)
    read_until(watcher, "waiting")
    assert running.process
    running.process.kill()
    running.process.wait(60)
    assert watcher.wait(120) == 3
    watcher.communicate(timeout=10)
    running.start()
    running.wait_for_name()
    deadline = time.monotonic() + 120
    while running.command("report", run, "--json").returncode == 2:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert json.loads(running.command("report", run, "--json").stdout)["verdict"] == "unknown"
