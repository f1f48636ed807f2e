"""RAID controllers as their makers' tools describe them, and the kernel's own arrays."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liveagent.machine.arcconf import parse_arcconf, parse_found
from liveagent.machine.controller import Backup, RaidController, RaidVolume, State, judge, parse_celsius
from liveagent.machine.controllers import probe_raid_controllers
from liveagent.machine.look import Look, Why
from liveagent.machine.md import MdArray, parse_mdstat
from liveagent.machine.ssacli import parse_ssacli_controllers
from liveagent.machine.storcli import parse_storcli_controllers
from tests.machine.bench import Bench, Hangs
from tests.machine.test_devices import add_controller, answer_only


def read(corpus: Path, name: str) -> str:
    return (corpus / "raid-controllers" / name).read_text(encoding="utf-8", errors="replace")


def parse_all(text: str) -> list[RaidController]:
    """Whatever any of the readers makes of a text."""
    adaptec = parse_arcconf(text)
    return [*parse_storcli_controllers(text, text), *parse_ssacli_controllers(text), *([adaptec] if adaptec else [])]


@pytest.mark.corpus
def test_every_file_of_the_corpus(corpus: Path) -> None:
    """Which files tell of controllers, and of how many volumes and drives; the others are no such pages."""
    found = {file.name: parse_all(read(corpus, file.name)) for file in (corpus / "raid-controllers").iterdir()}
    assert {
        name: [(one.tool, len(one.volumes), len(one.drives)) for one in controllers]
        for name, controllers in found.items()
        if controllers
    } == {
        "arcconf-netdata-getconfig-pd-current.txt": [("arcconf", 0, 6)],
        "arcconf-netdata-getconfig-pd-old.txt": [("arcconf", 0, 4)],
        "arcconf-netdata-getconfig-pd-with-enclosure.txt": [("arcconf", 0, 12)],
        "hpssacli-hardware-ctrl-show-output.txt": [("ssacli", 0, 0)],
        "ssacli-netdata-ssacli-p212-p410i.txt": [("ssacli", 1, 12), ("ssacli", 2, 6)],
        "ssacli-netdata-ssacli-p408i-a.txt": [("ssacli", 1, 4)],
        "storcli-ironlib-show.json": [("storcli", 0, 12)],
        "storcli-pystorcli-test03-c0-show-j.json": [("storcli", 1, 12)],
    }
    drives = [drive for controllers in found.values() for one in controllers for drive in one.drives]
    assert Counter(drive.state for drive in drives) == {State.GOOD: 68}
    assert all(drive.size is None or 10**11 < drive.size < 10**13 for drive in drives)
    assert all(drive.temperature is None or 20 < drive.temperature < 60 for drive in drives)


@pytest.mark.corpus
def test_smart_array(corpus: Path) -> None:
    """Compared with the page by eye: what belongs to the controller, the array, the volume."""
    (controller,) = parse_ssacli_controllers(read(corpus, "ssacli-netdata-ssacli-p408i-a.txt"))
    assert (controller.model, controller.address, controller.firmware, controller.driver) == (
        "HPE Smart Array P408i-a SR Gen10", "0000:5c:00.0", "6.52", "smartpqi"
    )  # fmt: skip
    assert (controller.state, controller.temperature) == (State.GOOD, 52)
    assert controller.backups == (Backup("battery", State.GOOD, "OK"),)
    assert controller.volumes == (
        RaidVolume(
            "1", "RAID6", State.GOOD, "OK", round(1.75 * 2**40), ("2I:1:1", "2I:1:2", "2I:1:3", "2I:1:4"), "Enabled",
            "/dev/sda",
        ),
    )  # fmt: skip
    drive = controller.drives[0]
    assert (drive.slot, drive.model, drive.medium, drive.temperature) == ("2I:1:1", "MTFDDAK960TCB", "SATA SSD", 34)


@pytest.mark.corpus
def test_smart_array_that_is_not_well(corpus: Path) -> None:
    """The same page with the words that ssacli has for it: each state is its own line's."""
    text = read(corpus, "ssacli-netdata-ssacli-p408i-a.txt")
    text = text.replace(
        "Battery/Capacitor Status: OK", "Battery/Capacitor Status: Failed (Replace Batteries/Capacitors)"
    )
    text = text.replace("   Cache Status: OK", "   Cache Status: Permanently Disabled")
    text = text.replace(
        "         Status: OK\n         Unrecov", "         Status: Interim Recovery Mode\n         Unrecov"
    )
    text = text.replace("Bay: 2\n         Status: OK", "Bay: 2\n         Status: Predictive Failure")
    (controller,) = parse_ssacli_controllers(
        text.replace("Bay: 3\n         Status: OK", "Bay: 3\n         Status: Failed")
    )
    assert [backup.state for backup in controller.backups] == [State.FAILED, State.FAILED]
    assert [volume.state for volume in controller.volumes] == [State.DEGRADED]
    assert [drive.state for drive in controller.drives] == [State.GOOD, State.PREDICTED, State.FAILED, State.GOOD]


