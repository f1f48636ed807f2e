"""What the kernel complained of."""

from __future__ import annotations

from collections.abc import Iterator

from liveagent.events import Finding, Verdict
from liveagent.machine.inventory import Inventory
from liveagent.machine.kernel_log import Complaint
from liveagent.report.lines import render_duration
from liveagent.tasks.hwdiag.check import Check, Code
from liveagent.tasks.hwdiag.policy import Policy

SOURCE = "the kernel's own messages since boot, by machine/kernel_patterns.py"
_TABLE = (
    ("kernel.edac.corrected", Verdict.WARN, "corrected memory errors: watch the module"),
    ("kernel.edac.uncorrected", Verdict.FAIL, "uncorrected memory errors: replace the module"),
    ("kernel.edac.off", Verdict.PASS, "the kernel found error correction of the memory off"),
    ("kernel.memory.poisoned", Verdict.FAIL, "a page of memory was lost to an uncorrected error: replace the module"),
    ("kernel.mce.uncorrected", Verdict.FAIL, "a machine check that was not corrected"),
    ("kernel.mce.deferred", Verdict.WARN, "a machine check whose data was bad and not used yet"),
    ("kernel.mce.corrected", Verdict.WARN, "corrected machine checks"),
    ("kernel.mce.storm", Verdict.WARN, "so many corrected errors that the kernel counts them no more"),
    ("kernel.mce", Verdict.WARN, "machine checks were logged"),
    ("kernel.throttle", Verdict.WARN, "processors were too hot and slowed down"),
    ("kernel.thermal", Verdict.FAIL, "a critical temperature was reached"),
    ("kernel.cpu.lost", Verdict.WARN, "a processor did not start"),
    ("kernel.nmi.error", Verdict.FAIL, "the chipset reported an error of a bus"),
    ("kernel.nmi", Verdict.WARN, "an interrupt for an error that nobody explains: look in the BMC's log"),
    ("kernel.bert", Verdict.WARN, "the firmware kept a hardware error that ended the boot before"),
    ("kernel.ghes.uncorrected", Verdict.FAIL, "the firmware reported a hardware error that was not corrected"),
    ("kernel.ghes.corrected", Verdict.WARN, "the firmware reported corrected hardware errors"),
    ("kernel.virtualization", Verdict.PASS, "virtualization is off in the firmware's setup"),
    ("kernel.firmware", Verdict.PASS, "the kernel works around the firmware"),
    ("kernel.aer.corrected", Verdict.WARN, "corrected PCIe errors: a contact, a riser or a card"),
    ("kernel.aer.uncorrected", Verdict.FAIL, "uncorrected PCIe errors"),
    ("kernel.pcie.contained", Verdict.WARN, "a PCIe port cut off what is behind it, after an error"),
    ("kernel.pcie.link", Verdict.WARN, "a PCIe link went down"),
    ("kernel.iommu", Verdict.WARN, "a device reached for memory that is not its own"),
    ("kernel.bandwidth", Verdict.PASS, "a card could do more than its slot"),
    ("kernel.xid.broken", Verdict.FAIL, "a graphics processor lost memory or its bus"),
    ("kernel.xid.program", Verdict.PASS, "a program made an error on a graphics processor"),
    ("kernel.xid", Verdict.WARN, "a graphics processor reported an error"),
    ("kernel.gpu.uncorrected", Verdict.FAIL, "uncorrected errors of a graphics processor"),
    ("kernel.gpu.corrected", Verdict.WARN, "corrected errors of a graphics processor"),
    ("kernel.medium", Verdict.FAIL, "a disk could not read sectors"),
    ("kernel.target", Verdict.PASS, "a disk refused requests"),
    ("kernel.io", Verdict.WARN, "a disk failed requests"),
    ("kernel.nvme.lost", Verdict.FAIL, "an NVMe drive did not come back, and is gone"),
    ("kernel.nvme.timeout", Verdict.WARN, "an NVMe drive did not answer in time"),
    ("kernel.ata.crc", Verdict.WARN, "a SATA link carries errors: cable or backplane"),
    ("kernel.ata.lost", Verdict.WARN, "the kernel gave up an ATA drive"),
    ("kernel.ata.reset", Verdict.WARN, "a SATA link was reset: cable, backplane or drive"),
    ("kernel.ata.failed", Verdict.WARN, "an ATA drive failed commands"),
    ("kernel.scsi.hardware", Verdict.FAIL, "a SCSI drive reports a hardware error"),
    ("kernel.scsi.predicted", Verdict.FAIL, "a SCSI drive predicts that it will fail"),
    ("kernel.scsi.aborted", Verdict.WARN, "a SCSI drive gave up commands: cable, backplane or drive"),
    ("kernel.scsi.offline", Verdict.WARN, "the kernel gave up a SCSI drive"),
    ("kernel.hba.fault", Verdict.FAIL, "the firmware of a storage adapter failed"),
    ("kernel.scsi.reset", Verdict.WARN, "a SCSI drive or adapter was reset"),
    ("kernel.raid.failed", Verdict.FAIL, "a RAID controller reports damage: ask its own tool"),
    ("kernel.raid.critical", Verdict.WARN, "a RAID controller reports something critical: ask its own tool"),
    ("kernel.md", Verdict.WARN, "a software RAID lost a member"),
    ("kernel.nic.reset", Verdict.WARN, "a network interface hung and was reset"),
    ("kernel.nic.fault", Verdict.FAIL, "a network card reports that it is broken"),
    ("kernel.nic.module", Verdict.WARN, "a network card does not take its transceiver"),
    ("kernel.hang", Verdict.WARN, "something hung in the kernel"),
    ("kernel.memory", Verdict.PASS, "memory ran out, and the kernel ended a process"),
    ("kernel.bug", Verdict.WARN, "the kernel itself failed: a defect of it, or of memory"),
    ("kernel.filesystem", Verdict.WARN, "a file system is damaged"),
    ("kernel.usb.current", Verdict.PASS, "a USB port draws too much current"),
    ("kernel.clock", Verdict.PASS, "the processors' own clocks were found unsteady"),
)
CODES = {code: Code(code, verdict, says, SOURCE) for code, verdict, says in _TABLE}


