"""What must agree in a certificate, and between a server's and its disks'. Pure: documents into problems in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from liveagent.certificate import make_digest

STATUSES = {
    "erased": "ERASED",
    "erased-with-exceptions": "ERASED WITH EXCEPTIONS",
    "not-erased": "NOT ERASED",
}
METHODS = ("purge", "clear", "not stated")
# Every field that a certificate must have, by kind: the path to it, and what it is.
COMMON: Mapping[str, Any] = {
    "document": str, "version": int, "status": str, "statement": str, "run": str, "agent": str, "source": dict,
    "exceptions": list, "people.operator.name": str, "validation.state": str, "signature.signed": bool,
}  # fmt: skip
REQUIRED: Mapping[str, Mapping[str, Any]] = {
    "disk": {
        **COMMON, "verdict": str, "media.manufacturer": str, "media.model": str, "media.serial": str,
        "media.property_number": str, "media.type": str, "media.size": int, "sanitization.method": str,
        "sanitization.sittings": list, "verification.method": str, "verification.positions": list, "errors": list,
        "reasons": list,
    },
    "machine": {**COMMON, "started": str, "finished": str, "totals": dict, "disks": list},
}  # fmt: skip
DISK_LINE: Mapping[str, Any] = {"status": str, "verdict": str, "serial": str, "model": str, "method": str}


def parse_certificate(text: str) -> dict[str, Any] | str:
    """The document of a text, or why it is no certificate."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        if text.lstrip().lower().startswith(("<!doctype", "<html")):
            return "is a page: certificate.json beside it is what can be checked"
        return f"is not JSON: {error}"
    if not isinstance(document, dict) or document.get("kind") not in tuple(REQUIRED):
        return "is JSON, and no certificate of a disk or of a machine"
    return document


def list_problems(document: Mapping[str, Any]) -> list[str]:
    """What is missing in a certificate, or contradicts itself."""
    missing = list(_list_missing(document, REQUIRED[document["kind"]]))
    if missing:
        return missing  # what is not there cannot be compared
    checks = _check_disk(document) if document["kind"] == "disk" else _check_machine(document)
    return [*_check_statement(document), *checks]


def _list_missing(document: Mapping[str, Any], required: Mapping[str, Any], where: str = "") -> Iterator[str]:
    for path, kind in required.items():
        value: Any = document
        for part in path.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            yield f"{where}{path} is missing or is no {_KINDS[kind]}"


_KINDS = {str: "text", int: "number", dict: "object", list: "list", bool: "yes or no"}


def _check_statement(document: Mapping[str, Any]) -> Iterator[str]:
    status = document["status"]
    word = STATUSES.get(status)
    if word is None:
        yield f"the status {status!r} is none of {', '.join(STATUSES)}"
    # "ERASED" begins "ERASED WITH EXCEPTIONS" as well.
    elif document["statement"].split(":")[0].split(" (")[0] != word:
        yield f"the status is {status}, and the statement says {document['statement'].split(':')[0]!r}"
    if status == "erased" and document["exceptions"]:
        yield f"the status is erased, and there are {len(document['exceptions'])} exceptions"


# -- a disk -----------------------------------------------------------------------------------------


def _check_disk(document: Mapping[str, Any]) -> Iterator[str]:
    status, method = document["status"], document["sanitization"]["method"]
    if status == "not-erased":
        if method != "none":
            yield f"the status is not-erased, and the method says {method}"
    elif method not in METHODS:
        yield f"the status is {status}, and the method says {method}"
    elif document["verdict"] not in ("pass", "warn") and not _is_bad_sectors(document):
        yield f"the status is {status}, and the verdict {document['verdict']}"
    if status == "erased" and document["errors"]:
        yield f"the status is erased, and there are {len(document['errors'])} errors"
    if status == "erased-with-exceptions" and not (document["exceptions"] or document["errors"]):
        yield "the status is erased-with-exceptions, and none is named"
    yield from _check_verification(document)
    yield from _check_places(document)


def _is_bad_sectors(document: Mapping[str, Any]) -> bool:
    """A disk whose bad places were named and all others erased: it failed, and is erased with exceptions."""
    return document["verdict"] == "fail" and document["status"] == "erased-with-exceptions" and bool(document["errors"])


def _check_verification(document: Mapping[str, Any]) -> Iterator[str]:
    found = document["verification"]
    if document["status"] == "erased" and (found.get("mismatches") or found.get("unreadable")):
        yield "the status is erased, and not every place read back as it must"
    positions, places, omitted = found["positions"], found.get("places"), found.get("positions_omitted")
    listed = len(positions) + (omitted if isinstance(omitted, int) else 0)
    if positions and listed != places:
        yield f"{places} places were read back, and {listed} positions are named"
    if positions and not omitted:
        total = sum(length for _, length in positions) if _are_pairs(positions) else None
        if total != found.get("bytes"):
            yield f"{found.get('bytes')} bytes were read back, and the positions add up to {total}"


def _check_places(document: Mapping[str, Any]) -> Iterator[str]:
    size = document["media"]["size"]
    positions = document["verification"]["positions"]
    if not _are_pairs(positions):
        yield "a position is no pair of offset and length"
        positions = ()
    errors = [(error.get("offset"), error.get("length")) for error in document["errors"] if isinstance(error, dict)]
    if len(errors) != len(document["errors"]) or not _are_pairs(errors):
        yield "an error has no offset and length"
        errors = []
    for offset, length in (*positions, *errors):
        if offset < 0 or length < 0 or offset + length > size:
            yield f"the stretch at {offset} of {length} bytes is not on a disk of {size}"
            return


