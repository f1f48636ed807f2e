"""Parts of a server as they should be, for tests that spoil one thing of them."""

from __future__ import annotations

from liveagent.machine.cpu import Cpu, Node, Package, Socket
from liveagent.machine.system import System

GIB = 2**30
MODEL = "Intel(R) Xeon(R) Gold 6230R CPU @ 2.10GHz"
PACKAGES = tuple(
    Package(str(number), MODEL, "GenuineIntel", "6", "85", "7", "0x5003303", 26, 52, 0) for number in range(2)
)
BOARD = tuple(Socket(f"CPU{number}", True, True, MODEL, "", "", 26, 26, 52) for number in (1, 2))
CPU = Cpu(
    architecture="x86_64",
    model=MODEL,
    sockets=2,
    cores=52,
    threads=104,
    offline=0,
    smt="on",
    virtual=False,
    frequency_min=1_000_000_000,
    frequency_max=4_000_000_000,
    turbo=True,
    governor="powersave",
    driver="intel_pstate",
    preference="balance_performance",
    microcode="0x5003303",
    flags=("vmx",),
    vulnerabilities={"mds": "Not affected", "spectre_v2": "Mitigation: Enhanced IBRS"},
    packages=PACKAGES,
    board=BOARD,
    caches=(),
    nodes=(Node("0", 52, "0-51", 192 * GIB, (10, 21)), Node("1", 52, "52-103", 192 * GIB, (21, 10))),
)
SYSTEM = System(
    "PowerEdge R640", "", "PowerEdge", "Dell Inc.", "0H28RR", "A01", "", "rack mount", "", "", "Dell Inc.",
    "2.22.1", "08/09/2024", "2024-08-09", "2.22", "uefi", True,
    "2.0", "", "5.14.0",
)  # fmt: skip
