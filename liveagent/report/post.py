"""One POST of a batch: how it is made, and what came of it in words that a person can act on."""

from __future__ import annotations

import dataclasses
import email.utils
import ssl
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Callable

from liveagent.report import webhook
from liveagent.scrub import Scrubber, scrub_url

if TYPE_CHECKING:
    import requests

CONTENT_TYPE = "application/cloudevents-batch+json"
# Beside 5xx: these pass by themselves. Any other 3xx and 4xx needs a person.
PASSING = (408, 425, 429)
TOO_LARGE = 413
# Answers that a wrong signature time may be behind, and how much the clock must have been off for that.
CLOCK_STATUS = (400, 401, 403)
CLOCK_SHIFT = 60.0
# X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED (openssl/x509_vfy.h).
CLOCK_ERRORS = (9, 10)
# An answer up to this size is read to its end, which keeps the connection for the next batch.
ANSWER_LIMIT = 64 * 1024
SHOWN = 200


@dataclasses.dataclass(frozen=True)
class Fault:
    """Why a batch was not taken.

    `kind` stays the same as long as the trouble does, where `words` may carry a date or a body. `lasting`
    will not pass by itself, so that trying often makes no sense. `retry_after` is seconds from now.
    """

    kind: str
    words: str
    lasting: bool = False
    too_large: bool = False
    retry_after: float | None = None


class Poster:
    """A connection to the URLs of one receiver, and the time that they taught us.

    TLS is always verified, against `ca` (a file) alone where it is given. Proxies are taken from the environment
    (`https_proxy`, `no_proxy`) as by any other program; `.netrc` and REQUESTS_CA_BUNDLE beside a `ca` are not, since
    a password or a CA that nobody gave to the agent would silently stand in for the ones it was given.
    """

    def __init__(
        self, secret: str, token: str, ca: str, timeout: tuple[float, float], clock: Callable[[], float]
    ) -> None:
        import requests  # costs 60 ms, and a run without a callback needs it not

        self.offset = 0.0
        self._key = webhook.make_key(secret) if secret else b""
        self._token = token
        self._ca = ca
        self._timeout = timeout
        self._clock = clock
        self._secrets = (secret, secret[len(webhook.PREFIX) :], token)
        self._session = requests.Session()
        if token:
            self._session.auth = self._authorize

    def post(self, url: str, identity: str, body: bytes) -> Fault | None:
        """Send one batch; None where it was taken. Never raises."""
        headers: dict[str, str | bytes] = {"Content-Type": CONTENT_TYPE}
        if self._key:
            headers.update(webhook.make_headers(self._key, identity, int(self._clock() + self.offset), body))
        try:
            with self._session.post(
                url,
                data=body,
                headers=headers,
                auth=None if self._token else _make_basic(url),
                timeout=self._timeout,
                verify=self._ca or True,
                allow_redirects=False,
                stream=True,
            ) as answer:
                return self._judge(url, answer)
        # All of them: an odd URL raises what it likes in there, and must not keep the next one from being tried.
        except Exception as error:
            fault = describe_error(error, self._clock(), self._timeout)
            return dataclasses.replace(fault, words=make_printable(self._scrub(url, fault.words)))

    def close(self) -> None:
        self._session.close()

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        # As bytes: a token that is not Latin-1 must not raise.
        request.headers["Authorization"] = b"Bearer " + self._token.encode()  # type: ignore[assignment]
        return request

    def _scrub(self, url: str, text: str) -> str:
        """The text without any secret that we know of, those in the URL included: error pages quote what was asked."""
        try:
            parts = urllib.parse.urlsplit(url)
            values = [parts.query, parts.password or "", *(value for _, value in urllib.parse.parse_qsl(parts.query))]
        except ValueError:
            values = [url]
        return Scrubber((*self._secrets, *values)).text(text)

    def _judge(self, url: str, answer: requests.Response) -> Fault | None:
        shift = self._learn_time(url, answer.headers.get("Date"))
        text = _read_start(answer)
        if 200 <= answer.status_code < 300:
            return None
        now = parse_date(answer.headers.get("Date"))
        fault = describe_answer(
            answer.status_code, answer.headers, self._scrub(url, text), self._clock() if now is None else now
        )
        if self._key and answer.status_code in CLOCK_STATUS and abs(shift) > CLOCK_SHIFT:
            words = (
                f"{fault.words}; this machine's clock is {self.offset:+.0f} s from the receiver's: signing by its time"
            )
            return dataclasses.replace(fault, words=words, lasting=False)
        return fault

    def _learn_time(self, url: str, date: str | None) -> float:
        """By how much the receiver's time differs from what we took it for. Believed over verified TLS only."""
        moment = parse_date(date)
        if moment is None or not url.lower().startswith("https:"):
            return 0.0
        before, self.offset = self.offset, moment - self._clock()
        return self.offset - before


