"""What the drives' own words change in a decision: some need not be read, some hang, some are asked again."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from liveagent.events import Verdict
from liveagent.host import Cancelled, Host
from liveagent.machine.disks import Disk, Transport
from liveagent.machine.drive import Drive
from liveagent.machine.scsi import ScsiFacts, ScsiState
from liveagent.tasks import Context
from liveagent.tasks.wipe import decide as deciding
from liveagent.tasks.wipe import work
from liveagent.tasks.wipe.decide import Decision, decide, probe_drives
from liveagent.tasks.wipe.extras import Extra
from liveagent.tasks.wipe.guards import Reason
from liveagent.tasks.wipe.options import WipeOptions
from liveagent.tasks.wipe.select import Selection
from tests.tasks.rows import make_erased, make_failed, make_untouched
from tests.tasks.test_wipe_disk import Heard
from tests.tasks.test_wipe_select import make_disk, make_machine
from tests.tasks.test_wipe_technique import ata, nvme

ERASING = Drive(scsi=ScsiFacts(frozenset(("block",)), 0, 512, False, False, None, ScsiState.SANITIZING, 0.2))


def make_path(name: str, **more: object) -> Disk:
    """One of two paths to a SAS disk that erases itself, and has no size before that is done."""
    return make_disk(name, **{"size": 0, "wwn": "0x5000c500a1b20001", "transport": Transport.SAS, **more})


@pytest.fixture
def drives(monkeypatch: pytest.MonkeyPatch) -> dict[str, Drive]:
    """What each drive says, by kernel name; one that is not named says nothing."""
    said: dict[str, Drive] = {}
    monkeypatch.setattr(deciding, "probe_drive", lambda host, disk: said.get(disk.name, Drive()))
    return said


def codes(decision: Decision) -> dict[str, list[str]]:
    return {held.disk.name: [reason.code for reason in held.reasons] for held in decision.selection.refused}


def test_disk_that_erases_itself_has_no_size(tmp_path: Path, drives: dict[str, Drive]) -> None:
    """It is taken all the same, to be waited for."""
    drives["sda"] = ERASING
    decision = decide(Host(str(tmp_path)), make_machine(make_path("sda")), WipeOptions())
    assert [order.disk.name for order in decision.orders] == ["sda"] and not codes(decision)


@pytest.mark.parametrize("other", [{}, {"size": 4 * 10**12}, {"read_only": True}])
def test_two_paths_to_a_disk_that_erases_itself(
    tmp_path: Path, drives: dict[str, Drive], other: Mapping[str, object]
) -> None:
    """One medium is not worked on by two names, whether the other path is as blind, can be read, or is held back."""
    drives.update(sda=ERASING, sdb=ERASING)
    decision = decide(Host(str(tmp_path)), make_machine(make_path("sda"), make_path("sdb", **other)), WipeOptions())
    assert "sda" not in [order.disk.name for order in decision.orders]
    assert codes(decision)["sda"] == ["wipe.guard.no_size"]


@pytest.fixture
def release() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_drives_that_hang_hold_up_nobody_else(monkeypatch: pytest.MonkeyPatch, release: threading.Event) -> None:
    """A drive that never answers costs one limit for its group, and of it nothing is known; the others are asked."""
    disks = [make_disk(f"sd{letter}") for letter in "abcdefghijklmnopqrst"]
    hanging = {"sda", "sdb"}

    def probe(host: Host, disk: Disk) -> Drive:
        if disk.name in hanging:
            release.wait(60)
        return Drive(ata=ata())

    monkeypatch.setattr(deciding, "probe_drive", probe)
    monkeypatch.setattr(deciding, "PROBE_LIMIT", 1.0)
    start = time.monotonic()
    found = probe_drives(Host(), disks)
    assert time.monotonic() - start < 30
    assert {name for name, drive in found.items() if drive.silent} == hanging
    assert all(found[disk.name].ata for disk in disks if disk.name not in hanging)


def test_drive_whose_answer_nobody_understands(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tool's output that was never seen before costs that drive's facts and no more; a cancel goes on up."""

    def probe(host: Host, disk: Disk) -> Drive:
        if disk.name == "sda":
            raise KeyError("a field")
        return Drive(ata=ata())

    monkeypatch.setattr(deciding, "probe_drive", probe)
    found = probe_drives(Host(), [make_disk("sda"), make_disk("sdb")])
    assert found["sda"].silent and found["sdb"].ata

    def cancel(host: Host, disk: Disk) -> Drive:
        raise Cancelled("cancelled")

    monkeypatch.setattr(deciding, "probe_drive", cancel)
    with pytest.raises(Cancelled):
        probe_drives(Host(), [make_disk("sda")])


