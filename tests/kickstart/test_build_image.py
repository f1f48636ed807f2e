"""A build is whole or it is not there: from a kickstart in a container, from an ISO, or from a root tree."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from delivery.build import read_build
from tests.keys import Key
from tests.kickstart.test_image import NAMESPACE
from tests.kickstart.trees import (
    EPOCH,
    KERNEL,
    PATH,
    Podman,
    add_programs,
    attempt,
    fail,
    make_iso,
    make_tree,
    need_root,
)
from tests.vm.names import KICKSTART, render_kickstart

REPOSITORIES = ("base", "appstream", "epel", "own")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *words: object) -> None:
        pass


@contextlib.contextmanager
def serve(folder: Path, certificate: trustme.LeafCert | None = None) -> Iterator[str]:
    """The URL at which a folder is served, for as long as that is wanted."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(context)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def make_repositories(folder: Path) -> Path:
    for name in REPOSITORIES:
        (folder / name / "repodata").mkdir(parents=True)
        (folder / name / "repodata/repomd.xml").write_text('<repomd xmlns="http://linux.duke.edu/metadata/repo"/>\n')
    return folder


def options(url: str) -> list[str]:
    """What make-kickstart wants to know."""
    return ["--el", "9", *(word for name in REPOSITORIES for word in (f"--{name}", f"{url}/{name}"))]


def lies_in(out: Path) -> list[str]:
    """Everything below, hidden files as well."""
    return sorted(str(path.relative_to(out)) for path in out.rglob("*"))


NAMES = sorted(
    [f"vmlinuz-{KERNEL}", f"initrd-{KERNEL}-42.img", "speedtest-42.squashfs", "packages.txt"]
    + ["build.json", "build.json.sig", "SHA256SUMS", "SHA256SUMS.sig"]
)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """With an earlier build, which has to stay as it is."""
    (tmp_path / "out/41").mkdir(parents=True)
    (tmp_path / "out/41/build.json").write_text("{}")
    return tmp_path / "out"


EARLIER = ["41", "41/build.json"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    need_root()
    return make_tree(tmp_path / "tree")


# -- what comes out -----------------------------------------------------------------------------------


def test_build_of_a_tree(tree: Path, out: Path, tmp_path: Path) -> None:
    """Named, numbered, described and signed, in a folder of its number, with which `deliver` goes on."""
    key = Key(tmp_path / "key")
    words = ("--tree", tree, "--build", "42", "--out", out, "--commit", "4f2a9c1", "--key", key.path)
    done = attempt("build-image", *words, "--compression", "zstd:1")
    assert done.returncode == 0 and done.stdout == f"{out}/42\n", done.stderr
    folder = out / "42"
    assert lies_in(out) == sorted([*EARLIER, "42", *(f"42/{name}" for name in NAMES)])
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=folder, check=True, timeout=30)
    document = json.loads((folder / "build.json").read_text())
    assert (document["number"], document["kernel"], document["commit"]) == (42, KERNEL, "4f2a9c1")
    assert document["date"] == "2025-11-24T16:00:00Z"
    assert key.verify((folder / "build.json").read_bytes(), folder / "build.json.sig", NAMESPACE)
    assert read_build(folder).number == 42
    # Whoever publishes or serves it need not be root.
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in (folder, *folder.iterdir()))


def test_same_input_same_build(tree: Path, out: Path, tmp_path: Path) -> None:
    """All files are the same to the byte, by whatever path the tree came."""
    folders = []
    for name in ("one", "two"):
        other = tree.rename(tmp_path / name)
        words = ("--tree", other, "--build", "42", "--out", tmp_path / f"out-{name}", "--compression", "zstd:1")
        assert attempt("build-image", *words).returncode == 0
        folders.append(tmp_path / f"out-{name}/42")
        tree = other
    one, two = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders)
    assert one == two and len(one) == 6


@pytest.mark.parametrize("nested", [False, True], ids=["plain", "nested"])
def test_build_of_an_iso(tree: Path, out: Path, tmp_path: Path, nested: bool) -> None:
    """Of both layouts that builders make; the ISO is of the build, and the one that was given stays."""
    iso = make_iso(tree, tmp_path / "some.iso", nested)
    done = attempt("build-image", "--iso", iso, "--build", "42", "--out", out, "--compression", "zstd:1")
    assert done.returncode == 0, done.stderr
    assert (out / "42/speedtest-42.iso").read_bytes() == iso.read_bytes()
    listed = subprocess.run(
        ["unsquashfs", "-l", str(out / "42/speedtest-42.squashfs")],
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    ).stdout.splitlines()
    # EL's dracut wants the tree itself in it.
    assert "squashfs-root/usr/bin/dracut" in listed and "squashfs-root/LiveOS" not in listed
    assert read_build(out / "42").number == 42
    assert str(out) not in Path("/proc/self/mounts").read_text()


