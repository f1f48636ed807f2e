"""RAID controllers: what a volume of theirs is, and which drives are behind it, where a maker's tool is installed."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from liveagent.host import Host
from liveagent.machine.question import Questions

# What controllers put into INQUIRY or IDENTIFY for a volume: vendor, model, who that is. A drive that is passed
# through carries its own maker and model. IBM's and Sun's names are on Adaptec and LSI controllers.
_VOLUMES = (
    (r"dell", r"perc\b", "a Dell PERC controller"),
    (r"(ata|marvell|dell)?", r"dellboss vd|dell boss-\w+", "a Dell BOSS card"),
    (r"(ata|marvell)?", r"marvell (raid|vd)|.*\braid vd\b", "a Marvell controller"),
    (r"(ata|lenovo)?", r"thinksystem m\.2 (vd|raid)|lenovo m\.2 vd", "a Lenovo M.2 mirroring kit"),
    (r"(hpe?)?", r"(hpe )?ns204\w+", "an HPE NS204i boot controller"),
    (r"megaraid", r".*", "a MegaRAID controller"),
    (r"lsi|avago|broadcom|hpe?|lenovo", r"(avago|megaraid|broadcom)? ?mr[ -]?\d{2,4}\w*", "a MegaRAID controller"),
    (r"lsi|avago|broadcom", r"(megaraid|megasr|logical volume|virtual (disk|drive))", "an LSI controller"),
    (r"hpe?|compaq|mscc|adaptec|microsem\w*", r"logical volume", "a Smart Array or SmartRAID controller"),
    (r"asr\w*|aac\w*|icp\w*|adaptec|servera\w*", r".*", "an Adaptec controller"),
    (r"(sun)", r"stk raid", "a Sun STK RAID controller"),
    (r"ibm|lenovo", r"(serveraid|raid \d{3})", "a ServeRAID or ThinkSystem RAID controller"),
    (r"intel", r"(rs|rms|rsp|rmsp)\d\w+|multi-flex", "an Intel RAID controller"),
    (r"(ata|intel)?", r"(intel )?raid ?\d+ volume", "Intel VROC or Rapid Storage"),
    (r"fts|fujitsu", r"(praid|d\d{4}\b)", "a Fujitsu RAID controller"),
    (r"cisco", r"(ucsc?-\w+|cisco (boot )?vd|.*\bvd\b)", "a Cisco UCS RAID controller"),
    (r"smc|supermicro", r"(smc|aoc-)\w*", "a Supermicro RAID controller"),
    (r"areca", r".*", "an Areca controller"),
    (r"amcc|3ware", r".*", "a 3ware controller"),
    (r"lsi", r"9\d{3}\w* .*disk", "a 3ware controller"),
    (r"hpt|highpoint", r".*", "a HighPoint controller"),
    (r"promise", r".*", "a Promise controller"),
)
VOLUMES = tuple((re.compile(vendor, re.I), re.compile(model, re.I), words) for vendor, model, words in _VOLUMES)

# PCI class 0x0104: mass storage, RAID. A host adapter in IT mode is 0x0107, and hides nothing while it has a driver.
RAID_CLASS = re.compile(r"0x0104")
# Mass storage of any kind but floppies. Kernels of EL have dropped drivers, and single cards from drivers.
STORAGE_CLASS = re.compile(r"0x01(?!02)")
DRIVERS = (
    "3w-9xxx", "3w-sas", "3w-xxxx", "aacraid", "arcmsr", "dpt_i2o", "hpsa", "cciss", "hptiop", "ips", "megaraid",
    "megaraid_mbox", "megaraid_sas", "mpi3mr", "mvumi", "pmcraid", "smartpqi", "stex",
)  # fmt: skip
# They bind to controllers of that class, and show every drive as it is.
SHOWS_ALL = ("ahci", "vmd")

# The makers' packages put them beside the PATH.
STORCLI = (
    "storcli64", "storcli", "perccli64", "perccli",
    "/opt/MegaRAID/storcli/storcli64", "/opt/MegaRAID/perccli/perccli64",
)  # fmt: skip
SSACLI = ("ssacli", "hpssacli")
SECTOR = 512


@dataclasses.dataclass(frozen=True)
class PhysicalDisk:
    """A drive behind a controller, which is named by its PCI address.

    `size` in bytes, rounded as the tool rounds it, None where not said. `medium`: "SATA HDD", "SAS SSD", "". `state` is
    the tool's own word: Onln, UGood, JBOD, OK, Failed. `slot` is how the tool calls its place: 252:0, 2I:1:1.
    """

    controller: str
    slot: str
    model: str
    serial: str
    size: int | None
    medium: str
    state: str


@dataclasses.dataclass(frozen=True)
class RaidSurvey:
    """Controllers that hide drives, the drives behind them, and the controllers whose drives nobody listed in full."""

    controllers: tuple[str, ...] = ()
    physical: tuple[PhysicalDisk, ...] = ()
    unlisted: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Listing:
    """What a tool knows of one controller. `is_whole`: it listed as many drives as it counts."""

    address: str
    disks: tuple[PhysicalDisk, ...]
    is_whole: bool


def describe_volume(vendor: str, model: str) -> str:
    """What a disk is where a RAID controller made it up, in words; "" for a drive, as far as its name tells."""
    vendor, model = vendor.strip().replace("_", " "), model.strip().replace("_", " ")
    for of_vendor, of_model, words in VOLUMES:
        if of_vendor.fullmatch(vendor) and of_model.match(model):
            return f"a logical volume of {words}"
    return ""


def parse_address(text: str) -> str:
    """A PCI address as sysfs writes it, out of storcli's `00:3b:00:00` or ssacli's `0000:5C:00.0`; "" without one."""
    match = re.fullmatch(r"\s*([0-9a-fA-F]+):([0-9a-fA-F]+):([0-9a-fA-F]+)[.:]([0-9a-fA-F]+)\s*", text)
    return "{:04x}:{:02x}:{:02x}.{:x}".format(*(int(part, 16) for part in match.groups())) if match else ""


def parse_size(text: str) -> int | None:
    """Bytes, of storcli's `14.552 TB [0x746c00000 Sectors]` or `7.277 TB`, which counts in 1024."""
    exact = re.search(r"\[0x([0-9a-fA-F]+) Sectors\]", text)
    if exact:
        return int(exact.group(1), 16) * SECTOR
    return parse_rounded(text, 1024)


