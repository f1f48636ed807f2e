"""What a result has to say beside what went well: the parts that a person has to look at, and where they sit."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from liveagent.events import WORST_FIRST

# What nobody has to look at.
GOOD = ("pass", "skipped")
_RANK = {verdict.value: rank for rank, verdict in enumerate(WORST_FIRST)}


@dataclasses.dataclass(frozen=True)
class Trouble:
    """One part and what is wrong with it; texts are as the result has them."""

    verdict: str
    part: str
    summary: str
    slot: str = ""

    @property
    def where(self) -> str:
        """`slot 3, sdc WWZ00K02L`."""
        return f"slot {self.slot}, {self.part}" if self.slot else self.part

    def __str__(self) -> str:
        return f"{self.verdict.upper()}: {self.where}: {self.summary}"


def rank(verdict: str) -> int:
    """The worst is 0; what is no verdict comes after all of them."""
    return _RANK.get(verdict, len(_RANK))


def find_slots(result: Mapping[str, Any]) -> dict[str, str]:
    """The slots of a result's disks, by the part as findings name it."""
    return {_part(disk): str(disk["slot"]) for disk in _disks(result) if disk.get("slot")}


def list_troubles(result: Mapping[str, Any]) -> list[Trouble]:
    """The worst first, and else as they came; a disk is named also where no finding is about it."""
    slots = find_slots(result)
    tasks = result.get("tasks", ())
    findings = itertools.chain(*(task.get("findings", ()) for task in tasks), result.get("findings", ()))
    troubles = [make_trouble(finding, slots) for finding in findings]
    told = {trouble.part for trouble in troubles if trouble.verdict not in GOOD}
    for disk in _disks(result):
        if disk.get("verdict") and _part(disk) not in told:
            summary = str(disk.get("summary") or "")
            troubles.append(Trouble(str(disk["verdict"]), _part(disk), summary, slots.get(_part(disk), "")))
    return sorted((one for one in troubles if one.verdict not in GOOD), key=lambda one: rank(one.verdict))


def make_trouble(finding: Mapping[str, Any], slots: Mapping[str, str]) -> Trouble:
    part = str(finding["part"])
    return Trouble(str(finding["verdict"]), part, str(finding["summary"]), slots.get(part, ""))


def _disks(result: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    for task in result.get("tasks", ()):
        # Each task's data is its own: what it calls disks may be anything.
        rows = (task.get("data") or {}).get("disks")
        yield from (row for row in rows if isinstance(row, Mapping)) if isinstance(rows, (list, tuple)) else ()


def _part(disk: Mapping[str, Any]) -> str:
    return f"{disk.get('name') or ''} {disk.get('serial') or ''}".strip()
