"""What who logs in is told: read back with the getty's own reader, and renewed by real runs."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from liveagent.events import Type
from liveagent.report.lines import WIDTH
from liveagent.report.login import ISSUE, MOTD, Login, read_last, render_fragment, show_idle, write_fragments
from liveagent.report.record import Reader, read_events
from liveagent.report.spool import Spool
from tests.conftest import REPOSITORY, need
from tests.report.emulator import SCREENS

RUN = "20260102T030405Z-1a2b3c"


def keep(runs: Path, name: str, verdict: str, summary: str) -> None:
    (runs / name).mkdir(parents=True)
    (runs / name / "result.json").write_text(json.dumps({"verdict": verdict, "summary": summary}))


def test_a_run_from_its_start_to_its_end(tmp_path: Path) -> None:
    """As it starts: build, serial, addresses, what runs and the result before; as it ends: its own result."""
    directory, runs = tmp_path / "run", tmp_path / "runs"
    directory.mkdir()
    keep(runs, "20260101T000000Z-000000", "pass", "hwdiag: all is well")
    events = {name: read_events(SCREENS / name) for name in ("wipe.jsonl", "wipe-end.jsonl")}
    spool = Spool(tmp_path / RUN, RUN, "/liveagent/S")
    login = Login(Reader(spool.path, spool=spool), directory, read_last(runs))
    for event in events["wipe.jsonl"]:
        spool.emit(event.type, event.data, event.subject)
    while login.run_once():
        pass
    text = " ".join((directory / MOTD).read_text().split())
    assert text.startswith("speedtest 41 (3f2a91c), serial CZJ2440B7X, addresses 10.20.30.40, 2001:db8:20::40")
    assert " running hwdiag, wipe, burnin since " in text and "`liveagent attach`" in text
    assert text.endswith("last result: PASS: hwdiag: all is well; `liveagent report` shows it")
    for event in events["wipe-end.jsonl"]:
        spool.emit(event.type, event.data, event.subject)
    spool.close()
    while login.run_once():
        pass
    text = " ".join((directory / MOTD).read_text().split())
    assert "running" not in text and "idle" in text
    assert "last result: FAIL: hwdiag: 1 finding; wipe: 17 of 18 disks erased, 1 failed, 1 refused" in text


def test_before_any_run(tmp_path: Path) -> None:
    """A machine that has done nothing yet says so, and names what it does not know."""
    show_idle(tmp_path, "", "", [], tmp_path / "runs")
    assert (tmp_path / MOTD).read_text().splitlines() == [
        "liveagent, serial unknown, addresses none",
        "idle; `liveagent list` shows what can be done",
    ]


def test_the_getty_shows_it_as_it_is(tmp_path: Path) -> None:
    """agetty makes something of a backslash: whatever a summary holds, it is text; no line is longer than a console."""
    need(shutil.which("agetty"), "agetty")
    odd = r"it says \d \n \S{PRETTY_NAME} \e{red} C:\temp" + "\x1b[2J"
    lines = render_fragment("image 1", "CZJ2440B7X", ["10.0.0.5"], "idle", f"last result: FAIL: {odd}")
    write_fragments(tmp_path, lines)
    argv = ["agetty", "--show-issue", "--issue-file", str(tmp_path / ISSUE)]
    master, slave = os.openpty()
    try:
        done = subprocess.run(argv, stdin=slave, capture_output=True, text=True, timeout=30)
    finally:
        os.close(slave)
        os.close(master)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line] == lines
    assert r"it says \d \n \S{PRETTY_NAME} \e{red} C:\temp?[2J" in " ".join(lines)
    assert max(map(len, lines)) <= WIDTH


def test_everybody_may_read_it(tmp_path: Path) -> None:
    """pam_motd and a getty may not be root, and the agent's umask is its own."""
    before = os.umask(0o077)
    try:
        write_fragments(tmp_path, ["a line"])
    finally:
        os.umask(before)
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in (MOTD, ISSUE)} == {0o644}
    assert sorted(path.name for path in tmp_path.iterdir()) == [ISSUE, MOTD]


def test_a_directory_that_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A run goes on without it."""
    spool = Spool(tmp_path / RUN, RUN, "/liveagent/S")
    event = spool.emit(Type.RUN_STARTED, {"agent": "1", "plan": {"tasks": []}, "machine": {}})
    (tmp_path / "file").write_text("in the place of a directory")
    login = Login(Reader(spool.path, spool=spool), tmp_path / "file", "")
    assert event and login.run_once() and login.delivered == event.sequence
    assert "Failed to write" in caplog.text
    spool.close()


def test_the_last_result_is_the_newest_whole_one(tmp_path: Path) -> None:
    """A run that was broken off, or whose result is damaged, hides no earlier one."""
    assert read_last(tmp_path / "none") == ""
    keep(tmp_path, "1", "pass", "one")
    keep(tmp_path, "2", "warn", "two")
    (tmp_path / "3").mkdir()
    (tmp_path / "4").mkdir()
    (tmp_path / "4" / "result.json").write_text('{"verdict": "pa')
    assert read_last(tmp_path).startswith("last result: WARN: two;")


def test_the_links_lead_there(tmp_path: Path) -> None:
    """systemd-tmpfiles itself makes the places where pam_motd and agetty look."""
    need(shutil.which("systemd-tmpfiles") and os.geteuid() == 0, "systemd-tmpfiles and root")
    text = (REPOSITORY / "systemd" / "liveagent.tmpfiles.conf").read_text()
    (tmp_path / "etc/tmpfiles.d").mkdir(parents=True)
    (tmp_path / "etc/tmpfiles.d/liveagent.conf").write_text(text)
    argv = ["systemd-tmpfiles", "--create", f"--root={tmp_path}", "liveagent.conf"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    (tmp_path / "run/liveagent").mkdir()
    write_fragments(tmp_path / "run/liveagent", ["a line"])
    assert (tmp_path / "run/motd.d/liveagent").read_text() == "a line\n"
    assert (tmp_path / "run/issue.d/liveagent.issue").read_text() == "a line\n\n"
