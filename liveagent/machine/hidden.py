"""Drives behind RAID controllers: where smartctl may find them, whether there is one or not."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator

from liveagent.host import Host
from liveagent.machine.look import Look
from liveagent.machine.raid import probe_controllers
from liveagent.machine.topology import natural_key

# Places that are tried where nothing lists the drives: smartctl(8) allows 127, and these are what cards have.
CCISS, THREE_WARE, ARECA = 32, 24, 24
# The drivers' own nodes of 3ware cards (smartctl(8), -d 3ware,N).
THREE_WARE_NODES = {"3w-9xxx": "twa", "3w-sas": "twl", "3w-xxxx": "twe"}
# SPC-5: peripheral device types of the node that a controller has for itself.
STORAGE_ARRAY, PROCESSOR = "12", "3"


@dataclasses.dataclass(frozen=True)
class Target:
    """A drive as smartctl takes it: `smartctl --device KIND PATH`. `controller` is a PCI address.

    `listed`: the controller says that it is there; where not, an answer is what shows it.
    """

    path: str
    kind: str
    controller: str
    listed: bool = False

    @property
    def name(self) -> str:
        return f"{self.path.replace('/dev/', '', 1)} {self.kind}"

    @property
    def words(self) -> tuple[str, ...]:
        return ("--device", self.kind, self.path)


def parse_scan(text: str) -> tuple[tuple[str, str], ...]:
    """`smartctl --scan --json`: path and kind of each; () where it is no such page."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    rows = document.get("devices") if isinstance(document, dict) else None
    found = []
    for row in rows if isinstance(rows, list) else ():
        path, kind = (row.get(key) for key in ("name", "type")) if isinstance(row, dict) else (None, None)
        if isinstance(path, str) and isinstance(kind, str):
            found.append((path, kind))
    return tuple(found)


def probe_targets(look: Look) -> tuple[Target, ...]:
    """Where drives behind this machine's RAID controllers may be; () where it has none."""
    drivers = probe_controllers(look.host)
    found = list(_scan(look)) if "megaraid_sas" in drivers.values() else []
    for address, driver in drivers.items():
        if driver in ("hpsa", "smartpqi", "cciss"):
            node = find_node(look.host, address, STORAGE_ARRAY)
            found += [Target(node, f"cciss,{number}", address) for number in range(CCISS) if node]
        elif driver == "arcmsr":
            node = find_node(look.host, address, PROCESSOR)
            places = range(1, ARECA + 1)
            # SATA cards take the number alone, SAS cards that of the enclosure as well.
            found += [Target(node, f"areca,{number}{end}", address) for end in ("", "/1") for number in places if node]
        elif driver in THREE_WARE_NODES:
            found += _list_three_ware(look.host, address, driver)
    return tuple(found)


def _scan(look: Look) -> Iterator[Target]:
    """What MegaRAID controllers list; nothing is opened for that but the controllers."""
    text = look.text("disks.behind", ["smartctl", "--scan", "--json=c"])
    for path, kind in parse_scan(text):
        bus = re.fullmatch(r"/dev/bus/(\d+)", path)
        if bus and kind.rpartition("+")[2].startswith("megaraid,"):
            yield Target(
                path, kind, find_controller(look.host, f"/sys/class/scsi_host/host{bus.group(1)}"), listed=True
            )


def find_controller(host: Host, path: str) -> str:
    """The PCI address that something below /sys hangs on; "" without one."""
    addresses = re.findall(r"/([0-9a-f]{4,5}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])(?=/)", f"{host.resolve(path)}/")
    return addresses[-1] if addresses else ""


def find_node(host: Host, address: str, kind: str) -> str:
    """The generic SCSI node of a controller: its own, or else that of any disk of it; "" where there is none."""
    nodes = []
    for name in sorted(host.list("/sys/class/scsi_generic"), key=natural_key):
        device = f"/sys/class/scsi_generic/{name}/device"
        if find_controller(host, device) == address:
            nodes.append((host.read_or(f"{device}/type") != kind, f"/dev/{name}"))
    # Sorting is stable: the node of the wanted kind first.
    return min(nodes, key=lambda node: node[0])[1] if nodes else ""


def _list_three_ware(host: Host, address: str, driver: str) -> Iterator[Target]:
    """Cards are numbered in the order of their addresses, each driver's on their own."""
    cards = [one for one, its_driver in sorted(probe_controllers(host).items()) if its_driver == driver]
    node = f"/dev/{THREE_WARE_NODES[driver]}{cards.index(address)}"
    for number in range(THREE_WARE):
        yield Target(node, f"3ware,{number}", address)
