"""Numbers with their units, as people write them in an order: `3.84 TB`, `25 Gbit/s`, `3200 MT/s`."""

from __future__ import annotations

import dataclasses
import fractions
import math
import re
from collections.abc import Mapping

from liveagent.options import SIZE_UNITS

# What a unit measures, and how many of the base unit it is. A `B` is a byte, in any case; a rate is of bits.
UNITS: Mapping[str, tuple[str, int | fractions.Fraction]] = {
    **{f"{prefix}{unit}": ("rate", 1000**power) for power, prefix in enumerate(("", "k", "M", "G", "T"))
       for unit in ("bit/s", "b/s", "bps")},
    **{f"{prefix}T/s": ("transfers", 1000**power) for power, prefix in enumerate(("", "k", "M", "G"))},
    **{f"{prefix}Hz": ("frequency", 1000**power) for power, prefix in enumerate(("", "k", "M", "G"))},
    **{word: ("time", seconds) for word, seconds in (
        ("ms", fractions.Fraction(1, 1000)), ("s", 1), ("min", 60), ("h", 3600), ("d", 86400))},
    **dict.fromkeys(("°C", "C"), ("temperature", 1)),
    **{word: ("power", watts) for word, watts in (("W", 1), ("kW", 1000))},
    **{word: ("voltage", volts) for word, volts in (("mV", fractions.Fraction(1, 1000)), ("V", 1))},
    "RPM": ("speed", 1),
    "%": ("share", 1),
}  # fmt: skip
# The units of fields that are not in base units, by what their paths end in.
FIELD_UNITS: Mapping[str, str] = {
    "_mbit": "Mbit/s",
    "_mts": "MT/s",
    "_mhz": "MHz",
    "memory.dimms.speed": "MT/s",
    "memory.dimms.configured": "MT/s",
    "pci.link.speed": "GT/s",
    "pci.link.speed_max": "GT/s",
    "gpus.link.speed": "GT/s",
    "gpus.link.speed_max": "GT/s",
}
SIZE = "size"
_NUMBER = re.compile(r"([+-]?\d{1,20}(?:\.\d{1,20})?)\s*(\S.*)?")


class BadQuantity(ValueError):
    """A text that is no number, or has a unit that is not known."""


@dataclasses.dataclass(frozen=True)
class Quantity:
    """A number in base units (bytes, bits a second, seconds, °C, W, V), and the unit that it was written with."""

    number: fractions.Fraction
    unit: str = ""
    measures: str = ""


def parse_quantity(text: str, unit: str = "") -> Quantity:
    """A number with its unit, or with `unit` where it has none. Raises BadQuantity."""
    match = _NUMBER.fullmatch(text.strip())
    if not match:
        raise BadQuantity(f"{text!r} is not a number")
    unit = (match.group(2) or unit).strip()
    measures, factor = _find_unit(unit)
    return Quantity(fractions.Fraction(match.group(1)) * factor, unit, measures)


def _find_unit(unit: str) -> tuple[str, int | fractions.Fraction]:
    if not unit:
        return "", 1
    if unit in UNITS:
        return UNITS[unit]
    if unit.lower() in SIZE_UNITS:
        return SIZE, SIZE_UNITS[unit.lower()]
    raise BadQuantity(f"{unit!r} is not a unit such as GiB, TB, Gbit/s, MT/s, h, W or °C")


def find_field_unit(path: str) -> tuple[str, int | fractions.Fraction]:
    """What the field at a path measures, and how many base units one of its is; "" for one in base units."""
    for ending, unit in FIELD_UNITS.items():
        if path.endswith(ending):
            return UNITS[unit]
    return "", 1


def render_number(number: float, unit: str) -> str:
    """A number of base units in the unit that a person chose: `1.92 TB`; as it is where there was none."""
    _, factor = _find_unit(unit)
    shown = f"{float(fractions.Fraction(number) / factor):.6g}" if factor != 1 else f"{number:g}"
    if not unit or (factor == 1 and isinstance(number, int)):
        shown = str(number)
    return f"{shown} {unit}".strip()


def is_number(value: object) -> bool:
    """Whether a value of JSON is a number that can be reckoned with; `true` is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
