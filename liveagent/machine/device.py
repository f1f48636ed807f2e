"""A drive as a diagnosis sees it: what the kernel says of it, and what it says of itself."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence

from liveagent.machine.contents import Content
from liveagent.machine.disks import Disk, Partition, Transport, Use
from liveagent.machine.hidden import Target
from liveagent.machine.link import DriveLink, add_speeds
from liveagent.machine.selftest import SelfTests, read_ata_tests, read_scsi_tests
from liveagent.machine.smart import Health, read_health
from liveagent.machine.smart_ata import AtaHealth, read_ata
from liveagent.machine.smart_nvme import NvmeHealth, read_nvme
from liveagent.machine.smart_scsi import ScsiHealth, read_scsi
from liveagent.machine.smartctl import Page
from liveagent.machine.temperatures import Temperatures, read_temperatures

# Revolutions a minute of the fastest drives ever sold, and some.
FASTEST = 20_000


class Answer(enum.Enum):
    """What came of the question for a drive's health."""

    GIVEN = "given"
    NONE = "none"  # it answers, and has none to tell
    SILENT = "silent"  # no end within its time
    GARBLED = "garbled"  # what was printed is no page of smartctl
    REFUSED = "refused"  # it could not be opened
    NOT_ASKED = "not-asked"


@dataclasses.dataclass(frozen=True)
class Device:
    """A drive, or a volume that a RAID controller made.

    `id` is the WWN, or model and serial; the kernel name where there is neither. `name` is the kernel's; of a drive
    behind a controller it is what smartctl takes (`bus/0 megaraid,8`), and `behind` the controller's PCI address.
    `kind`: nvme, hdd, ssd, or the transport where spinning says nothing. Sizes in bytes, None where not known;
    `rotation` in revolutions a minute, 0 for solid state. `enclosure` is the logical id of the one that it sits in.
    `paths`: all names of a drive that is seen several times, `controllers` those of an NVMe namespace. `volume` says in
    words which controller made it up. `smartctl`: the words by which smartctl finds it.
    `family`: the models it belongs to in smartctl's database, `in_database` whether it is there.
    """

    id: str
    name: str
    kind: str
    size: int | None = None
    model: str = ""
    vendor: str = ""
    serial: str = ""
    slot: str = ""
    wwn: str = ""
    firmware: str = ""
    transport: Transport = Transport.UNKNOWN
    path: str = ""
    paths: tuple[str, ...] = ()
    enclosure: str = ""
    behind: str = ""
    smartctl: tuple[str, ...] = ()
    controllers: tuple[str, ...] = ()
    volume: str = ""
    family: str = ""
    in_database: bool | None = None
    form_factor: str = ""
    rotation: int | None = None
    logical_block: int | None = None
    physical_block: int | None = None
    trim: bool | None = None
    removable: bool = False
    read_only: bool = False
    live_medium: bool = False
    virtual_media: bool = False
    link: DriveLink | None = None
    answer: Answer = Answer.NOT_ASKED
    smart_enabled: bool | None = None
    health: Health | None = None
    temperatures: Temperatures | None = None
    ata: AtaHealth | None = None
    nvme: NvmeHealth | None = None
    scsi: ScsiHealth | None = None
    self_tests: SelfTests | None = None
    partitions: tuple[Partition, ...] = ()
    contents: tuple[Content, ...] = ()
    uses: tuple[Use, ...] = ()

    @property
    def label(self) -> str:
        """Name, slot and serial, as findings name a part: `sda slot 4 S4EWNX0N123456`."""
        slot = f"slot {self.slot}" if self.slot else ""
        return " ".join(text for text in (self.name, slot, self.serial) if text)


def make_device(disk: Disk, volume: str = "", link: DriveLink | None = None, enclosure: str = "") -> Device:
    """What the kernel says of a drive."""
    return Device(
        id=_make_id(disk.wwn, disk.model, disk.serial, disk.nvme_namespace, disk.name),
        name=disk.name,
        kind=disk.kind,
        size=disk.size or None,
        model=disk.model,
        vendor=disk.vendor,
        serial=disk.serial,
        slot=disk.slot,
        wwn=disk.wwn,
        firmware=disk.firmware,
        transport=disk.transport,
        path=disk.path,
        smartctl=(disk.path,),
        paths=(disk.name,),
        enclosure=enclosure,
        controllers=disk.nvme_controllers,
        volume=volume,
        logical_block=disk.logical_block,
        physical_block=disk.physical_block,
        removable=disk.removable,
        read_only=disk.read_only,
        live_medium=disk.live_medium,
        virtual_media=disk.virtual_media,
        link=link,
        partitions=disk.partitions,
        contents=disk.contents,
        uses=disk.uses,
    )


