"""Whether a certificate may be believed: its signature, its contents, and the person who countersigned it."""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Mapping, Sequence
from typing import Any

from liveagent.certificate import NAMESPACE, make_digest
from liveagent.certificate_check import (
    find_time,
    list_disagreements,
    list_files,
    list_notes,
    list_problems,
    parse_certificate,
)
from liveagent.events import JSON
from liveagent.host import Host
from liveagent.signature import SignatureError, Signer, UnknownSigner, verify, verify_unnamed

# Another one than the certificate's, so that a machine's key cannot countersign where the signers say so.
VALIDATION = "liveagent-validation"
NOT_SIGNED = "it is not signed (--unsigned looks at its contents alone)"


class Signature(enum.Enum):
    """What a signature is worth."""

    GOOD = "good"
    UNNAMED = "signer-not-checked"
    UNKNOWN = "unknown-signer"
    BAD = "bad"
    MISSING = "missing"


@dataclasses.dataclass(frozen=True)
class Check:
    """A signature that was looked at: by whom (`signer`, a name in the file of signers), by which key, or why not.

    `valid_at`: the time of the document, where the key has expired since.
    """

    signature: Signature
    signer: str = ""
    key: str = ""
    reason: str = ""
    valid_at: str = ""

    @property
    def is_good(self) -> bool:
        return self.signature in (Signature.GOOD, Signature.UNNAMED)

    @property
    def is_certain(self) -> bool:
        """By somebody who may sign now. Whoever has a key that has expired can still write any date."""
        return self.signature is Signature.GOOD and not self.valid_at

    def encode(self) -> dict[str, JSON]:
        return {
            "state": self.signature.value,
            "signer": self.signer,
            "key": self.key,
            "reason": self.reason,
            "valid_at": self.valid_at or None,
        }


@dataclasses.dataclass(frozen=True)
class Files:
    """A certificate and what lies beside it, as it was read; None for what is not there."""

    text: str
    signature: str | None = None
    disks: Mapping[str, str] = dataclasses.field(default_factory=dict)
    validation: str | None = None
    validation_signature: str | None = None


@dataclasses.dataclass(frozen=True)
class Verified:
    """What was found out about a certificate. `problems` are reasons not to believe it, `notes` are to be known.

    `document` is None where the text is no certificate; `validated` is None where nobody countersigned.
    """

    document: Mapping[str, Any] | None
    check: Check
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    validated: Mapping[str, Any] | None = None
    validator: Check | None = None

    @property
    def is_good(self) -> bool:
        return not self.problems

    @property
    def lacks_signature_alone(self) -> bool:
        """Whether it would be good, had anybody signed it. One whose signature is gone is something else."""
        return self.problems == (NOT_SIGNED,)

    def encode(self) -> dict[str, JSON]:
        document = self.document or {}
        return {
            "verdict": "fail" if self.problems else "pass" if self.check.is_certain else "warn",
            "kind": document.get("kind"),
            "status": document.get("status"),
            "statement": document.get("statement"),
            "signature": self.check.encode(),
            "problems": list(self.problems),
            "notes": list(self.notes),
            "validation": dict(self.validated) if self.validated else None,
            "validator": self.validator.encode() if self.validator else None,
        }


def verify_certificate(host: Host, files: Files, signers: str, unsigned: bool = False) -> Verified:
    """Everything that can be said about a certificate. `signers`: the path of an allowed-signers file, or "".

    `unsigned` lets one pass that says itself that it is not signed. Raises CommandError where ssh-keygen is missing.
    """
    document = parse_certificate(files.text)
    made = "" if isinstance(document, str) else find_time(document)
    check = check_signature(host, files.text, files.signature, signers, NAMESPACE, made)
    if isinstance(document, str):
        return Verified(None, check, (f"it {document}", *_list_faults(check, None, unsigned)), ())
    problems = [*_list_faults(check, document, unsigned), *list_problems(document)]
    notes = _list_notes(check, document, files.disks)
    if document["kind"] == "machine" and not list_problems(document):
        problems += list_disagreements(document, files.disks)
    if files.validation is None:
        return Verified(document, check, tuple(problems), tuple(notes))
    validated, validator, faults = _check_validation(host, files, signers, check)
    return Verified(document, check, (*problems, *faults), tuple(notes), validated, validator)


def check_signature(
    host: Host, text: str, signature: str | None, signers: str, namespace: str, made: str = ""
) -> Check:  # fmt: skip
    """Whether a signature fits the text, and whose it is; `made`: when, by the text's own word.

    Raises CommandError where ssh-keygen cannot be run.
    """
    if signature is None:
        return Check(Signature.MISSING)
    try:
        if signers:
            found = verify(host, text, signature, signers, namespace, made)
            return Check(Signature.GOOD, found.name, found.key, valid_at=found.valid_at)
        return Check(Signature.UNNAMED, "", verify_unnamed(host, text, signature, namespace).key)
    except UnknownSigner as error:
        return _check_unknown(host, text, signature, namespace, str(error))
    except SignatureError as error:
        return _check_unknown(host, text, signature, namespace, str(error)) if signers else _bad(str(error))


