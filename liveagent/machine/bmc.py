"""The BMC: what it is, how it can be reached and by whom, and what it measured and logged."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Iterator, Sequence

from liveagent.events import render_time
from liveagent.machine.bmc_driver import has_device, probe_announced, probe_driver
from liveagent.machine.fru import Fru, parse_frus
from liveagent.machine.ipmi import LIST_TIMEOUT, Ipmi, parse_blocks, parse_count, parse_flag, parse_pairs, parse_time
from liveagent.machine.look import Look, Why, explain
from liveagent.machine.sel import Sel, choose_kept, parse_sel, parse_sel_info
from liveagent.machine.sensors import Sensor, parse_sensors

# IPMI 2.0, table 6-1: those between are fixed, or are the system's own.
CHANNELS = range(1, 12)


@dataclasses.dataclass(frozen=True)
class BmcLan:
    """How the BMC is reached over one of its channels; None where nothing is set.

    `source`: where the address comes from, in ipmitool's words. `ciphers`: RMCP+ cipher suites that are offered;
    `cipher_zero`: whether suite 0, which asks for no password, lets anyone in.
    """

    channel: int
    address: str | None
    netmask: str | None
    gateway: str | None
    addresses_v6: tuple[str, ...]
    mac: str | None
    source: str | None
    vlan: int | None
    ciphers: tuple[int, ...]
    cipher_zero: bool | None


@dataclasses.dataclass(frozen=True)
class BmcUser:
    """A user who could get in over a channel. `enabled` is None where the BMC does not tell."""

    id: str
    number: int
    channel: int
    name: str
    privilege: str
    messaging: bool | None
    enabled: bool | None


@dataclasses.dataclass(frozen=True)
class ChassisStatus:
    """What the BMC says of power and of the chassis; None for what it does not."""

    power_on: bool | None = None
    power_overload: bool | None = None
    power_fault: bool | None = None
    power_control_fault: bool | None = None
    intrusion: bool | None = None
    drive_fault: bool | None = None
    fan_fault: bool | None = None
    restore_policy: str = ""
    last_power_event: str = ""


@dataclasses.dataclass(frozen=True)
class PowerReading:
    """What the server draws, in watts, over the BMC's own period of `seconds`."""

    now: int
    minimum: int
    maximum: int
    average: int
    seconds: int | None


@dataclasses.dataclass(frozen=True)
class Bmc:
    """The BMC. `clock` is its own time, RFC 3339, and `clock_offset` how many seconds it is ahead of the system's;
    `clock_is_set` is False where it counts from its own start, None where it was not asked.

    `host_network`: whether it offers the system a network for Redfish. `sensors`: its own, fans and supplies as well.
    """

    manufacturer: str = ""
    manufacturer_id: int | None = None
    product: str = ""
    product_id: int | None = None
    firmware: str = ""
    firmware_aux: str = ""
    ipmi_version: str = ""
    host_network: bool = False
    clock: str | None = None
    clock_offset: float | None = None
    clock_is_set: bool | None = None
    lans: tuple[BmcLan, ...] = ()
    users: tuple[BmcUser, ...] = ()
    chassis: ChassisStatus | None = None
    power: PowerReading | None = None
    frus: tuple[Fru, ...] = ()
    sensors: tuple[Sensor, ...] = ()
    sel: Sel | None = None


# -- what is printed --------------------------------------------------------------------------------


def parse_mc(text: str) -> Bmc | None:
    """The BMC itself, from `ipmitool mc info`; None where it is something else."""
    pairs = parse_pairs(text)
    if parse_count(pairs.get("device id")) is None:
        return None
    aux = re.findall(r"^\s+0x([0-9a-fA-F]{2})\s*$", text.partition("Aux Firmware Rev Info")[2], re.MULTILINE)
    return Bmc(
        manufacturer=_name(pairs.get("manufacturer name", "")),
        manufacturer_id=parse_count(pairs.get("manufacturer id")),
        product=_name(pairs.get("product name", "")),
        product_id=parse_count(pairs.get("product id")),
        firmware=pairs.get("firmware revision", ""),
        firmware_aux=" ".join(aux) if any(int(byte, 16) for byte in aux) else "",
        ipmi_version=pairs.get("ipmi version", ""),
    )


