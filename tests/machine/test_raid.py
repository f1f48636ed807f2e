from __future__ import annotations

import json
from pathlib import Path

import pytest

from liveagent.host import Host
from liveagent.machine.raid import (
    SSACLI,
    STORCLI,
    PhysicalDisk,
    RaidSurvey,
    describe_volume,
    parse_address,
    parse_size,
    parse_ssacli,
    parse_storcli,
    probe_controllers,
    probe_raid,
)
from tests.machine.replies import HANGS, NOT_INSTALLED, Reply, make_replay


@pytest.mark.parametrize(
    ("vendor", "model", "words"),
    [
        ("DELL", "PERC H730 Mini", "Dell PERC"),
        ("DELL", "PERC_H710", "Dell PERC"),
        ("ATA", "DELLBOSS VD", "Dell BOSS"),
        ("", "Dell BOSS-N1", "Dell BOSS"),
        ("AVAGO", "MR9361-8i", "MegaRAID"),
        ("BROADCOM", "MR9560-16i", "MegaRAID"),
        ("HPE", "MR416i-p Gen10+", "MegaRAID"),
        ("MegaRAID", "LD 0 RAID1   69G", "MegaRAID"),
        ("LSI", "Logical Volume", "LSI"),
        ("HP", "LOGICAL VOLUME", "Smart Array"),
        ("HPE", "LOGICAL VOLUME", "Smart Array"),
        ("", "HPE NS204i-p Gen10+ Boot Controller", "NS204i"),
        ("ASR8405", "LogicalDrv 0", "Adaptec"),
        ("IBM", "ServeRAID M5210", "ServeRAID"),
        ("Lenovo", "RAID 930-8i-2GB", "ServeRAID"),
        ("ATA", "ThinkSystem M.2 VD", "Lenovo"),
        ("INTEL", "RS3DC080", "Intel RAID"),
        ("Cisco", "UCSC-MRAID12G", "Cisco"),
        ("FTS", "PRAID EP420i", "Fujitsu"),
        ("SMC", "SMC3108", "Supermicro"),
        ("Areca", "ARC-1680-VOL#00", "Areca"),
        ("AMCC", "9650SE-4LP DISK", "3ware"),
        ("ATA", "MARVELL Raid VD 0", "Marvell"),
    ],
)
def test_volumes(vendor: str, model: str, words: str) -> None:
    """A volume that is overwritten leaves the spares, the old members and what a rebuild has moved."""
    described = describe_volume(vendor, model)
    assert described.startswith("a logical volume of ") and words in described


@pytest.mark.parametrize(
    ("vendor", "model"),
    [
        ("ATA", "INTEL SSDSC2BB480G6"),
        ("ATA", "Samsung SSD 850 EVO 1TB"),
        ("ATA", "MB2000GBUPB"),
        ("ATA", "Micron_5200_MTFDDAK960TDC"),
        ("HP", "EG0600FBVFP"),
        ("HPE", "MB6000JVYYV"),
        ("SEAGATE", "ST600MM0006"),
        ("TOSHIBA", "AL15SEB060N"),
        ("LSI", "Nytro WarpDrive"),
        ("", "INTEL SSDPE2KX080T8"),
        ("", "Dell Ent NVMe CM6 RI 1.92TB"),
        ("", "HUSMR7632BHP301"),
        ("QEMU", "QEMU HARDDISK"),
        ("VMware", "Virtual disk"),
        ("Msft", "Virtual Disk"),
        ("", ""),
    ],
)
def test_drives_are_no_volumes(vendor: str, model: str) -> None:
    """Controllers' makers sell drives too, and pass them through; a hypervisor's disk has nothing behind it here."""
    assert describe_volume(vendor, model) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("00:3b:00:00", "0000:3b:00.0"),
        ("0000:5C:00.0", "0000:5c:00.0"),
        ("01:af:1f:07", "0001:af:1f.7"),
        ("", ""),
        ("N/A", ""),
    ],
)
def test_addresses(text: str, expected: str) -> None:
    """storcli writes the function after a colon."""
    assert parse_address(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("14.552 TB [0x746c00000 Sectors]", 0x746C00000 * 512),
        ("893.750 GB", 893.75 * 2**30),
        ("7.277 TB", round(7.277 * 2**40)),
        ("N/A", None),
        ("", None),
    ],
)
def test_sizes(text: str, expected: float | None) -> None:
    """storcli's TB are TiB."""
    assert parse_size(text) == expected


def read(corpus: Path, file: str) -> str:
    return (corpus / "raid-controllers" / file).read_text()


@pytest.mark.corpus
def test_storcli_lists_all_drives_of_a_controller(corpus: Path) -> None:
    """By model and size; serials are on another page."""
    (listing,) = parse_storcli(read(corpus, "storcli-ironlib-show.json"), "")
    assert (listing.address, listing.is_whole, len(listing.disks)) == ("0000:3d:00.0", True, 12)
    size = round(7.277 * 2**40)
    first = PhysicalDisk("0000:3d:00.0", "12:0", "HGST HUS728T8TALE6L4", "", size, "SATA HDD", "UGood")
    assert listing.disks[0] == first


