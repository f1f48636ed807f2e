"""Certificates on their way out of a run: signed, written, told; and never lost for want of a key or of room."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from liveagent.boot import make_request, read_sources
from liveagent.doctor import check_key
from liveagent.engine import Cancel, Engine
from liveagent.events import Event, Result, Type, Verdict
from liveagent.host import Host
from liveagent.issue import Issuer
from liveagent.machine import Identity, Live, Machine
from liveagent.plan import Plan, Step
from liveagent.report.record import read_events
from liveagent.report.spool import Spool
from liveagent.report.troubles import list_troubles, make_trouble
from liveagent.scrub import HIDDEN, Scrubber
from liveagent.settings import AgentSettings, parse_settings
from liveagent.tasks import Context, NoOptions, Outcome, Task
from tests.keys import Key

RUN = "20260102T030405Z-1a2b3c"
MACHINE = Machine(Identity("CZ1234", None, "HPE", "DL360", None, None, None), (), (), Live(True, "the test says so"))
LONG = 30.0
Body = Callable[[Context], Any]


class Certifying(Task):
    """A task that issues what the test wants."""

    name = "certifying"
    summary = "a task of this test"

    def __init__(self, body: Body) -> None:
        self.body = body

    def run(self, context: Context, options: Any) -> Outcome:
        self.body(context)
        return Outcome(Verdict.PASS, "done")


class Bench:
    """A run of one task in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / RUN
        self.spool = Spool(self.directory, RUN, "/liveagent/CZ1234")
        self.cancel = Cancel()

    def run(self, body: Body, scrub: Scrubber | None = None, grace: float = LONG, **settings: Any) -> Result:
        plan = Plan("words", (Step(Certifying(body), NoOptions()),), AgentSettings(**settings), at_boot=False)
        scrubber = scrub or Scrubber()
        engine = Engine(Host(), MACHINE, plan, self.spool, scrubber, self.cancel, grace=grace)
        return engine.run()

    @property
    def certificates(self) -> list[Event]:
        return [event for event in read_events(self.spool.path) if event.type is Type.CERTIFICATE]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.spool.close()


@pytest.fixture
def key(tmp_path: Path) -> Key:
    return Key(tmp_path / "key")


def certify(name: str = "certificate-A1", part: str = "sda", **document: Any) -> Body:
    return lambda context: context.certify(name, {"kind": "disk", **document}, part)


def codes(result: Result) -> list[tuple[str, str]]:
    return [(finding.code, finding.verdict.value) for task in result.tasks for finding in task.findings]


def test_signed_written_told(bench: Bench, key: Key) -> None:
    """The file, its signature and the event hold the same text, to the byte, and stock OpenSSH takes it."""
    texts: list[str] = []

    def body(context: Context) -> None:
        assert context.key and context.key["fingerprint"] == key.fingerprint
        assert (context.run, dict(context.labels)) == (RUN, {"site": "HAM2"})
        texts.append(context.certify("certificate-A1", {"kind": "disk", "run": context.run}, "sda"))

    result = bench.run(body, certificate_key=str(key.path), certificate_key_origin="test", site="HAM2")
    (event,) = bench.certificates
    written = bench.directory / "certificate-A1.json"
    assert result.verdict is Verdict.PASS and event.subject == "certifying/sda"
    assert written.read_text() == event.data["text"] == texts[0]
    assert written.with_name("certificate-A1.json.sig").read_text() == event.data["signature"]
    assert event.data["name"] == "certificate-A1" and event.data["certificate"] == json.loads(texts[0])
    assert event.data["certificate"]["signature"]["file"] == "certificate-A1.json.sig"
    assert key.verify(written.read_bytes(), written.with_name("certificate-A1.json.sig"), "liveagent-certificate")


