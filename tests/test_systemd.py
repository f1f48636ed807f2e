"""The service manager: signs of life by whoever works, and the environment that a login does not have."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from liveagent.host import Host
from liveagent.systemd import SYSTEM_MANAGER, Manager, parse_environment, read_environment
from tests.machine.bench import Bench


@pytest.fixture
def told(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(5)
        yield receiver


def make_manager(tmp_path: Path, **more: str) -> Manager:
    return Manager(Host(), {"NOTIFY_SOCKET": str(tmp_path / "notify"), **more})


def test_ready_is_said_once(tmp_path: Path, told: socket.socket) -> None:
    manager = make_manager(tmp_path)
    manager.ready()
    manager.ready()
    manager.notify("STATUS=x")
    assert [told.recv(100) for _ in range(2)] == [b"READY=1", b"STATUS=x"]


def test_beats_are_thinned_to_a_third_of_the_watchdogs_time(tmp_path: Path, told: socket.socket) -> None:
    manager = make_manager(tmp_path, WATCHDOG_USEC="300000000")
    assert manager.interval == 100
    for _ in range(1000):
        manager.beat()
    manager.notify("END=1")
    assert [told.recv(100) for _ in range(2)] == [b"WATCHDOG=1", b"END=1"]


@pytest.mark.parametrize("usec", ["", "0", "-5", "soon"])
def test_without_a_watchdog_nobody_is_told(tmp_path: Path, told: socket.socket, usec: str) -> None:
    manager = make_manager(tmp_path, WATCHDOG_USEC=usec)
    manager.beat()
    manager.notify("END=1")
    assert manager.interval is None and told.recv(100) == b"END=1"


@pytest.mark.parametrize(("said", "was"), [("2", True), ("0", False), ("", None), ("[not set]", None)])
def test_who_started_the_service(tmp_path: Path, said: str, was: bool | None) -> None:
    """NRestarts, which systemd counts and a start by a person sets to nothing."""
    bench = Bench(tmp_path, lambda argv: f"{said}\n")
    assert Manager(bench, {"NOTIFY_SOCKET": SYSTEM_MANAGER}).was_restarted() is was
    assert bench.asked == [("systemctl", "show", "--property=NRestarts", "--value", "liveagent.service")]
    # What systemd did not start cannot be asked about.
    assert make_manager(tmp_path).was_restarted() is None


def test_environment_of_the_manager() -> None:
    """As busctl of systemd 252 prints the property."""
    text = json.dumps({"type": "as", "data": ["LANG=C.UTF-8", "SPEEDISO=wipe", "ODD", "A=b=c"]})
    assert parse_environment(text) == {"LANG": "C.UTF-8", "SPEEDISO": "wipe", "A": "b=c"}
    for broken in ("", "null", "[]", '{"data": 3}'):
        with pytest.raises(ValueError):
            parse_environment(broken)


def test_another_root_has_no_manager(tmp_path: Path) -> None:
    assert read_environment(Host(str(tmp_path))) == {}
