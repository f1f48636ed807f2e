"""A machine captured and played back: the same answers, no secrets, and no answer that nobody recorded."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path
from typing import Callable

import pytest

from liveagent.host import (
    Cancelled,
    CommandError,
    CommandFailed,
    CommandNotFound,
    CommandTimedOut,
    Host,
    NotRecorded,
)
from liveagent.recording import Recorder, Replay
from liveagent.scrub import Scrubber

LONG = 60.0


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(tmp_path / "recording", Scrubber().text)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A piece of the machine that the test may change: files, links, a directory without entries."""
    place = tmp_path / "machine"
    (place / "devices/sda").mkdir(parents=True)
    (place / "empty").mkdir()
    (place / "devices/sda/size").write_text("8\n")
    (place / "devices/sda/firmware").write_bytes(b"\xff\x00\n")
    (place / "block").mkdir()
    (place / "block/sda").symlink_to("../devices/sda")
    return place


def replay(recorder: Recorder) -> Replay:
    recorder.save()
    return Replay(recorder.directory)


def sh(script: str) -> list[str]:
    return ["sh", "-c", script]


def test_files_and_directories(recorder: Recorder, place: Path) -> None:
    """Whatever was read, listed, looked for or followed gets the same answer again."""

    def ask(host: Host) -> list[object]:
        return [
            host.read(f"{place}/block/sda/size"),
            host.read_bytes(f"{place}/block/sda/firmware"),
            host.read_or(f"{place}/none", "default"),
            host.list(f"{place}/block"),
            host.list(f"{place}/empty"),
            host.list(f"{place}/none"),
            host.exists(f"{place}/block/sda"),
            host.exists(f"{place}/none"),
            host.glob(f"{place}/block/*/size"),
            host.resolve(f"{place}/block/sda"),
            host.read_or("/proc/self/mem/none"),
        ]

    first = ask(recorder)
    assert first[0] == "8\n" and first[3] == ("sda",)
    assert ask(replay(recorder)) == first


def test_errors_are_answers(recorder: Recorder, place: Path) -> None:
    """A file that could not be read cannot be read in the replay, for the same reason."""

    def ask(host: Host, path: str) -> tuple[type, int | None]:
        with pytest.raises(OSError) as caught:
            host.read(path)
        return type(caught.value), caught.value.errno

    (place / "loop").symlink_to("loop")
    paths = [f"{place}/none", f"{place}/block", f"{place}/devices/sda/size/x", f"{place}/loop"]
    first = [ask(recorder, path) for path in paths]
    again = replay(recorder)
    assert [ask(again, path) for path in paths] == first


def test_a_file_that_came_later(recorder: Recorder, place: Path) -> None:
    """What was missing at first and read later is there in the replay."""
    assert recorder.read_or(f"{place}/late", "none") == "none"
    (place / "late").write_text("here\n")
    assert recorder.read(f"{place}/late") == "here\n"
    assert replay(recorder).read(f"{place}/late") == "here\n"


def test_links_are_kept(recorder: Recorder, place: Path) -> None:
    """A link of sysfs stays a relative link, so that the recording can be moved."""
    recorder.read(f"{place}/block/sda/size")
    link = recorder.directory / str(place).lstrip("/") / "block/sda"
    assert os.readlink(link) == "../devices/sda"
    assert (link / "size").read_text() == "8\n"
    recorder.save()
    moved = recorder.directory.rename(recorder.directory.with_name("moved"))
    assert Replay(moved).read(f"{place}/block/sda/size") == "8\n"


def test_sysfs_itself(recorder: Recorder) -> None:
    """The real /sys, whose links climb many directories."""

    def ask(host: Host) -> list[str]:
        return [f"{path} {host.resolve(path)} {host.read_or(path + '/mtu')}" for path in host.glob("/sys/class/net/*")]

    first = ask(recorder)
    assert first
    assert ask(replay(recorder)) == first


@pytest.mark.parametrize(
    "ask",
    [
        lambda host: host.read("/etc/passwd"),
        lambda host: host.read_bytes("/etc/passwd"),
        lambda host: host.read_or("/etc/passwd"),
        lambda host: host.exists("/etc/passwd"),
        lambda host: host.list("/etc"),
        lambda host: host.glob("/etc/*"),
        lambda host: host.glob("/etc/passwd"),
        lambda host: host.resolve("/etc/passwd"),
        lambda host: host.status("/etc/passwd"),
        lambda host: host.open("/etc/passwd", os.O_RDONLY),
        lambda host: host.udev("block"),
        lambda host: host.run(["true"], timeout=LONG),
        lambda host: host.run(["echo", "other"], timeout=LONG),
    ],
)
def test_nothing_is_made_up(recorder: Recorder, ask: Callable[[Host], object]) -> None:
    """What nobody recorded is an error, never a default: a guard would pass on it."""
    recorder.run(["echo", "this"], timeout=LONG)
    recorder.read("/proc/cmdline")
    with pytest.raises(NotRecorded):
        ask(replay(recorder))


