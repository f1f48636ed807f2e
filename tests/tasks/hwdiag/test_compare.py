"""A machine beside its siblings, and beside itself from before: what deviates is named, what varies by itself not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liveagent.events import Verdict
from liveagent.machine.form import Form, make_form
from liveagent.machine.schema import make_schema
from liveagent.tasks.hwdiag import earlier, facts, ordered, siblings
from liveagent.tasks.hwdiag.compare import find_before
from liveagent.tasks.hwdiag.inventories import Other, extract
from liveagent.tasks.hwdiag.policy import Policy, Rules
from liveagent.tasks.hwdiag.siblings import choose_siblings, is_same_machine
from liveagent.tasks.hwdiag.versions import compare_versions
from tests.tasks.hwdiag.servers import GIB, change, make_disk, make_port, make_server

SERVER = make_server()
SIBLINGS = [make_server(f"SN{number}") for number in range(2, 9)]


def deviations(document: Mapping[str, Any], like: Sequence[Mapping[str, Any]] = SIBLINGS) -> list[tuple[str, str]]:
    return [(one.code, one.summary) for one in siblings.find(document, like, Policy())]


# -- versions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("2.8.1", "2.10.2"),
        ("v2.54", "2.60"),
        ("U30 v2.54 (06/16/2021)", "U30 v2.60 (01/02/2022)"),
        ("12/31/2020", "01/02/2021"),
        ("0x2f01", "0x10000"),
        ("0x5002f01", "0x5003604"),
        ("3.1a", "3.1c"),
        ("3.1", "3.1a"),
        ("2.10", "2.10.1"),
        ("GDC5602Q", "GDC5902Q"),
        ("XCV10110", "XCV10132"),
        ("SN04", "SN05"),
        ("1.05", "1.10"),
        ("8.30 0x8000a49d 1.2926.0", "8.40 0x8000b0c1 1.3082.0"),
        ("14.31.1014 (MT_0000000080)", "14.32.1010 (MT_0000000080)"),
        ("FFV21.40.21 bc 5720-v1.39 NCSI v1.5.18.0", "FFV21.80.8 bc 5720-v1.39 NCSI v1.5.33.0"),
    ],
)
def test_the_newer_of_two_versions(older: str, newer: str) -> None:
    assert (compare_versions(older, newer), compare_versions(newer, older)) == (-1, 1)
    assert compare_versions(older, older) == 0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("GDC5902Q", "EDA5402Q"),
        ("1.05", "1.4"),
        ("1.05", "1.5"),
        ("2.10", "2.10 beta"),
        ("14.31.1014 (MT_0000000080)", "14.32.1010 (DEL_0000000016)"),
        ("0105", "01A0"),
        ("", "1.0"),
        ("unknown", "1.0"),
        ("2-10", "2.9"),
    ],
)
def test_where_it_cannot_be_told(one: str, other: str) -> None:
    assert compare_versions(one, other) is None and compare_versions(other, one) is None


@settings(max_examples=500, deadline=None)
@given(st.from_regex(r"[0-9a-z.()x/ v-]{0,16}"), st.from_regex(r"[0-9a-z.()x/ v-]{0,16}"))
def test_any_two_texts_have_an_order_or_none(one: str, other: str) -> None:
    found, back = compare_versions(one, other), compare_versions(other, one)
    assert (found is None and back is None) or found == -(back or 0)


# -- siblings ---------------------------------------------------------------------------------------


def test_like_machines_have_no_deviants() -> None:
    """Serials, names and loads are each machine's own."""
    assert deviations(SERVER) == []


