"""What goes on of a run that the service was killed in, and what does not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from liveagent.bootnote import BootNote
from liveagent.events import Type
from liveagent.host import Host
from liveagent.options import encode_options
from liveagent.order import Order
from liveagent.plan import Plan, Step
from liveagent.report.spool import Spool
from liveagent.resume import TIMES, Begun, CannotGoOn, Open, UnderWay, find_open, make_rest
from liveagent.settings import parse_settings
from liveagent.tasks import Task
from liveagent.tasks.hwdiag import TASK as HWDIAG
from liveagent.tasks.wipe import TASK as WIPE
from liveagent.tasks.wipe.options import WipeOptions

OPTIONS = WipeOptions(disks=("all",), passes=3, clear_tpm=True)
PARTS = {"sdb": {"serial": "WD-B"}, "loop3": {"serial": ""}, "vdc": {"serial": ""}}


def make_plan(task: Task = WIPE, options: object = OPTIONS) -> Plan:
    return Plan("hwdiag,wipe,burnin", (Step(HWDIAG, HWDIAG.Options()), Step(task, options)), parse_settings({})[0])


def make_open(task: str = "wipe", options: object = OPTIONS, **more: object) -> Open:
    return dataclasses.replace(Open(task, encode_options(options), PARTS), **more)  # type: ignore[arg-type]


def test_what_was_noted_is_read_again(tmp_path: Path) -> None:
    """By the next process, with the whole order, and by root alone."""
    order = Order("wipe", settings={"wipe": {"disks": "sda"}, "agent": {"then": "poweroff"}})
    note = UnderWay(Host(), tmp_path / "run")
    assert note.read() is None
    for begun in (Begun("R-1"), Begun("R-2", order, 2)):
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
    """The step that had not ended, and those of its parts that had begun and had not."""
    assert find_open(tmp_path / "R") is None
    spool = Spool(tmp_path / "R", "R", "/liveagent/S")
    spool.emit(Type.RUN_STARTED, {})
    spool.emit(Type.STEP_STARTED, {"options": {}}, "hwdiag")
    spool.emit(Type.STEP_FINISHED, {"verdict": "pass"}, "hwdiag")
    assert find_open(tmp_path / "R") is None
    spool.emit(Type.STEP_STARTED, {"options": {"passes": 3}}, "wipe")
    spool.emit(Type.STEP_STARTED, {"options": {"serial": "A"}}, "wipe/sda")
    spool.emit(Type.STEP_STARTED, {"options": {"serial": "B"}}, "wipe/sdb")
    spool.emit(Type.STEP_FINISHED, {"verdict": "pass"}, "wipe/sda")
    spool.close()
    assert find_open(tmp_path / "R") == Open("wipe", {"passes": 3}, {"sdb": {"serial": "B"}})


def test_the_rest_of_a_wipe() -> None:
    """The disks that it was in, each by what tells it from another one of its name; nothing before, nothing after."""
    rest = make_rest(make_plan(), Begun("R-1"), make_open())
    [step] = rest.steps
    assert step.options == dataclasses.replace(OPTIONS, disks=("serial:WD-B", "/dev/loop3"), clear_tpm=False)
    assert (rest.word, rest.at_boot) == ("wipe", True)
    assert rest.notices[-1] == "wipe goes on with sdb, loop3, vdc, where run R-1 was broken off"


@pytest.mark.parametrize(
    ("plan", "left", "broken", "why"),
    [
        (make_plan(), Begun("R-1", times=TIMES), make_open(), f"{TIMES + 1} times"),
        (make_plan(options=WipeOptions()), Begun("R-1"), make_open(), "not what it was"),
        (make_plan(), Begun("R-1"), make_open(task="burnin"), "not what it was"),
        (make_plan(), Begun("R-1"), make_open("hwdiag", HWDIAG.Options()), "hwdiag cannot go on"),
        (make_plan(), Begun("R-1"), make_open(parts={}), "wipe cannot go on"),
        (make_plan(), Begun("R-1"), make_open(parts={"vdc": {"serial": ""}}), "wipe cannot go on"),
    ],
)
def test_what_does_not_go_on(plan: Plan, left: Begun, broken: Open, why: str) -> None:
    """It fails each time, is another plan, of a task that cannot, or has no disk that could be told from others."""
    with pytest.raises(CannotGoOn, match=why):
        make_rest(plan, left, broken)
