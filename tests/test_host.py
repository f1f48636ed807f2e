"""The door to the machine, tried with real commands, real processes and real links."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from liveagent.host import (
    ENVIRONMENT,
    MARK,
    STDERR_TAIL,
    Cancelled,
    CommandError,
    CommandFailed,
    CommandNotFound,
    CommandTimedOut,
    Host,
    UdevDevice,
    describe,
    make_command_line,
)
from liveagent.stream import LINE_LIMIT, OUTPUT_LIMIT, Stream
from tests.conftest import need

LONG = 60.0
# A shell that leaves a child in the background, one in a session of its own, and one that ignores SIGTERM. Each
# writes its pid; the shell itself goes on.
FORKS = """
sleep 600 & echo $! > {0}/background
setsid sh -c 'echo $$ > {0}/session; exec sleep 600' &
sh -c 'trap "" TERM; echo $$ > {0}/stubborn; while :; do sleep 1; done' &
while ! [ -s {0}/session ] || ! [ -s {0}/stubborn ]; do :; done
echo ready
"""
NAMES = ("background", "session", "stubborn")


def pids(directory: Path) -> list[int]:
    return [int((directory / name).read_text()) for name in NAMES]


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie that its new parent has not reaped yet does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def forks(tmp_path: Path) -> Iterator[Path]:
    """Where FORKS notes its children; whatever a failed test left of them is ended."""
    yield tmp_path
    for name in NAMES:
        with contextlib.suppress(OSError, ValueError):
            os.kill(int((tmp_path / name).read_text()), signal.SIGKILL)


def sh(script: str) -> list[str]:
    return ["sh", "-c", script]


# -- what is left behind ----------------------------------------------------------------------------


def test_timeout_leaves_nothing(forks: Path) -> None:
    """A command that is out of time ends with all that it started, however that hides."""
    with pytest.raises(CommandTimedOut) as caught:
        Host().run(sh(FORKS.format(forks) + "sleep 600"), timeout=1)
    assert [pid for pid in pids(forks) if alive(pid)] == []
    assert caught.value.completed.stdout == "ready\n"
    # A shell whose child goes first may leave by itself, saying so.
    assert caught.value.completed.status in (-signal.SIGTERM, 128 + signal.SIGTERM)
    assert caught.value.completed.seconds < LONG


def test_cancel_leaves_nothing(forks: Path) -> None:
    """Cancel ends the command in the middle, with all that it started."""
    cancel = threading.Event()
    with pytest.raises(Cancelled):
        Host().cancelled_by(cancel).run(
            sh(FORKS.format(forks) + "sleep 600"), timeout=LONG, on_line=lambda _: cancel.set()
        )
    assert [pid for pid in pids(forks) if alive(pid)] == []


def test_end_leaves_nothing(forks: Path) -> None:
    """A command that ends by itself leaves nothing either, and what holds its pipes is not waited for."""
    done = Host().run(sh(FORKS.format(forks)), timeout=LONG)
    assert done.stdout == "ready\n" and done.status == 0
    assert [pid for pid in pids(forks) if alive(pid)] == []
    assert done.seconds < LONG / 2


def test_a_chatty_child_does_not_hold_the_command(tmp_path: Path) -> None:
    """What is left behind and writes without end ends with the command, not with its timeout."""
    done = Host().run(sh(f"yes & echo $! > {tmp_path}/pid; exit 3"), timeout=LONG, success=(3,))
    assert done.status == 3 and done.seconds < LONG / 2
    assert not alive(int((tmp_path / "pid").read_text()))


def test_a_fault_in_the_listener_leaves_nothing(forks: Path) -> None:
    """When whoever listens raises, the command is ended before that is passed on."""

    def fault(line: str) -> None:
        raise FileNotFoundError(f"heard {line}")

    with pytest.raises(FileNotFoundError, match="heard ready"):
        Host().run(sh(FORKS.format(forks) + "sleep 600"), timeout=LONG, on_line=fault)
    assert [pid for pid in pids(forks) if alive(pid)] == []


def test_no_zombie_and_no_open_file_stays() -> None:
    """A thousand commands of a long run do not use the process up."""
    host = Host()
    host.run(["true"], timeout=LONG)
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(5):
        host.run(["cat"], timeout=LONG, input="x")
        with pytest.raises(CommandTimedOut):
            host.run(["sleep", "60"], timeout=0.05)
        with pytest.raises(CommandNotFound):
            host.run(["no-such-program"], timeout=LONG)
    assert len(os.listdir("/proc/self/fd")) == len(before)
    assert [child for child in psutil.Process().children() if child.status() == psutil.STATUS_ZOMBIE] == []


def test_cancelled_before_it_began(tmp_path: Path) -> None:
    """After a cancel nothing is started any more."""
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        Host().cancelled_by(cancel).run(["touch", f"{tmp_path}/touched"], timeout=LONG)
    assert not (tmp_path / "touched").exists()


def test_pause_ends_with_the_run() -> None:
    """Whoever waits is woken by the cancel."""
    host = Host().cancelled_by(threading.Event())
    threading.Timer(0.05, host.cancel.set).start()
    with pytest.raises(Cancelled):
        host.pause(LONG)


# -- what a command is given ------------------------------------------------------------------------


def test_environment_is_built_from_nothing(tmp_path: Path) -> None:
    """What a person's shell has set does not reach the tools; what was asked for does."""
    os.environ["LIVEAGENT_TEST_STRAY"] = "1"
    try:
        text = Host().run(["env"], timeout=LONG, environment={"EXTRA": "yes"}).stdout
    finally:
        del os.environ["LIVEAGENT_TEST_STRAY"]
    found = dict(line.split("=", 1) for line in text.splitlines())
    assert found.pop(MARK)
    assert found == {**ENVIRONMENT, "EXTRA": "yes"}


