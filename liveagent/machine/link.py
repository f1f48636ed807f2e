"""How fast a drive is attached, and how fast it could be: SATA, SAS, and the PCIe lanes of NVMe."""

from __future__ import annotations

import dataclasses
import re

from liveagent.host import Host
from liveagent.machine.smartctl import Page


@dataclasses.dataclass(frozen=True)
class DriveLink:
    """Bits a second; of PCIe transfers a second and lane, with `lanes` in use of `lanes_possible`.

    `speed` now; `drive` and `port`: what each end is able to. None where not known.
    """

    speed: int | None = None
    drive: int | None = None
    port: int | None = None
    lanes: int | None = None
    lanes_possible: int | None = None

    @property
    def possible(self) -> int | None:
        """What the slower end is able to; None unless both ends say."""
        return min(self.drive, self.port) if self.drive is not None and self.port is not None else None


_UNITS = {"G": 10**9, "M": 10**6}


def parse_rate(text: str) -> int | None:
    """`6.0 Gbps`, `12.0 Gbit`, `8.0 GT/s PCIe`: bits or transfers a second. None for `<unknown>` and its like."""
    match = re.match(r"\s*(\d{1,4}(?:\.\d{1,3})?) ?([GM])(?:bps|bit|T/s|b/s)", text)
    return round(float(match.group(1)) * _UNITS[match.group(2)]) if match else None


def probe_link(host: Host, name: str, controller: str = "") -> DriveLink | None:
    """The link of a disk by sysfs; `controller` is the one of an NVMe namespace. None where it has no such link."""
    path = host.resolve(f"/sys/block/{name}")
    if controller:
        return _probe_pcie(host, f"/sys/class/nvme/{controller}/device")
    ata = re.search(r"/ata(\d+)/", path)
    if ata:
        link = f"/sys/class/ata_link/link{ata.group(1)}"
        found = DriveLink(
            speed=parse_rate(host.read_or(f"{link}/sata_spd")),
            port=parse_rate(host.read_or(f"{link}/hw_sata_spd_limit")),
        )
        return found if found != DriveLink() else None
    port = re.match(r".*/port-[\d:]+(?=/end_device-)", path)
    for entry in host.list(port.group(0)) if port else ():
        if entry.startswith("phy-"):
            phy = f"/sys/class/sas_phy/{entry}"
            return DriveLink(
                speed=parse_rate(host.read_or(f"{phy}/negotiated_linkrate")),
                port=parse_rate(host.read_or(f"{phy}/maximum_linkrate_hw")),
            )
    return None


def _probe_pcie(host: Host, device: str) -> DriveLink | None:
    lanes = [host.read_or(f"{device}/{file}") for file in ("current_link_width", "max_link_width")]
    width, possible = (int(text) if text.isdecimal() and 0 < int(text) <= 32 else None for text in lanes)
    found = DriveLink(
        speed=parse_rate(host.read_or(f"{device}/current_link_speed")),
        drive=parse_rate(host.read_or(f"{device}/max_link_speed")),
        lanes=width,
        lanes_possible=possible,
    )
    return found if found != DriveLink() else None


def add_speeds(link: DriveLink | None, page: Page) -> DriveLink | None:
    """A link with what a page says of a SATA drive."""
    now, drive = (_read_speed(page, end) for end in ("current", "max"))
    if now is None and drive is None:
        return link
    link = link or DriveLink()
    return dataclasses.replace(link, speed=link.speed or now, drive=drive)


def _read_speed(page: Page, end: str) -> int | None:
    units, bits = (page.number("interface_speed", end, part) for part in ("units_per_second", "bits_per_unit"))
    return units * bits or None if units is not None and bits is not None else None
