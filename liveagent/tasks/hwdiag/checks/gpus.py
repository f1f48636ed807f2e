"""GPUs that are lost, whose memory wears out, that are too hot or held back; and what a restart of them would mend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from liveagent.events import Finding, Verdict
from liveagent.machine.gpu import Gpu, GpuEcc
from liveagent.machine.inventory import Inventory
from liveagent.machine.look import Why
from liveagent.tasks.hwdiag.check import Check, Code
from liveagent.tasks.hwdiag.policy import Limit, Policy

OWN = "liveagent's own"
RMA = "NVIDIA, GPU Memory Error Management, RMA Policy"
ROWS = "NVIDIA, GPU Memory Error Management, Row Remapping"
PAGES = "NVIDIA, Dynamic Page Retirement; the kernel's amdgpu, gpu_vram_bad_pages"
ECC = "nvidia-smi, ECC Errors; the kernel's amdgpu, RAS error counts"
REASONS = "NVML, NvmlClocksEventReasons"

CORRECTED = Limit("gpu.ecc.corrected", 10, "errors", f"{OWN}: since the driver was loaded, so mostly since boot")
CORRECTED_EVER = Limit("gpu.ecc.corrected.aggregate", 1000, "errors", f"{OWN}: in the card's whole life")
UNCORRECTED_EVER = Limit("gpu.ecc.uncorrected.aggregate", 1, "errors", f"{OWN}: in the card's whole life")
REMAPPED = Limit("gpu.rows.uncorrected", 1, "rows", f"{OWN}: a card has 512 to spare, and few ever need one")
RETIRED = Limit("gpu.pages.retired", 32, "pages", f"{OWN}: half of the 64 that a card has room for")
RESERVE = Limit("gpu.temperature.reserve", 3, "°C", f"{OWN}: so far below the card's own limit nothing is slow yet")
HELD_BACK = Limit("gpu.slowdown.seconds", 1, "s", f"{OWN}: less is a peak at the start of a load")

LOST = Code(
    "gpu.lost",
    Verdict.FAIL,
    "the driver has a GPU that its maker's tool does not get at: it has fallen off the bus, or is broken",
    "nvidia-smi, its list and its words; NVML, NVML_ERROR_GPU_IS_LOST",
)
FAULTY = Code(
    "gpu.answer",
    Verdict.WARN,
    "a GPU answers some questions with an error",
    "nvidia-smi: Unknown Error, ERR!; NVML, NVML_ERROR_UNKNOWN and NVML_ERROR_TIMEOUT",
)
SILENT = Code(
    "gpu.silent",
    Verdict.UNKNOWN,
    "the maker's tool did not come to an end: one of its GPUs may hang",
    "limits of the questions",
)
UNMEASURED = Code(
    "gpu.unmeasured",
    Verdict.PASS,
    "of a GPU only the bus tells: its driver or its maker's tool is not in the image; a policy may call that unknown",
    "the inventory's own list of what was not measured",
)
RESET = Code(
    "gpu.reset",
    Verdict.WARN,
    "the driver asks for a reset of a GPU, or a restart of the server",
    "nvidia-smi, GPU Reset Status and GPU Recovery Action; NVML, NVML_ERROR_RESET_REQUIRED",
)
INFOROM = Code(
    "gpu.inforom",
    Verdict.WARN,
    "the memory in which a card keeps what it is and what it counted is corrupted",
    "nvidia-smi, its warning and return value 14",
)
UNCORRECTED = Code(
    "gpu.ecc.uncorrected", Verdict.FAIL, "uncorrected errors of a GPU's memories since its driver was loaded", ECC
)
HISTORY = Code(
    "gpu.ecc.history",
    Verdict.WARN,
    "uncorrected errors of a GPU's memories in its life: what failed then has been put aside",
    ECC,
    (UNCORRECTED_EVER,),
)
CORRECTABLE = Code(
    "gpu.ecc.corrected",
    Verdict.WARN,
    "more corrected errors of a GPU's memories than a sound one has",
    ECC,
    (CORRECTED, CORRECTED_EVER),
)
SRAM = Code(
    "gpu.ecc.sram", Verdict.FAIL, "a GPU's caches have had more uncorrected errors than it is replaced for", RMA
)
UNREPAIRABLE = Code(
    "gpu.ecc.unrepairable", Verdict.FAIL, "memory of a GPU cannot be repaired", "nvidia-smi, Unrepairable Memory"
)
REPAIR = Code(
    "gpu.ecc.repair",
    Verdict.WARN,
    "a repair of a GPU waits for its reset",
    "nvidia-smi, Channel Repair Pending and TPC Repair Pending",
)
ECC_OFF = Code(
    "gpu.ecc.off",
    Verdict.WARN,
    "a GPU made for computing has its error correction switched off",
    "nvidia-smi, ECC Mode",
)
ECC_OPTIONAL = Code(
    "gpu.ecc.optional",
    Verdict.PASS,
    "a GPU made for graphics could have error correction, and is delivered without",
    "nvidia-smi, ECC Mode",
)
ECC_PENDING = Code(
    "gpu.ecc.pending",
    Verdict.PASS,
    "error correction will be switched with the next restart",
    "nvidia-smi, ECC Mode, pending",
)
ROWS_FAILED = Code("gpu.rows.failed", Verdict.FAIL, "a row of a GPU's memory could not be remapped: replace it", RMA)
ROWS_PENDING = Code("gpu.rows.pending", Verdict.WARN, "a row of a GPU's memory is remapped with the next reset", ROWS)
ROWS_USED = Code(
    "gpu.rows.uncorrected",
    Verdict.WARN,
    "rows of a GPU's memory were remapped for uncorrected errors",
    ROWS,
    (REMAPPED,),
)
ROWS_SCARCE = Code(
    "gpu.rows.banks",
    Verdict.WARN,
    "banks of a GPU's memory have few spare rows left, or none",
    "nvidia-smi, Bank Remap Availability Histogram",
)
PAGES_PENDING = Code(
    "gpu.pages.pending", Verdict.WARN, "a page of a GPU's memory is retired with the next restart", PAGES
)
PAGES_RETIRED = Code(
    "gpu.pages.retired", Verdict.WARN, "many pages of a GPU's memory are retired", PAGES, (RETIRED,)
)  # fmt: skip
HOT = Code(
    "gpu.temperature",
    Verdict.WARN,
    "a GPU is as hot as its own limit, at which it slows itself down",
    "nvidia-smi, Temperature; the kernel's amdgpu, hwmon",
    (RESERVE,),
)
SLOW_HOT = Code("gpu.slowdown.thermal", Verdict.WARN, "a GPU is slowed down now since it is too hot", REASONS)
SLOW_POWER = Code(
    "gpu.slowdown.power",
    Verdict.WARN,
    "a GPU is slowed down now by the power brake, a signal of the server's power",
    REASONS,
)
SLOW = Code("gpu.slowdown", Verdict.WARN, "a GPU is slowed down now by its hardware: heat, or power", REASONS)
WAS_SLOW = Code(
    "gpu.slowdown.past",
    Verdict.WARN,
    "a GPU was slowed down by heat or by the server's power since its driver was loaded",
    "nvidia-smi, Clocks Event Reasons Counters",
    (HELD_BACK,),
)
POWER_LIMIT = Code(
    "gpu.power.limit",
    Verdict.PASS,
    "somebody lets a GPU draw less power than it is made for",
    "nvidia-smi, Power Limit against Default Power Limit; the kernel's amdgpu, power1_cap",
)

# Lines for graphics: their error correction takes part of the memory, and is off when they are delivered.
GRAPHICS = ("geforce", "rtx", "quadro", "titan")
RESTART = "reset the GPU, or restart the server"
# What is slowed down for heat or power, by the reasons of now, and by those that are counted.
THERMAL, BRAKE, HARDWARE = ("hw_thermal_slowdown", "sw_thermal_slowdown"), "hw_power_brake_slowdown", "hw_slowdown"
COUNTED: Mapping[str, str] = {
    "hw_therm_slowdown": "heat; look at fans and airflow",
    "hw_power_brake": "the server's power; look at its supplies",
}


def find(inventory: Inventory, policy: Policy) -> Iterator[Finding]:
    slots = {device.id: device.slot for device in inventory.pci}
    for gpu in inventory.gpus:
        part = f"slot {slots[gpu.id]}, {gpu.label}" if slots.get(gpu.id) else gpu.label
        yield from _find_lost(part, gpu)
        if gpu.ecc is not None:
            yield from _find_errors(part, gpu, gpu.ecc, policy)
            yield from _find_ecc(part, gpu, gpu.ecc)
        yield from _find_rows(part, gpu, policy)
        yield from _find_pages(part, gpu, policy)
        yield from _find_heat(part, gpu, policy)
        yield from _find_slow(part, gpu, policy)
    yield from _find_unmeasured(inventory)


def _find_unmeasured(inventory: Inventory) -> Iterator[Finding]:
    """Once for all that the same is to be said of; of other makers nobody tells more than the bus."""
    own = {f"gpus.{gpu.id}": gpu for gpu in inventory.gpus if gpu.vendor in ("NVIDIA", "AMD")}
    told: dict[tuple[Why, str], list[Gpu]] = {}
    for one in inventory.missing:
        if one.part in own:
            told.setdefault((one.why, one.detail), []).append(own[one.part])
    for (why, detail), gpus in told.items():
        names = ", ".join(gpu.id for gpu in gpus)
        if why is Why.NO_ANSWER:
            yield SILENT.found(names, f"{detail}; look in the kernel's log, and restart the server", gpus=len(gpus))
        else:
            yield UNMEASURED.found(names, f"memory, errors and heat were not measured: {detail}", gpus=len(gpus))


def _find_lost(part: str, gpu: Gpu) -> Iterator[Finding]:
    lost = [word for word in gpu.faults.values() if "lost" in word.lower()]
    needs_reset = [word for word in gpu.faults.values() if "requires reset" in word.lower()]
    others = {name: word for name, word in gpu.faults.items() if word not in (*lost, *needs_reset)}
    if gpu.answers is False or lost:
        says = lost[0] if lost else ", ".join(gpu.faults.values())
        summary = f"its driver's tool does not get at it ({says}); power the server off and on, reseat or replace it"
        yield LOST.found(part, summary, faults=dict(gpu.faults))
        return
    if others:
        words = ", ".join(f"{name}: {word}" for name, word in list(others.items())[:4])
        summary = f"{len(others)} values could not be read ({words}); {RESTART}"
        yield FAULTY.found(part, summary, faults=others)
    if gpu.reset_required or gpu.recovery or needs_reset:
        asked = f"the driver asks for: {gpu.recovery}" if gpu.recovery else f"the driver asks for a reset; {RESTART}"
        yield RESET.found(part, asked, recovery=gpu.recovery)
    if gpu.inforom_corrupted:
        yield INFOROM.found(part, "its infoROM is corrupted; ask the maker for a repair of it, or replace the card")


def _find_errors(part: str, gpu: Gpu, ecc: GpuEcc, policy: Policy) -> Iterator[Finding]:
    """What was counted since the driver was loaded, and before."""
    now, ever = ecc.volatile, ecc.aggregate
    if now and now.uncorrected:
        summary = f"{now.uncorrected} uncorrected errors of its memories since the driver was loaded; replace it"
        yield UNCORRECTED.found(part, summary, uncorrected=now.uncorrected, sram=now.sram_uncorrected)
    most = policy.limit(UNCORRECTED_EVER, gpu.model)
    if ever and ever.uncorrected and ever.uncorrected >= most:
        summary = f"{ever.uncorrected} uncorrected errors of its memories in its life; test it under load"
        yield HISTORY.found(part, summary, uncorrected=ever.uncorrected, sram=ever.sram_uncorrected, threshold=most)
    for counts, limit, since in (
        (now, CORRECTED, "since the driver was loaded"),
        (ever, CORRECTED_EVER, "in its life"),
    ):
        most = policy.limit(limit, gpu.model)
        if counts and counts.corrected and counts.corrected >= most:
            summary = f"{counts.corrected} corrected errors of its memories {since}; test it under load"
            yield CORRECTABLE.found(part, summary, corrected=counts.corrected, threshold=most)
    if ecc.sram_threshold_exceeded:
        yield SRAM.found(part, "its caches have had more uncorrected errors than its maker allows; replace it")
    if ecc.unrepairable:
        yield UNREPAIRABLE.found(part, "some of its memory cannot be repaired; replace it")
    if ecc.repair_pending:
        yield REPAIR.found(part, f"a repair waits; {RESTART}")


def _find_ecc(part: str, gpu: Gpu, ecc: GpuEcc) -> Iterator[Finding]:
    if ecc.enabled is False:
        if any(word in gpu.model.lower() for word in GRAPHICS):
            yield ECC_OPTIONAL.found(part, "its error correction is off, as it is delivered")
        else:
            yield ECC_OFF.found(part, "its error correction is off; switch it on (nvidia-smi -e 1), and restart")
    if None not in (ecc.enabled, ecc.pending) and ecc.enabled is not ecc.pending:
        yield ECC_PENDING.found(part, f"its error correction is switched {'on' if ecc.pending else 'off'} next time")


def _find_rows(part: str, gpu: Gpu, policy: Policy) -> Iterator[Finding]:
    rows = gpu.remapped
    if rows is None:
        return
    if rows.failed:
        summary = "a row of its memory could not be remapped, for which its maker replaces it; have it replaced"
        yield ROWS_FAILED.found(part, summary, uncorrected=rows.uncorrected, corrected=rows.corrected)
    if rows.pending:
        yield ROWS_PENDING.found(part, f"a row of its memory waits to be remapped; {RESTART}")
    most = policy.limit(REMAPPED, gpu.model)
    if rows.uncorrected and rows.uncorrected >= most:
        summary = f"{rows.uncorrected} rows of its memory were remapped for uncorrected errors; test it under load"
        yield ROWS_USED.found(part, summary, uncorrected=rows.uncorrected, threshold=most)
    scarce = {name: count for name in ("low", "none") if (count := rows.banks.get(name))}
    if scarce:
        words = " and ".join(f"{count} with {'few' if name == 'low' else name}" for name, count in scarce.items())
        yield ROWS_SCARCE.found(part, f"banks of its memory run out of spare rows: {words} left", **rows.banks)


def _find_pages(part: str, gpu: Gpu, policy: Policy) -> Iterator[Finding]:
    pages = gpu.retired
    if pages is None:
        return
    if pages.pending:
        yield PAGES_PENDING.found(part, f"a page of its memory waits to be retired; {RESTART}")
    count, most = (pages.corrected or 0) + (pages.uncorrected or 0), policy.limit(RETIRED, gpu.model)
    if count >= most:
        measured = {"corrected": pages.corrected, "uncorrected": pages.uncorrected, "threshold": most}
        yield PAGES_RETIRED.found(part, f"{count} pages of its memory are retired; replace it", **measured)


def _find_heat(part: str, gpu: Gpu, policy: Policy) -> Iterator[Finding]:
    """By the card's own limits: as temperatures, or as how far it is from them."""
    heat, reserve = gpu.temperature, policy.limit(RESERVE, gpu.model)
    if heat is None:
        return
    for value, limit, name in ((heat.now, heat.slowdown, "is"), (heat.memory, heat.memory_limit, "its memory is")):
        if value is not None and limit is not None and value >= limit - reserve:
            summary = f"{name} at {value} °C, and its limit is {limit}; look at fans and airflow"
            yield HOT.found(part, summary, temperature=value, limit=limit, threshold=reserve)
    if heat.margin is not None and heat.margin_slowdown is not None and heat.margin <= heat.margin_slowdown + reserve:
        left = heat.margin - heat.margin_slowdown
        place = f"{left} °C below" if left > 0 else f"{-left} °C over"
        summary = f"is {place} the limit at which it slows itself down; look at fans and airflow"
        measured = {"temperature": heat.now, "margin": heat.margin, "limit": heat.margin_slowdown}
        yield HOT.found(part, summary, **measured, threshold=reserve)


