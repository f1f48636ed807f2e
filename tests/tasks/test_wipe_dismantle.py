"""Taking stacks apart: what is chosen, in which order, by what commands; tables and fake doors, no disk is touched."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Callable

import pytest

from liveagent.host import CommandError, CommandFailed, CommandNotFound, Completed, Host
from liveagent.machine.stack import Layer
from liveagent.machine.use import UseKind
from liveagent.tasks.wipe.dismantle import choose_steps, render_steps, take_all_apart, take_apart


def layer(name: str, kind: str, label: str, below: str, disks: str, *in_use: str) -> Layer:
    path = "" if kind == "zfs" else f"/dev/{name}"
    return Layer(name, UseKind(kind), label, tuple(below.split()), tuple(disks.split()), in_use, path)


MD = layer("md127", "md", "RAID1", "sda1 sdb1", "sda sdb")
LVM = layer("dm-1", "lvm", "vg0-root", "md127", "sda sdb")
LUKS = layer("dm-0", "crypt", "luks-home", "dm-1", "sda sdb")
STACK = (MD, LVM, LUKS)
MOUNTED = layer("dm-0", "crypt", "luks-home", "dm-1", "sda sdb", "is mounted at /srv")
LINEAR = layer("dm-0", "dm", "test", "sda", "sda")
MAP = layer("dm-2", "multipath", "mpatha", "sda sdb", "sda sdb")
MAP_PART = layer("dm-1", "multipath", "mpatha-part1", "dm-2", "sda sdb")
CACHE_SET = Layer("7ab3", UseKind.BCACHE, "set 7ab3", ("sdc",), ("sdc",), (), "/sys/fs/bcache/7ab3")
BCACHE = layer("bcache0", "bcache", "", "sdb sdc 7ab3", "sdb sdc")
POOL = layer("zpool:tank", "zfs", "tank", "sda1 dm-7", "sda sdb")
POOL_LUKS = layer("dm-7", "crypt", "zcrypt", "sdb", "sdb")
# One array over a and b, one over b and c, one over c and d: what falls at one end falls at the other.
CHAIN = (
    layer("md1", "md", "RAID1", "sda1 sdb1", "sda sdb"),
    layer("md2", "md", "RAID1", "sdb2 sdc2", "sdb sdc"),
    layer("md3", "md", "RAID1", "sdc3 sdd3", "sdc sdd"),
)
TWO_ARRAYS = (
    layer("md1", "md", "RAID1", "sda sdb", "sda sdb"),
    layer("md2", "md", "RAID1", "sdc sdd", "sdc sdd"),
    layer("dm-0", "lvm", "vg0-big", "md1 md2", "sda sdb sdc sdd", "is swap in use"),
)
IN_USE = "dm-crypt luks-home is mounted at /srv"

STEPS: list[tuple[str, Sequence[Layer], str, str, dict[str, list[str]]]] = [
    ("nothing stands there", (), "sda", "", {}),
    ("what stands elsewhere stays", STACK, "sdc", "", {}),
    ("topmost first", STACK, "sda sdb", "dm-0 dm-1 md127", {}),
    ("topmost first, in whatever order it was found", tuple(reversed(STACK)), "sda sdb", "dm-0 dm-1 md127", {}),
    (
        "reaches out: said once, of the lowest layer",
        STACK,
        "sda",
        "",
        {"sda": ["md: md127 (RAID1) also stands on sdb, which is not to be wiped"]},
    ),
    (
        "mounted at the top",
        (MD, LVM, MOUNTED),
        "sda sdb sdc",
        "",
        {"sda": [f"crypt: {IN_USE}"], "sdb": [f"crypt: {IN_USE}"]},
    ),
    (
        "mounted at the top, and reaches out",
        (MD, LVM, MOUNTED),
        "sda",
        "",
        {"sda": ["md: md127 (RAID1) also stands on sdb, which is not to be wiped", f"crypt: {IN_USE}"]},
    ),
    (
        "a linear map that somebody made",
        (LINEAR,),
        "sda sdb",
        "",
        {"sda": ["dm: device-mapper device test is of a sort that is not taken apart"]},
    ),
    ("a multipath map and its partition", (MAP, MAP_PART), "sda sdb", "dm-1 dm-2", {}),
    ("the set of a cache comes last", (CACHE_SET, BCACHE), "sdb sdc", "bcache0 7ab3", {}),
    (
        "a cache that another disk uses",
        (CACHE_SET, BCACHE),
        "sdc",
        "",
        {"sdc": ["bcache: bcache0 also stands on sdb, which is not to be wiped"]},
    ),
    ("a pool over dm-crypt", (POOL_LUKS, POOL), "sda sdb", "zpool:tank dm-7", {}),
    ("a whole chain", CHAIN, "sda sdb sdc sdd", "md1 md2 md3", {}),
    (
        "a chain with one end held",
        CHAIN,
        "sda sdb sdc",
        "",
        {
            "sdc": ["md: md3 (RAID1) also stands on sdd, which is not to be wiped"],
            "sdb": ["md: md2 (RAID1) also stands on sdc, which is refused"],
            "sda": ["md: md1 (RAID1) also stands on sdb, which is refused"],
        },
    ),
    (
        "a chain with the middle left out",
        CHAIN,
        "sda sdc sdd",
        "",
        {
            "sda": ["md: md1 (RAID1) also stands on sdb, which is not to be wiped"],
            "sdc": ["md: md2 (RAID1) also stands on sdb, which is not to be wiped"],
            "sdd": ["md: md3 (RAID1) also stands on sdc, which is refused"],
        },
    ),
    (
        "one stack held, the other free",
        (*TWO_ARRAYS, layer("md5", "md", "RAID0", "sde sdf", "sde sdf")),
        "sda sdb sdc sdd sde sdf",
        "md5",
        {name: ["lvm: LVM volume vg0-big is swap in use"] for name in ("sda", "sdb", "sdc", "sdd")},
    ),
    (
        "what holds a volume holds the array that only it stands on",
        TWO_ARRAYS,
        "sda sdb",
        "",
        {
            name: [
                "lvm: LVM volume vg0-big is swap in use",
            ]
            for name in ("sda", "sdb")
        },
    ),
]


@pytest.mark.parametrize(("layers", "wanted", "steps", "held"), [row[1:] for row in STEPS], ids=[r[0] for r in STEPS])
def test_choose_steps(layers: Sequence[Layer], wanted: str, steps: str, held: dict[str, list[str]]) -> None:
    """What is taken apart and in which order; which disks are held after all, by which layer, and why."""
    found = choose_steps(layers, wanted.split())
    assert [layer.name for layer in found.steps] == steps.split()
    told = {
        disk: [f"{reason.code.removeprefix('wipe.guard.')}: {reason.text}" for reason in reasons]
        for disk, reasons in found.held.items()
    }
    assert told == held


def test_no_step_reaches_a_disk_that_is_not_wiped() -> None:
    """Over every subset of the disks: what is taken apart stands on nothing but disks that are wiped then."""
    disks = ("sda", "sdb", "sdc", "sdd")
    layers = (
        layer("md1", "md", "RAID1", "sda sdb", "sda sdb"),
        layer("dm-5", "lvm", "vg1-a", "md1", "sda sdb"),
        layer("dm-6", "crypt", "luks", "sdc1", "sdc"),
        layer("md2", "md", "RAID0", "sdc2 sdd2", "sdc sdd"),
    )
    taken = 0
    for bits in range(2 ** len(disks)):
        wanted = [disk for number, disk in enumerate(disks) if bits >> number & 1]
        found = choose_steps(layers, wanted)
        left = set(wanted) - set(found.held)
        taken += len(found.steps)
        assert all(set(step.disks) <= left for step in found.steps)
        assert all(left.isdisjoint(other.disks) for other in layers if other not in found.steps)
    assert taken == 2 * 4 + 2 * 4  # both pairs in four of the sixteen subsets, two layers each


def test_words_for_people() -> None:
    """What a dry run prints, and what the result says was done."""
    steps = [LUKS, LVM, MD, MAP_PART, MAP, BCACHE, CACHE_SET, POOL]
    assert render_steps(steps) == [
        "close dm-crypt luks-home",
        "deactivate LVM volume vg0-root",
        "stop md127 (RAID1)",
        "remove multipath map mpatha-part1",
        "remove multipath map mpatha",
        "stop bcache0",
        "stop bcache set 7ab3",
        "export ZFS pool tank",
    ]


class Server(Host):
    """A door to a tree where the commands that take a layer apart do so to the tree, as their tools would.

    `layers` is what stands there; a command that is named in `busy` fails, `comes_back` is what udev makes of it.
    """

    def __init__(self, root: Path, layers: Sequence[Layer] = (), missing: Collection[str] = ("multipath",)) -> None:
        super().__init__(str(root))
        self.layers = list(layers)
        self.missing = missing
        self.busy: Collection[str] = ()
        self.comes_back: Callable[[], Sequence[Layer]] = tuple
        self.ran: list[str] = []
        for one in layers:
            (root / self._directory(one) / "bcache").mkdir(parents=True)
            for stop in ("stop", "bcache/stop") if one.kind is UseKind.BCACHE else ():
                (root / self._directory(one) / stop).write_text("")

    def _directory(self, one: Layer) -> str:
        return one.path.lstrip("/") if one.path.startswith("/sys/") else f"sys/block/{one.name.replace(':', '-')}"

    def probe(self, host: Host) -> Sequence[Layer]:
        assert host is self
        return tuple(self.layers)

    def _remove(self, name: str) -> None:
        for one in [one for one in self.layers if name in (one.name, one.label, one.path)]:
            above = [upper.name for upper in self.layers if one.name in upper.below]
            assert not above, f"{one.name} is taken apart before {above}"
            self.layers.remove(one)
            shutil.rmtree(self.root + "/" + self._directory(one))

    def run(self, argv: Sequence[str], **more: object) -> Completed:  # type: ignore[override]
        self.ran.append(" ".join(argv))
        done = Completed(tuple(argv), 0, "", "", 0.0)
        if argv[0] in self.missing:
            raise CommandNotFound(f"{argv[0]} is not installed", done)
        if argv[0] in self.busy:
            if more.get("success", (0,)) is None:
                return done
            raise CommandFailed(f"{argv[0]}: busy", done)
        if argv[0] == "udevadm":
            self.layers += self.comes_back()
        else:
            self._remove(argv[-1])
        return done

    def write(self, path: str, text: str) -> None:
        super().write(path, text)
        self.ran.append(f"{text} > {path}")
        if "bcache" not in self.busy:
            self._remove(path.replace("/bcache/stop", "").replace("/stop", "").replace("/sys/block/", ""))

    def pause(self, seconds: float) -> None:
        """Time passes, and nothing happens."""


COMMANDS: list[tuple[Layer, Collection[str], list[str]]] = [
    (MD, (), ["mdadm --stop /dev/md127"]),
    (LVM, (), ["dmsetup remove --retry vg0-root"]),
    (LUKS, (), ["dmsetup remove --retry luks-home"]),
    (MAP, (), ["multipath -f mpatha"]),
    (MAP, ("multipath",), ["multipath -f mpatha", "dmsetup remove --retry mpatha"]),
    (POOL, (), ["zpool export tank"]),
    (layer("bcache0", "bcache", "", "sdb", "sdb"), (), ["1 > /sys/block/bcache0/bcache/stop"]),
    (CACHE_SET, (), ["1 > /sys/fs/bcache/7ab3/stop"]),
]


@pytest.mark.parametrize(("one", "missing", "commands"), COMMANDS)
def test_commands(tmp_path: Path, one: Layer, missing: Collection[str], commands: list[str]) -> None:
    """What is run for each sort of layer: nothing that writes to a member."""
    server = Server(tmp_path, [one], missing)
    take_apart(server, one)
    assert server.ran == commands
    assert not server.layers


def test_a_map_that_multipath_leaves(tmp_path: Path) -> None:
    """`multipath -f` that did nothing is followed by dmsetup, whatever its exit status said."""
    server = Server(tmp_path, [MAP], ())
    server.busy = ("multipath",)
    take_apart(server, MAP)
    assert server.ran == ["multipath -f mpatha", "dmsetup remove --retry mpatha"]


@pytest.mark.parametrize("one", [MD, LVM, MAP, POOL, BCACHE, CACHE_SET], ids=lambda one: one.name)
def test_busy(tmp_path: Path, one: Layer) -> None:
    """A layer that something has open is a CommandError for the caller; bcache alone fails in silence, by staying."""
    server = Server(tmp_path, [one])
    server.busy = ("mdadm", "dmsetup", "multipath", "zpool", "bcache")
    with pytest.raises(CommandError):
        take_apart(server, one)


def test_what_was_done_before_a_failure_is_told(tmp_path: Path) -> None:
    """What was taken apart stays so, and is said, also where the next step fails."""
    server = Server(tmp_path, STACK)
    server.busy = ("mdadm",)
    done = []
    with pytest.raises(CommandError):
        for text in take_all_apart(server, choose_steps(STACK, ("sda", "sdb")).steps, server.probe):
            done.append(text)
    assert done == ["close dm-crypt luks-home", "deactivate LVM volume vg0-root"]


def test_a_bcache_that_is_gone(tmp_path: Path) -> None:
    """What cannot be told to stop is an error as well."""
    with pytest.raises(CommandError, match="bcache0 cannot be stopped"):
        take_apart(Server(tmp_path), BCACHE)


def test_all_of_it(tmp_path: Path) -> None:
    """From the top to the bottom, each layer once, with a look at the end."""
    server = Server(tmp_path, STACK)
    assert list(take_all_apart(server, choose_steps(STACK, ("sda", "sdb")).steps, server.probe)) == [
        "close dm-crypt luks-home",
        "deactivate LVM volume vg0-root",
        "stop md127 (RAID1)",
    ]
    assert not server.layers
    assert server.ran == [
        "udevadm settle --timeout=10",
        "dmsetup remove --retry luks-home",
        "dmsetup remove --retry vg0-root",
        "mdadm --stop /dev/md127",
        "udevadm settle --timeout=10",
    ]


def test_without_udev(tmp_path: Path) -> None:
    """Where udev is not installed there is nothing to wait for."""
    server = Server(tmp_path, [MD], missing=("udevadm",))
    assert list(take_all_apart(server, [MD], server.probe)) == ["stop md127 (RAID1)"]


def test_nothing_to_take_apart(tmp_path: Path) -> None:
    """What is gone by itself is not asked to go, and what stands on other disks stays."""
    other = layer("md9", "md", "RAID0", "sdx", "sdx")
    server = Server(tmp_path, [other])
    assert list(take_all_apart(server, [MD], server.probe)) == []
    assert server.layers == [other]


def test_udev_assembles_anew(tmp_path: Path) -> None:
    """An array that came back under another name is stopped again."""
    server = Server(tmp_path, [MD])
    renamed = layer("md126", "md", "RAID1", "sda1 sdb1", "sda sdb")
    settled = iter([(), (renamed,), ()])

    def come_back() -> Sequence[Layer]:
        found = next(settled)
        for one in found:
            (tmp_path / "sys/block" / one.name).mkdir()
        return found

    server.comes_back = come_back
    assert list(take_all_apart(server, [MD], server.probe)) == ["stop md127 (RAID1)", "stop md126 (RAID1)"]
    assert not server.layers


def test_what_always_comes_back(tmp_path: Path) -> None:
    """After three rounds it is given up, and said."""
    server = Server(tmp_path)

    def come_back() -> Sequence[Layer]:
        (tmp_path / "sys/block/md127").mkdir(parents=True)
        return (MD,)

    server.comes_back = come_back
    with pytest.raises(CommandError, match="md127 .RAID1. came back each of 3 times"):
        list(take_all_apart(server, [MD], server.probe))
    assert server.ran.count("mdadm --stop /dev/md127") == 3


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (layer("md127", "md", "RAID1", "sda1 sdb1", "sda sdb", "is mounted at /mnt"), "is mounted at /mnt"),
        (layer("md127", "md", "RAID1", "sda1 sdb1 sdz1", "sda sdb sdz"), "also stands on sdz"),
    ],
)
def test_what_has_changed_since(tmp_path: Path, now: Layer, words: str) -> None:
    """A mount that was made after the steps were chosen stops everything before the first command."""
    server = Server(tmp_path, [now])
    with pytest.raises(CommandError, match=words):
        list(take_all_apart(server, [MD], server.probe))
    assert server.layers == [now]
    assert server.ran == ["udevadm settle --timeout=10"]


def test_an_array_that_was_made_since(tmp_path: Path) -> None:
    """Of disks that had nothing on them when they were chosen, what stands there now is taken apart too."""
    late = layer("md5", "md", "RAID0", "sdb sdc", "sdb sdc")
    server = Server(tmp_path, [MD, late])
    assert list(take_all_apart(server, [MD], server.probe, ("sda", "sdb", "sdc"))) == [
        "stop md5 (RAID0)",
        "stop md127 (RAID1)",
    ]
