"""Every check there is, a module a part of the machine."""

from __future__ import annotations

from liveagent.tasks.hwdiag.check import Check, Code
from liveagent.tasks.hwdiag.checks import (
    bmc,
    bmc_log,
    bonds,
    cpu,
    disks,
    gpus,
    identity,
    infiniband,
    kernel_log,
    memory,
    nics,
    pci,
    power,
    raid,
    sensors,
    smart,
    system,
    usb,
)
from liveagent.tasks.hwdiag.policy import Limit

CHECKS: tuple[Check, ...] = (
    *identity.CHECKS,
    *system.CHECKS,
    *cpu.CHECKS,
    *memory.CHECKS,
    *disks.CHECKS,
    *smart.CHECKS,
    *raid.CHECKS,
    *nics.CHECKS,
    *bonds.CHECKS,
    *infiniband.CHECKS,
    *pci.CHECKS,
    *usb.CHECKS,
    *gpus.CHECKS,
    *kernel_log.CHECKS,
    *bmc.CHECKS,
    *bmc_log.CHECKS,
    *power.CHECKS,
    *sensors.CHECKS,
)
CODES: tuple[Code, ...] = tuple(code for check in CHECKS for code in check.codes)
LIMITS: tuple[Limit, ...] = tuple({limit.name: limit for code in CODES for limit in code.limits}.values())
