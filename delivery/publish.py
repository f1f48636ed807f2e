"""A build's way to the centre: sent where nobody sees it, verified there, named, released, and old ones removed."""

from __future__ import annotations

import contextlib
import dataclasses
import time

from delivery.build import Build
from delivery.layout import (
    BRANCH,
    BUILDS,
    LOCK,
    Name,
    make_folder,
    make_gone,
    make_highest,
    make_incoming,
    make_withdrawn,
)
from delivery.lock import WAIT, Held, Tell, hold
from delivery.place import Exists, Fault, NoSpace, NotThere, Place, ensure_folder
from delivery.release import Moved, move
from delivery.tree import KEEP, Tree, add_links, choose_doomed, probe_highest, probe_tree

# An upload to which nothing was added for so long is nobody's any more. It is hidden, so there is no hurry.
LEFTOVER = 6 * 3600.0


@dataclasses.dataclass(frozen=True)
class Order:
    """What is wanted of a publication. `wait`: seconds for the tree's lock."""

    branch: str
    job: str
    release: bool = True
    keep: int = KEEP
    wait: float = WAIT


@dataclasses.dataclass(frozen=True)
class Published:
    """What became of it. `moved` is None where it was not to be released; `removed`: older builds."""

    name: Name
    moved: Moved | None
    removed: tuple[Name, ...]


def publish(place: Place, build: Build, order: Order, tell: Tell) -> Published:
    """Bring a build that was checked to the centre, and release it. Raises Fault; then nothing of it is to be seen."""
    name = Name(order.job, build.number)
    folder = prepare(place, order, tell)
    check_welcome(place, folder, name)
    check_room(place, build)
    ensure_folder(place, f"{folder}/{BUILDS}")
    ensure_folder(place, f"{folder}/{BUILDS}/{name.job}")
    incoming = f"{folder}/{make_incoming(name)}"
    place.make_folder(incoming)
    try:
        send(place, build, incoming, tell)
        with hold(place, folder, f"publish {name}", tell, order.wait) as held:
            name_build(held, incoming, name)
            published = _release(held, name, order)
            hidden, leftovers = _hide_doomed(held, name.job, order.keep, tell)
    finally:
        # What has got its name is no longer there.
        _clear(place, [incoming], tell)
    _clear(place, [path for _, path in hidden] + leftovers, tell)
    return dataclasses.replace(published, removed=tuple(doomed for doomed, _ in hidden))


def prepare(place: Place, order: Order, tell: Tell) -> str:
    """A branch's folder, which says whose it is. Raises Fault where another branch has it."""
    folder = make_folder(order.branch)
    try:
        place.list_folder("")
    except NotThere:
        raise NotThere(f"{place.url} is not there: make it first, so that a mistyped place is not filled") from None
    ensure_folder(place, folder)
    with hold(place, folder, "a look at the branch", tell, order.wait):
        owner = probe_branch(place, folder)
        if owner is None:
            place.write(f"{folder}/{BRANCH}", f"{order.branch}\n".encode())
        elif owner != order.branch:
            raise Fault(
                f"{place.describe(folder)} belongs to the branch {owner!r}: {order.branch!r} would have the same name,"
                " so give one of them another"
            )
    return folder


def probe_branch(place: Place, folder: str) -> str | None:
    """The branch that a folder is for; None where that is not noted."""
    if BRANCH not in place.list_folder(folder):
        return None
    said = place.read(f"{folder}/{BRANCH}").decode("utf-8", "replace").strip()
    return said if said.isprintable() else repr(said)


def check_welcome(place: Place, folder: str, name: Name) -> None:
    """Raises Fault where the job had the number already, or one above it: caches keep what a number once stood for."""
    tree = probe_tree(place, folder)
    if tree.find(name):
        raise Exists(_describe_twin(place, folder, name))
    highest = probe_highest(place, tree, name.job)
    if name.number <= highest:
        raise Fault(
            f"{name} does not come after {highest}, the highest number that {name.job} ever had in"
            f" {place.describe(folder)}: build it again with a number from {highest + 1} on"
        )