def test_unsigned(bench: Bench) -> None:
    """Without a key a certificate is issued and says itself that it is not signed; a remark says so once, no fault."""

    def body(context: Context) -> None:
        for number in range(3):
            context.certify(f"certificate-A{number}", {"kind": "disk"})

    result = bench.run(body)
    assert result.verdict is Verdict.PASS and codes(result) == [("certificate.unsigned", "pass")]
    (told,) = result.tasks[0].findings
    remark = "NOTE: certificates are not signed: [agent] certificate_key is not set"
    assert str(make_trouble(told.encode(), {})) == remark and not list_troubles(result.encode())
    for event in bench.certificates:
        assert event.data["signature"] is None and "NOT SIGNED" in event.data["text"]
    assert not (bench.directory / "certificate-A1.json.sig").exists()


def test_without_a_certificate_nothing_is_said_of_the_key(bench: Bench) -> None:
    """A task that certifies nothing, or was refused before, has no use for a key."""
    assert codes(bench.run(lambda context: None)) == []


def test_a_key_that_does_not_sign(bench: Bench, key: Key, tmp_path: Path) -> None:
    """A certificate is never lost for its signature: it is there, says why it is unsigned, and the run warns once."""
    key.path.chmod(0o644)

    def body(context: Context) -> None:
        for number in range(3):
            context.certify(f"certificate-{number}", {"kind": "disk"})

    result = bench.run(body, certificate_key=str(key.path))
    assert result.verdict is Verdict.WARN and codes(result) == [("certificate.sign", "warn")]
    assert len(bench.certificates) == 3
    for event in bench.certificates:
        assert event.data["signature"] is None and event.data["certificate"]["signature"]["signed"] is False
        assert "chmod 600" in event.data["text"]


def test_a_directory_that_cannot_be_written(bench: Bench, key: Key) -> None:
    """The event goes out all the same, with text and signature, and the lack of the file is said."""
    (bench.directory / "certificate-A1.json.new").mkdir(parents=True)
    result = bench.run(certify(), certificate_key=key.text)
    (event,) = bench.certificates
    (finding,) = [e.data for e in read_events(bench.spool.path) if e.type is Type.FINDING]
    assert result.verdict is Verdict.WARN and event.data["signature"]
    assert finding["code"] == "certificate.write" and "certificate-A1.json" in finding["summary"]


def test_secrets_stay(bench: Bench, key: Key) -> None:
    """No secret goes out in a certificate, and what is signed is what went out, also with a secret that is a word."""
    scrub = Scrubber(["hunter2", "kind", *key.text.splitlines()[1:-1]])
    bench.run(certify(note="psid hunter2", leak=key.text), scrub=scrub, certificate_key=key.text)
    (event,) = bench.certificates
    text = event.data["text"]
    assert HIDDEN in text and "hunter2" not in text and key.text.splitlines()[1] not in text
    written = bench.directory / "certificate-A1.json"
    assert written.read_text() == text
    assert key.verify(text.encode(), written.with_name("certificate-A1.json.sig"), "liveagent-certificate")


def test_what_was_cancelled_is_certified(bench: Bench, key: Key) -> None:
    """A wipe that was stopped owes a certificate, too, signed like any other."""

    def body(context: Context) -> None:
        bench.cancel.end("the test says so")
        assert context.cancel.wait(LONG)
        context.certify("certificate-A1", {"kind": "disk"})

    bench.run(body, certificate_key=key.text)
    assert bench.certificates[0].data["signature"]


def test_what_was_left_behind_adds_nothing(bench: Bench) -> None:
    """A thread that hangs beyond its step must not write a certificate that the machine's does not know."""
    go, ended = threading.Event(), threading.Event()

    def body(context: Context) -> None:
        bench.cancel.end("the test says so")
        go.wait(LONG)
        context.certify("certificate-A1", {"kind": "disk"})
        ended.set()

    result = bench.run(body, grace=0.1)
    assert ("task.stuck", "error") in codes(result)
    go.set()
    assert ended.wait(LONG)
    assert bench.certificates == [] and not (bench.directory / "certificate-A1.json").exists()


def test_a_name_is_no_path(tmp_path: Path) -> None:
    """A certificate stays in the directory of its run."""
    issuer = Issuer(Host(), lambda *_: None, directory=tmp_path)
    for name in ("../x", "", "a/b", "/etc/x"):
        with pytest.raises(ValueError):
            issuer.issue(name, {}, "wipe")
    assert list(tmp_path.iterdir()) == []


