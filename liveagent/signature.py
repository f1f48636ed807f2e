"""OpenSSH signatures of texts, made and checked by ssh-keygen, so that anyone can check them with stock OpenSSH."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import datetime
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from liveagent.host import CommandFailed, Host

TIMEOUT = 20.0
# What ssh-keygen prints for a signature that fits, OpenSSH 8.2 to 9.9; its exit status alone is not believed.
_GOOD = re.compile(r'^Good "(?P<namespace>[^"]*)" signature (?:for .+ )?with \S+ key (?P<key>SHA256:\S+)$', re.M)
_FINGERPRINT = re.compile(r"^\d+ (SHA256:\S+)", re.M)
_PUBLIC = ("ssh-", "ecdsa-", "sk-")


class SignatureError(Exception):
    """A key that cannot sign, or a signature that is not good; the message never holds a part of a key."""


class UnknownSigner(SignatureError):
    """The signature is by nobody in the file of signers."""


@dataclasses.dataclass(frozen=True)
class Signer:
    """Who signed: the name in the file of signers ("" where none was asked for), and the key's fingerprint.

    `valid_at` is "" where the signers let the key sign now, else the time for which they did.
    """

    name: str
    key: str
    valid_at: str = ""


def is_key_text(key: str) -> bool:
    """Whether it is a private key itself, not the path of one."""
    return "PRIVATE KEY-----" in key


def make_key_text(key: str) -> str:
    """A private key as ssh-keygen reads it: what an INI file or a template did to its lines is undone."""
    lines = [line.strip() for line in key.strip().splitlines()]
    return "\n".join(lines) + "\n"


def sign(
    host: Host, text: str, key: str, namespace: str, environment: Mapping[str, str] | None = None
) -> str:  # fmt: skip
    """The signature of the text by `key`: the path of a key (a `.pub` where an agent has it), or the key's own text.

    Raises SignatureError where the key cannot sign, CommandError where ssh-keygen cannot be run.
    """
    with _lay_out(key) as path:
        try:
            done = host.run(
                ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", path],
                timeout=TIMEOUT,
                input=text,
                environment=environment,
            )
        except CommandFailed as error:
            raise SignatureError(_explain(path, key, error.completed.stderr)) from None
    if "-----END SSH SIGNATURE-----" not in done.stdout:
        raise SignatureError(f"{_name(key)}: ssh-keygen said nothing against it, and made no signature")
    return done.stdout


def probe_fingerprint(host: Host, key: str) -> str:
    """`SHA256:…` of a private or public key. Raises SignatureError, CommandError."""
    with _lay_out(key) as path:
        try:
            done = host.run(["ssh-keygen", "-l", "-E", "sha256", "-f", path], timeout=TIMEOUT)
        except CommandFailed as error:
            raise SignatureError(_explain(path, key, error.completed.stderr)) from None
    found = _FINGERPRINT.search(done.stdout)
    if not found:
        raise SignatureError(f"{_name(key)} has no fingerprint that ssh-keygen could tell")
    return found.group(1)


def verify(host: Host, text: str, signature: str, signers: str, namespace: str, made: str = "") -> Signer:
    """Who of an allowed-signers file (its path) signed the text.

    `made`: when, RFC 3339 in UTC, by the text's own word. Whoever the key belonged to then is named; a key that has
    expired since counts for that time. Raises UnknownSigner, SignatureError where the signature does not fit the text,
    CommandError.
    """
    with _write(signature) as path:
        # What does not fit the text need not be looked for among the signers.
        key = _check(host, ["ssh-keygen", "-Y", "check-novalidate", "-n", namespace, "-s", path], text, namespace)
        candidates = list(list_candidates(signers, key))
        stamp = _make_stamp(made, host.now())
        first: SignatureError = UnknownSigner(f"{signers} names nobody with the key {key}")
        for when in (stamp, "") if stamp else ("",):
            for number, line in enumerate(candidates):
                try:
                    found = _verify_line(host, text, path, line, namespace, when)
                except SignatureError as error:
                    first = error if not number else first
                    continue
                return found if not when else _mark_expired(host, text, path, line, namespace, found, made)
        raise first


def list_candidates(signers: str, key: str) -> Iterator[str]:
    """The lines of a file of signers that hold the key, or that of an authority which may have certified it.

    ssh-keygen itself looks at the first of them alone, which may allow the key something else, or have expired.
    """
    # Lines end where ssh-keygen says that they do, and nowhere else.
    for line in Path(signers).read_bytes().decode("utf-8", "surrogateescape").split("\n"):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if "cert-authority" in line or any(_make_fingerprint(word) == key for word in line.split()):
            yield line


def _make_fingerprint(word: str) -> str:
    """`SHA256:…` of a public key in base64, as ssh-keygen prints it; "" of anything else."""
    try:
        blob = base64.b64decode(word.encode("ascii"), validate=True)
    except (ValueError, UnicodeEncodeError):
        return ""
    return f"SHA256:{base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip('=')}"


def _verify_line(host: Host, text: str, signature: str, line: str, namespace: str, when: str) -> Signer:
    """By one line of a file of signers, at a time as ssh-keygen takes it ("": now)."""
    options = ["-O", f"verify-time={when}"] if when else []
    with _write(f"{line}\n") as signers:
        argv = ["ssh-keygen", "-Y", "find-principals", *options, "-f", signers, "-s", signature]
        try:
            found = host.run(argv, timeout=TIMEOUT, environment=_zone())
        except CommandFailed as error:
            raise UnknownSigner(_last_line(error.completed.stderr)) from None
        who = next((name.strip() for name in found.stdout.splitlines() if name.strip()), "")
        if not who:
            raise UnknownSigner("the line of signers names no principal for it")
        argv = ["ssh-keygen", "-Y", "verify", *options, "-f", signers, "-I", who, "-n", namespace, "-s", signature]
        return Signer(who, _check(host, argv, text, namespace))


def _mark_expired(
    host: Host, text: str, signature: str, line: str, namespace: str, found: Signer, made: str
) -> Signer:  # fmt: skip
    """The signer, with the time for which the key counts where it does not count now any more."""
    try:
        _verify_line(host, text, signature, line, namespace, "")
    except SignatureError:
        return dataclasses.replace(found, valid_at=made)
    return found


def _zone() -> dict[str, str]:
    # Times in a file of signers are local ones, and OpenSSH before 9.1 takes no others.
    return {"TZ": os.environ["TZ"]} if "TZ" in os.environ else {}


def _make_stamp(made: str, now: float) -> str:
    """A time in RFC 3339 as ssh-keygen takes it, local; "" where it is none, or lies ahead."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", made):
        return ""
    try:
        then = datetime.datetime.strptime(made[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=datetime.timezone.utc)
        return then.astimezone().strftime("%Y%m%d%H%M%S") if then.timestamp() < now else ""
    except (ValueError, OverflowError):
        return ""


def verify_unnamed(host: Host, text: str, signature: str, namespace: str) -> Signer:
    """That somebody signed the text, whoever it was. Raises SignatureError, CommandError."""
    with _write(signature) as path:
        argv = ["ssh-keygen", "-Y", "check-novalidate", "-n", namespace, "-s", path]
        return Signer("", _check(host, argv, text, namespace))


def _check(host: Host, argv: list[str], text: str, namespace: str) -> str:
    """The fingerprint of the key that signed."""
    try:
        done = host.run(argv, timeout=TIMEOUT, input=text, environment=_zone())
    except CommandFailed as error:
        raise SignatureError(_last_line(error.completed.stderr)) from None
    good = _GOOD.search(done.stdout)
    if not good or good.group("namespace") != namespace:
        raise SignatureError("ssh-keygen did not say that the signature is good")
    return good.group("key")


# -- files for ssh-keygen ---------------------------------------------------------------------------


@contextlib.contextmanager
def _lay_out(key: str) -> Iterator[str]:
    """The path of a key; of its own text, a file that nobody else can read and that is gone afterwards."""
    if not is_key_text(key):
        yield key
        return
    with _write(make_key_text(key)) as path:
        yield path


@contextlib.contextmanager
def _write(text: str) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="liveagent-") as directory:
        path = Path(directory, "file")
        # A signature beside a certificate may hold anything.
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(text.encode("utf-8", "surrogateescape"))
        yield str(path)


# -- what went wrong --------------------------------------------------------------------------------


def _name(key: str) -> str:
    return "the key that was given as text" if is_key_text(key) else key


def _explain(path: str, key: str, stderr: str) -> str:
    """Why a key does not sign; ssh-keygen says "No such file" of much that is there and is no key."""
    if not is_key_text(key):
        try:
            begin = Path(path).read_bytes()[:4096].decode("utf-8", "replace")
        except OSError as error:
            return f"{key} cannot be read: {error.strerror}"
        if not is_key_text(begin) and not begin.startswith(_PUBLIC):
            return f"{key} is not a private key"
        if "are too open" in stderr:
            return f"{key} can be read by others than its owner, so it is not used: chmod 600"
    if "passphrase" in stderr:
        return f"{_name(key)} is protected by a passphrase; a person may load it into an agent and name its .pub"
    return f"{_name(key)} does not sign: {_last_line(stderr).replace(path, _name(key))}"


def _last_line(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    # "No principal matched" and "Could not verify" follow the reason where there is one.
    reasons = [line for line in lines if not line.startswith(("No principal matched", "Could not verify"))]
    return (reasons or lines or ["ssh-keygen gave no reason"])[-1]
