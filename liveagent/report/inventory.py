"""An inventory for people: a section a part, as facts or as a table. Pure: the document is what was seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from liveagent.report.lines import render_bytes, render_memory
from liveagent.report.troubles import only_mapping, only_mappings

UNKNOWN = "-"
# What a table of a part shows, in this order; the document has all of it. A path leads into what is nested.
TABLES: Mapping[str, tuple[str, ...]] = {
    "cpu.packages": ("id", "model", "cores", "threads", "stepping", "microcode"),
    "cpu.caches": ("id", "size", "count"),
    "cpu.nodes": ("id", "threads", "memory", "cpus"),
    "cpu.board": ("id", "filled", "model", "cores", "cores_enabled", "serial"),
    "memory.dimms": ("slot", "size", "type", "speed", "configured", "rank", "manufacturer", "part", "serial"),
    "memory.controllers": ("id", "size", "corrected", "uncorrected"),
    "memory.errors": ("id", "corrected", "uncorrected"),
    "disks": ("path", "kind", "model", "serial", "size", "firmware", "slot", "contents"),
    "raid": ("id", "model", "firmware", "state"),
    "md": ("name", "level", "state", "members"),
    "nics": ("name", "id", "driver", "firmware", "speed_mbit", "speed_max_mbit", "addresses"),
    "bonds": ("id", "mode", "status", "legs", "active", "aggregator", "partner"),
    "infiniband": ("name", "transport", "model", "firmware", "state", "physical", "rate", "width", "generation"),
    "lldp": ("interface", "system", "port", "port_description", "vlan"),
    "pci": ("id", "class_name", "vendor", "model", "driver", "slot"),
    "usb": ("id", "vendor_id", "product_id", "vendor", "product", "serial", "kinds", "speed_mbit"),
    "gpus": ("id", "model", "serial", "memory", "vbios", "driver", "driver_version"),
    "kernel_log.complaints": ("code", "part", "count", "last"),
    "sensors": ("name", "value", "unit", "state"),
    "bmc.sensors": ("name", "value", "unit", "state"),
    "bmc.lans": ("channel", "address", "mac", "vlan"),
    "bmc.users": ("number", "name", "privilege", "enabled"),
    "power_supplies": ("location", "manufacturer", "part", "serial", "max_watts", "present"),
}
# What a person does not look for in a page, or finds elsewhere on it.
NOT_SHOWN = ("form", "taken", "agent", "missing", "took", "silent", "failed", "layers", "live")
BYTES = ("size", "capacity")
BINARY = ("memory.dimms", "memory.controllers", "cpu.caches")
MEMORY = ("total", "usable", "persistent", "maximum", "memory")


@dataclasses.dataclass(frozen=True)
class Section:
    """A part: a table of texts. Facts have no columns' names, and two cells a row."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def list_sections(document: Mapping[str, Any]) -> list[Section]:
    """The parts that were seen, and what was not, in the document's order."""
    sections = []
    for name, value in document.items():
        if name not in NOT_SHOWN:
            sections += _make_sections(name, value)
    missing = [
        (str(one.get("part")), str(one.get("why")), str(one.get("detail") or ""))
        for one in only_mappings(document.get("missing"))
    ]
    return [*sections, *([Section("not measured", ("part", "why", ""), tuple(missing))] if missing else [])]


def _make_sections(name: str, value: Any) -> list[Section]:
    title = name.replace("_", " ")
    if isinstance(value, Mapping):
        facts = tuple(
            (key.replace("_", " "), text)
            for key, item in value.items()
            if not _is_table(item) and (text := render_value(key, item)) != UNKNOWN
        )
        inner = [
            section
            for key, item in value.items()
            if _is_table(item)
            for section in _make_sections(f"{name}.{key}", item)
        ]
        return [*([Section(title, (), facts)] if facts else []), *inner]
    rows = only_mappings(value)
    if not rows:
        return []
    columns = _choose_columns(name, rows)
    # What is memory is counted in binary units, what is a disk in decimal ones.
    shown = [MEMORY[0] if column == "size" and name in BINARY else column for column in columns]
    table = tuple(
        tuple(render_value(kind, look_up(row, column)) for kind, column in zip(shown, columns)) for row in rows
    )
    return [Section(title, tuple(column.rpartition(".")[2].replace("_", " ") for column in columns), table)]


def _is_table(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(only_mappings(value))


def _choose_columns(name: str, rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Those of the table, else all that are plain; a column in which nobody says anything is left out."""
    wanted = TABLES.get(name) or tuple(key for key, value in rows[0].items() if not isinstance(value, (dict, list)))
    return tuple(
        column for column in wanted if any(render_value(column, look_up(row, column)) != UNKNOWN for row in rows)
    )


def look_up(row: Mapping[str, Any], path: str) -> Any:
    """What stands at a dotted path; None where nothing does."""
    value: Any = row
    for key in path.split("."):
        value = only_mapping(value).get(key)
    return value


def render_value(name: str, value: Any) -> str:
    """A value as a person reads it; what is not known is a dash, never nothing and never zero."""
    name = name.rpartition(".")[2]
    if value is None or value == "" or value == [] or value == {}:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return _render_number(name, value)
    if isinstance(value, (list, tuple)):
        texts = [
            str(item.get("kind") or item.get("name")) if isinstance(item, Mapping) else str(item) for item in value
        ]
        return ", ".join(dict.fromkeys(texts))
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {render_value(key, item)}" for key, item in value.items())
    return str(value)


def _render_number(name: str, value: float) -> str:
    if name in BYTES or name.endswith(("_size", "_bytes")):
        return render_bytes(value)
    if name in MEMORY or name.endswith("_memory"):
        return render_memory(value)
    if name == "rate":
        return f"{value / 10**9:g} Gbit/s"
    return f"{value:g}" if isinstance(value, float) else str(value)
