"""Which disks: every way of naming them, and every guard, by tables."""

from __future__ import annotations

import dataclasses

import pytest

from liveagent.machine import Identity, Live, Machine
from liveagent.machine.disks import Content, Disk, Partition, Transport, Use, UseKind
from liveagent.tasks.wipe.guards import want_reasons
from liveagent.tasks.wipe.nvme import NvmeFacts, parse_id_ctrl, parse_list_ns
from liveagent.tasks.wipe.options import WipeOptions
from liveagent.tasks.wipe.select import choose_disks, find_disks
from liveagent.tasks.wipe.technique import Technique, choose_technique

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


def make_machine(*disks: Disk, is_live: bool = True) -> Machine:
    identity = Identity("SRV1", None, "Dell", "R640", None, "srv1", "aa:bb:cc:dd:ee:ff")
    return Machine(identity, disks, (), Live(is_live, "the root is an overlay", ()))


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


NVME = {"transport": Transport.NVME, "nvme_controllers": ("nvme0",), "nvme_namespace": 1}
TECHNIQUES = [
    ({}, "auto", None, "overwrite"),
    (NVME, "auto", NvmeFacts(True, True, False, (1,)), "nvme-format-crypto"),
    (NVME, "auto", NvmeFacts(True, False, False, (1,)), "nvme-format-user"),
    (NVME, "auto", NvmeFacts(False, False, False, (1,)), "overwrite"),
    (NVME, "auto", NvmeFacts(False, True, False, (1,)), "overwrite"),
    (NVME, "auto", None, "overwrite"),
    # A format would take the drive's second namespace with it, which nobody has looked at.
    (NVME, "auto", NvmeFacts(True, True, True, (1, 2)), "overwrite"),
    (NVME, "auto", NvmeFacts(True, True, True, (1,)), "nvme-format-crypto"),
    (NVME, "auto", NvmeFacts(True, True, False, (1, 2)), "nvme-format-crypto"),
    (NVME, "overwrite", NvmeFacts(True, True, False, (1,)), "overwrite"),
    (NVME, "nvme-format-user", NvmeFacts(True, True, False, (1,)), "nvme-format-user"),
    (NVME, "nvme-format-crypto", NvmeFacts(True, False, False, (1,)), None),
    (NVME, "nvme-format-user", NvmeFacts(True, False, True, (1, 2)), None),
    ({}, "nvme-format-user", None, None),
]


@pytest.mark.parametrize(("change", "method", "facts", "expected"), TECHNIQUES)
def test_choose_technique(
    change: dict[str, object], method: str, facts: NvmeFacts | None, expected: str | None
) -> None:
    """What the drive says it can do, to what is done; what it cannot do by name is refused, with the reason."""
    chosen = choose_technique(make_disk(**change), method, facts)
    if expected is None:
        assert not isinstance(chosen, Technique) and chosen.text
    else:
        assert isinstance(chosen, Technique) and chosen.name == expected and chosen.why


def test_parse_list_ns() -> None:
    """The text form of nvme-cli 2.x; ids are hexadecimal."""
    assert parse_list_ns("[   0]:0x1\n[   1]:0x1f\n") == (1, 31)
    assert parse_list_ns("") == ()


@pytest.mark.corpus
def test_id_ctrl_of_a_real_drive(corpus) -> None:  # type: ignore[no-untyped-def]
    """QEMU's drive: OACS 0x10a offers Format (bit 1), FNA 0 offers no crypto erase."""
    import json

    document = json.loads((corpus / "nvme" / "vm-nvme-id-ctrl.json").read_text())
    assert parse_id_ctrl(document, (1,)) == NvmeFacts(format=True, crypto=False, all_namespaces=False, namespaces=(1,))
