"""YAML that others wrote, as plain data: what JSON can hold, nothing that grows when it is read."""

from __future__ import annotations

import datetime
import math
from typing import Any

import yaml

from liveagent.events import JSON

# What every reader of JSON takes; of thousands of digits even Python makes no text.
LARGEST = 2**63


class BadYAML(ValueError):
    """A text that is no YAML, or more than plain data; the message says where."""


class _Loader(yaml.SafeLoader):
    """No aliases (ten lines of them can stand for gigabytes), and no key twice: the second would hide the first."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "an alias, which is not taken", mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = [key for key, other in zip(sorted(map(str, keys)), sorted(map(str, keys))[1:]) if key == other]
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"{twice[0]} stands there twice", node.start_mark)
        return super().construct_mapping(node, deep)


def parse_yaml(text: str) -> JSON:
    """Plain data of a YAML text. Raises BadYAML."""
    try:
        return make_plain(yaml.load(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}: " if mark else ""
        raise BadYAML(f"{where}{error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise BadYAML(str(error).splitlines()[0]) from None
    except RecursionError:
        raise BadYAML("it is nested too deeply") from None
    except ValueError as error:  # a date or a number that is none
        raise BadYAML(str(error)) from None
    except Exception as error:  # of a tag that does not fit its value PyYAML raises whatever it runs into
        raise BadYAML(f"a value that is not what its tag says ({type(error).__name__})") from None


def make_plain(value: Any) -> JSON:
    """The value with nothing in it but what JSON can hold and every reader takes. Raises ValueError."""
    if isinstance(value, dict):
        for key in value:
            if isinstance(key, bool) or not isinstance(key, (str, int)):
                # `on`, `no` and `null` are no words to YAML.
                raise BadYAML(f"{key!r} is no name: put it into quotes")
            make_plain(key)
        return {str(key): make_plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [make_plain(item) for item in value]
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()
    if isinstance(value, int) and not -LARGEST <= value < LARGEST:
        raise BadYAML("a number of more than 64 bits: put it into quotes")
    if isinstance(value, str):
        value.encode("utf-8")  # half a letter ("\\ud800") can be kept nowhere
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    raise BadYAML(f"a {type(value).__name__}, which is no plain value")
