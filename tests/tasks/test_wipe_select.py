"""Which disks: every way of naming them, and every guard, by tables."""

from __future__ import annotations

import dataclasses

import pytest

from liveagent.machine import Identity, Live, Machine
from liveagent.machine.disks import Content, Disk, Partition, Transport, Use, UseKind
from liveagent.machine.stack import Layer
from liveagent.tasks.wipe.guards import Reason, want_reasons
from liveagent.tasks.wipe.options import WipeOptions
from liveagent.tasks.wipe.select import Held, Selection, choose_disks, find_disks

TB = 10**12


def make_disk(name: str = "sda", **more: object) -> Disk:
    """A local SATA disk that nothing holds back, changed as asked."""
    plain = Disk(
        name=name,
        path=f"/dev/{name}",
        device_number="8:0",
        model="ST4000NM0035",
        vendor="ATA",
        serial=f"SN-{name}",
        wwn=f"0x5000c500a1b2{ord(name[-1]):04x}",
        firmware="TN02",
        size=4 * TB,
        logical_block=512,
        physical_block=4096,
        rotational=True,
        transport=Transport.SATA,
        removable=False,
        read_only=False,
        ids=(f"ata-ST4000NM0035_SN-{name}",),
        slot="",
        partitions=(Partition(f"{name}1", 1024 * 1024, TB),),
        contents=(),
        uses=(),
        live_medium=False,
        virtual_media=False,
        nvme_controllers=(),
        nvme_namespace=None,
    )
    return dataclasses.replace(plain, **more)  # type: ignore[arg-type]


def make_machine(*disks: Disk, is_live: bool = True, layers: tuple[Layer, ...] = ()) -> Machine:
    identity = Identity("SRV1", None, "Dell", "R640", None, "srv1", "aa:bb:cc:dd:ee:ff")
    return Machine(identity, disks, (), Live(is_live, "the root is an overlay", ()), layers)


def content(kind: str, device: str = "sda1", partition_type: str = "") -> Content:
    return Content(device=device, kind=kind, partition_type=partition_type, label="")


GUARDED = [
    ({"live_medium": True}, "wipe.guard.live_medium", True),
    ({"virtual_media": True, "transport": Transport.USB}, "wipe.guard.virtual_media", True),
    ({"transport": Transport.USB}, "wipe.guard.usb", True),
    ({"removable": True}, "wipe.guard.removable", True),
    ({"transport": Transport.ISCSI}, "wipe.guard.not_local", True),
    ({"transport": Transport.FC}, "wipe.guard.not_local", True),
    ({"transport": Transport.NBD}, "wipe.guard.not_local", True),
    ({"transport": Transport.RBD}, "wipe.guard.not_local", True),
    ({"transport": Transport.NVME_FABRICS}, "wipe.guard.not_local", True),
    ({"transport": Transport.UNKNOWN}, "wipe.guard.not_local", True),
    ({"read_only": True}, "wipe.guard.read_only", False),
    # A holder of which no more is known than that it is there.
    ({"uses": (Use(UseKind.MD, "sda", "md0", "md0"),)}, "wipe.guard.md", False),
    ({"uses": (Use(UseKind.BCACHE, "sda", "bcache0", "bcache0"),)}, "wipe.guard.bcache", False),
    ({"uses": (Use(UseKind.OTHER, "sda", "loop3"),)}, "wipe.guard.other", False),
    ({"uses": (Use(UseKind.MOUNTED, "sda1", "/srv"),)}, "wipe.guard.mounted", False),
    ({"uses": (Use(UseKind.SWAP, "sda1", "/dev/sda1"),)}, "wipe.guard.swap", False),
    ({"uses": (Use(UseKind.MD, "sda", "md0"),)}, "wipe.guard.md", False),
    ({"uses": (Use(UseKind.LVM, "sda", "vg0-root"),)}, "wipe.guard.lvm", False),
    ({"uses": (Use(UseKind.CRYPT, "sda", "luks-1"),)}, "wipe.guard.crypt", False),
    ({"uses": (Use(UseKind.MULTIPATH, "sda", "mpatha"),)}, "wipe.guard.multipath", False),
    ({"uses": (Use(UseKind.DM, "sda", "test"),)}, "wipe.guard.dm", False),
    ({"contents": (content("gfs2"),)}, "wipe.guard.gfs2", False),
    ({"contents": (content("ocfs2", "sda"),)}, "wipe.guard.ocfs2", False),
    ({"contents": (content("VMFS_volume_member"),)}, "wipe.guard.vmfs", False),
    ({"contents": (content("", "sda1", "aa31e02a-400f-11db-9590-000c2911d1b8"),)}, "wipe.guard.vmfs", False),
    ({"contents": (content("", "sda1", "AA31E02A-400F-11DB-9590-000C2911D1B8"),)}, "wipe.guard.vmfs", False),
    ({"contents": (content("", "sda1", "0xfb"),)}, "wipe.guard.vmfs", False),
    ({"contents": (content("", "sda1", "37affc90-ef7d-4e96-91c3-2d7ae055b174"),)}, "wipe.guard.gpfs", False),
]


