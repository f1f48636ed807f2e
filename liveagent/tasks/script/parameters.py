"""A script's parameters: each is an option of the task, and one or more arguments of the script."""

from __future__ import annotations

import dataclasses
import enum
import ipaddress
import keyword
import re
import shlex
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

from liveagent.events import JSON
from liveagent.options import (
    DURATION,
    FLAG,
    LIST,
    BadValue,
    Kind,
    make_name,
    option,
    parse_list,
    render_value,
    suggest,
)
from liveagent.scrub import scrub_url


class BadHeader(ValueError):
    """A header that is not carried out, rather than half of it; the message says what is wrong with it."""


class Type(enum.Enum):
    STORAGE = "storage"
    INTERFACE = "interface"
    URL = "url"
    RUNTIME = "runtime"
    PASSWORD = "password"
    STRING = "string"
    BOOLEAN = "boolean"
    CHOICE = "choice"

    @property
    def is_target(self) -> bool:
        """Whether there is one run for each thing that it names."""
        return self in (Type.STORAGE, Type.INTERFACE)


# What may stand in braces in `argument_format`, and what stands there where a header has none.
PLACES: Mapping[Type, tuple[str, ...]] = {
    Type.STORAGE: ("name", "path", "model", "serial", "input"),
    Type.INTERFACE: ("name", "mac", "mac_address", "vendor", "product", "input"),
}
FORMATS: Mapping[Type, str] = {Type.STORAGE: "--storage={path}", Type.INTERFACE: "--interface={name}"}
KEYS = (
    *("type", "title", "description", "argument_format", "default", "required"),
    *("min", "max", "choices", "allow_list"),
)
NAME = re.compile(r"[A-Za-z]([A-Za-z0-9_-]*[A-Za-z0-9])?")
SCHEMES = ("http", "https", "ftp", "ftps", "file", "icmp")
# A host name by RFC 1123, with a port or without.
HOST = re.compile(r"[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*\.?(:\d{1,5})?")


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One parameter. `words` are its arguments before anything is put in; `default` is typed, or None."""

    name: str
    type: Type
    words: tuple[str, ...]
    kind: Kind
    default: Any
    required: bool
    help: str

    @property
    def option(self) -> str:
        """What it is called on the kernel command line and everywhere else."""
        return make_name(self.name)

    @property
    def field(self) -> str:
        return f"{self.option}_" if keyword.iskeyword(self.option) else self.option

    @property
    def is_secret(self) -> bool:
        return self.type is Type.PASSWORD

    def value(self, options: Any) -> Any:
        return getattr(options, self.field)


def make_options(parameters: Sequence[Parameter]) -> type:
    """The options of a task with these parameters."""
    fields = [(one.field, Any, option(one.kind, one.default, one.help, one.is_secret)) for one in parameters]
    return dataclasses.make_dataclass("ScriptOptions", fields, frozen=True)


def make_arguments(parameters: Sequence[Parameter], options: Any, target: Mapping[str, str]) -> list[str]:
    """The arguments of one run. Each word of a format stays one, whatever is put into it."""
    arguments: list[str] = []
    for parameter in parameters:
        value = parameter.value(options)
        if value is None or (parameter.type is Type.BOOLEAN and not value and not _has_place(parameter.words)):
            continue
        values = target if parameter.type.is_target else {"input": _render(value)}
        arguments += [_fill(word, values) for word in parameter.words]
    return arguments


def list_secrets(parameters: Sequence[Parameter], options: Any) -> tuple[str, ...]:
    """The passwords that were given."""
    return tuple(one.value(options) for one in parameters if one.is_secret and one.value(options))


def _render(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else render_value(value)


_PLACE = re.compile(r"\{([^{}]*)\}")


def _has_place(words: Sequence[str]) -> bool:
    return any(_PLACE.search(word) for word in words)


def _fill(word: str, values: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda place: values[place[1]], word)


# -- from a header ----------------------------------------------------------------------------------


def parse_parameters(document: JSON, timeout: float | None) -> tuple[Parameter, ...]:
    """The parameters of a header; `timeout` is how long it lets the script run. Raises BadHeader."""
    if not isinstance(document, dict):
        raise BadHeader("`parameters` is no mapping of names to what they are")
    parameters = tuple(_parse_parameter(name, fields, timeout) for name, fields in document.items())
    names = [one.option for one in parameters]
    for twice in sorted({name for name in names if names.count(name) > 1}):
        raise BadHeader(f"two parameters are called {twice}, since dashes, underscores and case make no difference")
    targets = [one.name for one in parameters if one.type.is_target]
    if len(targets) > 1:
        raise BadHeader(f"{', '.join(targets)}: only one parameter can be of type storage or interface")
    return parameters


def _parse_parameter(name: str, fields: JSON, timeout: float | None) -> Parameter:
    if not NAME.fullmatch(name):
        raise BadHeader(f"parameter {name!r}: a name is made of letters, digits, dashes and underscores")
    where = f"parameter {name}"
    if not isinstance(fields, dict):
        raise BadHeader(f"{where} is no mapping with a type")
    for key in fields:
        if key not in KEYS:
            raise BadHeader(f"{where}: {key} is no key of a parameter{suggest(key, KEYS)}")
    types = [one.value for one in Type]
    if fields.get("type") not in types:
        raise BadHeader(f"{where}: its type {fields.get('type')!r} is none of {', '.join(types)}")
    type = Type(fields["type"])
    kind = _make_kind(where, type, fields)
    # An empty default stands for no disk, and never for all of them: they have to be named, or left out on purpose.
    is_emptied = type.is_target and "default" in fields and fields["default"] in (None, "")
    default = None if is_emptied else _parse_default(where, type, kind, fields.get("default"), timeout)
    is_required = _flag(where, fields, "required") or (is_emptied and fields.get("required") is not False)
    return Parameter(
        name,
        type,
        _parse_format(where, name, type, fields.get("argument_format")),
        kind,
        default,
        is_required,
        " ".join(str(fields.get(key)).strip() for key in ("title", "description") if fields.get(key)) or name,
    )


def _parse_format(where: str, name: str, type: Type, text: JSON) -> tuple[str, ...]:
    if text is None:
        flag = f"--{name.replace('_', '-')}"
        text = flag if type is Type.BOOLEAN else FORMATS.get(type, f"--{type.value}={{input}}")
    if not isinstance(text, str):
        raise BadHeader(f"{where}: its argument_format is no text")
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise BadHeader(f"{where}: its argument_format {text!r} cannot be split into words: {error}") from None
    if "\0" in text:
        raise BadHeader(f"{where}: its argument_format holds a zero byte, and no argument of a program can")
    places = PLACES.get(type, ("input",))
    shown = ", ".join(f"{{{place}}}" for place in places)
    found = [place for word in words for place in _PLACE.findall(word)]
    if set(found) - set(places) or any(set("{}") & set(_PLACE.sub("", word)) for word in words):
        raise BadHeader(f"{where}: its argument_format {text!r} may hold {shown}, and no other braces")
    if not found and type is not Type.BOOLEAN:
        raise BadHeader(f"{where}: its argument_format {text!r} has to hold one of {shown}")
    return tuple(words)


def _parse_default(where: str, type: Type, kind: Kind, default: JSON, timeout: float | None) -> Any:
    if default is None or default == "":
        if type.is_target:
            return ("all",)
        if type is Type.RUNTIME and timeout is not None:
            default = int(timeout)
        else:
            return False if type is Type.BOOLEAN else None
    if isinstance(default, (dict, list)):
        raise BadHeader(f"{where}: its default is no single value")
    _check_word(where, default, may_be_flag=type is Type.BOOLEAN)
    try:
        return kind.parse(render_value(default))
    except BadValue as error:
        raise BadHeader(f"{where}: its default is wrong: {error}") from None


def _check_word(where: str, value: JSON, may_be_flag: bool = False) -> None:
    """YAML takes `on` for true and 1.10 for 1.1: what was meant is not to be seen any more."""
    if isinstance(value, float) or (isinstance(value, bool) and not may_be_flag):
        raise BadHeader(f"{where}: YAML reads {value!r} here: put the word into quotes")


def _flag(where: str, fields: Mapping[str, JSON], key: str) -> bool:
    value = fields.get(key) or False
    if not isinstance(value, bool):
        raise BadHeader(f"{where}: {key} is {value!r}, and has to be true or false")
    return value


# -- kinds ------------------------------------------------------------------------------------------


def _make_kind(where: str, type: Type, fields: Mapping[str, JSON]) -> Kind:
    least, most = _parse_bounds(where, type, fields)
    for key, owner in (("choices", Type.CHOICE), ("allow_list", Type.URL)):
        if fields.get(key) is not None and type is not owner:
            raise BadHeader(f"{where}: only a parameter of type {owner.value} has {key}")
    if type is Type.CHOICE:
        return _make_choice(where, fields.get("choices"))
    if type is Type.URL:
        return URLS if _flag(where, fields, "allow_list") else URL
    if type is Type.RUNTIME:
        return _make_runtime(least, most)
    if type in (Type.PASSWORD, Type.STRING):
        return _make_text(type.value, least, most)
    return {Type.STORAGE: _named("disk[,disk…]"), Type.INTERFACE: _named("interface[,interface…]")}.get(type, FLAG)


def _parse_bounds(where: str, type: Type, fields: Mapping[str, JSON]) -> tuple[int | None, int | None]:
    bounds = [fields.get("min"), fields.get("max")]
    for bound in bounds:
        if bound is None:
            continue
        if type not in (Type.RUNTIME, Type.PASSWORD, Type.STRING):
            raise BadHeader(f"{where}: a parameter of type {type.value} has no min or max")
        if isinstance(bound, bool) or not isinstance(bound, int) or bound < 0:
            raise BadHeader(f"{where}: min and max are whole numbers, and {bound!r} is none")
    least, most = bounds
    if least is not None and most is not None and least > most:
        raise BadHeader(f"{where}: its min {least} is more than its max {most}")
    return least, most


def _named(name: str) -> Kind:
    def parse(word: str) -> tuple[str, ...]:
        words = parse_list(word)
        if not words:
            raise BadValue(f"{word!r} names none")
        return words

    return dataclasses.replace(LIST, name=name, parse=parse)


def _check(number: float, what: str, least: int | None, most: int | None) -> None:
    if (least is not None and number < least) or (most is not None and number > most):
        bounds = [f"{word} {bound}" for word, bound in (("at least", least), ("at most", most)) if bound is not None]
        raise BadValue(f"it has to be {' and '.join(bounds)} {what}")


def _make_runtime(least: int | None, most: int | None) -> Kind:
    def parse(word: str) -> int:
        seconds = DURATION.parse(word)
        _check(seconds, "seconds", least, most)
        return int(seconds)

    return Kind("duration", parse)


def _make_text(name: str, least: int | None, most: int | None) -> Kind:
    def parse(word: str) -> str:
        _check(len(word), "letters long", least, most)
        if "\0" in word:
            raise BadValue("no argument of a program can hold a zero byte")
        return word

    return Kind({"string": "text"}.get(name, name), parse)


def _make_choice(where: str, choices: JSON) -> Kind:
    """`choices` are words, or pairs of a word and its title. As typed, else whatever the case."""
    if not isinstance(choices, list) or not choices:
        raise BadHeader(f"{where}: a parameter of type choice needs a list of choices")
    words = []
    for choice in choices:
        pair = choice if isinstance(choice, list) else [choice, choice]
        if len(pair) != 2 or any(isinstance(one, (dict, list)) or one is None for one in pair):
            raise BadHeader(f"{where}: {choice!r} is neither a choice nor a pair of a choice and its title")
        _check_word(where, pair[0])
        words.append(str(pair[0]))
    folded = {word.lower(): word for word in words}

    def parse(word: str) -> str:
        found = word if word in words else folded.get(word.strip().lower())
        if found is None:
            raise BadValue(f"{word!r} is none of {', '.join(words)}{suggest(word, words)}")
        return found

    return Kind("|".join(words), parse)


def parse_address(word: str) -> str:
    """A URL of a scheme that tools know, a host name or an IP address."""
    text = word.strip()
    wrong = BadValue(f"{scrub_url(text)!r} is no URL ({', '.join(SCHEMES)}), host name or IP address")
    if not text or any(character.isspace() or not character.isprintable() for character in text):
        raise wrong
    try:
        parts = urllib.parse.urlsplit(text)
        if parts.scheme in SCHEMES and (parts.hostname or (parts.scheme == "file" and parts.path)):
            return text
        if "://" not in text and HOST.fullmatch(text):
            return text
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        raise wrong from None
    return text


URL = Kind("URL", parse_address)
URLS = Kind("URL[,URL…]", lambda word: ",".join(parse_address(part) for part in parse_list(word)))
