"""`deliver warm-up`: have each mirror fetch a new build before the links move to it, and compare what it serves.

Standard library alone, as all of this package.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import http.client
import re
import socket
import ssl
import sys
import time
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from delivery.build import hash_text, parse_sums
from delivery.layout import SIGNATURES, SUMS
from delivery.place import LARGEST_DOCUMENT, Fault

TIMEOUT = 30.0
# As `slice` in nginx/mirror.conf: a mirror keeps a file in pieces of this size.
PIECE = 8 << 20
_CHUNK = 1 << 20
_AT_ONCE = 16
_BUILD = re.compile(r"/live-[^/]+/builds/[^/]+/[1-9][0-9]*/")
_STATUS = "X-Cache-Status"


@dataclasses.dataclass(frozen=True)
class File:
    """One file as a mirror served it. `had`: whether its first piece was there already, where the mirror says so."""

    name: str
    size: int
    had: bool | None


@dataclasses.dataclass(frozen=True)
class Warmed:
    """What became of one mirror; `fault` is "" where all of the build is there and right."""

    mirror: str
    files: tuple[File, ...]
    seconds: float
    fault: str = ""

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


def warm_up(build: str, mirrors: Sequence[str], ca: str = "", timeout: float = TIMEOUT) -> list[Warmed]:
    """Fetch all of a build through each mirror, all mirrors at once; in their order.

    `build`: the URL of its numbered folder at the centre. `mirrors`: the URLs at which they serve the same tree.
    `ca`: a file with further certificates to trust. `timeout`: for each answer, and each pause in one.
    Raises Fault where the build cannot be read at the centre, or a URL is none; a mirror's own faults are in what is
    returned.
    """
    context = _make_context(ca)
    path = parse_build_path(build)
    servers = [Server(mirror, context, timeout) for mirror in dict.fromkeys(mirrors)]
    with Server(build[: len(build.rstrip("/")) - len(path.rstrip("/"))], context, timeout) as centre:
        try:
            wanted = _read_wanted(centre, path)
        except (OSError, http.client.HTTPException) as error:
            raise Fault(f"Failed to read the build at the centre, {centre.url}{path}: {_explain(error)}") from None
    with ThreadPoolExecutor(min(_AT_ONCE, max(1, len(servers)))) as pool:
        return list(pool.map(lambda server: _warm(server, path, wanted), servers))


def parse_build_path(build: str) -> str:
    """`/live-BRANCH/builds/JOB/N/` of a build's URL. Raises Fault."""
    path = urllib.parse.urlsplit(build).path.rstrip("/") + "/"
    found = _BUILD.search(path)
    if not found or found.end() != len(path) or "?" in build or "#" in build:
        raise Fault(f"{build!r} is no build's URL: it ends in live-BRANCH/builds/JOB/NUMBER")
    return found.group()


