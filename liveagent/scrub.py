"""Keeps secrets out of events, logs and recordings."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Any

HIDDEN = "[secret]"
# Words of a command line or a file that carry a secret by their name.
_NAMED = re.compile(
    r"(?i)([\w.-]*(?:secret|token|password|passwd|psid|certificate_key|private_key|rootpw|sshpw)[\w.-]*\s*[=:]\s*)"
    r"(\"[^\"]*\"|'[^']*'|[^\s,;&]+)"
)
_IN_URL = re.compile(r"([a-z][a-z0-9+.-]*://)([^\s/@]+)@", re.IGNORECASE)


def scrub_url(url: str) -> str:
    """A URL without its user part and its query, for people to read."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        return HIDDEN
    host = parts.netloc.rpartition("@")[2]
    return urllib.parse.urlunsplit((parts.scheme, host, parts.path, HIDDEN if parts.query else "", ""))


class Scrubber:
    """Replaces known secrets, and what looks like one, in anything that is about to leave."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # Longest first, so that a secret that is part of another one does not leave the rest of it.
        self._secrets = tuple(sorted({secret for secret in secrets if len(secret) >= 4}, key=len, reverse=True))

    def text(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return _NAMED.sub(rf"\g<1>{HIDDEN}", _IN_URL.sub(rf"\g<1>{HIDDEN}@", text))

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
