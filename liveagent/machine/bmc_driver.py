"""Whether there is a BMC by the firmware's tables, and what the kernel's driver knows of it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

from liveagent.host import Host

# Where ipmitool looks, in its order.
DEVICES = ("/dev/ipmi0", "/dev/ipmi/0", "/dev/ipmidev/0")
# SMBIOS type 38, IPMI Device Information: the board says that it has a BMC, whether or not a driver found it.
SMBIOS_BMC = "/sys/firmware/dmi/entries/38-0"
SMBIOS_TABLE = "/sys/firmware/dmi/tables/DMI"
IPMI_DEVICE, HOST_INTERFACE = 38, 42
# SMBIOS 3.x, 7.43.1: a network that the BMC offers to the system, for Redfish.
NETWORK_HOST_INTERFACE = 0x40
# The ACPI device of an IPMI interface (IPMI 2.0, C3-2), and what the kernel's driver calls the BMC behind it.
ACPI_BMC = "/sys/bus/acpi/devices/IPI0001:*"
KERNEL_BMC = "/sys/bus/platform/devices/ipmi_bmc.*"


@dataclasses.dataclass(frozen=True)
class Announced:
    """What the firmware says. `host_network`: the BMC offers the system a network, for Redfish."""

    bmc: bool
    host_network: bool


@dataclasses.dataclass(frozen=True)
class Driver:
    """What the kernel read when it found the BMC: there without ipmitool, and of a BMC that died since."""

    manufacturer_id: int | None
    product_id: int | None
    firmware: str
    ipmi_version: str


def parse_smbios_types(table: bytes) -> Iterator[tuple[int, bytes]]:
    """The type and the bytes of each structure of an SMBIOS table (DSP0134, 6.1.2), up to where it is damaged."""
    place = 0
    while place + 4 <= len(table):
        type_, length = table[place], table[place + 1]
        end = table.find(b"\0\0", place + length)
        if length < 4 or end < 0:
            return
        yield type_, table[place : place + length]
        place = end + 2


def has_device(host: Host) -> bool:
    """Whether ipmitool has a device to ask."""
    return any(host.exists(device) for device in DEVICES)


def probe_announced(host: Host) -> Announced:
    """What the firmware says. The tables can be read by root only."""
    try:
        structures = tuple(parse_smbios_types(host.read_bytes(SMBIOS_TABLE)))
    except OSError:
        structures = ()
    return Announced(
        bmc=any(type_ == IPMI_DEVICE for type_, _ in structures)
        or host.exists(SMBIOS_BMC)
        or bool(host.glob(ACPI_BMC)),
        host_network=any(
            type_ == HOST_INTERFACE and body[4:5] == bytes([NETWORK_HOST_INTERFACE]) for type_, body in structures
        ),
    )


def probe_driver(host: Host) -> Driver | None:
    """What the driver knows; None where it found no BMC."""
    for path in host.glob(KERNEL_BMC):
        firmware, version = (host.read_or(f"{path}/{name}") for name in ("firmware_revision", "ipmi_version"))
        if firmware or version:
            manufacturer, product = (_hex(host.read_or(f"{path}/{name}")) for name in ("manufacturer_id", "product_id"))
            return Driver(manufacturer, product, firmware, version)
    return None


def _hex(text: str) -> int | None:
    return int(text, 16) if re.fullmatch(r"0x[0-9a-fA-F]{1,8}", text) else None
