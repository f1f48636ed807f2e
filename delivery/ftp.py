"""A place behind an FTP server that makes links (proftpd with mod_site_misc), plain or with TLS."""

from __future__ import annotations

import calendar
import contextlib
import ftplib
import hashlib
import io
import netrc
import os
import posixpath
import re
import secrets
import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from delivery.address import Address
from delivery.layout import LINKS
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

PASSWORD = "DELIVER_FTP_PASSWORD"
# A server that makes a sum of gigabytes, or fetches them from a slow disk, is silent for that long.
TIMEOUT = 900.0
_REASON_TIMEOUT = 20.0
_CHUNK = 1 << 18
_ATTEMPTS = 3
_LINK = "OS.unix=slink:"
_HASH = re.compile(r"\b([0-9a-fA-F]{64})\b")
# 550 is "not so" of any kind. A full disk is 452 or 552, and 451 where the server only knows that writing failed.
_FULL = ("451", "452", "552")


class _Tls(ftplib.FTP_TLS):
    """FTP with TLS whose data connections continue the session, as proftpd wants it: so nobody else can step in."""

    def ntransfercmd(self, cmd: str, rest: Any = None) -> Any:
        # FTP_TLS would wrap without a session.
        connection, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        assert isinstance(self.sock, ssl.SSLSocket)
        return self.context.wrap_socket(connection, server_hostname=self.host, session=self.sock.session), size