def test_a_context_of_its_own() -> None:
    """A task that is tried without an engine can certify: the event is all there is then."""
    heard: list[Any] = []
    context = Context(Host(), MACHINE, "wipe", lambda *event: heard.append(event))
    text = context.certify("certificate-A1", {"kind": "disk"})
    ((type, data, subject),) = heard
    assert (type, data["text"], data["signature"], subject) == (Type.CERTIFICATE, text, None, "wipe")
    assert context.key is None and dict(context.labels) == {}


# -- the key as a setting ---------------------------------------------------------------------------


def ask(root: Path, cmdline: str = "", conf: str = "") -> Any:
    """The request of a machine with this command line and configuration."""
    (root / "proc").mkdir(parents=True)
    (root / "etc/liveagent").mkdir(parents=True)
    (root / "proc/cmdline").write_text(cmdline)
    (root / "etc/liveagent/liveagent.conf").write_text(conf)
    return make_request({}, *read_sources(Host(str(root))))


def test_a_key_in_a_file_of_settings_signs(tmp_path: Path, key: Key) -> None:
    """The key itself, its lines indented as INI wants them: it signs, is scrubbed, and its origin is known."""
    request = ask(tmp_path / "root", conf="[agent]\ncertificate_key = " + key.text.strip().replace("\n", "\n    "))
    settings, faults = parse_settings(request.agent)
    assert not faults and settings.certificate_key_origin == "/etc/liveagent/liveagent.conf"
    issuer = Issuer(Host(), lambda *_: None, secret=settings.certificate_key)
    assert issuer.try_key() == "" and issuer.key and issuer.key["fingerprint"] == key.fingerprint
    scrubbed = Scrubber(request.secrets).known(f"x {key.text} y {key.text.splitlines()[2]}")
    assert not any(line in scrubbed for line in key.text.splitlines()[1:-1])


def test_the_place_of_a_key_is_no_secret(tmp_path: Path) -> None:
    """Where a key lies has to be said on every certificate, and opens nothing."""
    request = ask(tmp_path / "root", "liveagent.certificate_key=/etc/liveagent/key")
    assert request.secrets == ()
    assert parse_settings(request.agent)[0].certificate_key == "/etc/liveagent/key"
    assert any("certificate_key" in notice for notice in request.notices)


@pytest.mark.parametrize("value", ["fleet.pem", "ssh-ed25519 AAAA", "hunter2"])
def test_what_is_no_key_is_a_fault(tmp_path: Path, value: str) -> None:
    """Nothing runs with a key that cannot be meant; the fault does not repeat it."""
    _, (fault,) = parse_settings(ask(tmp_path / "root", conf=f"[agent]\ncertificate_key = {value}\n").agent)
    assert fault.code == "plan.option.value" and "certificate_key" in fault.message and value not in fault.message


@pytest.mark.parametrize(
    ("place", "is_live", "verdict", "word"),
    [
        ("key", False, Verdict.PASS, "the file "),
        ("open", False, Verdict.FAIL, "chmod 600"),
        ("none", False, Verdict.FAIL, "No such file"),
        ("", False, Verdict.WARN, "not signed"),
        ("text", True, Verdict.WARN, "came with the live image"),
    ],
)
def test_doctor(key: Key, tmp_path: Path, place: str, is_live: bool, verdict: Verdict, word: str) -> None:
    """Before a fleet is wiped it is known whether certificates will be signed, and what that will be worth."""
    if place == "open":
        Key(tmp_path / "open").path.chmod(0o644)
    given = {"": "", "text": key.text}.get(place, str(tmp_path / place))
    settings = AgentSettings(certificate_key=given, certificate_key_origin="/etc/liveagent/liveagent.conf")
    machine = Machine(MACHINE.identity, (), (), Live(is_live, "the test says so"))
    (finding,) = check_key(Host(), settings, machine)
    assert finding.verdict is verdict and word in finding.summary
    assert (key.fingerprint in finding.summary) is (place in ("key", "text"))
    assert key.text.splitlines()[1] not in finding.summary
