"""An expectation made of a good machine: that one meets it, one with a part less does not, and no serial is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from liveagent.host import Host
from liveagent.machine.dmidecode import parse_dmidecode
from liveagent.machine.encoding import encode
from liveagent.machine.inventory import probe_inventory
from liveagent.machine.memory import parse_dimms
from liveagent.tasks.hwdiag import earlier, siblings
from liveagent.tasks.hwdiag.difference import Difference, Match, compare
from liveagent.tasks.hwdiag.expectation import parse_expectation
from liveagent.tasks.hwdiag.ordered import make_expectation, render_expectation
from liveagent.tasks.hwdiag.policy import Policy
from liveagent.tasks.hwdiag.siblings import choose_siblings
from liveagent.tasks.hwdiag.source import parse_document
from tests.conftest import UnpackTree
from tests.tasks.hwdiag.servers import FORM, change, make_disk, make_port, make_server

SERVER = make_server()


def differ(good: dict[str, Any], document: dict[str, Any]) -> list[Difference]:
    """How a machine differs from what another one, written as YAML, lets expect."""
    expected = parse_expectation(parse_document(render_expectation(good).encode()), FORM)
    return [one for one in compare(expected, document) if one.match is not Match.HELD]


def test_what_is_written() -> None:
    """Kinds and amounts, as a person would write them: no serial, no name, no load."""
    text = render_expectation(SERVER)
    assert (
        text.splitlines()[0]
        == "# What is expected of Dell Inc. PowerEdge R650, as one was on 2026-01-02T03:04:05.000Z."
    )
    document = yaml.safe_load(text)
    assert document["disks"] == [
        {"count": 2, "kind": "nvme", "size": "3.84 TB", "model": "SAMSUNG MZQL23T8"},
        {"count": 1, "kind": "ssd", "size": "480 GB", "model": "INTEL SSDSC2"},
    ]
    assert document["memory"]["dimms"] == [{"count": 4, "size": "32 GiB", "type": "DDR4"}]
    assert document["nics"] == [{"count": 2, "speed_max_mbit": "25 Gbit/s"}]
    assert document["cpu"]["packages"] == [{"count": 2, "model": "Intel Xeon Gold 6330", "cores": 28, "threads": 56}]
    assert not [part for part in ("SN1", "S-nvme0n1", "nvme0n1", "uuid", "gpus", "load") if part in text]


def test_models_that_were_seen_will_do() -> None:
    disks = [make_disk("nvme0n1"), make_disk("nvme1n1", model="KIOXIA KCD6")]
    assert make_expectation(make_server(disks=disks))["disks"][0]["model"] == ["KIOXIA KCD6", "SAMSUNG MZQL23T8"]
    assert differ(make_server(disks=disks), make_server(disks=[disks[1], make_disk("nvme2n1")])) == []


def test_ports_by_their_rate() -> None:
    ports = [make_port(0), make_port(1), make_port(2, transport="RoCE")]
    document = make_server(infiniband=ports)
    made = make_expectation(document)["infiniband"]
    assert made == [{"count": 2, "rate": "100 Gbit/s", "model": "MT4115"}]
    assert differ(document, document) == []
    assert len(differ(document, make_server(infiniband=ports[1:]))) == 1


def test_a_sibling_of_other_serials_meets_it() -> None:
    renamed = [{**disk, "name": f"x{disk['name']}", "serial": "other"} for disk in SERVER["disks"][::-1]]
    assert differ(SERVER, make_server("SN2", disks=renamed)) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("cpu.packages", SERVER["cpu"]["packages"][:1]),
        ("system.bios_version", "2.8.1"),
        ("memory.dimms", SERVER["memory"]["dimms"][1:]),
        ("memory.dimms.0.size", 2**34),
        ("disks", SERVER["disks"][1:]),
        ("disks.0.size", 1_920_383_410_176),
        ("disks.0.model", "KIOXIA KCD6"),
        ("identity.product", "PowerEdge R750"),
    ],
)
def test_each_wrong_part_is_exactly_one_difference(path: str, value: Any) -> None:
    assert len(differ(SERVER, change(SERVER, path, value))) == 1


def test_what_was_not_measured_is_not_expected() -> None:
    unseen = [{"part": "disks", "why": "no-answer", "detail": ""}]
    made = make_expectation(make_server(disks=[], memory=None, missing=unseen, cpu=None))
    assert set(made) == {"identity", "system", "nics"}


TEXTS = st.text(max_size=10) | st.sampled_from(
    [">= 2", "= x", "!= ", "/x/", "/x/i", "*", "a?b", "1..2", "'quoted'", "yes", "~", "3.10", "0x10", "null", " a  b "]
)
SIZES = st.none() | st.integers(0, 2**60) | st.sampled_from([480_103_981_056, 2**30, 1_005_000_000_000, 10**12])
DISKS = st.builds(
    lambda name, kind, size, model: make_disk(name, kind, size, model=model),
    TEXTS,
    st.sampled_from(["nvme", "ssd", "hdd", "usb", "loop", ""]),
    SIZES,
    TEXTS,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(DISKS, max_size=6), st.none() | TEXTS, st.none() | st.integers(0, 9), st.lists(SIZES, max_size=5))
def test_every_machine_meets_its_own(
    disks: list[dict[str, Any]], model: str | None, sockets: int | None, dimms: list[int | None]
) -> None:
    slots = [{"id": f"A{number}", "slot": f"A{number}", "size": size} for number, size in enumerate(dimms)]
    document = make_server(
        disks=disks,
        cpu={"packages": [{"id": "0", "model": model, "cores": sockets}]},
        memory={"dimms": slots},
        identity={"vendor": model, "product": model},
    )
    if make_expectation(document):
        assert differ(document, document) == []


@pytest.mark.parametrize("root", ["/", str(Path(__file__).parents[2] / "machines" / "lab-pxe")])
def test_real_machines_meet_their_own(root: str) -> None:
    document = probe_inventory(Host(root)).encode()
    expected = parse_expectation(parse_document(render_expectation(document).encode()), FORM)
    assert [one for one in compare(expected, document) if one.match is not Match.HELD] == []


def test_recorded_memory_meets_its_own(corpus: Path) -> None:
    """Every recorded server's modules: one that is taken out is missed, and just that."""
    counts = []
    for path in sorted((corpus / "dmidecode").glob("*.txt")):
        dimms = encode(parse_dimms(parse_dmidecode(path.read_text(errors="replace"))))
        document = make_server(memory={"dimms": dimms})
        assert differ(document, document) == [], path.name
        fitted = [dimm for dimm in dimms if dimm["size"]]
        if not fitted:
            continue
        counts.append(len(fitted))
        without = [dimm for dimm in dimms if dimm is not fitted[0]]
        [one] = differ(document, make_server(memory={"dimms": without}))
        assert (one.match, one.path, one.detail) == (Match.MISSING, "memory.dimms", "1 missing"), path.name
    assert len(counts) > 70 and max(counts) >= 24


TREE = "hwloc-tree/40intel64-2g2n4c+pcilocality.tar.bz2"
FILES = r"/proc/(cpuinfo|meminfo|cmdline|self|swaps)|/(bus/pci|devices/pci|block|net|dmi|nvme|system/cpu|system/node)"


def test_a_recorded_server_meets_its_own(unpack_tree: UnpackTree) -> None:
    """Captured whole: its own expectation, copies of it, and itself from before have nothing to say."""
    document = json.loads(json.dumps(probe_inventory(unpack_tree(TREE, FILES)).encode()))
    assert len(document["cpu"]["packages"]) == 4 and len(document["pci"]) > 30
    expected = parse_expectation(parse_document(render_expectation(document).encode()), FORM)
    found = compare(expected, document)
    assert len(found) > 4 and [one for one in found if one.match is not Match.HELD] == []
    document["identity"].update(product="X", serial="A")
    copies = [change(document, "identity.serial", serial) for serial in ("B", "C", "D")]
    assert len(choose_siblings(document, copies, 2)) == 3
    assert siblings.find(document, copies, Policy()) == earlier.find(document, document) == []
