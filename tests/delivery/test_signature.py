"""Who signed a build: asked before it is sent, and again before links move to it."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from pathlib import Path
from typing import Callable

import pytest

from delivery.build import read_build
from delivery.ftp import PASSWORD
from delivery.place import Fault
from delivery.publish import Order, publish
from tests.delivery.conftest import BRANCH, JOB, SECRET, Centre, MakeBuild, list_sums, run_proftpd
from tests.keys import Key

NAMESPACE = "liveagent-build"


def sign(folder: Path, key: Key, namespace: str = NAMESPACE) -> Path:
    """Sign what describes a build, as make-build does; its folder."""
    for name in ("build.json", "SHA256SUMS"):
        argv = ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", str(key.path)]
        done = subprocess.run(argv, input=(folder / name).read_bytes(), check=True, capture_output=True, timeout=30)
        (folder / f"{name}.sig").write_bytes(done.stdout)
    return folder


@pytest.fixture
def key(tmp_path: Path) -> Key:
    return Key(tmp_path / "builder")


@pytest.fixture
def signers(tmp_path: Path, key: Key) -> Path:
    """An allowed-signers file with the builder's key."""
    path = tmp_path / "signers"
    path.write_text(f'builds namespaces="{NAMESPACE}" {key.public}\n')
    return path


def test_signed(centre: Centre, make_build: MakeBuild, key: Key, signers: Path) -> None:
    """A build that somebody who may has signed is published, with its signatures under every name, and goes back."""
    for number in (1, 2):
        done = centre.publish(sign(make_build(number), key), "--signers", signers)
        assert done.returncode == 0, done.stderr
        assert f"build {number}: SHA256SUMS is signed by builds" in done.stderr
    for name in ("build.json", "SHA256SUMS"):
        assert key.verify((centre.tree / name).read_bytes(), centre.tree / f"{name}.sig", NAMESPACE)
    centre.ok("rollback", "--signers", signers)
    assert centre.current == f"builds/{JOB}/1"
    centre.ok("release", 2, "--signers", signers)
    assert centre.current == f"builds/{JOB}/2"


Act = Callable[[Path, Key, Path, Path], object]
REFUSED: dict[str, tuple[Act, str]] = {
    "unsigned": (lambda b, k, s, t: [p.unlink() for p in b.glob("*.sig")], r"no SHA256SUMS.sig and no build.json.sig"),
    "half signed": (lambda b, k, s, t: (b / "build.json.sig").unlink(), r"is not signed: it has no build.json.sig"),
    "sums unsigned": (lambda b, k, s, t: (b / "SHA256SUMS.sig").unlink(), r"is not signed: it has no SHA256SUMS.sig"),
    "stranger": (lambda b, k, s, t: sign(b, Key(t / "stranger")), r"SHA256SUMS.sig is no signature of SHA256SUMS by"),
    "namespace": (lambda b, k, s, t: sign(b, k, "liveagent-certificate"), r"SHA256SUMS.sig is no signature"),
    "swapped": (
        lambda b, k, s, t: (b / "build.json.sig").write_bytes((b / "SHA256SUMS.sig").read_bytes()),
        r"build.json.sig is no signature of build.json by",
    ),
    "other sums": (lambda b, k, s, t: list_more(b), r"SHA256SUMS.sig is no signature"),
    "no signature": (lambda b, k, s, t: (b / "build.json.sig").write_text("signed, builds"), r"build.json.sig is no"),
    "no signers": (lambda b, k, s, t: s.unlink(), r"signers, which should say who may sign a build: No such file"),
    "nobody": (lambda b, k, s, t: s.write_text("# nobody\n\n"), r"SHA256SUMS.sig is no signature"),
    "other namespace": (
        lambda b, k, s, t: s.write_text(f'builds namespaces="liveagent-config" {k.public}\n'),
        r"SHA256SUMS.sig is no signature",
    ),
    "expired": (lambda b, k, s, t: s.write_text(f'builds valid-before="20200101" {k.public}\n'), r"is no signature"),
}


def list_more(build: Path) -> None:
    """Have the build say and hold something else than what was signed."""
    (build / "notes").write_text("more")
    signatures = {path: path.read_bytes() for path in build.glob("*.sig")}
    for path in signatures:
        path.unlink()
    list_sums(build)
    for path, text in signatures.items():
        path.write_bytes(text)


@pytest.mark.parametrize("case", REFUSED)
def test_not_signed_by_anybody_who_may(
    near: Centre, make_build: MakeBuild, key: Key, signers: Path, tmp_path: Path, case: str
) -> None:  # fmt: skip
    """What is not signed, or by nobody who may, is not sent; nothing at the centre is touched."""
    act, said = REFUSED[case]
    build = sign(make_build(1), key)
    act(build, key, signers, tmp_path)
    assert re.search(said, near.fails("publish", build, "--job", JOB, "--signers", signers))
    assert os.listdir(near.path) == []


LINES = {
    "several names": '!nobody,ada,builds namespaces="{n}" {k}\n',
    "another line first": 'ada namespaces="liveagent-config" {k}\nbuilds namespaces="{n}" {k}\n',
    "expired line first": 'builds valid-before="20200101" {k}\nbuilds {k}',
    "remarks": '# the builders\n\n  # and their keys\n  builds namespaces="liveagent-*" {k}\n\n',
    "nonsense first": "what is this\n\xff\nbuilds {k}\n",
}


