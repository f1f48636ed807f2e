"""Complaints of the kernel: each under its own name, corrected ones never as uncorrected, and a plain boot none."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveagent.events import Verdict
from liveagent.machine.device import make_device
from liveagent.machine.inventory import Inventory
from liveagent.machine.kernel_log import parse_kernel_log, probe_disk_names, probe_kernel_log
from liveagent.machine.kernel_patterns import PATTERNS
from liveagent.machine.look import Look, Why
from liveagent.tasks.hwdiag.checks import kernel_log as checks
from liveagent.tasks.hwdiag.checks.kernel_log import CODES
from liveagent.tasks.hwdiag.policy import Policy
from tests.machine.replies import DISK, NOT_INSTALLED, Reply, make_replay


def read(corpus: Path, name: str) -> list[tuple[str, str, int]]:
    log = parse_kernel_log((corpus / name).read_text(encoding="utf-8", errors="replace"))
    return [(one.code, one.part, one.count) for one in log.complaints]


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("file", "complaints"),
    [
        (
            "dmesg-errors/aer-nvme-rxerr.txt",
            [("kernel.aer.corrected", "0000:00:1d.0", 1), ("kernel.aer.corrected", "0000:03:00.0", 1)],
        ),
        # The status of either begins with a digit whose second bit, "uncorrected", is not set: c and 8.
        (
            "dmesg-errors/edac-sbridge-overflow-262-ce.txt",
            [
                ("kernel.mce.corrected", "CPU 0 Bank 7", 1),
                ("kernel.edac.corrected", "MC1 CPU_SrcID#0_Ha#0_Chan#1_DIMM#0", 262),
            ],
        ),
        (
            "dmesg-errors/edac-sbridge-scrub-ce.txt",
            [
                ("kernel.mce", "", 1),
                ("kernel.mce.corrected", "CPU 1 Bank 11", 1),
                ("kernel.edac.corrected", "MC1 CPU_SrcID#1_Ha#0_Chan#0_DIMM#0", 1),
            ],
        ),
        (
            "dmesg-errors/nvme-timeout-reset-removed.txt",
            [
                ("kernel.nvme.timeout", "nvme2", 1),
                ("kernel.nvme.lost", "nvme2", 3),
                ("kernel.nvme.timeout", "nvme3", 1),
                ("kernel.nvme.lost", "nvme3", 3),
            ],
        ),
        ("dmesg/vm-dmesg-medium-error.txt", [("kernel.medium", "sdc", 6)]),
        # Whole boots of healthy machines: 1,550, 786 and 465 lines.
        ("dmesg/hw-full-boot.txt", [("kernel.firmware", "", 2)]),
        ("dmesg/percona-001.txt", [("kernel.firmware", "", 7)]),
        ("dmesg/percona-005.txt", []),
        ("dmesg/dmesg_cmd.txt", []),
        ("dmesg/ts_msginfo.txt", []),
        ("dmesg/vmcore_dmesg_txt.txt", []),
        # A kernel that died by sysrq.
        ("dmesg/vmcore_dmesg_crash.txt", [("kernel.bug", "", 2)]),
        ("journal/jc-syslog-3164.txt", []),
        ("journal/journal_all_msginfo.txt", []),
        ("journal/journalctl_header_valid.txt", []),
    ],
)
def test_real_logs(corpus: Path, file: str, complaints: list[tuple[str, str, int]]) -> None:
    assert read(corpus, file) == complaints


@pytest.mark.corpus
def test_healthy_machines_have_no_warning(corpus: Path) -> None:
    for name in ("hw-full-boot", "percona-001", "percona-005", "dmesg_cmd", "ts_msginfo", "vmcore_dmesg_txt"):
        log = parse_kernel_log((corpus / "dmesg" / f"{name}.txt").read_text(errors="replace"))
        found = [one for check in checks.CHECKS for one in check.find(Inventory(kernel_log=log), Policy())]
        assert all(one.verdict is Verdict.PASS for one in found), name


@pytest.mark.corpus
def test_whether_the_beginning_is_there(corpus: Path) -> None:
    texts = {
        name: (corpus / "dmesg" / f"{name}.txt").read_text(errors="replace") for name in ("hw-full-boot", "dmesg_cmd")
    }
    assert {name: parse_kernel_log(text).complete for name, text in texts.items()} == {
        "hw-full-boot": True,
        "dmesg_cmd": False,
    }


# The words of each driver as its source has them (the files are named in the table of patterns), where the corpus has
# no log of it.
LINES = [
    ("EDAC MC0: 1 UE memory read error on CPU_SrcID#0_MC#0_Chan#1_DIMM#0 (channel:1 slot:0)", "kernel.edac.uncorrected",
     "MC0 CPU_SrcID#0_MC#0_Chan#1_DIMM#0"),
    ("EDAC MC0: 7 CE on mc#0csrow#1channel#1 (csrow:1 channel:1 page:0x0 offset:0x0)", "kernel.edac.corrected",
     "MC0 mc#0csrow#1channel#1"),
    ("EDAC MC0: 1 CE memory read error on any memory ( page:0x0 offset:0x0 grain:32)", "kernel.edac.corrected", "MC0"),
    ("EDAC amd64: Node 0: ECC disabled in the BIOS or no ECC capability, module will not load.", "kernel.edac.off", ""),
    ("Memory failure: 0x2031c: recovery action for dirty LRU page: Recovered", "kernel.memory.poisoned", "0x2031c"),
    ("mce: [Hardware Error]: CPU 3: Machine Check Exception: 5 Bank 8: be00000000800400", "kernel.mce.uncorrected",
     "CPU 3 Bank 8"),
    ("mce: [Hardware Error]: CPU 3: Machine Check: 0 Bank 8: 9c00000000800400", "kernel.mce.corrected", "CPU 3 Bank 8"),
    ("[Hardware Error]: Corrected error, no action required.", "kernel.mce.corrected", ""),
    ("[Hardware Error]: Uncorrected, software restartable error.", "kernel.mce.uncorrected", ""),
    ("[Hardware Error]: System Fatal error.", "kernel.mce.uncorrected", ""),
    ("[Hardware Error]: Deferred error, no action required.", "kernel.mce.deferred", ""),
    ("mce: CMCI storm detected: switching to poll mode", "kernel.mce.storm", ""),
    ("mce: [Hardware Error]: Machine check events logged", "kernel.mce", ""),
    ("CPU12: Core temperature above threshold, cpu clock throttled (total events = 1)", "kernel.throttle", "CPU12"),
    ("mce: CPU0: Package temperature above threshold, cpu clock throttled", "kernel.throttle", "CPU0"),
    ("thermal thermal_zone0: critical temperature reached, shutting down", "kernel.thermal", "thermal_zone0"),
    ("smpboot: CPU 5 failed to report alive state", "kernel.cpu.lost", "CPU 5"),
    ("NMI: PCI system error (SERR) for reason b1 on CPU 0.", "kernel.nmi.error", ""),
    ("Uhhuh. NMI received for unknown reason 21 on CPU 0.", "kernel.nmi", ""),
    ("BERT: Error records from previous boot:", "kernel.bert", ""),
    ("{1}[Hardware Error]: event severity: corrected", "kernel.ghes.corrected", ""),
    ("{1}[Hardware Error]: event severity: fatal", "kernel.ghes.uncorrected", ""),
    ("{12}[Hardware Error]: event severity: recoverable", "kernel.ghes.uncorrected", ""),
    ("kvm: disabled by bios", "kernel.virtualization", ""),
    ("[Firmware Bug]: the BIOS has corrupted hw-PMU resources", "kernel.firmware", ""),
    ("ACPI BIOS Error (bug): Could not resolve symbol [\\_SB.PMI0], AE_NOT_FOUND", "kernel.firmware", ""),
    ("nvme 0000:01:00.0: PCIe Bus Error: severity=Uncorrectable (Fatal), type=Transaction Layer",
     "kernel.aer.uncorrected", "0000:01:00.0"),
    ("pcieport 0000:00:03.0: AER: PCIe Bus Error: severity=Correctable, type=Data Link Layer", "kernel.aer.corrected",
     "0000:00:03.0"),
    ("pcieport 0000:00:03.0: AER: device recovery failed", "kernel.aer.uncorrected", "0000:00:03.0"),
    ("pcieport 0000:00:03.0: DPC: containment event, status:0x1f01 source:0x0000", "kernel.pcie.contained",
     "0000:00:03.0"),
    ("pcieport 0000:3a:00.0: pciehp: Slot(12): Link Down", "kernel.pcie.link", "0000:3a:00.0 Slot(12)"),
    ("DMAR: [DMA Write NO_PASID] Request device [03:00.0] fault addr 0xbdf7e000 [fault reason 0x05]", "kernel.iommu",
     "03:00.0"),
    ("pci 0000:01:00.0: 15.752 Gb/s available PCIe bandwidth, limited by 8.0 GT/s PCIe x2 link at 0000:00:1c.0",
     "kernel.bandwidth", "0000:01:00.0"),
    ("NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.",
     "kernel.xid.broken", "0000:3b:00"),
    ("NVRM: Xid (PCI:0000:3b:00): 31, pid=1234, name=python3, Ch 00000008", "kernel.xid.program", "0000:3b:00"),
    ("NVRM: Xid (PCI:0000:3b:00): 63, pid=1234, Row Remapper: New row", "kernel.xid", "0000:3b:00"),
    ("amdgpu 0000:83:00.0: amdgpu: 2 uncorrectable hardware errors detected in umc block", "kernel.gpu.uncorrected",
     "0000:83:00.0"),
    ("amdgpu 0000:83:00.0: amdgpu: socket: 0, die: 0, 4 new correctable hardware errors detected in umc block",
     "kernel.gpu.corrected", "0000:83:00.0"),
    ("critical medium error, dev nvme0n1, sector 4656 op 0x0:(READ) flags 0x0", "kernel.medium", "nvme0n1"),
    ("critical target error, dev sdb, sector 0 op 0x3:(DISCARD) flags 0x800", "kernel.target", "sdb"),
    ("I/O error, dev sda, sector 2048 op 0x0:(READ)", "kernel.io", "sda"),
    ("blk_update_request: I/O error, dev sda, sector 2048", "kernel.io", "sda"),
    ("nvme nvme0: controller is down; will reset: CSTS=0xffffffff, PCI_STATUS=0xffff", "kernel.nvme.timeout", "nvme0"),
    ("nvme nvme0: I/O tag 320 (3140) opcode 0x2 (I/O Cmd) QID 5 timeout, aborting req_op:READ(0)",
     "kernel.nvme.timeout", "nvme0"),
    ("nvme nvme0: Disabling device after reset failure: -19", "kernel.nvme.lost", "nvme0"),
    ("ata3.00: error: { ICRC ABRT }", "kernel.ata.crc", "ata3.00"),
    ("ata3.00: disabled", "kernel.ata.lost", "ata3.00"),
    ("ata3: hard resetting link", "kernel.ata.reset", "ata3"),
    ("ata3.00: failed command: READ FPDMA QUEUED", "kernel.ata.failed", "ata3.00"),
    ("sd 0:0:0:0: [sda] tag#3 Sense Key : Hardware Error [current] ", "kernel.scsi.hardware", "sda"),
    ("sd 0:0:0:0: [sda] tag#3 Add. Sense: Failure prediction threshold exceeded", "kernel.scsi.predicted", "sda"),
    ("sd 0:0:0:0: [sda] tag#3 Sense Key : Aborted Command [current] ", "kernel.scsi.aborted", "sda"),
    ("sd 0:0:0:0: Device offlined - not ready after error recovery", "kernel.scsi.offline", "0:0:0:0"),
    ("sd 0:0:0:0: [sda] rejecting I/O to offline device", "kernel.scsi.offline", "0:0:0:0"),
    ("mpt3sas_cm0: fault_state(0x2622)!", "kernel.hba.fault", "mpt3sas_cm0"),
    ("hpsa 0000:05:00.0: controller lockup detected: 0x00130000 after 30", "kernel.hba.fault", "0000:05:00.0"),
    ("sd 0:0:1:0: attempting task abort!scmd(0x00000000f1), outstanding for 30336 ms", "kernel.scsi.reset", "0:0:1:0"),
    # As drivers/scsi/megaraid/megaraid_sas_base.c prints an event of the firmware.
    ("megaraid_sas 0000:03:00.0: 3284 (671218302s/0x0001/CRIT) - VD 00/0 is now DEGRADED",
     "kernel.raid.failed", "0000:03:00.0 VD 00/0"),
    ("megaraid_sas 0000:03:00.0: 91 (boot + 25s/0x0020/FATAL) - Controller cache discarded",
     "kernel.raid.failed", "0000:03:00.0 Controller cache discarded"),
    ("megaraid_sas 0000:03:00.0: 92 (671218302s/0x0002/CRIT) - Predictive failure: PD 04(e0x20/s4)",
     "kernel.raid.critical", "0000:03:00.0 Predictive failure: PD 04(e0x20/s4)"),
    ("md/raid1:md0: Disk failure on sda1, disabling device.", "kernel.md", "md0 sda1"),
    ("NETDEV WATCHDOG: eth0 (ixgbe): transmit queue 3 timed out", "kernel.nic.reset", "eth0"),
    ("ixgbe 0000:01:00.0 eth0: NETDEV WATCHDOG: CPU: 3: transmit queue 3 timed out", "kernel.nic.reset", "eth0"),
    ("e1000e 0000:00:1f.6 eno1: Detected Hardware Unit Hang:", "kernel.nic.reset", "eno1"),
    ("igb 0000:04:00.0: The NVM Checksum Is Not Valid", "kernel.nic.fault", "0000:04:00.0"),
    ("ixgbe 0000:01:00.0: failed to load because an unsupported SFP+ or QSFP module type was detected.",
     "kernel.nic.module", "0000:01:00.0"),
    ("mlx5_core 0000:3b:00.0: Port module event[error]: module 0, Cable error, Bus stuck (I2C or data shorted)",
     "kernel.nic.module", "0000:3b:00.0 Cable error, Bus stuck (I2C or data shorted)"),
    ("INFO: task fsck:412 blocked for more than 120 seconds.", "kernel.hang", "fsck"),
    ("watchdog: BUG: soft lockup - CPU#3 stuck for 22s! [stress-ng:812]", "kernel.hang", "CPU#3"),
    ("watchdog: Watchdog detected hard LOCKUP on cpu 3", "kernel.hang", "cpu 3"),
    ("rcu: INFO: rcu_preempt self-detected stall on CPU", "kernel.hang", ""),
    ("Out of memory: Killed process 1234 (dd) total-vm:1kB", "kernel.memory", ""),
    ("BUG: unable to handle page fault for address: ffffa0b3", "kernel.bug", ""),
    ("EXT4-fs error (device sda7): ext4_lookup:1855: inode #2", "kernel.filesystem", "sda7"),
    ("SQUASHFS error: Unable to read page, block 1e3, size 8", "kernel.filesystem", "SQUASHFS"),
    ("usb usb1-port2: over-current condition", "kernel.usb.current", "usb1-port2"),
    ("clocksource: timekeeping watchdog on CPU1: Marking clocksource 'tsc' as unstable", "kernel.clock", "tsc"),
]  # fmt: skip
STAMPS = ("", "[   12.345678] ", "[   12.345678][ T1234] ", "[   12.345678] host kernel: ", "<3>[   12.345678] ")
SYSLOG = ("Feb 23 03:28:16 host kernel: ", "Feb 23 03:28:16  kernel: ", "[Mon Oct  3 13:52:42 2022] ")


@pytest.mark.parametrize(("line", "code", "part"), LINES, ids=[line[:30] for line, _, _ in LINES])
def test_lines(line: str, code: str, part: str) -> None:
    for stamp in (*STAMPS, *SYSLOG):
        [found] = parse_kernel_log(stamp + line).complaints
        assert (found.code, found.part, found.last) == (code, part, line.strip()), stamp
        assert found.first_seconds == (12.345678 if "12.3" in stamp else None)


def test_every_pattern_has_a_line() -> None:
    assert {code for _, code, _ in LINES} | {"kernel.medium"} == {pattern.code for pattern in PATTERNS}


@pytest.mark.parametrize(
    "line",
    [
        "I/O error, dev loop0, sector 0",  # a file that was taken away under it
        "I/O error, dev sr0, sector 0",  # no medium
        "blk_update_request: I/O error, dev fd0, sector 0",  # no drive
        "I/O error, dev dm-3, sector 0",  # said of the disk below it
        "EXT4-fs (sda7): re-mounted. Opts: errors=remount-ro",
        "Buffer I/O error on dev sdc, logical block 582, async page read",
        "mei_me 0000:00:16.0: initialization failed.",
        "sd 0:0:0:0: Power-on or device reset occurred",
        "mpt3sas_cm0: sending diag reset !!",
        "ata1: SATA link down (SStatus 0 SControl 300)",
        "sd 0:0:0:0: [sda] tag#3 Sense Key : Illegal Request [current] ",
        "sd 0:0:0:0: [sda] tag#3 Sense Key : Unit Attention [current] ",
        "amdgpu 0000:83:00.0: amdgpu: 0 correctable hardware errors detected in total in gfx block, no user action",
        "[Hardware Error]: event severity: fatal",  # of the boot before, under BERT's own line
        "pcieport 0000:00:1d.0: AER: Multiple Corrected error received: 0000:03:00.0",
        "pcieport 0000:00:1d.0: AER: enabled with IRQ 122",
        "{1}[Hardware Error]: It has been corrected by h/w and requires no further action",
        "CPU0: Package temperature/speed normal (total events = 7)",
        "EDAC MC0: Giving out device to module skx_edac controller Skylake Socket#0 IMC#0: DEV 0000:64:0a.0",
        "EDAC sbridge: Seeking for: PCI ID 8086:3ca0",
        "mlx5_core 0000:3b:00.0: Port module event: module 0, Cable plugged",
        "nvme nvme0: missing or invalid SUBNQN field.",
        "ERST: Error Record Serialization Table (ERST) support is initialized.",
        "usb 1-1: reset high-speed USB device number 2 using xhci_hcd",
    ],
)
def test_what_is_no_complaint(line: str) -> None:
    assert parse_kernel_log(f"[    1.000000] {line}").complaints == ()


def test_counts_and_both_ends() -> None:
    """The kernel's own count of a line is taken, and the first and the last are kept."""
    text = "\n".join(
        f"[{second:5d}.000000] EDAC MC0: {second} CE memory read error on A1 (page:{second})" for second in (3, 5)
    )
    [found] = parse_kernel_log(text).complaints
    assert (found.count, found.first_seconds, found.last_seconds) == (8, 3.0, 5.0)
    assert found.first.endswith("(page:3)") and found.last.endswith("(page:5)")


