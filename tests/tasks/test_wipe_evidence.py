"""Certificates from rows: what stands on them, what must be loud, what is never claimed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import liveagent
from liveagent.certificate import make_digest, render
from liveagent.certificate_check import list_disagreements, list_problems
from liveagent.machine.disks import Transport
from liveagent.report.certificate_page import render_certificate
from liveagent.tasks.wipe.evidence import (
    LISTED,
    make_certificate_names,
    make_disk_certificate,
    make_machine_certificate,
    make_media_type,
)
from liveagent.tasks.wipe.work import list_not_named
from tests.tasks.rows import (
    LABELS,
    MACHINE,
    MIB,
    RUN,
    SIZE,
    make_behind,
    make_erased,
    make_excepted,
    make_failed,
    make_plate,
    make_untouched,
)
from tests.tasks.test_wipe_select import make_disk as choosable

SCHEMA = json.loads((Path(liveagent.__file__).parent / "schemas" / "certificate.json").read_text())
KEY = {"fingerprint": "SHA256:abc", "origin": "the file /run/key", "from_image": False, "note": "", "trouble": ""}
Row = dict[str, Any]


def make_disk(row: Row, labels: Mapping[str, str] = LABELS, key: Mapping[str, Any] | None = KEY) -> dict[str, Any]:
    return make_disk_certificate(row, MACHINE, RUN, "1.0.0", labels, key)


def make_machine(rows: Sequence[Row], **data: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """The machine's certificate over rows, and the texts of the disks' it names."""
    own = [row for row in rows if row["verdict"] not in ("refused", "skipped")]
    texts = {name: render(make_disk(row)) for name, row in zip(make_certificate_names(own), own)}
    document = make_machine_certificate(
        {"disks": rows, "not_measured": [], **data}, texts, MACHINE, RUN, "1.0.0", LABELS, KEY,
        "2026-11-24T08:15:02.771Z", "2026-11-24T20:31:10.004Z",
    )  # fmt: skip
    return document, {f"{name}.json": text for name, text in texts.items()}


def check_schema(document: Mapping[str, Any]) -> None:
    """By the schema that ships; of its two halves the one that is meant, so that a failure says which field."""
    jsonschema.validate(json.loads(render(document)), {"$ref": f"#/$defs/{document['kind']}", "$defs": SCHEMA["$defs"]})


ROWS = [make_erased(), make_excepted(), make_failed(), make_untouched(), make_plate() | {
    "verdict": "unknown", "status": "not-erased", "summary": "did not end", "technique": "overwrite", "reasons": []},
    make_erased(verification={"verify": "none", "seed": 1, "samples": 0, "bytes": 0}, verdict="warn"),
    {key: value for key, value in make_erased().items() if key not in ("method", "before", "after", "sittings")},
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
def test_every_row_becomes_a_certificate_that_agrees(row: Row) -> None:
    """Whatever is known of a disk, its certificate has all fields, and nothing in it contradicts the rest."""
    for key in (KEY, None):
        document = make_disk(row, key=key)
        check_schema(document)
        assert list_problems(json.loads(render(document))) == []


def test_the_fields_of_section_4_6() -> None:
    """NIST SP 800-88r2, section 4.6: each field that it names stands there, with what the row says."""
    document = make_disk(make_excepted())
    media, done, seen = document["media"], document["sanitization"], document["verification"]
    assert (media["model"], media["serial"], media["property_number"]) == ("ST8000NM017B", "WWZ1K7L", "DC-004417")
    assert media["type"] == "magnetic disk (SATA, 7200 rpm)" and media["manufacturer"] == "not stated"
    assert document["source"]["serial"] == "CZJ2440B7X" and document["source"]["order"] == "DECOM-1183"
    assert document["confidentiality_before"] == "not stated"
    assert (done["method"], done["technique"], done["tool"]) == ("clear", "overwrite", "liveagent 1.0.0")
    assert seen["places"] == 3 and seen["positions"][-1] == [SIZE - MIB, MIB] and "3 places" in seen["method"]
    assert document["people"]["operator"]["name"] == "Ada Kowalska"
    assert document["validation"]["state"] == "pending" and "countersigned" in document["validation"]["statement"]
    assert document["state_before"]["health"] == {"power_on_hours": 30156} and document["digest_changed"] is True
    assert document["errors"][0]["offset"] == 5 * MIB and document["exceptions"]


@pytest.mark.parametrize("row", [make_failed(), make_failed(verdict="fail"), make_untouched()])
def test_not_erased_is_loud(row: Row) -> None:
    """A disk that still holds its data can be told from its certificate by the first words alone."""
    document = make_disk(row)
    assert document["statement"].startswith("NOT ERASED: ") and document["status"] == "not-erased"
    assert row["reasons"][0]["text"] in document["statement"]
    assert document["sanitization"]["method"] == "none" and document["sanitization"]["technique"] is None


@pytest.mark.parametrize("attempted", ["purge, ata-sanitize-crypto", None])
def test_what_was_attempted(attempted: str | None) -> None:
    """Of a disk that is not erased the certificate says what was tried, and never as its method."""
    done = make_disk({**make_failed(), "attempted": attempted})["sanitization"]
    assert (done["method"], done["technique"], done["attempted"]) == ("none", None, attempted)
    assert make_disk({**make_erased(), "attempted": "clear, overwrite"})["sanitization"]["attempted"] is None


def test_what_was_begun_is_told_from_what_holds_its_data() -> None:
    """Of a disk that vanished nobody knows what it holds, and the certificate says neither."""
    assert "not known" in make_disk(make_failed())["statement"]
    assert "treat it as holding its data" in make_disk(make_failed(verdict="fail"))["statement"]


def test_nothing_is_claimed_that_nobody_assessed() -> None:
    """Aligned with the standard: the words that would promise more never occur."""
    document, texts = make_machine([make_erased(), make_excepted("sdb", "B")])
    for text in (render(document), *texts.values()):
        assert "Aligned with NIST SP 800-88r2" in text
        assert not re.search(r"complian|certified|conform|guarantee", text, re.IGNORECASE)


def test_what_nobody_said_is_not_stated() -> None:
    """Without labels the people's fields say so, and what was not measured is null: no default looks good."""
    row = {**make_plate(serial=""), "verdict": "fail", "status": "not-erased", "summary": "io error"}
    document = make_disk_certificate(row, {}, RUN, "1.0.0", {}, None)
    check_schema(document)
    assert document["people"]["operator"]["name"] == document["source"]["site"] == "not stated"
    assert document["media"]["serial"] == document["media"]["property_number"] == "not stated"
    assert document["state_before"] == {"drive": None, "health": None, "digest": None, "holds": ["gpt"]}
    assert document["state_after"]["holds"] is None and document["digest_changed"] is None
    assert document["verification"]["method"].startswith("none") and document["verification"]["mismatches"] is None
    assert "NOT SIGNED" in document["signature"]["statement"]