class FtpPlace(Place):
    """A folder on an FTP server, by the path that the server's disk has it under, since its links are absolute.

    `ca`: a file with the CA of the server's certificate. Raises Fault where there is no way in.
    """

    def __init__(self, address: Address, ca: str = "") -> None:
        super().__init__(address.url)
        if re.search(r"\s", address.path):
            raise Fault(f"{address.url}: SITE SYMLINK takes no path with a space in it")
        self._address = address
        self._ca = ca
        self._ftp: ftplib.FTP | None = None
        try:
            with self._asking("", "log in"):
                features = _parse_features(self._connect().sendcmd("FEAT"))
            lacking = [name for name in ("MLST", "SITE SYMLINK") if name not in features]
            if lacking:
                said = f"the server offers no {' and no '.join(lacking)}: proftpd with mod_site_misc does"
                raise Fault(f"{self.url}: {said}")
        except BaseException:
            self._drop()
            raise
        self._summing = _choose_summing(features)
        self.can_sum = bool(self._summing)

    def _connect(self) -> ftplib.FTP:
        """The connection; a new one where a transfer broke off, since nobody knows what the old one would say next."""
        if self._ftp:
            return self._ftp
        address, login = self._address, _find_login(self._address)
        context = ssl.create_default_context(cafile=self._ca or None)
        ftp = _Tls(context=context) if address.scheme == "ftps" else ftplib.FTP()
        try:
            ftp.connect(address.host, address.port, timeout=TIMEOUT)
            assert ftp.sock
            # The control connection is idle while data flows: this keeps a firewall from forgetting it.
            ftp.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            ftp.login(*login)
            if isinstance(ftp, _Tls):
                ftp.prot_p()
            ftp.voidcmd("TYPE I")
        except BaseException:
            ftp.close()
            raise
        self._ftp = ftp
        return ftp

    def close(self) -> None:
        if self._ftp:
            with contextlib.suppress(OSError, EOFError, ftplib.Error):
                self._ftp.quit()
            self._drop()

    def _drop(self) -> None:
        if self._ftp:
            self._ftp.close()
            self._ftp = None

    def list_folder(self, folder: str) -> dict[str, Entry]:
        return self._list(folder, f"MLSD {self._at(folder)}")

    def find_links(self) -> dict[str, str]:
        found, folders = {}, [""]
        while folders:
            folder = folders.pop()
            for entry in self._enter(folder).values():
                path = posixpath.join(folder, entry.name)
                if entry.kind is Kind.LINK:
                    # The server has followed it to its end.
                    found[path] = make_relative(entry.target, self._address.path)
                elif entry.kind is Kind.FOLDER and entry.name != NOT_OURS:
                    folders.append(path)
        # What is removed later should not be the folder that the server is in.
        self._enter("")
        return found

    def read(self, path: str) -> bytes:
        found = io.BytesIO()
        self._fetch(path, found.write)
        return found.getvalue()[:LARGEST_DOCUMENT]

    def write(self, path: str, content: bytes) -> None:
        part = posixpath.join(posixpath.dirname(path), f".part-{secrets.token_hex(6)}")
        try:
            self._store(part, io.BytesIO(content))
            self._move(part, path)
        except BaseException:
            with contextlib.suppress(Fault):
                self.remove(part)
            raise

    def make_folder(self, path: str) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                with self._asking(path, "make"):
                    self._connect().mkd(self._at(path))
                return
            except NotThere:
                if self._has(path):
                    raise Exists(f"{self.describe(path)} is there already") from None
                # It was there, and is gone again: somebody gave back a lock in between.
                if attempt == _ATTEMPTS - 1:
                    raise

    def send(self, sources: Mapping[str, Path], folder: str) -> None:
        for name, source in sources.items():
            with source.open("rb") as stream:
                self._store(f"{folder}/{name}", stream)
            with self._asking(f"{folder}/{name}", "ask the size of"):
                arrived, wanted = self._connect().size(self._at(f"{folder}/{name}")), source.stat().st_size
            if arrived != wanted:
                raise Fault(f"{self.describe(folder)}/{name}: {arrived} bytes arrived of {wanted}")

    def sums(self, folder: str, names: Iterable[str]) -> dict[str, str]:
        entries = self.list_folder(folder)
        return {name: self._sum(f"{folder}/{name}") for name in names if name in entries}

    def rename(self, old: str, new: str) -> None:
        if self._has(new):
            raise Exists(f"{self.describe(new)} is there already")
        try:
            self._move(old, new)
        except NotThere:
            if self._has(new):
                raise Exists(f"{self.describe(new)} is there already") from None
            raise

    def link(self, target: str, path: str) -> None:
        parent = posixpath.dirname(path)
        part = f"{parent}/.link-{secrets.token_hex(6)}"
        try:
            with self._asking(path, f"link to {target} from"):
                self._connect().voidcmd(f"SITE SYMLINK {self._at(posixpath.join(parent, target))} {self._at(part)}")
            self._move(part, path)
        except BaseException:
            with contextlib.suppress(Fault):
                self.remove(part)
            raise

    def remove(self, path: str) -> None:
        with contextlib.suppress(NotThere), self._asking(path, "remove"):
            self._connect().delete(self._at(path))

    def remove_folder(self, path: str) -> None:
        parent, _, name = path.rpartition("/")
        try:
            entry = self.list_folder(parent).get(name)
        except NotThere:
            return
        # Listed by its name a link would show what is behind it.
        if entry and entry.kind is Kind.LINK:
            self.remove(path)
        elif entry:
            self._remove_tree(path)

    def _remove_tree(self, path: str) -> None:
        try:
            entries = self.list_folder(path)
        except NotThere:
            return
        for entry in entries.values():
            inner = f"{path}/{entry.name}"
            if entry.kind is Kind.FOLDER:
                self._remove_tree(inner)
            else:
                self.remove(inner)
        # In a folder that was renamed the server's absolute links lead nowhere, and it no longer lists them.
        for link in LINKS:
            self.remove(f"{path}/{link}")
        try:
            with self._asking(path, "remove"):
                self._connect().rmd(self._at(path))
        except NotThere:
            if self._has(path):
                raise

    def free(self) -> None:
        return None

    # -- single steps -------------------------------------------------------------------------------

    def _at(self, path: str) -> str:
        return f"{self._address.path}/{path}" if path else self._address.path

    def _list(self, folder: str, command: str) -> dict[str, Entry]:
        lines: list[str] = []
        with self._asking(folder, "list"):
            self._connect().retrlines(command, lines.append)
        entries = [_parse_entry(line) for line in lines]
        return {entry.name: entry for entry in entries if entry}

    def _enter(self, folder: str) -> dict[str, Entry]:
        """What a folder holds, its relative links followed; nothing where it went away a moment ago."""
        try:
            with self._asking(folder, "enter"):
                # The server follows a relative link from where it is itself, not from where the link is.
                self._connect().cwd(self._at(folder))
            return self._list(folder, "MLSD")
        except NotThere:
            if not folder or self._has(folder):
                raise
            return {}

    def _has(self, path: str) -> bool:
        parent, _, name = path.rpartition("/")
        return name in self.list_folder(parent)

    def _store(self, path: str, stream: Any) -> None:
        with self._asking(path, "store"):
            ftp = self._connect()
            try:
                ftp.storbinary(f"STOR {self._at(path)}", stream, _CHUNK)
            except ConnectionError:
                # The server closed the data connection; why, it says on the other.
                assert ftp.sock
                ftp.sock.settimeout(_REASON_TIMEOUT)
                ftp.voidresp()
                raise

    def _fetch(self, path: str, take: Any) -> None:
        with self._asking(path, "read"):
            self._connect().retrbinary(f"RETR {self._at(path)}", take, _CHUNK)

    def _move(self, old: str, new: str) -> None:
        with self._asking(new, "move to"):
            self._connect().rename(self._at(old), self._at(new))

    def _sum(self, path: str) -> str:
        if not self._summing:
            digest = hashlib.sha256()
            self._fetch(path, digest.update)
            return digest.hexdigest()
        with self._asking(path, "ask the sum of"):
            if self._summing == "HASH":
                self._connect().voidcmd("OPTS HASH SHA-256")
            said = self._connect().sendcmd(f"{self._summing} {self._at(path)}")
        found = _HASH.search(said)
        if not found:
            raise Fault(f"{self.describe(path)}: the server's answer holds no SHA-256: {said!r}")
        return found.group(1).lower()

    @contextlib.contextmanager
    def _asking(self, path: str, what: str) -> Iterator[None]:
        """What the server or the line says, as a Fault. NotThere is any 550: FTP does not tell them apart."""
        try:
            yield
        except ftplib.error_perm as error:
            kind = NotThere if str(error).startswith("550") else NoSpace if str(error).startswith(_FULL) else Fault
            raise kind(f"Failed to {what} {self.describe(path)}: {error}") from None
        except ftplib.error_temp as error:
            self._drop()
            if str(error).startswith(_FULL):
                said = f"{error}. The server could not write it; its disk may be full"
                raise NoSpace(f"Failed to {what} {self.describe(path)}: {said}") from None
            raise Fault(f"Failed to {what} {self.describe(path)}: {error}") from None
        except (OSError, EOFError, ftplib.Error) as error:
            self._drop()
            said = "the server ended the connection" if isinstance(error, EOFError) else str(error)
            raise Fault(f"Failed to {what} {self.describe(path)}: {said}") from None
        except BaseException:
            self._drop()
            raise


