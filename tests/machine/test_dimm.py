"""Memory modules as firmware of every maker describes them: compared with the texts by eye."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveagent.machine.dimm import (
    Dimm,
    choose_places,
    is_balanced,
    make_name,
    parse_dimms,
    parse_maker,
    parse_part,
    parse_size,
    parse_speed,
)
from liveagent.machine.dmidecode import parse_dmidecode

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
    ("text", "speed"),
    [
        *(("3200 MT/s", 3200), ("1333 MHz", 1333), ("667 MHz (1.5 ns)", 667)),
        *(("Unknown", None), ("0 MT/s", None), ("", None)),
    ],
)  # fmt: skip
def test_speeds(text: str, speed: int | None) -> None:
    assert parse_speed(text) == speed


@pytest.mark.parametrize(
    ("text", "maker"),
    [
        ("Samsung", "Samsung"), ("80CE80B380CE", "Samsung"), ("00CE063200CE", "Samsung"), ("CE00B300CE00", "Samsung"),
        ("0xCE00000000000000", "Samsung"), ("00AD00B300AD", "SK Hynix"), ("80AD000080AD", "SK Hynix"),
        ("0xAD00", "SK Hynix"), ("0x2C00", "Micron"), ("002C04B3002C", "Micron"), ("802C869D802C", "Micron"),
        ("0x7F98000000000000", "Kingston"), ("00FF00000000", "00FF00000000"), ("7F7F7F7F", "7F7F7F7F"),
        ("Manufacturer07", ""), ("Unknown", ""), ("", ""),
    ],
)  # fmt: skip
def test_makers(text: str, maker: str) -> None:
    """The SPD's bytes as firmware of several makers has them; a code that nobody knows stands as it is."""
    assert parse_maker(text) == maker


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("M393A4K40CB2-CVF", "M393A4K40CB2-CVF"),
        ("0x4D332037385432393533455A332D43453620", "M3 78T2953EZ3-CE6"),
        ("0x4B0000000000000000000000000000000000", ""),
        ("ModulePartNumber00", ""),
        ("PartNum7", ""),
    ],
)
def test_part_numbers(text: str, part: str) -> None:
    assert parse_part(text) == part


@pytest.mark.parametrize("text", ["SerNum0", "SerialNumber", "DIMM_A1_AssetTag", "Manufacturer11", "00000000", "N/A"])
def test_what_is_numbered_by_firmware_is_no_name(text: str) -> None:
    assert make_name(text) == ""


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("file", "slots", "fitted", "gib", "balanced"),
    [
        ("dell-poweredge-r640-34daf9.txt", 24, 12, 384, True),
        ("glpi-dell-r640-1.txt", 24, 12, 96, True),
        ("hpe-proliant-dl385-gen10-plus-v2-60d1fc.txt", 32, 32, 4096, True),
        ("supermicro-sys-2049u-tr4-13107e.txt", 48, 24, 384, True),
        ("dell-poweredge-r720-13a706.txt", 24, 8, 64, True),
        # Eleven modules in two sockets, and one socket only.
        ("hewlett-packard-proliant-dl380-g7-251402.txt", 18, 11, 176, False),
        ("dell-poweredge-r740-388de5.txt", 24, 10, 448, None),
        # Four slots at the second socket, all of them filled.
        ("nba-dell_dss7500.txt", 12, 12, 192, True),
        # Names that tell of channels, and of no sockets.
        ("glpi-s3000ahlx.txt", 4, 3, 4, None),
        ("asrockrack-genoad12m3-2q-h-af39b8.txt", 12, 9, 576, None),
        ("jc-vmware-centos7.txt", 128, 1, 4, None),
        ("glpi-rhel-4.6.txt", 8, 6, 5, None),
        # A TPM alone, and no memory at all.
        ("ironlib-x11dph-t-tpm.txt", 0, 0, 0, None),
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
        channel="",
        size=32 * GIB,
        type="DDR4",
        form_factor="DIMM",
        buffering="registered",
        ecc=True,
        rank=2,
        speed=3200,
        configured=2933,
        manufacturer="SK Hynix",
        part="HMAA4GR7CJR8N-XN",
        serial="",
        technology="DRAM",
        volatile=32 * GIB,
    )


