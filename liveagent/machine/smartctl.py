"""A page of smartctl: the one reader of its JSON, and what its exit status means."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

# smartctl(8), exit status: a bitmask. Bits 0 and 1: nothing was asked of the drive. Bit 2: one command of many failed.
# Bit 3: the drive says that it is failing. The rest is about attributes and logs, which are read for themselves.
NOT_ASKED, FAILING = 0b11, 1 << 3
BITS = {
    0: "the command line was not understood",
    1: "the device could not be opened, or it sleeps",
    2: "a command to the drive failed, or a checksum was wrong",
    3: "the drive says that it is failing",
    4: "a prefail attribute is at or below its threshold",
    5: "an attribute was at or below its threshold in the past",
    6: "the log of errors has entries",
    7: "the log of self-tests has failures",
}
# Beyond it is no count: 2^64-1 is what broken firmware and a bug of smartctl's (issue 139) make of "none".
MOST = 1 << 63


class BadPage(Exception):
    """What was printed is no page of smartctl."""


class Page:
    """One answer of smartctl. A value that is not there, or not of its kind, is None; nothing here raises."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document

    @property
    def status(self) -> int | None:
        """The exit status, as the page has it."""
        return self.number("smartctl", "exit_status")

    @property
    def was_asked(self) -> bool:
        """Whether anything was asked of the drive. A page without a status is cut, or none of a drive."""
        return self.status is None or not self.status & NOT_ASKED

    @property
    def protocol(self) -> str:
        """ATA, NVMe, SCSI, or "" where the drive was not reached."""
        return self.text("device", "protocol")

    @property
    def messages(self) -> tuple[str, ...]:
        """What smartctl complains of."""
        return tuple(str(row["string"]) for row in self.rows("smartctl", "messages") if row.get("string"))

    def get(self, *path: str) -> Any:
        """Whatever stands at a path; None where nothing does."""
        return look_up(self.document, *path)

    def number(self, *path: str) -> int | None:
        """A count: whole, not negative, and one that a drive can have reached."""
        return read_number(self.document, *path)

    def first(self, *paths: tuple[str, ...]) -> int | None:
        """The count at the first of several paths that has one: newer releases name things anew."""
        return next((number for path in paths if (number := self.number(*path)) is not None), None)

    def flag(self, *path: str) -> bool | None:
        value = self.get(*path)
        return value if isinstance(value, bool) else None

    def text(self, *path: str) -> str:
        value = self.get(*path)
        return value.strip() if isinstance(value, str) else ""

    def rows(self, *path: str) -> Iterator[Mapping[str, Any]]:
        """The mappings of a list."""
        value = self.get(*path)
        return (row for row in (value if isinstance(value, list) else ()) if isinstance(row, dict))

    def numbered(self, prefix: str, *path: str) -> tuple[Mapping[str, Any], ...]:
        """The mappings that a page has as `PREFIX0`, `PREFIX1`, …, in that order."""
        found = self.get(*path) if path else self.document
        rows = found if isinstance(found, dict) else {}
        ends = {int(key[len(prefix) :]): row for key, row in rows.items() if is_numbered(key, prefix)}
        return tuple(ends[number] for number in sorted(ends) if isinstance(ends[number], dict))


def parse_page(text: str) -> Page:
    """`smartctl --json`; raises BadPage for anything but one JSON object that smartctl signed."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadPage(f"no JSON: {error}" if text.strip() else "nothing") from None
    if not isinstance(document, dict) or not isinstance(document.get("smartctl"), dict):
        raise BadPage("JSON, and no page of smartctl")
    return Page(document)


def look_up(document: Any, *path: str) -> Any:
    """Whatever stands at a path of a document; None where nothing does."""
    for key in path:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def read_number(document: Any, *path: str) -> int | None:
    """A count out of a document: whole, not negative, and one that a drive can have reached."""
    value = look_up(document, *path)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST else None


def is_numbered(key: str, prefix: str) -> bool:
    end = key[len(prefix) :]
    return key.startswith(prefix) and end.isascii() and end.isdecimal() and len(end) <= len("65535")


def describe_status(status: int) -> tuple[str, ...]:
    """The bits of an exit status, in words."""
    return tuple(words for bit, words in BITS.items() if status & (1 << bit))
