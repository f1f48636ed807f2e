"""The processors: what they are, how many of their threads run, and how the kernel drives them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence

from liveagent.host import Host
from liveagent.machine.look import Look, Why

CPUS = "/sys/devices/system/cpu"
NODES = "/sys/devices/system/node"
# Flags that somebody orders a server by; the rest is hundreds of words.
FLAGS = (
    *("vmx", "svm", "aes", "sha_ni", "avx", "avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "pdpe1gb"),
    *("hypervisor", "sme", "sev", "sev_es", "sev_snp", "sgx", "tdx_guest", "rdt_a", "ht", "lm", "constant_tsc"),
)
KHZ = 1000


@dataclasses.dataclass(frozen=True)
class Package:
    """A processor in a socket. `id` is the kernel's number; `microcode` as the kernel prints it.

    `cores` and `threads` are those that run. `stepping` with family and model tells one revision from another.
    """

    id: str
    model: str
    vendor: str
    family: str
    model_number: str
    stepping: str
    microcode: str
    cores: int
    threads: int


@dataclasses.dataclass(frozen=True)
class Cache:
    """A kind of cache: `size` in bytes of one, and how many there are."""

    id: str
    level: int
    kind: str
    size: int
    count: int


@dataclasses.dataclass(frozen=True)
class Node:
    """A NUMA node: its threads, and its memory in bytes."""

    id: str
    threads: int
    memory: int | None


@dataclasses.dataclass(frozen=True)
class Cpu:
    """The processors. Counts are of what runs; None where the kernel does not tell.

    `model` is that of the first. `offline`: threads that the kernel knows and does not run. `smt` is the kernel's word:
    on, off, forceoff, notsupported, notimplemented. Frequencies in Hz. `turbo`: whether it is allowed. `governor` and
    `driver` of all threads, `microcode` of all processors: with commas where they differ. `vulnerabilities` in the
    kernel's words. `virtual`: it runs under a hypervisor.
    """

    architecture: str
    model: str
    sockets: int | None
    cores: int | None
    threads: int
    offline: int
    smt: str
    virtual: bool | None
    frequency_min: int | None
    frequency_max: int | None
    turbo: bool | None
    governor: str
    driver: str
    microcode: str
    flags: tuple[str, ...]
    vulnerabilities: Mapping[str, str]
    packages: tuple[Package, ...]
    caches: tuple[Cache, ...]
    nodes: tuple[Node, ...]


def parse_list(text: str) -> tuple[int, ...]:
    """CPUs of a kernel list, `0-3,8,10-11`; empty for what is none."""
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", part.strip(), re.ASCII)
        if match:
            first, last = int(match.group(1)), int(match.group(2) or match.group(1))
            found += range(first, last + 1)
    return tuple(dict.fromkeys(found))


def parse_cpuinfo(text: str) -> tuple[Mapping[str, str], ...]:
    """The blocks of /proc/cpuinfo that are about one processor, each by its own field names."""
    blocks = []
    for block in text.split("\n\n"):
        pairs = (line.partition(":") for line in block.splitlines())
        fields = {name.strip(): value.strip() for name, colon, value in pairs if colon}
        if fields.get("processor", "").isdecimal():
            blocks.append(fields)
    return tuple(blocks)


def parse_size(text: str) -> int | None:
    """Bytes of `32K`, `30720K`, `32M`."""
    match = re.fullmatch(r"(\d{1,9})([KMG])", text, re.ASCII)
    return int(match.group(1)) << {"K": 10, "M": 20, "G": 30}[match.group(2)] if match else None


def probe_cpu(look: Look) -> Cpu:
    """All processors."""
    host = look.host
    blocks = parse_cpuinfo(host.read_or("/proc/cpuinfo"))
    online = parse_list(host.read_or(f"{CPUS}/online")) or tuple(int(block["processor"]) for block in blocks)
    present = parse_list(host.read_or(f"{CPUS}/present")) or online
    packages = _probe_packages(host, online, blocks)
    if not packages:
        look.note("cpu.packages", Why.ABSENT, "the kernel does not tell which processor is in which socket")
    fields = blocks[0] if blocks else {}
    words = fields.get("flags") or fields.get("Features") or ""
    flags = tuple(flag for flag in FLAGS if flag in words.split())
    return Cpu(
        architecture=host.read_or("/proc/sys/kernel/arch") or ("x86_64" if "lm" in flags else ""),
        model=_model(fields),
        sockets=len(packages) or None,
        cores=sum(package.cores for package in packages) or None,
        threads=len(online),
        offline=len(set(present) - set(online)),
        smt=host.read_or(f"{CPUS}/smt/control"),
        virtual="hypervisor" in flags if words and "lm" in flags else None,
        frequency_min=_khz(host, online, "cpuinfo_min_freq"),
        frequency_max=_khz(host, online, "cpuinfo_max_freq"),
        turbo=_probe_turbo(host),
        governor=_words(host, online, "scaling_governor"),
        driver=_words(host, online, "scaling_driver"),
        microcode=_join(block.get("microcode", "") for block in blocks),
        flags=flags,
        vulnerabilities={
            name: host.read_or(f"{CPUS}/vulnerabilities/{name}") for name in host.list(f"{CPUS}/vulnerabilities")
        },
        packages=packages,
        caches=_probe_caches(host, online),
        nodes=_probe_nodes(look),
    )


def _model(fields: Mapping[str, str]) -> str:
    name = fields.get("model name") or fields.get("cpu") or fields.get("Model Name") or fields.get("uarch") or ""
    return re.sub(r"\s+", " ", name)


def _probe_packages(host: Host, online: Sequence[int], blocks: Sequence[Mapping[str, str]]) -> tuple[Package, ...]:
    """By package, from the topology in sysfs; of old kernels from /proc/cpuinfo."""
    info = {int(block["processor"]): block for block in blocks}
    threads: dict[str, list[int]] = {}
    cores: dict[str, set[str]] = {}
    for number in online:
        below = f"{CPUS}/cpu{number}/topology"
        fields = info.get(number, {})
        package = host.read_or(f"{below}/physical_package_id") or fields.get("physical id", "")
        if not package.isdecimal():
            continue  # -1 where the firmware does not say
        siblings = host.read_or(f"{below}/core_cpus_list") or host.read_or(f"{below}/thread_siblings_list")
        threads.setdefault(package, []).append(number)
        cores.setdefault(package, set()).add(siblings or fields.get("core id", str(number)))
    return tuple(_make_package(name, threads[name], cores[name], info) for name in sorted(threads, key=int))


def _make_package(name: str, threads: Sequence[int], cores: set[str], info: Mapping[int, Mapping[str, str]]) -> Package:
    known = [info[number] for number in threads if number in info]
    fields = known[0] if known else {}
    return Package(
        id=name,
        model=_model(fields),
        vendor=fields.get("vendor_id") or fields.get("CPU implementer", ""),
        family=fields.get("cpu family") or fields.get("CPU architecture", ""),
        model_number=fields.get("model") or fields.get("CPU part", ""),
        stepping=fields.get("stepping") or fields.get("CPU revision", ""),
        microcode=_join(one.get("microcode", "") for one in known),
        cores=len(cores),
        threads=len(threads),
    )


def _words(host: Host, online: Sequence[int], name: str) -> str:
    return _join(host.read_or(f"{CPUS}/cpu{number}/cpufreq/{name}") for number in online)


def _join(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(word for word in words if word))


def _khz(host: Host, online: Sequence[int], name: str) -> int | None:
    text = host.read_or(f"{CPUS}/cpu{online[0]}/cpufreq/{name}") if online else ""
    return int(text) * KHZ if text.isdecimal() else None


def _probe_turbo(host: Host) -> bool | None:
    """intel_pstate says what is not allowed, acpi-cpufreq and amd-pstate what is."""
    denied = {"0": True, "1": False}.get(host.read_or(f"{CPUS}/intel_pstate/no_turbo"))
    return denied if denied is not None else {"0": False, "1": True}.get(host.read_or(f"{CPUS}/cpufreq/boost"))


def _probe_caches(host: Host, online: Sequence[int]) -> tuple[Cache, ...]:
    """Each once, however many threads share it."""
    found: dict[tuple[int, str, int], set[str]] = {}
    for number in online:
        below = f"{CPUS}/cpu{number}/cache"
        for name in host.list(below):
            level, size = host.read_or(f"{below}/{name}/level"), parse_size(host.read_or(f"{below}/{name}/size"))
            if level.isdecimal() and size:
                kind = host.read_or(f"{below}/{name}/type").lower()
                shared = host.read_or(f"{below}/{name}/shared_cpu_list") or str(number)
                found.setdefault((int(level), kind, size), set()).add(shared)
    return tuple(
        Cache(f"L{level} {kind}", level, kind, size, len(shared))
        for (level, kind, size), shared in sorted(found.items())
    )


def _probe_nodes(look: Look) -> tuple[Node, ...]:
    nodes = []
    names = [name for name in look.host.list(NODES) if re.fullmatch(r"node\d+", name)]
    for name in sorted(names, key=lambda name: int(name[4:])):
        text = look.host.read_or(f"{NODES}/{name}/meminfo")
        total = re.search(r"MemTotal:\s+(\d{1,15}) kB", text, re.ASCII)
        threads = parse_list(look.host.read_or(f"{NODES}/{name}/cpulist"))
        nodes.append(Node(name[4:], len(threads), int(total.group(1)) * 1024 if total else None))
    return tuple(nodes)
