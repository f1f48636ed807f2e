"""The network interfaces in depth: driver and firmware, link now and at most, errors, and the transceiver in the cage.

sysfs for what it has; `ip` once for all permanent addresses; ethtool for each interface with hardware behind it.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping

from liveagent.host import Host
from liveagent.machine.look import Job, Look, Why, look_side_by_side
from liveagent.machine.nics import NET, Nic, probe_nics
from liveagent.machine.sysfs import read_link, to_number

ETHTOOL_TIMEOUT = 10.0
# 56 Gbit/s, Mellanox's own.
PROPRIETARY = 56000
# Three questions to one interface, each of which a hung firmware may let run out of time.
NIC_LIMIT = 25.0
# Of the statistics that every driver keeps (Documentation/networking/statistics.rst in the kernel).
COUNTERS = (
    *("rx_packets", "tx_packets", "rx_errors", "tx_errors", "rx_crc_errors", "rx_frame_errors", "rx_length_errors"),
    *("rx_missed_errors", "tx_carrier_errors", "rx_dropped", "tx_dropped", "collisions"),
)
# A port of these has no cage with something in it.
NO_CAGE = ("Twisted Pair", "MII", "BNC", "AUI", "None", "")


@dataclasses.dataclass(frozen=True)
class Lane:
    """One laser and its receiver: powers in dBm, the bias current in mA; None where the module does not say."""

    number: int
    tx_power: float | None
    rx_power: float | None
    bias: float | None


@dataclasses.dataclass(frozen=True)
class Transceiver:
    """A pluggable module or cable. °C and volts; texts are "" where not said. `kind`: SFP, QSFP28, …

    `alarms` and `warnings` are the module's own flags that are raised, in its words. `monitored` is false for what has
    no diagnostics, a copper cable say.
    """

    kind: str
    vendor: str
    part: str
    serial: str
    temperature: float | None
    voltage: float | None
    lanes: tuple[Lane, ...]
    alarms: tuple[str, ...]
    warnings: tuple[str, ...]
    monitored: bool


@dataclasses.dataclass(frozen=True)
class Settings:
    """What `ethtool NAME` says: megabits a second, None where it does not know."""

    speed_max_mbit: int | None
    partner_max_mbit: int | None
    duplex: str
    autonegotiation: bool | None
    port: str


@dataclasses.dataclass(frozen=True)
class Interface:
    """A network interface. `id` is its permanent MAC address, or its name where it has none.

    `bus` is the address of the device behind it, "" for what is only software. Speeds in megabits a second:
    `partner_max_mbit` is the fastest mode that the other end offers. `duplex` is full, half or "". `carrier` is None
    while the interface is down. `carrier_changes` counts ups and downs since boot. `counters` are the kernel's.
    `controller` is the bond, team or bridge that it belongs to.
    """

    id: str
    name: str
    mac: str
    addresses: tuple[str, ...]
    bus: str
    numa_node: int | None
    driver: str
    driver_version: str
    firmware: str
    state: str
    carrier: bool | None
    carrier_changes: int | None
    speed_mbit: int | None
    speed_max_mbit: int | None
    partner_max_mbit: int | None
    duplex: str
    autonegotiation: bool | None
    port: str
    mtu: int | None
    controller: str
    virtual_functions: int | None
    counters: Mapping[str, int]
    transceiver: Transceiver | None

    @property
    def label(self) -> str:
        return f"{self.name} {self.id}" if self.id != self.name else self.name

    @property
    def is_over_infiniband(self) -> bool:
        """Whether it is made of an InfiniBand port: its address has twenty octets (RFC 4391, section 9.1.1)."""
        return len(self.mac.split(":")) == 20


def parse_settings(text: str) -> Settings:
    """`ethtool NAME`; what it could not find out is None or ""."""
    fields = dict(_parse_fields(text))
    autonegotiation = fields.get("Auto-negotiation", "")
    duplex = fields.get("Duplex", "").lower()
    return Settings(
        speed_max_mbit=_fastest(fields.get("Supported link modes", "")),
        partner_max_mbit=_fastest(fields.get("Link partner advertised link modes", "")),
        duplex=duplex if duplex in ("full", "half") else "",
        autonegotiation={"on": True, "off": False}.get(autonegotiation),
        port=fields.get("Port", ""),
    )


def _fastest(modes: str) -> int | None:
    """Of `1000baseT/Full 10000baseT/Full`; what only one maker's cards do among themselves does not count."""
    speeds = {int(speed) for speed in re.findall(r"\b(\d{2,7})base", modes, re.ASCII)} - {PROPRIETARY}
    return max(speeds, default=None)