def test_stdin_is_closed() -> None:
    """A tool that asks a question gets no answer, and does not wait for one."""
    assert Host().run(sh("cat; echo end"), timeout=LONG).stdout == "end\n"


def test_own_process_group() -> None:
    """A Ctrl-C at the terminal does not reach the tools: the agent ends them in order."""
    process, group, session = map(int, Host().run(sh("cut -d' ' -f1,5,6 /proc/self/stat"), timeout=LONG).stdout.split())
    assert group == session != os.getpgrp()
    assert process != os.getpid()


def test_input_larger_than_a_pipe() -> None:
    """Input is written while output is read: neither waits for the other."""
    text = "".join(f"{number}\n" for number in range(300_000))
    assert Host().run(["cat"], timeout=LONG, input=text).stdout == text


def test_descendants_are_found_where_process_numbers_begin_anew() -> None:
    """Who is older than a command is known by a lower number, unless the kernel is through with them meanwhile."""
    need(os.geteuid() == 0 and shutil.which("unshare"), "root and unshare")
    script = f"""
from liveagent.host import Host
last = "/proc/sys/kernel/ns_last_pid"
open(last, "w").write("1000")
done = Host().run(["sh", "-c", f"echo 50 > {{last}}; setsid sleep {LONG:.0f} & echo $$ $!"], timeout={LONG})
print(done.stdout.strip(), done.left)
"""
    # Numbers of their own, so that nobody else takes one.
    argv = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", script]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split() == ["1001", "51", "1"]


def test_input_that_nobody_reads(tmp_path: Path) -> None:
    """A command that ends, or sits there, without reading its input is neither an error nor a trap."""
    assert Host().run(["true"], timeout=LONG, input="x" * 1_000_000).status == 0
    with pytest.raises(CommandTimedOut):
        Host().run(["sleep", "60"], timeout=0.2, input="x" * 1_000_000)
    stray = f"setsid env -i sleep 600 & echo $! > {tmp_path}/pid"
    try:
        # It hid its environment and its session, and holds stdin: it cannot be found, and must not be waited for.
        assert Host().run(sh(stray), timeout=LONG, input="x" * 1_000_000).seconds < LONG / 2
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_input_empty_and_not_ascii() -> None:
    """No input is the end of input; other input arrives as UTF-8."""
    assert Host().run(["cat"], timeout=LONG, input="").stdout == ""
    assert Host().run(["cat"], timeout=LONG, input="größe ✓").stdout == "größe ✓"


