"""Decisions that need no centre: which builds are kept, where a roll-back leads, what may be a name or a build."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Callable

import pytest

from delivery.address import parse_address
from delivery.build import read_build
from delivery.layout import Name, make_folder, parse_target
from delivery.place import Fault
from delivery.tree import Stored, Tree, choose_doomed, choose_earlier, choose_job, choose_kept, make_next
from tests.delivery.conftest import JOB, KERNEL, MakeBuild, list_sums


def make_tree(text: str, current: int = 0) -> Tree:
    """`1 2p 3w 4l`: builds by number, pinned, withdrawn, linked."""
    stored = []
    for word in text.split():
        number = int(word.rstrip("pwl"))
        stored.append(Stored(Name(JOB, number), "p" in word, "w" in word, ("live-main/stable",) if "l" in word else ()))
    return Tree("live-main", Name(JOB, current) if current else None, tuple(stored))


@pytest.mark.parametrize(("text", "current", "kept"), [
    ("1 2", 2, {1, 2}),
    ("1 2 3 4", 4, {2, 3, 4}),
    ("1p 2 3 4 5l 6 7 8", 8, {1, 5, 6, 7, 8}),
    ("1 2 3 4 5w", 4, {2, 3, 4}),
    ("1 2 3 4 5w 6", 6, {3, 4, 6}),
    ("1 2 3 4 5", 2, {1, 2, 3, 4, 5}),
    ("1 2 3 4 5 6 7 8", 4, {2, 3, 4, 6, 7, 8}),
    ("1 2 3 4 5", 1, {1, 3, 4, 5}),
    ("1 2 3 4 5", 0, {3, 4, 5}),
    ("1w 2 3 4 5", 1, {1, 3, 4, 5}),
    ("1wp 2w 3w", 0, {1}),
    ("", 0, set()),
])  # fmt: skip
def test_kept(text: str, current: int, kept: set[int]) -> None:
    """Three good ones up to the current, as many that wait for their release, and what a pin or a link needs."""
    assert {name.number for name in choose_kept(make_tree(text, current))} == kept


def test_jobs_do_not_count_together() -> None:
    """Another job's builds push out none of this one's."""
    tree = make_tree("1 2 3", 3)
    others = tuple(Stored(Name("other", number)) for number in range(10, 16))
    kept = choose_kept(Tree("live-main", tree.current, tree.builds + others))
    assert {str(name) for name in kept} == {f"{JOB} 1", f"{JOB} 2", f"{JOB} 3", "other 13", "other 14", "other 15"}


def test_what_goes_next() -> None:
    """What a list announces is what the next publication removes: the link to the current build holds nothing then."""
    tree = make_tree("1 2 3", 3)
    tree = Tree("live-main", tree.current, tree.builds[:2] + (Stored(Name(JOB, 3), links=("live-main/current",)),))
    assert choose_doomed(make_next(tree, JOB), JOB) == [Name(JOB, 1)]


@pytest.mark.parametrize(("text", "current", "target"), [
    ("1 2 3", 3, 2), ("1 2w 3", 3, 1), ("1 2 3", 2, 1), ("1 5", 5, 1), ("1 2", 1, 0), ("2w 3", 3, 0), ("1 2", 0, 0),
])  # fmt: skip
def test_rollback_leads_to(text: str, current: int, target: int) -> None:
    """The last good build before the current one; where there is none, that is said and nothing is guessed."""
    tree = make_tree(text, current)
    if target:
        assert choose_earlier(tree, JOB) == Name(JOB, target)
    else:
        with pytest.raises(Fault, match="no good build|no current build"):
            choose_earlier(tree, JOB)


def test_job_that_is_meant() -> None:
    """Without a current build and with two jobs, nobody guesses which."""
    tree = Tree("live-main", None, (Stored(Name("a", 1)), Stored(Name("b", 1))))
    with pytest.raises(Fault, match="--job"):
        choose_job(tree)
    assert choose_job(tree, "b") == "b"


@pytest.mark.parametrize(("branch", "folder"), [
    ("main", "live-main"), ("release/2.1", "live-release-2.1"), ("fix/a b'$(c)", "live-fix-a-b-c-"), ("ü/x", "live--x"),
    ("..", ""), ("a/../../b", ""), ("/a", ""), ("-a", ""), (".a", ""), ("a/", ""), ("", ""), ("a\nb", ""),
    ("x" * 101, ""),
])  # fmt: skip
def test_branch_folders(branch: str, folder: str) -> None:
    """A branch's folder is one name in the tree, whatever the branch is called; what git would not take is refused."""
    if folder:
        assert make_folder(branch) == folder
    else:
        with pytest.raises(Fault):
            make_folder(branch)


@pytest.mark.parametrize(("target", "number"), [
    ("builds/speedtest/7", 7), ("builds/speedtest/7/vmlinuz", 7), ("/srv/images/live-main/builds/speedtest/7/", 7),
    ("../live-main/builds/speedtest/7", 7), ("live-main/builds/speedtest/7", 7),
    ("/srv/live-other/builds/speedtest/7", 0), ("/srv/builds/x/3/live-main/builds/speedtest/7/vmlinuz", 7),
    ("/srv/live-main/builds/x/3/live-other/builds/speedtest/7", 0),
    ("current/vmlinuz", 0), ("builds/speedtest", 0), ("builds/speedtest/latest", 0), ("builds/speedtest/07", 0),
    ("/etc/passwd", 0),
])  # fmt: skip
def test_link_targets(target: str, number: int) -> None:
    """Which build a link needs, by whatever path it leads there."""
    found = parse_target(target, "live-main")
    assert found == (Name("speedtest", number) if number else None)


