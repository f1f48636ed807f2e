"""Whether a sensor says that something is too hot, too slow, or broken."""

from __future__ import annotations

from collections.abc import Iterator

from liveagent.events import Finding, Verdict
from liveagent.machine.inventory import Inventory
from liveagent.machine.sensors import CRITICAL, LOWER, Kind, Sensor, State
from liveagent.tasks.hwdiag.check import Check, Code
from liveagent.tasks.hwdiag.checks.ipmi_events import LATCHED, SOURCE, find_meaning
from liveagent.tasks.hwdiag.policy import Policy

THRESHOLDS = "the sensor's own thresholds and its word on them (IPMI 2.0, 35.14)"
BEYOND_CRITICAL = Code("sensor.critical", Verdict.FAIL, "a reading is beyond a critical threshold", THRESHOLDS)
BEYOND_NONCRITICAL = Code("sensor.noncritical", Verdict.WARN, "a reading is beyond a warning threshold", THRESHOLDS)
FAILED = Code("sensor.failed", Verdict.FAIL, "a sensor says that its part has failed", SOURCE)
DOUBTFUL = Code("sensor.doubtful", Verdict.WARN, "a sensor says that its part is not as it should be", SOURCE)
INTRUSION = Code("chassis.intrusion", Verdict.WARN, "the chassis is open, or was opened and nobody said so", SOURCE)
FAN_FAILED = Code("fan.failed", Verdict.FAIL, "a fan is below its critical speed", THRESHOLDS)
FAN_STOPPED = Code(
    "fan.stopped",
    Verdict.WARN,
    "a fan stands still, though it has a lowest speed; the BMC itself calls that ok",
    "a fan with a lower threshold is one that is meant to turn",
)
HOT = Code(
    "temperature.critical",
    Verdict.FAIL,
    "the kernel measures a temperature at or above the critical one of the chip",
    "the driver's own limit (hwmon, tempN_crit)",
)
WARM = Code(
    "temperature.high",
    Verdict.WARN,
    "the kernel measures a temperature at or above the highest that the chip should have",
    "the driver's own limit (hwmon, tempN_max)",
)
# Drives are judged by what they say themselves; a Super I/O measures what this board may have left unconnected, against
# limits that nobody has set.
CHIPS = ("coretemp", "k10temp", "zenpower", "mlx5", "mlxsw", "i350bb", "ixgbe", "bnxt_en", "jc42", "acpitz", "amdgpu")
# Power supplies are judged in `power`, and what only happened in `bmc_log`.
ELSEWHERE = ("Power Supply", *LATCHED)


def find_beyond(inventory: Inventory, policy: Policy) -> Iterator[Finding]:
    """Readings of the BMC's sensors, by the BMC's own word on each."""
    for sensor in inventory.bmc.sensors if inventory.bmc else ():
        if sensor.value is None:
            continue
        if sensor.state not in (None, State.OK):
            yield _describe(sensor)
        elif sensor.kind is Kind.FAN and sensor.value == 0 and _lowest(sensor):
            lowest = _lowest(sensor)
            summary = f"fan {sensor.name} stands still, and should turn at {_form(lowest, sensor)} at least; look at it"
            yield FAN_STOPPED.found(sensor.name, summary, value=sensor.value, threshold=lowest, unit=sensor.unit)


def _lowest(sensor: Sensor) -> float:
    """The speed below which something is said, 0 where there is none."""
    return max((sensor.limits[state.value] for state in LOWER if state.value in sensor.limits), default=0.0)


def _describe(sensor: Sensor) -> Finding:
    assert sensor.state is not None and sensor.value is not None
    is_critical, is_low = sensor.state in CRITICAL, sensor.state in LOWER
    limit = sensor.limit(sensor.state)
    if sensor.kind is Kind.FAN and is_low and is_critical:
        code, advice = FAN_FAILED, "replace the fan, or look for what blocks it"
    elif is_critical:
        code, advice = BEYOND_CRITICAL, ADVICE.get(sensor.kind, "look at what it measures")
    else:
        code, advice = BEYOND_NONCRITICAL, ADVICE.get(sensor.kind, "look at what it measures")
    side = "below" if is_low else "above"
    degree = {"c": "critical", "n": "non-recoverable"}[sensor.state.value[1]] if is_critical else "warning"
    figure = f" of {_form(limit, sensor)}" if limit is not None else ""
    summary = f"{sensor.name} is at {_form(sensor.value, sensor)}, {side} its {degree} threshold{figure}; {advice}"
    measured = {"value": sensor.value, "threshold": limit, "unit": sensor.unit, "state": sensor.state.value}
    return code.found(sensor.name, summary, **measured)


ADVICE = {
    Kind.TEMPERATURE: "look at airflow, fans and heat sinks",
    Kind.VOLTAGE: "look at supplies and board",
    Kind.FAN: "look at the fan",
    Kind.CURRENT: "look at the supplies and what they feed",
    Kind.POWER: "look at the supplies and what they feed",
}


def _form(value: float, sensor: Sensor) -> str:
    return f"{value:g} {sensor.unit}".strip()


def find_states(inventory: Inventory, policy: Policy) -> Iterator[Finding]:
    """What the BMC's discrete sensors assert now, and its own summary of the chassis."""
    bmc = inventory.bmc
    if bmc is None:
        return
    opened = None
    for sensor in bmc.sensors:
        if sensor.type in ELSEWHERE:
            continue
        for state in sensor.states:
            meaning = find_meaning(sensor.type, state)
            if meaning is None:
                continue
            summary = f"{sensor.name}: {state}; {meaning.advice}"
            if sensor.type == "Physical Security":
                opened = INTRUSION.found(sensor.name, summary, state=state)
                continue
            code = FAILED if meaning.verdict is Verdict.FAIL else DOUBTFUL
            yield code.found(sensor.name, summary, state=state, type=sensor.type)
    if opened is None and bmc.chassis and bmc.chassis.intrusion:
        opened = INTRUSION.found("chassis", "the chassis is open; close it, and see who opened it", intrusion=True)
    if opened:
        yield opened


def find_hot(inventory: Inventory, policy: Policy) -> Iterator[Finding]:
    """Temperatures that the kernel measures, of chips whose limits mean something."""
    for sensor in inventory.sensors:
        if sensor.kind is not Kind.TEMPERATURE or sensor.value is None or not sensor.source.startswith(CHIPS):
            continue
        part = f"{sensor.source} {sensor.name} ({sensor.id})"
        for code, state, word in ((HOT, State.UCR, "critical"), (WARM, State.UNC, "highest")):
            limit = sensor.limit(state)
            if limit is not None and limit > 0 and sensor.value >= limit:
                summary = f"{part} has {sensor.value:g} °C, and its {word} temperature is {limit:g} °C; cool it"
                yield code.found(part, summary, value=sensor.value, threshold=limit, unit="°C")
                break


CHECKS = (
    Check((BEYOND_CRITICAL, BEYOND_NONCRITICAL, FAN_FAILED, FAN_STOPPED), find_beyond),
    Check((FAILED, DOUBTFUL, INTRUSION), find_states),
    Check((HOT, WARM), find_hot),
)
