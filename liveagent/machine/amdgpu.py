"""What the kernel's driver of AMD's GPUs tells in sysfs, without any tool.

Documentation/gpu/amdgpu/driver-misc.rst (memory, product, unique_id), ras.rst (errors, bad pages) and thermal.rst.
"""

from __future__ import annotations

import re

from liveagent.host import Host
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
    RetiredPages,
    add_known,
    drop_empty,
)
from liveagent.machine.sysfs import read_number

# The block of the large memory; all others have registers and caches.
DRAM = "umc"


def parse_error_counts(text: str) -> tuple[int | None, int | None]:
    """(corrected, uncorrected) of `ras/…_err_count`: `ue: 0`, `ce: 0`, of memory later kernels add `de: 0`."""
    counts = dict(re.findall(r"^(ue|ce): (\d{1,18})$", text, re.M | re.A))
    corrected, uncorrected = counts.get("ce"), counts.get("ue")
    return int(corrected) if corrected else None, int(uncorrected) if uncorrected else None


def parse_bad_pages(text: str) -> RetiredPages | None:
    """`ras/gpu_vram_bad_pages`: `0x00000001 : 0x00001000 : R`. R is retired, P waits for it, F is still in use."""
    flags = re.findall(r"^0x[0-9a-f]{1,16} : 0x[0-9a-f]{1,16} : ([RPF])\s*$", text, re.M | re.A)
    return RetiredPages(uncorrected=len(flags), pending="P" in flags or "F" in flags) if flags else None


def probe_amdgpu(host: Host, device: str, address: str) -> Gpu:
    """What stands below a device of the driver, given as its directory; what is not there stays unknown."""

    def read(name: str) -> str:
        return host.read_or(f"{device}/{name}")

    total = read_number(host, f"{device}/mem_info_vram_total")
    temperature, power, fan = _probe_hwmon(host, device)
    busy = read_number(host, f"{device}/gpu_busy_percent")
    return Gpu(
        id=address,
        vendor="AMD",
        model=read("product_name"),
        serial=read("serial_number"),
        uuid=normalize_unique_id(read("unique_id")),
        part=read("product_number"),
        vbios=read("vbios_version"),
        # A driver that has given the card up keeps its directory, without the memory in it.
        memory=total if total and total <= LARGEST else None,
        memory_used=read_number(host, f"{device}/mem_info_vram_used"),
        ecc=_probe_ecc(host, device),
        retired=parse_bad_pages(read("ras/gpu_vram_bad_pages")),
        temperature=temperature,
        power=power,
        replays=read_number(host, f"{device}/pcie_replay_count"),
        fan=fan,
        busy=busy if busy is not None and busy <= 100 else None,
    )


def normalize_unique_id(text: str) -> str:
    """The chip's number in sixteen digits; rocm-smi leaves out leading zeros, and sysfs the 0x. "" for none."""
    match = re.fullmatch(r"(?:0x)?([0-9a-f]{1,16})", text.strip().lower())
    return match.group(1).zfill(16) if match and int(match.group(1), 16) else ""


def _probe_ecc(host: Host, device: str) -> GpuEcc | None:
    """The counts of all blocks since the driver was loaded; None where the card has none."""
    sram: list[tuple[int | None, int | None]] = []
    dram: tuple[int | None, int | None] = (None, None)
    for name in host.list(f"{device}/ras"):
        block, ending, _ = name.partition("_err_count")
        if ending:
            pair = parse_error_counts(host.read_or(f"{device}/ras/{name}"))
            if block == DRAM:
                dram = pair
            else:
                sram.append(pair)
    corrected, uncorrected = (add_known(*(pair[kind] for pair in sram)) for kind in (0, 1))
    totals = add_known(corrected, dram[0]), add_known(uncorrected, dram[1])
    counts = drop_empty(EccCounts(corrected, uncorrected, *dram, *totals))
    return GpuEcc(volatile=counts) if counts else None


def _probe_hwmon(host: Host, device: str) -> tuple[GpuTemperatures | None, GpuPower | None, int | None]:
    """Temperatures, power, and the fan in %, of the first chip of the device."""
    chips = [name for name in host.list(f"{device}/hwmon") if re.fullmatch(r"hwmon\d+", name)]
    below = f"{device}/hwmon/{chips[0]}" if chips else ""
    if not below:
        return None, None, None

    def celsius(name: str) -> int | None:
        value = read_number(host, f"{below}/{name}")
        return round(value / 1000) if value is not None and COLDEST <= value / 1000 <= HOTTEST else None

    def watts(*names: str) -> float | None:
        for name in names:
            value = read_number(host, f"{below}/{name}")
            if value is not None and value / 1e6 <= WATTS:
                return value / 1e6
        return None

    labels = {host.read_or(f"{below}/temp{number}_label"): f"temp{number}" for number in (1, 2, 3)}
    # Cards before Vega have one sensor, and no labels.
    edge, junction, memory = labels.get("edge", "temp1"), labels.get("junction", ""), labels.get("mem", "")
    temperature = GpuTemperatures(
        now=celsius(f"{edge}_input"),
        hotspot=celsius(f"{junction}_input"),
        memory=celsius(f"{memory}_input"),
        slowdown=celsius(f"{edge}_crit"),
        shutdown=celsius(f"{edge}_emergency"),
        memory_limit=celsius(f"{memory}_crit"),
    )
    power = GpuPower(watts("power1_average", "power1_input"), watts("power1_cap"), watts("power1_cap_default"))
    speed, most = (read_number(host, f"{below}/{name}") for name in ("pwm1", "pwm1_max"))
    fan = round(100 * speed / most) if speed is not None and most and speed <= most else None
    return drop_empty(temperature), drop_empty(power), fan
