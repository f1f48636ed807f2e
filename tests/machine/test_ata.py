from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from liveagent.machine.ata import (
    AtaSanitizeState,
    AtaSanitizeStatus,
    is_refused,
    measure_hidden,
    parse_dco,
    parse_identify,
    parse_max_sectors,
    parse_sanitize_status,
    parse_security,
    probe_ata,
    probe_sanitize_status,
)
from tests.machine.replies import DISK, HANGS, NOT_INSTALLED, Reply, make_replay

RUNNING, IDLE, FAILED, FROZEN = (AtaSanitizeState[name] for name in ("RUNNING", "IDLE", "FAILED", "FROZEN"))


def read(corpus: Path, file: str) -> str:
    return (corpus / "hdparm" / file).read_text(encoding="utf-8", errors="replace")


# By file: model, sectors, rotation, the actions of sanitize, and what is hidden by HPA and DCO before it was asked for.
DRIVES: list[tuple[str, tuple[Any, ...]]] = [
    ("ironlib-i.txt", ("Samsung SSD 850 EVO 2TB", 3907029168, 0, "", None, None)),
    ("vm-hdparm-i.txt", ("QEMU HARDDISK", 131072, 7200, "", 0, 0)),
    ("fujitsu-mhv2080-frozen-no-enhanced-old-layout.txt", ("FUJITSU MHV2080BH", 156301488, None, "", None, None)),
    ("maas-intel-ssd-supported-not-enabled.txt", ("INTEL SSDSC2CT240A4", 468862128, 0, "", None, 0)),
    (
        "sandisk-extreme-500g-sanitize-block-not-frozen.txt",
        ("SanDisk Extreme Portable SSD", 976773168, 0, "block", None, 0),
    ),
    ("micron-1920g-sanitize-all-three-frozen-cut-head.txt", ("", None, 0, "block crypto overwrite", None, 0)),
    ("ipa-7pin-sata-frozen.txt", ("7 PIN  SATA FDM", 60579792, 0, "", None, None)),
]


@pytest.mark.corpus
@pytest.mark.parametrize(("file", "expected"), DRIVES)
def test_identify_of_real_drives(corpus: Path, file: str, expected: tuple[Any, ...]) -> None:
    """Twenty years of hdparm and its drives: tabs, blanks, cut heads, no CHS line."""
    facts = parse_identify(read(corpus, file))
    assert facts is not None
    sanitize = " ".join(sorted(facts.sanitize))
    found = (facts.model, facts.sectors, facts.rotation, sanitize, facts.hpa_hidden, facts.dco_hidden)
    assert found == expected
    assert facts.sector_size == 512 and facts.status is None


@pytest.mark.corpus
def test_identify_details(corpus: Path) -> None:
    """What only one of them says: encryption, antifreeze, an accessible max address that hdparm has no name for."""
    samsung = parse_identify(read(corpus, "ironlib-i.txt"))
    micron = parse_identify(read(corpus, "micron-1920g-sanitize-all-three-frozen-cut-head.txt"))
    assert samsung and micron
    assert (samsung.serial, samsung.firmware) == ("S2RLNX0H700433B", "EMT02B6Q")
    assert (samsung.encrypts, micron.encrypts) == (True, False)
    assert (samsung.antifreeze, micron.antifreeze) == (False, True)
    assert (samsung.amac, micron.amac) == (False, True)
    assert samsung.zoned == micron.zoned == "none"


@pytest.mark.corpus
@pytest.mark.parametrize(
    "file",
    [
        "vm-hdparm-i-on-nvme.txt",
        "sas-drive-hdparm-ic-io-error.txt",
        "vm-hdparm-sanitize-status.txt",
        "n-hpa-enabled.txt",
    ],
)
def test_what_is_no_identify_text_has_no_facts(corpus: Path, file: str) -> None:
    """hdparm exits 0 for an NVMe drive, a SAS drive, anything."""
    assert parse_identify(read(corpus, file)) is None


