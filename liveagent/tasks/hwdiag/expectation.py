"""What was ordered, read from a person's document: a tree of conditions over the inventory, or every fault at once."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Union

from liveagent.events import JSON
from liveagent.machine.form import Form
from liveagent.options import suggest
from liveagent.tasks.hwdiag.condition import BadCondition, Condition, parse_condition

# What an inventory says of itself; nobody orders that.
NOT_ORDERED = ("form", "agent", "taken", "missing", "took", "silent", "failed")
COUNT = "count"
_COUNT = re.compile(r"(>=|<=|>|<|=)?\s*(\d{1,6})|(\d{1,6})\s*\.\.\s*(\d{1,6})")


@dataclasses.dataclass(frozen=True)
class Absent:
    """It must not be there."""

    text = "none"


@dataclasses.dataclass(frozen=True)
class Holding:
    """A list of plain values in which each of these conditions is met by one; others may be there."""

    conditions: tuple[Condition, ...]

    @property
    def text(self) -> str:
        return ", ".join(condition.text for condition in self.conditions)


@dataclasses.dataclass(frozen=True)
class Fields:
    """What is ordered of the fields below a place, by name."""

    nodes: Mapping[str, Node]

    @property
    def text(self) -> str:
        return ", ".join(f"{name} {node.text}" for name, node in self.nodes.items())


@dataclasses.dataclass(frozen=True)
class Order:
    """So many parts of a kind: from `least` to `most` (None: any number beyond), each with these fields."""

    least: int
    most: int | None
    fields: Fields

    @property
    def amount(self) -> str:
        if self.most is None:
            return f">= {self.least}"
        return str(self.least) if self.least == self.most else f"{self.least}..{self.most}"

    @property
    def text(self) -> str:
        return f"{self.amount} × {self.fields.text or 'any'}"


@dataclasses.dataclass(frozen=True)
class Orders:
    """All that is ordered of a list of parts."""

    rows: tuple[Order, ...]

    @property
    def text(self) -> str:
        return "; ".join(row.text for row in self.rows)


Node = Union[Absent, Condition, Fields, Holding, Orders]


class BadExpectation(Exception):
    """What is wrong with an expectation; every fault at once."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)


def parse_expectation(document: JSON, form: Form) -> Fields:
    """An expectation of an inventory of this form. Raises BadExpectation."""
    if not isinstance(document, dict) or not document:
        what = "nothing" if not document else f"a {type(document).__name__}"
        raise BadExpectation([f"an expectation is a mapping such as `cpu.sockets: 2`, and this is {what}"])
    if {"form", "taken"} <= set(document):
        raise BadExpectation(
            ["this is an inventory; `liveagent inventory --as-expectation` writes what may be expected"]
        )
    reader = _Reader(form)
    fields = reader.read_fields(document, form, "")
    if reader.faults:
        raise BadExpectation(reader.faults)
    return fields


