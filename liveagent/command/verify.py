"""`verify`: is a certificate what it was when it was signed, does it agree with itself, and who stands for it."""

from __future__ import annotations

import dataclasses
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from liveagent.certificate import MACHINE, render
from liveagent.certificate_check import list_files, parse_certificate
from liveagent.command import frame, runs
from liveagent.events import EXIT_STATUS, EXIT_USAGE, Verdict
from liveagent.host import CommandError
from liveagent.places import Places
from liveagent.records import choose_run, read_result
from liveagent.report.lines import render_bytes
from liveagent.report.record import EVENTS
from liveagent.report.spool import write_synced
from liveagent.report.troubles import only_mapping, only_mappings
from liveagent.scrub import make_printable
from liveagent.signature import SignatureError, sign
from liveagent.validation import VALIDATION, Files, Signature, Verified, make_validation, verify_certificate

log = logging.getLogger(__name__)

SIGNERS = "/etc/liveagent/certificate_signers"
UNSIGNED = "its files agree with each other, and nothing shows who made them or whether they were altered"
CERTIFICATE = f"{MACHINE}.json"
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,250}")


def find_certificate(places: Places, given: Path | None) -> Path:
    """The file that is meant: itself, the machine's in a directory or of a run, or of the newest run that has one.

    Leaves where there is none.
    """
    if given is None:
        return _find_newest(places)
    if not given.exists() and len(given.parts) == 1:
        given = _find_run(places, str(given))
    if not given.is_dir():
        beside = given.with_suffix(".json")
        # The page is what is printed, and says the same; what is signed lies beside it.
        return beside if given.suffix == ".html" and beside.is_file() else given
    certificate = given / CERTIFICATE
    # One that cannot be looked into may have one: reading it says what is in the way.
    if os.access(given, os.X_OK) and not certificate.exists():
        frame.fail(f"{given}: {_explain_none(given)}", EXIT_USAGE)
    return certificate


def _find_newest(places: Places) -> Path:
    for directory in reversed(_list_runs(places, "the runs of this machine")):
        if (directory / CERTIFICATE).exists():
            return directory / CERTIFICATE
    frame.fail("no run of this machine has a certificate yet: a wipe leaves one", EXIT_USAGE)


def _find_run(places: Places, name: str) -> Path:
    names = [directory.name for directory in _list_runs(places, f"there is no file {name}, and the runs")]
    return places.runs / (choose_run(names, name) or runs.fail_choice(name, names, "neither a file nor a run"))


def _list_runs(places: Places, what: str) -> list[Path]:
    if not runs.may_read(places.state):
        frame.fail(f"{what} are for root alone to read; try it as root")
    return places.run_directories()


def _explain_none(directory: Path) -> str:
    """Why there is no certificate of a machine in a directory."""
    disks = sorted(path.name for path in directory.glob("certificate-*.json"))
    if disks:
        return f"it has no certificate of the machine, only of disks: name one of them, as {disks[0]}"
    if not (directory / EVENTS).exists():
        return "there is no certificate in it"
    result = read_result(directory)
    if result is None:
        return "the run has no certificate: it has not ended"
    tasks = [task.get("task") for task in only_mappings(only_mapping(result).get("tasks"))]
    # Without any task the result is that of a record that was lost: nobody knows what it did.
    if tasks and "wipe" not in tasks:
        return "the run has no certificate, since it wiped nothing"
    return f"the run has no certificate; `liveagent report {directory.name}` says how it ended"


def make_validation_path(certificate: Path) -> Path:
    """`certificate.validation.json` beside `certificate.json`."""
    return certificate.with_name(f"{certificate.stem}.validation.json")


def read_files(certificate: Path) -> Files:
    """A certificate and what lies beside it. Raises OSError where it cannot itself be read."""
    text = _decode(certificate.read_bytes())
    document = parse_certificate(text)
    names = list_files(document) if isinstance(document, dict) else []
    # A name is the document's own: one that leads elsewhere, or that none of ours could have, is not followed.
    beside = {name: certificate.with_name(name) for name in names if NAME.fullmatch(name)}
    disks = {name: read for name, path in beside.items() if (read := _read(path)) is not None}
    validation = make_validation_path(certificate)
    return Files(text, _read(_signature(certificate)), disks, _read(validation), _read(_signature(validation)))


def _signature(path: Path) -> Path:
    return path.with_name(f"{path.name}.sig")


def _read(path: Path) -> str | None:
    """What is there; what is there and cannot be read is not taken for absent. Raises OSError."""
    try:
        return _decode(path.read_bytes())
    except FileNotFoundError:
        return None


def _decode(data: bytes) -> str:
    # To the byte: an altered one may be no UTF-8, and has to come out as it is where it is checked.
    return data.decode("utf-8", "surrogateescape")