def test_a_key_says_where_it_came_from() -> None:
    """A signature by a key from the image proves little, and the certificate itself says that."""
    document = make_disk(make_erased(), key={**KEY, "from_image": True, "note": "The key came with the image."})
    assert document["signature"]["key"]["origin"] == "the file /run/key"
    assert document["signature"]["statement"].endswith("The key came with the image.")


def test_long_lists_are_cut_and_counted() -> None:
    """A disk with ten thousand bad places must not make a certificate that nobody can send; none is passed over."""
    errors = [{"offset": number * 512, "length": 512, "message": "EIO"} for number in range(LISTED + 88)]
    places = [[number * MIB, MIB] for number in range(LISTED + 7)]
    seen = {"verify": "5%", "seed": 1, "samples": len(places), "bytes": len(places) * MIB, "mismatches": 0}
    row = make_excepted() | {"errors": errors, "verification": {**seen, "positions": places}}
    document = make_disk(row)
    assert (len(document["errors"]), document["errors_omitted"]) == (LISTED, 88)
    assert (len(document["verification"]["positions"]), document["verification"]["positions_omitted"]) == (LISTED, 7)
    assert list_problems(document) == []


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"transport": "nvme"}, "solid-state drive (NVMe)"),
        ({"transport": "sata", "kind": "ssd"}, "solid-state drive (SATA)"),
        ({"kind": "hdd", "before": {"drive": {"ata": {"rotation": 0}}}}, "solid-state drive (SATA)"),
        ({"transport": "sas", "before": {"drive": {"scsi": {"rotation": 10500}}}}, "magnetic disk (SAS, 10500 rpm)"),
        ({"before": {"drive": {"volume": "HPE logical volume"}}}, "logical volume (HPE logical volume)"),
        ({"transport": "loop", "kind": "loop"}, "file behind a loop device"),
        ({"transport": "scsi", "kind": "scsi"}, "disk (SCSI)"),
    ],
)
def test_media_type(more: Row, words: str) -> None:
    """What the drive says of itself goes before what the kernel believes."""
    assert make_media_type(make_plate(**more)) == words