def _check_unknown(host: Host, text: str, signature: str, namespace: str, reason: str) -> Check:
    """The signature of somebody whom the signers do not know: it may fit all the same, or the text was altered."""
    try:
        found: Signer = verify_unnamed(host, text, signature, namespace)
    except SignatureError as error:
        return _bad(str(error))
    return Check(Signature.UNKNOWN, "", found.key, reason)


def _bad(reason: str) -> Check:
    return Check(Signature.BAD, reason=reason)


# -- in words ---------------------------------------------------------------------------------------


def _list_faults(check: Check, document: Mapping[str, Any] | None, unsigned: bool) -> list[str]:
    """What the signature alone says against the certificate."""
    said = (document or {}).get("signature")
    said = said if isinstance(said, dict) else {}
    if check.signature is Signature.MISSING:
        if said.get("signed"):
            return ["it says that it is signed, and the signature is not beside it (NAME.json.sig)"]
        return [] if unsigned and document else [NOT_SIGNED]
    if check.signature is Signature.BAD:
        return [f"IT WAS ALTERED, or the signature is another one's: {check.reason}"]
    if check.signature is Signature.UNKNOWN:
        return [f"it is signed by the key {check.key}, which is not one of the signers' for this: {check.reason}"]
    stated = said.get("key")
    named = stated.get("fingerprint") if isinstance(stated, dict) else None
    if named and check.key != named:
        return [f"it is signed by the key {check.key}, and says {named}"]
    return []


def _list_notes(check: Check, document: Mapping[str, Any], disks: Mapping[str, str]) -> list[str]:
    notes = []
    if check.signature is Signature.UNNAMED:
        notes.append(f"who holds the key {check.key} was NOT checked: name those you trust with --signers FILE")
    said = document.get("signature")
    key = said.get("key") if isinstance(said, dict) else None
    if check.is_good and not key:
        notes.append(f"it says that it is not signed: the key {check.key} signed it afterwards")
    if isinstance(key, dict) and key.get("note"):
        notes.append(str(key["note"]))
    if check.valid_at:
        notes.append(f"the key {check.key} has expired; it was valid at {check.valid_at}, when this says it was made")
    notes += list_notes(document, disks)
    absent = [name for name in list_files(document) if name not in disks]
    if absent:
        notes.append(f"not beside it, and so not compared: {', '.join(absent)}")
    return notes


# -- countersigning ---------------------------------------------------------------------------------


def make_validation(
    files: Files, name: str, person: Mapping[str, str], verified: Verified, certificate: str, date: str
) -> dict[str, JSON]:
    """What a person signs who accepts a certificate. `person`: position, location, contact, as far as known."""
    document = verified.document or {}
    checked = [
        f"signature: {verified.check.signature.value}" + (f", {verified.check.key}" if verified.check.key else "")
    ]
    checked += ["required fields and sums agree"]
    if files.disks:
        checked.append(f"{len(files.disks)} certificates of disks agree with it")
    return {
        "document": "validation of a certificate of media sanitization",
        "version": 1,
        "name": name,
        **{field: person.get(field) or "not stated" for field in ("position", "location", "contact")},
        "date": date,
        "certificate": {"file": certificate, "sha256": make_digest(files.text)},
        "status": document.get("status"),
        "statement": document.get("statement"),
        "run": document.get("run"),
        "checked": checked,
        "notes": list(verified.notes),
    }


def _check_validation(
    host: Host, files: Files, signers: str, certificate: Check
) -> tuple[Mapping[str, Any] | None, Check, Sequence[str]]:
    """(what the validator said, whose signature it is, what is wrong with it)."""
    text = files.validation or ""
    # The date of a validation is its signer's own word: a key that has expired countersigns nothing any more.
    check = check_signature(host, text, files.validation_signature, signers, VALIDATION)
    faults = {
        Signature.MISSING: "the validation beside it is not signed",
        Signature.BAD: f"the validation beside it was altered: {check.reason}",
        Signature.UNKNOWN: f"the validation is by the key {check.key}, which is not one of the signers' for this",
    }
    if not check.is_good:
        return None, check, [faults[check.signature]]
    try:
        document = json.loads(text)
        name, digest = document["name"], document["certificate"]["sha256"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None, check, ["the validation beside it is not one"]
    if check.key == certificate.key:
        return None, check, [f"the validation by {name} is signed by the key of the certificate itself"]
    if digest != make_digest(files.text):
        return None, check, [f"the validation by {name} is of another text than this"]
    return document, check, []