def _find_login(address: Address) -> tuple[str, str]:
    """User and password: from the environment, else from ~/.netrc. Raises Fault."""
    if password := os.environ.get(PASSWORD):
        return address.user or "anonymous", password
    try:
        found = netrc.netrc(os.environ.get("NETRC") or None).authenticators(address.host)
    except FileNotFoundError:
        found = None
    except (OSError, netrc.NetrcParseError) as error:
        raise Fault(f"Failed to read the FTP password: {error}") from None
    if not found or (address.user and found[0] != address.user):
        raise Fault(f"no password for {address.url}: set {PASSWORD}, or let ~/.netrc (mode 0600) have it")
    return found[0] or "", found[2] or ""


def _parse_features(said: str) -> frozenset[str]:
    """The names in an answer to FEAT; of HASH, which sums it makes, as `HASH SHA-256`."""
    features = set()
    for line in said.splitlines()[1:-1]:
        words = line.strip().upper().split(" ", 1)
        features.add(words[0])
        if words[0] == "SITE" and len(words) > 1:
            features.add(f"SITE {words[1]}")
        if words[0] == "HASH" and len(words) > 1:
            features |= {f"HASH {name.rstrip('*')}" for name in words[1].split(";")}
    return frozenset(features)


def _choose_summing(features: frozenset[str]) -> str:
    """The command that makes the server read its own file; "" where it has to be read back."""
    return "HASH" if "HASH SHA-256" in features else "XSHA256" if "XSHA256" in features else ""


def _parse_entry(line: str) -> Entry | None:
    """A line of MLSD; None for the folder itself and its parent."""
    # A link's target, which is one of the facts, may hold spaces.
    about, _, name = line.partition("; ")
    facts = {}
    for fact in about.split(";"):
        key, _, value = fact.partition("=")
        facts[key.lower()] = value
    kind = facts.get("type", "")
    if kind.lower() in ("cdir", "pdir") or "/" in name:
        return None
    size = int(facts["size"]) if facts.get("size", "").isdigit() else 0
    modified = _parse_time(facts.get("modify", ""))
    if kind.lower().startswith(_LINK.lower()):
        return Entry(name, Kind.LINK, 0, modified, kind[len(_LINK) :])
    kinds = {"file": Kind.FILE, "dir": Kind.FOLDER}
    return Entry(name, kinds.get(kind.lower(), Kind.OTHER), size, modified)


def _parse_time(text: str) -> float:
    try:
        return float(calendar.timegm(time.strptime(text[:14], "%Y%m%d%H%M%S")))
    except ValueError:
        return 0.0
