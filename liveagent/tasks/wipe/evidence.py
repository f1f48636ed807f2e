"""What became of the disks, as certificates: pure, from the rows of a wipe's result to documents.

The fields follow NIST SP 800-88r2, section 4.6; the words of the status are those that auditors know from other tools.
What nobody said is "not stated"; what nobody measured is null.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from liveagent.certificate import MACHINE, describe_signature, make_digest, make_file_name
from liveagent.events import JSON
from liveagent.report.lines import render_bytes
from liveagent.tasks.wipe.totals import choose_status, count_disks, list_exceptions, make_statement

VERSION = 1
STANDARD = (
    "Aligned with NIST SP 800-88r2, section 4.6: a report of what was done and measured, by the program that did it."
)
NOT_STATED = "not stated"
PENDING: Mapping[str, JSON] = {
    "state": "pending",
    "statement": "Validation pending until countersigned (liveagent verify --validate-as NAME --key FILE).",
}
# Places and errors that are listed one by one; the rest is counted, and the places follow from the seed.
LISTED = 1024
STATUS_WORDS = {
    "erased": "ERASED",
    "erased-with-exceptions": "ERASED WITH EXCEPTIONS",
    "not-erased": "NOT ERASED",
}
METHOD_WORDS = {"purge": "Purge", "clear": "Clear"}

Row = Mapping[str, Any]


def make_certificate_names(rows: Sequence[Row]) -> tuple[str, ...]:
    """The name of each row's certificate: by serial, else by kernel name; no two are the same."""
    names: list[str] = []
    for row in rows:
        names.append(make_file_name(row.get("serial") or "", row.get("name") or "", names))
    return tuple(names)


def make_disk_certificate(
    row: Row,
    machine: Mapping[str, JSON],
    run: str,
    agent: str,
    labels: Mapping[str, str],
    key: Mapping[str, JSON] | None,
) -> dict[str, JSON]:
    """The certificate of one disk, also of one that was not erased; `key` as `Context.key` has it."""
    return {
        "document": "certificate of media sanitization",
        "version": VERSION,
        "kind": "disk",
        "standard": STANDARD,
        "status": row["status"],
        "statement": make_disk_statement(row),
        "verdict": row["verdict"],
        "run": run,
        "agent": f"liveagent {agent}",
        "media": make_media(row, machine, labels),
        "source": make_source(machine, labels),
        "confidentiality_before": labels.get("confidentiality") or NOT_STATED,
        "sanitization": make_sanitization(row, agent),
        "verification": make_verification(row),
        "state_before": make_state(row.get("before"), row.get("contents") or ()),
        "state_after": make_state(row.get("after")),
        "digest_changed": compare_digests(row),
        "exceptions": list(row.get("exceptions") or ()),
        "errors": list(row.get("errors") or ())[:LISTED],
        "errors_omitted": max(0, len(row.get("errors") or ()) - LISTED),
        "reasons": list(row.get("reasons") or ()),
        "people": make_people(labels, agent, row.get("finished")),
        "validation": dict(PENDING),
        "signature": describe_signature(key),
    }


def make_disk_statement(row: Row) -> str:
    """One sentence that nobody can misread."""
    word = STATUS_WORDS[row["status"]]
    if row["status"] == "not-erased":
        reasons = "; ".join(str(reason.get("text") or reason.get("code")) for reason in row.get("reasons") or ())
        why = reasons or row.get("summary") or "no reason was given"
        doubt = "what it holds now is not known" if row["verdict"] == "unknown" else "treat it as holding its data"
        return f"{word}: {why}; {doubt}."
    method = METHOD_WORDS.get(row.get("method") or "", "method not stated")
    return (
        f"{word} ({method}, by {row.get('technique') or 'a technique not stated'}): {row.get('summary') or ''}".rstrip(
            ": "
        )
    )


def make_media(row: Row, machine: Mapping[str, JSON], labels: Mapping[str, str]) -> dict[str, JSON]:
    """What the medium is: maker, model, serial, number of the organisation, type."""
    return {
        "manufacturer": make_manufacturer(row),
        "model": row.get("model") or NOT_STATED,
        "serial": row.get("serial") or NOT_STATED,
        "wwn": row.get("wwn") or None,
        "firmware": row.get("firmware") or None,
        "property_number": labels.get("asset_tag") or machine.get("asset_tag") or NOT_STATED,
        "type": make_media_type(row),
        "transport": row.get("transport"),
        "size": row.get("size"),
        "logical_block": row.get("logical_block"),
        "name": row.get("name"),
        "path": row.get("path"),
        "slot": row.get("slot") or None,
        "behind": list(row.get("behind") or ()),
    }


