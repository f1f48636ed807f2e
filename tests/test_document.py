"""The config document over real sockets: waited for, checked, or a fault that says why not."""

from __future__ import annotations

import http.server
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
import trustme

from liveagent.boot import make_request, read_sources
from liveagent.document import NAMESPACE, SIGNERS, SIZE_LIMIT, Document, NoDocument, fetch_document, make_signature_url
from liveagent.host import Cancelled, Host
from tests.conftest import need

Handler = http.server.BaseHTTPRequestHandler
Answer = Callable[[Handler], None]
WAIT = 1.5  # one try, a pause of a second, another one
GOOD = {"speediso": "wipe", "agent": {"site": "a"}, "wipe": {"disks": ["sda"]}}


def answer(body: bytes | str | object, status: int = 200, **headers: str) -> Answer:
    """An answer of a server; what is neither bytes nor text is sent as JSON."""
    text = body if isinstance(body, (bytes, str)) else json.dumps(body)
    data = text.encode() if isinstance(text, str) else text

    def send(handler: Handler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(data)

    return send


def drop(handler: Handler) -> None:
    """The connection ends without a word."""
    handler.connection.shutdown(socket.SHUT_RDWR)


def half(handler: Handler) -> None:
    """The connection ends in the middle of the body, which is JSON up to there."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    handler.wfile.write(b"{}")
    handler.close_connection = True


class Server:
    """A server whose pages answer in turn, the last answer for ever; `asked` are the paths in order."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.pages: dict[str, list[Answer]] = {}
        self.asked: list[str] = []
        self.stopped = threading.Event()
        server = self

        class Page(Handler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                answers = server.pages.get(self.path.partition("?")[0], [answer("nothing here", 404)])
                (answers.pop(0) if len(answers) > 1 else answers[0])(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self._server.daemon_threads = True
        if tls:
            # The handshake is the thread's: a client that does not trust us must not hold the others up.
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def drip(self, handler: Handler) -> None:
        """A byte now and then, and no end."""
        handler.send_response(200)
        handler.end_headers()
        try:
            while not self.stopped.wait(0.1):
                handler.wfile.write(b" ")
        except OSError:
            pass


class Fetch:
    """A machine that asks for a document, and what was said meanwhile."""

    def __init__(self, root: Path) -> None:
        self.host = Host(str(root))
        self.said: list[str] = []

    def __call__(self, url: str, wait: float = WAIT, ca: str = "") -> Document:
        return fetch_document(self.host, url, wait, ca, self.said.append)

    def fault(self, url: str, wait: float = 0.0, ca: str = "") -> tuple[str, str]:
        """(code, text) of the fault that asking for a document ends in."""
        with pytest.raises(NoDocument) as raised:
            self(url, wait, ca)
        return raised.value.fault.code, str(raised.value.fault)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def fetch(tmp_path: Path) -> Fetch:
    (tmp_path / "tree").mkdir()
    return Fetch(tmp_path / "tree")


# -- what comes -------------------------------------------------------------------------------------


def test_a_document_is_taken(server: Server, fetch: Fetch) -> None:
    """The settings as they stand, and over plain HTTP neither verified nor signed."""
    server.pages["/cfg"] = [answer(GOOD)]
    document = fetch(f"{server.url}/cfg?serial=S1&token=hunter2")
    assert (document.content, document.verified, document.signed_by) == (GOOD, False, "")
    assert server.asked == ["/cfg?serial=S1&token=hunter2"]
    assert "hunter2" not in document.origin and document.origin.startswith(f"config {server.url}/cfg")


def test_a_server_that_comes_up_late_is_waited_for(server: Server, fetch: Fetch) -> None:
    """503 and a dropped connection pass; what is waited for is said."""
    server.pages["/cfg"] = [answer("busy", 503), drop, answer(GOOD)]
    assert fetch(f"{server.url}/cfg", wait=10).content == GOOD
    assert len(server.asked) == 3
    assert "HTTP 503" in fetch.said[0] and "no answer" in fetch.said[1] and len(fetch.said) == 2


def test_half_a_document_is_asked_for_again(server: Server, fetch: Fetch) -> None:
    """A connection that breaks in the middle is not the end of the document, though it may look like one."""
    server.pages["/cfg"] = [half, answer(GOOD)]
    assert fetch(f"{server.url}/cfg").content == GOOD


def test_a_404_lasts_until_the_wait_is_over(server: Server, fetch: Fetch) -> None:
    """The document may still be written; in the end it is a fault, and it was said only once."""
    started = time.monotonic()
    code, text = fetch.fault(f"{server.url}/cfg?token=hunter2", WAIT)
    assert code == "plan.config.unavailable" and "within 1.5 s: HTTP 404" in text and "hunter2" not in text
    assert len(server.asked) == 2 and len(fetch.said) == 1
    assert time.monotonic() - started < 10


def test_nothing_listens(fetch: Fetch) -> None:
    """No server is a fault that says what the system said."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        code, text = fetch.fault(f"http://127.0.0.1:{listener.getsockname()[1]}/cfg?token=hunter2")
    assert code == "plan.config.unavailable" and "refused" in text and "hunter2" not in text


@pytest.mark.parametrize(
    ("page", "code", "words"),
    [
        (drop, "plan.config.unavailable", "no answer"),
        # Old urllib3 does not see that half is missing; then we do.
        (half, "plan.config.unavailable", ("no answer", "bytes came")),
        (answer("no", 403), "plan.config.unavailable", "HTTP 403"),
        (answer("", 204), "plan.config.unavailable", "HTTP 204"),
        (answer("x", 302, Location="ftp://127.0.0.1/cfg"), "plan.config.unavailable", "cannot be asked for"),
        (answer("x", 302, Location="/cfg"), "plan.config.unavailable", "cannot be asked for"),
        (answer(b" " * (SIZE_LIMIT + 1)), "plan.config.unavailable", "larger than"),
        (answer("<!DOCTYPE html><html>log in</html>"), "plan.config.syntax", "begins '<!DOCTYPE html>"),
        (answer(""), "plan.config.syntax", "is not JSON"),
        (answer("[]"), "plan.config.syntax", "not a JSON object"),
        (answer('"wipe"'), "plan.config.syntax", "not a JSON object"),
        (answer(b'{"a": "\xff"}'), "plan.config.syntax", "is not JSON"),
        (answer('{"a": {}} x'), "plan.config.syntax", "is not JSON"),
        (answer('{"wipe": {"disks": "a", "disks": "b"}}'), "plan.config.syntax", "disks given twice"),
        (answer('{"wipe": {}, "wipe": {}}'), "plan.config.syntax", "wipe given twice"),
        (answer("[" * 200_000), "plan.config.syntax", "is not JSON"),
        (answer('{"a":' * 200_000), "plan.config.syntax", "is not JSON"),
        (answer('{"speediso": "\\ud800"}'), "plan.config.syntax", "is not JSON"),
        (answer('{"a": ' + "9" * 5000 + "}"), "", ""),
    ],
    ids=lambda value: value.__name__ if callable(value) and value is not answer else None,
)
def test_what_is_no_document_is_a_fault(
    server: Server, fetch: Fetch, page: Answer, code: str, words: str | tuple[str, ...]
) -> None:
    """Errors, other answers, HTML, lists, names given twice, a flood: each is a fault, never an exception."""
    server.pages["/cfg"] = [page]
    if not code:  # Python 3.11 limits the digits of a number, an older one reads it
        try:
            assert isinstance(fetch(f"{server.url}/cfg", 0).content["a"], int)
        except NoDocument as error:
            assert error.fault.code == "plan.config.syntax"
        return
    found, text = fetch.fault(f"{server.url}/cfg")
    wanted = (words,) if isinstance(words, str) else words
    assert found == code and any(word in text for word in wanted) and text.isprintable()


def test_waiting_does_not_mend_a_document(server: Server, fetch: Fetch) -> None:
    """What is there and wrong is said at once."""
    for page in (answer("<html>"), answer("no", 403)):
        server.pages["/cfg"] = [page]
        fetch.fault(f"{server.url}/cfg", wait=600)
    assert len(server.asked) == 2


def test_a_broken_document_is_not_quoted(server: Server, fetch: Fetch) -> None:
    """The fault goes to the receiver and the consoles, and what is in the document may be a secret."""
    server.pages["/cfg"] = [answer('{"agent": {"callback_token": "hunter2", "a": 1, "a": 2}}')]
    code, text = fetch.fault(f"{server.url}/cfg")
    assert code == "plan.config.syntax" and "a given twice" in text and "hunter2" not in text


def test_a_byte_order_mark_is_no_harm(server: Server, fetch: Fetch) -> None:
    """What an editor leaves before the first brace is passed over."""
    server.pages["/cfg"] = [answer(b"\xef\xbb\xbf{}")]
    assert fetch(f"{server.url}/cfg").content == {}


def test_a_byte_now_and_then_does_not_hold_the_boot(server: Server, fetch: Fetch) -> None:
    """The wait counts for the answer as a whole, not for each byte of it."""
    server.pages["/cfg"] = [server.drip]
    started = time.monotonic()
    code, text = fetch.fault(f"{server.url}/cfg", 1)
    assert code == "plan.config.unavailable" and "did not come to an end" in text
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("dripping", [False, True])
def test_a_wait_can_be_cancelled(server: Server, fetch: Fetch, dripping: bool) -> None:
    """Stopping the service does not take until the wait is over, whether it pauses or reads."""
    server.pages["/cfg"] = [server.drip if dripping else answer("busy", 503)]
    timer = threading.Timer(0.3, fetch.host.cancel.set)
    timer.start()
    with pytest.raises(Cancelled):
        fetch(f"{server.url}/cfg", wait=600)
    timer.join()


# -- TLS --------------------------------------------------------------------------------------------


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    return authority


@pytest.fixture
def secure(authority: trustme.CA) -> Iterator[Server]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    with Server(tls) as server:
        server.pages["/cfg"] = [answer(GOOD)]
        yield server


def test_verified_https(secure: Server, fetch: Fetch, tmp_path: Path) -> None:
    """With the CA that signed the server, the way is verified."""
    assert fetch(f"{secure.url}/cfg", ca=str(tmp_path / "ca.pem")).verified


@pytest.mark.parametrize("ca", ["other.pem", ""])
def test_a_certificate_of_another_authority(secure: Server, fetch: Fetch, tmp_path: Path, ca: str) -> None:
    """With another CA, or only the system's, nothing is taken."""
    code, text = fetch.fault(f"{secure.url}/cfg", ca=ca and str(tmp_path / ca))
    assert code == "plan.config.unavailable" and "certificate cannot be verified" in text
    assert secure.asked == []


def test_a_name_that_is_not_in_the_certificate(secure: Server, fetch: Fetch, tmp_path: Path) -> None:
    """The right CA is not enough: the name has to be the server's."""
    code, text = fetch.fault(secure.url.replace("127.0.0.1", "localhost") + "/cfg", ca=str(tmp_path / "ca.pem"))
    assert code == "plan.config.unavailable" and "certificate cannot be verified" in text


def test_a_ca_that_is_not_there(secure: Server, fetch: Fetch, tmp_path: Path) -> None:
    """A CA file that cannot be had is a fault at once; the system's CAs do not stand in for it."""
    code, text = fetch.fault(f"{secure.url}/cfg", wait=600, ca=str(tmp_path / "nowhere.pem"))
    assert code == "plan.config.unavailable" and "nowhere.pem" in text and secure.asked == []


def test_https_does_not_lead_to_http(secure: Server, server: Server, fetch: Fetch, tmp_path: Path) -> None:
    """A redirect to plain HTTP would hand the document to whoever sits on the way."""
    server.pages["/cfg"] = [answer(GOOD)]
    secure.pages["/cfg"] = [answer("", 302, Location=f"{server.url}/cfg")]
    code, text = fetch.fault(f"{secure.url}/cfg", ca=str(tmp_path / "ca.pem"))
    assert code == "plan.config.unavailable" and "from https to plain http" in text


def test_http_that_leads_to_https_is_not_verified(secure: Server, server: Server, fetch: Fetch, tmp_path: Path) -> None:
    """The first step could have led anywhere, so that the last one proves nothing."""
    server.pages["/cfg"] = [answer("", 302, Location=f"{secure.url}/cfg")]
    document = fetch(f"{server.url}/cfg", ca=str(tmp_path / "ca.pem"))
    assert (document.content, document.verified) == (GOOD, False)


# -- signatures -------------------------------------------------------------------------------------


class Signer:
    """A key made by the real ssh-keygen."""

    def __init__(self, path: Path) -> None:
        self.path = path
        need_ssh_keygen()
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)], check=True, timeout=30
        )  # fmt: skip

    @property
    def public(self) -> str:
        return self.path.with_suffix(".pub").read_text().strip()

    def sign(self, data: bytes, namespace: str = NAMESPACE) -> bytes:
        return subprocess.run(
            ["ssh-keygen", "-q", "-Y", "sign", "-f", str(self.path), "-n", namespace],
            check=True,
            timeout=30,
            input=data,
            capture_output=True,
        ).stdout


