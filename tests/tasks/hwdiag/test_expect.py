"""What was ordered against what is there: every operator, every fault at once, and no pass without a measurement."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liveagent.events import Verdict
from liveagent.tasks.hwdiag.assignment import MAYBE, SURE, Row, assign
from liveagent.tasks.hwdiag.difference import Difference, Match, compare
from liveagent.tasks.hwdiag.expect import encode, find, render_table
from liveagent.tasks.hwdiag.expectation import BadExpectation, parse_expectation
from liveagent.tasks.hwdiag.source import BadSource, parse_document
from tests.tasks.hwdiag.servers import FORM, NVME_SIZE, SSD_SIZE, change, make_disk, make_nic, make_port, make_server

SERVER = make_server()


def look(expected: str, document: Mapping[str, Any] = SERVER) -> list[Difference]:
    """Every place of an expectation in YAML."""
    return compare(parse_expectation(parse_document(expected.encode()), FORM), document)


def differ(expected: str, document: Mapping[str, Any] = SERVER) -> list[tuple[str, str, str]]:
    """What is not as ordered: (how, path, part)."""
    return [(one.match.value, one.path, one.part) for one in look(expected, document) if one.match is not Match.HELD]


def faults(expected: str) -> tuple[str, ...]:
    with pytest.raises(BadExpectation) as raised:
        look(expected)
    return raised.value.faults


# -- one value --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expected",
    [
        "cpu.sockets: 2",
        "cpu.sockets: 2.0",
        "cpu.sockets: '= 2'",
        "cpu.sockets: '>= 2'",
        "cpu.sockets: 1..4",
        "cpu.sockets: [1, 2]",
        "cpu.sockets: ['> 4', '<= 2']",
        "cpu.sockets: '!= 3'",
        "cpu.sockets: 2 ±1",
        "cpu.sockets: '*'",
        "clock.offset: 0.1",
        "cpu: {sockets: 2}",
        "cpu: {sockets: 2}\ncpu.model: 'Intel Xeon*'",
        "memory.total: 128 GiB",
        "memory.total: '>= 128 GiB'",
        "memory.total: '>= 0.125 TiB'",
        "memory.total: 100..128 GiB",
        "memory.total: 137438953472",
        "memory.total: 137 GB",
        "memory.total: 140 GB ±3%",
        "memory.total: 120 GiB ±8 GiB",
        "memory.total: 120 GiB +-8 GiB",
        "cpu.model: intel  xeon gold 6330",
        "cpu.model: 'Intel Xeon Gold 63?0'",
        "cpu.model: '/Gold 6\\d{3}$/'",
        "cpu.model: '/gold/i'",
        "cpu.model: [AMD*, Intel*]",
        "cpu.model: '!= AMD*'",
        "cpu.smt: 'on'",
        "cpu.flags: aes",
        "cpu.flags: [aes, avx512*]",
        "system.bios_version: '2.10.2'",
        "system.bios_version: '>= 2.9'",
        "system.bios_version: '2.8..2.10.2'",
        "system.secure_boot: false",
        "system.secure_boot: 'no'",
        "system.boot_mode: UEFI",
        "raid: null",
        "raid: []",
        "raid: 0",
        "disks: 3",
        "nics: '>= 2'",
        "nics: {count: 2, speed_mbit: 25 Gbit/s}",
        "nics: {count: 2, speed_mbit: 25000, transceiver.kind: SFP28}",
        "cpu.vulnerabilities: {meltdown: Not affected}",
        "cpu.vulnerabilities.meltdown: '!= Vulnerable*'",
    ],
)
def test_what_is_as_ordered(expected: str) -> None:
    assert differ(expected) == []
    assert look(expected)


@pytest.mark.parametrize(
    ("expected", "how"),
    [
        ("cpu.sockets: 1", "differs"),
        ("cpu.sockets: '> 2'", "differs"),
        ("cpu.sockets: '!= 2'", "differs"),
        ("cpu.sockets: [1, 4]", "differs"),
        ("memory.total: 128 GB", "differs"),
        ("memory.total: 127.99 GiB ±0%", "differs"),
        ("memory.total: 137438953473", "differs"),
        ("memory.total: '< 128 GiB'", "differs"),
        ("cpu.model: Intel Xeon", "differs"),
        ("cpu.model: '/^Xeon/'", "differs"),
        ("cpu.model: '= Intel*'", "differs"),
        ("cpu.flags: [aes, sgx]", "missing"),
        ("system.bios_version: '>= 2.11'", "differs"),
        ("system.bios_version: '>= U32'", "unknown"),
        ("system.secure_boot: true", "differs"),
        ("system.boot_mode: bios", "differs"),
        ("cpu.model: null", "differs"),
        ("disks: null", "differs"),
        ("disks: 4", "missing"),
        ("disks: 2", "extra"),
        ("nics: {count: 2, speed_mbit: 10 Gbit/s}", "differs"),
        ("nics: {count: 3, transceiver: {kind: SFP28}}", "missing"),
    ],
)
def test_what_is_not(expected: str, how: str) -> None:
    assert {row[0] for row in differ(expected)} == {how}


def test_memory_is_ordered_by_its_modules() -> None:
    """The kernel never has all of it, on a machine that is just as it was ordered."""
    assert SERVER["memory"]["usable"] < SERVER["memory"]["total"]
    assert differ("memory: {total: '>= 128 GiB', dimms: [{count: 4, speed: 3200 MT/s}]}") == []


def test_memory_that_was_ordered_by_the_gigabyte_is_explained() -> None:
    """`128 GB` of memory are 128 GiB to whoever sells it: the difference says so, and stays one."""
    [one] = look("memory.total: 128 GB")
    assert (one.shown, one.detail) == ("137.439 GB", "(it is 128 GiB)")


# -- what was not measured --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expected",
    [
        "memory.total: '>= 1'",
        "memory.total: '!= 5'",
        "memory.total: '*'",
        "memory.dimms: 4",
        "memory.dimms: [{count: 0}]",
    ],
)
@pytest.mark.parametrize("why", ["no-rights", "no-answer", None])
def test_unknown_is_never_a_pass(expected: str, why: str | None) -> None:
    missing = [{"part": "memory", "why": why, "detail": "dmidecode: permission denied"}] if why else []
    # What the kernel has is not what was ordered: that is what the modules have.
    for memory in (None, {}, {"usable": 2**37, "total": None, "dimms": None}):
        rows = differ(expected, make_server(memory=memory, missing=missing))
        assert [row[0] for row in rows] == ["unknown"]


def test_what_may_not_be_there_and_was_not_looked_for() -> None:
    unseen = [{"part": "raid", "why": "no-tool", "detail": "storcli is not installed"}]
    assert differ("raid: null", make_server(missing=unseen)) == [("unknown", "raid", "raid")]
    assert differ("raid: null", make_server(missing=[{"part": "raid", "why": "absent", "detail": ""}])) == []


def test_what_was_looked_for_and_is_not_there() -> None:
    absent = [{"part": "cpu.model", "why": "absent", "detail": ""}]
    document = change(make_server(missing=absent), "cpu.model", None)
    assert differ("cpu.model: Intel*", document) == [("missing", "cpu.model", "cpu.model")]


def test_a_disk_that_does_not_tell_its_size_may_be_the_ordered_one() -> None:
    document = change(SERVER, "disks.1.size", None)
    expected = "disks: [{count: 2, kind: nvme, size: 3.84 TB}, {kind: ssd}]"
    [one] = [one for one in look(expected, document) if one.match is not Match.HELD]
    assert (one.match, one.found) == (Match.UNKNOWN, 1) and "nvme1n1 S-nvme1n1" in one.detail


# -- lists of parts ---------------------------------------------------------------------------------

ORDER = """
disks:
  - {count: 2, kind: nvme, size: 3.84 TB ±2%}
  - {kind: ssd, size: 480 GB}
