"""What a SCSI or SAS drive says of itself, by sg3_utils. Fields are those of SBC-4 and SPC-5."""

from __future__ import annotations

import dataclasses
import enum
import re

from liveagent.host import Host
from liveagent.machine.disks import Disk
from liveagent.machine.question import Questions

# SANITIZE, and its service actions that erase.
SANITIZE = 0x48
SANITIZE_ACTIONS = {1: "overwrite", 2: "block", 3: "crypto"}
# Sense keys that say nothing against a drive.
READY_KEYS = ("No Sense", "Recovered Error")
# A unit attention is news, told once a piece in place of an answer: a power cycle leaves several.
UNIT_ATTENTION = "Unit Attention"
TRIES = 4


class ScsiState(enum.Enum):
    """Whether the drive takes commands; UNKNOWN where it did not say."""

    READY = "ready"
    SANITIZING = "sanitizing"
    SANITIZE_FAILED = "sanitize-failed"
    NOT_READY = "not-ready"
    UNKNOWN = "unknown"


@dataclasses.dataclass(frozen=True)
class Capacity:
    """READ CAPACITY (16). `protection` is the type, 0 for none; `blocks` of `block_length` bytes."""

    protection: int
    provisioned: bool
    zeroed: bool
    blocks: int
    block_length: int


@dataclasses.dataclass(frozen=True)
class ScsiFacts:
    """A drive as SCSI describes it.

    `sanitize`: of "crypto", "block", "overwrite"; what the drive does not list is not offered. `protection`: the type
    of protection information, 0 for none. `block_length` in bytes, also 520 or 528; None where the capacity could not
    be read, and then protection, provisioned and zeroed are not known either. `provisioned`: thin; `zeroed`: unmapped
    blocks read as zeros. `rotation`: revolutions a minute, 0 for solid state, None where not said. `progress` of a
    sanitize from 0 to 1.
    """

    sanitize: frozenset[str]
    protection: int
    block_length: int | None
    provisioned: bool
    zeroed: bool
    rotation: int | None
    state: ScsiState
    progress: float | None


def parse_readcap(text: str) -> Capacity | None:
    """`sg_readcap --long`; None where the drive did not answer."""
    protection = re.search(r"prot_en=([01]), p_type=(\d)", text)
    thin = re.search(r"lbpme=([01]), lbprz=([01])", text)
    blocks = re.search(r"Number of logical blocks=(\d+)", text)
    length = re.search(r"Logical block length=(\d+) bytes", text)
    if not (protection and thin and blocks and length) or int(length.group(1)) == 0:
        return None
    return Capacity(
        protection=int(protection.group(2)) + 1 if protection.group(1) == "1" else 0,
        provisioned=thin.group(1) == "1",
        zeroed=thin.group(2) == "1",
        blocks=int(blocks.group(1)),
        block_length=int(length.group(1)),
    )


def parse_bdc(text: str) -> int | None:
    """`sg_vpd --page=bdc`: revolutions a minute, 0 for solid state; None where not said."""
    if "Non-rotating medium" in text:
        return 0
    rate = re.search(r"Nominal rotation rate: (\d+) rpm", text)
    return int(rate.group(1)) if rate else None


def parse_opcode(text: str) -> bool | None:
    """`sg_opcodes --opcode=OP,SA`: whether the drive takes the command; None where it does not say."""
    match = re.search(r"^\s*Command is (supported|NOT supported)\b", text, re.MULTILINE)
    return match.group(1) == "supported" if match else None


def parse_sense(text: str) -> tuple[ScsiState, float | None]:
    """Sense data as sg3_utils decodes it (sg_requests, sg_turs --verbose): the state, and how far a sanitize is."""
    if re.search(r"\bsanitize in progress\b", text, re.IGNORECASE):
        progress = re.search(r"Progress indication: (\d+(?:\.\d+)?)%", text)
        return ScsiState.SANITIZING, min(float(progress.group(1)) / 100, 1.0) if progress else None
    if re.search(r"\bsanitize command failed\b", text, re.IGNORECASE):
        return ScsiState.SANITIZE_FAILED, None
    key = re.search(r"Sense key:\s+(\w+(?: \w+)*)", text)
    if key and key.group(1) == "Not Ready":
        return ScsiState.NOT_READY, None
    return (ScsiState.READY if key and key.group(1) in READY_KEYS else ScsiState.UNKNOWN), None


def probe_scsi(host: Host, disk: Disk, questions: Questions | None = None) -> ScsiFacts | None:
    """What the drive offers; None where nothing at the disk's path answers."""
    questions = questions or Questions(host)
    state, progress = probe_state(host, disk.path, questions)
    capacity = parse_readcap(questions.read(["sg_readcap", "--long", "--readonly", disk.path]))
    if state is ScsiState.UNKNOWN and not capacity:
        return None
    offers = {
        action: parse_opcode(questions.read(["sg_opcodes", f"--opcode={SANITIZE:#x},{number}", disk.path]))
        for number, action in SANITIZE_ACTIONS.items()
    }
    return ScsiFacts(
        sanitize=frozenset(action for action, is_offered in offers.items() if is_offered),
        protection=capacity.protection if capacity else 0,
        block_length=capacity.block_length if capacity else None,
        provisioned=bool(capacity and capacity.provisioned),
        zeroed=bool(capacity and capacity.zeroed),
        rotation=parse_bdc(questions.read(["sg_vpd", "--page=bdc", disk.path])),
        state=state,
        progress=progress,
    )


def probe_state(host: Host, path: str, questions: Questions | None = None) -> tuple[ScsiState, float | None]:
    """Whether the drive takes commands, and how far a sanitize is, from 0 to 1."""
    questions = questions or Questions(host)
    state, progress = parse_sense(questions.read(["sg_requests", path]))
    if state not in (ScsiState.READY, ScsiState.UNKNOWN):
        return state, progress
    # Some drives answer REQUEST SENSE as if nothing were; what a command is answered with counts.
    for _ in range(TRIES):
        tested = questions.ask(["sg_turs", "--verbose", path])
        said = f"{tested.stdout}\n{tested.stderr}" if tested else ""
        # A drive that is ready says nothing: the command has to be seen beside the exit status.
        if tested and tested.status == 0 and "test unit ready cdb" in said and "Sense key:" not in said:
            return ScsiState.READY, None
        if UNIT_ATTENTION not in said:
            return parse_sense(said)
    return ScsiState.UNKNOWN, None
