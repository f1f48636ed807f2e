from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from liveagent.host import Host
from liveagent.machine.ata import is_refused, parse_dco, parse_identify, parse_max_sectors, parse_sanitize_status
from liveagent.machine.disks import Disk, Transport
from liveagent.machine.drive import Drive, probe_drive
from liveagent.machine.nvme import SanitizeState, parse_list_ns, parse_sanitize_log
from liveagent.machine.opal import OpalFacts, parse_query
from liveagent.machine.raid import parse_ssacli, parse_storcli
from liveagent.machine.scsi import parse_bdc, parse_opcode, parse_readcap, parse_sense
from liveagent.machine.smart import parse_health
from tests.machine import test_ata, test_nvme, test_opal, test_scsi, test_smart
from tests.machine.replies import DISK, HANGS, NVME, Reply, make_replay

SMART = {f"smartctl --json=c --all {disk.path}": test_smart.make_document() for disk in (DISK, NVME)}
OPAL = {f"sedutil-cli --query {disk.path}": test_opal.QUERY for disk in (DISK, NVME)}
# A tool that is asked what no reply is here for raises: so each test says what is asked, and what is not.
PAGE_89 = "exists /sys/block/sda/device/vpd_pg89"


def probe(
    place: Path,
    disk: Disk,
    replies: dict[str, str | Reply],
    zoned: str = "none",
    lists: dict[str, tuple[str, ...]] | None = None,
) -> Drive:
    return probe_drive(make_replay(place, replies, {f"/sys/block/{disk.name}/queue/zoned": zoned}, lists or {}), disk)


def test_an_nvme_drive(tmp_path: Path) -> None:
    """By its controller, with its lock and its health."""
    drive = probe(tmp_path, NVME, {**test_nvme.make_replies(), **SMART, **OPAL})
    assert drive.nvme is not None and drive.nvme.controller == "nvme0"
    assert drive.opal == OpalFacts(True, True, True)
    assert drive.health is not None and drive.health.passed
    assert (drive.ata, drive.scsi, drive.zoned, drive.volume, drive.silent) == (None, None, "none", "", False)


def test_a_sata_drive(tmp_path: Path) -> None:
    """By hdparm, whatever it hangs on."""
    drive = probe(tmp_path, DISK, {**test_ata.ASKED, **SMART, **OPAL}, zoned="host-aware")
    assert drive.ata is not None and drive.ata.hpa_hidden == 500
    assert (drive.nvme, drive.scsi, drive.zoned) == (None, None, "host-aware")


@pytest.mark.corpus
def test_a_sas_drive(corpus: Path, tmp_path: Path) -> None:
    """By SCSI; hdparm has nothing to ask there."""
    sas = dataclasses.replace(DISK, transport=Transport.SAS, vendor="SEAGATE")
    replies = {**test_scsi.make_replies(corpus), **SMART, **OPAL}
    drive = probe(tmp_path, sas, replies, lists={PAGE_89: ()})
    assert drive.scsi is not None and drive.scsi.sanitize == {"block"}
    assert drive.ata is None


@pytest.mark.corpus
def test_an_ata_drive_behind_a_translation_layer(corpus: Path, tmp_path: Path) -> None:
    """Its ATA information page says so, where neither bus nor vendor do."""
    behind = dataclasses.replace(DISK, transport=Transport.SCSI)
    replies = {**test_scsi.make_replies(corpus), **test_ata.ASKED, **SMART, **OPAL}
    drive = probe(tmp_path, behind, replies, lists={PAGE_89: ("yes",)})
    assert drive.scsi is not None and drive.ata is not None


@pytest.mark.corpus
def test_a_volume_of_a_controller(corpus: Path, tmp_path: Path) -> None:
    """It has no lock and no ATA drive of its own: what is asked would be answered by the controller."""
    volume = dataclasses.replace(DISK, transport=Transport.SCSI, vendor="DELL", model="PERC H730 Mini")
    drive = probe(tmp_path, volume, {**test_scsi.make_replies(corpus), **SMART}, lists={PAGE_89: ("yes",)})
    assert drive.volume == "a logical volume of a Dell PERC controller"
    assert (drive.ata, drive.opal) == (None, None)
    assert drive.scsi is not None


