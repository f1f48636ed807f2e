"""What nvidia-smi tells of NVIDIA's GPUs, in every form that its XML has had.

An element that a card, a driver or a mode does not support reads `N/A`; one that the card could not be asked for reads
`[Unknown Error]`, `GPU is lost`, `ERR!`. Neither is ever a zero.
"""

from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping

from liveagent.machine.gpu import (
    COLDEST,
    HOTTEST,
    LARGEST,
    WATTS,
    EccCounts,
    Gpu,
    GpuEcc,
    GpuPower,
    GpuTemperatures,
    RemappedRows,
    RetiredPages,
    add_known,
    drop_empty,
    first_known,
    normalize_address,
)
from liveagent.machine.pci import WIDTHS, Link

MIB = 2**20
# PCI Express base specification: GT/s of a lane by generation.
SPEEDS: Mapping[int, float] = {1: 2.5, 2: 5.0, 3: 8.0, 4: 16.0, 5: 32.0, 6: 64.0}
# What stands in the place of a value that does not exist, and says nothing of the card.
NOTHING = (
    *("n/a", "none", "not supported", "not available", "requested functionality has been deprecated"),
    "insufficient permissions",
)
# NVML's words for what went wrong with the card, as nvmlErrorString has them, and nvidia-smi's own for all of them.
FAULTS = ("unknown error", "gpu is lost", "gpu requires reset", "timeout", "err!")
# Serials and part numbers that virtual machines and boards without one have.
FILLER = re.compile(r"[0-]*")
# Those of Pascal, Volta and Turing, beside the large memory.
SRAM = ("register_file", "l1_cache", "l2_cache", "texture_memory", "texture_shm", "cbu")
# The man page of nvidia-smi, RETURN VALUE.
NOT_FOUND, NO_DRIVER, BAD_INFOROM = 6, 9, 14


class BadNvidiaSmi(ValueError):
    """What nvidia-smi printed is not its XML."""


@dataclasses.dataclass(frozen=True)
class Warnings:
    """What nvidia-smi says in words, by PCI address: cards whose infoROM is corrupted, and those it cannot get at."""

    corrupted: tuple[str, ...] = ()
    unreachable: Mapping[str, str] = dataclasses.field(default_factory=dict)


def parse_warnings(text: str) -> Warnings:
    """Lines beside an answer: `WARNING: infoROM is corrupted at gpu …`, `Unable to determine the device handle …`."""
    address = r"(?:GPU ?)?([0-9a-f]{1,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])"
    corrupted = re.findall(rf"infoROM is corrupted at gpu {address}", text, re.I)
    unreachable = re.findall(rf"Unable to determine the device handle for (?:gpu )?{address}: ?([^\r\n]*)", text, re.I)
    return Warnings(
        tuple(dict.fromkeys(normalize_address(one) for one in corrupted)),
        {normalize_address(one): says.strip()[:200] or "no answer" for one, says in unreachable},
    )


def parse_nvidia_smi(text: str) -> tuple[Gpu, ...]:
    """The GPUs of `nvidia-smi -q -x`, in its order. Raises BadNvidiaSmi.

    Words before and after the document are passed over, and so is its DOCTYPE: nothing can declare an entity then, and
    a few lines of those can be made to fill all memory.
    """
    start, end = text.find("<nvidia_smi_log"), text.rfind("</nvidia_smi_log>")
    if start < 0 or end < start:
        raise BadNvidiaSmi("no whole <nvidia_smi_log> in what it printed")
    try:
        root = ElementTree.fromstring(text[start : end + len("</nvidia_smi_log>")])
    except (ElementTree.ParseError, ValueError) as error:
        raise BadNvidiaSmi(f"no XML: {error}") from None
    version = _Element(root).text("driver_version")
    return tuple(gpu for element in root.findall("gpu") if (gpu := _make_gpu(_Element(element), version)))


