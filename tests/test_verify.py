"""`liveagent verify` on real files and real keys: what is good, what was altered, who stands for it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import pytest

from liveagent.certificate import MACHINE
from liveagent.host import Host
from liveagent.issue import Issuer
from liveagent.signature import list_candidates
from liveagent.tasks.wipe.evidence import make_certificate_names, make_disk_certificate, make_machine_certificate
from liveagent.validation import VALIDATION
from tests.keys import Key
from tests.tasks.rows import LABELS, RUN, make_erased, make_excepted, make_untouched
from tests.tasks.rows import MACHINE as SERVER

ROWS = [make_erased(), make_excepted(), make_untouched()]
DISK = "certificate-WWZ0K7L"


def issue(directory: Path, secret: str, rows: list[dict[str, Any]]) -> None:
    """The certificates of a run, as a wipe leaves them."""
    issuer = Issuer(Host(), lambda *_: None, directory=directory, secret=secret, origin="config https://h/c")
    texts = {}
    own = [row for row in rows if row["verdict"] != "refused"]
    for name, row in zip(make_certificate_names(own), own):
        document = make_disk_certificate(row, SERVER, RUN, "1.0.0", LABELS, issuer.key)
        texts[name] = issuer.issue(name, document, "wipe").text
    times = ("2026-11-24T08:15:02.771Z", "2026-11-24T20:31:10.004Z")
    data = {"disks": rows, "not_measured": []}
    machine = make_machine_certificate(data, texts, SERVER, RUN, "1.0.0", LABELS, issuer.key, *times)
    assert issuer.issue(MACHINE, machine, "wipe").unwritten == ""


@dataclasses.dataclass
class Desk:
    """A directory of certificates, the key that signed them, and somebody's own key."""

    directory: Path
    key: Key
    person: Key

    @property
    def machine(self) -> Path:
        return self.directory / "certificate.json"

    @property
    def disk(self) -> Path:
        return self.directory / f"{DISK}.json"

    def signers(self, *lines: str) -> str:
        path = self.directory / "signers"
        own = (f'fleet namespaces="liveagent-certificate" {self.key.public}',
               f'ada@nordhafen namespaces="{VALIDATION}" {self.person.public}')  # fmt: skip
        path.write_text("\n".join(lines or own) + "\n")
        return str(path)

    def verify(self, certificate: Path, *words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "liveagent", "verify", str(certificate), *words]
        return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)

    def validate(self, certificate: Path, *words: str, key: Path | None = None) -> subprocess.CompletedProcess[str]:
        return self.verify(certificate, "--validate-as", "Ada Kowalska", "--key", str(key or self.person.path), *words)

    def sign(self, path: Path, key: Key, namespace: str = "liveagent-certificate") -> Path:
        """Sign a file as it stands, with stock OpenSSH."""
        argv = ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", str(key.path)]
        text = path.read_bytes()
        signature = path.with_name(f"{path.name}.sig")
        signature.write_bytes(subprocess.run(argv, input=text, check=True, capture_output=True, timeout=30).stdout)
        return signature


MakeDesk = Callable[..., Desk]
Verify = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Key, Key]:
    """(the fleet's, a person's)."""
    directory = tmp_path_factory.mktemp("keys")
    return Key(directory / "fleet"), Key(directory / "ada")


