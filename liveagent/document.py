"""The config document: fetched from `liveagent.config=URL`, checked, or a fault that says why not."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
import urllib.parse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Callable

from liveagent.host import CommandError, Host
from liveagent.options import Fault
from liveagent.scrub import Scrubber, make_printable, scrub_url
from liveagent.signature import SignatureError, verify

if TYPE_CHECKING:
    import requests

SIGNERS = "/etc/liveagent/config_signers"
NAMESPACE = "liveagent-config"
SIZE_LIMIT = 1024 * 1024
CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 30.0
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 10.0
POLL = 0.05
# What a server that is still coming up may answer; anything else will not change by waiting.
PASSING = (404, 408, 425, 429, 500, 502, 503, 504)


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
    limit = time.monotonic() + wait
    pause, told = FIRST_PAUSE, ""
    while True:
        try:
            text, verified = _get(host, url, ca, limit)
            content = parse_content(text, origin)
            return Document(content, origin, verified, check_signature(host, url, text, ca, origin, limit))
        except _Passing as error:
            if str(error) != told:
                told = str(error)
                say(f"{origin}: {told}; trying for another {max(0, limit - time.monotonic()):.0f} s")
            if time.monotonic() + pause > limit:
                message = f"could not be had within {wait:g} s: {told}"
                raise NoDocument(Fault("plan.config.unavailable", origin, message)) from None
        except _Final as error:
            raise NoDocument(Fault("plan.config.unavailable", origin, str(error))) from None
        host.pause(pause)
        pause = min(LONGEST_PAUSE, pause * 2)


def parse_content(text: bytes, origin: str) -> Mapping[str, Any]:
    """The JSON object of a document. Raises NoDocument: HTML, a list, a name given twice …"""
    try:
        content = json.loads(text.decode("utf-8-sig"), object_pairs_hook=_unique)
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


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
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
        signature, _ = _get(host, make_signature_url(url), ca, limit)
    except _Passing as error:
        if error.status == 404:
            return ""
        raise _Passing(f"its signature: {error}", error.status) from None
    except _Final as error:
        raise _Final(f"its signature: {error}") from None
    try:
        body, mark = text.decode("utf-8"), signature.decode("utf-8", "replace")
        return verify(host, body, mark, str(host.locate(SIGNERS)), NAMESPACE).name
    except (SignatureError, CommandError) as error:
        message = f"its signature is not good, or by nobody in {SIGNERS}: {error}"
    except OSError as error:
        message = f"its signature cannot be checked: {error.strerror}"
    raise NoDocument(Fault("plan.config.signature", origin, message))


class _Passing(Exception):
    """May be better in a while."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class _Final(Exception):
    """Will not be better by waiting."""


def _get(host: Host, url: str, ca: str, limit: float) -> tuple[bytes, bool]:
    """(body, whether the way was verified HTTPS from end to end), before `limit` on the monotonic clock.

    In a thread, since a server that sends a byte now and then would hold the boot, and a cancel, for ever.
    """
    box: list[tuple[bytes, bool] | Exception] = []

    def work() -> None:
        try:
            box.append(_ask(url, ca, SIZE_LIMIT))
        except Exception as error:  # raised again by the one who waits
            box.append(error)

    limit = max(limit, time.monotonic() + FIRST_PAUSE)
    thread = threading.Thread(target=work, name="config", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(POLL)
        host.pause(0)
        if thread.is_alive() and time.monotonic() > limit:
            raise _Passing("the answer did not come to an end")
    answer = box[0]
    if isinstance(answer, Exception):
        raise answer
    return answer


def _ask(url: str, ca: str, size: int) -> tuple[bytes, bool]:
    import requests

    try:
        with requests.get(
            url,
            timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
            verify=ca or True,
            stream=True,
            headers={"Accept": "application/json", "Cache-Control": "no-cache"},
        ) as answer:
            return _read_answer(answer, size)
    except requests.exceptions.SSLError as error:
        raise _Passing(f"its certificate cannot be verified ({_reason(error)})") from None
    except (requests.exceptions.TooManyRedirects, requests.exceptions.InvalidSchema, ValueError) as error:
        raise _Final(f"cannot be asked for ({_reason(error)})") from None
    except requests.exceptions.RequestException as error:
        raise _Passing(f"no answer ({_reason(error)})") from None
    except OSError as error:
        raise _Final(f"cannot be asked for ({error.strerror or error})") from None


def _read_answer(answer: requests.Response, size: int) -> tuple[bytes, bool]:
    status = make_printable(f"HTTP {answer.status_code} {answer.reason}")
    if answer.status_code in PASSING:
        raise _Passing(status, answer.status_code)
    if answer.status_code != 200:
        raise _Final(f"answered {status}")
    schemes = [urllib.parse.urlsplit(step.url).scheme for step in (*answer.history, answer)]
    if "https" in schemes and "http" in schemes[schemes.index("https") :]:
        raise _Final("is redirected from https to plain http")
    body = bytearray()
    for part in answer.iter_content(65536):
        body += part
        if len(body) > size:
            raise _Final(f"is larger than {size} bytes")
    # urllib3 1.26 (EL 9) takes a connection that was dropped for the end of the body.
    length = answer.headers.get("Content-Length", "")
    if length.isdigit() and len(body) < int(length) and "Content-Encoding" not in answer.headers:
        raise _Passing(f"only {len(body)} of {length} bytes came")
    return bytes(body), set(schemes) == {"https"}


def _reason(error: BaseException) -> str:
    """The innermost words of a chain of exceptions."""
    inner: BaseException = error
    while inner.args and isinstance(inner.args[0], BaseException):
        inner = inner.args[0]
    reason = getattr(inner, "reason", None)
    if isinstance(reason, BaseException):
        return _reason(reason)
    # Some of them quote the URL, with all that is in it.
    return make_printable(Scrubber().text(str(reason or inner).split(": ", 1)[-1]))[:200]