# storcli 7.1616 on a PRAID EP420i, `/cALL show all J`, cut to what is read; from the fixtures of
# prometheus-community/node-exporter-textfile-collector-scripts, mock/fixtures/storcli_-cALL_show_all.json, Apache-2.0.
SHOW_ALL: dict[str, Any] = {
    "Basics": {
        "Controller": 0,
        "Model": "PRAID EP420i",
        "Serial Number": "0000000061913681",
        "PCI Address": "00:02:00:00",
    },
    "Version": {"Firmware Version": "4.680.00-8417", "Driver Name": "megaraid_sas"},
    "Status": {"Controller Status": "Optimal", "Memory Correctable Errors": 0, "Memory Uncorrectable Errors": 0},
    "HwCfg": {"BBU": "Present", "ROC temperature(Degree Celsius)": 52},
    "Scheduled Tasks": {"Patrol Read Reoccurrence": "168 hrs", "Next Patrol Read launch": "05/20/2023, 03:00:00"},
    "VD LIST": [{"DG/VD": "0/0", "TYPE": "RAID6", "State": "Optl", "Cache": "RWBD", "Size": "1.745 TB", "Name": ""}],
    "Physical Drives": 2,
    "PD LIST": [
        {"EID:Slt": "252:0", "DID": 2, "State": "Onln", "DG": 0, "Size": "893.750 GB", "Intf": "SATA", "Med": "SSD"},
        {"EID:Slt": "252:1", "DID": 3, "State": "Onln", "DG": 0, "Size": "893.750 GB", "Intf": "SATA", "Med": "SSD"},
    ],
}


def make_page(**more: Any) -> str:
    status = {"Controller": 0, "Status": "Success"}
    return json.dumps({"Controllers": [{"Command Status": status, "Response Data": {**SHOW_ALL, **more}}]})


@pytest.mark.corpus
def test_storcli_with_all_that_it_has(corpus: Path) -> None:
    """Versions, temperature, patrol read, members by their group, labels and counters out of the other page."""
    drives = read(corpus, "storcli-nodex-storcli-call-eall-sall-show-all.json")
    (controller,) = parse_storcli_controllers(make_page(), drives)
    assert (controller.id, controller.address, controller.model) == ("0000000061913681", "0000:02:00.0", "PRAID EP420i")
    assert (controller.firmware, controller.state, controller.temperature) == ("4.680.00-8417", State.GOOD, 52)
    assert (controller.memory_errors, controller.foreign, controller.backups) == (0, 0, ())
    assert controller.patrol_read == "every 168 hrs, next 05/20/2023, 03:00:00"
    assert controller.volumes[0].members == ("252:0", "252:1")
    drive = controller.drives[0]
    assert (drive.serial, drive.model, drive.temperature) == ("20032656D641", "Micron_5200_MTFDDAK960TDC", 21)
    assert (drive.media_errors, drive.other_errors, drive.predicted, drive.alert) == (0, 0, 0, False)


def test_storcli_that_is_not_well() -> None:
    """Its words for what is wrong; a SMART alert of a drive that is online is a prediction."""
    rows = [{**SHOW_ALL["PD LIST"][0], "State": state} for state in ("UBad", "Msng", "Rbld", "Offln", "Onln")]
    (controller,) = parse_storcli_controllers(
        make_page(**{
            "Status": {"Controller Status": "Needs Attention", "Memory Uncorrectable Errors": 3},
            "VD LIST": [{"DG/VD": f"0/{n}", "State": state} for n, state in enumerate(("Dgrd", "Pdgd", "OfLn", "Rec"))],
            "PD LIST": rows,
            "BBU_Info": [{"Model": "BBU", "State": "Failed", "Temp": "28C"}],
            "Cachevault_Info": [{"Model": "CVPM02", "State": "Optimal", "Temp": "28C"}],
            "Total Foreign Drive Groups": 1,
        })
    )  # fmt: skip
    assert (controller.state, controller.memory_errors, controller.foreign) == (State.PREDICTED, 3, 1)
    assert [one.state for one in controller.volumes] == [State.DEGRADED, State.DEGRADED, State.FAILED, State.BUSY]
    assert [one.state for one in controller.drives] == [
        State.FAILED, State.ABSENT, State.BUSY, State.FAILED, State.GOOD
    ]  # fmt: skip
    assert controller.backups == (
        Backup("battery", State.FAILED, "Failed", 28),
        Backup("capacitor", State.GOOD, "Optimal", 28),
    )


