"""The JSON Schema of the inventory, made from its dataclasses: their fields are its words, their docstrings say what
those mean.

Annotations are read as they are written: on Python 3.9 `int | None` is no expression.
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import inspect
import sys
from collections.abc import Mapping
from typing import Any

from liveagent import __version__
from liveagent.events import JSON
from liveagent.machine.inventory import FORM, Inventory

DIALECT = "https://json-schema.org/draft/2020-12/schema"
PLAIN: Mapping[str, JSON] = {
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "str": {"type": "string"},
    "bool": {"type": "boolean"},
    "None": {"type": "null"},
    "JSON": {},
    "object": {},
    "Any": {},
}
# What an `encode` says beside the fields.
ADDED: Mapping[str, tuple[str, ...]] = {"Disk": ("kind",)}
LISTS = ("tuple", "list", "Sequence")
SETS = ("frozenset", "set")
MAPPINGS = ("Mapping", "dict")


def make_schema() -> dict[str, JSON]:
    """The schema of `liveagent inventory --json`, and of `inventory` in the data of a diagnosis."""
    definitions: dict[str, JSON] = {}
    _define(Inventory, definitions)
    body = definitions.pop(Inventory.__name__)
    return {
        "$schema": DIALECT,
        "title": "Inventory of a server",
        "$comment": f"of liveagent {__version__}",
        **body,
        "properties": {"form": {"const": FORM}, "agent": {"type": "string"}, **body["properties"]},
        "required": ["form", "agent", *body["required"]],
        "additionalProperties": False,
        "$defs": dict(sorted(definitions.items())),
    }


def _define(kind: type, definitions: dict[str, JSON]) -> dict[str, JSON]:
    """A reference to the definition of a dataclass, which is made where it is met first."""
    name = kind.__name__
    if name not in definitions:
        definitions[name] = {}  # whatever refers to itself finds the name
        module = vars(sys.modules[kind.__module__])
        properties = {
            field.name: _describe(ast.parse(str(field.type), mode="eval").body, module, definitions)
            for field in dataclasses.fields(kind)
        }
        properties.update(dict.fromkeys(ADDED.get(name, ()), PLAIN["str"]))
        # What has an `encode` of its own may say more than its fields, and leaves none out.
        has_more = "encode" in vars(kind)
        definitions[name] = {
            "type": "object",
            "description": inspect.cleandoc(kind.__doc__ or ""),
            "properties": properties,
            "required": list(properties),
            **({} if has_more else {"additionalProperties": False}),
        }
    return {"$ref": f"#/$defs/{name}"}


def _describe(node: ast.expr, module: Mapping[str, Any], definitions: dict[str, JSON]) -> JSON:
    """The schema of one annotation."""
    if isinstance(node, ast.BinOp):
        return {"anyOf": [_describe(side, module, definitions) for side in (node.left, node.right)]}
    if isinstance(node, ast.Constant):
        return PLAIN[str(node.value)]
    if isinstance(node, ast.Subscript):
        return _describe_container(ast.unparse(node.value), node.slice, module, definitions)
    name = ast.unparse(node)
    if name in PLAIN:
        return PLAIN[name]
    kind = module[name]
    if issubclass(kind, enum.Enum):
        return {"enum": [member.value for member in kind]}
    return _define(kind, definitions)


def _describe_container(
    name: str, inner: ast.expr, module: Mapping[str, Any], definitions: dict[str, JSON]
) -> dict[str, JSON]:
    parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    kinds = [_describe(part, module, definitions) for part in parts if ast.unparse(part) != "..."]
    if name in MAPPINGS:
        return {"type": "object", "additionalProperties": kinds[1]}
    if name in SETS or (name in LISTS and (name != "tuple" or len(kinds) < len(parts))):
        return {"type": "array", "items": kinds[0]}
    if name == "tuple":
        return {"type": "array", "prefixItems": kinds, "minItems": len(kinds), "maxItems": len(kinds)}
    raise TypeError(f"{name}[…] has no form in JSON")
