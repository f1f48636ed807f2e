"""Scenarios (c), (d) and (g): words that must not wipe. Each says so, reports it, and leaves a system to log in to."""

from __future__ import annotations

import pytest

from .contract import FINISHED, STEP_STARTED, assert_in_order, findings_of, result_of
from .disks import Disk, file_hash, make_disk
from .guest import Guest, Hardware
from .lab import Lab
from .receiver import Event, Receiver

pytestmark = [pytest.mark.timeout(900)]

BOOT_TIMEOUT = 300.0


class Boot:
    """One boot with a full disk and a receiver, up to the report of its plan."""

    def __init__(self, lab: Lab, name: str, words: str) -> None:
        self._lab, self._name, self._words = lab, name, words
        self.disk: Disk = make_disk(lab.disk_folder(), "scsi", "WORD0001")
        self.before = file_hash(self.disk.path)
        self.receiver: Receiver = lab.receiver(name)

    def run(self) -> tuple[Guest, list[Event]]:
        """Boot and wait for the report; the guest is the caller's."""
        words = self._words.replace("{receiver}", self.receiver.document_url(""))
        cmdline = f"{words} liveagent.callback={self.receiver.url} liveagent.countdown=1"
        guest = self._lab.boot(self._name, cmdline, Hardware(serial="LABWORD", disks=(self.disk,)))
        events = self.receiver.wait_for(FINISHED, BOOT_TIMEOUT)
        posted = next(request.at for request in self.receiver.requests if request.method == "POST")
        self._lab.note(f"{self._name}: kernel to the first event {guest.since_kernel(posted):.1f} s")
        return guest, events

    def check_harmless(self, guest: Guest, events: list[Event]) -> None:
        """Nothing was begun, SSH answers, and not a byte of the disk has changed."""
        assert_in_order(events)
        assert result_of(events)["verdict"] == "error"
        assert not result_of(events)["tasks"]
        assert not any(event["type"] == STEP_STARTED for event in events)
        guest.wait_login()
        guest.wait_ssh()
        assert guest.run("systemctl is-active liveagent.service").strip() == "active"
        assert guest.run("systemctl is-system-running").strip() == "running"
        (guest.folder / "screen.txt").write_text(guest.screen())
        guest.cut_power()
        assert file_hash(self.disk.path) == self.before


@pytest.mark.vm
def test_unknown_word(lab: Lab) -> None:
    boot = Boot(lab, "unknown-word", "systemd.setenv=SPEEDISO=wype")
    guest, events = boot.run()
    with guest:
        for expected in (r"UNKNOWN WORD", r"there is no task wype", r"known: .*\bwipe\b"):
            guest.console.wait_for(expected, 10)
        assert "wype" in findings_of(events)
        boot.check_harmless(guest, events)


@pytest.mark.vm_long
def test_wrong_options_are_listed_at_once(lab: Lab) -> None:
    wrong = "liveagent.wipe.passes=many liveagent.wipe.verify=perhaps liveagent.wipe.speed=full"
    boot = Boot(lab, "wrong-option", f"systemd.setenv=SPEEDISO=wipe {wrong}")
    guest, events = boot.run()
    with guest:
        for expected in (r"many", r"perhaps", r"wipe\.speed"):
            guest.console.wait_for(rf"^.*{expected}", 10)
        assert all(word in findings_of(events) for word in ("many", "perhaps", "speed"))
        boot.check_harmless(guest, events)


@pytest.mark.vm_long
def test_config_that_cannot_be_had(lab: Lab) -> None:
    config = "liveagent.config={receiver}/missing.json liveagent.config_wait=20"
    boot = Boot(lab, "missing-config", f"systemd.setenv=SPEEDISO=wipe {config}")
    guest, events = boot.run()
    with guest:
        asked = [request for request in boot.receiver.requests if request.path == "/missing.json"]
        assert asked
        assert {request.answer for request in asked} == {404}
        guest.console.wait_for(r"missing\.json.*404|404.*missing\.json", 10)
        assert "missing.json" in findings_of(events)
        boot.check_harmless(guest, events)