def make_manufacturer(row: Row) -> str:
    """The maker; "ATA" is what the kernel calls every disk behind a SATA controller."""
    vendor = str(row.get("vendor") or "").strip()
    return NOT_STATED if vendor in ("", "ATA", "NVMe") else vendor


def make_media_type(row: Row) -> str:
    """The kind of medium in words, from what the drive said of itself."""
    drive = (row.get("before") or {}).get("drive") or {}
    transport = str(row.get("transport") or "")
    volume = drive.get("volume")
    if volume:
        return f"logical volume ({volume})"
    said = [facts.get("rotation") for facts in (drive.get("ata"), drive.get("scsi")) if facts]
    rotation = next((number for number in said if number is not None), None)
    if transport == "nvme":
        return "solid-state drive (NVMe)"
    if rotation:
        return f"magnetic disk ({transport.upper()}, {rotation} rpm)"
    # What the drive says goes before what the kernel believes.
    if rotation == 0 or row.get("kind") == "ssd":
        return f"solid-state drive ({transport.upper()})"
    if row.get("kind") == "hdd":
        return f"magnetic disk ({transport.upper()})"
    words = {
        "virtio": "virtual disk (virtio)",
        "loop": "file behind a loop device",
        "mmc": "flash (eMMC or SD)",
        "pmem": "persistent memory",
        "usb": "USB drive",
    }
    return words.get(transport, f"disk ({transport.upper()})" if transport else NOT_STATED)


def make_source(machine: Mapping[str, JSON], labels: Mapping[str, str]) -> dict[str, JSON]:
    """The server that the medium was in, and the job it belongs to."""
    said = {name: labels.get(name) or NOT_STATED for name in ("organisation", "site", "order")}
    names = ("serial", "uuid", "vendor", "product", "hostname", "boot_mac")
    tag = labels.get("asset_tag") or machine.get("asset_tag") or NOT_STATED
    return {**{name: machine.get(name) for name in names}, "asset_tag": tag, **said}


def make_sanitization(row: Row, agent: str) -> dict[str, JSON]:
    """Method and technique, why that one, the tool with its version, when, and how much."""
    is_erased = row["status"] != "not-erased"
    technique = row.get("technique")
    own = f"liveagent {agent}" if technique else None
    return {
        "method": (row.get("method") or NOT_STATED) if is_erased else "none",
        "attempted": None if is_erased else row.get("attempted"),
        "technique": technique if is_erased else None,
        "why": row.get("technique_why"),
        "tool": row.get("tool") or own,
        "summary": row.get("summary") or "",
        "fallbacks": list(row.get("fallbacks") or ()),
        "also_overwrite": row.get("also_overwrite"),
        "pattern": row.get("pattern"),
        "passes": row.get("passes"),
        "seed": row.get("seed"),
        "bytes_written": row.get("bytes_written"),
        "started": row.get("started"),
        "finished": row.get("finished"),
        "seconds": row.get("seconds"),
        "sittings": list(row.get("sittings") or ()),
        "resumed": row.get("resumed"),
        "guards_released": list(row.get("released") or ()),
    }


def make_verification(row: Row) -> dict[str, JSON]:
    """How it was looked at afterwards: in words, in places and in numbers."""
    data = row.get("verification") or {}
    positions = list(data.get("positions") or ())
    return {
        "method": describe_verification(row),
        "places": data.get("samples"),
        "bytes": data.get("bytes"),
        "mismatches": data.get("mismatches"),
        "unreadable": data.get("unreadable"),
        "seed": data.get("seed"),
        "positions": positions[:LISTED],
        "positions_omitted": max(0, len(positions) - LISTED),
        "by": "the agent, unattended",
    }


def describe_verification(row: Row) -> str:
    """The verification in a sentence."""
    data = row.get("verification") or {}
    verify, places, size = str(data.get("verify") or ""), data.get("samples"), row.get("size")
    if not data or verify == "none" or not places:
        return "none: nothing was read back from the medium"
    amount = f"{places} places, {render_bytes(data.get('bytes') or 0)}"
    if size and data.get("bytes") == size:
        amount = f"the whole medium, {render_bytes(size)}"
    if verify == "marks":
        return f"read back from the medium after the drive's own erase: {amount}, none may hold what was there before"
    return f"read back from the medium ({verify}): {amount}, compared byte by byte with what must stand there"


