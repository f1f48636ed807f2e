from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from liveagent.machine.smart import Health, compare, parse_health, probe_health
from tests.machine.replies import DISK, HANGS, NOT_INSTALLED, Reply, make_replay


def read_all(corpus: Path) -> dict[str, Health | None]:
    files = sorted((corpus / "smartctl").glob("*.json"))
    return {file.name: parse_health(file.read_text(encoding="utf-8", errors="replace")) for file in files}


@pytest.mark.corpus
def test_every_drive_of_the_corpus(corpus: Path) -> None:
    """Some hundred drives: the numbers are ones that a drive can have, and what is no drive's health is None."""
    found = read_all(corpus)
    healthy = {name: health for name, health in found.items() if health}
    assert len(healthy) > 120
    assert Counter(health.passed for health in healthy.values())[False] == 2
    for name, health in healthy.items():
        numbers = [value for value in health.encode().values() if isinstance(value, int)]
        assert all(0 <= number < 1_000_000 for number in numbers), name
        assert health.temperature is None or 5 < health.temperature < 90, name
        is_nvme = health.critical_warning is not None
        assert is_nvme == (health.available_spare is not None), name
        assert health.percentage_used is not None or not is_nvme, name
        assert is_nvme or health.passed is None or name == "insights-smartctl-health.json" or _has_counters(health), (
            name
        )


def _has_counters(health: Health) -> bool:
    return (
        health.reallocated is not None or health.grown_defects is not None or health.reported_uncorrectable is not None
    )


@pytest.mark.corpus
def test_wear_of_ata_drives(corpus: Path) -> None:
    """Compared with what Intel counts beside it: 80619 of 1024 parts of a percent are 78 %, and so on."""
    found = {
        name: health.percentage_used
        for name, health in read_all(corpus).items()
        if health and health.critical_warning is None and health.percentage_used
    }
    intel = "exporter-sat-intel-730-and-dc-s35x0-3610-3700-series-ssds-intel-ssdsc2"
    later = "exporter-sat-intel-s4510-s4610-s4500-s4600-series-ssds-intel-ssdsc2kb"
    samsung = "exporter-sat-samsung-based-ssds-samsung-mz7l"
    assert found == {
        **{f"{intel}-{number}.json": used for number, used in ((10, 18), (2, 78), (3, 50), (8, 34), (9, 47))},
        **{f"{later}{end}.json": used for end, used in (("0-2", 1), ("0-3", 1), ("0", 15), ("2-2", 12), ("2", 45))},
        f"{later}9.json": 14,
        "exporter-samsung-mz7wd240hafv-00003-22.json": 10,
        f"{samsung}3240hchq-00a07-sda.json": 2,
        f"{samsung}h1t9hmlt-00005-sda.json": 1,
        "scrutiny-smart-ata2.json": 1,
    }