@pytest.mark.parametrize(
    ("document", "found"),
    [
        (
            change(SERVER, "system.bios_version", "2.8.1"),
            [("compare.sibling.older", "BIOS: 7 of 8 have 2.10.2, this one 2.8.1")],
        ),
        (
            change(SERVER, "system.bios_version", "2.11.0"),
            [("compare.sibling.differs", "BIOS: 7 of 8 have 2.10.2, this one 2.11.0")],
        ),
        (
            change(SERVER, "cpu.packages", SERVER["cpu"]["packages"][:1]),
            [("compare.sibling.fewer", "CPU 1: 7 of 8 have 1, this one 0")],
        ),
        (
            change(SERVER, "memory.dimms", SERVER["memory"]["dimms"][:3]),
            [("compare.sibling.fewer", "DIMM B2: 7 of 8 have 1, this one 0")],
        ),
        (
            change(SERVER, "memory.dimms", [{**dimm, "configured": 2933} for dimm in SERVER["memory"]["dimms"]]),
            [("compare.sibling.slower", "DIMM A1, A2, B1, B2 MT/s: 7 of 8 have 3200, this one 2933")],
        ),
        (
            change(SERVER, "memory.dimms.0.size", 16 * GIB),
            [("compare.sibling.fewer", "DIMM A1 size: 7 of 8 have 32 GiB, this one 16 GiB")],
        ),
        (
            change(SERVER, "disks.0.firmware", "GDC5602Q"),
            [
                (
                    "compare.sibling.older",
                    "disk SAMSUNG MZQL23T8 firmware: 7 of 8 have GDC5902Q, this one GDC5602Q, GDC5902Q",
                )
            ],
        ),
        (
            change(SERVER, "disks", SERVER["disks"][1:]),
            [("compare.sibling.fewer", "disk nvme 3.84 TB: 7 of 8 have 2, this one 1")],
        ),
        (
            change(SERVER, "disks", [*SERVER["disks"], make_disk("sdb", "usb", 16 * 10**9, model="Stick")]),
            [("compare.sibling.more", "disk usb 16.0 GB: 7 of 8 have 0, this one 1")],
        ),
        (
            change(SERVER, "nics.1.speed_mbit", 10_000),
            [("compare.sibling.slower", "NIC 0000:3b:00.2 Mbit/s: 7 of 8 have 25000, this one 10000")],
        ),
        (
            change(SERVER, "nics", SERVER["nics"][:1]),
            [("compare.sibling.fewer", "NIC mlx5_core: 7 of 8 have 2, this one 1")],
        ),
        (
            change(SERVER, "cpu.microcode", "0xd000389"),
            [("compare.sibling.older", "microcode: 7 of 8 have 0xd0003a5, this one 0xd000389")],
        ),
        (
            change(SERVER, "pci.0.link.speed", 2.5),
            [("compare.sibling.slower", "PCI device 0000:3b:00.1 ConnectX-5 GT/s: 7 of 8 have 8.0, this one 2.5")],
        ),
        (change(SERVER, "system.bios_version", None), []),
        (change(SERVER, "memory", {"total": None, "dimms": None}), []),
    ],
)
def test_a_deviant_is_named_once(document: dict[str, Any], found: list[tuple[str, str]]) -> None:
    assert deviations(document) == found


PORTS = [make_port(0), make_port(1)]
CLUSTER = [make_server(f"SN{number}", infiniband=PORTS) for number in range(2, 9)]


@pytest.mark.parametrize(
    ("ports", "found"),
    [
        (PORTS, []),
        (
            PORTS[:1],
            [("compare.sibling.fewer", "InfiniBand port MT4115: 7 of 8 have 2, this one 1")],
        ),
        (
            [PORTS[0], {**PORTS[1], "rate": 40 * 10**9}],
            [("compare.sibling.slower", "InfiniBand port mlx5_1/1 link speed: 7 of 8 have 100 G/s, this one 40 G/s")],
        ),
        (
            [PORTS[0], {**PORTS[1], "physical": "Polling", "rate": None, "width": None}],
            [("compare.sibling.differs", "InfiniBand port mlx5_1/1 link: 7 of 8 have LinkUp, this one Polling")],
        ),
        # A port for RoCE is a network interface, and counted there.
        ([*PORTS, make_port(2, transport="RoCE", rate=10**10)], []),
    ],
)
def test_ports_of_a_cluster(ports: list[dict[str, Any]], found: list[tuple[str, str]]) -> None:
    assert deviations(make_server(infiniband=ports), CLUSTER) == found