@pytest.fixture(scope="module")
def issued(keys: tuple[Key, Key], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificates of one run, signed; tests get copies."""
    directory = tmp_path_factory.mktemp("issued") / RUN
    issue(directory, keys[0].text, ROWS)
    return directory


@pytest.fixture
def make_desk(tmp_path: Path, keys: tuple[Key, Key]) -> MakeDesk:
    def make(signed: bool = True, rows: list[dict[str, Any]] = ROWS) -> Desk:
        issue(tmp_path / "run", keys[0].text if signed else "", rows)
        return Desk(tmp_path / "run", *keys)

    return make


@pytest.fixture
def desk(issued: Path, keys: tuple[Key, Key], tmp_path: Path) -> Desk:
    return Desk(Path(shutil.copytree(issued, tmp_path / "run")), *keys)


# -- good -------------------------------------------------------------------------------------------


def test_good(desk: Desk) -> None:
    """A certificate as it was made: by whom it is signed is known, the disks' beside it were compared."""
    done = desk.verify(desk.machine, "--signers", desk.signers())
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"good, by fleet, key {desk.key.fingerprint}" in done.stdout
    assert "2 of 2 certificates of disks are beside it" in done.stdout
    assert "pending: nobody has countersigned" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("good: signed by fleet")
    assert "NOT ERASED: 1 of 3 disks are not erased" in done.stdout.splitlines()[0]


def test_stock_openssh_agrees(desk: Desk) -> None:
    """Nobody needs this program to check what it signed."""
    for path in (desk.machine, desk.disk):
        signature = path.with_name(f"{path.name}.sig")
        assert desk.key.verify(path.read_bytes(), signature, "liveagent-certificate")
        assert not desk.key.verify(path.read_bytes() + b" ", signature, "liveagent-certificate")


def test_without_signers_it_is_said_what_is_not_known(desk: Desk) -> None:
    """A signature that fits may be anybody's: that is not a failure, and must not look like a proof."""
    done = desk.verify(desk.disk)
    assert done.returncode == 0
    assert "signer-not-checked" in done.stdout and "was NOT checked" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("good as far as it goes")


def test_which_disk_it_is_about(desk: Desk) -> None:
    """Whoever holds the disk in his hand compares what is printed with the label; a name that was changed is said."""
    done = desk.verify(desk.disk, "--signers", desk.signers())
    assert "disk        ST8000NM017B, serial WWZ0K7L, /dev/sda, 8.00 TB" in done.stdout
    assert "was issued as" not in done.stdout
    for suffix in (".json", ".json.sig"):
        shutil.copy(desk.directory / f"{DISK}{suffix}", desk.directory / f"certificate-OTHER{suffix}")
    done = desk.verify(desk.directory / "certificate-OTHER.json", "--signers", desk.signers())
    assert done.returncode == 0
    assert f"it was issued as {DISK}.json, and is named certificate-OTHER.json here" in done.stdout


def test_a_key_under_two_names(desk: Desk) -> None:
    """ssh-keygen looks at the first line with the key alone, which may allow it something else."""
    lines = (f'fleet-mail namespaces="email" {desk.key.public}', "# the same, for certificates",
             f'fleet namespaces="liveagent-certificate" {desk.key.public}')  # fmt: skip
    done = desk.verify(desk.disk, "--signers", desk.signers(*lines))
    assert done.returncode == 0 and f"good, by fleet, key {desk.key.fingerprint}" in done.stdout
    done = desk.verify(desk.disk, "--signers", desk.signers(*lines[:2]))
    assert done.returncode == 1 and "not one of the signers'" in done.stdout


@pytest.mark.parametrize(
    ("until", "is_good"), [("20261125", True), ("20261124201700Z", True), ("20261124201600Z", False)]
)
def test_a_key_that_has_expired_since(desk: Desk, until: str, is_good: bool) -> None:
    """A certificate outlives the key that signed it: it counts for the time it says it was made, and that is said."""
    line = f'fleet namespaces="liveagent-certificate",valid-before="{until}" {desk.key.public}'
    done = desk.verify(desk.disk, "--signers", desk.signers(line))
    assert (done.returncode == 0) is is_good, done.stdout
    assert ("has expired; it was valid at 2026-11-24T20:16:31.804Z" in done.stdout) is is_good
    assert (done.stdout.splitlines()[-1].startswith("good at 2026-11-24T20:16:31.804Z, if it was made then")) is is_good
    found = json.loads(desk.verify(desk.disk, "--signers", desk.signers(line), "--json").stdout)
    assert found["verdict"] == ("warn" if is_good else "fail")


def test_a_key_that_is_not_valid_yet(desk: Desk, make_desk: MakeDesk) -> None:
    """A date that lies ahead makes no key valid: a text may say any date."""
    line = f'fleet namespaces="liveagent-certificate",valid-after="20980101" {desk.key.public}'
    assert desk.verify(desk.disk, "--signers", desk.signers(line)).returncode == 1
    ahead = make_desk(rows=[make_erased(finished="2099-01-01T00:00:00.000Z")])
    done = ahead.verify(ahead.disk, "--signers", ahead.signers(line.replace(desk.key.public, ahead.key.public)))
    assert done.returncode == 1 and "not one of the signers'" in done.stdout


def test_a_key_that_changed_hands(desk: Desk) -> None:
    """The one who had it when the certificate was made is named."""
    lines = (f'alice namespaces="liveagent-certificate",valid-before="20261125" {desk.key.public}',
             f'bob namespaces="liveagent-certificate",valid-after="20261125" {desk.key.public}')  # fmt: skip
    for given in (lines, lines[::-1]):
        done = desk.verify(desk.disk, "--signers", desk.signers(*given))
        assert done.returncode == 0 and "good, by alice" in done.stdout and "has expired" in done.stdout


@pytest.mark.parametrize("end", ["\u2028", "\x0c", "\x1e", "\x85", "\r"])
def test_a_comment_of_the_signers_is_no_line(desk: Desk, end: str) -> None:
    """Lines end where ssh-keygen says: what stands in a comment lets nobody sign."""
    done = desk.verify(
        desk.disk, "--signers", desk.signers(f"# retired:{end}fleet {desk.key.public}", "other ssh-rsa A")
    )
    assert done.returncode == 1 and "not one of the signers'" in done.stdout


def test_many_signers(desk: Desk) -> None:
    """Of a fleet's hundreds of keys only the one that signed is asked for, so that nobody waits."""
    words = desk.person.public.split()
    others = [f"host{number} {words[0]} {words[1][:-8]}{number:08d}" for number in range(3000)]
    signers = desk.signers(*others, f"fleet {desk.key.public}")
    assert list(list_candidates(signers, desk.key.fingerprint)) == [f"fleet {desk.key.public}"]
    done = desk.verify(desk.disk, "--signers", signers)
    assert done.returncode == 0 and "good, by fleet" in done.stdout


def test_a_clock_that_was_set_back(make_desk: MakeDesk) -> None:
    """A server's clock may be set while it is wiped, or start at another time after a power cut: it is told."""
    rows = [make_erased(finished="2020-01-01T00:00:00.000Z"), make_untouched()]
    desk = make_desk(rows=rows)
    for certificate in (desk.disk, desk.machine):
        done = desk.verify(certificate, "--signers", desk.signers())
        assert done.returncode == 0, done.stdout
        assert "finished at 2020-01-01T00:00:00.000Z, before it started at 2026" in done.stdout


def test_json(desk: Desk) -> None:
    """For a program: one document, with a verdict of its own."""
    found = json.loads(desk.verify(desk.machine, "--signers", desk.signers(), "--json").stdout)
    assert (found["verdict"], found["kind"], found["status"]) == ("pass", "machine", "not-erased")
    assert found["signature"] == {
        "state": "good", "signer": "fleet", "key": desk.key.fingerprint, "reason": "", "valid_at": None,
    }  # fmt: skip
    assert (found["problems"], found["validation"]) == ([], None)
    assert json.loads(desk.verify(desk.machine, "--json").stdout)["verdict"] == "warn"


# -- not good ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 200, -3])
@pytest.mark.parametrize("has_signers", [True, False])
def test_altered_by_one_byte(desk: Desk, place: int, has_signers: bool) -> None:
    """It is found and said, and the exit status tells a program."""
    data = bytearray(desk.disk.read_bytes())
    data[place] ^= 1
    desk.disk.write_bytes(data)
    done = desk.verify(desk.disk, *(["--signers", desk.signers()] if has_signers else []))
    assert done.returncode == 1
    assert "IT WAS ALTERED" in done.stdout and done.stdout.splitlines()[-1].startswith("NOT GOOD")


def test_a_disk_that_was_altered_shows_at_the_machine(desk: Desk) -> None:
    """The machine's certificate holds the digests of the disks': one that was signed anew does not pass, too."""
    text = desk.disk.read_text().replace("WWZ0K7L", "WWZ0K7M")
    desk.disk.write_text(text)
    done = desk.verify(desk.machine, "--signers", desk.signers())
    assert done.returncode == 1 and f"{DISK}.json was altered" in done.stdout
    desk.disk.unlink()
    done = desk.verify(desk.machine, "--signers", desk.signers())
    assert done.returncode == 0 and f"not beside it, and so not compared: {DISK}.json" in done.stdout


def test_signed_by_somebody_else(desk: Desk) -> None:
    """A document that somebody altered and signed with a key of his own: the signature fits, and does not count."""
    text = desk.disk.read_text().replace("WWZ0K7L", "WWZ0K7M")
    desk.disk.write_text(text)
    argv = ["ssh-keygen", "-q", "-Y", "sign", "-n", "liveagent-certificate", "-f", str(desk.person.path)]
    signature = subprocess.run(argv, input=text, check=True, capture_output=True, text=True, timeout=30).stdout
    desk.disk.with_name(f"{DISK}.json.sig").write_text(signature)
    done = desk.verify(desk.disk, "--signers", desk.signers(f"fleet {desk.key.public}"))
    assert done.returncode == 1 and "not one of the signers'" in done.stdout and "ALTERED" not in done.stdout
    # Without signers at least the key that the text itself names speaks against it.
    done = desk.verify(desk.disk)
    assert done.returncode == 1 and f"{desk.person.fingerprint}, and says {desk.key.fingerprint}" in done.stdout


def test_a_signature_that_was_taken_away(desk: Desk) -> None:
    """--unsigned is for what was never signed: what says that it is signed does not pass without its signature."""
    desk.disk.with_name(f"{DISK}.json.sig").unlink()
    for words in ([], ["--unsigned"]):
        done = desk.verify(desk.disk, *words)
        assert done.returncode == 1 and "says that it is signed" in done.stdout
        assert done.stdout.splitlines()[-1].startswith("NOT GOOD")


def test_unsigned(make_desk: MakeDesk) -> None:
    """Not signed does not pass, nor is it called bad, unless one asks for the contents alone; these are checked."""
    desk = make_desk(signed=False)
    done = desk.verify(desk.machine)
    assert done.returncode == 1 and "it is not signed" in done.stdout and "NOT GOOD" not in done.stdout
    assert done.stdout.splitlines()[-1].startswith("NOT SIGNED: ")
    done = desk.verify(desk.machine, "--unsigned")
    assert done.returncode == 0 and "nothing shows who made them" in done.stdout.splitlines()[-1]
    desk.machine.write_text(desk.machine.read_text().replace('"refused": 1', '"refused": 0'))
    done = desk.verify(desk.machine, "--unsigned")
    assert done.returncode == 1 and "the totals say 0 refused" in done.stdout
    done = desk.verify(desk.machine)
    assert done.returncode == 1 and done.stdout.splitlines()[-1].startswith("NOT GOOD")


def test_signed_and_wrong(desk: Desk) -> None:
    """A good signature under a text that contradicts itself does not make it true."""
    text = desk.disk.read_text().replace('"mismatches": 0', '"mismatches": 2')
    desk.disk.write_text(text)
    argv = ["ssh-keygen", "-q", "-Y", "sign", "-n", "liveagent-certificate", "-f", str(desk.key.path)]
    signature = subprocess.run(argv, input=text, check=True, capture_output=True, text=True, timeout=30).stdout
    desk.disk.with_name(f"{DISK}.json.sig").write_text(signature)
    done = desk.verify(desk.disk, "--signers", desk.signers())
    assert done.returncode == 1 and "not every place read back" in done.stdout


@pytest.mark.parametrize("data", [b"", b"\xff\xfe\x00", b"-----BEGIN SSH SIGNATURE-----\n\xff\n"])
def test_a_signature_that_is_none(desk: Desk, data: bytes) -> None:
    """Whatever lies beside a certificate under that name, it is said not to be a good signature."""
    desk.disk.with_name(f"{DISK}.json.sig").write_bytes(data)
    for words in ([], ["--signers", desk.signers()]):
        done = desk.verify(desk.disk, *words)
        assert done.returncode == 1 and "NOT GOOD" in done.stdout, done.stderr


@pytest.mark.parametrize("text", ["", "a picture of a cat", '{"kind": "receipt"}'])
def test_what_is_no_certificate(desk: Desk, text: str) -> None:
    """Any file may be given by mistake."""
    desk.machine.write_text(text)
    done = desk.verify(desk.machine)
    assert done.returncode == 1 and "PROBLEM     it is" in done.stdout and "Traceback" not in done.stderr


def test_a_name_that_leads_elsewhere_is_not_read(make_desk: MakeDesk, tmp_path: Path) -> None:
    """The names of the disks' files are the document's own, and whoever made it must not have other files read."""
    desk = make_desk(signed=False)
    (tmp_path / "x.json").write_text("{}")
    desk.machine.write_text(desk.machine.read_text().replace(f'"file": "{DISK}.json"', '"file": "../x.json"'))
    done = desk.verify(desk.machine, "--unsigned")
    assert done.returncode == 0 and "not compared: ../x.json" in done.stdout


@pytest.mark.parametrize("what", ["source", "machine for disk", "no file", "size", "deep"])
def test_what_nobody_would_write(make_desk: MakeDesk, what: str) -> None:
    """A file that anyone hands over may hold anything: the answer is in words, and it is no."""
    desk = make_desk(signed=False)
    document = json.loads(desk.machine.read_text())
    if what == "source":
        document["source"] = "x"
    elif what == "machine for disk":
        copied = desk.machine.read_bytes()
        (desk.directory / "other.json").write_bytes(copied)
        document["disks"][0]["certificate"] = {"file": "other.json", "sha256": hashlib.sha256(copied).hexdigest()}
    elif what == "no file":
        document["disks"][0]["certificate"] = {"sha256": "x"}
        (desk.directory / "None").write_text("{}")
    elif what == "size":
        document = json.loads(desk.disk.read_text())
        document["media"]["size"] = 10**400
        document["verification"]["positions"] = []
        document["kind"] = "disk"
    text = json.dumps(document) if what != "deep" else '{"kind": "machine", "disks": ' + "[" * 90_000
    desk.machine.write_text(text)
    for words in ([], ["--json"]):
        done = desk.verify(desk.machine, "--unsigned", *words)
        assert "Traceback" not in done.stderr and done.returncode in (0, 1)
        assert (done.returncode == 1) is (what not in ("size", "no file")), done.stdout


@pytest.mark.parametrize("name", ["..", ".", "", "a\\u0000b.json", "\\ud800.json", "x" * 300])
def test_a_name_that_no_file_has(make_desk: MakeDesk, name: str) -> None:
    """What the system would not even look for is not there either."""
    desk = make_desk(signed=False)
    desk.machine.write_text(desk.machine.read_text().replace(f'"file": "{DISK}.json"', f'"file": "{name}"'))
    done = desk.verify(desk.machine, "--unsigned")
    assert done.returncode == 0 and "not compared: " in done.stdout, done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["--signers", "/nonexistent"],
        ["--validate-as", "Ada"],
        ["--key", "/nonexistent"],
        ["--position", "CISO"],
        ["--validate-as", "Ada", "--key", "k", "--json"],
        ["--validate-as", "Ada", "--key", "/nonexistent"],
    ],
)
def test_usage(desk: Desk, words: list[str]) -> None:
    """What cannot be meant ends in status 2 and one line, and writes nothing."""
    before = sorted(desk.directory.iterdir())
    done = desk.verify(desk.disk, *words)
    assert done.returncode == 2 and "liveagent: " in done.stderr and "Traceback" not in done.stderr
    assert sorted(desk.directory.iterdir()) == before


