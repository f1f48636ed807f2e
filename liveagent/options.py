"""Options: typed, documented values made from words, with every fault at once.

A set of options is a frozen dataclass whose fields are made by `option()`. The same row gives the boot word
(`liveagent.wipe.disks=`), the INI key, the CLI option (`--disks`), the default and the help.
"""

from __future__ import annotations

import dataclasses
import difflib
import fractions
import re
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Callable, Generic, TypeVar

from liveagent.scrub import HIDDEN, make_printable, scrub_url

Value = TypeVar("Value")


class BadValue(ValueError):
    """A word that is not a value of its kind; the message says what is expected."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """A word as it was given, and where: `kernel cmdline`, `/etc/liveagent/liveagent.conf`, …"""

    value: str
    origin: str


@dataclasses.dataclass(frozen=True)
class Fault:
    """Why nothing runs: a stable code, where it was found, and what to do."""

    code: str
    origin: str
    message: str

    def __str__(self) -> str:
        return make_printable(f"{self.origin}: {self.message}")


@dataclasses.dataclass(frozen=True)
class Kind:
    """How a word becomes a value; `name` is what help and errors call it.

    `words` are those that a shell completes; `names_disks`: a list in which disks may be named as well. `names_path`: a
    URL, or a path from where it was typed.
    """

    name: str
    parse: Callable[[str], Any]
    words: tuple[str, ...] = ()
    names_disks: bool = False
    names_path: bool = False


@dataclasses.dataclass(frozen=True)
class Row:
    """One option of a dataclass, for help, completion and parsing."""

    name: str
    kind: Kind
    default: Any
    help: str
    secret: bool

    @property
    def default_text(self) -> str:
        return HIDDEN if self.secret and self.default else render_value(self.default)


# -- kinds ------------------------------------------------------------------------------------------

SIZE_UNITS: Mapping[str, int] = {
    "": 1,
    "b": 1,
    **{unit.lower() + "ib": 1024 ** (power + 1) for power, unit in enumerate("KMGTP")},
    **{unit.lower() + "b": 1000 ** (power + 1) for power, unit in enumerate("KMGTP")},
}
DURATION_UNITS: Mapping[str, float] = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
# 30 years: what the system is told to wait has a limit of its own (threading.TIMEOUT_MAX), and raises beyond.
LONGEST = 1e9


def parse_text(word: str) -> str:
    return word


def parse_flag(word: str) -> bool:
    """`1 yes true on` and `0 no false off`; a bare word on the cmdline is on."""
    folded = word.strip().lower()
    if folded in ("1", "yes", "true", "on"):
        return True
    if folded in ("0", "no", "false", "off"):
        return False
    raise BadValue(f"{word!r} is neither yes nor no")


def parse_size(word: str) -> int:
    """Bytes: `4096`, `64MiB`, `3.84TB`."""
    match = re.fullmatch(r"(\d{1,20}(?:\.\d{1,20})?)\s*([A-Za-z]*)", word.strip())
    if not match or match.group(2).lower() not in SIZE_UNITS:
        raise BadValue(f"{word!r} is not a size such as 4096, 64MiB or 3.84TB")
    # Exactly: a float holds no size above 8 PiB to the byte.
    return int(fractions.Fraction(match.group(1)) * SIZE_UNITS[match.group(2).lower()])


def parse_duration(word: str) -> float:
    """Seconds: `90`, `90s`, `30m`, `12h`, `2d`."""
    match = re.fullmatch(r"(\d{1,20}(?:\.\d{1,20})?)\s*([smhd]?)", word.strip().lower())
    seconds = float(match.group(1)) * DURATION_UNITS[match.group(2)] if match else LONGEST
    if seconds >= LONGEST:
        raise BadValue(f"{word!r} is not a duration such as 90s, 30m or 12h")
    return seconds


def parse_list(word: str) -> tuple[str, ...]:
    """Comma-separated words; empty ones do not count."""
    return tuple(part.strip() for part in word.split(",") if part.strip())


def parse_disks(word: str) -> tuple[str, ...]:
    """A list that names something. Raises BadValue for commas alone."""
    words = parse_list(word)
    if not words:
        raise BadValue(f"{word!r} names no disk")
    return words


def parse_url(word: str) -> str:
    url = word.strip()
    shown = repr(scrub_url(url))
    try:
        parts = urllib.parse.urlsplit(url)
        port_is_good = parts.port is None or parts.port > 0
    except ValueError:
        raise BadValue(f"{shown} is not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_good:
        raise BadValue(f"{shown} is not a URL that starts with http:// or https:// and names a host")
    # urlsplit passes over a line's end: an indented line of an INI file would become part of the URL.
    if any(character.isspace() or not character.isprintable() for character in url):
        raise BadValue(f"{shown} is not a URL: there is a space or a line's end in it")
    return url


def is_url(word: str) -> bool:
    """Whether a word that may be a URL or a path is the former."""
    return "://" in word


def parse_urls(word: str) -> tuple[str, ...]:
    return tuple(parse_url(part) for part in parse_list(word))


TEXT = Kind("text", parse_text)
FLAG = Kind("yes|no", parse_flag, ("yes", "no"))
SIZE = Kind("size", parse_size)
DURATION = Kind("duration", parse_duration)
LIST = Kind("list", parse_list)
DISKS = Kind("list", parse_disks, names_disks=True)
URL = Kind("URL", parse_url)
URLS = Kind("URL[,URL…]", parse_urls)


def integer(least: int, most: int) -> Kind:
    def parse(word: str) -> int:
        try:
            number = int(word.strip())
        except ValueError:
            raise BadValue(f"{word!r} is not a whole number") from None
        if not least <= number <= most:
            raise BadValue(f"{number} is not between {least} and {most}")
        return number

    return Kind(f"{least}…{most}", parse)


def choice(*words: str) -> Kind:
    def parse(word: str) -> str:
        folded = word.strip().lower()
        if folded not in words:
            near = suggest(folded, words)
            raise BadValue(
                f"{word!r} is not known{near} ({', '.join(words)})"
                if near
                else f"{word!r} is none of {', '.join(words)}"
            )
        return folded

    return Kind("|".join(words), parse, words)


def suggest(word: str, known: Iterable[str]) -> str:
    """`; did you mean …?` where a known word is near, in large letters or small, else nothing."""
    near = find_nearest(word, known)
    return f"; did you mean {near}?" if near else ""


def find_nearest(word: str, known: Iterable[str]) -> str:
    """The known word that was likely meant; "" where none is near."""
    words = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(word.casefold(), words, n=1)
    return words[near[0]] if near else ""


# -- sets of options --------------------------------------------------------------------------------


def option(kind: Kind, default: Any, help: str, secret: bool = False) -> Any:
    """A field of a set of options."""
    return dataclasses.field(default=default, metadata={"kind": kind, "help": help, "secret": secret})


def make_name(word: str) -> str:
    """Dashes and underscores are the same, and so are upper and lower case."""
    return word.strip().replace("-", "_").lower()


def rows(options: type) -> tuple[Row, ...]:
    """The options of a set, in order. A trailing underscore (for `except`) is Python's, not the option's."""
    return tuple(
        Row(
            name=field.name.rstrip("_"),
            kind=field.metadata["kind"],
            default=field.default,
            help=field.metadata["help"],
            secret=field.metadata["secret"],
        )
        for field in dataclasses.fields(options)
        if "kind" in field.metadata
    )


@dataclasses.dataclass(frozen=True)
class Parsed(Generic[Value]):
    """The options where there is no fault; otherwise what could be read, and every fault."""

    options: Value
    faults: tuple[Fault, ...]


def parse_options(options: type[Value], settings: Mapping[str, Setting], prefix: str) -> Parsed[Value]:
    """Settings by name into a set of options; `prefix` (`liveagent.wipe.`) stands before names in messages."""
    known = {row.name: row for row in rows(options)}
    faults: list[Fault] = []
    values: dict[str, Any] = {}
    fields = {field.name.rstrip("_"): field.name for field in dataclasses.fields(options)}  # type: ignore[arg-type]
    for name, setting in settings.items():
        row = known.get(name)
        if row is None:
            message = f"{prefix}{name} is no option{suggest(name, known)}"
            faults.append(Fault("plan.option.unknown", setting.origin, message))
        elif setting.value == "":
            continue  # what a template renders for an absent parameter: unset
        else:
            try:
                values[fields[name]] = row.kind.parse(setting.value)
            except BadValue as error:
                shown = f"the value given is not a {row.kind.name}" if row.secret else str(error)
                faults.append(Fault("plan.option.value", setting.origin, f"{prefix}{name}: {shown}"))
    return Parsed(options(**values), tuple(faults))


def encode_options(options: Any) -> dict[str, Any]:
    """The options as JSON, secrets left out."""
    hidden = {row.name for row in rows(type(options)) if row.secret}
    return {
        field.name.rstrip("_"): _encode(getattr(options, field.name))
        for field in dataclasses.fields(options)
        if "kind" in field.metadata and field.name.rstrip("_") not in hidden
    }


def _encode(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def render_value(value: Any) -> str:
    """A value as it would be typed."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (tuple, list)):
        return ",".join(value)
    if isinstance(value, float) and value == int(value):
        return str(int(value))
    return str(value)


def render_names(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "none"


def render_options(options: Any) -> str:
    """Options as one would type them, for a line on a console."""
    rendered = {name: render_value(value) for name, value in encode_options(options).items()}
    return " ".join(f"{name}={value}" for name, value in rendered.items() if value)