def test_udev(recorder: Recorder) -> None:
    """The devices, with their properties."""
    devices = recorder.udev("mem")
    assert replay(recorder).udev("mem") == devices


def test_commands(recorder: Recorder) -> None:
    """A command prints the same, ends the same, and gives the same lines."""
    argv = sh("printf 'a\\r\\n\\013b\\nlast'; echo err >&2; exit 3")

    def ask(host: Host) -> list[object]:
        heard: list[str] = []
        done = host.run(argv, timeout=LONG, success=(3,), on_line=heard.append)
        with pytest.raises(CommandFailed) as caught:
            host.run(argv, timeout=LONG)
        # Between the two streams there is no order.
        return [done.argv, done.status, done.stdout, done.stderr, sorted(heard), str(caught.value)]

    first = ask(recorder)
    assert first[2:5] == ["a\r\n\x0bb\nlast", "err\n", ["\x0bb", "a", "err", "last"]]
    assert ask(replay(recorder)) == first


@pytest.mark.parametrize(
    ("argv", "timeout", "kind"),
    [
        (["no-such-program"], LONG, CommandNotFound),
        (sh("echo begun; exec sleep 60"), 0.3, CommandTimedOut),
        (["/etc/passwd"], LONG, CommandError),
    ],
)
def test_commands_that_raise(recorder: Recorder, argv: list[str], timeout: float, kind: type[CommandError]) -> None:
    """A tool that is missing, hangs or cannot be executed does the same in the replay."""

    def ask(host: Host) -> tuple[type, str, str, int | None]:
        with pytest.raises(CommandError) as caught:
            host.run(argv, timeout=timeout, success=None)
        error = caught.value
        return type(error), str(error), error.completed.stdout, error.completed.status

    first = ask(recorder)
    assert first[0] is kind
    assert ask(replay(recorder)) == first


def test_cancel(recorder: Recorder) -> None:
    """A cancelled run gets no more answers, as at the real door."""
    recorder.run(["true"], timeout=LONG)
    host = replay(recorder).cancelled_by(threading.Event())
    assert host.run(["true"], timeout=LONG).status == 0
    host.cancel.set()
    with pytest.raises(Cancelled):
        host.run(["true"], timeout=LONG)


def test_secrets(recorder: Recorder, place: Path) -> None:
    """Nothing of a secret is in a recording: not in files, output, argv, messages of a failure."""
    (place / "conf").write_text("callback_secret = hunter2-file\nurl = https://user:hunter2-url@example.org/\n")
    recorder.read(f"{place}/conf")
    recorder.run(["echo", "password=hunter2-output"], timeout=LONG)
    argv = ["sh", "-c", 'echo "$1"; exec sleep 60', "sh", "hunter2-argv"]
    with pytest.raises(CommandTimedOut):
        recorder.run(argv, timeout=0.3, secret=["hunter2-argv"])
    again = replay(recorder)
    everything = b"".join(path.read_bytes() for path in recorder.directory.rglob("*") if path.is_file())
    # The one that stands in an argv without being named as a secret is the caller's own.
    everything = everything.replace(b'"password=hunter2-output"', b"")
    assert b"hunter2" not in everything
    assert "https://[secret]@example.org/" in again.read(f"{place}/conf")
    with pytest.raises(CommandTimedOut):
        again.run(argv, timeout=LONG, secret=["hunter2-argv"])


def test_documents(recorder: Recorder) -> None:
    """A recording is text that can be read and reviewed, and does not depend on the order of the asking."""
    recorder.list("/proc/sys")
    recorder.exists("/none")
    recorder.save()
    names = {path.name for path in recorder.directory.iterdir() if path.is_file()}
    assert names == {"commands.jsonl", "lists.json", "missing.json", "now.json", "udev.json"}
    lists = json.loads((recorder.directory / "lists.json").read_text())
    assert list(lists) == sorted(lists) and lists["exists /none"] == []


def test_is_not_this_machine(recorder: Recorder) -> None:
    """A replay is never real, so nothing destructive runs on it; its commands are its own."""
    again = replay(recorder)
    assert not again.is_real and again.can_run
    assert stat.S_ISDIR(os.stat(again.root).st_mode)


def test_nothing_is_written_to_a_recording(recorder: Recorder, place: Path) -> None:
    """What would change the machine is an error in its replay, also for a file that was recorded."""
    recorder.read(f"{place}/devices/sda/size")
    again = replay(recorder)
    with pytest.raises(NotRecorded):
        again.write(f"{place}/devices/sda/size", "1")
    assert again.read(f"{place}/devices/sda/size") == "8\n"