def test_build_in_a_container(tree: Path, out: Path, tmp_path: Path, podman: Podman) -> None:
    """From a kickstart: the repositories answer, the builder runs in the container, the rest beside it."""
    iso = make_iso(tree, tmp_path / "ready.iso", nested=True)
    image = podman.make_image("builder", **{"ready.iso": iso})
    with serve(make_repositories(tmp_path / "web")) as url:
        words = ["--container", image, "--build", "42", "--out", str(out), "--compression", "zstd:1", *options(url)]
        done = attempt("build-image", *words, env=podman.env, within=podman.within)
    assert done.returncode == 0, done.stderr
    assert (out / "42/speedtest-42.iso").read_bytes() == iso.read_bytes()
    assert read_build(out / "42").number == 42
    assert podman.run("podman", "ps", "--all", "--quiet") == ""


def test_relative_paths(tree: Path, tmp_path: Path) -> None:
    """A path is meant from where the command was typed, also for those steps that run elsewhere."""
    words = ("--tree", "tree", "--build", "42", "--out", "made/here", "--compression", "zstd:1")
    assert attempt("build-image", *words, cwd=tmp_path).returncode == 0
    assert (tmp_path / "made/here/42/SHA256SUMS").is_file()


# -- what does not come out ----------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["404", "closed", "html"])
def test_repository_that_is_down(out: Path, tmp_path: Path, what: str) -> None:
    """Every one that cannot be used is named with the reason, and nothing was begun."""
    need_root()
    web = make_repositories(tmp_path / "web")
    with serve(web) as gone:
        pass
    with serve(web) as url:
        words = options(url)
        if what == "404":
            (web / "epel/repodata/repomd.xml").unlink()
        elif what == "html":
            (web / "epel/repodata/repomd.xml").write_text("<html>please log in</html>")
        else:
            words[words.index(f"{url}/epel")] = f"{gone}/epel"
        done = attempt("build-image", "--container", "localhost/none", "--build", "42", "--out", out, *words)
    reasons = {"404": "HTTP Error 404", "closed": "Connection refused", "html": "is not that of a repository"}
    fail(done, "a repository cannot be used, and nothing was built: epel (")
    assert reasons[what] in done.stderr and "appstream" not in done.stderr
    assert lies_in(out) == EARLIER


def test_private_authority(out: Path, tmp_path: Path, podman: Podman) -> None:
    """A repository's certificate is checked, by a private CA where one is given."""
    need_root()
    authority = trustme.CA()
    ca = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    with serve(make_repositories(tmp_path / "web"), authority.issue_cert("127.0.0.1")) as url:
        words = ["--container", "localhost/none:1", "--build", "42", "--out", str(out), *options(url)]
        done = attempt("build-image", *words)
        fail(done, "certificate verify failed")
        done = attempt("build-image", *words, "--ca", str(ca), env=podman.env, within=podman.within)
    # All repositories have answered: what is missing now is the container.
    fail(done, "the builder in localhost/none:1 failed")
    assert lies_in(out) == EARLIER


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"fails": "no space in the image"}, "livemedia-creator: no space in the image"),
        ({}, "left no ISO or several"),
        ({"ready.iso": "no iso"}, "xorriso failed"),
    ],
    ids=["builder", "no iso", "bad iso"],
)
def test_builder_fails(out: Path, tmp_path: Path, podman: Podman, files: dict[str, str], says: str) -> None:
    """What the builder says is shown, and no half of a build stays."""
    image = podman.make_image("builder", **files)
    with serve(make_repositories(tmp_path / "web")) as url:
        words = ["--container", image, "--build", "42", "--out", str(out), *options(url)]
        done = attempt("build-image", *words, env=podman.env, within=podman.within)
    fail(done, says)
    assert lies_in(out) == EARLIER


def test_unknown_directive(tmp_path: Path) -> None:
    """pykickstart's own check, of that release, stands before the builder."""
    programs = tmp_path / "programs"
    (programs / "usr/bin").mkdir(parents=True)
    add_programs(programs, **{"livemedia-creator": "#!/bin/sh\ntouch started\n"})
    (programs / "usr/bin/ksvalidator").symlink_to(Path(sys.executable).with_name("ksvalidator"))
    path = {"PATH": f"{programs}/usr/bin", "BUILD_PLACE": str(tmp_path)}
    for wrong, says in (("autostep\n", "EL 10 does not take this kickstart"), ("", "left no ISO")):
        (tmp_path / "speedtest.ks").write_text(render_kickstart("10") + wrong)
        fail(attempt("in-container", "10", "42", env=path), says)
        assert (tmp_path / "started").exists() == (not wrong)