def _find_slow(part: str, gpu: Gpu, policy: Policy) -> Iterator[Finding]:
    reasons = gpu.clock_reasons or ()
    is_hot, is_braked = any(reason in reasons for reason in THERMAL), BRAKE in reasons
    if is_hot:
        yield SLOW_HOT.found(part, "is slowed down by heat; look at fans and airflow", reasons=list(reasons))
    if is_braked:
        summary = "is slowed down by the power brake; look at supplies and power cables"
        yield SLOW_POWER.found(part, summary, reasons=list(reasons))
    if HARDWARE in reasons and not is_hot and not is_braked:
        yield SLOW.found(part, "is slowed down by its hardware; look at its power and cooling", reasons=list(reasons))
    most = policy.limit(HELD_BACK, gpu.model)
    for name, why in COUNTED.items():
        seconds = gpu.clock_seconds.get(name, 0)
        if seconds >= most:
            summary = f"was slowed down for {seconds:g} s since the driver was loaded, by {why}"
            yield WAS_SLOW.found(part, summary, seconds=seconds, reason=name, threshold=most)
    power = gpu.power
    if power and power.limit is not None and power.default_limit is not None and power.limit < power.default_limit:
        summary = f"may draw {power.limit:g} W of {power.default_limit:g}"
        yield POWER_LIMIT.found(part, summary, limit=power.limit, default=power.default_limit, unit="W")


CODES = (
    *(LOST, FAULTY, SILENT, UNMEASURED, RESET, INFOROM, UNCORRECTED, HISTORY, CORRECTABLE, SRAM, UNREPAIRABLE, REPAIR),
    *(ECC_OFF, ECC_OPTIONAL, ECC_PENDING, ROWS_FAILED, ROWS_PENDING, ROWS_USED, ROWS_SCARCE, PAGES_PENDING),
    *(PAGES_RETIRED, HOT, SLOW_HOT, SLOW_POWER, SLOW, WAS_SLOW, POWER_LIMIT),
)
CHECKS = (Check(CODES, find),)
