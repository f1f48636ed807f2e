"""The config document: fetched from `liveagent.config=URL`, checked, or a fault that says why not."""

from __future__ import annotations

import dataclasses
import json
import urllib.parse
from collections.abc import Mapping
from typing import Any, Callable

from liveagent.fetch import NotHad, NotYet, Page, get, keep_trying
from liveagent.host import CommandError, Host
from liveagent.options import Fault
from liveagent.scrub import scrub_url
from liveagent.signature import SignatureError, verify

SIGNERS = "/etc/liveagent/config_signers"
NAMESPACE = "liveagent-config"
SIZE_LIMIT = 1024 * 1024
ACCEPT = "application/json"
UNAVAILABLE = "plan.config.unavailable"


@dataclasses.dataclass(frozen=True)
class Document:
    """A config document that was had. `verified`: over HTTPS with a good certificate; `signed_by`: its signer."""

    content: Mapping[str, Any]
    origin: str
    verified: bool = False
    signed_by: str = ""


class NoDocument(Exception):
    """The document could not be had, or is not one: a fault of the plan."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


def fetch_document(host: Host, url: str, wait: float, ca: str, say: Callable[[str], None]) -> Document:
    """The document at `url`, waited for up to `wait` seconds. Raises NoDocument, or Cancelled of the host."""
    origin = f"config {scrub_url(url)}"

    def attempt(limit: float) -> Document:
        page = _get(host, url, ca, limit)
        content = parse_content(page.body, origin)
        return Document(content, origin, page.verified, check_signature(host, url, page.body, ca, origin, limit))

    try:
        return keep_trying(host, attempt, wait, lambda text: say(f"{origin}: {text}"))
    except NotHad as error:
        raise NoDocument(Fault(UNAVAILABLE, origin, str(error))) from None


def _get(host: Host, url: str, ca: str, limit: float) -> Page:
    return get(host, url, ca=ca, limit=limit, size=SIZE_LIMIT, accept=ACCEPT)


def parse_content(text: bytes, origin: str) -> Mapping[str, Any]:
    """The JSON object of a document. Raises NoDocument: HTML, a list, a name given twice …"""
    try:
        content = json.loads(text.decode("utf-8-sig"), object_pairs_hook=unique)
        # JSON can name half a character (\ud800), which nothing can write afterwards.
        json.dumps(content, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        begin = text[:60].decode("utf-8", "replace").strip()
        # What begins as a document may hold secrets; an error page, a script or nothing is worth seeing.
        shown = "" if begin.startswith(("{", "\N{BYTE ORDER MARK}")) else f"; it begins {begin!r}"
        message = f"is not JSON ({type(error).__name__}: {error}){shown}"
        raise NoDocument(Fault("plan.config.syntax", origin, message)) from None
    if not isinstance(content, dict):
        raise NoDocument(Fault("plan.config.syntax", origin, "is not a JSON object"))
    return content


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON (`object_pairs_hook`). Raises ValueError for a name given twice: which one counts?"""
    names = [name for name, _ in pairs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)} given twice")
    return dict(pairs)


def make_signature_url(url: str) -> str:
    """`URL.sig`, with the query kept where it is."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit(parts._replace(path=parts.path + ".sig"))


def check_signature(host: Host, url: str, text: bytes, ca: str, origin: str, limit: float) -> str:
    """Who signed the document; "" where nobody did or there are no signers. Raises NoDocument for a bad signature."""
    if not host.exists(SIGNERS):
        return ""
    try:
        signature = _get(host, make_signature_url(url), ca, limit).body
    except NotYet as error:
        if error.status == 404:
            return ""
        raise NotYet(f"its signature: {error}", error.status) from None
    except NotHad as error:
        raise NotHad(f"its signature: {error}") from None
    try:
        body, mark = text.decode("utf-8"), signature.decode("utf-8", "replace")
        return verify(host, body, mark, str(host.locate(SIGNERS)), NAMESPACE).name
    except (SignatureError, CommandError) as error:
        message = f"its signature is not good, or by nobody in {SIGNERS}: {error}"
    except OSError as error:
        message = f"its signature cannot be checked: {error.strerror}"
    raise NoDocument(Fault("plan.config.signature", origin, message))
