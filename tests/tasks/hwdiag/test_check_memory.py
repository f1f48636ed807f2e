"""Memory: what is wrong with it, and what a platform does by design."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from liveagent.events import Finding
from liveagent.machine.dmidecode import parse_dmidecode
from liveagent.machine.inventory import Inventory
from liveagent.machine.memory import Dimm, ErrorCounts, Memory, is_balanced, parse_dimms
from liveagent.tasks.hwdiag.checks import memory as checks
from liveagent.tasks.hwdiag.policy import Policy

GIB = 2**30
MODULE = Dimm("A1", "A1", "", "A", 32 * GIB, "DDR4", "DIMM", 2, 2933, 2933, "Samsung", "M393A4K40CB2-CVF", "S1")


def make(**changes: Any) -> Dimm:
    return dataclasses.replace(MODULE, id="B1", slot="B1", socket="B", **changes)


def find(*dimms: Dimm, **changes: Any) -> list[Finding]:
    fitted = sum(dimm.size or 0 for dimm in dimms)
    memory = Memory(fitted, int(fitted * 0.97), None, len(dimms), "Multi-bit ECC", is_balanced(dimms), dimms, (), ())
    inventory = Inventory(memory=dataclasses.replace(memory, **changes))
    return [finding for check in checks.CHECKS for finding in check.find(inventory, Policy())]


@pytest.mark.parametrize(
    ("dimms", "changes", "codes"),
    [
        ((MODULE, make()), {}, []),
        ((MODULE, make(size=16 * GIB)), {}, ["memory.mixed.size"]),
        ((MODULE, make(rank=1)), {}, ["memory.mixed.kind"]),
        ((MODULE, make(part="HMA84GR7JJR4N-WM")), {}, ["memory.mixed.part"]),
        ((MODULE, make(configured=2400)), {}, ["memory.speed.uneven"]),
        ((dataclasses.replace(MODULE, configured=2666), make(configured=2666)), {}, ["memory.speed.below"]),
        ((MODULE, make(speed=None, configured=None, rank=None, part="")), {}, []),
        ((MODULE, make(size=128 * GIB, type="Logical non-volatile device", speed=2666)), {"total": None}, []),
        ((MODULE, make(), dataclasses.replace(MODULE, id="A2", slot="A2")), {}, ["memory.unbalanced"]),
        ((MODULE, make()), {"usable": 32 * GIB}, ["memory.missing"]),
        ((MODULE, make()), {"usable": None}, []),
        ((MODULE, make()), {"total": None}, []),
        ((MODULE, make()), {"ecc": "None"}, ["memory.ecc.none"]),
        ((MODULE,), {"controllers": (ErrorCounts("mc0", 0, 0),)}, []),
        ((MODULE,), {"controllers": (ErrorCounts("mc0", 3, 0),)}, ["memory.ecc.corrected"]),
        ((MODULE,), {"controllers": (ErrorCounts("mc0", 3, 1),)}, ["memory.ecc.uncorrected", "memory.ecc.corrected"]),
        # The module is named where the kernel knows it, and the controller's sum is not said again.
        (
            (MODULE,),
            {"controllers": (ErrorCounts("mc0", 3, 0),), "errors": (ErrorCounts("mc0/dimm0 A1", 3, 0),)},
            ["memory.ecc.corrected"],
        ),
    ],
)
def test_memory(dimms: tuple[Dimm, ...], changes: dict[str, Any], codes: list[str]) -> None:
    assert [finding.code for finding in find(*dimms, **changes)] == codes


def test_a_finding_names_the_odd_slot_and_the_figures() -> None:
    [finding] = find(MODULE, dataclasses.replace(MODULE, id="A2", slot="A2"), make(size=16 * GIB), balanced=None)
    assert finding.part == "B1" and finding.measured == {"sizes": {str(32 * GIB): 2, str(16 * GIB): 1}}
    [finding] = find(MODULE, errors=(ErrorCounts("mc0/dimm0 CPU_SrcID#0_DIMM#0", 7, 0),))
    assert finding.part == "mc0/dimm0 CPU_SrcID#0_DIMM#0" and finding.measured == {"corrected": 7, "threshold": 1}


@pytest.mark.corpus
def test_recorded_servers(corpus: Path) -> None:
    """Over eighty of them: what is found was looked at, and is so."""
    found: dict[str, list[str]] = {}
    for file in sorted((corpus / "dmidecode").iterdir()):
        dimms = parse_dimms(parse_dmidecode(file.read_text(encoding="utf-8", errors="replace")))
        codes = [finding.code for finding in find(*dimms) if finding.verdict.value != "pass"]
        if codes:
            found[file.name] = codes
    print(found)
    assert len(found) < 20
