"""Keeps secrets out of events, logs and recordings."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Any

HIDDEN = "[secret]"
TOKEN_LENGTH = 16
# Words of a command line or a file that carry a secret by their name.
_WORDS = "secret|token|password|passwd|psid|certificate_key|private_key|rootpw|sshpw|community string"
# The rest of the name is bounded, and what stands before the word is not looked at: a recorded file may be one
# word of a megabyte, and must not take for ever.
_NAMED = re.compile(
    rf"(?i)((?:{_WORDS})[\w.-]{{0,40}}[\"']?\s{{0,8}}[=:]\s{{0,8}})"
    r"(\"[^\"]*\"|'[^']*'|[^\s,;&]+)"
)
_IN_URL = re.compile(r"(://)([^\s/@]{1,1000})@")
_QUERY = re.compile(r"(https?://[^\s?\"']{1,1000}\?)[^\s\"']+", re.IGNORECASE)
# Names in a query whose value opens something. A serial or a MAC stands there as well, and has to be said.
_OPENS = re.compile(r"secret|token|pass|key|sig|auth|code|nonce|otp|ticket|cred|jwt", re.IGNORECASE)


def scrub_url(url: str) -> str:
    """A URL without its user part and its query, for people to read."""
    # By hand, since what is shown may be no URL at all, and must not show a password for that.
    before, mark, query = url.partition("#")[0].partition("?")
    scheme, separator, place = before.rpartition("://")
    authority, slash, path = place.partition("/")
    shown = authority.rpartition("@")[2] + slash + path
    return make_printable(scheme + separator + shown + (f"?{HIDDEN}" if query else mark))


def list_secrets(url: str) -> tuple[str, ...]:
    """What must not leave of a URL: its user part, its query, and the values in that which open something."""
    before, _, query = url.partition("#")[0].partition("?")
    user = before.rpartition("://")[2].partition("/")[0].rpartition("@")[0]
    name, colon, password = user.partition(":")
    # A name alone is no secret (`root@`), but a token may stand in its place.
    found = [user, password, query] if colon or len(name) >= TOKEN_LENGTH else [query]
    for pair in query.split("&"):
        name, equals, value = pair.partition("=")
        found.append(pair)
        if equals and _OPENS.search(name):
            found.append(value)
    found += [urllib.parse.unquote(secret) for secret in found]
    return tuple(dict.fromkeys(secret for secret in found if secret))


def make_printable(text: str) -> str:
    """Text that does nothing to a terminal; what came from outside may hold anything."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


class Scrubber:
    """Replaces known secrets, and what looks like one, in anything that is about to leave."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # Longest first, so that a secret that is part of another one does not leave the rest of it.
        self._secrets = tuple(sorted({secret for secret in secrets if len(secret) >= 4}, key=len, reverse=True))

    def text(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        text = _QUERY.sub(rf"\g<1>{HIDDEN}", _IN_URL.sub(rf"\g<1>{HIDDEN}@", text))
        return _NAMED.sub(rf"\g<1>{HIDDEN}", text)

    def known(self, text: str) -> str:
        """Only the known secrets: for text that is ours and must otherwise stay as it is."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text

    def document(self, value: Any) -> Any:
        """The known secrets out of every string of a JSON value."""
        if isinstance(value, str):
            return self.known(value)
        if isinstance(value, Mapping):
            return {key: self.document(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.document(item) for item in value]
        return value
