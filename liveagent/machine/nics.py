"""The network interfaces: sysfs for what they are, `ip` for the addresses they have now."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping

from liveagent.events import JSON
from liveagent.host import CommandError, Host

NET = "/sys/class/net"
ARPHRD_LOOPBACK = "772"  # <linux/if_arp.h>
IP_TIMEOUT = 10.0


@dataclasses.dataclass(frozen=True)
class Nic:
    """A network interface. `carrier` is None while the interface is down: the kernel does not say then.

    `speed_mbit` is megabits a second, None where there is no link or the driver does not know.
    """

    name: str
    mac: str
    addresses: tuple[str, ...]
    carrier: bool | None
    speed_mbit: int | None

    def encode(self) -> dict[str, JSON]:
        return {**dataclasses.asdict(self), "addresses": list(self.addresses)}


def parse_addresses(text: str) -> dict[str, tuple[str, ...]]:
    """Addresses by interface from `ip --json address show`; link-local ones are left out. Raises ValueError."""
    found = {}
    for link in json.loads(text):
        addresses = [entry for entry in link.get("addr_info", []) if entry.get("scope") != "link"]
        found[link.get("ifname", "")] = tuple(entry["local"] for entry in addresses if "local" in entry)
    return found


def probe_nics(host: Host) -> tuple[Nic, ...]:
    """Every interface with hardware behind it, and every other that has an address, by name."""
    addresses = _probe_addresses(host)
    names = [name for name in host.list(NET) if host.read_or(f"{NET}/{name}/type") != ARPHRD_LOOPBACK]
    nics = [
        _probe_nic(host, name, addresses)
        for name in names
        if addresses.get(name) or host.exists(f"{NET}/{name}/device")
    ]
    return tuple(nics)


def _probe_nic(host: Host, name: str, addresses: Mapping[str, tuple[str, ...]]) -> Nic:
    carrier = host.read_or(f"{NET}/{name}/carrier")
    speed = host.read_or(f"{NET}/{name}/speed")
    return Nic(
        name=name,
        mac=host.read_or(f"{NET}/{name}/address").lower(),
        addresses=addresses.get(name, ()),
        carrier={"0": False, "1": True}.get(carrier),
        # -1 (and, of old drivers, 4294967295) stands for "unknown".
        speed_mbit=int(speed) if speed.isdecimal() and 0 < int(speed) < 2**31 else None,
    )


def _probe_addresses(host: Host) -> Mapping[str, tuple[str, ...]]:
    if not host.can_run:
        return {}
    try:
        return parse_addresses(host.run(["ip", "--json", "address", "show"], timeout=IP_TIMEOUT).stdout)
    except (CommandError, ValueError):
        return _probe_addresses_by_psutil() if host.is_real else {}


def _probe_addresses_by_psutil() -> Mapping[str, tuple[str, ...]]:
    """For an image without iproute."""
    import socket

    import psutil  # costs 30 ms

    families = (socket.AF_INET, socket.AF_INET6)
    return {
        name: tuple(
            entry.address for entry in entries if entry.family in families and not entry.address.startswith("fe80")
        )
        for name, entries in psutil.net_if_addrs().items()
    }