@pytest.mark.parametrize(("change", "code", "leaves_out"), GUARDED)
def test_guard(change: dict[str, object], code: str, leaves_out: bool) -> None:
    """Each guard holds a disk: refused when named; under `all` refused, or left out where it is not for wiping."""
    disk, other = make_disk(**change), make_disk("sdb")
    assert code in [reason.code for reason in want_reasons(disk)]
    named = choose_disks(make_machine(disk, other), WipeOptions(disks=("sda",)))
    assert [held.disk.name for held in named.refused] == ["sda"]
    assert not named.chosen and not named.skipped
    under_all = choose_disks(make_machine(disk, other), WipeOptions())
    held = under_all.skipped if leaves_out else under_all.refused
    assert [one.disk.name for one in held] == ["sda"]
    assert held[0].text
    assert [chosen.disk.name for chosen in under_all.chosen] == ["sdb"]


def test_plain_disk_is_chosen() -> None:
    """The table above would prove nothing if every disk were held."""
    assert want_reasons(make_disk()) == ()
    ordinary = make_disk(contents=(content("ext4"), content("LVM2_member"), content("linux_raid_member")))
    assert want_reasons(ordinary) == ()


def test_all_only_in_a_live_image() -> None:
    """On an installed system `all` would take the system itself."""
    selection = choose_disks(make_machine(make_disk(), is_live=False), WipeOptions())
    assert [fault.code for fault in selection.faults] == ["wipe.guard.not_live"]
    assert not choose_disks(make_machine(make_disk(), is_live=False), WipeOptions(disks=("sda",))).faults


NAMES = [
    ("sda", ["sda"]),
    ("/dev/sdb", ["sdb"]),
    ("SN-sdb", ["sdb"]),
    ("ata-ST4000NM0035_SN-sda", ["sda"]),
    ("/dev/disk/by-id/ata-ST4000NM0035_SN-sda", ["sda"]),
    ("serial:SN-sdb", ["sdb"]),
    ("wwn:5000c500ffffffff", ["sdb"]),
    ("wwn:0x5000c500ffffffff", ["sdb"]),
    ("wwn:eui.5000C500FFFFFFFF", ["sdb"]),
    ("model:st4000*", ["sda"]),
    ("model:*", ["sda", "sdb"]),
    ("size:>=1TB", ["sda", "sdb"]),
    ("size:>4TB", ["sdb"]),
    ("size:<=4TB", ["sda"]),
    ("size:4TB", ["sda"]),
    ("kind:hdd", ["sda"]),
    ("kind:ssd", ["sdb"]),
    ("kind:nvme", ["sdb"]),
    ("slot:7", ["sdb"]),
]


