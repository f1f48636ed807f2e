"""The GPUs of a server: those on the PCI bus, with what their drivers and their makers' tools tell of them.

One whose tool is not there is still known by its place, maker and name. The display chip of a BMC, and the one that a
hypervisor shows, are none of these: nobody computes on them, and nobody misses their driver.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from liveagent.host import Completed
from liveagent.machine.amdgpu import probe_amdgpu
from liveagent.machine.gpu import Gpu, fill
from liveagent.machine.look import Look, Why, explain
from liveagent.machine.nvidia import (
    BAD_INFOROM,
    NO_DRIVER,
    NOT_FOUND,
    BadNvidiaSmi,
    parse_nvidia_smi,
    parse_warnings,
)
from liveagent.machine.pci import DEVICES, PciDevice, probe_functions
from liveagent.machine.rocm import BadRocmSmi, parse_rocm_smi

# PCI code and ID assignment: VGA, 3D and other display controllers, processing accelerators.
CLASSES = ("0300", "0302", "0380", "1200")
# By pci.ids, makers of no GPU that a server would have: ASPEED, Matrox, Silicon Motion, XGI; QEMU (two of them),
# Cirrus, virtio, VMware, VirtualBox.
NO_GPUS = ("1a03", "102b", "126f", "18ca", "1234", "1b36", "1013", "1af4", "15ad", "80ee")
# Chips on boards of servers: ATI's ES1000 and Rage XL, Huawei's BMC; Hyper-V's display, by its driver in the kernel.
NO_GPU_MODELS = ("1002:515e", "1002:4752", "19e5:1711", "1414:5353")
NVIDIA, AMD = "10de", "1002"
MAKERS: Mapping[str, str] = {NVIDIA: "NVIDIA", AMD: "AMD", "8086": "Intel"}
# Without its persistence daemon the driver starts each card anew for the question: seconds each, and there may be 16.
NVIDIA_TIMEOUT = 60.0
ONE_TIMEOUT = 15.0
ROCM_TIMEOUT = 30.0
NVIDIA_SMI = ("nvidia-smi", "-q", "-x")


def is_gpu(device: PciDevice) -> bool:
    """Whether a PCI device is a GPU or an accelerator of its own, and no part of one that is lent to a guest."""
    is_display = device.class_code.startswith(CLASSES) and not device.physical
    ids = f"{device.vendor_id}:{device.device_id}"
    return is_display and device.vendor_id not in NO_GPUS and ids not in NO_GPU_MODELS


def probe_gpus(look: Look) -> tuple[Gpu, ...]:
    """Every GPU, by address."""
    devices = [device for device in probe_functions(look.host, CLASSES) if is_gpu(device)]
    if not devices:
        look.note("gpus", Why.ABSENT, "there is no GPU on the PCI bus")
        return ()
    told = {**_probe_nvidia(look, devices), **_probe_amd(look, devices)}
    for device in devices:
        if device.vendor_id not in (NVIDIA, AMD):
            look.note(f"gpus.{device.id}", Why.NO_TOOL, "no tool is known here that tells of this maker's")
    known = {device.id: make_gpu(device) for device in devices}
    found = {**known, **{address: fill(gpu, known.get(address, gpu)) for address, gpu in told.items()}}
    return tuple(gpu for _, gpu in sorted(found.items()))


def make_gpu(device: PciDevice) -> Gpu:
    """What the bus tells of a GPU."""
    return Gpu(
        id=device.id,
        vendor=MAKERS.get(device.vendor_id, device.vendor),
        model=device.model or f"{device.vendor_id}:{device.device_id}",
        driver=device.driver,
        link=device.link,
    )


def _choose_driven(look: Look, devices: Sequence[PciDevice], vendor: str, driver: str) -> list[PciDevice]:
    """Those of a maker that its driver has; what has another, or none, is noted."""
    own = [device for device in devices if device.vendor_id == vendor]
    for device in own:
        if device.driver != driver:
            has = f"it has the driver {device.driver}" if device.driver else "it has no driver"
            look.note(f"gpus.{device.id}", Why.NO_DRIVER, f"{has}, and only {driver} tells how the GPU is")
    return [device for device in own if device.driver == driver]


def _ask(look: Look, devices: Sequence[PciDevice], argv: Sequence[str], timeout: float) -> Completed | None:
    """What a tool said, however it ended; None, and noted for each of its GPUs, where it said nothing.

    Noted for each, and not for all GPUs: the bus has told which there are.
    """
    own = Look(look.host)
    said = own.ask("gpus", argv, timeout=timeout, success=None)
    for device in devices:
        for missing in own.missing:
            look.note(f"gpus.{device.id}", missing.why, missing.detail)
    return said


# -- NVIDIA -----------------------------------------------------------------------------------------


def _probe_nvidia(look: Look, devices: Sequence[PciDevice]) -> dict[str, Gpu]:
    driven = _choose_driven(look, devices, NVIDIA, "nvidia")
    said = _ask(look, driven, NVIDIA_SMI, NVIDIA_TIMEOUT) if driven else None
    if said is None:
        return {}
    unreachable = parse_warnings(f"{said.stdout}\n{said.stderr}").unreachable
    try:
        found = {gpu.id: gpu for gpu in parse_nvidia_smi(said.stdout)}
    except BadNvidiaSmi as error:
        if unreachable:
            # One that is lost ends the question for all of them.
            found = _ask_each(look, [device for device in driven if device.id not in unreachable])
        elif said.status == NOT_FOUND or "No devices were found" in said.stdout:
            found = {}
        else:
            why, detail = explain(said) if said.status else (Why.NOT_UNDERSTOOD, f"nvidia-smi: {error}")
            for device in driven:
                look.note(f"gpus.{device.id}", Why.NO_DRIVER if said.status == NO_DRIVER else why, detail)
            return {}
    noted = {note.part for note in look.missing}
    for device in driven:
        is_listed = device.id in found or f"gpus.{device.id}" in noted
        says = unreachable.get(device.id) or ("" if is_listed else "not listed")
        if says:
            known = found.get(device.id, Gpu(device.id))
            found[device.id] = dataclasses.replace(known, answers=False, faults={**known.faults, "nvidia-smi": says})
    for gpu in found.values():
        if gpu.mig and gpu.remapped is None:
            look.note(f"gpus.{gpu.id}.remapped", Why.NOT_ASKED, "the driver does not tell while MIG is on")
    return _add_inforom(look, found)


def _ask_each(look: Look, devices: Sequence[PciDevice]) -> dict[str, Gpu]:
    """Those that answer when they are asked alone."""
    found: dict[str, Gpu] = {}
    for number, device in enumerate(devices):
        own = Look(look.host)
        said = own.ask("gpus", [*NVIDIA_SMI, "-i", device.id], timeout=ONE_TIMEOUT, success=None)
        if said is None:
            for missed in devices[number:]:
                look.note(f"gpus.{missed.id}", own.missing[0].why, own.missing[0].detail)
            break
        try:
            found.update({gpu.id: gpu for gpu in parse_nvidia_smi(said.stdout)})
        except BadNvidiaSmi as error:
            why, detail = explain(said) if said.status else (Why.NOT_UNDERSTOOD, f"nvidia-smi: {error}")
            look.note(f"gpus.{device.id}", why, detail)
    return found


def _add_inforom(look: Look, found: Mapping[str, Gpu]) -> dict[str, Gpu]:
    """The same with what the short answer alone says: whose infoROM is corrupted. The long one leaves that out."""
    said = Look(look.host).ask("gpus", ["nvidia-smi"], timeout=NVIDIA_TIMEOUT, success=(0, BAD_INFOROM))
    if said is None:
        return dict(found)
    corrupted = parse_warnings(f"{said.stdout}\n{said.stderr}").corrupted
    if said.status == BAD_INFOROM and not corrupted and len(found) > 1:
        return dict(found)  # of one of them, and nobody knows which
    is_the_one = said.status == BAD_INFOROM and len(found) == 1
    return {
        address: dataclasses.replace(gpu, inforom_corrupted=address in corrupted or is_the_one)
        if gpu.answers
        else gpu
        for address, gpu in found.items()
    }  # fmt: skip


# -- AMD --------------------------------------------------------------------------------------------


def _probe_amd(look: Look, devices: Sequence[PciDevice]) -> dict[str, Gpu]:
    """The kernel's driver tells nearly all; rocm-smi, where it is installed, names and its own version."""
    driven = _choose_driven(look, devices, AMD, "amdgpu")
    found = {device.id: probe_amdgpu(look.host, f"{DEVICES}/{device.id}", device.id) for device in driven}
    for gpu in found.values():
        if gpu.ecc is None:
            look.note(f"gpus.{gpu.id}.ecc", Why.ABSENT, "the driver counts no errors of this card")
    said = Look(look.host).ask("gpus", ["rocm-smi", "-a", "--json"], timeout=ROCM_TIMEOUT) if driven else None
    if said is None:
        return found
    try:
        more = {gpu.id: gpu for gpu in parse_rocm_smi(said.stdout)}
    except BadRocmSmi as error:
        for address in found:
            look.note(f"gpus.{address}.driver_version", Why.NOT_UNDERSTOOD, f"rocm-smi: {error}")
        return found
    return {address: fill(gpu, more.get(address, gpu)) for address, gpu in found.items()}
