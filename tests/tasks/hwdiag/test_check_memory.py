"""Memory: what is wrong with it, and what a platform does by design."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from liveagent.events import Finding, Verdict
from liveagent.machine.cpu import Cpu
from liveagent.machine.dimm import Dimm, find_labelled, is_balanced
from liveagent.machine.dmidecode import parse_dmidecode
from liveagent.machine.edac import ErrorCounts, MemoryController
from liveagent.machine.inventory import Inventory
from liveagent.machine.kernel_log import parse_kernel_log
from liveagent.machine.memory import Memory, make_memory
from liveagent.machine.system import System
from liveagent.tasks.hwdiag.checks import kernel_log
from liveagent.tasks.hwdiag.checks import memory as checks
from liveagent.tasks.hwdiag.policy import Policy, Rules
from tests.tasks.hwdiag.machines import CPU, SYSTEM

GIB = 2**30
MODULE = Dimm(
    "A1", "A1", "", "A", "", 32 * GIB, "DDR4", "DIMM", "registered", True, 2, 2933, 2933, "Samsung",
    "M393A4K40CB2-CVF", "S1", "DRAM", 32 * GIB,
)  # fmt: skip
FREE = dataclasses.replace(MODULE, id="B2", slot="B2", socket="B", size=None, ecc=None, volatile=None, serial="")

MANY_MODULES = tuple(
    dataclasses.replace(MODULE, id=f"A{number}", slot=f"A{number}", serial=f"S{number}") for number in range(48)
)

PLAIN = Policy()


def make(slot: str = "B1", **changes: Any) -> Dimm:
    return dataclasses.replace(MODULE, **{"id": slot, "slot": slot, "socket": slot[0], **changes})


def in_channels(filled: str, socket: str = "A") -> tuple[Dimm, ...]:
    """A slot a channel: `A:1 B:0` has a module in the first of two."""
    pairs = [word.split(":") for word in filled.split()]
    return tuple(
        make(f"{socket}{channel}{slot}", socket=socket, channel=channel, size=32 * GIB if slot < int(count) else None)
        for channel, count in pairs
        for slot in range(2)
    )  # fmt: skip


def find(
    *dimms: Dimm, policy: Policy = PLAIN, cpu: Cpu | None = None, system: System | None = None, **changes: Any
) -> list[Finding]:
    fitted = sum(dimm.size or 0 for dimm in dimms if not dimm.is_persistent)
    usable, balanced = int(fitted * 0.975), is_balanced(dimms)
    memory = Memory(fitted or None, usable or None, None, None, len(dimms), "Multi-bit ECC", balanced, dimms, (), ())
    inventory = Inventory(cpu=cpu, system=system, memory=dataclasses.replace(memory, **changes))
    return [finding for check in checks.CHECKS for finding in check.find(inventory, policy)]


COUNTS = MemoryController("mc0 F19h", None, 0, 0, 0, 0)


def count(**changes: Any) -> tuple[MemoryController, ...]:
    return (dataclasses.replace(COUNTS, **changes),)


@pytest.mark.parametrize(
    ("dimms", "changes", "codes"),
    [
        ((), {"total": None, "usable": None, "ecc": ""}, []),
        ((MODULE, make()), {}, []),
        ((MODULE, make(size=16 * GIB)), {}, ["memory.mixed.size"]),
        ((MODULE, make(rank=1)), {}, ["memory.mixed.kind"]),
        ((MODULE, make(rank=1, buffering="load-reduced", speed=3200)), {}, ["memory.mixed.kind"]),
        ((MODULE, make(part="HMA84GR7JJR4N-WM")), {}, ["memory.mixed.part"]),
        ((MODULE, make(configured=2400)), {}, ["memory.speed.uneven"]),
        ((make("A1", configured=2666), make(configured=2666)), {}, ["memory.speed.below"]),
        ((make("A1", configured=1333), make(configured=1333)), {}, ["memory.speed.low"]),
        # A processor's own speed above what the modules are sold for.
        ((make("A1", configured=3200), make(configured=3200)), {}, []),
        ((MODULE, make(speed=None, configured=None, rank=None, part="")), {}, []),
        ((MODULE, make(size=128 * GIB, type="Logical non-volatile device", speed=2666, part="N")), {}, []),
        # A socket with one module less, unless it has no slot for it.
        ((MODULE, make(), make("A2"), FREE), {}, ["memory.unbalanced"]),
        ((MODULE, make(), make("A2")), {}, []),
        ((MODULE, make(), FREE), {}, []),
        # A socket without modules whose processor runs, and one without.
        ((MODULE, FREE), {"cpu": dataclasses.replace(CPU, sockets=2)}, ["memory.unbalanced"]),
        ((MODULE, FREE), {"cpu": dataclasses.replace(CPU, sockets=1)}, []),
        # 64 GiB without one of two, of four, and what the kernel keeps for itself.
        ((MODULE, make()), {"usable": 32 * GIB}, ["memory.missing"]),
        ((MODULE, make(), make("A2"), make("B2")), {"usable": 94 * GIB}, ["memory.missing"]),
        # One of 48 is less than the kernel's own table of pages, and missing all the same.
        (MANY_MODULES, {"usable": int(0.984 * 47 * 32 * GIB)}, ["memory.missing"]),
        (MANY_MODULES, {"usable": int(0.984 * 48 * 32 * GIB)}, []),
        ((MODULE, make()), {"usable": 60 * GIB}, []),
        ((MODULE, make()), {"usable": None}, []),
        ((MODULE, make()), {"total": None}, []),
        # A board for desks, and a server.
        ((make("A1", ecc=False), make(ecc=False)), {"ecc": "None"}, ["memory.ecc.none"]),
        ((make("A1", ecc=False),), {"ecc": "None", "system": SYSTEM}, ["memory.ecc.off"]),
        ((MODULE, make()), {"ecc": "None"}, ["memory.ecc.off"]),
        # What a hypervisor describes is no fault; what it lets the kernel count is.
        ((MODULE, make(size=4 * GIB)), {"ecc": "None", "cpu": dataclasses.replace(CPU, virtual=True)}, []),
    ],
)
def test_modules(dimms: tuple[Dimm, ...], changes: dict[str, Any], codes: list[str]) -> None:
    assert [finding.code for finding in find(*dimms, **changes)] == codes


@pytest.mark.parametrize(
    ("filled", "codes"),
    [
        ("A:1 B:1 C:1 D:1", []),
        ("A:2 B:2 C:2", []),
        ("A:1 B:1 C:0 D:0", ["memory.channels"]),
        ("A:1 B:1 C:1 D:0", ["memory.channels"]),
        ("A:2 B:1", ["memory.channels.uneven"]),
        ("A:1 B:1 C:1 D:1 E:1 F:0", ["memory.channels.uneven"]),
        ("A:1 B:1 C:1 D:1 E:1 F:1 G:1 H:1 I:1 J:0 K:0 L:0", ["memory.channels.uneven"]),
        ("A:0 B:0", []),
        ("A:1", []),
    ],
)
def test_channels(filled: str, codes: list[str]) -> None:
    assert [finding.code for finding in find(*in_channels(filled))] == codes


@pytest.mark.parametrize(
    ("filled", "part"),
    [
        # Two of the four channels of each, and of the first alone.
        ("ABEF", ["socket 1", "socket 2"]),
        ("ABEFGH", ["socket 1"]),
        ("ABCDEFGH", []),
        # Whether four or all eight are the one processor's, nobody says.
        ("AB", []),
    ],
)
def test_a_board_that_names_the_socket_of_filled_slots_alone(filled: str, part: list[str]) -> None:
    """Eight channels in letters, four of each socket: an empty slot is of the one whose letters stand around it."""
    dimms = tuple(
        make(f"DIMM_{letter}1", socket=("1" if letter < "E" else "2") if letter in filled else "", channel=letter)
        if letter in filled
        else make(f"DIMM_{letter}1", socket="", channel=letter, size=None)
        for letter in "ABCDEFGH"
    )
    found = [one for one in find(*dimms) if one.code == "memory.channels"]
    assert [one.part for one in found] == part


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"controllers": (COUNTS,)}, {}),
        ({"controllers": count(corrected=3)}, {"mc0 F19h": ["memory.ecc.corrected"]}),
        ({"controllers": count(unplaced_corrected=3)}, {"mc0 F19h": ["memory.ecc.corrected"]}),
        (
            {"controllers": count(corrected=3, uncorrected=1)},
            {"mc0 F19h": ["memory.ecc.uncorrected", "memory.ecc.corrected"]},
        ),
        # The module is named where the kernel knows it, and the controller's sum is not said again.
        (
            {"controllers": count(corrected=3), "errors": (ErrorCounts("mc0/dimm0 A1", 3, 0),)},
            {"A1 S1": ["memory.ecc.corrected"]},
        ),
        # What the driver numbers itself is no slot that anybody could pull.
        (
            {"controllers": count(corrected=3), "errors": (ErrorCounts("mc0/dimm0 CPU_SrcID#0_MC#0_Chan#0", 3, 0),)},
            {"mc0/dimm0 CPU_SrcID#0_MC#0_Chan#0": ["memory.ecc.corrected"]},
        ),
        # What belongs to no module is said all the same.
        (
            {"controllers": count(corrected=5, uncorrected=1), "errors": (ErrorCounts("mc0/dimm0 A1", 3, 0),)},
            {"A1 S1": ["memory.ecc.corrected"], "mc0 F19h": ["memory.ecc.uncorrected", "memory.ecc.corrected"]},
        ),
    ],
)
def test_errors(changes: dict[str, Any], found: dict[str, list[str]]) -> None:
    by_part: dict[str, list[str]] = {}
    for finding in find(MODULE, **changes):
        by_part.setdefault(finding.part, []).append(finding.code)
    assert by_part == found


@pytest.mark.parametrize(
    ("label", "slot"),
    [
        ("A1", ""),  # two of them
        ("BANK 0 A1", "BANK 0"),
        ("BANK 1 A1", "BANK 1"),
        ("B1", "BANK 2"),
        ("B2", ""),  # empty
        ("CPU_SrcID#0_MC#0_Chan#0_DIMM#0", ""),
        ("", ""),
    ],
)
def test_the_kernels_label_names_one_module_or_none(label: str, slot: str) -> None:
    dimms = [
        dataclasses.replace(MODULE, id="BANK 0 A1", bank="BANK 0"),
        dataclasses.replace(MODULE, id="BANK 1 A1", bank="BANK 1"),
        make("B1", bank="BANK 2"),
        FREE,
    ]
    found = find_labelled(label, dimms)
    assert (found.bank if found else "") == slot


def test_a_policy_may_bear_some_errors() -> None:
    policy = Policy(Rules(limits={"memory.corrected": 10}))
    assert find(MODULE, controllers=count(corrected=9), policy=policy) == []
    [finding] = find(MODULE, controllers=count(corrected=10), policy=policy)
    assert finding.verdict is Verdict.WARN and finding.measured == {"corrected": 10, "threshold": 10}


def test_a_finding_names_the_odd_slot_and_the_figures() -> None:
    [finding] = find(MODULE, make("A2"), make(size=16 * GIB))
    assert finding.part == "B1 S1" and finding.measured == {"sizes": {str(32 * GIB): 2, str(16 * GIB): 1}}
    [finding] = find(MODULE, make("A2"), make(rank=1, speed=3200))
    assert finding.summary == "modules that do not match: 2 × 2 ranks, 1 × 1 ranks; 2 × 2933 MT/s, 1 × 3200 MT/s"


UNLIKE, MANY, FEWER, UNEVEN = "memory.mixed.size", "memory.mixed.kind", "memory.unbalanced", "memory.channels.uneven"


@pytest.mark.corpus
def test_recorded_servers(corpus: Path) -> None:
    """Of eighty, those with a warning; each was compared with the text, and is so."""
    found = {}
    for file in sorted((corpus / "dmidecode").iterdir()):
        memory = make_memory(parse_dmidecode(file.read_text(encoding="utf-8", errors="replace")))
        findings = [finding for check in checks.CHECKS for finding in check.find(Inventory(memory=memory), Policy())]
        assert all(finding.verdict is not Verdict.FAIL for finding in findings)
        codes = [finding.code for finding in findings if finding.verdict is Verdict.WARN]
        if codes:
            found[file.stem] = codes
    assert found == {
        # 9 of 12 channels.
        "asrockrack-genoad12m3-2q-h-af39b8": [UNEVEN],
        # Six modules of 64 GiB beside four of 16.
        "dell-poweredge-r740-388de5": [UNLIKE],
        # Upgrades with what was at hand: 1, 2 and 4 GiB, four at one socket and six at the other.
        "depo-computers-x8dtu-46b28e": [UNLIKE, FEWER],
        "glpi-rhel-4.6": [UNLIKE],
        # Two modules of 1 GiB in one channel, one of 2 GiB with error correction in the other.
        "glpi-s3000ahlx": [UNLIKE, UNEVEN, "memory.ecc.off"],
        # A guest, whose processor would say so: 3.875 and 0.125 GiB.
        "glpi-windows-hyperv-2019": [UNLIKE],
        "hewlett-packard-proliant-dl380-g7-251402": [FEWER],
        "ibm-system-x3650---7979ac1---af1c72": [UNLIKE],
        # 11 modules for 2933 and 11 for 3200; none in channel B of the second socket.
        "lenovo-7x56cto1ww-hr630x-560d5a": [MANY, FEWER, UNEVEN],
        # Eight modules of 4 GiB, one rank, 1333; two of 16 GiB, two ranks, 1600.
        "nba-hp_dl380p_gen8": [UNLIKE, MANY],
        "supermicro-x8dth-i-6-if-6f-9b2d09": [UNLIKE],
    }


LOGGED = (
    "EDAC MC0: 3 CE memory read error on A1 (channel:1 slot:0)\nEDAC MC1: 1 UE memory read error on B1 (channel:0)\n"
)


@pytest.mark.parametrize(
    ("counts", "codes"),
    [
        # No driver counts, or it was loaded anew since: the log is all there is.
        ((), ["kernel.edac.corrected", "kernel.edac.uncorrected"]),
        (count(), ["kernel.edac.corrected", "kernel.edac.uncorrected"]),
        (count(corrected=3), ["memory.ecc.corrected", "kernel.edac.uncorrected"]),
        (count(unplaced_corrected=3), ["memory.ecc.corrected", "kernel.edac.uncorrected"]),
        # Of another kind, or of another controller, the log still speaks.
        (count(uncorrected=1), ["memory.ecc.uncorrected", "kernel.edac.corrected", "kernel.edac.uncorrected"]),
        (count(id="mc1 F19h", uncorrected=1), ["memory.ecc.uncorrected", "kernel.edac.corrected"]),
    ],
)
def test_an_error_is_said_once_beside_the_kernels_log(counts: tuple[MemoryController, ...], codes: list[str]) -> None:
    memory = Memory(None, None, None, None, 1, "Multi-bit ECC", True, (MODULE,), counts, ())
    inventory = Inventory(system=SYSTEM, memory=memory, kernel_log=parse_kernel_log(LOGGED))
    found = [one for check in (*checks.CHECKS, *kernel_log.CHECKS) for one in check.find(inventory, PLAIN)]
    assert [finding.code for finding in found] == codes
