"""nvidia-smi's XML of nine years: every recording compared with its file by eye, and what no card can have refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liveagent.machine.gpu import EccCounts, Gpu, GpuEcc, GpuPower, GpuTemperatures, RemappedRows, RetiredPages
from liveagent.machine.nvidia import BadNvidiaSmi, Warnings, parse_nvidia_smi, parse_warnings
from liveagent.machine.pci import Link

MIB = 2**20
CLEAN = EccCounts(0, 0, 0, 0, 0, 0)
ON = GpuEcc(enabled=True, pending=True, volatile=CLEAN, aggregate=CLEAN)
OFF = GpuEcc(enabled=False, pending=False)
UNTOUCHED = RemappedRows(0, 0, False, False, {"max": 192, "high": 0, "partial": 0, "low": 0, "none": 0})
IDLE = ("gpu_idle",)


def read(corpus: Path, name: str) -> tuple[Gpu, ...]:
    return parse_nvidia_smi((corpus / "nvidia-smi" / name).read_text())


def nvidia(id: str, model: str, **more: object) -> Gpu:
    return Gpu(id=id, model=model, vendor="NVIDIA", answers=True, **more)  # type: ignore[arg-type]


EXPECTED = {
    # A laptop's: no serial, no power limit, eight lanes of sixteen.
    "netdata-rtx-3060.xml": nvidia(
        "0000:01:00.0", "NVIDIA GeForce RTX 3060 Laptop GPU", driver_version="515.65.01",
        uuid="GPU-473d8d0f-d462-185c-6b36-6fc23e23e571", vbios="94.06.19.00.51", inforom="G001.0000.03.03",
        memory=6144 * MIB, memory_used=5 * MIB, temperature=GpuTemperatures(now=45, slowdown=102, shutdown=105),
        power=GpuPower(draw=8.70), link=Link(2.5, 8, 16.0, 16), replays=0, busy=0, performance_state="P8",
        clock_reasons=IDLE, persistence=False,
    ),
    # Margins in the place of temperatures, and a slot that is slower than the card.
    "netdata-rtx-4090-driver-535.xml": nvidia(
        "0000:84:00.0", "NVIDIA GeForce RTX 4090", driver_version="535.86.05",
        uuid="GPU-71d1acc2-662d-2166-bf9f-65272d2fc437", part="2684-300-A1", vbios="95.02.18.80.5F",
        inforom="G002.0000.00.03", reset_required=False, memory=24564 * MIB, memory_used=2 * MIB, ecc=OFF,
        remapped=UNTOUCHED,
        temperature=GpuTemperatures(now=40, margin=43, margin_slowdown=-2, margin_shutdown=-7),
        power=GpuPower(26.84, 450.0, 450.0), link=Link(2.5, 16, 8.0, 16), replays=0, fan=0, busy=0,
        performance_state="P8", clock_reasons=IDLE, persistence=True,
    ),
    # Pascal: counts by bits and memories, pages instead of rows.
    "netdata-tesla-p100.xml": nvidia(
        "0000:00:04.0", "Tesla P100-PCIE-16GB", driver_version="510.47.03", serial="0324217145110",
        uuid="GPU-d3da8716-eaab-75db-efc1-60e88e1cd55e", part="900-2H400-6300-031", vbios="86.00.52.00.02",
        inforom="H400.0201.00.08", memory=16384 * MIB, memory_used=0,
        ecc=GpuEcc(True, True, CLEAN, EccCounts(0, 0, 3, 0, 3, 0)), retired=RetiredPages(0, 0, False),
        temperature=GpuTemperatures(now=38, slowdown=82, shutdown=85), power=GpuPower(26.16, 250.0, 250.0),
        link=Link(8.0, 16, 8.0, 16), replays=0, busy=0, performance_state="P0", clock_reasons=IDLE, persistence=False,
    ),
    # MIG is on: it does not tell of rows, and not how busy it is.
    "telegraf-a100-sxm4-v12.xml": nvidia(
        "0000:01:00.0", "NVIDIA A100-SXM4-80GB", driver_version="535.54.03", serial="1650522003820",
        uuid="GPU-513536b6-7d19-9063-b049-1e69664bb298", part="692-2G506-0212-002", vbios="92.00.36.00.02",
        inforom="G506.0212.00.01", reset_required=False, memory=81920 * MIB, memory_used=50 * MIB, ecc=ON,
        temperature=GpuTemperatures(now=27, memory=44, slowdown=89, shutdown=92, memory_limit=95),
        power=GpuPower(67.03, 500.0, 500.0), link=Link(16.0, 16, 16.0, 16), replays=0, performance_state="P0",
        clock_reasons=(), persistence=False, mig=True,
    ),
    # A guest's: serial and part number of zeros.
    "telegraf-a10g.xml": nvidia(
        "0000:00:1e.0", "NVIDIA A10G", driver_version="515.105.01", uuid="GPU-9a9a6c50-2a47-2f51-a902-b82c3b127e94",
        vbios="94.02.75.00.01", inforom="G133.0210.00.04", memory=23028 * MIB, memory_used=22 * MIB, ecc=ON,
        remapped=UNTOUCHED, temperature=GpuTemperatures(now=17, slowdown=95, shutdown=98),
        power=GpuPower(25.58, 300.0, 300.0), link=Link(2.5, 8, 16.0, 16), replays=0, fan=0, busy=0,
        performance_state="P8", clock_reasons=IDLE, persistence=False,
    ),
    # Cut down by hand to what was wanted there: what is not said is unknown, its address the attribute's.
    "telegraf-gtx-1070-ti.xml": nvidia(
        "0000:01:00.0", "GeForce GTX 1070 Ti", uuid="GPU-f9ba66fc-a7f5-94c5-da19-019ef2f9c665", memory=4096 * MIB,
        memory_used=42 * MIB, temperature=GpuTemperatures(now=39), link=Link(2.5, 16, None, None), fan=100, busy=0,
        performance_state="P8",
    ),
    # Without a DOCTYPE, of a driver that did not know the card.
    "telegraf-gtx-1660-ti.xml": nvidia(
        "0000:43:00.0", "Graphics Device", driver_version="418.43", uuid="GPU-304a277d-3545-63b8-3a36-dfde3c992989",
        vbios="90.16.25.00.4C", inforom="G001.0000.02.04", memory=5912 * MIB, memory_used=0,
        temperature=GpuTemperatures(now=40, slowdown=93, shutdown=96), power=GpuPower(8.93, 130.0, 130.0),
        link=Link(2.5, 16, 8.0, 16), replays=0, fan=0, busy=0, performance_state="P8", clock_reasons=IDLE,
        persistence=False,
    ),
    "telegraf-quadro-p2000-v12.xml": nvidia(
        "0000:17:00.0", "Quadro P2000", driver_version="525.125.06", serial="0322218049033",
        uuid="GPU-396caaed-39ca-3199-2e68-717cdb786ec6", part="900-5G410-0100-000", vbios="86.06.3F.00.30",
        inforom="G410.0502.00.02", memory=5120 * MIB, memory_used=MIB,
        temperature=GpuTemperatures(now=34, slowdown=101, shutdown=104), power=GpuPower(4.61, 75.0, 75.0),
        link=Link(2.5, 8, 8.0, 16), replays=0, fan=46, busy=0, performance_state="P8", clock_reasons=IDLE,
        persistence=True,
    ),
    # The power of this moment is not the average; "has been deprecated" is no answer.
    "telegraf-rtx-3060-v12.xml": nvidia(
        "0000:2d:00.0", "NVIDIA GeForce RTX 3060", driver_version="570.124.04",
        uuid="GPU-d6889ff6-2523-9142-ca3c-1ca3f396a625", part="2487-150-A1", vbios="94.04.71.00.69",
        inforom="G001.0000.03.03", memory=12288 * MIB, memory_used=116 * MIB,
        temperature=GpuTemperatures(now=42, slowdown=95, shutdown=98), power=GpuPower(11.63, 170.0, 170.0),
        link=Link(2.5, 16, 16.0, 16), replays=0, fan=0, busy=0, performance_state="P8", clock_reasons=IDLE,
        persistence=True,
    ),
    # Somebody has lowered its limit.
    "telegraf-rtx-3090-v12.xml": nvidia(
        "0000:00:10.0", "NVIDIA GeForce RTX 3090", driver_version="525.147.05",
        uuid="GPU-12345678-aaaa-bbbb-cccc-0123456789ab", part="[REDACTED]", inforom="[REDACTED]",
        vbios="94.02.71.40.72", memory=24576 * MIB, memory_used=MIB,
        temperature=GpuTemperatures(now=37, slowdown=95, shutdown=98), power=GpuPower(27.23, 200.0, 350.0),
        link=Link(2.5, 16, 16.0, 16), replays=0, fan=0, busy=0, performance_state="P8", clock_reasons=IDLE,
        persistence=True,
    ),
    "telegraf-rtx-4000-sff-ada-v13.xml": nvidia(
        "0000:06:00.0", "NVIDIA RTX 4000 SFF Ada Generation", driver_version="595.84", serial="REDACTED",
        uuid="GPU-37037c3f-65c8-ec4d-24a9-420204ad8026", part="900-5G192-1770-000", vbios="95.04.53.00.01",
        inforom="G192.0550.00.02", memory=20475 * MIB, memory_used=3534 * MIB,
        ecc=dataclasses.replace(OFF, repair_pending=False),
        remapped=dataclasses.replace(UNTOUCHED, banks={**UNTOUCHED.banks, "max": 96}),
        temperature=GpuTemperatures(now=38, margin=49, margin_slowdown=-2, margin_shutdown=-7),
        power=GpuPower(8.44, 70.0, 70.0), link=Link(2.5, 16, 16.0, 16), replays=0, fan=30, busy=0,
        performance_state="P8", clock_reasons=IDLE,
        clock_seconds={
            "sw_power_cap": 4251.825415, "sync_boost": 0.0, "sw_therm_slowdown": 0.0, "hw_therm_slowdown": 0.0,
            "hw_power_brake": 0.0,
        },
        persistence=True,
    ),
    "telegraf-tesla-t4.xml": nvidia(
        "0000:00:1e.0", "Tesla T4", driver_version="515.105.01", uuid="GPU-d37e67a5-91dd-3774-a5cb-99096249601a",
        part="900-2G183-0000-001", vbios="90.04.84.00.06", inforom="G183.0200.00.02", memory=15360 * MIB,
        memory_used=1032 * MIB, ecc=ON, retired=RetiredPages(0, 0, False),
        temperature=GpuTemperatures(now=40, slowdown=93, shutdown=96), power=GpuPower(26.78, 70.0, 70.0),
        link=Link(8.0, 8, 8.0, 16), replays=0, busy=0, performance_state="P0", clock_reasons=(), persistence=False,
    ),
}  # fmt: skip


@pytest.mark.corpus
@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_recorded_gpus(corpus: Path, name: str) -> None:
    assert read(corpus, name)[0] == EXPECTED[name]


@pytest.mark.corpus
def test_no_recording_is_left_out(corpus: Path) -> None:
    assert {file.name for file in (corpus / "nvidia-smi").iterdir()} == set(EXPECTED)


@pytest.mark.corpus
def test_several_of_a_server(corpus: Path) -> None:
    """The recording kept one of four: its element, repeated at other places. What MIG devices have is not the GPU's."""
    text = (corpus / "nvidia-smi" / "telegraf-a100-sxm4-v12.xml").read_text()
    (first,) = parse_nvidia_smi(text)
    start, end = text.index("<gpu id="), text.index("</nvidia_smi_log>")
    more = "".join(text[start:end].replace("00000000:01:00.0", f"00000000:{bus}:00.0") for bus in ("41", "81", "C1"))
    gpus = parse_nvidia_smi(text[:end] + more + text[end:])
    assert [gpu.id for gpu in gpus] == ["0000:01:00.0", "0000:41:00.0", "0000:81:00.0", "0000:c1:00.0"]
    assert all(dataclasses.replace(gpu, id=first.id) == first for gpu in gpus)


