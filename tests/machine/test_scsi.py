from __future__ import annotations

from pathlib import Path

import pytest

from liveagent.machine.scsi import (
    Capacity,
    ScsiState,
    parse_bdc,
    parse_opcode,
    parse_readcap,
    parse_sense,
    probe_scsi,
    probe_state,
)
from tests.machine.replies import DISK, HANGS, NOT_INSTALLED, Reply, make_replay


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("long-type2-protection-1tb-verbose.txt", Capacity(2, False, False, 1953525168, 512)),
        ("long-type2-protection-4kn-physical.txt", Capacity(2, True, True, 195371568, 512)),
        ("vm-sg-readcap-l-debug.txt", Capacity(1, True, True, 65536, 512)),
        ("vm-sg-readcap-l-scsi.txt", Capacity(0, True, False, 16384, 4096)),
        ("vm-sg-readcap-l-ata.txt", Capacity(0, True, False, 131072, 512)),
        ("own-sg-inq-virtio.txt", None),
        ("vm-sg-vpd-bl-nvme.txt", None),
    ],
)
def test_readcap_of_real_drives(corpus: Path, file: str, expected: Capacity | None) -> None:
    """A drive with protection information has to be reformatted for the next system; p_type counts from 0."""
    assert parse_readcap((corpus / "sg3" / file).read_text()) == expected


@pytest.mark.corpus
@pytest.mark.parametrize("length", [520, 528])
def test_readcap_of_an_array_drive(corpus: Path, length: int) -> None:
    """Drives out of storage arrays; the tool's form with their block length."""
    text = (corpus / "sg3" / "long-type2-protection-1tb-verbose.txt").read_text()
    found = parse_readcap(text.replace("block length=512 bytes", f"block length={length} bytes"))
    assert found is not None and found.block_length == length


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("bdc-hdd-7200.txt", 7200),
        ("vm-sg-vpd-bdc-ata.txt", 7200),
        ("vm-sg-vpd-bdc-debug.txt", 0),
        ("vm-sg-vpd-bdc-scsi.txt", None),
        ("vm-sg-vpd-bl-nvme.txt", None),
    ],
)
def test_rotation(corpus: Path, file: str, expected: int | None) -> None:
    """For an overwrite, flash and disk are not the same: what is not said is not taken for either."""
    assert parse_bdc((corpus / "sg3" / file).read_text()) == expected


def make_opcode(words: str, action: int = 2) -> str:
    """The form of sg_opcodes 0.69, as it answered for disks of libata and scsi_debug."""
    return f"""
  Opcode=0x48  Service_action=0x{action:04x}
  Command_name: Sanitize, block erase
  Command is {words}
  No command duration limit mode page
  Multiple Logical Units (MLU): not reported
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (make_opcode("supported [conforming to SCSI standard]"), True),
        (make_opcode("supported [in a vendor specific manner]"), True),
        (make_opcode("NOT supported"), False),
        # Later versions put what follows into the same line.
        (make_opcode("NOT supported, [no command duration limit mode page]"), False),
        (make_opcode("not currently available"), None),
        (make_opcode("support reserved [0x6]"), None),
        ("Report supported operation codes: Illegal request, Invalid opcode\n", None),
        ("", None),
    ],
)
def test_opcode(text: str, expected: bool | None) -> None:
    """A drive that does not take the question has not said no, and offers nothing."""
    assert parse_opcode(text) is expected


# Printed by sg_decode_sense 1.46 for the sense data of these states (SPC-5, table of ASC and ASCQ assignments).
SANITIZING = """Fixed format, current; Sense key: Not Ready
Additional sense: Logical unit not ready, sanitize in progress
  Progress indication: 12.33%
"""
SANITIZING_DESCRIPTOR = """Descriptor format, current; Sense key: Not Ready
Additional sense: Logical unit not ready, sanitize in progress
  Descriptor type: Sense key specific: Progress indication: 12.33%
"""
SANITIZE_FAILED = """Fixed format, current; Sense key: Medium Error
Additional sense: Sanitize command failed
"""
FORMATTING = """Fixed format, current; Sense key: Not Ready
Additional sense: Logical unit not ready, format in progress
  Progress indication: 12.33%
"""
STOPPED = """Fixed format, current; Sense key: Not Ready
Additional sense: Logical unit not ready, initializing command required
"""
NO_SENSE = """Fixed format, current; Sense key: No Sense
Additional sense: No additional sense information
"""
ATTENTION = """Fixed format, current; Sense key: Unit Attention
Additional sense: Power on, reset, or bus device reset occurred
"""
# sg_requests 1.46 on a SCSI disk of QEMU, which is ready; of one behind libata it prints nothing.
NO_COMMAND = """data-in decoded as sense:
Fixed format, current; Sense key: Illegal Request
Additional sense: Invalid command operation code

