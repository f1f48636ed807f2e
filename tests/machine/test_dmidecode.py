"""dmidecode's text of every version: the structures that are there, and nothing made of what is broken."""

from __future__ import annotations

import collections
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveagent.machine.dmidecode import Structure, parse_dmidecode

WHOLE = """# dmidecode 3.6
Getting SMBIOS data from sysfs.

Handle 0x1100, DMI type 17, 92 bytes
Memory Device
\tSize: 32 GB
\tLocator: A1
\tCharacteristics:
\t\tLocator: in a list
\tPart Number: M393A4K40DB3: CWE

Handle 0x0001, DMI type 4, 48 bytes
Processor Information
\tStatus: Populated, Enabled
"""
OLD = """Handle 0x1100
\tDMI type 17, 27 bytes.
\tMemory Device
\t\tSize: 1024 MB
\t\tLocator: DIMM 1A
Handle 0x1101
\tDMI type 17, 27 bytes.
\tMemory Device
\t\tSize: No Module Installed
"""


def test_fields_and_lists() -> None:
    """A list's entries are no fields; a value may have a colon."""
    fields = {"Size": "32 GB", "Locator": "A1", "Characteristics": "", "Part Number": "M393A4K40DB3: CWE"}
    assert parse_dmidecode(WHOLE) == (
        Structure(17, "0x1100", "Memory Device", fields),
        Structure(4, "0x0001", "Processor Information", {"Status": "Populated, Enabled"}),
    )


@pytest.mark.parametrize("change", [lambda text: text.replace("\n", "\r\n"), lambda text: text.replace("\t", " " * 8)])
def test_the_same_in_other_dress(change: object) -> None:
    assert parse_dmidecode(change(WHOLE)) == parse_dmidecode(WHOLE)  # type: ignore[operator]


def test_before_2_7() -> None:
    """The type has a line of its own, and everything stands one tab deeper."""
    assert [(one.type, one.name, one.get("Size")) for one in parse_dmidecode(OLD)] == [
        (17, "Memory Device", "1024 MB"),
        (17, "Memory Device", "No Module Installed"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# dmidecode 3.4\n# No SMBIOS nor DMI entry point found, sorry.\n",
        "# dmidecode 3.4\nScanning /dev/mem for entry point.\n/dev/mem: Permission denied\n",
        "Handle 0x1100, DMI type 17, 92 bytes\n",
        "Handle 0x1100, DMI type",
        "Poignée 0x1100, type DMI 17, 92 octets\nMémoire\n\tTaille: 32 Go\n",
    ],
)
def test_nothing_of_what_has_none(text: str) -> None:
    assert parse_dmidecode(text) == ()


def test_a_remark_is_no_field() -> None:
    """On a structure of a wrong length dmidecode says so at the margin."""
    text = WHOLE.replace("\tLocator", "Invalid entry length (16). Fixed up to 11.\n\tLocator")
    assert parse_dmidecode(text) == parse_dmidecode(WHOLE)


@pytest.mark.corpus
def test_every_structure_of_the_corpus(corpus: Path) -> None:
    """As many as there are headings in the text, each with its name and fields."""
    names: collections.Counter[str] = collections.Counter()
    for file in sorted((corpus / "dmidecode").iterdir()):
        text = file.read_text(encoding="utf-8", errors="replace")
        found = parse_dmidecode(text)
        assert len(found) == len(re.findall(r"DMI type \d+, \d+ bytes", text)), file.name
        names.update(one.name for one in found if one.type == 17)
        assert all(one.fields for one in found if one.type in (1, 4, 16, 17)), file.name
    assert set(names) == {"Memory Device"} and names["Memory Device"] > 1600


@given(st.text(), st.text())
def test_noise(name: str, body: str) -> None:
    parse_dmidecode(name), parse_dmidecode(f"Handle 0x1100, DMI type 17, 40 bytes\n{name}\n{body}")
