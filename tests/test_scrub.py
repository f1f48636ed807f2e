"""What must not leave: secrets that are known, and those that look like one."""

from __future__ import annotations

import time

import pytest

from liveagent.scrub import HIDDEN, Scrubber, list_secrets, make_printable, scrub_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://h/cfg.json", "https://h/cfg.json"),
        ("https://h:8443/cfg?token=hunter2", f"https://h:8443/cfg?{HIDDEN}"),
        ("https://me:hunter2@h:8443/cfg#part", "https://h:8443/cfg"),
        ("https://me:hun@ter2@h/", "https://h/"),
        ("https://h/a@b", "https://h/a@b"),
        ("http://[fe80::1]:80/x?", "http://[fe80::1]:80/x?"),
        ("me:hunter2@h/cfg", "h/cfg"),
        ("http://me:hunter2@[::1/", "http://[::1/"),
        ("", ""),
        ("http://h/\x1b[2J", "http://h/\ufffd[2J"),
    ],
)
def test_a_url_is_shown_without_user_and_query(url: str, shown: str) -> None:
    """People see where it points, and nothing that opens it; also of what is no URL at all."""
    assert scrub_url(url) == shown


def test_what_opens_a_url_is_known() -> None:
    """User part, query and token are secrets, in both spellings; a serial or a task in the query is not."""
    url = "https://me:hunter2@h/cfg?serial=S4EWNX0N&task=wipe&token=a%2Fb1#x"
    found = list_secrets(url)
    assert {"me:hunter2", "hunter2", "token=a%2Fb1", "a%2Fb1", "a/b1"} <= set(found)
    assert not {"S4EWNX0N", "wipe", "me", ""} & set(found)


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("https://h/cfg", set()),
        ("https://h/cfg?7f3a9c", {"7f3a9c"}),
        ("https://root@h/cfg", set()),
        ("https://0123456789abcdef@h/cfg", {"0123456789abcdef"}),
    ],
)
def test_bare_tokens(url: str, secrets: set[str]) -> None:
    """A token may stand alone; the name of a user, which other text is full of, is none."""
    assert set(list_secrets(url)) == secrets


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("liveagent.callback_secret=hunter2 ro", f"liveagent.callback_secret={HIDDEN} ro"),
        ('liveagent.callback_token="hunter 2" ro', f"liveagent.callback_token={HIDDEN} ro"),
        ("callback-token = hunter2\nsite = x", f"callback-token = {HIDDEN}\nsite = x"),
        ('{"callback_token": "hunter2", "site": "x"}', f'{{"callback_token": {HIDDEN}, "site": "x"}}'),
        ("PSID: ABCD1234", f"PSID: {HIDDEN}"),
        ("SNMP Community String   : hunter2\nIP Header : x", f"SNMP Community String   : {HIDDEN}\nIP Header : x"),
        ("https://me:hunter2@h/x", f"https://{HIDDEN}@h/x"),
        ("liveagent.config=https://h/x?t=hunter2 ro", f"liveagent.config=https://h/x?{HIDDEN} ro"),
        ("the serial is S4EWNX0N, all well", "the serial is S4EWNX0N, all well"),
        ("no token here", "no token here"),
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text: str, left: str) -> None:
    """A recording of a machine carries no secret, though nobody said what the secrets are."""
    assert Scrubber().text(text) == left


def test_known_secrets_go_wherever_they_stand() -> None:
    """Every string of a JSON value is looked through; the longer secret first, so that nothing of it stays."""
    scrub = Scrubber(["hunter2", "hunter2-and-more", "", "abc"])
    document = {"a": ["x hunter2 y", 5, None, True], "b": {"c": "hunter2-and-more"}, "d": ("abc",)}
    assert scrub.document(document) == {"a": [f"x {HIDDEN} y", 5, None, True], "b": {"c": HIDDEN}, "d": ["abc"]}


def test_our_own_text_stays_as_it_is() -> None:
    """Only known secrets leave a document of ours: a finding may speak of a token."""
    assert Scrubber(["hunter2"]).document("token: 5 of hunter2") == f"token: 5 of {HIDDEN}"


@pytest.mark.parametrize("piece", ["a", "token", "secret", "token=", "://", "@", " ", "https://x?"])
def test_a_large_file_does_not_hold_it_up(piece: str) -> None:
    """A recorded file may be a megabyte of anything; the patterns stay linear in it."""
    started = time.process_time()
    Scrubber().text(piece * (1_000_000 // len(piece)))
    assert time.process_time() - started < 10


def test_printable() -> None:
    """Nothing that moves a cursor or cannot be written is left in a line."""
    assert make_printable("ä\x1b[2J\n\udcff") == "ä\ufffd[2J\ufffd\ufffd"
