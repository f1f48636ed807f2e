"""Many looks side by side: one that hangs, raises or is not allowed costs the others nothing, and is said."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from liveagent.host import Cancelled, Host
from liveagent.machine.inventory import Inventory, make_inventory
from liveagent.machine.look import Job, Look, Missing, Why, look_side_by_side


def test_values_come_by_name_with_what_was_missing() -> None:
    def probe(look: Look) -> int:
        look.note("one.part", Why.NO_DRIVER, "no such driver")
        return 7

    looked = look_side_by_side(Host(), [Job("one", probe, 10.0), Job("two", lambda look: 8, 10.0)])
    assert looked.values == {"one": 7, "two": 8}
    assert looked.missing == (Missing("one.part", Why.NO_DRIVER, "no such driver"),)
    assert set(looked.seconds) == {"one", "two"}


def test_one_that_hangs_is_left_behind_and_its_notes_are_kept() -> None:
    """A thread in D-state never returns: what it noted before counts, and the others are not held up."""
    never = threading.Event()

    def hang(look: Look) -> int:
        look.note("stuck.before", Why.ABSENT)
        never.wait(30)
        return 1

    try:
        looked = look_side_by_side(Host(), [Job("stuck", hang, 0.2), Job("other", lambda look: 2, 10.0)])
    finally:
        never.set()
    assert looked.values == {"other": 2}
    assert looked.silent == ("stuck",)
    assert [(one.part, one.why) for one in looked.missing] == [
        ("stuck.before", Why.ABSENT),
        ("stuck", Why.NO_ANSWER),
    ]


def test_a_command_of_one_that_is_over_its_limit_is_ended() -> None:
    ended = threading.Event()

    def probe(look: Look) -> None:
        try:
            look.ask("slow", ["sleep", "60"], timeout=60.0)
        finally:
            ended.set()

    assert look_side_by_side(Host(), [Job("slow", probe, 0.3)]).silent == ("slow",)
    assert ended.wait(15)


def test_one_that_raises_is_the_agents_fault_and_said() -> None:
    def probe(look: Look) -> int:
        raise KeyError("speed")

    looked = look_side_by_side(Host(), [Job("nics", probe, 10.0), Job("cpu", lambda look: 1, 10.0)])
    assert looked.values == {"cpu": 1}
    assert looked.failed == {"nics": "KeyError: 'speed'"}
    inventory = make_inventory("2026-01-02T03:04:05Z", look_side_by_side(Host(), [Job("disks", probe, 10.0)]))
    assert inventory == Inventory(
        taken="2026-01-02T03:04:05Z",
        missing=(Missing("disks", Why.NOT_UNDERSTOOD, "KeyError: 'speed'"),),
        took=inventory.took,
        failed={"disks": "KeyError: 'speed'"},
    )


def test_more_jobs_than_workers_are_all_done() -> None:
    jobs = [Job(str(number), lambda look, number=number: number, 10.0) for number in range(60)]  # type: ignore[misc]
    assert sum(look_side_by_side(Host(), jobs, workers=3).values.values()) == sum(range(60))


def test_a_cancel_ends_all() -> None:
    host = Host().cancelled_by(threading.Event())
    host.cancel.set()
    with pytest.raises(Cancelled):
        look_side_by_side(host, [Job("slow", lambda look: look.host.pause(60), 60.0)])


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (["no-such-program-here"], Why.NO_TOOL),
        (["sh", "-c", "echo 'x: Permission denied' >&2; exit 1"], Why.NO_RIGHTS),
        (["sh", "-c", "echo nonsense >&2; exit 3"], Why.NOT_UNDERSTOOD),
    ],
)
def test_why_a_program_said_nothing(argv: list[str], why: Why) -> None:
    look = Look(Host())
    assert look.text("part", argv) == ""
    assert [(one.part, one.why) for one in look.missing] == [("part", why)]


def test_a_program_that_hung_once_is_not_asked_again() -> None:
    """Each question to a dead BMC would cost its whole time."""
    look = Look(Host())
    assert look.ask("bmc", ["sleep", "60"], timeout=0.2) is None
    assert look.ask("bmc.sel", ["sleep", "60"], timeout=60.0) is None
    assert [one.why for one in look.missing] == [Why.NO_ANSWER, Why.NOT_ASKED]


def test_nothing_is_run_below_another_root(tmp_path: object) -> None:
    """A tool would ask the desk's own devices."""
    look = Look(Host(str(tmp_path)))
    assert look.ask("bmc", ["true"]) is None
    assert look.missing[0].why is Why.NOT_ASKED


def test_who_waits_long_is_told_again() -> None:
    """The time that is left goes down, though nothing else changes."""
    told: list[list[str]] = []
    enough = threading.Event()

    def hear(awaited: Sequence[str]) -> None:
        told.append(list(awaited))
        if len(told) > 1:
            enough.set()

    look_side_by_side(Host(), [Job("slow", lambda look: enough.wait(30), 60.0)], tell=hear)  # type: ignore[arg-type]
    assert told[:2] == [["slow"]] * 2 and told[-1] == []


def test_who_waits_is_told_for_what() -> None:
    """Each time that changes, down to nothing; the names are those that have not ended."""
    first, second = threading.Event(), threading.Event()
    told: list[list[str]] = []

    def hear(awaited: Sequence[str]) -> None:
        told.append(list(awaited))
        if len(awaited) == 2:
            first.set()
        if len(awaited) == 1:
            second.set()

    jobs = [
        Job("quick", lambda look: 1, 30.0),
        Job("slow", lambda look: first.wait(30), 60.0),
        Job("slowest", lambda look: second.wait(30), 60.0),
    ]
    look_side_by_side(Host(), jobs, tell=hear)  # type: ignore[arg-type]
    assert told[-3:] == [["slow", "slowest"], ["slowest"], []]
