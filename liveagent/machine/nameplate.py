"""What a disk says of itself: maker, model, serial, WWN, firmware, and the slot it sits in."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence

from liveagent.host import Host
from liveagent.machine.transport import Transport


@dataclasses.dataclass(frozen=True)
class Nameplate:
    """'' stands for what is not known."""

    model: str
    vendor: str
    serial: str
    wwn: str
    firmware: str


# BMCs hand out media over USB; vendor and model are those of the SCSI INQUIRY or of udev, with "_" for " ".
# iDRAC: LCDRIVE, SECUPD, OEMDRV are the Lifecycle Controller's own. "LUN 00 Media 0" is the flash of an iLO.
# AMI MegaRAC (Quanta, Gigabyte, ASRock Rack, Lenovo …): "Virtual CDROM0", "Virtual Floppy0", "Virtual HDisk0", with
# serial AAAABBBBCCCC1. Cisco CIMC: "vKVM-Mapped vHDD". OpenBMC: "Linux File-Stor Gadget".
_VIRTUAL_VENDORS = re.compile(r"\b(idrac|aten|pepperc?on|raritan|openbmc)\b", re.IGNORECASE)
_VIRTUAL_MODELS = re.compile(
    r"\bvirtual\b|\bvmedia\b|mapped v(dvd|hdd|fdd)|\b(lcdrive|secupd|oemdrv)\b|\blun \d\d media\b"
    r"|\bremote (storage|iso|fdd|cdrom|floppy)|\bfile-(stor|cd) gadget\b|\bvm \d\.\d\.\d\b",
    re.IGNORECASE,
)
# Media that sit inside the server, though a BMC or a mainboard hands them out: Dell's two SD cards, HPE's SD slot.
_REAL_MODELS = re.compile(r"\binternal (dual )?sd|\bidsdm\b|\bflexflash\b|\bvmware virtual usb", re.IGNORECASE)
# The label of the floppy that Ironic writes for its agent (ironic-python-agent, hardware.py).
VIRTUAL_LABELS = ("ir-vfd-dev",)


def is_virtual_media(transport: Transport, vendor: str, model: str, serial: str, labels: Sequence[str] = ()) -> bool:
    """Whether a disk is a BMC's: an image on somebody's laptop, or a piece of the BMC's own flash."""
    if transport is not Transport.USB:
        return False
    words = f"{vendor} {model}".replace("_", " ")
    if _REAL_MODELS.search(words):
        return False
    return bool(
        _VIRTUAL_MODELS.search(words)
        or _VIRTUAL_VENDORS.search(vendor)
        or serial.startswith("AAAABBBBCCCC")
        or any(label in VIRTUAL_LABELS for label in labels)
    )


def parse_vpd_serial(page: bytes) -> str:
    """The Unit Serial Number of VPD page 0x80 (SPC-4, 7.8.15): 4 bytes of header, then text; '' where it is none."""
    if len(page) < 4 or page[1] != 0x80:
        return ""
    length = int.from_bytes(page[2:4], "big")
    return clean(page[4 : 4 + length].decode("ascii", "replace"))


def clean(text: str) -> str:
    """Text out of a fixed field: blanks and zero bytes around it gone, what cannot be printed as `?`."""
    stripped = text.replace("\0", " ").strip()
    return "".join(character if character.isprintable() else "?" for character in stripped)


def clean_serial(text: str) -> str:
    """A serial; '' where it is nothing but zeros, as cheap bridges say."""
    serial = clean(text)
    return serial if set(serial) - set("0 .-") else ""


def clean_wwn(text: str) -> str:
    """A WWN as udev writes it: `0x5000c500…` for SCSI (sysfs says `naa.`), `eui.…` for NVMe.

    `t10.…` is made of vendor, model and serial, and is no name of its own.
    """
    wwn = clean(text)
    if wwn.startswith("naa."):
        return f"0x{wwn[len('naa.') :]}"
    return "" if wwn.startswith("t10.") else wwn


