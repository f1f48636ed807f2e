"""dmidecode's text as structures: what SMBIOS says and sysfs does not."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

# What stands where nothing is said; folded. `--` and `Not Specified` are what boards of every maker have.
SAYS_NOTHING = frozenset(
    (
        *("", "-", "--", "none", "n/a", "na", "unknown", "not specified", "not provided", "not available", "no dimm"),
        *("not set", "[empty]", "empty", "undefined", "<out of spec>", "<bad index>", "unspecified", "other"),
    )
)


@dataclasses.dataclass(frozen=True)
class Structure:
    """One structure: its number, handle (`0x1100`), name, and fields as printed, tabs and ends stripped."""

    type: int
    handle: str
    name: str
    fields: Mapping[str, str]

    def get(self, name: str) -> str:
        """A field that says something; "" for one that does not, or is not there."""
        value = self.fields.get(name, "")
        return "" if value.lower() in SAYS_NOTHING else value


def parse_dmidecode(text: str) -> tuple[Structure, ...]:
    """Every structure that is whole enough to have a number and a name; lists below a field are left out."""
    found = []
    for block in re.split(r"^Handle ", text, flags=re.MULTILINE)[1:]:
        lines = block.splitlines()
        head = re.match(r"(0x[0-9A-Fa-f]+), DMI type (\d{1,3}), \d+ bytes", lines[0])
        if not head or len(lines) < 2:
            continue
        fields: dict[str, str] = {}
        for line in lines[2:]:
            # A list's entries stand two tabs deep; some copies have all of it indented once more.
            match = re.match(r"\s{1,12}([^:\t]+): ?(.*)$", line)
            if match and not line.startswith("\t\t\t"):
                fields.setdefault(match.group(1).strip(), match.group(2).strip())
        found.append(Structure(int(head.group(2)), head.group(1), lines[1].strip(), fields))
    return tuple(found)