class _Reader:
    """Reads a whole document, and keeps its faults."""

    def __init__(self, form: Form) -> None:
        self.form = form
        self.faults: list[str] = []

    def read_fields(self, document: Mapping[str, JSON], form: Form, path: str) -> Fields:
        nodes = {}
        for name, ordered in self._part(document, path):
            inner = None if not path and name in NOT_ORDERED else form.field(name)
            here = f"{path}.{name}" if path else name
            if inner is None:
                self.faults.append(f"{here} is not in an inventory{self._suggest(name, form, path)}")
            else:
                node = self._read(ordered, inner, here)
                if node is not None:
                    nodes[name] = node
        return Fields(nodes)

    def _part(self, document: Mapping[str, JSON], path: str) -> Iterator[tuple[str, JSON]]:
        """The names at this place; those with dots (`cpu.sockets`) become mappings, and such mappings one."""
        parts: dict[str, list[JSON]] = {}
        for key, ordered in document.items():
            name, dot, rest = str(key).partition(".")
            parts.setdefault(name, []).append({rest: ordered} if dot else ordered)
        for name, found in parts.items():
            merged: dict[str, JSON] = {}
            for ordered in found if len(found) > 1 else ():
                if not isinstance(ordered, dict) or set(ordered) & set(merged):
                    self.faults.append(f"{f'{path}.{name}' if path else name} stands there twice")
                    break
                merged.update(ordered)
            yield name, merged if len(found) > 1 else found[0]

    def _read(self, ordered: JSON, form: Form, path: str) -> Node | None:
        kinds = form.kinds
        if ordered is None or (ordered == [] and "array" in kinds):
            return Absent()
        if "array" in kinds:
            return self._read_list(ordered, form, path)
        if "object" in kinds:
            if isinstance(ordered, dict) and ordered:
                return self.read_fields(ordered, form, path)
            names = f" ({', '.join(form.fields)})" if form.fields else ""
            self.faults.append(f"{path}: it is made of several values: name those that are meant{names}")
            return None
        return self._read_condition(ordered, form, path)

    def _read_condition(self, ordered: JSON, form: Form, path: str) -> Condition | None:
        try:
            return parse_condition(ordered, form, path)
        except BadCondition as error:
            self.faults.append(f"{path}: {error}")
            return None

    def _read_list(self, ordered: JSON, form: Form, path: str) -> Node | None:
        items = form.items
        if items is None:
            self.faults.append(f"{path}: it cannot be ordered")
            return None
        listed = ordered if isinstance(ordered, list) else [ordered]
        if "object" not in items.kinds:
            read = [self._read_condition(one, items, path) for one in listed]
            return Holding(tuple(condition for condition in read if condition))
        if isinstance(ordered, dict) and COUNT not in ordered:
            self.faults.append(f"{path}: it is a list: say how many, as in `{path}: [{{count: 8, …}}]`")
            return None
        if not isinstance(ordered, (list, dict)):  # `disks: 8`
            return Orders(tuple(self._read_order({COUNT: ordered}, items, path)))
        return Orders(tuple(row for one in listed for row in self._read_order(one, items, path)))

    def _read_order(self, ordered: JSON, items: Form, path: str) -> Iterator[Order]:
        """One row of a list of parts; none where it is faulty."""
        if not isinstance(ordered, dict):
            self.faults.append(f"{path}: a row is a mapping such as {{count: 8, size: 3.84 TB}}, and not {ordered!r}")
            return
        count = ordered.get(COUNT, 1)
        fields = self.read_fields({key: one for key, one in ordered.items() if key != COUNT}, items, path)
        try:
            least, most = parse_count(count)
        except BadCondition as error:
            self.faults.append(f"{path}: {COUNT}: {error}")
            return
        yield Order(least, most, fields)

    def _suggest(self, name: str, form: Form, path: str) -> str:
        """The nearest name beside it; or, of one that stands at another place, that place."""
        names = [field for field in form.fields if path or field not in NOT_ORDERED]
        elsewhere = [] if path else [found for found in list_paths(self.form) if found.endswith(f".{name}")]
        return f"; did you mean {elsewhere[0]}?" if elsewhere else suggest(name, names)


def parse_count(count: JSON) -> tuple[int, int | None]:
    """How many at least and at most: `8`, `>= 4`, `2..4`. Raises BadCondition."""
    match = None if isinstance(count, bool) else _COUNT.fullmatch(str(count).strip())
    if not match:
        raise BadCondition(f"{count!r} is not a number such as 8, '>= 4' or 2..4")
    sign, number, low, high = match.groups()
    if low:
        if int(low) > int(high):
            raise BadCondition(f"{count!r} ends before it begins")
        return int(low), int(high)
    if sign == "<" and number == "0":
        raise BadCondition("less than none?")
    bounds = {">=": (0, None), ">": (1, None), "<=": (None, 0), "<": (None, -1)}
    if sign not in bounds:
        return int(number), int(number)
    least, most = bounds[sign]
    return 0 if least is None else int(number) + least, None if most is None else int(number) + most


def list_paths(form: Form, path: str = "") -> Iterator[str]:
    """Every path of a form down to its lists and values."""
    for name in form.fields:
        inner = form.field(name)
        if inner and (path or name not in NOT_ORDERED):
            here = f"{path}.{name}" if path else name
            yield here
            yield from list_paths(inner, here)
