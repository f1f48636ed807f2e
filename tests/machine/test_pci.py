"""PCI devices out of sysfs: links as they run, places as the chassis counts them, and nothing where nothing is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveagent.host import Host
from liveagent.machine.look import Look, Why
from liveagent.machine.pci import WIDTHS, Aer, AerCount, Link, PciDevice, parse_aer, parse_speed, parse_width, probe_pci
from tests.conftest import UnpackTree

PCI = r"/(bus/pci|devices/pci)"


@pytest.mark.parametrize(
    ("text", "speed"),
    [
        ("8.0 GT/s PCIe", 8.0),
        ("2.5 GT/s PCIe", 2.5),
        ("32.0 GT/s PCIe", 32.0),
        ("64.0 GT/s PCIe", 64.0),
        ("5 GT/s", 5.0),
        ("Unknown", None),
        ("Unknown speed", None),
        ("", None),
        ("GT/s", None),
        ("8,0 GT/s", None),
    ],
)
def test_speeds(text: str, speed: float | None) -> None:
    assert parse_speed(text) == speed


@pytest.mark.parametrize(
    ("text", "width"), [("1", 1), ("16", 16), ("0", None), ("255", None), ("", None), ("x4", None)]
)
def test_widths(text: str, width: int | None) -> None:
    assert parse_width(text) == width


# As a kernel of today prints it, and as 4.19 did.
CORRECTABLE = "RxErr 12\nBadTLP 0\nBadDLLP 1\nRollover 0\nTimeout 0\nNonFatalErr 0\nTOTAL_ERR_COR 9\n"
OLD = "Receiver Error 2\nBad TLP 0\nReplay Timer Timeout 1\nTOTAL_ERR_COR 3\n"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (CORRECTABLE, AerCount(9, {"RxErr": 12, "BadDLLP": 1})),
        (OLD, AerCount(3, {"Receiver Error": 2, "Replay Timer Timeout": 1})),
        ("Undefined 0\nNewKind 0\nTOTAL_ERR_FATAL 0", AerCount(0, {})),
        # Cut off before the total: not measured, and not nothing.
        (CORRECTABLE[:40], None),
        (CORRECTABLE.replace("9", "many"), None),
        ("RxErr \ufffd\n", None),
        ("", None),
    ],
)
def test_errors(text: str, count: AerCount | None) -> None:
    assert parse_aer(text) == count


@given(st.text())
def test_no_text_raises_or_makes_an_absurd_figure(text: str) -> None:
    errors = parse_aer(f"{text}\nTOTAL_ERR_COR 1")
    assert errors is None or all(count > 0 for count in errors.kinds.values())
    speed, width = parse_speed(text), parse_width(text)
    assert speed is None or speed >= 0
    assert width is None or width in WIDTHS


def by_address(host: Host) -> dict[str, PciDevice]:
    return {device.id: device for device in probe_pci(Look(host))}


@pytest.mark.corpus
def test_a_server_with_switches(unpack_tree: UnpackTree) -> None:
    """Compared with the files by eye: bridges, a switch of two cards, and a network chip in the chipset."""
    devices = by_address(unpack_tree("hwloc-tree/32intel64-2p8co2t+8ve.tar.bz2", PCI))
    assert len(devices) == 28
    card = devices["0000:1a:00.0"]
    assert (card.vendor_id, card.device_id, card.class_code) == ("15b3", "1013", "020700")
    assert card.parent == "0000:19:04.0" and card.numa_node == 0
    assert card.link == Link(8.0, 16, 8.0, 16)
    # It says 2.5 GT/s of 8 for a link inside the chipset, and the bridge above it was not captured with it.
    chip = devices["0000:60:00.1"]
    assert chip.link == Link(2.5, 1, 8.0, 1) and chip.virtual_functions_max == 64
    assert chip.parent == "0000:5f:03.0" and chip.parent not in devices


@pytest.mark.corpus
def test_slots_of_the_chassis(unpack_tree: UnpackTree) -> None:
    devices = by_address(unpack_tree("hwloc-tree/32em64t-2n8c+dax+nvme+mic+dimms.tar.bz2", PCI))
    assert {address: device.slot for address, device in devices.items() if device.slot} == {
        "0000:82:00.0": "01",
        "0000:83:00.0": "02",
    }


@pytest.mark.corpus
def test_an_nvme_drive_below_a_wider_port(unpack_tree: UnpackTree) -> None:
    devices = by_address(unpack_tree("sysfs-tree/procfs-pci.tar.gz", PCI))
    assert devices["0000:01:00.0"].link == Link(8.0, 4, 8.0, 4)
    assert devices["0000:00:02.1"].link == Link(8.0, 4, 8.0, 8)
    assert devices["0000:a2:00.0"].numa_node == 1 and devices["0000:01:00.0"].numa_node is None


@pytest.mark.corpus
def test_errors_of_a_captured_server(unpack_tree: UnpackTree) -> None:
    """It has counters of some devices, all at nothing; of the bridge above the drive there are none."""
    devices = by_address(unpack_tree("sysfs-tree/procfs-pci.tar.gz", PCI))
    none = AerCount(0, {})
    assert devices["0000:01:00.0"].aer == Aer(none, none, none)
    assert devices["0000:00:02.1"].aer is None


@pytest.mark.corpus
def test_a_server_that_counts_no_errors_says_so(unpack_tree: UnpackTree) -> None:
    look = Look(unpack_tree("hwloc-tree/32intel64-2p8co2t+8ve.tar.bz2", PCI))
    assert all(device.aer is None for device in probe_pci(look))
    assert [(one.part, one.why) for one in look.missing] == [("pci.aer", Why.NO_DRIVER)]


def test_a_machine_without_a_bus(tmp_path: Path) -> None:
    look = Look(Host(str(tmp_path)))
    assert probe_pci(look) == ()
    assert [(one.part, one.why) for one in look.missing] == [("pci", Why.ABSENT)]
