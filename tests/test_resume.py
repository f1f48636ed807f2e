"""What goes on of a run that the service was killed in, and what does not."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pytest

from liveagent.bootnote import BootNote
from liveagent.events import Type, Verdict
from liveagent.host import Host
from liveagent.machine.disks import Disk, Transport
from liveagent.options import Fault, Setting, encode_options
from liveagent.order import Order
from liveagent.plan import Plan, Step
from liveagent.report.spool import Spool
from liveagent.resume import RECENT, TIMES, Begun, Broken, CannotGoOn, UnderWay, find_broken, make_rest
from liveagent.settings import parse_settings
from liveagent.tasks import Context, NoOptions, Outcome, Task
from liveagent.tasks.hwdiag import TASK as HWDIAG
from liveagent.tasks.wipe import TASK as WIPE
from liveagent.tasks.wipe.options import WipeOptions
from liveagent.tasks.wipe.rest import note_identity
from tests.tasks.test_wipe_select import make_disk, make_machine

TB = 10**12
BEGUN = Begun("R-1")
MACHINE = make_machine()


class Plain(Task):
    """A task that says nothing of resuming."""

    name = "plain"
    summary = "nothing"

    def run(self, context: Context, options: object) -> Outcome:
        return Outcome(Verdict.PASS, "nothing")


PLAIN = Plain()
OPTIONS = WipeOptions(disks=("all",), passes=3, clear_tpm=True)
NOW = 1_800_000_000.0
SDB = make_disk("sdb", serial="WD-B", wwn="0x5000c500a1b2c3d4", model="WDC", size=TB)
SDC = make_disk("sdc", serial="WD-C", wwn="", model="WDC", size=TB)
VDA = make_disk("vda", transport=Transport.VIRTIO, serial="", wwn="", model="", size=TB)
LOOP = make_disk("loop3", transport=Transport.LOOP, serial="", wwn="", model="/tmp/a.img", size=TB)
DISKS = (SDB, SDC, VDA, LOOP)
PARTS = {disk.name: note_identity(disk) for disk in (SDB, VDA, LOOP)}


def make_plan(task: Task = WIPE, options: object = OPTIONS, **agent: str) -> Plan:
    settings, faults = parse_settings({name: Setting(value, "test") for name, value in agent.items()})
    assert not faults
    steps = (Step(HWDIAG, HWDIAG.Options()), Step(task, options), Step(PLAIN, NoOptions()))
    return Plan("hwdiag,wipe,plain", steps, settings)


def make_broken(task: str = "wipe", options: object = OPTIONS, **more: object) -> Broken:
    return dataclasses.replace(Broken(task, encode_options(options), PARTS, NOW - 5), **more)  # type: ignore[arg-type]


def rest_of(plan: Plan, left: Begun = BEGUN, broken: Broken | None = None, disks: tuple[Disk, ...] = DISKS) -> Plan:
    machine = dataclasses.replace(MACHINE, disks=disks)
    return make_rest(plan, left, broken or make_broken(), machine, NOW)


def test_what_was_noted_is_read_again(tmp_path: Path) -> None:
    """By the next process, with the whole order, and by root alone."""
    order = Order("wipe", settings={"wipe": {"disks": "sda"}, "agent": {"then": "poweroff"}})
    note = UnderWay(Host(), tmp_path / "run")
    assert note.read() is None
    for begun in (Begun("R-1"), Begun("R-2", order, 2, {"passes": 3, "disks": ["all"]})):
        note.write(begun)
        assert UnderWay(Host(), tmp_path / "run").read() == begun
    assert (tmp_path / "run/under-way").stat().st_mode & 0o777 == 0o600
    note.clear()
    note.clear()
    assert note.read() is None


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '"text"', "{}", '{"run": "R", "order": "", "times": 0}'])
def test_a_note_that_says_nothing(tmp_path: Path, content: str) -> None:
    """What cannot be understood, or is of no boot, is nothing to go on with."""
    (tmp_path / "under-way").write_text(content)
    assert UnderWay(Host(), tmp_path).read() is None


@pytest.mark.parametrize("noted", [{"run": "R", "order": "{", "times": 0}, {"run": "R", "order": ""}, {"times": []}])
def test_a_note_of_this_boot_that_is_wrong(tmp_path: Path, noted: dict[str, object]) -> None:
    BootNote(Host(), tmp_path / "under-way").write(noted)
    assert UnderWay(Host(), tmp_path).read() is None


def test_nothing_is_noted_for_another_root(tmp_path: Path) -> None:
    """A recorded machine is looked at on a real one, whose own notes stay."""
    note = UnderWay(Host(str(tmp_path)), tmp_path / "run")
    note.write(Begun("R-1"))
    assert note.read() is None and not (tmp_path / "run").exists()


def test_where_it_was(tmp_path: Path) -> None:
    """The step that had not ended, those of its parts that had begun and had not, and when it was last heard of."""
    assert find_broken(tmp_path / "R") is None
    spool = Spool(tmp_path / "R", "R", "/liveagent/S")
    spool.emit(Type.RUN_STARTED, {})
    spool.emit(Type.STEP_STARTED, {"options": {}}, "hwdiag")
    spool.emit(Type.STEP_FINISHED, {"verdict": "pass"}, "hwdiag")
    assert find_broken(tmp_path / "R") is None
    spool.emit(Type.STEP_STARTED, {"options": {"passes": 3}}, "wipe")
    spool.emit(Type.STEP_STARTED, {"options": {"technique": "overwrite"}, "identity": {"serial": "A"}}, "wipe/sda")
    spool.emit(Type.STEP_STARTED, {"options": {}, "identity": {"serial": "B"}}, "wipe/sdb")
    spool.emit(Type.STEP_FINISHED, {"verdict": "pass"}, "wipe/sda")
    spool.emit(Type.PROGRESS, {"done": 1}, "wipe/sdb")
    spool.close()
    broken = find_broken(tmp_path / "R")
    assert broken and abs(broken.heard - time.time()) < 60
    assert dataclasses.replace(broken, heard=0.0) == Broken("wipe", {"passes": 3}, {"sdb": {"serial": "B"}}, 0.0)


def test_the_rest_of_a_wipe() -> None:
    """The disks that it was in, as they are there still; nothing before, nothing after, and no pass."""
    rest = rest_of(make_plan(then="poweroff", callback="https://receiver.example.test/"))
    [step] = rest.steps
    assert step.options == dataclasses.replace(OPTIONS, disks=("/dev/sdb", "/dev/loop3"), clear_tpm=False)
    assert (rest.word, rest.at_boot, rest.rest_of, rest.settings.then) == ("wipe", True, "R-1", "stay")
    [finding] = rest.findings
    assert (finding.code, finding.verdict) == ("run.rest", Verdict.WARN)
    assert rest.notices[-1].startswith("wipe goes on with sdb, loop3, where run R-1 was broken off; not done: vda (")
    left_out = finding.measured["left_out"]
    assert isinstance(left_out, list) and left_out[1:] == ["clear_tpm", "plain", "then=poweroff"]


def test_the_rest_of_a_rest() -> None:
    """It is compared with what was ordered at first: the options of a rest name its disks."""
    narrowed = dataclasses.replace(OPTIONS, disks=("/dev/sdb",), clear_tpm=False)
    broken = make_broken(options=narrowed, parts={"sdb": PARTS["sdb"]})
    left = Begun("R-2", times=1, asked=encode_options(OPTIONS))
    assert rest_of(make_plan(), left, broken).steps[0].options.disks == ("/dev/sdb",)
    with pytest.raises(CannotGoOn, match="not what it was"):
        rest_of(make_plan(), Begun("R-2", times=1), broken)


@pytest.mark.parametrize(
    "disks",
    [
        (SDC, VDA),
        (dataclasses.replace(SDB, serial="WD-X"), VDA),
        (dataclasses.replace(SDB, size=TB * 2), VDA),
        (dataclasses.replace(SDC, serial="WD-B"), VDA),
        (dataclasses.replace(LOOP, model="/tmp/b.img"), VDA),
    ],
    ids=["gone", "another serial", "another size", "its serial elsewhere", "another file behind it"],
)
def test_another_disk_in_its_place(disks: tuple[Disk, ...]) -> None:
    """A disk that nobody ordered is not taken for one that was."""
    with pytest.raises(CannotGoOn, match="wipe cannot go on"):
        rest_of(make_plan(), disks=disks)


def test_a_released_guard_is_released_for_that_disk_alone() -> None:
    """It was named by serial or WWN, and is again; where that means two disks, neither goes on."""
    plan = make_plan(options=dataclasses.replace(OPTIONS, disks=("serial:WD-B", "serial:WD-C"), release=("usb",)))
    broken = make_broken(options=plan.steps[1].options, parts={disk.name: note_identity(disk) for disk in (SDB, SDC)})
    assert rest_of(plan, broken=broken).steps[0].options.disks == ("wwn:0x5000c500a1b2c3d4", "serial:WD-C")
    twin = dataclasses.replace(SDC, name="sdd", path="/dev/sdd")
    assert rest_of(plan, broken=broken, disks=(*DISKS, twin)).steps[0].options.disks == ("wwn:0x5000c500a1b2c3d4",)


@pytest.mark.parametrize(
    ("plan", "left", "broken", "why"),
    [
        (make_plan(), Begun("R-1", times=TIMES), make_broken(), f"{TIMES + 1} times"),
        (make_plan(options=WipeOptions()), BEGUN, make_broken(), "not what it was"),
        (make_plan(), BEGUN, make_broken(task="burnin"), "not what it was"),
        (make_plan(), BEGUN, make_broken("hwdiag", HWDIAG.Options()), "hwdiag cannot go on"),
        (make_plan(), BEGUN, make_broken(parts={}), "wipe cannot go on"),
        (make_plan(), BEGUN, make_broken(parts={"vda": PARTS["vda"]}), "wipe cannot go on"),
        (make_plan(), BEGUN, make_broken(heard=NOW - RECENT - 1), "not just now"),
        (make_plan(), BEGUN, make_broken(heard=NOW + 60), "not just now"),
        (make_plan(deadline="1h"), BEGUN, make_broken(), "deadline"),
        (dataclasses.replace(make_plan(), faults=(Fault("x", "conf", "is bad"),)), BEGUN, make_broken(), "is bad"),
    ],
)
def test_what_does_not_go_on(plan: Plan, left: Begun, broken: Broken, why: str) -> None:
    """It fails each time, is another plan, too long ago, of a task that cannot, or has no disk that is known again."""
    with pytest.raises(CannotGoOn, match=why):
        rest_of(plan, left, broken)
