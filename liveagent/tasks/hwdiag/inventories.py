"""Other inventories: of siblings and of this machine from before, out of a directory, a file or a URL."""

from __future__ import annotations

import dataclasses
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Callable

from liveagent.events import JSON
from liveagent.machine.inventory import FORM
from liveagent.options import is_url
from liveagent.tasks import Context
from liveagent.tasks.hwdiag.source import BadSource, decode, parse_json, read_source, show

FILE = "inventory.json"
# An inventory of sixty disks with their health has some hundred kilobytes; a list is of all machines of a kind.
SIZE_LIMIT = 8 * 1024 * 1024
LIST_LIMIT = 64 * 1024 * 1024
MOST = 1000
# Seconds for all that a list at a URL names: each has but one try.
BUDGET = 120.0


@dataclasses.dataclass(frozen=True)
class Other:
    """An inventory, and where it is from."""

    origin: str
    document: Mapping[str, JSON]


@dataclasses.dataclass(frozen=True)
class Found:
    """The inventories that there were, and in words what was passed over, and why."""

    others: tuple[Other, ...] = ()
    passed_over: tuple[str, ...] = ()


def read_inventories(context: Context, word: str) -> Found:
    """All inventories at a directory, a file or a URL. Raises BadSource where there is none, or Cancelled.

    A directory: its `*.json`, and those of the directories in it. A file, or what a URL answers: an inventory, a run's
    result, or a list of those; a list at a URL may also name further ones by URL.
    """
    reading = _Reading(context)
    if is_url(word):
        reading.take_index(word)
    elif Path(word).is_dir():
        reading.take_directory(Path(word))
    else:
        reading.take(show(word), read_source(context, word, LIST_LIMIT))
    if not reading.others:
        reasons = f" ({'; '.join(reading.passed_over[:5])})" if reading.passed_over else ""
        raise BadSource(f"there is no inventory{reasons}")
    return Found(tuple(reading.others), tuple(reading.passed_over))


def read_earlier(context: Context, is_own: Callable[[Mapping[str, JSON]], bool]) -> Found:
    """The newest inventory of this machine (`is_own`) that an earlier run left in the state directory, if there is one.

    Run directories are called by their time.
    """
    reading = _Reading(context)
    if context.directory is None:
        return Found()
    files = sorted(context.directory.parent.glob(f"*/{FILE}"), reverse=True)
    for path in [path for path in files if path.parent != context.directory][:MOST]:
        reading.take_file(path)
        if any(is_own(other.document) for other in reading.others):
            break
    return Found(tuple(reading.others), tuple(reading.passed_over))


class _Reading:
    """Inventories as they come; what is none is noted and passed over."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.others: list[Other] = []
        self.passed_over: list[str] = []

    def take_directory(self, directory: Path) -> None:
        files = sorted(directory.glob("*.json")) + sorted(directory.glob("*/*.json"))
        for path in files[:MOST]:
            self.take_file(path)
        if len(files) > MOST:
            self.passed_over.append(f"{len(files) - MOST} of {len(files)} files beyond the first {MOST}")

    def take_file(self, path: Path) -> None:
        # A name that others may have: the directory tells one from another.
        self._try(str(Path(path.parent.name, path.name)), str(path))

    def take_index(self, url: str) -> None:
        """What a URL answers, and what is named in it. Raises BadSource for the first page."""
        document = self.take(show(url), read_source(self.context, url, LIST_LIMIT))
        named = [entry for entry in document if isinstance(entry, str)] if isinstance(document, list) else []
        limit = time.monotonic() + BUDGET
        for index, entry in enumerate(named):
            if index == MOST or time.monotonic() > limit:
                self.passed_over.append(
                    f"{len(named) - index} of {len(named)} that {show(url)} names: it took too long"
                )
                break
            there = urllib.parse.urljoin(url, entry)
            self._try(show(there), there)

    def _try(self, origin: str, word: str) -> None:
        """One of several: what cannot be had, or is no inventory, is noted."""
        self.context.host.pause(0)
        try:
            self.take(origin, read_source(self.context, word, SIZE_LIMIT, wait=0))
        except BadSource as error:
            self.passed_over.append(f"{origin}: {error}")

    def take(self, origin: str, body: bytes) -> JSON:
        """The inventories of one document; the document. Raises BadSource where it is no JSON."""
        document = parse_json(decode(body))
        entries = document if isinstance(document, list) else [document]
        for index, entry in enumerate(entries):
            name = f"{origin} [{index}]" if isinstance(document, list) else origin
            found = list(extract(entry))
            self.others += [Other(name, one) for one in found if one["form"] == FORM]
            if any(one["form"] != FORM for one in found):
                self.passed_over.append(f"{name}: is of another form than {FORM}")
            elif not found and not isinstance(entry, str):
                self.passed_over.append(f"{name}: is no inventory")
        return document


def extract(document: JSON) -> Iterator[Mapping[str, JSON]]:
    """The inventory that a document is, or those that a run's result holds."""
    if not isinstance(document, dict):
        return
    if "form" in document and "taken" in document:
        yield document
        return
    tasks = document.get("tasks")
    for task in tasks if isinstance(tasks, list) else ():
        data = task.get("data") if isinstance(task, dict) else None
        if isinstance(data, dict) and isinstance(data.get("inventory"), dict):
            yield from extract(data["inventory"])