# -- what it gives back -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "success", "status"),
    [
        ("exit 0", (0,), 0),
        ("exit 2", (0, 2), 2),
        ("exit 9", None, 9),
        ("kill -9 $$", None, -9),
        ("kill -9 $$", (-9,), -9),
    ],
)
def test_expected_status(script: str, success: tuple[int, ...] | None, status: int) -> None:
    """Whoever calls says which exit statuses are no error."""
    assert Host().run(sh(script), timeout=LONG, success=success).status == status


@pytest.mark.parametrize(
    ("script", "words"),
    [("exit 1", "exit status 1"), ("kill -TERM $$", "ended by SIGTERM"), ("echo out; echo why >&2; exit 4", "why")],
)
def test_unexpected_status(script: str, words: str, caplog: pytest.LogCaptureFixture) -> None:
    """Any other is raised, and logged once, as something to paste into a shell."""
    with pytest.raises(CommandFailed, match=words):
        Host().run(sh(script), timeout=LONG)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING and f"sh -c '{script}'" in record.getMessage()


@pytest.mark.parametrize(
    ("status", "words"),
    [(0, "exit status 0"), (-15, "ended by SIGTERM"), (-99, "ended by signal 99"), (None, "did not end")],
)
def test_describe(status: int | None, words: str) -> None:
    """An exit status in words, also one that has no name."""
    assert describe(status) == words


def test_only_the_end_of_stderr_is_said() -> None:
    """A tool that floods stderr does not flood the log."""
    with pytest.raises(CommandFailed) as caught:
        Host().run(sh("head -c 100000 /dev/zero | tr '\\0' x >&2; printf THE-END >&2; exit 1"), timeout=LONG)
    assert str(caught.value).endswith("THE-END") and len(str(caught.value)) < STDERR_TAIL + 100
    assert len(caught.value.completed.stderr) == 100_007


def test_missing_program() -> None:
    """A tool that is not there is said to be not there, by name; nothing was run."""
    for argv in (["no-such-program", "-x"], ["/no/such/program"], ["/etc/passwd/program"]):
        with pytest.raises(CommandNotFound, match=f"{argv[0]} is not installed") as caught:
            Host().run(argv, timeout=LONG)
        assert caught.value.completed.status is None


@pytest.mark.parametrize(("content", "mode"), [("#!/bin/sh\n", 0o644), ("no magic number", 0o755)])
def test_program_that_cannot_be_executed(tmp_path: Path, content: str, mode: int) -> None:
    """A file that is no program is an error of that command, not of the agent."""
    program = tmp_path / "program"
    program.write_text(content)
    program.chmod(mode)
    with pytest.raises(CommandError, match="cannot be run"):
        Host().run([str(program)], timeout=LONG)


def test_lines() -> None:
    """Lines come one by one, also the last one without its end; CR LF is one end."""
    heard: list[str] = []
    Host().run(sh("printf 'one\\ntwo\\r\\n\\nlast'"), timeout=LONG, on_line=heard.append)
    assert heard == ["one", "two", "", "last"]


def test_lines_come_while_it_runs() -> None:
    """A line is heard when it is written, not when the command ends."""
    heard: list[str] = []
    cancel = threading.Event()

    def hear(line: str) -> None:
        heard.append(line)
        cancel.set()

    with pytest.raises(Cancelled):
        Host().cancelled_by(cancel).run(sh("echo now; exec sleep 600"), timeout=LONG, on_line=hear)
    assert heard == ["now"]


def test_both_streams_are_heard_and_kept_apart() -> None:
    """stdout is for parsing; stderr is beside it."""
    heard: list[str] = []
    done = Host().run(sh("echo out; echo err >&2"), timeout=LONG, on_line=heard.append)
    assert (done.stdout, done.stderr, sorted(heard)) == ("out\n", "err\n", ["err", "out"])


def test_what_is_not_utf8() -> None:
    """Bytes of a disk's firmware are no reason to fail."""
    heard: list[str] = []
    done = Host().run(sh("printf 'a\\377b\\000c\\n'; head -c 65536 /dev/urandom"), timeout=LONG, on_line=heard.append)
    assert done.stdout.startswith("a\N{REPLACEMENT CHARACTER}b\0c\n")
    assert heard[0] == "a\N{REPLACEMENT CHARACTER}b\0c"