# hdparm 9.65 on a SCSI disk of QEMU, at exit status 0.
ZEROS = """
/dev/sda:

ATA device, with non-removable media
Standards:
\tLikely used: 1
Configuration:
\tLogical\t\tmax\tcurrent
\tcylinders\t0\t0
\theads\t\t0\t0
\tsectors/track\t0\t0
\t--
\tLogical/Physical Sector size:           512 bytes
\tdevice size with M = 1024*1024:           0 MBytes
\tdevice size with M = 1000*1000:           0 MBytes
\tcache/buffer size  = unknown
Capabilities:
\tIORDY not likely
\tCannot perform double-word IO
\tR/W multiple sector transfer: not supported
\tDMA: not supported
\tPIO: pio0
"""


def test_a_page_of_zeros_is_no_identify_text() -> None:
    """A SCSI disk that refused the command would be an ATA drive that is neither frozen nor locked."""
    assert parse_identify(ZEROS) is None


# Written after hdparm 9.65's form, with what makes the difference.
IDENTIFY = """
/dev/sda:

ATA device, with non-removable media
\tModel Number:       WDC WD40EFRX-68N32N0
\tSerial Number:      S4EWNX0N123456
\tFirmware Revision:  82.00A82
Configuration:
\tLBA    user addressable sectors:   268435455
\tLBA48  user addressable sectors:      100000
\tLogical  Sector size:                   512 bytes
\tPhysical Sector size:                  4096 bytes
\tNominal Media Rotation Rate: 5400
Commands/features:
\tEnabled\tSupported:
\t   *\tSMART feature set
{features}Security:
\tMaster password revision code = 65534
\t\tsupported
\tnot\tenabled
\tnot\tlocked
\tnot\tfrozen
\tnot\texpired: security count
\t\tsupported: enhanced erase
\tmore than 508min for SECURITY ERASE UNIT. more than 508min for ENHANCED SECURITY ERASE UNIT.
Checksum: correct
"""


def make_identify(*features: str) -> str:
    return IDENTIFY.format(features="".join(f"\t   *\t{feature}\n" for feature in features))


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ((), {"hpa_hidden": 0, "dco_hidden": 0, "amac": False, "zoned": "none"}),
        (("Host Protected Area feature set",), {"hpa_hidden": None}),
        (("Device Configuration Overlay feature set",), {"dco_hidden": None}),
        (("unknown 119[8]",), {"hpa_hidden": None, "amac": True}),
        (("reserved 69[0]",), {"zoned": "host-aware"}),
        (("reserved 69[1]",), {"zoned": "drive-managed"}),
        (("reserved 69[0]", "reserved 69[1]"), {"zoned": ""}),
        (("SANITIZE feature set", "CRYPTO_SCRAMBLE_EXT command"), {"sanitize": {"crypto"}}),
        (("SANITIZE feature set", "SANITIZE_ANTIFREEZE_LOCK_EXT command"), {"sanitize": set(), "antifreeze": True}),
        (("CRYPTO_SCRAMBLE_EXT command",), {"sanitize": set()}),
    ],
)
def test_features(features: tuple[str, ...], expected: dict[str, Any]) -> None:
    """A feature that is not there hides nothing; one that is leaves it unknown until it was asked."""
    facts = parse_identify(make_identify(*features))
    assert facts is not None
    assert {name: getattr(facts, name) for name in expected} == expected


def test_identify_sizes() -> None:
    """LBA48 counts where the older field has come to its end; minutes at the end of theirs are what is printed."""
    facts = parse_identify(make_identify())
    assert facts is not None
    assert (facts.sectors, facts.sector_size, facts.rotation) == (100000, 512, 5400)
    assert (facts.security.erase_minutes, facts.security.enhanced_minutes) == (508, 508)
    four = parse_identify(
        make_identify().replace("Logical  Sector size:                   512", "Logical  Sector size:  4096")
    )
    assert four is not None and four.sector_size == 4096