def test_what_stands_in_usb_ports_is_not_compared() -> None:
    stick = {"id": "1-1", "vendor_id": "0781", "product": "Stick", "is_hub": False}
    assert deviations(make_server(usb=[stick])) == [] == changes(make_server(usb=[stick]), make_server(usb=[]))


def test_what_could_not_be_seen_is_not_missing() -> None:
    unseen = [{"part": "disks", "why": "no-answer", "detail": "no end"}]
    assert deviations({**SERVER, "disks": [], "missing": unseen}) == []


def test_a_newer_version_of_one_sibling_is_enough() -> None:
    like = [change(SIBLINGS[0], "system.bios_version", "2.12.0"), *SIBLINGS[1:]]
    assert deviations(SERVER, like) == [("compare.sibling.older", "BIOS: 1 of 8 have 2.12.0, this one 2.10.2")]


def test_of_one_version_the_date_decides() -> None:
    """HPE's BIOS is called U30 in all its versions."""
    system = {"bios_version": "U30", "bios_date": "06/16/2021"}
    like = [change(one, "system", {**system, "bios_date": "01/20/2022"}) for one in SIBLINGS]
    summary = "BIOS: 7 of 8 have U30 (01/20/2022), this one U30 (06/16/2021)"
    assert deviations(change(SERVER, "system", system), like) == [("compare.sibling.older", summary)]


def test_no_majority_no_deviant() -> None:
    half = [change(one, "cpu.smt", "off") for one in SIBLINGS[:4]]
    apart = [change(one, "system.boot_mode", "bios") for one in SIBLINGS[:4]]
    assert deviations(SERVER, [*half, *SIBLINGS[4:]]) == deviations(SERVER, [*apart, *SIBLINGS[4:]]) == []
    strict = Policy(Rules(limits={"compare.majority": 50}))
    assert siblings.find(SERVER, [*apart, *SIBLINGS[4:]], strict)[0].code == "compare.sibling.differs"


def test_who_is_a_sibling() -> None:
    other_product = change(SIBLINGS[0], "identity.product", "PowerEdge R750")
    other_cpu = [change(one, "cpu.model", "Intel Xeon Silver 4310") for one in SIBLINGS[2:5]]
    again = {**SIBLINGS[1], "taken": "2027-01-01T00:00:00.000Z"}
    everybody = [SERVER, other_product, SIBLINGS[1], again, *other_cpu, SIBLINGS[6]]
    assert choose_siblings(SERVER, everybody, 2) == [again, SIBLINGS[6]]
    # Of one with the wrong CPU the others are siblings all the same: that it is wrong has to be seen.
    assert len(choose_siblings(change(SERVER, "cpu.model", "wrong"), everybody, 2)) == 5
    assert choose_siblings(change(SERVER, "identity.product", None), everybody, 2) == []


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (("A", "u"), ("A", "u"), True),
        (("A", None), ("A", "u"), True),
        ((None, "u"), ("A", "u"), True),
        (("A", "u"), ("A", "v"), False),  # two nodes of a chassis
        (("A", "u"), ("B", "u"), False),  # boards whose UUID nobody wrote
        ((None, None), (None, None), False),
    ],
)
def test_the_same_machine(one: tuple[Any, Any], other: tuple[Any, Any], same: bool) -> None:
    documents = [{"identity": {"serial": serial, "uuid": uuid}} for serial, uuid in (one, other)]
    assert is_same_machine(*documents) is same


# -- before -----------------------------------------------------------------------------------------


