"""A certificate as a document: one text, a signature that stock OpenSSH takes, and contents that must agree."""

from __future__ import annotations

import copy
import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from liveagent.certificate import NAMESPACE, describe_signature, make_digest, make_file_name, probe_key, render
from liveagent.certificate_check import (
    find_time,
    list_disagreements,
    list_files,
    list_notes,
    list_problems,
    parse_certificate,
)
from liveagent.host import Host
from liveagent.signature import (
    SignatureError,
    UnknownSigner,
    make_key_text,
    probe_fingerprint,
    sign,
    verify,
    verify_unnamed,
)
from tests.keys import Key
from tests.tasks.rows import make_erased, make_excepted, make_failed, make_untouched
from tests.tasks.test_wipe_evidence import make_disk, make_machine

TEXT = render(make_disk(make_erased()))


@pytest.fixture
def key(tmp_path: Path) -> Key:
    return Key(tmp_path / "key")


@pytest.fixture
def empty_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go, so that a test sees what is left of them."""
    directory = tmp_path / "tmp"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    return directory


def make_signers(path: Path, *lines: str) -> str:
    path.write_text("\n".join(lines) + "\n")
    return str(path)


# -- the text ---------------------------------------------------------------------------------------


def test_one_text() -> None:
    """What is parsed and rendered again is the same to the byte: the order is the document's own."""
    assert render(json.loads(TEXT)) == TEXT
    assert TEXT.endswith("}\n") and TEXT.startswith('{\n  "document": ')
    assert "      [0, 1048576],\n" in TEXT  # a place a line
    assert list(json.loads(TEXT))[:4] == ["document", "version", "kind", "standard"]


def test_a_text_can_always_be_made() -> None:
    """Names of hardware and rates may be anything; a certificate is not lost for half a character or a NaN."""
    text = render({"model": "half \ud800", "rate": float("nan"), "place": Path("/dev/sda")})
    assert json.loads(text.encode("utf-8")) == {"model": "half ?", "rate": None, "place": "/dev/sda"}


def test_the_digest_is_sha256sum(tmp_path: Path) -> None:
    """Anybody can compare it with what coreutils print."""
    (tmp_path / "c.json").write_text(TEXT)
    done = subprocess.run(["sha256sum", tmp_path / "c.json"], check=True, capture_output=True, text=True, timeout=30)
    assert done.stdout.split()[0] == make_digest(TEXT)


def test_a_file_name_leads_nowhere() -> None:
    """A serial comes from a drive: it must not name a file elsewhere, nor one that is too long."""
    assert make_file_name("../../etc/shadow", "sda", ()) == "certificate-etc-shadow"
    assert make_file_name("...", "", ()) == "certificate-disk"
    assert len(make_file_name("A" * 4000, "", ())) < 128


# -- signatures -------------------------------------------------------------------------------------


def test_stock_openssh_agrees(key: Key, tmp_path: Path) -> None:
    """What we sign, ssh-keygen verifies; what ssh-keygen signs, we verify, and we know by whom."""
    host = Host()
    (tmp_path / "c.json.sig").write_text(sign(host, TEXT, str(key.path), NAMESPACE))
    assert key.verify(TEXT.encode(), tmp_path / "c.json.sig", NAMESPACE)
    (tmp_path / "d.json").write_text(TEXT)
    argv = ["ssh-keygen", "-q", "-Y", "sign", "-n", NAMESPACE, "-f", str(key.path), str(tmp_path / "d.json")]
    subprocess.run(argv, check=True, capture_output=True, timeout=30)
    signers = make_signers(tmp_path / "signers", f'ops@example.org,ops namespaces="{NAMESPACE}" {key.public}')
    found = verify(host, TEXT, (tmp_path / "d.json.sig").read_text(), signers, NAMESPACE)
    assert (found.name, found.key) == ("ops@example.org", key.fingerprint)
    assert verify_unnamed(host, TEXT, (tmp_path / "d.json.sig").read_text(), NAMESPACE).key == key.fingerprint


