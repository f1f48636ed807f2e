"""What the BMC knows of replaceable parts (FRU): maker, part number and serial of boards, supplies, backplanes."""

from __future__ import annotations

import dataclasses
import datetime
import re

from liveagent.machine.dmi import is_usable
from liveagent.machine.ipmi import parse_blocks, parse_pairs
from liveagent.machine.nameplate import clean

HEAD = "FRU Device Description"
# The date is minutes since 1996 (IPMI FRU 1.2, 11): none were written, and older ipmitool prints the beginning.
NO_DATE = datetime.date(1996, 1, 1)


@dataclasses.dataclass(frozen=True)
class FruArea:
    """One area of a FRU, as its maker wrote it; None for what is empty or a filler. `made` is a date, ISO 8601."""

    manufacturer: str | None = None
    name: str | None = None
    part: str | None = None
    version: str | None = None
    serial: str | None = None
    asset_tag: str | None = None
    made: str | None = None


@dataclasses.dataclass(frozen=True)
class Fru:
    """A replaceable part, by the name that the BMC has for it (`PS1`); `number` is the FRU device ID, 0 is the server.

    `present` is False where the BMC says that it is not there, None where it did not answer in time.
    A DIMM's SPD stands in `product`.
    """

    id: str
    name: str
    number: int | None
    present: bool | None
    chassis: FruArea | None = None
    board: FruArea | None = None
    product: FruArea | None = None


def parse_frus(text: str) -> tuple[Fru, ...]:
    """The parts of which something is known, from `ipmitool fru print`."""
    return tuple(filter(None, (_parse_fru(block) for block in parse_blocks(text, HEAD))))


def _parse_fru(block: str) -> Fru | None:
    pairs = parse_pairs(block)
    title = pairs.get(HEAD.lower(), "")
    match = re.search(r"\(ID (\d{1,3})\)$", title)
    name, number = (title[: match.start()].strip(), int(match.group(1))) if match else (title, None)
    silent = re.search(r"^\s*Device not present( \(Timeout)?", block, re.MULTILINE)
    chassis, board, product = (_parse_area(pairs, area) for area in ("chassis", "board", "product"))
    product = product or _parse_spd(pairs)
    if not (silent or chassis or board or product):
        return None
    present = None if silent and silent.group(1) else not silent
    return Fru(title or name, name, number, present, chassis, board, product)


def _parse_area(pairs: dict[str, str], area: str) -> FruArea | None:
    def get(*names: str) -> str | None:
        return next(filter(None, (_usable(pairs.get(f"{area} {name}")) for name in names)), None)

    found = FruArea(
        manufacturer=get("mfg", "manufacturer"),
        name=get("product", "name"),
        part=get("part number"),
        version=get("version"),
        serial=get("serial"),
        asset_tag=get("asset tag"),
        made=_parse_date(pairs.get(f"{area} mfg date", "")),
    )
    return found if found != FruArea() else None


def _parse_spd(pairs: dict[str, str]) -> FruArea | None:
    """A DIMM's, which ipmitool decodes by other names."""
    if "memory type" not in pairs:
        return None
    return FruArea(
        manufacturer=_usable(pairs.get("manufacturer")),
        name=_usable(pairs.get("memory type")),
        part=_usable(pairs.get("part number")),
        serial=_usable(pairs.get("serial number")),
    )


def _parse_date(text: str) -> str | None:
    """`Mon May 18 12:39:00 2020`, with the time zone behind it in newer versions."""
    match = re.fullmatch(r"\w{3} (\w{3}) +(\d+) [\d:]{8} (\d{4})(?: \w+)?", text)
    try:
        date = datetime.datetime.strptime(" ".join(match.groups()), "%b %d %Y").date() if match else NO_DATE
    except ValueError:
        return None
    return None if date == NO_DATE else date.isoformat()


def _usable(text: str | None) -> str | None:
    text = clean(text or "")
    return text if is_usable(text) else None
