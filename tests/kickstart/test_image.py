"""What the image brings: who gets in, and an image that is checked before anything of it is mounted."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from liveagent.places import RUNTIME
from liveagent.report.login import SCREEN
from tests.keys import Key
from tests.vm.names import KICKSTART

TERMINAL = KICKSTART / "image/usr/lib/systemd/system/getty@tty1.service.d/10-liveagent-image.conf"
ACCESS = KICKSTART / "image/usr/libexec/liveagent/image-access"
CHECK = KICKSTART / "dracut/91liveagent-image/check-image.sh"
NAMESPACE = "liveagent-build"

# What dracut has in the initramfs, as far as the check asks for it: the command line, files over HTTP, and the end.
DRACUT = """
getcmdline() { echo "$CMDLINE"; }
getarg() { for word in $CMDLINE; do case $word in "$1"*) echo "${word#"$1"}"; return 0 ;; esac; done; return 1; }
warn() { echo "warn: $*" >&2; }
die() { echo "die: $*" >&2; exit 1; }
fetch_url() { [ -e "$PLACE/${1##*/}" ] && echo "$PLACE/${1##*/}"; }
"""


class Initramfs:
    """The check with a directory in place of the network, and the program that it stands before."""

    def __init__(self, place: Path) -> None:
        self.place = place
        # Where what is fetched comes to lie.
        self.fetched = place
        self.image = place / "fetched"
        self.image.write_bytes(b"squashfs" * 1000)
        self.sum = hashlib.sha256(self.image.read_bytes()).hexdigest()
        self.key = Key(place / "builder")
        self.mounts(f"none / rootfs rw 0 0\nnone {place.parent} tmpfs rw 0 0\n")
        self.signers = place / "image_signers"
        self.signers.write_text(f'builds namespaces="{NAMESPACE}" {self.key.public}\n')
        self.least = place / "image_least"

    def mounts(self, text: str) -> None:
        """What /proc/mounts says."""
        (self.place / "mounts").write_text(text)

    def sign(self, document: object, key: Key | None = None, namespace: str = NAMESPACE) -> None:
        """Put build.json and its signature where they are fetched from; one file a line, as a build writes it."""
        text = json.dumps(document) if not isinstance(document, str) else document
        (self.place / "build.json").write_text(text)
        argv = ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", str((key or self.key).path)]
        done = subprocess.run(argv, input=text, check=True, capture_output=True, text=True, timeout=30)
        (self.place / "build.json.sig").write_text(done.stdout)

    def boot(self, cmdline: str) -> subprocess.CompletedProcess[str]:
        """Whether dmsquash-live-root is reached; it prints what it was given."""
        program = self.place / "unchecked"
        program.write_text('#!/bin/sh\necho "mounted $*"\n')
        program.chmod(0o755)
        script = CHECK.read_text()
        for path, here in (
            ("/sbin/dmsquash-live-root.unchecked", program),
            ("/etc/liveagent/image_signers", self.signers),
            ("/etc/liveagent/image_least", self.least),
            ("/dev/console", self.place / "console"),
            ("/proc/mounts", self.place / "mounts"),
        ):
            assert path in script
            script = script.replace(path, str(here))
        environment = {"CMDLINE": cmdline, "PLACE": str(self.fetched), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        return subprocess.run(
            ["sh", "-c", f"{DRACUT}\n{script}", "dmsquash-live-root", str(self.image)],
            env=environment, capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    @property
    def console(self) -> str:
        return (self.place / "console").read_text()


@pytest.fixture
def initramfs(tmp_path: Path) -> Initramfs:
    return Initramfs(tmp_path)


def document(sum: str, name: str = "speedtest-7.squashfs") -> str:
    return f'{{\n"number": 7,\n"files": [\n{{"name": "vmlinuz-6.1", "sha256": "{"0" * 64}", "size": 1}},\n' \
           f'{{"name": "{name}", "sha256": "{sum}", "size": 8000}}\n]}}\n'  # fmt: skip


def test_image_that_was_meant(initramfs: Initramfs) -> None:
    """The right sum lets the boot go on, with what dmsquash-live-root is given."""
    done = initramfs.boot(f"quiet image.sha256={initramfs.sum} root=live:http://m/speedtest.squashfs")
    assert done.returncode == 0 and done.stdout == f"mounted {initramfs.image}\n"
    assert "is the one that was meant" in initramfs.console


def test_another_image_is_never_mounted(initramfs: Initramfs) -> None:
    """One byte is enough: the boot stops with a word on the console."""
    initramfs.image.write_bytes(initramfs.image.read_bytes()[:-1] + b"S")
    done = initramfs.boot(f"image.sha256={initramfs.sum}")
    assert done.returncode == 1 and "mounted" not in done.stdout and "die: " in done.stderr
    assert (
        "STOPPED: THE IMAGE IS NOT THE ONE THAT WAS MEANT" in initramfs.console and initramfs.sum in initramfs.console
    )


def test_nothing_to_check_by(initramfs: Initramfs) -> None:
    """Where nobody asked, it is said that nothing was checked."""
    done = initramfs.boot("root=live:http://m/speedtest.squashfs")
    assert done.returncode == 0 and "mounted" in done.stdout
    assert "the image was not checked" in initramfs.console


USELESS = [
    "image.least", "image.least=", "image.least=7", "image.least=seven image.sha256=GOOD",
    "image.least=0 image.sha256=GOOD", "image.least=07 image.sha256=GOOD", "image.least=-7 image.sha256=GOOD",
    "image.least=7x image.sha256=GOOD",
    "image.least=1000000000 image.sha256=GOOD", "image.least=6 image.least=7 image.sha256=GOOD",
    "image.sha256=", "image.sha256", "image.sha256=1234", f"image.sha256={'g' * 64}", "image.build=", "image.build",
    "image.sha256=GOOD image.sha256=", f"image.sha256=GOOD image.sha256={'0' * 64}", "image.sha256= image.sha256=GOOD",
    "image.build=http://m/build.json image.build=http://n/build.json", "image.sha256=GOOD live.updates=http://m/x",
]  # fmt: skip


@pytest.mark.parametrize("words", USELESS)
def test_a_check_that_nobody_could_make(initramfs: Initramfs, words: str) -> None:
    """What a template renders for a parameter that is not set asks for a check: it never boots unchecked."""
    done = initramfs.boot(f"quiet {words.replace('GOOD', initramfs.sum)} root=live:http://m/speedtest.squashfs")
    assert done.returncode == 1 and "mounted" not in done.stdout and "STOPPED: " in initramfs.console


def test_case_of_a_sum(initramfs: Initramfs) -> None:
    """Some tools print it in capitals, and the same sum twice is one sum."""
    words = f"image.sha256={initramfs.sum.upper()} image.sha256={initramfs.sum}"
    assert "mounted" in initramfs.boot(words).stdout


@pytest.mark.parametrize("kind", ["nfs4", "ext4", "iso9660"])
def test_image_that_is_read_twice(initramfs: Initramfs, kind: str) -> None:
    """What lies on a server or a disk may be another when it is mounted than when it was summed up."""
    initramfs.mounts(f"none / rootfs rw 0 0\nx {initramfs.place} {kind} rw 0 0\n")
    done = initramfs.boot(f"image.sha256={initramfs.sum}")
    assert done.returncode == 1 and "mounted" not in done.stdout and "is not in memory" in initramfs.console
    assert "mounted" in initramfs.boot("quiet").stdout


def test_build_that_is_read_twice(initramfs: Initramfs, tmp_path: Path) -> None:
    """The same for build.json: what was verified must be what the sum is taken from."""
    initramfs.sign(document(initramfs.sum))
    served = initramfs.place / "build.json"
    initramfs.mounts(f"none / rootfs rw 0 0\nnone {initramfs.place} tmpfs rw 0 0\nx {served.parent}/nfs nfs4 rw 0 0\n")
    (initramfs.place / "nfs").mkdir()
    for name in ("build.json", "build.json.sig"):
        (initramfs.place / name).rename(initramfs.place / "nfs" / name)
    initramfs.fetched = initramfs.place / "nfs"
    done = initramfs.boot("image.build=nfs://m/build.json root=live:http://m/speedtest-7.squashfs")
    assert done.returncode == 1 and "mounted" not in done.stdout and "is not in memory but on nfs4" in initramfs.console


def test_image_in_the_initramfs_itself(initramfs: Initramfs) -> None:
    """Under systemd the initramfs is no mount that is listed; where nothing is listed, nothing is known."""
    initramfs.mounts("proc /proc proc rw 0 0\ntmpfs /run tmpfs rw 0 0\n")
    assert "mounted" in initramfs.boot(f"image.sha256={initramfs.sum}").stdout
    initramfs.mounts("")
    assert initramfs.boot(f"image.sha256={initramfs.sum}").returncode == 1


@pytest.mark.parametrize("live", ["speedtest-7.squashfs", "speedtest.squashfs"])
def test_signed_build(initramfs: Initramfs, live: str) -> None:
    """The sum stands in a build.json that somebody known has signed, by the image's numbered name or for its link."""
    initramfs.sign(document(initramfs.sum))
    words = f"image.build=http://m/build.json root=live:http://m/{live}"
    assert "mounted" in initramfs.boot(words).stdout
    initramfs.image.write_bytes(b"another")
    done = initramfs.boot(words)
    assert done.returncode == 1 and "mounted" not in done.stdout and "IS NOT THE ONE" in initramfs.console


