"""The kickstart: rendered for each release, read by that release's parser, and what it must never hold."""

from __future__ import annotations

import re
import subprocess
import warnings
from pathlib import Path

import pytest
import trustme
from pykickstart.errors import KickstartError
from pykickstart.parser import KickstartParser
from pykickstart.version import makeVersion

from tests.keys import Key
from tests.vm.names import GIVEN, KICKSTART, NAMES, NOT_HERE, choose_packages, read_packages, render_kickstart

RELEASES = ["9", "10"]
HASH = "$6$salt$" + "x" * 86


def parse(text: str, el: str) -> KickstartParser:
    """By that release's own rules; a directive that is only warned of is a failure as well."""
    parser = KickstartParser(makeVersion(f"RHEL{el}"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parser.readKickstartFromString(text)
    return parser


def attempt(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [str(KICKSTART / "make-kickstart"), *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("el", RELEASES)
def test_each_release_takes_it(el: str) -> None:
    """One file for both, in the spelling that neither warns of; nothing of the template is left in it."""
    text = render_kickstart(el, "--ntp", "ntp.example.net", "--elrepo", "https://mirror.example.net/elrepo")
    handler = parse(text, el).handler
    assert not re.search(r"@[A-Z_]+@", text) and "%include" not in text
    assert {"liveagent", "sshd", "image-access"} <= set(handler.services.enabled)
    assert [repo.name for repo in handler.repo.dataList()] == ["appstream", "epel", "elrepo", "liveagent"]
    assert handler.packages.excludeDocs and "liveagent" in handler.packages.packageList
    assert not {"man-db", "plymouth", "tuned", "audit"}.difference(handler.packages.excludedList)


@pytest.mark.parametrize("el", RELEASES)
def test_no_default_password(el: str) -> None:
    """Nobody gets in by what every image has: root is locked, and opens for a key or a hash that a build was given."""
    plain = parse(render_kickstart(el), el).handler
    assert plain.rootpw.lock and not plain.rootpw.password and not plain.sshkey.dataList()
    hashed = parse(render_kickstart(el, "--root-hash", HASH), el).handler
    assert hashed.rootpw.isCrypted and hashed.rootpw.password == HASH and not hashed.rootpw.lock


def test_key_of_a_build(tmp_path: Path) -> None:
    """A public key may be built in, without the comment that says whose machine it is from."""
    key = Key(tmp_path / "key")
    (entry,) = parse(render_kickstart("9", "--ssh-key", f"{key.path}.pub"), "9").handler.sshkey.dataList()
    assert entry.username == "root" and key.public.startswith(entry.key) and len(entry.key.split()) == 2


@pytest.mark.parametrize("el", RELEASES)
def test_scripts_are_in_it_whole(el: str) -> None:
    """What runs in the image is the file that shellcheck read, and a failure ends the build."""
    scripts = parse(render_kickstart(el), el).handler.scripts
    inside, beside = [script for script in scripts if script.type == 1]
    for script, name in ((inside, "post.sh"), (beside, "post-nochroot.sh")):
        body = (KICKSTART / name).read_text().partition("\n")[2]
        assert body in script.script and script.errorOnFail and script.interp == "/bin/bash"
    assert inside.inChroot and not beside.inChroot
    assert "IMAGE_BUILD='7' IMAGE_COMMIT='lab'" in inside.script


@pytest.mark.parametrize(
    ("words", "package"),
    [
        ([], "kernel"),
        (["--kernel", "5.14.0-503.el9.x86_64"], "kernel-5.14.0-503.el9.x86_64"),
        (["--kernel-package", "kernel-ml"], "kernel-ml"),
        (["--kernel-package", "kernel-lt", "--kernel", "6.1.9-1.el9.elrepo"], "kernel-lt-6.1.9-1.el9.elrepo"),
    ],
)
def test_kernel_of_a_build(words: list[str], package: str) -> None:
    """One kernel, the one that is named or the newest: with two of them nobody would know which one boots."""
    asked = read_packages(render_kickstart("9", *words), "RHEL9")
    assert [name for name in asked if name.startswith("kernel")] == [package]


def test_whom_an_image_believes(tmp_path: Path) -> None:
    """A private CA and those who may sign a build are written as they were given, and the CA is made known."""
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    (tmp_path / "signers").write_text(f"# who builds\nbuilds {Key(tmp_path / 'key').public}\n")
    text = render_kickstart("9", "--ca", str(tmp_path / "ca.pem"), "--signers", str(tmp_path / "signers"))
    assert "IMAGE_CA" not in "".join(line for line in render_kickstart("9").splitlines() if line.startswith("export"))
    script = next(script.script for script in parse(text, "9").handler.scripts if script.inChroot)
    # Up to the part that is about disks; /etc is that of the image.
    begin = script.index("# -- whom it believes")
    part = script[begin : script.index("# -- disks are looked at")].replace("/etc/", f"{tmp_path}/etc/")
    exports = "\n".join(line for line in script.splitlines() if line.startswith("export IMAGE"))
    anchors = tmp_path / "etc/pki/ca-trust/source/anchors"
    anchors.mkdir(parents=True)
    known = f"update-ca-trust() {{ cp {anchors}/image.crt {tmp_path}/known; }}"
    subprocess.run(["bash", "-euc", f"{exports}\n{known}\n{part}"], check=True, timeout=30)
    assert (tmp_path / "known").read_text() == (tmp_path / "ca.pem").read_text()
    assert (tmp_path / "etc/liveagent/image_signers").read_text() == (tmp_path / "signers").read_text()


def test_no_private_key_in_an_image(tmp_path: Path) -> None:
    """A file with certificate and key would be read by everybody who boots."""
    trustme.CA().private_key_pem.write_to_path(str(tmp_path / "ca.pem"))
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"), append=True)
    done = attempt("--el", "9", *GIVEN, "--ca", str(tmp_path / "ca.pem"))
    assert done.returncode == 2 and "holds a private key" in done.stderr and done.stdout == ""


def test_every_package_is_in_the_lab_or_said_not_to_be() -> None:
    """A name that is added to the list is added to the lab, or somebody says why not."""
    asked = {word for el in RELEASES for word in read_packages(render_kickstart(el), f"RHEL{el}")}
    known = {*NAMES, *NOT_HERE}
    assert asked - known - {"7zip"} == set()
    assert known - asked == set()
    assert {"nvme-cli", "mdadm", "openssh-server"} <= set(
        choose_packages(read_packages(render_kickstart("9"), "RHEL9"))
    )


def test_unknown_directive_is_found() -> None:
    """A line that a release does not know stops the build before anything is fetched."""
    with pytest.raises(KickstartError):
        parse(render_kickstart("10") + "\nautostep\n", "10")


BAD = [
    (["--build", "x"], "is no number"),
    (["--build", "0"], "is no number"),
    (["--commit", "a b"], "holds more than letters"),
    (["--base", "nfs:server"], "is no URL"),
    (["--own", "http://h/a b"], "is no URL"),
    (["--own", 'http://h/a"b'], "is no URL"),
    (["--own", "http://h/@NTP@"], "is no URL"),
    (["--ntp", "a;b"], "holds more than letters"),
    (["--root-hash", "hunter2"], "given as its hash"),
    (["--root-hash", "$1$salt$weak"], "given as its hash"),
    (["--ssh-key", "/nonexistent"], "No such file"),
    (["--ssh-key", "/etc/passwd"], "is not one public key"),
    (["--kernel", "6.1 5.14"], "holds more than letters"),
    (["--kernel-package", "kernel;x"], "holds more than letters"),
    (["--ca", "/nonexistent"], "holds no certificate"),
    (["--ca", "/etc/passwd"], "holds no certificate"),
    (["--signers", "/nonexistent"], "No such file"),
    (["--signers", "/etc/passwd"], "is no allowed-signers file"),
    (["--el", "8"], "invalid choice"),
]


@pytest.mark.parametrize(("words", "says"), BAD)
def test_bad_input(words: list[str], says: str) -> None:
    """What cannot be meant is said, and no half of a kickstart comes out."""
    done = attempt("--el", "9", *GIVEN, *words)
    assert done.returncode == 2 and says in done.stderr and done.stdout == "" and "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr
