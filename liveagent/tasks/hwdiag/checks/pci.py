"""Links that run below what both ends can do, errors that devices reported, and devices that nothing drives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from liveagent.events import Finding, Verdict
from liveagent.machine.inventory import Inventory
from liveagent.machine.pci import AerCount, Link, PciDevice
from liveagent.tasks.hwdiag.check import Check, Code
from liveagent.tasks.hwdiag.policy import Limit, Policy

LINK_SPEED = Code(
    "pci.link.speed",
    Verdict.WARN,
    "a link runs slower than the slower of its two ends can: a dirty contact, a riser, a wrong BIOS setting",
    "PCI Express base specification, Link Status against Link Capabilities of both ends",
)
LINK_WIDTH = Code(
    "pci.link.width",
    Verdict.WARN,
    "a link has fewer lanes than the narrower of its two ends: a contact or a lane has failed",
    "PCI Express base specification, Link Status against Link Capabilities of both ends",
)
LINK_RESTING = Code(
    "pci.link.resting",
    Verdict.PASS,
    "the link of a graphics processor, or of the switch on its card, is slow: at rest that says nothing",
    "drivers of NVIDIA and AMD lower the speed of an idle link",
)
NO_DRIVER = Code(
    "pci.driver",
    Verdict.WARN,
    "a storage or network controller has no driver: what is behind it is not seen",
    "classes 01 and 02 of the PCI code and ID assignment",
)
CORRECTED_COUNT = Limit(
    "pci.errors.corrected", 10, "errors", "liveagent's own: a few are what a link leaves behind as it trains"
)
_AER = "aer_dev_* in sysfs (PCI Express Advanced Error Reporting), since the device was found"
FATAL = Code("pci.errors.fatal", Verdict.FAIL, "a device reported fatal PCIe errors", _AER)
NONFATAL = Code("pci.errors.nonfatal", Verdict.WARN, "a device reported PCIe errors that were not corrected", _AER)
CORRECTED = Code(
    "pci.errors.corrected",
    Verdict.WARN,
    "a device reported many corrected PCIe errors: a contact, a riser or a card",
    _AER,
    (CORRECTED_COUNT,),
)
FEW = Code("pci.errors.few", Verdict.PASS, "a device reported a few corrected PCIe errors", _AER, (CORRECTED_COUNT,))
DISPLAY, BRIDGE = ("03", "12"), "0604"
DRIVEN = {"01": "storage", "02": "network"}


def find_links(inventory: Inventory, policy: Policy) -> Iterator[Finding]:
    """Hop by hop: a device, and the port above it."""
    devices = {device.id: device for device in inventory.pci}
    resting = find_resting(devices)
    for device in inventory.pci:
        above = devices.get(device.parent)
        # A virtual function has no link, and functions of one device share that of the first.
        if above is None or device.link is None or above.link is None or device.physical:
            continue
        if device.id.endswith(".0"):
            yield from _judge(device, device.link, above, above.link, device.id in resting)


def find_resting(devices: Mapping[str, PciDevice]) -> set[str]:
    """Graphics processors, and the bridges that have nothing else at their ends: a card's own switch. Pure."""
    ends: dict[str, set[bool]] = {}
    for device in devices.values():
        # The sound of a card is another function of it; the first says what it is.
        if device.class_code.startswith(BRIDGE) or not device.id.endswith(".0"):
            continue
        place: PciDevice | None = device
        while place is not None:
            ends.setdefault(place.id, set()).add(device.class_code[:2] in DISPLAY)
            place = devices.get(place.parent)
    return {name for name, kinds in ends.items() if kinds == {True}}


def _judge(device: PciDevice, link: Link, above: PciDevice, port: Link, rests: bool) -> Iterator[Finding]:
    where = f"{device.label}, below {above.id}"
    if link.speed is not None and link.speed_max is not None and port.speed_max is not None:
        possible = min(link.speed_max, port.speed_max)
        if link.speed < possible:
            code = LINK_RESTING if rests else LINK_SPEED
            advice = "" if code is LINK_RESTING else "; reseat the card, look at riser and BIOS"
            summary = f"its link runs at {link.speed:g} GT/s of {possible:g}{advice}"
            yield code.found(where, summary, speed=link.speed, possible=possible, unit="GT/s")
    if link.width is not None and link.width_max is not None and port.width_max is not None:
        lanes = min(link.width_max, port.width_max)
        if link.width < lanes:
            summary = f"its link has {link.width} lanes of {lanes}; reseat the card, look at riser and slot"
            yield LINK_WIDTH.found(where, summary, width=link.width, possible=lanes)


# PCI Express Base Specification, 6.2.3.2.4; the kernel's name in aer_dev_correctable.
ADVISORY = "NonFatalErr"


def find_errors(inventory: Inventory, policy: Policy) -> Iterator[Finding]:
    """What devices reported; the kernel's log has the same, and says here what these counters do not."""
    for device in inventory.pci:
        if device.aer is None:
            continue
        if device.aer.fatal and device.aer.fatal.total:
            yield _say(FATAL, device, device.aer.fatal, "fatal errors; reseat or replace it, look at riser and slot")
        if device.aer.nonfatal and device.aer.nonfatal.total and not is_logged(device, inventory):
            words = "errors that were not corrected; reseat it, look at riser and slot"
            yield _say(NONFATAL, device, device.aer.nonfatal, words)
        if device.aer.corrected and device.aer.corrected.total:
            most = policy.limit(CORRECTED_COUNT, device.model)
            # An advisory one is a request that the device does not know, such as a driver's probe: no bad link's doing.
            is_many = device.aer.corrected.total - device.aer.corrected.kinds.get(ADVISORY, 0) > most
            words = "corrected errors" + ("; reseat it, look at riser and slot" if is_many else "")
            yield _say(CORRECTED if is_many else FEW, device, device.aer.corrected, words, threshold=most)


def is_logged(device: PciDevice, inventory: Inventory) -> bool:
    """Whether the kernel's log has an uncorrected error of a device, which is a graver finding. Pure."""
    complaints = inventory.kernel_log.complaints if inventory.kernel_log else ()
    return any(one.code == "kernel.aer.uncorrected" and one.part == device.id for one in complaints)


def _say(code: Code, device: PciDevice, count: AerCount, words: str, **measured: float) -> Finding:
    kinds = ", ".join(f"{name} {number}" for name, number in count.kinds.items())
    what, semicolon, advice = words.partition("; ")
    summary = f"{count.total} {what}{f' ({kinds})' if kinds else ''}{semicolon}{advice}"
    return code.found(device.label, summary, count=count.total, kinds=dict(count.kinds), **measured)


def find_undriven(inventory: Inventory, policy: Policy) -> Iterator[Finding]:
    if not any(device.driver for device in inventory.pci):
        return  # nothing was seen of drivers
    for device in inventory.pci:
        kind = DRIVEN.get(device.class_code[:2])
        if kind and not device.driver and not device.physical:
            ids = f"{device.vendor_id}:{device.device_id}"
            summary = f"this {kind} controller ({ids}) has no driver in this image; what is behind it is not seen"
            yield NO_DRIVER.found(device.label, summary, ids=ids)


CHECKS = (
    Check((LINK_SPEED, LINK_WIDTH, LINK_RESTING), find_links),
    Check((FATAL, NONFATAL, CORRECTED, FEW), find_errors),
    Check((NO_DRIVER,), find_undriven),
)
