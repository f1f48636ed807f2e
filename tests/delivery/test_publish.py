"""`deliver` over each of its ways: what a client sees of a build that is published, released, rolled back."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Callable

import pytest

from delivery import lock
from delivery import publish as publication
from delivery.build import Build, read_build
from delivery.layout import Name
from delivery.lock import Held
from delivery.place import Fault, Place
from delivery.publish import Order, publish
from tests.delivery.conftest import BRANCH, DELIVER, JOB, KERNEL, NAMES, TREE, Centre, MakeBuild, MakeCentre, wait_for

MountSmall = Callable[[Centre, str], Centre]


def read_live(centre: Centre) -> set[int]:
    """The numbers of the builds that the unversioned names lead to; one, where nothing is mixed."""
    numbers = {json.loads((centre.tree / "build.json").read_text())["number"]}
    for name in ("vmlinuz", "initrd", "speedtest.squashfs"):
        numbers.add(int((centre.tree / name).read_text().split()[1]))
    return numbers


# -- publish ----------------------------------------------------------------------------------------


def test_published(centre: Centre, make_build: MakeBuild) -> None:
    """A first build: every name is there and leads to it, everybody may read it, nothing else is left."""
    build = make_build(41, iso=True)
    done = centre.publish(build)
    assert done.returncode == 0, done.stderr
    assert f"{TREE}: build {JOB} 41 is live at {centre.url}/{TREE}" in done.stdout
    assert read_live(centre) == {41}
    stored = centre.tree / "builds" / JOB / "41"
    for path in build.iterdir():
        assert (stored / path.name).read_bytes() == path.read_bytes()
        assert (stored / path.name).stat().st_mode & 0o777 == 0o644
    assert stored.stat().st_mode & 0o777 == 0o755
    assert os.path.basename(os.readlink(stored / "initrd")) == f"initrd-{KERNEL}-41.img"
    assert sorted(os.listdir(centre.tree)) == sorted([".branch", "builds", "current", "speedtest.iso", *NAMES])
    assert centre.hidden == []


@pytest.mark.parametrize("kind", ["local", "ssh"])
def test_tree_can_be_moved(make_centre: MakeCentre, make_build: MakeBuild, kind: str) -> None:
    """Links are relative, and each root name leads through the one link that moves."""
    centre = make_centre(kind)
    centre.have(make_build(41))
    assert os.readlink(centre.tree / "current") == f"builds/{JOB}/41"
    assert {os.readlink(centre.tree / name) for name in NAMES} == {f"current/{name}" for name in NAMES}
    assert os.readlink(centre.tree / "builds" / JOB / "41" / "vmlinuz") == f"vmlinuz-{KERNEL}"


def test_next_build(centre: Centre, make_build: MakeBuild) -> None:
    """The second build takes over all names, and the console says what was there and how to go back."""
    centre.have(make_build(41))
    done = centre.publish(make_build(42))
    assert read_live(centre) == {42}
    assert f"(before: {JOB} 41)" in done.stdout
    command = done.stdout.split("To go back: deliver ")[1].split()
    assert command[:2] == ["rollback", "41"]
    said = centre.deliver(command[0], command[1], "--job", JOB)
    assert (said.returncode, read_live(centre)) == (0, {41})


def test_all_names_move_together(centre: Centre, make_build: MakeBuild) -> None:
    """While links move, no reader ever finds a name missing, or one that leads nowhere."""
    centre.have(make_build(1), make_build(2))
    stop, seen, faults = threading.Event(), set(), []

    def look() -> None:
        while not stop.is_set():
            try:
                with open(centre.tree / "current" / "build.json") as stream:
                    seen.add(json.load(stream)["number"])
                for name in NAMES:
                    os.stat(centre.tree / name)
            except OSError as error:
                faults.append(error)

    reader = threading.Thread(target=look)
    reader.start()
    try:
        for command, number in (("rollback", 1), ("release", 2), ("rollback", 1)):
            centre.ok(command, number)
    finally:
        stop.set()
        reader.join()
    assert (faults, seen) == ([], {1, 2})


def test_not_released_yet(near: Centre, make_build: MakeBuild) -> None:
    """A build can be at the centre, for mirrors to fetch, before the links move to it."""
    near.have(make_build(41))
    done = near.publish(make_build(42), "--no-release")
    assert "is not live yet" in done.stdout
    assert (read_live(near), near.numbers) == ({41}, [41, 42])
    near.ok("release", 42)
    assert read_live(near) == {42}


def test_image_without_iso(centre: Centre, make_build: MakeBuild) -> None:
    """The iso's name leads to an iso or nowhere, never to another build's."""
    centre.have(make_build(41))
    assert not os.path.lexists(centre.tree / "speedtest.iso")
    centre.have(make_build(42, iso=True))
    assert (centre.tree / "speedtest.iso").read_text().startswith("iso 42")
    centre.ok("rollback")
    assert not (centre.tree / "speedtest.iso").exists()
    centre.ok("release", 42)
    assert (centre.tree / "speedtest.iso").read_text().startswith("iso 42")


# -- what is refused --------------------------------------------------------------------------------


def test_number_exists(near: Centre, make_build: MakeBuild) -> None:
    """A number is given once: the build that has it stays as it is."""
    near.have(make_build(41))
    said = near.fails("publish", make_build(41, mark="again"), "--job", JOB)
    assert f"builds/{JOB}/41 is there already" in said
    assert "again" not in (near.tree / "vmlinuz").read_text()
    assert near.hidden == []


def test_older_than_current(near: Centre, make_build: MakeBuild) -> None:
    """A build that took longer than the next one does not replace it."""
    near.have(make_build(42))
    said = near.fails("publish", make_build(41), "--job", JOB)
    assert "build 42 is live, which is newer" in said
    assert (read_live(near), near.numbers) == ({42}, [42])


def test_branches_that_would_share_a_tree(near: Centre, make_build: MakeBuild) -> None:
    """Two branches whose names differ only in what a folder cannot hold are kept apart."""
    first = near.deliver("publish", make_build(1), "--job", JOB, branch="release/2.1")
    assert first.returncode == 0, first.stderr
    second = near.deliver("publish", make_build(2), "--job", JOB, branch="release-2.1")
    assert second.returncode == 1 and "belongs to the branch 'release/2.1'" in second.stderr
    assert near.deliver("rollback", branch="release-2.1").returncode == 1
    assert sorted(os.listdir(near.path)) == ["live-release-2.1"]


@pytest.mark.parametrize(("branch", "job"), [
    ("../../etc", JOB), ("..", JOB), ("/etc", JOB), ("", JOB), ("a\nb", JOB),
    (BRANCH, "../x"), (BRANCH, ".."), (BRANCH, "folder/job"), (BRANCH, ""),
])  # fmt: skip
def test_names_that_lead_elsewhere(near: Centre, make_build: MakeBuild, branch: str, job: str) -> None:
    """A branch or a job whose name is a path is a usage error, and nothing is written."""
    done = near.deliver("publish", make_build(1), "--job", job, branch=branch)
    assert done.returncode == 2 and done.stderr.startswith("deliver: "), done.stderr
    assert os.listdir(near.path) == [] and not (near.path.parent / "x").exists()


def test_place_that_is_not_there(near: Centre, make_build: MakeBuild) -> None:
    """A mistyped place is not made."""
    done = near.below("imagse").publish(make_build(1))
    assert done.returncode == 1 and "make it first" in done.stderr
    assert os.listdir(near.path) == []


def test_file_in_the_way(near: Centre, make_build: MakeBuild) -> None:
    """A file that somebody put where a link belongs is not overwritten; nothing is released over it."""
    near.tree.mkdir()
    (near.tree / "vmlinuz").write_text("by hand")
    os.chown(near.tree, near.path.stat().st_uid, -1)
    said = near.fails("publish", make_build(1), "--job", JOB)
    assert "vmlinuz is no link" in said
    assert (near.tree / "vmlinuz").read_text() == "by hand"
    assert not os.path.lexists(near.tree / "current")


def test_tree_of_direct_links_is_taken_over(centre: Centre, make_build: MakeBuild) -> None:
    """Links that led straight to an old build lead through `current` after the first release."""
    old = centre.tree / "builds" / JOB / "7"
    old.mkdir(parents=True)
    (old / "old-kernel").write_text("kernel 7")
    (centre.tree / "vmlinuz").symlink_to(f"builds/{JOB}/7/old-kernel")
    for folder, _, _ in os.walk(centre.tree):
        os.chown(folder, centre.path.stat().st_uid, -1)
    # A name that the new build has no file for goes: better no answer than one of another build.
    (centre.tree / "speedtest.iso").symlink_to(f"builds/{JOB}/7/old-kernel")
    os.chown(centre.tree / "speedtest.iso", centre.path.stat().st_uid, -1, follow_symlinks=False)
    centre.have(make_build(41))
    centre.have(make_build(42))
    assert read_live(centre) == {42}
    assert not (centre.tree / "speedtest.iso").exists()


# -- roll-back --------------------------------------------------------------------------------------


def test_rollback(centre: Centre, make_build: MakeBuild) -> None:
    """Without a number to the last good build before; what was left that way is passed over afterwards."""
    centre.have(make_build(1), make_build(2), make_build(3))
    centre.ok("rollback")
    assert read_live(centre) == {2}
    centre.ok("rollback")
    assert read_live(centre) == {1}
    said = centre.fails("rollback")
    assert "no good build" in said and "3 (withdrawn), 2 (withdrawn), 1 (current)" in said
    centre.ok("release", 2)
    assert read_live(centre) == {2}
    said = centre.fails("rollback", 9)
    assert f"has no build 9 of {JOB}: there are 3 (withdrawn), 2 (current), 1" in said
    assert read_live(centre) == {2} and centre.hidden == []


def test_rollback_to_a_damaged_build(make_centre: MakeCentre, make_build: MakeBuild) -> None:
    """A build that rotted at the centre is not released, wherever sums are made there."""
    for kind in ("local", "ftp"):
        centre = make_centre(kind)
        for number in (1, 2):
            assert centre.publish(make_build(number, mark=kind)).returncode == 0
        with (centre.tree / "builds" / JOB / "1" / "speedtest-1.squashfs").open("r+b") as stream:
            stream.write(b"X")
        said = centre.fails("rollback")
        assert "is damaged: speedtest-1.squashfs" in said
        assert read_live(centre) == {2}


def test_rollback_of_a_branch_that_is_not_there(near: Centre) -> None:
    """A mistyped branch is said, with what there is."""
    assert "nothing of 'main' is published; there is nothing" in near.fails("rollback")
    assert os.listdir(near.path) == []


# -- what is kept -----------------------------------------------------------------------------------


def test_three_are_kept(centre: Centre, make_build: MakeBuild) -> None:
    """Three good builds, and those that a pin or a link needs; one that was withdrawn is not good."""
    centre.have(make_build(1), make_build(2), make_build(3))
    centre.ok("pin", 1)
    (centre.tree / "stable").symlink_to(f"builds/{JOB}/2")
    centre.have(make_build(4))
    assert centre.numbers == [1, 2, 3, 4]
    (centre.tree / "stable").unlink()
    centre.have(make_build(5))
    assert centre.numbers == [1, 3, 4, 5]
    centre.ok("rollback")
    centre.ok("unpin", 1)
    done = centre.publish(make_build(6))
    assert centre.numbers == [3, 4, 6]
    assert f"{JOB} 1, {JOB} 5" in done.stdout
    assert centre.hidden == []


def test_link_beside_the_tree_keeps_a_build(centre: Centre, make_build: MakeBuild) -> None:
    """A build that a link in the place itself needs stays."""
    centre.have(make_build(1), keep=1)
    (centre.path / "demo").symlink_to(f"{TREE}/builds/{JOB}/1/speedtest-1.squashfs")
    centre.have(make_build(2), keep=1)
    assert centre.numbers == [1, 2]


def test_list(centre: Centre, make_build: MakeBuild) -> None:
    """What is live where, what is pinned, and what the next publication removes."""
    centre.have(make_build(1), make_build(2), make_build(3))
    centre.ok("pin", 2)
    text = centre.ok("list")
    assert f"{TREE} (branch main): live: {JOB} 3" in text
    rows = {line.split()[1]: line for line in text.splitlines() if line.strip().startswith(JOB)}
    assert "2026-11-04" in rows["3"] and rows["3"].endswith("current")
    assert rows["2"].endswith("pinned") and rows["1"].endswith("goes next")
    branch = json.loads(centre.ok("list", "--json"))["branches"][0]
    assert branch["current"] == {"job": JOB, "number": 3}
    first = branch["builds"][-1]
    assert first["goes_next"] and first["commit"] == "c0ffee"
    build = centre.tree / "builds" / JOB / "1"
    assert first["size"] == sum(path.stat().st_size for path in build.iterdir() if not path.is_symlink())


# -- what breaks off --------------------------------------------------------------------------------


# A publisher whose image turns into a pipe once it was checked: how much of it arrives is the test's to say.
PIPED = """
import os, sys
sys.path.insert(0, sys.argv.pop(1))
from delivery import cli
check = cli.read_build
def check_and_replace(folder):
    build = check(folder)
    path = folder / f"speedtest-{build.number}.squashfs"
    path.unlink()
    os.mkfifo(path)
    return build
