"""Processors that do not match, threads that do not run, and settings that make them slow."""

from __future__ import annotations

from collections.abc import Iterator

from liveagent.events import Finding, Verdict
from liveagent.machine.cpu import Cpu
from liveagent.machine.inventory import Inventory
from liveagent.report.lines import render_memory
from liveagent.tasks.hwdiag.check import Check, Code
from liveagent.tasks.hwdiag.policy import Limit, Policy

THROTTLES = Limit("cpu.throttled", 1, "times", "a processor that is cooled as it should be never gets there at rest")

MIXED = Code("cpu.mixed", Verdict.WARN, "the sockets hold different processors or steppings", "/proc/cpuinfo")
MICROCODE = Code("cpu.microcode", Verdict.WARN, "the processors run different microcode", "/proc/cpuinfo")
UNEVEN = Code("cpu.cores", Verdict.WARN, "the sockets run different numbers of cores", "topology in sysfs")
OFFLINE = Code("cpu.offline", Verdict.WARN, "threads that are there do not run", "cpu/present and online in sysfs")
SMT_OFF = Code("cpu.smt", Verdict.PASS, "simultaneous multithreading is off", "cpu/smt/control in sysfs")
SLOW = Code(
    "cpu.governor",
    Verdict.WARN,
    "the kernel holds the processors at their lowest frequency",
    "governor powersave of acpi-cpufreq and its kin; intel_pstate's and amd-pstate-epp's of that name is none of these",
)
NO_TURBO = Code("cpu.turbo", Verdict.PASS, "turbo is not allowed", "intel_pstate/no_turbo, cpufreq/boost")
NODE_SHARE = Limit(
    "cpu.node.memory.share", 60, "%", "liveagent's own: half as many modules, and what the kernel keeps of one node"
)
UNEVEN_NODES = Code(
    "cpu.node.uneven",
    Verdict.WARN,
    "a NUMA node has much less memory than another: a module is missing, or sits at the wrong socket",
    "node in sysfs",
    (NODE_SHARE,),
)
EMPTY_NODE = Code("cpu.node.memory", Verdict.WARN, "a NUMA node with processors has no memory", "node in sysfs")
VULNERABLE = Code(
    "cpu.vulnerable", Verdict.PASS, "the kernel calls the processor vulnerable to something", "cpu/vulnerabilities"
)
MISSING = Code(
    "cpu.socket.missing",
    Verdict.WARN,
    "a processor that the firmware says is fitted does not run",
    "SMBIOS type 4, status, against the topology in sysfs",
)
EMPTY = Code("cpu.socket.empty", Verdict.PASS, "a socket without a processor", "SMBIOS type 4, status")
CORES_OFF = Code("cpu.cores.off", Verdict.PASS, "the firmware lets fewer cores run than there are", "SMBIOS type 4")
THROTTLED = Code(
    "cpu.throttled",
    Verdict.WARN,
    "a processor was too hot since boot and slowed down: its cooler, paste or air",
    "thermal_throttle in sysfs",
    (THROTTLES,),
)
# The governor of that name is the slowest of all in the kernel's own (drivers/cpufreq/cpufreq_powersave.c); these
# drivers have one of their own, which moves the frequency by load (Documentation/admin-guide/pm).
BY_LOAD = ("intel_pstate", "amd-pstate-epp", "amd_pstate_epp")


def find(inventory: Inventory, policy: Policy) -> Iterator[Finding]:
    cpu = inventory.cpu
    if cpu is None:
        return
    yield from _find_unlike(cpu)
    # A hypervisor has sockets for processors that it could add.
    if not inventory.is_virtual:
        yield from _find_missing(cpu)
    if cpu.offline and cpu.smt not in ("off", "forceoff"):
        yield OFFLINE.found("cpu", f"{cpu.offline} threads do not run", offline=cpu.offline, running=cpu.threads)
    if cpu.smt in ("off", "forceoff"):
        yield SMT_OFF.found("cpu", "multithreading is off", smt=cpu.smt)
    yield from _find_slow(cpu, policy)
    # Of modules that are not shared out evenly their own check speaks, and a hypervisor shares out as it was told.
    if not inventory.is_virtual and not (inventory.memory and inventory.memory.balanced is False):
        yield from _find_uneven_nodes(cpu, policy)
    for node in cpu.nodes:
        # A node without processors is memory of another kind, and one without a figure was not seen.
        if node.threads and node.memory == 0:
            yield EMPTY_NODE.found(f"node {node.id}", "it has processors and no memory; look for its modules", memory=0)
    weak = sorted(name for name, words in cpu.vulnerabilities.items() if words.startswith("Vulnerable"))
    if weak:
        yield VULNERABLE.found("cpu", f"the kernel calls it vulnerable to {', '.join(weak)}", vulnerable=weak)


