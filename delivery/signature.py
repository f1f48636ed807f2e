"""Who signed a build: OpenSSH signatures of what describes it, checked by ssh-keygen, as the boot does."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from delivery.layout import SIGNATURES, SIGNED
from delivery.lock import Tell
from delivery.place import Fault

NAMESPACE = "liveagent-build"
_TIMEOUT = 60.0
# What it prints of a signature that fits; its exit status alone is not believed.
_GOOD = f'Good "{NAMESPACE}" signature '


def check_signatures(what: str, texts: Mapping[str, bytes], signers: str, tell: Tell) -> None:
    """Raises Fault where a build is not signed by somebody who may.

    `texts`: what describes the build, by file name, with the signatures that it has. `signers`: the path of an OpenSSH
    allowed-signers file; with "" nothing is checked, and that is told.
    """
    missing = [name for name in SIGNATURES if name not in texts]
    said = f"{what} is not signed: it has no {' and no '.join(missing)}"
    if missing and signers:
        raise Fault(f"{said}. Sign it (make-build --key)")
    if not signers:
        tell(said if missing else f"{what} is signed, and its signatures were not checked: --signers says who may sign")
        return
    lines = _read_signers(signers)
    for name in SIGNED:
        who = _find_signer(texts[name], texts[f"{name}.sig"], lines)
        if not who:
            raise Fault(
                f"{what}: {name}.sig is no signature of {name} by anybody who {signers} lets sign in the"
                f" namespace {NAMESPACE}. Have it signed by one of them, or add the key there"
            )
        tell(f"{what}: {name} is signed by {who}")


def _read_signers(signers: str) -> list[bytes]:
    """The lines of an allowed-signers file. Raises Fault."""
    try:
        lines = [line.strip() for line in Path(signers).read_bytes().splitlines()]
    except OSError as error:
        raise Fault(f"{signers}, which should say who may sign a build: {error.strerror}") from None
    return [line for line in lines if line and not line.startswith(b"#")]


def _find_signer(text: bytes, signature: bytes, lines: list[bytes]) -> str:
    """Who of the signers signed the text; "" where nobody did."""
    with tempfile.TemporaryDirectory(prefix="deliver-signers-") as scratch:
        signers, signed = Path(scratch, "signers"), Path(scratch, "signature")
        signed.write_bytes(signature)
        # ssh-keygen names the first line with the key alone, which may let it sign something else.
        for line in lines:
            signers.write_bytes(line + b"\n")
            for who in _list_principals(signers, signed):
                words = ["verify", "-f", str(signers), "-I", who, "-n", NAMESPACE, "-s", str(signed)]
                if _ask(words, text).startswith(_GOOD):
                    return who
    return ""


def _list_principals(signers: Path, signed: Path) -> Iterator[str]:
    said = _ask(["find-principals", "-f", str(signers), "-s", str(signed)], b"")
    yield from (line for line in said.splitlines() if line)


def _ask(words: list[str], text: bytes) -> str:
    """What ssh-keygen prints; "" where it fails. Raises Fault where it cannot be asked."""
    try:
        done = subprocess.run(["ssh-keygen", "-Y", *words], input=text, capture_output=True, timeout=_TIMEOUT)
    except FileNotFoundError:
        raise Fault("ssh-keygen is not installed here, and nothing else checks who signed a build") from None
    except subprocess.TimeoutExpired:
        raise Fault(f"ssh-keygen was not done with a signature within {_TIMEOUT:.0f} s") from None
    return "" if done.returncode else done.stdout.decode("utf-8", "surrogateescape")
