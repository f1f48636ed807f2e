"""What stands in a branch's tree, and what follows from it: which builds are kept, where a roll-back leads."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from delivery.layout import (
    BUILDS,
    CURRENT,
    GONE,
    HIGHEST,
    INCOMING,
    LOCK,
    PIN,
    UNFINISHED,
    WITHDRAWN,
    Name,
    is_folder,
    is_safe,
    make_highest,
    moves_along,
    parse_number,
    parse_target,
)
from delivery.place import Entry, Fault, Kind, NotThere, Place, list_or_nothing

KEEP = 3


@dataclasses.dataclass(frozen=True)
class Stored:
    """A build at the centre. `links`: those from elsewhere that lead into it, by their paths below the place."""

    name: Name
    pinned: bool = False
    withdrawn: bool = False
    links: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Tree:
    """A branch's folder. `builds` by job and number; `incoming` and `gone` are paths below the folder."""

    folder: str
    current: Name | None = None
    builds: tuple[Stored, ...] = ()
    incoming: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    locked: bool = False

    def find(self, name: Name) -> Stored | None:
        return next((stored for stored in self.builds if stored.name == name), None)

    def of_job(self, job: str) -> list[Stored]:
        """The job's builds, newest first."""
        return sorted((stored for stored in self.builds if stored.name.job == job), key=_number, reverse=True)

    @property
    def jobs(self) -> list[str]:
        return sorted({stored.name.job for stored in self.builds})


def _number(stored: Stored) -> int:
    return stored.name.number


# -- what is there ----------------------------------------------------------------------------------


def probe_folders(place: Place) -> list[str]:
    """The branches' folders at a place."""
    return sorted(e.name for e in place.list_folder("").values() if e.kind is Kind.FOLDER and is_folder(e.name))


def probe_tree(place: Place, folder: str) -> Tree:
    """What stands in a branch's folder; which links lead to it is another question. Raises NotThere."""
    top = place.list_folder(folder)
    current = top.get(CURRENT)
    if current and current.kind is not Kind.LINK:
        raise Fault(
            f"{place.describe(folder)}/{CURRENT} is not seen as a link: move it away, or, on an FTP server,"
            " let it show links (FactsOptions UseSlink)"
        )
    jobs = {name: list_or_nothing(place, f"{folder}/{BUILDS}/{name}") for name in _list_jobs(place, folder)}
    return Tree(
        folder,
        parse_target(current.target, folder) if current else None,
        tuple(stored for job, entries in jobs.items() for stored in _make_stored(job, entries)),
        tuple(_list_prefixed(jobs, INCOMING)),
        tuple(_list_prefixed(jobs, GONE)),
        LOCK in top,
    )


def probe_highest(place: Place, tree: Tree, job: str) -> int:
    """The highest number that a job ever had here, by its record and by its builds; 0 where it had none.

    Raises Fault where the record cannot be understood.
    """
    live = [tree.current] if tree.current else []
    numbers = [name.number for name in (*live, *(stored.name for stored in tree.builds)) if name.job == job]
    path = f"{tree.folder}/{make_highest(job)}"
    if HIGHEST in list_or_nothing(place, path.rpartition("/")[0]):
        recorded = parse_number(place.read(path).decode("utf-8", "replace").strip())
        if recorded is None:
            raise Fault(f"{place.describe(path)} holds no number: write into it the highest that {job} ever published")
        numbers.append(recorded)
    return max(numbers, default=0)


def add_links(tree: Tree, links: Mapping[str, str]) -> Tree:
    """The tree with all links that lead into its builds; `links` are those of the place, as it finds them."""
    led: dict[Name, list[str]] = {}
    for link, target in sorted(links.items()):
        name = parse_target(target, tree.folder)
        # A build's own names hold it no longer than itself, and one that is being made need not come to be.
        own = name and link.startswith(f"{tree.folder}/{name.path}/")
        if name and not own and not link.rpartition("/")[2].startswith(UNFINISHED):
            led.setdefault(name, []).append(link)
    builds = (dataclasses.replace(stored, links=tuple(led.get(stored.name, ()))) for stored in tree.builds)
    return dataclasses.replace(tree, builds=tuple(builds))


def _list_jobs(place: Place, folder: str) -> list[str]:
    entries = list_or_nothing(place, f"{folder}/{BUILDS}").values()
    return sorted(entry.name for entry in entries if entry.kind is Kind.FOLDER and is_safe(entry.name))


