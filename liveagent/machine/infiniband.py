"""The ports of RDMA adapters (InfiniBand, RoCE, iWARP): firmware, link, and what each port counted; from sysfs."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping

from liveagent.host import Host
from liveagent.machine.look import Look, Why
from liveagent.machine.pci import ADDRESS
from liveagent.machine.sysfs import read_link, to_number

ADAPTERS = "/sys/class/infiniband"
INFINIBAND = "InfiniBand"
# PortCounters of the InfiniBand specification, by the kernel's names for them (drivers/infiniband/core/sysfs.c).
COUNTERS = (
    *("symbol_error", "link_error_recovery", "link_downed", "port_rcv_errors", "port_rcv_remote_physical_errors"),
    *("local_link_integrity_errors", "excessive_buffer_overrun_errors", "port_rcv_constraint_errors"),
    *("port_xmit_constraint_errors", "port_xmit_discards", "VL15_dropped", "port_rcv_packets", "port_xmit_packets"),
)
# What mlx5 counts beside them, RoCE's losses above all (drivers/infiniband/hw/mlx5/counters.c).
HW_COUNTERS = ("rx_icrc_encapsulated", "out_of_sequence", "packet_seq_err", "local_ack_timeout_err")
# include/rdma/ib_verbs.h, ib_port_width.
WIDTHS = (1, 2, 4, 8, 12)


@dataclasses.dataclass(frozen=True)
class Rate:
    """How fast a link runs: bits a second, its lanes, and the generation (SDR, DDR, QDR, FDR10, FDR, EDR, HDR, …)."""

    rate: int
    width: int
    generation: str


@dataclasses.dataclass(frozen=True)
class RdmaPort:
    """A port of an RDMA adapter. `id` is the adapter's GUID and the port, or the name where it has none.

    `name` is the kernel's (`mlx5_0/1`), `bus` the PCI address, `board` the maker's id of the board. `transport` is
    InfiniBand, RoCE, iWARP, or "" where not known; a port that is not InfiniBand is a network interface as well.
    `state` (ACTIVE) is what the subnet manager made of it, `physical` (LinkUp, Polling) what the cable did. `rate` is
    in bits a second, `width` in lanes, `generation` their kind; None and "" without a link. `lid` and `manager_lid` are
    addresses in the subnet, 0 without one. `counters` since the adapter was reset, those alone that it keeps; many
    adapters' stop at 15, 255, 65535 or 4294967295.
    """

    id: str
    name: str
    bus: str
    transport: str
    model: str
    board: str
    firmware: str
    description: str
    state: str
    physical: str
    rate: int | None
    width: int | None
    generation: str
    lid: int | None
    manager_lid: int | None
    capabilities: str
    counters: Mapping[str, int]

    @property
    def is_infiniband(self) -> bool:
        return self.transport == INFINIBAND

    @property
    def label(self) -> str:
        return " ".join(word for word in (self.name, self.model, self.bus) if word)


def parse_rate(text: str) -> Rate | None:
    """`56 Gb/sec (4X FDR)`; older kernels leave out SDR. None for what is no rate."""
    match = re.fullmatch(r"(\d{1,5}(?:\.5)?) Gb/sec \((\d{1,2})X(?: ([A-Z]{2,4}\d{0,3}))?\)", text, re.ASCII)
    if not match or int(match.group(2)) not in WIDTHS:
        return None
    return Rate(round(float(match.group(1)) * 10**9), int(match.group(2)), match.group(3) or "SDR")


def parse_state(text: str) -> str:
    """The word of `4: ACTIVE`; "" for what is none, and for one that the kernel does not know."""
    match = re.fullmatch(r"\d{1,3}: ([A-Za-z][\w ]{1,40})", text, re.ASCII)
    return match.group(1) if match else ""


def parse_lid(text: str) -> int | None:
    """An address in the subnet, `0x3a4`."""
    return int(text, 16) if re.fullmatch(r"0x[0-9a-f]{1,8}", text, re.ASCII) else None


def choose_transport(node_type: str, link_layer: str) -> str:
    """What a port speaks; its link layer says so of an adapter, and not of a card for iWARP alone."""
    # include/rdma/ib_verbs.h, rdma_node_type; what is neither (usNIC, EFA) has no name here.
    kind = parse_state(node_type)
    if kind == "RNIC":
        return "iWARP"
    return {INFINIBAND: INFINIBAND, "Ethernet": "RoCE"}.get(link_layer, "") if kind in ("CA", "") else ""


def probe_infiniband(look: Look) -> tuple[RdmaPort, ...]:
    """Every port of every adapter, by name."""
    host = look.host
    adapters = host.list(ADAPTERS)
    if not adapters:
        look.note("infiniband", Why.ABSENT, "the kernel has no RDMA adapter")
    ports: list[RdmaPort] = []
    for adapter in adapters:
        numbers = sorted(int(name) for name in host.list(f"{ADAPTERS}/{adapter}/ports") if name.isdecimal())
        if not numbers:
            look.note(f"infiniband.{adapter}", Why.NOT_UNDERSTOOD, "the kernel shows no ports of this adapter")
        ports += (_probe_port(host, adapter, number) for number in numbers)
    for port in ports:
        if port.is_infiniband and not port.counters:
            look.note(f"infiniband.{port.name}.counters", Why.NO_DRIVER, "its driver counts no errors of the port")
    return tuple(ports)


def _probe_port(host: Host, adapter: str, number: int) -> RdmaPort:
    below = f"{ADAPTERS}/{adapter}"

    def read(name: str) -> str:
        return host.read_or(f"{below}/{name}")

    def read_port(name: str) -> str:
        return host.read_or(f"{below}/ports/{number}/{name}")

    guid, bus = read("node_guid"), read_link(host, f"{below}/device")
    physical = parse_state(read_port("phys_state"))
    # Without a link drivers give the rate of the last one, or that of the slowest.
    rate = parse_rate(read_port("rate")) if physical == "LinkUp" else None
    return RdmaPort(
        id=f"{guid}/{number}" if guid.strip("0:") else f"{adapter}/{number}",
        name=f"{adapter}/{number}",
        bus=bus if ADDRESS.fullmatch(bus) else "",
        transport=choose_transport(read("node_type"), read_port("link_layer")),
        model=read("hca_type"),
        board=read("board_id"),
        firmware=read("fw_ver"),
        description=read("node_desc"),
        state=parse_state(read_port("state")),
        physical=physical,
        rate=rate.rate if rate else None,
        width=rate.width if rate else None,
        generation=rate.generation if rate else "",
        lid=parse_lid(read_port("lid")),
        manager_lid=parse_lid(read_port("sm_lid")),
        capabilities=read_port("cap_mask"),
        counters=dict(_probe_counters(host, f"{below}/ports/{number}")),
    )


def _probe_counters(host: Host, below: str) -> Iterator[tuple[str, int]]:
    """Those that are numbers: `N/A (no PMA)` stands where a driver has none."""
    for folder, names in (("counters", COUNTERS), ("hw_counters", HW_COUNTERS)):
        for name in names:
            count = to_number(host.read_or(f"{below}/{folder}/{name}"))
            if count is not None:
                yield name, count