@pytest.mark.parametrize("place", [0, 1, 700, len(TEXT) // 2, len(TEXT) - 2, len(TEXT) - 1])
def test_one_byte_is_found(key: Key, place: int) -> None:
    """A certificate that was altered by one byte is not good, wherever the byte is."""
    signature = sign(Host(), TEXT, str(key.path), NAMESPACE)
    data = bytearray(TEXT.encode())
    data[place] ^= 0x80  # no UTF-8 any more
    with pytest.raises(SignatureError):
        verify_unnamed(Host(), data.decode("utf-8", "surrogateescape"), signature, NAMESPACE)


def test_another_purpose_another_signer(key: Key, tmp_path: Path) -> None:
    """A signature for something else, by somebody else, or by one who may not sign this, is told apart."""
    host, other = Host(), Key(tmp_path / "other")
    signature = sign(host, TEXT, str(key.path), "liveagent-config")
    with pytest.raises(SignatureError, match="namespace does not match"):
        verify_unnamed(host, TEXT, signature, NAMESPACE)
    signature = sign(host, TEXT, str(key.path), NAMESPACE)
    with pytest.raises(UnknownSigner):
        verify(host, TEXT, signature, make_signers(tmp_path / "a", f"other {other.public}"), NAMESPACE)
    with pytest.raises(SignatureError, match="not permitted"):
        signers = make_signers(tmp_path / "b", f'me namespaces="file" {key.public}')
        verify(host, TEXT, signature, signers, NAMESPACE)
    with pytest.raises(SignatureError):
        verify_unnamed(host, TEXT, "no signature at all", NAMESPACE)


@pytest.mark.parametrize("mangle", [str, str.strip, lambda text: text.replace("\n", "\r\n")])
def test_a_key_as_text(key: Key, empty_tmp: Path, mangle: Any, tmp_path: Path) -> None:
    """A key from a document or an INI file signs whatever happened to its line ends, and leaves no file behind."""
    (tmp_path / "c.sig").write_text(sign(Host(), TEXT, mangle(key.text), NAMESPACE))
    assert key.verify(TEXT.encode(), tmp_path / "c.sig", NAMESPACE)
    assert probe_fingerprint(Host(), mangle(key.text)) == key.fingerprint
    assert list(empty_tmp.iterdir()) == []


@pytest.fixture(params=["missing", "directory", "junk", "open", "passphrase", "damaged text", "text with passphrase"])
def bad_key(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """(a key that cannot sign, a word that names the reason)."""
    path = tmp_path / "bad"
    if request.param == "missing":
        yield str(path), "No such file"
    elif request.param == "directory":
        yield str(tmp_path), "directory"
    elif request.param == "junk":
        path.write_text("junk\n")
        path.chmod(0o600)
        yield str(path), "is not a private key"
    elif request.param == "open":
        Key(path).path.chmod(0o644)
        yield str(path), "chmod 600"
    elif request.param == "passphrase":
        yield str(Key(path, "secret words").path), "passphrase"
    elif request.param == "damaged text":
        lines = Key(path).text.splitlines()
        yield "\n".join([lines[0], *lines[2:]]), "does not sign"
    else:
        yield Key(path, "secret words").text, "passphrase"


def test_a_bad_key_is_named_and_not_shown(bad_key: tuple[str, str], empty_tmp: Path) -> None:
    """The error says what is wrong with the key; not a line of it, nor the place of a file that is gone."""
    key, word = bad_key
    with pytest.raises(SignatureError, match=word) as raised:
        sign(Host(), TEXT, key, NAMESPACE)
    message = str(raised.value)
    secrets = [line for line in key.splitlines() if len(line) > 30] if "\n" in key else []
    assert not any(line in message for line in secrets)
    assert str(empty_tmp) not in message and list(empty_tmp.iterdir()) == []


def test_key_text_is_mended() -> None:
    """An INI file strips and indents; ssh-keygen needs the last line to end."""
    assert make_key_text("-----BEGIN X-----\r\n  abc\n-----END X-----") == "-----BEGIN X-----\nabc\n-----END X-----\n"


BEGIN = "-----BEGIN OPENSSH PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("key", "origin", "is_live", "from_image", "word"),
    [
        ("/etc/liveagent/key", "/etc/liveagent/liveagent.conf", True, True, "proves little"),
        ("/run/liveagent/key", "kernel cmdline", True, False, ""),
        ("/run/initramfs/live/key", "kernel cmdline", True, True, "proves little"),
        ("/run/live/medium/key", "kernel cmdline", True, True, "proves little"),
        ("/run/archiso/bootmnt/key", "kernel cmdline", True, True, "proves little"),
        ("/run/../etc/liveagent/key", "kernel cmdline", True, True, "proves little"),
        ("//etc//key", "kernel cmdline", True, True, "proves little"),
        ("/etc/liveagent/key", "/etc/liveagent/liveagent.conf", False, False, ""),
        (BEGIN, "/etc/liveagent/conf.d/a.conf", True, True, "came with the live image"),
        (BEGIN, "config https://h/c", True, False, ""),
        (BEGIN, "config http://h/c", True, False, "plain HTTP"),
        (BEGIN, "kernel cmdline", True, False, "kernel command line"),
    ],
)
def test_what_a_key_is_worth(key: str, origin: str, is_live: bool, from_image: bool, word: str) -> None:
    """A key that anybody may download with the image proves little: that depends on the way it came."""
    described = probe_key(Host(), key, origin, is_live)
    assert described["from_image"] is from_image
    assert word in described["note"] and bool(described["note"]) is bool(word)
    assert origin in described["origin"] and described["trouble"]  # none of these is a key that could sign


def test_the_key_of_a_certificate(key: Key) -> None:
    """Its fingerprint is the one that ssh-keygen prints; without a key the certificate says loudly that it has none."""
    described = probe_key(Host(), str(key.path), "test", False)
    assert described["fingerprint"] == key.fingerprint and not described["trouble"]
    assert key.fingerprint in describe_signature(described, "certificate")["statement"]
    assert describe_signature(None)["signed"] is False and "NOT SIGNED" in describe_signature(None)["statement"]


# -- contents ---------------------------------------------------------------------------------------


def alter(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with another value at `a.b.0.c`."""
    altered: Any = copy.deepcopy(document)
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place = altered
    for part in way:
        place = place[part]
    place[last] = value
    return altered


@pytest.mark.parametrize(
    ("row", "path", "value", "word"),
    [
        (make_erased(), "status", "perfect", "none of erased"),
        (make_failed(), "status", "erased", "the statement says 'NOT ERASED'"),
        (make_failed(), "statement", "ERASED: all is well", "the statement says 'ERASED'"),
        (make_excepted(), "statement", "ERASED: all is well", "the statement says 'ERASED'"),
        (make_failed(), "sanitization.method", "purge", "the method says purge"),
        (make_erased(), "sanitization.method", "none", "the method says none"),
        (make_erased(), "verdict", "fail", "the verdict fail"),
        (make_erased(), "exceptions", ["an HPA"], "1 exceptions"),
        (make_erased(), "errors", [{"offset": 0, "length": 512}], "1 errors"),
        (make_excepted(), "errors.0.offset", 1 << 60, "is not on a disk"),
        (make_excepted(), "errors.0.length", None, "no offset and length"),
        (make_erased(), "verification.mismatches", 1, "not every place read back"),
        (make_erased(), "verification.places", 4, "4 places were read back, and 3 positions"),
        (make_erased(), "verification.positions.1", [0, 512], "the positions add up"),
        (make_erased(), "verification.positions.1", "x", "no pair"),
        (make_erased(), "media.serial", None, "media.serial is missing"),
        (make_erased(), "people", [], "people.operator.name is missing"),
        (make_erased(), "signature.signed", "yes", "signature.signed is missing"),
    ],
)
def test_a_disk_that_contradicts_itself(row: dict[str, Any], path: str, value: Any, word: str) -> None:
    """Whoever makes a certificate by hand has to get all of it right, and the program that makes them, too."""
    problems = list_problems(alter(make_disk(row), path, value))
    assert any(word in problem for problem in problems), problems


ROWS = [make_erased(), make_excepted(), make_failed(), make_untouched(), make_untouched("sde", "VM", "skipped", "x")]


@pytest.mark.parametrize(
    ("path", "value", "word"),
    [
        ("totals.erased", 2, "the totals say 2 erased, and the list has 1"),
        ("totals.disks", 4, "the totals say 4 disks"),
        ("totals.left_out", None, "left out"),
        ("status", "erased", "2 of 4 disks are not erased"),
        ("disks.2.status", "erased", "the totals say 1 erased, and the list has 2"),
        ("disks.2.method", "purge", "is not erased, and its method says purge"),
        ("disks.0.serial", 7, "disk 1: serial is missing"),
    ],
)
def test_a_machine_that_contradicts_itself(path: str, value: Any, word: str) -> None:
    """Sums are added again: a disk cannot be dropped, or turned, without it showing."""
    problems = list_problems(alter(make_machine(ROWS)[0], path, value))
    assert any(word in problem for problem in problems), problems


def test_disks_are_compared() -> None:
    """A disk's certificate that was altered, exchanged or made for another run does not pass beside the machine's."""
    document, texts = make_machine(ROWS)
    assert list_disagreements(document, texts) == [] and sorted(texts) == sorted(list_files(document))
    name, other = "certificate-WWZ0K7L.json", texts["certificate-WWZ1K7L.json"]
    for text, words in [
        (texts[name].replace("WWZ0K7L", "WWZ0K7M"), "was altered"),
        (other, "was altered, or is another one"),
    ]:
        (problem,) = list_disagreements(document, {name: text})
        assert name in problem and words in problem
    for path, value in [("run", "20200101T000000Z-000000"), ("media.serial", "X"), ("source.serial", "Y")]:
        text = render(alter(json.loads(texts[name]), path, value))
        line = next(index for index, disk in enumerate(document["disks"]) if disk["serial"] == "WWZ0K7L")
        forged = alter(document, f"disks.{line}.certificate.sha256", make_digest(text))
        assert any("and the machine's certificate says" in one for one in list_disagreements(forged, {name: text}))
    assert list_disagreements(document, {}) == []


def test_a_disk_without_a_certificate_is_told() -> None:
    """A refused disk has none, and one that was left out; of any other it is missing."""
    document, texts = make_machine(ROWS)
    assert list(list_notes(document, texts)) == []
    line = next(index for index, disk in enumerate(document["disks"]) if disk["serial"] == "WWZ0K7L")
    (note,) = list_notes(alter(document, f"disks.{line}.certificate", None))
    assert note == "/dev/sda WWZ0K7L has no certificate of its own"


def places(value: Any, way: str = "") -> Iterator[str]:
    """The paths to everything in a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        path = f"{way}.{name}" if way else str(name)
        yield path
        yield from places(item, path)


@pytest.mark.parametrize("value", [None, True, -1, 1.5, "x", [], {}, [[]], [{}], {"x": 1}])
def test_anything_may_stand_anywhere(value: Any) -> None:
    """What is checked comes from outside: wherever something else stands, it is said in words, never raised."""
    machine, texts = make_machine(ROWS)
    disk = make_disk(make_excepted())
    for document in (disk, machine):
        for path in places(document):
            altered = parse_certificate(render(alter(document, path, value)))
            if isinstance(altered, str):
                assert path == "kind"
                continue
            assert isinstance(list_problems(altered), list) and isinstance(list_files(altered), list)
            assert all(isinstance(note, str) for note in list_notes(altered, texts))
            assert isinstance(find_time(altered), str)
            if not list_problems(altered) and altered["kind"] == "machine":
                assert isinstance(list_disagreements(altered, texts), list)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"kind": "disk"', '{"kind": ["disk"]}', "nul\x00", "[" * 100_000])
def test_no_certificate(text: str) -> None:
    """Any file may be given; one that is no certificate is said to be none."""
    assert isinstance(parse_certificate(text), str)