Number of data-in errors detected: 1, most recent sense_key=5
"""
TUR = "    test unit ready cdb: [00 00 00 00 00 00]\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SANITIZING, (ScsiState.SANITIZING, 0.1233)),
        (SANITIZING_DESCRIPTOR, (ScsiState.SANITIZING, 0.1233)),
        (SANITIZING.replace("Not Ready", "No Sense"), (ScsiState.SANITIZING, 0.1233)),
        (SANITIZING.partition("  Progress")[0], (ScsiState.SANITIZING, None)),
        (SANITIZE_FAILED, (ScsiState.SANITIZE_FAILED, None)),
        (FORMATTING, (ScsiState.NOT_READY, None)),
        (STOPPED, (ScsiState.NOT_READY, None)),
        (NO_SENSE, (ScsiState.READY, None)),
        # Told in place of what was asked.
        (ATTENTION, (ScsiState.UNKNOWN, None)),
        ("Request sense: pass-through os error: Invalid argument\n", (ScsiState.UNKNOWN, None)),
        (NO_COMMAND, (ScsiState.UNKNOWN, None)),
        ("", (ScsiState.UNKNOWN, None)),
    ],
)
def test_sense(text: str, expected: tuple[ScsiState, float | None]) -> None:
    """A sanitize that runs is waited for; one that failed leaves a drive that takes nothing else."""
    assert parse_sense(text) == expected


@pytest.mark.corpus
def test_sense_of_a_bad_sector(corpus: Path) -> None:
    """A medium error elsewhere is no failed sanitize."""
    assert parse_sense((corpus / "sg3" / "verify-medium-error.txt").read_text()) == (ScsiState.UNKNOWN, None)


REQUESTS, TURS = "sg_requests /dev/sda", "sg_turs --verbose /dev/sda"


@pytest.mark.parametrize(
    ("requests", "turs", "expected"),
    [
        (NO_SENSE, Reply(stderr=TUR), (ScsiState.READY, None)),
        (NO_COMMAND, Reply(stderr=TUR), (ScsiState.READY, None)),
        ("", Reply(stderr=TUR), (ScsiState.READY, None)),
        (SANITIZING, HANGS, (ScsiState.SANITIZING, 0.1233)),
        (FORMATTING, HANGS, (ScsiState.NOT_READY, None)),
        # A drive that answers REQUEST SENSE as if nothing were.
        (
            NO_SENSE,
            Reply(stderr=f"{TUR}test unit ready:  {SANITIZE_FAILED}", status=3),
            (ScsiState.SANITIZE_FAILED, None),
        ),
        (NO_SENSE, Reply(stderr=f"{TUR}test unit ready:  {SANITIZING}", status=2), (ScsiState.SANITIZING, 0.1233)),
        (ATTENTION, Reply(stderr=f"{TUR}test unit ready:  {ATTENTION}", status=6), (ScsiState.UNKNOWN, None)),
        # An exit status alone is nothing.
        (NO_SENSE, Reply(), (ScsiState.UNKNOWN, None)),
        (NO_SENSE, Reply(stderr=TUR, status=99), (ScsiState.UNKNOWN, None)),
        (NOT_INSTALLED, NOT_INSTALLED, (ScsiState.UNKNOWN, None)),
        (HANGS, Reply(stderr=TUR), (ScsiState.UNKNOWN, None)),
    ],
)
def test_probe_state(
    tmp_path: Path, requests: str | Reply, turs: Reply, expected: tuple[ScsiState, float | None]
) -> None:
    """Two questions, since drives differ in which of them they answer in earnest."""
    assert probe_state(make_replay(tmp_path, {REQUESTS: requests, TURS: turs}), "/dev/sda") == expected


def make_replies(corpus: Path, **change: str | Reply) -> dict[str, str | Reply]:
    ready: dict[str, str | Reply] = {
        "requests": NO_SENSE,
        "turs": Reply(stderr=TUR),
        "readcap": (corpus / "sg3" / "vm-sg-readcap-l-debug.txt").read_text(),
        "overwrite": make_opcode("NOT supported", 1),
        "block": make_opcode("supported [conforming to SCSI standard]", 2),
        "crypto": Reply(stderr="Report supported operation codes: Illegal request, Invalid opcode\n", status=9),
        "bdc": (corpus / "sg3" / "vm-sg-vpd-bdc-debug.txt").read_text(),
    }
    commands = {
        "requests": REQUESTS,
        "turs": TURS,
        "readcap": "sg_readcap --long --readonly /dev/sda",
        "overwrite": "sg_opcodes --opcode=0x48,1 /dev/sda",
        "block": "sg_opcodes --opcode=0x48,2 /dev/sda",
        "crypto": "sg_opcodes --opcode=0x48,3 /dev/sda",
        "bdc": "sg_vpd --page=bdc /dev/sda",
    }
    return {commands[name]: reply for name, reply in {**ready, **change}.items()}


@pytest.mark.corpus
def test_probe(corpus: Path, tmp_path: Path) -> None:
    """What the drive lists is offered, and nothing else."""
    facts = probe_scsi(make_replay(tmp_path, make_replies(corpus)), DISK)
    assert facts is not None
    assert (facts.sanitize, facts.protection, facts.block_length, facts.rotation) == ({"block"}, 1, 512, 0)
    assert (facts.provisioned, facts.zeroed, facts.state, facts.progress) == (True, True, ScsiState.READY, None)


@pytest.mark.corpus
def test_a_drive_in_the_middle_of_a_sanitize_has_facts(corpus: Path, tmp_path: Path) -> None:
    """It refuses READ CAPACITY, and must be known to be waited for."""
    not_ready = Reply(stderr="READ CAPACITY (16) failed: Device not ready\n", status=2)
    host = make_replay(tmp_path, make_replies(corpus, requests=SANITIZING, readcap=not_ready))
    facts = probe_scsi(host, DISK)
    assert facts is not None
    assert (facts.state, facts.progress, facts.block_length) == (ScsiState.SANITIZING, 0.1233, None)


@pytest.mark.corpus
@pytest.mark.parametrize("reply", [NOT_INSTALLED, HANGS, Reply(stderr="error opening file", status=50)])
def test_no_answer_is_no_facts(corpus: Path, tmp_path: Path, reply: Reply) -> None:
    """Without sg3_utils, or where nothing at the path is a SCSI drive."""
    host = make_replay(tmp_path, dict.fromkeys(make_replies(corpus), reply))
    assert probe_scsi(host, DISK) is None
