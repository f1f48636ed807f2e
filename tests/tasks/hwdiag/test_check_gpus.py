"""GPUs as they were recorded have no false alarm; with one thing of them spoilt they have just that one."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveagent.events import Finding, Verdict
from liveagent.machine.gpu import EccCounts, Gpu, GpuEcc, GpuPower, GpuTemperatures, RemappedRows, RetiredPages
from liveagent.machine.inventory import Inventory
from liveagent.machine.look import Missing, Why
from liveagent.machine.nvidia import parse_nvidia_smi
from liveagent.machine.rocm import parse_rocm_smi
from liveagent.report.inventory import list_sections
from liveagent.tasks.hwdiag import earlier, siblings
from liveagent.tasks.hwdiag.checks import gpus
from liveagent.tasks.hwdiag.difference import Match, compare
from liveagent.tasks.hwdiag.expectation import parse_expectation
from liveagent.tasks.hwdiag.ordered import make_expectation, render_expectation
from liveagent.tasks.hwdiag.overview import make_overview
from liveagent.tasks.hwdiag.policy import Policy, Rules
from liveagent.tasks.hwdiag.source import parse_document
from tests.tasks.hwdiag.servers import FORM, change, make_server
from tests.tasks.hwdiag.test_check_pci import CARD

GIB = 2**30
H100 = Gpu(
    id="0000:3b:00.0",
    vendor="NVIDIA",
    model="NVIDIA H100 80GB HBM3",
    driver="nvidia",
    serial="1650522003820",
    uuid="GPU-1",
    vbios="96.00.89.00.01",
    inforom_corrupted=False,
    answers=True,
    reset_required=False,
    memory=81559 * 2**20,
    ecc=GpuEcc(
        True, True, EccCounts(0, 0, 0, 0, 0, 0), EccCounts(0, 0, 0, 0, 0, 0), False, repair_pending=False,
    ),
    remapped=RemappedRows(0, 0, False, False, {"max": 2560, "high": 0, "partial": 0, "low": 0, "none": 0}),
    temperature=GpuTemperatures(now=31, memory=40, margin=54, margin_slowdown=-2, memory_limit=95),
    power=GpuPower(70.0, 700.0, 700.0),
    clock_reasons=("gpu_idle",),
    clock_seconds={"hw_therm_slowdown": 0.0, "sw_power_cap": 9999.0},
)  # fmt: skip


def find(*found: Gpu, policy: Policy | None = None, **more: Any) -> list[Finding]:
    return list(gpus.find(Inventory(gpus=found, **more), policy or Policy()))


def codes(*found: Gpu) -> list[str]:
    return [finding.code for finding in find(*found)]


def spoil(**changes: Any) -> Gpu:
    return dataclasses.replace(H100, **changes)


def within(group: str, **changes: Any) -> Gpu:
    return spoil(**{group: dataclasses.replace(getattr(H100, group), **changes)})


@pytest.mark.parametrize(
    ("gpu", "expected"),
    [
        (H100, []),
        (Gpu("0000:3b:00.0", "NVIDIA", "10de:2330"), []),
        (spoil(answers=False, faults={"nvidia-smi": "not listed"}), ["gpu.lost"]),
        (spoil(faults={"gpu_temp": "GPU is lost", "fan_speed": "GPU is lost"}), ["gpu.lost"]),
        (spoil(faults={"fan_speed": "Unknown Error"}), ["gpu.answer"]),
        (spoil(faults={"fan_speed": "GPU requires reset"}), ["gpu.reset"]),
        (spoil(reset_required=True), ["gpu.reset"]),
        (spoil(recovery="Drain and Reset"), ["gpu.reset"]),
        (spoil(inforom_corrupted=True), ["gpu.inforom"]),
        (within("ecc", volatile=EccCounts(0, 1, 0, 0, 0, 1)), ["gpu.ecc.uncorrected"]),
        (within("ecc", aggregate=EccCounts(0, 0, 0, 1, 0, 1)), ["gpu.ecc.history"]),
        (within("ecc", volatile=EccCounts(0, 0, 9, 0, 9, 0)), []),
        (within("ecc", volatile=EccCounts(0, 0, 10, 0, 10, 0)), ["gpu.ecc.corrected"]),
        (within("ecc", aggregate=EccCounts(0, 0, 999, 0, 999, 0)), []),
        (within("ecc", aggregate=EccCounts(0, 0, 1000, 0, 1000, 0)), ["gpu.ecc.corrected"]),
        (within("ecc", sram_threshold_exceeded=True), ["gpu.ecc.sram"]),
        (within("ecc", unrepairable=True), ["gpu.ecc.unrepairable"]),
        (within("ecc", repair_pending=True), ["gpu.ecc.repair"]),
        (within("ecc", enabled=False, pending=False), ["gpu.ecc.off"]),
        (within("ecc", pending=False), ["gpu.ecc.pending"]),
        (within("ecc", enabled=None, pending=None), []),
        (within("remapped", failed=True), ["gpu.rows.failed"]),
        (within("remapped", pending=True), ["gpu.rows.pending"]),
        (within("remapped", uncorrected=1), ["gpu.rows.uncorrected"]),
        (within("remapped", corrected=5), []),
        (within("remapped", banks={"max": 2550, "low": 8, "none": 2}), ["gpu.rows.banks"]),
        (spoil(retired=RetiredPages(0, 0, True)), ["gpu.pages.pending"]),
        (spoil(retired=RetiredPages(20, 11, False)), []),
        (spoil(retired=RetiredPages(20, 12, False)), ["gpu.pages.retired"]),
        (within("temperature", margin=2), []),
        (within("temperature", margin=1), ["gpu.temperature"]),
        (within("temperature", memory=92), ["gpu.temperature"]),
        (spoil(temperature=GpuTemperatures(now=85, slowdown=89)), []),
        (spoil(temperature=GpuTemperatures(now=86, slowdown=89)), ["gpu.temperature"]),
        (spoil(temperature=GpuTemperatures(now=99)), []),
        (spoil(clock_reasons=("hw_slowdown", "hw_thermal_slowdown")), ["gpu.slowdown.thermal"]),
        (spoil(clock_reasons=("sw_thermal_slowdown",)), ["gpu.slowdown.thermal"]),
        (spoil(clock_reasons=("hw_slowdown", "hw_power_brake_slowdown")), ["gpu.slowdown.power"]),
        (spoil(clock_reasons=("hw_slowdown",)), ["gpu.slowdown"]),
        (spoil(clock_reasons=("sw_power_cap", "sync_boost")), []),
        (spoil(clock_seconds={"hw_therm_slowdown": 0.4}), []),
        (spoil(clock_seconds={"hw_therm_slowdown": 2.5, "hw_power_brake": 7.0}), ["gpu.slowdown.past"] * 2),
        (spoil(power=GpuPower(70.0, 500.0, 700.0)), ["gpu.power.limit"]),
        (spoil(power=GpuPower(70.0, 700.0, None)), []),
    ],
)
def test_one_thing_at_a_time(gpu: Gpu, expected: list[str]) -> None:
    assert codes(gpu) == expected


def test_every_code_is_found_somewhere_above_or_below() -> None:
    """The table of the test is the table of the check."""
    marked = [mark for mark in test_one_thing_at_a_time.pytestmark if mark.name == "parametrize"]  # type: ignore[attr-defined]
    told = {code for _, expected in marked[0].args[1] for code in expected}
    assert {code.code for code in gpus.CODES} - told == {"gpu.silent", "gpu.unmeasured", "gpu.ecc.optional"}


def test_which_of_them_end_a_server() -> None:
    """What the maker replaces a card for, what is lost, and data that was: the rest may be mended, or watched."""
    assert {code.code for code in gpus.CODES if code.verdict is Verdict.FAIL} == {
        "gpu.lost",
        "gpu.ecc.uncorrected",
        "gpu.ecc.sram",
        "gpu.ecc.unrepairable",
        "gpu.rows.failed",
    }


def test_graphics_are_delivered_without_error_correction() -> None:
    for model in ("NVIDIA RTX 4000 SFF Ada Generation", "NVIDIA GeForce RTX 4090", "Quadro RTX 8000"):
        assert codes(dataclasses.replace(within("ecc", enabled=False, pending=False), model=model)) == [
            "gpu.ecc.optional"
        ]


def test_a_finding_names_slot_model_and_serial_once() -> None:
    gpu = within("temperature", margin=-3)
    device = dataclasses.replace(CARD, id=gpu.id, slot="5", class_code="030200")
    (finding,) = find(gpu, pci=(device,))
    assert finding.part == "slot 5, 0000:3b:00.0 NVIDIA H100 80GB HBM3 1650522003820"
    assert finding.summary == "is 1 °C over the limit at which it slows itself down; look at fans and airflow"
    assert finding.measured == {"temperature": 31, "margin": -3, "limit": -2, "threshold": 3}


def test_what_was_not_measured_is_told_once_for_all() -> None:
    """A tool that hangs is unknown, one that is not there a remark; of another maker's nobody could tell more."""
    several = [Gpu(f"0000:0{bus}:00.0", "Intel" if bus == 4 else "NVIDIA") for bus in range(1, 5)]
    why = (Why.NO_ANSWER, Why.NO_ANSWER, Why.NO_TOOL, Why.NO_TOOL)
    missing = [Missing(f"gpus.{gpu.id}", one, f"nvidia-smi: {one.value}") for gpu, one in zip(several, why)]
    more = Missing(f"gpus.{several[0].id}.remapped", Why.NOT_ASKED, "")
    hangs, absent = find(*several, missing=(*missing, more))
    assert (hangs.code, hangs.verdict, hangs.part) == ("gpu.silent", Verdict.UNKNOWN, "0000:01:00.0, 0000:02:00.0")
    assert hangs.summary.startswith("nvidia-smi: no-answer; look")
    assert (absent.code, absent.verdict, absent.part) == ("gpu.unmeasured", Verdict.PASS, "0000:03:00.0")
    assert absent.summary == "memory, errors and heat were not measured: nvidia-smi: no-tool"