def parse_lan(text: str, channel: int, addresses_v6: Sequence[str] = ()) -> BmcLan | None:
    """One channel, from `ipmitool lan print N`; None where it is no LAN channel. The SNMP community is left out."""
    pairs = parse_pairs(text)
    if "mac address" not in pairs and "ip address" not in pairs:
        return None
    ciphers = tuple(int(word) for word in re.findall(r"\b\d{1,3}\b", pairs.get("rmcp+ cipher suites", "")))
    # A letter for each suite, from suite 0 on; X is one that nobody may use.
    privileges = pairs.get("cipher suite priv max", "")
    knows = re.fullmatch(r"[XcuoaO]{15}", privileges)
    return BmcLan(
        channel=channel,
        address=_address(pairs.get("ip address", "")),
        netmask=_address(pairs.get("subnet mask", "")),
        gateway=_address(pairs.get("default gateway ip", "")),
        addresses_v6=tuple(addresses_v6),
        mac=_mac(pairs.get("mac address", "")),
        source=pairs.get("ip address source") or None,
        vlan=parse_count(pairs.get("802.1q vlan id")),
        ciphers=ciphers,
        cipher_zero=(0 in ciphers and privileges[0] != "X") if knows else None,
    )


def parse_lan6(text: str) -> tuple[str, ...]:
    """The IPv6 addresses in use, from `ipmitool lan6 print N`."""
    found = []
    for block in re.split(r"^(?=\S)", text, flags=re.MULTILINE):
        pairs = parse_pairs(block)
        address = _address(pairs.get("address", "").partition("/")[0])
        if pairs.get("status") == "active" and address:
            found.append(address)
    return tuple(dict.fromkeys(found))


def parse_users(text: str, channel: int) -> tuple[BmcUser, ...]:
    """Those who have a name or a way in, from `ipmitool channel getaccess N`."""
    return tuple(filter(None, (_parse_user(block, channel) for block in parse_blocks(text, "User ID"))))


def _parse_user(block: str, channel: int) -> BmcUser | None:
    pairs = parse_pairs(block)
    number = parse_count(pairs.get("user id"))
    name, privilege = pairs.get("user name", "").strip(), pairs.get("privilege level", "")
    messaging, enabled = parse_flag(pairs.get("ipmi messaging")), parse_flag(pairs.get("enable status"))
    has_way_in = messaging and enabled is not False and privilege in PRIVILEGES
    if number is None or not (name or has_way_in):
        return None
    return BmcUser(f"{channel}/{number}", number, channel, name, privilege, messaging, enabled)


PRIVILEGES = ("CALLBACK", "USER", "OPERATOR", "ADMINISTRATOR", "OEM")


def parse_chassis(text: str) -> ChassisStatus | None:
    """The chassis, from `ipmitool chassis status`; None where it is something else."""
    pairs = parse_pairs(text)
    status = ChassisStatus(
        power_on=parse_flag(pairs.get("system power")),
        power_overload=parse_flag(pairs.get("power overload")),
        power_fault=parse_flag(pairs.get("main power fault")),
        power_control_fault=parse_flag(pairs.get("power control fault")),
        intrusion=parse_flag(pairs.get("chassis intrusion")),
        drive_fault=parse_flag(pairs.get("drive fault")),
        fan_fault=parse_flag(pairs.get("cooling/fan fault")),
        restore_policy=pairs.get("power restore policy", ""),
        last_power_event=pairs.get("last power event", ""),
    )
    return status if status.power_on is not None else None


def parse_power(text: str) -> PowerReading | None:
    """What `ipmitool dcmi power reading` says; None where the BMC does not measure: a running server draws some."""
    pairs = parse_pairs(text)
    watts = [parse_count(pairs.get(name)) for name in READINGS]
    now, minimum, maximum, average = watts
    if not now or minimum is None or maximum is None or average is None:
        return None
    return PowerReading(now, minimum, maximum, average, parse_count(pairs.get("sampling period")))


READINGS = (
    "instantaneous power reading",
    "minimum during sampling period",
    "maximum during sampling period",
    "average power reading over sample period",
)


def _name(text: str) -> str:
    return "" if text.startswith("Unknown") else text


def _address(text: str) -> str | None:
    """An address that is one; None for 0.0.0.0 and ::, which stand for none."""
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    return None if address.is_unspecified else str(address)


def _mac(text: str) -> str | None:
    mac = text.strip().lower()
    return mac if re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", mac) and mac.strip("0:") else None


# -- the machine ------------------------------------------------------------------------------------