def changes(document: Mapping[str, Any], before: Mapping[str, Any] = SERVER) -> list[tuple[str, str]]:
    since = f" since {before['taken']}"
    return [(one.code.rpartition(".")[2], one.summary.replace(since, "")) for one in earlier.find(document, before)]


def test_nothing_has_changed() -> None:
    assert changes({**SERVER, "taken": "2026-02-01T00:00:00.000Z"}) == []


def with_health(document: dict[str, Any], **health: int | None) -> dict[str, Any]:
    return change(document, "disks.0", {**document["disks"][0], "health": health})


SLOTTED = change(SERVER, "disks.0.slot", "4")


@pytest.mark.parametrize(
    ("document", "before", "found"),
    [
        (
            change(SERVER, "system.bios_version", "2.12.0"),
            SERVER,
            [("changed", "BIOS is 2.12.0, was 2.10.2,")],
        ),
        (change(SERVER, "system.bios_version", "2.8.1"), SERVER, [("older", "BIOS is 2.8.1, was 2.10.2,")]),
        (
            change(SERVER, "cpu.packages", SERVER["cpu"]["packages"][:1]),
            SERVER,
            [("gone", "CPU 1 is not there any more,")],
        ),
        (
            change(SERVER, "pci.0.link.width", 4),
            SERVER,
            [("less", "PCI device 0000:3b:00.1: lanes is 4, was 8,")],
        ),
        (
            change(SERVER, "disks", SERVER["disks"][1:]),
            SERVER,
            [("gone", "disk nvme0n1 S-nvme0n1 is not there any more,")],
        ),
        (
            change(SERVER, "disks", [*SERVER["disks"], make_disk("sdb")]),
            SERVER,
            [("new", "disk sdb S-sdb is new")],
        ),
        (
            change(SLOTTED, "disks.0", make_disk("sdq", slot="4")),
            SLOTTED,
            [("swapped", "disk sdq S-sdq slot 4 is in slot 4, and was nvme0n1 S-nvme0n1 slot 4 before,")],
        ),
        (
            change(SERVER, "memory.dimms.1.serial", "other"),
            SERVER,
            [("changed", "DIMM A2 other: serial is other, was SN1A2,")],
        ),
        (
            change(SERVER, "memory.dimms", SERVER["memory"]["dimms"][:3]),
            SERVER,
            [("gone", "DIMM B2 SN1B2 is not there any more,")],
        ),
        (
            with_health(SERVER, reallocated=12, media_errors=1, pending=0),
            with_health(SERVER, reallocated=4, media_errors=1, pending=8),
            [("grown", "disk nvme0n1 S-nvme0n1: reallocated sectors grew from 4 to 12")],
        ),
        (with_health(SERVER, reallocated=12), with_health(SERVER, reallocated=None), []),
        (
            make_server(infiniband=[{**PORTS[0], "rate": 40 * 10**9}]),
            make_server(infiniband=PORTS),
            [
                ("gone", "InfiniBand port mlx5_1/1 is not there any more,"),
                ("less", "InfiniBand port mlx5_0/1: link speed is 40 G/s, was 100 G/s,"),
            ],
        ),
        # The last inventory is of an agent that did not look for ports.
        (make_server(infiniband=PORTS), SERVER, []),
        ({**SERVER, "disks": None}, SERVER, []),
        ({**SERVER, "disks": [], "missing": [{"part": "disks", "why": "no-answer"}]}, SERVER, []),
    ],
)
def test_what_has_changed(document: dict[str, Any], before: dict[str, Any], found: list[tuple[str, str]]) -> None:
    assert changes(document, before) == found


def test_what_somebody_did_on_purpose_is_a_remark() -> None:
    """A part that was added, swapped or updated is what maintenance looks like."""
    worse = {code.code for code in earlier.CODES if code.verdict is not Verdict.PASS}
    assert worse == {f"compare.earlier.{name}" for name in ("gone", "less", "older", "grown")}


