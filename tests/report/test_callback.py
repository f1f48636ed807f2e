"""The callback against real sockets. Batches and signatures are judged by the published packages, not by our code."""

from __future__ import annotations

import contextlib
import datetime
import email.utils
import http.server
import json
import random
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest
import standardwebhooks
import trustme

from liveagent.events import Event, Type
from liveagent.report import webhook
from liveagent.report.callback import (
    Address,
    Callback,
    Pace,
    choose_address,
    choose_delay,
    make_batch,
    read_cursor,
    write_cursor,
)
from liveagent.report.post import Fault, describe_answer, make_printable, parse_retry_after
from liveagent.report.record import Reader, read_events
from liveagent.report.spool import Spool

RUN = "20260101T000000Z-ab12"
SOURCE = "/liveagent/S4EWNX0N"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
FAST = Pace(first=0.005, most=0.02, slow=0.03, retry_after=0.1, connect=2, read=2)
# What every wait of these tests may take at most; it is not slept through.
LONG = 20.0


# -- a receiver that does as it is told ---------------------------------------------------------------


class Answer:
    """Answer with a status; `takes` is whether the batch counts as received. Status 0 closes without an answer."""

    def __init__(self, status: int, body: str = "", takes: bool = False, **headers: str) -> None:
        self.status, self.body, self.takes = status, body, takes
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


TAKE = Answer(204, takes=True)
DROP = Answer(0)
LOSE_REPLY = Answer(0, takes=True)


