"""Where a place is: a path, or a URL that names how to get there."""

from __future__ import annotations

import dataclasses
import os
import re
from urllib.parse import unquote, urlsplit

from delivery.place import Fault, Place

SCHEMES = ("ssh", "ftp", "ftps")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_%-]*")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@+-]*")


@dataclasses.dataclass(frozen=True)
class Address:
    """A place's parts. `scheme` is "" for a path of this machine; `port` 0 where none is named."""

    scheme: str
    path: str
    host: str = ""
    user: str = ""
    port: int = 0

    @property
    def url(self) -> str:
        if not self.scheme:
            return self.path
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{self.user and self.user + '@'}{host}{self.port and f':{self.port}' or ''}{self.path}"


@dataclasses.dataclass(frozen=True)
class Access:
    """What is needed on the way: a configuration for ssh, a file with the CA of an FTP server's certificate."""

    ssh_config: str = ""
    ca: str = ""


def parse_address(text: str) -> Address:
    """A place as a person writes it. Raises Fault; what it says never holds a password."""
    if "://" not in text:
        if not text or not text.isprintable():
            raise Fault(f"{text!r} is no place: a path, or ssh://, ftp:// or ftps://USER@HOST[:PORT]/PATH")
        return Address("", os.path.abspath(text))
    scheme = text.partition("://")[0]
    try:
        parts = urlsplit(text)
        host, user, port = parts.hostname or "", unquote(parts.username or ""), parts.port or 0
    except ValueError:
        raise Fault(f"this {scheme}:// place cannot be read: {scheme}://USER@HOST[:PORT]/PATH is wanted") from None
    if parts.password is not None:
        raise Fault("a password does not belong into a place, where every user of this machine can read it: for FTP set"
                    " DELIVER_FTP_PASSWORD or use ~/.netrc, for ssh use a key")  # fmt: skip
    if scheme not in SCHEMES:
        raise Fault(f"{scheme}:// is no way to a place: a path, ssh://, ftp:// or ftps://")
    path = unquote(parts.path).rstrip("/")
    # Neither ssh nor rsync may take a part of it for an option, nor FTP for a second command.
    if not _HOST.fullmatch(host) or (user and not _USER.fullmatch(user)) or parts.query or parts.fragment:
        raise Fault(f"{text!r} is no place: {scheme}://USER@HOST[:PORT]/PATH is wanted")
    if not path.startswith("/") or not path.isprintable() or ".." in path.split("/"):
        raise Fault(f"{text!r}: its path must be absolute, without '..': it is the folder as the server's disk has it")
    return Address(scheme, path, host, user, port)


def open_place(address: Address, access: Access) -> Place:
    """Go there. Raises Fault."""
    # Each way has modules of its own, and only one is gone.
    if address.scheme == "ssh":
        from delivery.ssh import SshPlace

        return SshPlace(address, access.ssh_config)
    if address.scheme:
        from delivery.ftp import FtpPlace

        return FtpPlace(address, access.ca)
    from delivery.local import LocalPlace

    return LocalPlace(address.path)
