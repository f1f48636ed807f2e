"""A system bus of the tests' own: a real dbus-daemon with the policy that the package brings, and a real service."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import need

REPOSITORY = Path(__file__).resolve().parents[2]
# Users that every system has: one whose group stands in for `liveagent`, and one that is in none.
MEMBER, STRANGER = "games", "nobody"

# Debian's and EL's own system.conf in the points that matter: who may own and send what.
CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Introspectable"/>
  </policy>
  <include>{policy}</include>
</busconfig>
"""

# A package of tasks, as an operator might bring one.
TASKS = '''
from liveagent.events import Finding, Verdict
from liveagent.tasks import Context, Outcome, Task
import time


class Hold(Task):
    """Runs until it is told to end, and has a part with a progress."""

    name = "hold"
    summary = "wait to be cancelled"

    def run(self, context: Context, options: object) -> Outcome:
        context.line("holding on")
        context.progress("sda", 1, 4, "bytes", "waiting")
        context.host.pause(600)
        return Outcome(Verdict.PASS, "nobody came")


class Speak(Task):
    """As many lines as can be said in two seconds."""

    name = "speak"
    summary = "say a lot"

    def run(self, context: Context, options: object) -> Outcome:
        count, end = 0, time.monotonic() + 2
        while time.monotonic() < end:
            for _ in range(1000):
                context.line("something that is said again and again")
            count += 1000
        return Outcome(Verdict.PASS, f"{count} lines", {"lines": count})


class Tidy(Task):
    """Has something to put away when it is told to end."""

    name = "tidy"
    summary = "take two seconds to end"

    def run(self, context: Context, options: object) -> Outcome:
        context.line("at it")
        context.cancel.wait(600)
        time.sleep(2)
        return Outcome(Verdict.CANCELLED, "put away")


class Many(Task):
    """More findings than signals may wait."""

    name = "many"
    summary = "find a lot"

    def run(self, context: Context, options: object) -> Outcome:
        for number in range(700):
            context.finding(Finding("test.many", Verdict.PASS, "sda", str(number)))
        return Outcome(Verdict.PASS, "done")


class Quick(Task):
    name = "quick"
    summary = "be done at once"

    def run(self, context: Context, options: object) -> Outcome:
        return Outcome(Verdict.WARN, "done")


class Paper(Task):
    name = "paper"
    summary = "leave what looks like a certificate"

    def run(self, context: Context, options: object) -> Outcome:
        (context.directory / "certificate.html").write_text("a page")
        return Outcome(Verdict.PASS, "done")


HOLD, SPEAK, QUICK, TIDY, MANY, PAPER = Hold(), Speak(), Quick(), Tidy(), Many(), Paper()
'''
NAMES = ("hold", "speak", "quick", "tidy", "many", "paper")
ENTRY_POINTS = "\n".join(["[liveagent.tasks]", *(f"{name} = bus_tasks:{name.upper()}" for name in NAMES)])


class Bus:
    """A dbus-daemon; `stop` and `start` end it and begin anew at the same address."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket = directory / "bus"
        policy = (REPOSITORY / "systemd/org.liveagent.Agent1.conf").read_text()
        (directory / "policy.conf").write_text(policy.replace('group="liveagent"', f'group="{MEMBER}"'))
        config = CONFIG.format(socket=self.socket, policy=directory / "policy.conf")
        (directory / "bus.conf").write_text(config)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={self.socket}"}

    def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        argv = ["dbus-daemon", f"--config-file={self.directory / 'bus.conf'}", "--nofork", "--print-address=1"]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE)
        assert self.process.stdout and self.process.stdout.readline()

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(60)
            if self.process.stdout:
                self.process.stdout.close()
            self.process = None


class Server:
    """A daemon on that bus, idle, with tasks of the tests' own, and the commands that reach it."""

    def __init__(self, directory: Path, bus: Bus) -> None:
        self.directory = directory
        self.bus = bus
        self.process: subprocess.Popen[bytes] | None = None
        (directory / "tasks" / "bus_tasks-1.dist-info").mkdir(parents=True)
        # Where others than root can read it: the tree and the interpreter may lie where they cannot.
        shutil.copytree(REPOSITORY / "liveagent", directory / "tasks" / "liveagent")
        (directory / "tasks" / "bus_tasks.py").write_text(TASKS)
        (directory / "tasks" / "bus_tasks-1.dist-info" / "METADATA").write_text("Name: bus_tasks\nVersion: 1\n")
        (directory / "tasks" / "bus_tasks-1.dist-info" / "entry_points.txt").write_text(ENTRY_POINTS)
        config = directory / "liveagent.conf"
        config.write_text(f"[agent]\nconsoles = {directory / 'console'}\n")
        (directory / "console").touch()
        self.config = config

    @property
    def environment(self) -> dict[str, str]:
        places = {
            "LIVEAGENT_RUNTIME_DIR": str(self.directory / "run"),
            "LIVEAGENT_STATE_DIR": str(self.directory / "state"),
        }
        environment = {**self.bus.environment, **places, "PYTHONPATH": str(self.directory / "tasks")}
        environment.pop("SPEEDISO", None)
        return environment

    def start(self) -> None:
        argv = [sys.executable, "-m", "liveagent", "--config", str(self.config), "daemon"]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(argv, env=self.environment, stderr=log)

    def wait_for_name(self) -> None:
        """Until the daemon has its name: the bus itself says when."""
        argv = ["gdbus", "wait", "--system", "--timeout", "120", "org.liveagent.Agent1"]
        subprocess.run(argv, env=self.environment, check=True, timeout=130)

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)

    def argv(self, *words: str, user: str = "") -> list[str]:
        if not user:
            return [sys.executable, "-m", "liveagent", *words]
        return [*self.become(user), "/usr/bin/python3", "-m", "liveagent", *words]

    @staticmethod
    def become(user: str) -> list[str]:
        entry = pwd.getpwnam(user)
        return ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]

    def command(self, *words: str, user: str = "", timeout: float = 180) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(*words, user=user),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            cwd="/",
        )

    def spawn(self, *words: str) -> subprocess.Popen[str]:
        # A suite that was started in the background ignores Ctrl-C, and hands that on; a person's shell does not.
        argv = ["env", "--default-signal=INT", *self.argv(*words)]
        return subprocess.Popen(argv, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def status(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.command("status", "--json").stdout)
        return document


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    need(os.geteuid() == 0, "root, to own a name on a bus")
    need(shutil.which("dbus-daemon") and shutil.which("gdbus"), "dbus-daemon and gdbus")
    # Others than root have to reach the socket, and nothing else in there.
    place = Path("/run", f"liveagent-test-{os.getpid()}")
    place.mkdir(mode=0o711)
    bus = Bus(place)
    try:
        bus.start()
        yield bus
    finally:
        bus.stop()
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def server(bus: Bus) -> Iterator[Server]:
    directory = bus.directory / "agent"
    directory.mkdir(mode=0o711)
    (directory / "state").mkdir(mode=0o700)
    server = Server(directory, bus)
    try:
        yield server
    finally:
        server.stop()
        log = (directory / "log").read_text() if (directory / "log").exists() else ""
        with contextlib.suppress(FileNotFoundError):
            (directory / "log").unlink()
        assert "Traceback" not in log, log