def test_a_stream_without_end_is_bounded() -> None:
    """64 MB without a newline, or in lines, cost no more memory than is kept of them."""
    longest = 0

    def hear(line: str) -> None:
        nonlocal longest
        longest = max(longest, len(line))

    tracemalloc.start()
    try:
        done = Host().run(sh("head -c 64000000 /dev/zero"), timeout=LONG, on_line=hear)
        size, peak = len(done.stdout), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert done.truncated and size == OUTPUT_LIMIT
    assert longest <= LINE_LIMIT + 65536
    # The bytes, the text of them, and what a growing bytearray sets aside.
    assert peak < 4 * OUTPUT_LIMIT


def test_what_nobody_reads_is_not_kept() -> None:
    """Whoever hears each line may have it at no cost."""
    heard: list[str] = []
    done = Host().run(sh("seq 100000"), timeout=LONG, on_line=heard.append, keep=0)
    assert done.stdout == "" and done.truncated
    assert len(heard) == 100_000 and heard[-1] == "100000"


def test_a_word_is_not_cut_in_two() -> None:
    """One line without end is told in pieces; what must be hidden is found only in one of them."""
    heard: list[str] = []
    stream = Stream(heard.append)
    word = "geheim" * 10
    for _ in range(LINE_LIMIT // len(word) * 3):
        stream.take(f"{word} ".encode())
    stream.end()
    assert len(heard) > 2
    assert {piece for line in heard for piece in line.split()} == {word}


def test_stream_cuts_lines_wherever_the_reads_fall() -> None:
    """The same lines come out however the pipe was read."""
    text = "eins\nzwei\r\n\ndrei ✓\nende".encode()
    for size in range(1, len(text)):
        heard: list[str] = []
        stream = Stream(heard.append)
        for at in range(0, len(text), size):
            stream.take(text[at : at + size])
        stream.end()
        assert heard == ["eins", "zwei", "", "drei ✓", "ende"]
        assert stream.text == text.decode() and not stream.truncated


# -- secrets ----------------------------------------------------------------------------------------


def test_secret_is_not_said(caplog: pytest.LogCaptureFixture) -> None:
    """A secret is neither in the log nor in a message, also where a tool prints it, or a quote is in it."""
    for secret in ("hunter2hunter2", "it's a hunter2"):
        for script in ('echo "$1" >&2; exit 1', 'echo "$1"; exit 1', 'printf "%s%1020s" "$1" end >&2; exit 1'):
            with pytest.raises(CommandFailed) as caught:
                Host().run(["sh", "-c", script, "sh", secret], timeout=LONG, secret=[secret])
            # Not even the end of one that the limit of the message cuts in two.
            assert secret[-4:] not in str(caught.value)
        with pytest.raises(CommandTimedOut) as late:
            Host().run(["sh", "-c", 'echo "$1"; exec sleep 60', "sh", secret], timeout=0.2, secret=[secret])
        assert secret not in str(late.value)
    assert len(caplog.records) == 8
    assert "ter2" not in caplog.text
    assert "[secret]" in caplog.text


def test_command_line() -> None:
    """It can be pasted into a shell; of two secrets, one inside the other, nothing is left."""
    assert make_command_line(["a", "b c", "--psid=XYZ"]) == "a 'b c' --psid=XYZ"
    assert make_command_line(["nvme", "XYZ12", "XYZ"], ["XYZ", "XYZ12", ""]) == "nvme '[secret]' '[secret]'"


# -- files below a root -----------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A root with a file, links of every kind, and a file beside it that must not be reached."""
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "sys/devices/sda").mkdir(parents=True)
    (root / "sys/block").mkdir()
    (root / "etc/passwd").write_text("inside\n")
    (root / "sys/devices/sda/size").write_text("8\n")
    (root / "sys/block/sda").symlink_to("../devices/sda")
    (root / "sys/block/loop").symlink_to("loop2")
    (root / "sys/block/loop2").symlink_to("loop")
    (root / "sys/block/gone").symlink_to("../devices/gone")
    (tmp_path / "outside").write_text("outside\n")
    (root / "absolute").symlink_to("/etc/passwd")
    (root / "relative").symlink_to("../../../../etc/passwd")
    (root / "up").symlink_to("../outside")
    (root / "exact").symlink_to(tmp_path / "outside")
    (root / "root").symlink_to("/")
    return root


