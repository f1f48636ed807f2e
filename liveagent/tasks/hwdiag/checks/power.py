"""Whether a power supply has failed, has no power, or is missing."""

from __future__ import annotations

from collections.abc import Iterator

from liveagent.events import Finding, Verdict
from liveagent.machine.bmc import Bmc
from liveagent.machine.inventory import Inventory
from liveagent.machine.sensors import Sensor
from liveagent.tasks.hwdiag.check import Check, Code
from liveagent.tasks.hwdiag.checks.ipmi_events import SOURCE, find_meaning
from liveagent.tasks.hwdiag.policy import Policy

SMBIOS = "SMBIOS 3.x, type 39, 7.40.1"
FAILED = Code("power.failed", Verdict.FAIL, "a power supply, or the power of the machine, has failed", SOURCE)
DOUBTFUL = Code("power.lost", Verdict.WARN, "a power supply has no input, is about to fail, or does not fit", SOURCE)
REDUNDANCY = Code("power.redundancy", Verdict.WARN, "the supplies are not redundant any more", SOURCE)
ABSENT = Code(
    "power.absent",
    Verdict.PASS,
    "a bay for a supply is empty while others are not; an expectation says whether that is meant",
    SOURCE,
)
UNPLUGGED = Code("power.unplugged", Verdict.WARN, "the firmware saw a supply that is not plugged in", SMBIOS)
PRESENCE = "Presence detected"


def find_supplies(inventory: Inventory, policy: Policy) -> Iterator[Finding]:
    """What the BMC's sensors of supplies assert."""
    bmc = inventory.bmc
    if bmc is None:
        return
    supplies = [sensor for sensor in bmc.sensors if sensor.type == "Power Supply" and sensor.readable]
    for sensor in supplies:
        part = _name(bmc, sensor)
        for state in sensor.states:
            meaning = find_meaning(sensor.type, state)
            if meaning:
                is_redundancy = "edundan" in state
                code = REDUNDANCY if is_redundancy else FAILED if meaning.verdict is Verdict.FAIL else DOUBTFUL
                yield code.found(part, f"{part}: {state}; {meaning.advice}", state=state)
    yield from _find_absent(bmc, supplies)
    chassis = bmc.chassis
    if chassis and chassis.power_fault:
        yield FAILED.found("power", "the BMC reports a fault of the main power; look at the supplies", power_fault=True)
    if chassis and chassis.power_overload:
        summary = "the BMC reports that the power is overloaded; use stronger supplies, or fewer parts"
        yield DOUBTFUL.found("power", summary, power_overload=True)


def _find_absent(bmc: Bmc, supplies: list[Sensor]) -> Iterator[Finding]:
    """Of sensors that tell of presence, those that do not, next to some that do."""
    telling = [sensor for sensor in supplies if "status" in sensor.name.lower() and not sensor.limits]
    if any(PRESENCE in sensor.states for sensor in telling):
        for sensor in telling:
            if not sensor.states:
                part = _name(bmc, sensor)
                yield ABSENT.found(part, f"{part}: no supply is in this bay", states=[])


def _name(bmc: Bmc, sensor: Sensor) -> str:
    """The sensor, and the serial of the supply that bears its number."""
    number = "".join(character for character in sensor.name if character.isdigit())
    for fru in bmc.frus:
        area = fru.board or fru.product
        is_supply = fru.name.lower().startswith(("ps", "pwr", "power"))
        if number and is_supply and number == "".join(character for character in fru.name if character.isdigit()):
            return f"{sensor.name} {area.serial}" if area and area.serial else sensor.name
    return sensor.name


def find_unplugged(inventory: Inventory, policy: Policy) -> Iterator[Finding]:
    """What the firmware's table says of supplies that it knows something of."""
    for supply in inventory.power_supplies:
        part = " ".join(filter(None, (supply.id, supply.serial)))
        if not supply.is_described:
            continue
        if supply.plugged is False:
            summary = f"supply {part} is not plugged in; look at its cord"
            yield UNPLUGGED.found(part, summary, plugged=False, status=supply.status)
        if supply.status == "Critical":
            yield FAILED.found(part, f"supply {part} is critical; replace it", status=supply.status)
        elif supply.status == "Non-critical":
            yield DOUBTFUL.found(part, f"supply {part} is not quite well; look at it", status=supply.status)


def find(inventory: Inventory, policy: Policy) -> Iterator[Finding]:
    """What either says: the BMC knows how the supplies are now, the table what they were at boot."""
    yield from find_supplies(inventory, policy)
    yield from find_unplugged(inventory, policy)


CHECKS = (Check((FAILED, DOUBTFUL, REDUNDANCY, ABSENT, UNPLUGGED), find),)
