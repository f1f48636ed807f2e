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
# Before 2.7 the type stands on a line of its own, one tab deeper, and so does all that follows.
_HEAD = re.compile(r"^Handle (0x[0-9A-Fa-f]{1,8})(?:, |\r?\n[ \t]*)DMI type (\d{1,3}), \d{1,5} bytes\.?[ \t\r]*$", re.M)


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
    """Every structure that is whole enough to have a number and a name; the entries of lists are left out."""
    heads = list(_HEAD.finditer(text))
    ends = [head.start() for head in heads[1:]] + [len(text)]
    found = []
    for head, end in zip(heads, ends):
        name, _, body = text[head.end() : end].strip("\r\n").partition("\n")
        if name.strip():
            found.append(Structure(int(head.group(2)), head.group(1), name.strip(), _parse_fields(body)))
    return tuple(found)


def _parse_fields(body: str) -> dict[str, str]:
    """Name and value of each line as deep as the first; what is deeper belongs to a list.

    What is less deep is no field but a remark of dmidecode, as on a structure of a wrong length.
    """
    fields: dict[str, str] = {}
    depth = None
    for line in body.expandtabs().splitlines():
        bare = line.strip()
        indent = len(line) - len(line.lstrip())
        name, colon, value = bare.partition(":")
        if not bare or (depth is not None and indent != depth):
            continue
        depth = indent
        if colon:
            fields.setdefault(name.strip(), value.strip())
    return fields
