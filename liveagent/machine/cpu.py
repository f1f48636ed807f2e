"""The processors: what they are, how many of their threads run, and how the kernel drives them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence

from liveagent.host import Host
from liveagent.machine.dimm import make_name
from liveagent.machine.dmi import DMI
from liveagent.machine.dmidecode import Structure, parse_dmidecode
from liveagent.machine.look import Look, Why
from liveagent.machine.sysfs import to_number

CPUS = "/sys/devices/system/cpu"
NODES = "/sys/devices/system/node"
# Flags that somebody orders a server by; the rest is hundreds of words.
FLAGS = (
    *("vmx", "svm", "aes", "sha_ni", "avx", "avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "pdpe1gb"),
    *("hypervisor", "sme", "sev", "sev_es", "sev_snp", "sgx", "tdx_guest", "rdt_a", "ht", "lm", "constant_tsc"),
    *("sve", "sve2", "sm4", "sha512", "asimddp", "atomics"),
)
KHZ = 1000
PROCESSOR = 4  # the type of SMBIOS


@dataclasses.dataclass(frozen=True)
class Package:
    """A processor in a socket. `id` is the kernel's number; `microcode` as the kernel prints it.

    `cores` and `threads` are those that run. `stepping` with family and model tells one revision from another.
    `throttled`: how often it was too hot since boot and slowed down, all of it or one core; None where nobody counts.
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
    throttled: int | None


@dataclasses.dataclass(frozen=True)
class Socket:
    """A socket as the firmware describes it. `id` is its name on the board; texts are "" where not said.

    `filled`: a processor is in it; `enabled`: it may run, None where not said. `cores` it has, `cores_enabled` of them
    the firmware lets run; `threads` as the firmware counts them.
    """

    id: str
    filled: bool
    enabled: bool | None
    model: str
    serial: str
    part: str
    cores: int | None
    cores_enabled: int | None
    threads: int | None


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
    """A NUMA node: its threads, which these are (`0-7,16-23`), its memory in bytes, and its distance to each node."""

    id: str
    threads: int
    cpus: str
    memory: int | None
    distances: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Cpu:
    """The processors. Counts are of what runs; None where the kernel does not tell.

    `model` is that of the first. `offline`: threads that the kernel knows and does not run. `smt` is the kernel's word:
    on, off, forceoff, notsupported, notimplemented. Frequencies in Hz, the lowest and highest of all. `turbo`: whether
    it is allowed; None where it is not known whether there is one. `governor`, `driver` and `preference` (between speed
    and thrift) of all threads, `microcode` of all processors: with commas where they differ. `vulnerabilities` in the
    kernel's words. `virtual`: it runs under a hypervisor. `packages` are the processors as the kernel has them, `board`
    the sockets as the firmware has.
    """

    architecture: str
    model: str
    sockets: int | None
    cores: int | None
    threads: int | None
    offline: int
    smt: str
    virtual: bool | None
    frequency_min: int | None
    frequency_max: int | None
    turbo: bool | None
    governor: str
    driver: str
    preference: str
    microcode: str
    flags: tuple[str, ...]
    vulnerabilities: Mapping[str, str]
    packages: tuple[Package, ...]
    board: tuple[Socket, ...]
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


