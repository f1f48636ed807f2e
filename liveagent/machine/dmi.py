"""Who this server is: the SMBIOS identity from sysfs, its name, and the MAC address it was booted with."""

from __future__ import annotations

import dataclasses
import re

from liveagent.cmdline import parse_cmdline
from liveagent.events import JSON
from liveagent.host import Host

DMI = "/sys/class/dmi/id"

# What firmware says where nobody wrote anything; folded, without dots and spaces. Seen in dmidecode outputs of
# ASRock Rack, ASUS, Gigabyte, Supermicro, Lenovo, VirtualBox and others.
FILLERS = frozenset(
    (
        *("", "none", "null", "n/a", "na", "oem", "o/e/m", "unknown", "empty", "default", "invalid", "undefined"),
        *("unspecified", "notspecified", "notavailable", "notapplicable", "notpresent", "notsettable", "string"),
        *("tobespecified", "tobeset", "tobefilledbyoem", "tobefilledbyoemstring", "filledbyoem", "defaultstring"),
        *("serial", "serialnumber", "systemserial", "systemserialnumber", "systemmanufacturer", "systemuuid"),
        *("systemname", "systemproduct", "systemproductname", "baseboardserialnumber", "boardserialnumber"),
        *("mbserialnumber", "enclosureserialnumber", "chassisserialnumber", "chassismanufacturer"),
        *("chassismanufacture", "chassisassettag", "assettag", "noassettag", "noassetinformation"),
        *("asset-1234567890", "type1productconfigid", "<badindex>", "badindex", "<outofspec>", "outofspec"),
        *("invalidserialnumber", "noserialnumber", "0123456789", "01234567890", "012345678", "1234567890"),
        *("123456789", "12345678", "9876543210", "0123456789abcdef", "123456789abcdef", "1234567890abcdef"),
    )
)
# UUIDs that come with a firmware's source, not with a machine; the second is the first in the other byte order.
FILLER_UUIDS = frozenset(
    (
        "03000200-0400-0500-0006-000700080009",
        "00020003-0004-0005-0006-000700080009",
        "12345678-1234-5678-90ab-cddeefaabbcc",
        "78563412-3412-7856-90ab-cddeefaabbcc",
        "01234567-8910-1112-1314-151617181920",
        "00112233-4455-6677-8899-aabbccddeeff",
        "11223344-5566-7788-99aa-bbccddeeff00",
        "01010101-0101-0101-0101-010101010101",
        "ffffff00-ffff-ffff-ffff-ffffffffffff",
    )
)
# Names that say no more than that there is none.
NO_HOSTNAME = ("", "(none)", "localhost", "localhost.localdomain")


@dataclasses.dataclass(frozen=True)
class Identity:
    """What tells this server from every other; None where it is not known, or a firmware's filler."""

    serial: str | None
    uuid: str | None
    vendor: str | None
    product: str | None
    asset_tag: str | None
    hostname: str | None
    boot_mac: str | None

    def encode(self) -> dict[str, JSON]:
        return dataclasses.asdict(self)


def is_usable(text: str) -> bool:
    """Whether a DMI string says something of this machine, rather than what firmware says when asked for nothing."""
    folded = re.sub(r"[.\s]", "", text.casefold())
    bare = re.sub(r"[-_:]", "", folded)
    if folded in FILLERS or folded in FILLER_UUIDS:
        return False
    # Nothing at all, or one character over and over: "0", "XXXXXXXX", "........", a UUID of zeros or of Fs.
    return len(set(bare)) > 1


def parse_boot_mac(cmdline: bytes) -> str | None:
    """The MAC of the NIC that booted, from `BOOTIF=01-aa-bb-cc-dd-ee-ff`: lower case, with colons.

    PXELINUX puts the ARP hardware type before it (01 is Ethernet, 20 is InfiniBand); iPXE templates may leave
    that out, and write colons. The last of repeated words counts.
    """
    found = None
    for word in parse_cmdline(cmdline).words:
        if word.name != "BOOTIF" or not word.value:
            continue
        match = re.fullmatch(r"(?:[0-9a-f]{2}[-:])??([0-9a-f]{2}(?:[-:][0-9a-f]{2}){5})", word.value.lower())
        if match:
            found = match.group(1).replace("-", ":")
    return found


def probe_identity(host: Host) -> Identity:
    """The identity of this server. The serial and the UUID can be read by root only."""
    uuid = _read(host, "product_uuid")
    return Identity(
        serial=_read(host, "product_serial"),
        uuid=uuid.lower() if uuid else None,
        # A white box often carries its maker on the board alone.
        vendor=_read(host, "sys_vendor") or _read(host, "board_vendor"),
        product=_read(host, "product_name") or _read(host, "board_name"),
        asset_tag=_read(host, "chassis_asset_tag"),
        hostname=_probe_hostname(host),
        boot_mac=parse_boot_mac(host.read_or("/proc/cmdline").encode("utf-8", "replace")),
    )


def _read(host: Host, name: str) -> str | None:
    text = host.read_or(f"{DMI}/{name}")
    return text if is_usable(text) else None


def _probe_hostname(host: Host) -> str | None:
    for path in ("/proc/sys/kernel/hostname", "/etc/hostname"):
        name = host.read_or(path)
        if name not in NO_HOSTNAME:
            return name
    return None