@dataclasses.dataclass(frozen=True)
class Given:
    """What was typed. `name` is who countersigns; the last three are about that person."""

    signers: str = ""
    unsigned: bool = False
    as_json: bool = False
    html: str = ""
    name: str = ""
    key: str = ""
    position: str = ""
    location: str = ""
    contact: str = ""

    @property
    def person(self) -> dict[str, str]:
        return {"position": self.position, "location": self.location, "contact": self.contact}

    @property
    def fault(self) -> str:
        """Why this cannot be meant; "" where it can."""
        if bool(self.name) != bool(self.key):
            return "--validate-as NAME and --key FILE go together"
        if not self.name and any(self.person.values()):
            return "--position, --location and --contact are said of the one named by --validate-as"
        if self.name and (self.as_json or self.html):
            return "--json and --html show a certificate: countersign it first, then show it"
        return ""


def run(shell: frame.Shell, path: Path | None, given: Given) -> int:
    """Check a certificate, or countersign it; the exit status."""
    if given.fault:
        frame.fail(given.fault, EXIT_USAGE)
    certificate = find_certificate(shell.places, path)
    files, verified = _check(shell, certificate, given)
    if given.name:
        return _countersign(shell, certificate, files, verified, given)
    if given.as_json:
        frame.print_json({"certificate": str(certificate), **verified.encode()})
    else:
        frame.tell("\n".join(render_verified(certificate, verified, len(files.disks))), err=False)
    if given.html:
        _write_page(Path(given.html), files, verified)
    return EXIT_STATUS[Verdict.PASS if verified.is_good else Verdict.FAIL]


def _check(shell: frame.Shell, certificate: Path, given: Given) -> tuple[Files, Verified]:
    signers = find_signers(shell, given)
    try:
        files = read_files(certificate)
        return files, verify_certificate(shell.host, files, signers, given.unsigned)
    except OSError as error:
        frame.fail(f"{error.filename or certificate}: {error.strerror}", EXIT_USAGE)
    except CommandError as error:
        frame.fail(f"the signature cannot be checked: {error}")
    except Exception as error:  # a document that is not good may hold anything
        log.debug("checking raised", exc_info=error)
        frame.fail(f"{certificate}: it cannot be checked ({type(error).__name__}: {error})", EXIT_STATUS[Verdict.FAIL])


def _countersign(shell: frame.Shell, certificate: Path, files: Files, verified: Verified, given: Given) -> int:
    """Have a person stand for a certificate that is good: writes the validation and its signature beside it."""
    target = make_validation_path(certificate)
    for line in render_verified(certificate, verified, len(files.disks)):
        frame.tell(line)
    if not verified.is_good:
        frame.fail("a certificate that is not good is not countersigned", EXIT_STATUS[Verdict.FAIL])
    if verified.validated:
        frame.fail(f"it was validated by {verified.validated['name']} already: move {target} away first", EXIT_USAGE)
    date = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(shell.host.now()))
    text = render(make_validation(files, given.name, given.person, verified, certificate.name, date))
    # A person's key may be with an agent, or in a token.
    agent = {name: os.environ[name] for name in ("SSH_AUTH_SOCK",) if name in os.environ}
    try:
        signature = sign(shell.host, text, os.path.abspath(given.key), VALIDATION, agent)
        fault = _find_fault(shell, files, given, text, signature)
        if fault:
            frame.fail(f"{given.key} cannot countersign this: {fault}; nothing was written", EXIT_USAGE)
        write_synced(target, text.encode("utf-8"))
        write_synced(_signature(target), signature.encode("utf-8"))
    except SignatureError as error:
        frame.fail(str(error), EXIT_USAGE)
    except CommandError as error:
        frame.fail(str(error))
    except OSError as error:
        frame.fail(f"Failed to write {target}: {error.strerror}")
    frame.tell(f"validated by {given.name}: written to {target} and {_signature(target).name}")
    return 0


def _find_fault(shell: frame.Shell, files: Files, given: Given, text: str, signature: str) -> str:
    """Why a countersignature would not count, as it would be found out afterwards; "" where it does."""
    ahead = dataclasses.replace(files, validation=text, validation_signature=signature)
    verified = verify_certificate(shell.host, ahead, find_signers(shell, given), given.unsigned)
    return "; ".join(verified.problems)


def find_signers(shell: frame.Shell, given: Given) -> str:
    """The file of those who may sign: what was typed, or that of the system, or "" where there is none."""
    place = given.signers or (str(shell.host.locate(SIGNERS)) if shell.host.exists(SIGNERS) else "")
    if place and not os.access(place, os.R_OK):
        frame.fail(f"{place}: the file of signers cannot be read", EXIT_USAGE)
    return os.path.abspath(place) if place else ""