def decode_udev(text: str) -> str:
    """A `*_ENC` property of udev as text: `Virtual\\x20CD`."""
    data = re.sub(rb"\\x([0-9a-fA-F]{2})", lambda match: bytes((int(match.group(1), 16),)), text.encode())
    return clean(data.decode("utf-8", "replace"))


def probe_nameplate(host: Host, name: str, udev: Mapping[str, str]) -> Nameplate:
    """What the disk says of itself, by sysfs first and udev second."""
    device = f"/sys/block/{name}/device"
    models = [clean(host.read_or(f"{device}/model")), decode_udev(udev.get("ID_MODEL_ENC", ""))]
    models.append(clean(host.read_or(f"{device}/name")) if name.startswith("mmcblk") else "")
    vendor = clean(host.read_or(f"{device}/vendor"))
    if vendor.startswith("0x"):
        vendor = ""  # a PCI or virtio number, not a name
    firmwares = [clean(host.read_or(f"{device}/{file}")) for file in ("firmware_rev", "fwrev", "rev")]
    firmwares.append(clean(udev.get("ID_REVISION", "")))
    return Nameplate(
        # INQUIRY has room for 16 characters of a model and 4 of a firmware; udev asks ATA disks for all of it.
        model=max(models, key=len),
        vendor=vendor or decode_udev(udev.get("ID_VENDOR_ENC", "")),
        serial=_probe_serial(host, name, udev),
        wwn=_probe_wwn(host, name, udev),
        firmware=max(firmwares, key=len),
    )


def _probe_serial(host: Host, name: str, udev: Mapping[str, str]) -> str:
    """NVMe and MMC `device/serial`, virtio `serial`, VPD page 80, then udev.

    Of a SAS disk udev's ID_SERIAL_SHORT is the WWN, and ID_SCSI_SERIAL the serial on its label.
    """
    for path in (f"/sys/block/{name}/device/serial", f"/sys/block/{name}/serial"):
        serial = clean_serial(host.read_or(path))
        if serial:
            return serial
    try:
        serial = clean_serial(parse_vpd_serial(host.read_bytes(f"/sys/block/{name}/device/vpd_pg80")))
    except OSError:
        serial = ""
    return (
        serial
        or clean_serial(udev.get("ID_SCSI_SERIAL", ""))
        or clean_serial(decode_udev(udev.get("ID_SERIAL_SHORT", "")))
    )


def _probe_wwn(host: Host, name: str, udev: Mapping[str, str]) -> str:
    sources = (host.read_or(f"/sys/block/{name}/wwid"), host.read_or(f"/sys/block/{name}/device/wwid"))
    wwns = [clean_wwn(text) for text in (*sources, udev.get("ID_WWN_WITH_EXTENSION", ""), udev.get("ID_WWN", ""))]
    return next((wwn for wwn in wwns if wwn), "")


def probe_slot(host: Host, name: str) -> str:
    """The slot that the disk sits in, as the server numbers it: enclosure, SAS bay, PCI slot; '' if not known."""
    device = host.resolve(f"/sys/block/{name}/device")
    for entry in host.list(device):
        if entry.startswith("enclosure_device:"):
            return host.read_or(f"{device}/{entry}/slot") or entry.partition(":")[2].strip()
    for end_device in re.findall(r"/(end_device-[\d:]+)", device)[-1:]:
        bay = host.read_or(f"/sys/class/sas_device/{end_device}/bay_identifier")
        if bay:
            return bay
    if name.startswith("nvme"):
        addresses = re.findall(r"[0-9a-f]{4,5}:[0-9a-f]{2}:[0-9a-f]{2}(?=\.[0-7])", device)
        for slot in host.list("/sys/bus/pci/slots"):
            # A slot's address has no function; the last one on the way is the disk's own.
            if host.read_or(f"/sys/bus/pci/slots/{slot}/address") in addresses[-1:]:
                return slot
    return ""
