"""The PCI devices: what each is, where it sits, how its link runs, and the errors that the kernel counted of it.

From sysfs and udev's database of names.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from liveagent.host import Host
from liveagent.machine.look import Look, Why
from liveagent.machine.sysfs import read_link, to_number

DEVICES = "/sys/bus/pci/devices"
SLOTS = "/sys/bus/pci/slots"
ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
# PCI Express base specification: widths of 1 to 32 lanes; sysfs has 0 where there is no link, and 255 where the kernel
# could not ask.
WIDTHS = (1, 2, 4, 8, 12, 16, 32)


@dataclasses.dataclass(frozen=True)
class Link:
    """One end of a link: `speed` in GT/s a lane, `width` in lanes, now and at most; None where it does not say."""

    speed: float | None
    width: int | None
    speed_max: float | None
    width_max: int | None


@dataclasses.dataclass(frozen=True)
class AerCount:
    """Errors of one severity: how many messages of them, and how many of each kind that there were.

    A message may stand for several errors, and so `total` may be less than their sum.
    """

    total: int
    kinds: Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class Aer:
    """Errors that a device reported since it was found (PCI Express Advanced Error Reporting).

    `corrected` were repaired by the link; of the others `nonfatal` lost what was under way, and after `fatal` ones the
    link is not to be trusted. None where it could not be read.
    """

    corrected: AerCount | None
    nonfatal: AerCount | None
    fatal: AerCount | None


@dataclasses.dataclass(frozen=True)
class PciDevice:
    """A PCI function. `id` is its address, `parent` that of the bridge above it, "" at the root.

    `class_code` is class, subclass and interface in hex (`020000`); ids are in hex. Names are "" where the database has
    none. `numa_node` is None where the firmware does not say. `slot` is the number on the chassis, where the firmware
    knows it. `physical` is the address of the function that a virtual one belongs to. `aer` is None where the device
    reports no errors, or does so to the firmware alone.
    """

    id: str
    class_code: str
    class_name: str
    vendor_id: str
    device_id: str
    subsystem_vendor_id: str
    subsystem_device_id: str
    revision: str
    vendor: str
    model: str
    driver: str
    numa_node: int | None
    parent: str
    slot: str
    link: Link | None
    virtual_functions: int | None
    virtual_functions_max: int | None
    physical: str
    aer: Aer | None = None

    @property
    def name(self) -> str:
        """As a person calls it; the ids where no name is known."""
        words = " ".join(word for word in (self.vendor, self.model) if word)
        return words or f"{self.vendor_id}:{self.device_id}"

    @property
    def label(self) -> str:
        """As findings name it: `slot 4, 0000:3b:00.0 Intel …`."""
        return f"{f'slot {self.slot}, ' if self.slot else ''}{self.id} {self.name}"


def parse_speed(text: str) -> float | None:
    """GT/s of `8.0 GT/s PCIe` (or `8 GT/s` of older kernels); None for `Unknown`, `Unknown speed` and nothing."""
    match = re.match(r"(\d+(?:\.\d+)?) GT/s", text)
    return float(match.group(1)) if match else None


def parse_width(text: str) -> int | None:
    """Lanes; None for 0 (no link), 255 (not known) and whatever no link can have."""
    return int(text) if text.isdecimal() and int(text) in WIDTHS else None


def parse_aer(text: str) -> AerCount | None:
    """`RxErr 2`, a line a kind, and `TOTAL_ERR_COR 2`; None without a total.

    Documentation/ABI/testing/sysfs-bus-pci-devices-aer_stats. Kernel 4.19 has names of several words (`Bad TLP`).
    """
    counts = {name: int(count) for name, count in re.findall(r"^(\w[\w ]*) (\d{1,20})$", text, re.MULTILINE | re.ASCII)}
    totals = [count for name, count in counts.items() if name.startswith("TOTAL_ERR")]
    kinds = {name: count for name, count in counts.items() if count and not name.startswith("TOTAL_ERR")}
    return AerCount(totals[0], kinds) if totals else None


def probe_pci(look: Look) -> tuple[PciDevice, ...]:
    """Every function, by address."""
    devices = probe_functions(look.host)
    if not devices:
        look.note("pci", Why.ABSENT, "the kernel has no PCI bus")
    if devices and not any(device.aer for device in devices):
        look.note("pci.aer", Why.NO_DRIVER, "no device's errors are counted: the firmware may keep them to itself")
    return devices


def probe_functions(host: Host, classes: tuple[str, ...] = ("",)) -> tuple[PciDevice, ...]:
    """The functions whose class code begins with one of these, by address: one kind is asked for without the others."""
    found = [name for name in host.list(DEVICES) if ADDRESS.fullmatch(name)]
    addresses = [name for name in found if _hex(host.read_or(f"{DEVICES}/{name}/class")).startswith(classes)]
    names = {device.name: device.properties for device in host.udev("pci")} if addresses else {}
    slots = probe_slots(host) if addresses else {}
    return tuple(_probe_device(host, address, names.get(address, {}), slots) for address in addresses)


def probe_slots(host: Host) -> Mapping[str, str]:
    """Slot numbers by address without function (`0000:3b:00`); of two slots with one address the first counts."""
    found: dict[str, str] = {}
    for slot in host.list(SLOTS):
        address = host.read_or(f"{SLOTS}/{slot}/address")
        if address:
            found.setdefault(address, slot)
    return found


def _probe_device(host: Host, address: str, names: Mapping[str, str], slots: Mapping[str, str]) -> PciDevice:
    below = f"{DEVICES}/{address}"

    def read(name: str) -> str:
        return host.read_or(f"{below}/{name}")

    path = host.resolve(below).strip("/").split("/")
    parents = [part for part in path[:-1] if ADDRESS.fullmatch(part)]
    # A card's slot is that of the bridge above it where the firmware gives the number to the port.
    slot = next((slots[one[:-2]] for one in (address, *parents[::-1]) if one[:-2] in slots), "")
    numa = read("numa_node")
    return PciDevice(
        id=address,
        class_code=_hex(read("class")),
        class_name=names.get("ID_PCI_SUBCLASS_FROM_DATABASE") or names.get("ID_PCI_CLASS_FROM_DATABASE", ""),
        vendor_id=_hex(read("vendor")),
        device_id=_hex(read("device")),
        subsystem_vendor_id=_hex(read("subsystem_vendor")),
        subsystem_device_id=_hex(read("subsystem_device")),
        revision=_hex(read("revision")),
        vendor=names.get("ID_VENDOR_FROM_DATABASE", ""),
        model=names.get("ID_MODEL_FROM_DATABASE", ""),
        driver=read_link(host, f"{below}/driver"),
        numa_node=int(numa) if numa.isdecimal() else None,
        parent=parents[-1] if parents else "",
        slot=slot,
        link=_probe_link(
            read("current_link_speed"), read("current_link_width"), read("max_link_speed"), read("max_link_width")
        ),
        virtual_functions=to_number(read("sriov_numvfs")),
        virtual_functions_max=to_number(read("sriov_totalvfs")),
        physical=read_link(host, f"{below}/physfn"),
        aer=_make_aer(read("aer_dev_correctable"), read("aer_dev_nonfatal"), read("aer_dev_fatal")),
    )


def _probe_link(speed: str, width: str, speed_max: str, width_max: str) -> Link | None:
    link = Link(parse_speed(speed), parse_width(width), parse_speed(speed_max), parse_width(width_max))
    return link if any(value is not None for value in dataclasses.astuple(link)) else None


def _make_aer(corrected: str, nonfatal: str, fatal: str) -> Aer | None:
    aer = Aer(parse_aer(corrected), parse_aer(nonfatal), parse_aer(fatal))
    return aer if aer != Aer(None, None, None) else None


def _hex(text: str) -> str:
    return text[2:] if text.startswith("0x") else text
