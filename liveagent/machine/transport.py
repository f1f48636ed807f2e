"""How a disk is attached: what makes it this server's own, or somebody else's."""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence

from liveagent.host import Host


class Transport(enum.Enum):
    """How a disk is attached. SCSI is a local controller that hides what is behind it; UNKNOWN is not local."""

    NVME = "nvme"
    SATA = "sata"
    SAS = "sas"
    SCSI = "scsi"
    VIRTIO = "virtio"
    MMC = "mmc"
    PMEM = "pmem"
    USB = "usb"
    LOOP = "loop"
    VIRTUAL = "virtual"
    NVME_FABRICS = "nvme-fabrics"
    ISCSI = "iscsi"
    FC = "fc"
    NBD = "nbd"
    RBD = "rbd"
    DRBD = "drbd"
    UNKNOWN = "unknown"

    @property
    def is_local(self) -> bool:
        """Whether the medium sits in this server, as far as it can be known."""
        return self in _LOCAL


_LOCAL = frozenset(
    (
        Transport.NVME,
        Transport.SATA,
        Transport.SAS,
        Transport.SCSI,
        Transport.VIRTIO,
        Transport.MMC,
        Transport.PMEM,
        Transport.USB,
    )
)
# Where no bus is behind the block device, its driver shows in its name alone. What is not listed stays UNKNOWN:
# AoE (etherd!e0.0), ublk, and whatever comes next may lead to another machine.
_BY_NAME = (
    (r"loop\d+", Transport.LOOP),
    (r"nbd\d+", Transport.NBD),
    (r"rbd\d+", Transport.RBD),
    (r"drbd\d+", Transport.DRBD),
    (r"(md[_\d].*|dm-\d+|zram\d+|ram\d+|bcache\d+|zd\d+|nullb\d+|mtdblock\d+)", Transport.VIRTUAL),
)
# The first that is in the path counts, so that what leads out of the server stands before what leads into it.
_BY_PATH = (
    (r"/session\d+/", Transport.ISCSI),
    (r"/rport-", Transport.FC),
    (r"/tcm_loop", Transport.UNKNOWN),
    (r"/usb\d+/", Transport.USB),
    (r"/ata\d+/", Transport.SATA),
    (r"/end_device-", Transport.SAS),
    (r"/mmc_host/", Transport.MMC),
    (r"/ndbus\d+/", Transport.PMEM),
    (r"/virtio\d+/block/", Transport.VIRTIO),
    (r"/vbd-\d+/block/", Transport.VIRTIO),
    (r"/host\d+/target", Transport.SCSI),
)
# SCSI drivers whose disks are elsewhere, by /sys/class/scsi_host/*/proc_name: for those without a session or a
# remote port in their path. SRP (SCSI over RDMA) counts as Fibre Channel: a fabric with shared LUNs.
_REMOTE_DRIVERS = {
    "ib_srp": Transport.FC,
    "iscsi_tcp": Transport.ISCSI,
    "bnx2i": Transport.ISCSI,
    "be2iscsi": Transport.ISCSI,
    "qla4xxx": Transport.ISCSI,
    "cxgb3i": Transport.ISCSI,
    "cxgb4i": Transport.ISCSI,
    "qla2xxx": Transport.FC,
    "lpfc": Transport.FC,
    "fnic": Transport.FC,
    "bfa": Transport.FC,
    "csiostor": Transport.FC,
    "fcoe": Transport.FC,
    "bnx2fc": Transport.FC,
    "qedf": Transport.FC,
    "qedi": Transport.ISCSI,
    "zfcp": Transport.FC,
    "tcm_loopback": Transport.UNKNOWN,
}
# Classes that a host is in as well when its disks are remote. Hyper-V's virtual FC has no remote port in its path.
_REMOTE_CLASSES = (
    ("fc_host", Transport.FC),
    ("iscsi_host", Transport.ISCSI),
    ("srp_host", Transport.FC),
)


def parse_transport(name: str, sys_path: str, nvme_transports: Sequence[str]) -> Transport:
    """How a disk is attached, from its kernel name and its device path below /sys. Pure.

    `nvme_transports` is what `/sys/class/nvme/nvmeX/transport` says of each controller that leads to the
    namespace; it is empty on kernels before 4.8, and for what is not NVMe.
    """
    if name.startswith("nvme"):
        return _parse_nvme(sys_path, nvme_transports)
    for pattern, transport in _BY_NAME:
        if re.fullmatch(pattern, name):
            return transport
    for pattern, transport in _BY_PATH:
        if re.search(pattern, sys_path):
            return transport
    return Transport.UNKNOWN


def _parse_nvme(sys_path: str, transports: Sequence[str]) -> Transport:
    known = [transport for transport in transports if transport]
    if any(transport != "pcie" for transport in known) or "/nvme-fabrics/" in sys_path:
        return Transport.NVME_FABRICS
    if known and len(known) == len(transports):
        return Transport.NVME
    # Fabrics and multipath live below /devices/virtual, so a path along PCI is enough where no controller speaks.
    return Transport.NVME if "/devices/pci" in sys_path else Transport.UNKNOWN


def probe_nvme_controllers(host: Host, name: str) -> tuple[str, ...]:
    """The controllers that lead to a namespace, by topology: `nvme0n1` need not be on `nvme0`.

    `device` of the namespace is its controller, or (multipath) its subsystem, which links to its controllers,
    or (kernels before 4.6) the PCI device.
    """
    device = host.resolve(f"/sys/block/{name}/device")
    last = device.rsplit("/", 1)[-1]
    if re.fullmatch(r"nvme\d+", last):
        return (last,)
    if re.fullmatch(r"nvme-subsys\d+", last):
        names = host.list(device)
    else:
        names = host.list(f"{device}/nvme") or host.list(f"{device}/misc")
    return tuple(sorted((n for n in names if re.fullmatch(r"nvme\d+", n)), key=lambda n: int(n[4:])))


def probe_transport(host: Host, name: str, controllers: Sequence[str]) -> Transport:
    """How the disk is attached. `controllers` are those of an NVMe namespace."""
    sys_path = host.resolve(f"/sys/block/{name}")
    transports = [host.read_or(f"/sys/class/nvme/{controller}/transport") for controller in controllers]
    transport = parse_transport(name, sys_path, transports)
    match = re.search(r"/(host\d+)/", sys_path)
    if not match or not transport.is_local:
        return transport
    for kind, remote in _REMOTE_CLASSES:
        if host.exists(f"/sys/class/{kind}/{match.group(1)}"):
            return remote
    driver = host.read_or(f"/sys/class/scsi_host/{match.group(1)}/proc_name")
    if driver in _REMOTE_DRIVERS:
        return _REMOTE_DRIVERS[driver]
    # The translation layer (SAT-3) names every ATA disk's vendor "ATA", whatever bus it hangs on.
    if transport in (Transport.SAS, Transport.SCSI) and host.read_or(f"/sys/block/{name}/device/vendor") == "ATA":
        return Transport.SATA
    return transport
