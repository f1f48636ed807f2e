from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Callable

import pytest

from liveagent.host import Host
from liveagent.machine import probe_machine
from liveagent.machine.disks import Disk, Transport, parse_ids, probe_disk, probe_disks
from liveagent.machine.nameplate import clean_serial, clean_wwn, is_virtual_media, parse_vpd_serial, probe_nameplate
from liveagent.recording import Recorder, Replay
from tests.machine.tools import MakeLoop, attach, make_image, tool

PLAIN = Disk(
    "sda", "/dev/sda", "8:0", "X", "", "S4EWNX0N123456", "", "", 10**12, 512, 4096, None, Transport.SATA, False, False
)


@pytest.mark.parametrize(
    ("transport", "rotational", "kind"),
    [
        (Transport.NVME, False, "nvme"),
        (Transport.SATA, True, "hdd"),
        (Transport.SAS, False, "ssd"),
        (Transport.SCSI, None, "scsi"),
        (Transport.VIRTIO, True, "virtio"),
        (Transport.LOOP, False, "loop"),
    ],
)
def test_kind(transport: Transport, rotational: bool | None, kind: str) -> None:
    """A virtual disk is not called a hard disk because the kernel believes that it rotates."""
    assert dataclasses.replace(PLAIN, transport=transport, rotational=rotational).kind == kind


def test_label_is_how_findings_name_a_part() -> None:
    """SPEC.md, section 3: `"part": "sda S4EWNX0N123456"`."""
    assert PLAIN.label == "sda S4EWNX0N123456"
    assert dataclasses.replace(PLAIN, serial="").label == "sda"


def test_encode_is_json() -> None:
    """Every field goes into the inventory as it is, enums by value."""
    document = json.loads(json.dumps(PLAIN.encode()))
    assert set(document) == {field.name for field in dataclasses.fields(Disk)} | {"kind"}
    assert (document["transport"], document["kind"]) == ("sata", "sata")


@pytest.mark.parametrize(
    ("vendor", "model", "serial", "labels", "virtual"),
    [
        ("iDRAC", "Virtual Floppy", "20120731-1", (), True),
        ("iDRAC", "LCDRIVE", "", (), True),
        ("AMI", "Virtual HDisk0", "AAAABBBBCCCC3", (), True),
        ("", "Virtual_HDISK0", "", (), True),
        ("ATEN", "Virtual CDROM", "", (), True),
        ("Linux", "File-Stor Gadget", "", (), True),
        ("CISCO", "vKVM-Mapped vHDD", "", (), True),
        ("HP iLO", "LUN 00 Media 0", "", (), True),
        ("QEMU", "QEMU USB HARDDISK", "1", ("ir-vfd-dev",), True),
        ("Dell", "Internal Dual SD", "012345678901", (), False),
        ("HP iLO", "Internal SD-CARD", "000002660A01", (), False),
        ("SanDisk'", "Cruzer Fit", "4C530000140118216265", (), False),
        ("VMware", "VMware Virtual USB Hard Drive", "", (), False),
    ],
)
def test_virtual_media(vendor: str, model: str, serial: str, labels: tuple[str, ...], virtual: bool) -> None:
    """A BMC's image is no disk of this server; an SD card inside is, and may hold a customer's data."""
    assert is_virtual_media(Transport.USB, vendor, model, serial, labels) is virtual


@pytest.mark.parametrize("model", ["Virtual disk", "VIRTUAL-DISK", "Virtual Disk"])
def test_virtual_disks_of_a_hypervisor_are_disks(model: str) -> None:
    """VMware's and Hyper-V's disks have such models too; only USB makes it a BMC's."""
    assert not is_virtual_media(Transport.SCSI, "VMware", model, "", ("ir-vfd-dev",))


@pytest.mark.parametrize(
    ("page", "serial"),
    [
        (b"\x00\x80\x00\x08  ABC1  ", "ABC1"),
        (b"\x00\x80\x00\x08ABCDEFGHtrailing", "ABCDEFGH"),
        (b"\x00\x80\x00\x04\x00\x00\x00\x00", ""),
        (b"\x00\x83\x00\x04ABCD", ""),
        (b"\x00\x80", ""),
        (b"", ""),
    ],
)
def test_vpd_page_80(page: bytes, serial: str) -> None:
    """The serial of a SCSI disk, out of the bytes that sysfs hands over."""
    assert parse_vpd_serial(page) == serial


@pytest.mark.parametrize(
    ("text", "serial"),
    [("   SYBBN00931050BB0T", "SYBBN00931050BB0T"), ("00000000000000", ""), ("0000-A", "0000-A"), ("\0\0", "")],
)
def test_serials(text: str, serial: str) -> None:
    """Blanks around it are the field's, not the disk's; zeros alone name no disk."""
    assert clean_serial(text) == serial


