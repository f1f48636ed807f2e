"""Words into typed values: every kind by a table, every fault at once, nothing secret in what is said."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from liveagent.options import (
    DURATION,
    FLAG,
    LIST,
    SIZE,
    TEXT,
    URL,
    URLS,
    BadValue,
    Fault,
    Kind,
    Setting,
    choice,
    encode_options,
    integer,
    make_name,
    option,
    parse_options,
    render_names,
    render_value,
    rows,
    suggest,
)
from liveagent.settings import AgentSettings, parse_settings


@dataclasses.dataclass(frozen=True)
class Toys:
    disks: tuple[str, ...] = option(LIST, ("all",), "which")
    except_: tuple[str, ...] = option(LIST, (), "which not")
    passes: int = option(integer(1, 35), 1, "how often")
    verify: str = option(choice("none", "sample", "full"), "sample", "how much")
    pin: str = option(TEXT, "", "opens it", secret=True)
    code: int = option(integer(0, 9), 0, "opens it, too", secret=True)
    made: int = 7


def given(**words: str) -> dict[str, Setting]:
    return {name: Setting(value, "here") for name, value in words.items()}


@pytest.mark.parametrize(
    ("kind", "word", "value"),
    [
        (TEXT, " as it stands ", " as it stands "),
        *[(FLAG, word, True) for word in ("1", "yes", "true", "on", "YES", " On ")],
        *[(FLAG, word, False) for word in ("0", "no", "false", "off", "No")],
        (SIZE, "0", 0),
        (SIZE, "4096", 4096),
        (SIZE, "4096B", 4096),
        (SIZE, "1kB", 1000),
        (SIZE, "1KiB", 1024),
        (SIZE, "64MiB", 64 * 1024**2),
        (SIZE, "64 mib", 64 * 1024**2),
        (SIZE, "3.84TB", 3_840_000_000_000),
        (SIZE, "1.5TiB", 3 * 1024**4 // 2),
        (SIZE, "9007199254740993", 9007199254740993),
        (DURATION, "90", 90.0),
        (DURATION, "90s", 90.0),
        (DURATION, "1.5m", 90.0),
        (DURATION, "30m", 1800.0),
        (DURATION, "12h", 43200.0),
        (DURATION, "2 D", 172800.0),
        (LIST, "a, b,,c ,", ("a", "b", "c")),
        (LIST, ",", ()),
        (URL, " https://h:8443/a?b=c ", "https://h:8443/a?b=c"),
        (URL, "http://[fe80::1]:80/", "http://[fe80::1]:80/"),
        (URL, "HTTP://h", "HTTP://h"),
        (URLS, "http://a/,https://b/", ("http://a/", "https://b/")),
        (integer(1, 35), "35", 35),
        (integer(-5, 5), " -5 ", -5),
        (choice("stay", "reboot"), "Reboot", "reboot"),
    ],
)
def test_a_word_becomes_its_value(kind: Kind, word: str, value: object) -> None:
    """Each kind takes every form that the contract promises."""
    assert kind.parse(word) == value


@pytest.mark.parametrize(
    ("kind", "word", "message"),
    [
        (FLAG, "maybe", "neither yes nor no"),
        (FLAG, "2", "neither yes nor no"),
        (SIZE, "64Mi", "is not a size"),
        (SIZE, "-1", "is not a size"),
        (SIZE, "1e9", "is not a size"),
        (SIZE, "9" * 5000, "is not a size"),
        (DURATION, "1w", "is not a duration"),
        (DURATION, "-1s", "is not a duration"),
        (DURATION, "inf", "is not a duration"),
        (DURATION, "99999999999d", "is not a duration"),
        (DURATION, "9" * 400, "is not a duration"),
        (integer(1, 35), "36", "not between 1 and 35"),
        (integer(1, 35), "0", "not between 1 and 35"),
        (integer(1, 35), "1.0", "not a whole number"),
        (integer(1, 35), "9" * 5000, "not a whole number"),
        (choice("stay", "reboot", "poweroff"), "rebot", "did you mean reboot?"),
        (choice("stay", "reboot"), "xyzzy", "none of stay, reboot"),
    ],
)
def test_a_wrong_word_says_what_is_expected(kind: Kind, word: str, message: str) -> None:
    """A word that is no value is a BadValue that helps, never another exception."""
    with pytest.raises(BadValue, match=message.replace("?", r"\?")):
        kind.parse(word)


@pytest.mark.parametrize(
    "word",
    [
        "receiver.example.org/cb",
        "//receiver/cb",
        "ftp://receiver/cb",
        "http:/receiver",
        "http://",
        "https://:8443/",
        "http://h:0/",
        "http://h:99999/",
        "http://h:port/",
        "http://[::1/",
        "http://h/a b",
        "http://h/\nthen = reboot",
        "http://h/\x1b[2J",
    ],
)
def test_what_is_no_url(word: str) -> None:
    """A callback without scheme or host, or with another line of the file in it, is a fault."""
    with pytest.raises(BadValue, match="is not a URL"):
        URL.parse(word)


@pytest.mark.parametrize(
    "word",
    [
        "me:hunter2@receiver/cb",
        "receiver/cb?token=hunter2",
        "ftp://me:hunter2@h/",
        "http://me:hunter2@h:99999/?hunter2",
    ],
)
def test_a_wrong_url_is_shown_without_its_secrets(word: str) -> None:
    """The password of a mistyped URL is not sent to the receiver in the fault."""
    with pytest.raises(BadValue) as raised:
        URL.parse(word)
    assert "hunter2" not in str(raised.value)


def test_options_are_read_by_name() -> None:
    """Typed values, Python's trailing underscore left off, defaults for the rest."""
    parsed = parse_options(Toys, given(disks="sda,sdb", **{"except": "sdb"}, passes="3"), "liveagent.toys.")
    assert parsed.faults == ()
    assert parsed.options == Toys(disks=("sda", "sdb"), except_=("sdb",), passes=3)