@pytest.mark.corpus
def test_storcli_says_failure_and_lists_its_drives(corpus: Path) -> None:
    """A foreign configuration makes the status Failure; the drives that hold it are the ones to be listed."""
    (listing,) = parse_storcli(read(corpus, "storcli-pystorcli-test03-c0-show-j.json"), "")
    assert (listing.address, listing.is_whole, len(listing.disks)) == ("0000:3b:00.0", True, 12)


def make_controllers(*places: str, drives: int | None = None) -> str:
    """`storcli /call show J` in the form of version 7.2309, cut to what is read."""
    rows = [{"EID:Slt": place, "State": "Onln", "Size": "1.0 TB", "Intf": "SATA", "Med": "SSD"} for place in places]
    count = len(rows) if drives is None else drives
    response = {"PCI Address": "00:3b:00:00", "Physical Drives": count, "PD LIST": rows}
    return json.dumps({"Controllers": [{"Command Status": {"Controller": 0}, "Response Data": response}]})


@pytest.mark.corpus
def test_storcli_serials(corpus: Path) -> None:
    """What is on the label is what a person looks for."""
    drives = read(corpus, "storcli-netdata-megaraid-drives-info.json")
    (listing,) = parse_storcli(make_controllers("252:0", "252:1", "252:9"), drives)
    assert [(disk.slot, disk.serial) for disk in listing.disks] == [
        ("252:0", "ZL2PVFA8"),
        ("252:1", "ZL2PY6LF"),
        ("252:9", ""),
    ]
    assert listing.disks[0].model == "ST16000NM001G-2KK103"
    assert listing.disks[0].size == 0x746C00000 * 512


def test_drives_that_are_counted_and_not_listed() -> None:
    """A controller that counts three and lists one has two that nobody has seen."""
    (listing,) = parse_storcli(make_controllers("252:0", drives=3), "")
    assert not listing.is_whole


@pytest.mark.corpus
@pytest.mark.parametrize(
    "file",
    [
        "storcli-ironlib-show-nocontrollers.json",
        "storcli-pystorcli-test02-show-j.json",
        "storcli-pystorcli-error-codes-01-c0-e252-s7-set-good-j.json",
        "storcli-pystorcli-show-foreign-config-01-c0-fall-show-j.json",
        "hpssacli-hardware-ctrl-show-output.txt",
    ],
)
def test_storcli_pages_without_a_controllers_drives(corpus: Path, file: str) -> None:
    """No controller, an error, another page, another tool."""
    assert parse_storcli(read(corpus, file), read(corpus, file)) == ()


@pytest.mark.corpus
def test_ssacli(corpus: Path) -> None:
    """Two controllers on one page, with an enclosure; every drive is named several times."""
    internal = parse_ssacli(read(corpus, "ssacli-netdata-ssacli-p408i-a.txt"))
    assert [(listing.address, listing.is_whole, len(listing.disks)) for listing in internal] == [
        ("0000:5c:00.0", True, 4)
    ]
    assert internal[0].disks[0] == PhysicalDisk(
        "0000:5c:00.0", "2I:1:1", "MTFDDAK960TCB", "REDACTED", 960 * 10**9, "SATA SSD", "OK"
    )
    two = parse_ssacli(read(corpus, "ssacli-netdata-ssacli-p212-p410i.txt"))
    assert [(listing.address, listing.is_whole, len(listing.disks)) for listing in two] == [
        ("0000:14:00.0", True, 12),
        ("0000:04:00.0", True, 6),
    ]
    assert two[1].disks[0].model == "EG0146FAWHU"
    assert {disk.medium for disk in two[1].disks} == {"SAS HDD"}


@pytest.mark.corpus
@pytest.mark.parametrize("file", ["hpssacli-hardware-ctrl-show-output.txt", "ssacli-netdata-ssacli-p408i-a.txt"])
def test_ssacli_without_the_blocks_is_not_whole(corpus: Path, file: str) -> None:
    """A page that names no drives, or only names them, has not listed them."""
    text = (
        read(corpus, file)
        .replace("Interface Type", "\n\nInterface Type")
        .replace("\n         Port", "\n\n         Port")
    )
    assert [listing.is_whole for listing in parse_ssacli(text)] == [False]


NO_TOOLS: dict[str, str | Reply] = {f"{tool} /call show J": NOT_INSTALLED for tool in STORCLI}
NO_TOOLS.update({f"{tool} ctrl all show config detail": NOT_INSTALLED for tool in SSACLI})

# Address, class, driver: two RAID controllers, one without a driver, one in IT mode, and what shows all its drives.
DEVICES = (
    ("0000:00:11.0", "0x010601", "ahci"),
    ("0000:00:17.0", "0x010400", "ahci"),
    ("0000:3b:00.0", "0x010400", "megaraid_sas"),
    ("0000:3d:00.0", "0x010700", "mpt3sas"),
    ("0000:5c:00.0", "0x010700", "smartpqi"),
    ("0000:af:00.0", "0x010400", ""),
    ("0000:c0:05.5", "0x010400", "vmd"),
)
BUS = "/sys/bus/pci/devices"


