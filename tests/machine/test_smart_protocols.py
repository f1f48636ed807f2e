"""What is read of ATA, NVMe and SCSI drives, each compared with the text of a real one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveagent.machine.device import Device
from liveagent.machine.smart_ata import WhenFailed, read_ata
from liveagent.machine.smart_nvme import (
    FirmwareSlot,
    NvmeLimits,
    parse_firmware_slots,
    parse_limits,
    parse_object,
    read_nvme,
)
from liveagent.machine.smart_scsi import ErrorCounters, parse_non_medium, parse_pending, read_scsi
from liveagent.machine.smartctl import Page
from liveagent.machine.temperatures import Temperatures, parse_kelvin, read_temperatures
from tests.machine.test_smartctl import read_devices


@pytest.fixture(scope="module")
def devices(corpus: Path) -> dict[str, Device]:
    return read_devices(corpus)


@pytest.mark.corpus
def test_a_failing_ata_drive(devices: dict[str, Device]) -> None:
    """The only one of the corpus at its threshold, attribute by attribute."""
    device = devices["scrutiny-smart-fail2.json"]
    assert (device.model, device.serial, device.wwn) == (
        "Hitachi HDS721050DLE630",
        "MSK423Y20S3HBC",
        "0x5000cca37fca81a8",
    )
    assert (device.family, device.rotation, device.form_factor) == ("Hitachi Deskstar 7K1000.D", 7200, "3.5 inches")
    assert device.ata is not None and device.ata.errors == 56
    (failed,) = [one for one in device.ata.attributes if one.when_failed is not WhenFailed.NEVER]
    assert (failed.id, failed.name, failed.value, failed.worst, failed.threshold, failed.raw, failed.prefail) == (
        5, "Reallocated_Sector_Ct", 1, 1, 5, 1975, True
    )  # fmt: skip
    assert failed.when_failed is WhenFailed.NOW


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("name", "timeouts"),
    [
        # "2 2 2", and the same in one number where the database does not say that there are three.
        ("exporter-sat-seagate-enterprise-capacity-3.5-hdd-st2000nm0008-2f3100-s.json", 2),
        ("exporter-sat-seagate-exos-x16-st16000nm001g-2kk103-sda.json", 12),
        ("ironlib-r6515-sda.json", 73),
        ("scrutiny-smart-fail2.json", None),
    ],
)
def test_timeouts_are_the_first_of_three_words(devices: dict[str, Device], name: str, timeouts: int | None) -> None:
    """51540393996 timeouts are 12, and 12 of each kind."""
    ata = devices[name].ata
    assert ata is not None and ata.timeouts == timeouts


@pytest.mark.parametrize(("value", "text"), [(5, "0 0 5"), (0x4_0004_000E, "4 4 14"), (0x3_0014_01F4, "3 20 500")])
def test_timeouts_are_the_lowest_word(value: int, text: str) -> None:
    """smartctl prints the highest first (raw16)."""
    row = {"id": 188, "name": "Command_Timeout", "raw": {"value": value, "string": text}}
    ata = read_ata(Page({"ata_smart_attributes": {"table": [row]}}))
    assert ata is not None and ata.timeouts == int(text.split()[-1])


def test_statistics_count_where_they_are_valid() -> None:
    """ACS-4 statistics by name, in bytes; one that is marked as not valid is not known."""
    rows = [
        {"name": "Logical Sectors Written", "value": 1000, "flags": {"valid": True}},
        {"name": "Logical Sectors Read", "value": 3000, "flags": {"valid": False}},
        {"name": "Number of Interface CRC Errors", "value": 4, "flags": {"valid": True}},
    ]
    page = Page({"logical_block_size": 4096, "ata_device_statistics": {"pages": [{"table": rows}, {"table": None}, 3]}})
    ata = read_ata(page)
    assert ata is not None and (ata.written, ata.read, ata.link_errors) == (4096 * 1000, None, 4)


@pytest.mark.corpus
def test_an_nvme_drive(devices: dict[str, Device]) -> None:
    """Units: 1000 blocks of 512 bytes, minutes."""
    nvme = devices["exporter-nvme-samsung-mzwll3t2hajq-00005-nvme0.json"].nvme
    assert nvme is not None
    assert nvme.warnings == ("the backup of the volatile memory has failed",)
    nvme = devices["exporter-nvme-intel-ssdpe2kx020t7-nvme6.json"].nvme
    assert nvme is not None
    assert (nvme.spare, nvme.spare_threshold, nvme.used, nvme.media_errors) == (99, 10, 75, 0)
    crucial = devices["exporter-nvme-ct250p2ssd8-nvme0.json"].nvme
    assert crucial is not None
    assert (crucial.written, crucial.busy, crucial.sensors) == (1002900 * 512_000, 1675 * 60, (40,))


def test_what_is_no_nvme_log() -> None:
    """A page without one has none; one whose fields are odd has the rest."""
    assert read_nvme(Page({"nvme_smart_health_information_log": None})) is None
    log = {"critical_warning": 3, "temperature_sensors": [40, "x", 65262, None, True], "data_units_read": (1 << 62)}
    nvme = read_nvme(Page({"nvme_smart_health_information_log": log}))
    assert nvme is not None and (nvme.sensors, nvme.read, len(nvme.warnings)) == ((40,), None, 2)


@pytest.mark.corpus
def test_identify_of_a_real_controller(corpus: Path) -> None:
    """QEMU's: 343 K and 373 K, and no self-test (OACS 266 has no bit 4)."""
    limits = parse_limits((corpus / "nvme" / "vm-nvme-id-ctrl.json").read_text())
    assert limits == NvmeLimits(warning=70, critical=100, self_test=False, long_test=None)


