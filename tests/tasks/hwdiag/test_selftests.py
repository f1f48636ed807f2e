"""Self-tests on request: begun, watched and judged alike for three protocols; ended on cancel, no pass by guess."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from liveagent.events import Finding, Type, Verdict
from liveagent.host import Cancelled
from liveagent.machine.device import Answer, Device
from liveagent.machine.disks import Transport
from liveagent.machine.inventory import Inventory
from liveagent.machine.selftest import SelfTest, SelfTests, TestResult
from liveagent.tasks import Context
from liveagent.tasks.hwdiag.selftest import Pace, choose_drives, find_new, run_selftests
from tests.machine.bench import Bench, Hangs

SATA = Device(
    "0x5000c500aa", "sda", "hdd", 10**12, serial="Z1", transport=Transport.SATA, path="/dev/sda",
    smartctl=("/dev/sda",), answer=Answer.GIVEN, self_tests=SelfTests(offered=True, short=60, long=3600),
)  # fmt: skip
SAS = dataclasses.replace(SATA, transport=Transport.SAS)
NVME = dataclasses.replace(
    SATA, name="nvme0n1", path="/dev/nvme0n1", kind="nvme", transport=Transport.NVME, controllers=("nvme0",)
)
BEHIND = dataclasses.replace(
    SATA, name="bus/0 megaraid,8", path="/dev/bus/0", behind="0000:3b:00.0",
    smartctl=("--device", "megaraid,8", "/dev/bus/0"),
)  # fmt: skip


# A drive of files is done at once; nothing waits for it.
HURRY = Pace(short=0.01, long=0.01, begin=0.3, watching=0.01)


class Drive:
    """What a drive answers, in the forms of its protocol's tools; `polls` is how often it says that it runs.

    The pages are those of smartctl 7.3, sg_logs 1.81 and nvme-cli 2.3, cut to what is read.
    """

    def __init__(self, protocol: str, code: int = 0, polls: int = 3) -> None:
        self.protocol, self.code, self.polls = protocol, code, polls
        self.log: list[tuple[int, int]] = [(0, 100)]  # result and hours, the newest first
        self.runs = 0
        self.told: list[str] = []
        self.hours = 200

    def answer(self, argv: Sequence[str]) -> str | tuple[int, str]:
        line = " ".join(argv)
        if "--abort" in line or "--self-test-code=0xf" in line:
            self.told.append("abort")
            return "{}"
        if "--test=" in line or "device-self-test" in line:
            self.told.append(line)
            return self.start()
        if self.runs > 0:
            self.runs -= 1
            if not self.runs:
                self.end()
        return self.page()

    def start(self) -> str | tuple[int, str]:
        self.runs = self.polls + 1
        return json.dumps({"smartctl": {"exit_status": 0}})

    def end(self) -> None:
        self.log.insert(0, (self.code, self.hours))

    def page(self) -> str:
        running = self.runs > 0
        if self.protocol == "nvme":
            rows = [
                {"Self test result": code, "Self test code": 1, "Power on hours": hours} for code, hours in self.log
            ]
            state = {"Current Device Self-Test Operation": int(running), "Current Device Self-Test Completion": 40}
            return json.dumps({**state, "List of Valid Reports": rows})
        head: dict[str, Any] = {"smartctl": {"exit_status": 0}, "device": {"protocol": self.protocol.upper()}}
        if self.protocol == "scsi":
            rows = [(15, 0), *self.log] if running else self.log
            tests = {f"scsi_self_test_{n}": self.make_scsi(code, hours) for n, (code, hours) in enumerate(rows)}
            return json.dumps({**head, **tests})
        table = [self.make_ata(code, hours) for code, hours in self.log]
        status = {"value": 246 if running else 0, "string": "x"}
        return json.dumps({
            **head,
            "ata_smart_data": {"self_test": {"status": status}},
            "ata_smart_self_test_log": {"standard": {"table": table}},
        })  # fmt: skip

    @staticmethod
    def make_ata(code: int, hours: int) -> dict[str, Any]:
        kind = {"value": 1, "string": "Short offline"}
        return {"type": kind, "status": {"value": code << 4, "string": "x"}, "lifetime_hours": hours, "lba": 77}

    @staticmethod
    def make_scsi(code: int, hours: int) -> dict[str, Any]:
        kind, result = {"value": 1, "string": "Background short"}, {"value": code, "string": "x"}
        return {"code": kind, "result": result, "power_on_time": {"hours": hours}}


Events = list[tuple[Type, dict[str, Any], str]]


def make_context(place: Path, answer: Any, events: Events | None = None) -> Context:
    heard: Events = events if events is not None else []

    def emit(kind: Type, data: dict[str, Any], subject: str) -> None:
        heard.append((kind, data, subject))

    return Context(Bench(place, answer), None, "hwdiag", emit)  # type: ignore[arg-type]


def run_one(
    place: Path,
    drive: Drive,
    device: Device,
    kind: str = "short",
    events: Events | None = None,
    pace: Pace = HURRY,
) -> Finding:
    (finding,) = run_selftests(make_context(place, drive.answer, events), Inventory(disks=(device,)), kind, pace)
    return finding


PROTOCOLS = pytest.mark.parametrize(
    ("protocol", "device", "started"),
    [
        ("ata", SATA, "smartctl --json=c --test=short /dev/sda"),
        ("scsi", SAS, "smartctl --json=c --test=short /dev/sda"),
        ("nvme", NVME, "nvme device-self-test /dev/nvme0 --namespace-id=0xffffffff --self-test-code=1"),
        ("ata", BEHIND, "smartctl --json=c --test=short --device megaraid,8 /dev/bus/0"),
    ],
)


@PROTOCOLS
def test_one_that_passes(tmp_path: Path, protocol: str, device: Device, started: str) -> None:
    """A new entry in the log is what counts; on the way it is said how far the drive is."""
    drive, events = Drive(protocol), Events()
    finding = run_one(tmp_path, drive, device, events=events)
    assert (finding.code, finding.verdict) == ("disk.selftest.passed", Verdict.PASS)
    assert finding.part == f"{device.name} Z1" and finding.measured["hours"] == 200
    assert drive.told == [started]
    told = [data for kind, data, subject in events if kind is Type.PROGRESS]
    assert told and all(0 <= one["done"] < 100 and one["total"] == 100 and one["eta"] > 0 for one in told)
    if protocol != "scsi":
        assert {one["done"] for one in told} == {40.0}  # by the drive's own word


@PROTOCOLS
def test_one_that_fails(tmp_path: Path, protocol: str, device: Device, started: str) -> None:
    finding = run_one(tmp_path, Drive(protocol, code=7), device)
    assert (finding.code, finding.verdict) == ("disk.selftest.failed", Verdict.FAIL)


@PROTOCOLS
def test_one_that_a_reset_ends(tmp_path: Path, protocol: str, device: Device, started: str) -> None:
    """It says nothing of the drive, and that is no pass."""
    finding = run_one(tmp_path, Drive(protocol, code=2), device)
    assert (finding.code, finding.verdict) == ("disk.selftest.unknown", Verdict.UNKNOWN)


def test_long_ones(tmp_path: Path) -> None:
    """By the words of each tool."""
    sata, nvme = Drive("ata"), Drive("nvme")
    run_one(tmp_path, sata, SATA, "long")
    run_one(tmp_path, nvme, NVME, "long")
    assert sata.told == ["smartctl --json=c --test=long /dev/sda"]
    assert nvme.told[0].endswith("--self-test-code=2")


def test_a_drive_that_does_not_begin(tmp_path: Path) -> None:
    """The command was taken, and nothing came of it: the old entry in the log must not stand for a new one."""
    finding = run_one(tmp_path, Drive("ata", polls=-1), SATA)
    assert finding.code == "disk.selftest.unknown" and "did not begin" in finding.summary


def test_a_drive_that_refuses(tmp_path: Path) -> None:
    drive = Drive("ata")
    page = {"smartctl": {"exit_status": 4, "messages": [{"string": "Command failed"}]}}
    drive.start = lambda: (4, json.dumps(page))  # type: ignore[method-assign]
    finding = run_one(tmp_path, drive, SATA)
    assert finding.verdict is Verdict.UNKNOWN and finding.summary.endswith("did not begin: Command failed")


def test_one_that_runs_already(tmp_path: Path) -> None:
    """It is waited for, and no second one is begun."""
    drive = Drive("ata", code=7)
    drive.start()
    finding = run_one(tmp_path, drive, SATA)
    assert finding.code == "disk.selftest.failed" and "that ran already" in finding.summary
    assert drive.told == []


@pytest.mark.parametrize(("drive", "device"), [(Drive("ata", polls=10**9), SATA), (Drive("nvme", polls=10**9), NVME)])
def test_one_that_does_not_end(tmp_path: Path, drive: Drive, device: Device) -> None:
    """Twice the drive's own estimate, and it is told to end."""
    finding = run_one(tmp_path, drive, device, pace=dataclasses.replace(HURRY, grace=0.2, patience=0.0))
    assert finding.verdict is Verdict.UNKNOWN and "did not end within" in finding.summary
    assert drive.told[-1] == "abort"