def make_machine(place: Path, replies: dict[str, str | Reply], devices: tuple[tuple[str, str, str], ...]) -> RaidSurvey:
    files = {f"{BUS}/{address}/class": f"{kind}\n" for address, kind, _ in devices}
    lists = {BUS: tuple(address for address, _, _ in devices)}
    for address, _, driver in devices:
        link = f"{BUS}/{address}/driver"
        lists[f"resolve {link}"] = (f"/sys/bus/pci/drivers/{driver}" if driver else link,)
    return probe_raid(make_replay(place, {**NO_TOOLS, **replies}, files, lists))


def test_controllers_that_nobody_could_list(tmp_path: Path) -> None:
    """By class and by driver. What shows its drives as they are hides none."""
    found = ("0000:3b:00.0 megaraid_sas", "0000:5c:00.0 smartpqi", "0000:af:00.0 without a driver")
    assert make_machine(tmp_path, {}, DEVICES) == RaidSurvey(found, (), found)


@pytest.mark.parametrize("kind", ["0x010000", "0x010185", "0x010601", "0x010700", "0x010802", "0x018000"])
def test_no_driver_hides_drives_of_every_kind(tmp_path: Path, kind: str) -> None:
    """A card that the kernel no longer knows: its drives are not there, and would be missed by nobody."""
    survey = make_machine(tmp_path, {}, (("0000:02:00.0", kind, ""), ("0000:03:00.0", kind, "mpt3sas")))
    assert survey.unlisted == ("0000:02:00.0 without a driver",)


@pytest.mark.parametrize("kind", ["0x010200", "0x020000", "0x0c0330"])
def test_what_has_no_disks_may_have_no_driver(tmp_path: Path, kind: str) -> None:
    assert make_machine(tmp_path, {}, (("0000:02:00.0", kind, ""),)) == RaidSurvey()


def test_a_machine_without_them_runs_no_tool(tmp_path: Path) -> None:
    """The tools load drivers and take their time."""
    assert make_machine(tmp_path, dict.fromkeys(NO_TOOLS, HANGS), DEVICES[:2]) == RaidSurvey()


@pytest.mark.corpus
def test_controllers_that_were_listed(corpus: Path, tmp_path: Path) -> None:
    """Each tool knows its own; a host adapter that storcli lists as well is none of them."""
    replies: dict[str, str | Reply] = {
        "storcli64 /call show J": make_controllers("252:0", "252:1"),
        "storcli64 /call/eall/sall show all J": read(corpus, "storcli-netdata-megaraid-drives-info.json"),
        "storcli /call show J": read(corpus, "storcli-ironlib-show.json"),
        "storcli /call/eall/sall show all J": HANGS,
        "ssacli ctrl all show config detail": read(corpus, "ssacli-netdata-ssacli-p408i-a.txt"),
    }
    survey = make_machine(tmp_path, replies, DEVICES)
    assert [disk.controller for disk in survey.physical] == ["0000:3b:00.0"] * 2 + ["0000:5c:00.0"] * 4
    assert [disk.serial for disk in survey.physical][:2] == ["ZL2PVFA8", "ZL2PY6LF"]
    assert survey.unlisted == ("0000:af:00.0 without a driver",)


def test_a_tool_that_hangs_has_listed_nothing(tmp_path: Path) -> None:
    """Its controller stays among those nobody could list."""
    survey = make_machine(tmp_path, {"storcli64 /call show J": HANGS}, DEVICES[2:3])
    assert survey == RaidSurvey(("0000:3b:00.0 megaraid_sas",), (), ("0000:3b:00.0 megaraid_sas",))


def test_half_a_listing_is_shown_and_said_to_be_half(tmp_path: Path) -> None:
    """Three drives counted, one listed."""
    replies: dict[str, str | Reply] = {
        "perccli64 /call show J": make_controllers("252:0", drives=3),
        "perccli64 /call/eall/sall show all J": "",
    }
    survey = make_machine(tmp_path, replies, DEVICES[2:3])
    assert len(survey.physical) == 1 and survey.unlisted == survey.controllers


def test_drivers_of_a_real_tree(tmp_path: Path) -> None:
    """Links as sysfs has them, and a device without one."""
    for address, kind, driver in DEVICES:
        device = tmp_path / f"sys/devices/pci0000:00/{address}"
        device.mkdir(parents=True)
        (device / "class").write_text(f"{kind}\n")
        if driver:
            (tmp_path / "sys/bus/pci/drivers" / driver).mkdir(parents=True, exist_ok=True)
            (device / "driver").symlink_to(f"../../../bus/pci/drivers/{driver}")
        (tmp_path / "sys/bus/pci/devices").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"sys/bus/pci/devices/{address}").symlink_to(f"../../../devices/pci0000:00/{address}")
    found = probe_controllers(Host(str(tmp_path)))
    assert found == {"0000:3b:00.0": "megaraid_sas", "0000:5c:00.0": "smartpqi", "0000:af:00.0": ""}
