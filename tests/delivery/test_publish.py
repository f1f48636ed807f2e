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
from typing import IO, Any, Callable

import pytest

from delivery import cli, lock, release
from delivery import publish as publication
from delivery.build import Build, read_build
from delivery.layout import Name
from delivery.lock import Held
from delivery.place import Fault, Place
from delivery.publish import Order, publish
from tests.conftest import need
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


def test_older_than_the_last(near: Centre, make_build: MakeBuild) -> None:
    """A build that took longer than the next one comes too late, released or not."""
    near.have(make_build(42))
    late = make_build(41)
    for words in ((), ("--no-release",)):
        said = near.fails("publish", late, "--job", JOB, *words)
        assert f"{JOB} 41 does not come after 42" in said and "from 43 on" in said
    assert (read_live(near), near.numbers, near.hidden) == ({42}, [42], [])


def test_number_is_never_given_again(centre: Centre, make_build: MakeBuild) -> None:
    """A number stays taken once its build is gone, by retention or by hand: the mirrors keep what it stood for."""
    centre.have(make_build(1), make_build(2), make_build(3), keep=1)
    shutil.rmtree(centre.tree / "builds" / JOB / "3")
    assert centre.numbers == []
    for number in (1, 3):
        said = centre.fails("publish", make_build(number, mark="again"), "--job", JOB, "--no-release")
        assert f"{JOB} {number} does not come after 3" in said
    centre.have(make_build(4))
    assert (read_live(centre), centre.numbers, centre.hidden) == ({4}, [4], [])


def test_number_of_a_tree_without_a_record(centre: Centre, make_build: MakeBuild) -> None:
    """Where nothing is recorded yet the builds that are there say what was given; each job counts for itself."""
    centre.have(make_build(5), make_build(7))
    (centre.tree / "builds" / JOB / ".highest").unlink()
    assert f"{JOB} 6 does not come after 7" in centre.fails("publish", make_build(6), "--job", JOB)
    assert centre.deliver("publish", make_build(1), "--job", "other").returncode == 0
    assert (read_live(centre), centre.numbers) == ({1}, [5, 7])


def test_record_that_says_nothing(near: Centre, make_build: MakeBuild) -> None:
    """A record that cannot be read stops a publication, and nobody's roll-back."""
    near.have(make_build(1), make_build(2))
    record = near.tree / "builds" / JOB / ".highest"
    build = make_build(3)
    for text in ("", "two\n", "-3\n", "2 3\n"):
        record.write_text(text)
        said = near.fails("publish", build, "--job", JOB)
        assert f"builds/{JOB}/.highest holds no number" in said
    near.ok("rollback")
    assert (read_live(near), near.numbers, near.hidden) == ({1}, [1, 2], [])


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


