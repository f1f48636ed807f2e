"""What is measured in a server: temperatures, voltages, fans, and the states of parts, as the BMC's sensors say it."""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Mapping

from liveagent.machine.ipmi import parse_blocks, parse_pairs

HEAD = "Sensor ID"
# An IPMI reading has 8 bits and a factor; beyond these it is no server's (°C).
COLDEST, HOTTEST = -128.0, 300.0


class Kind(enum.Enum):
    """What a sensor measures; `state` is one that measures nothing and says how a part is."""

    TEMPERATURE = "temperature"
    VOLTAGE = "voltage"
    CURRENT = "current"
    POWER = "power"
    FAN = "fan"
    HUMIDITY = "humidity"
    STATE = "state"
    OTHER = "other"


class State(enum.Enum):
    """Where a reading stands among its thresholds, in ipmitool's short words: lower and upper, non-critical,
    critical, non-recoverable."""

    OK = "ok"
    LNC = "lnc"
    LCR = "lcr"
    LNR = "lnr"
    UNC = "unc"
    UCR = "ucr"
    UNR = "unr"


THRESHOLDS = tuple(state for state in State if state is not State.OK)
LOWER = (State.LNR, State.LCR, State.LNC)
CRITICAL = (State.LCR, State.LNR, State.UCR, State.UNR)


@dataclasses.dataclass(frozen=True)
class Sensor:
    """One sensor. `id` is its name and number, `source` is `bmc` or the chip of a driver.

    `value` is in `unit`: °C, V, A, W, RPM or %; None where there is none now (an empty slot, a server that is off).
    `state` is the sensor's own word on it. `limits`: the thresholds that are set, by the words of `state`, in `unit`.
    `states`: what a sensor of kind `state` asserts, in the words of IPMI 2.0 table 42-2 and 42-3; `readable` is False
    where it could not be asked. `type`: that of IPMI table 42-3; `entity`: that of table 43-13 and its number.
    """

    id: str
    name: str
    source: str
    kind: Kind
    type: str = ""
    entity: str = ""
    value: float | None = None
    unit: str = ""
    state: State | None = None
    limits: Mapping[str, float] = dataclasses.field(default_factory=dict)
    states: tuple[str, ...] = ()
    readable: bool = True

    def limit(self, state: State) -> float | None:
        """The threshold of that name."""
        return self.limits.get(state.value)


# As ipmitool writes units, by what is kept, and what it measures.
UNITS = {
    "degrees c": ("°C", Kind.TEMPERATURE),
    "degrees f": ("°F", Kind.TEMPERATURE),
    "degrees k": ("K", Kind.TEMPERATURE),
    "volts": ("V", Kind.VOLTAGE),
    "amps": ("A", Kind.CURRENT),
    "watts": ("W", Kind.POWER),
    "rpm": ("RPM", Kind.FAN),
    "percent": ("%", Kind.OTHER),
}
NUMBER = r"-?\d+(?:\.\d+)?"
READING = re.compile(rf"({NUMBER})(?: \(\+/- [^)]*\))?(?: (.*))?")
WORDS = {
    "lower non-critical": State.LNC,
    "lower critical": State.LCR,
    "lower non-recoverable": State.LNR,
    "upper non-critical": State.UNC,
    "upper critical": State.UCR,
    "upper non-recoverable": State.UNR,
}
# `sdr` has them short where it is not told to say more.
STATUS = {**WORDS, **{state.value: state for state in State}}


def parse_sensors(text: str) -> tuple[Sensor, ...]:
    """The sensors of `ipmitool -v sensor list`, whose thresholds are those in force, or of `ipmitool -v sdr list`."""
    found: dict[str, Sensor] = {}
    for block in parse_blocks(text, HEAD):
        sensor = _parse_sensor(block)
        if sensor.id in found:  # numbers are unique for one management controller, and there may be several
            sensor = dataclasses.replace(sensor, id=f"{sensor.id} {sensor.entity}")
        found.setdefault(sensor.id, sensor)
    return tuple(found.values())


def _parse_sensor(block: str) -> Sensor:
    pairs = parse_pairs(block)
    title = pairs[HEAD.lower()]
    type_ = _strip(next((value for name, value in pairs.items() if name.startswith("sensor type")), ""))
    match = READING.fullmatch(pairs.get("sensor reading", ""))
    unit, kind = UNITS.get((match.group(2) or "").lower(), (match.group(2) or "", Kind.OTHER)) if match else ("", None)
    is_discrete = any(name.startswith("sensor type (discrete") for name in pairs)
    if type_ == "Fan" and not is_discrete:
        kind = Kind.FAN  # some makers give the speed in percent
    if kind is None:
        kind = Kind.STATE if is_discrete else KINDS.get(type_, Kind.OTHER)
    factor = _celsius(unit)
    value = _convert(match.group(1), factor, kind) if match else None
    limits = {
        state.value: limit
        for name, state in WORDS.items()
        if (limit := _convert(pairs.get(name, ""), factor, kind)) is not None
    }
    states = tuple(re.findall(r"^\s*\[(.+)\]\s*$", _asserted(block), re.MULTILINE))
    return Sensor(
        id=title,
        name=_strip(title),
        source="bmc",
        kind=kind,
        type=type_,
        entity=pairs.get("entity id", "").split(" ")[0],
        value=value,
        unit="°C" if kind is Kind.TEMPERATURE and unit else unit,
        state=STATUS.get(pairs.get("status", "").lower()) if value is not None else None,
        limits=limits if value is not None else {},
        states=states,
        readable=value is not None or (is_discrete and "Unable to read" not in block),
    )


KINDS = {
    "Temperature": Kind.TEMPERATURE,
    "Voltage": Kind.VOLTAGE,
    "Current": Kind.CURRENT,
    "Fan": Kind.FAN,
}


def _strip(text: str) -> str:
    """A name without the number behind it; some versions have one behind a type as well."""
    return re.sub(r"\(0x[0-9a-fA-F]+\)$", "", text).strip()


def _asserted(block: str) -> str:
    """The lines of what is asserted now; what could be asserted or is enabled stands behind other words."""
    match = re.search(r"^\s*States Asserted\s*:.*((?:\n\s*\[.*\])*)", block, re.MULTILINE)
    return match.group(1) if match else ""


def _celsius(unit: str) -> tuple[float, float]:
    """What to take away, and what to multiply with then, for °C."""
    return {"°F": (32.0, 5 / 9), "K": (273.15, 1.0)}.get(unit, (0.0, 1.0))


def _convert(text: str, factor: tuple[float, float], kind: Kind) -> float | None:
    """The number, in the unit that is kept; None where there is none, or one that nothing can have."""
    if not re.fullmatch(NUMBER, text) or len(text) > 20:
        return None
    value = round((float(text) - factor[0]) * factor[1], 3)
    if kind is Kind.TEMPERATURE and not COLDEST <= value <= HOTTEST:
        return None
    if kind is Kind.FAN and value < 0:
        return None
    return value