def test_a_port_has_the_name_of_its_drive() -> None:
    found = "ata3.00: ATA-9: WDC WD4000FYYZ-01UL1B1, 01.01K03, max UDMA/133"
    text = f"{found}\nata3: hard resetting link\nata4: hard resetting link"
    assert [one.part for one in parse_kernel_log(text).complaints] == ["ata3 WDC WD4000FYYZ-01UL1B1", "ata4"]


PCI = "/sys/devices/pci0000:00/0000:00"
BLOCK = {
    # As a guest's kernel 6.1 has them: behind an AHCI port, a virtio adapter, a port multiplier, and NVMe.
    "sda": f"{PCI}:04.0/virtio2/host0/target0:0:0/0:0:0:0/block/sda",
    "sdb": f"{PCI}:1f.2/ata1/host1/target1:0:0/1:0:0:0/block/sdb",
    "sdc": f"{PCI}:1f.2/ata2/host2/target2:1:0/2:1:0:0/block/sdc",
    "sdd": f"{PCI}:1f.2/ata2/host2/target2:2:0/2:2:0:0/block/sdd",
    "nvme0n1": f"{PCI}:06.0/nvme/nvme0/nvme0n1",
    "loop0": "/sys/devices/virtual/block/loop0",
}
CALLED = {
    **{name: name for name in BLOCK},
    **{"0:0:0:0": "sda", "1:0:0:0": "sdb", "2:1:0:0": "sdc", "2:2:0:0": "sdd"},
    **{"ata1": "sdb", "ata1.00": "sdb", "ata2.01": "sdc", "ata2.02": "sdd", "nvme0": "nvme0n1"},
}


