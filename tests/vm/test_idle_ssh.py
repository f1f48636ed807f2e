"""Engineers over SSH, on pseudo-terminals, in a guest where the service runs: one daemon, one truth."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from typing import Any

import pytest

from .by_hand import run_wipe
from .guest import Guest
from .lab import Lab

pytestmark = [pytest.mark.timeout(600)]

TASKS = "/etc/liveagent/tasks.d"
HOLD = """#!/bin/sh
echo "holding on to it"
exec sleep 600
"""
# As a memory test that asks for too much: it takes pages until the kernel ends somebody.
GREEDY = """#!/bin/sh
echo "taking all there is"
exec tail /dev/zero
"""
NAME, PATH = "org.liveagent.Agent1", "/org/liveagent/Agent1"
UNIT = "liveagent.service"
DROP_IN = f"/run/systemd/system/{UNIT}.d/lab.conf"


@pytest.fixture(autouse=True)
def calm(guest: Guest) -> Iterator[None]:
    """Nothing is left on by a test that failed."""
    yield
    guest.attempt("liveagent cancel")
    guest.run('until liveagent status --json | grep -q \'"state": "idle"\'; do sleep .5; done', timeout=120)


@pytest.fixture(scope="module")
def guest(idle_guest: Guest) -> Iterator[Guest]:
    idle_guest.run(f"install -d {TASKS}")
    idle_guest.put(HOLD, f"{TASKS}/hold.sh", mode="755")
    idle_guest.put(GREEDY, f"{TASKS}/greedy.sh", mode="755")
    idle_guest.run("id looker || useradd --groups liveagent looker; id stranger || useradd stranger")
    yield idle_guest
    idle_guest.run(f"rm -f {TASKS}/hold.sh {TASKS}/greedy.sh {DROP_IN}; systemctl daemon-reload")


def status(guest: Guest) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(guest.run("liveagent status --json"))
    return document


def begin(guest: Guest, task: str, timeout: float = 60) -> str:
    """Have the service run a task, and wait until it has said its first line."""
    run: str = json.loads(guest.run(f"liveagent run {task} --detach --json"))["run"]
    record = f"/var/lib/liveagent/runs/{run}/events.jsonl"
    guest.run(f"until grep -qs liveagent.output {record}; do sleep .2; done", timeout=timeout)
    return run


def report(guest: Guest, run: str, timeout: float = 120) -> dict[str, Any]:
    """The result of a run, when it is there."""
    ended = f"liveagent report {run} --json >/run/report.json 2>/dev/null; test $? -ne 2"
    guest.run(f"until {ended}; do sleep .5; done", timeout=timeout)
    document: dict[str, Any] = json.loads(guest.get("/run/report.json"))
    return document


def read_memory(guest: Guest) -> float:
    """What the daemon has of the guest's memory, in MiB; what it shares is counted by its part."""
    return int(guest.run(f"grep -h ^Pss: /proc/{main_pid(guest)}/smaps_rollup").split()[1]) / 1024


def main_pid(guest: Guest) -> str:
    return guest.run(f"systemctl show --value --property MainPID {UNIT}").strip()


@pytest.mark.vm
def test_the_service_has_its_name_and_is_watched(guest: Guest) -> None:
    assert guest.run(f"busctl --system status {NAME} | grep '^PID='").strip() == f"PID={main_pid(guest)}"
    assert guest.run(f"systemctl show --value --property WatchdogUSec {UNIT}").strip() == "5min"
    assert "Submit" in guest.run(f"busctl --system introspect {NAME} {PATH}")


@pytest.mark.vm
def test_two_attach_see_the_same_and_a_third_cancels(guest: Guest) -> None:
    """On terminals of 80 columns; who leaves with Ctrl-C is told how to come back, and the run goes on."""
    with guest.open_terminal("liveagent run hold", "ssh-owner") as owner:
        owner.screen.wait_for("holding on to it", 60)
        with (
            guest.open_terminal("stty cols 80 rows 24; liveagent attach", "ssh-one") as one,
            guest.open_terminal("stty cols 200 rows 50; liveagent attach", "ssh-two") as two,
        ):
            for terminal in (one, two):
                terminal.screen.wait_for("holding on to it", 60)
            owner.type("\x03")
            owner.screen.wait_for("comes back", 30)
            assert owner.wait(30) == 3
            assert status(guest)["state"] == "running"
            assert "asked run" in guest.attempt("liveagent cancel").stderr
            for terminal in (one, two):
                terminal.screen.wait_for("CANCELLED", 60)
                assert terminal.wait(60) == 130
    assert status(guest)["state"] == "idle"


