"""rocm-smi's JSON of four releases, and the kernel's files of a card: compared with the recordings by eye."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liveagent.host import Host
from liveagent.machine.amdgpu import normalize_unique_id, parse_bad_pages, parse_error_counts, probe_amdgpu
from liveagent.machine.gpu import EccCounts, Gpu, GpuEcc, GpuPower, GpuTemperatures, RetiredPages, fill
from liveagent.machine.pci import Link
from liveagent.machine.rocm import BadRocmSmi, parse_rocm_smi
from tests.conftest import UnpackTree

FAST = Link(16.0, 16, None, None)


def read(corpus: Path, name: str) -> tuple[Gpu, ...]:
    return parse_rocm_smi((corpus / "rocm-smi" / name).read_text())


def amd(id: str, model: str, **more: object) -> Gpu:
    return Gpu(id=id, model=model, vendor="AMD", replays=0, busy=0, **more)  # type: ignore[arg-type]


EXPECTED = {
    # The third of its digits that are left out: an id is sixteen long.
    ("mi100_rocm602.json", 1): amd(
        "0000:a3:00.0", "Arcturus GL-XL [Instinct MI100]", driver_version="6.3.6", uuid="04edfb117a17a07d",
        part="D3431401", vbios="113-D3431401-101", memory=34342961152, memory_used=6750208,
        temperature=GpuTemperatures(now=55, hotspot=58, memory=54), power=GpuPower(44.0, 290.0), link=FAST,
    ),
    # No name in its database: it prints the maker's id instead.
    ("rx6700xt_rocm430.json", 0): amd(
        "0000:07:00.0", "", driver_version="6.3.6", part="67XA6S", vbios="113-67XA6SSB1-D01", memory=12868124672,
        memory_used=1622728704, temperature=GpuTemperatures(now=45, hotspot=47, memory=46),
        power=GpuPower(6.0, 211.0), link=FAST,
    ),
    # The same card by a later release, which writes names otherwise.
    ("rx6700xt_rocm612.json", 0): amd(
        "0000:07:00.0", "Navi 22 [Radeon RX 6700/6700 XT / 6800M]", driver_version="6.3.6", part="67XA6SSB1",
        vbios="113-67XA6SSB1-D01", memory=12868124672, memory_used=1572745216,
        temperature=GpuTemperatures(now=45, hotspot=47, memory=46), power=GpuPower(6.0, 211.0), link=FAST,
    ),
    ("vega-10-xt.json", 0): amd(
        "0000:04:00.0", "", driver_version="5.9.25", uuid="02150e7d042a1124", part="D05101", vbios="113-D0510100-106",
        memory=17163091968, memory_used=17776640, temperature=GpuTemperatures(now=39, hotspot=40, memory=92),
        power=GpuPower(15.0, 170.0), link=Link(8.0, 16, None, None), fan=13,
    ),
    ("vega-20-wks-gl-xe.json", 0): amd(
        "0000:63:00.0", "Radeon Instinct MI50 32GB", driver_version="5.9.17", serial="692024000810",
        uuid="02f048617326b1ea", part="D16317", vbios="113-D1631700-111", memory=34342961152, memory_used=10850304,
        temperature=GpuTemperatures(now=36, hotspot=38, memory=35), power=GpuPower(26.0, 225.0), link=FAST, fan=0,
    ),
}  # fmt: skip


@pytest.mark.corpus
@pytest.mark.parametrize(("name", "place"), sorted(EXPECTED))
def test_recorded_gpus(corpus: Path, name: str, place: int) -> None:
    assert read(corpus, name)[place] == EXPECTED[name, place]


@pytest.mark.corpus
def test_no_recording_is_left_out(corpus: Path) -> None:
    counts = {file.name: len(read(corpus, file.name)) for file in (corpus / "rocm-smi").iterdir()}
    assert counts == {name: 4 if name.startswith("mi100") else 1 for name, _ in EXPECTED}


@pytest.mark.corpus
def test_the_other_tool_s_table_is_refused(corpus: Path) -> None:
    """The one recording of amd-smi is a table without an address: nobody could say which GPU a line is of."""
    for file in (corpus / "amd-smi").iterdir():
        with pytest.raises(BadRocmSmi):
            parse_rocm_smi(file.read_text(errors="replace"))


@pytest.mark.corpus
def test_words_before_the_document(corpus: Path) -> None:
    text = (corpus / "rocm-smi" / "mi100_rocm602.json").read_text()
    assert parse_rocm_smi(f"WARNING: AMD GPU device(s) is/are in a low-power state.\n{text}\nbye") == parse_rocm_smi(
        text
    )


def vary(corpus: Path, **changes: Any) -> Gpu:
    """The MI50 with other values."""
    document = json.loads((corpus / "rocm-smi" / "vega-20-wks-gl-xe.json").read_text())
    document["card0"].update(changes)
    (gpu,) = parse_rocm_smi(json.dumps(document))
    return gpu


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("VRAM Total Memory (B)", "0", "memory", None),
        ("VRAM Total Memory (B)", "34.342.961.152", "memory", None),
        ("VRAM Total Memory (B)", 34342961152, "memory", 34342961152),
        ("VRAM Total Memory (B)", True, "memory", None),
        ("Serial Number", None, "serial", ""),
        ("Fan speed (%)", "-1", "fan", None),
        ("GPU use (%)", "65535", "busy", None),
        ("pcie clock level", "0 (16.0GT/s x255)", "link", None),
        ("Something new", {"a": []}, "serial", "692024000810"),
    ],
)
def test_values_that_cannot_be(corpus: Path, name: str, value: Any, field: str, expected: Any) -> None:
    assert getattr(vary(corpus, **{name: value}), field) == expected


@pytest.mark.corpus
def test_a_temperature_that_cannot_be(corpus: Path) -> None:
    gpu = vary(corpus, **{"Temperature (Sensor edge) (C)": "65535.0"})
    assert gpu.temperature and gpu.temperature.now is None and gpu.temperature.hotspot == 38


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"system": {}}', '{"card0": 1', "ERROR:root:…", "[" * 9999]
)
def test_what_is_not_its_json(text: str) -> None:
    with pytest.raises(BadRocmSmi):
        parse_rocm_smi(text)


VALUES = st.recursive(
    st.none() | st.integers() | st.floats() | st.text(max_size=9) | st.sampled_from(["0000:01:00.0", "9" * 40, "N/A"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
NAMES = st.sampled_from(["PCI Bus", "VRAM Total Memory (B)", "Unique ID", "Serial Number", "pcie clock level", "x"])
CARDS = st.dictionaries(NAMES, VALUES) | VALUES


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(["card0", "card1", "card٣", "system"]), CARDS), st.integers(0, 200), st.text())
def test_any_document_makes_a_gpu_or_its_own_error(document: Mapping[str, Any], end: int, text: str) -> None:
    for printed in (json.dumps(document), json.dumps(document)[:end], text):
        try:
            parse_rocm_smi(printed)
        except BadRocmSmi:
            continue


# -- the kernel's files -----------------------------------------------------------------------------


@pytest.mark.corpus
def test_a_recorded_card(unpack_tree: UnpackTree) -> None:
    """A Vega: the texts of product and serial are there, and empty."""
    host = unpack_tree("sysfs-tree/procfs-drm.tar.gz", r"/drm/")
    assert probe_amdgpu(host, "/sys/class/drm/card0/device", "0000:09:00.0") == Gpu(
        "0000:09:00.0", vendor="AMD", uuid="0123456789abcdef", vbios="115-D050PIL-100", memory=8573157376,
        memory_used=1490378752, replays=0, busy=4,
    )  # fmt: skip


def write(place: Path, files: Mapping[str, str]) -> Gpu:
    """A card of these files: no server with them was recorded; names and forms are those of the kernel's source."""
    for name, text in files.items():
        file = place / "device" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return probe_amdgpu(Host(str(place)), "/device", "0000:01:00.0")