class Scripted:
    """Answers each request by the next of its script, then by `default`; keeps every request."""

    def __init__(self, *script: Answer, default: Answer | Callable[[bytes], Answer] = TAKE) -> None:
        self.script = list(script)
        self.default = default
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.taken: list[tuple[dict[str, str], bytes]] = []
        self.changed = threading.Condition()
        self.tls: ssl.SSLContext | None = None
        scripted = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                scripted.serve(self)

            def log_message(self, *_: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def get_request(self) -> tuple[object, object]:
                connection, peer = super().get_request()
                if scripted.tls:
                    connection = scripted.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
                return connection, peer

            def handle_error(self, *_: object) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.server.server_address[1]}/hook"

    def serve(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        headers = {name.lower(): value for name, value in handler.headers.items()}
        with self.changed:
            action = self.script.pop(0) if self.script else None
        body = b"" if action is DROP else handler.rfile.read(int(headers["content-length"]))
        if action is None:
            action = self.default(body) if callable(self.default) else self.default
        with self.changed:
            self.requests.append((handler.path, headers, body))
            if action.takes:
                self.taken.append((headers, body))
            self.changed.notify_all()
        if not action.status:
            handler.close_connection = True
            handler.connection.close()
            return
        handler.send_response_only(action.status)
        for name, value in {"Date": handler.date_time_string(), **action.headers}.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(action.body.encode())))
        handler.end_headers()
        handler.wfile.write(action.body.encode())

    def wait(self, is_so: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(is_so, LONG)

    @property
    def sequences(self) -> list[int]:
        """The numbers of the events in the order in which they came, repetitions included."""
        return [int(event["sequence"]) for _, body in self.taken for event in parse_batch(body)]

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def parse_batch(body: bytes) -> list[dict[str, object]]:
    """The batch's events, each checked by the published cloudevents package."""
    documents = json.loads(body)
    assert isinstance(documents, list)
    for document in documents:
        text = json.dumps(document)
        try:
            from cloudevents.core.formats.json import JSONFormat
            from cloudevents.core.v1.event import CloudEvent

            event = JSONFormat().read(CloudEvent, text)
            assert (event.get_id(), event.get_type()) == (document["id"], document["type"])
            assert event.get_time().tzinfo is not None
            assert event.get_extension("sequence") == document["sequence"]
        except ImportError:  # cloudevents 1, which is what Python 3.9 gets
            from cloudevents.http import from_json

            assert from_json(text)["id"] == document["id"]
    return documents


class Said:
    """What was said, to be waited for."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.changed = threading.Condition()

    def __call__(self, text: str) -> None:
        with self.changed:
            self.lines.append(text)
            self.changed.notify_all()

    def wait(self, part: str) -> str:
        with self.changed:
            assert self.changed.wait_for(lambda: any(part in line for line in self.lines), LONG), self.lines
        return next(line for line in self.lines if part in line)


class Desk:
    """One run's record and what is needed to send it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.spool = Spool(directory / RUN, RUN, SOURCE)
        self.cursor = directory / "callback.cursor"
        self.said = Said()
        self.closing = contextlib.ExitStack()

    def serve(self, *script: Answer, default: Answer | Callable[[bytes], Answer] = TAKE) -> Scripted:
        server = Scripted(*script, default=default)
        self.closing.callback(server.close)
        return server

    def emit(self, count: int, text: str = "x") -> None:
        for _ in range(count):
            self.spool.emit(
                Type.FINDING, {"code": "a.b", "verdict": "pass", "part": "sda", "summary": text}, "wipe/sda"
            )

    def start(self, *urls: str, **options: object) -> Callback:
        reader = Reader(self.spool.path, 0, self.spool)
        callback = Callback("callback", urls, reader, self.cursor, self.said, **{"pace": FAST, **options})  # type: ignore[arg-type]
        callback.start()
        self.closing.callback(callback.stop)
        return callback


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    with desk.closing:
        yield desk
    desk.spool.close()


# -- pure parts -----------------------------------------------------------------------------------------


def test_the_backoff_has_full_jitter_within_its_bounds() -> None:
    pace, fault = Pace(), Fault("status 503", "")
    for failures, cap in ((1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (8, 60), (100_000, 60)):
        assert choose_delay(fault, failures, pace, lambda low, high: low) == 0
        assert choose_delay(fault, failures, pace, lambda low, high: high) == cap
    chance = random.Random(1)
    drawn = [choose_delay(fault, 7, pace, chance.uniform) for _ in range(1000)]
    assert all(0 <= delay <= 60 for delay in drawn)


def test_retry_after_is_waited_for_and_bounded() -> None:
    def delay(after: float | None, lasting: bool = False, jitter: float = 0.0) -> float:
        fault = Fault("", "", lasting=lasting, retry_after=after)
        return choose_delay(fault, 1, Pace(), lambda low, high: low + (high - low) * jitter)

    assert delay(7) == 7 and delay(7, jitter=1) == 8
    assert delay(1e9) == 600
    assert delay(0) == 0 and delay(0, lasting=True) == 60 and delay(None, lasting=True) == 60


def test_retry_after_is_read_as_seconds_and_as_a_date() -> None:
    now = 1_700_000_000.0
    assert parse_retry_after("120", now) == 120
    assert parse_retry_after(email.utils.formatdate(now + 90, usegmt=True), now) == 90
    assert parse_retry_after(email.utils.formatdate(now - 90, usegmt=True), now) == 0
    for text in (None, "", "soon", "-5", "1e3", "²", "Mon, 99 Foo 2026"):
        assert parse_retry_after(text, now) is None
    assert parse_retry_after("9" * 5000, now) is not None


def test_the_address_that_is_due_first_is_chosen() -> None:
    one, two = Address("a", due=5.0), Address("b", due=3.0)
    assert choose_address([one, two], 10.0) is one
    assert choose_address([one, two], 4.0) is two
    assert choose_address([one, two], 0.0) is two


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413, 418, 422, 301, 308])
def test_what_needs_a_person_is_lasting(status: int) -> None:
    assert describe_answer(status, {}, "", 0).lasting


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_what_passes_by_itself_is_not(status: int) -> None:
    assert not describe_answer(status, {}, "", 0).lasting


def test_a_batch_is_bounded_in_count_and_bytes_and_never_empty(tmp_path: Path) -> None:
    events = [Event(RUN, n, Type.FINDING, "2026-01-01T00:00:00Z", SOURCE, "", {"n": "x" * 1000}) for n in range(1, 400)]
    assert len(make_batch(events, 200, 10**9).events) == 200
    small = make_batch(events, 200, 5000)
    assert 1 < len(small.events) < 5 and len(small.body) <= 5000
    assert len(make_batch(events, 200, 10).events) == 1
    assert [event["id"] for event in parse_batch(small.body)] == [event.id for event in small.events]
    assert "." not in make_batch([Event("a.b", 1, Type.FINDING, "", "", "", {})]).identity