def _parse_fields(text: str) -> Iterator[tuple[str, str]]:
    """`Name: value` with the lines that go on with a value; the first of a name counts."""
    name, value, seen = "", "", set()
    for line in text.splitlines():
        head, colon, rest = line.partition(":")
        if colon and not re.search(r"base[A-Z]", head):
            if name:
                yield name, value.strip()
            name, value = head.strip(), rest.strip()
            if name in seen:
                name = ""
            seen.add(name)
        elif name:
            value += f" {line.strip()}"
    if name:
        yield name, value.strip()


def parse_driver(text: str) -> dict[str, str]:
    """`ethtool -i NAME`: `driver`, `version`, `firmware-version`, `bus-info`, … as far as they are there."""
    return dict(_parse_fields(text))


def parse_module(text: str) -> Transceiver | None:
    """`ethtool -m NAME`; None where there is no module that tells what it is."""
    fields = dict(_parse_fields(text))
    kind = re.search(r"\((.+)\)", fields.get("Identifier", ""))
    if not kind:
        return None
    raised = [name for name, value in fields.items() if value == "On"]
    return Transceiver(
        kind=re.split(r" or |/", kind.group(1))[0].strip(),
        vendor=fields.get("Vendor name", ""),
        part=fields.get("Vendor PN", ""),
        serial=fields.get("Vendor SN", ""),
        temperature=_figure(fields.get("Module temperature", ""), r"degrees C"),
        voltage=_figure(fields.get("Module voltage", ""), r"V"),
        lanes=tuple(_parse_lanes(fields)),
        alarms=tuple(_words(name) for name in raised if re.search(r"\balarm\b", name)),
        warnings=tuple(_words(name) for name in raised if re.search(r"\bwarning\b", name)),
        monitored="Module temperature" in fields,
    )


def _words(flag: str) -> str:
    return re.sub(r"\s+", " ", flag)


# SFF-8472 (SFP), and SFF-8636 and CMIS (QSFP and later), as ethtool words them.
# No light at all has no logarithm; SFF-8472 measures down to 0.1 µW, which is this.
DARK = -40.0
_TX = r"Laser output power|Transmit avg optical power"
_RX = r"Receiver signal (?:average optical power|OMA)|Rcvr signal avg optical power"
_BIAS = r"Laser bias current|Laser tx bias current"
_CHANNEL = r"\s*(?:\((?:Channel|Chan) (\d+)\))?"


def _parse_lanes(fields: Mapping[str, str]) -> Iterator[Lane]:
    figures: dict[int, dict[str, float | None]] = {}
    for name, value in fields.items():
        for what, label, unit in (("tx_power", _TX, "dBm"), ("rx_power", _RX, "dBm"), ("bias", _BIAS, "mA")):
            match = re.fullmatch(f"(?:{label}){_CHANNEL}", name)
            if match:
                figures.setdefault(int(match.group(1) or 1), {})[what] = _figure(value, unit)
    for number, lane in sorted(figures.items()):
        yield Lane(number, lane.get("tx_power"), lane.get("rx_power"), lane.get("bias"))


def _figure(text: str, unit: str) -> float | None:
    """The figure before a unit: of `0.8183 mW / -0.87 dBm` either."""
    if unit == "dBm" and re.search(r"-inf dBm", text, re.IGNORECASE):
        return DARK
    match = re.search(rf"(-?\d{{1,6}}(?:\.\d{{1,6}})?) {unit}\b", text, re.ASCII)
    return float(match.group(1)) if match else None


def parse_permanent(text: str) -> dict[str, str]:
    """Permanent addresses by interface from `ip --json --details link`, where it differs from the one in use.

    Raises ValueError.
    """
    links = json.loads(text)
    if not isinstance(links, list):
        raise ValueError("no list of links")
    return {
        str(link.get("ifname")): str(link["permaddr"]).lower()
        for link in links
        if isinstance(link, dict) and link.get("permaddr")
    }