@pytest.mark.parametrize(
    "what", ["altered", "stranger", "namespace", "no signature", "no document", "no signers", "no sum"]
)
def test_build_that_does_not_count(initramfs: Initramfs, tmp_path: Path, what: str) -> None:
    """What is not signed by somebody who may, for this, says nothing about an image, and the boot stops."""
    initramfs.sign(
        document("x" if what == "no sum" else initramfs.sum),
        Key(tmp_path / "stranger") if what == "stranger" else None,
        "liveagent-certificate" if what == "namespace" else NAMESPACE,
    )
    build = initramfs.place / "build.json"
    if what == "altered":
        build.write_text(build.read_text().replace('"size": 8000', '"size": 8001'))
    elif what == "no signature":
        (initramfs.place / "build.json.sig").unlink()
    elif what == "no document":
        build.unlink()
    elif what == "no signers":
        initramfs.signers.unlink()
    done = initramfs.boot("image.build=http://m/build.json root=live:http://m/speedtest-7.squashfs")
    assert done.returncode == 1 and "mounted" not in done.stdout
    assert "STOPPED: " in initramfs.console


@pytest.mark.parametrize("lines", [
    '!nobody,ada,builds namespaces="{n}" {k}\n',
    'ada namespaces="liveagent-config" {k}\nbuilds namespaces="{n}" {k}\n',
    'builds valid-before="20200101" {k}\nbuilds {k}',
    "# who may\n\n  builds {k}\n",
])  # fmt: skip
def test_signers_of_every_form(initramfs: Initramfs, lines: str) -> None:
    """Whatever name and line lets the key sign builds counts, wherever it stands, and no other does."""
    initramfs.sign(document(initramfs.sum))
    words = "image.build=http://m/build.json root=live:http://m/speedtest-7.squashfs"
    initramfs.signers.write_text(lines.format(n=NAMESPACE, k=initramfs.key.public))
    assert "mounted" in initramfs.boot(words).stdout
    initramfs.signers.write_text(lines.format(n=NAMESPACE, k=Key(initramfs.place / "stranger").public))
    assert "mounted" not in initramfs.boot(words).stdout and "by anybody who may" in initramfs.console


