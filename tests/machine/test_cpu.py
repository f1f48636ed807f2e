"""Processors out of captured machines: counts compared with the machines' own names, and with lscpu."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveagent.host import Host
from liveagent.machine.cpu import Socket, parse_cpuinfo, parse_list, parse_mask, parse_size, parse_sockets, probe_cpu
from liveagent.machine.dmidecode import parse_dmidecode
from liveagent.machine.inventory import Inventory
from liveagent.machine.look import Look
from liveagent.tasks.hwdiag.checks import cpu as checks
from liveagent.tasks.hwdiag.policy import Policy
from tests.conftest import UnpackTree
from tests.machine.tools import tool

CPU = r"/(system/cpu|system/node|cpuinfo)"


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("0-3,8", (0, 1, 2, 3, 8)), ("0", (0,)), ("", ()), ("all", ()), ("3-1", ()), ("0-1,x,4", (0, 1, 4))],
)
def test_lists(text: str, numbers: tuple[int, ...]) -> None:
    assert parse_list(text) == numbers


@pytest.mark.parametrize(
    ("text", "numbers"), [("00000000,00000003", (0, 1)), ("1,00000001", (0, 32)), ("0", ()), ("", ()), ("x", ())]
)
def test_masks(text: str, numbers: tuple[int, ...]) -> None:
    assert parse_mask(text) == numbers


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("tree", "sockets", "cores", "threads", "codes"),
    [
        ("hwloc-tree/16amd64-8n2c.tar.bz2", 8, 16, 16, []),
        ("hwloc-tree/16em64t-4s2c2t.tar.bz2", 4, 8, 16, []),
        ("hwloc-tree/32amd64-4s2n4c-cgroup2.tar.bz2", 4, 32, 32, []),
        ("hwloc-tree/32intel64-2p8co2t+8ve.tar.bz2", 2, 16, 32, []),
        # One core of forty was too hot 237 times.
        ("hwloc-tree/40intel64-2g2n4c+pcilocality.tar.bz2", 4, 40, 40, ["cpu.throttled"]),
        ("hwloc-tree/memorysidecaches.tar.bz2", 2, 40, 80, []),
        ("lscpu-tree/x86_64-epyc_7451.tar.gz", 2, 48, 96, []),
        ("lscpu-tree/x86_64-64cpu.tar.gz", 4, 32, 64, []),
        # A core that was put offline, and two of a virtual machine.
        ("hwloc-tree/16amd64-8n2c-cpusets.tar.bz2", 8, 15, 15, ["cpu.cores", "cpu.offline"]),
        ("ghw-tree/linux-amd64-offlinecpus.tar.gz", 2, 2, 2, ["cpu.offline", "cpu.vulnerable"]),
        ("hwloc-tree/96em64t-4no4pa3ca2co.tar.bz2", 16, 96, 96, []),
        # Of the two nodes in each of its processors one has 8 GiB, and the other 16.
        ("hwloc-tree/48amd64-4pa2n6c-sparse.tar.bz2", 4, 48, 48, ["cpu.node.uneven"]),
        ("hwloc-tree/nvidia-dgx-gb10.tar.bz2", 1, 20, 20, ["cpu.turbo"]),
        # A laptop that was hot.
        ("lscpu-tree/x86_64-64cpu-linux6.2.tar.gz", 1, 4, 8, ["cpu.throttled"]),
        # What tells no sockets has none, not one.
        ("lscpu-tree/ppc64-power7.tar.gz", None, None, 16, []),
        ("ghw-tree/linux-s390x-snapshot.tar.gz", None, None, None, []),
    ],
)
def test_counts_of_captured_machines(
    unpack_tree: UnpackTree, tree: str, sockets: int | None, cores: int | None, threads: int | None, codes: list[str]
) -> None:
    cpu = probe_cpu(Look(unpack_tree(tree, CPU)))
    assert (cpu.sockets, cpu.cores, cpu.threads) == (sockets, cores, threads)
    found = [finding.code for check in checks.CHECKS for finding in check.find(Inventory(cpu=cpu), Policy())]
    assert found == codes


@pytest.mark.corpus
@pytest.mark.parametrize(
    "tree",
    [
        *(f"hwloc-tree/{name}.tar.bz2" for name in ("16amd64-8n2c", "32amd64-4s2n4c-cgroup2", "memorysidecaches")),
        *(f"hwloc-tree/{name}.tar.bz2" for name in ("32em64t-2n8c+dax+nvme+mic+dimms", "32intel64-2p8co2t+8ve")),
        *(f"hwloc-tree/{name}.tar.bz2" for name in ("40intel64-2g2n4c+pcilocality", "8em64t-2s2ca2c-buggynuma")),
        *(f"lscpu-tree/{name}.tar.gz" for name in ("x86_64-epyc_7451", "x86_64-64cpu", "x86_64-64cpu-linux6.2")),
    ],
)
def test_lscpu_says_the_same(unpack_tree: UnpackTree, tree: str) -> None:
    """The kernel's files of ten servers, read by another program."""
    host = unpack_tree(tree, CPU)
    cpu = probe_cpu(Look(host))
    said = flatten(json.loads(tool("lscpu", "--json", "--sysroot", host.root))["lscpu"])
    sockets, cores = int(said["Socket(s)"]), int(said["Core(s) per socket"])
    assert (cpu.sockets, cpu.cores) == (sockets, sockets * cores)
    assert (cpu.threads, len(cpu.nodes)) == (int(said["CPU(s)"]), int(said["NUMA node(s)"]))
    assert cpu.model == re.sub(r"\s+", " ", said["Model name"])
    last = max(cpu.caches, key=lambda cache: cache.level)
    count = re.search(r"\((\d+) instance", said[f"L{last.level} cache"])
    assert count and last.count == int(count[1])
    nodes = [parse_list(said[f"NUMA node{node.id} CPU(s)"]) for node in cpu.nodes]
    assert [parse_list(node.cpus) for node in cpu.nodes] == nodes


