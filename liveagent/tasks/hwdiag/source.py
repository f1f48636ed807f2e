"""What an operator names by URL or path: an expectation, a policy, inventories. Had, and read as plain data."""

from __future__ import annotations

import json

from liveagent.document import unique
from liveagent.events import JSON
from liveagent.fetch import NotHad, NotYet, get, keep_trying
from liveagent.options import BadValue, is_url, parse_url
from liveagent.plain_yaml import BadYAML, make_plain, parse_yaml
from liveagent.scrub import make_printable, scrub_url
from liveagent.tasks import Context

# A person writes a few hundred lines; PyYAML reads some hundred kilobytes a second.
SIZE_LIMIT = 256 * 1024
ACCEPT = "application/json, application/yaml, text/yaml, text/plain;q=0.9, */*;q=0.1"
# The callback's and the config document's servers were reached by now: it is not the network that is coming up.
WAIT = 60.0


class BadSource(Exception):
    """It could not be had, or is not what it should be; the message does not say where it is."""


def show(word: str) -> str:
    """A URL or a path as people may see it."""
    return scrub_url(word) if is_url(word) else make_printable(word)


def read_source(context: Context, word: str, size: int = SIZE_LIMIT, wait: float | None = None) -> bytes:
    """The bytes at a URL or path, `size` at most. Raises BadSource, or Cancelled.

    A server that does not answer yet is waited for, `wait` seconds, or else WAIT.
    """
    if not is_url(word):
        found = context.host.read_config(word, size + 1)
        if isinstance(found, OSError):
            raise BadSource(f"cannot be read: {found.strerror or found}")
        if len(found) > size:
            raise BadSource(f"is larger than {size} bytes")
        return found

    def attempt(limit: float) -> bytes:
        try:
            return get(context.host, word, ca=context.ca, limit=limit, size=size, accept=ACCEPT).body
        except NotYet as error:
            if error.status == 404:  # somebody mistyped it: nothing that is being made right now has a name yet
                raise NotHad(f"answered {error}") from None
            raise

    try:
        parse_url(word)
        say = (lambda text: context.line(f"{show(word)}: {text}")) if wait is None else (lambda text: None)
        return keep_trying(context.host, attempt, WAIT if wait is None else wait, say)
    except (NotHad, BadValue) as error:
        raise BadSource(str(error)) from None


def read_document(context: Context, word: str) -> JSON:
    """Plain data of the YAML or JSON at a URL or path. Raises BadSource, or Cancelled."""
    return parse_document(read_source(context, word))


def parse_document(body: bytes) -> JSON:
    """Plain data of YAML or JSON. Raises BadSource that says what it is instead."""
    text = decode(body)
    # PyYAML is slow, and takes no tab before a name, which JSON is often written with.
    return parse_json(text) if text.lstrip()[0] in "{[" and _is_json(text) else _parse_yaml(text)


def decode(body: bytes) -> str:
    """The text of a document. Raises BadSource: not UTF-8, nothing, a web page …"""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadSource(f"is not UTF-8: byte 0x{body[error.start]:02x} at {error.start}") from None
    begin = text.strip()[:60]
    if not begin:
        raise BadSource("is empty")
    if begin.startswith("<"):
        raise BadSource(f"is HTML or XML, and neither YAML nor JSON; it begins {make_printable(begin)!r}")
    return text


def parse_json(text: str) -> JSON:
    """Plain data of JSON, no name in it given twice. Raises BadSource."""
    try:
        return make_plain(json.loads(text, object_pairs_hook=unique))
    except (ValueError, RecursionError) as error:
        raise BadSource(f"is not JSON: {error}") from None


def _is_json(text: str) -> bool:
    """Whether it is; `{` and `[` begin YAML as well."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _parse_yaml(text: str) -> JSON:
    try:
        return parse_yaml(text)
    except BadYAML as error:
        raise BadSource(f"is not YAML: {error}") from None
