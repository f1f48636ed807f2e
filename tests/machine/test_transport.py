from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Callable

import pytest

from liveagent.host import Host
from liveagent.machine.disks import probe_disks
from liveagent.machine.topology import natural_key
from liveagent.machine.transport import Transport, parse_transport, probe_nvme_controllers, probe_transport

PCI = "/sys/devices/pci0000:00/0000:00:1f.2"


@pytest.mark.parametrize(
    ("name", "path", "nvme", "transport"),
    [
        ("sda", f"{PCI}/ata1/host0/target0:0:0/0:0:0:0/block/sda", (), Transport.SATA),
        ("sda", f"{PCI}/host0/port-0:0/end_device-0:0/target0:0:0/0:0:0:0/block/sda", (), Transport.SAS),
        (
            "sdb",
            f"{PCI}/host0/port-0:0/expander-0:0/port-0:0:1/end_device-0:0:1/target0:0:1/0:0:1:0/block/sdb",
            (),
            Transport.SAS,
        ),
        ("sda", f"{PCI}/host0/target0:2:0/0:2:0:0/block/sda", (), Transport.SCSI),
        ("sda", "/sys/devices/pseudo_0/adapter0/host2/target2:0:0/2:0:0:0/block/sda", (), Transport.SCSI),
        ("sdc", f"{PCI}/usb1/1-1/1-1:1.0/host7/target7:0:0/7:0:0:1/block/sdc", (), Transport.USB),
        ("sdd", "/sys/devices/platform/host3/session1/target3:0:0/3:0:0:1/block/sdd", (), Transport.ISCSI),
        ("sdd", f"{PCI}/host3/session1/target3:0:0/3:0:0:1/block/sdd", (), Transport.ISCSI),
        ("sde", f"{PCI}/host4/rport-4:0-0/target4:0:0/4:0:0:1/block/sde", (), Transport.FC),
        ("sde", f"{PCI}/net/eth0/ctlr_0/host5/rport-5:0-0/target5:0:0/5:0:0:1/block/sde", (), Transport.FC),
        (
            "sdf",
            "/sys/devices/tcm_loop_0/tcm_loop_adapter_0/host6/target6:0:1/6:0:1:0/block/sdf",
            (),
            Transport.UNKNOWN,
        ),
        ("vda", f"{PCI}/virtio1/block/vda", (), Transport.VIRTIO),
        ("sda", f"{PCI}/virtio6/host0/target0:0:0/0:0:0:1/block/sda", (), Transport.SCSI),
        ("xvda", "/sys/devices/vbd-51712/block/xvda", (), Transport.VIRTIO),
        ("mmcblk0", "/sys/devices/platform/x.mmc/mmc_host/mmc0/mmc0:0001/block/mmcblk0", (), Transport.MMC),
        ("nbd0", "/sys/devices/virtual/block/nbd0", (), Transport.NBD),
        ("rbd0", "/sys/devices/rbd/0/block/rbd0", (), Transport.RBD),
        ("drbd0", "/sys/devices/virtual/block/drbd0", (), Transport.DRBD),
        ("etherd!e1.0", "/sys/devices/virtual/block/etherd!e1.0", (), Transport.UNKNOWN),
        ("ublkb0", "/sys/devices/virtual/block/ublkb0", (), Transport.UNKNOWN),
        ("loop0", "/sys/devices/virtual/block/loop0", (), Transport.LOOP),
        ("md127", "/sys/devices/virtual/block/md127", (), Transport.VIRTUAL),
        ("dm-0", "/sys/devices/virtual/block/dm-0", (), Transport.VIRTUAL),
        ("nvme0n1", f"{PCI}/nvme/nvme0/nvme0n1", ("pcie",), Transport.NVME),
        ("nvme0n1", "/sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1", ("pcie", "pcie"), Transport.NVME),
        (
            "nvme0n1",
            "/sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1",
            ("pcie", "tcp"),
            Transport.NVME_FABRICS,
        ),
        ("nvme0n1", "/sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1", ("pcie", ""), Transport.UNKNOWN),
        ("nvme0n1", "/sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1", (), Transport.UNKNOWN),
        ("nvme0n1", "/sys/devices/virtual/nvme-fabrics/ctl/nvme0/nvme0n1", (), Transport.NVME_FABRICS),
        ("nvme0n1", f"{PCI}/nvme/nvme0/nvme0n1", ("loop",), Transport.NVME_FABRICS),
    ],
)
def test_transport(name: str, path: str, nvme: tuple[str, ...], transport: Transport) -> None:
    """A LUN on somebody else's array must never be taken for this server's own disk."""
    assert parse_transport(name, path, nvme) is transport


def test_what_is_not_known_is_not_local() -> None:
    """`all` wipes local disks; a bus that nobody thought of is not one."""
    local = {transport.value for transport in Transport if transport.is_local}
    assert local == {"nvme", "sata", "sas", "scsi", "virtio", "mmc", "pmem", "usb"}


