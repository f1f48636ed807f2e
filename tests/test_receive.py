"""The embedded receiver, asked over real sockets, as the agent does and as nobody should."""

from __future__ import annotations

import datetime
import http.client
import json
import os
import socket
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
import standardwebhooks
import trustme

from liveagent.events import Event, Type
from liveagent.receive import BATCH, BODY_LIMIT, SINGLE, Receiver, make_directory_name
from liveagent.report.callback import Callback, Pace
from liveagent.report.record import Reader
from liveagent.report.spool import Spool

RUN = "20260101T000000Z-ab12"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LONG = 20.0
ANYWHERE = ("127.0.0.1", 0)


def make_document(number: int, run: str = RUN, **more: object) -> dict[str, object]:
    event = Event(run, number, Type.FINDING, "2026-01-01T00:00:00Z", "/liveagent/S", "wipe/sda", {"code": "a.b"})
    return {**event.encode(), **more}


def post(receiver: Receiver, body: object, content_type: str = BATCH, **headers: str) -> requests.Response:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return requests.post(receiver.url, data=data, headers={"Content-Type": content_type, **headers}, timeout=LONG)


def read_numbers(directory: Path, run: str = RUN) -> list[int]:
    lines = (directory / run / "events.jsonl").read_bytes().splitlines()
    return [int(json.loads(line)["sequence"]) for line in lines]


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    with Receiver(ANYWHERE, tmp_path) as receiver:
        yield receiver


def test_a_batch_is_stored_told_and_counted(tmp_path: Path) -> None:
    told: list[str] = []
    with Receiver(ANYWHERE, tmp_path, on_event=lambda event: told.append(event.id)) as receiver:
        answer = post(receiver, [make_document(1), make_document(2)])
        assert (answer.status_code, answer.content) == (204, b"")
        assert post(receiver, [make_document(2), make_document(3), make_document(3)]).status_code == 204
        assert post(receiver, make_document(4), SINGLE + "; charset=utf-8").status_code == 204
        assert receiver.wait(4, LONG) and receiver.received == 4
        assert f"4 events of {RUN}" in requests.get(receiver.url, timeout=LONG).text
        assert requests.get(receiver.url + "x", timeout=LONG).status_code == 404
    assert told == [f"{RUN}/{number}" for number in (1, 2, 3, 4)]
    assert read_numbers(tmp_path) == [1, 2, 3, 4]


def test_it_knows_after_a_restart_what_it_has(tmp_path: Path) -> None:
    with Receiver(ANYWHERE, tmp_path) as receiver:
        post(receiver, [make_document(1), make_document(2)])
    path = tmp_path / RUN / "events.jsonl"
    # Killed while it was writing: half a line, and one that was damaged.
    path.write_bytes(path.read_bytes() + b"garbage\n[[\n" + b'{"id": "half')
    with Receiver(ANYWHERE, tmp_path) as receiver:
        assert receiver.received == 2
        assert post(receiver, [make_document(2), make_document(3)]).status_code == 204
        assert receiver.received == 3
    assert path.read_bytes().count(b"\n") == 5 and b"half" not in path.read_bytes()


@pytest.mark.parametrize(
    "run",
    [
        "../../etc",
        "..",
        ".",
        "",
        "/etc/passwd",
        "a/b",
        "a\0b",
        ".hidden",
        "x" * 5000,
        "ü\ud800",
        "C:\\x",
        "a\nb",
        "%2E",
    ],
)
def test_a_run_never_leaves_the_directory(tmp_path: Path, run: str) -> None:
    directory = tmp_path / "inside"
    with Receiver(ANYWHERE, directory) as receiver:
        assert post(receiver, [make_document(1, run)]).status_code == 204
        assert requests.get(receiver.url, timeout=LONG).status_code == 200
    assert os.listdir(tmp_path) == ["inside"]
    (name,) = os.listdir(directory)
    assert os.listdir(directory / name) == ["events.jsonl"]
    with Receiver(ANYWHERE, directory) as receiver:
        assert receiver.received == 1


def test_names_are_told_apart() -> None:
    runs = ["", ".", "%", "%2E", "..", "a", "A", "x" * 5000, "x" * 5001, "a/b", "a%2Fb"]
    assert len({make_directory_name(run) for run in runs}) == len(runs)
    assert make_directory_name(RUN) == RUN