def describe_answer(status: int, headers: Mapping[str, str], body: str, now: float) -> Fault:
    """What an answer other than 2xx means. `now` is the receiver's time, for a Retry-After that is a date."""
    words = f"the answer is {status}"
    if 300 <= status < 400:
        location = headers.get("Location", "")
        words += f", moved to {scrub_url(location) or 'nowhere'}, which is not followed for a POST"
    start = make_printable(body)[:SHOWN]
    return Fault(
        kind=f"status {status}",
        words=make_printable(f"{words}: {start}" if start else words),
        lasting=status < 500 and status not in PASSING,
        too_large=status == TOO_LARGE,
        retry_after=parse_retry_after(headers.get("Retry-After"), now),
    )


def describe_error(error: BaseException, now: float, timeout: tuple[float, float]) -> Fault:
    """What an exception of `requests` means, in the words of the system and without the URL. `now` is our clock."""
    import requests

    causes = tuple(_walk_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _describe_certificate(cause, now)
    if isinstance(error, requests.ConnectTimeout):
        return Fault("connect timeout", f"no connection within {timeout[0]:g} s")
    if isinstance(error, requests.Timeout):
        return Fault("timeout", f"no answer within {timeout[1]:g} s")
    through = "through the proxy: " if isinstance(error, requests.exceptions.ProxyError) else ""
    # The system's own error, if it is one; `requests` derives from OSError, too, and quotes the whole URL.
    system = [one for one in causes if isinstance(one, OSError) and not isinstance(one, requests.RequestException)]
    cause = next((one for one in system if one.strerror), system[0] if system else causes[-1])
    words = through + (getattr(cause, "strerror", None) or f"{type(cause).__name__}: {cause}")
    lasting = isinstance(error, (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, ValueError))
    # A connection that is dropped shows as a reset or as a missing answer, as the race goes: one trouble.
    dropped = isinstance(cause, (ConnectionResetError, BrokenPipeError))
    return Fault("dropped" if dropped else words, words, lasting)


def parse_date(text: str | None) -> float | None:
    """An HTTP date as seconds since the epoch; None where it is none."""
    try:
        return email.utils.parsedate_to_datetime(text).timestamp() if text else None
    except (TypeError, ValueError, OverflowError, IndexError):
        return None


def parse_retry_after(text: str | None, now: float) -> float | None:
    """Seconds to wait, from seconds or from an HTTP date; None where it says nothing."""
    text = (text or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    moment = parse_date(text)
    return None if moment is None else max(0.0, moment - now)


def make_printable(text: str) -> str:
    """One line that does nothing to a terminal: a receiver's answer ends up on the consoles."""
    return "".join(character if character.isprintable() else " " for character in " ".join(text.split()))


def _describe_certificate(error: ssl.SSLCertVerificationError, now: float) -> Fault:
    # urllib3 1.26 compares the names itself, and its error has neither a code nor a message of OpenSSL's.
    code = getattr(error, "verify_code", 0)
    words = f"its certificate cannot be verified: {getattr(error, 'verify_message', '') or error}"
    if code in CLOCK_ERRORS:
        date = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
        words += f"; this may be the doing of this machine's clock, which says {date}"
    return Fault(f"certificate {code}", words)


def _walk_causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and all that is behind it: `requests` and `urllib3` wrap the system's own several times."""
    seen: list[BaseException] = []
    waiting = [error]
    while waiting:
        one = waiting.pop(0)
        if any(one is other for other in seen):
            continue
        seen.append(one)
        yield one
        behind = (*one.args, getattr(one, "reason", None), one.__cause__, one.__context__)
        waiting += [other for other in behind if isinstance(other, BaseException)]


def _read_start(answer: requests.Response) -> str:
    """The start of an answer's body; a short one is read to its end. The status stands, whatever happens here."""
    import requests
    import urllib3

    length = answer.headers.get("Content-Length", "")
    short = length.isdigit() and int(length[:9]) <= ANSWER_LIMIT
    try:
        data = answer.content if short else next(answer.iter_content(4096), b"")
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError):
        return ""
    return data[:4096].decode("utf-8", "replace")


def _make_basic(url: str) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
    """The user part of the URL as basic authorization, if there is one; that something is given keeps .netrc out."""
    import requests

    name, password = requests.utils.get_auth_from_url(url)
    return requests.auth.HTTPBasicAuth(name, password) if name or password else lambda request: request
