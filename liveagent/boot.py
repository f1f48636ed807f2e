"""What was asked for: kernel cmdline, environment, configuration files and the config URL become a Request."""

from __future__ import annotations

import configparser
import dataclasses
from collections.abc import Iterable, Mapping

from liveagent.cmdline import Cmdline, Word, parse_cmdline
from liveagent.document import Document
from liveagent.host import Host
from liveagent.options import Fault, Setting, make_name, parse_list, suggest
from liveagent.scrub import list_secrets, make_printable
from liveagent.settings import DESTRUCTIVE, POLICY_KEYS, STRICTEST_LAST, Policy
from liveagent.signature import is_key_text, make_key_text
from liveagent.tasks import BUILT_IN, REPLACEABLE

CMDLINE = "kernel cmdline"
ENVIRONMENT = "environment"
BY_HAND = "command line"
ETC = "/etc/liveagent"
SECRET_KEYS = ("callback_secret", "callback_token", "certificate_key", "foreman_token", "netbox_token")

Settings = dict[str, Setting]
# Settings by section: "agent" for the agent's own, else a task's name.
Sections = dict[str, Settings]


@dataclasses.dataclass(frozen=True)
class Request:
    """What was asked for, before anything is known about tasks.

    `word` is SPEEDISO; `sections` hold the settings that count, by name; `cut` says that the cmdline may have
    been cut by the kernel; `signed` that the config document bore a good signature.
    """

    word: Setting | None
    sections: Mapping[str, Mapping[str, Setting]]
    policy: Policy = Policy()
    faults: tuple[Fault, ...] = ()
    notices: tuple[str, ...] = ()
    cut: bool = False
    signed: bool = False

    @property
    def agent(self) -> Mapping[str, Setting]:
        return self.sections.get("agent", {})

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not leave: secret keys, and what opens something in the URLs of the config and the receivers."""
        found = [
            setting.value for name, setting in self.agent.items() if name in SECRET_KEYS and name != "certificate_key"
        ]
        for name, setting in self.agent.items():
            if name == "certificate_key":
                found += list_key_secrets(setting.value)
            elif name == "config":
                found += list_secrets(setting.value)
            elif name == "callback" or name.startswith("callback."):
                found += [secret for url in parse_list(setting.value) for secret in list_secrets(url)]
        return tuple(dict.fromkeys(secret for secret in found if secret))


@dataclasses.dataclass(frozen=True)
class Source:
    """One place where settings come from, and what was wrong there."""

    sections: Sections
    faults: tuple[Fault, ...] = ()
    word: Setting | None = None
    notices: tuple[str, ...] = ()


def read_sources(host: Host, config: str = "") -> tuple[Source, Source, Policy, Cmdline]:
    """(kernel cmdline, files, policy, the cmdline itself). `config` stands in for the files of /etc/liveagent."""
    line = parse_cmdline(host.read_bytes("/proc/cmdline") if host.exists("/proc/cmdline") else b"")
    etc = read_files(host, "")
    if not config:
        policy, faults = read_policy([etc])
        files = dataclasses.replace(_without_policy(etc), faults=(*etc.faults, *faults))
        return parse_words(line), files, policy, line
    given = read_files(host, config)
    policy, faults = read_policy([given, etc])
    # What /etc locks holds against the file that stands in for it, too; and an /etc that cannot be read may
    # have forbidden everything.
    sections, locked_faults = apply_locks(given.sections, read_policy([etc])[0].locked, etc, (given,))
    elsewhere = given.sections.get("agent", {}).get("replace")
    if elsewhere:
        message = "[agent] replace counts in /etc/liveagent only, and cannot be set here"
        locked_faults = (*locked_faults, Fault("plan.option.locked", elsewhere.origin, message))
    files = Source(sections, (*given.faults, *etc.faults, *faults, *locked_faults))
    return parse_words(line), _without_policy(files), policy, line


def make_request(
    environment: Mapping[str, str],
    words: Source,
    files: Source,
    policy: Policy,
    line: Cmdline,
    document: Document | None = None,
    by_hand: Sections | None = None,
) -> Request:
    """The strongest of every setting: command line, kernel cmdline, config URL, files."""
    remote = parse_document(document) if document else Source({})
    hand = Source(by_hand or {})
    sections = merge([files.sections, remote.sections, words.sections, hand.sections])
    # `files` has no policy keys any more, so that anybody else's are a fault.
    locked = (*POLICY_KEYS, *policy.locked)
    sections, locked_faults = apply_locks(sections, locked, files, (hand, words, remote))
    word, word_faults = choose_word(environment, words, remote, document)
    faults = [fault for source in (words, remote, files, hand) for fault in source.faults]
    return Request(
        word=word,
        sections=sections,
        policy=policy,
        faults=(*faults, *word_faults, *locked_faults),
        notices=tuple(notice for source in (words, remote, files) for notice in source.notices),
        cut=line.may_be_cut,
        signed=bool(document and document.signed_by),
    )


def merge(weakest_first: Iterable[Mapping[str, Mapping[str, Setting]]]) -> Sections:
    """One set of sections, the later ones stronger. An empty value hides the weaker ones and is kept as empty."""
    merged: Sections = {}
    for sections in weakest_first:
        for section, settings in sections.items():
            merged.setdefault(section, {}).update(settings)
    return merged


def choose_word(
    environment: Mapping[str, str], words: Source, remote: Source, document: Document | None
) -> tuple[Setting | None, tuple[Fault, ...]]:
    """SPEEDISO: environment, then the cmdline, then the config URL. An empty value is no word, and hides the rest."""
    if "SPEEDISO" in environment:
        value = make_printable(environment["SPEEDISO"].strip())
        return (Setting(value, ENVIRONMENT) if value else None), ()
    if words.word is not None:
        return (words.word if words.word.value.strip() else None), ()
    if remote.word is None or not remote.word.value.strip():
        return None, ()
    if document and not (document.verified or document.signed_by):
        message = "speediso is taken over verified HTTPS or from a signed document, never over plain HTTP"
        return None, (Fault("plan.config.unverified", remote.word.origin, message),)
    return remote.word, ()


def list_key_secrets(key: str) -> tuple[str, ...]:
    """A private key as a whole and its lines; where it lies is no secret, and has to be said."""
    if not is_key_text(key):
        return ()
    lines = (line.strip() for line in key.splitlines())
    return (key, make_key_text(key), *(line for line in lines if line and not line.startswith("-----")))


# -- the kernel cmdline -----------------------------------------------------------------------------


def parse_words(line: Cmdline) -> Source:
    """`SPEEDISO=`, `systemd.setenv=SPEEDISO=`, `liveagent.KEY=` and `liveagent.TASK.OPTION=` of a cmdline."""
    sections: Sections = {}
    faults: list[Fault] = []
    bare: Setting | None = None
    setenv: Setting | None = None
    if line.unterminated:
        message = f'a " that opens in {line.unterminated!r} is never closed'
        faults.append(Fault("plan.cmdline.quote", CMDLINE, message))
    for word in line.words:
        value = word.value or ""
        if word.name == "SPEEDISO" and word.value is not None:
            bare = Setting(make_printable(value), CMDLINE)
        elif word.name == "systemd.setenv" and value.startswith("SPEEDISO="):
            setenv = Setting(make_printable(value[len("SPEEDISO=") :]), f"{CMDLINE}, systemd.setenv")
        elif word.name.startswith("liveagent."):
            faults += _add_word(sections, word)
        else:
            continue
        if not word.is_utf8:
            faults.append(Fault("plan.cmdline.bytes", CMDLINE, f"{word.name} holds bytes that are not UTF-8"))
    secret = [name for name in sections.get("agent", {}) if name in SECRET_KEYS]
    notices = tuple(
        f"liveagent.{name} stands on the kernel cmdline, where every user of this machine can read it"
        for name in secret
    )
    return Source(sections, tuple(faults), setenv or bare, notices)


def _add_word(sections: Sections, word: Word) -> list[Fault]:
    section, name = _split_name(word.name[len("liveagent.") :])
    if not name:
        return [Fault("plan.cmdline.name", CMDLINE, f"{word.name!r} names no option")]
    # A bare word is a flag that is on, as in the kernel.
    value = "1" if word.value is None else word.value
    settings = sections.setdefault(section, {})
    if name in settings and settings[name].value != value:
        return [_twice(CMDLINE, word.name)]
    settings[name] = Setting(value, CMDLINE)
    return []


def _split_name(dotted: str) -> tuple[str, str]:
    """(section, name) of what follows `liveagent.`; `callback.NAME` is the agent's own."""
    first, dot, rest = dotted.partition(".")
    if not dot or make_name(first) == "callback":
        return "agent", make_name(dotted)
    return first, make_name(rest)