@pytest.mark.corpus
def test_a_foreign_configuration_that_only_the_status_tells(corpus: Path) -> None:
    """The command fails over it, and the page does not count it: not none."""
    (controller,) = parse_storcli_controllers(read(corpus, "storcli-pystorcli-test03-c0-show-j.json"))
    assert (controller.model, controller.foreign) == ("Intel(R) RAID Controller RS3DC080", 1)


# In the form of `arcconf getconfig 1`; the values are made.
ARCCONF = """Controllers found: 1
----------------------------------------------------------------------
Controller information
----------------------------------------------------------------------
   Controller Status                        : Optimal
   Controller Model                         : Adaptec ASR81605Z
   Controller Serial Number                 : 7A00000B0C1
   Temperature                              : 54 C/ 129 F (Normal)
   --------------------------------------------------------
   Controller Version Information
   --------------------------------------------------------
   Firmware                                 : 7.5-0 (32118)
   --------------------------------------------------------
   Controller Cache Backup Unit Information
   --------------------------------------------------------
    Overall Backup Unit Status              : Ready
         Supercap Status                    : Ready
         Current Temperature                : 31 deg C
----------------------------------------------------------------------
Logical device information
----------------------------------------------------------------------
Logical Device number 0
   Logical Device name                      : DATA1
   RAID level                               : 6 Reed-Solomon
   Status of Logical Device                 : Impacted ( Build/Verify with fix : 90 % )
   Size                                     : 22890000 MB
   Write-cache status                       : On
   Segment 0                                : Present (3815447MB, SATA, HDD, Enclosure:1, Slot:0) MADE0001
   Segment 1                                : Present (3815447MB, SATA, HDD, Enclosure:1, Slot:1) MADE0002

Logical Device number 1
   Logical Device name                      : DATA2
   RAID level                               : 6 Reed-Solomon
   Status of Logical Device                 : Optimal
   Size                                     : 22890000 MB
----------------------------------------------------------------------
Physical Device information
----------------------------------------------------------------------
      Device #0
         Device is a Hard drive
         State                              : Online
         Transfer Speed                     : SATA 6.0 Gb/s
         Reported Location                  : Connector 1, Device 0
         Model                              : MADE UP SSD 200
         Serial number                      : MADE0003
         Total Size                         : 190734 MB
         S.M.A.R.T.                         : No
         S.M.A.R.T. warnings                : 0
         SSD                                : Yes
         Temperature                        : 27 C/ 80 F
         Hardware Error Count               : 0
         Medium Error Count                 : 2
"""


def test_arcconf() -> None:
    """A page of one controller, with a volume whose parity is being built."""
    controller = parse_arcconf(ARCCONF)
    assert controller is not None and parse_found(ARCCONF) == 1
    assert (controller.id, controller.model, controller.firmware) == (
        "7A00000B0C1",
        "Adaptec ASR81605Z",
        "7.5-0 (32118)",
    )
    assert (controller.state, controller.temperature) == (State.GOOD, 54)
    assert controller.backups == (Backup("capacitor", State.GOOD, "Ready", 31),)
    assert [(one.name, one.level, one.state, one.members) for one in controller.volumes] == [
        ("0 DATA1", "RAID6", State.BUSY, ("Enclosure 1, Slot 0", "Enclosure 1, Slot 1")),
        ("1 DATA2", "RAID6", State.GOOD, ()),
    ]
    assert controller.volumes[0].size == 22890000 << 20
    (drive,) = controller.drives
    assert (drive.slot, drive.serial, drive.size) == ("Connector 1, Device 0", "MADE0003", 190734 << 20)
    assert (drive.medium, drive.temperature, drive.media_errors, drive.alert) == ("SATA SSD", 27, 2, False)