def test_a_cursor_is_whole_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "cursor"
    assert read_cursor(path) == 0
    write_cursor(path, 41)
    assert read_cursor(path) == 41
    for text in (b"", b"-3", b"abc", b"\xff\xfe", b"9" * 5000):
        path.write_bytes(text)
        assert read_cursor(path) == 0


def test_what_a_receiver_answers_does_nothing_to_a_terminal() -> None:
    assert make_printable("\x1b[2Ja\r\nb\x00\u202ec") == " [2Ja b  c"


# -- signing, judged by the published package -----------------------------------------------------------


@pytest.mark.parametrize("secret", [SECRET, SECRET[6:], "whsec_YWJj", "YWJjZA", "some pass phrase"])
def test_the_published_package_takes_our_signature_for_the_same_secret(secret: str) -> None:
    body, now = b'[{"a":"\xc3\xa9"}]', int(time.time())
    headers = webhook.make_headers(webhook.make_key(secret), "run/1-2", now, body)
    standardwebhooks.Webhook(secret).verify(body, headers)


def test_a_secret_that_is_not_base64_is_the_key_itself() -> None:
    body = b"[]"
    headers = webhook.make_headers(webhook.make_key("hunter2!!"[:5] + "é"), "1", int(time.time()), body)
    standardwebhooks.Webhook("hunteé".encode()).verify(body, headers)
    for secret in ("whsec_", "whsec_a", "!!!"):
        with pytest.raises(ValueError):
            webhook.make_key(secret)


def test_our_check_takes_what_the_published_package_signs_and_nothing_else() -> None:
    now, body = time.time(), b"[1]"
    moment = datetime.datetime.fromtimestamp(int(now), datetime.timezone.utc)
    signature = standardwebhooks.Webhook(SECRET).sign("m", moment, body.decode())
    good = {"webhook-id": "m", "webhook-timestamp": str(int(now)), "webhook-signature": f"v1,AAAA v1a,x {signature}"}
    key = webhook.make_key(SECRET)
    webhook.check(key, good, body, now)
    for change in (
        {"webhook-id": "n"},
        {"webhook-timestamp": str(int(now) + 1)},
        {"webhook-timestamp": "x"},
        {"webhook-timestamp": "9" * 5000},
        {"webhook-signature": "v1,AAAA"},
        {"webhook-signature": "ü"},
        {"webhook-id": None},
    ):
        with pytest.raises(webhook.BadSignature):
            webhook.check(key, {**good, **change}, body, now)
    for late in (-301, 301):
        with pytest.raises(webhook.BadSignature, match="clock"):
            webhook.check(key, good, body, now + late)


# -- delivery -------------------------------------------------------------------------------------------


def test_events_arrive_in_order_signed_and_with_the_token(desk: Desk) -> None:
    server = desk.serve()
    callback = desk.start(server.url, secret=SECRET, token="t0ken-€")
    desk.emit(450)
    assert callback.drain(desk.spool.last, LONG)
    assert server.sequences == list(range(1, 451))
    assert (callback.delivered, callback.trouble, desk.said.lines) == (450, "", [])
    assert read_cursor(desk.cursor) == 450
    for headers, body in server.taken:
        standardwebhooks.Webhook(SECRET).verify(body, headers)
        assert headers["content-type"] == "application/cloudevents-batch+json"
        assert headers["authorization"].encode("latin-1").decode() == "Bearer t0ken-€"
        assert len(parse_batch(body)) <= 200


def test_a_batch_that_fails_is_retried_as_it_is_and_said_once(desk: Desk) -> None:
    server = desk.serve(*[Answer(503, "busy")] * 5)
    desk.emit(3)
    callback = desk.start(server.url, secret=SECRET)
    assert callback.drain(3, LONG)
    identities = [(headers["webhook-id"], body) for _, headers, body in server.requests]
    assert len(identities) == 6 and len(set(identities)) == 1
    assert desk.said.lines == [
        f"Failed to deliver to {server.url}: the answer is 503: busy, trying again",
        f"Delivering to {server.url} again",
    ]
    assert callback.trouble == ""


def test_each_other_trouble_is_said_when_it_comes(desk: Desk) -> None:
    server = desk.serve(Answer(503), DROP, Answer(500), Answer(503), DROP)
    desk.emit(1)
    assert desk.start(server.url).drain(1, LONG)
    assert len(desk.said.lines) == 4, desk.said.lines
    assert "closed connection without response" in desk.said.lines[1] or "reset" in desk.said.lines[1]


