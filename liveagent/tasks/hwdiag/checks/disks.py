"""Drives as the server has them: whether they answer, how they are attached, how warm they are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from liveagent.events import Finding, Verdict
from liveagent.machine.device import Answer, Device
from liveagent.machine.disks import Transport
from liveagent.machine.inventory import Inventory
from liveagent.tasks.hwdiag.check import Check, Code
from liveagent.tasks.hwdiag.policy import Limit, Policy

SILENT = Code(
    "disk.silent",
    Verdict.UNKNOWN,
    "the drive did not answer in time: look at its cable and backplane, or replace it",
    "limit of the collector, 20 s a question",
)
GARBLED = Code(
    "disk.garbled",
    Verdict.UNKNOWN,
    "what was read of the drive's health makes no sense",
    "smartctl(8), --json",
)
REFUSED = Code(
    "disk.refused",
    Verdict.UNKNOWN,
    "the drive could not be opened for the question of its health",
    "smartctl(8), exit status, bits 0 and 1",
)
NO_SMART = Code(
    "disk.smart.none",
    Verdict.WARN,
    "the drive tells nothing of its health",
    "every drive sold for servers does",
)
VIRTUAL = Code(
    "disk.virtual",
    Verdict.PASS,
    "disks of a hypervisor, which have no health of their own",
    "names that hypervisors give to their disks",
)
SMART_OFF = Code(
    "disk.smart.off",
    Verdict.WARN,
    "SMART is switched off: turn it on with `smartctl --smart=on`, and run hwdiag again",
    "smartctl(8), -i: SMART support is Disabled",
)
READ_ONLY = Code(
    "disk.read_only",
    Verdict.WARN,
    "the disk cannot be written: a switch, a worn-out drive, or write protection",
    "/sys/block/*/ro",
)
LINK = Code(
    "disk.link.slow",
    Verdict.WARN,
    "the link is slower than drive and port allow: reseat the drive, look at cable and backplane",
    "Serial ATA: both ends agree on the fastest that works; the kernel goes down after errors",
)
BELOW = Code(
    "disk.link.below",
    Verdict.PASS,
    "the link is slower than the drive allows, and what its port allows is not known",
    "Serial ATA: both ends agree on the fastest that works",
)
UNLIKE = Code(
    "disk.link.unlike",
    Verdict.WARN,
    "the link is slower than that of a drive of the same model, and its port allows more: reseat it, look at cable "
    "and backplane",
    "SPL: both ends agree on the fastest that works; the mode page with the drive's own limit is not asked for",
)
PATHS = Code(
    "disk.paths",
    Verdict.PASS,
    "the drive is seen by several paths",
    "same WWN, serial and size",
)
HOT = Code(
    "disk.temperature",
    Verdict.WARN,
    "the drive is warmer than it may be for long: look at fans and airflow",
    "the drive's own limit (SCT, WCTEMP), or else the policy's",
    (
        Limit("disk.temperature_hdd", 60, "°C", "data sheets of server disks: 60 °C at most when working"),
        Limit("disk.temperature_ssd", 70, "°C", "data sheets of server SSDs: 70 °C at most when working"),
    ),
)
TOO_HOT = Code(
    "disk.temperature.critical",
    Verdict.FAIL,
    "the drive is at or above the temperature that it must not reach: cool it at once",
    "the drive's own limit (SCT, CCTEMP, trip temperature)",
)

_VIRTUAL = re.compile(
    r"\b(QEMU|VMware|VBOX|Virtual|Msft|Xen|Google|Amazon Elastic|Nutanix|KVM|scsi_debug)\b", re.IGNORECASE
)
_ANSWERS = {
    Answer.SILENT: (SILENT, "it did not answer in time: look at its cable and backplane, or replace it"),
    Answer.GARBLED: (GARBLED, "what was read of its health makes no sense: run `smartctl -x` by hand"),
    Answer.REFUSED: (REFUSED, "it could not be opened for the question of its health: run `smartctl -x` by hand"),
}
# Drives that have to tell of their health. Sticks and cards need not.
_TELLING = (Transport.NVME, Transport.SATA, Transport.SAS)


def is_virtual(device: Device) -> bool:
    """Whether a hypervisor made the disk up."""
    return device.transport is Transport.VIRTIO or bool(_VIRTUAL.search(f"{device.vendor} {device.model}"))


def find(inventory: Inventory, policy: Policy) -> Iterator[Finding]:
    for device in inventory.disks:
        yield from _find_answer(device)
        yield from _find_attachment(device)
        yield from _find_temperature(device, policy)
    yield from _find_unlike(inventory.disks)
    virtual = [device.name for device in inventory.disks if is_virtual(device)]
    if virtual:
        yield VIRTUAL.found(" ".join(virtual), f"{len(virtual)} virtual disks: their health is the host's to know")


def _find_answer(device: Device) -> Iterator[Finding]:
    if device.answer in _ANSWERS:
        code, words = _ANSWERS[device.answer]
        yield code.found(device.label, words)
    elif device.smart_enabled is False and not is_virtual(device):
        yield SMART_OFF.found(device.label, "SMART is switched off: `smartctl --smart=on` turns it on")
    elif device.answer is Answer.NONE and device.transport in _TELLING and not is_virtual(device):
        yield NO_SMART.found(device.label, "it tells nothing of its health")


def _find_attachment(device: Device) -> Iterator[Finding]:
    if device.read_only and not (device.virtual_media or device.removable or device.live_medium):
        yield READ_ONLY.found(device.label, "it cannot be written")
    # Of PCIe the two ends are compared with the rest of the tree.
    link = device.link if device.transport is Transport.SATA else None
    possible = link.possible or link.drive if link else None
    if link and link.speed and possible and link.speed < possible:
        errors = device.health.crc_errors if device.health else None
        words = f"linked at {link.speed / 1e9:g} Gb/s of {possible / 1e9:g}"
        if link.possible or errors:
            summary = f"{words}: reseat it, look at cable and backplane"
            yield LINK.found(device.label, summary, speed=link.speed, possible=possible, crc_errors=errors)
        else:
            yield BELOW.found(device.label, f"{words}, as its port may be", speed=link.speed, possible=possible)
    if len(device.paths) > 1:
        yield PATHS.found(device.label, f"seen as {', '.join(device.paths)}", paths=list(device.paths))


def _find_unlike(disks: Sequence[Device]) -> Iterator[Finding]:
    """SAS drives that are linked slower than their like."""
    fastest: dict[str, int] = {}
    linked = [(one, one.link.speed, one.link.port) for one in disks if one.transport is Transport.SAS and one.link]
    for device, speed, _ in linked:
        fastest[device.model] = max(fastest.get(device.model, 0), speed or 0)
    for device, speed, port in linked:
        best = fastest[device.model]
        if device.model and speed and speed < best and (port is None or speed < port):
            summary = f"linked at {speed / 1e9:g} Gb/s, others of its model at {best / 1e9:g}"
            yield UNLIKE.found(
                device.label, f"{summary}: reseat it, look at cable and backplane", speed=speed, like=best
            )


def _find_temperature(device: Device, policy: Policy) -> Iterator[Finding]:
    warm = device.temperatures
    if not warm or warm.now is None:
        return
    if warm.critical is not None and warm.now >= warm.critical:
        summary = f"{warm.now} °C, and {warm.critical} °C is its limit: cool it at once"
        yield TOO_HOT.found(device.label, summary, temperature=warm.now, threshold=warm.critical)
        return
    default = policy.limit(HOT.limits[0 if device.kind == "hdd" else 1], device.model)
    threshold = warm.warning if warm.warning is not None else default
    if warm.now >= threshold:
        summary = f"{warm.now} °C, and {threshold:g} °C is its limit for long: look at fans and airflow"
        yield HOT.found(device.label, summary, temperature=warm.now, threshold=threshold)


CHECKS = (
    Check(
        (SILENT, GARBLED, REFUSED, NO_SMART, VIRTUAL, SMART_OFF, READ_ONLY, LINK, BELOW, UNLIKE, PATHS, HOT, TOO_HOT),
        find,
    ),
)
