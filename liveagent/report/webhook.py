"""Standard Webhooks 1.0: signs what is sent, and checks what was received.

The key comes out of the secret as the published Python package derives it, so that one string given to both
ends works: `whsec_` and base64; or base64 without the prefix; what is not base64 is the key itself. Write
`whsec_…`: in a bare passphrase the package skips what is not of base64's alphabet and takes the rest as base64.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

PREFIX = "whsec_"
# What the published packages allow the clocks of both ends to differ.
TOLERANCE = 300


class BadSignature(ValueError):
    """A request is not what the holder of the secret sent; the message says why."""


def make_key(secret: str) -> bytes:
    """The key of a secret. Raises ValueError where `whsec_` is not followed by base64, or nothing is left."""
    bare = secret[len(PREFIX) :] if secret.startswith(PREFIX) else secret
    try:
        key = base64.b64decode(bare + "==")
    except (binascii.Error, ValueError):
        if secret.startswith(PREFIX):
            raise ValueError(f"the secret is not base64 after {PREFIX}") from None
        return secret.encode()
    if not key:
        raise ValueError("the secret is empty")
    return key


def make_signature(key: bytes, identity: str, timestamp: int, body: bytes) -> str:
    """`v1,` and the base64 of the HMAC-SHA256 over `ID.TIMESTAMP.BODY`."""
    digest = hmac.new(key, f"{identity}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def make_headers(key: bytes, identity: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers. `identity` stays the same over the retries of one body, `timestamp` does not."""
    return {
        "webhook-id": identity,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": make_signature(key, identity, timestamp, body),
    }


def check(key: bytes, headers: Mapping[str, str | None], body: bytes, now: float) -> None:
    """Raises BadSignature unless the body was signed with this key, within TOLERANCE of `now`.

    `headers` holds the three by their lower-case names; None or '' is missing.
    """
    identity, stamp = headers.get("webhook-id"), headers.get("webhook-timestamp")
    signatures = headers.get("webhook-signature")
    if not (identity and stamp and signatures):
        raise BadSignature("the webhook-id, webhook-timestamp or webhook-signature header is missing")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        raise BadSignature("webhook-timestamp is not a number")
    if abs(int(stamp) - now) > TOLERANCE:
        raise BadSignature(f"webhook-timestamp is {int(stamp) - now:+.0f} s from this receiver's clock")
    expected = make_signature(key, identity, int(stamp), body).encode()
    # Several are sent while a key is being replaced.
    if not any(hmac.compare_digest(expected, one.encode("utf-8", "replace")) for one in signatures.split()):
        raise BadSignature("webhook-signature does not match")