def test_names_are_safe_and_unlike() -> None:
    """Serials of cheap drives repeat, hold slashes, or are not there; files must not overwrite each other."""
    serials = {"sda": "A/../B", "sdb": "ab 1", "sdc": "AB 1", "sdd": "", "sde": "ab 1", "sdf": "Ü"}
    rows = [make_plate(name, serial) for name, serial in serials.items()]
    names = make_certificate_names(rows)
    assert names[:4] == ("certificate-A-B", "certificate-ab-1", "certificate-AB-1-2", "certificate-sdd")
    assert len({name.lower() for name in names}) == 6
    assert all(re.fullmatch(r"certificate-[A-Za-z0-9_-]+", name) for name in names)


# -- the machine ------------------------------------------------------------------------------------

LEFT_OUT = make_untouched("sde", "USB1", "skipped", "wipe.guard.usb")
OUTSIDE = make_untouched("sdf", "VM1", "skipped", "wipe.guard.virtual_media")


@pytest.mark.parametrize(
    ("rows", "raid", "status", "words"),
    [
        ([make_erased()], {}, "erased", "the one disk that was to be erased"),
        ([make_erased(), make_erased("sdb", "B"), OUTSIDE], {}, "erased", "all 2 disks that were to be erased; 1 left"),
        ([make_erased(), make_excepted()], {}, "erased-with-exceptions", "all 2 disks"),
        ([make_erased(), LEFT_OUT], {}, "erased-with-exceptions", "1 left out"),
        ([make_erased()], {"unlisted": ["P408i-a"]}, "erased-with-exceptions", "the one disk"),
        ([make_erased()], {"physical": [make_behind("WWZ0K7L")]}, "erased", "the one disk"),
        ([make_erased()], {"physical": [make_behind("Z1Z1")]}, "erased-with-exceptions", "the one disk"),
        ([make_erased(serial="")], {"physical": [make_behind("")]}, "erased-with-exceptions", "the one disk"),
        ([make_erased(), make_untouched()], {}, "not-erased", "1 of 2 disks are not erased"),
        ([make_erased(), make_failed()], {}, "not-erased", "1 of 2 disks are not erased"),
        ([], {}, "not-erased", "no disk was wiped"),
        ([LEFT_OUT], {}, "not-erased", "no disk was wiped; 1 left out"),
    ],
)
def test_the_status_of_a_server(rows: list[Row], raid: Row, status: str, words: str) -> None:
    """A server is as erased as its worst disk; what was left out or could not be seen is never passed over."""
    document, texts = make_machine(rows, raid=raid)
    check_schema(document)
    assert document["status"] == status and words in document["statement"]
    assert [*list_problems(document), *list_disagreements(document, texts)] == []


def test_the_totals_and_what_was_not_wiped() -> None:
    """Each disk that was seen is on the machine's certificate, and those that were not wiped with the reason."""
    rows = [make_erased(), make_excepted(), make_failed(), make_untouched(), LEFT_OUT]
    document, _ = make_machine(rows, dismantled=["stop md127"], also=[
        {"what": "tpm", "verdict": "warn", "summary": "pending"}])  # fmt: skip
    check_schema(document)
    assert document["totals"] == {
        "disks": 5, "erased": 1, "erased_with_exceptions": 1, "not_erased": 1, "refused": 1, "left_out": 1,
    }  # fmt: skip
    reasons = {line["serial"]: line["reasons"][0]["code"] for line in document["disks"] if line["reasons"]}
    assert reasons == {"21132EF1": "wipe.vanished", "S4NFNA": "wipe.guard.vmfs", "USB1": "wipe.guard.usb"}
    assert document["dismantled"] == ["stop md127"] and document["also"][0]["what"] == "tpm"
    assert any("/dev/sdb WWZ1K7L: 3 sectors" in one for one in document["exceptions"])


def test_the_machine_names_its_disks_certificates() -> None:
    """Each by the digest of its exact text, so that none can be exchanged."""
    document, texts = make_machine([make_erased(), make_failed(), make_untouched()])
    lines = {line["serial"]: line["certificate"] for line in document["disks"]}
    assert lines["S4NFNA"] is None
    assert lines["WWZ0K7L"] == {
        "file": "certificate-WWZ0K7L.json", "sha256": make_digest(texts["certificate-WWZ0K7L.json"]),
    }  # fmt: skip


def test_disks_that_nobody_named_are_named() -> None:
    """Who reads that the one disk which was to be erased is, shall not think that the server has no other."""
    disks = [choosable("sda"), choosable("sdb", serial="WD-B"), choosable("loop0", transport=Transport.LOOP)]
    others = list_not_named(disks, ["sda"])
    assert others == ["/dev/sdb ST4000NM0035 WD-B"]
    document, texts = make_machine([make_erased()], not_named=others)
    assert document["not_named"] == others and document["status"] == "erased"
    check_schema(document)
    page = render_certificate(document, {name[:-5]: json.loads(text) for name, text in texts.items()})
    assert "Not named, and left as they are" in page and "WD-B" in page