@pytest.mark.parametrize(("word", "names"), NAMES)
def test_ways_to_mean_a_disk(word: str, names: list[str]) -> None:
    """Each of the ways that the manual names finds just the disks it means."""
    second = make_disk(
        "sdb", wwn="naa.5000c500ffffffff", model="PM1733", size=8 * TB, rotational=False, ids=(), slot="7"
    )
    second = dataclasses.replace(second, transport=Transport.NVME)
    matches, fault = find_disks(word, (make_disk(), second))
    assert fault is None
    assert [disk.name for disk in matches] == names


UNKNOWN = [
    ("sdz", "wipe.disk.unknown"),
    ("/dev/sda1", "wipe.disk.unknown"),
    ("SAME", "wipe.disk.ambiguous"),
    ("serial:SAME", "wipe.disk.ambiguous"),
    ("kind:floppy", "wipe.disk.term"),
    ("size:big", "wipe.disk.term"),
    ("serial:", "wipe.disk.term"),
    ("loop0", "wipe.disk.unknown"),
]


@pytest.mark.parametrize(("word", "code"), UNKNOWN)
def test_a_word_that_means_no_one_disk(word: str, code: str) -> None:
    """A misspelt disk refuses the whole task: what was meant is not known, so nothing is written."""
    loop = make_disk("loop0", transport=Transport.LOOP, serial="", ids=(), partitions=())
    disks = (make_disk(), make_disk("sdb", serial="SAME"), make_disk("sdc", serial="SAME"), loop)
    selection = choose_disks(make_machine(*disks), WipeOptions(disks=("sda", word)))
    assert [fault.code for fault in selection.faults] == [code]


def test_who_misspells_a_serial_is_told_which_there_are() -> None:
    """The nearest, or where none is near all of them: it is on the sticker before him."""
    disks = (make_disk(serial="ZA1B7K2M"), make_disk("sdb", serial=""), make_disk("loop0", transport=Transport.LOOP))
    _, near = find_disks("ZA1B7K2N", disks)
    _, far = find_disks("WKD07YH3", disks)
    _, many = find_disks("WKD07YH3", tuple(make_disk(f"sd{one}", serial=f"Z{one * 7}") for one in "abcdefghij"))
    assert near and near.text == "there is no disk ZA1B7K2N; did you mean ZA1B7K2M?"
    assert far and far.text == "there is no disk WKD07YH3; there are ZA1B7K2M, /dev/sdb"
    assert many and many.text.endswith("Zhhhhhhh and 2 more")


def test_a_partition_is_said_to_be_one() -> None:
    """Somebody who names sda1 learns that only whole disks are wiped."""
    _, fault = find_disks("sda1", (make_disk(),))
    assert fault is not None and "partition of /dev/sda" in fault.text


def test_loop_devices_only_by_path() -> None:
    """A loop device is somebody's file: never in `all`, taken when its path is named."""
    loop = make_disk("loop0", transport=Transport.LOOP, serial="", ids=())
    machine = make_machine(loop, make_disk())
    everything = choose_disks(machine, WipeOptions())
    assert [chosen.disk.name for chosen in everything.chosen] == ["sda"]
    assert not everything.skipped
    named = choose_disks(machine, WipeOptions(disks=("/dev/loop0",)))
    assert [chosen.disk.name for chosen in named.chosen] == ["loop0"]


def test_except() -> None:
    """What is excepted is left out with that reason; a misspelt exception refuses everything."""
    machine = make_machine(make_disk(), make_disk("sdb"))
    selection = choose_disks(machine, WipeOptions(except_=("serial:SN-sdb",)))
    assert [chosen.disk.name for chosen in selection.chosen] == ["sda"]
    assert [(held.disk.name, held.text) for held in selection.skipped] == [("sdb", "was excepted")]
    assert choose_disks(machine, WipeOptions(except_=("sdx",))).faults


@pytest.mark.parametrize(
    ("disks", "is_released"), [(("serial:SN-sda",), True), (("SN-sda",), True), (("sda",), False), (("all",), False)]
)
def test_release_needs_an_identity(disks: tuple[str, ...], is_released: bool) -> None:
    """A guard is lifted only for a disk that is named by serial or WWN, and that is noted."""
    machine = make_machine(make_disk(contents=(content("gfs2"),)))
    selection = choose_disks(machine, WipeOptions(disks=disks, release=("gfs2",)))
    assert bool(selection.chosen) is is_released
    if is_released:
        assert selection.chosen[0].released == ("gfs2",)