class _Element:
    """An element, read by path."""

    def __init__(self, element: ElementTree.Element) -> None:
        self._element = element

    def raw(self, path: str) -> str:
        return (self._element.findtext(path) or "").strip()

    def text(self, *paths: str) -> str:
        """The text at the first of several places that has one; "" without, and for a fault."""
        for path in paths:
            value = self.raw(path)
            if value and value.strip("[]").lower() not in (*NOTHING, *FAULTS):
                return value
        return ""

    def number(self, *paths: str, unit: str = "", most: float = 2**63) -> float | None:
        """The figure before a unit; None for what is none, is of another unit, or beyond what can be."""
        for path in paths:
            match = re.fullmatch(rf"(-?\d{{1,19}}(?:\.\d{{1,9}})?)\s*{unit}", self.text(path), re.ASCII)
            if match and abs(float(match.group(1))) <= most:
                return float(match.group(1))
        return None

    def count(self, *paths: str, unit: str = "", most: float = 2**63) -> int | None:
        value = self.number(*paths, unit=unit, most=most)
        return int(value) if value is not None and value >= 0 else None

    def celsius(self, *paths: str) -> int | None:
        value = self.number(*paths, unit="C")
        return int(value) if value is not None and COLDEST <= value <= HOTTEST else None

    def flag(self, *paths: str) -> bool | None:
        words = {"yes": True, "enabled": True, "active": True, "no": False, "disabled": False, "not active": False}
        return next((words[word] for path in paths if (word := self.text(path).lower()) in words), None)

    def children(self, path: str) -> Iterator[tuple[str, str]]:
        for child in self._element.iterfind(f"{path}/*"):
            yield child.tag, (child.text or "").strip()

    def faults(self) -> dict[str, str]:
        """By name, all that reads like an error; a program may be called like one."""
        found = ((child.tag, (child.text or "").strip().strip("[]")) for child in self._element.iter())
        return {name: word for name, word in found if word.lower() in FAULTS and name != "process_name"}

    @property
    def address(self) -> str:
        return self._element.get("id", "")


def _make_gpu(one: _Element, driver_version: str) -> Gpu | None:
    address = normalize_address(one.raw("pci/pci_bus_id")) or normalize_address(one.address)
    if not address:
        return None
    serial, part = one.text("serial"), one.text("board_part_number", "gpu_part_number")
    total, used = (one.count(f"fb_memory_usage/{name}", unit="MiB", most=LARGEST / MIB) for name in ("total", "used"))
    return Gpu(
        id=address,
        vendor="NVIDIA",
        model=one.text("product_name"),
        driver_version=driver_version,
        serial="" if FILLER.fullmatch(serial) else serial,
        uuid=one.text("uuid"),
        part="" if FILLER.fullmatch(part) else part,
        vbios=one.text("vbios_version"),
        inforom=one.text("inforom_version/img_version"),
        answers=True,
        faults=one.faults(),
        recovery=one.text("gpu_recovery_action")
        or ("Drain and Reset" if one.flag("gpu_reset_status/drain_and_reset_recommended") else ""),
        reset_required=one.flag("gpu_reset_status/reset_required"),
        memory=total * MIB if total else None,
        memory_used=used * MIB if used is not None else None,
        ecc=_make_ecc(one),
        retired=_make_retired(one),
        remapped=_make_remapped(one),
        temperature=_make_temperatures(one),
        power=_make_power(one),
        link=_make_link(one),
        replays=one.count("pci/replay_counter"),
        fan=one.count("fan_speed", unit="%", most=1000),
        busy=one.count("utilization/gpu_util", unit="%", most=100),
        performance_state=one.text("performance_state"),
        clock_reasons=_make_reasons(one),
        clock_seconds=dict(_list_seconds(one)),
        persistence=one.flag("persistence_mode"),
        mig=one.flag("mig_mode/current_mig"),
    )


def _make_ecc(one: _Element) -> GpuEcc | None:
    repairs = [one.flag(f"ecc_errors/{name}_repair_pending") for name in ("channel", "tpc")]
    found = GpuEcc(
        enabled=one.flag("ecc_mode/current_ecc"),
        pending=one.flag("ecc_mode/pending_ecc"),
        volatile=_make_counts(one, "ecc_errors/volatile"),
        aggregate=_make_counts(one, "ecc_errors/aggregate"),
        sram_threshold_exceeded=one.flag("ecc_errors/aggregate/sram_threshold_exceeded"),
        repair_pending=any(repairs) if any(repair is not None for repair in repairs) else None,
        unrepairable=one.flag("ecc_errors/unrepairable_memory"),
    )
    return drop_empty(found)