@pytest.mark.parametrize(
    ("body", "content_type", "status", "reason"),
    [
        (b"", BATCH, 400, "not JSON"),
        (b"{", BATCH, 400, "not JSON"),
        (b"\xff\xfe", BATCH, 400, "not JSON"),
        (b"[" * 200_000, BATCH, 400, "not JSON"),
        (b"[NaN]", BATCH, 400, "NaN is not JSON"),
        (b"{}", BATCH, 400, "a batch is a JSON array"),
        (b"[1]", BATCH, 400, "an event is a JSON object"),
        (b"[]", SINGLE, 400, "an event is a JSON object"),
        (b"[{}]", BATCH, 400, "specversion"),
        (json.dumps([make_document(1), make_document(2, id=5)]).encode(), BATCH, 400, "id is missing"),
        (json.dumps([make_document(1, source="")]).encode(), BATCH, 400, "source is missing"),
        (b"[]", "application/json", 415, "application/cloudevents-batch+json"),
        (b"x" * (BODY_LIMIT + 1), BATCH, 413, str(BODY_LIMIT)),
    ],
)
def test_what_is_wrong_is_said_and_nothing_of_it_kept(
    receiver: Receiver, tmp_path: Path, body: bytes, content_type: str, status: int, reason: str
) -> None:
    answer = post(receiver, body, content_type)
    assert answer.status_code == status and reason in answer.text
    assert receiver.received == 0 and os.listdir(tmp_path) == []
    assert post(receiver, []).status_code == 204


def test_an_event_of_another_kind_is_kept_and_not_told(tmp_path: Path) -> None:
    told: list[Event] = []
    with Receiver(ANYWHERE, tmp_path, on_event=told.append) as receiver:
        assert (
            post(receiver, {"specversion": "1.0", "id": "1", "source": "/x", "type": "new"}, SINGLE).status_code == 204
        )
        assert post(receiver, [make_document(2, type="liveagent.later")]).status_code == 204
        assert receiver.received == 2 and told == []
    assert sorted(os.listdir(tmp_path)) == [RUN, "unknown"]


def test_a_listener_that_raises_loses_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def fail(event: Event) -> None:
        raise RuntimeError(event.id)

    with Receiver(ANYWHERE, tmp_path, on_event=fail) as receiver:
        assert post(receiver, [make_document(1)]).status_code == 204
    assert read_numbers(tmp_path) == [1] and "Failed to show event" in caplog.text


def test_what_cannot_be_stored_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / RUN).write_text("a file is in the way")
    with Receiver(ANYWHERE, tmp_path) as receiver:
        answer = post(receiver, [make_document(1)])
        assert answer.status_code == 500 and "Failed to store" in answer.text and receiver.received == 0
        (tmp_path / RUN).unlink()
        assert post(receiver, [make_document(1)]).status_code == 204
    assert read_numbers(tmp_path) == [1]


def test_the_token_is_asked_for(tmp_path: Path) -> None:
    with Receiver(ANYWHERE, tmp_path, token="t0k-€") as receiver:
        for wrong in ({}, {"Authorization": "Bearer no"}, {"Authorization": "Basic t0k"}, {"Authorization": "Bearer"}):
            answer = post(receiver, [make_document(1)], **wrong)
            assert answer.status_code == 401 and "bearer token" in answer.text
        assert requests.get(receiver.url, timeout=LONG).status_code == 401
        right = {"Authorization": "Bearer t0k-€".encode()}
        assert post(receiver, [make_document(1)], **right).status_code == 204  # type: ignore[arg-type]


def test_the_signature_is_checked(tmp_path: Path) -> None:
    body = json.dumps([make_document(1)]).encode()

    def sign(moment: float, secret: str = SECRET) -> dict[str, str]:
        when = datetime.datetime.fromtimestamp(int(moment), datetime.timezone.utc)
        signature = standardwebhooks.Webhook(secret).sign("m", when, body.decode())
        return {"webhook-id": "m", "webhook-timestamp": str(int(moment)), "webhook-signature": signature}

    now = time.time()
    with Receiver(ANYWHERE, tmp_path, secret=SECRET) as receiver:
        for headers, reason in (
            ({}, "missing"),
            (sign(now - 400), "clock"),
            (sign(now + 400), "clock"),
            (sign(now, "whsec_AAAA"), "does not match"),
        ):
            answer = post(receiver, body, **headers)
            assert answer.status_code == 401 and reason in answer.text
        assert post(receiver, body + b" ", **sign(now)).status_code == 401
        assert post(receiver, body, **sign(now)).status_code == 204
    with pytest.raises(ValueError):
        Receiver(ANYWHERE, tmp_path, secret="whsec_")