@pytest.mark.parametrize("which", LINES)
def test_signers_of_every_form(
    near: Centre, make_build: MakeBuild, key: Key, signers: Path, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """Whatever name and line lets the key sign builds counts, wherever it stands; the environment may name the file."""
    signers.write_text(LINES[which].format(n=NAMESPACE, k=key.public), encoding="latin-1")
    monkeypatch.setenv("DELIVER_SIGNERS", str(signers))
    near.ok("publish", sign(make_build(1), key), "--job", JOB)
    assert "is not signed" in near.fails("publish", make_build(2), "--job", JOB)
    near.ok("publish", make_build(3), "--job", JOB, "--signers", "")
    assert near.numbers == [1, 3]


def test_signed_by_a_certificate(near: Centre, make_build: MakeBuild, key: Key, signers: Path, tmp_path: Path) -> None:
    """An authority may stand for the builders, each with a certificate of its own."""
    authority = Key(tmp_path / "authority")
    argv = ["ssh-keygen", "-q", "-s", str(authority.path), "-I", "b7", "-n", "builds", f"{key.path}.pub"]
    subprocess.run(argv, check=True, timeout=30)
    build = make_build(1)
    key.path.with_suffix(".pub").write_text((tmp_path / "builder-cert.pub").read_text())
    sign(build, key)
    signers.write_text(f'builds cert-authority,namespaces="{NAMESPACE}" {authority.public}\n')
    near.ok("publish", build, "--job", JOB, "--signers", signers)
    assert near.numbers == [1]


def test_nobody_asked(near: Centre, make_build: MakeBuild, key: Key) -> None:
    """Without signers a build is published, and what was not checked is said, for each command."""
    done = near.publish(make_build(1))
    assert (
        done.returncode == 0 and "build 1 is not signed: it has no SHA256SUMS.sig and no build.json.sig" in done.stderr
    )
    done = near.publish(sign(make_build(2), key))
    assert done.returncode == 0 and "build 2 is signed, and its signatures were not checked: --signers" in done.stderr
    assert f"build {JOB} 1 is not signed" in near.deliver("rollback").stderr
    assert f"build {JOB} 2 is signed, and its signatures were not checked" in near.deliver("release", 2).stderr


def tamper(build: Path, number: int) -> None:
    """Replace a stored image, with sums that agree, as somebody may who can write at the centre."""
    image = build / f"speedtest-{number}.squashfs"
    old, new = image.read_bytes(), b"another" * 100
    image.write_bytes(new)
    sums = (build / "SHA256SUMS").read_text()
    (build / "SHA256SUMS").write_text(sums.replace(hashlib.sha256(old).hexdigest(), hashlib.sha256(new).hexdigest()))


@pytest.mark.parametrize("what", ["tampered", "unsigned", "another build"])
def test_release_asks_again(centre: Centre, make_build: MakeBuild, key: Key, signers: Path, what: str) -> None:
    """What somebody altered at the centre is found out by the signature, where the sums agree with it."""
    centre.have(sign(make_build(1), key), sign(make_build(2), key))
    stored = centre.tree / "builds" / JOB / "1"
    if what == "tampered":
        tamper(stored, 1)
    elif what == "unsigned":
        (stored / "SHA256SUMS.sig").unlink()
    else:
        for name in ("build.json", "build.json.sig", "SHA256SUMS", "SHA256SUMS.sig"):
            (stored / name).write_bytes((stored.parent / "2" / name).read_bytes())
    for command in (("rollback",), ("release", 1)):
        said = centre.fails(*command, "--signers", signers)
        assert re.search("is no signature of SHA256SUMS|is not signed|is damaged", said)
        assert centre.current == f"builds/{JOB}/2"


def test_signature_covers_what_the_server_makes_no_sums_of(
    make_build: MakeBuild, key: Key, signers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """Where signatures are asked for, files are compared with what was signed, if they have to be read back for it."""
    monkeypatch.setenv(PASSWORD, SECRET)
    lacking = r"^(LoadModule mod_digest|Digest).*\n"
    with run_proftpd(lambda text: re.sub(lacking, "", text, flags=re.M)) as server:
        centre = server.centre(server.tree)
        centre.have(sign(make_build(1), key), sign(make_build(2), key))
        (centre.tree / "builds" / JOB / "1" / "speedtest-1.squashfs").write_bytes(b"another")
        assert "is damaged: speedtest-1.squashfs" in centre.fails("rollback", "--signers", signers)
        assert centre.current == f"builds/{JOB}/2"


@pytest.mark.parametrize("name", ["SHA256SUMS", "build.json", "SHA256SUMS.sig", "speedtest-1.squashfs"])
def test_what_was_checked_is_what_arrives(near: Centre, make_build: MakeBuild, key: Key, name: str) -> None:
    """A file that is exchanged between the check and the upload arrives as another one, and nothing is linked."""
    build = read_build(sign(make_build(1), key))
    with (build.folder / name).open("ab") as stream:
        stream.write(b"\n")
    with near.open() as place, pytest.raises(Fault, match=f"{name} arrived otherwise than sent"):
        publish(place, build, Order(BRANCH, JOB), print)
    assert near.numbers == [] and near.hidden == []


def test_ssh_keygen_is_missing(near: Centre, make_build: MakeBuild, key: Key, signers: Path, tmp_path: Path) -> None:
    """A build host that cannot check a signature publishes nothing that was to be checked."""
    build = sign(make_build(1), key)
    argv = near.argv("publish", build, "--job", JOB, "--signers", signers)
    done = subprocess.run(argv, env={"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "ssh-keygen is not installed here" in done.stderr
    assert os.listdir(near.path) == []