def test_the_last_one_before_counts() -> None:
    others = [Other(taken, {**SERVER, "taken": taken}) for taken in ("2025", "2026-01-01", "2024")]
    others += [Other("another", {**SIBLINGS[0], "taken": "2027"}), Other("itself", SERVER)]
    found = find_before(SERVER, others)
    assert found and found.origin == "2026-01-01"
    assert find_before(SERVER, others[3:]) is None


# -- whatever others wrote --------------------------------------------------------------------------

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "slot", "size", "kind", "model", "firmware", "health", "dimms"]), inner
        )
    ),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(st.sampled_from([*SERVER, "missing"]), JSON_VALUES)


@settings(max_examples=300, deadline=None)
@given(DOCUMENTS, DOCUMENTS)
def test_foreign_documents_raise_nothing(one: dict[str, Any], other: dict[str, Any]) -> None:
    for document, like in ((SERVER, [one, other]), (one, [SERVER, SIBLINGS[0]]), (one, [other, one])):
        found = [*siblings.find(document, like, Policy()), *earlier.find(document, like[0])]
        json.dumps([finding.encode() for finding in found])
        choose_siblings(document, like, 2)
        ordered.render_expectation(document)


@pytest.mark.parametrize("document", [None, 3, [], {}, {"tasks": 3}, {"tasks": [3, {"data": 3}, {"data": {}}]}])
def test_what_is_no_inventory(document: object) -> None:
    assert list(extract(document)) == []


def test_the_inventory_in_a_result() -> None:
    assert list(extract({"tasks": [{"task": "hwdiag", "data": {"inventory": SERVER}}]})) == [SERVER]


# -- the tables -------------------------------------------------------------------------------------


def list_table_paths() -> list[str]:
    """Every path that is compared, watched or written; `[]` is a list's item."""
    found = [path for field in facts.SINGLE for path in (field.path, field.dated) if path] + list(ordered.VALUES)
    for parts in facts.LISTS:
        found += [f"{parts.path}[].{path}" for path in (*parts.by, *(field.path for field in parts.fields))]
    for path, (_, fields) in earlier.WATCHED.items():
        found += [f"{path}[].id", *(f"{path}[].{field.path}" for field in fields)]
    for path, counters in earlier.COUNTERS.items():
        found += [f"{path}[].{field.path}" for field in counters]
    for row in ordered.ROWS:
        found += [f"{row.path}[].{path}" for path in (*row.kind, *row.choice)]
    return sorted(set(found))


@pytest.mark.parametrize("path", list_table_paths())
def test_what_is_compared_is_in_the_inventory(path: str) -> None:
    """A path that no inventory has would be compared by nobody, and nobody would see that."""
    form: Form | None = make_form(make_schema())
    for name in path.split("."):
        form = form.field(name.removesuffix("[]")) if form else None
        form = form.items if form and name.endswith("[]") else form
    assert form is not None


def test_a_recorded_machine_is_like_its_copies() -> None:
    """A recorded machine beside copies of itself is like them, and as it was."""
    from liveagent.machine.inventory import probe_inventory
    from liveagent.recording import Replay

    recorded = Path(__file__).parents[2] / "machines" / "lab-pxe"
    document = probe_inventory(Replay(recorded)).encode()
    copies = [change(document, "identity.serial", f"COPY{number}") for number in range(3)]
    copies = [change(copy, "identity.uuid", None) for copy in copies]
    assert siblings.find(document, choose_siblings(document, copies, 2), Policy()) == []
    assert len(choose_siblings(document, copies, 2)) == 3
    assert earlier.find(document, document) == []


def test_a_graphics_processor_at_rest_is_no_slower_one() -> None:
    """It slows its link down, and the port above it; a network card does not."""
    for code, speed in (("030200", None), ("060400", None), ("020000", 2.5)):
        assert facts.PCI_LINK[0].read({"class_code": code, "link": {"speed": 2.5, "width": 16}}) == speed
