"""The USB devices: what each is, where it is plugged in, and the ports that drew too much current; from sysfs."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping

from liveagent.host import Host
from liveagent.machine.look import Look, Why
from liveagent.machine.pci import ADDRESS
from liveagent.machine.sysfs import to_number

DEVICES = "/sys/bus/usb/devices"
# `usb1` is what a controller has for a hub, `1-4.2` the second port of a hub in the fourth of bus 1.
DEVICE = re.compile(r"usb\d{1,4}|\d{1,4}-\d{1,3}(?:\.\d{1,3})*", re.ASCII)
# Classes as usb.org assigns them (Defined Class Codes). 00: each interface has its own; ef and ff say nothing.
CLASSES: Mapping[str, str] = {
    "01": "audio",
    "02": "communication",
    "03": "human interface",
    "06": "image",
    "07": "printer",
    "08": "mass storage",
    "09": "hub",
    "0a": "data",
    "0b": "smart card",
    "0d": "content security",
    "0e": "video",
    "dc": "diagnostics",
    "e0": "wireless",
}


@dataclasses.dataclass(frozen=True)
class UsbDevice:
    """A USB device. `id` is the port that it is in (`1-4.2`; `usb1` for a controller's own hub).

    Ids are in hex; texts are the device's own, "" where it has none. `kinds` are its class, or those of its interfaces,
    in words. `speed_mbit` is the bus' rate in megabits a second, None where the kernel does not know. `version` is that
    of USB which it speaks, `bus` the PCI address of its controller. `over_currents`: of a hub how often each port that
    the kernel counts drew too much current since boot.
    """

    id: str
    vendor_id: str
    product_id: str
    vendor: str
    product: str
    serial: str
    kinds: tuple[str, ...]
    is_hub: bool
    speed_mbit: float | None
    version: str
    bus: str
    over_currents: Mapping[str, int]

    @property
    def label(self) -> str:
        return " ".join(word for word in (self.id, self.vendor, self.product) if word)


def parse_speed(text: str) -> float | None:
    """Megabits a second of `1.5`, `480`, `10000`; None for `unknown`."""
    return float(text) if re.fullmatch(r"\d{1,6}(?:\.\d)?", text, re.ASCII) and float(text) > 0 else None


def probe_usb(look: Look) -> tuple[UsbDevice, ...]:
    """Every device with its hubs, in the order of the ports."""
    host = look.host
    entries = host.list(DEVICES)
    names = sorted((name for name in entries if DEVICE.fullmatch(name)), key=_order)
    if not names:
        look.note("usb", Why.ABSENT, "the kernel has no USB bus")
    return tuple(_probe_device(host, name, entries) for name in names)


def _order(name: str) -> tuple[list[int], bool]:
    """Bus by bus, its own hub first."""
    return [int(number) for number in re.findall(r"\d+", name)], not name.startswith("usb")


def _probe_device(host: Host, name: str, entries: tuple[str, ...]) -> UsbDevice:
    below = f"{DEVICES}/{name}"

    def read(file: str) -> str:
        return host.read_or(f"{below}/{file}")

    # A controller's own hub calls its interface by the number of the bus: `1-0:1.0`.
    stem = f"{name[3:]}-0:" if name.startswith("usb") else f"{name}:"
    interfaces = [entry for entry in entries if entry.startswith(stem)]
    codes = [read("bDeviceClass"), *(host.read_or(f"{DEVICES}/{one}/bInterfaceClass") for one in interfaces)]
    path = host.resolve(below).split("/")
    return UsbDevice(
        id=name,
        vendor_id=read("idVendor"),
        product_id=read("idProduct"),
        vendor=read("manufacturer"),
        product=read("product"),
        serial=read("serial"),
        kinds=tuple(dict.fromkeys(CLASSES[code] for code in codes if code in CLASSES)),
        is_hub=codes[0] == "09",
        speed_mbit=parse_speed(read("speed")),
        version=read("version"),
        bus=next((part for part in reversed(path) if ADDRESS.fullmatch(part)), ""),
        over_currents=dict(_probe_over_currents(host, interfaces)),
    )


def _probe_over_currents(host: Host, interfaces: list[str]) -> Iterator[tuple[str, int]]:
    """By port, of a hub; kernels since 4.17 (Documentation/ABI/testing/sysfs-bus-usb)."""
    for interface in interfaces:
        for port in host.list(f"{DEVICES}/{interface}"):
            count = (
                to_number(host.read_or(f"{DEVICES}/{interface}/{port}/over_current_count")) if "port" in port else None
            )
            if count is not None:
                yield port, count
