"""Which switch and port is at the other end of each cable: what lldpd knows where it runs, else what a switch says.

Frames as IEEE 802.1AB has them: an Ethernet header, then TLVs of 7 bits of type and 9 bits of length.
"""

from __future__ import annotations

import dataclasses
import re
import selectors
import socket
import struct
import time
from collections.abc import Iterator, Mapping, Sequence

from liveagent.host import Cancelled
from liveagent.machine.look import Look, Why
from liveagent.machine.nics import NET

ETHERTYPE = 0x88CC
# A switch speaks every 30 s unless told otherwise (IEEE 802.1AB, 9.2.5.7).
LISTEN = 31.0
POLL = 0.5
HEADER = 14
# linux/if_packet.h, linux/socket.h: have a card pass the group address on which nobody else listens.
SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_MR_MULTICAST = 263, 1, 0
GROUP = bytes.fromhex("0180c200000e")
FRAME_LIMIT = 9216
TEXT_LIMIT = 255
END, CHASSIS, PORT, TTL, PORT_DESCRIPTION, SYSTEM_NAME, SYSTEM_DESCRIPTION = range(7)
MANAGEMENT, OWN = 8, 127
# Organizationally specific: IEEE 802.1, subtype 1 is the port's VLAN.
IEEE_8021, PORT_VLAN = bytes.fromhex("0080c2"), 1
# Subtypes of chassis and port in which a MAC address is given, and a network address.
MAC_SUBTYPES = {CHASSIS: 4, PORT: 3}
ADDRESS_SUBTYPES = {CHASSIS: 5, PORT: 4}


@dataclasses.dataclass(frozen=True)
class Neighbour:
    """The other end of a cable. `id` and `interface` are this end's name; texts are "" where the switch does not say.

    `address` is where the switch is managed; `vlan` is the one that untagged frames are in. `source`: lldpd, or heard.
    """

    id: str
    interface: str
    system: str
    description: str
    chassis: str
    port: str
    port_description: str
    address: str
    vlan: int | None
    source: str


class NotLldp(ValueError):
    """A frame that is no LLDP, or is cut off."""


def parse_frame(interface: str, frame: bytes) -> Neighbour:
    """An Ethernet frame with LLDP in it. Raises NotLldp."""
    if len(frame) < HEADER or struct.unpack(">H", frame[12:14])[0] != ETHERTYPE:
        raise NotLldp("not a frame of LLDP")
    texts: dict[int, str] = {}
    vlan: int | None = None
    for kind, value in _parse_tlvs(frame[HEADER:]):
        if kind in MAC_SUBTYPES:
            texts.setdefault(kind, _parse_id(kind, value))
        elif kind in (PORT_DESCRIPTION, SYSTEM_NAME, SYSTEM_DESCRIPTION):
            texts.setdefault(kind, _text(value))
        elif kind == MANAGEMENT and value and len(value) > value[0] >= 1:
            texts.setdefault(kind, _parse_address(value[1 : 1 + value[0]]))
        elif kind == OWN and value[:3] == IEEE_8021 and value[3:4] == bytes([PORT_VLAN]) and len(value) >= 6:
            vlan = struct.unpack(">H", value[4:6])[0] or None
    if CHASSIS not in texts or PORT not in texts:
        raise NotLldp("the chassis or the port is missing")
    return Neighbour(
        id=interface,
        interface=interface,
        system=texts.get(SYSTEM_NAME, ""),
        description=texts.get(SYSTEM_DESCRIPTION, ""),
        chassis=texts[CHASSIS],
        port=texts[PORT],
        port_description=texts.get(PORT_DESCRIPTION, ""),
        address=texts.get(MANAGEMENT, ""),
        vlan=vlan,
        source="heard",
    )


def _parse_tlvs(data: bytes) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place + 2 <= len(data):
        word = struct.unpack(">H", data[place : place + 2])[0]
        kind, length = word >> 9, word & 0x1FF
        if kind == END:
            return
        value = data[place + 2 : place + 2 + length]
        if len(value) < length:
            raise NotLldp("the frame is cut off")
        yield kind, value
        place += 2 + length


def _parse_id(kind: int, value: bytes) -> str:
    subtype, rest = value[:1], value[1:]
    if subtype == bytes([MAC_SUBTYPES[kind]]) and len(rest) == 6:
        return rest.hex(":")
    if subtype == bytes([ADDRESS_SUBTYPES[kind]]):
        return _parse_address(rest)
    return _text(rest)


def _parse_address(value: bytes) -> str:
    """An address with its family before it (IANA: 1 is IPv4, 2 is IPv6, 6 is a MAC address)."""
    family, address = value[:1], value[1:]
    if family == b"\x01" and len(address) == 4:
        return socket.inet_ntop(socket.AF_INET, address)
    if family == b"\x02" and len(address) == 16:
        return socket.inet_ntop(socket.AF_INET6, address)
    return address.hex(":")


def _text(value: bytes) -> str:
    """Text as a switch has it: of several lines the first, and nothing that would move a terminal."""
    line = value[:TEXT_LIMIT].decode("utf-8", "replace").strip("\0 \r\n").split("\n")[0]
    return "".join(character if character.isprintable() else " " for character in line).strip()