def test_a_list_of_features_that_is_cut_hides_what_it_does_not_name() -> None:
    """The line with the HPA may be in the part that is missing."""
    facts = parse_identify(make_identify().partition("Security:")[0])
    assert facts is not None
    assert (facts.hpa_hidden, facts.dco_hidden, facts.amac, facts.zoned) == (None, None, None, "")


def test_a_cd_drive_is_no_ata_disk() -> None:
    """hdparm prints the same headings for ATAPI."""
    assert parse_identify(make_identify().replace("ATA device, with", "ATAPI CD-ROM, with")) is None


# By file: supported, enabled, locked, frozen, expired, enhanced, and the minutes of both erases.
SECURITY: list[tuple[str, tuple[bool, ...], tuple[int | None, int | None]]] = [
    ("ironlib-i.txt", (True, False, False, False, False, True), (2, 8)),
    ("ipa-7pin-sata-enabled-locked.txt", (True, True, True, False, False, True), (24, 24)),
    ("ipa-7pin-sata-frozen.txt", (True, False, False, True, False, True), (24, 24)),
    ("ipa-7pin-sata-supported-only.txt", (True, False, False, False, False, False), (24, 24)),
    ("ipa-7pin-sata-security-not-supported.txt", (False, False, False, False, False, False), (24, 24)),
    ("maas-intel-ssd-all-true.txt", (True, True, True, True, False, True), (4, 2)),
    ("maas-intel-ssd-supported-enabled.txt", (True, True, False, False, False, True), (4, 2)),
    ("maas-intel-ssd-supported-not-enabled.txt", (True, False, False, False, False, True), (4, 2)),
    ("fujitsu-mhv2080-frozen-no-enhanced-old-layout.txt", (True, False, False, True, False, False), (80, None)),
    ("security-block-after-erase-spaces.txt", (True, False, False, False, False, True), (6, 6)),
    ("vm-hdparm-i.txt", (False, False, False, False, False, False), (None, None)),
]


@pytest.mark.corpus
@pytest.mark.parametrize(("file", "flags", "minutes"), SECURITY)
def test_security_of_real_drives(
    corpus: Path, file: str, flags: tuple[bool, ...], minutes: tuple[int | None, int | None]
) -> None:
    """A frozen or locked drive must be known before a password is set on it."""
    found = parse_security(read(corpus, file))
    assert (found.supported, found.enabled, found.locked, found.frozen, found.expired, found.enhanced) == flags
    assert (found.erase_minutes, found.enhanced_minutes) == minutes


# Written after hdparm 9.65's form: what a drive says after too many wrong passwords, set with level maximum.
EXPIRED = """Security:
\tMaster password revision code = 65534
\t\tsupported
\t\tenabled
\t\tlocked
\tnot\tfrozen
\t\texpired: security count
\tnot\tsupported: enhanced erase
\tSecurity level maximum
\t4min for SECURITY ERASE UNIT.
"""


def test_security_expired() -> None:
    """A drive that takes no more passwords until it was without power."""
    found = parse_security(EXPIRED)
    assert (found.enabled, found.locked, found.expired, found.enhanced) == (True, True, True, False)
    assert (found.level, found.erase_minutes, found.enhanced_minutes) == ("maximum", 4, None)


@pytest.mark.parametrize("cut", ["supported\n", "enabled\n", "locked\n"])
def test_a_security_block_that_is_cut_offers_nothing(cut: str) -> None:
    """Its missing line may have said frozen, or locked."""
    block = make_identify().partition("Security:")[2].partition(cut)
    found = parse_security("Security:" + block[0] + block[1])
    assert (found.supported, found.enhanced, found.frozen) == (False, False, True)


