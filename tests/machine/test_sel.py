"""The BMC's log: real entries of two versions of ipmitool, each thing told once, and what is damaged is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveagent.machine.sel import Sel, SelEvent, choose_kept, parse_sel, parse_sel_info

# Recorded of ipmitool 1.8.19 at simulated BMCs that say to be Supermicro's (1 to 8) and Dell's (9, which had another
# number), for which ipmitool's own decoders add brackets.
NEW = """\
   1 |  Pre-Init  |0000003115| Power Supply PS1 Status | Presence detected () | Asserted
   2 |  Pre-Init  |0000003115| Memory | Uncorrectable ECC | Asserted
   3 |  Pre-Init  |0000003115| Temperature CPU1 Temp | Upper Critical going high | Asserted | Reading 101 > Threshold 100 degrees C
   4 |  Pre-Init  |0000003115| Temperature CPU1 Temp | Upper Critical going high | Deasserted | Reading 90 < Threshold 100 degrees C
   5 |  Pre-Init  |0000003115| Power Supply PS2 Status | Power Supply AC lost () | Asserted
   6 |  Pre-Init  |0000003115| Critical Interrupt | PCI SERR () | Asserted
   7 |  Pre-Init  |0000003115| OEM record df | 000137 | 010203040506
   8 | OEM record e1 | 000102030405060708090a0b0c
   9 | 11/29/26 | 05:11:46 UTC | Memory | Uncorrectable ECC (UnCorrectable ECC |  DIMM2, DIMM5) | Asserted | CPU 2 DIMM 1
"""  # noqa: E501
# `a` is recorded of 1.8.18; the others are made after it, for a thing that is logged twice and a sensor without a name.
OLD = """\
   9 | 11/29/2026 | 04:56:56 | Memory | Uncorrectable ECC | Asserted
   a | 11/29/2026 | 04:56:59 | Memory | Uncorrectable ECC | Asserted
   b | 11/29/2026 | 05:00:00 | Memory #0x21 | Correctable ECC logging limit reached | Asserted
"""


def parse(stdout: str, stderr: str = "") -> tuple[SelEvent, ...]:
    found = parse_sel(stdout, stderr)
    assert found is not None
    return found[0]


def test_entries_of_1_8_19() -> None:
    assert [(one.type, one.sensor, one.event, one.detail, one.count, one.standing, one.last) for one in parse(NEW)] == [
        ("Power Supply", "PS1 Status", "Presence detected", "", 1, True, None),
        ("Memory", "", "Uncorrectable ECC", "", 1, True, None),
        (
            *("Temperature", "CPU1 Temp", "Upper Critical going high"),
            *("Reading 101 > Threshold 100 degrees C", 1, False, None),
        ),
        ("Power Supply", "PS2 Status", "Power Supply AC lost", "", 1, True, None),
        ("Critical Interrupt", "", "PCI SERR", "", 1, True, None),
        ("OEM record df", "", "000137", "", 1, True, None),
        ("OEM record e1", "", "", "", 1, True, None),
        (
            *("Memory", "", "Uncorrectable ECC", "UnCorrectable ECC | DIMM2, DIMM5; CPU 2 DIMM 1"),
            *(1, True, "2026-11-29T05:11:46.000Z"),
        ),
    ]


def test_entries_of_1_8_18() -> None:
    """What is logged again is told once, with its first and last time."""
    twice, limit = parse(OLD)
    assert (twice.count, twice.first, twice.last) == (2, "2026-11-29T04:56:56.000Z", "2026-11-29T04:56:59.000Z")
    assert twice.line.startswith("a | ")
    assert (limit.type, limit.sensor, limit.event) == ("Memory", "#0x21", "Correctable ECC logging limit reached")


@pytest.mark.corpus
def test_a_power_cycle(corpus: Path) -> None:
    power, health = parse((corpus / "ipmitool-sel/sos-2015.txt").read_text())
    assert (power.type, power.sensor, power.event) == ("Power Unit", "Pwr Unit Status", "Power off/down")
    assert (power.count, power.standing, power.last) == (1, False, "2019-11-15T18:50:40.000Z")
    assert (health.type, health.sensor, health.event) == (
        "Management Subsys Health",
        "AutoCfg Status",
        "State Asserted",
    )


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("info-20-entries.txt", Sel(20, 704, 31, False, "2019-06-10T09:37:05.000Z")),
        # 490 of 3,639 units: the percentage that is printed has the bytes of a larger log wrong.
        ("info-490-entries.txt", Sel(490, 56682, 13, False, "2021-03-11T15:45:59.000Z")),
        ("sos-2015.txt", None),
    ],
)
def test_how_full_it_is(corpus: Path, file: str, expected: Sel | None) -> None:
    assert parse_sel_info((corpus / "ipmitool-sel" / file).read_text()) == expected


def test_a_percentage_that_nobody_knows() -> None:
    """65,535 bytes stand for all that is more."""
    said = (
        "Entries          : 10\nFree Space       : 65535 bytes or more\nPercent Used     : unknown\nOverflow : true\n"
    )
    assert parse_sel_info(said) == Sel(entries=10, overflow=True)


@pytest.mark.corpus
def test_a_damaged_log(corpus: Path) -> None:
    said = (corpus / "ipmitool-error/sel-failed.txt").read_text()
    assert parse_sel("", said) is None
    found = parse_sel(OLD, said)
    assert found is not None and len(found[0]) == 2 and found[1] is False
    # A maker's decoder that cannot name the board costs no entry.
    assert parse_sel(OLD, "Get Board ID command failed: 0xc1 Invalid command\n") == (found[0], True)


def test_an_empty_log() -> None:
    assert parse_sel("", "SEL has no entries\n") == ((), True)
    assert parse_sel("", "") is None


def test_a_log_of_things_that_all_differ() -> None:
    lines = [f"{n:x} | 11/29/2026 | 04:56:56 | Memory | Uncorrectable ECC (DIMM {n}) | Asserted" for n in range(1000)]
    kept, left_out = choose_kept(parse("\n".join(lines)))
    assert (len(kept), left_out, kept[-1].detail) == (256, 744, "DIMM 999")


PIECES = st.sampled_from([*NEW.splitlines(), *OLD.splitlines(), "|", " | ", "Asserted", "OEM record", "1 | "])
TEXTS = st.lists(st.one_of(PIECES, st.text(max_size=20))).map("".join) | st.lists(PIECES).map("\n".join)


@given(TEXTS, st.integers(0, 400))
def test_any_text(text: str, cut: int) -> None:
    for one in (text, text[:cut], NEW[:cut]):
        found = parse_sel(one)
        assert found is None or all(event.count >= 0 and event.type is not None for event in found[0])
        info = parse_sel_info(one)
        assert info is None or (info.entries or 0) >= 0