def test_no_such_file(desk: Desk) -> None:
    """A name that is mistyped is a usage error, and not a certificate that is not good."""
    done = desk.verify(desk.directory / "certificat.json")
    assert done.returncode == 2 and "No such file" in done.stderr


# -- by run -----------------------------------------------------------------------------------------

WIPED = ("20261124T081502Z-5f0c2e", "20261125T081502Z-aaaaaa")
LOOKED, BROKEN, IS_ON, REST, LOST = (f"2026112{day}T081502Z-{day * 6}" for day in "67890")


@pytest.fixture
def verify_run(issued: Path, tmp_path: Path) -> Verify:
    """`liveagent verify` on a machine with two wipes, and after them runs without a certificate of the machine."""
    runs = tmp_path / "state" / "runs"
    for run in WIPED:
        shutil.copytree(issued, runs / run)
    for run, tasks in ((LOOKED, ["hwdiag"]), (BROKEN, ["wipe"]), (IS_ON, None), (REST, ["wipe"]), (LOST, [])):
        (runs / run).mkdir()
        (runs / run / "events.jsonl").touch()
        if tasks is not None:
            (runs / run / "result.json").write_text(json.dumps({"tasks": [{"task": task} for task in tasks]}))
    (runs / REST / f"{DISK}.json").write_text("{}")
    environment = {**os.environ, "LIVEAGENT_STATE_DIR": str(tmp_path / "state")}

    def verify(*words: str, state: str = "") -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "liveagent", *(["--state", state] if state else []), "verify", *words]
        return subprocess.run(argv, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    return verify


@pytest.mark.parametrize(("words", "run"), [([], WIPED[1]), ([WIPED[0]], WIPED[0]), (["20261124"], WIPED[0])])
def test_a_run(verify_run: Verify, tmp_path: Path, words: list[str], run: str) -> None:
    """By its name or its beginning; without a word it is the newest that has a certificate, and says which."""
    done = verify_run(*words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{tmp_path / 'state' / 'runs' / run / 'certificate.json'}: NOT ERASED")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nosuchrun"], "there is neither a file nor a run nosuchrun; `liveagent history` names the runs"),
        (["2026"], "several runs begin with 2026"),
        ([LOOKED], "the run has no certificate, since it wiped nothing"),
        ([f"state/runs/{LOOKED}"], "the run has no certificate, since it wiped nothing"),
        ([BROKEN], f"the run has no certificate; `liveagent report {BROKEN}` says how it ended"),
        ([LOST], f"the run has no certificate; `liveagent report {LOST}` says how it ended"),
        ([IS_ON], "the run has no certificate: it has not ended"),
        ([REST], f"no certificate of the machine, only of disks: name one of them, as {DISK}.json"),
        (["state"], "state: there is no certificate in it"),
    ],
)
def test_a_run_without(verify_run: Verify, words: list[str], said: str) -> None:
    """What there is no certificate of is told in words, and is no certificate that is not good."""
    done = verify_run(*words)
    assert done.returncode == 2 and said in done.stderr and not done.stdout, done.stderr