cli.read_build = check_and_replace
sys.exit(cli.main(sys.argv[1:]))
"""


@contextlib.contextmanager
def stopping_half_way(centre: Centre, build: Path, number: int, scratch: Path) -> Iterator[subprocess.Popen[str]]:
    """A publisher, of whose image a part has arrived and more is on its way."""
    argv = centre.argv("publish", build, "--job", JOB)
    environment = {**os.environ, **centre.environment}
    if centre.kind == "ssh":
        # rsync takes no pipe, but can be slow.
        (scratch / "bin").mkdir()
        (scratch / "bin" / "rsync").write_text(f'#!/bin/sh\nexec {shutil.which("rsync")} --bwlimit=1000 "$@"\n')
        (scratch / "bin" / "rsync").chmod(0o755)
        environment["PATH"] = f"{scratch}/bin:{environment['PATH']}"
    else:
        argv[1:2] = ["-c", PIPED, str(DELIVER.parent.parent)]
    publisher = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    try:
        with contextlib.ExitStack() as stack:
            if centre.kind != "ssh":
                pipe = build / f"speedtest-{number}.squashfs"
                wait_for(lambda: pipe.is_fifo() or publisher.poll() is not None, "the pipe")
                stream = stack.enter_context(pipe.open("wb", buffering=0))
                stream.write(b"x" * 2_500_000)
                # Python hears a signal where it waits for more, not between the pieces of one long read.
                wait_for(lambda: is_waiting_for(stream, publisher.pid), "the publisher to wait for more")
            wait_for(lambda: is_uploading(centre, number) or publisher.poll() is not None, "the upload")
            assert publisher.poll() is None, publisher.communicate()[0]
            yield publisher
    finally:
        publisher.kill()
        publisher.communicate(timeout=60)
        # An rsync whose publisher was killed still brings its file to an end.
        wait_for(lambda: not is_anybody_at(centre), "the end of rsync")


def is_waiting_for(stream: IO[bytes], pid: int) -> bool:
    """Whether a process has taken all out of a pipe, and sleeps."""
    left = int.from_bytes(fcntl.ioctl(stream, termios.FIONREAD, bytes(4)), sys.byteorder)
    state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    return not left and state in "SZ"


def is_anybody_at(centre: Centre) -> bool:
    """Whether a process names the centre's folder on its command line."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if f"{centre.path}/".encode() in path.read_bytes():
                return True
    return False