# -- recordings with one thing changed --------------------------------------------------------------


@pytest.fixture
def a10g(corpus: Path) -> str:
    """A card of Ampere, as it was recorded, for tests that spoil something of it."""
    return (corpus / "nvidia-smi" / "telegraf-a10g.xml").read_text()


def spoil(text: str, *changes: tuple[str, str]) -> Gpu:
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    (gpu,) = parse_nvidia_smi(text)
    return gpu


@pytest.mark.corpus
def test_a_card_that_has_failed(a10g: str) -> None:
    """Rows that ran out, throttling under both of its names, a reset that is asked for."""
    gpu = spoil(
        a10g,
        ("<remapped_row_unc>0<", "<remapped_row_unc>9<"),
        ("<remapped_row_pending>No<", "<remapped_row_pending>Yes<"),
        ("<remapped_row_failure>No<", "<remapped_row_failure>Yes<"),
        (">192 bank(s)<", ">190 bank(s)<"),
        ("low>0 bank(s)<", "low>2 bank(s)<"),
        ("_hw_slowdown>Not Active<", "_hw_slowdown>Active<"),
        ("<performance_state>", "<gpu_recovery_action>Reset</gpu_recovery_action><performance_state>"),
    )
    banks = {"max": 190, "high": 0, "partial": 0, "low": 2, "none": 0}
    assert gpu.remapped == RemappedRows(0, 9, True, True, banks)
    assert gpu.clock_reasons == ("gpu_idle", "hw_slowdown") and gpu.recovery == "Reset"
    renamed = spoil(a10g, ("throttle_reason", "event_reason"))
    assert renamed.clock_reasons == IDLE


