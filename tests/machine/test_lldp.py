"""Which switch is at the other end: out of frames that crossed a real link, and out of what lldpd said."""

from __future__ import annotations

import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveagent.host import Host
from liveagent.machine.lldp import ETHERTYPE, GROUP, Neighbour, NotLldp, listen, parse_frame, parse_lldpctl
from liveagent.machine.look import Look
from tests.conftest import need

LINK = "lldp-test"


def tlv(kind: int, value: bytes) -> bytes:
    return struct.pack(">H", kind << 9 | len(value)) + value


def make_frame(
    *more: bytes, chassis: bytes = b"\x04\x00\x1c\x73\x01\x02\x03", port: bytes = b"\x05Ethernet12"
) -> bytes:
    head = GROUP + bytes.fromhex("001c73010203") + struct.pack(">H", ETHERTYPE)
    return head + tlv(1, chassis) + tlv(2, port) + tlv(3, struct.pack(">H", 120)) + b"".join(more) + tlv(0, b"")


FULL = make_frame(
    tlv(4, b"rack 7, server 12"),
    tlv(5, b"leaf1.example.net"),
    tlv(6, b"Arista Networks EOS version 4.29.2F\nrunning on a DCS-7050"),
    tlv(8, bytes([5, 1, 10, 0, 0, 1]) + b"\x02\x00\x00\x00\x07\x00"),
    tlv(127, bytes.fromhex("0080c201") + struct.pack(">H", 296)),
)


def test_a_whole_frame() -> None:
    assert parse_frame("eth0", FULL) == Neighbour(
        id="eth0",
        interface="eth0",
        system="leaf1.example.net",
        description="Arista Networks EOS version 4.29.2F",
        chassis="00:1c:73:01:02:03",
        port="Ethernet12",
        port_description="rack 7, server 12",
        address="10.0.0.1",
        vlan=296,
        source="heard",
    )


@pytest.mark.parametrize(
    ("frame", "fields"),
    [
        (make_frame(port=b"\x03\x00\x1c\x73\x01\x02\x04"), {"port": "00:1c:73:01:02:04"}),
        (make_frame(chassis=b"\x05\x01\x0a\x00\x00\x02"), {"chassis": "10.0.0.2"}),
        (make_frame(tlv(8, bytes([17, 2]) + b"\xfd" + bytes(14) + b"\x01")), {"address": "fd00::1"}),
        (make_frame(tlv(5, b"leaf\x1b[2J")), {"system": "leaf [2J"}),
        (make_frame(tlv(5, b"leaf\xff1")), {"system": "leaf\ufffd1"}),
        (make_frame(tlv(127, bytes.fromhex("0080c201") + b"\0\0")), {"vlan": None}),
        (make_frame(tlv(8, b"")), {"address": ""}),
        (make_frame() + bytes(200), {"port": "Ethernet12"}),
    ],
)  # fmt: skip
def test_what_switches_say(frame: bytes, fields: dict[str, object]) -> None:
    found = parse_frame("eth0", frame)
    assert {name: getattr(found, name) for name in fields} == fields


@pytest.mark.parametrize(
    "frame", [b"", b"\0" * 14, make_frame()[:30], FULL[:55], GROUP + bytes(6) + b"\x08\x00" + bytes(50)]
)
def test_what_is_no_frame_of_a_switch(frame: bytes) -> None:
    with pytest.raises(NotLldp):
        parse_frame("eth0", frame)


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=60).map(lambda noise: FULL[:40] + noise)))
def test_noise_raises_nothing_else(frame: bytes) -> None:
    try:
        found = parse_frame("eth0", frame)
    except NotLldp:
        return
    assert all(text.isprintable() for text in (found.system, found.port, found.chassis))


@given(st.text())
def test_noise_of_lldpctl(text: str) -> None:
    parse_lldpctl(text)


@pytest.mark.corpus
def test_lldpd_on_real_servers(corpus: Path) -> None:
    """Compared with the files by eye."""
    first, second, *_ = parse_lldpctl((corpus / "lldpctl" / "keyvalue-qfx.txt").read_text())
    assert (first.system, first.port, first.port_description) == ("sw-filer-f06.dc42", "512", "xe-0/0/1")
    assert (first.chassis, first.address, first.vlan) == ("40:a6:77:7a:72:00", "10.192.192.116", 296)
    assert (second.interface, second.system) == ("eth1", "sw-filer-f05.dc42")
    [only] = parse_lldpctl((corpus / "lldpctl" / "keyvalue-dedibox1.txt").read_text())
    assert (only.port, only.vlan, only.description) == ("RJ-9", None, "")


@pytest.fixture
def link() -> Iterator[tuple[str, str]]:
    """Two ends of a cable, in this machine's own namespace: a pair of interfaces that nobody else uses."""
    ends = (f"{LINK}0", f"{LINK}1")
    made = subprocess.run(["ip", "link", "add", ends[0], "type", "veth", "peer", "name", ends[1]], capture_output=True)
    need(made.returncode == 0, "root and network interfaces")
    try:
        for end in ends:
            subprocess.run(["ip", "link", "set", end, "up"], check=True)
        yield ends
    finally:
        subprocess.run(["ip", "link", "delete", ends[0]], check=True)


def test_a_frame_over_a_link_is_heard(link: tuple[str, str]) -> None:
    """Other frames on the cable are passed over, and the first that says who it is ends the wait."""
    switch = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    switch.bind((link[1], 0))
    stopped = threading.Event()

    def speak() -> None:
        while not stopped.wait(0.05):
            switch.send(make_frame()[:20])
            switch.send(FULL)

    speaker = threading.Thread(target=speak)
    speaker.start()
    try:
        look = Look(Host())
        heard = listen(look, [link[0], "no-such-interface"], seconds=20)
    finally:
        stopped.set()
        speaker.join()
        switch.close()
    assert heard[link[0]].port == "Ethernet12" and heard[link[0]].system == "leaf1.example.net"
    assert [one.part for one in look.missing] == ["lldp.no-such-interface"]


def test_silence_ends(link: tuple[str, str]) -> None:
    assert listen(Look(Host()), [link[0]], seconds=0.3) == {}
