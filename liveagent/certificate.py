"""A certificate as a document: its one text, its signature, what must agree in it. It knows nothing of tasks."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping

from liveagent.events import JSON
from liveagent.host import Host, HostError
from liveagent.report.record import make_plain
from liveagent.signature import SignatureError, is_key_text, probe_fingerprint, sign

__all__ = ("SignatureError", "describe_signature", "make_digest", "make_file_name", "probe_key", "render", "sign")

NAMESPACE = "liveagent-certificate"
MACHINE = "certificate"
# A pair of numbers, over four lines. No text of a JSON document has a line's end in it.
_PAIR = re.compile(r"\[\n +(\d+),\n +(\d+)\n +\]")
# Below these a live image keeps what was put there after it had started,
AFTER_START = ("/run/", "/dev/shm/", "/tmp/")
# except where the medium that it started from is mounted.
MEDIUM = ("/run/initramfs/", "/run/live/", "/run/archiso/", "/run/rootfsbase/", "/run/overlayfs/", "/run/media/")


def render(document: Mapping[str, JSON]) -> str:
    """The one text of a certificate, which is signed: JSON, two blanks a level, the order as it was made.

    A pair of numbers stands on one line: a thousand places are to be read by people, too.
    """
    text = json.dumps(make_plain(dict(document)), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    text = _PAIR.sub(r"[\1, \2]", text)
    # A half of a character, from a name that was no UTF-8, could not be written.
    return text.encode("utf-8", "replace").decode("utf-8")


def make_digest(text: str) -> str:
    """SHA-256 of a certificate's text, as `sha256sum` prints it of the file."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def make_file_name(serial: str, otherwise: str, taken: Iterable[str]) -> str:
    """`certificate-SERIAL`, safe for a file and unlike every name in `taken`, also where case does not count."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", serial).strip("-") or re.sub(r"[^A-Za-z0-9_-]+", "-", otherwise).strip("-")
    name = f"{MACHINE}-{safe[:100] or 'disk'}"
    folded = {other.lower() for other in taken}
    number, unique = 1, name
    while unique.lower() in folded:
        number += 1
        unique = f"{name}-{number}"
    return unique


# -- the key ----------------------------------------------------------------------------------------


def probe_key(host: Host, key: str, origin: str, is_live: bool) -> dict[str, JSON]:
    """What signs, as a certificate says it: `fingerprint`, `origin`, `from_image`, `note`.

    `fingerprint` is None and `trouble` says why where the key cannot sign, as far as that can be seen before.
    `origin` is where the key was set.
    """
    described: dict[str, JSON] = {
        "fingerprint": None,
        "origin": describe_origin(key, origin),
        "from_image": is_from_image(key, origin, is_live),
        "note": choose_note(key, origin, is_live),
        "trouble": "",
    }
    try:
        described["fingerprint"] = probe_fingerprint(host, key)
    except (SignatureError, HostError) as error:
        described["trouble"] = str(error)
    return described


def describe_origin(key: str, origin: str) -> str:
    """In words: the key's own text in a source, or a file that a source names."""
    if is_key_text(key):
        return f"the key itself, in {origin or 'the settings'}"
    return f"the file {key}" + (f", named in {origin}" if origin else "")


def is_from_image(key: str, origin: str, is_live: bool) -> bool:
    """Whether the key lies in the live image, for anyone who can download it."""
    place = origin if is_key_text(key) else key
    if not is_live or not place.startswith("/"):
        return False
    # Two slashes at the front stay two.
    place = "/" + os.path.normpath(place).lstrip("/")
    return not place.startswith(AFTER_START) or place.startswith(MEDIUM)


def choose_note(key: str, origin: str, is_live: bool) -> str:
    """What the way of the key says about the worth of its signature; "" where nothing speaks against it."""
    if is_from_image(key, origin, is_live):
        return (
            "The key came with the live image: whoever can download the image has it too, so that the signature "
            "proves little about who made this document."
        )
    if is_key_text(key) and origin.startswith("kernel cmdline"):
        return (
            "The key stood on the kernel command line, where every user of the machine could read it, so that the "
            "signature proves little."
        )
    if is_key_text(key) and origin.startswith("config http://"):
        return "The key came over plain HTTP, where it could be read on the way, so that the signature proves little."
    return ""


def describe_signature(key: Mapping[str, JSON] | None, name: str = "") -> dict[str, JSON]:
    """The part of a certificate that says how it is signed; `key` as `probe_key` describes it, None for none."""
    if key is None or key.get("trouble"):
        why = "no certificate_key was set" if key is None else f"the key did not sign: {key['trouble']}"
        statement = f"THIS CERTIFICATE IS NOT SIGNED ({why}): nothing protects it from being altered."
        return {"signed": False, "statement": statement}
    shown = {name: key.get(name) for name in ("fingerprint", "origin", "from_image", "note")}
    statement = f"Signed by the OpenSSH key {key.get('fingerprint')}. {key.get('note') or ''}".strip()
    return {
        "signed": True,
        "statement": statement,
        "format": "OpenSSH signature (ssh-keygen -Y sign)",
        "namespace": NAMESPACE,
        "file": f"{name}.json.sig" if name else "beside this file, with .sig added to its name",
        "key": shown,
    }