@pytest.mark.corpus
def test_storage_in_memory_slots_is_no_memory(corpus: Path) -> None:
    dimms = read(corpus, "supermicro-sys-2029u-tn24r4t-3036a7.txt")
    stored = [dimm for dimm in dimms if dimm.is_persistent]
    assert [dimm.volatile for dimm in stored if dimm.volatile] == [126 * GIB] and len(stored) == 8
    assert sum(dimm.size or 0 for dimm in dimms if not dimm.is_persistent) == 128 * GIB


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("file", "ecc", "buffering"),
    [
        ("asrockrack-b650d4u-004d22.txt", {False}, {"unbuffered"}),
        ("asrockrack-genoad12m3-2q-h-af39b8.txt", {True}, {"registered"}),
        ("hpe-proliant-dl385-gen10-plus-v2-60d1fc.txt", {True}, {"load-reduced"}),
        ("percona-006.txt", {False}, {""}),  # a laptop's 32 bits a module
        ("glpi-sun-x2200-m2.txt", {True}, {""}),  # widths the wrong way round
        ("nba-unknown.txt", {None}, {"unbuffered"}),
    ],
)
def test_error_correction_of_modules(corpus: Path, file: str, ecc: set[bool | None], buffering: set[str]) -> None:
    filled = [dimm for dimm in read(corpus, file) if dimm.size]
    assert {dimm.ecc for dimm in filled} == ecc and {dimm.buffering for dimm in filled} == buffering


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
                assert dimm.rank is None or 1 <= dimm.rank <= 8, file.name
                assert dimm.size is not None or (dimm.part, dimm.configured, dimm.ecc) == ("", None, None), file.name


@given(st.text())
def test_noise(text: str) -> None:
    parse_maker(text), parse_part(text), choose_places([(text, text)])
    parse_dimms(parse_dmidecode(f"Handle 0x1100, DMI type 17, 40 bytes\nMemory Device\n{text}"))


@pytest.mark.corpus
@given(st.data())
def test_real_text_that_was_mangled(corpus: Path, data: st.DataObject) -> None:
    """A piece of a real text somewhere else in it, or gone."""
    file = data.draw(st.sampled_from(sorted((corpus / "dmidecode").iterdir())))
    text = file.read_text(encoding="utf-8", errors="replace")
    places = st.integers(0, len(text))
    for _ in range(data.draw(st.integers(1, 4))):
        start, end, other = sorted((data.draw(places), data.draw(places)))[0], data.draw(places), data.draw(places)
        text = text[:start] + text[other : other + 200] + text[end:]
    dimms = parse_dimms(parse_dmidecode(text))
    assert len({dimm.id for dimm in dimms}) == len(dimms)
    assert all(dimm.size is None or 2**20 <= dimm.size <= 2**43 for dimm in dimms)


@given(st.text(alphabet="0123456789ABCDEFx"))
def test_noise_of_hexadecimal_digits(text: str) -> None:
    parse_maker(text), parse_part(text)


@pytest.mark.parametrize(
    ("names", "places"),
    [
        ([("PROC 2 DIMM 8", ""), ("PROC  1 DIMM  1", "")], [("2", ""), ("1", "")]),
        ([("CPU1_DIMM_A1", "NODE 1"), ("CPU2_DIMM_B2", "NODE 2")], [("1", "A"), ("2", "B")]),
        ([("P1-DIMMA1", "P0_Node0_Channel0_Dimm0"), ("P2-DIMMF2", "NO DIMM")], [("1", "A"), ("2", "F")]),
        ([("DIMMA1", "P0_Node1_Channel2_Dimm0")], [("0", "A")]),
        ([("DIMM_A1", "NODE 1"), ("DIMM_M2", "NODE 2")], [("1", "A"), ("2", "M")]),
        ([("DIMM_P0_A0", "Bank 1"), ("DIMM_P0_H1", "Bank 16")], [("0", "A"), ("0", "H")]),
        # Of twelve slots with a letter it is a socket's, of two a channel's.
        ([("A1", ""), ("B12", "")], [("A", ""), ("B", "")]),
        ([("DIMM_A1", ""), ("DIMM_B12", "")], [("A", ""), ("B", "")]),
        ([("DIMM_A1", ""), ("DIMM_B2", "")], [("", "A"), ("", "B")]),
        # Eight risers of four sockets, and four channels of one: the letter tells neither.
        ([("DIMM A1", ""), ("DIMM H8", "")], [("", ""), ("", "")]),
        ([("ONBOARD DIMM_A1", ""), ("ONBOARD DIMM_B4", "")], [("", ""), ("", "")]),
        ([("D11", "/SYS/MB/P0")], [("0", "")]),
        ([("CPU0_C3D1", "NODE 1")], [("0", "3")]),
        ([("DIMM 0", "P0 CHANNEL A"), ("DIMM 0", "P0 CHANNEL L")], [("0", "A"), ("0", "L")]),
        ([("DIMM001 J28", "SOCKET 1 CHANNEL 7 DIMM 1")], [("1", "7")]),
        ([("DIMM0", "P0_Node1_Channel2_Dimm0")], [("0", "1.2")]),
        ([("ChannelA-DIMM0", "BANK 0")], [("", "A")]),
        ([("J8J1", "CHAN A DIMM 1"), ("DIMM 1", "Node 1 Bank 1"), ("", "")], [("", "A"), ("", ""), ("", "")]),
    ],
)
def test_places_in_names(names: Sequence[tuple[str, str]], places: Sequence[tuple[str, str]]) -> None:
    assert choose_places(names) == tuple(places)