def _are_pairs(values: Sequence[Any]) -> bool:
    return all(
        isinstance(value, (list, tuple)) and len(value) == 2 and all(type(number) is int for number in value)
        for value in values
    )


# -- a machine --------------------------------------------------------------------------------------


def _check_machine(document: Mapping[str, Any]) -> Iterator[str]:
    disks = document["disks"]
    for index, disk in enumerate(disks):
        missing = list(_list_missing(disk, DISK_LINE, f"disk {index + 1}: "))
        if missing:
            yield from missing
            return
    counted = count_lines(disks)
    for name, number in counted.items():
        if document["totals"].get(name) != number:
            yield f"the totals say {document['totals'].get(name)} {name.replace('_', ' ')}, and the list has {number}"
    asked = len(disks) - counted["left_out"]
    failed = counted["not_erased"] + counted["refused"]
    if document["status"] != "not-erased" and (failed or not asked):
        yield f"the status is {document['status']}, and {failed} of {asked} disks are not erased"
    if document["status"] == "not-erased" and asked and not failed:
        yield "the status is not-erased, and every disk is"
    if document["status"] == "erased" and counted["erased_with_exceptions"]:
        yield "the status is erased, and a disk has exceptions"
    for disk in disks:
        if disk["status"] == "not-erased" and disk["method"] != "none":
            yield f"{disk['serial']} is not erased, and its method says {disk['method']}"


def count_lines(disks: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How the disks of a machine's certificate ended; the totals that it must carry."""
    asked = [disk for disk in disks if disk["verdict"] != "skipped"]
    failed = [disk for disk in asked if disk["status"] == "not-erased"]
    refused = sum(disk["verdict"] == "refused" for disk in failed)
    return {
        "disks": len(disks),
        "erased": sum(disk["status"] == "erased" for disk in asked),
        "erased_with_exceptions": sum(disk["status"] == "erased-with-exceptions" for disk in asked),
        "not_erased": len(failed) - refused,
        "refused": refused,
        "left_out": len(disks) - len(asked),
    }


def list_notes(document: Mapping[str, Any], texts: Mapping[str, str] | None = None) -> Iterator[str]:
    """What to know of a certificate that may be good all the same; `texts` as `list_disagreements` has them."""
    # RFC 3339 in UTC, all of one form: what sorts first was first.
    started, finished = find_time(document, "started"), find_time(document, "finished")
    if started and finished and started > finished:
        yield f"by the server's clock it finished at {finished}, before it started at {started}: the clock was set"
    lines = document.get("disks")
    for line in lines if isinstance(lines, list) else ():
        if isinstance(line, dict) and not line.get("certificate") and line.get("verdict") not in ("refused", "skipped"):
            yield f"{line.get('path')} {line.get('serial')} has no certificate of its own"
    for name, text in (texts or {}).items():
        disk = parse_certificate(text)
        if isinstance(disk, dict):
            yield from (f"{name}: {note}" for note in list_notes(disk))


def find_time(document: Mapping[str, Any], name: str = "finished") -> str:
    """When what a certificate is about was `started` or `finished`, by its own word; "" where it does not say."""
    times = document if document.get("kind") == "machine" else document.get("sanitization")
    time = times.get(name) if isinstance(times, dict) else None
    return time if isinstance(time, str) else ""


def list_files(document: Mapping[str, Any]) -> list[str]:
    """The disks' certificates that a machine's names."""
    if document.get("kind") != "machine" or not isinstance(document.get("disks"), list):
        return []
    references = [disk.get("certificate") for disk in document["disks"] if isinstance(disk, dict)]
    files = [reference.get("file") for reference in references if isinstance(reference, dict)]
    return [file for file in files if isinstance(file, str)]


def list_disagreements(document: Mapping[str, Any], texts: Mapping[str, str]) -> list[str]:
    """Where a machine's certificate and the texts of its disks' certificates, by file name, do not agree."""
    found: list[str] = []
    for line in document["disks"]:
        reference = line.get("certificate") if isinstance(line, dict) else None
        file = reference.get("file") if isinstance(reference, dict) else None
        text = texts.get(file) if isinstance(file, str) else None
        if not isinstance(reference, dict) or text is None:
            continue
        name, disk = str(reference.get("file")), parse_certificate(text)
        if make_digest(text) != reference.get("sha256"):
            found.append(f"{name} was altered, or is another one: its SHA-256 is not the one that is named")
        elif isinstance(disk, str):
            found.append(f"{name} {disk}")
        else:
            found += _compare(document, line, name, disk)
    return found


def _compare(
    document: Mapping[str, Any], line: Mapping[str, Any], name: str, disk: Mapping[str, Any]
) -> Iterator[str]:  # fmt: skip
    if disk["kind"] != "disk":
        yield f"{name} is no certificate of a disk"
        return
    problems = list_problems(disk)
    if problems:
        yield from (f"{name}: {problem}" for problem in problems)
        return
    pairs = {
        "run": (document.get("run"), disk.get("run")),
        "status": (line.get("status"), disk.get("status")),
        "serial": (line.get("serial"), disk["media"]["serial"]),
        "server": (_server(document), _server(disk)),
    }
    for what, (mine, other) in pairs.items():
        if mine != other:
            yield f"{name}: its {what} is {other}, and the machine's certificate says {mine}"


def _server(document: Mapping[str, Any]) -> Any:
    source = document["source"]
    return source.get("serial") or source.get("uuid")
