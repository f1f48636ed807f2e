"""The power supplies by the board's own table (SMBIOS type 39): what each is, where, and whether it is plugged in."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter

from liveagent.machine.dmi import is_usable
from liveagent.machine.dmidecode import Structure, parse_dmidecode
from liveagent.machine.ipmi import parse_flag
from liveagent.machine.look import Look, Why, explain
from liveagent.machine.nameplate import clean

POWER_SUPPLY = 39
# No table of a server names more, or one that could give this.
STRONGEST = 100_000
# In dmidecode's words: a machine without SMBIOS, and a container.
NO_TABLE = ("No SMBIOS nor DMI entry point found", "/dev/mem: No such file")
# A filler that this table alone has: `OEM Define 3`.
FILLER = re.compile(r"OEM Define \d+", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class PowerSupply:
    """A power supply as the firmware saw it at boot; None for what the table leaves out or fills with nothing.

    `id` is its place, or else its name (with its handle in the table where several bear it), or else that handle.
    `max_watts`: what it can give. `status`: the table's word (`OK`, `Non-critical`, `Critical`). `is_described`: if
    the table says anything of this machine: many boards have a supply there that nobody ever filled in.
    """

    id: str
    location: str | None
    name: str | None
    manufacturer: str | None
    part: str | None
    serial: str | None
    revision: str | None
    max_watts: int | None
    present: bool | None
    plugged: bool | None
    hot_replaceable: bool | None
    status: str | None
    is_described: bool


def parse_power_supplies(text: str) -> tuple[PowerSupply, ...]:
    """The supplies of `dmidecode -t 39`, or of all of dmidecode."""
    found = [(_parse_supply(one), one.handle) for one in parse_dmidecode(text) if one.type == POWER_SUPPLY]
    times = Counter(supply.id for supply, _ in found)
    return tuple(
        dataclasses.replace(supply, id=f"{supply.id} {handle}") if times[supply.id] > 1 else supply
        for supply, handle in found
    )


def _parse_supply(structure: Structure) -> PowerSupply:
    def get(name: str) -> str | None:
        value = clean(structure.get(name))
        return value if is_usable(value) and not FILLER.fullmatch(value) else None

    location, name, part, serial = (get(word) for word in ("Location", "Name", "Model Part Number", "Serial Number"))
    presence, _, status = (word.strip() for word in structure.get("Status").partition(","))
    return PowerSupply(
        id=location or name or structure.handle,
        location=location,
        name=name,
        manufacturer=get("Manufacturer"),
        part=part,
        serial=serial,
        revision=get("Revision"),
        max_watts=_parse_watts(structure.get("Max Power Capacity")),
        present={"Present": True, "Not Present": False}.get(presence),
        plugged=parse_flag(structure.get("Plugged")),
        hot_replaceable=parse_flag(structure.get("Hot Replaceable")),
        status=status if status in ("OK", "Non-critical", "Critical") else None,
        is_described=any((name, part, serial)) and presence != "Not Present",
    )


def _parse_watts(text: str) -> int | None:
    """`750 W`. The table counts in mW, and where it has 460 of them (`0.460 W`), its maker had written watts."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?) (m?W)", text)
    if not match:
        return None
    watts = float(match.group(1)) / (1000 if match.group(2) == "mW" else 1)
    if watts < 1:
        watts *= 1000
    return round(watts) if 1 <= watts <= STRONGEST else None


def probe_power_supplies(look: Look) -> tuple[PowerSupply, ...]:
    """The supplies in the table. Root only."""
    said = look.ask("power_supplies", ["dmidecode", "-t", str(POWER_SUPPLY)], success=None)
    if said is None:
        return ()
    supplies = parse_power_supplies(said.stdout)
    if not supplies and said.status == 0:
        look.note("power_supplies", Why.ABSENT, "the SMBIOS table names none")
    elif not supplies:
        why, detail = explain(said)
        is_absent = any(words in said.stdout + said.stderr for words in NO_TABLE)
        look.note("power_supplies", Why.ABSENT if is_absent else why, detail)
    return supplies
