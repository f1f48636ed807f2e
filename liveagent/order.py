"""What a person orders: tasks and settings as typed, which this process or the daemon makes a request of."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Callable

from liveagent.boot import BY_HAND, Request, Sections, make_request, read_sources
from liveagent.bootnote import KeptDocument
from liveagent.cmdline import Cmdline
from liveagent.document import UNAVAILABLE, Document, NoDocument, fetch_document
from liveagent.host import Host
from liveagent.options import Setting
from liveagent.settings import AgentSettings, parse_settings

# A document of settings is a few hundred bytes; a list of serials a few thousand.
LIMIT = 1024 * 1024
# Seconds that a config URL has which was read before in this boot.
AGAIN = 5.0


class BadOrder(Exception):
    """What was handed in is no order; the message says why."""


def take_request(
    host: Host,
    config: str,
    environment: Mapping[str, str],
    say: Callable[[str], None],
    kept: KeptDocument,
    by_hand: Sections | None = None,
) -> tuple[Request, Cmdline]:
    """Everything that was asked for, the config URL fetched. What cannot be had is a fault of the request."""
    words, files, policy, line = read_sources(host, config)
    request = make_request(environment, words, files, policy, line, by_hand=by_hand)
    settings, faults = parse_settings(request.agent)
    if not settings.config or faults:
        return request, line
    try:
        document = have_document(host, settings, say, kept)
    except NoDocument as error:
        return dataclasses.replace(request, faults=(*request.faults, error.fault)), line
    return make_request(environment, words, files, policy, line, document, by_hand), line


def have_document(host: Host, settings: AgentSettings, say: Callable[[str], None], kept: KeptDocument) -> Document:
    """What the config URL says now, or said earlier in this boot where it does not answer any more. Raises NoDocument.

    Its token is good for one look, and that was the boot's.
    """
    earlier = kept.read(settings.config)
    wait = min(settings.config_wait, AGAIN) if earlier else settings.config_wait
    try:
        document = fetch_document(host, settings.config, wait, settings.callback_ca, say)
    except NoDocument as error:
        if earlier is None or error.fault.code != UNAVAILABLE:
            raise
        say(f"{error.fault}; what it said earlier in this boot counts")
        return earlier
    kept.write(settings.config, document)
    return document


@dataclasses.dataclass(frozen=True)
class Order:
    """`tasks` as after `liveagent run`, or `as_booted`; `settings` by section (`agent`, a task) and name."""

    tasks: str
    as_booted: bool = False
    settings: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)

    def encode(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    def request(
        self,
        host: Host,
        config: str,
        environment: Mapping[str, str],
        say: Callable[[str], None],
        kept: KeptDocument,
    ) -> Request:
        """What is asked for, over what the boot, the config URL and the files say. `environment` is the boot's."""
        by_hand: Sections = {
            section: {name: Setting(value, BY_HAND) for name, value in names.items()}
            for section, names in self.settings.items()
        }
        if self.as_booted:
            return take_request(host, config, environment, say, kept, by_hand)[0]
        request, _ = take_request(host, config, {"SPEEDISO": self.tasks}, say, kept, by_hand)
        return dataclasses.replace(request, word=Setting(self.tasks, BY_HAND))


def decode_order(text: str) -> Order:
    """What `Order.encode` made. Raises BadOrder."""
    if len(text) > LIMIT:
        raise BadOrder(f"an order of {len(text)} characters is none; {LIMIT} is the most")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadOrder(f"an order is JSON, and this is not: {error}") from None
    if not isinstance(document, dict):
        raise BadOrder("an order is a JSON object")
    unknown = sorted(set(document) - {"tasks", "as_booted", "settings"})
    if unknown:
        raise BadOrder(f"an order has tasks, as_booted and settings; not {', '.join(unknown)}")
    tasks, as_booted, settings = (
        document.get("tasks", ""),
        document.get("as_booted", False),
        document.get("settings", {}),
    )
    is_good = isinstance(tasks, str) and isinstance(as_booted, bool) and isinstance(settings, dict)
    if not is_good or not all(
        isinstance(names, dict) and all(isinstance(value, str) for value in names.values())
        for names in settings.values()
    ):
        raise BadOrder("an order has tasks (text), as_booted (true or false), settings (texts by name, by section)")
    empty = [f"{section}.{name}" for section, names in settings.items() for name, value in names.items() if not value]
    if empty:
        raise BadOrder(f"{', '.join(empty)}: empty; say what it is, or leave it out")
    if bool(tasks) == as_booted:
        raise BadOrder("an order names the tasks to run, or says as_booted")
    return Order(tasks, as_booted, settings)