@pytest.mark.parametrize(
    ("words", "state"),
    [
        ("Optl", State.GOOD), ("Optimal", State.GOOD), ("OK", State.GOOD), ("Onln", State.GOOD), ("UGood", State.GOOD),
        ("GHS", State.GOOD), ("Hot Spare", State.GOOD), ("Global Hot-Spare", State.GOOD), ("JBOD", State.GOOD),
        ("Raw (Pass Through)", State.GOOD), ("Ready", State.GOOD), ("Online (JBOD)", State.GOOD),
        ("Dgrd", State.DEGRADED), ("Pdgd", State.DEGRADED), ("Degraded", State.DEGRADED),
        ("Interim Recovery Mode", State.DEGRADED), ("Ready for Rebuild", State.DEGRADED),
        ("Suboptimal", State.DEGRADED), ("Temporarily Disabled", State.DEGRADED),
        ("Degraded, Rebuilding", State.BUSY), ("Rbld", State.BUSY), ("Recovering, 12% complete", State.BUSY),
        ("Rebuilding", State.BUSY), ("Recharging", State.BUSY), ("Impacted", State.BUSY),
        ("Queued for Expansion", State.BUSY),
        ("OfLn", State.FAILED), ("Offln", State.FAILED), ("UBad", State.FAILED), ("Failed", State.FAILED),
        ("Offline", State.FAILED), ("Failed (Replace Batteries)", State.FAILED), ("Permanently Disabled", State.FAILED),
        ("Msng", State.ABSENT), ("Missing", State.ABSENT), ("Not Installed", State.ABSENT),
        ("Not Ready", State.DEGRADED), ("Non-optimal", State.DEGRADED), ("Not OK", State.DEGRADED),
        ("Fatal", State.FAILED), ("Not Present", State.ABSENT),
        ("Predictive Failure", State.PREDICTED), ("Dgd (Needs Attention)", State.PREDICTED),
        ("", State.UNKNOWN), ("Frgn", State.UNKNOWN), ("in Ordnung", State.UNKNOWN), ("Broken", State.UNKNOWN),
    ],
)  # fmt: skip
def test_words(words: str, state: State) -> None:
    """A word that is not known is not a good one."""
    assert judge(words) is state


@pytest.mark.parametrize(
    ("text", "celsius"),
    [
        (" 28C (82.40 F)", 28), ("28C", 28), ("31 deg C", 31), ("54 C/ 129 F (Normal)", 54), (52, 52), ("33", 33),
        ("Not Supported", None), ("N/A", None), ("", None), ("0C", None), ("255C", None), ("82 F", None), (None, None),
    ],
)  # fmt: skip
def test_temperatures(text: object, celsius: int | None) -> None:
    assert parse_celsius(text) == celsius


# -- md ---------------------------------------------------------------------------------------------


@pytest.mark.corpus
def test_every_mdstat_of_the_corpus(corpus: Path) -> None:
    """Arrays by file; containers of firmware RAID are none."""
    found = {file.name: parse_mdstat(file.read_text()) for file in (corpus / "mdstat").iterdir()}
    assert {name: [one.name for one in arrays] for name, arrays in found.items() if arrays} == {
        "checkbox-mdstat-multiple-raid.txt": ["md2", "md1"],
        "insights-mdstat-test-1.txt": ["md_d0"],
        "libstorage-md+lvm1.txt": ["md0", "md127"],
        "libstorage-md-ddf1.txt": ["md125", "md126"],
        "libstorage-md1.txt": ["md0"],
        "libstorage-md2.txt": ["md0", "md2", "md1"],
        "libstorage-md3.txt": ["md_test5", "md_test4", "md126", "md127", "md1", "md0"],
        "libstorage-proc-mdstat-parse1.txt": ["md0"],
        "libstorage-proc-mdstat-parse2.txt": ["md125", "md126"],
        "libstorage-proc-mdstat-parse3.txt": ["md125", "md126"],
        "libstorage-proc-mdstat-parse5.txt": ["md_test"],
        "libstorage-proc-mdstat-parse7.txt": ["md0"],
        "telegraf-mdstatfilefull.txt": ["md2", "md1", "md0"],
        "telegraf-mdstatsyncstart.txt": ["md2", "md1", "md0"],
    }
    states = Counter(one.state for arrays in found.values() for one in arrays)
    assert states == {State.GOOD: 29, State.BUSY: 1}
    assert found["libstorage-md1.txt"] == (
        MdArray(
            "md0",
            "md0",
            "raid5",
            State.GOOD,
            "active [3/3]",
            33521664 * 1024,
            ("sdc", "sda", "sdb"),
            (),
            ("sdd",),
            3,
            3,
        ),
    )
    checked = found["telegraf-mdstatfilefull.txt"][0]
    assert (checked.action, checked.progress, checked.state) == ("check", 94.3, State.GOOD)