@pytest.mark.corpus
def test_a_reset_that_an_older_driver_recommends(corpus: Path) -> None:
    text = (corpus / "nvidia-smi" / "telegraf-a100-sxm4-v12.xml").read_text()
    gpu = spoil(text, ("_recommended>No<", "_recommended>Yes<"), ("<reset_required>No<", "<reset_required>Yes<"))
    assert gpu.recovery == "Drain and Reset" and gpu.reset_required is True


@pytest.mark.corpus
def test_what_the_card_could_not_be_asked_for(a10g: str) -> None:
    """A fault in the place of a value is neither a value nor zero, and its name is kept; a program may be called so."""
    gpu = spoil(
        a10g,
        (">17 C<", ">[Unknown Error]<"),
        (">25.58 W<", ">ERR!<"),
        ("<fan_speed>0 %<", "<fan_speed>[GPU requires reset]<"),
        ("<current_ecc>Enabled<", "<current_ecc>GPU is lost<"),
        ("<compute_mode>Default<", "<process_name>timeout<"),
        ("</compute_mode>", "</process_name>"),
        ("<performance_state>P8<", "<performance_state>[Insufficient Permissions]<"),
    )
    assert gpu.faults == {
        "gpu_temp": "Unknown Error",
        "power_draw": "ERR!",
        "fan_speed": "GPU requires reset",
        "current_ecc": "GPU is lost",
    }
    assert gpu.temperature and gpu.temperature.now is None and gpu.temperature.slowdown == 95
    assert gpu.power and gpu.power.draw is None and gpu.fan is None and gpu.performance_state == ""
    assert gpu.ecc and gpu.ecc.enabled is None