def _find_slow(cpu: Cpu, policy: Policy) -> Iterator[Finding]:
    slow = set(cpu.driver.split(", ")) - set(BY_LOAD)
    if "powersave" in cpu.governor.split(", ") and slow:
        summary = f"governor powersave of {', '.join(sorted(slow))}: they run at their lowest frequency"
        yield SLOW.found("cpu", summary, governor=cpu.governor, driver=cpu.driver)
    if cpu.turbo is False:
        yield NO_TURBO.found("cpu", "turbo is not allowed")
    most = policy.limit(THROTTLES)
    for package in cpu.packages:
        if package.throttled and package.throttled >= most:
            summary = f"too hot {package.throttled} times since boot; look at its cooler and the fans"
            yield THROTTLED.found(f"socket {package.id}", summary, throttled=package.throttled, threshold=most)


def _find_uneven_nodes(cpu: Cpu, policy: Policy) -> Iterator[Finding]:
    """Of nodes with processors; one without memory has a finding of its own."""
    sizes = {node.id: node.memory for node in cpu.nodes if node.threads and node.memory}
    share = policy.limit(NODE_SHARE)
    least, most = min(sizes, key=sizes.__getitem__, default=""), max(sizes, key=sizes.__getitem__, default="")
    if sizes and 100 * sizes[least] < share * sizes[most]:
        summary = f"{render_memory(sizes[least])} of memory, node {most} has {render_memory(sizes[most])}"
        yield UNEVEN_NODES.found(f"node {least}", f"{summary}; look for missing modules", memory=sizes, threshold=share)


def _find_missing(cpu: Cpu) -> Iterator[Finding]:
    filled = [socket for socket in cpu.board if socket.filled]
    empty = [socket.id for socket in cpu.board if not socket.filled]
    held = [socket.id for socket in filled if socket.enabled is False]
    if held or (cpu.sockets is not None and len(filled) > cpu.sockets):
        names = ", ".join(f"{socket.id} {socket.model}".strip() for socket in filled if not held or socket.id in held)
        summary = f"{len(filled)} processors are fitted, {cpu.sockets or 'some'} run; look in the firmware's log"
        yield MISSING.found(names, summary, fitted=len(filled), running=cpu.sockets, disabled=held)
    if empty:
        yield EMPTY.found(", ".join(empty), f"{len(filled)} of {len(cpu.board)} sockets have a processor")
    fewer = {
        socket.id: socket.cores_enabled
        for socket in filled
        if socket.cores and socket.cores_enabled and socket.cores_enabled < socket.cores
    }
    if fewer:
        words = ", ".join(f"{name}: {count}" for name, count in fewer.items())
        yield CORES_OFF.found("cpu", f"the firmware lets fewer cores run than there are ({words})", enabled=fewer)


def _find_unlike(cpu: Cpu) -> Iterator[Finding]:
    kinds = {(package.model, package.family, package.model_number, package.stepping) for package in cpu.packages}
    # Without a name it is no server of two sockets, but a processor of unlike cores.
    if len(kinds) > 1 and all(package.model for package in cpu.packages):
        words = "; ".join(f"socket {one.id}: {one.model} stepping {one.stepping}" for one in cpu.packages)
        yield MIXED.found("cpu", words, models=[one.model for one in cpu.packages])
    if "," in cpu.microcode:
        summary = f"several microcodes: {cpu.microcode}; update the firmware"
        yield MICROCODE.found("cpu", summary, microcode=cpu.microcode)
    cores = {package.id: package.cores for package in cpu.packages}
    if len(set(cores.values())) > 1:
        words = ", ".join(f"socket {name}: {count}" for name, count in cores.items())
        yield UNEVEN.found("cpu", f"different numbers of cores run ({words})", cores=cores)


CODES = (
    *(MIXED, MICROCODE, UNEVEN, OFFLINE, SMT_OFF, SLOW, NO_TURBO, UNEVEN_NODES, EMPTY_NODE, VULNERABLE),
    *(MISSING, EMPTY, CORES_OFF, THROTTLED),
)
CHECKS = (Check(CODES, find),)