def test_two_paths_to_one_medium() -> None:
    """A disk that is seen twice (dual-path SAS without multipath) is not written twice at once."""
    machine = make_machine(make_disk(wwn="0x5000c50011111111"), make_disk("sdb", wwn="naa.5000C50011111111"))
    selection = choose_disks(machine, WipeOptions())
    assert not selection.chosen
    assert [held.reasons[0].code for held in selection.refused] == ["wipe.guard.twin"] * 2
    assert [one.disk.name for one in choose_disks(machine, WipeOptions(disks=("/dev/sdb",))).chosen] == ["sdb"]


@pytest.mark.parametrize("wwns", [("0x5000c50011111111", "naa.5000C50011111111"), ("", "")], ids=["wwn", "serial"])
@pytest.mark.parametrize(
    ("change", "options"),
    [
        ({"uses": (Use(UseKind.MOUNTED, "sda1", "/srv"),)}, WipeOptions()),
        ({"uses": (Use(UseKind.MOUNTED, "sda1", "/srv"),)}, WipeOptions(disks=("/dev/sdb",))),
        ({"live_medium": True}, WipeOptions()),
        ({"contents": (content("gfs2"),)}, WipeOptions(disks=("/dev/sdb",))),
        ({}, WipeOptions(except_=("/dev/sda",))),
    ],
)
def test_the_other_path_of_a_held_disk_is_held(
    wwns: tuple[str, str], change: dict[str, object], options: WipeOptions
) -> None:
    """What protects one path of a medium protects the other: the kernel would give it away."""
    first, second = wwns
    disks = (make_disk(wwn=first, serial="SAME", **change), make_disk("sdb", wwn=second, serial="SAME"))
    selection = choose_disks(make_machine(*disks), options)
    assert not selection.chosen
    assert [held.reasons[0].code for held in selection.refused if held.disk.name == "sdb"] == ["wipe.guard.twin"]


@pytest.mark.parametrize("word", ["model:*", "size:>=1", "kind:ssd", "kind:loop", "slot:"])
def test_no_pattern_means_a_loop_device(word: str) -> None:
    """A loop device's model is the path of somebody's file: no pattern may reach it."""
    loop = make_disk("loop0", transport=Transport.LOOP, serial="", model="/srv/disk.img", rotational=False)
    assert find_disks(word, (loop,))[0] == ()


def test_loop_device_over_a_disk_is_refused() -> None:
    """The kernel does not guard what is behind a loop device."""
    loop = make_disk("loop0", transport=Transport.LOOP, serial="", model="/dev/sda1", ids=())
    selection = choose_disks(make_machine(loop), WipeOptions(disks=("/dev/loop0",)))
    assert [held.reasons[0].code for held in selection.refused] == ["wipe.guard.loop"]


def test_release_lifts_that_one_guard() -> None:
    """A released file system on a mounted disk stays refused."""
    disk = make_disk(contents=(content("gfs2"),), uses=(Use(UseKind.MOUNTED, "sda1", "/srv"),))
    selection = choose_disks(make_machine(disk), WipeOptions(disks=("serial:SN-sda",), release=("gfs2",)))
    assert [reason.code for reason in selection.refused[0].reasons] == ["wipe.guard.mounted"]


