"""Processors out of captured machines: counts compared with the machines' own names, which say what they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveagent.host import Host
from liveagent.machine.cpu import parse_cpuinfo, parse_list, parse_size, probe_cpu
from liveagent.machine.inventory import Inventory
from liveagent.machine.look import Look
from liveagent.tasks.hwdiag.checks import cpu as checks
from liveagent.tasks.hwdiag.policy import Policy
from tests.conftest import UnpackTree

CPU = r"/(system/cpu|system/node|cpuinfo)"


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("0-3,8", (0, 1, 2, 3, 8)), ("0", (0,)), ("", ()), ("all", ()), ("3-1", ()), ("0-1,x,4", (0, 1, 4))],
)
def test_lists(text: str, numbers: tuple[int, ...]) -> None:
    assert parse_list(text) == numbers


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("tree", "sockets", "cores", "threads", "codes"),
    [
        ("hwloc-tree/16amd64-8n2c.tar.bz2", 8, 16, 16, []),
        ("hwloc-tree/16em64t-4s2c2t.tar.bz2", 4, 8, 16, []),
        ("hwloc-tree/32amd64-4s2n4c-cgroup2.tar.bz2", 4, 32, 32, []),
        ("hwloc-tree/32intel64-2p8co2t+8ve.tar.bz2", 2, 16, 32, []),
        ("hwloc-tree/40intel64-2g2n4c+pcilocality.tar.bz2", 4, 40, 40, []),
        ("hwloc-tree/memorysidecaches.tar.bz2", 2, 40, 80, []),
        ("lscpu-tree/x86_64-epyc_7451.tar.gz", 2, 48, 96, []),
        ("lscpu-tree/x86_64-64cpu.tar.gz", 4, 32, 64, []),
        # A core that was put offline, and two of a virtual machine.
        ("hwloc-tree/16amd64-8n2c-cpusets.tar.bz2", 8, 15, 15, ["cpu.cores", "cpu.offline"]),
        ("ghw-tree/linux-amd64-offlinecpus.tar.gz", 2, 2, 2, ["cpu.offline", "cpu.vulnerable"]),
        # What tells no sockets has none, not one.
        ("lscpu-tree/ppc64-power7.tar.gz", None, None, 16, []),
        ("ghw-tree/linux-s390x-snapshot.tar.gz", None, None, 0, []),
    ],
)
def test_counts_of_captured_machines(
    unpack_tree: UnpackTree, tree: str, sockets: int | None, cores: int | None, threads: int, codes: list[str]
) -> None:
    cpu = probe_cpu(Look(unpack_tree(tree, CPU)))
    assert (cpu.sockets, cpu.cores, cpu.threads) == (sockets, cores, threads)
    found = [finding.code for check in checks.CHECKS for finding in check.find(Inventory(cpu=cpu), Policy())]
    assert found == codes


@pytest.mark.corpus
def test_one_machine_whole(unpack_tree: UnpackTree) -> None:
    cpu = probe_cpu(Look(unpack_tree("lscpu-tree/x86_64-epyc_7451.tar.gz", CPU)))
    assert cpu.model == "AMD EPYC 7451 24-Core Processor" and cpu.architecture == "x86_64"
    assert (cpu.frequency_min, cpu.frequency_max, cpu.turbo, cpu.smt) == (1_200_000_000, 2_300_000_000, True, "on")
    assert (cpu.governor, cpu.driver, cpu.microcode) == ("performance", "acpi-cpufreq", "0x8001227")
    assert [(one.cores, one.threads, one.stepping) for one in cpu.packages] == [(24, 48, "2")] * 2
    assert ("L3 unified", 8 << 20, 16) in [(one.id, one.size, one.count) for one in cpu.caches]
    assert cpu.virtual is False and "svm" in cpu.flags


@pytest.mark.corpus
def test_every_cpuinfo_of_the_corpus(corpus: Path) -> None:
    found = {
        file.name: len(parse_cpuinfo(file.read_text(errors="replace"))) for file in (corpus / "proc-cpuinfo").iterdir()
    }
    assert sum(count > 0 for count in found.values()) >= 10 and max(found.values()) < 300


@given(st.text())
def test_noise(text: str) -> None:
    parse_cpuinfo(text), parse_size(text)
    assert all(number >= 0 for number in parse_list(text[:50]))


def test_this_machine_agrees_with_psutil() -> None:
    import psutil

    cpu = probe_cpu(Look(Host()))
    assert cpu.threads == psutil.cpu_count()
    assert cpu.cores == psutil.cpu_count(logical=False)