def make_status(*lines: str) -> str:
    """The status as hdparm 9.65 prints it; nobody recorded more than an idle one."""
    return "\n/dev/sda:\nIssuing SANITIZE_STATUS command\nSanitize status:\n" + "".join(
        f"    {line}\n" for line in lines
    )


COMPLETED = "Last Sanitize Operation Completed Without Error"
# Of a drive whose sanitize failed hdparm prints this to stderr, and exits with EIO.
DRIVE_FAILED = """Issuing SANITIZE_STATUS command
SANITIZE failed: Input/output error
SANITIZE device error reason: Last Sanitize Command completed unsuccessfully
Drive in SD3 Sanitize Operation Failed state
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (make_status("State:    SD0 Sanitize Idle"), AtaSanitizeStatus(IDLE, None, False)),
        (make_status("State:    SD0 Sanitize Idle", COMPLETED), AtaSanitizeStatus(IDLE, None, True)),
        (make_status("State:    SD4 Sanitize Operation succeeded"), AtaSanitizeStatus(IDLE, None, True)),
        (make_status("State:    SD1 Sanitize Frozen"), AtaSanitizeStatus(FROZEN, None, False)),
        (
            make_status("State:    SD2 Sanitize operation In Process", "Progress: 0x41c2 (25%)"),
            AtaSanitizeStatus(RUNNING, 0x41C2 / 65536, False),
        ),
        (make_status("State:    SD2 Sanitize operation In Process"), AtaSanitizeStatus(RUNNING, None, False)),
        # The flag of the last operation says nothing of the one that runs.
        (
            make_status("State:    SD2 Sanitize operation In Process", "Progress: 0x0 (0%)", COMPLETED),
            AtaSanitizeStatus(RUNNING, 0.0, False),
        ),
        (
            make_status("State:    SD0 Sanitize Idle", COMPLETED, "Antifreeze bit set"),
            AtaSanitizeStatus(IDLE, None, True),
        ),
        (DRIVE_FAILED, AtaSanitizeStatus(FAILED, None, False)),
        ("SANITIZE feature set is not supported\n", None),
        ("\n/dev/sda:\n", None),
        ("", None),
    ],
)
def test_sanitize_status(text: str, expected: AtaSanitizeStatus | None) -> None:
    """An idle drive, one that has completed, and one that did not answer are three things."""
    assert parse_sanitize_status(text) == expected


@pytest.mark.corpus
@pytest.mark.parametrize("file", ["mx500-block-erase-refused-then-idle.txt", "vm-hdparm-sanitize-status.txt"])
def test_a_status_that_was_refused_is_none(corpus: Path, file: str) -> None:
    """The drive aborted the question; hdparm prints SD0 Sanitize Idle, made of the zeros in its buffer."""
    assert parse_sanitize_status(read(corpus, file)) is None


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("mx500-block-erase-refused-then-idle.txt", True),
        ("vm-hdparm-security-set-pass.txt", True),
        ("security-unlock-frozen-sense.txt", True),
        ("sas-drive-hdparm-ic-io-error.txt", True),
        ("vm-hdparm-dco-identify.txt", True),
        ("vm-hdparm-sanitize-status.txt", True),
        ("dco-identify-3t-checksum-verified.txt", False),
        ("n-hpa-enabled.txt", False),
    ],
)
def test_refusals_of_real_drives(corpus: Path, file: str, expected: bool) -> None:
    """hdparm says "Operation started in background" and exits 0, above the drive's own abort."""
    assert is_refused(read(corpus, file)) is expected


