"""RAID: volumes, drives and caches of controllers, and the arrays of the kernel."""

from __future__ import annotations

from collections.abc import Iterator

from liveagent.events import Finding, Verdict
from liveagent.machine.controller import RaidController, RaidDrive, State
from liveagent.machine.inventory import Inventory
from liveagent.machine.md import MdArray
from liveagent.tasks.hwdiag.check import Check, Code
from liveagent.tasks.hwdiag.policy import Limit, Policy

TOOLS = "the words of storcli, ssacli, arcconf"
MD = "/proc/mdstat; md(4)"

CONTROLLER = Code("raid.controller", Verdict.WARN, "the controller does not say that it is well", TOOLS)
MEMORY = Code(
    "raid.memory",
    Verdict.WARN,
    "errors in the controller's cache that could not be corrected: replace the controller",
    "storcli, Memory Uncorrectable Errors",
    (Limit("raid.memory_errors", 0, "errors", "a cache that loses data is of no use"),),
)
VOLUME_FAILED = Code("raid.volume.failed", Verdict.FAIL, "a volume has failed: its data is gone or unreachable", TOOLS)
VOLUME_DEGRADED = Code(
    "raid.volume.degraded", Verdict.FAIL, "a volume has lost its redundancy: replace the drive that failed", TOOLS
)
VOLUME_BUSY = Code("raid.volume.rebuilding", Verdict.WARN, "a volume is being rebuilt: wait for it", TOOLS)
VOLUME_UNKNOWN = Code("raid.volume.state", Verdict.WARN, "a volume is in a state that is not known here", TOOLS)
DRIVE_FAILED = Code("raid.drive.failed", Verdict.FAIL, "a drive has failed, or is missing: replace it", TOOLS)
DRIVE_PREDICTED = Code(
    "raid.drive.predicted", Verdict.FAIL, "the controller expects the drive to fail: replace it", TOOLS
)
DRIVE_ERRORS = Code(
    "raid.drive.media_errors",
    Verdict.WARN,
    "the controller has counted errors of the drive's medium",
    "storcli, Media Error Count; arcconf, Medium Error Count",
    (Limit("raid.media_errors", 0, "errors", "own choice, like attribute 187 of SMART"),),
)
DRIVE_UNKNOWN = Code("raid.drive.state", Verdict.WARN, "a drive is in a state that is not known here", TOOLS)
FOREIGN = Code(
    "raid.foreign",
    Verdict.WARN,
    "drives carry another controller's configuration: import it, or clear it",
    "storcli, foreign configuration",
)
BACKUP_FAILED = Code(
    "raid.backup.failed",
    Verdict.FAIL,
    "what keeps the cache when the power goes has failed: replace it, until then the volumes are slow or unsafe",
    TOOLS,
)
BACKUP_WEAK = Code(
    "raid.backup.weak", Verdict.WARN, "what keeps the cache when the power goes is not well, or is missing", TOOLS
)
MD_DEGRADED = Code("raid.md.degraded", Verdict.FAIL, "an array has lost members: replace the disk that failed", MD)
MD_FAULTY = Code("raid.md.faulty", Verdict.FAIL, "the kernel has thrown a disk out of an array: replace it", MD)
MD_BUSY = Code("raid.md.rebuilding", Verdict.WARN, "an array is being rebuilt: wait for it", MD)
MD_INACTIVE = Code(
    "raid.md.inactive", Verdict.WARN, "an array is not running: members are missing, or nobody has started it", MD
)

_VOLUMES = {
    State.FAILED: VOLUME_FAILED,
    State.ABSENT: VOLUME_FAILED,
    State.DEGRADED: VOLUME_DEGRADED,
    State.PREDICTED: VOLUME_DEGRADED,
    State.BUSY: VOLUME_BUSY,
    State.UNKNOWN: VOLUME_UNKNOWN,
}
_DRIVES = {
    State.FAILED: DRIVE_FAILED,
    State.ABSENT: DRIVE_FAILED,
    State.DEGRADED: DRIVE_FAILED,
    State.PREDICTED: DRIVE_PREDICTED,
    State.UNKNOWN: DRIVE_UNKNOWN,
}
_BACKUPS = {
    State.FAILED: BACKUP_FAILED,
    State.DEGRADED: BACKUP_FAILED,
    State.PREDICTED: BACKUP_WEAK,
    State.ABSENT: BACKUP_WEAK,
    State.UNKNOWN: BACKUP_WEAK,
}