def parse_rounded(text: str, base: int) -> int | None:
    match = re.match(r"\s*(\d+(?:\.\d+)?) ([KMGTP])i?B", text)
    return round(float(match.group(1)) * base ** ("KMGTP".index(match.group(2)) + 1)) if match else None


def parse_storcli(controllers: str, drives: str) -> tuple[Listing, ...]:
    """`storcli /call show J`, and `storcli /call/eall/sall show all J` for what is on the drives' labels.

    A controller's status may be Failure over a foreign configuration, with all its drives listed nevertheless.
    """
    details = parse_details(drives)
    listings = []
    for number, response, _ in parse_responses(controllers):
        address = parse_address(str(response.get("PCI Address", "")))
        rows = [row for row in get_rows(response.get("PD LIST")) if isinstance(row, dict)]
        if not address:
            continue
        disks = tuple(
            make_storcli_disk(address, row, details.get((number, get_text(row, "EID:Slt")), {})) for row in rows
        )
        counted = response.get("Physical Drives", None if rows else 0)
        listings.append(Listing(address, disks, is_whole=counted == len(disks)))
    return tuple(listings)


def parse_responses(text: str) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    """The number of each controller, what it answered, and what it complains of."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return
    for part in get_rows(document.get("Controllers") if isinstance(document, dict) else None):
        if not isinstance(part, dict):
            continue
        status, response = part.get("Command Status"), part.get("Response Data")
        if isinstance(status, dict) and isinstance(response, dict):
            faults = (row.get("ErrMsg") for row in get_rows(status.get("Detailed Status")) if isinstance(row, dict))
            yield str(status.get("Controller", "")), response, "; ".join(str(fault) for fault in faults)


def parse_details(text: str) -> dict[tuple[str, str], Mapping[str, Any]]:
    """The attributes and counters of each drive, by controller and enclosure:slot."""
    details: dict[tuple[str, str], Mapping[str, Any]] = {}
    for number, response, _ in parse_responses(text):
        for name, value in response.items():
            match = re.fullmatch(r"Drive (/c\d+(?:/e(\d+))?/s(\d+)) - Detailed Information", name)
            if match and isinstance(value, dict):
                parts = [value.get(f"Drive {match.group(1)} {part}") for part in ("State", "Device attributes")]
                place = f"{match.group(2) or ' '}:{match.group(3)}"
                details[number, place] = {k: v for part in parts if isinstance(part, dict) for k, v in part.items()}
    return details


def make_storcli_disk(address: str, row: Mapping[str, Any], details: Mapping[str, Any]) -> PhysicalDisk:
    return PhysicalDisk(
        controller=address,
        slot=get_text(row, "EID:Slt"),
        model=get_text(details, "Model Number") or get_text(row, "Model"),
        serial=get_text(details, "SN"),
        size=parse_size(get_text(details, "Raw size") or get_text(row, "Size")),
        medium=f"{get_text(row, 'Intf')} {get_text(row, 'Med')}".strip(),
        state=get_text(row, "State"),
    )


def get_text(values: Mapping[str, Any], key: str) -> str:
    return str(values.get(key, "")).strip()


def get_rows(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list) else ()


def parse_ssacli(text: str) -> tuple[Listing, ...]:
    """`ssacli ctrl all show config detail`: the blocks of its drives, and the lines that only name one."""
    parts = re.split(r"^(?=\S.* in Slot )", text, flags=re.MULTILINE)
    listings = []
    for part in parts:
        address = parse_address(find_line(r"PCI Address \(Domain:Bus:Device\.Function\): *(\S+)", part))
        if not address:
            continue
        named = dict.fromkeys(re.findall(r"^ +physicaldrive (\S+)", part, re.MULTILINE))
        blocks = dict(re.findall(r"^ +physicaldrive (\S+) *\n((?: +\S[^\n]*: ?[^\n]*\n?)+)", part, re.MULTILINE))
        disks = tuple(make_ssacli_disk(address, slot, blocks[slot]) for slot in named if slot in blocks)
        # A controller that has none says so; one that says nothing at all was not asked well.
        is_whole = len(disks) == len(named) and (bool(disks) or "None attached" in part)
        listings.append(Listing(address, disks, is_whole))
    return tuple(listings)


def make_ssacli_disk(address: str, slot: str, block: str) -> PhysicalDisk:
    interface = find_line(r"Interface Type: *(.*)", block)
    bus = interface.replace("Solid State ", "")
    return PhysicalDisk(
        controller=address,
        slot=slot,
        model=find_line(r"Model: .{8}(.*)", block),  # before it the vendor, in eight columns; "ATA" of a SATA drive
        serial=find_line(r"Serial Number: *(.*)", block),
        size=parse_rounded(find_line(r"Size: *(.*)", block), 1000),
        medium=f"{bus} {'SSD' if bus != interface else 'HDD'}" if interface else "",
        state=find_line(r"Status: *(.*)", block),
    )


def find_line(pattern: str, text: str) -> str:
    match = re.search(rf"^ +{pattern}$", text, re.MULTILINE)
    return match.group(1).strip() if match else ""


def probe_raid(host: Host) -> RaidSurvey:
    """The controllers of this machine that hide drives, and the drives behind them as far as a tool lists them."""
    drivers = probe_controllers(host)
    if not drivers:
        return RaidSurvey()
    listings = {listing.address: listing for listing in probe_listings(host) if listing.address in drivers}
    names = {address: f"{address} {driver or 'without a driver'}" for address, driver in drivers.items()}
    return RaidSurvey(
        controllers=tuple(names.values()),
        physical=tuple(disk for listing in listings.values() for disk in listing.disks),
        unlisted=tuple(
            name for address, name in names.items() if address not in listings or not listings[address].is_whole
        ),
    )


def probe_controllers(host: Host) -> dict[str, str]:
    """The driver of each controller that hides drives, by its PCI address: RAID, and whatever has no driver ("")."""
    found = {}
    for address in host.list("/sys/bus/pci/devices"):
        device = f"/sys/bus/pci/devices/{address}"
        link = host.resolve(f"{device}/driver").rsplit("/", 1)[-1]
        driver = "" if link == "driver" else link  # a link that is not there leads to itself
        kind = host.read_or(f"{device}/class")
        is_raid = bool(RAID_CLASS.match(kind)) and driver not in SHOWS_ALL
        is_blind = bool(STORAGE_CLASS.match(kind)) and not driver
        if is_raid or is_blind or driver in DRIVERS:
            found[address] = driver
    return found


def probe_listings(host: Host) -> tuple[Listing, ...]:
    """What every tool that is installed lists. Each is asked as one drive would be: a tool that hangs is left alone."""
    found: list[Listing] = []
    for tool in STORCLI:
        questions = Questions(host)
        controllers = questions.ask([tool, "/call", "show", "J"])
        if controllers:
            drives = questions.ask([tool, "/call/eall/sall", "show", "all", "J"])
            found += parse_storcli(controllers.stdout, drives.stdout if drives else "")
    for tool in SSACLI:
        shown = Questions(host).ask([tool, "ctrl", "all", "show", "config", "detail"])
        if shown:
            found += parse_ssacli(shown.stdout)
    return tuple(found)