def render_verified(certificate: Path, verified: Verified, disks: int) -> list[str]:
    """What was found, for a person; the last line is the answer."""
    return [make_printable(line) for line in _render(certificate, verified, disks)]


def _render(certificate: Path, verified: Verified, disks: int) -> list[str]:
    document: Mapping[str, Any] = verified.document or {}
    check = verified.check
    lines = [f"{certificate}: {document.get('statement') or 'no certificate'}"]
    if document:
        source = document.get("source")
        source = source if isinstance(source, dict) else {}
        lines.append(f"  server      {source.get('serial') or 'unknown'}, run {document.get('run')}")
    by = f", by {check.signer}" if check.signer else ""
    lines.append(f"  signature   {check.signature.value}{by}" + (f", key {check.key}" if check.key else ""))
    if document.get("kind") == "disk":
        lines.append(f"  disk        {_describe_medium(document)}")
    if document.get("kind") == "machine":
        lines.append(f"  disks       {disks} of {len(list_files(document))} certificates of disks are beside it")
    lines.append(f"  validation  {describe_validation(verified)}")
    lines += [f"  note        {note}" for note in (*verified.notes, *_note_name(certificate, document))]
    lines += [f"  PROBLEM     {problem}" for problem in verified.problems]
    if verified.lacks_signature_alone:
        return [*lines, f"NOT SIGNED: {UNSIGNED}; --unsigned takes it as it is"]
    if verified.problems:
        return [*lines, "NOT GOOD: do not rely on it"]
    if check.valid_at:
        lost = f"good at {check.valid_at}, if it was made then: signed by {check.signer}, whose key has expired since"
        return [*lines, lost]
    answer = {
        Signature.GOOD: f"good: signed by {check.signer}, as it was made, and it agrees with itself",
        Signature.UNNAMED: "good as far as it goes: it is as it was signed, and agrees with itself; whose key that is "
        "was not checked",
    }
    return [*lines, answer.get(check.signature, f"not signed: {UNSIGNED}")]


def _describe_medium(document: Mapping[str, Any]) -> str:
    """Which medium a disk's certificate is about, for whoever holds one in his hand."""
    media = document.get("media")
    media = media if isinstance(media, dict) else {}
    stated = [str(media.get(name)) for name in ("manufacturer", "model") if media.get(name) not in (None, "not stated")]
    size = media.get("size")
    words = [" ".join(stated) or "model not stated", f"serial {media.get('serial') or 'not stated'}"]
    words += [str(media["path"])] if media.get("path") else []
    return ", ".join([*words, render_bytes(size)] if isinstance(size, int) and 0 <= size < 1 << 80 else words)


def _note_name(certificate: Path, document: Mapping[str, Any]) -> Iterator[str]:
    """A certificate that was renamed: whoever looks for it by the name in it finds another, or none."""
    said = document.get("signature")
    file = said.get("file") if isinstance(said, dict) else None
    if isinstance(file, str) and file.endswith(".json.sig") and file != f"{certificate.name}.sig":
        yield f"it was issued as {file.removesuffix('.sig')}, and is named {certificate.name} here"


def describe_validation(verified: Verified) -> str:
    """`validated by …`, or that it is pending."""
    if verified.validated and verified.validator:
        person, check = verified.validated, verified.validator
        position = f", {person['position']}" if person.get("position") not in (None, "not stated") else ""
        named = f"as {check.signer}" if check.signer else "by a key whose holder was NOT checked"
        return f"validated by {person['name']}{position} on {person.get('date')} (signed {named}, {check.key})"
    return "does not count, see below" if verified.validator else "pending: nobody has countersigned"


def _write_page(path: Path, files: Files, verified: Verified) -> None:
    from liveagent.report.certificate_page import render_certificate

    if not verified.document or verified.document["kind"] != "machine":
        frame.fail("--html makes the page of a machine's certificate only", EXIT_USAGE)
    parsed = {name: parse_certificate(text) for name, text in files.disks.items()}
    disks = {Path(name).stem: document for name, document in parsed.items() if isinstance(document, dict)}
    checked = {**verified.encode(), "validation_text": describe_validation(verified)}
    try:
        page = render_certificate(verified.document, disks, checked)
    except Exception as error:  # a document that is not good may hold anything
        frame.fail(f"no page can be made of it: {error}", EXIT_STATUS[Verdict.FAIL])
    try:
        path.write_text(page, encoding="utf-8", errors="replace")
    except OSError as error:
        frame.fail(f"Failed to write {path}: {error.strerror}")
    frame.tell(f"written to {path}")
