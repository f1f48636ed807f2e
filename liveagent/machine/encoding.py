"""What was found, as JSON."""

from __future__ import annotations

import dataclasses
import enum

from liveagent.events import JSON


def encode(value: object) -> JSON:
    """JSON of a value made of dataclasses: enums by value, sets sorted. One with an `encode` of its own has the say."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, (tuple, list)):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {key: encode(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        own = getattr(value, "encode", None)
        return own() if own else encode_fields(value)
    return value


def encode_fields(value: object) -> dict[str, JSON]:
    """The fields of a dataclass, by name."""
    fields = dataclasses.fields(value)  # type: ignore[arg-type]
    return {field.name: encode(getattr(value, field.name)) for field in fields}