@pytest.mark.parametrize("area", ["mmcblk0boot0", "mmcblk0boot1"])
def test_boot_areas_of_an_emmc(area: str) -> None:
    """The board starts from them: left out under `all`, refused when named, and not meant by the eMMC's serial."""
    emmc = make_disk("mmcblk0", transport=Transport.MMC, serial="0x1234abcd")
    boot = make_disk(area, transport=Transport.MMC, serial="0x1234abcd", size=4 * 1024 * 1024, wwn="")
    machine = make_machine(emmc, boot)
    under_all = choose_disks(machine, WipeOptions())
    assert [chosen.disk.name for chosen in under_all.chosen] == ["mmcblk0"]
    assert name_codes(under_all.skipped) == {area: ["wipe.guard.emmc_boot"]}
    assert "boot firmware" in under_all.skipped[0].text
    named = choose_disks(machine, WipeOptions(disks=(area,)))
    assert name_codes(named.refused) == {area: ["wipe.guard.emmc_boot"]}
    by_serial = choose_disks(machine, WipeOptions(disks=("serial:0x1234abcd",)))
    assert not by_serial.faults and [chosen.disk.name for chosen in by_serial.chosen] == ["mmcblk0"]


def test_two_disks_with_one_serial() -> None:
    """A serial that two disks have names none; without a WWN nobody can tell them from two paths to one medium."""
    disks = [make_disk(name, serial="SAME", wwn="") for name in ("sda", "sdb")]
    by_serial = choose_disks(make_machine(*disks), WipeOptions(disks=("serial:SAME",)))
    assert [fault.code for fault in by_serial.faults] == ["wipe.disk.ambiguous"]
    assert name_codes(choose_disks(make_machine(*disks), WipeOptions()).refused) == {
        "sda": ["wipe.guard.twin"],
        "sdb": ["wipe.guard.twin"],
    }
    told_apart = [make_disk(name, serial="SAME") for name in ("sda", "sdb")]
    everything = choose_disks(make_machine(*told_apart), WipeOptions())
    assert [chosen.disk.name for chosen in everything.chosen] == ["sda", "sdb"]


def name_codes(held: tuple[Held, ...]) -> dict[str, list[str]]:
    return {one.disk.name: [reason.code for reason in one.reasons] for one in held}


def make_layer(name: str, kind: UseKind, label: str, below: str, disks: str, *in_use: str) -> Layer:
    return Layer(name, kind, label, tuple(below.split()), tuple(disks.split()), in_use, f"/dev/{name}")


MD = make_layer("md127", UseKind.MD, "RAID1", "sda1 sdb", "sda sdb")
LVM = make_layer("dm-0", UseKind.LVM, "vg0-root", "md127", "sda sdb")
MOUNTED = make_layer("dm-0", UseKind.LVM, "vg0-root", "md127", "sda sdb", "is mounted at /srv")


def make_mirror(*layers: Layer, **change: object) -> Machine:
    """sda and sdb under an array, as `uses` and as layers show it, and sdc with nothing on it."""
    first = make_disk(uses=(Use(UseKind.MD, "sda1", "md127 (vg0-root)", "md127"),))
    second = make_disk("sdb", uses=(Use(UseKind.MD, "sdb", "md127 (vg0-root)", "md127"),))
    return make_machine(first, dataclasses.replace(second, **change), make_disk("sdc"), layers=layers)  # type: ignore[arg-type]


def tell(selection: Selection) -> tuple[list[str], dict[str, list[str]], list[str]]:
    """(what is wiped, what is refused and why, what is taken apart)."""
    return (
        [chosen.disk.name for chosen in selection.chosen],
        {held.disk.name: [reason.text for reason in held.reasons] for held in selection.refused},
        [layer.name for layer in selection.dismantle],
    )


def test_a_stack_on_chosen_disks_is_taken_apart() -> None:
    """Nothing that stands on disks to be wiped alone holds them; the array first of all, by whoever looks again."""
    machine = make_mirror(MD, LVM)
    assert tell(choose_disks(machine, WipeOptions())) == (["sda", "sdb", "sdc"], {}, ["dm-0", "md127"])
    assert tell(choose_disks(machine, WipeOptions(disks=("sda", "sdb")))) == (["sda", "sdb"], {}, ["dm-0", "md127"])
    assert tell(choose_disks(machine, WipeOptions(disks=("sdc",)))) == (["sdc"], {}, [])
    assert [reason.code for reason in want_reasons(machine.disks[0])] == ["wipe.guard.md"]


REACHES_A = "md127 (RAID1) also stands on sda, which is not to be wiped"
REACHES_B = "md127 (RAID1) also stands on sdb, which is not to be wiped"