def test_a_lost_reply_and_a_dropped_connection_lose_nothing(desk: Desk) -> None:
    server = desk.serve(LOSE_REPLY, DROP, TAKE, DROP, LOSE_REPLY, LOSE_REPLY)
    desk.emit(500)
    assert desk.start(server.url).drain(500, LONG)
    assert list(dict.fromkeys(server.sequences)) == list(range(1, 501))
    assert len(server.sequences) > 500


def test_retry_after_is_obeyed(desk: Desk) -> None:
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return False

    now = time.time()
    later = email.utils.formatdate(now + 320, usegmt=True)
    date = email.utils.formatdate(now + 300, usegmt=True)
    server = desk.serve(
        Answer(503, Retry_After="7"), Answer(429, Retry_After=later, Date=date), Answer(503, Retry_After="99999")
    )
    desk.emit(1)
    callback = desk.start(server.url, pace=Pace(), wait=wait, uniform=lambda low, high: low)
    assert callback.drain(1, LONG)
    assert waits == pytest.approx([7, 20, 600], abs=0.5)


def test_the_next_url_is_tried_and_the_one_that_works_is_kept(desk: Desk) -> None:
    broken, good = desk.serve(default=Answer(404, "no such hook")), desk.serve()
    nobody = desk.serve()
    nobody.close()
    callback = desk.start(nobody.url, broken.url, good.url)
    desk.emit(1)
    assert callback.drain(1, LONG)
    desk.emit(1)
    assert callback.drain(2, LONG)
    assert callback.urls[0] == good.url
    assert (len(broken.requests), good.sequences) == (1, [1, 2])
    assert "Connection refused" in desk.said.wait(nobody.url)
    assert "404: no such hook, trying every" in desk.said.wait(broken.url)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
def test_a_receiver_that_refuses_is_named_and_asked_again(desk: Desk, status: int) -> None:
    server = desk.serve(Answer(status, "go away"), Answer(status, "go away"))
    desk.emit(2)
    callback = desk.start(server.url)
    assert desk.said.wait(f"{server.url}: the answer is {status}: go away")
    assert callback.drain(2, LONG) and server.sequences == [1, 2]


def test_a_redirect_is_not_followed(desk: Desk) -> None:
    elsewhere = desk.serve()
    server = desk.serve(Answer(307, Location=elsewhere.url + "?token=hide-me"))
    desk.emit(1)
    assert desk.start(server.url).drain(1, LONG)
    assert not elsewhere.requests
    line = desk.said.wait("307")
    assert elsewhere.url in line and "hide-me" not in line


def test_a_body_that_is_too_large_is_halved(desk: Desk) -> None:
    server = desk.serve(default=lambda body: TAKE if len(body) < 4000 else Answer(413, "too much"))
    desk.emit(200)
    assert desk.start(server.url).drain(200, LONG)
    assert server.sequences == list(range(1, 201))
    assert "413: too much, sending less at once" in desk.said.wait("413")


def test_one_event_that_is_too_large_is_kept_and_said(desk: Desk) -> None:
    server = desk.serve(default=Answer(413))
    desk.emit(1)
    callback = desk.start(server.url)
    server.wait(lambda: len(server.requests) >= 3)
    assert "413" in callback.trouble and callback.delivered == 0
    server.default = TAKE
    assert callback.drain(1, LONG)


def test_no_secret_is_said(desk: Desk) -> None:
    body = "\x1b[2Jwrong token s3cret-token for ?key=geheim1 by hunter22 signed MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    server = desk.serve(default=Answer(403, body))
    url = server.url.replace("//", "//joe:hunter22@") + "?key=geheim1"
    dead = "http://joe:hunter22@127.0.0.1:1/x?key=geheim1"
    desk.emit(1)
    callback = desk.start(url, dead, secret=SECRET, token="s3cret-token")
    desk.said.wait("403")
    desk.said.wait("127.0.0.1:1/x")
    text = "\n".join([*desk.said.lines, callback.trouble, *callback.urls])
    for secret in ("geheim1", "hunter22", "joe", "s3cret-token", SECRET[6:], "\x1b"):
        assert secret not in text
    assert server.requests[0][0] == "/hook?key=geheim1"