def test_a_drive_that_falls_silent(tmp_path: Path) -> None:
    """A question that is not answered may be bad luck; five are none."""
    drive = Drive("ata", polls=10**9)

    def answer(argv: Sequence[str]) -> str | tuple[int, str]:
        if drive.told:
            raise Hangs
        return drive.answer(argv)

    (finding,) = run_selftests(make_context(tmp_path, answer), Inventory(disks=(SATA,)), "short", HURRY)
    assert finding.verdict is Verdict.UNKNOWN and "no longer answers" in finding.summary


def test_cancel_ends_the_tests(tmp_path: Path) -> None:
    """Every drive is told to, before the run goes on to end."""
    begun = threading.Event()
    drives = {"/dev/sda": Drive("ata", polls=10**9), "/dev/sdb": Drive("ata", polls=10**9)}

    def answer(argv: Sequence[str]) -> str | tuple[int, str]:
        said = drives[argv[-1]].answer(argv)
        if all(drive.told for drive in drives.values()):
            begun.set()
        return said

    context = make_context(tmp_path, answer)
    threading.Thread(target=lambda: begun.wait(20) and context.cancel.set(), daemon=True).start()
    other = dataclasses.replace(SATA, name="sdb", path="/dev/sdb", smartctl=("/dev/sdb",))
    with pytest.raises(Cancelled):
        run_selftests(context, Inventory(disks=(SATA, other)), "long", HURRY)
    assert [drive.told[-1] for drive in drives.values()] == ["abort", "abort"]


