"""Memory modules as firmware of every maker describes them: compared with the texts by eye."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveagent.host import Host
from liveagent.machine.dmidecode import parse_dmidecode
from liveagent.machine.look import Look, Why
from liveagent.machine.memory import (
    Dimm,
    ErrorCounts,
    find_socket,
    is_balanced,
    parse_dimms,
    parse_meminfo,
    parse_size,
    parse_speed,
    probe_memory,
)
from tests.conftest import UnpackTree

GIB = 2**30


def read(corpus: Path, name: str) -> tuple[Dimm, ...]:
    text = (corpus / "dmidecode" / name).read_text(encoding="utf-8", errors="replace")
    return parse_dimms(parse_dmidecode(text))


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("16384 MB", 16 * GIB), ("32 GB", 32 * GIB), ("1 TB", 2**40), ("2048 kB", 2**21), ("No Module Installed", None),
        ("Unknown", None), ("0 MB", None), ("", None), ("32", None), ("None", None), ("-1 GB", None),
    ],
)  # fmt: skip
def test_sizes(text: str, size: int | None) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "speed"), [("3200 MT/s", 3200), ("1333 MHz", 1333), ("Unknown", None), ("0 MT/s", None), ("", None)]
)
def test_speeds(text: str, speed: int | None) -> None:
    assert parse_speed(text) == speed


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("file", "slots", "fitted", "gib", "balanced"),
    [
        ("dell-poweredge-r640-34daf9.txt", 24, 12, 384, True),
        ("glpi-dell-r640-1.txt", 24, 12, 96, True),
        ("hpe-proliant-dl385-gen10-plus-v2-60d1fc.txt", 32, 32, 4096, True),
        ("supermicro-sys-2049u-tr4-13107e.txt", 48, 24, 384, True),
        # Eleven modules in two sockets, and one socket only.
        ("hewlett-packard-proliant-dl380-g7-251402.txt", 18, 11, 176, False),
        ("dell-poweredge-r740-388de5.txt", 24, 10, 448, None),
        # Names that tell of channels, and of no sockets.
        ("dell-poweredge-r720-13a706.txt", 24, 8, 64, None),
        ("asrockrack-genoad12m3-2q-h-af39b8.txt", 12, 9, 576, None),
        ("jc-vmware-centos7.txt", 128, 1, 4, None),
        ("glpi-rhel-4.6.txt", 0, 0, 0, None),
    ],
)
def test_modules_of_real_servers(
    corpus: Path, file: str, slots: int, fitted: int, gib: int, balanced: bool | None
) -> None:
    dimms = read(corpus, file)
    sizes = [dimm.size for dimm in dimms if dimm.size]
    assert (len(dimms), len(sizes), sum(sizes) // GIB) == (slots, fitted, gib)
    assert is_balanced(dimms) is balanced


@pytest.mark.corpus
def test_one_module_whole(corpus: Path) -> None:
    """An R640 from the text: rated 3200, run at 2933 as its processors do, and a serial that is none."""
    assert read(corpus, "dell-poweredge-r640-34daf9.txt")[0] == Dimm(
        id="A1",
        slot="A1",
        bank="",
        socket="A",
        size=32 * GIB,
        type="DDR4",
        form_factor="DIMM",
        rank=2,
        speed=3200,
        configured=2933,
        manufacturer="00AD069D00AD",
        part="HMAA4GR7CJR8N-XN",
        serial="",
    )


@pytest.mark.corpus
def test_storage_in_memory_slots_is_no_memory(corpus: Path) -> None:
    dimms = read(corpus, "supermicro-sys-2029u-tn24r4t-3036a7.txt")
    assert sum(dimm.is_persistent for dimm in dimms) == 8
    assert sum(dimm.size or 0 for dimm in dimms if not dimm.is_persistent) == 128 * GIB


@pytest.mark.corpus
def test_every_file_of_the_corpus(corpus: Path) -> None:
    """Eighty servers, whole, cut and mangled: identities are unique, and no figure is absurd."""
    for file in sorted((corpus / "dmidecode").iterdir()):
        text = file.read_text(encoding="utf-8", errors="replace")
        for part in (text, text[: len(text) // 2], text.replace("\t", ""), text.replace(" MB", " Mo")):
            dimms = parse_dimms(parse_dmidecode(part))
            assert len({dimm.id for dimm in dimms}) == len(dimms), file.name
            for dimm in dimms:
                assert dimm.size is None or 2**20 <= dimm.size <= 2**40, file.name
                assert dimm.speed is None or 200 <= dimm.speed <= 9000, file.name
                assert dimm.size is not None or (dimm.part, dimm.configured) == ("", None), file.name


@given(st.text())
def test_noise(text: str) -> None:
    parse_dimms(parse_dmidecode(text)), parse_meminfo(text)
    parse_dimms(parse_dmidecode(f"Handle 0x1100, DMI type 17, 40 bytes\nMemory Device\n{text}"))


@pytest.mark.parametrize(
    ("slot", "bank", "socket"),
    [
        ("PROC 2 DIMM 8", "", "2"), ("PROC  1 DIMM  1", "", "1"), ("CPU1_DIMM_A1", "", "1"), ("P1-DIMMA1", "", "1"),
        ("B12", "", "B"), ("DIMM_A1", "NODE 1", "1"), ("DIMM_A1", "", ""), ("D11", "/SYS/MB/P0", "0"),
        ("DIMM0", "P0_Node0_Channel1_Dimm0", "0"), ("DIMM 0", "P0 CHANNEL A", "0"), ("J8J1", "", ""),
    ],
)  # fmt: skip
def test_sockets_in_names(slot: str, bank: str, socket: str) -> None:
    assert find_socket(slot, bank) == socket


@pytest.mark.corpus
def test_errors_that_the_kernel_counted(unpack_tree: UnpackTree) -> None:
    look = Look(unpack_tree("sysfs-tree/node_exporter-edac.tar.gz", r"/edac/"))
    memory = probe_memory(look)
    assert memory.controllers == (ErrorCounts("mc0", 1, 5),)
    assert "memory.ecc" not in [one.part for one in look.missing]


def test_without_a_driver_errors_are_not_zero(tmp_path: Path) -> None:
    look = Look(Host(str(tmp_path)))
    memory = probe_memory(look)
    assert (memory.controllers, memory.errors, memory.usable, memory.total) == ((), (), None, None)
    assert ("memory.ecc", Why.NO_DRIVER) in [(one.part, one.why) for one in look.missing]
