"""Issues certificates: scrubbed, signed, written into the run's directory, told as an event."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import hmac
import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Callable

from liveagent.certificate import MACHINE, NAMESPACE, describe_signature, probe_key, render
from liveagent.events import JSON, Type
from liveagent.host import Host, HostError
from liveagent.report.record import make_plain
from liveagent.report.spool import write_synced
from liveagent.scrub import Scrubber
from liveagent.signature import SignatureError, is_key_text, make_key_text, sign

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Issued:
    """A certificate as it went out; `unsigned` and `unwritten` say why it is not signed, not written, or are ""."""

    text: str
    signature: str
    unsigned: str = ""
    unwritten: str = ""


@dataclasses.dataclass
class Issuer:
    """Issues the certificates of one step. Any thread may.

    `emit` must not change what it is given. Without a `directory` nothing is written. `secret` is the private key
    or its path; without it nothing is signed. Once `is_over` says so, nothing goes out any more: a step that was
    left behind must not add to what was reported.
    """

    host: Host
    emit: Callable[..., object]
    scrub: Scrubber = dataclasses.field(default_factory=Scrubber)
    directory: Path | None = None
    secret: str = ""
    origin: str = ""
    is_live: bool = False
    is_over: Callable[[], bool] = lambda: False

    def __post_init__(self) -> None:
        # What was cancelled gets its certificate as well.
        self.host = self.host.cancelled_by(threading.Event())
        self._issued: dict[str, Mapping[str, JSON]] = {}
        self._key = self.secret if is_key_text(self.secret) else self._locate(self.secret)

    @functools.cached_property
    def key(self) -> Mapping[str, JSON] | None:
        """What signs, in words; None where no key was set."""
        return probe_key(self.host, self._key, self.origin, self.is_live) if self.secret else None

    def _locate(self, path: str) -> str:
        try:
            return str(self.host.locate(path)) if path else ""
        except OSError:  # a loop of links: what is made of the path itself says so
            return path

    @functools.cached_property
    def _seal_key(self) -> bytes:
        """The key's own text, for seals; empty where there is none, or an agent holds it."""
        try:
            text = self.secret if is_key_text(self.secret) else self.host.read(self.secret) if self.secret else ""
        except (OSError, HostError):
            return b""
        return hashlib.sha256(b"liveagent seal\0" + make_key_text(text).encode()).digest() if is_key_text(text) else b""

    def seal(self, text: str) -> str:
        """HMAC-SHA256 in hex, by the private key; "" without one."""
        return hmac.new(self._seal_key, text.encode(), hashlib.sha256).hexdigest() if self._seal_key else ""

    def try_key(self) -> str:
        """Why the key does not sign; "" where it does. What it signs here is no certificate."""
        try:
            sign(self.host, "a trial\n", self._key, f"{NAMESPACE}-trial")
            return str(self.key["trouble"]) if self.key else ""
        except (SignatureError, HostError, OSError) as error:
            return str(error)

    def issue(self, name: str, document: Mapping[str, JSON], subject: str) -> Issued:
        """Sign, write and tell one certificate; `name` is its file's, without the ending.

        Raises ValueError for a name that is a path.
        """
        if not name or Path(name).name != name:
            raise ValueError(f"{name!r} is no name for a certificate")
        clean: dict[str, JSON] = self.scrub.document(make_plain(dict(document)))
        clean, issued = self._sign(name, clean)
        if self.is_over():
            return issued
        self._issued[name] = clean
        unwritten = self._write(name, clean, issued)
        self.emit(
            Type.CERTIFICATE,
            {"name": name, "certificate": clean, "text": issued.text, "signature": issued.signature or None},
            subject,
        )
        return dataclasses.replace(issued, unwritten=unwritten)

    def _sign(self, name: str, document: dict[str, JSON]) -> tuple[dict[str, JSON], Issued]:
        """The document, which says itself how it is signed, and its text with the signature."""
        key = self.key
        trouble = str(key["trouble"]) if key else ""
        if key and not trouble:
            signed = self._say(document, key, name)
            text = render(signed)
            try:
                return signed, Issued(text, sign(self.host, text, self._key, NAMESPACE))
            except (SignatureError, HostError) as error:
                trouble = str(error)
            except OSError as error:
                trouble = f"the key cannot be laid out for ssh-keygen: {error.strerror}"
        unsigned = self._say(document, {**key, "trouble": trouble} if key else None, name)
        summary = f"certificates are not signed: {trouble}" if key else ""
        return unsigned, Issued(render(unsigned), "", self.scrub.known(summary))

    def _say(self, document: dict[str, JSON], key: Mapping[str, JSON] | None, name: str) -> dict[str, JSON]:
        return {**document, "signature": self.scrub.document(describe_signature(key, name))}

    def _write(self, name: str, document: Mapping[str, JSON], issued: Issued) -> str:
        if self.directory is None:
            return ""
        path = self.directory / f"{name}.json"
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            write_synced(path, issued.text.encode("utf-8"))
            if issued.signature:
                write_synced(path.with_name(f"{path.name}.sig"), issued.signature.encode("utf-8"))
        except OSError as error:
            log.error("Failed to write %s: %s, ignoring", path, error.strerror)
            return f"Failed to write {path}: {error.strerror}; the certificate went out as an event all the same"
        return self._write_page(document) if name == MACHINE else ""

    def _write_page(self, document: Mapping[str, JSON]) -> str:
        """`certificate.html`; whatever the page cannot show, the certificate itself is there."""
        assert self.directory
        path = self.directory / f"{MACHINE}.html"
        try:
            from liveagent.report.certificate_page import render_certificate

            disks = {name: issued for name, issued in self._issued.items() if name != MACHINE}
            write_synced(path, render_certificate(document, disks).encode("utf-8", "replace"))
        except Exception as error:  # whatever the page cannot show, the certificate itself is there
            log.exception("Failed to write %s, ignoring", path)
            return f"Failed to write {path}: {error}"
        return ""