def test_what_the_kernel_calls_a_disk(tmp_path: Path) -> None:
    """A port with two drives behind it names neither of them; each has a name of its own there."""
    links = {f"resolve /sys/block/{name}": (path,) for name, path in BLOCK.items()}
    links["resolve /sys/block/nvme0n1/device"] = (BLOCK["nvme0n1"].rpartition("/")[0],)
    host = make_replay(tmp_path, {}, lists={"/sys/block": tuple(BLOCK), **links})
    assert probe_disk_names(host) == CALLED


BEGINNING = "Linux version 5.14.0-427.el9\nata1.00: ATA-7: QEMU HARDDISK, 2.5+, max UDMA/100\n"
FAILED = "[  412.599753] ata1.00: failed command: WRITE FPDMA QUEUED\n"


@pytest.mark.parametrize(
    ("text", "disk"),
    [
        (f"{BEGINNING}sd 1:0:0:0: [sdb] Attached SCSI disk\n{FAILED}", "sdb"),
        (FAILED, "sdb"),
        # Another drive may have been put in since, with the beginning of the log and without it.
        (f"{BEGINNING}{FAILED}ata1.00: ATA-7: QEMU HARDDISK, 2.5+, max UDMA/100\n", ""),
        (f"{BEGINNING}sd 1:0:0:0: [sdb] Attached SCSI disk\n{FAILED}sd 1:0:0:0: [sdb] Attached SCSI disk\n", ""),
        (f"{FAILED}ata1.00: ATA-7: QEMU HARDDISK, 2.5+, max UDMA/100\n", ""),
        (f"{BEGINNING}ata3.00: failed command: WRITE FPDMA QUEUED\n", ""),
        (f"{BEGINNING}sd 2:2:0:0: Device offlined - not ready after error recovery\n", "sdd"),
        (
            f"{BEGINNING}nvme nvme0: pci function 0000:00:06.0\nnvme nvme0: controller is down; will reset: X\n",
            "nvme0n1",
        ),
    ],
)
def test_the_disk_that_a_line_is_about(text: str, disk: str) -> None:
    assert [one.disk for one in parse_kernel_log(text, disks=CALLED).complaints] == [disk]