def _make_stored(job: str, entries: Mapping[str, Entry]) -> Iterable[Stored]:
    numbers = [parse_number(entry.name) for entry in entries.values() if entry.kind is Kind.FOLDER]
    for number in sorted(number for number in numbers if number):
        yield Stored(Name(job, number), f"{PIN}{number}" in entries, f"{WITHDRAWN}{number}" in entries)


def _list_prefixed(jobs: Mapping[str, Mapping[str, Entry]], prefix: str) -> Iterable[str]:
    for job, entries in jobs.items():
        yield from sorted(f"{BUILDS}/{job}/{name}" for name in entries if name.startswith(prefix))


# -- what follows -----------------------------------------------------------------------------------


def choose_kept(tree: Tree, keep: int = KEEP) -> frozenset[Name]:
    """The builds that stay: the last `keep` good ones of each job, what is pinned, and what a link needs.

    A build that was withdrawn by a roll-back is not good. Newer ones than the current one wait for their release: they
    are counted by themselves, so that they do not push out those that a roll-back would need.
    """
    kept = {stored.name for stored in tree.builds if stored.pinned or stored.links or stored.name == tree.current}
    for job in tree.jobs:
        good = [stored.name for stored in tree.of_job(job) if not stored.withdrawn or stored.name == tree.current]
        live = tree.current.number if tree.current and tree.current.job == job else None
        waiting = [name for name in good if live is not None and name.number > live]
        kept.update(waiting[:keep])
        kept.update([name for name in good if name not in waiting][:keep])
    return frozenset(kept)


def choose_doomed(tree: Tree, job: str, keep: int = KEEP) -> list[Name]:
    """The job's builds that are not kept, oldest first."""
    kept = choose_kept(tree, keep)
    return [stored.name for stored in reversed(tree.of_job(job)) if stored.name not in kept]


def make_next(tree: Tree, job: str) -> Tree:
    """The tree as it would be with one more build of the job, released."""
    builds = tree.of_job(job)
    coming = Name(job, builds[0].name.number + 1 if builds else 1)
    freed = tuple(
        dataclasses.replace(stored, links=tuple(link for link in stored.links if not moves_along(link, tree.folder)))
        for stored in tree.builds
    )
    return dataclasses.replace(tree, current=coming, builds=(*freed, Stored(coming)))


def choose_target(tree: Tree, number: int, job: str = "") -> Name:
    """The build of that number, of the current job where none is named. Raises NotThere, and says what there is."""
    name = Name(choose_job(tree, job), number)
    if not tree.find(name):
        raise NotThere(f"{tree.folder} has no build {number} of {name.job}: {describe_builds(tree, name.job)}")
    return name


def choose_earlier(tree: Tree, job: str = "") -> Name:
    """Where a roll-back leads that names no number: the last good build before the current one. Raises NotThere."""
    job = choose_job(tree, job)
    if not tree.current:
        raise NotThere(f"{tree.folder} has no current build to go back from")
    limit = tree.current.number if tree.current.job == job else None
    for stored in tree.of_job(job):
        if not stored.withdrawn and stored.name != tree.current and (limit is None or stored.name.number < limit):
            return stored.name
    raise NotThere(f"{tree.folder} has no good build of {job} before the current one: {describe_builds(tree, job)}")


def choose_job(tree: Tree, job: str = "") -> str:
    """The job that is meant: the one named, else the current build's, else the only one. Raises Fault."""
    if job:
        return job
    if tree.current:
        return tree.current.job
    if len(tree.jobs) == 1:
        return tree.jobs[0]
    raise Fault(
        f"{tree.folder} has no current build: name the job with --job ({', '.join(tree.jobs) or 'there is none'})"
    )


def describe_builds(tree: Tree, job: str) -> str:
    """The job's builds in words, newest first."""
    words = []
    for stored in tree.of_job(job):
        marks = [
            *(["current"] if stored.name == tree.current else []),
            *(["pinned"] if stored.pinned else []),
            *(["withdrawn"] if stored.withdrawn else []),
        ]
        words.append(f"{stored.name.number}{' (' + ', '.join(marks) + ')' if marks else ''}")
    return f"there are {', '.join(words)}" if words else f"there is none of {job}"
