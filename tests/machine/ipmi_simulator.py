"""A BMC of the test's own making: OpenIPMI's `ipmi_sim` on the loopback interface, asked by the real ipmitool.

Records are built byte by byte as IPMI 2.0 has them (chapter 43) and the FRU specification 1.2, so that what ipmitool
makes of them is known beforehand. The same bytes serve QEMU's `ipmi-bmc-sim` (sdrfile, frudatafile).
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Callable

from tests.conftest import need

BMC = 0x20
# The order of thresholds in masks and in the simulator's commands.
ORDER = ("lnc", "lcr", "lnr", "unc", "ucr", "unr")
TEMPERATURE, VOLTAGE, FAN, SECURITY, PROCESSOR, SUPPLY, OTHER, MEMORY, DRIVE = 1, 2, 4, 5, 7, 8, 0x0B, 0x0C, 0x0D
CELSIUS, VOLTS, WATTS, RPM = 1, 4, 6, 18
THRESHOLD, SPECIFIC, REDUNDANCY = 0x01, 0x6F, 0x0B


@dataclasses.dataclass(frozen=True)
class Analog:
    """A full sensor record (43.1): what is read is raw × multiplier × 10^exponent. Thresholds are raw as well."""

    number: int
    name: str
    entity: tuple[int, int]
    type: int
    unit: int
    value: int
    thresholds: Mapping[str, int]
    multiplier: int = 1
    exponent: int = 0

    def make_sdr(self) -> bytes:
        mask = sum(1 << bit for bit, name in enumerate(ORDER) if name in self.thresholds)
        body = bytes([BMC, 0, self.number, *self.entity, 0x7F, 0x68, self.type, THRESHOLD])
        body += struct.pack("<HHBB", 0x0FFF, 0x0FFF, mask, mask)
        body += bytes([0, self.unit, 0, 0, self.multiplier & 0xFF, self.multiplier >> 8 << 6, 0, 0, 0])
        body += bytes([(self.exponent & 0xF) << 4, 0, 0, 0, 0, 0xFF, 0])
        body += bytes(self.thresholds.get(name, 0) for name in ("unr", "ucr", "unc", "lnr", "lcr", "lnc"))
        body += bytes([2, 2, 0, 0, 0])
        return make_record(0x01, body, self.name)

    def commands(self) -> Iterator[str]:
        names = ORDER[::-1]
        values = " ".join(str(self.thresholds.get(name, 0)) for name in names)
        enabled = "".join("1" if name in self.thresholds else "0" for name in names)
        yield f"sensor_add {BMC} 0 {self.number} {self.type} {THRESHOLD}"
        yield f"sensor_set_threshold {BMC} 0 {self.number} settable {enabled} {values}"
        yield f"sensor_set_event_support {BMC} 0 {self.number} enable scanning per-state " + " ".join(
            ["000111111111111"] * 4
        )
        yield f"sensor_set_value {BMC} 0 {self.number} {self.value} 0"


@dataclasses.dataclass(frozen=True)
class Discrete:
    """A compact sensor record (43.2) with the states that are asserted, by their offset."""

    number: int
    name: str
    entity: tuple[int, int]
    type: int
    event: int
    states: Sequence[int]

    def make_sdr(self) -> bytes:
        body = bytes([BMC, 0, self.number, *self.entity, 0x67, 0x40, self.type, self.event])
        body += struct.pack("<HHH", 0x7FFF, 0x7FFF, 0x7FFF) + bytes([0xC0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0])
        return make_record(0x02, body, self.name)

    def commands(self) -> Iterator[str]:
        yield f"sensor_add {BMC} 0 {self.number} {self.type} {self.event}"
        for state in self.states:
            yield f"sensor_set_bit {BMC} 0 {self.number} {state} 1 0"
        yield f"sensor_set_event_support {BMC} 0 {self.number} enable scanning per-state " + " ".join(
            ["000000011111111"] * 4
        )


def make_record(type_: int, body: bytes, name: str) -> bytes:
    """A sensor data record with its head (43), and its name as 8-bit text."""
    whole = body + bytes([0xC0 | len(name)]) + name.encode()
    return bytes([0, 0, 0x51, type_, len(whole)]) + whole


def make_fru_locator(number: int, name: str, entity: tuple[int, int]) -> bytes:
    """A FRU device locator (43.8): the simulator's BMC has the FRU itself."""
    return make_record(0x11, bytes([BMC, number, 0x80, 0, 0, 0x10, 0, *entity, 0]), name)


def make_fru(chassis: Sequence[str] = (), board: Sequence[str] = (), product: Sequence[str] = ()) -> bytes:
    """A FRU with the areas whose fields are given, in the order of the specification."""
    # A rack mount chassis; English, made in minute 12,829,439 since 1996; English.
    heads = (b"\x17", b"\x19" + (12_829_439).to_bytes(3, "little"), b"\x19")
    # All that the specification names is there, if empty: ipmitool takes the end mark for one that is left out.
    named = (2, 5, 7)
    areas = [
        _make_area(head, [*fields, *[""] * (number - len(fields))]) if fields else b""
        for head, fields, number in zip(heads, (chassis, board, product), named)
    ]
    places, place = [], 1
    for area in areas:
        places.append(place if area else 0)
        place += len(area) // 8
    header = bytes([1, 0, *places, 0, 0])
    return header + bytes([-sum(header) & 0xFF]) + b"".join(areas)