def test_a_policy_s_thresholds() -> None:
    gpu = within("ecc", aggregate=EccCounts(0, 0, 5, 0, 5, 0))
    policy = Policy(special=(Rules(("*h100*",), {"gpu.ecc.corrected.aggregate": 5}),))
    assert codes(gpu) == [] and [one.code for one in find(gpu, policy=policy)] == ["gpu.ecc.corrected"]


@pytest.mark.corpus
def test_recorded_gpus_have_no_false_alarm(corpus: Path) -> None:
    """What is said of them is true: a limit that somebody has lowered, graphics without error correction."""
    found = {}
    for file in sorted((corpus / "nvidia-smi").iterdir()):
        found[file.stem] = codes(*parse_nvidia_smi(file.read_text()))
    for file in sorted((corpus / "rocm-smi").iterdir()):
        found[file.stem] = codes(*parse_rocm_smi(file.read_text()))
    assert {name: told for name, told in found.items() if told} == {
        "netdata-rtx-4090-driver-535": ["gpu.ecc.optional"],
        "telegraf-rtx-3090-v12": ["gpu.power.limit"],
        "telegraf-rtx-4000-sff-ada-v13": ["gpu.ecc.optional"],
    }


# -- beside an order, siblings, and an earlier day --------------------------------------------------