def probe_bmc(look: Look, interface: Sequence[str] = ()) -> Bmc | None:
    """The BMC of this machine, or that behind `interface`; None, and noted why, where there is none or it is silent."""
    announced, driver = probe_announced(look.host), probe_driver(look.host)
    kernel = Bmc(**dataclasses.asdict(driver), host_network=announced.host_network) if driver else None
    if not interface and not has_device(look.host):
        if driver or announced.bmc:
            look.note("bmc", Why.NO_DRIVER, "there is a BMC, and no /dev/ipmi0 (is ipmi_devintf loaded?)")
        else:
            look.note("bmc", Why.ABSENT, "no firmware table names a BMC, and there is no /dev/ipmi0")
        return kernel
    ipmi = Ipmi(look, interface)
    said = ipmi.ask("bmc", "mc", "info")
    if said is None:
        return kernel
    bmc = parse_mc(said.stdout)
    if bmc is None:
        look.note("bmc", Why.NOT_UNDERSTOOD, "ipmitool mc info: no device ID")
        return kernel
    clock, offset, is_set = _probe_clock(ipmi)
    lans = tuple(_probe_lans(ipmi))
    if not lans:
        look.note("bmc.lans", Why.ABSENT, "none of its channels is a LAN")
    return dataclasses.replace(
        bmc,
        host_network=announced.host_network,
        clock=clock,
        clock_offset=offset,
        clock_is_set=is_set,
        lans=lans,
        users=tuple(user for lan in lans for user in _probe_users(ipmi, lan.channel)),
        chassis=parse_chassis(ipmi.text("bmc.chassis", "chassis", "status")),
        power=_probe_power(ipmi),
        sel=_probe_sel(ipmi),
        sensors=_probe_sensors(ipmi),
        frus=_probe_frus(ipmi),
    )


def _probe_clock(ipmi: Ipmi) -> tuple[str | None, float | None, bool | None]:
    """The BMC's time, its offset, and whether it was set; IPMI has whole seconds."""
    text = ipmi.text("bmc.clock", "sel", "time", "get").strip()
    if not text:
        return None, None, None
    time = parse_time(text)
    if time is None:
        # `S+ 00:53:11`, or the same in the year 1970: it counts from its start.
        is_counting = re.match(r"S\+|\d\d/\d\d/(19)?70\b", text) is not None
        if not is_counting:
            ipmi.look.note("bmc.clock", Why.NOT_UNDERSTOOD, text[:80])
        return None, None, False if is_counting else None
    return render_time(time), round(time - ipmi.look.host.now(), 1), True


def _probe_lans(ipmi: Ipmi) -> Iterator[BmcLan]:
    for channel in CHANNELS:
        said = ipmi.ask("bmc.lans", "lan", "print", str(channel), success=None)
        if said is None:
            return
        lan = parse_lan(said.stdout, channel)
        if lan:
            six = ipmi.ask("bmc.lans", "lan6", "print", str(channel), success=None)
            yield dataclasses.replace(lan, addresses_v6=parse_lan6(six.stdout if six else ""))


def _probe_users(ipmi: Ipmi, channel: int) -> tuple[BmcUser, ...]:
    # It ends with 1 where it could not ask about one of them.
    said = ipmi.ask("bmc.users", "channel", "getaccess", str(channel), timeout=LIST_TIMEOUT, success=None)
    if said and not parse_pairs(said.stdout):
        ipmi.look.note("bmc.users", *explain(said))
    return parse_users(said.stdout if said else "", channel)


def _probe_power(ipmi: Ipmi) -> PowerReading | None:
    said = ipmi.ask("bmc.power", "dcmi", "power", "reading", success=None)
    reading = parse_power(said.stdout) if said else None
    if said and reading is None:
        ipmi.look.note("bmc.power", Why.ABSENT, "the BMC does not measure what the server draws")
    return reading


def _probe_sensors(ipmi: Ipmi) -> tuple[Sensor, ...]:
    # It ends with 1 where a sensor has no reading just now.
    said = ipmi.ask("bmc.sensors", "-v", "sensor", "list", timeout=LIST_TIMEOUT, success=None)
    sensors = parse_sensors(said.stdout) if said else ()
    if said and not sensors:
        ipmi.look.note("bmc.sensors", Why.ABSENT, "the BMC names no sensors")
    return sensors


def _probe_frus(ipmi: Ipmi) -> tuple[Fru, ...]:
    # It ends with 1 where one of the parts is not there.
    said = ipmi.ask("bmc.frus", "fru", "print", timeout=LIST_TIMEOUT, success=None)
    frus = parse_frus(said.stdout) if said else ()
    if said and not frus:
        ipmi.look.note("bmc.frus", Why.ABSENT, "the BMC names no parts")
    return frus


def _probe_sel(ipmi: Ipmi) -> Sel | None:
    sel = parse_sel_info(ipmi.text("bmc.sel", "sel", "info"))
    said = ipmi.ask("bmc.sel", "sel", "elist", timeout=LIST_TIMEOUT, success=None)
    parsed = parse_sel(said.stdout, said.stderr) if said else None
    if said and parsed is None:
        ipmi.look.note("bmc.sel", Why.NOT_UNDERSTOOD, "ipmitool sel elist printed no entries")
    if parsed is None:
        return sel
    events, left_out = choose_kept(parsed[0])
    if not parsed[1]:
        ipmi.look.note("bmc.sel", Why.NOT_UNDERSTOOD, "some entries could not be read")
    return dataclasses.replace(sel or Sel(), events=events, left_out=left_out, complete=parsed[1])
