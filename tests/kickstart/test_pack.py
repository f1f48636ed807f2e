"""A tree becomes an image: the same one for the same tree, whole or not at all; and an image shows its tree again."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.kickstart.trees import attempt, fail, make_squashfs, make_tree, need_root


def pack(tree: Path, file: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return attempt("make-squashfs", tree, file, "--compression", "zstd:1", *words)


def listing(image: Path) -> str:
    argv = ["unsquashfs", "-lln", str(image)]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout


def test_same_tree_same_image(tmp_path: Path) -> None:
    """Made another day in another order, it is the same to the byte; a file that differs makes another image."""
    need_root()
    names = [f"etc/file{number}" for number in range(50)]
    trees = [make_tree(tmp_path / name) for name in ("one", "two", "other")]
    for tree, order in zip(trees, (names, names[::-1], names)):
        for name in order:
            (tree / name).write_text(name)
    (trees[2] / names[7]).write_text("another")
    images = [tmp_path / f"{tree.name}.squashfs" for tree in trees]
    for tree, image in zip(trees, images):
        done = pack(tree, image)
        assert (done.returncode, done.stderr) == (0, "")
    one, two, other = (image.read_bytes() for image in images)
    assert one == two and one != other


def test_what_is_in_it(tmp_path: Path) -> None:
    """Owners and modes stay; the kernel and what a build notes do not go along; a web server can read it."""
    need_root()
    tree = make_tree(tmp_path / "tree")
    (tree / "var/cache").mkdir()
    os.chown(tree / "etc/lacks", 12, 34)
    (tree / "etc/lacks").chmod(0o4750)
    assert pack(tree, tmp_path / "image", "--leave-out", "var/cache").returncode == 0
    lines = listing(tmp_path / "image").splitlines()
    assert any(line.startswith("-rwsr-x--- 12/34 ") and line.endswith("root/etc/lacks") for line in lines)
    paths = {line.partition("squashfs-root")[2] for line in lines}
    # EL 9's dracut knows a root tree by its /proc, that of EL 10 by its /usr.
    assert {"/proc", "/usr", "/root"} <= paths
    assert not {"/boot", "/root/build", "/var/cache"} & paths
    assert (tmp_path / "image").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("word", ["zstd:0", "zstd:23", "zstd:", "xz:9", "gzip", "lzma", ""])
def test_compression_that_is_none(tmp_path: Path, word: str) -> None:
    """What the kernels of the image, or mksquashfs, would not take is found before anything is read."""
    fail(attempt("make-squashfs", tmp_path, tmp_path / "x", "--compression", word), "neither xz nor zstd")


@pytest.mark.parametrize("word", ["xz", "zstd", "zstd:22"])
def test_compression(tmp_path: Path, word: str) -> None:
    """The image is compressed as asked."""
    need_root()
    assert attempt("make-squashfs", make_tree(tmp_path / "tree"), tmp_path / "x", "--compression", word).returncode == 0
    said = subprocess.run(["unsquashfs", "-s", str(tmp_path / "x")], capture_output=True, text=True, timeout=60).stdout
    name, _, level = word.partition(":")
    assert f"Compression {name}" in said and (not level or f"compression-level {level}" in said)


def test_no_image_is_left_of_half_a_one(tmp_path: Path, small_disk: Path) -> None:
    """On a disk that is full nothing stays; what is there already is not written over."""
    tree = make_tree(tmp_path / "tree")
    (tree / "etc/random").write_bytes(os.urandom(4 << 20))
    fail(pack(tree, small_disk / "image"), "cannot be packed into")
    assert list(small_disk.iterdir()) == []
    (tmp_path / "image").write_text("there")
    fail(pack(tree, tmp_path / "image"), "is there already")
    fail(pack(tree / "etc", tmp_path / "x"), "is no root tree")
    assert (tmp_path / "image").read_text() == "there" and not (tmp_path / "x").exists()


# -- and back ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("nested", [False, True], ids=["plain", "nested"])
def test_tree_of_an_image(tmp_path: Path, nested: bool) -> None:
    """Both layouts show the same tree, which nobody can write to, and no mount stays."""
    need_root()
    image = make_squashfs(make_tree(tmp_path / "tree"), tmp_path / "image", nested)
    work = tmp_path / "work"
    script = f"cat {work}/tree/root/build/packages.txt; touch {work}/tree/x 2>/dev/null && exit 1; exit 7"
    done = attempt("in-image", image, work, "sh", "-c", script)
    assert (done.returncode, done.stdout) == (7, "bash 5.1.8-9.el9 x86_64\n")
    assert str(work) not in Path("/proc/self/mounts").read_text() and list((work / "tree").iterdir()) == []


def test_image_without_a_tree(tmp_path: Path) -> None:
    """What is no root tree is said, and the command does not run."""
    need_root()
    tree = make_tree(tmp_path / "tree")
    image = make_squashfs(tree / "etc", tmp_path / "image", nested=False)
    done = attempt("in-image", image, tmp_path / "work", "echo", "ran")
    fail(done, "holds no root tree")
    assert done.stdout == ""
