"""A page over HTTP, with the manners of a boot: verified, bounded, in time, and a reason where it could not be had."""

from __future__ import annotations

import dataclasses
import threading
import time
import urllib.parse
from typing import TYPE_CHECKING, Callable, TypeVar

from liveagent.host import Host
from liveagent.scrub import Scrubber, make_printable

if TYPE_CHECKING:
    import requests

Value = TypeVar("Value")

CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 30.0
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 10.0
POLL = 0.05
# What a server that is still coming up may answer; anything else will not change by waiting.
PASSING = (404, 408, 425, 429, 500, 502, 503, 504)


@dataclasses.dataclass(frozen=True)
class Page:
    """What a server answered. `verified`: the way was HTTPS with a good certificate from end to end."""

    body: bytes
    verified: bool


class NotYet(Exception):
    """May be better in a while. `status` is the HTTP status, 0 where there was none."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class NotHad(Exception):
    """Will not be better by waiting."""


def keep_trying(host: Host, attempt: Callable[[float], Value], wait: float, say: Callable[[str], None]) -> Value:
    """What `attempt(limit)` returns, tried again while it raises NotYet; `limit` is on the monotonic clock.

    For up to `wait` seconds; what is waited for is said once. Raises NotHad, or Cancelled of the host.
    """
    limit = time.monotonic() + wait
    pause, told = FIRST_PAUSE, ""
    while True:
        try:
            return attempt(limit)
        except NotYet as error:
            if str(error) != told:
                told = str(error)
                say(f"{told}; trying for another {max(0, limit - time.monotonic()):.0f} s")
            if time.monotonic() + pause > limit:
                raise NotHad(f"could not be had within {wait:g} s: {told}") from None
        host.pause(pause)
        pause = min(LONGEST_PAUSE, pause * 2)


def get(host: Host, url: str, *, ca: str, limit: float, size: int, accept: str) -> Page:
    """The page at `url`, at most `size` bytes, before `limit` on the monotonic clock. Raises NotYet, NotHad, Cancelled.

    `ca` is a file with the CA of its certificate, "" for the system's. In a thread, since a server that sends a byte
    now and then would hold the boot, and a cancel, for ever.
    """
    box: list[Page | Exception] = []

    def work() -> None:
        try:
            box.append(_ask(url, ca, size, accept))
        except Exception as error:  # raised again by the one who waits
            box.append(error)

    limit = max(limit, time.monotonic() + FIRST_PAUSE)
    thread = threading.Thread(target=work, name="fetch", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(POLL)
        host.pause(0)
        if thread.is_alive() and time.monotonic() > limit:
            raise NotYet("the answer did not come to an end")
    answer = box[0]
    if isinstance(answer, Exception):
        raise answer
    return answer


def _ask(url: str, ca: str, size: int, accept: str) -> Page:
    import requests

    try:
        with requests.get(
            url,
            timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
            verify=ca or True,
            stream=True,
            headers={"Accept": accept, "Cache-Control": "no-cache"},
        ) as answer:
            return _read_answer(answer, size)
    except requests.exceptions.SSLError as error:
        raise NotYet(f"its certificate cannot be verified ({_reason(error)})") from None
    except (requests.exceptions.TooManyRedirects, requests.exceptions.InvalidSchema, ValueError) as error:
        raise NotHad(f"cannot be asked for ({_reason(error)})") from None
    except requests.exceptions.RequestException as error:
        raise NotYet(f"no answer ({_reason(error)})") from None
    except OSError as error:
        raise NotHad(f"cannot be asked for ({error.strerror or error})") from None


def _read_answer(answer: requests.Response, size: int) -> Page:
    status = make_printable(f"HTTP {answer.status_code} {answer.reason}")
    if answer.status_code in PASSING:
        raise NotYet(status, answer.status_code)
    if answer.status_code != 200:
        raise NotHad(f"answered {status}")
    schemes = [urllib.parse.urlsplit(step.url).scheme for step in (*answer.history, answer)]
    if "https" in schemes and "http" in schemes[schemes.index("https") :]:
        raise NotHad("is redirected from https to plain http")
    body = bytearray()
    for part in answer.iter_content(65536):
        body += part
        if len(body) > size:
            raise NotHad(f"is larger than {size} bytes")
    # urllib3 1.26 (EL 9) takes a connection that was dropped for the end of the body.
    length = answer.headers.get("Content-Length", "")
    if length.isdigit() and len(body) < int(length) and "Content-Encoding" not in answer.headers:
        raise NotYet(f"only {len(body)} of {length} bytes came")
    return Page(bytes(body), set(schemes) == {"https"})


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