def find(inventory: Inventory, policy: Policy) -> Iterator[Finding]:
    for controller in inventory.raid:
        yield from _find_controller(controller, policy)
        for volume in controller.volumes:
            code = _VOLUMES.get(volume.state)
            if code:
                part = f"{_name(controller)} volume {volume.name}"
                members = f" on {', '.join(volume.members)}" if volume.members else ""
                yield code.found(part, f"{volume.level or 'volume'} is {volume.says or 'in no state'}{members}")
        for drive in controller.drives:
            yield from _find_drive(controller, drive, policy)
    for array in inventory.md:
        yield from _find_array(array)


def _name(controller: RaidController) -> str:
    return " ".join(part for part in (controller.model or controller.tool, controller.address) if part)


def _find_controller(controller: RaidController, policy: Policy) -> Iterator[Finding]:
    name = _name(controller)
    # One whose state is "needs attention" or "degraded" has a volume or a battery that says why; that it is not well
    # is said all the same. Not every page tells the state.
    if controller.says and controller.state is not State.GOOD:
        yield CONTROLLER.found(name, f"the controller is {controller.says}")
    threshold = policy.limit(MEMORY.limits[0], controller.model)
    if controller.memory_errors is not None and controller.memory_errors > threshold:
        summary = f"{controller.memory_errors} errors in its cache could not be corrected: replace it"
        yield MEMORY.found(name, summary, count=controller.memory_errors, threshold=threshold)
    if controller.foreign:
        drives = [drive.slot for drive in controller.drives if drive.foreign]
        where = f" in {', '.join(drives)}" if drives else ""
        yield FOREIGN.found(name, f"foreign configuration{where}: import it, or clear it", groups=controller.foreign)
    for backup in controller.backups:
        code = _BACKUPS.get(backup.state)
        if code:
            yield code.found(f"{name} {backup.kind}", f"{backup.kind} is {backup.says}")


def _find_drive(controller: RaidController, drive: RaidDrive, policy: Policy) -> Iterator[Finding]:
    part = " ".join(text for text in (controller.address, "slot", drive.slot, drive.serial) if text)
    code = _DRIVES.get(drive.state)
    if code:
        yield code.found(
            part,
            f"{drive.model or 'drive'} is {drive.says or 'in no state'}",
            predicted=drive.predicted,
            alert=drive.alert,
        )
    threshold = policy.limit(DRIVE_ERRORS.limits[0], drive.model)
    if drive.media_errors is not None and drive.media_errors > threshold:
        summary = f"{drive.media_errors} errors of the medium"
        yield DRIVE_ERRORS.found(part, summary, count=drive.media_errors, threshold=threshold)


def _find_array(array: MdArray) -> Iterator[Finding]:
    code = {State.DEGRADED: MD_DEGRADED, State.BUSY: MD_BUSY, State.UNKNOWN: MD_INACTIVE}.get(array.state)
    members = ", ".join(array.members)
    if code:
        doing = f", {array.action}" if array.action else ""
        done = f" {array.progress:g} %" if array.progress is not None else ""
        summary = f"{array.level or 'array'} is {array.says}{doing}{done}; members {members or 'unknown'}"
        yield code.found(array.name, summary, wanted=array.wanted, working=array.working)
    for name in array.failed:
        yield MD_FAULTY.found(f"{array.name} {name}", f"{name} is marked faulty: replace its disk")


CHECKS = (
    Check(
        (
            CONTROLLER, MEMORY, VOLUME_FAILED, VOLUME_DEGRADED, VOLUME_BUSY, VOLUME_UNKNOWN, DRIVE_FAILED,
            DRIVE_PREDICTED, DRIVE_ERRORS, DRIVE_UNKNOWN, FOREIGN, BACKUP_FAILED, BACKUP_WEAK, MD_DEGRADED, MD_FAULTY,
            MD_BUSY, MD_INACTIVE,
        ),
        find,
    ),
)  # fmt: skip
