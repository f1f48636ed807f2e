"""Which found part is which ordered one, where several orders fit the same part."""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Mapping, Sequence

# How well a part fits a row. What could not be measured may fit: it is taken where nothing surer is there.
SURE = 0
MAYBE = 1


@dataclasses.dataclass(frozen=True)
class Row:
    """So many parts are wanted (`most` None: any number from `least` on), and how those that fit do, by index."""

    least: int
    most: int | None
    fits: Mapping[int, int]


def assign(rows: Sequence[Row], count: int) -> list[int | None]:
    """The row that each of `count` parts goes to; None for one that is left over.

    As many as possible of what is wanted at least is filled, with as few that only may fit as possible; then what may
    be there beyond that. A row that takes the first that fits would take away what another one needs.
    """
    taken: list[int | None] = [None] * count
    for room in ([row.least for row in rows], [count if row.most is None else row.most for row in rows]):
        while _add_one(rows, taken, room):
            pass
    return taken


def _add_one(rows: Sequence[Row], taken: list[int | None], room: Sequence[int]) -> bool:
    """Give one more part to a row with room, others moving on where they have to; the cheapest way there is.

    The cheapest of the ways that lead from such a row to a free part (Bellman and Ford's; a part that moves on gives
    back what it cost): repeated, that makes the whole as cheap as can be (the successive shortest paths of a flow).
    """
    filled = collections.Counter(taken)
    cost: dict[int, float] = {row: 0 for row in range(len(rows)) if filled[row] < room[row]}
    came_from: dict[int, tuple[int, int]] = {}  # row: the part that it gives up, and the row that this goes to
    waiting = collections.deque(cost)
    best: tuple[float, int, int] | None = None
    while waiting:
        row = waiting.popleft()
        for part, fit in rows[row].fits.items():
            holder, reached = taken[part], cost[row] + fit
            if holder is None:
                best = min(best or (reached, row, part), (reached, row, part))
            elif holder != row and reached - rows[holder].fits[part] < cost.get(holder, math.inf):
                cost[holder] = reached - rows[holder].fits[part]
                came_from[holder] = (part, row)
                waiting.append(holder)
    if best is None:
        return False
    _, row, part = best
    while True:
        given_up = came_from.get(row)
        taken[part] = row
        if given_up is None:
            return True
        part, row = given_up