@pytest.mark.corpus
def test_caches_by_the_way_the_error_was_found(a10g: str) -> None:
    """R570 has two counts where there was one, and a threshold."""
    two = "<sram_uncorrectable_parity>1</sram_uncorrectable_parity><sram_uncorrectable_secded>2<"
    gpu = spoil(
        a10g,
        ("<sram_uncorrectable>0<", two),
        ("</sram_uncorrectable>", "</sram_uncorrectable_secded>"),
        ("</aggregate>", "<sram_threshold_exceeded>Yes</sram_threshold_exceeded></aggregate>"),
        ("</ecc_errors>", "<unrepairable_memory>Yes</unrepairable_memory></ecc_errors>"),
    )
    assert gpu.ecc and gpu.ecc.aggregate == EccCounts(0, 3, 0, 0, 0, 3)
    assert gpu.ecc.sram_threshold_exceeded is True and gpu.ecc.unrepairable is True


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (">23028 MiB<", ">23028 GiB<"),
        (">23028 MiB<", ">0 MiB<"),
        (">23028 MiB<", ">23.028,5 MiB<"),
        (">23028 MiB<", ">٢٣٠٢٨ MiB<"),
        (">23028 MiB<", ">99999999999999 MiB<"),
        (">23028 MiB<", ">-5 MiB<"),
    ],
)
def test_memory_that_no_card_has(a10g: str, before: str, after: str) -> None:
    assert spoil(a10g, (before, after)).memory is None