def is_uploading(centre: Centre, number: int) -> bool:
    """Whether some of an image has arrived; rsync gives a file its name last."""
    found = list(centre.tree.glob(f"builds/{JOB}/.incoming-*/*speedtest-{number}.squashfs*"))
    return any(path.stat().st_size for path in found)


def test_killed_in_the_middle(centre: Centre, make_build: MakeBuild, tmp_path: Path) -> None:
    """Of an upload whose publisher is killed nothing is ever seen; what is left goes once it is old."""
    centre.have(make_build(1))
    with stopping_half_way(centre, make_build(2, size=3_000_000), 2, tmp_path) as publisher:
        publisher.kill()
        assert publisher.wait(20) == -signal.SIGKILL
    [left] = centre.tree.glob(f"builds/{JOB}/.incoming-*")
    assert (read_live(centre), centre.numbers) == ({1}, [1])
    assert "upload on its way, or broken off" in centre.ok("list")
    centre.have(make_build(3))
    assert left.exists()
    for path in (*left.iterdir(), left):
        os.utime(path, (0, 0))
    centre.have(make_build(4))
    assert centre.hidden == [] and read_live(centre) == {4}


def test_ended_in_the_middle(centre: Centre, make_build: MakeBuild, tmp_path: Path) -> None:
    """A publisher that is told to end takes its upload away."""
    with stopping_half_way(centre, make_build(2, size=3_000_000), 2, tmp_path) as publisher:
        publisher.terminate()
        assert publisher.wait(30) == 1
        assert publisher.stdout and "stopped" in publisher.stdout.read()
    assert centre.hidden == [] and centre.numbers == []