def test_no_run_at_all(verify_run: Verify) -> None:
    """On a machine that wiped nothing yet there is nothing to take."""
    done = verify_run(state="elsewhere")
    assert done.returncode == 2 and "no run of this machine has a certificate yet" in done.stderr


# -- countersigning ---------------------------------------------------------------------------------


def test_countersign(desk: Desk) -> None:
    """A person stands for a certificate; from then on it is said by whom, and stock OpenSSH agrees."""
    words = ["--position", "head of data protection", "--location", "Hamburg", "--contact", "ada@nordhafen.example"]
    done = desk.validate(desk.machine, *words, "--signers", desk.signers())
    assert done.returncode == 0, done.stderr
    written = desk.directory / "certificate.validation.json"
    document = json.loads(written.read_text())
    assert (document["name"], document["position"], document["contact"]) == (
        "Ada Kowalska", "head of data protection", "ada@nordhafen.example",
    )  # fmt: skip
    assert document["status"] == "not-erased" and document["certificate"]["file"] == "certificate.json"
    assert f"signature: good, {desk.key.fingerprint}" in document["checked"]
    signature = desk.directory / "certificate.validation.json.sig"
    assert desk.person.verify(written.read_bytes(), signature, VALIDATION)
    done = desk.verify(desk.machine, "--signers", desk.signers())
    assert done.returncode == 0
    assert "validated by Ada Kowalska, head of data protection on 2" in done.stdout
    assert f"signed as ada@nordhafen, {desk.person.fingerprint}" in done.stdout and "pending" not in done.stdout
    again = desk.validate(desk.machine)
    assert again.returncode == 2 and "validated by Ada Kowalska already" in again.stderr


