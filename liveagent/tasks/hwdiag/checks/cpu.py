"""Processors that do not match, threads that do not run, and settings that make them slow."""

from __future__ import annotations

from collections.abc import Iterator

from liveagent.events import Finding, Verdict
from liveagent.machine.cpu import Cpu
from liveagent.machine.inventory import Inventory
from liveagent.tasks.hwdiag.check import Check, Code
from liveagent.tasks.hwdiag.policy import Policy

MIXED = Code("cpu.mixed", Verdict.WARN, "the sockets hold different processors or steppings", "/proc/cpuinfo")
MICROCODE = Code("cpu.microcode", Verdict.WARN, "the processors run different microcode", "/proc/cpuinfo")
UNEVEN = Code("cpu.cores", Verdict.WARN, "the sockets run different numbers of cores", "topology in sysfs")
OFFLINE = Code("cpu.offline", Verdict.WARN, "threads that are there do not run", "cpu/present and online in sysfs")
SMT_OFF = Code("cpu.smt", Verdict.PASS, "simultaneous multithreading is off", "cpu/smt/control in sysfs")
SLOW = Code(
    "cpu.governor",
    Verdict.WARN,
    "the kernel holds the processors at their lowest frequency",
    "governor powersave of acpi-cpufreq and its kin; intel_pstate's and amd-pstate's of that name is none of these",
)
NO_TURBO = Code("cpu.turbo", Verdict.PASS, "turbo is not allowed", "intel_pstate/no_turbo, cpufreq/boost")
EMPTY_NODE = Code("cpu.node.memory", Verdict.WARN, "a NUMA node with processors has no memory", "node in sysfs")
VULNERABLE = Code(
    "cpu.vulnerable", Verdict.PASS, "the kernel says of weaknesses that nothing is done", "cpu/vulnerabilities"
)
# Their powersave moves the frequency by load.
BY_LOAD = ("intel_pstate", "amd-pstate-epp", "amd_pstate_epp", "amd-pstate", "intel_cpufreq")


def find(inventory: Inventory, policy: Policy) -> Iterator[Finding]:
    cpu = inventory.cpu
    if cpu is None:
        return
    yield from _find_unlike(cpu)
    if cpu.offline and cpu.smt not in ("off", "forceoff"):
        yield OFFLINE.found("cpu", f"{cpu.offline} threads do not run", offline=cpu.offline, running=cpu.threads)
    if cpu.smt in ("off", "forceoff"):
        yield SMT_OFF.found("cpu", "multithreading is off", smt=cpu.smt)
    slow = set(cpu.driver.split(", ")) - set(BY_LOAD)
    if "powersave" in cpu.governor.split(", ") and slow:
        summary = f"governor powersave of {', '.join(sorted(slow))}: they run at their lowest frequency"
        yield SLOW.found("cpu", summary, governor=cpu.governor, driver=cpu.driver)
    if cpu.turbo is False:
        yield NO_TURBO.found("cpu", "turbo is not allowed")
    for node in cpu.nodes:
        # A node without processors is memory of another kind, and one without a figure was not seen.
        if node.threads and node.memory == 0:
            yield EMPTY_NODE.found(f"node {node.id}", "it has processors and no memory; look for its modules", memory=0)
    weak = sorted(name for name, words in cpu.vulnerabilities.items() if words.startswith("Vulnerable"))
    if weak:
        yield VULNERABLE.found("cpu", f"nothing is done against {', '.join(weak)}", vulnerable=weak)


def _find_unlike(cpu: Cpu) -> Iterator[Finding]:
    kinds = {(package.model, package.family, package.model_number, package.stepping) for package in cpu.packages}
    # Without a name it is no server of two sockets, but a processor of unlike cores.
    if len(kinds) > 1 and all(package.model for package in cpu.packages):
        words = "; ".join(f"socket {one.id}: {one.model} stepping {one.stepping}" for one in cpu.packages)
        yield MIXED.found("cpu", words, models=[one.model for one in cpu.packages])
    if "," in cpu.microcode:
        yield MICROCODE.found(
            "cpu", f"several microcodes: {cpu.microcode}; update the firmware", microcode=cpu.microcode
        )
    cores = {package.id: package.cores for package in cpu.packages}
    if len(set(cores.values())) > 1:
        words = ", ".join(f"socket {name}: {count}" for name, count in cores.items())
        yield UNEVEN.found("cpu", f"different numbers of cores run ({words})", cores=cores)


CHECKS = (Check((MIXED, MICROCODE, UNEVEN, OFFLINE, SMT_OFF, SLOW, NO_TURBO, EMPTY_NODE, VULNERABLE), find),)
