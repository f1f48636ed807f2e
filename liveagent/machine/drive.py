"""Everything that the drive behind a disk says of itself, asked when a wipe is planned."""

from __future__ import annotations

import dataclasses

from liveagent.events import JSON
from liveagent.host import Host
from liveagent.machine.ata import AtaFacts, probe_ata
from liveagent.machine.disks import Disk, Transport
from liveagent.machine.encoding import encode_fields
from liveagent.machine.nvme import NvmeFacts, probe_nvme
from liveagent.machine.opal import OpalFacts, probe_opal
from liveagent.machine.question import Questions
from liveagent.machine.raid import describe_volume
from liveagent.machine.scsi import ScsiFacts, probe_scsi
from liveagent.machine.smart import Health, probe_health

# Transports whose drives are asked. A USB bridge makes up its answers, and behind the rest there is no drive.
ASKED = (Transport.NVME, Transport.SATA, Transport.SAS, Transport.SCSI)


@dataclasses.dataclass(frozen=True)
class Drive:
    """A drive's facts; None stands for a drive that has no such facts, or did not tell them.

    `zoned` is the kernel's word: none, host-aware, host-managed, or "" where it says nothing. `volume` says in words
    what the disk is where a RAID controller made it up, and "" for a drive. `silent`: it let a question run out of
    time, and the rest was not asked.
    """

    nvme: NvmeFacts | None = None
    ata: AtaFacts | None = None
    scsi: ScsiFacts | None = None
    opal: OpalFacts | None = None
    zoned: str = "none"
    volume: str = ""
    health: Health | None = None
    silent: bool = False

    def encode(self) -> dict[str, JSON]:
        """JSON: enums by value, sets sorted."""
        return encode_fields(self)


def probe_drive(host: Host, disk: Disk) -> Drive:
    """Ask the drive everything that its transport allows; takes half a minute at most where it does not answer."""
    zoned = host.read_or(f"/sys/block/{disk.name}/queue/zoned")
    volume = describe_volume(disk.vendor, disk.model)
    if disk.transport not in ASKED:
        return Drive(zoned=zoned, volume=volume)
    questions = Questions(host)
    drive = Drive(
        nvme=probe_nvme(host, disk, questions) if disk.transport is Transport.NVME else None,
        ata=probe_ata(host, disk, questions) if _has_ata(host, disk) and not volume else None,
        scsi=probe_scsi(host, disk, questions) if disk.transport in (Transport.SAS, Transport.SCSI) else None,
        opal=None if volume else probe_opal(host, disk, questions),
        zoned=zoned,
        volume=volume,
        health=probe_health(host, disk, questions),
    )
    return dataclasses.replace(drive, silent=questions.silent)


def _has_ata(host: Host, disk: Disk) -> bool:
    """Whether there is an ATA drive: by its transport, or by the page that a translation layer has (SAT-3, 12.4.2)."""
    if disk.transport is Transport.SATA:
        return True
    is_scsi = disk.transport in (Transport.SAS, Transport.SCSI)
    return is_scsi and host.exists(f"/sys/block/{disk.name}/device/vpd_pg89")