def test_a_finding_names_what_a_technician_pulls() -> None:
    """A port's number is on no label; without a disk to name, the kernel's own word and the model stay."""
    device = dataclasses.replace(make_device(DISK), name="sdb", serial="ZC1B77QK")
    found = {}
    for disks in ((device,), ()):
        log = parse_kernel_log(f"{BEGINNING}{FAILED}", disks=CALLED)
        [found[disks]] = checks.find(Inventory(kernel_log=log, disks=disks), Policy())
    words = "an ATA drive failed commands (last 6m 53s after the boot: ata1.00: failed command: WRITE FPDMA QUEUED)"
    assert {(one.part, one.summary) for one in found.values()} == {
        ("sdb ZC1B77QK", words),
        ("ata1.00 QEMU HARDDISK", words),
    }


@pytest.mark.corpus
def test_findings(corpus: Path) -> None:
    """That something was logged is not said beside what it was; a line is shown in part, and kept whole."""
    log = parse_kernel_log((corpus / "dmesg-errors/edac-sbridge-scrub-ce.txt").read_text())
    found = [one for check in checks.CHECKS for one in check.find(Inventory(kernel_log=log), Policy())]
    assert [one.code for one in found] == ["kernel.mce.corrected", "kernel.edac.corrected"]
    assert all(len(one.summary) < 200 for one in found)
    assert str(found[1].measured["last"]).endswith("socket:1 ha:0 channel_mask:1 rank:0)")
    alone = parse_kernel_log("mce: [Hardware Error]: Machine check events logged")
    assert [one.code for one in checks.find(Inventory(kernel_log=alone), Policy())] == ["kernel.mce"]


