"""USB devices out of sysfs: hubs, what interfaces say of a device, and the order of the ports."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveagent.host import Host
from liveagent.machine.look import Look, Why
from liveagent.machine.usb import DEVICES, UsbDevice, parse_speed, probe_usb
from tests.conftest import UnpackTree

USB = r"/usb\d"


@pytest.mark.parametrize(
    ("text", "speed"),
    [("1.5", 1.5), ("12", 12.0), ("480", 480.0), ("20000", 20000.0), ("unknown", None), ("1,5", None), ("0", None)],
)
def test_speeds(text: str, speed: float | None) -> None:
    assert parse_speed(text) == speed


@given(st.text())
def test_no_text_raises_or_makes_an_absurd_figure(text: str) -> None:
    speed = parse_speed(text)
    assert speed is None or 0 < speed < 10**6


def link_devices(host: Host) -> Host:
    """The kernel's list of devices, which was not captured with them."""
    listed = Path(host.root + DEVICES)
    listed.mkdir(parents=True, exist_ok=True)
    for device in Path(host.root, "sys/devices").rglob("usb[0-9]*/**"):
        is_device = (device / "idVendor").exists() or (device / "bInterfaceClass").exists()
        if is_device and not (listed / device.name).exists():
            (listed / device.name).symlink_to(os.path.relpath(device, listed))
    return host


def by_port(host: Host) -> dict[str, UsbDevice]:
    return {device.id: device for device in probe_usb(Look(host))}


@pytest.mark.corpus
def test_a_server_with_a_bmcs_hub(unpack_tree: UnpackTree) -> None:
    """Compared with the files by eye: two controllers, a hub of the chipset below each, and the BMC's hub in one."""
    devices = by_port(link_devices(unpack_tree("hwloc-tree/32em64t-2n8c+dax+nvme+mic+dimms.tar.bz2", USB)))
    assert list(devices) == ["usb1", "1-1", "1-1.6", "1-1.6.1", "usb2", "2-1"]
    keyboard = devices.pop("1-1.6.1")
    assert all(device.is_hub and device.kinds == ("hub",) for device in devices.values())
    assert (keyboard.vendor_id, keyboard.product_id, keyboard.serial) == ("0624", "0249", "20120124")
    assert (keyboard.vendor, keyboard.product) == ("Avocent", "Keyboard/Mouse Function")
    # Three interfaces, of keyboard and mice; the device itself has no class.
    assert (keyboard.kinds, keyboard.is_hub, keyboard.speed_mbit) == (("human interface",), False, 480.0)
    assert (keyboard.version, keyboard.bus, keyboard.over_currents) == ("2.00", "0000:00:1a.0", {})
    assert keyboard.label == "1-1.6.1 Avocent Keyboard/Mouse Function"


@pytest.mark.corpus
def test_a_server_with_many_controllers(unpack_tree: UnpackTree) -> None:
    devices = by_port(link_devices(unpack_tree("hwloc-tree/40intel64-2g2n4c+pcilocality.tar.bz2", USB)))
    assert list(devices) == ["usb1", "1-3", "usb2", "usb3", "usb4", "usb5", "5-2", "usb6", "usb7"]
    assert devices["5-2"].speed_mbit == 12.0 and devices["5-2"].bus == "0000:00:1d.0"
    assert devices["1-3"].vendor == devices["1-3"].product == ""


def test_over_currents_and_bytes_that_are_no_text(tmp_path: Path) -> None:
    listed = tmp_path / DEVICES.strip("/")
    for number, count in (("1", "0"), ("2", "3"), ("3", "many")):
        port = listed / "1-0:1.0" / f"usb1-port{number}"
        port.mkdir(parents=True)
        (port / "over_current_count").write_text(count)
    (listed / "usb1").mkdir()
    (listed / "usb1" / "product").write_bytes(b"\xff\xfe\x00")
    (listed / "usb1" / "bDeviceClass").write_text("09\n")
    [hub] = probe_usb(Look(Host(str(tmp_path))))
    assert hub.over_currents == {"usb1-port1": 0, "usb1-port2": 3}
    assert hub.is_hub and hub.speed_mbit is None and hub.bus == ""


def test_a_machine_without_a_bus(tmp_path: Path) -> None:
    look = Look(Host(str(tmp_path)))
    assert probe_usb(look) == ()
    assert [(one.part, one.why) for one in look.missing] == [("usb", Why.ABSENT)]