def need_ssh_keygen() -> None:
    found = subprocess.run(["sh", "-c", "command -v ssh-keygen"], capture_output=True, timeout=30)
    need(found.returncode == 0, "ssh-keygen")


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Signer(tmp_path / "ops")


@pytest.fixture
def trusted(fetch: Fetch, signer: Signer) -> Signer:
    """A key that this machine's /etc knows, among others."""
    path = Path(fetch.host.root, SIGNERS.lstrip("/"))
    path.parent.mkdir(parents=True)
    path.write_text(f'# who may order\nops@example.org,ops namespaces="{NAMESPACE}" {signer.public}\n')
    return signer


TEXT = json.dumps(GOOD).encode()


def test_a_signed_document(server: Server, fetch: Fetch, trusted: Signer) -> None:
    """A good signature by a known key names its signer; the query of the URL stays where it is."""
    server.pages.update({"/cfg": [answer(TEXT)], "/cfg.sig": [answer(trusted.sign(TEXT))]})
    document = fetch(f"{server.url}/cfg?token=1")
    assert (document.content, document.signed_by, document.verified) == (GOOD, "ops@example.org", False)
    assert server.asked == ["/cfg?token=1", "/cfg.sig?token=1"]


def test_no_signature_is_no_signer(server: Server, fetch: Fetch, trusted: Signer) -> None:
    """A document without a signature is taken as what it is: unsigned."""
    server.pages["/cfg"] = [answer(TEXT)]
    assert fetch(f"{server.url}/cfg").signed_by == ""