def test_what_is_not_good_is_not_countersigned(desk: Desk) -> None:
    """A person's name must not stand under what was altered."""
    desk.disk.write_bytes(desk.disk.read_bytes().replace(b"WWZ0K7L", b"WWZ0K7M"))
    done = desk.validate(desk.disk)
    assert done.returncode == 1 and "not countersigned" in done.stderr
    assert not (desk.directory / f"{DISK}.validation.json").exists()


def test_a_machine_cannot_countersign(desk: Desk) -> None:
    """The key in the image may sign certificates, and where the signers say so, nothing else."""
    for words in ([], ["--signers", desk.signers()]):
        done = desk.validate(desk.disk, *words, key=desk.key.path)
        assert done.returncode == 2 and "nothing was written" in done.stderr
        assert not list(desk.directory.glob("*.validation.json*"))
    # Whoever has the key needs no program to sign what he likes.
    desk.validate(desk.disk)
    written = desk.directory / f"{DISK}.validation.json"
    signature = desk.sign(written, desk.key, VALIDATION)
    for words in ([], ["--signers", desk.signers(f"fleet {desk.key.public}")]):
        done = desk.verify(desk.disk, *words)
        assert done.returncode == 1 and "signed by the key of the certificate itself" in done.stdout
        assert "validated by" not in done.stdout
    assert signature.exists()