# What is said beside the error itself, and adds nothing to it.
SAID_BETTER = {"kernel.mce": ("kernel.mce.", "kernel.edac.", "kernel.ghes.")}
# So much of a line says what it is about; the whole is in what was measured.
SHOWN = 120


def list_counted(inventory: Inventory) -> Iterator[tuple[str, str]]:
    """Complaints that a counter in sysfs tells better: it loses none, however full the log is.

    By code and the first word of the part, in small letters; "" where the counter is of all parts.
    """
    for device in inventory.pci:
        if device.aer and device.aer.corrected and device.aer.corrected.total:
            yield "kernel.aer.corrected", device.id
        if device.aer and device.aer.fatal and device.aer.fatal.total:
            yield "kernel.aer.uncorrected", device.id
    for hub in inventory.usb:
        yield from (("kernel.usb.current", port) for port, count in hub.over_currents.items() if count)
    for controller in inventory.memory.controllers if inventory.memory else ():
        name = controller.id.partition(" ")[0]
        if controller.corrected or controller.unplaced_corrected:
            yield "kernel.edac.corrected", name
        if controller.uncorrected or controller.unplaced_uncorrected:
            yield "kernel.edac.uncorrected", name
    # The log names a thread, and the counter is its socket's.
    if inventory.cpu and any(package.throttled for package in inventory.cpu.packages):
        yield "kernel.throttle", ""


def find(inventory: Inventory, policy: Policy) -> Iterator[Finding]:
    counted = set(list_counted(inventory))
    complaints = inventory.kernel_log.complaints if inventory.kernel_log else ()
    for complaint in complaints:
        name = complaint.part.partition(" ")[0].lower()
        if not counted.isdisjoint({(complaint.code, name), (complaint.code, "")}):
            continue
        code = CODES.get(complaint.code)
        better = SAID_BETTER.get(complaint.code, ())
        if code is None or any(one.code.startswith(better) for one in complaints if better):
            continue
        times = f"{complaint.count} times, " if complaint.count > 1 else ""
        last = complaint.last if len(complaint.last) <= SHOWN else f"{complaint.last[:SHOWN]}…"
        seconds = complaint.last_seconds
        when = "" if seconds is None else f" {render_duration(seconds)} after the boot"
        measured = {"count": complaint.count, "first": complaint.first, "last": complaint.last, "last_seconds": seconds}
        yield code.found(_name_part(inventory, complaint), f"{code.says} ({times}last{when}: {last})", **measured)


def _name_part(inventory: Inventory, complaint: Complaint) -> str:
    """What a technician finds: of a disk its name and serial, where the kernel says no more than its port."""
    disks = (device for device in inventory.disks if complaint.disk in (device.name, *device.paths))
    disk = next(disks, None) if complaint.disk else None
    return disk.label if disk else complaint.part or "kernel"


CHECKS = (Check(tuple(CODES.values()), find),)
