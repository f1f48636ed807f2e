"""All drives side by side: sixty of them, one that hangs, answers that are none, drives behind controllers."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveagent.host import Host
from liveagent.machine.device import Answer, Device, drop_doubles, fold_paths, read_wwn
from liveagent.machine.devices import probe_devices
from liveagent.machine.disks import Transport
from liveagent.machine.hidden import parse_scan, probe_targets
from liveagent.machine.link import DriveLink, parse_rate
from liveagent.machine.look import Look, Why
from liveagent.machine.smart import Health
from liveagent.machine.smartctl import Page
from liveagent.machine.topology import natural_key
from tests.machine.bench import Bench, Hangs, add_disk

SMART = "smartctl --json=c --xall"


def read(corpus: Path, name: str) -> str:
    return (corpus / "smartctl" / name).read_text()


@pytest.fixture
def healthy(corpus: Path) -> str:
    return read(corpus, "exporter-sat-seagate-constellation-es.3-st2000nm0033-9zm175-sde.json")


def answer_only(replies: dict[str, str | tuple[int, str] | type[Exception]]) -> object:
    """Replies by the end of the command line; any other tool is not installed."""

    def answer(argv: Sequence[str]) -> str | tuple[int, str]:
        line = " ".join(argv)
        for end, reply in replies.items():
            if line.endswith(end):
                if isinstance(reply, type):
                    raise reply
                return reply
        raise LookupError(line)

    return answer


@pytest.mark.corpus
def test_one_of_sixty_hangs(tmp_path: Path, healthy: str) -> None:
    """The other rows are complete, and the one is there, with what the kernel knows of it."""
    names = [f"sd{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"] + [
        f"sda{n}" for n in "abcdefghijklmnopqrstuvwxyz"
    ]
    names += [f"sdb{letter}" for letter in "abcdefgh"]
    for number, name in enumerate(names, 1):
        add_disk(tmp_path, name, number)
    replies = {f"/dev/{name}": healthy for name in names}
    look = Look(Bench(tmp_path, answer_only({**replies, "/dev/sdax": Hangs})))  # type: ignore[arg-type, dict-item]
    found = probe_devices(look)
    assert [device.name for device in found] == sorted(names, key=natural_key) and len(found) == 60
    (silent,) = [device for device in found if device.answer is not Answer.GIVEN]
    assert (silent.name, silent.answer, silent.size, silent.model) == (
        "sdax",
        Answer.SILENT,
        10**12 + 204886016,
        "ST1000NM0033",
    )
    assert all(device.health and device.ata for device in found if device is not silent)
    assert [(note.part, note.why) for note in look.missing] == [("disks.sdax.health", Why.NO_ANSWER)]


class Stuck(Bench):
    """A machine where what the kernel knows of sdb does not come back."""

    def __init__(self, place: Path, answer: Any) -> None:
        super().__init__(place, answer)
        self.never = threading.Event()

    def read_bytes(self, path: str, limit: int = -1) -> bytes:
        if "/block/sdb/" in path:
            self.never.wait(30)
        return super().read_bytes(path, limit)


@pytest.mark.corpus
def test_a_drive_that_hangs_in_the_kernel(tmp_path: Path, healthy: str) -> None:
    """Where even sysfs does not come back, a row says that there is something, and the others do not wait for it."""
    for number, name in enumerate(("sda", "sdb"), 1):
        add_disk(tmp_path, name, number)
    host = Stuck(tmp_path, answer_only({"/dev/sda": healthy}))  # type: ignore[dict-item]
    look = Look(host)
    try:
        good, lost = probe_devices(look, limit=0.5)
    finally:
        host.never.set()
    assert (good.name, good.answer) == ("sda", Answer.GIVEN)
    assert (lost.name, lost.answer, lost.kind) == ("sdb", Answer.SILENT, "unknown")
    assert look.missing[-1].part == "disks.sdb" and look.missing[-1].why is Why.NO_ANSWER


OPEN_FAILED = json.dumps({
    "smartctl": {"exit_status": 2, "messages": [{"string": "Smartctl open device: /dev/sda failed: Permission denied"}]}
})  # fmt: skip


@pytest.mark.parametrize(
    ("reply", "answer", "why"),
    [
        ((0, "Bus error"), Answer.GARBLED, Why.NOT_UNDERSTOOD),
        ((0, ""), Answer.GARBLED, Why.NOT_UNDERSTOOD),
        ((0, '{"devices": []}'), Answer.GARBLED, Why.NOT_UNDERSTOOD),
        ((4, '{"smartctl": {"exit_status": 4}, "ata_smart_attr'), Answer.GARBLED, Why.NOT_UNDERSTOOD),
        ((2, '{"smartctl": {"exit_status": 2}}'), Answer.REFUSED, Why.NOT_UNDERSTOOD),
        ((2, OPEN_FAILED), Answer.NOT_ASKED, Why.NO_RIGHTS),
        ((4, '{"smartctl": {"exit_status": 4}}'), Answer.NONE, Why.ABSENT),
        (Hangs, Answer.SILENT, Why.NO_ANSWER),
        (LookupError, Answer.NOT_ASKED, Why.NO_TOOL),
    ],
)
def test_answers_that_are_none(
    tmp_path: Path, reply: tuple[int, str] | type[Exception], answer: Answer, why: Why
) -> None:
    """Each is said with its reason, and none is a drive without faults."""
    add_disk(tmp_path, "sda", 1)
    look = Look(Bench(tmp_path, answer_only({"/dev/sda": reply})))  # type: ignore[arg-type, dict-item]
    (device,) = probe_devices(look)
    assert (device.answer, device.health) == (answer, None)
    assert [(note.part, note.why) for note in look.missing] == [("disks.sda.health", why)]


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("name", "spins", "used", "noted"),
    [
        ("exporter-samsung-mz7wd240hafv-00003-22.json", "0", 10, []),
        ("exporter-sat-phison-driven-ssds-kingston-skc400s371t-sda.json", "0", None, [Why.NOT_UNDERSTOOD]),
        ("exporter-sat-seagate-constellation-es.3-st2000nm0033-9zm175-sde.json", "1", None, []),
    ],
)
def test_wear_that_nobody_can_read_is_said(
    tmp_path: Path, corpus: Path, name: str, spins: str, used: int | None, noted: list[Why]
) -> None:
    """A solid-state drive whose maker counts it in a way of his own was not found unworn; a disk has none."""
    add_disk(tmp_path, "sda", 1, **{"queue/rotational": spins})
    look = Look(Bench(tmp_path, answer_only({"/dev/sda": read(corpus, name)})))  # type: ignore[arg-type]
    (device,) = probe_devices(look)
    assert device.health and device.health.percentage_used == used
    assert [note.why for note in look.missing if note.part == "disks.sda.health.percentage_used"] == noted


@pytest.mark.corpus
def test_what_the_kernel_and_the_drive_say(tmp_path: Path, healthy: str) -> None:
    """One row: flat names for expectations, the id that outlives a reboot, both ends of the link."""
    enclosure = tmp_path / "sys/devices/pci0000:00/0000:00:18.0/enclosure/6:0:0:0"
    (enclosure / "Slot 04").mkdir(parents=True)
    (enclosure / "id").write_text("0x500304801f3f7d3f\n")
    block = add_disk(tmp_path, "sda", 1)
    (block / "../../enclosure_device:Slot 04").symlink_to("../../../../../0000:00:18.0/enclosure/6:0:0:0/Slot 04")
    (enclosure / "Slot 04/slot").write_text("4\n")
    look = Look(Bench(tmp_path, answer_only({"/dev/sda": healthy})))  # type: ignore[arg-type, dict-item]
    (device,) = probe_devices(look)
    assert (device.id, device.kind, device.slot, device.enclosure) == (
        "0x5000c50000000001",
        "hdd",
        "4",
        "0x500304801f3f7d3f",
    )
    assert (
        device.link == DriveLink(speed=3 * 10**9, drive=6 * 10**9, port=6 * 10**9) and device.link.possible == 6 * 10**9
    )
    assert (device.rotation, device.family) == (7200, "Seagate Constellation ES.3")
    assert device.label == "sda slot 4"


# -- behind controllers -----------------------------------------------------------------------------


def add_controller(place: Path, address: str, driver: str, host: int, kind: str = "12") -> None:
    """A RAID controller with a generic node of its own, /dev/sgHOST."""
    device = place / f"sys/devices/pci0000:00/{address}"
    node = device / f"host{host}/target{host}:3:0/{host}:3:0:0"
    node.mkdir(parents=True)
    (node / "type").write_text(f"{kind}\n")
    (device / "class").write_text("0x010400\n")
    for path, target in {
        f"sys/bus/pci/devices/{address}": f"../../../devices/pci0000:00/{address}",
        f"sys/devices/pci0000:00/{address}/driver": f"../../../bus/pci/drivers/{driver}",
        f"sys/class/scsi_host/host{host}": f"../../devices/pci0000:00/{address}/host{host}",
    }.items():
        link = place / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
    (place / f"sys/bus/pci/drivers/{driver}").mkdir(parents=True, exist_ok=True)
    generic = place / f"sys/class/scsi_generic/sg{host}"
    generic.mkdir(parents=True)
    (generic / "device").symlink_to(f"../../../devices/pci0000:00/{address}/host{host}/target{host}:3:0/{host}:3:0:0")


@pytest.mark.corpus
def test_scans_of_the_corpus(corpus: Path) -> None:
    """Path and kind of every device, counted over all scans; other pages are no scans."""
    found = {file.name: parse_scan(file.read_text(errors="replace")) for file in (corpus / "smartctl").iterdir()}
    assert {name: len(rows) for name, rows in found.items() if rows} == {
        "ironlib-r6515-scan.json": 4,
        "ironlib-utils-scan.json": 5,
        "ironlib-x11dph-t-scan.json": 16,
        "netdata-type-nvme-scan.json": 1,
        "netdata-type-scsi-scan.json": 1,
        "scrutiny-smartctl-scan-simple.json": 7,
        "telegraf-scan-all.json": 3,
        "telegraf-scan-megaraid.json": 10,
        "vm-smartctl-scan-open.json": 4,
    }
    assert ("/dev/bus/6", "megaraid,14") in found["telegraf-scan-megaraid.json"]


@pytest.mark.corpus
def test_drives_behind_a_megaraid_controller(tmp_path: Path, corpus: Path) -> None:
    """Those that it lists, each a row; one that is silent as well, since it is known to be there."""
    add_controller(tmp_path, "0000:3b:00.0", "megaraid_sas", 6)
    answers = {
        "--scan --json=c": read(corpus, "telegraf-scan-megaraid.json"),
        "megaraid,14 /dev/bus/6": (4, read(corpus, "telegraf-megaraid.json")),
        "megaraid,8 /dev/bus/6": Hangs,
    }
    look = Look(Bench(tmp_path, answer_only(answers)))  # type: ignore[arg-type]
    found = {device.name: device for device in probe_devices(look)}
    assert len(found) == 7 and all(device.behind == "0000:3b:00.0" for device in found.values())
    drive = found["bus/6 megaraid,14"]
    assert (drive.model, drive.kind, drive.transport, drive.size) == (
        "ST6000NM0115-1YZ110", "hdd", Transport.SATA, 6001175126016
    )  # fmt: skip
    assert (drive.answer, drive.health is not None) == (Answer.GIVEN, True)
    assert found["bus/6 megaraid,8"].answer is Answer.SILENT


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("driver", "kind", "expected"),
    [
        ("hpsa", "12", "--device cciss,3 /dev/sg5"),
        ("smartpqi", "12", "--device cciss,3 /dev/sg5"),
        ("arcmsr", "3", "--device areca,3/1 /dev/sg5"),
        ("3w-sas", "12", "--device 3ware,3 /dev/twl0"),
        ("3w-9xxx", "12", "--device 3ware,3 /dev/twa0"),
    ],
)
def test_drives_at_places_that_are_tried(tmp_path: Path, corpus: Path, driver: str, kind: str, expected: str) -> None:
    """Nothing lists them: a place that answers is a drive, and an empty one is nothing that was not measured."""
    add_controller(tmp_path, "0000:5c:00.0", driver, 5, kind)
    sas = read(corpus, "telegraf-scsi-extended.json")
    empty = (2, '{"smartctl": {"exit_status": 2}}')
    answers = {expected: sas, "/dev/sg5": empty, "/dev/twl0": empty, "/dev/twa0": empty}
    bench = Bench(tmp_path, answer_only(answers))  # type: ignore[arg-type]
    look = Look(bench)
    (drive,) = probe_devices(look)
    assert (drive.transport, drive.behind, drive.vendor) == (Transport.SAS, "0000:5c:00.0", "XYZZZZZZ")
    assert look.missing == []
    assert 20 < len([argv for argv in bench.asked if argv[0] == "smartctl"]) <= 48


def test_no_controller_no_questions(tmp_path: Path) -> None:
    """On most servers nothing is asked at all."""
    bench = Bench(tmp_path, answer_only({}))  # type: ignore[arg-type]
    assert probe_targets(Look(bench)) == () and bench.asked == []


def test_below_another_root_nothing_is_asked(tmp_path: Path) -> None:
    """A tree on a desk has drives, and no drive that answers."""
    add_disk(tmp_path, "sda", 1)
    look = Look(Host(str(tmp_path)))
    (device,) = probe_devices(look)
    assert device.answer is Answer.NOT_ASKED
    assert [(note.part, note.why) for note in look.missing] == [("disks.sda.health", Why.NOT_ASKED)]


DRIVE = Device(
    "0x5000c500aa", "sda", "hdd", 10**12, serial="A", wwn="0x5000c500aa", transport=Transport.SAS, paths=("sda",)
)


def test_a_drive_with_two_paths_is_one() -> None:
    """An expectation of eight drives counts eight, whatever the cabling."""
    other = dataclasses.replace(DRIVE, name="sdc", paths=("sdc",))
    (folded,) = fold_paths([DRIVE, other])
    assert (folded.name, folded.paths) == ("sda", ("sda", "sdc"))
    unlike = [dataclasses.replace(DRIVE, name="sdd", serial="B"), dataclasses.replace(DRIVE, name="sde", wwn="")]
    assert len(fold_paths([DRIVE, *unlike])) == 3


def test_a_drive_that_is_passed_through_is_one() -> None:
    """JBOD: the kernel's row stays, the controller's goes."""
    words = ("--device", "megaraid,8", "/dev/bus/0")
    health = Health(passed=True)
    behind = dataclasses.replace(
        DRIVE, name="bus/0 megaraid,8", behind="0000:3b:00.0", smartctl=words, answer=Answer.GIVEN, health=health
    )
    told = dataclasses.replace(DRIVE, behind="0000:3b:00.0", smartctl=words, answer=Answer.GIVEN, health=health)
    assert drop_doubles([DRIVE], [behind]) == (told,)
    # What it tells by itself is the better way.
    itself = dataclasses.replace(DRIVE, health=Health(passed=False), answer=Answer.GIVEN)
    assert drop_doubles([itself], [behind]) == (dataclasses.replace(itself, behind="0000:3b:00.0"),)
    assert len(drop_doubles([DRIVE], [dataclasses.replace(behind, serial="")])) == 2


def test_what_a_controller_shows_is_not_a_drive_that_refuses(tmp_path: Path) -> None:
    """smartctl 7.3 on a volume of QEMU's MegaRAID SAS controller: exit status 2, and not a word."""
    add_controller(tmp_path, "0000:00:17.0", "megaraid_sas", 9)
    add_disk(tmp_path, "sda", 1)
    refused = (2, '{"smartctl": {"exit_status": 2}}')
    look = Look(Bench(tmp_path, answer_only({"/dev/sda": refused, "--scan --json=c": "{}"})))  # type: ignore[arg-type]
    (device,) = probe_devices(look)
    assert device.answer is Answer.NOT_ASKED
    assert [(note.part, note.why) for note in look.missing] == [("disks.sda.health", Why.ABSENT)]