@pytest.mark.parametrize(
    ("change", "options", "refused"),
    [
        ({}, WipeOptions(disks=("sda",)), {"sda": [REACHES_B]}),
        ({}, WipeOptions(disks=("serial:SN-sdb", "sdc")), {"sdb": [REACHES_A]}),
        ({}, WipeOptions(except_=("sdb",)), {"sda": [REACHES_B]}),
        ({"transport": Transport.USB}, WipeOptions(), {"sda": [REACHES_B]}),
        ({"live_medium": True}, WipeOptions(), {"sda": [REACHES_B]}),
        ({"read_only": True}, WipeOptions(), {"sda": [REACHES_B], "sdb": ["is read-only"]}),
        (
            {"contents": (content("gfs2", "sdb"),)},
            WipeOptions(disks=("SN-sda", "sdb"), release=("gfs2",)),
            {"sda": [REACHES_B], "sdb": ["sdb holds a GFS2 file system, which other machines may be using"]},
        ),
    ],
)
def test_a_stack_that_reaches_further_holds(
    change: dict[str, object], options: WipeOptions, refused: dict[str, list[str]]
) -> None:
    """Whatever keeps one disk of an array from being wiped keeps the array, and so the other disk."""
    chosen, held, steps = tell(choose_disks(make_mirror(MD, LVM, **change), options))
    assert (held, steps) == (refused, [])
    assert chosen in ([], ["sdc"])


def test_a_stack_in_use_holds() -> None:
    """A mount at the top holds every disk at the bottom, and no other."""
    words = "LVM volume vg0-root is mounted at /srv"
    selection = choose_disks(make_mirror(MD, MOUNTED), WipeOptions())
    assert tell(selection) == (["sdc"], {"sda": [words], "sdb": [words]}, [])
    assert name_codes(selection.refused) == {"sda": ["wipe.guard.lvm"], "sdb": ["wipe.guard.lvm"]}


def test_a_use_beside_the_stack_holds() -> None:
    """A layer that can be taken apart does not excuse a mount of another partition, nor a holder that is unknown."""
    for use in (Use(UseKind.MOUNTED, "sdb2", "/boot"), Use(UseKind.DM, "sdb2", "test", "dm-7")):
        machine = make_mirror(MD, LVM, uses=(Use(UseKind.MD, "sdb", "md127", "md127"), use))
        chosen, refused, steps = tell(choose_disks(machine, WipeOptions()))
        assert (chosen, steps) == (["sdc"], [])
        assert refused["sda"] == [REACHES_B] and len(refused["sdb"]) == 1


def test_a_disk_that_is_barred_keeps_what_stands_on_it() -> None:
    """A disk that turned out not to be erasable as asked is refused with that reason, and holds its array."""
    reason = Reason("wipe.method.unsupported", "offers no sanitize")
    selection = choose_disks(make_mirror(MD, LVM), WipeOptions(), {"sdb": (reason,)})
    assert tell(selection) == (["sdc"], {"sda": [REACHES_B], "sdb": ["offers no sanitize"]}, [])


def test_what_falls_with_a_twin() -> None:
    """The other path of a refused disk falls, and takes along what shares an array with it."""
    array = make_layer("md1", UseKind.MD, "RAID1", "sdb sdc", "sdb sdc")
    first = make_disk(wwn="0x5000c50011111111", read_only=True)
    second = make_disk("sdb", wwn="naa.5000c50011111111", uses=(Use(UseKind.MD, "sdb", "md1", "md1"),))
    third = make_disk("sdc", uses=(Use(UseKind.MD, "sdc", "md1", "md1"),))
    selection = choose_disks(make_machine(first, second, third, make_disk("sdd"), layers=(array,)), WipeOptions())
    assert [chosen.disk.name for chosen in selection.chosen] == ["sdd"] and not selection.dismantle
    codes = {"sda": ["wipe.guard.read_only"], "sdb": ["wipe.guard.twin"], "sdc": ["wipe.guard.md"]}
    assert name_codes(selection.refused) == codes