def _twice(origin: str, name: str) -> Fault:
    return Fault("plan.option.twice", origin, f"{name} is given twice, with different values; say it once")


# -- files ------------------------------------------------------------------------------------------


def read_files(host: Host, config: str) -> Source:
    """liveagent.conf and conf.d/*.conf, the last one strongest; or the one file that stands in for them."""
    if config:
        return read_file(config, host.read_config(config))
    # Listed, not looked for: a link to nowhere was named, and cannot be had.
    paths = [f"{ETC}/{name}" for name in host.list(ETC) if name == "liveagent.conf"]
    paths += [f"{ETC}/conf.d/{name}" for name in host.list(f"{ETC}/conf.d") if name.endswith(".conf")]
    sources = [read_file(path, _read(host, path)) for path in paths]
    sections = merge(source.sections for source in sources)
    return Source(sections, tuple(fault for source in sources for fault in source.faults))


def _read(host: Host, path: str) -> bytes | OSError:
    try:
        return host.read_bytes(path)
    except OSError as error:
        return error


def read_file(path: str, content: bytes | OSError) -> Source:
    """One INI file; values are taken as they stand."""
    if isinstance(content, OSError):
        return Source({}, (Fault("plan.file.unreadable", path, f"cannot be read: {content.strerror}"),))
    parser = configparser.ConfigParser(interpolation=None, strict=True, default_section="")
    parser.optionxform = make_name  # type: ignore[method-assign,assignment]
    try:
        parser.read_string(content.decode("utf-8-sig"), source=path)
    except configparser.DuplicateOptionError as error:
        return Source({}, (_twice(f"{path}, line {error.lineno}", f"[{error.section}] {error.option}"),))
    except (configparser.Error, UnicodeDecodeError) as error:
        return Source({}, (Fault("plan.file.syntax", path, f"is not an INI file in UTF-8: {_describe(error)}"),))
    sections = {
        section: {name: Setting(value.strip(), path) for name, value in parser.items(section)}
        for section in parser.sections()
    }
    return Source(sections)


