"""HTTP inside the lab: a server on a socket that is given to it, and the one that hands out the boot files."""

from __future__ import annotations

import shutil
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Server(ThreadingHTTPServer):
    """An HTTP server on a socket that already listens, in a thread of its own until `close`."""

    daemon_threads = True

    def __init__(self, listening: socket.socket, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(listening.getsockname(), handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.port: int = listening.getsockname()[1]
        self._thread = threading.Thread(target=self.serve_forever, name=f"lab-http-{self.port}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving and close the socket."""
        self.shutdown()
        self.server_close()
        self._thread.join(10)

    def handle_error(self, request: object, client_address: object) -> None:
        """A guest that is switched off in the middle of a request is everyday life here."""


class FileServer(Server):
    """Hands out a fixed set of files by name, and nothing else."""

    def __init__(self, listening: socket.socket, files: dict[str, Path]) -> None:
        self.files = files
        self.sent = 0  # bytes of files, those that only set out included
        super().__init__(listening, FileHandler)


class FileHandler(BaseHTTPRequestHandler):
    """GET and HEAD of one of the server's files."""

    def do_GET(self) -> None:
        """Send the whole file; neither iPXE nor dracut's curl ask for parts."""
        self._send(with_body=True)

    def do_HEAD(self) -> None:
        """Say how large the file is."""
        self._send(with_body=False)

    def _send(self, *, with_body: bool) -> None:
        server = self.server
        path = server.files.get(self.path.lstrip("/")) if isinstance(server, FileServer) else None
        if path is None:
            self.send_error(404)
            return
        with path.open("rb") as source:
            self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(path.stat().st_size))
            self.end_headers()
            if with_body:
                server.sent += path.stat().st_size
                shutil.copyfileobj(source, self.wfile, 1024 * 1024)

    def log_message(self, format: str, *args: object) -> None:
        """The access log of a boot is on the guest's console already."""
