"""What the kernel complained of."""

from __future__ import annotations

from collections.abc import Iterator

from liveagent.events import Finding, Verdict
from liveagent.machine.inventory import Inventory
from liveagent.tasks.hwdiag.check import Check, Code
from liveagent.tasks.hwdiag.policy import Policy

SOURCE = "the kernel's own messages since boot"
_TABLE = (
    ("kernel.edac.corrected", Verdict.WARN, "corrected memory errors"),
    ("kernel.edac.uncorrected", Verdict.FAIL, "uncorrected memory errors"),
    ("kernel.aer.corrected", Verdict.WARN, "corrected PCIe errors: a contact, a riser or a card"),
    ("kernel.aer.uncorrected", Verdict.FAIL, "uncorrected PCIe errors"),
    ("kernel.mce.uncorrected", Verdict.FAIL, "a machine check that was not corrected"),
    ("kernel.mce", Verdict.WARN, "machine checks were logged"),
    ("kernel.ghes.uncorrected", Verdict.FAIL, "the firmware reported a hardware error that was not corrected"),
    ("kernel.ghes.corrected", Verdict.WARN, "the firmware reported corrected hardware errors"),
    ("kernel.medium", Verdict.FAIL, "a disk could not read sectors"),
    ("kernel.io", Verdict.WARN, "a disk failed requests"),
    ("kernel.nvme", Verdict.FAIL, "an NVMe controller did not answer"),
    ("kernel.ata.reset", Verdict.WARN, "a SATA link was reset: cable, backplane or drive"),
    ("kernel.ata.failed", Verdict.WARN, "an ATA drive failed commands"),
    ("kernel.scsi.reset", Verdict.WARN, "a SCSI drive or adapter was reset"),
    ("kernel.nic.reset", Verdict.WARN, "a network interface hung and was reset"),
    ("kernel.throttle", Verdict.WARN, "processors were too hot and slowed down"),
    ("kernel.hang", Verdict.WARN, "something hung in the kernel"),
    ("kernel.memory", Verdict.PASS, "memory ran out, and the kernel ended a process"),
    ("kernel.xid", Verdict.WARN, "a graphics processor reported an error"),
    ("kernel.bandwidth", Verdict.PASS, "a card could do more than its slot"),
    ("kernel.firmware", Verdict.PASS, "the kernel works around the firmware"),
)
CODES = {code: Code(code, verdict, says, SOURCE) for code, verdict, says in _TABLE}


def find(inventory: Inventory, policy: Policy) -> Iterator[Finding]:
    log = inventory.kernel_log
    for complaint in log.complaints if log else ():
        code = CODES.get(complaint.code)
        if code is None:
            continue
        times = f"{complaint.count} times, " if complaint.count > 1 else ""
        part = complaint.part or "kernel"
        measured = {"count": complaint.count, "first": complaint.first, "last": complaint.last}
        yield code.found(part, f"{code.says} ({times}last: {complaint.last})", **measured)


CHECKS = (Check(tuple(CODES.values()), find),)