def test_rollback_while_another_is_released(
    centre: Centre, make_build: MakeBuild, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """Where a roll-back leads is decided by what is live when the link moves, and that build is verified too."""
    centre.have(make_build(1), make_build(2), make_build(3))
    newer, verified = make_build(4), []

    def verify(place: Place, folder: str, name: Name, *more: Any) -> None:
        release.verify(place, folder, name, *more)
        verified.append(name.number)
        if len(verified) == 1:
            centre.ok("publish", newer, "--job", JOB)

    monkeypatch.setattr(cli, "verify", verify)
    assert cli.main(centre.argv("rollback")[2:]) == 0
    assert (read_live(centre), verified, centre.hidden) == ({3}, [2, 3], [])
    assert (centre.tree / "builds" / JOB / ".withdrawn-4").exists()


def test_build_in_another_ones_place(centre: Centre, make_build: MakeBuild) -> None:
    """A folder that somebody filled with another number's build is not released as its own."""
    centre.have(make_build(1), make_build(2))
    stored = centre.tree / "builds" / JOB
    shutil.rmtree(stored / "1")
    shutil.copytree(stored / "2", stored / "1")
    assert "its build.json is of build 2" in centre.fails("rollback", 1)
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


LINKS = {
    "of the place": {"demo": f"{TREE}/builds/{JOB}/1/speedtest-1.squashfs"},
    "of another branch": {"live-other/stable": f"../{TREE}/builds/{JOB}/1"},
    "in a subfolder": {"racks/a/7/image": f"../../../{TREE}/builds/{JOB}/1/speedtest-1.squashfs"},
    "in a subfolder of the branch": {f"{TREE}/racks/kernel": f"../builds/{JOB}/1/vmlinuz"},
    "of the job": {f"{TREE}/builds/{JOB}/stable": "1"},
    "through a link to a folder": {"racks/image": "../alias/1/initrd", "alias": f"{TREE}/builds/{JOB}"},
    "to a link": {"racks/image": "../live-other/stable", "live-other/stable": f"../{TREE}/builds/{JOB}/1"},
    "absolute": {"racks/image": f"/{TREE}/builds/{JOB}/1"},
    "hidden": {".private/image": f"../{TREE}/builds/{JOB}/1"},
    "of another build": {f"{TREE}/builds/other/5/base": f"../../{JOB}/1/initrd"},
    "of a branch that names no current": {f"{TREE}/initrd": f"builds/{JOB}/1/initrd"},
}


def make_by_hand(centre: Centre, links: Mapping[str, str]) -> None:
    """Make links as somebody at the centre would; a target that begins with '/' does so below the place."""
    owner = centre.path.stat().st_uid
    for name, target in links.items():
        path = centre.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(f"{centre.path}{target}" if target.startswith("/") else target)
        for one in (path, *path.relative_to(centre.path).parents):
            os.chown(centre.path / one, owner, -1, follow_symlinks=False)


@pytest.mark.parametrize("which", LINKS)
def test_link_keeps_a_build(centre: Centre, make_build: MakeBuild, which: str) -> None:
    """A build that is in use stays, whatever folder of the place the link is in, and goes when nobody needs it."""
    centre.have(make_build(1), keep=1)
    make_by_hand(centre, LINKS[which])
    released = which == "of a branch that names no current"
    if released:
        (centre.tree / "current").unlink()
    for number in (2, 3):
        done = centre.publish(make_build(number), "--keep", 1, *(["--no-release"] if released else []))
        assert done.returncode == 0 and "Failed" not in done.stderr, done.stderr
        assert 1 in centre.numbers, done.stdout
    if released:
        return
    assert centre.numbers == [1, 3]
    linked = json.loads(centre.ok("list", "--json"))["branches"][0]["builds"][-1]
    assert linked["number"] == 1 and set(LINKS[which]) & set(linked["links"])
    for name in LINKS[which]:
        (centre.path / name).unlink()
    centre.have(make_build(4), keep=1)
    assert centre.numbers == [4] and centre.hidden == []


def test_release_moves_its_own_links(centre: Centre, make_build: MakeBuild) -> None:
    """A branch's own names, and a link that a killed publisher left half-made, keep no build that they leave."""
    centre.have(make_build(1, iso=True), keep=1)
    make_by_hand(centre, {f"{TREE}/.link-0123456789ab": f"builds/{JOB}/1"})
    row = json.loads(centre.ok("list", "--keep", "1", "--json"))["branches"][0]["builds"][0]
    assert row["links"] == [] and row["goes_next"]
    centre.have(make_build(2), keep=1)
    assert centre.numbers == [2]


def test_folder_that_nobody_can_look_into(near: Centre, make_build: MakeBuild) -> None:
    """Where links may be that are not seen, nothing is removed, and that is said; fsck's own folder holds none."""
    near.have(make_build(1))
    for name in ("lost+found", "private"):
        (near.path / name).mkdir(mode=0)
    # Root looks into everything; without its right to do so it is as anybody.
    strip = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]
    need(os.geteuid() or shutil.which("setpriv"), "setpriv")

    def deliver(*words: object) -> subprocess.CompletedProcess[str]:
        argv = near.argv(*map(str, words))
        argv = argv if os.geteuid() else [*strip, *argv]
        return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)

    done = deliver("publish", make_build(2), "--job", JOB, "--keep", 1)
    assert done.returncode == 0 and "Failed to remove old builds" in done.stderr, done.stderr
    assert f"{near.path}/private: Permission denied" in done.stderr and near.numbers == [1, 2]
    done = deliver("list")
    assert done.returncode == 0 and "no publication removes anything meanwhile" in done.stderr, done.stderr
    (near.path / "private").rmdir()
    done = deliver("publish", make_build(3), "--job", JOB, "--keep", 1)
    assert done.returncode == 0 and "Failed" not in done.stderr, done.stderr
    assert near.numbers == [3]