def test_without_signers_no_signature_is_asked_for(server: Server, fetch: Fetch, signer: Signer) -> None:
    """A machine that knows no signer cannot tell a good signature from another, and does not pretend to."""
    server.pages.update({"/cfg": [answer(TEXT)], "/cfg.sig": [answer(signer.sign(TEXT))]})
    assert fetch(f"{server.url}/cfg").signed_by == ""
    assert server.asked == ["/cfg"]


@pytest.mark.parametrize(
    "make",
    [
        lambda signer, other: signer.sign(TEXT + b" "),
        lambda signer, other: other.sign(TEXT),
        lambda signer, other: signer.sign(TEXT, "file"),
        lambda signer, other: signer.sign(TEXT)[:-60],
        lambda signer, other: b"<html>",
        lambda signer, other: b"",
    ],
    ids=["another document", "unknown signer", "another namespace", "cut", "html", "empty"],
)
def test_a_signature_that_is_not_good(
    server: Server, fetch: Fetch, trusted: Signer, tmp_path: Path, make: Callable[[Signer, Signer], bytes]
) -> None:
    """A signature that is there and not good is worse than none: nothing runs."""
    signature = make(trusted, Signer(tmp_path / "other"))
    server.pages.update({"/cfg": [answer(TEXT)], "/cfg.sig": [answer(signature)]})
    code, text = fetch.fault(f"{server.url}/cfg", wait=600)
    assert code == "plan.config.signature" and "is not good" in text


