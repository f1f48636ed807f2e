"""What was found beside what was ordered: each place, and whether it is that, is not, or could not be seen."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator, Mapping, Sequence

from liveagent.events import JSON
from liveagent.tasks.hwdiag import assignment
from liveagent.tasks.hwdiag.assignment import assign
from liveagent.tasks.hwdiag.condition import Condition, render_value
from liveagent.tasks.hwdiag.expectation import Absent, Fields, Holding, Node, Order, Orders
from liveagent.tasks.hwdiag.notes import Notes
from liveagent.tasks.hwdiag.parts import NOT_PARTS, Item, describe, list_parts, make_label, make_name

NOT_MEASURED = "it was not measured"


class Match(enum.Enum):
    """How a place compares with what was ordered of it."""

    HELD = "held"
    DIFFERS = "differs"
    MISSING = "missing"
    EXTRA = "extra"
    UNKNOWN = "unknown"


@dataclasses.dataclass(frozen=True)
class Difference:
    """One place. `ordered` as it was written; `found` as the inventory has it, `shown` in the units of the order.

    `part`: what a technician finds it by. `detail`: what a person should know beside the two.
    """

    match: Match
    path: str
    ordered: str
    found: JSON
    shown: str
    part: str
    detail: str = ""


def compare(expected: Fields, document: Mapping[str, JSON]) -> list[Difference]:
    """Every place that something was ordered of, held or not, in the order of the expectation. Pure."""
    return list(_Comparison(Notes(document)).fields(expected, document, "", ""))


@dataclasses.dataclass(frozen=True)
class _Comparison:
    notes: Notes

    def node(self, node: Node, value: JSON, path: str, part: str) -> Iterator[Difference]:
        if isinstance(node, Orders):
            yield from self._orders(node, value, path)
        elif isinstance(node, Absent):
            yield self._absent(value, path, part)
        elif _is_nothing(value):
            yield self._nothing(node, path, part)
        elif isinstance(node, Fields):
            yield from self.fields(node, value, path, part)
        elif isinstance(node, Holding):
            yield from self._holding(node, value, path, part)
        else:
            yield self._condition(node, value, path, part)

    def fields(self, fields: Fields, value: JSON, path: str, part: str) -> Iterator[Difference]:
        for name, node in fields.nodes.items():
            here = f"{path}.{name}" if path else name
            yield from self.node(node, value.get(name) if isinstance(value, dict) else None, here, part)

    # -- one value ----------------------------------------------------------------------------------

    def _condition(self, condition: Condition, value: JSON, path: str, part: str) -> Difference:
        holds = condition.holds(value)
        match = Match.UNKNOWN if holds is None else Match.HELD if holds else Match.DIFFERS
        detail = "which of the two is the newer cannot be told" if holds is None else condition.hint(value).strip()
        return Difference(match, path, condition.text, value, condition.render(value), part or path, detail)

    def _absent(self, value: JSON, path: str, part: str) -> Difference:
        if path in NOT_PARTS and isinstance(value, list):
            value = [*list_parts(path, value)]
        if not _is_nothing(value):
            return Difference(Match.DIFFERS, path, "none", value, _summarize(value), part or path)
        unseen = self.notes.unseen(path)
        # A list of nothing is what was seen; no value at all may as well be one that nobody looked for.
        if self.notes.is_absent(path) or (value == [] and not unseen):
            return Difference(Match.HELD, path, "none", value, "none", part or path)
        return Difference(Match.UNKNOWN, path, "none", value, "unknown", part or path, unseen or NOT_MEASURED)

    def _nothing(self, node: Node, path: str, part: str) -> Difference:
        """Something was ordered, and there is no value."""
        if self.notes.is_absent(path):
            return Difference(Match.MISSING, path, node.text, None, "none", part or path)
        unseen = self.notes.unseen(path) or NOT_MEASURED
        return Difference(Match.UNKNOWN, path, node.text, None, "unknown", part or path, unseen)

    def _holding(self, node: Holding, value: JSON, path: str, part: str) -> Iterator[Difference]:
        for condition in node.conditions:
            found = [condition.holds(item) for item in value]
            match = Match.HELD if True in found else Match.UNKNOWN if None in found else Match.MISSING
            yield Difference(match, path, condition.text, value, render_value(value), part or path)

    # -- a list of parts ----------------------------------------------------------------------------

    def _orders(self, orders: Orders, value: JSON, path: str) -> Iterator[Difference]:
        items = list_parts(path, value)
        unseen = self.notes.unseen(path) or (NOT_MEASURED if value is None else "")
        if unseen and not items:
            for order in orders.rows:
                yield Difference(Match.UNKNOWN, path, order.text, None, "unknown", path, unseen)
            return
        banned: set[int] = set()
        for order in orders.rows:
            if order.most == 0:
                looks = [self._look(order, item, path) for item in items]
                banned |= {index for index, look in enumerate(looks) if _rate(look) == assignment.SURE}
                yield from self._ban(order, path, items, looks)
        wanted = [order for order in orders.rows if order.most != 0]
        if wanted or banned != set(range(len(items))):
            yield from self._wanted(wanted, [item for index, item in enumerate(items) if index not in banned], path)

    def _ban(
        self, order: Order, path: str, items: Sequence[Item], looks: Sequence[Sequence[Difference]]
    ) -> Iterator[Difference]:
        """What must not be there: no other row takes it."""
        for match, rate, detail in (
            (Match.DIFFERS, assignment.SURE, "none may be there"),
            (Match.UNKNOWN, assignment.MAYBE, "not all of it could be measured"),
        ):
            found = [item for item, look in zip(items, looks) if _rate(look) == rate]
            if found:
                yield Difference(match, path, order.text, len(found), str(len(found)), describe(found), detail)
        if all(_rate(look) is None for look in looks):
            yield Difference(Match.HELD, path, order.text, 0, "0", path)

    def _wanted(self, orders: Sequence[Order], items: Sequence[Item], path: str) -> Iterator[Difference]:
        """What is there of each row, what stands in its place, and what is left over."""
        looks = [[self._look(order, item, path) for item in items] for order in orders]
        fits = [{index: fit for index, look in enumerate(row) if (fit := _rate(look)) is not None} for row in looks]
        rows = [assignment.Row(order.least, order.most, fit) for order, fit in zip(orders, fits)]
        taken = assign(rows, len(items))
        given = [[index for index, holder in enumerate(taken) if holder == row] for row in range(len(rows))]
        short = [max(0, order.least - len(found)) for order, found in zip(orders, given)]
        left = [index for index, holder in enumerate(taken) if holder is None]
        others = _pair_others(looks, left, short)
        for row, order in enumerate(orders):
            for index in others[row]:
                yield from (one for one in looks[row][index] if one.match is not Match.HELD)
            unsure = [items[index] for index in given[row] if fits[row][index] == assignment.MAYBE]
            if len(others[row]) < short[row] or not short[row]:
                yield self._order(order, path, len(given[row]), len(others[row]), unsure)
        told = {index for row in others for index in row}
        yield from _list_extra(orders, fits, items, [index for index in left if index not in told], path)

    def _look(self, order: Order, item: Item, path: str) -> list[Difference]:
        return list(self.fields(order.fields, item, f"{path}.{make_name(item)}", make_label(item)))

    def _order(self, order: Order, path: str, found: int, others: int, unsure: Sequence[Item]) -> Difference:
        """How many there are of a row. `others`: those in their places, which are told by themselves."""
        short = order.least - found - others
        shown = str(found)
        if short > 0:
            unseen = self.notes.unseen(path)
            match = Match.UNKNOWN if unseen else Match.MISSING
            return Difference(match, path, order.text, found, shown, path, unseen or f"{short} missing")
        if found - len(unsure) < order.least and unsure:
            detail = f"not all could be measured of {describe(unsure)}"
            return Difference(Match.UNKNOWN, path, order.text, found - len(unsure), shown, path, detail)
        return Difference(Match.HELD, path, order.text, found, shown, path)


def _list_extra(
    orders: Sequence[Order], fits: Sequence[Mapping[int, int]], items: Sequence[Item], left: Sequence[int], path: str
) -> Iterator[Difference]:
    """What is there and was not ordered: more of a row than that has room for, or of none."""
    for order, fit in zip(orders, fits):
        more = [index for index in left if fit.get(index) == assignment.SURE]
        left = [index for index in left if index not in more]
        if more and order.most is not None:
            found, amount = [items[index] for index in more], order.most + len(more)
            detail = f"{len(more)} more than ordered"
            yield Difference(Match.EXTRA, path, order.text, amount, str(amount), describe(found), detail)
    if left:
        found = [items[index] for index in left]
        yield Difference(Match.EXTRA, path, "none", len(left), str(len(left)), describe(found), "not ordered")


def _rate(look: Sequence[Difference]) -> int | None:
    """How well a part fits a row; None where it does not."""
    if any(one.match not in (Match.HELD, Match.UNKNOWN) for one in look):
        return None
    return assignment.MAYBE if any(one.match is Match.UNKNOWN for one in look) else assignment.SURE


def _pair_others(
    looks: Sequence[Sequence[Sequence[Difference]]], left: Sequence[int], short: Sequence[int]
) -> list[list[int]]:
    """Of the parts that are left, those that stand where others were ordered, by row: the likest first.

    One that is in nothing what a row orders does not stand in its place (unless the row asks for one thing alone): the
    ordered one is missing then.
    """
    likeness = [
        (sum(one.match is Match.HELD for one in looks[row][index]), row, index)
        for row in range(len(short))
        for index in left
    ]
    others: list[list[int]] = [[] for _ in short]
    told: set[int] = set()
    for held, row, index in sorted(likeness, key=lambda one: -one[0]):
        if (held or len(looks[row][index]) == 1) and index not in told and len(others[row]) < short[row]:
            others[row].append(index)
            told.add(index)
    return others


def _is_nothing(value: JSON) -> bool:
    return value is None or value in ("", [], {})


def _summarize(value: JSON) -> str:
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return str(len(value))
    return "something" if isinstance(value, dict) else render_value(value)