# The form of md(4) and mdadm's documentation: a mirror with a disk thrown out, which is being rebuilt on a spare.
DEGRADED = """Personalities : [raid1]
md127 : active raid1 vda4[3] vda2[2](F) vda1[0]
      101376 blocks super 1.2 [2/1] [U_]
      [====>................]  recovery = 24.1% (24600/101376) finish=0.1min speed=12300K/sec

md1 : inactive sdc1[1](S) sdd1[2](S)
      2928256 blocks super 1.2

unused devices: <none>
"""


def test_a_degraded_array() -> None:
    """Rebuilding or not: what has lost a member has lost its redundancy."""
    mirror, inactive = parse_mdstat(DEGRADED)
    assert (mirror.state, mirror.wanted, mirror.working) == (State.DEGRADED, 2, 1)
    assert (mirror.members, mirror.failed) == (("vda4", "vda1"), ("vda2",))
    assert (mirror.action, mirror.progress) == ("recovery", 24.1)
    assert (inactive.state, inactive.level, inactive.spares) == (State.UNKNOWN, "", ("sdc1", "sdd1"))


# -- asked on a machine -----------------------------------------------------------------------------


def test_no_controller_is_no_question(tmp_path: Path) -> None:
    bench = Bench(tmp_path, answer_only({}))  # type: ignore[arg-type]
    look = Look(bench)
    assert probe_raid_controllers(look) == () and (bench.asked, look.missing) == ([], [])


def test_a_controller_without_its_tool(tmp_path: Path) -> None:
    """Its volumes are not known, and that is said of the controller."""
    add_controller(tmp_path, "0000:3b:00.0", "megaraid_sas", 0)
    look = Look(Bench(tmp_path, answer_only({})))  # type: ignore[arg-type]
    assert probe_raid_controllers(look) == ()
    assert (look.missing[-1].part, look.missing[-1].why) == ("raid.0000:3b:00.0", Why.NO_TOOL)


@pytest.mark.corpus
def test_each_is_asked_by_its_makers_tool(tmp_path: Path, corpus: Path) -> None:
    """Two makers in one server; a tool that is not installed under one of its names leaves no note."""
    add_controller(tmp_path, "0000:02:00.0", "megaraid_sas", 0)
    add_controller(tmp_path, "0000:5c:00.0", "smartpqi", 5)
    drives = read(corpus, "storcli-nodex-storcli-call-eall-sall-show-all.json")
    answers = {
        "perccli64 /call show all J": make_page(),
        "perccli64 /call/eall/sall show all J": drives,
        "ssacli ctrl all show config detail": read(corpus, "ssacli-netdata-ssacli-p408i-a.txt"),
    }
    look = Look(Bench(tmp_path, answer_only(answers)))  # type: ignore[arg-type]
    found = probe_raid_controllers(look)
    assert [(one.address, one.tool) for one in found] == [("0000:02:00.0", "storcli"), ("0000:5c:00.0", "ssacli")]
    assert look.missing == []


def test_a_tool_that_hangs(tmp_path: Path) -> None:
    add_controller(tmp_path, "0000:3b:00.0", "megaraid_sas", 0)
    look = Look(Bench(tmp_path, answer_only({"show all J": Hangs})))  # type: ignore[arg-type]
    assert probe_raid_controllers(look) == ()
    assert Why.NO_ANSWER in {note.why for note in look.missing}


# -- out of shape -----------------------------------------------------------------------------------


@pytest.mark.corpus
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_pages_out_of_shape_raise_nothing(corpus: Path, data: st.DataObject) -> None:
    """Cut anywhere, with something else in the middle, and with other types in JSON."""
    names = ("ssacli-netdata-ssacli-p212-p410i.txt", "storcli-pystorcli-test03-c0-show-j.json")
    whole = data.draw(st.sampled_from([*(read(corpus, name) for name in names), ARCCONF, DEGRADED, make_page()]))
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 200)))
    text = whole[:start] + data.draw(st.text(max_size=8)) + whole[end:]
    parse_all(text)
    parse_mdstat(text)


JUNK = st.none() | st.integers() | st.text(max_size=5) | st.lists(st.integers() | st.text(max_size=3), max_size=2)


@given(st.dictionaries(st.sampled_from([*SHOW_ALL, "BBU_Info", "Total Foreign Drive Groups"]), JUNK))
def test_fields_out_of_shape_raise_nothing(more: dict[str, Any]) -> None:
    parse_storcli_controllers(make_page(**more), make_page(**more))