def test_every_pattern_has_a_code_and_the_other_way_round() -> None:
    assert {pattern.code for pattern in PATTERNS} == set(CODES)


DMESG = "dmesg --kernel --nopager"
JOURNAL = "journalctl --dmesg --boot --output=short-monotonic --no-pager --quiet"
WHOLE = "[    0.000000] Linux version 5.14.0-427.el9\n[    9.000000] ata3: hard resetting link\n"
LATE = "[  900.000000] ata4: hard resetting link\n"
DENIED = Reply(stderr="dmesg: read kernel buffer failed: Operation not permitted\n", status=1)


@pytest.mark.parametrize(
    ("replies", "parts", "complete", "missing"),
    [
        ({DMESG: WHOLE}, ["ata3"], True, []),
        # The ring was overwritten, and the journal has it all, or no more than that.
        ({DMESG: LATE, JOURNAL: WHOLE.replace("] ", "] host kernel: ")}, ["ata3"], True, []),
        ({DMESG: LATE, JOURNAL: ""}, ["ata4"], False, [("kernel_log.beginning", Why.ABSENT)]),
        ({DMESG: DENIED, JOURNAL: WHOLE}, ["ata3"], True, []),
        (
            {DMESG: DENIED, JOURNAL: NOT_INSTALLED},
            None,
            None,
            [("kernel_log", Why.NO_RIGHTS), ("kernel_log", Why.NO_TOOL), ("kernel_log", Why.ABSENT)],
        ),
    ],
)
def test_where_it_is_read(
    tmp_path: Path,
    replies: dict[str, str | Reply],
    parts: list[str] | None,
    complete: bool | None,
    missing: list[tuple[str, Why]],
) -> None:
    look = Look(make_replay(tmp_path, replies, lists={"/sys/block": ()}))
    log = probe_kernel_log(look)
    assert (log and [one.part for one in log.complaints]) == parts and (log and log.complete) == complete
    assert [(one.part, one.why) for one in look.missing] == missing


@given(st.text())
def test_noise(text: str) -> None:
    for stamp in STAMPS:
        for complaint in parse_kernel_log(stamp + text).complaints:
            assert complaint.first.isprintable() and complaint.count >= 1


def test_a_long_log_takes_no_time() -> None:
    """A line that is a dump costs no more than its beginning: no expression goes back and forth in it."""
    for line in (
        "EDAC MC0: 1 CE " + " on" * 50_000,
        "DMAR: [DMA Read" * 9_000,
        "ata1.00: ATA" * 9_000,
        "\\u0130" * 9_000,
    ):
        assert parse_kernel_log(f"{line}\n" * 50).lines == 50
