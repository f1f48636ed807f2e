"""What a place at the centre must be able to do, and how it fails."""

from __future__ import annotations

import abc
import dataclasses
import enum
from collections.abc import Iterable, Mapping
from pathlib import Path

# What is read whole: build.json, SHA256SUMS, marks. More is no such file.
LARGEST_DOCUMENT = 4 << 20
# A file system's own room for what fsck found, which nobody but root looks into.
NOT_OURS = "lost+found"


class Fault(Exception):
    """Something that was not done, in words for a person: what, where, and what to do."""


class NotThere(Fault):
    """Nothing of this name."""


class Exists(Fault):
    """Something of this name stands there already."""


class NoSpace(Fault):
    """The place is full."""


class Kind(enum.Enum):
    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    OTHER = "other"


@dataclasses.dataclass(frozen=True)
class Entry:
    """One name in a folder. `modified`: seconds since 1970 by the place's own clock. `target`: where a link leads."""

    name: str
    kind: Kind
    size: int = 0
    modified: float = 0.0
    target: str = ""


class Place(abc.ABC):
    """A folder at the centre. Paths are relative to it, with '/'; "" is itself. Everything raises Fault.

    `can_sum`: whether sums are made at the far end, so that they cost no transfer.
    """

    can_sum = True

    def __init__(self, url: str) -> None:
        self.url = url

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def describe(self, path: str) -> str:
        """The path as a person would name it."""
        return f"{self.url.rstrip('/')}/{path}" if path else self.url

    @abc.abstractmethod
    def close(self) -> None:
        """Leave the place; nothing is asked of it afterwards."""

    @abc.abstractmethod
    def list_folder(self, folder: str) -> dict[str, Entry]:
        """What a folder holds, by name; links are not followed. Raises NotThere."""

    @abc.abstractmethod
    def find_links(self) -> dict[str, str]:
        """Every link at the place, in whatever folder, with the path where it ends, all links on the way followed.

        That path is relative to the place where it lies in it, else absolute. Links that lead nowhere may be left out.
        A folder that cannot be looked into raises Fault: what leads out of it nobody knows.
        """

    @abc.abstractmethod
    def read(self, path: str) -> bytes:
        """A small file. Raises NotThere."""

    @abc.abstractmethod
    def write(self, path: str, content: bytes) -> None:
        """A small file, whole or not at all; replaces one that is there."""

    @abc.abstractmethod
    def make_folder(self, path: str) -> None:
        """A folder that was not there: of two that make it, one succeeds. Raises Exists."""

    @abc.abstractmethod
    def send(self, sources: Mapping[str, Path], folder: str) -> None:
        """Files into a folder of ours, each under its name. Raises NoSpace."""

    @abc.abstractmethod
    def sums(self, folder: str, names: Iterable[str]) -> dict[str, str]:
        """The SHA-256 of files as the place holds them; what is not there is left out."""

    @abc.abstractmethod
    def rename(self, old: str, new: str) -> None:
        """A folder's new name in one step. Raises Exists; nothing is replaced."""

    @abc.abstractmethod
    def link(self, target: str, path: str) -> None:
        """A symbolic link to `target` (relative to the folder that it stands in), in one step; replaces one."""

    @abc.abstractmethod
    def remove(self, path: str) -> None:
        """A file or a link; nothing where it is gone already."""

    @abc.abstractmethod
    def remove_folder(self, path: str) -> None:
        """A folder with what is in it; nothing where it is gone already. Of a link only the link itself."""

    @abc.abstractmethod
    def free(self) -> int | None:
        """Bytes that can still be written; None where the place cannot say."""


def ensure_folder(place: Place, path: str) -> None:
    """A folder, made or found. Raises Fault where a file or a link has the name."""
    try:
        place.make_folder(path)
    except Exists:
        parent, _, name = path.rpartition("/")
        # Behind a link there may be anything, also what is no part of the tree.
        entry = place.list_folder(parent).get(name)
        if not entry or entry.kind is not Kind.FOLDER:
            raise Fault(f"{place.describe(path)} is no folder, and one has to stand there: move it away") from None


def make_relative(target: str, root: str) -> str:
    """An absolute path as it is below the root; one that is not below it as it stands."""
    return target[len(root) + 1 :] if target.startswith(f"{root}/") else target


def list_or_nothing(place: Place, folder: str) -> Mapping[str, Entry]:
    """What a folder holds; nothing where it is not there."""
    try:
        return place.list_folder(folder)
    except NotThere:
        return {}
