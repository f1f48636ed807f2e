"""How far a wipe has come, kept on the disk itself, so that a power cut costs seconds and not a day.

The record lies in two slots at the end of the disk, the space that is wiped last, and is written to them in turn:
whatever moment the power goes, one of them is whole. It carries what the certificate needs of the first sitting,
whose events may be gone with that boot's memory.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
import re
from typing import Any, Callable

from liveagent.machine.disks import Disk
from liveagent.tasks.wipe.flow import Span
from liveagent.tasks.wipe.overwrite import RANGE_LIMIT, SECTOR_LIMIT, Medium, Trouble
from liveagent.tasks.wipe.pattern import Buffer

MAGIC = b"liveagent-wipe-record 1 "
SLOT = 128 * 1024
SLOTS = 2
RESERVED = SLOT * SLOTS
PAGE = 4096
PASSES_LIMIT = 35
WORDS_LIMIT, WORD_LIMIT = 256, 256
# A smaller disk is wiped in no time, and begun anew.
SMALLEST = 8 * 1024 * 1024
# What vouches for earlier sittings.
SEALED = "by a record that the agent's own key seals"
UNSEALED = (
    "by a record that nothing seals: what it says of earlier sittings and of the state before is its word alone, and "
    "all that it claims to be written is read back before the disk is called erased"
)


@dataclasses.dataclass(frozen=True)
class Sitting:
    """One stretch of time in which a disk was worked on; `start` and `end` count bytes written, over all passes."""

    run: str
    started: str
    finished: str
    start: int
    end: int

    def encode(self) -> dict[str, Any]:
        return {"run": self.run, "started": self.started, "finished": self.finished, "from": self.start, "to": self.end}

    @classmethod
    def decode(cls, document: dict[str, Any]) -> Sitting:
        return cls(document["run"], document["started"], document["finished"], document["from"], document["to"])


@dataclasses.dataclass(frozen=True)
class Record:
    """Where a wipe stands. `number` is the pass (from 0); `offset`: all before it is done, and on the medium.

    `phase` is "write", or "verify" when all passes are done. `seed` makes the keys of all passes. `digest` is the sum
    over samples of what was there before, `unreadable` how many of those could not be read, `digest_seed` chose them;
    which places are read back at the end no record knows. `passed`: techniques that never began
    before it. `body` is what lies before the reserved space.
    """

    serial: str
    model: str
    size: int
    body: int
    patterns: tuple[str, ...]
    seed: str
    digest_seed: int
    digest: str = ""
    unreadable: int = 0
    contents: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    phase: str = "write"
    number: int = 0
    offset: int = 0
    errors: tuple[Trouble, ...] = ()
    sittings: tuple[Sitting, ...] = ()
    sequence: int = 0
    # What stands on the disk by the word of a record that nothing sealed: all before this byte. It stays so, whoever
    # goes on from there, until it has been read back. `suspected` are the places that such a record called bad.
    claimed: int = 0
    suspected: tuple[Trouble, ...] = ()
    # By the agent's own key over all the rest; "" where it has none.
    seal: str = ""

    @property
    def sealed_text(self) -> str:
        """What the seal is over."""
        return json.dumps({**self.encode(), "seal": ""}, sort_keys=True, separators=(",", ":"))

    @property
    def written(self) -> int:
        """Bytes written so far, over all passes."""
        done = len(self.patterns) if self.phase == "verify" else self.number
        return done * self.body + (self.offset if self.phase == "write" else 0)

    def encode(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "sittings": [sitting.encode() for sitting in self.sittings]}

    @classmethod
    def decode(cls, document: dict[str, Any]) -> Record:
        """Raises KeyError, TypeError, ValueError where it is none."""
        values: dict[str, Any] = {field.name: document[field.name] for field in dataclasses.fields(cls)}
        for name in ("errors", "suspected"):
            values[name] = tuple(Trouble(**trouble) for trouble in values[name])
        values["sittings"] = tuple(Sitting.decode(sitting) for sitting in values["sittings"])
        for name in ("patterns", "contents", "passed"):
            values[name] = tuple(values[name])
        return cls(**values)


def find_fault(record: Record) -> str:
    """What is wrong with a record that is whole; "" where it makes sense. Somebody may have written it himself."""
    numbers = (record.size, record.body, record.digest_seed, record.unreadable, record.number, record.offset)
    if not all(isinstance(number, int) and number >= 0 for number in (*numbers, record.sequence, record.claimed)):
        return "a number in it is none"
    if record.phase not in ("write", "verify") or not 1 <= len(record.patterns) <= PASSES_LIMIT:
        return "its phase or its passes are none"
    if record.number > len(record.patterns) or record.offset > record.body or record.body > record.size:
        return "it says that more is done than there is"
    if record.offset % PAGE and record.offset != record.body:
        return "it stopped in the middle of a page"
    if not re.fullmatch(r"[0-9a-f]{64}", record.seed) or not re.fullmatch(r"([0-9a-f]{64})?", record.seal):
        return "its seed or its seal is none"
    if record.claimed > record.body or record.claimed % PAGE:
        return "it says that more is claimed than there is"
    words = (*record.contents, *record.passed, record.digest, record.seal, record.serial, record.model)
    if len(words) > WORDS_LIMIT or not all(isinstance(word, str) and len(word) <= WORD_LIMIT for word in words):
        return "a word in it is none"
    if not all(_is_sitting(one) for one in record.sittings):
        return "a sitting in it is none"
    if not record.sittings or len(record.errors) + len(record.suspected) > RANGE_LIMIT:
        return "it says of no run, or of more errors than a wipe goes on with"
    errors = (*record.errors, *record.suspected)
    if not all(_is_place(one) for one in errors):
        return "an error in it is none"
    lost = sum(trouble.length for trouble in errors)
    if lost > SECTOR_LIMIT * PAGE or any(not 0 <= one.offset <= one.end <= record.size for one in errors):
        return "its errors are not on the disk, or too many"
    return ""


def _is_sitting(sitting: Sitting) -> bool:
    words = (sitting.run, sitting.started, sitting.finished)
    return all(isinstance(word, str) and re.fullmatch(r"[-0-9A-Za-z:.]{0,64}", word) for word in words) and all(
        isinstance(number, int) and number >= 0 for number in (sitting.start, sitting.end)
    )


def _is_place(trouble: Trouble) -> bool:
    numbers = (trouble.offset, trouble.length)
    return all(isinstance(number, int) and number % 512 == 0 for number in numbers) and isinstance(trouble.message, str)


def find_reserved(disk: Disk) -> Span | None:
    """The space that is wiped last; None on a disk that is too small to be worth it."""
    if disk.size < SMALLEST:
        return None
    start = (disk.size - RESERVED) // PAGE * PAGE
    return Span(start, disk.size - start)


def render_record(record: Record) -> bytes:
    """A slot: magic, sum and length of what follows, the record as JSON, zeros."""
    text = json.dumps(record.encode(), sort_keys=True, separators=(",", ":")).encode()
    head = MAGIC + hashlib.sha256(text).hexdigest().encode() + f" {len(text)}\n".encode()
    if len(head) + len(text) > SLOT:
        raise ValueError(f"a record of {len(text)} bytes does not fit")
    return (head + text).ljust(SLOT, b"\0")


def parse_record(slot: bytes) -> Record | None:
    """The record of a slot; None where there is none, or it is not whole."""
    head, newline, rest = slot.partition(b"\n")
    words = head[len(MAGIC) :].split()
    if not newline or not head.startswith(MAGIC) or len(words) != 2 or not re.fullmatch(rb"[0-9]{1,7}", words[1]):
        return None
    text = rest[: int(words[1])]
    if hashlib.sha256(text).hexdigest().encode() != words[0]:
        return None
    try:
        record = Record.decode(json.loads(text))
        return None if find_fault(record) else record
    except (KeyError, TypeError, ValueError, RecursionError):
        return None


def why_not_same(record: Record, wanted: Record) -> str:
    """Why a record found on a disk is of another wipe than the one that is wanted; "" where it is the same."""
    for what in ("serial", "model", "size", "body", "patterns"):
        found, expected = getattr(record, what), getattr(wanted, what)
        if found != expected:
            return f"its {what} is {found!r}, and {expected!r} is wanted"
    return ""


def read_record(read: Callable[[Span], bytes], reserved: Span) -> Record | None:
    """The newest whole record; `read` gives the bytes of a place, and raises OSError."""
    found = []
    for number in range(SLOTS):
        try:
            record = parse_record(read(_find_slot(reserved, number)))
        except OSError:
            continue
        found += [record] if record else []
    return max(found, key=lambda record: record.sequence, default=None)


def _find_slot(reserved: Span, number: int) -> Span:
    return Span(reserved.offset + number * SLOT, SLOT)


class Keeper:
    """Writes the record of one disk, slot by slot, and reads it back."""

    def __init__(self, medium: Medium, reserved: Span, seal: Callable[[str], str] = lambda text: "") -> None:
        self._medium = medium
        self._seal = seal
        self._reserved = reserved
        self._buffer = Buffer(SLOT)

    def read(self) -> Record | None:
        """The newest whole record on the disk; None where there is none, or it cannot be read."""

        def read_slot(place: Span) -> bytes:
            self._medium.read(self._buffer, place)
            return bytes(self._buffer.view[:SLOT])

        return read_record(read_slot, self._reserved)

    def write(self, record: Record) -> None:
        """Write it to the slot whose turn it is. What it claims must be on the medium by then. Raises OSError."""
        record = dataclasses.replace(record, seal=self._seal(record.sealed_text))
        self._buffer.view[:SLOT] = render_record(record)
        self._medium.write(self._buffer, _find_slot(self._reserved, record.sequence % SLOTS))
        self._medium.flush()

    def is_sealed(self, record: Record) -> bool:
        """Whether an agent with this one's key wrote it, for this disk. Without a key nobody can tell."""
        # Without a serial it could be that of another disk; a loop device is told by its file.
        is_told = record.serial or record.model.startswith("/")
        seal = self._seal(record.sealed_text) if is_told else ""
        return bool(seal) and hmac.compare_digest(seal, record.seal)

    def close(self) -> None:
        self._buffer.close()