@pytest.mark.vm
def test_a_daemon_that_is_killed_comes_back_and_says_so(guest: Guest) -> None:
    run, before = begin(guest, "hold"), main_pid(guest)
    with guest.open_terminal(f"liveagent attach {run}", "ssh-killed") as terminal:
        terminal.screen.wait_for("holding on to it", 60)
        guest.run(f"systemctl kill --signal KILL --kill-who=main {UNIT}")
        assert terminal.wait(60) != 0
    guest.run(f"until [ $(systemctl show --value -p MainPID {UNIT}) -ne 0 ]; do sleep .2; done", timeout=60)
    found = report(guest, run)
    assert found["verdict"] == "unknown" and "unknown" in found["summary"]
    assert main_pid(guest) != before
    # Nothing of it is left behind, and nothing was begun anew.
    assert guest.attempt("pgrep -f 'sleep 600'").returncode == 1
    guest.run(f"until busctl --system status {NAME} >/dev/null; do sleep .2; done", timeout=60)
    assert status(guest)["state"] == "idle"


@pytest.mark.vm
def test_tab_completes(guest: Guest) -> None:
    """In a login as a person has it, with nothing to be set up: commands, and disks by their serial."""
    with guest.open_terminal("bash -l", "tab") as terminal:
        for typed, completed in (
            ("liveagent can\t", "liveagent cancel "),
            ("\x15liveagent run wipe --disks SCSI\t", "--disks SCSI0101 "),
        ):
            terminal.type(typed)
            terminal.screen.wait_for(completed, 60)
        terminal.type("\x15exit\n")
        assert terminal.wait(60) == 0


@pytest.mark.vm_long
def test_memory_that_is_exhausted_takes_the_child(guest: Guest) -> None:
    """The agent steps before its children with the kernel's OOM killer."""
    before = main_pid(guest)
    # An emulated processor fills two gigabytes slowly, and answers slower meanwhile.
    result = report(guest, begin(guest, "greedy", timeout=300), timeout=300)
    assert result["verdict"] in ("fail", "error"), result
    assert main_pid(guest) == before
    assert "Killed process" in guest.run("dmesg | grep -i 'killed process'") and "(tail)" in guest.run("dmesg")


@pytest.mark.vm_long
def test_a_restart_ends_the_run_in_order(guest: Guest) -> None:
    run = begin(guest, "hold")
    guest.run(f"systemctl restart {UNIT}", timeout=120)
    found = report(guest, run)
    assert found["verdict"] == "cancelled" and "the service was stopped" in json.dumps(found)


@pytest.mark.vm_long
def test_who_is_logged_in_at_the_screen_is_not_drawn_over(guest: Guest) -> None:
    """agetty(8) and login(1) let somebody in on the first terminal; the run is drawn there when he has left."""
    getty, hint = "getty@tty1.service", "Alt+F2 is for logging in"
    place = f"/run/systemd/system/{getty}.d"
    guest.run(f"install -d {place}")
    guest.put("[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root tty1 linux\n", f"{place}/lab.conf")
    try:
        guest.run(rf"systemctl daemon-reload; systemctl restart {getty}; printf '\033[H\033[2J' >/dev/tty1")
        guest.run("until who | grep -q tty1; do sleep .2; done", timeout=60)
        seen = len(guest.console.text)
        begin(guest, "hold")
        # Lines go to the serial line just before the picture would be drawn.
        guest.console.wait_for("holding on to it", 60, since=seen)
        assert hint not in guest.run("cat /dev/vcs1")
        guest.run(f"systemctl stop {getty}; while who | grep tty1; do sleep .2; done", timeout=60)
        guest.run(f"until grep -q '{hint}' /dev/vcs1; do sleep .2; done", timeout=60)
    finally:
        guest.run(f"rm -r {place}; systemctl daemon-reload; systemctl restart {getty}")


@pytest.mark.vm
def test_who_may_look_and_who_may_not(guest: Guest) -> None:
    run = begin(guest, "hold")
    looked = guest.run("setpriv --reuid=looker --regid=looker --init-groups liveagent status --json")
    assert json.loads(looked)["run"] == run
    barred = guest.attempt("setpriv --reuid=stranger --regid=stranger --init-groups liveagent status")
    assert barred.returncode == 3 and "group liveagent" in barred.stderr
    for words in ("run hello", "cancel"):
        denied = guest.attempt(f"setpriv --reuid=looker --regid=looker --init-groups liveagent {words}")
        assert denied.returncode != 0 and "root" in denied.stderr
    denied = guest.attempt(
        f"setpriv --reuid=looker --regid=looker --init-groups busctl call {NAME} {PATH} {NAME} Cancel s ''"
    )
    assert denied.returncode != 0 and "Access denied" in denied.stderr
    assert status(guest)["state"] == "running"
    guest.run("liveagent cancel 2>&1")
    assert report(guest, run)["verdict"] == "cancelled"


