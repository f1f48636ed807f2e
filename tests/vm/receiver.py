"""The tests' own callback receiver: it keeps what it was sent, and misbehaves when it is told to.

It shares no code with the product's receiver, so that both sides cannot be wrong in the same way.
"""

from __future__ import annotations

import itertools
import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from .network import ADDRESS
from .web import Server

Event = dict[str, Any]
DROP = 0  # instead of a status: hang up without an answer


@dataclass(frozen=True)
class Request:
    """One request as it came, and what it was answered."""

    at: float  # seconds, time.monotonic()
    method: str
    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes
    answer: int


class Receiver(Server):
    """Takes POSTs of event batches and serves documents, on the lab's bridge."""

    def __init__(self, listening: socket.socket, log: Path) -> None:
        self.documents: dict[str, bytes] = {}
        self.refuse_for = 0.0  # seconds after the first POST in which it answers 503 and hangs up, in turn
        self._log = log
        self._requests: list[Request] = []
        self._news = threading.Condition()
        self._faults = itertools.cycle((503, DROP))
        self._first_post: float | None = None
        super().__init__(listening, ReceiverHandler)

    @property
    def url(self) -> str:
        """Where a guest posts its events."""
        return f"http://{ADDRESS}:{self.port}/events"

    def document_url(self, path: str) -> str:
        """Where a guest finds a document, or a 404 where there is none."""
        return f"http://{ADDRESS}:{self.port}{path}"

    @property
    def requests(self) -> list[Request]:
        """All requests so far, in the order in which they came."""
        with self._news:
            return list(self._requests)

    @property
    def events(self) -> list[Event]:
        """All events that were taken (2xx), in order, each `id` once: what an honest receiver would have."""
        with self._news:
            return unique_events(self._requests)

    def wait_until(self, reached: Callable[[list[Event]], bool], timeout: float) -> list[Event]:
        """Wait until the events taken so far satisfy `reached`, and return them."""
        deadline = time.monotonic() + timeout
        with self._news:
            while not reached(events := unique_events(self._requests)):
                left = deadline - time.monotonic()
                if left <= 0:
                    seen = [f"{event.get('id')} {event.get('type')}" for event in events[-20:]]
                    raise TimeoutError(f"The receiver waited {timeout:.0f} s; the last events: {seen}")
                self._news.wait(left)
            return events

    def wait_for(self, kind: str, timeout: float) -> list[Event]:
        """Wait for an event of this type, such as liveagent.run.finished."""
        return self.wait_until(lambda events: any(event["type"] == kind for event in events), timeout)

    def choose_answer(self, now: float) -> int:
        """The status for a POST that comes now."""
        with self._news:
            self._first_post = now if self._first_post is None else self._first_post
            return next(self._faults) if now - self._first_post < self.refuse_for else 200

    def keep(self, request: Request) -> None:
        """Record a request and tell who waits."""
        line = {"at": request.at, "method": request.method, "path": request.path, "answer": request.answer}
        text = {"headers": request.headers, "body": request.body.decode(errors="replace")}
        with self._news:
            with self._log.open("a") as log:
                log.write(json.dumps({**line, **text}) + "\n")
            self._requests.append(request)
            self._news.notify_all()


class ReceiverHandler(BaseHTTPRequestHandler):
    """Takes one connection's requests down."""

    protocol_version = "HTTP/1.1"  # connections are kept, as by a real receiver; the agent's pool is part of the test
    timeout = 60

    def do_POST(self) -> None:
        """Take a batch, or refuse it."""
        receiver = self._receiver()
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        now = time.monotonic()
        answer = receiver.choose_answer(now)
        self._keep(now, body, answer)
        if answer == DROP:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            self._answer(answer, b"")

    def do_GET(self) -> None:
        """Serve a document of the test, or a 404."""
        document = self._receiver().documents.get(self.path)
        self._keep(time.monotonic(), b"", 404 if document is None else 200)
        self._answer(404 if document is None else 200, b"not here\n" if document is None else document)

    def _receiver(self) -> Receiver:
        assert isinstance(self.server, Receiver)
        return self.server

    def _keep(self, now: float, body: bytes, answer: int) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self._receiver().keep(Request(now, self.command, self.path, headers, body, answer))

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are kept whole, in a file of their own."""


def unique_events(requests: list[Request]) -> list[Event]:
    """The events of all batches that were taken, in order, without those that came before."""
    found: dict[str, Event] = {}
    for request in requests:
        if request.method == "POST" and 200 <= request.answer < 300:
            for event in json.loads(request.body):
                found.setdefault(event["id"], event)
    return list(found.values())
