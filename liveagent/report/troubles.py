"""What a result has to say beside what went well: the parts that a person has to look at, and where they sit."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Mapping
from typing import Any

from liveagent.events import WORST_FIRST

# What nobody has to look at.
GOOD = ("pass", "skipped")
_RANK = {verdict.value: rank for rank, verdict in enumerate(WORST_FIRST)}


@dataclasses.dataclass(frozen=True)
class Trouble:
    """One part and what is wrong with it, or what was done to it; texts are as the result has them."""

    verdict: str
    part: str
    summary: str
    slot: str = ""

    @property
    def text(self) -> str:
        """`slot 3, sdc WWZ00K02L: 8 sectors could not be read`; a summary that names its part has it once."""
        says_so = self.part.strip("0123456789") and re.match(
            rf"(\w+ )?{re.escape(self.part)}(?![\w.-]*\w)", self.summary
        )
        named = self.summary if says_so else f"{self.part}: {self.summary}"
        return f"slot {self.slot}, {named}" if self.slot else named

    def __str__(self) -> str:
        return f"{name_finding(self.verdict)}: {self.text}"


def name_finding(verdict: str) -> str:
    """The word before a finding. One that passes is a remark: what it says need not be good."""
    return "NOTE" if verdict == "pass" else verdict.upper()


def rank(verdict: str) -> int:
    """The worst is 0; what is no verdict comes after all of them."""
    return _RANK.get(verdict, len(_RANK))


def find_slots(result: Mapping[str, Any]) -> dict[str, str]:
    """The slots of a result's disks, by the part as findings name it."""
    disks = itertools.chain(*map(_disks, only_mappings(result.get("tasks"))))
    return {_part(disk): str(disk["slot"]) for disk in disks if disk.get("slot")}


def list_troubles(result: Mapping[str, Any]) -> list[Trouble]:
    """The worst first, and else as they came; a disk is named also where no finding is about it."""
    slots = find_slots(result)
    tasks = only_mappings(result.get("tasks"))
    findings = itertools.chain(*(only_mappings(one.get("findings")) for one in (*tasks, result)))
    troubles = [make_trouble(finding, slots) for finding in findings]
    told = {trouble.part for trouble in troubles if trouble.verdict not in GOOD}
    for disk in itertools.chain(*map(list_disks, tasks)):
        if _part(disk) not in told:
            summary = str(disk.get("summary") or "")
            troubles.append(Trouble(disk["verdict"], _part(disk), summary, slots.get(_part(disk), "")))
    return sorted((one for one in troubles if one.verdict not in GOOD), key=lambda one: rank(one.verdict))


def list_done(result: Mapping[str, Any]) -> list[Trouble]:
    """The parts that a task worked on and that ended well."""
    slots = find_slots(result)
    disks = itertools.chain(*map(list_disks, only_mappings(result.get("tasks"))))
    return [
        Trouble("pass", _part(disk), str(disk.get("summary") or ""), slots.get(_part(disk), ""))
        for disk in disks
        if disk["verdict"] == "pass"
    ]


def make_trouble(finding: Mapping[str, Any], slots: Mapping[str, str]) -> Trouble:
    """A finding, whatever its verdict; `slots` as `find_slots` has them."""
    part = str(finding.get("part"))
    return Trouble(str(finding.get("verdict")), part, str(finding.get("summary")), slots.get(part, ""))


def list_disks(task: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The disks that a task has judged. Under that name a drop-in may keep anything: what has no verdict is none."""
    return [disk for disk in _disks(task) if isinstance(disk.get("verdict"), str) and disk["verdict"] in _RANK]


def list_runs(task: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What became of each run of a script."""
    return only_mappings(only_mapping(task.get("data")).get("runs"))


def only_mapping(value: object) -> Mapping[str, Any]:
    """Of a document that others filled: the object that should be there, or an empty one."""
    return value if isinstance(value, Mapping) else {}


def only_mappings(value: object) -> list[Mapping[str, Any]]:
    """The same for a list of objects: those of its entries that are some."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, (list, tuple)) else []


def _disks(task: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return only_mappings(only_mapping(task.get("data")).get("disks"))


def _part(disk: Mapping[str, Any]) -> str:
    return f"{disk.get('name') or ''} {disk.get('serial') or ''}".strip()