@pytest.mark.parametrize(
    ("page", "words"), [(answer("", 503), "its signature: HTTP 503"), (answer("", 403), "its signature: answered")]
)
def test_a_signature_that_cannot_be_had(
    server: Server, fetch: Fetch, trusted: Signer, page: Answer, words: str
) -> None:
    """A server in trouble does not make a signed document an unsigned one."""
    server.pages.update({"/cfg": [answer(TEXT)], "/cfg.sig": [page]})
    code, text = fetch.fault(f"{server.url}/cfg")
    assert code == "plan.config.unavailable" and words in text


@pytest.mark.parametrize(
    ("url", "signature"),
    [
        ("https://h/cfg.json", "https://h/cfg.json.sig"),
        ("https://h/cfg?mac=a&token=b", "https://h/cfg.sig?mac=a&token=b"),
        ("https://me@h:1/a/b", "https://me@h:1/a/b.sig"),
    ],
)
def test_where_the_signature_is(url: str, signature: str) -> None:
    """`URL.sig`, for a URL with a query as well."""
    assert make_signature_url(url) == signature


# -- the word in it ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("way", "taken"), [("http", False), ("https", True), ("signed", True)])
def test_which_way_may_bring_a_word(
    server: Server, secure: Server, fetch: Fetch, tmp_path: Path, trusted: Signer, way: str, taken: bool
) -> None:
    """`speediso` of a document is taken over verified HTTPS or signed, and is a fault over plain HTTP."""
    server.pages["/cfg"] = [answer(TEXT)]
    if way == "signed":
        server.pages["/cfg.sig"] = [answer(trusted.sign(TEXT))]
    url = (secure if way == "https" else server).url + "/cfg"
    document: Any = fetch(url, ca=str(tmp_path / "ca.pem"))
    request = make_request({}, *read_sources(fetch.host, ""), document)
    assert ((request.word.value if request.word else None) == "wipe") is taken
    assert [fault.code for fault in request.faults] == ([] if taken else ["plan.config.unverified"])
