"""A Foreman on the loopback address whose answers are recorded ones, with names and values put in their place."""

from __future__ import annotations

import base64
import copy
import dataclasses
import http.server
import json
import ssl
import threading
import time
import urllib.parse
from pathlib import Path
from typing import Any

LOGIN, TOKEN = "admin", "a-token-that-is-worth-nothing"


class Recordings:
    """Answers of a real Foreman, by case and number of the exchange."""

    def __init__(self, corpus: Path) -> None:
        self._directory = corpus / "foreman-http"

    def read(self, case: str, number: int = 0) -> tuple[int, dict[str, str], str]:
        """(status, headers that a client looks at, body)."""
        exchange = json.loads((self._directory / f"{case}.json").read_text())["exchanges"][number]["response"]
        headers = {name: value for name, value in exchange["headers"] if name in ("Content-Type", "Location")}
        return exchange["status"], headers, exchange["body"] or ""

    def read_document(self, case: str, number: int = 0) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.read(case, number)[2])
        return document


@dataclasses.dataclass
class Row:
    """What the stand-in holds of a host."""

    name: str
    serial: str = ""
    hostgroup: str | None = None
    build: bool = False
    own: dict[str, str] = dataclasses.field(default_factory=dict)
    inherited: dict[str, str] = dataclasses.field(default_factory=dict)


class Foreman:
    """Serves hosts, facts and parameters. `writes` are the requests that changed something, with their times."""

    def __init__(self, recordings: Recordings, rows: list[Row], context: ssl.SSLContext | None = None) -> None:
        self.recordings = recordings
        self.rows = {row.name: row for row in rows}
        self.writes: list[tuple[float, str, str, Any]] = []
        self.requests = 0
        # Exact answers that are given instead, by (method, path).
        self.instead: dict[tuple[str, str], tuple[int, dict[str, str], str]] = {}
        foreman = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                foreman.answer(self)

            do_GET = do_POST = do_PUT = do_DELETE = handle_any

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if context:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        length = int(request.headers.get("Content-Length") or 0)
        body = json.loads(request.rfile.read(length)) if length else None
        self.requests += 1
        status, headers, text = self._choose(request, body)
        request.send_response(status)
        for name, value in {"Content-Type": "application/json; charset=utf-8", **headers}.items():
            request.send_header(name, value)
        data = text.encode()
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)

    def _choose(self, request: http.server.BaseHTTPRequestHandler, body: Any) -> tuple[int, dict[str, str], str]:
        expected = "Basic " + base64.b64encode(f"{LOGIN}:{TOKEN}".encode()).decode()
        if request.headers.get("Authorization") != expected:
            return self.recordings.read("host-search-auth", 1)
        parts = urllib.parse.urlsplit(request.path)
        if (request.command, parts.path) in self.instead:
            return self.instead[request.command, parts.path]
        if request.command in ("POST", "PUT") and request.headers.get("Content-Type") != "application/json":
            return self.recordings.read("param-content-type")
        places = [urllib.parse.unquote(place) for place in parts.path.split("/")[3:]]
        query = dict(urllib.parse.parse_qsl(parts.query))
        if places == ["hosts"]:
            return self._list(query)
        row = self.rows.get(places[1])
        if row is None:
            return self.recordings.read("host-get", 2)
        if request.command != "GET":
            self.writes.append((time.monotonic(), request.command, parts.path, body))
        if places[2:] == ["facts"]:
            return self._list_facts(row)
        if places[2:3] == ["parameters"]:
            return self._change(row, request.command, places[3:], body)
        if request.command == "PUT":
            row.build = body["host"]["build"]
        return 200, {}, json.dumps(self.make_host(row))

    def make_host(self, row: Row) -> dict[str, Any]:
        """The recorded document of a host, as it would be for this one."""
        host = self.recordings.read_document("host-get")
        template = host["all_parameters"][-1]
        rows = {**{name: (value, "global") for name, value in row.inherited.items()}}
        rows |= {name: (value, "host") for name, value in row.own.items()}
        made = [
            {**template, "name": name, "value": value, "associated_type": kind} for name, (value, kind) in rows.items()
        ]
        host["parameters"] = [parameter for parameter in made if parameter["associated_type"] == "host"]
        # An inherited parameter that is hidden by one of the host's own is not listed.
        host["all_parameters"] = made
        return {**host, "name": row.name, "build": row.build, "hostgroup_title": row.hostgroup}

    def _list(self, query: dict[str, str]) -> tuple[int, dict[str, str], str]:
        answer = self.recordings.read_document("host-search-mac")
        template = answer["results"][0]
        title = query["search"].partition('hostgroup_title = "')[2].rstrip('"')
        found = [row for row in self.rows.values() if row.hostgroup == title]
        size, page = int(query["per_page"]), int(query["page"])
        shown = found[size * (page - 1) : size * page]
        rows = [{**template, "name": row.name, "hostgroup_title": row.hostgroup} for row in shown]
        answer |= {"subtotal": len(found), "page": page, "per_page": size, "results": rows}
        return 200, {}, json.dumps(answer)

    def _list_facts(self, row: Row) -> tuple[int, dict[str, str], str]:
        answer = self.recordings.read_document("facts-ok-flat", 1)
        facts = copy.deepcopy(next(iter(answer["results"].values())))
        facts.pop("serialnumber")
        if row.serial:
            facts["serialnumber"] = row.serial
        # Entering build deletes the facts.
        answer["results"] = {} if row.build else {row.name: facts}
        return 200, {}, json.dumps(answer)

    def _change(self, row: Row, method: str, place: list[str], body: Any) -> tuple[int, dict[str, str], str]:
        given = (body or {}).get("parameter", {})
        name = place[0] if place else given["name"]
        if method == "POST" and name in row.own:
            return self.recordings.read("param-create-duplicate")
        if method != "POST" and name not in row.own:
            return self.recordings.read("param-delete", 2)
        if method == "DELETE":
            del row.own[name]
            return 200, {}, json.dumps({**self.recordings.read_document("param-delete", 1), "name": name})
        row.own[name] = given["value"]
        status, headers, text = self.recordings.read("param-create" if method == "POST" else "param-update")
        return status, headers, json.dumps({**json.loads(text), "name": name, "value": given["value"]})