def after_sending(monkeypatch: pytest.MonkeyPatch, act: Callable[[str], object]) -> None:
    """Have something happen, once, between the transfer of a build and what follows."""
    send = publication.send
    left = [act]

    def send_and_act(place: Place, build: Build, incoming: str, tell: Callable[[str], None]) -> None:
        send(place, build, incoming, tell)
        if left:
            left.pop()(incoming)

    monkeypatch.setattr(publication, "send", send_and_act)


def test_arrives_otherwise(centre: Centre, make_build: MakeBuild, monkeypatch: pytest.MonkeyPatch) -> None:
    """What arrives with another sum is never linked, and taken away."""
    with centre.open() as place:
        kind = type(place)
        send = kind.send

        def send_badly(self: Place, sources: Mapping[str, Path], folder: str) -> None:
            send(self, sources, folder)
            with (centre.path / folder / "speedtest-1.squashfs").open("r+b") as stream:
                stream.write(b"X")

        monkeypatch.setattr(kind, "send", send_badly)
        with pytest.raises(Fault, match="speedtest-1.squashfs arrived otherwise than sent"):
            publish(place, read_build(make_build(1)), Order(BRANCH, JOB), print)
    assert centre.hidden == [] and centre.numbers == [] and centre.current == ""


def test_two_of_one_number(centre: Centre, make_build: MakeBuild, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two publishers of one number the first to arrive has it, whole; the other is told and leaves nothing."""
    first, second = make_build(1, mark="first"), make_build(1, mark="second")
    after_sending(monkeypatch, lambda _: centre.ok("publish", first, "--job", JOB))
    with centre.open() as place, pytest.raises(Fault, match="is there already"):
        publish(place, read_build(second), Order(BRANCH, JOB), print)
    assert "first" in (centre.tree / "vmlinuz").read_text() and "first" in (centre.tree / "initrd").read_text()
    assert centre.hidden == []


def test_overtaken(near: Centre, make_build: MakeBuild, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build that the next one overtakes on its way is kept, and not released over it."""
    newer = make_build(2)
    after_sending(monkeypatch, lambda _: near.ok("publish", newer, "--job", JOB))
    with near.open() as place, pytest.raises(Fault, match=r"build 1 is at the centre, and was not released"):
        publish(place, read_build(make_build(1)), Order(BRANCH, JOB), print)
    assert (read_live(near), near.numbers, near.hidden) == ({2}, [1, 2], [])


def test_four_at_once(centre: Centre, make_build: MakeBuild) -> None:
    """Publishers that run at once wait for each other where links move, and the newest is live."""
    publishers = [centre.start("publish", make_build(n, size=2_000_000), "--job", JOB) for n in (1, 2, 3, 4)]
    said = [publisher.communicate(timeout=60)[0] for publisher in publishers]
    codes = [publisher.returncode for publisher in publishers]
    assert codes[3] == 0 and set(codes) <= {0, 1}, said
    assert all(code == 0 or "which is newer" in text for code, text in zip(codes, said)), said
    assert read_live(centre) == {4} and centre.hidden == []


# -- the lock ---------------------------------------------------------------------------------------


def test_lock_left_behind(centre: Centre, make_build: MakeBuild) -> None:
    """A lock is respected: who has it, since when, and what breaks it are said, and then it is broken."""
    centre.have(make_build(1), make_build(2))
    left = centre.tree / ".lock"
    left.mkdir()
    owner = {"who": "ada@build7", "what": "publish speedtest 3", "since": "2026-11-24T08:15:02Z", "token": "x"}
    (left / "owner").write_text(json.dumps(owner))
    os.chown(left, centre.path.stat().st_uid, -1)
    said = centre.fails("rollback", "--wait", 0)
    assert "held by ada@build7, for publish speedtest 3, since 2026-11-24T08:15:02Z" in said and "--break-lock" in said
    assert read_live(centre) == {2}
    assert "locked by ada@build7" in centre.ok("list")
    centre.ok("rollback", "--break-lock")
    assert read_live(centre) == {1} and centre.hidden == []


def test_lock_without_a_name(near: Centre, make_build: MakeBuild) -> None:
    """A publisher that died between making the lock and signing it holds others up no less."""
    near.have(make_build(1))
    (near.tree / ".lock").mkdir()
    assert "held by somebody who left no name" in near.fails("pin", 1, "--wait", 0)


def test_lock_is_waited_for(near: Centre, make_build: MakeBuild) -> None:
    """A lock that is given back in time is only waited for."""
    near.have(make_build(1), make_build(2))
    left = near.tree / ".lock"
    left.mkdir()
    waiting = near.start("rollback")
    assert waiting.stdout
    assert "waiting for somebody" in waiting.stdout.readline()
    left.rmdir()
    waiting.communicate(timeout=30)
    assert waiting.returncode == 0 and read_live(near) == {1}


def test_lock_is_one_at_a_time(centre: Centre, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who want it at once have it one after the other, and none fails over what the others just did."""
    monkeypatch.setattr(lock, "_PAUSE", 0.001)
    inside, faults = [0], []

    def want() -> None:
        try:
            with centre.open() as place:
                for _ in range(15):
                    with lock.hold(place, TREE, "a test", lambda _: None):
                        inside[0] += 1
                        if inside[0] != 1:
                            faults.append("two at once")
                        inside[0] -= 1
        except Fault as error:
            faults.append(str(error))

    with centre.open() as place:
        place.make_folder(TREE)
    threads = [threading.Thread(target=want) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == [] and centre.hidden == []


def test_lock_broken_under_a_publisher(
    centre: Centre, make_build: MakeBuild, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """A publisher whose lock was taken from it moves no link, and does not give the other's back."""
    centre.have(make_build(1))
    name_build = publication.name_build

    def lose(held: Held, incoming: str, name: Name) -> None:
        (centre.tree / ".lock" / "owner").write_text(json.dumps({"who": "ada", "token": "hers"}))
        name_build(held, incoming, name)

    monkeypatch.setattr(publication, "name_build", lose)
    with centre.open() as place, pytest.raises(Fault, match="somebody broke this lock"):
        publish(place, read_build(make_build(2)), Order(BRANCH, JOB), print)
    assert (read_live(centre), centre.numbers, centre.hidden) == ({1}, [1], [".lock", ".lock/owner"][:1])


# -- a full disk ------------------------------------------------------------------------------------


def test_full_disk(centre: Centre, make_build: MakeBuild, mount_small: MountSmall) -> None:
    """A build that finds no room leaves what is live as it was, and takes nothing away from it."""
    small = mount_small(centre, "size=4m")
    assert small.publish(make_build(1)).returncode == 0
    said = small.fails("publish", make_build(2, size=8_000_000), "--job", JOB)
    assert ("bytes free" if centre.kind != "ftp" else "its disk may be full") in said
    assert (read_live(small), small.numbers, small.hidden) == ({1}, [1], [])


def test_disk_fills_up_meanwhile(centre: Centre, make_build: MakeBuild, mount_small: MountSmall) -> None:
    """A disk that fills up during the transfer is said, and the part that arrived is removed."""
    small = mount_small(centre, "size=64m,nr_inodes=24")
    assert small.publish(make_build(1)).returncode == 0
    said = small.fails("publish", make_build(2), "--job", JOB)
    assert "No space left on device" in said
    assert (read_live(small), small.numbers, small.hidden) == ({1}, [1], [])


def test_rollback_on_a_full_disk(centre: Centre, make_build: MakeBuild, mount_small: MountSmall) -> None:
    """Where nothing can be written any more a roll-back still works: it takes a link, and no room."""
    small = mount_small(centre, "size=1m")
    small.have(make_build(1), make_build(2))
    with contextlib.suppress(OSError), (small.path / "filler").open("wb", buffering=0) as stream:
        while stream.write(b"x" * 4096):
            pass
    done = small.deliver("rollback")
    assert done.returncode == 0, done.stderr
    assert "Failed to note that build 2 was withdrawn, ignoring" in done.stderr
    assert (read_live(small), small.hidden) == ({1}, [])


# -- typed wrongly ----------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [
    ("publish",), ("rollback", "zero"), ("rollback", "0"), ("pin",), ("nonsense",), ("list", "--keep", "0"), (),
], ids=" ".join)  # fmt: skip
def test_usage(near: Centre, words: tuple[str, ...]) -> None:
    """What cannot be meant is exit status 2, with the usage, and nothing is done."""
    argv = near.argv("list")[:2] + [*words, "--to", str(near.path), "--branch", BRANCH]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2 and "usage: deliver" in done.stderr
    assert os.listdir(near.path) == []


def test_help() -> None:
    """Every command explains itself, without a place being asked."""
    for command in ((), ("publish",), ("release",), ("rollback",), ("pin",), ("unpin",), ("list",), ("warm-up",)):
        done = subprocess.run([DELIVER, *command, "--help"], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0 and done.stdout.startswith("usage: deliver"), done.stderr
