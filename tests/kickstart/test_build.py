"""What describes a build: the same for the same files, read by all who rely on it, and never of half a build."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from tests.keys import Key
from tests.kickstart.test_image import NAMESPACE, Initramfs
from tests.vm.names import KICKSTART

KERNEL = "5.14.0-503.el9.x86_64"
EPOCH = "1764000000"


def make_folder(folder: Path) -> Path:
    folder.mkdir()
    (folder / f"vmlinuz-{KERNEL}").write_bytes(b"kernel")
    (folder / f"initrd-{KERNEL}-42.img").write_bytes(b"initramfs")
    (folder / "speedtest-42.squashfs").write_bytes(b"squashfs" * 1000)
    (folder / "packages.txt").write_text("bash 5.1.8-9.el9 x86_64\nliveagent 0.1.0-42 noarch\n")
    return folder


def describe(folder: Path, *words: str, epoch: str = EPOCH) -> subprocess.CompletedProcess[str]:
    argv = [
        str(KICKSTART / "make-build"),
        str(folder),
        "--build",
        "42",
        "--kernel",
        KERNEL,
        "--commit",
        "4f2a9c1",
        *words,
    ]
    environment = {"PATH": "/usr/bin:/bin", **({"SOURCE_DATE_EPOCH": epoch} if epoch else {})}
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "build")


def test_document_and_sums(folder: Path, tmp_path: Path) -> None:
    """Number, kernel, commit, date, each file with its sum and size, each package; and what sha256sum itself takes."""
    key = Key(tmp_path / "builder")
    done = describe(folder, "--key", str(key.path))
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads((folder / "build.json").read_text())
    assert (document["number"], document["kernel"], document["commit"]) == (42, KERNEL, "4f2a9c1")
    assert document["date"] == "2025-11-24T16:00:00Z"
    files = {file["name"]: file for file in document["files"]}
    image = (folder / "speedtest-42.squashfs").read_bytes()
    assert files["speedtest-42.squashfs"]["sha256"] == hashlib.sha256(image).hexdigest()
    assert files["speedtest-42.squashfs"]["size"] == len(image)
    assert document["packages"][1] == {"name": "liveagent", "version": "0.1.0-42", "arch": "noarch"}
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, check=True, timeout=30)
    for name in ("build.json", "SHA256SUMS"):
        assert key.verify((folder / name).read_bytes(), folder / f"{name}.sig", NAMESPACE)


def test_same_files_same_description(folder: Path, tmp_path: Path) -> None:
    """Two builds of the same input can be compared by their documents alone."""
    other = make_folder(tmp_path / "other")
    for place in (folder, other, other):
        assert describe(place).returncode == 0
    for name in ("build.json", "SHA256SUMS"):
        assert (folder / name).read_bytes() == (other / name).read_bytes()


def test_the_boot_believes_it(folder: Path, tmp_path: Path) -> None:
    """The check in the initramfs, which has no parser of JSON, finds the image's sum in what is written here."""
    place = tmp_path / "boot"
    place.mkdir()
    initramfs = Initramfs(place)
    assert describe(folder, "--key", str(initramfs.key.path)).returncode == 0
    initramfs.image.write_bytes((folder / "speedtest-42.squashfs").read_bytes())
    for name in ("build.json", "build.json.sig"):
        (place / name).write_bytes((folder / name).read_bytes())
    for image in ("speedtest-42.squashfs", "speedtest.squashfs"):
        assert "mounted" in initramfs.boot(f"image.build=http://m/build.json root=live:http://m/{image}").stdout
    initramfs.image.write_bytes(b"another")
    assert (
        "mounted" not in initramfs.boot("image.build=http://m/build.json root=live:http://m/speedtest.squashfs").stdout
    )


def test_unsigned_is_said(folder: Path) -> None:
    """A build without a key is a build, and its description says nothing to a boot that wants a signature."""
    done = describe(folder)
    assert done.returncode == 0 and "NOT SIGNED" in done.stderr
    assert not list(folder.glob("*.sig"))


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("no image", "lacks speedtest-42.squashfs"),
        ("empty", "is empty"),
        ("stray", "which is not of build 42"),
        ("other number", "speedtest-41.squashfs"),
        ("packages", "no name, version and architecture"),
        ("no packages", "is empty"),
        ("no key", "cannot be signed"),
        ("number", "is no number"),
        ("kernel", "holds more than letters"),
        ("epoch", "no number of seconds"),
    ],
)
def test_half_a_build_is_not_described(folder: Path, what: str, says: str) -> None:
    """What is missing, empty or of another build is named, and nothing is left that somebody could publish."""
    words: list[str] = []
    if what == "no image":
        (folder / "speedtest-42.squashfs").unlink()
    elif what == "empty":
        (folder / "speedtest-42.squashfs").write_bytes(b"")
    elif what == "stray":
        (folder / "core.1234").write_bytes(b"x")
    elif what == "other number":
        (folder / "speedtest-41.squashfs").write_bytes(b"x")
    elif what in ("packages", "no packages"):
        (folder / "packages.txt").write_text("bash\n" if what == "packages" else "")
    else:
        wrong = {"no key": ["--key", "/nonexistent"], "number": ["--build", "4x"], "kernel": ["--kernel", "a/b"]}
        words = wrong.get(what, [])
    done = describe(folder, *words, epoch="soon" if what == "epoch" else EPOCH)
    assert done.returncode == 1 and says in done.stderr and "Traceback" not in done.stderr
    assert not [path for path in folder.iterdir() if path.name.startswith(("build.json", "SHA256SUMS"))]