SENSE = "SG_IO: bad/missing sense data, sb[]:  "
REFUSED = SENSE + "70 00 05 00 00 00 00 0a 00 00 00 00 20 00 00 00 00 00\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Descriptor format with the ATA registers (SAT-3): status 51, error 04, and status 50 without error.
        (SENSE + "72 00 00 00 00 00 00 0e 09 0c 00 04 00 00 00 00 00 00 00 00 40 51 00 00", True),
        (SENSE + "72 01 00 1d 00 00 00 0e 09 0c 00 00 00 00 00 00 00 00 00 00 40 50 00 00", False),
        (SENSE + "70 00 05 00 00 00 00 0a 00 00 00 00 20 00 00 00 00 00", True),
        (SENSE + "f0 00 01 00 50 40 00 0a 00 00 00 00 00 1d 00 00 00 00", False),
        # Nothing at all, as behind a RAID controller: the drive may have taken the command.
        (SENSE + "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00", False),
        ("SANITIZE device error reason: Device in FROZEN state\n", True),
        ("SANITIZE device error reason: Unsupported command\n", True),
        ("SANITIZE device error reason: Reason not reported\n", False),
        ("Issuing SANITIZE_BLOCK_ERASE command\nOperation started in background\n", False),
        ("", False),
    ],
)
def test_refusals(text: str, expected: bool) -> None:
    """Only what certainly never began may be followed by another technique."""
    assert is_refused(text) is expected


@pytest.mark.corpus
def test_max_sectors_of_real_drives(corpus: Path) -> None:
    """A bridge's 0/1 was once taken for the size of a disk, of which then 512 bytes were erased."""
    assert parse_max_sectors(read(corpus, "n-hpa-enabled.txt")) == (586070255, 586072368)
    assert parse_max_sectors(read(corpus, "n-usb-bridge-invalid.txt")) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" max sectors   = 100000/100000, HPA is disabled\n", (100000, 100000)),
        (" max sectors   = 90000/100000, ACCESSIBLE MAX ADDRESS enabled\n", (90000, 100000)),
        (" max sectors   = 100000/100000, ACCESSIBLE MAX ADDRESS disabled\n", (100000, 100000)),
        (" max sectors   = 66055248/1(156301488?), HPA setting seems invalid (buggy kernel device driver?)\n", None),
        (" max sectors   = 0/0, HPA is disabled\n", None),
        (" max sectors   = 100000/1, HPA is disabled\n", None),
        (" max sectors   = 100000/100000", None),
        # hdparm 9.65 on a SCSI disk of QEMU, and the same with a number that would be one.
        (REFUSED + " max sectors   = 0/1, HPA is enabled\n", None),
        (REFUSED + " max sectors   = 100000/100001, HPA is enabled\n", None),
        (" READ_NATIVE_MAX_ADDRESS_EXT failed: Input/output error\n", None),
    ],
)
def test_max_sectors(text: str, expected: tuple[int, int] | None) -> None:
    """Numbers that contradict themselves are unknown."""
    assert parse_max_sectors(text) == expected


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("dco-identify-3t-checksum-verified.txt", 5860533168),
        ("dco-identify-750g.txt", 1465149168),
        ("dco-identify-usb-500g.txt", 976773168),
        ("vm-hdparm-dco-identify.txt", None),
    ],
)
def test_dco_of_real_drives(corpus: Path, file: str, expected: int | None) -> None:
    """QEMU refuses the command, and hdparm prints a max of 1."""
    assert parse_dco(read(corpus, file)) == expected


def test_dco_with_a_wrong_checksum() -> None:
    """Data that is damaged is no measure of a disk."""
    assert parse_dco("DCO Checksum FAILED!\nDCO Revision: 0x0002\n\tReal max sectors: 100000\n") is None


HPA, DCO = "Host Protected Area feature set", "Device Configuration Overlay feature set"