def _describe(error: configparser.Error | UnicodeDecodeError) -> str:
    """What is wrong with a file, without the line itself: there may be a secret on it."""
    if isinstance(error, configparser.DuplicateSectionError):
        return f"line {error.lineno}: [{error.section}] stands there twice"
    if isinstance(error, configparser.MissingSectionHeaderError):
        return f"line {error.lineno}: stands before the first [section]"
    if isinstance(error, configparser.ParsingError):
        return f"line {', '.join(str(number) for number, _ in error.errors)}: neither [section] nor KEY = VALUE"
    return " ".join(str(error).split())


def _without_policy(source: Source) -> Source:
    """Without what is not a setting but an order about settings."""
    agent = {name: value for name, value in source.sections.get("agent", {}).items() if name not in POLICY_KEYS}
    return dataclasses.replace(source, sections={**source.sections, "agent": agent})


def read_policy(sources: Iterable[Source]) -> tuple[Policy, tuple[Fault, ...]]:
    """`destructive`, `locked` and `replace` of the files; where several speak, the strictest counts."""
    strictest = "any"
    locked: list[str] = []
    replaced: list[str] = []
    faults: list[Fault] = []
    for source in sources:
        agent = source.sections.get("agent", {})
        setting = agent.get("destructive")
        if setting is not None:
            try:
                strictest = max(strictest, DESTRUCTIVE.parse(setting.value), key=STRICTEST_LAST.index)
            except ValueError as error:
                # An order that cannot be read is not taken for permission.
                strictest = "never"
                faults.append(Fault("plan.option.value", setting.origin, f"[agent] destructive: {error}"))
        if "locked" in agent:
            locked += parse_list(agent["locked"].value)
        if "replace" in agent:
            names = parse_list(agent["replace"].value)
            replaced += [name for name in names if name in REPLACEABLE]
            faults += [_not_replaced(name, agent["replace"].origin) for name in names if name not in REPLACEABLE]
    return Policy(strictest, tuple(dict.fromkeys(locked)), tuple(dict.fromkeys(replaced))), tuple(faults)


