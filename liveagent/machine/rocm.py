"""What rocm-smi tells of AMD's GPUs: names and serials that the kernel does not have, and the driver's version."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from liveagent.machine.amdgpu import normalize_unique_id
from liveagent.machine.gpu import (
    COLDEST,
    HOTTEST,
    LARGEST,
    WATTS,
    Gpu,
    GpuPower,
    GpuTemperatures,
    drop_empty,
    first_known,
    normalize_address,
)
from liveagent.machine.pci import WIDTHS, Link

NOTHING = ("n/a", "none", "unknown", "not supported")
# Where its database has no name it prints an id: the maker's, of all things.
NO_NAME = re.compile(r"0x[0-9a-f]+", re.IGNORECASE)


class BadRocmSmi(ValueError):
    """What rocm-smi printed is not its JSON."""


def parse_rocm_smi(text: str) -> tuple[Gpu, ...]:
    """The GPUs of `rocm-smi -a --json`, by number. Raises BadRocmSmi.

    Warnings before the document are passed over. ROCm 6.1 writes some names otherwise than 4.3 and 6.0 (`Card Series`).
    """
    start = text.find("{")
    try:
        document, _ = json.JSONDecoder().raw_decode(text, max(start, 0))
    except (ValueError, RecursionError) as error:
        raise BadRocmSmi(f"no JSON: {type(error).__name__}: {error}") from None
    if not isinstance(document, dict) or not any(re.fullmatch(r"card\d+", str(name)) for name in document):
        raise BadRocmSmi("no card in what it printed")
    system = document.get("system")
    version = _Card(system).text("Driver version") if isinstance(system, dict) else ""
    cards = [
        (int(name[4:]), card)
        for name, card in document.items()
        if re.fullmatch(r"card\d{1,4}", name, re.ASCII) and isinstance(card, dict)
    ]
    made = (_make_gpu(_Card(card), version) for _, card in sorted(cards, key=lambda one: one[0]))
    return tuple(gpu for gpu in made if gpu)


class _Card:
    """The values of a card, by name whatever its capitals."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = {str(name).casefold(): value for name, value in values.items()}

    def text(self, *names: str) -> str:
        for name in names:
            value = self._values.get(name.casefold())
            word = str(value).strip() if isinstance(value, (str, int, float)) and not isinstance(value, bool) else ""
            if word and word.lower() not in NOTHING:
                return word
        return ""

    def number(self, *names: str) -> float | None:
        text = self.text(*names)
        return float(text) if re.fullmatch(r"-?\d{1,19}(\.\d{1,9})?", text, re.ASCII) else None

    def count(self, *names: str, most: float = 2**63) -> int | None:
        value = self.number(*names)
        return int(value) if value is not None and 0 <= value <= most else None

    def celsius(self, sensor: str) -> int | None:
        value = self.number(f"Temperature (Sensor {sensor}) (C)")
        return round(value) if value is not None and COLDEST <= value <= HOTTEST else None

    def watts(self, *names: str) -> float | None:
        value = self.number(*names)
        return value if value is not None and 0 <= value <= WATTS else None


def _make_gpu(card: _Card, driver_version: str) -> Gpu | None:
    address = normalize_address(card.text("PCI Bus"))
    if not address:
        return None
    names = [card.text(name) for name in ("Card series", "Device Name")]
    total = card.count("VRAM Total Memory (B)", most=LARGEST)
    return Gpu(
        id=address,
        vendor="AMD",
        model=next((name for name in names if name and not NO_NAME.fullmatch(name)), ""),
        driver_version=driver_version,
        serial=card.text("Serial Number"),
        uuid=normalize_unique_id(card.text("Unique ID")),
        part=card.text("Card SKU"),
        vbios=card.text("VBIOS version"),
        memory=total or None,
        memory_used=card.count("VRAM Total Used Memory (B)", most=LARGEST),
        temperature=drop_empty(
            GpuTemperatures(
                now=card.celsius("edge"),
                hotspot=card.celsius("junction"),
                # Of several stacks the first that is there.
                memory=first_known(card.celsius("memory"), card.celsius("HBM 0")),
            )
        ),
        power=drop_empty(
            GpuPower(
                draw=card.watts(
                    "Average Graphics Package Power (W)", "Current Socket Graphics Package Power (W)"
                ),
                limit=card.watts("Max Graphics Package Power (W)"),
            )
        ),
        link=_make_link(card.text("pcie clock level")),
        replays=card.count("PCIe Replay Count"),
        fan=card.count("Fan speed (%)", most=1000),
        busy=card.count("GPU use (%)", most=100),
    )  # fmt: skip


def _make_link(text: str) -> Link | None:
    """`1 (16.0GT/s x16)`: how it runs now; what it could do is not told."""
    match = re.search(r"\((\d{1,3}(?:\.\d)?)GT/s x(\d{1,2})\)", text, re.ASCII)
    if not match or int(match.group(2)) not in WIDTHS:
        return None
    return Link(float(match.group(1)), int(match.group(2)), None, None)