@pytest.mark.vm_long
def test_the_word_is_read_of_the_managers_environment(guest: Guest) -> None:
    guest.run("systemctl set-environment SPEEDISO=hello")
    try:
        assert "hello" in guest.run("liveagent plan")
        done = guest.attempt("liveagent run --as-booted --json")
        assert "hello" in done.stdout, (done.stdout, done.stderr)
    finally:
        guest.run("systemctl unset-environment SPEEDISO")
    assert "idle" in guest.run("liveagent plan")


@pytest.mark.vm_long
def test_a_name_that_is_asked_for_starts_the_service(guest: Guest) -> None:
    """Activation, where the unit is enabled; `liveagent status` itself starts nothing."""
    guest.run(f"systemctl stop {UNIT}")
    guest.run("liveagent status")
    assert guest.attempt(f"systemctl is-active {UNIT}").stdout.strip() == "inactive"
    guest.run(f"systemctl disable {UNIT}")
    asked = "busctl --system call org.freedesktop.DBus / org.freedesktop.DBus StartServiceByName su"
    for user in ("root", "stranger"):
        assert guest.attempt(f"setpriv --reuid={user} --clear-groups {asked} {NAME} 0").returncode != 0
    assert guest.attempt(f"systemctl is-active {UNIT}").stdout.strip() == "inactive"
    guest.run(f"systemctl enable {UNIT}")
    guest.run(f"busctl --system call {NAME} {PATH} {NAME} Status", timeout=60)
    guest.run(f"until systemctl is-active {UNIT}; do sleep .2; done", timeout=60)


@pytest.mark.vm_long
def test_an_engine_that_is_stuck_is_ended_by_the_watchdog(guest: Guest) -> None:
    guest.put("[Service]\nWatchdogSec=10\n", DROP_IN)
    guest.run(f"systemctl daemon-reload; systemctl restart {UNIT}", timeout=120)
    # A run that takes longer than that is no trouble.
    run = begin(guest, "hold")
    before = main_pid(guest)
    guest.run("sleep 15", timeout=60)
    assert main_pid(guest) == before
    guest.run(f"kill -STOP {before}")
    guest.run(f"until [ $(systemctl show --value -p NRestarts {UNIT}) -ne 0 ]; do sleep .5; done", timeout=120)
    assert "atchdog" in guest.run(f"journalctl --no-pager -u {UNIT} | tail -n 50")
    assert report(guest, run)["verdict"] == "unknown"
    guest.run(f"rm {DROP_IN}; systemctl daemon-reload; systemctl restart {UNIT}", timeout=120)


@pytest.mark.vm_long
def test_status_is_quick(lab: Lab, guest: Guest) -> None:
    """Against `systemctl status`, rounds interleaved; printed, not judged."""
    commands = {"systemctl status": f"systemctl --no-pager status {UNIT}", "liveagent status": "liveagent status"}
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(9):
        for name, command in commands.items():
            # In the guest: over here it would be ssh that is measured.
            took = guest.run(f"s=$(date +%s%N); {command} >/dev/null && echo $(($(date +%s%N) - s))")
            seconds[name].append(int(took) / 1e9)
    medians = {name: statistics.median(rows) for name, rows in seconds.items()}
    ratio = medians["liveagent status"] / medians["systemctl status"]
    lab.note(f"status: {medians} s, x{ratio:.2f}")
    rest = read_memory(guest)
    # User and system time, in ticks of 10 ms, half a minute apart: what it does while it has nothing to do.
    read = f"cut -d' ' -f14,15 /proc/{main_pid(guest)}/stat"
    before, after = guest.run(f"{read}; sleep 30; {read}", timeout=90).splitlines()
    ticks = sum(map(int, after.split())) - sum(map(int, before.split()))
    assert run_wipe(guest, "--disks", "SCSI0101")[0] == 0
    lab.note(f"the daemon at rest: {rest:.1f} MiB PSS, {read_memory(guest):.1f} after a wipe; {ticks} ticks in 30 s")
