from __future__ import annotations

from pathlib import Path

import pytest

from liveagent.host import Host, NotRecorded
from liveagent.machine.question import Questions
from tests.machine.replies import HANGS, NOT_INSTALLED, Reply, make_replay


def test_a_drive_that_hangs_is_asked_nothing_more(tmp_path: Path) -> None:
    """Half a minute a question and a process that nobody can end: one is enough."""
    questions = Questions(make_replay(tmp_path, {"a": "first", "b": HANGS, "c": "never heard"}))
    assert questions.read(["a"]) == "first\n"
    assert questions.ask(["b"]) is None
    assert questions.silent
    assert questions.ask(["c"]) is None
    assert questions.read(["not even recorded"]) == ""


def test_a_tool_that_is_missing_says_nothing_of_the_drive(tmp_path: Path) -> None:
    """Without nvme-cli, hdparm can still be asked."""
    questions = Questions(make_replay(tmp_path, {"a": NOT_INSTALLED, "b": Reply("out", "err", status=5)}))
    assert questions.ask(["a"]) is None
    assert not questions.silent
    assert questions.read(["b"]) == "out\nerr"


def test_the_disks_of_the_desk_are_not_asked(tmp_path: Path) -> None:
    """With --root DIR the disk is somewhere else, and /dev/sda is the desk's own."""
    assert Questions(Host(str(tmp_path))).ask(["echo", "the desk's"]) is None


def test_a_reply_that_nobody_recorded_is_an_error(tmp_path: Path) -> None:
    """It would otherwise be taken for a drive that offers nothing."""
    with pytest.raises(NotRecorded):
        Questions(make_replay(tmp_path, {})).ask(["hdparm", "-I", "/dev/sda"])
