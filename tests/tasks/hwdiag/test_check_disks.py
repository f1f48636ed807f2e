"""What drives and RAID are found guilty of: every recorded drive, and each rule at its edge."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from liveagent.events import Finding, Verdict
from liveagent.machine.controller import Backup, RaidController, RaidDrive, RaidVolume, State
from liveagent.machine.device import Answer, Device
from liveagent.machine.disks import Transport
from liveagent.machine.inventory import Inventory
from liveagent.machine.link import DriveLink
from liveagent.machine.md import MdArray, parse_mdstat
from liveagent.machine.selftest import SelfTest, SelfTests, TestResult
from liveagent.machine.smart import Health
from liveagent.machine.smart_ata import AtaHealth, Attribute, WhenFailed
from liveagent.machine.smart_nvme import NvmeHealth
from liveagent.machine.smart_scsi import BackgroundScan, ErrorCounters, ScsiHealth
from liveagent.machine.temperatures import Temperatures
from liveagent.tasks.hwdiag.check import run_checks
from liveagent.tasks.hwdiag.checks import CHECKS, CODES
from liveagent.tasks.hwdiag.policy import Policy, Rules
from tests.machine.test_controllers import parse_all
from tests.machine.test_smartctl import read_devices


def judge(inventory: Inventory, policy: Policy | None = None) -> list[Finding]:
    return run_checks(CHECKS, inventory, policy or Policy())


def judge_one(device: Device, policy: Policy | None = None) -> dict[str, Verdict]:
    return {one.code: one.verdict for one in judge(Inventory(disks=(device,)), policy)}


@pytest.mark.corpus
def test_every_drive_of_the_corpus(corpus: Path) -> None:
    """150 drives, and what there is to say of each was compared with its page; all others have no finding at all."""
    found = {
        name: [(one.code, one.verdict.value) for one in judge(Inventory(disks=(device,)))]
        for name, device in read_devices(corpus).items()
    }
    assert {name: findings for name, findings in found.items() if findings} == {
        # The first has errors of its cable as well; the others' ports may be as slow, for all we know.
        "exporter-hgst-hus724020ale640-28.json": [("disk.link.slow", "warn")],
        "exporter-sat-western-digital-re-wdc-wd3000fyyz-01ul1b1-sdc.json": [("disk.link.below", "pass")],
        "telegraf-usb.json": [("disk.link.below", "pass")],
        "exporter-mb0500ebncr-13.json": [("disk.smart.reported_uncorrectable", "warn")],
        "exporter-nvme-samsung-mzwll3t2hajq-00005-nvme0.json": [("disk.nvme.critical_warning", "fail")],
        "exporter-sat-micron-5100-pro-52x0-5300-ssds-micron-5300-mtfddak1t9tds-.json": [("disk.smart.crc", "warn")],
        "exporter-seagate-st373453lc-26.json": [
            ("disk.scsi.grown_defects", "warn"),
            ("disk.scsi.uncorrected", "warn"),
        ],
        "exporter-seagate-st373453lc-27.json": [("disk.smart.off", "warn")],
        "scrutiny-smart-fail2.json": [
            ("disk.smart.failing", "fail"),
            ("disk.smart.prefail", "fail"),
            ("disk.selftest.failed", "fail"),
            ("disk.smart.reallocated", "warn"),
            ("disk.smart.pending", "warn"),
            ("disk.link.below", "pass"),
        ],
        "scrutiny-smart-megaraid1.json": [("disk.smart.reallocated", "warn")],
        # Pages that were asked for something else than health.
        "scrutiny-smartctl-info-nvme.json": [("disk.smart.none", "warn")],
        "vm-smartctl-ata-c.json": [("disk.smart.none", "warn")],
        # Virtual disks.
        "vm-smartctl-ata-x.json": [("disk.virtual", "pass")],
        "vm-smartctl-scsi-x.json": [("disk.virtual", "pass")],
    }


@pytest.mark.corpus
def test_every_controller_and_array_of_the_corpus(corpus: Path) -> None:
    """All well, but for a foreign configuration and a mirror that is being built."""
    found = []
    for file in sorted((corpus / "raid-controllers").iterdir()):
        found += judge(Inventory(raid=tuple(parse_all(file.read_text(encoding="utf-8", errors="replace")))))
    for file in sorted((corpus / "mdstat").iterdir()):
        found += judge(Inventory(md=parse_mdstat(file.read_text())))
    assert {(one.code, one.part) for one in found} == {
        ("raid.foreign", "Intel(R) RAID Controller RS3DC080 0000:3b:00.0"),
        ("raid.md.rebuilding", "md0"),
    }


HDD = Device(
    "0x5000c500aa", "sda", "hdd", 10**12, "ST1000NM0033", serial="Z1", slot="4", transport=Transport.SATA,
    paths=("sda",), answer=Answer.GIVEN, rotation=7200, health=Health(passed=True),
    link=DriveLink(speed=6 * 10**9, drive=6 * 10**9, port=6 * 10**9),
)  # fmt: skip


def with_attribute(number: int, name: str, raw: int | None, **more: Any) -> Device:
    attribute = Attribute(
        id=number, name=name, value=100, worst=100, threshold=10, raw=raw, raw_text=str(raw), prefail=True,
        when_failed=WhenFailed.NEVER,
    )  # fmt: skip
    timeouts = raw if number == 188 else None
    ata = AtaHealth(attributes=(dataclasses.replace(attribute, **more),), timeouts=timeouts)
    return dataclasses.replace(HDD, ata=ata)


def with_nvme(**more: Any) -> Device:
    health = Health(passed=True, percentage_used=more.get("used"), critical_warning=more.get("critical_warning", 0))
    nvme = NvmeHealth(**{"spare": 100, "spare_threshold": 10, **more})
    return dataclasses.replace(HDD, kind="nvme", transport=Transport.NVME, link=None, health=health, nvme=nvme)


def with_scsi(**more: Any) -> Device:
    return dataclasses.replace(HDD, transport=Transport.SAS, link=None, scsi=ScsiHealth(**more))


def with_tests(*results: tuple[str, TestResult]) -> Device:
    log = tuple(SelfTest(kind, result, "x", 100 - number) for number, (kind, result) in enumerate(results))
    return dataclasses.replace(HDD, self_tests=SelfTests(offered=True, log=log))


WARM, FAIL, WARN = Temperatures, Verdict.FAIL, Verdict.WARN
PASSED, FAILED, ABORTED = TestResult.PASSED, TestResult.FAILED, TestResult.ABORTED


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        (HDD, {}),
        (dataclasses.replace(HDD, health=Health(passed=False)), {"disk.smart.failing": FAIL}),
        (with_attribute(1, "X", 0, when_failed=WhenFailed.NOW), {"disk.smart.prefail": FAIL}),
        (with_attribute(1, "X", 0, when_failed=WhenFailed.NOW, prefail=False), {"disk.smart.usage": WARN}),
        (with_attribute(1, "X", 0, when_failed=WhenFailed.PAST), {"disk.smart.past": WARN}),
        # Many a sound drive was too warm once.
        (with_attribute(190, "Airflow_Temperature_Cel", 0, when_failed=WhenFailed.PAST, prefail=False), {}),
        (with_attribute(5, "Reallocated_Sector_Ct", 1), {"disk.smart.reallocated": WARN}),
        (dataclasses.replace(with_attribute(5, "Reallocated_Sector_Ct", 4), rotation=0), {}),
        (dataclasses.replace(with_attribute(5, "Bad_Block_Count", 101), rotation=0), {"disk.smart.reallocated": WARN}),
        (with_attribute(5, "Unknown_Attribute", 9), {}),
        (with_attribute(5, "Reallocated_Sector_Ct", None), {}),
        (with_attribute(187, "Reported_Uncorrect", 1), {"disk.smart.reported_uncorrectable": WARN}),
        (with_attribute(188, "Command_Timeout", 100), {}),
        (with_attribute(188, "Command_Timeout", 101), {"disk.smart.command_timeout": WARN}),
        (dataclasses.replace(with_attribute(188, "Command_Timeout", 119), rotation=0), {}),
        (with_attribute(197, "Current_Pending_Sector", 1), {"disk.smart.pending": WARN}),
        (dataclasses.replace(HDD, ata=AtaHealth(pending=2)), {"disk.smart.pending": WARN}),
        (with_attribute(198, "Offline_Uncorrectable", 1), {"disk.smart.uncorrectable": WARN}),
        (with_attribute(198, "Something_Else", 1), {}),
        (with_attribute(199, "UDMA_CRC_Error_Count", 20), {}),
        (with_attribute(199, "UDMA_CRC_Error_Count", 21), {"disk.smart.crc": WARN}),
        (with_nvme(), {}),
        (with_nvme(critical_warning=8, warnings=("the medium is read-only",)), {"disk.nvme.critical_warning": FAIL}),
        (with_nvme(spare=11), {}),
        (with_nvme(spare=10), {"disk.nvme.spare": FAIL}),
        (with_nvme(spare=0, spare_threshold=0), {}),
        (with_nvme(media_errors=1), {"disk.nvme.media_errors": WARN}),
        (with_nvme(used=89), {}),
        (with_nvme(used=90), {"disk.wear": WARN}),
        (with_nvme(used=100), {"disk.wear.end": FAIL}),
        (with_nvme(used=255), {"disk.wear.end": FAIL}),
        (with_scsi(grown_defects=0, read=ErrorCounters(uncorrected=0)), {}),
        (with_scsi(grown_defects=1), {"disk.scsi.grown_defects": WARN}),
        (with_scsi(read=ErrorCounters(), write=ErrorCounters(uncorrected=1)), {"disk.scsi.uncorrected": WARN}),
        # A drive whose own assessment is OK: 56 pending defects, and three blocks that its scan could not read.
        (with_scsi(pending=56, scan=BackgroundScan("no scans active", 7, 3)), {"disk.scsi.pending": WARN}),
        (with_tests(("short", PASSED), ("long", PASSED)), {}),
        (with_tests(("short", FAILED), ("long", PASSED)), {"disk.selftest.failed": FAIL}),
        (with_tests(("short", ABORTED), ("short", FAILED)), {"disk.selftest.failed": FAIL}),
        # A short test that passes says nothing of the block that the long one could not read.
        (with_tests(("short", PASSED), ("long", FAILED)), {"disk.selftest.failed": FAIL}),
        (with_tests(("long", PASSED), ("long", FAILED)), {"disk.selftest.failed_before": WARN}),
        (with_tests(("short", PASSED), ("short", FAILED)), {"disk.selftest.failed_before": WARN}),
        (dataclasses.replace(HDD, temperatures=WARM(now=59)), {}),
        (dataclasses.replace(HDD, temperatures=WARM(now=60)), {"disk.temperature": WARN}),
        (dataclasses.replace(HDD, kind="ssd", temperatures=WARM(now=69)), {}),
        (dataclasses.replace(HDD, temperatures=WARM(now=61, warning=65)), {}),
        (dataclasses.replace(HDD, temperatures=WARM(now=66, warning=65, critical=70)), {"disk.temperature": WARN}),
        (dataclasses.replace(HDD, temperatures=WARM(now=70, critical=70)), {"disk.temperature.critical": FAIL}),
        (dataclasses.replace(HDD, temperatures=WARM(warning=65)), {}),
        (dataclasses.replace(HDD, read_only=True), {"disk.read_only": WARN}),
        (dataclasses.replace(HDD, read_only=True, virtual_media=True), {}),
        (dataclasses.replace(HDD, paths=("sda", "sdc")), {"disk.paths": Verdict.PASS}),
        (dataclasses.replace(HDD, link=DriveLink(3 * 10**9, 6 * 10**9, 6 * 10**9)), {"disk.link.slow": WARN}),
        # The port can do no more, and there is nothing to be done about it.
        (dataclasses.replace(HDD, link=DriveLink(3 * 10**9, 6 * 10**9, 3 * 10**9)), {}),
        (dataclasses.replace(HDD, link=DriveLink(None, 6 * 10**9, 6 * 10**9)), {}),
        (dataclasses.replace(HDD, answer=Answer.SILENT, health=None), {"disk.silent": Verdict.UNKNOWN}),
        (dataclasses.replace(HDD, answer=Answer.GARBLED, health=None), {"disk.garbled": Verdict.UNKNOWN}),
        (dataclasses.replace(HDD, answer=Answer.REFUSED, health=None), {"disk.refused": Verdict.UNKNOWN}),
        (dataclasses.replace(HDD, answer=Answer.NOT_ASKED, health=None), {}),
        (dataclasses.replace(HDD, answer=Answer.NONE, health=None), {"disk.smart.none": WARN}),
        (dataclasses.replace(HDD, smart_enabled=False), {"disk.smart.off": WARN}),
        (dataclasses.replace(HDD, answer=Answer.NONE, model="QEMU HARDDISK"), {"disk.virtual": Verdict.PASS}),
        (dataclasses.replace(HDD, transport=Transport.VIRTIO, answer=Answer.NOT_ASKED), {"disk.virtual": Verdict.PASS}),
    ],
)  # fmt: skip
def test_rules(device: Device, expected: dict[str, Verdict]) -> None:
    """Each rule at its edge, and what looks like it and is none."""
    assert judge_one(device) == expected


def test_a_finding_names_the_drive_as_a_technician_finds_it() -> None:
    (found,) = judge(Inventory(disks=(with_attribute(197, "Current_Pending_Sector", 8),)))
    assert found.part == "sda slot 4 Z1"
    assert found.measured == {"count": 8, "threshold": 0.0}
    assert "8" in found.summary and "replace" in found.summary


def test_thresholds_of_a_model() -> None:
    """A policy may know a model better."""
    rules = Rules(models=("ST1000NM*",), limits={"disk.pending": 8.0})
    policy = Policy(special=(rules,))
    assert judge_one(with_attribute(197, "Current_Pending_Sector", 8), policy) == {}
    assert judge_one(with_attribute(197, "Current_Pending_Sector", 9), policy) == {"disk.smart.pending": WARN}


CARD = RaidController("S1", "0000:3b:00.0", "storcli", model="PERC H730", state=State.GOOD, says="Optimal")


def card(**more: Any) -> Inventory:
    return Inventory(raid=(dataclasses.replace(CARD, **more),))


def volume(state: State, says: str) -> dict[str, Any]:
    return {"volumes": (RaidVolume("0/0", "RAID5", state, says, members=("252:0", "252:1")),)}


def drive(state: State, says: str, **more: Any) -> dict[str, Any]:
    return {"drives": (RaidDrive("252:1", state, says, "ST1000", "Z9", **more),)}


@pytest.mark.parametrize(
    ("models", "links", "slow"),
    [
        ("AA", [DriveLink(6 * 10**9, port=12 * 10**9), DriveLink(12 * 10**9, port=12 * 10**9)], [0]),
        ("AA", [DriveLink(6 * 10**9), DriveLink(12 * 10**9)], [0]),
        # Its port is of another adapter, and does all that it can.
        ("AA", [DriveLink(6 * 10**9, port=6 * 10**9), DriveLink(12 * 10**9, port=12 * 10**9)], []),
        ("AB", [DriveLink(6 * 10**9, port=12 * 10**9), DriveLink(12 * 10**9, port=12 * 10**9)], []),
        ("AA", [DriveLink(6 * 10**9, port=12 * 10**9), DriveLink(6 * 10**9, port=12 * 10**9)], []),
        ("AA", [DriveLink(None, port=12 * 10**9), DriveLink(12 * 10**9, port=12 * 10**9)], []),
        ("AA", [None, DriveLink(12 * 10**9, port=12 * 10**9)], []),
    ],
)
def test_a_sas_drive_linked_slower_than_its_like(models: str, links: list[DriveLink | None], slow: list[int]) -> None:
    """What the drive could do nobody asks it; another one of its model shows it."""
    drives = tuple(
        dataclasses.replace(HDD, name=f"sd{number}", model=model, transport=Transport.SAS, link=link)
        for number, (model, link) in enumerate(zip(models, links))
    )
    found = [one.part for one in judge(Inventory(disks=drives)) if one.code == "disk.link.unlike"]
    assert found == [drives[number].label for number in slow]


@pytest.mark.parametrize(
    ("inventory", "expected"),
    [
        (card(), {}),
        (card(says="", state=State.UNKNOWN), {}),
        (card(says="Needs Attention", state=State.PREDICTED), {"raid.controller": WARN}),
        (card(memory_errors=1), {"raid.memory": WARN}),
        (card(foreign=0), {}),
        (card(foreign=2), {"raid.foreign": WARN}),
        (card(**volume(State.GOOD, "Optl")), {}),
        (card(**volume(State.DEGRADED, "Dgrd")), {"raid.volume.degraded": FAIL}),
        (card(**volume(State.FAILED, "OfLn")), {"raid.volume.failed": FAIL}),
        (card(**volume(State.BUSY, "Rec")), {"raid.volume.rebuilding": WARN}),
        (card(**volume(State.UNKNOWN, "Xyz")), {"raid.volume.state": WARN}),
        (card(**drive(State.GOOD, "Onln", media_errors=0)), {}),
        (card(**drive(State.FAILED, "UBad")), {"raid.drive.failed": FAIL}),
        (card(**drive(State.ABSENT, "Msng")), {"raid.drive.failed": FAIL}),
        (card(**drive(State.PREDICTED, "Onln", predicted=2)), {"raid.drive.predicted": FAIL}),
        (card(**drive(State.BUSY, "Rbld")), {}),
        (card(**drive(State.UNKNOWN, "Xyz")), {"raid.drive.state": WARN}),
        (card(**drive(State.GOOD, "Onln", media_errors=3)), {"raid.drive.media_errors": WARN}),
        (card(backups=(Backup("battery", State.GOOD, "Optimal"),)), {}),
        (card(backups=(Backup("battery", State.BUSY, "Charging"),)), {}),
        (card(backups=(Backup("battery", State.FAILED, "Failed"),)), {"raid.backup.failed": FAIL}),
        (card(backups=(Backup("capacitor", State.ABSENT, "Not Installed"),)), {"raid.backup.weak": WARN}),
    ],
)
def test_rules_of_raid(inventory: Inventory, expected: dict[str, Verdict]) -> None:
    """What the controller itself calls broken fails; a word that is not known is looked at."""
    assert {one.code: one.verdict for one in judge(inventory)} == expected


def test_a_drive_of_a_controller_is_found_by_slot_and_serial() -> None:
    (found,) = judge(card(**drive(State.FAILED, "UBad")))
    assert found.part == "0000:3b:00.0 slot 252:1 Z9" and "UBad" in found.summary


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (MdArray("u", "md0", "raid1", State.GOOD, "active [2/2]", members=("sda1", "sdb1")), {}),
        (MdArray("u", "md0", "raid1", State.DEGRADED, "active [2/1]", failed=("sdb1",)), {
            "raid.md.degraded": FAIL, "raid.md.faulty": FAIL,
        }),
        (MdArray("u", "md0", "raid1", State.BUSY, "active [2/2]", action="resync", progress=3.0), {
            "raid.md.rebuilding": WARN,
        }),
        (MdArray("u", "md0", "", State.UNKNOWN, "inactive"), {"raid.md.inactive": WARN}),
    ],
)  # fmt: skip
def test_rules_of_md(array: MdArray, expected: dict[str, Verdict]) -> None:
    assert {one.code: one.verdict for one in judge(Inventory(md=(array,)))} == expected


def test_codes_are_told_apart_and_say_where_they_come_from() -> None:
    """The table that people look codes up in, and policies name them by."""
    codes = [code.code for code in CODES]
    assert len(codes) == len(set(codes))
    assert all(code.says and code.source for code in CODES)
    assert all(limit.source and limit.unit for code in CODES for limit in code.limits)
    assert {code.code.split(".")[0] for code in CODES} >= {"disk", "raid"}