def render_list(numbers: Sequence[int]) -> str:
    """CPUs as the kernel lists them, `0-3,8`; they are in order."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def parse_mask(text: str) -> tuple[int, ...]:
    """CPUs of a kernel mask, `00000000,0000000f`, which is all that old kernels have; empty for what is none."""
    digits = text.replace(",", "")
    if not re.fullmatch(r"[0-9a-f]{1,2048}", digits, re.ASCII):
        return ()
    bits = int(digits, 16)
    return tuple(number for number in range(bits.bit_length()) if bits >> number & 1)


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


def parse_sockets(structures: Sequence[Structure]) -> tuple[Socket, ...]:
    """Every socket for a main processor. Two of one name are told apart by their handle."""
    # An empty socket has no type in some firmware.
    sockets = [
        one
        for one in structures
        if one.type == PROCESSOR
        and (one.get("Type") in ("", "Central Processor") or "Unpopulated" in one.fields.get("Status", ""))
    ]
    names = [one.get("Socket Designation") for one in sockets]
    known: dict[str, Socket] = {}
    for number, (one, name) in enumerate(zip(sockets, names), 1):
        identity = name if name and names.count(name) == 1 else one.handle
        identity = f"{identity} {number}" if identity in known else identity
        known[identity] = _make_socket(one, identity)
    return tuple(known.values())


def _make_socket(structure: Structure, name: str) -> Socket:
    status = structure.fields.get("Status", "")
    filled = "Unpopulated" not in status
    said = structure if filled else Structure(PROCESSOR, structure.handle, "", {})
    model = re.sub(r"\s+", " ", said.get("Version"))
    return Socket(
        id=name,
        filled=filled,
        # An idle processor waits for the system to start it.
        enabled=False if "Disabled" in status else True if re.search("Enabled|Idle", status) else None,
        model=make_name(model),
        serial=make_name(said.get("Serial Number")),
        part=make_name(said.get("Part Number")),
        cores=to_number(said.get("Core Count")),
        cores_enabled=to_number(said.get("Core Enabled")),
        threads=to_number(said.get("Thread Count")),
    )


def probe_cpu(look: Look) -> Cpu:
    """All processors: by the kernel, and by dmidecode as the firmware has them."""
    host = look.host
    blocks = parse_cpuinfo(host.read_or("/proc/cpuinfo"))
    online = parse_list(host.read_or(f"{CPUS}/online")) or tuple(int(block["processor"]) for block in blocks)
    present = parse_list(host.read_or(f"{CPUS}/present")) or online
    packages = _probe_packages(host, online, blocks)
    if not packages:
        look.note("cpu.packages", Why.ABSENT, "the kernel does not tell which processor is in which socket")
    board = _probe_board(look)
    fields = blocks[0] if blocks else {}
    words = (fields.get("flags") or fields.get("Features") or "").split()
    flags = tuple(flag for flag in FLAGS if flag in words)
    low, high = _frequencies(host, online, "cpuinfo_min_freq"), _frequencies(host, online, "cpuinfo_max_freq")
    return Cpu(
        architecture=host.read_or("/proc/sys/kernel/arch") or ("x86_64" if "lm" in flags else ""),
        # The kernel has no names for Arm's processors, the firmware of a server has.
        model=_model(fields) or next((socket.model for socket in board if socket.model), ""),
        sockets=len(packages) or None,
        cores=sum(package.cores for package in packages) or None,
        threads=len(online) or None,
        offline=len(set(present) - set(online)),
        smt=host.read_or(f"{CPUS}/smt/control"),
        virtual="hypervisor" in flags if words and "lm" in flags else None,
        frequency_min=min(low, default=None),
        frequency_max=max(high, default=None),
        turbo=_probe_turbo(host, words),
        governor=_words(host, online, "scaling_governor"),
        driver=_words(host, online, "scaling_driver"),
        preference=_words(host, online, "energy_performance_preference"),
        microcode=_join(block.get("microcode", "") for block in blocks),
        flags=flags,
        vulnerabilities={
            name: host.read_or(f"{CPUS}/vulnerabilities/{name}") for name in host.list(f"{CPUS}/vulnerabilities")
        },
        packages=packages,
        board=board,
        caches=_probe_caches(host, online),
        nodes=_probe_nodes(host),
    )


def _probe_board(look: Look) -> tuple[Socket, ...]:
    if not look.host.exists(DMI):
        look.note("cpu.board", Why.ABSENT, "the firmware has no SMBIOS tables")
        return ()
    return parse_sockets(parse_dmidecode(look.text("cpu.board", ["dmidecode", "-t", str(PROCESSOR)])))


def _model(fields: Mapping[str, str]) -> str:
    name = fields.get("model name") or fields.get("cpu") or fields.get("Model Name") or fields.get("uarch") or ""
    return re.sub(r"\s+", " ", name)


def _probe_packages(host: Host, online: Sequence[int], blocks: Sequence[Mapping[str, str]]) -> tuple[Package, ...]:
    """By package, from the topology in sysfs; of old kernels from /proc/cpuinfo."""
    info = {int(block["processor"]): block for block in blocks}
    threads: dict[str, list[int]] = {}
    cores: dict[str, set[str]] = {}
    known: dict[int, str] = {}
    for number in online:
        below = f"{CPUS}/cpu{number}/topology"
        fields = info.get(number, {})
        package = fields.get("physical id") or host.read_or(f"{below}/physical_package_id")
        if not package.isdecimal():
            continue  # -1 where the firmware does not say
        if number not in known:
            # Of a core that was seen already its other threads need no look: there are hundreds.
            siblings = host.read_or(f"{below}/core_cpus_list") or host.read_or(f"{below}/thread_siblings_list")
            own = parse_list(siblings) or parse_mask(host.read_or(f"{below}/thread_siblings"))
            name = str(own) if own else fields.get("core id") or host.read_or(f"{below}/core_id", str(number))
            known.update(dict.fromkeys((*own, number), name))
        threads.setdefault(package, []).append(number)
        cores.setdefault(package, set()).add(known[number])
    return tuple(_make_package(host, name, threads[name], cores[name], info) for name in sorted(threads, key=int))


def _make_package(
    host: Host, name: str, threads: Sequence[int], cores: set[str], info: Mapping[int, Mapping[str, str]]
) -> Package:
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
        throttled=_probe_throttled(host, threads),
    )


def _probe_throttled(host: Host, threads: Sequence[int]) -> int | None:
    """The count of the whole package, which each thread repeats, or else that of its hottest core. Intel's alone."""
    if not host.exists(f"{CPUS}/cpu{threads[0]}/thermal_throttle"):
        return None
    names = [(threads[0], "package_throttle_count"), *((number, "core_throttle_count") for number in threads)]
    counts = [to_number(host.read_or(f"{CPUS}/cpu{number}/thermal_throttle/{name}")) for number, name in names]
    return max((count for count in counts if count is not None), default=None)