def test_a_person_whom_the_signers_do_not_know(desk: Desk) -> None:
    """A countersignature that would not count is not written: it would spoil a certificate that is good."""
    signers = desk.signers(f'fleet namespaces="liveagent-certificate" {desk.key.public}')
    done = desk.validate(desk.machine, "--signers", signers)
    assert done.returncode == 2 and desk.person.fingerprint in done.stderr and "nothing was written" in done.stderr
    assert desk.verify(desk.machine, "--signers", signers).returncode == 0


def test_an_expired_key_countersigns_nothing(desk: Desk) -> None:
    """Somebody who left still has the key, and can write any date: unlike a certificate, it does not count for then."""
    desk.validate(desk.disk)
    written = desk.directory / f"{DISK}.validation.json"
    written.write_text(written.read_text().replace(json.loads(written.read_text())["date"], "2026-01-01T00:00:00Z"))
    desk.sign(written, desk.person, VALIDATION)
    lines = (f"fleet {desk.key.public}", f'ada namespaces="{VALIDATION}",valid-before="20260601" {desk.person.public}')
    done = desk.verify(desk.disk, "--signers", desk.signers(*lines))
    assert done.returncode == 1 and "does not count" in done.stdout and "validated by" not in done.stdout


@pytest.mark.parametrize("what", ["name", "certificate", "no signature", "junk"])
def test_a_validation_that_does_not_count(desk: Desk, what: str) -> None:
    """One that was altered, that is of another certificate, or that nobody signed is said not to count."""
    assert desk.validate(desk.disk).returncode == 0
    certificate, written = desk.disk, desk.directory / f"{DISK}.validation.json"
    signature = written.with_name(f"{written.name}.sig")
    if what == "name":
        written.write_text(written.read_text().replace("Ada", "Eve"))
    elif what == "certificate":
        other = desk.directory / "certificate-WWZ1K7L.validation.json"
        other.write_bytes(written.read_bytes())
        other.with_name(f"{other.name}.sig").write_bytes(signature.read_bytes())
        certificate = desk.directory / "certificate-WWZ1K7L.json"
    elif what == "no signature":
        signature.unlink()
    else:
        written.write_text("junk")
    done = desk.verify(certificate)
    assert done.returncode == 1 and "the validation" in done.stdout
    assert "does not count" in done.stdout and "validated by Ada" not in done.stdout