def _make_id(wwn: str, model: str, serial: str, namespace: int | None, name: str) -> str:
    if wwn:
        return wwn
    # A drive with several namespaces has one serial.
    parts = [model, serial, str(namespace) if namespace else ""]
    return " ".join(part for part in parts if part) if serial else name


_TRANSPORTS = {"ATA": Transport.SATA, "SCSI": Transport.SAS, "NVMe": Transport.NVME}


def make_hidden(target: Target, page: Page) -> Device:
    """A drive behind a controller, by what it says of itself alone."""
    model = page.text("model_name") or page.text("scsi_product") or page.text("scsi_model_name")
    serial = str(page.get("serial_number") or "").strip()
    rotation = page.number("rotation_rate")
    transport = _TRANSPORTS.get(page.protocol, Transport.SCSI)
    wwn = read_wwn(page)
    spins = None if rotation is None else "hdd" if rotation else "ssd"
    return Device(
        id=_make_id(wwn, model, serial, None, f"{target.controller} {target.name}"),
        name=target.name,
        kind="nvme" if transport is Transport.NVME else spins or transport.value,
        size=page.first(("user_capacity", "bytes"), ("nvme_total_capacity",)) or None,
        model=model,
        vendor=page.text("scsi_vendor"),
        serial=serial,
        wwn=wwn,
        firmware=page.text("firmware_version") or page.text("scsi_revision"),
        transport=transport,
        path=target.path,
        smartctl=target.words,
        behind=target.controller,
        logical_block=page.number("logical_block_size"),
        physical_block=page.number("physical_block_size") or page.number("logical_block_size"),
    )


def read_wwn(page: Page) -> str:
    """The WWN as udev writes it: `0x5000c500…`; "" where the page has none."""
    naa, oui, number = (page.number("wwn", part) for part in ("naa", "oui", "id"))
    if naa is None or oui is None or number is None:
        unit = page.text("logical_unit_id")
        return unit if unit.startswith("0x") else ""
    # NAA 5 (SPC-5): four bits, 24 of the maker's, 36 of its own.
    return f"0x{naa:x}{oui:06x}{number:09x}" if naa < 16 and oui < 1 << 24 and number < 1 << 36 else ""


def add_page(device: Device, page: Page) -> Device:
    """The same drive with what it says of itself."""
    health = read_health(page)
    rotation = page.number("rotation_rate")
    return dataclasses.replace(
        device,
        firmware=max(device.firmware, page.text("firmware_version"), key=len),
        family=page.text("model_family"),
        in_database=page.flag("in_smartctl_database"),
        form_factor=page.text("form_factor", "name"),
        rotation=rotation if rotation is not None and rotation <= FASTEST else None,
        link=add_speeds(device.link, page),
        trim=page.flag("trim", "supported"),
        answer=Answer.GIVEN if health else Answer.NONE,
        smart_enabled=page.flag("smart_support", "enabled"),
        health=health,
        temperatures=read_temperatures(page) if health else None,
        ata=read_ata(page),
        nvme=read_nvme(page),
        scsi=read_scsi(page),
        self_tests=read_ata_tests(page) if page.protocol == "ATA" else read_scsi_tests(page),
    )


def fold_paths(devices: Sequence[Device]) -> tuple[Device, ...]:
    """Each drive once: what the kernel sees by several paths has the same WWN, serial and size."""
    folded: dict[object, Device] = {}
    for device in devices:
        is_told_apart = device.wwn and device.serial and device.transport is not Transport.NVME
        key: object = (device.wwn, device.serial, device.size) if is_told_apart else device.name
        first = folded.get(key)
        folded[key] = dataclasses.replace(first, paths=(*first.paths, *device.paths)) if first else device
    return tuple(folded.values())


# What a drive says of itself, and how it is asked.
_TOLD = (
    "smartctl", "family", "in_database", "form_factor", "rotation", "trim", "answer", "smart_enabled", "health",
    "temperatures", "ata", "nvme", "scsi", "self_tests",
)  # fmt: skip


def drop_doubles(devices: Sequence[Device], hidden: Sequence[Device]) -> tuple[Device, ...]:
    """All drives, each once: of one that is passed through, the kernel's row stays.

    It takes what the drive told by way of the controller, where it told nothing by itself.
    """
    by_serial = {device.serial: device for device in hidden if device.serial}
    shown = []
    for device in devices:
        twin = by_serial.get(device.serial)
        told = {name: getattr(twin, name) for name in _TOLD} if twin and not device.health else {}
        shown.append(dataclasses.replace(device, behind=twin.behind, **told) if twin else device)
    seen = {device.serial for device in devices if device.serial}
    return (*shown, *(device for device in hidden if not device.serial or device.serial not in seen))