@pytest.mark.parametrize(
    ("rows", "statistic", "used"),
    [
        ([("Media_Wearout_Indicator", 22)], None, 78),
        # The standard's own word before any attribute, also beyond what was promised.
        ([("Media_Wearout_Indicator", 22)], 104, 104),
        # Of another maker the name means something else.
        ([("Wear_Leveling_Count", 90), ("SSD_Life_Left", 74)], None, None),
        ([("Media_Wearout_Indicator", 0)], None, None),
    ],
)
def test_where_wear_is_read(rows: list[tuple[str, int]], statistic: int | None, used: int | None) -> None:
    row = {"name": "Percentage Used Endurance Indicator", "value": statistic, "flags": {"valid": True}}
    document = {
        "smartctl": {"version": [7, 2], "exit_status": 0},
        "model_name": "INTEL SSDSC2BB240G4",
        "smart_status": {"passed": True},
        "ata_smart_attributes": {"table": [{"id": 1, "name": name, "value": value} for name, value in rows]},
        "ata_device_statistics": {"pages": [{"table": [row]}] if statistic else []},
    }
    health = parse_health(json.dumps(document))
    assert health is not None and health.percentage_used == used


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("file", "expected"),
    [
        # Four bits of the exit status set, and a drive that says itself that it fails.
        (
            "scrutiny-smart-fail2.json",
            {"passed": False, "reallocated": 1975, "pending": 8, "power_on_hours": 65592, "exit_status": 216},
        ),
        # Bit 6 set: errors long ago. No verdict on the drive.
        ("exporter-hgst-hus724020ale640-28.json", {"passed": True, "crc_errors": 12, "exit_status": 64}),
        # Bit 2 set: a command of many failed.
        ("scrutiny-smart-megaraid1.json", {"passed": True, "reallocated": 387, "exit_status": 4}),
        (
            "exporter-nvme-samsung-mzwll3t2hajq-00005-nvme0.json",
            {"passed": False, "critical_warning": 16, "read_only": False, "media_errors": 0, "exit_status": 8},
        ),
        (
            "exporter-nvme-intel-ssdpe2kx020t7-nvme6.json",
            {"percentage_used": 75, "available_spare": 99, "reallocated": None},
        ),
        (
            "exporter-seagate-st373453lc-26.json",
            {"grown_defects": 260, "uncorrectable": 536, "power_on_hours": 102880, "start_stop": None},
        ),
        ("telegraf-scsi-extended.json", {"start_stop": 220, "grown_defects": 0, "uncorrectable": 0}),
        ("exporter-mb0500ebncr-13.json", {"reported_uncorrectable": 1, "uncorrectable": 0, "media_errors": None}),
        ("vm-smartctl-ata-x.json", {"passed": True, "power_cycles": 0, "reallocated": 0, "pending": None}),
        ("scrutiny-smart-sat.json", {"passed": None, "reallocated": 0}),
    ],
)
def test_health_of_real_drives(corpus: Path, file: str, expected: dict[str, Any]) -> None:
    """ATA attributes, the NVMe log and SCSI counters, each under its own name; what a drive lacks is None, not 0."""
    health = read_all(corpus)[file]
    assert health is not None
    assert {name: getattr(health, name) for name in expected} == expected


@pytest.mark.corpus
@pytest.mark.parametrize(
    "file",
    [
        "exit-2-sat-no-data.json",
        "own-smartctl-no-device.json",
        "own-smartctl-usage-error.json",
        "scrutiny-smart-fail.json",
        "scrutiny-smartctl-info-nvme.json",
        "vm-smartctl-scan-open.json",
        # A virtual disk: a temperature of 0 and nothing else.
        "vm-smartctl-scsi-x.json",
    ],
)
def test_what_is_no_health_is_none(corpus: Path, file: str) -> None:
    """A page without a verdict must not read as a drive without faults."""
    assert parse_health((corpus / "smartctl" / file).read_text()) is None


def make_document(**more: Any) -> str:
    return json.dumps({"smartctl": {"exit_status": 0}, "smart_status": {"passed": True}, **more})


def make_attribute(value: Any, string: Any, name: str = "Reallocated_Sector_Ct", number: int = 5) -> str:
    raw = {"value": value, "string": string}
    return make_document(ata_smart_attributes={"table": [{"id": number, "name": name, "raw": raw}]})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (make_attribute(8, "8"), 8),
        # Six bytes that hold more than one number: what smartctl reads of them counts.
        (make_attribute(8 + (1 << 16) + (1 << 32), "8 (1 1)"), 8),
        (make_attribute(8 + (3 << 32), "8 (Average 3)"), 8),
        (make_attribute(8 + (3 << 16), "8/3"), 8),
        (make_attribute(8, "9"), None),
        (make_attribute(8, "-"), None),
        (make_attribute(-1, "-1"), None),
        (make_attribute("8", "8"), None),
        (make_attribute(8, "8", name="Not_In_Use"), None),
        (make_attribute(8, "8", name="Unknown_Attribute"), None),
        (make_attribute(8, "8", number=9), None),
        (make_document(ata_smart_attributes={"table": None}), None),
        (make_document(ata_smart_attributes=[]), None),
    ],
)
def test_raw_values(text: str, expected: int | None) -> None:
    """A raw value that its reader and its bytes do not agree on is unknown."""
    health = parse_health(text)
    assert health is not None and health.reallocated == expected


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{}", "{", '{"smartctl": []}', "smartctl 7.3\nSMART support is: Enabled"]
)
def test_odd_text_is_none(text: str) -> None:
    """Nothing that smartctl might print raises."""
    assert parse_health(text) is None


