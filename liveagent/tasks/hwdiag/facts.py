"""What of a machine can be compared with that of another one or of an earlier day, and what each thing is called.

Here is the one table of it. What changes by itself is not in it: temperatures, hours, addresses, times, and what is
each machine's own (serials, names).
"""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Callable

from liveagent.events import JSON
from liveagent.report.lines import render_bytes, render_memory
from liveagent.tasks.hwdiag.condition import render_value
from liveagent.tasks.hwdiag.notes import Notes
from liveagent.tasks.hwdiag.parts import Item, describe, dig, is_unknown, list_parts
from liveagent.tasks.hwdiag.quantity import is_number


class How(enum.Enum):
    """How two values of a fact are compared, and so what can be said of them."""

    SAME = "same"
    VERSION = "version"  # the newer one can be told, mostly
    SPEED = "speed"  # less is slower
    AMOUNT = "amount"  # less is missing


@dataclasses.dataclass(frozen=True)
class Field:
    """One value, by its path below the part, and what people call it.

    `dated`: the path of its date, which stands with it: some makers never change the version. `unless`: of which parts
    it says nothing.
    """

    path: str
    name: str
    how: How = How.SAME
    dated: str = ""
    unless: Callable[[JSON], bool] | None = None

    def read(self, part: JSON) -> JSON:
        """The value, with its date where it has one; None where it is not known."""
        if self.unless and self.unless(part):
            return None
        value = dig(part, self.path)
        date = dig(part, self.dated) if self.dated else None
        return None if is_unknown(value) else value if is_unknown(date) else f"{value} ({date})"


@dataclasses.dataclass(frozen=True)
class Parts:
    """A list of parts, and the fields (`by`) that tell one kind from another, or one place from another.

    `counted`: how many there are of a kind is a fact as well.
    """

    path: str
    name: str
    by: tuple[str, ...]
    fields: tuple[Field, ...] = ()
    counted: bool = True


# Graphics processors and accelerators slow their links down at rest, and those of the bridges above them.
RESTING = ("03", "12", "0604")


def rests(part: JSON) -> bool:
    """Whether the speed of a PCI device's link says nothing of it."""
    return str(dig(part, "class_code") or "").startswith(RESTING)


PCI_LINK = (Field("link.speed", "GT/s", How.SPEED, unless=rests), Field("link.width", "lanes", How.SPEED))
SINGLE = (
    Field("system.bios_version", "BIOS", How.VERSION, dated="system.bios_date"),
    Field("system.boot_mode", "boot mode"),
    Field("system.secure_boot", "Secure Boot"),
    Field("system.tpm", "TPM"),
    Field("cpu.microcode", "microcode", How.VERSION),
    Field("cpu.smt", "SMT"),
    Field("cpu.turbo", "turbo"),
    Field("cpu.governor", "CPU governor"),
    Field("memory.ecc", "ECC"),
    Field("bmc.firmware", "BMC firmware", How.VERSION),
)
_LINK = (Field("link.speed", "link speed", How.SPEED), Field("link.lanes", "lanes", How.SPEED))
PORT_LINK = (
    Field("physical", "link"),
    Field("rate", "link speed", How.SPEED),
    Field("width", "lanes", How.SPEED),
)
# What stands in USB ports is none of this: keyboards come and go, and BMCs lend theirs.
LISTS = (
    Parts("cpu.packages", "CPU", ("id",), (Field("model", "model"), Field("cores", "cores", How.AMOUNT))),
    Parts("memory.dimms", "DIMM", ("id",), (Field("size", "size", How.AMOUNT), Field("configured", "MT/s", How.SPEED))),
    Parts("disks", "disk", ("kind", "size"), (Field("model", "model"), *_LINK)),
    Parts("disks", "disk", ("model",), (Field("firmware", "firmware", How.VERSION),), counted=False),
    Parts("nics", "NIC", ("driver",), (Field("firmware", "firmware", How.VERSION),)),
    Parts("nics", "NIC", ("bus",), (Field("speed_mbit", "Mbit/s", How.SPEED),), counted=False),
    Parts("infiniband", "InfiniBand port", ("model",), (Field("firmware", "firmware", How.VERSION),)),
    Parts("infiniband", "InfiniBand port", ("name",), PORT_LINK, counted=False),
    # Disks and NICs are counted above, and nobody orders the chips of a board.
    Parts("pci", "PCI device", ("id", "model"), PCI_LINK, counted=False),
    # How fast a GPU's link runs is not in it: at rest that says nothing, and its lanes are the bus's, above.
    Parts(
        "gpus",
        "GPU",
        ("model",),
        (Field("vbios", "VBIOS", How.VERSION), Field("memory", "memory", How.AMOUNT), Field("ecc.enabled", "ECC")),
    ),
    Parts("raid", "RAID controller", ("model",), (Field("firmware", "firmware", How.VERSION),)),
    Parts("power_supplies", "power supply", ("max_watts",)),
)


