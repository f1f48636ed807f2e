"""The embedded receiver: takes the callback's events over HTTP, for a desk, a demo and the tests.

    POST /   a CloudEvents batch, or one event in structured mode
    204      everything in it is on disk, or was there before
    400 401 411 413 415   with a line that says why; nothing of it was kept
    500      it could not be stored: to be sent again
    GET /    what was received, as text

It is no front door of a data centre: no TLS unless it is handed a context, and one thread a connection.
"""

from __future__ import annotations

import collections
import contextlib
import errno
import hashlib
import hmac
import http.server
import json
import logging
import os
import socket
import socketserver
import ssl
import threading
import time
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from email.message import Message
from pathlib import Path
from typing import Any, Callable

from liveagent.events import JSON, Event
from liveagent.report import webhook

log = logging.getLogger(__name__)

BATCH = "application/cloudevents-batch+json"
SINGLE = "application/cloudevents+json"
BODY_LIMIT = 16 * 1024 * 1024
# A connection on which nothing comes for so long is closed.
IDLE = 60.0
# A body that is not wanted is still read for so long and so far: closing before would tear the answer away.
LINGER = 5.0
LINGER_BYTES = 64 * 1024 * 1024
EVENTS = "events.jsonl"
# NAME_MAX is 255 bytes.
NAME_LIMIT = 200


class BadEvents(ValueError):
    """A body is not CloudEvents 1.0 in JSON; the message says why."""


def parse_events(body: bytes, content_type: str) -> tuple[dict[str, JSON], ...]:
    """The events of a body. Raises BadEvents; a type that this version does not know is kept all the same."""
    try:
        document = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadEvents(f"not JSON: {error}") from None
    events = document if content_type == BATCH else [document]
    if not isinstance(events, list):
        raise BadEvents("a batch is a JSON array")
    for event in events:
        if not isinstance(event, dict):
            raise BadEvents("an event is a JSON object")
        if event.get("specversion") != "1.0":
            raise BadEvents('specversion is not "1.0"')
        for name in ("id", "source", "type"):
            if not isinstance(event.get(name), str) or not event[name]:
                raise BadEvents(f"{name} is missing or is not text")
    return tuple(events)