@pytest.mark.parametrize(
    ("document", "wwn"),
    [
        ({"wwn": {"naa": 5, "oui": 3274, "id": 15028879784}}, "0x5000cca37fca81a8"),
        ({"wwn": {"naa": 5, "oui": 3274}, "logical_unit_id": "0x5000cb0847"}, "0x5000cb0847"),
        ({"wwn": {"naa": 77, "oui": 3274, "id": 1}}, ""),
        ({"logical_unit_id": 7}, ""),
    ],
)
def test_wwn(document: dict[str, object], wwn: str) -> None:
    assert read_wwn(Page(document)) == wwn


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("6.0 Gbps", 6 * 10**9),
        ("12.0 Gbit", 12 * 10**9),
        ("22.5 Gbit", 22_500_000_000),
        ("8.0 GT/s PCIe", 8 * 10**9),
        ("32.0 GT/s PCIe", 32 * 10**9),
        ("<unknown>", None),
        ("Unknown", None),
        ("Phy disabled", None),
        ("", None),
    ],
)
def test_rates_as_sysfs_has_them(text: str, rate: int | None) -> None:
    """An unknown speed is not a slow one."""
    assert parse_rate(text) == rate


@given(st.text(max_size=80))
def test_scans_raise_nothing(text: str) -> None:
    parse_scan(text)
    parse_scan(json.dumps({"devices": [text, {"name": text, "type": 3}, {"name": text, "type": text}]}))