def test_drives_without_self_tests_are_said(tmp_path: Path) -> None:
    """Not measured, and said; what is no drive is not."""
    unable = dataclasses.replace(NVME, self_tests=SelfTests(offered=False))
    silent = dataclasses.replace(SATA, name="sdc", answer=Answer.SILENT)
    volume = dataclasses.replace(SATA, name="sdd", volume="a logical volume of a Dell PERC controller")
    virtio = dataclasses.replace(SATA, name="vda", transport=Transport.VIRTIO)
    context = make_context(tmp_path, Drive("ata").answer)
    found = run_selftests(context, Inventory(disks=(unable, silent, volume, virtio)), "short", HURRY)
    assert [(one.code, one.part, one.verdict) for one in found] == [
        ("disk.selftest.not_offered", "nvme0n1 Z1", Verdict.PASS)
    ]


@pytest.mark.parametrize("tests", [None, SelfTests(offered=None)])
def test_a_drive_that_was_not_asked_has_passed_nothing(tmp_path: Path, tests: SelfTests | None) -> None:
    """Whether it has a self-test, nobody knows."""
    unasked = dataclasses.replace(NVME, self_tests=tests)
    found = run_selftests(make_context(tmp_path, Drive("ata").answer), Inventory(disks=(unasked,)), "long", HURRY)
    assert [(one.code, one.verdict) for one in found] == [("disk.selftest.unknown", Verdict.UNKNOWN)]


def test_namespaces_of_a_controller_are_tested_together() -> None:
    other = dataclasses.replace(NVME, name="nvme0n2", path="/dev/nvme0n2")
    assert [device.name for device in choose_drives([NVME, other, SATA])] == ["nvme0n1", "sda"]


OLD = tuple(SelfTest("short", TestResult.PASSED, "x", hours) for hours in range(21, 0, -1))
NEW = SelfTest("short", TestResult.PASSED, "x", 22)


@pytest.mark.parametrize(
    ("before", "after", "new"),
    [((), (), None), ((), (NEW,), NEW), (OLD, OLD, None), (OLD, (NEW, *OLD[:-1]), NEW), (OLD, (), None)],
)
def test_the_new_entry_of_a_log(
    before: tuple[SelfTest, ...], after: tuple[SelfTest, ...], new: SelfTest | None
) -> None:
    """A log of twenty-one that is full does not grow."""
    assert find_new(before, after) == new