BAD = [
    (["--build", "41"], "41 is there already, and a number is never given twice"),
    (["--compression", "lzma"], "make-squashfs does not take --compression=lzma"),
    (["--compression", "zstd:99"], "a level from 1 to 22"),
    (["--initramfs", "--moduls x"], "build-initramfs does not take"),
    (["--initramfs", "--modules 'x"], "cannot be parted into words"),
    (["--key", "/nonexistent"], "/nonexistent is no file"),
    (["--kernel", "6.1.0"], f"kernel 6.1.0 is not in the tree; there is {KERNEL}"),
    (["--build", "4x"], "is no build's number"),
    (["--epel", "http://127.0.0.1/epel"], "--epel is for the kickstart"),
    (["--iso", "/x.iso"], "not allowed with"),
]


@pytest.mark.parametrize(("words", "says"), BAD)
def test_bad_words(tree: Path, out: Path, words: list[str], says: str) -> None:
    """What cannot be is said, and what was built before stays as it is."""
    fail(attempt("build-image", "--tree", tree, "--build", "42", "--out", out, *words), says)
    assert lies_in(out) == EARLIER


@pytest.mark.parametrize("what", ["packages", "check", "usr", "squashfs", "key"])
def test_step_that_fails(tree: Path, out: Path, tmp_path: Path, what: str) -> None:
    """Whichever it is: it is named, its own words are shown, and nothing is left of those before it."""
    key = tmp_path / "key"
    key.write_text("no key")
    says = {
        "packages": "the list of packages failed",
        "check": "install liveagent-dracut",
        "usr": "there is none with its modules",
        "squashfs": "xorriso failed",
        "key": "cannot be signed",
    }
    source = ("--tree", tree)
    if what == "packages":
        (tree / "root/build/packages.txt").unlink()
    elif what == "check":
        (tree / "usr/lib/dracut/modules.d/91liveagent-image").rename(tree / "elsewhere")
    elif what == "usr":
        (tree / "usr/lib/modules" / KERNEL / "vmlinuz").unlink()
    elif what == "squashfs":
        (tmp_path / "some.iso").write_bytes(b"x" * 100_000)
        source = ("--iso", tmp_path / "some.iso")
    signed = ("--key", key) if what == "key" else ()
    fail(attempt("build-image", *source, "--build", "42", "--out", out, "--compression", "zstd:1", *signed), says[what])
    assert lies_in(out) == EARLIER


def test_disk_that_is_full(tree: Path, small_disk: Path) -> None:
    """The steps before it have written, and nothing of that stays."""
    (tree / "etc/random").write_bytes(os.urandom(4 << 20))
    fail(attempt("build-image", "--tree", tree, "--build", "42", "--out", small_disk / "out"), "make-squashfs failed")
    assert lies_in(small_disk) == ["out"]


def stop(mark: str, out: Path, argv: list[str], env: dict[str, str]) -> None:
    """Abort a build as a job does, once it does what has this mark; nothing may be left of it, nor go on."""
    environment = {"PATH": PATH, "SOURCE_DATE_EPOCH": EPOCH, **env}
    child = subprocess.Popen(argv, env=environment, stderr=subprocess.PIPE, text=True)
    while not is_running(mark):
        assert child.poll() is None, child.communicate()
    child.send_signal(signal.SIGTERM)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 1 and "stopped" in said
    assert lies_in(out) == EARLIER
    deadline = time.monotonic() + 20
    while is_running(mark):
        assert time.monotonic() < deadline


def test_stopped(tree: Path, out: Path) -> None:
    """A step that runs in the tree ends with the build, and does not write into what is removed."""
    mark = str(1_000_000 + os.getpid())
    (tree / "usr/bin/dracut").write_text(f"#!/bin/sh\nexec sleep {mark}\n")
    argv = [str(KICKSTART / "build-image"), "--tree", str(tree), "--build", "42", "--out", str(out)]
    stop(mark, out, argv, {})


def test_stopped_in_the_container(out: Path, tmp_path: Path, podman: Podman) -> None:
    """A container would outlive podman's own process."""
    mark = str(2_000_000 + os.getpid())
    image = podman.make_image("builder", waits=mark)
    with serve(make_repositories(tmp_path / "web")) as url:
        words = ["--container", image, "--build", "42", "--out", str(out), *options(url)]
        stop(mark, out, [*podman.within, str(KICKSTART / "build-image"), *words], podman.env)
    assert podman.run("podman", "ps", "--all", "--quiet") == ""


def is_running(mark: str) -> bool:
    """Whether any process of the machine has this word on its command line."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if mark.encode() in file.read_bytes().split(b"\0"):
                return True
    return False