@pytest.mark.parametrize("path", ["/absolute", "/relative", "/root/absolute", "/root/root/etc/../../../etc/passwd"])
def test_links_stay_inside(tree: Path, path: str) -> None:
    """An absolute or climbing link is followed as the tree's own machine would."""
    host = Host(str(tree))
    assert host.read(path) == "inside\n"
    assert host.resolve(path) == "/etc/passwd"


@pytest.mark.parametrize("path", ["/up", "/exact", "/../outside", "/etc/../../outside"])
def test_nothing_outside_is_reached(tree: Path, path: str) -> None:
    """No path and no link leads out of the tree."""
    host = Host(str(tree))
    assert not host.exists(path)
    assert host.read_or(path, "none") == "none"
    with pytest.raises(FileNotFoundError):
        host.open(path, os.O_RDONLY)


def test_loop_of_links(tree: Path) -> None:
    """A loop is not there; who must have it gets the kernel's own error."""
    host = Host(str(tree))
    assert not host.exists("/sys/block/loop")
    assert host.list("/sys/block/loop") == ()
    with pytest.raises(OSError) as caught:
        host.read("/sys/block/loop/size")
    assert caught.value.strerror == os.strerror(40) and caught.value.filename == "/sys/block/loop/size"


def test_reading(tree: Path) -> None:
    """Text, bytes, lists, and what is not there."""
    host = Host(str(tree))
    (tree / "binary").write_bytes(b"\xff\n")
    assert host.read("/sys/block/sda/size") == "8\n"
    assert host.read_or("/sys/block/sda/size") == "8"
    assert host.read("/binary") == "\N{REPLACEMENT CHARACTER}\n"
    assert host.list("/sys/block") == ("gone", "loop", "loop2", "sda")
    assert host.list("/none") == ()
    assert host.exists("/sys/block/sda") and not host.exists("/sys/block/gone")
    assert host.status("/absolute").st_size == len("inside\n")


def test_writing(tree: Path) -> None:
    """An attribute that is there is written below the root; a name that is not there is never made a file."""
    host = Host(str(tree))
    (tree / "attribute").write_text("0")
    host.write("/attribute", "1")
    assert (tree / "attribute").read_text() == "1"
    with pytest.raises(FileNotFoundError):
        host.write("/none", "1")
    assert not (tree / "none").exists()


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("/sys/block/*/size", ("/sys/block/sda/size",)),
        ("/sys/*/sd?", ("/sys/block/sda", "/sys/devices/sda")),
        ("/sys/block/sd[ab]", ("/sys/block/sda",)),
        ("/sys/block/sda", ("/sys/block/sda",)),
        ("/none/*", ()),
        ("/sys/block/loop/*", ()),
    ],
)
def test_glob(tree: Path, pattern: str, found: tuple[str, ...]) -> None:
    """Wildcards go through links, and stop at loops."""
    assert Host(str(tree)).glob(pattern) == found


def test_udev_below_a_root(tree: Path) -> None:
    """Below another root the devices are those noted there, never those of the desk."""
    host = Host(str(tree))
    assert host.udev("block") == ()
    device = {"name": "sda", "path": "/devices/sda", "properties": {"ID_BUS": "ata"}}
    (tree / "udev.json").write_text(json.dumps({"block": [device]}))
    assert host.udev("block") == (UdevDevice("sda", "/devices/sda", {"ID_BUS": "ata"}),)
    assert host.udev("net") == ()


def test_this_machine() -> None:
    """The real root is the machine's own; any other is a tree, whose commands would speak of the desk."""
    assert Host().is_real and Host().can_run and Host("/../").is_real
    assert not Host("/proc").is_real and not Host("/proc").can_run
    assert (
        Host().read_or("/proc/sys/kernel/random/boot_id") == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    )
    assert abs(Host().now() - time.time()) < 10


def test_a_file_that_a_person_named(tree: Path) -> None:
    """It is read where it stands; that it is not there is an answer."""
    host = Host(str(tree))
    assert host.read_config(str(tree / "etc/passwd")) == b"inside\n"
    assert isinstance(host.read_config("/etc/no-such-file"), FileNotFoundError)