def make_document(count: int = 8, serial: str = "SN1", **changes: Any) -> dict[str, Any]:
    """A server with so many of these, as its JSON."""
    several = [
        spoil(id=f"0000:{number:02x}:00.0", serial=f"{serial}-{number}", uuid=f"GPU-{serial}-{number}", **changes)
        for number in range(1, count + 1)
    ]
    return make_server(serial, gpus=json.loads(json.dumps(Inventory(gpus=tuple(several)).encode()["gpus"])))


def differ(order: object, document: dict[str, Any]) -> list[tuple[Match, str]]:
    expected = parse_expectation({"gpus": order}, FORM)
    return [(one.match, one.detail) for one in compare(expected, document) if one.match is not Match.HELD]


ORDER = [{"count": 8, "model": "*H100*", "memory": ">= 80 GB"}]


def test_what_was_ordered() -> None:
    assert differ(ORDER, make_document()) == []
    assert differ([{"count": 8, "memory": "80 GiB"}], make_document()) == []
    assert differ(ORDER, make_document(7)) == [(Match.MISSING, "1 missing")]
    assert differ(ORDER, make_document(9)) == [(Match.EXTRA, "1 more than ordered")]
    assert [match for match, _ in differ(ORDER, make_document(memory=40 * GIB))] == [Match.DIFFERS] * 8
    assert [match for match, _ in differ(8, make_document(7))] == [Match.MISSING]
    assert differ([{"count": 8, "link": {"speed_max": "32 GT/s"}}], make_document())[0][0] is Match.UNKNOWN


