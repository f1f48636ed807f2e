"""The disks: what each is, how it is attached, what lies on it, and what uses it at this moment."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from liveagent.events import JSON
from liveagent.host import Host
from liveagent.machine.contents import SECTOR, UNREADABLE, Content, make_path, probe_contents
from liveagent.machine.encoding import encode_fields
from liveagent.machine.live import Live, probe_live
from liveagent.machine.nameplate import Nameplate, is_virtual_media, probe_nameplate, probe_slot
from liveagent.machine.sysfs import read_number
from liveagent.machine.topology import natural_key, probe_backing_file
from liveagent.machine.transport import Transport, probe_nvme_controllers, probe_transport
from liveagent.machine.use import Claims, Use, UseKind, probe_claims, probe_uses

__all__ = (
    "UNREADABLE",
    "Content",
    "Disk",
    "Partition",
    "Transport",
    "Survey",
    "Use",
    "UseKind",
    "list_disks",
    "probe_disk",
    "probe_disks",
    "probe_survey",
    "probe_surveyed",
)


@dataclasses.dataclass(frozen=True)
class Partition:
    """A partition that the kernel has made; start and size in bytes."""

    name: str
    start: int
    size: int


@dataclasses.dataclass(frozen=True)
class Disk:
    """A disk, or a loop device with a file behind it (its path is the model then, and it has no serial).

    Texts are "" where not known. `ids` are the names in /dev/disk/by-id. `device_number` is major:minor.
    `rotational` is what the kernel believes; a virtual disk is often said to rotate. `live_medium`: the running
    image came from it. `virtual_media`: a BMC's. Sizes in bytes; a drive that the kernel can make no disk of has 0.
    """

    name: str
    path: str
    device_number: str
    model: str
    vendor: str
    serial: str
    wwn: str
    firmware: str
    size: int
    logical_block: int
    physical_block: int
    rotational: bool | None
    transport: Transport
    removable: bool
    read_only: bool
    ids: tuple[str, ...] = ()
    slot: str = ""
    partitions: tuple[Partition, ...] = ()
    contents: tuple[Content, ...] = ()
    uses: tuple[Use, ...] = ()
    live_medium: bool = False
    virtual_media: bool = False
    nvme_controllers: tuple[str, ...] = ()
    nvme_namespace: int | None = None

    @property
    def kind(self) -> str:
        """In a word: nvme, hdd, ssd, or the transport where spinning says nothing."""
        if self.transport not in (Transport.SATA, Transport.SAS, Transport.SCSI):
            return self.transport.value
        return {True: "hdd", False: "ssd", None: self.transport.value}[self.rotational]

    @property
    def label(self) -> str:
        """Name and serial, as findings name a part: `sda S4EWNX0N123456`."""
        return f"{self.name} {self.serial}".strip()

    def encode(self) -> dict[str, JSON]:
        return {**encode_fields(self), "kind": self.kind}


# Block devices that are no disks: memory, CD drives, floppies, the firmware's flash, and what stands on disks.
_NOT_DISKS = re.compile(r"(ram|zram|sr|scd|fd|dm-|md|mtdblock|bcache|zd|nullb)\d|md_|mmcblk\d+rpmb")
# A drive of these is there also when the kernel makes no capacity of it: sectors of 520 bytes, a drive not ready.
_MAY_BE_DRIVES = re.compile(r"(sd[a-z]|nvme\d)")
_DRIVES = (Transport.NVME, Transport.SATA, Transport.SAS, Transport.SCSI)


@dataclasses.dataclass(frozen=True)
class Survey:
    """What is asked once for all disks."""

    udev: Mapping[str, Mapping[str, str]]
    claims: Claims
    live: Live


def probe_disks(host: Host) -> tuple[Disk, ...]:
    """Every disk, and every loop device with a file behind it, by name."""
    survey = probe_survey(host)
    return tuple(disk for name in list_disks(host) if (disk := probe_surveyed(host, name, survey)))


def list_disks(host: Host) -> tuple[str, ...]:
    """The kernel names of what may be a disk, in their order; most loop devices among them turn out to be none."""
    return tuple(sorted((name for name in host.list("/sys/block") if not _NOT_DISKS.match(name)), key=natural_key))


def probe_disk(host: Host, name: str) -> Disk | None:
    """One disk, looked at afresh; None where it is not, or no longer, there."""
    if name not in host.list("/sys/block"):
        return None
    return probe_surveyed(host, name, probe_survey(host))


def probe_survey(host: Host) -> Survey:
    """Ask what is asked once for all disks: udev, who holds what, the live image."""
    devices = host.udev("block")
    udev = {device.name: device.properties for device in devices}
    return Survey(udev, probe_claims(host), probe_live(host, devices))


def probe_surveyed(host: Host, name: str, survey: Survey) -> Disk | None:
    """One of the disks that a survey was made for; None where it is no disk."""
    below = f"/sys/block/{name}"
    backing = probe_backing_file(host, name) if name.startswith("loop") else ""
    size = read_number(host, f"{below}/size")
    if _NOT_DISKS.match(name) or size is None or (name.startswith("loop") and not backing):
        return None
    if not size and not _MAY_BE_DRIVES.match(name):
        return None  # a driver's spare, a loop or nbd device that nobody uses
    if host.read_or(f"{below}/hidden") == "1":  # one path of a multipath NVMe namespace: it has no device node
        return None
    udev = survey.udev.get(name, {})
    controllers = probe_nvme_controllers(host, name) if name.startswith("nvme") else ()
    transport = probe_transport(host, name, controllers)
    if not size and (transport not in _DRIVES or _is_removable(host, name)):
        return None  # an empty card reader
    plate = Nameplate(backing, "", "", "", "") if backing else probe_nameplate(host, name, udev)
    partitions = _probe_partitions(host, name)
    devices = (name, *(partition.name for partition in partitions))
    contents = probe_contents(host, name, devices[1:], survey.udev) if size else ()
    labels = [content.label for content in contents]
    logical = read_number(host, f"{below}/queue/logical_block_size") or SECTOR
    return Disk(
        name=name,
        path=make_path(name),
        device_number=host.read_or(f"{below}/dev"),
        model=plate.model,
        vendor=plate.vendor,
        serial=plate.serial,
        wwn=plate.wwn,
        firmware=plate.firmware,
        size=size * SECTOR,
        logical_block=logical,
        physical_block=read_number(host, f"{below}/queue/physical_block_size") or logical,
        rotational={"0": False, "1": True}.get(host.read_or(f"{below}/queue/rotational")),
        transport=transport,
        removable=_is_removable(host, name),
        read_only=host.read_or(f"{below}/ro") != "0",  # what cannot be read is not taken for writable
        ids=parse_ids(udev),
        slot="" if backing else probe_slot(host, name),
        partitions=partitions,
        contents=contents,
        uses=probe_uses(host, devices, survey.claims),
        live_medium=name in survey.live.disks,
        virtual_media=is_virtual_media(transport, plate.vendor, plate.model, plate.serial, labels),
        nvme_controllers=controllers,
        nvme_namespace=read_number(host, f"{below}/nsid") if controllers else None,
    )


def parse_ids(udev: Mapping[str, str]) -> tuple[str, ...]:
    """The names of a disk in /dev/disk/by-id, from udev's DEVLINKS."""
    prefix = "/dev/disk/by-id/"
    links = udev.get("DEVLINKS", "").split()
    return tuple(sorted(link[len(prefix) :] for link in links if link.startswith(prefix)))


def _is_removable(host: Host, name: str) -> bool:
    """What the kernel calls removable, and SD cards, which it does not: an eMMC is soldered, a card is not."""
    is_card = name.startswith("mmcblk") and host.read_or(f"/sys/block/{name}/device/type") == "SD"
    return is_card or host.read_or(f"/sys/block/{name}/removable") == "1"


def _probe_partitions(host: Host, disk: str) -> tuple[Partition, ...]:
    below = f"/sys/block/{disk}"
    names = [name for name in host.list(below) if name.startswith(disk) and host.exists(f"{below}/{name}/partition")]
    return tuple(
        Partition(
            name,
            (read_number(host, f"{below}/{name}/start") or 0) * SECTOR,
            (read_number(host, f"{below}/{name}/size") or 0) * SECTOR,
        )
        for name in sorted(names, key=natural_key)
    )