# -- looking ----------------------------------------------------------------------------------------


def probe_interfaces(look: Look) -> tuple[Interface, ...]:
    """Every interface with hardware behind it, and every other that has an address, by name; side by side."""
    host = look.host
    nics = probe_nics(host)
    permanent = _probe_permanent(look)
    jobs = [_make_job(nic, permanent.get(nic.name, "")) for nic in nics]
    looked = look_side_by_side(host, jobs)
    look.missing += looked.missing
    if not nics:
        look.note("nics", Why.ABSENT, "there is no network interface")
    # One that hangs is still there: what the kernel knows of it costs no question.
    return tuple(looked.values.get(f"nics.{nic.name}") or _make(host, nic, permanent.get(nic.name, "")) for nic in nics)


def _make_job(nic: Nic, permanent: str) -> Job[Interface]:
    return Job(f"nics.{nic.name}", lambda look: _probe_interface(look, nic, permanent), NIC_LIMIT)


def _probe_permanent(look: Look) -> Mapping[str, str]:
    text = look.text("nics.permanent", ["ip", "--json", "--details", "link", "show"], timeout=ETHTOOL_TIMEOUT)
    try:
        return parse_permanent(text) if text else {}
    except ValueError as error:
        look.note("nics.permanent", Why.NOT_UNDERSTOOD, f"ip: {error}")
        return {}


def _probe_interface(look: Look, nic: Nic, permanent: str) -> Interface:
    if not look.host.exists(f"{NET}/{nic.name}/device"):
        return _make(look.host, nic, permanent)
    part = f"nics.{nic.name}"
    settings = parse_settings(look.text(part, ["ethtool", nic.name], timeout=ETHTOOL_TIMEOUT))
    driver = parse_driver(look.text(part, ["ethtool", "-i", nic.name], timeout=ETHTOOL_TIMEOUT))
    module = None
    if settings.port not in (*NO_CAGE, "Other"):
        # Without a module it fails, and that is an answer.
        said = look.ask(f"{part}.transceiver", ["ethtool", "-m", nic.name], timeout=ETHTOOL_TIMEOUT, success=None)
        module = parse_module(said.stdout) if said and said.status == 0 else None
    return _make(look.host, nic, permanent, settings, driver, module)


def _make(
    host: Host,
    nic: Nic,
    permanent: str,
    settings: Settings | None = None,
    driver: Mapping[str, str] | None = None,
    module: Transceiver | None = None,
) -> Interface:
    below = f"{NET}/{nic.name}"
    settings = settings or Settings(None, None, "", None, "")
    driver = driver or {}
    has_device = host.exists(f"{below}/device")
    numa = host.read_or(f"{below}/device/numa_node")
    counted = {name: to_number(host.read_or(f"{below}/statistics/{name}")) for name in COUNTERS}
    return Interface(
        id=permanent or (nic.mac if has_device else "") or nic.name,
        name=nic.name,
        mac=nic.mac,
        addresses=nic.addresses,
        bus=read_link(host, f"{below}/device"),
        numa_node=int(numa) if numa.isdecimal() else None,
        driver=driver.get("driver") or read_link(host, f"{below}/device/driver"),
        driver_version=driver.get("version", ""),
        firmware="" if driver.get("firmware-version") == "N/A" else driver.get("firmware-version", ""),
        state=host.read_or(f"{below}/operstate"),
        carrier=nic.carrier,
        carrier_changes=to_number(host.read_or(f"{below}/carrier_changes")),
        speed_mbit=nic.speed_mbit,
        speed_max_mbit=settings.speed_max_mbit,
        partner_max_mbit=settings.partner_max_mbit,
        duplex=settings.duplex,
        autonegotiation=settings.autonegotiation,
        port=settings.port,
        mtu=to_number(host.read_or(f"{below}/mtu")),
        controller=read_link(host, f"{below}/master"),
        virtual_functions=to_number(host.read_or(f"{below}/device/sriov_numvfs")),
        counters={name: number for name, number in counted.items() if number is not None},
        transceiver=module,
    )
