"""A build as it lies on the build host, and all that must be right before any of it is sent."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from delivery.layout import DOCUMENT, ROOT_NAMES, SIGNATURES, SIGNED, SUMS, is_safe, make_links
from delivery.place import Fault

_LINE = re.compile(r"([0-9a-fA-F]{64}) [ *](.+)")
_CHUNK = 1 << 20
_REQUIRED = ("vmlinuz", "initrd", "speedtest.squashfs")


@dataclasses.dataclass(frozen=True)
class Document:
    """What build.json says of a build; what it does not say is ""."""

    number: int
    kernel: str = ""
    commit: str = ""
    date: str = ""


@dataclasses.dataclass(frozen=True)
class Build:
    """A build that was checked: all that is sent of it, by file name.

    `sums`: SHA-256, as they were when it was checked; `files`: sizes; `texts`: what describes it, and the signatures.
    """

    folder: Path
    document: Document
    sums: Mapping[str, str]
    files: Mapping[str, int]
    texts: Mapping[str, bytes]

    @property
    def number(self) -> int:
        return self.document.number

    @property
    def size(self) -> int:
        return sum(self.files.values())


def parse_document(text: bytes) -> Document:
    """build.json. Raises Fault."""
    try:
        document = json.loads(_decode(DOCUMENT, text))
    except ValueError as error:
        raise Fault(f"{DOCUMENT} is no JSON: {error}") from None
    number = document.get("number") if isinstance(document, dict) else None
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number < 10**9:
        raise Fault(
            f'{DOCUMENT} has no build number: "number" is {json.dumps(number)}, and must be a whole number from 1'
        )
    return Document(number, *(_text(document, key) for key in ("kernel", "commit", "date")))


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    return value if isinstance(value, str) and value.isprintable() else ""


def _decode(name: str, text: bytes) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        raise Fault(f"{name} is no text") from None


def parse_sums(text: bytes) -> dict[str, str]:
    """SHA256SUMS: the sum in lower case by file name. Raises Fault."""
    sums: dict[str, str] = {}
    for number, line in enumerate(_decode(SUMS, text).splitlines(), 1):
        if not line.strip():
            continue
        found = _LINE.fullmatch(line)
        if not found:
            raise Fault(f"{SUMS}, line {number}, is not a sum and a name: {line[:200]!r}")
        value, name = found.groups()
        if not is_safe(name):
            raise Fault(
                f"{SUMS}, line {number}: {name!r} cannot be a file of a build: no path, no '..', nothing hidden"
            )
        if name in sums:
            raise Fault(f"{SUMS}, line {number}: {name} stands there twice")
        if name in ROOT_NAMES and name != DOCUMENT:
            raise Fault(f"{SUMS}, line {number}: {name} is a name that moves; the file itself must carry a number")
        sums[name] = value.lower()
    if not sums:
        raise Fault(f"{SUMS} lists nothing")
    return sums


def read_build(folder: Path) -> Build:
    """A build's folder, with every file read and compared. Raises Fault for the first thing that is wrong."""
    texts = {name: _read(folder / name) for name in SIGNED}
    sums = parse_sums(texts[SUMS])
    if DOCUMENT not in sums:
        raise Fault(f"{SUMS} does not list {DOCUMENT}")
    files = _list_files(folder, sums)
    texts.update({name: _read(folder / name) for name in SIGNATURES if name in files})
    document = parse_document(texts[DOCUMENT])
    _check_names(document, frozenset(files))
    _check_links(folder, make_links(frozenset(files), document.number))
    found = {name: hash_text(texts[name]) if name in texts else hash_file(folder / name) for name in files}
    for name, wanted in sums.items():
        if found[name] != wanted:
            raise Fault(f"{folder / name} is not what {SUMS} says: build it again, or copy it again")
    return Build(folder, document, found, files, texts)


def hash_text(text: bytes) -> str:
    """The SHA-256 of what was read, in hexadecimal digits."""
    return hashlib.sha256(text).hexdigest()


def hash_file(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _read(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise Fault(f"{path} is no regular file")
        return path.read_bytes()
    except OSError as error:
        raise Fault(f"{path}: {error.strerror}; is {path.parent} a build's folder?") from None


def _list_files(folder: Path, sums: Mapping[str, str]) -> dict[str, int]:
    """The sizes of all regular files that belong to the build. Raises Fault for anything else but links."""
    files: dict[str, int] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                if entry.name in sums:
                    raise Fault(f"{entry.path} is a link, and must be a file: {SUMS} lists it")
                continue
            if not entry.is_file():
                raise Fault(f"{entry.path} is no regular file; a build is a flat folder of files")
            signature = entry.name.endswith(".sig") and entry.name[: -len(".sig")] in {*sums, SUMS}
            if not (entry.name in sums or entry.name == SUMS or signature):
                raise Fault(f"{entry.path} is not listed in {SUMS}; it is not sent, and neither is the rest")
            files[entry.name] = entry.stat().st_size
    missing = sorted(set(sums) - set(files))
    if missing:
        raise Fault(f"{folder} lacks {', '.join(missing)}, which {SUMS} lists")
    return files


def _check_names(document: Document, files: frozenset[str]) -> None:
    """That a kernel, an initramfs and an image are there, once each, and of one number and kernel."""
    links = make_links(files, document.number)
    wanted = f"vmlinuz-KERNEL, initrd-KERNEL-{document.number}.img and speedtest-{document.number}.squashfs"
    missing = [name for name in _REQUIRED if name not in links]
    if missing:
        raise Fault(f"build {document.number} has no {' and no '.join(missing)}, or two of them: it needs {wanted}")
    kernel = links["vmlinuz"][len("vmlinuz-") :]
    if links["initrd"] != f"initrd-{kernel}-{document.number}.img" or document.kernel not in ("", kernel):
        said = f", and {DOCUMENT} says {document.kernel}" if document.kernel else ""
        raise Fault(f"kernel and initramfs are not of one version: {links['vmlinuz']}, {links['initrd']}{said}")
    strays = [name for name in files if name.startswith("speedtest-") and name not in links.values()]
    if strays:
        raise Fault(f"{', '.join(sorted(strays))}: not of build {document.number}")


def _check_links(folder: Path, links: Mapping[str, str]) -> None:
    """A link in a build's folder is one of those that are made at the centre anyway; others are refused."""
    inside = os.path.realpath(folder)
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.is_symlink() or links.get(entry.name) == os.readlink(entry.path):
                continue
            if os.path.dirname(os.path.realpath(entry.path)) != inside:
                raise Fault(f"{entry.path} is a link that leads out of the folder, to {os.readlink(entry.path)}")
            raise Fault(f"{entry.path} is a link that is not listed in {SUMS}")
