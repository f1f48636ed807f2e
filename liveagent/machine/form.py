"""The form of the inventory: which paths there are, and what may stand at each, as its schema says."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from liveagent.events import JSON


@dataclasses.dataclass(frozen=True)
class Form:
    """One place of a document with a JSON Schema: `node` is its schema, `definitions` those that it refers to."""

    node: Mapping[str, JSON]
    definitions: Mapping[str, JSON]

    @property
    def kinds(self) -> frozenset[str]:
        """Of `integer`, `number`, `string`, `boolean`, `object`, `array`: what may stand here beside null.

        Empty where anything may.
        """
        return frozenset(kind for node in self._nodes() for kind in _list_kinds(node))

    @property
    def words(self) -> tuple[str, ...]:
        """The words that may stand here; empty where any may."""
        nodes = list(self._nodes())
        return tuple(word for node in nodes for word in node["enum"]) if all("enum" in node for node in nodes) else ()

    @property
    def fields(self) -> tuple[str, ...]:
        """The names below this place, in order; empty where it has none of its own (a mapping, a list, a value)."""
        return tuple(name for node in self._nodes() for name in node.get("properties", ()))

    def field(self, name: str) -> Form | None:
        """The place of that name; None where there is none."""
        for node in self._nodes():
            if name in node.get("properties", {}):
                return Form(node["properties"][name], self.definitions)
            if isinstance(node.get("additionalProperties"), Mapping):
                return Form(node["additionalProperties"], self.definitions)
        return None

    @property
    def items(self) -> Form | None:
        """What the items of a list are; None where this is no list of like things."""
        for node in self._nodes():
            if "items" in node:
                return Form(node["items"], self.definitions)
        return None

    def _nodes(self) -> Iterator[Mapping[str, Any]]:
        """What may stand here, one schema a kind, null left out."""
        waiting: list[Mapping[str, Any]] = [self.node]
        while waiting:
            node = waiting.pop(0)
            if "$ref" in node:
                waiting.insert(0, self.definitions[node["$ref"].rpartition("/")[2]])
            elif "anyOf" in node:
                waiting[:0] = node["anyOf"]
            elif node.get("type") != "null":
                yield node


def _list_kinds(node: Mapping[str, Any]) -> Iterator[str]:
    if "enum" in node:
        yield "string"
    elif "type" in node:
        yield node["type"]


def make_form(schema: Mapping[str, JSON]) -> Form:
    """The form of a whole document, of its schema."""
    return Form(schema, schema.get("$defs", {}))
