"""What is live where: the builds of every branch at a place, for people and for programs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from delivery.build import Document, parse_document
from delivery.layout import DOCUMENT, Name, moves_along
from delivery.lock import describe_owner, probe_owner
from delivery.place import Fault, Kind, Place
from delivery.publish import probe_branch
from delivery.tree import KEEP, Stored, Tree, add_links, choose_doomed, make_next, probe_tree


@dataclasses.dataclass(frozen=True)
class Row:
    """A build with what its folder says.

    `links`: those that a release leaves where they are; `size` in bytes; `next` where the next publication removes it.
    """

    stored: Stored
    current: bool
    links: tuple[str, ...]
    size: int
    document: Document | None
    next: bool

    @property
    def marks(self) -> list[str]:
        words = [("current", self.current), ("pinned", self.stored.pinned), ("withdrawn", self.stored.withdrawn)]
        return [
            *(word for word, holds in words if holds),
            *(f"linked by {link}" for link in self.links),
            *(["goes next"] if self.next else []),
        ]

    def encode(self) -> dict[str, Any]:
        document = self.document
        return {
            "job": self.stored.name.job,
            "number": self.stored.name.number,
            "current": self.current,
            "pinned": self.stored.pinned,
            "withdrawn": self.stored.withdrawn,
            "links": list(self.links),
            "goes_next": self.next,
            "size": self.size,
            "date": (document.date or None) if document else None,
            "kernel": (document.kernel or None) if document else None,
            "commit": (document.commit or None) if document else None,
        }


@dataclasses.dataclass(frozen=True)
class Branch:
    """A branch's folder with its builds, newest first within a job."""

    folder: str
    branch: str | None
    current: Name | None
    rows: tuple[Row, ...]
    incoming: tuple[str, ...]
    lock: str | None

    def encode(self) -> dict[str, Any]:
        current = self.current
        return {
            "folder": self.folder,
            "branch": self.branch,
            "current": {"job": current.job, "number": current.number} if current else None,
            "builds": [row.encode() for row in self.rows],
            "incoming": list(self.incoming),
            "lock": self.lock,
        }


def probe_listing(place: Place, folder: str, links: Mapping[str, str], keep: int = KEEP) -> Branch:
    """What a branch's folder holds, with sizes and dates; `links` are those of the place. Raises NotThere."""
    tree = add_links(probe_tree(place, folder), links)
    doomed = {name for job in tree.jobs for name in choose_doomed(make_next(tree, job), job, keep)}
    rows = [_probe_row(place, tree, s, s.name in doomed) for job in tree.jobs for s in tree.of_job(job)]
    owner = probe_owner(place, folder) if tree.locked else None
    lock = describe_owner(owner) if owner is not None else None
    return Branch(folder, probe_branch(place, folder), tree.current, tuple(rows), tree.incoming, lock)


def _probe_row(place: Place, tree: Tree, stored: Stored, goes: bool) -> Row:
    at = f"{tree.folder}/{stored.name.path}"
    size, document = 0, None
    try:
        size = sum(entry.size for entry in place.list_folder(at).values() if entry.kind is Kind.FILE)
        document = parse_document(place.read(f"{at}/{DOCUMENT}"))
    except Fault:
        # Removed in this moment, or damaged: the rest is still worth seeing.
        pass
    links = tuple(link for link in stored.links if not moves_along(link, tree.folder))
    return Row(stored, stored.name == tree.current, links, size, document, goes)


def render_listing(place: Place, branches: Iterable[Branch]) -> list[str]:
    """Lines for people."""
    lines = [place.url]
    for branch in branches:
        live = f"live: {branch.current}" if branch.current else "nothing is live"
        named = f"branch {branch.branch}" if branch.branch else "branch not noted"
        lines += ["", f"{branch.folder} ({named}): {live}"]
        lines += _render_rows(branch.rows)
        lines += [f"  upload on its way, or broken off: {path}" for path in branch.incoming]
        lines += [f"  locked by {branch.lock}"] if branch.lock else []
    return lines if len(lines) > 1 else [*lines, "no branch is published here"]


def _render_rows(rows: Iterable[Row]) -> Iterable[str]:
    table = [("job", "build", "size", "built", "")]
    for row in rows:
        date = (row.document.date if row.document else "") or "not stated"
        table.append(
            (row.stored.name.job, str(row.stored.name.number), render_size(row.size), date, ", ".join(row.marks))
        )
    widths = [max(len(cells[column]) for cells in table) for column in range(4)]
    for job, number, size, date, marks in table:
        line = f"  {job:<{widths[0]}}  {number:>{widths[1]}}  {size:>{widths[2]}}  {date:<{widths[3]}}  {marks}"
        yield line.rstrip()


def render_size(size: int) -> str:
    """Bytes for people, in binary units."""
    value, units = float(size), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{value:.0f} {units[0]}" if units[0] == "B" or value >= 100 else f"{value:.1f} {units[0]}"