def _make_counts(one: _Element, below: str) -> EccCounts | None:
    """Of Ampere and later by kind of memory, of earlier cards by the bits that were wrong and by each memory."""

    def count(*names: str) -> int | None:
        return add_known(*(one.count(f"{below}/{name}") for name in names))

    sram_corrected = first_known(count("sram_correctable"), count(*(f"single_bit/{name}" for name in SRAM)))
    sram_uncorrected = first_known(
        count("sram_uncorrectable"),
        # R570 counts them by the way the error was found: parity, or a code that corrects single bits.
        count("sram_uncorrectable_parity", "sram_uncorrectable_secded"),
        count(*(f"double_bit/{name}" for name in SRAM)),
    )
    dram_corrected = first_known(count("dram_correctable"), count("single_bit/device_memory"))
    dram_uncorrected = first_known(count("dram_uncorrectable"), count("double_bit/device_memory"))
    return drop_empty(
        EccCounts(
            sram_corrected,
            sram_uncorrected,
            dram_corrected,
            dram_uncorrected,
            first_known(count("single_bit/total"), add_known(sram_corrected, dram_corrected)),
            first_known(count("double_bit/total"), add_known(sram_uncorrected, dram_uncorrected)),
        )
    )


def _make_retired(one: _Element) -> RetiredPages | None:
    found = RetiredPages(
        corrected=one.count("retired_pages/multiple_single_bit_retirement/retired_count"),
        uncorrected=one.count("retired_pages/double_bit_retirement/retired_count"),
        pending=one.flag("retired_pages/pending_retirement", "retired_pages/pending_blacklist"),
    )
    return drop_empty(found)


def _make_remapped(one: _Element) -> RemappedRows | None:
    prefix = "row_remapper_histogram_"
    banks = {
        name: one.count(f"remapped_rows/row_remapper_histogram/{prefix}{name}", unit=r"bank\(s\)")
        for name in ("max", "high", "partial", "low", "none")
    }
    found = RemappedRows(
        corrected=one.count("remapped_rows/remapped_row_corr"),
        uncorrected=one.count("remapped_rows/remapped_row_unc"),
        pending=one.flag("remapped_rows/remapped_row_pending"),
        failed=one.flag("remapped_rows/remapped_row_failure"),
        banks={name: count for name, count in banks.items() if count is not None},
    )
    return drop_empty(found)


def _make_temperatures(one: _Element) -> GpuTemperatures | None:
    def read(name: str) -> int | None:
        return one.celsius(f"temperature/{name}")

    found = GpuTemperatures(
        now=read("gpu_temp"),
        memory=read("memory_temp"),
        slowdown=read("gpu_temp_slow_threshold"),
        shutdown=read("gpu_temp_max_threshold"),
        memory_limit=read("gpu_temp_max_mem_threshold"),
        margin=read("gpu_temp_tlimit"),
        margin_slowdown=read("gpu_temp_slow_tlimit_threshold"),
        margin_shutdown=read("gpu_temp_max_tlimit_threshold"),
    )
    return drop_empty(found)


def _make_power(one: _Element) -> GpuPower | None:
    # R535 has it beside the power of a whole module, which holds a processor as well.
    sections = ("gpu_power_readings", "power_readings")

    def read(*names: str) -> float | None:
        paths = [f"{section}/{name}" for section in sections for name in names]
        return one.number(*paths, unit="W", most=WATTS)

    found = GpuPower(
        draw=read("instant_power_draw", "power_draw", "average_power_draw"),
        limit=read("current_power_limit", "enforced_power_limit", "power_limit"),
        default_limit=read("default_power_limit"),
    )
    return drop_empty(found)


def _make_link(one: _Element) -> Link | None:
    below = "pci/pci_gpu_link_info"
    speed, fastest = (SPEEDS.get(one.count(f"{below}/pcie_gen/{name}_link_gen") or 0) for name in ("current", "max"))
    width, widest = (one.count(f"{below}/link_widths/{name}_link_width", unit="x") for name in ("current", "max"))
    link = Link(speed, width if width in WIDTHS else None, fastest, widest if widest in WIDTHS else None)
    return link if any(value is not None for value in dataclasses.astuple(link)) else None


def _make_reasons(one: _Element) -> tuple[str, ...] | None:
    """R535 and later call them event reasons, for idling is one as well."""
    for prefix in ("clocks_event_reason", "clocks_throttle_reason"):
        found = [(name[len(prefix) + 1 :], word) for name, word in one.children(f"{prefix}s")]
        if any(word in ("Active", "Not Active") for _, word in found):
            return tuple(name for name, word in found if word == "Active")
    return None


def _list_seconds(one: _Element) -> Iterator[tuple[str, float]]:
    prefix = "clocks_event_reasons_counters"
    for name, word in one.children(prefix):
        match = re.fullmatch(r"(\d{1,18}) us", word, re.ASCII)
        if match:
            yield name[len(prefix) + 1 :], int(match.group(1)) / 1e6
