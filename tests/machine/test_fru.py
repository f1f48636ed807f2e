"""What BMCs know of parts: eight real servers by eye, and nothing that nobody wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveagent.machine.fru import Fru, FruArea, parse_frus


def read(corpus: Path, file: str) -> dict[str, Fru]:
    frus = parse_frus((corpus / "ipmitool-fru" / file).read_text(errors="replace"))
    assert len({fru.id for fru in frus}) == len(frus)
    return {fru.name: fru for fru in frus}


@pytest.mark.corpus
def test_counts_over_all(corpus: Path) -> None:
    """Parts and those that are absent; `OEM fru (ID 17)`, of which nothing is said, is none."""
    counts = {}
    for file in sorted((corpus / "ipmitool-fru").iterdir()):
        frus = read(corpus, file.name).values()
        counts[file.name] = (len(frus), sum(fru.present is False for fru in frus))
        texts = [
            text for fru in frus for area in (fru.chassis, fru.board, fru.product) if area for text in _texts(area)
        ]
        assert texts and all(text.isprintable() and text == text.strip() for text in texts), file.name
    assert counts == {
        "dell-r640.txt": (7, 0),
        "dell-r720.txt": (8, 0),
        "glpi-fru_2.txt": (2, 0),
        "glpi-fru_4.txt": (6, 0),
        "hp-dl360-gen7.txt": (9, 0),
        "hp-dl360-gen7_2.txt": (9, 0),
        "hp-dl360-gen8.txt": (17, 2),
        "sun-x2200-m2.txt": (20, 1),
    }


def _texts(area: FruArea) -> list[str]:
    fields = (area.manufacturer, area.name, area.part, area.version, area.serial, area.asset_tag, area.made)
    return [text for text in fields if text is not None]


@pytest.mark.corpus
def test_a_dell(corpus: Path) -> None:
    frus = read(corpus, "dell-r640.txt")
    server = frus["Builtin FRU Device"]
    assert server.product == FruArea("DELL", "PowerEdge R640", None, "01", "2RJF153", None, None)
    assert server.board == FruArea("DELL", "PowerEdge R640", "06NR82A03", None, "CNIVC0005G0184", None, "2020-05-18")
    assert frus["PS2"].number == 2
    assert frus["PS2"].board == FruArea(
        "DELL", "PWR SPLY,750W,RDNT,DELTA", "05RHVVA03", None, "CNDED0003G0O0P", None, "2020-03-28"
    )
    # It did not answer in time, and may well be there.
    assert frus["BP0"] == Fru("BP0 (ID 12)", "BP0", 12, None)


@pytest.mark.corpus
def test_a_date_that_nobody_wrote(corpus: Path) -> None:
    """Minute 0 of 1996 is what an empty field holds."""
    board = read(corpus, "dell-r720.txt")["PERC1"].board
    assert board is not None and board.serial == "CN7792147F03B1" and board.made is None


@pytest.mark.corpus
def test_fillers_are_nothing(corpus: Path) -> None:
    server = read(corpus, "glpi-fru_4.txt")["Builtin FRU Device"]
    assert server.chassis is None
    assert server.product == FruArea("Intel Corporation", "S7200AP")


@pytest.mark.corpus
def test_a_dimm(corpus: Path) -> None:
    """A zero byte at the end of a part number is in a real one."""
    dimm = read(corpus, "hp-dl360-gen7_2.txt")["CPU 2 DIMM 9"]
    assert dimm.product == FruArea("Samsung", "DDR3 SDRAM", "M393B2G70EB0-CMA", None, "185e3526")


@pytest.mark.corpus
def test_a_server_whose_own_fru_is_another(corpus: Path) -> None:
    frus = read(corpus, "sun-x2200-m2.txt")
    assert not frus["Builtin FRU Device"].present
    board = frus["Mainboard"]
    assert board.product is not None and board.product.serial == "0732QBT057"


@pytest.mark.corpus
def test_another_tools_words(corpus: Path) -> None:
    for file in (*(corpus / "ipmitool-error").iterdir(), *(corpus / "ipmicfg").iterdir()):
        assert parse_frus(file.read_text()) == ()


LINES = st.sampled_from(
    [
        "FRU Device Description : PS1 (ID 1)",
        "FRU Device Description : ",
        "FRU Device Description : (ID 999)",
        " Board Mfg Date        : Mon May 18 12:39:00 2020 UTC",
        " Board Mfg Date        : Xxx Yyy 99 00:00:00 9999",
        " Product Serial        : 2RJF153   \x00",
        " Device not present (Timeout)",
        " Memory Type           : DDR3 SDRAM",
    ]
)


@given(st.lists(st.one_of(LINES, st.text(max_size=40))).map("\n".join))
def test_any_text(text: str) -> None:
    for fru in parse_frus(text):
        assert fru.number is None or 0 <= fru.number <= 999