def _udevadm_disks(text: str) -> dict[str, str]:
    """Kernel name → path, of every block device in an `udevadm info --export-db` that is no partition."""
    found = {}
    for record in text.split("\n\n"):
        path = re.search(r"^P: (\S+)", record, re.MULTILINE)
        if path and "E: SUBSYSTEM=block" in record and "E: DEVTYPE=disk" in record:
            found[path.group(1).rsplit("/", 1)[-1]] = "/sys" + path.group(1)
    return found


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("checkbox-dell-idrac.txt", {"sda": "scsi", "sdb": "usb", "sr0": "sata", "sr1": "usb", "nvme0n1": "nvme"}),
        ("checkbox-dell-poweredge-r820-nvme.txt", {"sda": "scsi", "sr0": "sata", "nvme0n1": "nvme", "nvme1n1": "nvme"}),
        (
            "checkbox-with-vraid.txt",
            {"nvme0n1": "nvme", "nvme1n1": "nvme", "nvme2n1": "nvme", "md126": "virtual"},
        ),
        ("jc-udevadm.txt", {"sda": "scsi"}),
    ],
)
def test_block_devices_of_real_machines(corpus: Path, file: str, expected: dict[str, str]) -> None:
    """Paths as real kernels write them: NVMe right below PCI (old kernel), behind VMD, an iDRAC's virtual floppy."""
    disks = _udevadm_disks((corpus / "udevadm" / file).read_text(encoding="utf-8", errors="replace"))
    found = {name: parse_transport(name, path, ()).value for name, path in disks.items()}
    memory = {name: value for name, value in found.items() if re.match(r"(loop|ram)\d", name)}
    assert set(memory.values()) <= {"loop", "virtual"}
    shown = {name: value for name, value in found.items() if name not in memory}
    assert shown == expected


@pytest.mark.corpus
def test_nvme_over_tcp_is_not_local(corpus: Path) -> None:
    """Its namespace has an innocent path, below the subsystem: without its controllers it is unknown, not local."""
    document = json.loads((corpus / "probert" / "nvme-over-tcp.json").read_text(encoding="utf-8"))
    path = "/sys" + document["storage"]["blockdev"]["/dev/nvme1n1"]["DEVPATH"]
    assert parse_transport("nvme1n1", path, ("tcp",)) is Transport.NVME_FABRICS
    assert not parse_transport("nvme1n1", path, ()).is_local


@pytest.mark.corpus
def test_captured_trees(unpack: Callable[[str], Host]) -> None:
    """16 paths of a zfcp SAN, captured whole: every one is Fibre Channel."""
    disks = probe_disks(unpack("ghw-tree/linux-s390x-snapshot.tar.gz"))
    assert [disk.transport for disk in disks] == [Transport.FC] * 16
    assert [disk.name for disk in disks] == [f"sd{letter}" for letter in "abcdefghijklmnop"]


@pytest.mark.corpus
def test_pmem_and_nvme_of_a_captured_tree(unpack: Callable[[str], Host]) -> None:
    """NVDIMM namespaces and partitions of a machine with DAX."""
    host = unpack("hwloc-tree/32em64t-2n8c+dax+nvme+mic+dimms.tar.bz2")
    paths = {name: host.resolve(f"/sys/class/block/{name}") for name in host.list("/sys/class/block")}
    found = {name: parse_transport(name, path, ()).value for name, path in paths.items()}
    assert {value for name, value in found.items() if name.startswith("pmem")} == {"pmem"}
    assert found["nvme0n1"] == "nvme"
    # A kernel without ATA objects in its paths; that it is an ATA disk, its vendor says.
    assert found["sda"] == "scsi"
    assert probe_transport(host, "sda", ()) is Transport.SATA


def test_controllers_are_found_by_topology(tmp_path: Path) -> None:
    """With multipath, nvme0n1 may be on nvme1 and nvme3: a format sent to nvme0 would erase another drive."""
    sys = tmp_path / "sys"
    subsystem = sys / "devices/virtual/nvme-subsystem/nvme-subsys0"
    (subsystem / "nvme0n1").mkdir(parents=True)
    (subsystem / "nvme0n1/device").symlink_to("..")
    for name, transport in (("nvme1", "pcie"), ("nvme3", "rdma")):
        (sys / "class/nvme" / name).mkdir(parents=True)
        (sys / "class/nvme" / name / "transport").write_text(transport + "\n")
        (subsystem / name).symlink_to(f"../../../../class/nvme/{name}")
    (sys / "block").mkdir()
    (sys / "block/nvme0n1").symlink_to("../devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1")
    host = Host(str(tmp_path))
    assert probe_nvme_controllers(host, "nvme0n1") == ("nvme1", "nvme3")
    assert probe_transport(host, "nvme0n1", ("nvme1", "nvme3")) is Transport.NVME_FABRICS


@pytest.mark.parametrize(
    ("made", "transport"),
    [
        ("class/fc_host/host2", Transport.FC),
        ("class/srp_host/host2", Transport.FC),
        ("class/iscsi_host/host2", Transport.ISCSI),
        ("class/sas_host/host2", Transport.SCSI),
    ],
)
def test_a_host_with_a_remote_class_is_remote(tmp_path: Path, made: str, transport: Transport) -> None:
    """Hyper-V's virtual FC and SRP have no remote port in the path; the class of their host tells them."""
    (tmp_path / "sys" / made).mkdir(parents=True)
    path = "devices/pci0000:00/0000:00:07.0/host2/target2:0:0/2:0:0:0/block/sda"
    (tmp_path / "sys" / path).mkdir(parents=True)
    (tmp_path / "sys/block").mkdir()
    (tmp_path / "sys/block/sda").symlink_to(f"../{path}")
    assert probe_transport(Host(str(tmp_path)), "sda", ()) is transport


def test_natural_order() -> None:
    """People look for sdb after sda, and for nvme10n1 at the end."""
    names = ["nvme10n1", "sdaa", "sdb1", "sdb", "nvme2n1", "sda", "sdb10", "sdb2", "loop1"]
    ordered = ["loop1", "nvme2n1", "nvme10n1", "sda", "sdb", "sdb1", "sdb2", "sdb10", "sdaa"]
    assert sorted(names, key=natural_key) == ordered