@pytest.mark.corpus
def test_a_newer_version_with_more_in_it(a10g: str) -> None:
    """Elements that nobody knows yet change nothing of those that are known."""
    more = a10g.replace("nvsmi_device_v11.dtd", "nvsmi_device_v99.dtd").replace(
        "<temperature>", "<quantum_state><gpu_temp>999 C</gpu_temp></quantum_state><temperature>"
    )
    assert parse_nvidia_smi(more) == parse_nvidia_smi(a10g)


@pytest.mark.corpus
def test_words_around_the_document(a10g: str) -> None:
    around = f"WARNING: something\n{a10g}\nWARNING: infoROM is corrupted at gpu 0000:00:1E.0\n"
    assert parse_nvidia_smi(around) == parse_nvidia_smi(a10g)


LAUGHS = (
    '<?xml version="1.0"?>\n<!DOCTYPE lolz [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9))
    + "]>\n<nvidia_smi_log><gpu id='0000:01:00.0'><uuid>&j;</uuid></gpu></nvidia_smi_log>"
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "No devices were found\n",
        "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.",
        "<nvidia_smi_log>",
        "</nvidia_smi_log><nvidia_smi_log>",
        "<nvidia_smi_log><gpu></nvidia_smi_log>",
        "<nvidia_smi_log>\x00</nvidia_smi_log>",
        "<nvidia_smi_log>\udcff</nvidia_smi_log>",
        "<nvidia_smi_log>&nothing;</nvidia_smi_log>",
        LAUGHS,
        LAUGHS.replace("<!DOCTYPE", "<nvidia_smi_log><!DOCTYPE"),
    ],
)
def test_what_is_not_its_xml(text: str) -> None:
    with pytest.raises(BadNvidiaSmi):
        parse_nvidia_smi(text)


@pytest.mark.corpus
def test_one_that_was_cut_off(corpus: Path) -> None:
    text = (corpus / "nvidia-smi" / "telegraf-tesla-t4.xml").read_text()
    for end in range(0, len(text.rstrip()) - 1, 97):
        with pytest.raises(BadNvidiaSmi):
            parse_nvidia_smi(text[:end])


@pytest.mark.corpus
def test_bytes_that_are_no_text(corpus: Path) -> None:
    """As the door decodes them: the name has a mark in it, and the rest stands."""
    raw = (corpus / "nvidia-smi" / "telegraf-tesla-t4.xml").read_bytes().replace(b"Tesla T4", b"Tesla \xff4")
    (gpu,) = parse_nvidia_smi(raw.decode("utf-8", "replace"))
    assert gpu.model == "Tesla �4" and gpu.memory == 15360 * MIB


PIECES = st.sampled_from(
    ["<gpu id='0000:01:00.0'>", "</gpu>", "<serial>", "</serial>", "<temperature><gpu_temp>", "</gpu_temp>", "9" * 30]
    + ["</temperature>", "91 C", "-1", "ERR!", "<fb_memory_usage><total>", "</total></fb_memory_usage>", "1 MiB", "&a;"]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES | st.text(max_size=8), max_size=20).map("".join))
def test_any_text_makes_a_gpu_or_its_own_error(inner: str) -> None:
    for text in (inner, f"<nvidia_smi_log>{inner}</nvidia_smi_log>"):
        try:
            gpus = parse_nvidia_smi(text)
        except BadNvidiaSmi:
            continue
        assert all(gpu.memory is None or 0 < gpu.memory <= 2**50 for gpu in gpus)
    parse_warnings(inner)


# -- words ------------------------------------------------------------------------------------------


def test_warnings() -> None:
    """As users have reported them: with and without a blank after GPU, addresses in every case."""
    text = (
        "WARNING: infoROM is corrupted at gpu 0000:B3:00.0\n"
        "Unable to determine the device handle for GPU 0000:02:00.0: GPU is lost.  Reboot the system to recover\n"
        "Unable to determine the device handle for GPU0000:07:00.0: Unknown Error\r\n"
        "Unable to determine the device handle for gpu 00000000:0A:00.0:\n"
    )
    assert parse_warnings(text) == Warnings(
        ("0000:b3:00.0",),
        {
            "0000:02:00.0": "GPU is lost.  Reboot the system to recover",
            "0000:07:00.0": "Unknown Error",
            "0000:0a:00.0": "no answer",
        },
    )
    assert parse_warnings("all is well") == Warnings()