@pytest.mark.parametrize(
    ("features", "reach", "real", "expected"),
    [
        ((HPA, DCO), (100000, 100000), 100000, (0, 0)),
        ((HPA, DCO), (100000, 120000), 120000, (20000, 0)),
        ((HPA, DCO), (100000, 120000), 150000, (20000, 30000)),
        ((HPA, DCO), None, 150000, (None, None)),
        ((HPA, DCO), (100000, 120000), None, (20000, None)),
        # The drive speaks of another size than IDENTIFY DEVICE.
        ((HPA, DCO), (90000, 120000), 120000, (None, None)),
        # A DCO below what can be reached is no DCO.
        ((HPA, DCO), (100000, 120000), 110000, (20000, None)),
        ((DCO,), None, 100008, (0, 8)),
        ((), None, None, (0, 0)),
    ],
)
def test_hidden_sectors(
    features: tuple[str, ...], reach: tuple[int, int] | None, real: int | None, expected: tuple[int | None, int | None]
) -> None:
    """Sectors that an overwrite would not reach are counted, and never guessed to be none."""
    facts = parse_identify(make_identify(*features))
    assert facts is not None
    measured = measure_hidden(facts, reach, real)
    assert (measured.hpa_hidden, measured.dco_hidden) == expected


ASKED = {
    "hdparm -I /dev/sda": make_identify(HPA, DCO, "SANITIZE feature set", "BLOCK_ERASE_EXT command"),
    "hdparm -N /dev/sda": "\n/dev/sda:\n max sectors   = 100000/100500, HPA is enabled\n",
    "hdparm --dco-identify /dev/sda": "\n/dev/sda:\nDCO Checksum verified.\n\tReal max sectors: 101000\n",
    "hdparm --sanitize-status /dev/sda": Reply(stderr=DRIVE_FAILED, status=5),
}


def test_probe(tmp_path: Path) -> None:
    """Everything at once, and the state of a failed sanitize, which hdparm tells on stderr alone."""
    facts = probe_ata(make_replay(tmp_path, ASKED), DISK)
    assert facts is not None
    assert (facts.serial, facts.sanitize) == (DISK.serial, {"block"})
    assert (facts.hpa_hidden, facts.dco_hidden) == (500, 500)
    assert facts.status == AtaSanitizeStatus(FAILED, None, False)


def test_a_drive_is_asked_only_for_what_it_has(tmp_path: Path) -> None:
    """READ NATIVE MAX ADDRESS to a drive without it is an error in its log, and sometimes a reset of the link."""
    facts = probe_ata(make_replay(tmp_path, {"hdparm -I /dev/sda": make_identify()}), DISK)
    assert facts is not None
    assert (facts.hpa_hidden, facts.dco_hidden, facts.status) == (0, 0, None)


def test_a_drive_that_hangs_keeps_what_it_has_said(tmp_path: Path) -> None:
    """The rest is unknown, and not asked."""
    facts = probe_ata(make_replay(tmp_path, {**ASKED, "hdparm -N /dev/sda": HANGS}), DISK)
    assert facts is not None
    assert (facts.sanitize, facts.hpa_hidden, facts.dco_hidden, facts.status) == ({"block"}, None, None, None)


@pytest.mark.parametrize("reply", [NOT_INSTALLED, HANGS, Reply("\n/dev/sda:\n")])
def test_no_answer_is_no_facts(tmp_path: Path, reply: Reply) -> None:
    """Exit status 0 and an empty page."""
    assert probe_ata(make_replay(tmp_path, {"hdparm -I /dev/sda": reply}), DISK) is None


def test_probe_sanitize_status(tmp_path: Path) -> None:
    """What is polled while a sanitize runs."""
    text = make_status("State:    SD2 Sanitize operation In Process", "Progress: 0x8000 (50%)")
    host = make_replay(
        tmp_path, {"hdparm --sanitize-status /dev/sdb": text, "hdparm --sanitize-status /dev/sdc": HANGS}
    )
    assert probe_sanitize_status(host, "/dev/sdb") == AtaSanitizeStatus(RUNNING, 0.5, False)
    assert probe_sanitize_status(host, "/dev/sdc") is None


def test_facts_stay_as_they_are() -> None:
    """A fact that can be changed later is none."""
    facts = parse_identify(make_identify())
    with pytest.raises(dataclasses.FrozenInstanceError):
        facts.serial = "X"  # type: ignore[misc, union-attr]