def make_state(state: Mapping[str, Any] | None, contents: Sequence[Mapping[str, Any]] = ()) -> dict[str, JSON]:
    """What the drive said of itself and its health, and what lay on it, at one moment; null is not looked at."""
    state = state or {}
    drive = state.get("drive")
    kinds = list(dict.fromkeys(str(content.get("kind")) for content in contents))
    return {
        "drive": {name: value for name, value in drive.items() if name != "health"} if drive else None,
        "health": state.get("health") or (drive or {}).get("health"),
        "digest": state.get("digest") or None,
        "holds": list(state["holds"]) if "holds" in state else kinds or None,
    }


def compare_digests(row: Row) -> bool | None:
    """Whether the sampled places read otherwise than before; None where one of the two was not taken."""
    before, after = (row.get("before") or {}).get("digest"), (row.get("after") or {}).get("digest")
    return before != after if before and after else None


def make_people(labels: Mapping[str, str], agent: str, date: str | None) -> dict[str, JSON]:
    """Those who answer for it. The agent verifies; validating is a person's, and comes with the countersignature."""
    return {
        "operator": {
            "name": labels.get("operator") or NOT_STATED,
            "position": labels.get("position") or NOT_STATED,
            "location": labels.get("site") or NOT_STATED,
            "contact": labels.get("contact") or NOT_STATED,
        },
        "verification": {"name": f"liveagent {agent}, unattended", "date": date},
        "validation": {"name": NOT_STATED, "date": None},
    }


def make_machine_certificate(
    data: Mapping[str, Any],
    disk_certificates: Mapping[str, str],
    machine: Mapping[str, JSON],
    run: str,
    agent: str,
    labels: Mapping[str, str],
    key: Mapping[str, JSON] | None,
    started: str,
    finished: str,
) -> dict[str, JSON]:
    """The certificate of the server: every disk that was asked for or left out, and by name those that nobody named.

    `data` is the wipe's own; `disk_certificates` are the exact texts of the disks' certificates by name.
    """
    rows = data.get("disks") or ()
    raid = data.get("raid") or {}
    named = {json.loads(text)["media"]["path"]: name for name, text in disk_certificates.items()}
    disks = [make_disk_line(row, named.get(row.get("path")), disk_certificates) for row in rows]
    return {
        "document": "certificate of media sanitization",
        "version": VERSION,
        "kind": "machine",
        "standard": STANDARD,
        "status": choose_status(rows, raid),
        "statement": make_statement(rows, raid),
        "run": run,
        "agent": f"liveagent {agent}",
        "started": started,
        "finished": finished,
        "source": make_source(machine, labels),
        "confidentiality_before": labels.get("confidentiality") or NOT_STATED,
        "totals": count_disks(rows),
        "disks": disks,
        "exceptions": list_exceptions(rows, raid),
        "dismantled": list(data.get("dismantled") or ()),
        "also": list(data.get("also") or ()),
        "raid": {name: list(raid.get(name) or ()) for name in ("controllers", "physical", "unlisted")},
        "not_measured": list(data.get("not_measured") or ()),
        "not_named": list(data.get("not_named") or ()),
        "people": make_people(labels, agent, finished),
        "validation": dict(PENDING),
        "signature": describe_signature(key, MACHINE),
    }


def make_disk_line(row: Row, name: str | None, texts: Mapping[str, str]) -> dict[str, JSON]:
    """One disk on the machine's certificate, with the digest of its own where it has one."""
    certificate = {"file": f"{name}.json", "sha256": make_digest(texts[name])} if name else None
    is_erased = row["status"] != "not-erased"
    return {
        "name": row.get("name"),
        "path": row.get("path"),
        "manufacturer": make_manufacturer(row),
        "model": row.get("model") or NOT_STATED,
        "serial": row.get("serial") or NOT_STATED,
        "wwn": row.get("wwn") or None,
        "type": make_media_type(row),
        "size": row.get("size"),
        "status": row["status"],
        "verdict": row["verdict"],
        "method": (row.get("method") or NOT_STATED) if is_erased else "none",
        "technique": row.get("technique") if is_erased else None,
        "summary": row.get("summary") or "",
        "exceptions": list(row.get("exceptions") or ()),
        "reasons": list(row.get("reasons") or ()),
        "certificate": certificate,
    }