def parse_lldpctl(text: str) -> tuple[Neighbour, ...]:
    """`lldpctl -f keyvalue`: `lldp.eth0.chassis.name=leaf1`, of each interface the first neighbour."""
    interfaces: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        match = re.match(r"lldp\.(.+?)\.((?:chassis|port|vlan)\.[\w-]+)=(.*)", line)
        if not match:
            continue
        fields = interfaces.setdefault(match.group(1), {})
        key, value = match.group(2), _text(match.group(3).encode("utf-8", "replace"))
        if key == "vlan.vlan-id":
            fields["vlan"] = value  # which of several the port's own is, the next line says
        elif key == "vlan.pvid" and value == "yes":
            fields.setdefault("pvid", fields.get("vlan", ""))
        else:
            fields.setdefault(key, value)
    return tuple(_make_neighbour(name, fields) for name, fields in interfaces.items())


def _make_neighbour(name: str, fields: Mapping[str, str]) -> Neighbour:
    vlan = fields.get("pvid", "")

    def first(part: str) -> str:
        # Which of these the id is, is the switch's choice.
        return next(
            (fields[f"{part}.{key}"] for key in ("ifname", "mac", "local", "ip") if f"{part}.{key}" in fields), ""
        )

    return Neighbour(
        id=name,
        interface=name,
        system=fields.get("chassis.name", ""),
        description=fields.get("chassis.descr", ""),
        chassis=first("chassis"),
        port=first("port"),
        port_description=fields.get("port.descr", ""),
        address=fields.get("chassis.mgmt-ip", ""),
        vlan=int(vlan) if vlan.isdecimal() else None,
        source="lldpd",
    )


# -- looking ----------------------------------------------------------------------------------------


def probe_known_neighbours(look: Look) -> tuple[Neighbour, ...]:
    """What lldpd knows; nothing is waited for."""
    if not look.host.exists("/run/lldpd.socket") and not look.host.exists("/run/lldpd/lldpd.socket"):
        look.note("lldp", Why.NOT_ASKED, "lldpd does not run, and a switch is only listened to by a diagnosis")
        return ()
    return parse_lldpctl(look.text("lldp", ["lldpctl", "-f", "keyvalue"]))


def probe_neighbours(look: Look) -> tuple[Neighbour, ...]:
    """What lldpd knows, else what is heard within half a minute on every interface that has a link."""
    known = probe_known_neighbours(look)
    if known or not look.host.is_real:
        return known
    look.missing.clear()
    names = [
        name
        for name in look.host.list(NET)
        if look.host.exists(f"{NET}/{name}/device") and look.host.read_or(f"{NET}/{name}/carrier") == "1"
    ]
    heard = listen(look, names)
    if not names:
        look.note("lldp", Why.ABSENT, "no interface has a link")
    for name in names:
        if name not in heard:
            look.note(f"lldp.{name}", Why.NO_ANSWER, f"no switch said who it is within {LISTEN:.0f} s")
    return tuple(heard[name] for name in names if name in heard)


def listen(look: Look, names: Sequence[str], seconds: float = LISTEN) -> Mapping[str, Neighbour]:
    """Wait for the first frame on each interface. Raises Cancelled."""
    heard: dict[str, Neighbour] = {}
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        try:
            for name in names:
                opened = _open(look, name)
                if opened:
                    selector.register(opened, selectors.EVENT_READ, name)
            while selector.get_map() and (left := deadline - time.monotonic()) > 0:
                if look.host.cancel.is_set():
                    raise Cancelled("cancelled")
                for key, _ in selector.select(min(POLL, left)):
                    _hear(selector, key, heard)
        finally:
            for key in list(selector.get_map().values()):
                selector.unregister(key.fileobj)
                _close(key.fileobj)
    return heard


def _hear(selector: selectors.BaseSelector, key: selectors.SelectorKey, heard: dict[str, Neighbour]) -> None:
    opened = key.fileobj
    assert isinstance(opened, socket.socket)
    try:
        frame = opened.recv(FRAME_LIMIT)
        heard[key.data] = parse_frame(key.data, frame)
    except NotLldp:
        return  # somebody's noise; a switch will speak again
    except OSError:
        pass  # the interface went down or away
    selector.unregister(opened)
    opened.close()


def _close(opened: object) -> None:
    if isinstance(opened, socket.socket):
        opened.close()


def _open(look: Look, name: str) -> socket.socket | None:
    try:
        # Of no protocol until it is bound: it would take frames of every other interface meanwhile.
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    except PermissionError:
        look.note(f"lldp.{name}", Why.NO_RIGHTS, "only root may listen on an interface")
        return None
    try:
        opened.bind((name, ETHERTYPE))
        request = struct.pack("=iHH8s", socket.if_nametoindex(name), PACKET_MR_MULTICAST, len(GROUP), GROUP)
        opened.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, request)
    except OSError as error:
        opened.close()
        look.note(f"lldp.{name}", Why.NOT_UNDERSTOOD, f"{name}: {error.strerror}")
        return None
    return opened