AT = "http://m/live-main/builds/speedtest"


@pytest.mark.parametrize(("build", "image", "boots"), [
    (f"{AT}/7/build.json", f"{AT}/7/speedtest-7.squashfs", True),
    (f"{AT}/7/build.json", "http://m/live-main/speedtest.squashfs", True),
    ("http://m/live-main/build.json", f"{AT}/7/speedtest.squashfs", True),
    (f"{AT}/8/build.json", f"{AT}/8/speedtest.squashfs", False),
    (f"{AT}/8/build.json", "http://m/live-main/speedtest.squashfs", False),
    ("http://m/live-main/build.json", f"{AT}/8/speedtest.squashfs", False),
    ("http://m/live-main/build.json", "http://m/live-main/speedtest-8.squashfs", False),
    (f"{AT}/07/build.json", f"{AT}/7/speedtest.squashfs", False),
    (f"{AT}/77/build.json", f"{AT}/77/speedtest.squashfs", False),
])  # fmt: skip
def test_number_in_the_address(initramfs: Initramfs, build: str, image: str, boots: bool) -> None:
    """Who asks for a number gets it: an older build, whose signature is as good, is not taken for it."""
    initramfs.sign(document(initramfs.sum))
    done = initramfs.boot(f"image.build={build} root=live:{image}")
    assert ("mounted" in done.stdout, done.returncode) == (boots, 0 if boots else 1)
    assert boots or "STOPPED: " in initramfs.console