def test_namespace_that_is_left_behind_frees_its_sibling(tmp_path: Path, drives: dict[str, Drive]) -> None:
    """A sibling waits for all namespaces before the drive's own command is given: one that hangs ends that."""
    names = ("nvme0n1", "nvme0n2")
    facts = dataclasses.replace(nvme(), namespaces=(1, 2), attached=(1, 2))
    drives.update({name: Drive(nvme=dataclasses.replace(facts, namespace=n)) for n, name in enumerate(names, 1)})
    disks = [
        make_disk(
            name, transport=Transport.NVME, nvme_controllers=("nvme0",), nvme_namespace=number, wwn=f"eui.{number}"
        )
        for number, name in enumerate(names, 1)
    ]
    host, machine = Host(str(tmp_path)), make_machine(*disks)
    decision = decide(host, machine, WipeOptions())
    workers = work.make_workers(Context(host, machine, "wipe", Heard()), decision.orders, WipeOptions())
    assert workers[0]._joint is workers[1]._joint is not None
    row = workers[0].abandon("hangs")
    assert row and (row["verdict"], row["status"], row["summary"]) == ("unknown", "not-erased", "hangs")
    assert workers[0].abandon("again") is None
    assert workers[0]._joint._gone == {"nvme0n1"}


@pytest.mark.parametrize(
    ("rows", "is_cleared"),
    [
        ([make_erased()], True),
        ([make_erased(), make_untouched("sdb", "B", "skipped", "wipe.guard.usb")], True),
        ([make_erased(), make_failed()], False),
        ([make_erased(), make_untouched()], False),
        ([make_untouched("sdb", "B", "skipped", "wipe.guard.usb")], False),
        ([], False),
    ],
)
def test_what_is_cleared_beside_the_disks(
    monkeypatch: pytest.MonkeyPatch, rows: list[dict[str, object]], is_cleared: bool
) -> None:
    """A disk that lives may need the TPM's key and its boot entry: cleared only where all asked for is gone."""
    cleared = []

    def clear(host: Host) -> Extra:
        cleared.append("tpm")
        return Extra("tpm", Verdict.PASS, "the TPM was cleared")

    monkeypatch.setitem(work.EXTRAS, "tpm", clear)  # type: ignore[arg-type]
    extra = work._clear(Context(Host(), make_machine(), "wipe", Heard()), "tpm", rows)
    assert bool(cleared) is is_cleared
    assert extra.verdict is (Verdict.PASS if is_cleared else Verdict.SKIPPED)


def test_fault_that_shows_after_taking_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time has passed: a word that means no one disk any more stops the run before the first write."""
    fault = Reason("wipe.disk.ambiguous", "WD-1 is more than one disk")
    clean = Decision((), Selection((), (), (), ()), deciding.RaidSurvey((), (), ()), {})
    late = dataclasses.replace(clean, selection=dataclasses.replace(clean.selection, faults=(fault,)))
    monkeypatch.setattr(work, "decide", lambda *_: clean)
    monkeypatch.setattr(work, "_take_apart", lambda context, decision, options: (late, ["stop md127 (RAID1)"]))
    heard = Heard()
    outcome = work.run(Context(Host(), make_machine(), "wipe", heard), WipeOptions())
    assert (outcome.verdict, outcome.summary) == (Verdict.REFUSED, fault.text)