@pytest.mark.parametrize(
    ("status", "passed"),
    [(0, True), (4, True), (64, True), (8, False), (24, False), (1, None), (2, None)],
)
def test_exit_status_is_a_bitmask(status: int, passed: bool | None) -> None:
    """Bit 3 is the drive's own word that it fails, whatever else is said; bits 0 and 1 are no answer."""
    health = parse_health(make_document(smartctl={"exit_status": status}))
    assert (health.passed if health else None) is passed


def test_newer_names() -> None:
    """smartctl 7.4 and 7.5 name wear and spare for every kind of drive."""
    health = parse_health(make_document(endurance_used={"current_percent": 3}, spare_available={"current_percent": 97}))
    assert health is not None
    assert (health.percentage_used, health.available_spare) == (3, 97)


def test_messages() -> None:
    """smartctl's complaints go on the certificate as they are."""
    messages = [{"string": "Warning: This result is based on an Attribute check.", "severity": "warning"}, {}]
    health = parse_health(make_document(smartctl={"exit_status": 4, "messages": messages}))
    assert health is not None
    assert health.messages == ("Warning: This result is based on an Attribute check.",)


def test_encode_is_json() -> None:
    """Every field, unknown ones as null."""
    document = json.loads(json.dumps(Health(passed=True, messages=("a",)).encode()))
    assert set(document) == {field.name for field in dataclasses.fields(Health)}
    assert (document["passed"], document["pending"], document["messages"]) == (True, None, ["a"])


BEFORE = Health(
    passed=True,
    power_on_hours=100,
    reallocated=0,
    pending=2,
    crc_errors=5,
    available_spare=100,
    percentage_used=3,
    critical_warning=0b10000,
)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"power_on_hours": 130, "percentage_used": 4, "temperature": 50}, []),
        ({"passed": False}, ["the drive no longer passes its own assessment"]),
        ({"passed": None}, []),
        ({"reallocated": 8}, ["reallocated sectors: 0 before, 8 after"]),
        # A pending sector that could be written is a sector that is well again.
        ({"pending": 0}, []),
        ({"pending": None, "media_errors": 4}, []),
        ({"crc_errors": 6}, ["transfer errors on the cable: 5 before, 6 after"]),
        ({"available_spare": 90}, ["available spare: 100 % before, 90 % after"]),
        ({"critical_warning": 0b11001}, [
            "a new warning: the spare is below its threshold",
            "a new warning: the medium is read-only",
        ]),
        ({"critical_warning": 0}, []),
    ],
)  # fmt: skip
def test_compare(change: dict[str, Any], expected: list[str]) -> None:
    """A drive that got worse under the wipe is not sold on; its age and its wear are no fault of it."""
    assert compare(BEFORE, dataclasses.replace(BEFORE, **change)) == expected


@pytest.mark.parametrize(
    ("reply", "passed"),
    [
        (Reply(make_document(smartctl={"exit_status": 216}), status=216), False),
        (Reply(make_document(), status=4), True),
        (NOT_INSTALLED, None),
        (HANGS, None),
    ],
)
def test_probe(tmp_path: Path, reply: Reply, passed: bool | None) -> None:
    """An exit status that is not 0 is no reason not to read the page."""
    health = probe_health(make_replay(tmp_path, {"smartctl --json=c --all /dev/sda": reply}), DISK)
    assert (health.passed if health else None) is passed
