"""How warm a disk is while it works: where the kernel's drivers say it, and nothing made up where they do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from liveagent.host import Host
from liveagent.machine.temperatures import Thermometer


@pytest.mark.parametrize("place", ["device/hwmon3", "device/hwmon/hwmon3"])
@pytest.mark.parametrize(
    ("text", "celsius"),
    [
        ("34850\n", 34.85),
        ("-5000\n", -5.0),
        ("0\n", None),
        ("-273150\n", None),
        ("255000\n", None),
        ("", None),
        ("x", None),
    ],
)
def test_what_a_driver_says(tmp_path: Path, place: str, text: str, celsius: float | None) -> None:
    """The nvme driver has it below the controller, drivetemp a directory deeper; 0 is what a missing sensor says."""
    file = tmp_path / "sys/block/sda" / place / "temp1_input"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    assert Thermometer(Host(str(tmp_path)), "sda").read() == celsius


def test_no_driver(tmp_path: Path) -> None:
    assert Thermometer(Host(str(tmp_path)), "sda").read() is None