@pytest.mark.parametrize(
    "url", ["http://", "ftp://127.0.0.1/x", "127.0.0.1/x", "http://a..b/", "http://[::1/", "http://127.0.0.1:99999/"]
)
def test_a_url_that_is_none_is_said_and_the_next_one_works(desk: Desk, url: str) -> None:
    server = desk.serve()
    desk.emit(1)
    callback = desk.start(url, server.url)
    assert callback.drain(1, LONG)
    assert desk.said.lines[0].startswith("Failed to deliver to ")


def test_stop_does_not_wait_for_a_retry(desk: Desk) -> None:
    server = desk.serve(default=Answer(404))
    desk.emit(1)
    callback = desk.start(server.url, pace=Pace())
    desk.said.wait("404")
    began = time.monotonic()
    assert callback.stop(LONG)
    assert time.monotonic() - began < 1
    assert not callback.drain(1, LONG)


def test_it_goes_on_from_its_cursor(desk: Desk) -> None:
    server = desk.serve()
    desk.emit(5)
    write_cursor(desk.cursor, 3)
    callback = desk.start(server.url)
    assert callback.delivered == 3
    assert callback.drain(5, LONG) and server.sequences == [4, 5]


def test_a_cursor_that_cannot_be_written_stops_nothing(desk: Desk) -> None:
    server = desk.serve()
    desk.cursor = desk.directory / "nowhere" / "cursor"
    callback = desk.start(server.url)
    desk.emit(2)
    assert callback.drain(2, LONG)


def test_a_spool_left_by_another_process_is_sent(desk: Desk) -> None:
    server = desk.serve()
    desk.emit(250)
    desk.spool.close()
    callback = Callback("left", [server.url], Reader(desk.spool.path), desk.cursor, desk.said, pace=FAST)
    callback.start()
    assert callback.drain(250, LONG) and callback.stop()
    assert server.sequences == list(range(1, 251))