MAP = make_layer("dm-0", UseKind.MULTIPATH, "mpatha", "sda sdb", "sda sdb")
PART = make_layer("dm-1", UseKind.MULTIPATH, "mpatha-part1", "dm-0", "sda sdb")


def make_paths(*layers: Layer, **change: object) -> Machine:
    """One medium on two paths that multipath has found to be one, and another disk."""
    uses = {name: (Use(UseKind.MULTIPATH, name, "mpatha", "dm-0"),) for name in ("sda", "sdb")}
    paths = [make_disk(name, wwn="0x5000c50011111111", serial="SN-1", uses=uses[name], ids=()) for name in uses]
    first = dataclasses.replace(paths[0], **change)  # type: ignore[arg-type]
    return make_machine(first, paths[1], make_disk("sdc"), layers=layers or (MAP, PART))


@pytest.mark.parametrize(
    ("disks", "wiped", "left_out"),
    [
        (("all",), ["sda", "sdc"], "sdb"),
        (("serial:SN-1",), ["sda"], "sdb"),
        (("SN-1",), ["sda"], "sdb"),
        (("wwn:5000c50011111111",), ["sda"], "sdb"),
        (("/dev/sdb",), ["sdb"], "sda"),
        (("sda", "sdb"), ["sda"], "sdb"),
        (("all", "sdb"), ["sdb", "sdc"], "sda"),
        (("model:ST4000*",), ["sda", "sdc"], "sdb"),
    ],
)
def test_paths_of_a_multipath_map(disks: tuple[str, ...], wiped: list[str], left_out: str) -> None:
    """However it is named, the medium is wiped once, by one path; the other says so, and the map goes first."""
    selection = choose_disks(make_paths(), WipeOptions(disks=disks))
    assert tell(selection) == (wiped, {}, ["dm-1", "dm-0"]) and not selection.faults
    assert name_codes(selection.skipped) == {left_out: ["wipe.twin_path"]}
    kept = next(name for name in wiped if name != "sdc")
    assert selection.skipped[0].text == f"is another path to the medium of {kept}, which is wiped"


@pytest.mark.parametrize("word", ["/dev/sda", "serial:SN-1"])
def test_an_excepted_path_saves_the_medium(word: str) -> None:
    """Whichever path is excepted, and by whatever name, no other path is written."""
    selection = choose_disks(make_paths(), WipeOptions(except_=(word,)))
    assert not selection.faults and not selection.dismantle
    assert [chosen.disk.name for chosen in selection.chosen] == ["sdc"]


@pytest.mark.parametrize(
    "change", [{"read_only": True}, {"uses": (Use(UseKind.MOUNTED, "sda1", "/srv"),)}, {"contents": (content("gfs2"),)}]
)
def test_a_held_path_holds_the_medium(change: dict[str, object]) -> None:
    """What a guard holds on one path is held on the other, map or no map."""
    for options in (WipeOptions(), WipeOptions(disks=("/dev/sdb",))):
        selection = choose_disks(make_paths(**change), options)
        assert sorted(name_codes(selection.refused)) == ["sda", "sdb"]
        assert not selection.dismantle and not selection.skipped


def test_a_map_in_use_holds() -> None:
    """A file system on a map's partition holds both paths."""
    part = dataclasses.replace(PART, in_use=("is mounted at /",))
    chosen, refused, steps = tell(choose_disks(make_paths(MAP, part), WipeOptions()))
    assert (chosen, steps) == (["sdc"], [])
    assert refused == {name: ["multipath map mpatha-part1 is mounted at /"] for name in ("sda", "sdb")}


def test_release_counts_for_every_path() -> None:
    """A guard that is lifted by serial is lifted for the medium, whichever path is written."""
    machine = make_paths(contents=(content("gfs2"),))
    selection = choose_disks(machine, WipeOptions(disks=("serial:SN-1",), release=("gfs2",)))
    assert [(chosen.disk.name, chosen.released) for chosen in selection.chosen] == [("sda", ("gfs2",))]
