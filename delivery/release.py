"""Which build the unversioned names lead to: moved in one step, forwards or back."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping

from delivery.build import hash_text, parse_document, parse_sums
from delivery.layout import (
    CURRENT,
    DOCUMENT,
    ROOT_NAMES,
    SIGNATURES,
    SIGNED,
    SUMS,
    Name,
    make_links,
    make_withdrawn,
    parse_target,
)
from delivery.lock import Held, Tell
from delivery.place import Entry, Fault, Kind, Place
from delivery.signature import check_signatures
from delivery.tree import Tree


@dataclasses.dataclass(frozen=True)
class Moved:
    """What is live now, and what was before."""

    folder: str
    now: Name
    before: Name | None


def verify(place: Place, folder: str, name: Name, signers: str, tell: Tell) -> None:
    """Compare a build at the centre with its own SHA256SUMS, and that with its signature.

    `signers` as in check_signatures. Raises Fault where the build is damaged, or nobody who may has signed it.
    """
    at = f"{folder}/{name.path}"
    there = place.list_folder(at)
    texts = {file: place.read(f"{at}/{file}") for file in (*SIGNED, *(sig for sig in SIGNATURES if sig in there))}
    wanted = parse_sums(texts[SUMS])
    check_signatures(f"build {name}", texts, signers, tell)
    # What was signed says nothing of files that nobody compared with it.
    if place.can_sum or signers:
        found: Mapping[str, str] = {**place.sums(at, wanted), DOCUMENT: hash_text(texts[DOCUMENT])}
        bad = [file for file, value in wanted.items() if found.get(file) != value]
    else:
        tell(f"{place.describe(at)}: the server makes no sums, so only the files' names are looked at")
        bad = [file for file in wanted if file not in there]
    if bad:
        raise Fault(f"{place.describe(at)} is damaged: {', '.join(sorted(bad))} not as {SUMS} says; no link was moved")
    number = parse_document(texts[DOCUMENT]).number
    if number != name.number:
        raise Fault(f"{place.describe(at)} is damaged: its {DOCUMENT} is of build {number}; no link was moved")


def move(held: Held, name: Name, before: Name | None) -> Moved:
    """Have all unversioned names of a branch lead to a build that was verified."""
    place, folder = held.place, held.folder
    names = dress(place, folder, name)
    top = place.list_folder(folder)
    in_the_way = [root for root in (CURRENT, *ROOT_NAMES) if root in top and top[root].kind is not Kind.LINK]
    if in_the_way:
        raise Fault(
            f"{place.describe(folder)}: {', '.join(in_the_way)} is no link, and stands where one belongs: move it away"
        )
    held.check()
    place.link(name.path, f"{folder}/{CURRENT}")
    try:
        _finish(place, folder, name, names)
    except Fault as error:
        raise Fault(f"{place.describe(folder)} leads to {name} now, but not by all names: {error}") from None
    return Moved(folder, name, before)


def _finish(place: Place, folder: str, name: Name, names: frozenset[str]) -> None:
    """See that `current` moved and each name leads through it: one is made at the first build that has the file."""
    top = place.list_folder(folder)
    target = top[CURRENT].target if CURRENT in top else "nothing"
    if parse_target(target, folder) != name:
        raise Fault(f"{CURRENT} leads to {target}")
    for root in ROOT_NAMES:
        if _is_through_current(top.get(root), root, folder, name):
            continue
        if root in names:
            place.link(f"{CURRENT}/{root}", f"{folder}/{root}")
        elif root in top and top[root].kind is Kind.LINK:
            # This build has no such file: better no answer than another build's.
            place.remove(f"{folder}/{root}")


def dress(place: Place, folder: str, name: Name) -> frozenset[str]:
    """Give a build's folder its unversioned names, where they are missing; all names in it."""
    at = f"{folder}/{name.path}"
    entries = place.list_folder(at)
    files = frozenset(entry.name for entry in entries.values() if entry.kind is Kind.FILE)
    links = make_links(files, name.number)
    for link, target in links.items():
        there = entries.get(link)
        # An FTP server makes links absolute.
        if not there or there.target.rpartition("/")[2] != target:
            place.link(target, f"{at}/{link}")
    return files | frozenset(links)


def _is_through_current(entry: Entry | None, root: str, folder: str, name: Name) -> bool:
    """Whether a root link leads through `current`, which has just been moved to the build of that name."""
    if not entry:
        return False
    # An absolute link is an FTP server's, which shows it resolved: where it leads to the new build, it moved along.
    return entry.target == f"{CURRENT}/{root}" or (
        entry.target.startswith("/") and parse_target(entry.target, folder) == name
    )


def withdraw(place: Place, tree: Tree, moved: Moved, tell: Tell) -> None:
    """Note that a build was left for an earlier one, so that it no longer counts as good."""
    left = moved.before
    if not left or left.job != moved.now.job or left.number <= moved.now.number or not tree.find(left):
        return
    try:
        place.write(f"{tree.folder}/{make_withdrawn(left)}", make_mark())
    except Fault as error:
        tell(f"Failed to note that build {left.number} was withdrawn, ignoring: {error}")


def readmit(place: Place, tree: Tree, name: Name) -> None:
    """Take back that a build was withdrawn."""
    stored = tree.find(name)
    if stored and stored.withdrawn:
        place.remove(f"{tree.folder}/{make_withdrawn(name)}")


def make_mark() -> bytes:
    """The content of a mark: since when."""
    return (json.dumps({"since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}) + "\n").encode()