def test_netrc_stays_out_and_a_proxy_is_used(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = desk.directory / "netrc"
    netrc.write_text("default login joe password hunter22\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server = desk.serve()
    desk.emit(1)
    callback = desk.start(server.url)
    assert callback.drain(1, LONG) and callback.stop()
    assert "authorization" not in server.requests[0][1]
    monkeypatch.setenv("http_proxy", server.url)
    desk.emit(1)
    desk.cursor = desk.directory / "other"
    assert desk.start("http://joe:hunter22@receiver.invalid/x").drain(2, LONG)
    assert server.requests[-1][0] == "http://receiver.invalid/x"
    assert server.requests[-1][1]["authorization"].startswith("Basic ")


# -- TLS and the clock ----------------------------------------------------------------------------------


def make_tls(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca(authority: trustme.CA, tmp_path: Path) -> str:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return str(tmp_path / "ca.pem")


def test_a_wrong_certificate_holds_everything_back_until_it_is_right(
    desk: Desk, authority: trustme.CA, ca: str
) -> None:
    server = desk.serve()
    server.tls = make_tls(trustme.CA().issue_cert("127.0.0.1"))
    desk.emit(3)
    callback = desk.start(server.url, ca=ca)
    line = desk.said.wait(server.url)
    assert "certificate" in line and "clock" not in line
    assert not server.requests and callback.delivered == 0 and len(read_events(desk.spool.path)) == 3
    server.tls = make_tls(authority.issue_cert("127.0.0.1"))
    assert callback.drain(3, LONG) and server.sequences == [1, 2, 3]


def test_no_environment_turns_verification_off(
    desk: Desk, authority: trustme.CA, ca: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, strange = desk.serve(), desk.serve()
    server.tls = make_tls(authority.issue_cert("127.0.0.1"))
    strange.tls = make_tls(authority.issue_cert("receiver.example"))
    desk.emit(1)
    monkeypatch.setenv("CURL_CA_BUNDLE", "")
    monkeypatch.setenv("PYTHONHTTPSVERIFY", "0")
    callback = desk.start(server.url, pace=Pace())
    desk.said.wait("certificate")
    assert callback.stop()
    # A CA of the environment's does not replace the one that was given; the name is checked, too.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", ca)
    trustme.CA().cert_pem.write_to_path(desk.directory / "other.pem")
    callback = desk.start(server.url, strange.url, ca=str(desk.directory / "other.pem"), pace=Pace())
    desk.said.wait(strange.url)
    assert callback.stop()
    callback = desk.start(strange.url, ca=ca, pace=Pace())
    desk.said.wait("'127.0.0.1'")
    assert not server.requests and not strange.requests


@pytest.mark.parametrize(("days", "word"), [((10, 20), "not yet valid"), ((-20, -10), "expired")])
def test_a_certificate_of_another_time_may_be_the_clocks_doing(
    desk: Desk, authority: trustme.CA, ca: str, days: tuple[int, int], word: str
) -> None:
    server = desk.serve()
    today = datetime.datetime.now(datetime.timezone.utc)
    first, last = (today + datetime.timedelta(days=day) for day in days)
    server.tls = make_tls(authority.issue_cert("127.0.0.1", not_before=first, not_after=last))
    desk.emit(1)
    desk.start(server.url, ca=ca)
    line = desk.said.wait(word)
    assert f"clock, which says {today:%Y-%m-}" in line
    assert not server.requests


def test_the_time_of_a_verified_answer_is_signed_with(desk: Desk, authority: trustme.CA, ca: str) -> None:
    server = desk.serve(Answer(401, "timestamp"), default=TAKE)
    server.tls = make_tls(authority.issue_cert("127.0.0.1"))
    desk.emit(1)
    # Years off at boot. The 401 is not a matter for the slow pace then.
    callback = desk.start(server.url, ca=ca, secret=SECRET, clock=lambda: 86_400.0, pace=Pace(first=0.01))
    assert callback.drain(1, LONG)
    assert [headers["webhook-timestamp"] for _, headers, _ in server.requests][0] == "86400"
    headers, body = server.taken[0]
    standardwebhooks.Webhook(SECRET).verify(body, headers)
    assert "clock" in desk.said.wait("401")


def test_the_time_of_a_plain_answer_is_not_believed(desk: Desk) -> None:
    server = desk.serve(Answer(401, "timestamp"))
    desk.emit(1)
    assert desk.start(server.url, secret=SECRET, clock=lambda: 86_400.0).drain(1, LONG)
    assert {headers["webhook-timestamp"] for _, headers, _ in server.requests} == {"86400"}


# -- killed in the middle -------------------------------------------------------------------------------

SENDER = """
import sys
from pathlib import Path
from liveagent.events import Type
from liveagent.report.callback import Callback, Pace
from liveagent.report.record import Reader
from liveagent.report.spool import Spool

directory, url, run, source, count = sys.argv[1:]
spool = Spool(Path(directory, run), run, source)
pace = Pace(first=0.001, most=0.01, slow=0.01, connect=2, read=2)
callback = Callback("callback", [url], Reader(spool.path, 0, spool), Path(directory, "cursor"), str, pace=pace)
callback.start()
while spool.last < int(count):
    spool.emit(Type.FINDING, {"code": "a.b", "verdict": "pass", "part": "sda", "summary": "y" * 100})
sys.exit(0 if callback.drain(int(count), 60) else 1)
"""


def test_nothing_is_lost_when_the_sender_is_killed_again_and_again(desk: Desk) -> None:
    chance = random.Random(7)
    bad = [Answer(503), Answer(500, "no"), LOSE_REPLY, Answer(429, Retry_After="0"), Answer(404)]
    server = desk.serve(default=lambda body: chance.choice(bad) if chance.random() < 0.3 else TAKE)
    count, killed = 3000, 0
    command = [sys.executable, "-c", SENDER, str(desk.directory), server.url, "killed", SOURCE, str(count)]
    for _ in range(5):
        enough = len(server.taken) + chance.randint(1, 2)
        with subprocess.Popen(command) as process:
            with server.changed:
                server.changed.wait_for(lambda enough=enough: len(server.taken) >= enough, LONG)
            process.send_signal(signal.SIGKILL)
        killed += process.returncode == -signal.SIGKILL
    assert killed >= 3
    assert subprocess.run(command, timeout=60).returncode == 0
    recorded = [event.sequence for event in read_events(desk.directory / "killed" / "events.jsonl")]
    assert recorded == list(range(1, count + 1))
    assert list(dict.fromkeys(server.sequences)) == recorded
