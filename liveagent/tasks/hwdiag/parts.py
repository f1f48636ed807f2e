"""The lists of parts in an inventory: what in them is the server's own, and what a person calls each item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Callable

from liveagent.events import JSON

Item = Mapping[str, JSON]

# What is listed and still no part that somebody could order, by the path of its list: files and what is lent by the
# network, the stick that was booted from, a BMC's virtual drives, slots with nothing in them.
NOT_PARTS: Mapping[str, Callable[[Item], bool]] = {
    "disks": lambda item: bool(
        item.get("live_medium") or item.get("virtual_media") or item.get("kind") in ("loop", "iscsi", "nbd", "rbd")
    ),
    # An empty slot.
    "memory.dimms": lambda item: not item.get("size"),
    # What many boards have in their table, and nobody ever filled in.
    "power_supplies": lambda item: item.get("present") is False or item.get("is_described") is False,
    # Bonds and bridges, VLANs, tunnels: nothing of hardware is behind them. What is made of an InfiniBand port, by its
    # address of twenty octets, is that port.
    "nics": lambda item: not item.get("bus") or str(item.get("mac")).count(":") == 19,
    # Ports for RoCE and iWARP are network interfaces.
    "infiniband": lambda item: item.get("transport") != "InfiniBand",
    "usb": lambda item: bool(item.get("is_hub")),
}
# What a part is called, the first that it has; the serial stands beside it.
NAMES = ("name", "slot", "locator", "address", "label", "id", "model", "product")


def list_parts(path: str, value: JSON) -> list[Item]:
    """The server's own parts in a list of the inventory."""
    is_no_part = NOT_PARTS.get(path)
    items = [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
    return [item for item in items if not (is_no_part and is_no_part(item))]


def make_name(item: Item) -> str:
    """The one word of a part that notes and paths know it by; "" where it has none."""
    return next((str(item[name]) for name in NAMES if item.get(name)), "")


def make_label(item: Item) -> str:
    """What a technician finds a part by: its name, its serial, and the slot where that is not its name."""
    slot = item.get("slot")
    words = [make_name(item), item.get("serial"), f"slot {slot}" if slot and slot != make_name(item) else ""]
    return " ".join(str(word) for word in words if word)


def describe(items: Sequence[Item]) -> str:
    """Several parts by their labels, in a line."""
    labels = [make_label(item) or "one without a name" for item in items]
    return ", ".join(labels[:4]) + (f" and {len(labels) - 4} more" if len(labels) > 4 else "")


def dig(value: JSON, path: str) -> JSON:
    """The value at a path of names; None where there is none."""
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def is_unknown(value: JSON) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())
