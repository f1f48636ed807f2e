"""Links that are slower than both ends can, and those that only look so."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import pytest

from liveagent.events import Finding
from liveagent.machine.inventory import Inventory
from liveagent.machine.kernel_log import parse_kernel_log
from liveagent.machine.look import Look
from liveagent.machine.pci import Aer, AerCount, Link, PciDevice, probe_pci
from liveagent.machine.usb import UsbDevice
from liveagent.tasks.hwdiag.checks import kernel_log, pci, usb
from liveagent.tasks.hwdiag.policy import Policy
from tests.conftest import UnpackTree

PCI = r"/(bus/pci|devices/pci)"

PORT = PciDevice(
    id="0000:00:01.0",
    class_code="060400",
    class_name="PCI bridge",
    vendor_id="8086",
    device_id="2030",
    subsystem_vendor_id="",
    subsystem_device_id="",
    revision="04",
    vendor="Intel Corporation",
    model="Root Port",
    driver="pcieport",
    numa_node=0,
    parent="",
    slot="",
    link=Link(8.0, 8, 8.0, 16),
    virtual_functions=None,
    virtual_functions_max=None,
    physical="",
)
CARD = dataclasses.replace(
    PORT, id="0000:01:00.0", class_code="020000", driver="i40e", parent=PORT.id, slot="3", link=Link(8.0, 8, 8.0, 8)
)


def find(*devices: PciDevice) -> list[Finding]:
    inventory = Inventory(pci=devices)
    found: Iterable[Finding] = [finding for check in pci.CHECKS for finding in check.find(inventory, Policy())]
    return list(found)


def with_link(device: PciDevice, *link: float | None) -> PciDevice:
    return dataclasses.replace(device, link=Link(*link))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("card", "codes"),
    [
        (CARD, []),
        (with_link(CARD, 5.0, 8, 8.0, 8), ["pci.link.speed"]),
        (with_link(CARD, 8.0, 4, 8.0, 8), ["pci.link.width"]),
        (with_link(CARD, 2.5, 1, 16.0, 16), ["pci.link.speed", "pci.link.width"]),
        # The slot is the slower end: nobody can do anything about that.
        (with_link(CARD, 8.0, 8, 16.0, 8), []),
        (with_link(CARD, None, None, 8.0, 8), []),
        (with_link(CARD, 5.0, 8, None, None), []),
        (dataclasses.replace(CARD, link=None), []),
        (dataclasses.replace(CARD, class_code="030200", link=Link(2.5, 8, 16.0, 8)), ["pci.link.resting"]),
        (
            dataclasses.replace(CARD, class_code="030200", link=Link(2.5, 4, 16.0, 8)),
            ["pci.link.resting", "pci.link.width"],
        ),
        (dataclasses.replace(CARD, id="0000:01:00.1", link=Link(5.0, 8, 8.0, 8)), []),
        (dataclasses.replace(CARD, physical="0000:01:00.1", driver="", link=Link(5.0, 8, 8.0, 8)), []),
        (dataclasses.replace(CARD, driver=""), ["pci.driver"]),
        (dataclasses.replace(CARD, driver="", class_code="0c0330"), []),
    ],
)  # fmt: skip
def test_links(card: PciDevice, codes: list[str]) -> None:
    assert [finding.code for finding in find(PORT, card)] == codes


def test_a_cards_own_switch_rests_with_it() -> None:
    """Accelerators with a bridge on the card: port, switch, processor and its sound. A network card below it moves."""
    switch = dataclasses.replace(PORT, id="0000:01:00.0", parent=PORT.id, link=Link(2.5, 16, 16.0, 16))
    gpu = dataclasses.replace(
        CARD, id="0000:02:00.0", class_code="030200", parent=switch.id, link=Link(2.5, 16, 16.0, 16)
    )
    sound = dataclasses.replace(gpu, id="0000:02:00.1", class_code="040300")
    port = with_link(PORT, 2.5, 16, 16.0, 16)
    assert [finding.code for finding in find(port, switch, gpu, sound)] == ["pci.link.resting"] * 2
    nic = dataclasses.replace(CARD, id="0000:03:00.0", parent=switch.id, link=Link(16.0, 16, 16.0, 16))
    assert [finding.code for finding in find(port, switch, gpu, nic)] == ["pci.link.speed", "pci.link.resting"]


def test_a_finding_says_where_it_sits_and_what_it_measured() -> None:
    [finding] = find(PORT, with_link(CARD, 5.0, 8, 8.0, 8))
    assert finding.part.startswith("slot 3, 0000:01:00.0 Intel Corporation") and PORT.id in finding.part
    assert finding.measured == {"speed": 5.0, "possible": 8.0, "unit": "GT/s"}


def test_where_nothing_is_seen_of_drivers_none_is_missed() -> None:
    assert find(dataclasses.replace(PORT, driver=""), dataclasses.replace(CARD, driver="")) == []


NONE = AerCount(0, {})
SOME = AerCount(3, {"RxErr": 3})
ADVISORY = AerCount(4000, {"NonFatalErr": 3998, "RxErr": 2})
MANY = AerCount(4000, {"RxErr": 3999, "BadTLP": 1})


@pytest.mark.parametrize(
    ("aer", "codes"),
    [
        (None, []),
        (Aer(NONE, NONE, NONE), []),
        (Aer(None, None, None), []),
        (Aer(SOME, NONE, NONE), ["pci.errors.few"]),
        (Aer(MANY, NONE, NONE), ["pci.errors.corrected"]),
        (Aer(ADVISORY, NONE, NONE), ["pci.errors.few"]),
        (Aer(NONE, SOME, NONE), ["pci.errors.nonfatal"]),
        (Aer(NONE, SOME, SOME), ["pci.errors.fatal", "pci.errors.nonfatal"]),
    ],
)
def test_errors(aer: Aer | None, codes: list[str]) -> None:
    assert [finding.code for finding in find(PORT, dataclasses.replace(CARD, aer=aer))] == codes


def test_the_words_of_errors() -> None:
    [finding] = find(dataclasses.replace(CARD, aer=Aer(MANY, None, None)))
    assert finding.summary == "4000 corrected errors (RxErr 3999, BadTLP 1); reseat it, look at riser and slot"
    assert finding.measured == {"count": 4000, "kinds": MANY.kinds, "threshold": 10}


CORRECTED = f"[    9.1] nvme {CARD.id}: PCIe Bus Error: severity=Corrected, type=Physical Layer, (Receiver ID)\n"
UNCORRECTED = f"[    9.2] nvme {CARD.id}: PCIe Bus Error: severity=Uncorrected (Non-Fatal), type=Transaction Layer\n"


@pytest.mark.parametrize(
    ("aer", "codes"),
    [
        (None, ["kernel.aer.corrected", "kernel.aer.uncorrected"]),
        # They begin anew where a device is found again; the log does not.
        (Aer(NONE, NONE, NONE), ["kernel.aer.corrected", "kernel.aer.uncorrected"]),
        (Aer(SOME, SOME, NONE), ["pci.errors.few", "kernel.aer.uncorrected"]),
        (Aer(MANY, NONE, SOME), ["pci.errors.fatal", "pci.errors.corrected"]),
    ],
)
def test_an_error_is_said_once_beside_the_kernels_log(aer: Aer | None, codes: list[str]) -> None:
    inventory = Inventory(
        pci=(dataclasses.replace(CARD, aer=aer),), kernel_log=parse_kernel_log(CORRECTED + UNCORRECTED)
    )
    checks = (*pci.CHECKS, *kernel_log.CHECKS)
    assert [one.code for check in checks for one in check.find(inventory, Policy())] == codes


def test_a_usb_port_with_too_much_current_is_said_once() -> None:
    hub = UsbDevice("usb1", "1d6b", "0002", "", "", "", ("hub",), True, 480.0, "2.00", "", {"usb1-port4": 2})
    log = parse_kernel_log("[   12.1] usb usb1-port4: over-current condition\n")
    assert [one.part for one in log.complaints] == ["usb1-port4"]
    checks = (*usb.CHECKS, *kernel_log.CHECKS)
    for counts, codes in (({"usb1-port4": 2}, ["usb.current"]), ({"usb1-port4": 0}, ["kernel.usb.current"])):
        inventory = Inventory(usb=(dataclasses.replace(hub, over_currents=counts),), kernel_log=log)
        assert [one.code for check in checks for one in check.find(inventory, Policy())] == codes


@pytest.mark.corpus
@pytest.mark.parametrize(
    "tree",
    [
        "hwloc-tree/32intel64-2p8co2t+8ve.tar.bz2",
        "hwloc-tree/40intel64-2g2n4c+pcilocality.tar.bz2",
        "hwloc-tree/32em64t-2n8c+dax+nvme+mic+dimms.tar.bz2",
        "sysfs-tree/procfs-pci.tar.gz",
    ],
)
def test_recorded_servers_have_no_false_alarm(unpack_tree: UnpackTree, tree: str) -> None:
    assert find(*probe_pci(Look(unpack_tree(tree, PCI)))) == []