def _make_context(ca: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca:
        try:
            context.load_verify_locations(ca)
        except OSError as error:  # ssl's own errors too
            raise Fault(f"{ca} cannot be read as certificates of a CA: {error.strerror or error}") from None
    return context


class Server:
    """A web server, asked over one connection. Redirects are not followed: what they lead to would be another's."""

    def __init__(self, url: str, context: ssl.SSLContext, timeout: float) -> None:
        parts = urllib.parse.urlsplit(url)
        try:
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment or parts.username:
            raise Fault(f"{url!r} is no URL of a server: http://HOST or https://HOST")
        self.url = url.rstrip("/")
        self._prefix = parts.path.rstrip("/")
        self._connection: http.client.HTTPConnection
        if parts.scheme == "https":
            self._connection = http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
        else:
            self._connection = http.client.HTTPConnection(host, port, timeout=timeout)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(self, path: str, headers: Mapping[str, str] | None = None) -> http.client.HTTPResponse:
        """The answer, whatever its status; its body has to be read, or the connection closed, before the next."""
        self._connection.request("GET", self._prefix + path, headers=dict(headers or {}))
        return self._connection.getresponse()

    def read_document(self, path: str) -> bytes | None:
        """A small file; None where there is none. Raises Fault, OSError, HTTPException."""
        answer = self.ask(path)
        body = answer.read(LARGEST_DOCUMENT + 1)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise Fault(f"{self.url}{path}: the answer is {answer.status} {answer.reason}")
        if len(body) > LARGEST_DOCUMENT:
            raise Fault(f"{self.url}{path} has more than {LARGEST_DOCUMENT} bytes, and is no such file")
        return body

    def forget(self) -> None:
        """Close the connection; the next question opens one."""
        self._connection.close()


def _read_wanted(centre: Server, path: str) -> dict[str, str]:
    """The SHA-256 of every file of the build, SHA256SUMS and the signatures too."""
    text = centre.read_document(path + SUMS)
    if text is None:
        raise Fault(f"{centre.url}{path} has no {SUMS}: is it published? `deliver list` shows what is")
    wanted = parse_sums(text)
    wanted[SUMS] = hash_text(text)
    for name in SIGNATURES:
        signature = centre.read_document(path + name)
        if signature is not None:
            wanted[name] = hash_text(signature)
    return wanted


def _warm(server: Server, path: str, wanted: Mapping[str, str]) -> Warmed:
    started = time.monotonic()
    files: list[File] = []
    fault = ""
    with server:
        for name, digest in wanted.items():
            try:
                files.append(_fetch(server, path, name, digest))
            except Fault as error:
                fault = str(error)
            except (OSError, http.client.HTTPException) as error:
                fault = f"Failed to fetch {name}: {_explain(error)}; see that its nginx runs, and run this again"
            if fault:
                break
    return Warmed(server.url, tuple(files), time.monotonic() - started, fault)


def _fetch(server: Server, path: str, name: str, digest: str) -> File:
    """One file through a mirror: that it is right, and that the mirror keeps it."""
    answer = server.ask(path + name)
    if answer.status != 200:
        answer.read()
        raise Fault(f"Failed to fetch {name}: the answer is {answer.status} {answer.reason}; its error.log says why")
    status = answer.getheader(_STATUS)
    made, size = hashlib.sha256(), 0
    for chunk in _read_chunks(answer):
        made.update(chunk)
        size += len(chunk)
    if made.hexdigest() != digest:
        raise Fault(
            f"{name} is not what {SUMS} at the centre says ({size} bytes with SHA-256 {made.hexdigest()});"
            " empty this mirror's cache, and run this again before anything boots from it"
        )
    if _keeps(server, path + name, size) is False:
        raise Fault(f"{name} was passed on, and is not kept there: is its disk full?")
    return File(name, size, None if status is None else status == "HIT")


def _read_chunks(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    while chunk := answer.read(_CHUNK):
        yield chunk
    # read(amount) takes a connection that ends too early for the end of the file.
    if answer.length:
        raise http.client.IncompleteRead(b"", answer.length)


def _keeps(server: Server, path: str, size: int) -> bool | None:
    """Whether a mirror has each piece of a file now; None where it does not say."""
    for first in range(0, size, PIECE):
        answer = server.ask(path, {"Range": f"bytes={first}-{first}"})
        status = answer.getheader(_STATUS)
        if answer.status != 206 or status is None:
            server.forget()
            return None
        answer.read()
        if status != "HIT":
            return False
    return True


def _explain(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate cannot be verified ({error.verify_message}); --ca names the CA"
    if isinstance(error, (TimeoutError, socket.timeout)):  # one class only since Python 3.10
        return "no answer in time"
    if isinstance(error, http.client.IncompleteRead):
        return f"the connection ended {error.expected} bytes too early"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


# -- what a person types ----------------------------------------------------------------------------


def render_warmed(warmed: Warmed) -> str:
    """One line for people."""
    if warmed.fault:
        return f"{warmed.mirror}: FAILED: {warmed.fault}"
    had = sum(file.had is True for file in warmed.files)
    unsaid = sum(file.had is None for file in warmed.files)
    fetched = len(warmed.files) - had - unsaid
    words = [f"{fetched} fetched", f"{had} there already", *([f"{unsaid} it does not say of"] if unsaid else [])]
    return (
        f"{warmed.mirror}: {len(warmed.files)} files right, {warmed.size / (1 << 20):.1f} MiB"
        f" ({', '.join(words)}), {warmed.seconds:.1f} s"
    )


def read_mirrors(file: str) -> list[str]:
    """A list of mirrors: a URL a line, `#` begins a remark. Raises Fault."""
    try:
        lines = Path(file).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Fault(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return [url for line in lines if (url := line.split("#")[0].strip())]


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="deliver warm-up",
        description="Fetch a build through each mirror, so that it is there before the links move to it,"
        " and compare what each one serves with SHA256SUMS at the centre.",
        epilog="Exit status: 0 all mirrors have it; 1 one of them has not, or the build cannot be read; 2 usage.",
    )
    parser.add_argument("build", metavar="URL", help="the build at the centre, .../live-BRANCH/builds/JOB/NUMBER")
    parser.add_argument("--mirror", metavar="URL", action="append", default=[], help="a mirror; may be repeated")
    parser.add_argument("--mirrors", metavar="FILE", help="a file of mirrors, a URL a line")
    parser.add_argument(
        "--ca", metavar="FILE", default="", help="a private CA's certificate, trusted beside the system's"
    )
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=float, default=TIMEOUT, help="for each answer (%(default)s)"
    )
    return parser


def main(argv: Sequence[str]) -> int:
    """The exit status."""
    parser = make_parser()
    given = parser.parse_args(argv)
    try:
        mirrors = [*given.mirror, *(read_mirrors(given.mirrors) if given.mirrors else [])]
        if not mirrors:
            parser.error("no mirror is named: --mirror URL, or --mirrors FILE")
        all_warmed = warm_up(given.build, mirrors, given.ca, given.timeout)
    except Fault as error:
        print(f"deliver warm-up: {error}", file=sys.stderr)
        return 1
    for warmed in all_warmed:
        print(render_warmed(warmed), file=sys.stderr if warmed.fault else sys.stdout)
    failed = [warmed.mirror for warmed in all_warmed if warmed.fault]
    if failed:
        some = f"{len(failed)} of {len(all_warmed)} mirrors"
        print(f"deliver warm-up: {some} did not take the build; do not release it yet", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