def test_one_of_which_only_the_bus_tells_is_not_missing() -> None:
    """Without its driver nobody can say how much memory it has: that is unknown, and its number is not."""
    document = make_document(memory=None)
    document["missing"] = [{"part": f"gpus.{one['id']}", "why": "no-tool", "detail": ""} for one in document["gpus"]]
    assert [match for match, _ in differ(ORDER, document)] == [Match.UNKNOWN]
    assert differ([{"count": 8, "model": "*H100*"}], document) == []
    document["gpus"] = document["gpus"][1:]
    assert differ([{"count": 8, "model": "*H100*"}], document) == [(Match.MISSING, "1 missing")]


def test_an_expectation_made_of_it() -> None:
    document = make_document()
    assert make_expectation(document)["gpus"] == [{"count": 8, "model": "NVIDIA H100 80GB HBM3", "memory": "79.65 GiB"}]
    expected = parse_expectation(parse_document(render_expectation(document).encode()), FORM)
    assert [one for one in compare(expected, document) if one.match is not Match.HELD] == []


@given(st.integers(2**20, 2**50))
def test_any_memory_meets_its_own(memory: int) -> None:
    document = make_document(1, memory=memory)
    assert differ(make_expectation(document)["gpus"], document) == []


SIBLINGS = [make_document(serial=f"SN{number}") for number in range(2, 6)]


def deviations(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one.code.rpartition(".")[2], one.summary) for one in siblings.find(document, SIBLINGS, Policy())]


def test_beside_its_siblings() -> None:
    """Serials, heat and counts are each one's own, and so is how fast an idle link runs."""
    assert deviations(make_document(temperature=GpuTemperatures(now=80), link=None)) == []
    slow = change(make_document(), "gpus.0.link", {"speed": 2.5, "width": 16, "speed_max": 32.0, "width_max": 16})
    assert deviations(slow) == []
    assert deviations(make_document(7)) == [
        ("fewer", "GPU NVIDIA H100 80GB HBM3: 4 of 5 have 8, this one 7"),
    ]
    older = change(make_document(), "gpus.0.vbios", "96.00.74.00.01")
    assert deviations(older) == [
        (
            "older",
            "GPU NVIDIA H100 80GB HBM3 VBIOS: 4 of 5 have 96.00.89.00.01, this one 96.00.74.00.01, 96.00.89.00.01",
        )
    ]
    assert deviations(make_document(memory=40 * GIB)) == [
        ("fewer", "GPU NVIDIA H100 80GB HBM3 memory: 4 of 5 have 79.65 GiB, this one 40 GiB")
    ]


def changes(document: dict[str, Any], before: dict[str, Any]) -> list[tuple[str, str]]:
    found = earlier.find(document, before)
    return [(one.code.rpartition(".")[2], one.summary.partition(f" since {before['taken']}")[0]) for one in found]


def test_beside_an_earlier_day() -> None:
    before = make_document()
    first = "GPU 0000:01:00.0 SN1-1"
    assert changes(make_document(temperature=None), before) == []
    assert changes(change(before, "gpus", before["gpus"][1:]), before) == [("gone", f"{first} is not there any more,")]
    swapped = change(change(before, "gpus.0.serial", "X"), "gpus.0.uuid", "GPU-X")
    assert changes(swapped, before) == [
        ("changed", "GPU 0000:01:00.0 X: serial is X, was SN1-1,"),
        ("changed", "GPU 0000:01:00.0 X: UUID is GPU-X, was GPU-SN1-1,"),
    ]
    assert changes(change(before, "gpus.0.memory", 40 * GIB), before) == [
        ("less", f"{first}: memory is 40 GiB, was 79.65 GiB,")
    ]
    assert changes(change(before, "gpus.0.remapped.uncorrected", 2), before) == [
        ("grown", f"{first}: rows remapped for uncorrected errors grew from 0 to 2")
    ]


def test_the_overview() -> None:
    inventory = Inventory(gpus=(H100, spoil(id="0000:5e:00.0"), Gpu("0000:af:00.0", "AMD", "Arcturus GL-XL")))
    (line,) = [line for line in make_overview(inventory) if line["name"] == "graphics"]
    assert line["text"] == "2 × NVIDIA H100 80GB HBM3 79.65 GiB; 1 × AMD Arcturus GL-XL"


def test_the_table_of_the_inventory() -> None:
    (section,) = [one for one in list_sections(Inventory(gpus=(H100,)).encode()) if one.title == "gpus"]
    assert section.columns == ("id", "model", "serial", "memory", "vbios", "driver")
    assert section.rows == (
        ("0000:3b:00.0", "NVIDIA H100 80GB HBM3", "1650522003820", "79.65 GiB", "96.00.89.00.01", "nvidia"),
    )