def _not_replaced(name: str, origin: str) -> Fault:
    why = "is never replaced" if name in BUILT_IN else f"is no built-in task{suggest(name, REPLACEABLE)}"
    return Fault("plan.option.value", origin, f"[agent] replace: {name} {why}")


def apply_locks(
    sections: Sections, locked: Iterable[str], owner: Source, others: Iterable[Source]
) -> tuple[Sections, tuple[Fault, ...]]:
    """The sections with each locked setting as its owner has it, and a fault for each other source that differs."""
    sections = merge([sections])
    faults: list[Fault] = []
    for section, name in sorted({_split_name(key) for key in locked}):
        own = owner.sections.get(section, {}).get(name)
        sections.get(section, {}).pop(name, None)
        if own is not None:
            sections.setdefault(section, {})[name] = own
        for other in others:
            setting = other.sections.get(section, {}).get(name)
            if setting is not None and (own is None or setting.value != own.value):
                shown = name if section == "agent" else f"{section}.{name}"
                message = f"{shown} counts in {ETC} only, and cannot be set here"
                faults.append(Fault("plan.option.locked", setting.origin, message))
    return sections, tuple(faults)


# -- the config document ----------------------------------------------------------------------------


def parse_document(document: Document) -> Source:
    """The settings of `{"speediso": …, "agent": {…}, "TASK": {…}}`."""
    sections: Sections = {}
    word: Setting | None = None
    faults: list[Fault] = []
    for key, value in document.content.items():
        if key == "speediso":
            text = _make_text(value)
            word = Setting(make_printable(text or ""), document.origin)
            if text is None:
                faults.append(Fault("plan.config.value", document.origin, "speediso is neither text nor a list"))
        elif not isinstance(value, dict):
            faults.append(Fault("plan.config.value", document.origin, f"{key!r} is not an object of options"))
        else:
            for name, item in value.items():
                text = _make_text(item)
                known = sections.setdefault(key, {})
                if text is None:
                    message = f"{key}.{name} is neither text, number, yes/no nor a list of those"
                    faults.append(Fault("plan.config.value", document.origin, message))
                elif known.setdefault(make_name(name), Setting(text, document.origin)).value != text:
                    faults.append(_twice(document.origin, f"{key}.{name}"))
    return Source(sections, tuple(faults), word)


def _make_text(value: object) -> str | None:
    """A JSON value as the word that one would have typed; None where there is no such word."""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, (str, int, float)):
        return str(value)
    if value is None:
        return ""
    if isinstance(value, list):
        parts = [_make_text(item) for item in value]
        if all(part is not None and "," not in part for part in parts):
            return ",".join(part for part in parts if part is not None)
    return None
