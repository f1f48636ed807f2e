"""The options of `hwdiag`."""

from __future__ import annotations

import dataclasses

from liveagent.options import Kind, choice, is_url, option, parse_url


def parse_source(word: str) -> str:
    """A URL (http, https), or a path as a person types it. Raises BadValue."""
    return parse_url(word) if is_url(word) else word


DOCUMENT = Kind("URL|FILE", parse_source, names_path=True)


@dataclasses.dataclass(frozen=True)
class HwdiagOptions:
    expect: str = option(
        DOCUMENT, "", "what was ordered, as YAML or JSON; `liveagent inventory --as-expectation` makes one"
    )
    compare: str = option(
        Kind("URL|DIR", parse_source, names_path=True),
        "",
        "inventories of like machines, and of this one from before, to find what differs",
    )
    policy: str = option(DOCUMENT, "", "thresholds and verdicts of your own, for all machines or for a model")
    selftest: str = option(choice("none", "short", "long"), "none", "have each disk test itself, and wait for it")
