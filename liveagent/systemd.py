"""The service manager: what it is told of this service, and the environment that a login does not have."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Mapping

from liveagent.host import CommandError, Host

SYSTEM_MANAGER = "/run/systemd/notify"
OBJECT = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
UNIT = "liveagent.service"
BUS_TIMEOUT = 10.0
# Of the watchdog's time: one that is late by half of it is still in time.
BEATS = 3


class Manager:
    """What started this process, as sd_notify(3) reaches it; all of it does nothing where nothing did."""

    def __init__(self, host: Host, environment: Mapping[str, str]) -> None:
        self._host = host
        self._environment = environment
        self._ready = threading.Event()
        self._beaten = float("-inf")
        watchdog = environment.get("WATCHDOG_USEC", "")
        # Seconds between two signs of life; None where nobody waits for them.
        self.interval = int(watchdog) / 1e6 / BEATS if watchdog.isdecimal() and int(watchdog) else None

    def notify(self, state: str) -> None:
        address = self._environment.get("NOTIFY_SOCKET", "")
        if not address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)

    @property
    def is_ready(self) -> bool:
        """Whether the manager was told, and goes on with what waits for this service."""
        return self._ready.is_set()

    def ready(self) -> None:
        """The service is up; said once."""
        if not self._ready.is_set():
            self._ready.set()
            self.notify("READY=1")
            self.show_status("")

    def beat(self) -> None:
        """A sign of life, by whoever does the work: without one the service is killed, and says so when it is back."""
        if self.interval is not None and time.monotonic() - self._beaten >= self.interval:
            self._beaten = time.monotonic()
            self.notify("WATCHDOG=1")

    def was_restarted(self) -> bool | None:
        """Whether systemd started this service by itself after it had failed; None where it cannot be asked."""
        if self._environment.get("NOTIFY_SOCKET") != SYSTEM_MANAGER:
            return None
        argv = ["systemctl", "show", "--property=NRestarts", "--value", UNIT]
        try:
            count = self._host.run(argv, timeout=BUS_TIMEOUT).stdout.strip()
        except CommandError:
            return None
        return int(count) > 0 if count.isdecimal() else None

    def show_status(self, mode: str) -> None:
        """`no` has systemd keep its progress off the consoles; "" puts back what it did before."""
        if self._environment.get("NOTIFY_SOCKET") != SYSTEM_MANAGER:
            return
        # A failure is logged at the door; the consoles are less tidy then, and no worse.
        with contextlib.suppress(CommandError):
            argv = ["busctl", "--no-pager", "call", *OBJECT, "SetShowStatus", "s", mode]
            self._host.run(argv, timeout=BUS_TIMEOUT)


def parse_environment(text: str) -> dict[str, str]:
    """`busctl --json=short get-property … Environment`. Raises ValueError."""
    document = json.loads(text)
    rows = document.get("data") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        raise ValueError("no environment")
    return dict(str(row).split("=", 1) for row in rows if "=" in str(row))


def read_environment(host: Host) -> Mapping[str, str]:
    """The manager's environment (`systemctl set-environment`); empty where there is no manager that answers."""
    if not host.can_run or not host.exists("/run/systemd/system"):
        return {}
    argv = ["busctl", "--no-pager", "--json=short", "get-property", *OBJECT, "Environment"]
    try:
        return parse_environment(host.run(argv, timeout=BUS_TIMEOUT).stdout)
    except (CommandError, ValueError):
        return {}
