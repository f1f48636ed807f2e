"""A RAID controller as a diagnosis sees it: its volumes, its drives, what keeps its cache, and how each of them is."""

from __future__ import annotations

import dataclasses
import enum
import re


class State(enum.Enum):
    """How a volume, a drive or a cache's supply is; UNKNOWN for a word that is not known."""

    GOOD = "good"
    BUSY = "busy"  # rebuilds, recharges, is being checked: nothing is wrong, and it is not whole yet
    PREDICTED = "predicted"  # it works, and says that it will not for long
    DEGRADED = "degraded"
    FAILED = "failed"
    ABSENT = "absent"
    UNKNOWN = "unknown"


# The tools' own words, the first that fits. storcli: Optl, Dgrd, Pdgd, OfLn, Onln, UGood, Rbld; ssacli: Interim
# Recovery Mode, Ready for Rebuild; arcconf: Impacted is a volume whose parity is being built.
_WORDS = (
    # Before the words that are denied.
    (State.DEGRADED, r"(?:not|non)[ -]?(?:ready|optimal|ok|good|normal|functional|online|charged)"),
    (State.PREDICTED, r"predictive|dgd \(needs attention\)|needs attention"),
    (
        State.BUSY,
        r"rbld|rebuilding|rec\b|recovering|recharging|charging|learn|impacted|initiali|expan|transform|cpybck|build"
        r"|verify|check|resync|sntze|erase in progress|clear",
    ),
    (
        State.DEGRADED,
        r"dgrd|pdgd|partially degraded|degraded|suboptimal|critical|interim recovery|ready for rebuild"
        r"|temporarily disabled",
    ),
    (State.FAILED, r"ofln|offln|offline|fail|fatal|ubad|ugunsp|bad|defunct|replace|permanently disabled|dead|inactive"),
    (State.ABSENT, r"msng|missing|not installed|not present|absent|not available|none attached|n/a"),
    (
        State.GOOD,
        r"optl|optimal|ok|onln|online|ugood|good|ready|jbod|ghs|dhs|hot[ -]spare|normal|functional|raw|standby|active",
    ),
)
WORDS = tuple((state, re.compile(rf"\b(?:{words})", re.IGNORECASE)) for state, words in _WORDS)


def judge(words: str) -> State:
    """What a tool's word for a state means."""
    return next((state for state, pattern in WORDS if pattern.search(words)), State.UNKNOWN)


@dataclasses.dataclass(frozen=True)
class RaidVolume:
    """A volume of a controller. `says` is the tool's word for its state; `members` are places as drives have them.

    `size` in bytes, as the tool rounds it; `device` is the kernel's path where the tool tells it.
    """

    name: str
    level: str
    state: State
    says: str
    size: int | None = None
    members: tuple[str, ...] = ()
    cache: str = ""
    device: str = ""


@dataclasses.dataclass(frozen=True)
class RaidDrive:
    """A drive of a controller. `slot` is how the tool calls its place: 252:0, 2I:1:1. Sizes in bytes, °C.

    `media_errors`, `other_errors` and `predicted` count; None where not said. `alert`: the drive's own SMART warning.
    `foreign`: it carries a configuration of another controller.
    """

    slot: str
    state: State
    says: str
    model: str = ""
    serial: str = ""
    size: int | None = None
    medium: str = ""
    temperature: int | None = None
    media_errors: int | None = None
    other_errors: int | None = None
    predicted: int | None = None
    alert: bool | None = None
    foreign: bool = False


@dataclasses.dataclass(frozen=True)
class Backup:
    """What keeps a controller's cache when the power goes: a battery, or a capacitor with flash. °C."""

    kind: str
    state: State
    says: str
    temperature: int | None = None


@dataclasses.dataclass(frozen=True)
class RaidController:
    """A RAID controller. `id` is its serial, or its PCI address; `says` the tool's word for its state.

    `foreign`: groups of drives with another controller's configuration; None where not said. `memory_errors`: those of
    its cache that could not be corrected. `patrol_read`: when it reads its drives, in the tool's words.
    """

    id: str
    address: str
    tool: str
    model: str = ""
    serial: str = ""
    firmware: str = ""
    driver: str = ""
    state: State = State.UNKNOWN
    says: str = ""
    temperature: int | None = None
    memory_errors: int | None = None
    foreign: int | None = None
    patrol_read: str = ""
    volumes: tuple[RaidVolume, ...] = ()
    drives: tuple[RaidDrive, ...] = ()
    backups: tuple[Backup, ...] = ()


def parse_celsius(text: object) -> int | None:
    """The °C of `28C`, ` 28C (82.40 F)`, `31 deg C`, `54 C/ 129 F (Normal)` or a number; None for anything else."""
    match = re.match(r"\s*(-?\d{1,3})(?:\.\d+)?\s*(?:deg(?:rees)? )?(?:C\b|$)", str(text))
    degrees = int(match.group(1)) if match else None
    # 0 is what a tool prints for a sensor that is not there.
    return degrees if degrees and -40 < degrees <= 150 else None