def test_a_key_that_cannot_countersign(desk: Desk, tmp_path: Path) -> None:
    """A person's key has a passphrase: what to do is said, and nothing is left half done."""
    locked = Key(tmp_path / "locked", "secret words")
    done = desk.validate(desk.disk, key=locked.path)
    assert done.returncode == 2 and "agent" in done.stderr
    assert not (desk.directory / f"{DISK}.validation.json").exists()


# -- the page ---------------------------------------------------------------------------------------


def test_the_page_shows_the_state(desk: Desk) -> None:
    """Beside the run the page says that validation is pending; made again after it, by whom it was validated."""
    page = (desk.directory / "certificate.html").read_text()
    assert "Validation pending until countersigned" in page and desk.key.fingerprint in page
    assert "NOT ERASED" in page and "is held back by wipe.guard.vmfs" in page and "WWZ1K7L" in page
    assert "3 sectors could not be written" in page and "http://" not in page and "<script" not in page
    assert desk.validate(desk.machine).returncode == 0
    done = desk.verify(desk.machine, "--signers", desk.signers(), "--html", str(desk.directory / "new.html"))
    page = (desk.directory / "new.html").read_text()
    assert done.returncode == 0 and "validated by Ada Kowalska" in page and "pending" not in page
    assert "Checked: good, by fleet" in page


def test_the_page_of_what_is_not_good(desk: Desk) -> None:
    """A page of an altered certificate says so before anything else."""
    desk.machine.write_text(desk.machine.read_text().replace("Nordhafen", "Sudhafen"))
    done = desk.verify(desk.machine, "--html", str(desk.directory / "new.html"))
    assert done.returncode == 1
    assert "THIS CERTIFICATE IS NOT GOOD" in (desk.directory / "new.html").read_text()


def test_the_page_shows_what_drives_say_as_text(make_desk: MakeDesk) -> None:
    """Names of hardware are shown, and never taken for markup."""
    desk = make_desk(rows=[make_erased(model="<script>alert(1)</script>", serial="X1")])
    page = (desk.directory / "certificate.html").read_text()
    assert "&lt;script&gt;alert(1)" in page and "<script" not in page
