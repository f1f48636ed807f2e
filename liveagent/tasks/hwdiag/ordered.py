"""An expectation made of a machine that is known to be good: what was ordered of it, and nothing of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from liveagent.events import JSON
from liveagent.report.lines import render_memory
from liveagent.scrub import make_printable
from liveagent.tasks.hwdiag.condition import make_literal
from liveagent.tasks.hwdiag.expectation import COUNT
from liveagent.tasks.hwdiag.facts import render_size
from liveagent.tasks.hwdiag.notes import Notes
from liveagent.tasks.hwdiag.parts import Item, dig, is_unknown, list_parts
from liveagent.tasks.hwdiag.quantity import is_number


@dataclasses.dataclass(frozen=True)
class Row:
    """A list of parts: the fields that make a kind, by path; and those of which any that was seen will do."""

    path: str
    kind: tuple[str, ...]
    choice: tuple[str, ...] = ()


# Only what is ordered, and stays as it is: no serial, no address, nothing that is counted or measured.
VALUES = (
    *("identity.vendor", "identity.product", "system.bios_version", "system.boot_mode", "memory.ecc"),
    "bmc.firmware",
)
ROWS = (
    Row("cpu.packages", ("model", "cores", "threads")),
    Row("memory.dimms", ("size", "type")),
    Row("disks", ("kind", "size"), ("model",)),
    Row("nics", ("speed_max_mbit",)),
    Row("infiniband", ("rate",), ("model",)),
    Row("gpus", ("model", "memory")),
    Row("raid", ("model",)),
    Row("power_supplies", ("max_watts",)),
)
# Fields that are bytes: a person writes them with a unit, and means them to a hundredth.
SIZES = ("size",)


def make_expectation(document: Mapping[str, JSON]) -> dict[str, JSON]:
    """The expectation of an inventory, as its document. What was not measured is left out. Pure."""
    made: dict[str, JSON] = {}
    for path in VALUES:
        value = dig(document, path)
        if not is_unknown(value):
            _put(made, path, _write(path, value))
    notes = Notes(document)
    for row in ROWS:
        parts = list_parts(row.path, dig(document, row.path)) if notes.is_seen(row.path) else []
        if parts:
            _put(made, row.path, make_rows(row, parts))
    return made


def make_rows(row: Row, parts: Sequence[Item]) -> list[JSON]:
    """So many of each kind. A field that one part of a kind does not tell is not asked of that kind."""
    kinds: dict[str, tuple[dict[str, JSON], list[Item]]] = {}
    for part in parts:
        fields = {path: _write(path, dig(part, path)) for path in row.kind if not is_unknown(dig(part, path))}
        kinds.setdefault(repr(fields), (fields, []))[1].append(part)
    made: list[JSON] = []
    for fields, several in kinds.values():
        choices = {path: [dig(part, path) for part in several] for path in row.choice}
        known = {path: found for path, found in choices.items() if not any(is_unknown(value) for value in found)}
        made.append(
            {COUNT: len(several), **fields, **{path: _write_choice(path, found) for path, found in known.items()}}
        )
    return made


def _write_choice(path: str, found: Sequence[JSON]) -> JSON:
    words = [_write(path, value) for value in found]
    different = [word for index, word in enumerate(words) if word not in words[:index]]
    return different[0] if len(different) == 1 else sorted(different, key=str)


def _write(path: str, value: JSON) -> JSON:
    """The condition that a value meets, as a person would write it."""
    if path.rpartition(".")[2] in SIZES and is_number(value):
        return render_size(int(value))
    if path == "rate" and is_number(value):
        return f"{value / 10**9:g} Gbit/s"
    if path == "memory" and is_number(value):
        return render_memory(value)
    if path.endswith("_mbit") and is_number(value):
        return f"{value / 1000:g} Gbit/s"
    return make_literal(value) if isinstance(value, str) else value


def _put(made: dict[str, JSON], path: str, value: JSON) -> None:
    *above, name = path.split(".")
    for part in above:
        made = made.setdefault(part, {})
    made[name] = value


def render_expectation(document: Mapping[str, JSON]) -> str:
    """The expectation of an inventory as YAML, to be looked through by a person."""
    import yaml

    product = " ".join(str(dig(document, f"identity.{name}") or "") for name in ("vendor", "product")).strip()
    head = (
        # What a firmware calls itself may end a line.
        f"# What is expected of {make_printable(product) or 'a machine'}, as one was on {document.get('taken')}.\n"
        "# Look it through, and leave out what may differ.\n"
    )
    body = yaml.safe_dump(
        make_expectation(document), sort_keys=False, allow_unicode=True, default_flow_style=None, width=120
    )
    return head + body