"""


def test_the_ordered_disks_are_there() -> None:
    assert differ(ORDER) == []


@pytest.mark.parametrize(
    ("disks", "found"),
    [
        ([make_disk("nvme0n1"), make_disk("sda", "ssd", SSD_SIZE)], [("missing", "disks", "disks")]),
        (
            [make_disk("nvme0n1"), make_disk("nvme1n1", size=NVME_SIZE // 2), make_disk("sda", "ssd", SSD_SIZE)],
            [("differs", "disks.nvme1n1.size", "nvme1n1 S-nvme1n1")],
        ),
        (
            [*SERVER["disks"], make_disk("nvme2n1", slot="7")],
            [("extra", "disks", "nvme2n1 S-nvme2n1 slot 7")],
        ),
        (
            [*SERVER["disks"], make_disk("sdb", "usb", 16 * 10**9)],
            [("extra", "disks", "sdb S-sdb")],
        ),
        ([], [("missing", "disks", "disks"), ("missing", "disks", "disks")]),
    ],
    ids=["one fewer", "a smaller one", "one more", "a stick", "none"],
)
def test_each_wrong_part_is_one_difference(disks: list[Any], found: list[tuple[str, str, str]]) -> None:
    assert differ(ORDER, make_server(disks=disks)) == found


def test_what_is_no_part_of_the_server_is_not_counted() -> None:
    lent = [make_disk("loop0", "loop", 10**9), make_disk("sdx", "usb", 10**9, live_medium=True)]
    lent += [make_disk("sdy", "usb", 10**9, virtual_media=True)]
    assert differ(ORDER, make_server(disks=[*SERVER["disks"], *lent])) == []


def test_others_may_be_there_where_the_order_says_so() -> None:
    assert differ("disks: [{kind: ssd}, {count: '>= 0'}]") == []


def test_what_must_not_be_there_is_no_part_of_any_other_row() -> None:
    """Others may be there, and that one may not."""
    assert differ("disks: [{count: 0, kind: ssd}, {count: '>= 0'}]") == [("differs", "disks", "sda S-sda")]
    assert differ("disks: [{count: '>= 0'}, {count: 0, kind: ssd}]") == [("differs", "disks", "sda S-sda")]
    assert differ("disks: [{count: 0, kind: ssd}, {count: 2, kind: nvme}]") == [("differs", "disks", "sda S-sda")]
    assert differ("disks: [{count: 0, kind: usb}, {count: '>= 0'}]") == []
    unsure = change(SERVER, "disks.2.kind", "")
    assert differ("disks: [{count: 0, kind: usb}, {count: '>= 0'}]", unsure) == [("unknown", "disks", "sda S-sda")]


def test_rows_that_overlap_share_the_parts_out_as_they_fit() -> None:
    """The first row fits all three, the second only nvme: whoever takes the first that fits leaves the second short."""
    assert differ("disks: [{count: 1, size: '>= 400 GB'}, {count: 2, kind: nvme}]") == []
    assert differ("disks: [{count: 2, kind: nvme}, {count: 1, size: '>= 400 GB'}]") == []
    assert differ("disks: [{count: 1..2, size: '>= 400 GB'}, {count: '>= 2', kind: nvme}]") == []


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_assignment_is_better(data: st.DataObject) -> None:
    """Against all that are possible: what is wanted filled, then as many as there is room for, then the surest."""
    parts = data.draw(st.integers(0, 5))
    rows = []
    for _ in range(data.draw(st.integers(1, 3))):
        least = data.draw(st.integers(0, 3))
        most = data.draw(st.one_of(st.none(), st.integers(least, 4)))
        fits = {part: data.draw(st.sampled_from([SURE, MAYBE])) for part in range(parts) if data.draw(st.booleans())}
        rows.append(Row(least, most, fits))
    taken = assign(rows, parts)
    assert _worth(rows, taken) == min(
        worth
        for every in itertools.product([None, *range(len(rows))], repeat=parts)
        if (worth := _worth(rows, list(every))) is not None
    )


def _worth(rows: list[Row], taken: list[int | None]) -> tuple[int, int, int] | None:
    """Smaller is better; None for what is not allowed."""
    counts = [taken.count(row) for row in range(len(rows))]
    if any(row is not None and part not in rows[row].fits for part, row in enumerate(taken)):
        return None
    if any(row.most is not None and count > row.most for row, count in zip(rows, counts)):
        return None
    filled = sum(min(row.least, count) for row, count in zip(rows, counts))
    maybes = sum(rows[row].fits[part] for part, row in enumerate(taken) if row is not None)
    return -filled, -sum(counts), maybes


# -- faults -----------------------------------------------------------------------------------------


def test_every_fault_is_listed() -> None:
    found = faults(
        """
        cpu: {socket: 2, sockets: many}
        cpu.model: 5
        disk: 3
        dimms: 4
        memory.total: 3 XB
        memory.dimms: [{cuont: 4}, 5, {count: -1}, {size: 10 Gbit/s..}]
        system: {secure_boot: perhaps, bios_version: 3.10}
        disks: [{transport: nmve}]
        cpu.smt: on
        nics: [{speed_mbit: 25 GB}]
        form: 1
        """.replace("\n        ", "\n")
    )
    text = "\n".join(found)
    for part in (
        "cpu.socket is not in an inventory; did you mean sockets?",
        "cpu.sockets: 'many' is not a number",
        "cpu.model: 5 is a number, and what is found here is text",
        "disk is not in an inventory; did you mean disks?",
        "dimms is not in an inventory; did you mean memory.dimms?",
        "memory.total: 'XB' is not a unit",
        "memory.dimms.cuont is not in an inventory",
        "memory.dimms: a row is a mapping",
        "memory.dimms: count: -1 is not a number",
        "did you mean nvme?",
        "system.secure_boot: 'perhaps' is neither yes nor no",
        "system.bios_version: 3.1 is a number",
        "cpu.smt: yes is expected in quotes",
        "nics.speed_mbit: '25 GB' is no rate, which this is",
        "form is not in an inventory",
    ):
        assert part in text, part
    assert len(found) == 16


@pytest.mark.parametrize(
    ("expected", "said"),
    [
        ("[]", "this is nothing"),
        ("- cpu.sockets: 2", "this is a list"),
        ("cpu", "this is a str"),
        ("{form: 1, taken: x}", "this is an inventory"),
        ("cpu.sockets: 2\ncpu: {sockets: 2}", "cpu stands there twice"),
        ("cpu: 2", "it is made of several values: name those that are meant (architecture, model, sockets"),
        ("cpu.sockets: {a: 1}", "and not a mapping"),
        ("cpu.sockets: 4..2", "ends before it begins"),
        ("cpu.sockets: ''", "nothing is ordered"),
        ("cpu.sockets: '>='", ">= of what?"),
        ("cpu.sockets: []", "a list of nothing"),
        ("cpu.sockets: [1, null]", "null cannot be one of several"),
        ("cpu.model: '/(/'", "is not a regular expression"),
        ("cpu.model: '/" + "a" * 300 + "/'", "a regular expression of more than"),
        ("disks: [{count: 5..3}]", "ends before it begins"),
        ("disks: [{count: '< 0'}]", "less than none"),
        ("disks: many", "count: 'many' is not a number"),
        ("disks.kind: nvme", "disks: it is a list: say how many"),
    ],
)
def test_a_fault_says_what_is_meant(expected: str, said: str) -> None:
    assert said in "\n".join(faults(expected))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><title>log in</title>", "is HTML or XML"),
        (b"\xff\xfea\x00", "is not UTF-8: byte 0xff at 0"),
        (b"a: \xe9", "is not UTF-8"),
        (b"a: [", "is not YAML: line 1"),
        (b"a: &x [1]\nb: *x", "an alias"),
        (b"a: 1\na: 2", "a stands there twice"),
        (b'{"a": 1, "a": 2}', "a given twice"),
        (b"[" * 100_000, "is n"),
        (b"!!python/object/apply:os.system [ls]", "is not YAML"),
    ],
)
def test_what_is_no_document(body: bytes, said: str) -> None:
    with pytest.raises(BadSource, match=said):
        parse_document(body)


def test_json_with_tabs_is_taken() -> None:
    assert parse_document(b'{\n\t"cpu.sockets": 2\n}') == {"cpu.sockets": 2}


WORDS = (
    *(">= 2", "3.84 TB ±2%", "1..3", "/x/", "*", "±", "..", "= ", "0x1", "5 %", "2 ±", "!= >= 3", "//", "٣"),
    *("3 GB ± x", "> °C", "1 / 0", "[", "?", "= *", "9" * 30, "-5 °C"),
)
NAMES = ("count", "kind", "size", "model", "x", "sockets", "a.b", "", ".")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=500, deadline=None)
@given(
    st.dictionaries(st.sampled_from([*FORM.fields, "memory.total", "cpu.sockets", "cpu.flags", ""]), VALUES, max_size=4)
)
def test_whatever_is_written_is_an_expectation_or_a_fault(document: dict[str, Any]) -> None:
    try:
        expected = parse_expectation(document, FORM)
    except BadExpectation as error:
        assert error.faults
        return
    for server in (SERVER, make_server(memory=None, disks=[]), {}):
        for one in compare(expected, server):
            json.dumps(encode(one) if one.match is not Match.HELD else one.found)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from([*FORM.fields, "missing"]), VALUES))
def test_whatever_an_inventory_holds_is_compared(document: dict[str, Any]) -> None:
    expected = parse_expectation(parse_document(ORDER.encode() + b"cpu.sockets: 2\ncpu.flags: aes\nraid: null"), FORM)
    assert len(compare(expected, document)) >= 4


HUB = {"id": "usb1", "vendor_id": "1d6b", "is_hub": True, "kinds": ["hub"]}
DONGLE = {"id": "1-4", "vendor_id": "0529", "product_id": "0001", "is_hub": False, "kinds": [], "speed_mbit": 12.0}
IPOIB = make_nic(3, name="ib0", mac=":".join(["80"] * 20))
CLUSTERED = make_server(
    infiniband=[make_port(0), make_port(1, transport="RoCE")], usb=[HUB, DONGLE], nics=[*SERVER["nics"], IPOIB]
)


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        ("infiniband: [{count: 1, rate: '>= 100 Gb/s', model: MT4115}]", []),
        ("infiniband: [{rate: 100 Gbit/s, width: 4}]", []),
        ("infiniband: [{count: 1, rate: '>= 200 Gb/s'}]", [("differs", "infiniband.mlx5_0/1.rate", "mlx5_0/1")]),
        ("infiniband: 2", [("missing", "infiniband", "infiniband")]),
        ("usb: [{vendor_id: '0529', speed_mbit: 12 Mbit/s}]", []),
        ("usb: null", [("differs", "usb", "usb")]),
        # What is made of a port is that port.
        ("nics: 2", []),
    ],
)
def test_ports_and_what_is_plugged_in(expected: str, found: list[tuple[str, str, str]]) -> None:
    assert differ(expected, CLUSTERED) == found


def test_hubs_and_what_is_ethernet_may_be_there_where_nothing_must_be() -> None:
    document = make_server(infiniband=[make_port(1, transport="RoCE")], usb=[HUB])
    assert differ("infiniband: null\nusb: null", document) == []


# -- what is said -----------------------------------------------------------------------------------


def test_findings_and_rows() -> None:
    document = change(
        make_server(missing=[{"part": "system", "why": "no-rights", "detail": "not root"}]), "system", None
    )
    expected = "cpu.sockets: 4\nsystem.bios_version: '2.10.2'\nmemory.dimms: [{count: 6, size: 32 GiB}]\n" + ORDER
    document["disks"].append(make_disk("sdb", "hdd"))
    differences = [one for one in look(expected, document) if one.match is not Match.HELD]
    said = [(one.code, one.verdict, one.part, one.summary) for one in find(differences)]
    assert said == [
        ("expect.differs", Verdict.FAIL, "cpu.sockets", "cpu.sockets is 2, ordered is 4"),
        (
            "expect.unknown",
            Verdict.UNKNOWN,
            "system",
            "system could not be seen: not root; ordered is bios_version 2.10.2",
        ),
        (
            "expect.missing",
            Verdict.FAIL,
            "memory.dimms",
            "memory.dimms: 2 missing: found 4, ordered 6 × size 32 GiB",
        ),
        ("expect.extra", Verdict.WARN, "sdb S-sdb", "disks: not ordered: found 1, ordered none"),
    ]
    assert encode(differences[0])["verdict"] == "fail" and encode(differences[0])["value"] == 2
    assert render_table(differences)[1].split() == ["cpu.sockets", "4", "2", "differs"]
    assert render_table([]) == []


def test_units_of_a_megabit_field_are_those_of_its_name() -> None:
    assert differ("nics: {count: 2, speed_mbit: '>= 25 Gb/s'}") == []
    [first, *_] = look("nics: {count: 2, speed_mbit: 100 Gbit/s, transceiver.kind: SFP28}")
    assert (first.found, first.shown) == (25_000, "25 Gbit/s")