@pytest.mark.corpus
def test_every_nvme_file(corpus: Path) -> None:
    """Only pages of id-ctrl are taken for it, whole ones or the parts that templates have."""
    taken = {
        file.name
        for file in (corpus / "nvme").iterdir()
        if parse_limits(file.read_text(encoding="utf-8", errors="replace"))
    }
    assert taken == {
        "vm-nvme-id-ctrl.json",
        "ironlib-id-ctrl-human.txt",  # by its content; the name is wrong
        "ipa-nvme-cli-info-template-crypto-supported.json",
        "ipa-nvme-cli-info-template-format-unsupported.json",
    }
    for file in (corpus / "nvme").iterdir():
        assert parse_firmware_slots(file.read_text(encoding="utf-8", errors="replace")) == (), file.name


def test_self_tests_that_a_controller_offers() -> None:
    """OACS bit 4 and EDSTT, whose 0 is no estimate."""
    assert parse_limits('{"oacs": 22, "edstt": 35, "wctemp": 0, "cctemp": 65535}') == NvmeLimits(None, None, True, 2100)
    assert parse_limits('{"oacs": 22, "edstt": 0}') == NvmeLimits(self_test=True)


# nvme-cli 2.3, json_fw_log: a number with its text in brackets, under the name of the device.
SLOTS = (
    '{"nvme0":{"Active Firmware Slot (afi)":33,"Firmware Rev Slot 1":"3617 (GDC5302Q)","Firmware Rev Slot 2":"1 (G2)"}}'
)
# nvme-cli 1.x began to count at 0, and printed empty ones as well.
OLD_SLOTS = (
    '{"nvme0":{"Active Firmware Slot (afi)":2,"Firmware Rev Slot 0":"5 (OLD)","Firmware Rev Slot 1":"5 (NEW)",'
    '"Firmware Rev Slot 2":"0 ()"}}'
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SLOTS, (FirmwareSlot(1, "GDC5302Q", active=True), FirmwareSlot(2, "G2", next=True))),
        (OLD_SLOTS, (FirmwareSlot(1, "OLD"), FirmwareSlot(2, "NEW", active=True))),
        (SLOTS.replace("33", '"0x21"'), (FirmwareSlot(1, "GDC5302Q", active=True), FirmwareSlot(2, "G2", next=True))),
        (f"warning: x\n{SLOTS}", (FirmwareSlot(1, "GDC5302Q", active=True), FirmwareSlot(2, "G2", next=True))),
        (SLOTS[:60], ()),
        ("", ()),
        ("[]", ()),
        ('{"nvme0": 3}', ()),
    ],
)
def test_firmware_slots(text: str, expected: tuple[FirmwareSlot, ...]) -> None:
    """Which firmware runs, and which will after the next reset."""
    assert parse_firmware_slots(text) == expected


@pytest.mark.corpus
def test_a_sas_drive(devices: dict[str, Device]) -> None:
    """Counters of reading, writing and verifying, and the bytes that smartctl prints as billions."""
    device = devices["telegraf-scsi-extended.json"]
    scsi = device.scsi
    assert scsi is not None
    assert scsi.write == ErrorCounters(0, 0, retried=20, corrected=20, uncorrected=0, processed=132_824_923_000_000)
    assert (scsi.grown_defects, scsi.uncorrected, scsi.made, scsi.starts, scsi.loads) == (0, 0, "2019-35", 220, 1606)
    assert device.temperatures == Temperatures(now=24, critical=60)
    old = devices["exporter-seagate-st373453lc-26.json"].scsi
    assert old is not None and (old.grown_defects, old.uncorrected) == (260, 536)