def make_directory_name(run: str) -> str:
    """A run's name, which comes from outside, as one name of a directory; two runs never get the same one."""
    name = urllib.parse.quote(run, safe="", errors="surrogatepass")
    if name.startswith("."):
        name = "%2E" + name[1:]
    if len(name) > NAME_LIMIT:
        name = name[:NAME_LIMIT] + "%" + hashlib.sha256(run.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return name or "%"


class Store:
    """What was received: the ids of all, and the events themselves in DIR/RUN/events.jsonl where there is a DIR."""

    def __init__(self, directory: Path | None) -> None:
        self.counts: collections.Counter[str] = collections.Counter()
        self._directory = directory
        self._ids: set[str] = set()
        for path in sorted(directory.glob(f"*/{EVENTS}")) if directory else ():
            self._load(path)

    def add(self, run: str, events: Iterable[Mapping[str, JSON]]) -> tuple[Mapping[str, JSON], ...]:
        """Keep those events of one run that are new, and return them. Raises OSError, and then none was kept."""
        fresh: dict[str, Mapping[str, JSON]] = {}
        for event in events:
            if event["id"] not in self._ids:
                fresh.setdefault(event["id"], event)
        if self._directory and fresh:
            _append(self._directory / make_directory_name(run) / EVENTS, fresh.values())
        self._ids.update(fresh)
        self.counts[run] += len(fresh)
        return tuple(fresh.values())

    def _load(self, path: Path) -> None:
        """Take up an earlier process's file; half a line at its end was never answered for, and goes."""
        size = 0
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                size += len(line)
                with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
                    event = json.loads(line)
                    self._ids.add(event["id"])
                    self.counts[_run_of(event)] += 1
        if size < path.stat().st_size:
            os.truncate(path, size)


class Receiver:
    """An HTTP server in threads of its own: `start` and `stop`, or a `with` block. Prints nothing.

    `address` may have port 0: `url` then says where it listens. `on_event` is called once for each new event that is
    one of ours, in order, after it is on disk. Events that DIR holds already are known. Raises OSError where the
    address cannot be had or DIR cannot be read, and ValueError for a secret that is none.
    """

    def __init__(
        self,
        address: tuple[str, int],
        directory: Path | None = None,
        secret: str = "",
        token: str = "",
        on_event: Callable[[Event], None] | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = Store(directory)
        self._key = webhook.make_key(secret) if secret else b""
        self._token = token.encode()
        self._on_event = on_event
        self._clock = clock
        self._changed = threading.Condition()
        self._scheme = "https" if tls else "http"
        self._server = _Server(address, self, tls)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="receiver", daemon=True)

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(str(host), str(host))
        return f"{self._scheme}://{f'[{host}]' if ':' in host else host}:{port}/"

    @property
    def received(self) -> int:
        """How many different events there are, those of earlier processes included."""
        with self._changed:
            return sum(self.store.counts.values())

    def wait(self, count: int, seconds: float) -> bool:
        """Wait until there are `count` different events; whether there are."""
        with self._changed:
            return self._changed.wait_for(lambda: sum(self.store.counts.values()) >= count, seconds)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        if self._thread.ident is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Receiver:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def why_not_authorized(self, headers: Message[str, str]) -> str:
        """Why a request is turned away before its body is read; '' where it is not."""
        if self._token:
            scheme, _, given = headers.get("Authorization", "").partition(" ")
            # http.client reads headers as Latin-1; the sender wrote UTF-8.
            if scheme.lower() != "bearer" or not hmac.compare_digest(
                given.strip().encode("latin-1", "replace"), self._token
            ):
                return "the bearer token is missing or wrong"
        return ""

    def take(self, headers: Message[str, str], content_type: str, body: bytes) -> tuple[int, str]:
        """Check and keep a body: (status, text) of the answer."""
        if self._key:
            signed = {name: headers.get(name) for name in ("webhook-id", "webhook-timestamp", "webhook-signature")}
            try:
                webhook.check(self._key, signed, body, self._clock())
            except webhook.BadSignature as error:
                return 401, str(error)
        try:
            events = parse_events(body, content_type)
        except BadEvents as error:
            return 400, str(error)
        with self._changed:
            try:
                # A batch of the agent's is of one run; the order within a run is kept for others, too.
                for run in dict.fromkeys(map(_run_of, events)):
                    self._tell(self.store.add(run, (event for event in events if _run_of(event) == run)))
            except OSError as error:
                log.error("Failed to store events: %s", error)
                return 500, f"Failed to store events: {error.strerror}"
            finally:
                self._changed.notify_all()
        return 204, ""

    def describe(self) -> str:
        """What was received, a line a run."""
        with self._changed:
            counts = sorted(self.store.counts.items())
        lines = [f"{count} events of {make_directory_name(run)}" for run, count in counts] or ["nothing yet"]
        return "liveagent receiver\n" + "\n".join(lines)

    def _tell(self, added: Sequence[Mapping[str, JSON]]) -> None:
        for document in added if self._on_event else ():
            try:
                event = Event.decode(document)
            except (KeyError, ValueError, TypeError):
                continue
            try:
                self._on_event(event)  # type: ignore[misc]
            except Exception:
                log.exception("Failed to show event %s, ignoring", event.id)


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], receiver: Receiver, tls: ssl.SSLContext | None) -> None:
        self.receiver = receiver
        self.tls = tls
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # HTTPServer asks the DNS for our name here, which takes half a minute where there is none.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, peer = self.socket.accept()
        if self.tls:
            # The handshake is left to the first read, in the connection's own thread.
            connection = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, peer

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("Failed to serve %s, ignoring", client_address, exc_info=True)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "liveagent"
    timeout = IDLE
    # Head and body of an answer go out as one segment; Nagle would hold the second one back.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/":
            return self._answer(404, "there is only /")
        reason = self.server.receiver.why_not_authorized(self.headers)
        return self._answer(401, reason) if reason else self._answer(200, self.server.receiver.describe())

    def do_POST(self) -> None:
        receiver = self.server.receiver
        length = self.headers.get("Content-Length", "")
        content_type = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if not length or self.headers.get("Transfer-Encoding"):
            return self._refuse(411, "Content-Length is missing")
        if not (length.isascii() and length.isdigit()):
            return self._refuse(400, "Content-Length is not a number")
        reason = receiver.why_not_authorized(self.headers)
        if reason:
            return self._refuse(401, reason)
        if len(length) > 12 or int(length) > BODY_LIMIT:
            return self._refuse(413, f"more than {BODY_LIMIT} bytes")
        if content_type not in (BATCH, SINGLE):
            return self._refuse(415, f"neither {BATCH} nor {SINGLE}")
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.wfile.flush()
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self.close_connection = True
            return None
        return self._answer(*receiver.take(self.headers, content_type, body))

    def _answer(self, status: int, text: str) -> None:
        data = f"{text}\n".encode("utf-8", "replace") if text else b""
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(data)))
        if status == 401:
            self.send_header("WWW-Authenticate", "Bearer")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def _refuse(self, status: int, text: str) -> None:
        """Answer before the body was read, then let it run out, for a while, and close."""
        self.close_connection = True
        self._answer(status, text)
        limit, left = time.monotonic() + LINGER, LINGER_BYTES
        self.connection.settimeout(LINGER)
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            while left > 0 and time.monotonic() < limit:
                data = self.connection.recv(65536)
                if not data:
                    break
                left -= len(data)

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)


def _append(path: Path, events: Iterable[Mapping[str, JSON]]) -> None:
    """Write the events and sync them, or leave the file as it was. Raises OSError."""
    data = b"".join(json.dumps(event, separators=(",", ":")).encode() + b"\n" for event in events)
    is_new = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as file:
        size = file.tell()
        try:
            if file.write(data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file.fileno())
            for directory in (path.parent, path.parent.parent) if is_new else ():
                _sync_directory(directory)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(file.fileno(), size)
            raise


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _run_of(event: Mapping[str, JSON]) -> str:
    run = event.get("run")
    return run if isinstance(run, str) else "unknown"


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