def send_raw(receiver: Receiver, data: bytes) -> bytes:
    address = urllib.parse.urlsplit(receiver.url)
    with socket.create_connection((address.hostname, address.port), LONG) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while True:
            try:
                part = connection.recv(65536)
            except ConnectionResetError:
                return answer
            if not part:
                return answer
            answer += part


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
        (b"\0\0\0\0", b""),
        (b"", b""),
        (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: \xb2\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", b"413"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\nContent-Type: " + BATCH.encode() + b"\r\nContent-Length: 50\r\n\r\n[", b""),
        (b"DELETE / HTTP/1.1\r\n\r\n", b"501"),
        (b"GET / HTTP/1.1\r\n" + b"x: " + b"y" * 70_000 + b"\r\n\r\n", b"431"),
    ],
)
def test_garbage_ends_nothing(
    receiver: Receiver, data: bytes, status: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    answer = send_raw(receiver, data)
    assert status in answer
    assert post(receiver, [make_document(1)]).status_code == 204
    assert capfd.readouterr() == ("", "")


def test_a_connection_is_kept_and_expect_continue_answered(receiver: Receiver) -> None:
    address = urllib.parse.urlsplit(receiver.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=LONG)
    for number in (1, 2):
        connection.request("POST", "/", json.dumps([make_document(number)]), {"Content-Type": BATCH})
        used = connection.sock
        answer = connection.getresponse()
        assert answer.status == 204 and answer.read() == b"" and connection.sock is used
    connection.close()
    body = json.dumps(make_document(3)).encode()
    head = f"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Type: {SINGLE}\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection((address.hostname, address.port), LONG) as raw:
        raw.sendall(head.encode())
        assert b"100 Continue" in raw.recv(1000)
        raw.sendall(body)
        assert b"204" in raw.recv(1000)


def test_several_senders_at_once(receiver: Receiver, tmp_path: Path) -> None:
    def send() -> None:
        for number in range(1, 21):
            assert post(receiver, [make_document(number)]).status_code == 204

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_numbers(tmp_path) == list(range(1, 21))


def test_without_a_directory_it_only_tells() -> None:
    told: list[Event] = []
    with Receiver(ANYWHERE, on_event=told.append) as receiver:
        assert post(receiver, [make_document(1), make_document(1)]).status_code == 204
    assert [event.sequence for event in told] == [1]


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_it_listens_on_ipv6() -> None:
    try:
        receiver = Receiver(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    with receiver:
        assert receiver.url.startswith("http://[::1]:") and post(receiver, []).status_code == 204


@pytest.mark.parametrize("with_tls", [False, True])
def test_the_agents_own_callback_delivers_to_it(tmp_path: Path, with_tls: bool) -> None:
    import ssl

    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    spool = Spool(tmp_path / "spool" / RUN, RUN, "/liveagent/S")
    options = {"secret": SECRET, "token": "t0k"}
    said: list[str] = []
    with Receiver(ANYWHERE, tmp_path / "received", **options, tls=tls if with_tls else None) as receiver:  # type: ignore[arg-type]
        reader = Reader(spool.path, 0, spool)
        make: Callable[..., Callback] = Callback
        callback = make(
            "c",
            [receiver.url],
            reader,
            tmp_path / "c",
            said.append,
            **options,
            ca=str(tmp_path / "ca.pem"),
            pace=Pace(),
        )
        callback.start()
        for _ in range(300):
            spool.emit(Type.FINDING, {"code": "a.b", "verdict": "pass", "part": "é", "summary": "\u2028"})
        assert callback.drain(300, LONG), said
        assert callback.stop()
    spool.close()
    assert read_numbers(tmp_path / "received") == list(range(1, 301)) and said == []