@pytest.mark.parametrize(("word", "baked", "boots"), [
    ("image.least=7", "", True), ("image.least=6", "7\n", True), ("image.least=7", "6\n", True), ("", "7\n", True),
    ("image.least=8", "", False), ("image.least=8", "7\n", False), ("image.least=7", "8\n", False), ("", "8\n", False),
    ("image.least=10", "", False), ("", "\n", False), ("", "seven\n", False), ("", "7\n7\n", False),
    ("", "07\n", False),
])  # fmt: skip
def test_least_number(initramfs: Initramfs, word: str, baked: str, boots: bool) -> None:
    """Nothing older than the least boots, by the command line or by the initramfs: the larger of both counts."""
    if baked:
        initramfs.least.write_text(baked)
    initramfs.sign(document(initramfs.sum))
    done = initramfs.boot(f"image.build=http://m/build.json root=live:http://m/speedtest.squashfs {word}")
    assert ("mounted" in done.stdout, done.returncode) == (boots, 0 if boots else 1)
    assert boots or "STOPPED: " in initramfs.console


def test_least_number_that_nobody_could_compare(initramfs: Initramfs) -> None:
    """An initramfs with a least number boots nothing unchecked; a sum names one image, which needs no number."""
    initramfs.least.write_text("8\n")
    done = initramfs.boot("root=live:http://m/speedtest.squashfs")
    assert done.returncode == 1 and "mounted" not in done.stdout and "nobody knows which this is" in initramfs.console
    assert "mounted" in initramfs.boot(f"image.sha256={initramfs.sum}").stdout


@pytest.mark.parametrize("number", ["", '"number": "7",', '"number": 7,\n"number": 9,', '"number": 07,', '"number": ,'])
def test_build_without_a_number(initramfs: Initramfs, number: str) -> None:
    """A build that does not say which it is has no place in an order, and is not booted, whoever signed it."""
    initramfs.sign(document(initramfs.sum).replace('"number": 7,', number))
    done = initramfs.boot("image.build=http://m/build.json root=live:http://m/speedtest.squashfs")
    assert done.returncode == 1 and "mounted" not in done.stdout and "does not say which build" in initramfs.console


# -- who gets in ------------------------------------------------------------------------------------


def access(root: Path, cmdline: str) -> subprocess.CompletedProcess[str]:
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/cmdline").write_text(f"{cmdline}\n")
    return subprocess.run([str(ACCESS), str(root)], capture_output=True, text=True, timeout=60)


def test_keys_from_the_command_line(tmp_path: Path) -> None:
    """Each key once, beside those that the image has, in a file that sshd takes."""
    first, second = Key(tmp_path / "a"), Key(tmp_path / "b")
    words = [f"image.sshkey={':'.join(key.public.split()[:2])}" for key in (first, second, first)]
    root = tmp_path / "root"
    root.mkdir()
    assert access(root, f"quiet {' '.join(words)} noeject").returncode == 0
    assert access(root, words[0]).returncode == 0
    keys = root / "root/.ssh/authorized_keys"
    assert keys.read_text().splitlines() == [" ".join(key.public.split()[:2]) for key in (first, second)]
    assert keys.stat().st_mode & 0o777 == 0o600 and keys.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "word", ["", "AAAA", "ssh-ed25519:AAAA", "cert-authority:GOOD", 'command="x":GOOD', "-fx:GOOD", "x" * 3000]
)
def test_what_is_no_key_opens_nothing(tmp_path: Path, word: str) -> None:
    """A word that is cut or mistyped is said, and those beside it count all the same."""
    good = ":".join(Key(tmp_path / "a").public.split()[:2])
    done = access(tmp_path, f"image.sshkey={word.replace('GOOD', good)} image.sshkey={good}")
    assert done.returncode == 1 and "is no public key, ignoring" in done.stderr
    assert len((tmp_path / "root/.ssh/authorized_keys").read_text().splitlines()) == 1


@pytest.mark.parametrize("hash", ["hunter2", "$1$salt$weak", "$6$salt$x:0:0\nroot2:x", ""])
def test_what_is_no_hash_is_no_password(tmp_path: Path, hash: str) -> None:
    """A password as it is typed, or a line for another user, is not taken for a hash."""
    word = base64.b64encode(hash.encode()).decode()
    done = access(tmp_path, f"image.rootpw={word}")
    assert done.returncode == 1 and "is not the base64 of a password's hash" in done.stderr
    done = access(tmp_path, "image.rootpw=%%%")
    assert done.returncode == 1 and "is not the base64" in done.stderr


def test_the_first_terminal_waits_for_what_the_service_writes() -> None:
    assert f"ConditionPathExists=!{RUNTIME}/{SCREEN}\n" in TERMINAL.read_text()