def test_links_that_lead_out_of_the_tree(centre: Centre, make_build: MakeBuild) -> None:
    """What is removed, or published into, is a folder: behind a link stands what is somebody else's."""
    centre.have(make_build(1))
    theirs = centre.path / "theirs"
    for name in (f".gone-7-{'0' * 12}", f".incoming-7-{'0' * 12}"):
        make_by_hand(centre, {f"{TREE}/builds/{JOB}/{name}": "../../../theirs"})
    theirs.mkdir()
    (theirs / "precious").write_text("x")
    os.chown(theirs, centre.path.stat().st_uid, -1)
    os.utime(theirs / "precious", (0, 0))
    os.utime(theirs, (0, 0))
    make_by_hand(centre, {f"{TREE}/builds/aside": "../../theirs"})
    centre.have(make_build(2))
    assert os.listdir(theirs) == ["precious"] and read_live(centre) == {2}
    assert not os.path.lexists(centre.tree / "builds" / JOB / f".gone-7-{'0' * 12}")
    said = centre.fails("publish", make_build(3), "--job", "aside")
    assert "builds/aside is no folder, and one has to stand there" in said
    assert os.listdir(theirs) == ["precious"] and read_live(centre) == {2}


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


def test_overtaken(centre: Centre, make_build: MakeBuild, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build that the next one overtakes on its way is not published over it, and leaves nothing."""
    newer = make_build(2)
    after_sending(monkeypatch, lambda _: centre.ok("publish", newer, "--job", JOB))
    with centre.open() as place, pytest.raises(Fault, match=f"{JOB} 1 does not come after 2"):
        publish(place, read_build(make_build(1)), Order(BRANCH, JOB), print)
    assert (read_live(centre), centre.numbers, centre.hidden) == ({2}, [2], [])


def test_four_at_once(centre: Centre, make_build: MakeBuild) -> None:
    """Publishers that run at once wait for each other where links move, and the newest is live."""
    publishers = [centre.start("publish", make_build(n, size=2_000_000), "--job", JOB) for n in (1, 2, 3, 4)]
    said = [publisher.communicate(timeout=60)[0] for publisher in publishers]
    codes = [publisher.returncode for publisher in publishers]
    assert codes[3] == 0 and set(codes) <= {0, 1}, said
    assert all(code == 0 or "does not come after" in text for code, text in zip(codes, said)), said
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
    waiting = near.start("pin", 1)
    assert waiting.stdout
    assert "waiting for somebody" in waiting.stdout.readline()
    left.rmdir()
    waiting.communicate(timeout=30)
    assert waiting.returncode == 0 and (near.tree / "builds" / JOB / ".pin-1").exists()


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


def test_full_when_the_number_is_noted(
    centre: Centre, make_build: MakeBuild, mount_small: MountSmall, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """A disk that fills up between the upload and its name: nothing was published, and the number is still free."""
    small = mount_small(centre, "size=4m")
    small.have(make_build(1))
    after_sending(monkeypatch, lambda _: fill(small.path / "filler"))
    with small.open() as place, pytest.raises(Fault, match="No space left|its disk may be full"):
        publish(place, read_build(make_build(2)), Order(BRANCH, JOB), print)
    assert (read_live(small), small.numbers, small.hidden) == ({1}, [1], [])
    (small.path / "filler").unlink()
    small.have(make_build(2, mark="again"))
    assert (read_live(small), small.numbers) == ({2}, [1, 2])


def fill(path: Path) -> None:
    """Take all room that there is."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as stream:
        while stream.write(b"x" * 4096):
            pass


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
    fill(small.path / "filler")
    done = small.deliver("rollback")
    assert done.returncode == 0, done.stderr
    assert "Failed to note that build 2 was withdrawn, ignoring" in done.stderr
    assert (read_live(small), small.hidden) == ({1}, [])


def test_not_even_room_for_a_lock(centre: Centre, make_build: MakeBuild, mount_small: MountSmall) -> None:
    """Where no folder can be made any more, nobody moves links beside somebody else: it is said, and what helps."""
    small = mount_small(centre, "size=4m,nr_inodes=64")
    small.have(make_build(1), make_build(2))
    made = []
    with contextlib.suppress(OSError):
        for number in range(64):
            (small.path / f"filler{number}").touch()
            made.append(small.path / f"filler{number}")
    said = small.fails("rollback")
    assert "No space left on device" in said
    assert centre.kind == "ftp" or "not even a lock fits in. Remove a file there" in said
    assert read_live(small) == {2}
    for path in made[:3]:
        path.unlink()
    small.ok("rollback")
    assert read_live(small) == {1}


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
