"""A place on this machine's own file systems."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from delivery.build import hash_file
from delivery.place import (
    LARGEST_DOCUMENT,
    NOT_OURS,
    Entry,
    Exists,
    Fault,
    Kind,
    NoSpace,
    NotThere,
    Place,
    make_relative,
)

_FULL = (errno.ENOSPC, errno.EDQUOT)


class LocalPlace(Place):
    """A folder of this machine. What it was told to keep is on the disk when a call returns."""

    def __init__(self, path: str) -> None:
        super().__init__(os.path.abspath(path))

    def _at(self, path: str) -> Path:
        return Path(self.url, path)

    def close(self) -> None:
        return

    def list_folder(self, folder: str) -> dict[str, Entry]:
        with self._told(folder), os.scandir(self._at(folder)) as entries:
            found = {}
            for entry in entries:
                # Another publisher's files come and go.
                with contextlib.suppress(FileNotFoundError):
                    found[entry.name] = _make_entry(entry)
            return found

    def find_links(self) -> dict[str, str]:
        root, found = os.path.realpath(self.url), {}
        with self._told(""):
            for folder, folders, files in os.walk(root, onerror=_raise_but_gone):
                paths = [os.path.join(folder, name) for name in (*folders, *files)]
                links = [path for path in paths if os.path.islink(path)]
                found.update({make_relative(p, root): make_relative(os.path.realpath(p), root) for p in links})
                folders[:] = [name for name in folders if name != NOT_OURS]
        return found

    def read(self, path: str) -> bytes:
        with self._told(path), self._at(path).open("rb") as stream:
            return stream.read(LARGEST_DOCUMENT)

    def write(self, path: str, content: bytes) -> None:
        at = self._at(path)
        part = at.with_name(f".part-{secrets.token_hex(6)}")
        with self._told(path):
            try:
                with part.open("xb") as stream:
                    os.fchmod(stream.fileno(), 0o644)
                    stream.write(content)
                    stream.flush()
                    os.fsync(stream.fileno())
                part.replace(at)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
            _sync(at.parent)

    def make_folder(self, path: str) -> None:
        with self._told(path):
            self._at(path).mkdir()
            # Whatever the umask here, the web server is somebody else.
            self._at(path).chmod(0o755)
            _sync(self._at(path).parent)

    def send(self, sources: Mapping[str, Path], folder: str) -> None:
        for name, source in sources.items():
            at = self._at(f"{folder}/{name}")
            with self._told(f"{folder}/{name}"), source.open("rb") as old, at.open("xb") as new:
                os.fchmod(new.fileno(), 0o644)
                shutil.copyfileobj(old, new, 1 << 20)
                new.flush()
                os.fsync(new.fileno())
        _sync(self._at(folder))

    def sums(self, folder: str, names: Iterable[str]) -> dict[str, str]:
        found = {}
        for name in names:
            with self._told(f"{folder}/{name}"), contextlib.suppress(FileNotFoundError):
                found[name] = hash_file(self._at(f"{folder}/{name}"))
        return found

    def rename(self, old: str, new: str) -> None:
        with self._told(new):
            if os.path.lexists(self._at(new)):
                raise FileExistsError
            # A folder that another filled in the meantime is not replaced: the kernel says ENOTEMPTY.
            self._at(old).rename(self._at(new))
            _sync(self._at(new).parent)

    def link(self, target: str, path: str) -> None:
        at = self._at(path)
        new = at.with_name(f".link-{secrets.token_hex(6)}")
        with self._told(path):
            try:
                new.symlink_to(target)
                new.replace(at)
            except BaseException:
                new.unlink(missing_ok=True)
                raise
            _sync(at.parent)

    def remove(self, path: str) -> None:
        with self._told(path):
            self._at(path).unlink(missing_ok=True)

    def remove_folder(self, path: str) -> None:
        with self._told(path), contextlib.suppress(FileNotFoundError):
            if self._at(path).is_symlink():
                self._at(path).unlink()
            else:
                shutil.rmtree(self._at(path))

    def free(self) -> int:
        with self._told(""):
            return shutil.disk_usage(self.url).free

    @contextlib.contextmanager
    def _told(self, path: str) -> Iterator[None]:
        """What the kernel says, as a Fault with the path."""
        try:
            yield
        except (FileNotFoundError, NotADirectoryError):
            raise NotThere(f"{self.describe(path)} is not there") from None
        except FileExistsError:
            raise Exists(f"{self.describe(path)} is there already") from None
        except OSError as error:
            if error.errno == errno.ENOTEMPTY:
                raise Exists(f"{self.describe(path)} is there already") from None
            said = f"Failed at {self.describe(path)}: {error.strerror}"
            raise (NoSpace if error.errno in _FULL else Fault)(said) from None


def _raise_but_gone(error: OSError) -> None:
    """Another publisher's folders come and go; any other that cannot be listed is said."""
    if not isinstance(error, FileNotFoundError):
        raise Fault(f"Failed at {error.filename}: {error.strerror}")


def _make_entry(entry: os.DirEntry[str]) -> Entry:
    about = entry.stat(follow_symlinks=False)
    if stat.S_ISLNK(about.st_mode):
        return Entry(entry.name, Kind.LINK, 0, about.st_mtime, os.readlink(entry.path))
    kind = Kind.FILE if stat.S_ISREG(about.st_mode) else Kind.FOLDER if stat.S_ISDIR(about.st_mode) else Kind.OTHER
    return Entry(entry.name, kind, about.st_size, about.st_mtime)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
