"""What the kernel says when hardware fails: a table of kinds of complaint, with words as in the kernel's sources."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Pattern:
    """A kind of complaint: its code, and the expression; its groups are what it is about.

    A group named `n` is how many there are in one line.
    """

    code: str
    expression: re.Pattern[str]


def _pattern(code: str, *expressions: str) -> Pattern:
    return Pattern(code, re.compile("|".join(expressions)))


_PCI = r"([0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.\d)"
_ERROR = r"\[Hardware Error\]: "
# A block device with a medium behind it: loops lose their file, drives for CDs and floppies their medium, and what
# is made of other devices repeats what those say.
_DISK = r"dev ((?!loop|sr\d|fd\d|dm-|md\d|z?ram\d|nbd\d)[a-z]+[0-9a-z]*)"
# IA32_MCi_STATUS (SDM volume 3, 15.3.2.2): bit 61 is "uncorrected". It stands in the first of sixteen digits.
_UNCORRECTED_STATUS = r"[2367abefABEF][0-9a-fA-F]{15}\b"
# NVIDIA's catalogue of Xid errors: memory that is lost, a row that cannot be replaced, a GPU off the bus; and those
# that a program causes.
_BROKEN_XID, _PROGRAM_XID = "48|64|79|95", "8|13|31|32|43|45|68|69"

_MEMORY = (
    # drivers/edac/edac_mc.c; the count is in the line.
    _pattern("kernel.edac.corrected", r"EDAC (MC\d+): (?P<n>\d{1,9}) CE (?:.{0,80}?\bon (?:any memory|(\S+))|)"),
    _pattern("kernel.edac.uncorrected", r"EDAC (MC\d+): (?P<n>\d{1,9}) UE (?:.{0,80}?\bon (?:any memory|(\S+))|)"),
    # mm/memory-failure.c
    _pattern("kernel.memory.poisoned", r"Memory failure: (0x[0-9a-f]+): recovery action"),
    # drivers/edac/amd64_edac.c
    _pattern("kernel.edac.off", r"EDAC amd64: (?:.*: )?ECC disabled in the BIOS"),
)
_PROCESSOR = (
    # arch/x86/kernel/cpu/mce/core.c, drivers/edac/sb_edac.c and its kin, drivers/edac/mce_amd.c
    _pattern(
        "kernel.mce.uncorrected",
        rf"(CPU \d+): Machine Check[^:]*: [0-9a-f]+ (Bank \d+): {_UNCORRECTED_STATUS}",
        rf"{_ERROR}(?:System Fatal error|Uncorrected)",
        r"mce: .*(?:Fatal machine check|Uncorrected hardware memory error)",
    ),
    _pattern(
        "kernel.mce.corrected",
        r"(CPU \d+): Machine Check[^:]*: [0-9a-f]+ (Bank \d+): [0-9a-fA-F]{16}\b",
        rf"{_ERROR}Corrected error, no action required",
    ),
    _pattern("kernel.mce.deferred", rf"{_ERROR}Deferred error"),
    _pattern("kernel.mce.storm", r"CMCI storm detected"),
    _pattern("kernel.mce", rf"mce: {_ERROR}Machine check events? logged"),
    # arch/x86/kernel/cpu/mce/therm_throt.c, drivers/thermal
    _pattern("kernel.throttle", r"(CPU\d+): (?:Core |Package )?[Tt]emperature (?:is )?above threshold"),
    _pattern("kernel.thermal", r"(thermal_zone\d+): critical temperature reached", r"[Cc]ritical temperature reached"),
    # arch/x86/kernel/smpboot.c
    _pattern("kernel.cpu.lost", r"(CPU ?\d+)(?:: Not responding| failed to respond| failed to report alive state)"),
    # arch/x86/kernel/nmi.c
    _pattern("kernel.nmi.error", r"NMI: (?:PCI system error|IOCK error)"),
    _pattern("kernel.nmi", r"Uhhuh\. NMI received for unknown reason"),
)
_FIRMWARE = (
    # drivers/acpi/apei/bert.c prints the records of the boot before, without the number that GHES's have.
    _pattern("kernel.bert", r"BERT: Error records from previous boot"),
    # drivers/firmware/efi/cper.c
    _pattern("kernel.ghes.uncorrected", rf"\{{\d+\}}{_ERROR}event severity: (?:fatal|recoverable)"),
    _pattern("kernel.ghes.corrected", rf"\{{\d+\}}{_ERROR}event severity: corrected"),
    _pattern("kernel.virtualization", r"kvm: (?:VMX )?[Dd]isabled by (?:the )?(?:bios|BIOS)"),
    _pattern("kernel.firmware", r"\[Firmware (?:Bug|Warn)\]", r"ACPI BIOS (?:Error|Warning) \(bug\)", r"ACPI Error: "),
)
_PCIE = (
    # drivers/pci/pcie/aer.c; of one error the root port says as well that it received it.
    _pattern("kernel.aer.corrected", rf"{_PCI}: (?:AER: )?PCIe Bus Error: severity=Correct(?:ed|able)"),
    _pattern(
        "kernel.aer.uncorrected",
        rf"{_PCI}: (?:AER: )?PCIe Bus Error: severity=Uncorrect",
        rf"{_PCI}: AER: device recovery failed",
    ),
    # drivers/pci/pcie/dpc.c, drivers/pci/hotplug, drivers/iommu, drivers/pci/pci.c
    _pattern("kernel.pcie.contained", rf"{_PCI}: DPC: containment event"),
    _pattern("kernel.pcie.link", rf"{_PCI}(?::pcie\d+)?: pciehp: (Slot\([^)]*\)): Link Down"),
    _pattern(
        "kernel.iommu",
        r"DMAR: \[DMA (?:Read|Write)[^\]]*\] Request device \[?([0-9a-f:.]+)\]?.*fault addr",
        r"AMD-Vi: Event logged \[IO_PAGE_FAULT device=([0-9a-f:.]+)",
    ),
    _pattern("kernel.bandwidth", rf"{_PCI}: .*available PCIe bandwidth, limited by"),
    _pattern("kernel.xid.broken", rf"NVRM: Xid \(PCI:([0-9a-f:.]+)\): (?:{_BROKEN_XID}),"),
    _pattern("kernel.xid.program", rf"NVRM: Xid \(PCI:([0-9a-f:.]+)\): (?:{_PROGRAM_XID}),"),
    _pattern("kernel.xid", r"NVRM: Xid \(PCI:([0-9a-f:.]+)\)"),
    # drivers/gpu/drm/amd/amdgpu/amdgpu_ras.c
    _pattern("kernel.gpu.uncorrected", rf"amdgpu {_PCI}: .*\b[1-9]\d*(?: new)? uncorrectable hardware errors"),
    _pattern("kernel.gpu.corrected", rf"amdgpu {_PCI}: .*\b[1-9]\d*(?: new)? correctable hardware errors"),
)
_DISKS = (
    # block/blk-core.c. A target refuses what it does not know, too.
    _pattern("kernel.medium", rf"critical medium error, {_DISK}"),
    _pattern("kernel.target", rf"critical target error, {_DISK}"),
    _pattern("kernel.io", rf"I/O error, {_DISK}"),
    # drivers/nvme/host
    _pattern(
        "kernel.nvme.lost",
        r"nvme (nvme\d+): (?:Device not ready; aborting|Removing after|Disabling device after reset failure)",
    ),
    _pattern("kernel.nvme.timeout", r"nvme (nvme\d+): (?:I/O .*timeout|controller is down; will reset)"),
    # drivers/ata/libata-eh.c; hard resets of a port at boot are not told.
    _pattern("kernel.ata.crc", r"(ata\d+\.\d+): error: \{[^}]*ICRC"),
    _pattern("kernel.ata.lost", r"(ata\d+\.\d+): disabled$"),
    _pattern(
        "kernel.ata.reset", r"(ata\d+(?:\.\d+)?): (?:hard resetting link|COMRESET failed|limiting SATA link speed)"
    ),
    _pattern("kernel.ata.failed", r"(ata\d+\.\d+): (?:failed command|failed to IDENTIFY)"),
    # drivers/scsi. That a disk had been switched on is told as "Power-on or device reset occurred".
    _pattern("kernel.scsi.hardware", r"\[(sd[a-z]+)\] .*Sense Key : Hardware Error"),
    _pattern("kernel.scsi.predicted", r"\[(sd[a-z]+)\] .*Failure prediction threshold exceeded"),
    _pattern("kernel.scsi.aborted", r"\[(sd[a-z]+)\] .*Sense Key : Aborted Command"),
    _pattern(
        "kernel.scsi.offline", r"(?:sd|scsi) ([\d:]+): (?:\[sd[a-z]+\] )?(?:Device offlined|rejecting I/O to off)"
    ),
    _pattern(
        "kernel.hba.fault",
        r"(mpt\dsas_cm\d+): (?:fault_state|SAS host is non-operational)",
        rf"(?:megaraid_sas|hpsa|smartpqi) {_PCI}: .*(?:FW in FAULT|[Ff]atal firmware error|lockup|controller offline)",
        r"aacraid: Host adapter (?:abort|reset)",
    ),
    _pattern(
        "kernel.scsi.reset",
        r"(?:sd|scsi) ([\d:]+): .*(?:attempting (?:task abort|\w+ reset)|task abort: |timing out command)",
        rf"(?:mpt\w+|megaraid_sas|hpsa|smartpqi) {_PCI}: .*(?:task abort|resetting)",
    ),
    # drivers/scsi/megaraid: what the firmware itself logs, by its severity.
    _pattern(
        "kernel.raid.failed",
        rf"megaraid_sas {_PCI}: \d+ \([^)]*/(?:FATAL|DEAD)\) - (.{{1,60}})",
        rf"megaraid_sas {_PCI}: \d+ \([^)]*\) - (VD [0-9a-f/]+) is now (?:DEGRADED|PARTIALLY DEGRADED|OFFLINE)",
    ),
    _pattern("kernel.raid.critical", rf"megaraid_sas {_PCI}: \d+ \([^)]*/CRIT\) - (.{{1,60}})"),
    _pattern("kernel.md", r"md/raid[^:]*:(md\w+): Disk failure on (\w+), disabling device"),
)
_NETWORK = (
    # net/sched/sch_generic.c, drivers/net/ethernet
    _pattern(
        "kernel.nic.reset",
        r"(\S+): NETDEV WATCHDOG: CPU: \d+: transmit queue",
        r"NETDEV WATCHDOG: (\S+) \(",
        r"(\S+): (?:Detected (?:Hardware|Tx) Unit Hang|Reset adapter|initiating reset due to tx timeout)",
    ),
    _pattern(
        "kernel.nic.fault",
        rf"{_PCI}(?: \S+)?: .*(?:NVM Checksum Is Not Valid|stopped because it has over ?heated|health compromised)",
    ),
    _pattern(
        "kernel.nic.module",
        rf"{_PCI}(?: \S+)?: .*(?:unsupported S?Q?SFP\S* (?:or QSFP )?module|Unqualified SFP\+ module)",
        rf"mlx5_core {_PCI}: Port module event\[error\]: module \d+, (.{{1,60}})",
    ),
)
_SYSTEM = (
    # kernel/hung_task.c, kernel/watchdog*.c, kernel/rcu/tree_stall.h
    _pattern(
        "kernel.hang",
        r"task (\S+):\d+ blocked for more than \d+ seconds",
        r"soft lockup - (CPU#\d+)",
        r"hard LOCKUP on (cpu \d+)",
        r"rcu: INFO: \S+ (?:self-)?detected (?:expedited )?stall",
    ),
    _pattern("kernel.memory", r"Out of memory: Killed process", r"page allocation failure"),
    _pattern("kernel.bug", r"kernel BUG at ", r"BUG: unable to handle", r"^Oops: ", r"general protection fault"),
    _pattern(
        "kernel.filesystem",
        r"EXT4-fs error \(device ([^)]+)\)",
        r"XFS \(([^)]+)\): .*(?:Corruption|corruption)",
        r"BTRFS (?:error|critical) \(device ([^):]+)",
        r"(SQUASHFS) error: ",
    ),
    _pattern("kernel.usb.current", r"usb (\S+): over-current condition"),
    _pattern("kernel.clock", r"Marking clocksource '([^']+)' as unstable"),
)
# Of several that match the first counts: what was corrected must not be taken for what was not.
PATTERNS: Sequence[Pattern] = (*_MEMORY, *_PROCESSOR, *_FIRMWARE, *_PCIE, *_DISKS, *_NETWORK, *_SYSTEM)