def test_an_empty_value_is_the_default() -> None:
    """What a template renders for an absent parameter is no value, not a wrong one."""
    parsed = parse_options(Toys, given(disks="", passes="", verify=""), "")
    assert (parsed.options, parsed.faults) == (Toys(), ())


def test_every_fault_is_listed_at_once() -> None:
    """One look shows all that has to be corrected, each with its place and a hint."""
    words = given(diks="sda", passes="x", verify="fulll", wholly_other="")
    faults = parse_options(Toys, words, "liveagent.toys.").faults
    assert [(fault.code, fault.origin) for fault in faults] == [
        ("plan.option.unknown", "here"),
        ("plan.option.value", "here"),
        ("plan.option.value", "here"),
        ("plan.option.unknown", "here"),
    ]
    messages = [fault.message for fault in faults]
    assert messages[0] == "liveagent.toys.diks is no option; did you mean disks?"
    assert messages[1] == "liveagent.toys.passes: 'x' is not a whole number"
    assert "did you mean full?" in messages[2]
    assert messages[3] == "liveagent.toys.wholly_other is no option"


def test_a_field_without_a_kind_is_no_option() -> None:
    """What the dataclass keeps for itself cannot be set from outside."""
    assert "made" not in [row.name for row in rows(Toys)]
    assert [fault.code for fault in parse_options(Toys, given(made="8"), "").faults] == ["plan.option.unknown"]


def test_a_wrong_secret_is_not_quoted() -> None:
    """The value of a secret option stays out of its own fault."""
    (fault,) = parse_options(Toys, given(code="hunter2"), "liveagent.toys.").faults
    assert fault.message == "liveagent.toys.code: the value given is not a 0…9"


def test_secrets_are_not_encoded() -> None:
    """What goes into events holds every option but the secret ones."""
    encoded = encode_options(Toys(pin="hunter2", code=5, disks=("sda",)))
    assert encoded == {"disks": ["sda"], "except": [], "passes": 1, "verify": "sample"}


def test_a_fault_does_nothing_to_a_terminal() -> None:
    """A word from outside that moves the cursor is shown, not obeyed."""
    text = str(Fault("a.b", "kernel cmdline", "SPEEDISO: \x1b[2J \udcff \n."))
    assert text.startswith("kernel cmdline: SPEEDISO: ") and text.isprintable()


@pytest.mark.parametrize(
    ("word", "name"), [("keep-going", "keep_going"), (" Keep_Going ", "keep_going"), ("callback.DC-1", "callback.dc_1")]
)
def test_names(word: str, name: str) -> None:
    """Dashes and underscores are the same."""
    assert make_name(word) == name


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (True, "yes"), (False, "no"), (("a", "b"), "a,b"), (30.0, "30"), (0.5, "0.5"), (7, "7"), ("x", "x")],
)
def test_a_value_is_shown_as_it_would_be_typed(value: Any, text: str) -> None:
    """Defaults in the help can be typed again."""
    assert render_value(value) == text


def test_every_default_can_be_typed() -> None:
    """The default that `show` prints is taken when it is given."""
    for row in rows(AgentSettings):
        if row.default_text:
            assert row.kind.parse(row.default_text) == row.default, row.name


def test_suggestions() -> None:
    """A near word is offered, a far one is not."""
    assert suggest("wpie", ["wipe", "burnin"]) == "; did you mean wipe?"
    assert suggest("za1b7k2m", ["ZA1B7K2M", "sda"]) == "; did you mean ZA1B7K2M?"
    assert suggest("xyzzy", ["wipe", "burnin"]) == ""
    assert (render_names(["a", "b"]), render_names([])) == ("a, b", "none")


# -- the agent's own keys ---------------------------------------------------------------------------


def test_receivers_have_names() -> None:
    """`callback` and every `callback.NAME` is a receiver of its own, each with its fail-over list."""
    agent = {"callback": "http://a/,http://b/", "callback.dc_1": "https://c/", "callback.none": ""}
    settings, faults = parse_settings(given(**agent))
    assert faults == ()
    assert settings.callbacks == {"callback": ("http://a/", "http://b/"), "callback.dc_1": ("https://c/",)}


def test_a_wrong_receiver_is_called_by_its_name() -> None:
    """The fault names the key that was mistyped."""
    _, faults = parse_settings(given(**{"callback.dc": "receiver/cb"}))
    assert [fault.message.split(":")[0] for fault in faults] == ["liveagent.callback.dc"]


@pytest.mark.parametrize("name", ["", "../../etc/cron.d/x", "a/b", ".", "x" * 65, "ä", "a b"])
def test_a_receivers_name_is_no_path(name: str) -> None:
    """The name becomes a file's name; one that leads elsewhere is a fault."""
    settings, faults = parse_settings(given(**{f"callback.{name}": "http://a/"}))
    assert [fault.code for fault in faults] == ["plan.option.unknown"] and not settings.callbacks


def test_labels_are_what_was_said() -> None:
    """What goes onto a certificate is only what somebody gave."""
    settings, _ = parse_settings(given(operator="Ada", order="4711", site=""))
    assert settings.labels == {"operator": "Ada", "order": "4711"}
