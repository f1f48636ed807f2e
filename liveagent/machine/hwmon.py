"""What the kernel's own drivers measure (hwmon): processors, memory, NICs, boards, with or without a BMC."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from liveagent.host import Host
from liveagent.machine.look import Look, Why
from liveagent.machine.sensors import Kind, Sensor, State

HWMON = "/sys/class/hwmon"
INPUT = re.compile(r"(temp|in|fan|curr|power|humidity)(\d+)_(?:input|average)")
# Documentation/hwmon/sysfs-interface.rst: what one is counted in, and how many make one of ours.
FORMS: Mapping[str, tuple[Kind, str, float]] = {
    "temp": (Kind.TEMPERATURE, "°C", 1e3),
    "in": (Kind.VOLTAGE, "V", 1e3),
    "fan": (Kind.FAN, "RPM", 1.0),
    "curr": (Kind.CURRENT, "A", 1e3),
    "power": (Kind.POWER, "W", 1e6),
    "humidity": (Kind.HUMIDITY, "%", 1e3),
}
LIMITS: Mapping[str, State] = {
    "lcrit": State.LCR,
    "min": State.LNC,
    "max": State.UNC,
    "crit": State.UCR,
    "emergency": State.UNR,
}
ALARMS: Mapping[str, State] = {
    "emergency_alarm": State.UNR,
    "crit_alarm": State.UCR,
    "lcrit_alarm": State.LCR,
    "max_alarm": State.UNC,
    "min_alarm": State.LNC,
}
# An input that nothing is soldered to reads like this or that end of its range; drives have 65,535 K for "no limit".
COLDEST, HOTTEST = -60.0, 200.0


def probe_hwmon(look: Look) -> tuple[Sensor, ...]:
    """Every sensor of every chip, by chip and number."""
    host = look.host
    chips = sorted(host.list(HWMON), key=_natural)
    if not chips:
        look.note("sensors", Why.ABSENT, f"no driver offers any in {HWMON}")
    return tuple(sensor for chip in chips for sensor in _probe_chip(host, f"{HWMON}/{chip}"))


def _probe_chip(host: Host, path: str) -> Iterator[Sensor]:
    place = _locate(host, path)
    # Drivers from before 2013 keep their attributes with the device.
    names = host.list(path)
    if not any(map(INPUT.fullmatch, names)):
        path = f"{path}/device"
        names = host.list(path)
    chip = host.read_or(f"{path}/name") or "unknown"
    place = place or chip
    seen = set()
    for name in sorted(names, key=_natural):
        match = INPUT.fullmatch(name)
        if match and match.groups() not in seen:
            seen.add(match.groups())
            values = {
                attribute.partition("_")[2]: host.read_or(f"{path}/{attribute}")
                for attribute in names
                if attribute.startswith(f"{match.group(1)}{match.group(2)}_")
            }
            yield make_sensor(chip, place, match.group(1), match.group(2), values)


def make_sensor(chip: str, place: str, form: str, number: str, values: Mapping[str, str]) -> Sensor:
    """A sensor of its attributes' texts, by what stands behind `temp1_`."""
    kind, unit, divisor = FORMS[form]
    value = _number(values.get("input", values.get("average", "")), divisor, kind)
    limits = {
        state.value: limit
        for name, state in LIMITS.items()
        if (limit := _number(values.get(name, ""), divisor, kind)) is not None
    }
    state = next((state for name, state in ALARMS.items() if values.get(name) == "1"), None)
    is_faulty = values.get("fault") == "1"
    return Sensor(
        id=f"{place}/{form}{number}",
        name=values.get("label") or f"{form}{number}",
        source=chip,
        kind=kind,
        value=None if is_faulty else value,
        unit=unit,
        state=state if value is not None and not is_faulty else None,
        limits=limits,
        states=tuple(name for name in ("alarm", "fault") if values.get(name) == "1"),
        readable=value is not None and not is_faulty,
    )


def _locate(host: Host, path: str) -> str:
    """The device that it is of, by its name on its bus, which outlives a reboot; "" where it is of none."""
    try:
        parts = host.resolve(path).split("/")[:-1]
    except OSError:
        return ""
    # /devices/platform/coretemp.0/hwmon/hwmon0, …/nvme/nvme0/hwmon1, /devices/virtual/hwmon/hwmon2
    device = parts[-2] if parts[-1] == "hwmon" else parts[-1]
    return "" if device in ("virtual", "class") else device


def _number(text: str, divisor: float, kind: Kind) -> float | None:
    if not re.fullmatch(r"-?\d{1,18}", text):
        return None
    value = round(int(text) / divisor, 3)
    if kind is Kind.TEMPERATURE and not COLDEST <= value <= HOTTEST:
        return None
    return None if kind is Kind.FAN and value < 0 else value


def _natural(name: str) -> tuple[str | int, ...]:
    """hwmon2 before hwmon10."""
    return tuple(int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name))
