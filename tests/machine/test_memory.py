"""The memory as a whole: what is fitted, what the kernel has, and the errors that it counted."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveagent.host import Host
from liveagent.machine.dmidecode import parse_dmidecode
from liveagent.machine.edac import ErrorCounts, MemoryController
from liveagent.machine.look import Look, Why
from liveagent.machine.memory import Memory, make_memory, parse_meminfo, probe_memory
from tests.conftest import UnpackTree
from tests.machine.replies import Reply, make_replay

GIB = 2**30


def read(corpus: Path, name: str) -> Memory:
    return make_memory(parse_dmidecode((corpus / "dmidecode" / name).read_text(encoding="utf-8", errors="replace")))


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("file", "total", "persistent", "maximum", "ecc"),
    [
        ("dell-poweredge-r640-34daf9.txt", 384, None, 7680, "Multi-bit ECC"),
        ("supermicro-sys-2049u-tr4-13107e.txt", 384, None, 18432, "Single-bit ECC"),
        # Firmware that knows less than what is in its slots, and chips for it that are no memory.
        ("asrockrack-b650d4u-004d22.txt", 192, None, 128, "None"),
        ("depo-computers-x8dtu-46b28e.txt", 16, None, 192, "Multi-bit ECC"),
        # One module of eight serves as memory, and what is before it as its cache.
        ("supermicro-sys-2029u-tn24r4t-3036a7.txt", 126, 7 * 126.375 + 0.375, 9216, "Single-bit ECC"),
        ("loongson-3c5000l-7a1000-16w-v0.1-ls4c5lg-880218.txt", None, None, 64, "None"),
    ],
)
def test_sums_of_real_servers(
    corpus: Path, file: str, total: int | None, persistent: float | None, maximum: int, ecc: str
) -> None:
    memory = read(corpus, file)
    sums = [one and one / GIB for one in (memory.total, memory.persistent, memory.maximum)]
    assert (*sums, memory.ecc) == (total, persistent, maximum, ecc)


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("file", "kibibytes"),
    [
        ("facter-rhel5.txt", 4036680), ("facter.txt", 4036680), ("facter2.txt", 4037608),
        ("node-exporter.txt", 3742148),
        # Where the file has what free(1) said as well, it is the same.
        ("percona-001.txt", 2099851264 // 1024), ("percona-007.txt", 202770395136 // 1024),
    ],
)  # fmt: skip
def test_meminfo(corpus: Path, file: str, kibibytes: int) -> None:
    """Six machines, the sum as it stands in the text."""
    assert parse_meminfo((corpus / "proc-meminfo" / file).read_text()) == kibibytes * 1024


@given(st.text())
def test_noise(text: str) -> None:
    total = parse_meminfo(text)
    assert total is None or total >= 0


@pytest.mark.corpus
def test_errors_that_the_kernel_counted(unpack_tree: UnpackTree) -> None:
    """Rows of chips, as old kernels have them, and what no module was found for."""
    look = Look(unpack_tree("sysfs-tree/node_exporter-edac.tar.gz", r"/edac/"))
    memory = probe_memory(look)
    assert memory.controllers == (MemoryController("mc0", None, 1, 5, 2, 6),)
    assert memory.errors == (
        ErrorCounts("mc0/csrow0 mc0csrow0channel0 mc0csrow0channel1", 3, 4),
        ErrorCounts("mc0/csrow1 mc0csrow1channel0 mc0csrow1channel1", 0, 4),
        ErrorCounts("mc0/csrow2 mc0csrow2channel0 mc0csrow2channel1", 0, 5),
    )
    assert "memory.ecc" not in [one.part for one in look.missing]


def make_edac(root: Path, files: dict[str, str]) -> Look:
    for name, text in files.items():
        file = root / "sys/devices/system/edac/mc" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    return Look(Host(str(root)))


def test_errors_by_module(tmp_path: Path) -> None:
    """The files of Documentation/ABI/testing/sysfs-devices-edac; the label is the board's name for the slot."""
    counts = {"mc0/ce_count": "3", "mc0/ue_count": "0", "mc0/ce_noinfo_count": "1", "mc0/ue_noinfo_count": "0"}
    module = {"mc0/dimm0/dimm_ce_count": "2", "mc0/dimm0/dimm_ue_count": "0", "mc0/dimm0/dimm_label": "CPU0_A1"}
    memory = probe_memory(make_edac(tmp_path, {**counts, **module, "mc0/mc_name": "F19h", "mc0/size_mb": "16384"}))
    assert memory.controllers == (MemoryController("mc0 F19h", 16 * GIB, 3, 0, 1, 0),)
    assert memory.errors == (ErrorCounts("mc0/dimm0 CPU0_A1", 2, 0),)


@pytest.mark.parametrize("text", ["", "many", "-1"])
def test_counts_that_are_none_are_not_zero(tmp_path: Path, text: str) -> None:
    look = make_edac(tmp_path, {"mc0/ce_count": text, "mc0/ue_count": "0"})
    assert probe_memory(look).controllers == ()
    assert ("memory.ecc", Why.NOT_UNDERSTOOD) in [(one.part, one.why) for one in look.missing]


def test_without_a_driver_errors_are_not_zero(tmp_path: Path) -> None:
    look = Look(Host(str(tmp_path)))
    memory = probe_memory(look)
    assert (memory.controllers, memory.errors, memory.usable, memory.total) == ((), (), None, None)
    assert ("memory.ecc", Why.NO_DRIVER) in [(one.part, one.why) for one in look.missing]


SLOT = "Handle 0x0001, DMI type 17, 40 bytes\nMemory Device\n\tSize: {}\n\tLocator: A1\n"

PROLIANT = "".join(
    f"Handle 0x000{number}, DMI type 17, 40 bytes\nMemory Device\n\tSize: No Module Installed\n"
    f"\tLocator: PROC 1 DIMM {number}\n\n"
    for number in (1, 2)
)


@pytest.mark.parametrize(
    ("reply", "part", "why"),
    [
        # dmidecode 3.4 without rights, and on a machine without SMBIOS.
        (Reply("# dmidecode 3.4\n", "/dev/mem: Permission denied\n", 1), "memory.dimms", Why.NO_RIGHTS),
        (Reply("# dmidecode 3.4\n# No SMBIOS nor DMI entry point found, sorry.\n"), "memory.dimms", Why.ABSENT),
        (Reply(SLOT.format("Unknown")), "memory.dimms.A1", Why.NOT_UNDERSTOOD),
        (Reply(SLOT.format("No Module Installed")), "memory.ecc", Why.NO_DRIVER),
        # HPE's names of slots count through all channels.
        (Reply(PROLIANT), "memory.channels", Why.NOT_UNDERSTOOD),
        (Reply(raised="CommandTimedOut"), "memory.dimms", Why.NO_ANSWER),
        (Reply(raised="CommandNotFound"), "memory.dimms", Why.NO_TOOL),
    ],
)
def test_what_could_not_be_seen_is_said(tmp_path: Path, reply: Reply, part: str, why: Why) -> None:
    files = {"/proc/meminfo": "MemTotal: 1024 kB\n"}
    edac = "/sys/devices/system/edac/mc"
    look = Look(
        make_replay(tmp_path, {"dmidecode -t 16 -t 17": reply}, files, {edac: (), "exists /sys/class/dmi/id": ("yes",)})
    )
    memory = probe_memory(look)
    assert memory.usable == 2**20 and memory.total is None
    # The driver's absence is noted in every case; the last is what the case is about.
    assert [(one.part, one.why) for one in look.missing if one.part != "memory.ecc" or part == "memory.ecc"] == [
        (part, why)
    ]
