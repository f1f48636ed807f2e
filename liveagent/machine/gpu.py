"""A GPU as a diagnosis sees it: what it is, what its memory has gone through, its heat, and what slows it down."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from liveagent.machine.pci import Link

Value = TypeVar("Value")

# What cannot be of one card: megabytes are the smallest that are shown, and no card has had a pebibyte yet.
LARGEST = 2**50
COLDEST, HOTTEST = -40, 150
WATTS = 10_000


@dataclasses.dataclass(frozen=True)
class EccCounts:
    """Errors of a GPU's memories; None where it does not say.

    `dram` is the large memory (HBM, GDDR), `sram` are registers and caches together. The totals are the driver's own
    where it has them, or else the sum of what it says.
    """

    sram_corrected: int | None = None
    sram_uncorrected: int | None = None
    dram_corrected: int | None = None
    dram_uncorrected: int | None = None
    corrected: int | None = None
    uncorrected: int | None = None


@dataclasses.dataclass(frozen=True)
class GpuEcc:
    """The error correction of a GPU: whether it is on, will be after a restart, and what it counted; None: not said.

    `volatile` counts since the driver was loaded, `aggregate` in the card's whole life. `sram_threshold_exceeded`: the
    caches of an NVIDIA card had more errors than it is replaced for. `repair_pending`: a restart will repair
    something. `unrepairable`: it cannot be repaired any more.
    """

    enabled: bool | None = None
    pending: bool | None = None
    volatile: EccCounts | None = None
    aggregate: EccCounts | None = None
    sram_threshold_exceeded: bool | None = None
    repair_pending: bool | None = None
    unrepairable: bool | None = None


@dataclasses.dataclass(frozen=True)
class RetiredPages:
    """Pages of memory that are not used any more, as NVIDIA's cards before Ampere and AMD's have them; None: not said.

    `corrected` were retired for several corrected errors, `uncorrected` for an uncorrected one. `pending`: some will be
    with the next restart.
    """

    corrected: int | None = None
    uncorrected: int | None = None
    pending: bool | None = None


@dataclasses.dataclass(frozen=True)
class RemappedRows:
    """Rows of memory that spare ones stand in for (NVIDIA, from Ampere on); None where it does not say.

    `corrected` and `uncorrected`: the errors that they were remapped for. `pending`: some will be with the next reset.
    `failed`: one could not be. `banks`: how many banks of memory have all (`max`), most, some, few or none of their
    spare rows left.
    """

    corrected: int | None = None
    uncorrected: int | None = None
    pending: bool | None = None
    failed: bool | None = None
    banks: Mapping[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class GpuTemperatures:
    """°C; None where the card does not say.

    It slows itself down at `slowdown` (AMD: its critical limit), and switches itself off at `shutdown`. `memory` may
    be `memory_limit` at most, `hotspot` is the warmest place. Newer cards of NVIDIA say instead how far they are below
    the highest temperature they work at (`margin`), and at which margin they slow down, or switch off.
    """

    now: int | None = None
    hotspot: int | None = None
    memory: int | None = None
    slowdown: int | None = None
    shutdown: int | None = None
    memory_limit: int | None = None
    margin: int | None = None
    margin_slowdown: int | None = None
    margin_shutdown: int | None = None


@dataclasses.dataclass(frozen=True)
class GpuPower:
    """Watts: what it draws, what it may draw, and what it may unless somebody sets it; None where it does not say."""

    draw: float | None = None
    limit: float | None = None
    default_limit: float | None = None


@dataclasses.dataclass(frozen=True)
class Gpu:
    """A GPU or another accelerator. `id` is its PCI address. Memory in bytes; "" and None where it does not say.

    `driver` is the kernel's, `driver_version` and all that follows is what driver and maker's tool tell. `answers` is
    false where that tool does not list a GPU that the driver has, None where it was not asked. `uuid` is the maker's
    own number of the chip. `clock_reasons` is what limits its clocks now, in NVIDIA's words; `clock_seconds` is for how
    long some of these have since the driver was loaded. `faults`: what it could not tell, and what stood in its place
    ("Unknown Error"). `recovery` is what the driver asks for: Reset, Reboot. `fan` in %, `busy` in %.
    """

    id: str
    vendor: str = ""
    model: str = ""
    driver: str = ""
    driver_version: str = ""
    serial: str = ""
    uuid: str = ""
    part: str = ""
    vbios: str = ""
    inforom: str = ""
    inforom_corrupted: bool | None = None
    answers: bool | None = None
    faults: Mapping[str, str] = dataclasses.field(default_factory=dict)
    recovery: str = ""
    reset_required: bool | None = None
    memory: int | None = None
    memory_used: int | None = None
    ecc: GpuEcc | None = None
    retired: RetiredPages | None = None
    remapped: RemappedRows | None = None
    temperature: GpuTemperatures | None = None
    power: GpuPower | None = None
    link: Link | None = None
    replays: int | None = None
    fan: int | None = None
    busy: int | None = None
    performance_state: str = ""
    clock_reasons: tuple[str, ...] | None = None
    clock_seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    persistence: bool | None = None
    mig: bool | None = None

    @property
    def label(self) -> str:
        """As findings name it: `0000:3b:00.0 NVIDIA H100 1650522003820`."""
        return " ".join(word for word in (self.id, self.model, self.serial) if word)


def fill(gpu: Gpu, more: Gpu) -> Gpu:
    """A GPU, with what only the other one of the same card tells."""
    filled: Gpu = _fill(gpu, more)
    return filled


def _fill(one: Any, more: Any) -> Any:
    if one is None or one == "" or one == {}:
        return more
    # A link is one reading: half of another one would make a third.
    if dataclasses.is_dataclass(one) and not isinstance(one, Link) and more is not None:
        names = [field.name for field in dataclasses.fields(one)]
        changes = {name: _fill(getattr(one, name), getattr(more, name)) for name in names}
        return dataclasses.replace(one, **changes)  # type: ignore[type-var]
    return one


def normalize_address(text: str) -> str:
    """A PCI address as the kernel writes it: `00000000:3B:00.0` is 0000:3b:00.0; "" for what is none."""
    match = re.fullmatch(r"([0-9a-f]{1,8}):([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])", text.strip().lower())
    return f"{int(match.group(1), 16):04x}:{match.group(2)}:{match.group(3)}.{match.group(4)}" if match else ""


def drop_empty(value: Value) -> Value | None:
    """The value of a dataclass; None where it says nothing at all."""
    return None if value == type(value)() else value


def first_known(*values: Value | None) -> Value | None:
    """The first that is known."""
    return next((value for value in values if value is not None), None)


def add_known(*counts: int | None) -> int | None:
    """The sum of what is known; None where nothing is."""
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