def check_room(place: Place, build: Build) -> None:
    """Raises NoSpace where a build is larger than what is free, as far as the place can say."""
    free = place.free()
    if free is not None and free < build.size:
        raise NoSpace(f"{place.url} has {free} bytes free, and build {build.number} needs {build.size}")


def _describe_twin(place: Place, folder: str, name: Name) -> str:
    return (
        f"{place.describe(folder)}/{name.path} is there already, and a number is never given twice."
        f" `release {name.number}` moves the links to it"
    )


def send(place: Place, build: Build, incoming: str, tell: Tell) -> None:
    """Send all files, and compare what arrived. Raises Fault."""
    began = time.monotonic()
    place.send({file: build.folder / file for file in sorted(build.files)}, incoming)
    tell(f"sent {len(build.files)} files, {build.size} bytes, in {time.monotonic() - began:.1f} s; comparing")
    arrived = place.sums(incoming, build.sums)
    bad = sorted(file for file, value in build.sums.items() if arrived.get(file) != value)
    if bad:
        raise Fault(f"{', '.join(bad)} arrived otherwise than sent; nothing was linked, publish again")


def name_build(held: Held, incoming: str, name: Name) -> None:
    """Give an upload its number, in one step. Raises Fault where another publisher was faster."""
    check_welcome(held.place, held.folder, name)
    held.check()
    # Before the number is seen: where this fails nothing was published, and a number that is lost costs nothing.
    held.place.write(f"{held.folder}/{make_highest(name.job)}", f"{name.number}\n".encode())
    try:
        held.place.rename(incoming, f"{held.folder}/{name.path}")
    except Exists:
        raise Exists(_describe_twin(held.place, held.folder, name)) from None


def _release(held: Held, name: Name, order: Order) -> Published:
    if not order.release:
        return Published(name, None, ())
    try:
        return Published(name, move(held, name, probe_tree(held.place, held.folder).current), ())
    except Fault as error:
        raise Fault(f"build {name.number} is at the centre, and was not released: {error}") from None


def _hide_doomed(held: Held, job: str, keep: int, tell: Tell) -> tuple[list[tuple[Name, str]], list[str]]:
    """Take the job's builds that are not kept out of sight; they, and whatever earlier publishers left behind."""
    hidden: list[tuple[Name, str]] = []
    try:
        tree = add_links(probe_tree(held.place, held.folder), held.place.find_links())
        for name in choose_doomed(tree, job, keep):
            held.check()
            gone = f"{held.folder}/{make_gone(name)}"
            held.place.rename(f"{held.folder}/{name.path}", gone)
            hidden.append((name, gone))
            held.place.remove(f"{held.folder}/{make_withdrawn(name)}")
        return hidden, [f"{held.folder}/{path}" for path in tree.gone] + _list_leftovers(held, tree)
    except Fault as error:
        # What was published is live, whatever becomes of the old.
        tell(f"Failed to remove old builds, ignoring; the next publication does: {error}")
        return hidden, []


def _list_leftovers(held: Held, tree: Tree) -> list[str]:
    """Uploads that broke off: nothing was added to them for long, by the place's own clock."""
    # Our own lock is seconds old: what it was made at is the time there.
    lock = held.place.list_folder(held.folder).get(LOCK)
    if not lock:
        return []  # somebody has broken it: the next publication clears up
    now, old = lock.modified, []
    for path in tree.incoming:
        with contextlib.suppress(NotThere):
            parent, _, name = f"{held.folder}/{path}".rpartition("/")
            times = [entry.modified for entry in held.place.list_folder(f"{parent}/{name}").values()]
            if now - max([held.place.list_folder(parent)[name].modified, *times]) > LEFTOVER:
                old.append(f"{parent}/{name}")
    return old


def _clear(place: Place, folders: list[str], tell: Tell) -> None:
    for folder in folders:
        try:
            place.remove_folder(folder)
        except Fault as error:
            tell(f"Failed to remove {place.describe(folder)}, ignoring; a later publication does: {error}")