@pytest.mark.parametrize(
    ("text", "wwn"),
    [
        ("naa.5000c50015ea71aa", "0x5000c50015ea71aa"),
        ("0x5000c50015ea71aa", "0x5000c50015ea71aa"),
        ("eui.ace42e002b1446de2ee4ac0000000001", "eui.ace42e002b1446de2ee4ac0000000001"),
        ("t10.ATA     QEMU HARDDISK", ""),
    ],
)
def test_wwn_reads_the_same_from_both_sources(text: str, wwn: str) -> None:
    """What is chosen by udev's name must be what `arm()` finds by sysfs'."""
    assert clean_wwn(text) == wwn


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("file", "name", "model", "vendor", "serial", "wwn"),
    [
        (
            *("checkbox-dell-idrac.txt", "sda", "PERC H710", "DELL"),
            *("0029fc56064f1fe31a0049d09c20e54a", "0x6d4ae5209cd049001ae31f4f0656fc29"),
        ),
        ("checkbox-dell-idrac.txt", "sdb", "Virtual Floppy", "iDRAC", "20120731-1", ""),
        (
            *("checkbox-with-vraid.txt", "nvme0n1", "", "", "SYBBN00931050BB0T"),
            "eui.ace42e002b1446de2ee4ac0000000001",
        ),
        ("jc-udevadm.txt", "sda", "VMware Virtual S", "VMware,", "", ""),
    ],
)
def test_nameplate_from_udev(
    corpus: Path, tmp_path: Path, file: str, name: str, model: str, vendor: str, serial: str, wwn: str
) -> None:
    """What udev alone says of real disks: the unit serial, not the WWN that udev calls ID_SERIAL_SHORT."""
    text = (corpus / "udevadm" / file).read_text(encoding="utf-8", errors="replace")
    record = next(record for record in text.split("\n\n") if re.search(rf"^N: {name}$", record, re.MULTILINE))
    udev = dict(line[3:].split("=", 1) for line in record.splitlines() if line.startswith("E: "))
    plate = probe_nameplate(Host(str(tmp_path)), name, udev)
    assert (plate.model, plate.vendor, plate.serial, plate.wwn) == (model, vendor, serial, wwn)
    assert all("/" not in id for id in parse_ids(udev))
    assert len(parse_ids(udev)) == record.count("S: disk/by-id/")


@pytest.mark.corpus
def test_disks_of_a_captured_server(unpack: Callable[[str], Host]) -> None:
    """A PowerEdge R910 on an old kernel: one RAID volume with six partitions; no ram, no loop, no CD."""
    (disk,) = probe_disks(unpack("hwloc-tree/40intel64-2g2n4c+pcilocality.tar.bz2"))
    assert (disk.label, disk.vendor, disk.model, disk.kind) == ("sda", "DELL", "PERC H700", "hdd")
    assert (disk.size, disk.device_number, disk.rotational) == (1798651772928, "8:0", True)
    assert [partition.name for partition in disk.partitions] == [f"sda{number}" for number in range(1, 7)]
    assert (disk.partitions[0].start, disk.partitions[0].size) == (512, 20480000000)


@pytest.mark.loop
def test_a_loop_device(tmp_path: Path, make_loop: MakeLoop) -> None:
    """Its file is what a person knows it by, and what is shown before it is wiped."""
    image = make_image(tmp_path)
    loop = attach(make_loop, image)
    disk = probe_disk(Host(), loop)
    assert disk
    assert (disk.path, disk.model, disk.serial, disk.size) == (f"/dev/{loop}", str(image), "", 64 << 20)
    assert (disk.transport, disk.read_only, disk.removable) == (Transport.LOOP, False, False)
    assert loop in [disk.name for disk in probe_disks(Host())]
    tool("blockdev", "--setro", f"/dev/{loop}")
    protected = probe_disk(Host(), loop)
    assert protected and protected.read_only
    tool("blockdev", "--setrw", f"/dev/{loop}")


def test_an_idle_loop_device_is_no_disk(tmp_path: Path) -> None:
    """Eight of them stand in every /sys/block, with nothing behind."""
    loop = tmp_path / "sys/block/loop0"
    loop.mkdir(parents=True)
    (loop / "size").write_text("8\n")
    assert probe_disks(Host(str(tmp_path))) == ()


def test_a_disk_that_is_gone() -> None:
    """`arm()` asks for a disk by name again, which may have been pulled, or never was."""
    assert probe_disk(Host(), "no-such-disk") is None
    assert probe_disk(Host(), "../../etc") is None


@pytest.mark.loop
def test_this_machine_recorded_and_replayed(tmp_path: Path, make_loop: MakeLoop) -> None:
    """A recording gives the machine back, disk for disk; a Replay asks nothing that was not recorded."""
    image = make_image(tmp_path)
    tool("sfdisk", "--quiet", str(image), input="label: gpt\nsize=4MiB\n")
    attach(make_loop, image)
    recorder = Recorder(tmp_path / "recording", lambda text: text)
    machine = probe_machine(recorder)
    recorder.save()
    again = probe_machine(Replay(tmp_path / "recording"))
    # Tests beside this one come and go with disks, mounts and interfaces of theirs while the machine is read.
    recorded, replayed = ([disk for disk in seen.disks if disk.model == str(image)] for seen in (machine, again))
    assert [disk.transport for disk in recorded] == [Transport.LOOP]
    assert (replayed, again.identity, again.live) == (recorded, machine.identity, machine.live)
    assert json.loads(json.dumps(machine.encode())) == machine.encode()