def flatten(fields: list[dict[str, Any]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for field in fields:
        found[field["field"].rstrip(":")] = field["data"]
        found.update(flatten(field.get("children", [])))
    return found


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
def test_unlike_cores_of_one_processor(unpack_tree: UnpackTree) -> None:
    """The highest frequency is that of the fastest core, and caches of two sizes have names of their own."""
    cpu = probe_cpu(Look(unpack_tree("hwloc-tree/nvidia-dgx-gb10.tar.bz2", CPU)))
    assert (cpu.frequency_max, cpu.governor, cpu.driver) == (3_900_000_000, "performance", "cppc_cpufreq")
    second = [(one.id, one.count) for one in cpu.caches if one.level == 2]
    assert second == [("L2 unified 512 KiB", 10), ("L2 unified 2048 KiB", 10)]
    assert len({one.id for one in cpu.caches}) == len(cpu.caches)


@pytest.mark.corpus
def test_nodes(unpack_tree: UnpackTree) -> None:
    cpu = probe_cpu(Look(unpack_tree("hwloc-tree/memorysidecaches.tar.bz2", CPU)))
    assert [(node.threads, node.distances[int(node.id)]) for node in cpu.nodes] == [(20, 10)] * 4
    assert cpu.nodes[0].cpus == ",".join(map(str, range(0, 80, 4)))


@pytest.mark.corpus
def test_throttles(unpack_tree: UnpackTree) -> None:
    """The count of a package (30 and 6, in each of its threads' files), or that of a core (5 and 9), which is more."""
    cpu = probe_cpu(Look(unpack_tree("sysfs-tree/node_exporter-thermal-throttle.tar.gz", CPU)))
    assert [(one.id, one.throttled) for one in cpu.packages] == [("0", 30), ("1", 9)]


@pytest.mark.parametrize(
    ("files", "turbo"),
    [
        ({"intel_pstate/no_turbo": "0"}, True),
        # With `ida` among the flags there is one to be had; without, nobody knows.
        ({"intel_pstate/no_turbo": "1"}, False),
        ({"intel_pstate/no_turbo": "1", "cpuinfo": "processor : 0\nflags : lm\n"}, None),
        ({"cpufreq/boost": "1"}, True),
        ({"cpufreq/boost": "0"}, False),
        ({}, None),
    ],
)
def test_turbo(tmp_path: Path, files: Mapping[str, str], turbo: bool | None) -> None:
    files = {"cpuinfo": "processor : 0\nflags : lm ida\n", **files}
    for name, text in files.items():
        file = tmp_path / ("proc" if name == "cpuinfo" else "sys/devices/system/cpu") / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert probe_cpu(Look(Host(str(tmp_path)))).turbo is turbo


def read_sockets(corpus: Path, name: str) -> tuple[Socket, ...]:
    return parse_sockets(parse_dmidecode((corpus / "dmidecode" / name).read_text(encoding="utf-8", errors="replace")))


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("file", "sockets"),
    [
        ("dell-poweredge-r740-388de5.txt", ["CPU1 Intel(R) Xeon(R) Silver 4214 CPU @ 2.20GHz 12/12/24", "CPU2 empty"]),
        # An empty socket that has no type.
        ("nba-sm_ssg-6028r.txt", ["SOCKET 0 Intel(R) Xeon(R) CPU E5-2620 v4 @ 2.10GHz 8/8/16", "SOCKET 1 empty"]),
        ("percona-006.txt", ["CPU 1 Intel(R) Core(TM) i7-1065G7 CPU @ 1.30GHz 4/4/8"]),
        # Of two processors the second waits for the system.
        ("glpi-dell-r720.txt", [f"CPU{n} Intel(R) Xeon(R) CPU E5-2660 v2 @ 2.20GHz 10/10/20" for n in (1, 2)]),
        ("gigabyte-technology-mp32-ar0-3e7cd5.txt", ["CPU 0 Ampere(R) Altra(R) Processor 64/64/64"]),
        ("glpi-oracle-server-6.7-oda.txt", [f"P{n} Intel(R) Xeon(R) CPU E5-2699 v3 @ 2.30GHz 18/4/36" for n in (0, 1)]),
        ("ironlib-x11dph-t-tpm.txt", []),
    ],
)  # fmt: skip
def test_sockets(corpus: Path, file: str, sockets: list[str]) -> None:
    found = [
        f"{one.id} {one.model} {one.cores}/{one.cores_enabled}/{one.threads}" if one.filled else f"{one.id} empty"
        for one in read_sockets(corpus, file)
    ]
    assert found == sockets


@pytest.mark.corpus
def test_every_socket_of_the_corpus(corpus: Path) -> None:
    """Names are unique, no figure is absurd, and none is held back but a guest's, which has 128."""
    held = set()
    for file in sorted((corpus / "dmidecode").iterdir()):
        sockets = read_sockets(corpus, file.name)
        assert len({one.id for one in sockets}) == len(sockets), file.name
        for one in sockets:
            assert one.cores is None or 1 <= one.cores <= 128, file.name
            assert one.cores_enabled is None or (one.cores and one.cores_enabled <= one.cores), file.name
        if any(one.enabled is False for one in sockets):
            held.add(file.stem)
    assert held == {"jc-vmware-centos7"}


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("file", "blocks"),
    [
        ("facter-wo-physical-id.txt", 4), ("glpi-linux-hp-dl180.txt", 3), ("glpi-rhel-5.6.txt", 16),
        ("insights-arm_cpuinfo.txt", 4), ("insights-cpuinfo_hetero.txt", 2), ("insights-one_socket_cpuinfo.txt", 8),
        ("node-exporter.txt", 8), ("ohai-aarch64.txt", 2), ("ohai-ppc64le-p8-host.txt", 20),
        ("ohai-ppc64le-p9-host.txt", 2), ("ohai-s390x.txt", 0), ("ohai-x86-guest-kvm-nested-rhel9.txt", 2),
        ("ohai-x86-host-vuln.txt", 4), ("percona-005.txt", 4), ("percona-007.txt", 24),
    ],
)  # fmt: skip
def test_every_cpuinfo_of_the_corpus(corpus: Path, file: str, blocks: int) -> None:
    """As many as lines `processor : N` in the text; s390x has another form, and none of these."""
    text = (corpus / "proc-cpuinfo" / file).read_text(errors="replace")
    assert len(parse_cpuinfo(text)) == blocks == len(re.findall(r"^processor\s*: \d+$", text, re.M))


@given(st.text())
def test_noise(text: str) -> None:
    parse_cpuinfo(text), parse_size(text), parse_mask(text)
    assert all(number >= 0 for number in parse_list(text[:50]))
    parse_sockets(parse_dmidecode(f"Handle 0x0004, DMI type 4, 48 bytes\nProcessor Information\n{text}"))


def test_this_machine_agrees_with_psutil() -> None:
    import psutil

    cpu = probe_cpu(Look(Host()))
    assert cpu.threads == psutil.cpu_count()
    assert cpu.cores == psutil.cpu_count(logical=False)