@pytest.mark.parametrize("text", [
    "ssh://-oProxyCommand=x/srv", "ssh://h", "ssh://h/a/../b", "ssh://u:p@h/srv", "ftp://u:p@h/srv", "http://h/srv",
    "ssh://-l@h/srv", "ftp://u@h/srv%0d%0aDELE%20x", "ssh://h:port/srv", "ftp://h/srv?x", "", "a\nb",
])  # fmt: skip
def test_places_that_are_none(text: str) -> None:
    """A place is no option of ssh, no second command of FTP, and holds no password, which is not repeated either."""
    with pytest.raises(Fault) as caught:
        parse_address(text)
    assert ":p@" not in str(caught.value)


def test_places() -> None:
    """The ways to write a place, and that it reads the same again."""
    for text in ("ssh://images@centre.example:2222/srv/images", "ftp://h/srv", "ftps://u@[2001:db8::1]:990/srv"):
        assert parse_address(text).url == text
    assert parse_address("tree").path == os.path.join(os.getcwd(), "tree")


# -- a build on the build host ----------------------------------------------------------------------


def alter(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(b"altered")


def set_document(**values: object) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        document = {"number": 41, "kernel": KERNEL, **values}
        (folder / "build.json").write_text(json.dumps(document))
        list_sums(folder)

    return act


def add_sum(name: str) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        with (folder / "SHA256SUMS").open("a") as stream:
            stream.write(f"{'0' * 64}  {name}\n")

    return act


def add_listed(name: str) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        (folder / name).write_text("more")
        list_sums(folder)

    return act


def cut_document(folder: Path) -> None:
    (folder / "build.json").write_text('{"number": 41')
    list_sums(folder)


def replace_by_link(folder: Path) -> None:
    kernel = folder / f"vmlinuz-{KERNEL}"
    kernel.rename(folder.parent / "kernel")
    kernel.symlink_to(folder.parent / "kernel")


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "sum": (alter("speedtest-41.squashfs"), r"speedtest-41.squashfs is not what SHA256SUMS says"),
    "document's sum": (alter("build.json"), r"build.json is no JSON|not what SHA256SUMS says"),
    "missing": (lambda folder: (folder / f"vmlinuz-{KERNEL}").unlink(), f"lacks vmlinuz-{KERNEL}"),
    "unlisted": (lambda folder: (folder / "notes").write_text("x"), r"notes is not listed"),
    "hidden": (lambda folder: (folder / ".git").mkdir(), r".git is no regular file"),
    "stray signature": (lambda folder: (folder / "x.sig").write_text("x"), r"x.sig is not listed"),
    "pipe": (lambda folder: os.mkfifo(folder / "pipe"), r"pipe is no regular file"),
    "no sums": (lambda folder: (folder / "SHA256SUMS").unlink(), r"SHA256SUMS: No such file"),
    "empty sums": (lambda folder: (folder / "SHA256SUMS").write_text("\n"), r"SHA256SUMS lists nothing"),
    "no sum": (lambda folder: (folder / "SHA256SUMS").write_text("hello\n"), r"line 1, is not a sum and a name"),
    "path up": (add_sum("../../etc/cron.d/x"), r"'../../etc/cron.d/x' cannot be a file of a build"),
    "path": (add_sum("a/b"), r"'a/b' cannot be a file"),
    "dots": (add_sum(".."), r"'..' cannot be a file"),
    "twice": (add_sum("build.json"), r"build.json stands there twice"),
    "unversioned": (add_listed("speedtest.squashfs"), r"speedtest.squashfs is a name that moves"),
    "another number": (add_listed("speedtest-40.squashfs"), r"speedtest-40.squashfs: not of build 41"),
    "two kernels": (add_listed("vmlinuz-6.12"), r"has no vmlinuz, or two of them"),
    "link out": (lambda folder: (folder / "more").symlink_to("/etc/passwd"), r"more is a link that leads out"),
    "link up": (lambda folder: (folder / "vmlinuz").symlink_to("../x"), r"vmlinuz is a link that leads out"),
    "link within": (lambda folder: (folder / "more").symlink_to("build.json"), r"more is a link that is not listed"),
    "file is a link": (replace_by_link, r"is a link, and must be a file"),
    "number": (set_document(number=42), r"has no initrd and no speedtest.squashfs"),
    "no number": (set_document(number=None), r'"number" is null'),
    "number is text": (set_document(number="../41"), r'"number" is "../41"'),
    "number is true": (set_document(number=True), r'"number" is true'),
    "zero": (set_document(number=0), r'"number" is 0'),
    "kernel": (set_document(kernel="6.12"), r"not of one version"),
    "cut document": (cut_document, r"build.json is no JSON"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_build_that_is_not_right(make_build: MakeBuild, case: str) -> None:
    """A build is refused on the build host, before anything is sent, with the file that is wrong."""
    act, said = FAULTS[case]
    folder = make_build(41)
    act(folder)
    with pytest.raises(Fault, match=said):
        read_build(folder)


def test_build_that_is_right(make_build: MakeBuild) -> None:
    """Signatures and the links that are made at the centre anyway may lie there; the links are not sent."""
    folder = make_build(41, iso=True)
    (folder / "build.json.sig").write_text("signature")
    (folder / "vmlinuz").symlink_to(f"vmlinuz-{KERNEL}")
    build = read_build(folder)
    assert build.number == 41 and "vmlinuz" not in build.files
    assert set(build.sums) == set(build.files) and set(build.texts) == {"SHA256SUMS", "build.json", "build.json.sig"}
    assert build.size == sum(path.stat().st_size for path in folder.iterdir() if not path.is_symlink())


def test_no_build_at_all(tmp_path: Path) -> None:
    """A folder that is none, and one that is not there, are said as such."""
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(Fault, match="is .* a build's folder"):
            read_build(folder)