def _words(host: Host, online: Sequence[int], name: str) -> str:
    return _join(host.read_or(f"{CPUS}/cpu{number}/cpufreq/{name}") for number in _scaled(host, online))


def _join(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(word for word in words if word))


def _frequencies(host: Host, online: Sequence[int], name: str) -> list[int]:
    found = (to_number(host.read_or(f"{CPUS}/cpu{number}/cpufreq/{name}")) for number in _scaled(host, online))
    return [one * KHZ for one in found if one]


def _scaled(host: Host, online: Sequence[int]) -> Sequence[int]:
    """The threads to ask for frequencies: one a policy; none where nothing scales any."""
    policies = [int(name[6:]) for name in host.list(f"{CPUS}/cpufreq") if re.fullmatch(r"policy\d{1,6}", name)]
    if policies:
        return [number for number in policies if number in set(online)]
    return online if online and host.exists(f"{CPUS}/cpu{online[0]}/cpufreq") else ()


def _probe_turbo(host: Host, flags: Sequence[str]) -> bool | None:
    """intel_pstate says what is not allowed, acpi-cpufreq and amd-pstate what is.

    intel_pstate says so of a processor without turbo as well. Intel's flag `ida` is there where the processor has it
    and the firmware allows it (SDM, CPUID leaf 6).
    """
    denied = host.read_or(f"{CPUS}/intel_pstate/no_turbo")
    if denied in ("0", "1"):
        return True if denied == "0" else False if "ida" in flags else None
    return {"0": False, "1": True}.get(host.read_or(f"{CPUS}/cpufreq/boost"))


def _probe_caches(host: Host, online: Sequence[int]) -> tuple[Cache, ...]:
    """Each once, however many threads share it; those that share one that was seen are not looked at."""
    found: dict[tuple[int, str, int], set[tuple[int, ...]]] = {}
    seen: dict[str, set[int]] = {}
    for number in online:
        below = f"{CPUS}/cpu{number}/cache"
        for name in host.list(below):
            if number in seen.setdefault(name, set()):
                continue
            level, size = host.read_or(f"{below}/{name}/level"), parse_size(host.read_or(f"{below}/{name}/size"))
            if level.isdecimal() and size:
                kind = host.read_or(f"{below}/{name}/type").lower()
                shared = parse_list(host.read_or(f"{below}/{name}/shared_cpu_list"))
                shared = shared or parse_mask(host.read_or(f"{below}/{name}/shared_cpu_map")) or (number,)
                seen[name].update(shared)
                found.setdefault((int(level), kind, size), set()).add(shared)
    kinds = [(level, kind) for level, kind, _ in found]
    return tuple(
        Cache(_name_cache(level, kind, size, kinds), level, kind, size, len(shared))
        for (level, kind, size), shared in sorted(found.items())
    )


def _name_cache(level: int, kind: str, size: int, kinds: Sequence[tuple[int, str]]) -> str:
    """`L2 unified`; of a processor with unlike cores `L2 unified 2048 KiB`."""
    return f"L{level} {kind}" + (f" {size >> 10} KiB" if kinds.count((level, kind)) > 1 else "")


def _probe_nodes(host: Host) -> tuple[Node, ...]:
    nodes = []
    names = [name for name in host.list(NODES) if re.fullmatch(r"node\d{1,6}", name)]
    for name in sorted(names, key=lambda name: int(name[4:])):
        below = f"{NODES}/{name}"
        total = re.search(r"MemTotal:\s+(\d{1,15}) kB", host.read_or(f"{below}/meminfo"), re.ASCII)
        threads = parse_list(host.read_or(f"{below}/cpulist")) or parse_mask(host.read_or(f"{below}/cpumap"))
        nodes.append(
            Node(
                id=name[4:],
                threads=len(threads),
                cpus=render_list(threads),
                memory=int(total.group(1)) * 1024 if total else None,
                distances=tuple(int(word) for word in host.read_or(f"{below}/distance").split() if word.isdecimal()),
            )
        )
    return tuple(nodes)
