"""Processors: what is wrong with them, and what is only a setting."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from liveagent.events import Finding, Verdict
from liveagent.machine.cpu import Node, Package, Socket
from liveagent.machine.inventory import Inventory
from liveagent.machine.kernel_log import parse_kernel_log
from liveagent.machine.memory import make_memory
from liveagent.tasks.hwdiag.checks import cpu as checks
from liveagent.tasks.hwdiag.checks import kernel_log
from liveagent.tasks.hwdiag.policy import Policy, Rules
from tests.tasks.hwdiag.machines import BOARD, CPU, GIB, PACKAGES, SYSTEM


def find(policy: Policy | None = None, **changes: Any) -> list[Finding]:
    inventory = Inventory(cpu=dataclasses.replace(CPU, **changes))
    return [finding for check in checks.CHECKS for finding in check.find(inventory, policy or Policy())]


def second(**changes: Any) -> tuple[Package, ...]:
    return (PACKAGES[0], dataclasses.replace(PACKAGES[1], **changes))


def board(**changes: Any) -> tuple[Socket, ...]:
    return (BOARD[0], dataclasses.replace(BOARD[1], **changes))


def nodes(*sizes: int) -> tuple[Node, ...]:
    return tuple(Node(str(number), 52, "", size, ()) for number, size in enumerate(sizes))


EMPTY = Socket("CPU2", False, None, "", "", "", None, None, None)


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({}, []),
        ({"packages": second(stepping="6")}, ["cpu.mixed"]),
        ({"packages": second(model="Intel(R) Xeon(R) Gold 6248R CPU @ 3.00GHz")}, ["cpu.mixed"]),
        ({"microcode": "0x5003303, 0x5003604"}, ["cpu.microcode"]),
        ({"packages": second(cores=24)}, ["cpu.cores"]),
        ({"packages": second(throttled=3)}, ["cpu.throttled"]),
        ({"packages": second(throttled=None)}, []),
        ({"offline": 2}, ["cpu.offline"]),
        # The siblings of a core are off with multithreading, and that is one thing.
        ({"offline": 52, "smt": "off"}, ["cpu.smt"]),
        ({"smt": "notsupported"}, []),
        # The kernel's own powersave is the lowest frequency; these drivers' is not.
        ({"driver": "acpi-cpufreq"}, ["cpu.governor"]),
        ({"driver": "intel_cpufreq"}, ["cpu.governor"]),
        ({"driver": "amd-pstate"}, ["cpu.governor"]),
        ({"driver": "amd-pstate-epp"}, []),
        ({"driver": "acpi-cpufreq", "governor": "schedutil"}, []),
        ({"governor": "", "driver": ""}, []),
        ({"turbo": False}, ["cpu.turbo"]),
        ({"turbo": None}, []),
        ({"nodes": (Node("0", 52, "0-51", 0, ()),)}, ["cpu.node.memory"]),
        ({"nodes": (Node("0", 52, "0-51", None, ()), Node("2", 0, "", 2**37, ()))}, []),
        # Half of the other's, less what the kernel keeps; six modules beside eight; and memory without processors.
        ({"nodes": nodes(95 * GIB, 192 * GIB)}, ["cpu.node.uneven"]),
        ({"nodes": nodes(191 * GIB, 144 * GIB)}, []),
        ({"nodes": (*nodes(64 * GIB), Node("2", 0, "", 512 * GIB, ()))}, []),
        ({"nodes": nodes(95 * GIB, 192 * GIB), "virtual": True}, []),
        ({"nodes": nodes(192 * GIB, 0)}, ["cpu.node.memory"]),
        # A socket whose processor does not run, by the kernel's count or by the firmware's word; and an empty one.
        ({"sockets": 1}, ["cpu.socket.missing"]),
        ({"board": board(enabled=False)}, ["cpu.socket.missing"]),
        ({"board": (BOARD[0], EMPTY), "sockets": 1}, ["cpu.socket.empty"]),
        ({"sockets": None}, []),
        ({"board": board(cores_enabled=4)}, ["cpu.cores.off"]),
        ({"board": board(cores_enabled=None)}, []),
        ({"board": ()}, []),
        # A guest has sockets for what could be added.
        ({"board": board(enabled=False), "virtual": True}, []),
        ({"vulnerabilities": {"mds": "Vulnerable: Clear CPU buffers attempted, no microcode"}}, ["cpu.vulnerable"]),
    ],
)
def test_processors(changes: dict[str, Any], codes: list[str]) -> None:
    assert [finding.code for finding in find(**changes)] == codes


def test_an_uneven_node_is_the_modules_finding_where_they_tell() -> None:
    uneven = dataclasses.replace(CPU, nodes=nodes(95 * GIB, 192 * GIB))
    [finding] = find(nodes=uneven.nodes)
    assert (finding.part, finding.summary) == (
        "node 0",
        "95 GiB of memory, node 1 has 192 GiB; look for missing modules",
    )
    memory = dataclasses.replace(make_memory(()), balanced=False)
    assert list(checks.find(Inventory(cpu=uneven, memory=memory), Policy())) == []


def test_a_finding_names_the_socket() -> None:
    [finding] = find(board=board(enabled=False))
    assert finding.part.startswith("CPU2 Intel(R) Xeon(R) Gold 6230R") and finding.verdict is Verdict.WARN
    assert finding.measured == {"fitted": 2, "running": 2, "disabled": ["CPU2"]}
    [finding] = find(packages=second(throttled=3))
    assert finding.part == "socket 1" and finding.measured == {"throttled": 3, "threshold": 1}


def test_a_policy_may_bear_some_heat() -> None:
    policy = Policy(Rules(limits={"cpu.throttled": 10}))
    assert find(policy, packages=second(throttled=9)) == []


def test_a_hypervisor_that_only_the_system_knows_of() -> None:
    """Arm has no flag for it."""
    cpu = dataclasses.replace(CPU, virtual=None, board=board(enabled=False))
    system = dataclasses.replace(SYSTEM, hypervisor="kvm")
    assert Inventory(cpu=cpu, system=system).is_virtual
    assert [
        finding for check in checks.CHECKS for finding in check.find(Inventory(cpu=cpu, system=system), Policy())
    ] == []


@pytest.mark.parametrize(
    ("throttled", "codes"), [(3, ["cpu.throttled"]), (0, ["kernel.throttle"]), (None, ["kernel.throttle"])]
)
def test_heat_is_said_once_beside_the_kernels_log(throttled: int | None, codes: list[str]) -> None:
    """The log names a thread, the counter its socket, whose cooler is looked at."""
    log = parse_kernel_log("[  9.1] CPU3: Core temperature is above threshold, cpu clock is throttled\n")
    inventory = Inventory(cpu=dataclasses.replace(CPU, packages=second(throttled=throttled)), kernel_log=log)
    found = [one for check in (*checks.CHECKS, *kernel_log.CHECKS) for one in check.find(inventory, Policy())]
    assert [finding.code for finding in found] == codes
