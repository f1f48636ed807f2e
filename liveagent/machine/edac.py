"""Memory errors that the kernel counted since boot, by memory controller and by module."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

from liveagent.host import Host
from liveagent.machine.look import Look, Why

EDAC = "/sys/devices/system/edac/mc"
MIB = 2**20


@dataclasses.dataclass(frozen=True)
class ErrorCounts:
    """Errors that the kernel counted since boot, of a module or a row of them; `id` is its place and its label."""

    id: str
    corrected: int
    uncorrected: int


@dataclasses.dataclass(frozen=True)
class MemoryController:
    """What the kernel counted since boot of all modules of a memory controller; `id` is its place and its name.

    `size` in bytes, None where not said. Of the errors, those `unplaced` belong to no module that could be told.
    """

    id: str
    size: int | None
    corrected: int
    uncorrected: int
    unplaced_corrected: int
    unplaced_uncorrected: int


def probe_errors(look: Look) -> tuple[tuple[MemoryController, ...], tuple[ErrorCounts, ...]]:
    """By controller, by module; both empty, and noted, without a driver: then nothing was counted."""
    host = look.host
    names = [name for name in host.list(EDAC) if re.fullmatch(r"mc\d+", name)]
    if not names:
        look.note("memory.ecc", Why.NO_DRIVER, "no EDAC driver knows this memory controller: errors were not measured")
        return (), ()
    controllers: list[MemoryController] = []
    modules: list[ErrorCounts] = []
    for name in sorted(names, key=lambda name: int(name[2:])):
        below = f"{EDAC}/{name}"
        corrected, uncorrected = _read_count(host, f"{below}/ce_count"), _read_count(host, f"{below}/ue_count")
        if corrected is None or uncorrected is None:
            look.note("memory.ecc", Why.NOT_UNDERSTOOD, f"{name} of EDAC has no counts")
            continue
        size = _read_count(host, f"{below}/size_mb")
        controllers.append(
            MemoryController(
                id=f"{name} {host.read_or(f'{below}/mc_name')}".strip(),
                size=size * MIB if size else None,
                corrected=corrected,
                uncorrected=uncorrected,
                unplaced_corrected=_read_count(host, f"{below}/ce_noinfo_count") or 0,
                unplaced_uncorrected=_read_count(host, f"{below}/ue_noinfo_count") or 0,
            )
        )
        modules += list(_probe_modules(host, below, name)) or list(_probe_rows(host, below, name))
    return tuple(controllers), tuple(modules)


def _probe_modules(host: Host, below: str, controller: str) -> Iterator[ErrorCounts]:
    """By module, or by rank where the driver cannot tell the modules apart; kernels since 3.5."""
    for name in host.list(below):
        if re.fullmatch(r"(dimm|rank)\d+", name):
            place = f"{below}/{name}"
            corrected = _read_count(host, f"{place}/dimm_ce_count")
            uncorrected = _read_count(host, f"{place}/dimm_ue_count")
            label = host.read_or(f"{place}/dimm_label") or host.read_or(f"{place}/dimm_location")
            if corrected is not None and uncorrected is not None:
                yield ErrorCounts(f"{controller}/{name} {label}".strip(), corrected, uncorrected)


def _probe_rows(host: Host, below: str, controller: str) -> Iterator[ErrorCounts]:
    """By row of chips, of old kernels, with the labels of its channels."""
    for name in host.list(below):
        if re.fullmatch(r"csrow\d+", name):
            place = f"{below}/{name}"
            corrected, uncorrected = _read_count(host, f"{place}/ce_count"), _read_count(host, f"{place}/ue_count")
            channels = [file for file in host.list(place) if re.fullmatch(r"ch\d+_dimm_label", file)]
            labels = " ".join(label for file in channels if (label := host.read_or(f"{place}/{file}")))
            if corrected is not None and uncorrected is not None:
                yield ErrorCounts(f"{controller}/{name} {labels}".strip(), corrected, uncorrected)


def _read_count(host: Host, path: str) -> int | None:
    text = host.read_or(path)
    return int(text) if re.fullmatch(r"\d{1,18}", text, re.ASCII) else None