def _make_area(head: bytes, fields: Sequence[str]) -> bytes:
    text = b"".join(bytes([0xC0 | len(field)]) + field.encode() for field in fields)
    area = head + text + b"\xc1"
    blocks = (len(area) + 3 + 7) // 8
    whole = (bytes([1, blocks]) + area).ljust(blocks * 8 - 1, b"\0")
    return whole + bytes([-sum(whole) & 0xFF])


@dataclasses.dataclass(frozen=True)
class Simulator:
    """A BMC that runs; `interface` is what ipmitool needs to ask it, `qemu` what gives it to a guest as its own."""

    interface: tuple[str, ...]
    qemu: tuple[str, ...]
    inside: Callable[[list[str]], list[str]] = list

    def tell(self, *words: str) -> None:
        argv = self.inside(["ipmitool", *self.interface, *words])
        subprocess.run(argv, check=True, capture_output=True, timeout=30)

    def set_clock(self, seconds: float) -> None:
        """Set SEL Time (31.11); what is logged from here on bears it."""
        self.tell("raw", "0x0a", "0x49", *(f"0x{byte:02x}" for byte in struct.pack("<I", int(seconds))))

    def log(self, type_: int, number: int, event: int, data: Sequence[int], asserted: bool = True) -> None:
        """Add SEL Entry (31.6): a system event."""
        direction = event | (0 if asserted else 0x80)
        record = bytes([0, 0, 2, 0, 0, 0, 0, BMC, 0, 4, type_, number, direction, *data])
        self.tell("raw", "0x0a", "0x44", *(f"0x{byte:02x}" for byte in record))


def find_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def run_simulator(
    place: Path,
    sensors: Sequence[Analog | Discrete] = (),
    frus: Mapping[int, tuple[str, tuple[int, int], bytes]] = {},
    users: Sequence[str] = (),
    log_size: int = 64,
    inside: Callable[[list[str]], list[str]] = list,
) -> Iterator[Simulator]:
    """A BMC with these sensors, FRUs (number 0 is the server's own), and users (lines of ipmi_lan(5)).

    `inside` makes of a command one that runs elsewhere: in the network namespace of a guest, say.
    """
    need(shutil.which("ipmi_sim") and shutil.which("ipmitool"), "ipmi_sim (openipmi) and ipmitool")
    port, guest = find_port(socket.SOCK_DGRAM), find_port(socket.SOCK_STREAM)
    lines = [
        f"mc_setbmc {BMC}",
        f"mc_add {BMC} 32 no-device-sdrs 1 2 0x55 0x9f 674 256",
        f"sel_enable {BMC} {log_size} 10",
    ]
    # The first sensor is the watchdog's.
    lines.append(f"sensor_add {BMC} 0 0 35 {SPECIFIC} event-only")
    for sensor in sensors:
        lines += [f"main_sdr_add {BMC} {_spell(sensor.make_sdr())}", *sensor.commands()]
    for number, (name, entity, data) in frus.items():
        if number:
            lines.append(f"main_sdr_add {BMC} {_spell(make_fru_locator(number, name, entity))}")
        if data:
            lines.append(f"mc_add_fru_data {BMC} {number} {len(data)} data {_spell(data)}")
    lines.append(f"mc_enable {BMC}")
    (place / "bmc.emu").write_text("\n".join(lines) + "\n")
    methods = "none md2 md5 straight"
    allowed = [f"allowed_auths_{level} {methods}" for level in ("callback", "user", "operator", "admin")]
    channel = ["startlan 1", f"addr 127.0.0.1 {port}", "priv_limit admin", *allowed, f"guid {'a5' * 16}", "endlan"]
    serial = f"serial 15 127.0.0.1 {guest} codec VM"
    people = [
        'user 1 false "" "none" user 10 none',
        'user 2 true "tester" "tester" admin 10 none md2 md5 straight',
        *users,
    ]
    (place / "lan.conf").write_text(
        "\n".join(['name "bmc"', f"set_working_mc {BMC}", *channel, serial, *people]) + "\n"
    )
    (place / "state").mkdir()
    argv = ["ipmi_sim", "-c", "lan.conf", "-f", "bmc.emu", "-s", "state", "-n"]
    # Suite 3 by name: asking which there are costs a simulator that does not know ten seconds.
    login = ("-U", "tester", "-P", "tester", "-C", "3", "-N", "2", "-R", "2")
    interface = ("-I", "lanplus", "-H", "127.0.0.1", "-p", str(port), *login)
    with (place / "simulator.log").open("wb") as log:
        process = subprocess.Popen(inside(argv), cwd=place, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        _await_answer(process, interface, place, inside)
        chardev = f"socket,id=bmc-line,host=127.0.0.1,port={guest},reconnect=2"
        qemu = (
            "-chardev",
            chardev,
            "-device",
            "ipmi-bmc-extern,id=bmc,chardev=bmc-line",
            "-device",
            "isa-ipmi-kcs,bmc=bmc",
        )
        yield Simulator(interface, qemu, inside)
    finally:
        process.kill()
        process.wait(timeout=30)


def _await_answer(
    process: subprocess.Popen[bytes],
    interface: Sequence[str],
    place: Path,
    inside: Callable[[list[str]], list[str]],
) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        argv = inside(["ipmitool", *interface, "mc", "info"])
        if subprocess.run(argv, capture_output=True, timeout=30, env=os.environ).returncode == 0:
            return
    raise AssertionError((place / "simulator.log").read_text(errors="replace"))


def _spell(data: bytes) -> str:
    return " ".join(f"0x{byte:02x}" for byte in data)
