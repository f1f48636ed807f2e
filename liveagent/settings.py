"""The agent's own keys (`liveagent.KEY=`, `[agent] KEY =`): one table for parsing, help and the manual."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

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
    option,
    parse_options,
)

# What counts in /etc/liveagent only.
POLICY_KEYS = ("destructive", "locked", "replace")


def parse_secret(word: str) -> str:
    """A secret of Standard Webhooks: `whsec_` and base64, or a passphrase."""
    from liveagent.report.webhook import make_key

    try:
        make_key(word)
    except ValueError as error:
        raise BadValue(str(error)) from None
    return word


THEN = ("stay", "reboot", "poweroff")
SECRET = Kind("secret", parse_secret)


def parse_key(word: str) -> str:
    """A private key's own text, or the absolute path of one."""
    from liveagent.signature import is_key_text

    if not is_key_text(word) and not word.strip().startswith("/"):
        raise BadValue("is neither a path that begins with / nor a private key")
    return word.strip()


KEY = Kind("path or private key", parse_key)


@dataclasses.dataclass(frozen=True)
class AgentSettings:
    """Sizes are bytes, times are seconds."""

    callback: tuple[str, ...] = option(URLS, (), "where results are POSTed; several URLs are fail-over")
    callback_secret: str = option(SECRET, "", "signs callbacks (Standard Webhooks)", secret=True)
    callback_token: str = option(TEXT, "", "bearer token of the callback", secret=True)
    callback_ca: str = option(TEXT, "", "file with the CA for the callback, the config URL and what tasks fetch")
    config: str = option(URL, "", "URL of a JSON document with more settings")
    config_wait: float = option(DURATION, 300.0, "how long the config URL is waited for")
    then: str = option(choice(*THEN), "stay", "what follows the last task")
    drain: float = option(DURATION, 600.0, "how long `then` waits for delivery")
    deadline: float = option(DURATION, 0.0, "limit of the whole plan; 0 is none")
    expect_serial: str = option(TEXT, "", "refuse everything on a machine with another serial")
    keep_going: bool = option(FLAG, False, "go on after a task that did not pass")
    countdown: float = option(DURATION, 30.0, "shown before a destructive boot task")
    spool_max: int = option(SIZE, 64 * 1024 * 1024, "size of a run's record beyond which volatile events go")
    consoles: tuple[str, ...] = option(LIST, (), "consoles to write to, instead of the kernel cmdline's")
    identify: bool = option(FLAG, False, "after a fail, light the chassis and the slots of the disks that failed")
    operator: str = option(TEXT, "", "who is responsible for the run")
    organisation: str = option(TEXT, "", "whose machine it is")
    site: str = option(TEXT, "", "where it stands")
    order: str = option(TEXT, "", "the order or ticket that the run belongs to")
    asset_tag: str = option(TEXT, "", "the machine's tag, where DMI has none")
    certificate_key: str = option(KEY, "", "signs certificates: an OpenSSH private key, or its path", secret=True)
    # Where that key was set, since a signature is worth what the way of its key is worth.
    certificate_key_origin: str = ""
    receivers: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    @property
    def callbacks(self) -> dict[str, tuple[str, ...]]:
        """Every receiver by name, each with its fail-over list."""
        first = {"callback": self.callback} if self.callback else {}
        return {**first, **{f"callback.{name}": urls for name, urls in self.receivers.items()}}

    @property
    def labels(self) -> dict[str, str]:
        """What the operator said about the machine and the job."""
        names = ("operator", "organisation", "site", "order", "asset_tag")
        return {name: getattr(self, name) for name in names if getattr(self, name)}


@dataclasses.dataclass(frozen=True)
class Policy:
    """What /etc/liveagent alone says: of destructive tasks (the strictest of several counts), of settings that nobody
    else may have, and of built-in tasks that a drop-in or package of that name stands in for.
    """

    destructive: str = "any"
    locked: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()


# It becomes part of the name of a file (the cursor of that receiver).
RECEIVER_NAME = re.compile(r"[a-z0-9][a-z0-9_]{0,63}")
DESTRUCTIVE = choice("any", "serial", "signed", "never")
STRICTEST_LAST = ("any", "serial", "signed", "never")


def parse_settings(agent: Mapping[str, Setting]) -> tuple[AgentSettings, tuple[Fault, ...]]:
    """The agent's keys into their typed form; `callback.NAME` adds receivers."""
    prefix = "callback."
    named = {name[len(prefix) :]: setting for name, setting in agent.items() if name.startswith(prefix)}
    plain = {name: setting for name, setting in agent.items() if not name.startswith(prefix)}
    parsed = parse_options(AgentSettings, plain, "liveagent.")
    receivers: dict[str, tuple[str, ...]] = {}
    faults = list(parsed.faults)
    for name, setting in named.items():
        if not RECEIVER_NAME.fullmatch(name):
            message = f"liveagent.{prefix}{name}: a receiver's name is letters, digits, - and _"
            faults.append(Fault("plan.option.unknown", setting.origin, message))
            continue
        one = parse_options(AgentSettings, {"callback": setting}, "liveagent.")
        faults += [dataclasses.replace(f, message=f.message.replace("callback", prefix + name, 1)) for f in one.faults]
        if one.options.callback:
            receivers[name] = one.options.callback
    key = plain.get("certificate_key")
    origin = key.origin if key and parsed.options.certificate_key else ""
    return dataclasses.replace(parsed.options, receivers=receivers, certificate_key_origin=origin), tuple(faults)