def test_errors_by_block(tmp_path: Path) -> None:
    gpu = write(
        tmp_path,
        {
            "ras/umc_err_count": "ue: 2\nce: 7\nde: 1\n",
            "ras/gfx_err_count": "ue: 0\nce: 3\n",
            "ras/sdma_err_count": "ue: 1\nce: 0\n",
            "ras/hdp_err_count": "",
            "ras/features": "feature mask: 0x7f\n",
            "ras/gpu_vram_bad_pages": "0x00000001 : 0x00001000 : R\n0x00000002 : 0x00001000 : P\n",
        },
    )
    assert gpu.ecc == GpuEcc(volatile=EccCounts(3, 1, 7, 2, 10, 3))
    assert gpu.retired == RetiredPages(uncorrected=2, pending=True)


def test_sensors(tmp_path: Path) -> None:
    gpu = write(
        tmp_path,
        {
            "hwmon/hwmon4/temp1_label": "edge\n",
            "hwmon/hwmon4/temp1_input": "41000\n",
            "hwmon/hwmon4/temp1_crit": "100000\n",
            "hwmon/hwmon4/temp1_emergency": "105000\n",
            "hwmon/hwmon4/temp2_label": "junction\n",
            "hwmon/hwmon4/temp2_input": "45000\n",
            "hwmon/hwmon4/temp3_label": "mem\n",
            "hwmon/hwmon4/temp3_input": "52000\n",
            "hwmon/hwmon4/temp3_crit": "94000\n",
            "hwmon/hwmon4/power1_average": "38000000\n",
            "hwmon/hwmon4/power1_cap": "300000000\n",
            "hwmon/hwmon4/power1_cap_default": "300000000\n",
            "hwmon/hwmon4/pwm1": "51\n",
            "hwmon/hwmon4/pwm1_max": "255\n",
        },
    )
    assert gpu.temperature == GpuTemperatures(41, 45, 52, 100, 105, 94)
    assert gpu.power == GpuPower(38.0, 300.0, 300.0) and gpu.fan == 20


def test_one_that_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / "device" / "hwmon" / "hwmon1").mkdir(parents=True)
    assert probe_amdgpu(Host(str(tmp_path)), "/device", "0000:01:00.0") == Gpu("0000:01:00.0", vendor="AMD")


@pytest.mark.parametrize(
    ("text", "counts"),
    [("ue: 1\nce: 2\n", (2, 1)), ("ce: 2\n", (2, None)), ("", (None, None)), ("ue: -1\nce: x\n", (None, None))],
)
def test_counts(text: str, counts: tuple[int | None, int | None]) -> None:
    assert parse_error_counts(text) == counts


@given(st.text())
def test_no_text_raises(text: str) -> None:
    assert parse_error_counts(text) is not None
    parse_bad_pages(text)
    assert len(normalize_unique_id(text)) in (0, 16)


def test_two_readings_of_one_card() -> None:
    """What the first says stands; what it does not is the second's, within groups as well."""
    one = Gpu("0000:01:00.0", vendor="AMD", temperature=GpuTemperatures(now=40), clock_reasons=(), link=FAST)
    other = dataclasses.replace(
        one, model="MI50", vendor="ATI", temperature=GpuTemperatures(41, 45), link=Link(8.0, 8, 16.0, 16)
    )
    assert fill(one, other) == dataclasses.replace(one, model="MI50", temperature=GpuTemperatures(40, 45))