@pytest.mark.parametrize(
    "transport", [transport for transport in Transport if transport.value not in ("nvme", "sata", "sas", "scsi")]
)
def test_nothing_is_asked_of_the_rest(tmp_path: Path, transport: Transport) -> None:
    """A USB bridge makes up its answers; loop devices, virtual disks and other machines' disks have none."""
    drive = probe(tmp_path, dataclasses.replace(DISK, transport=transport), {}, zoned="host-managed")
    assert drive == Drive(zoned="host-managed")


def test_a_drive_that_hangs_costs_one_question(tmp_path: Path) -> None:
    """Its facts end there, and it is said to be silent."""
    drive = probe(tmp_path, DISK, {"hdparm -I /dev/sda": HANGS})
    assert drive == Drive(silent=True)


def test_a_drive_on_a_desk_is_not_asked(tmp_path: Path) -> None:
    """Below another root only its files are read."""
    (tmp_path / "sys/block/sda/queue").mkdir(parents=True)
    (tmp_path / "sys/block/sda/queue/zoned").write_text("host-managed\n")
    assert probe_drive(Host(str(tmp_path)), DISK) == Drive(zoned="host-managed")


def test_a_kernel_that_does_not_say_zoned(tmp_path: Path) -> None:
    """Not known is not none."""
    assert probe_drive(Host(str(tmp_path)), DISK).zoned == ""


@pytest.mark.corpus
def test_encode_is_json(corpus: Path, tmp_path: Path) -> None:
    """What the certificate carries: enums by value, sets sorted, unknown as null."""
    (tmp_path / "nvme").mkdir()
    (tmp_path / "scsi").mkdir()
    nvme = probe(tmp_path / "nvme", NVME, {**test_nvme.make_replies(), **SMART, **OPAL})
    scsi = probe(
        tmp_path / "scsi",
        dataclasses.replace(DISK, transport=Transport.SCSI),
        {**test_scsi.make_replies(corpus), **test_ata.ASKED, **SMART, **OPAL},
        lists={PAGE_89: ("yes",)},
    )
    document = json.loads(json.dumps(dataclasses.replace(scsi, nvme=nvme.nvme).encode()))
    assert set(document) == {field.name for field in dataclasses.fields(Drive)}
    assert document["nvme"]["sanitize"] == ["block", "crypto"]
    assert document["nvme"]["log"]["state"] == SanitizeState.COMPLETED.value
    assert document["nvme"]["log"]["estimates"] == {"block": 120.0, "overwrite": 36000.0, "crypto": None}
    assert document["ata"]["status"] == {"state": "failed", "progress": None, "completed": False}
    assert document["ata"]["security"]["frozen"] is False
    assert document["scsi"]["state"] == "ready"
    assert document["opal"] == {"supported": True, "locking_enabled": True, "locked": True}
    assert document["health"]["passed"] is True and document["health"]["pending"] is None


PARSERS = (
    *(parse_identify, parse_sanitize_status, parse_max_sectors, parse_dco, is_refused, parse_list_ns),
    *(parse_sanitize_log, parse_query, parse_readcap, parse_bdc, parse_opcode, parse_sense, parse_health),
    *(parse_ssacli, lambda text: parse_storcli(text, text)),
)
PIECES = 12


@pytest.mark.corpus
@pytest.mark.parametrize("tool", ["hdparm", "nvme", "sg3", "smartctl", "raid-controllers"])
def test_no_output_of_any_tool_raises(corpus: Path, tool: str) -> None:
    """Every parser is given every page, whole and cut: a drive that answers oddly must not end a run."""
    files = sorted((corpus / tool).iterdir())
    assert len(files) > 20
    for file in files:
        text = file.read_text(encoding="utf-8", errors="replace")
        for piece in range(1, PIECES + 1):
            for parse in PARSERS:
                parse(text[: len(text) * piece // PIECES])