@dataclasses.dataclass(frozen=True)
class Key:
    """What a fact is about: a value at `path`; or of a list there so many parts of a kind, or a field of those."""

    path: str
    name: str  # BIOS, DIMM, disk
    kind: str = ""  # A1, nvme 3.84 TB
    field: str = ""  # what people call it
    is_count: bool = False


@dataclasses.dataclass(frozen=True)
class Fact:
    """One thing of one machine. `values`: one, or those of all parts of a kind, sorted; `part`: where to look."""

    key: Key
    how: How
    values: tuple[JSON, ...]
    part: str

    @property
    def text(self) -> str:
        name = self.key.field or self.key.name
        return ", ".join(dict.fromkeys(render(value, name) for value in self.values))

    @property
    def vote(self) -> str:
        """The values as something that can be counted."""
        return json.dumps(self.values, sort_keys=True, default=str)


def render(value: JSON, name: str) -> str:
    """A value as people say it, by what it is called."""
    if is_number(value) and name == "memory":
        return render_memory(value)
    if is_number(value) and name == "size":
        return render_size(int(value))
    if is_number(value) and name == "link speed":
        return f"{value / 10**9:g} G/s"
    return f"{render_value(value)} W" if name == "max_watts" else render_value(value)


def render_size(size: int) -> str:
    """Memory in whole GiB (small modules in MiB), drives as on their labels."""
    for unit, factor in (("TiB", 2**40), ("GiB", 2**30)):
        if size >= factor and size % factor == 0:
            return f"{size // factor} {unit}"
    is_small = 2**20 <= size < 2**30 and size % 2**20 == 0
    return f"{size // 2**20} MiB" if is_small else render_bytes(size)


class Facts:
    """The facts of one machine, by what they are about."""

    def __init__(self, document: Mapping[str, JSON]) -> None:
        self._document = document
        self._notes = Notes(document)
        self.by_key = {fact.key: fact for fact in (*self._single(), *self._listed())}

    def get(self, key: Key) -> Fact | None:
        """A fact; of parts that are not there, that there are none; None where it was not measured."""
        found = self.by_key.get(key)
        if found is None and key.is_count and self._notes.is_seen(key.path):
            return Fact(key, How.AMOUNT, (0,), f"{key.name} {key.kind}")
        return found

    def _single(self) -> Iterator[Fact]:
        for field in SINGLE:
            value = field.read(self._document)
            if value is not None:
                yield Fact(Key(field.path, field.name), field.how, (value,), field.name)

    def _listed(self) -> Iterator[Fact]:
        for parts in LISTS:
            kinds: dict[str, list[Item]] = {}
            if self._notes.is_seen(parts.path):
                for item in list_parts(parts.path, dig(self._document, parts.path)):
                    kinds.setdefault(make_kind(item, parts.by), []).append(item)
            for kind, items in kinds.items():
                if kind:
                    yield from _list_kind(parts, kind, items)


def _list_kind(parts: Parts, kind: str, items: Sequence[Item]) -> Iterator[Fact]:
    """How many there are of a kind, and what they are. A field that one of them does not tell is left out."""
    where = describe(items)
    if parts.counted:
        yield Fact(Key(parts.path, parts.name, kind, is_count=True), How.AMOUNT, (len(items),), where)
    for field in parts.fields:
        values = [field.read(item) for item in items]
        if None not in values:
            key = Key(parts.path, parts.name, kind, field.name)
            yield Fact(key, field.how, tuple(sorted(values, key=_order)), where)


def _order(value: JSON) -> tuple[bool, float, str]:
    """Numbers by size, and then all else."""
    is_number = isinstance(value, (int, float))
    return not is_number, value if is_number else 0, "" if is_number else repr(value)


def make_kind(item: Item, by: Sequence[str]) -> str:
    """What a part is, in words; "" where that is not known."""
    values = [dig(item, path) for path in by]
    if any(is_unknown(value) for value in values):
        return ""
    return " ".join(render(value, path.rpartition(".")[2]) for path, value in zip(by, values))
