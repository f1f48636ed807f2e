"""Power supplies by SMBIOS: a hundred real servers, and the tables that nobody filled in."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveagent.machine.look import Look, Why
from liveagent.machine.power_supplies import PowerSupply, parse_power_supplies, probe_power_supplies
from tests.machine.replies import NOT_INSTALLED, Reply, make_replay


def read_all(corpus: Path) -> dict[str, tuple[PowerSupply, ...]]:
    files = [*(corpus / "dmidecode-psu").iterdir(), *(corpus / "dmidecode").iterdir()]
    return {file.name: parse_power_supplies(file.read_text(errors="replace")) for file in sorted(files)}


@pytest.mark.corpus
def test_every_server_of_the_corpus(corpus: Path) -> None:
    found = read_all(corpus)
    supplies = [supply for each in found.values() for supply in each]
    assert (len(found), len(supplies)) == (99, 104)
    assert Counter(supply.is_described for supply in supplies) == {True: 83, False: 21}
    for name, each in found.items():
        assert len({supply.id for supply in each}) == len(each), name
    watts = {supply.max_watts for supply in supplies if supply.is_described}
    assert watts == {350, 400, 460, 495, 500, 700, 750, 800, 920, 1100, 1200, 1400, 1600, 2000}
    assert all(supply.present is not False and supply.plugged for supply in supplies if supply.is_described)


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("file", "place", "expected"),
    [
        (
            "supermicro_1.txt",
            1,
            PowerSupply(
                "PSU2", "PSU2", "PWS-406P-1R", "SUPERMICRO", "PWS-406P-1R", "P406PCG17LT2410", "1.3", 400, True, True,
                False, "OK", True,
            ),
        ),
        # Two of a name: told apart by their handles. Its makers pad names with blanks.
        (
            "dell_r630.txt",
            0,
            PowerSupply(
                "PWR SPLY,750W,RDNT,EMSN 0x2700", None, "PWR SPLY,750W,RDNT,EMSN", "DELL", "00XW8WA02",
                "PH1629862600EB", None, 750, True, True, True, None, True,
            ),
        ),
        # The second structure follows without an empty line.
        (
            "proliant_dl360p_gen8_2.txt",
            1,
            PowerSupply(
                "Power Supply 2", None, "Power Supply 2", "HP", "656362-B21", "5BXRD0BLL2Y1IC", None, 460, True, True,
                True, None, True,
            ),
        ),
        (
            "kimsufi_ovh.txt",
            0,
            PowerSupply("0x0041", None, None, None, None, None, None, None, False, True, False, None, False),
        ),
        # `0.460 W`: watts where the table has milliwatts.
        (
            "glpi-hp-dl180.txt",
            0,
            PowerSupply(
                "Bottom PS Bay", "Bottom PS Bay", "Power Supply 1", "HP", "511777-001", "5ANLE0BLLZ225W", "00h", 460,
                True, True, False, None, True,
            ),
        ),
        (
            "nba-unknown.txt",
            0,
            PowerSupply("0x0025", None, None, None, None, None, None, 75, False, False, False, None, False),
        ),
    ],
)  # fmt: skip
def test_supplies(corpus: Path, file: str, place: int, expected: PowerSupply) -> None:
    assert read_all(corpus)[file][place] == expected


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (NOT_INSTALLED, Why.NO_TOOL),
        (Reply("# dmidecode 3.4\n"), Why.ABSENT),
        (Reply("# dmidecode 3.4\n# No SMBIOS nor DMI entry point found, sorry.\n", status=1), Why.ABSENT),
        (
            Reply("# dmidecode 3.4\nScanning /dev/mem for entry point.\n", "/dev/mem: Permission denied", 1),
            Why.NO_RIGHTS,
        ),
        (Reply("# dmidecode 3.4\n", "/dev/mem: No such file or directory", 1), Why.ABSENT),
    ],
)
def test_none(tmp_path: Path, reply: Reply, why: Why) -> None:
    look = Look(make_replay(tmp_path, {"dmidecode -t 39": reply}))
    assert probe_power_supplies(look) == ()
    assert [(one.part, one.why) for one in look.missing] == [("power_supplies", why)]


TABLE = """\
Handle 0x0022, DMI type 39, 22 bytes
System Power Supply
\tLocation: PSU1
\tName: PWS-406P-1R
\tMax Power Capacity: 400 W
\tStatus: Present, Critical
\tPlugged: No
"""


def test_one_that_is_critical() -> None:
    (supply,) = parse_power_supplies(TABLE)
    assert (supply.status, supply.plugged, supply.is_described) == ("Critical", False, True)


LINES = st.sampled_from([*TABLE.splitlines(), "\tMax Power Capacity: 99999999999 W", "\tMax Power Capacity: 0 W"])


@given(st.lists(st.one_of(LINES, st.text(max_size=30))).map("\n".join))
def test_any_text(text: str) -> None:
    assert all(one.max_watts is None or 1 <= one.max_watts <= 100_000 for one in parse_power_supplies(text))