def test_counters_that_a_bug_made() -> None:
    """2^64-1 uncorrected errors (smartmontools, issue 139) are none that are known."""
    counters = {
        "read": {"total_uncorrected_errors": (1 << 64) - 1, "gigabytes_processed": "x"},
        "write": {},
        "verify": 3,
    }
    scsi = read_scsi(Page({"scsi_error_counter_log": counters}))
    assert scsi is not None and scsi.uncorrected is None and scsi.verify is None
    assert scsi.read == ErrorCounters()


def test_a_background_scan() -> None:
    """What cannot be read counts, what was recovered does not. Source: the names that scsiprint.cpp of 7.4 gives."""
    results = {"result_1": {"sense_key": {"value": 1}}, "result_20": {"sense_key": {"value": 3}}, "result_21": 5}
    status = {"value": 0, "string": "no scans active", "number_scans_performed": 7}
    page = Page({"scsi_background_scan": {"status": status, **results}, "scsi_pending_defects": {"count": 56}})
    scsi = read_scsi(page)
    assert scsi is not None and scsi.scan is not None
    assert (scsi.scan.status, scsi.scan.scans, scsi.scan.unreadable, scsi.pending) == ("no scans active", 7, 1, 56)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        # sg_logs 1.81 on a page of log parameter 0 with the value 17.
        ("Non-medium error page  [0x6]\n  Non-medium error count = 17\n", 17),
        ("Non-medium error count = 18446744073709551615", None),
        ("sg_logs: failed, Illegal request", None),
        ("", None),
    ],
)
def test_errors_that_are_not_the_mediums(text: str, count: int | None) -> None:
    assert parse_non_medium(text) == count


@pytest.mark.parametrize(
    ("text", "count"),
    [
        # sg_logs 1.81 on pages with one defect, and with none.
        (
            "Pending defects page  [0x15,0x1]\n"
            "  Pending defect count:   1  |     LBA            Accumulated power_on\n"
            "-----------------------------|--------------------------hours---------\n"
            "  Pending defect    1:          0xabcd                   4660\n",
            1,
        ),
        ("Pending defects page  [0x15,0x1]\n  Pending defect count: 0\n", 0),
        ("Pending defects page  [0x15,0x1]\n", None),
        ("Pending defect count: 99999999999999999999", None),
        ("sg_logs: failed, Illegal request", None),
        ("", None),
    ],
)
def test_blocks_that_wait(text: str, count: int | None) -> None:
    """EL 9's smartctl does not read them."""
    assert parse_pending(text) == count


# ata_sct_status and ata_sct_temperature_history of a Seagate with release 7.3, cut to the temperatures.
SCT: dict[str, Any] = {
    "ata_sct_status": {
        "temperature": {
            "current": 27, "power_cycle_min": 22, "power_cycle_max": 28, "lifetime_min": 8, "lifetime_max": 62,
            "op_limit_max": 80, "under_limit_count": 0, "over_limit_count": 0,
        }
    },
    "ata_sct_temperature_history": {
        "temperature": {"op_limit_min": -5, "op_limit_max": 80, "limit_min": -10, "limit_max": 85}
    },
    "temperature": {"current": 27},
}  # fmt: skip


def test_temperatures_by_sct() -> None:
    """The drive's own limits, not the policy's."""
    assert read_temperatures(Page(SCT)) == Temperatures(27, 22, 28, 8, 62, warning=80, critical=85, beyond=0, below=0)


@pytest.mark.parametrize("value", [255, 127, 128, -128, 65535, 0, None, "41", True, 41.5])
def test_what_is_no_temperature(value: Any) -> None:
    """What firmware writes where it has no sensor is not a temperature, and no alarm."""
    assert read_temperatures(Page({"temperature": {"current": value, "drive_trip": value}})) is None


@pytest.mark.parametrize(("kelvin", "celsius"), [(343, 70), (0, None), (65535, None), ("343", None), (True, None)])
def test_kelvin(kelvin: object, celsius: int | None) -> None:
    assert parse_kelvin(kelvin) == celsius


@given(st.text(max_size=60))
def test_text_that_nvme_might_print_raises_nothing(text: str) -> None:
    parse_object(text)
    parse_limits(text)
    parse_firmware_slots(text)
    parse_non_medium(text)
    parse_pending(text)


@given(st.dictionaries(st.sampled_from(["nvme0", "oacs", "wctemp", "edstt"]), st.integers() | st.text(max_size=4)))
def test_objects_that_are_odd_raise_nothing(document: dict[str, Any]) -> None:
    parse_limits(json.dumps(document))
    parse_firmware_slots(json.dumps({"nvme0": {"Active Firmware Slot (afi)": document.get("oacs"), **document}}))
