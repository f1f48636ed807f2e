"""Which devices of the bus are GPUs, what of each was not measured, and one that does not answer among others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from liveagent.host import Host
from liveagent.machine.gpu import Gpu
from liveagent.machine.gpus import probe_gpus
from liveagent.machine.look import Look, Why
from liveagent.machine.pci import Link
from tests.conftest import UnpackTree
from tests.machine.bench import Answer, Bench, Hangs

QUERY = "nvidia-smi -q -x"


def add_device(place: Path, address: str, ids: str, kind: str, driver: str = "", **files: str) -> None:
    """A PCI function, as sysfs has it."""
    vendor, device = ids.split(":")
    below = place / "sys/devices/pci0000:00" / address
    below.mkdir(parents=True)
    for name, text in {"class": f"0x{kind}", "vendor": f"0x{vendor}", "device": f"0x{device}", **files}.items():
        (below / name).write_text(f"{text}\n")
    if driver:
        (place / "sys/bus/pci/drivers" / driver).mkdir(parents=True, exist_ok=True)
        (below / "driver").symlink_to(f"../../../bus/pci/drivers/{driver}")
    link = place / "sys/bus/pci/devices" / address
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(f"../../../devices/pci0000:00/{address}")


def look_at(place: Path, answer: Answer) -> tuple[tuple[Gpu, ...], list[tuple[str, Why, str]]]:
    look = Look(Bench(place, answer))
    gpus = probe_gpus(look)
    return gpus, [(one.part, one.why, one.detail) for one in look.missing]


def say(said: Mapping[str, str | tuple[int, str]]) -> Answer:
    """Answers by command line; what is not there is not installed."""
    return lambda argv: said[" ".join(argv)]


NOTHING = say({})
FIRST, SECOND = "0000:01:00.0", "0000:41:00.0"


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A server with two A100, and the chip of its BMC."""
    add_device(tmp_path, "0000:03:00.0", "1a03:2000", "030000", "ast")
    for address in (FIRST, SECOND):
        add_device(tmp_path, address, "10de:20b2", "030200", "nvidia")
    return tmp_path


@pytest.fixture
def smi(corpus: Path) -> Mapping[str, str]:
    """The answers about each of them: a recording, MIG switched off, and the same at the other's place."""
    text = (corpus / "nvidia-smi" / "telegraf-a100-sxm4-v12.xml").read_text()
    text = text.replace("<current_mig>Enabled<", "<current_mig>Disabled<")
    other = text.replace("00000000:01:00.0", "00000000:41:00.0")
    end = text.index("</nvidia_smi_log>")
    both = text[:end] + other[other.index("<gpu id=") :]
    return {FIRST: text, SECOND: other, "both": both}


@pytest.mark.parametrize(
    ("ids", "kind"),
    [
        ("1a03:2000", "030000"),
        ("102b:0538", "030000"),
        ("1002:515e", "030000"),
        ("19e5:1711", "030000"),
        ("1af4:1050", "030000"),
        ("1234:1111", "030000"),
        ("1414:5353", "030000"),
        ("10de:10f0", "040300"),
        ("10de:1af1", "068000"),
    ],
)
def test_what_is_no_gpu(tmp_path: Path, ids: str, kind: str) -> None:
    """A BMC's and a hypervisor's displays, a card's sound, NVSwitch."""
    add_device(tmp_path, FIRST, ids, kind)
    assert look_at(tmp_path, NOTHING) == ((), [("gpus", Why.ABSENT, "there is no GPU on the PCI bus")])


def test_a_part_of_one_that_is_lent_is_none(tmp_path: Path) -> None:
    add_device(tmp_path, FIRST, "10de:20b2", "030200", "nvidia")
    (tmp_path / "sys/devices/pci0000:00" / FIRST / "physfn").symlink_to(f"../{SECOND}")
    (tmp_path / "sys/devices/pci0000:00" / SECOND).mkdir()
    assert look_at(tmp_path, NOTHING)[0] == ()


def test_without_a_tool(pair: Path) -> None:
    """It is known by its place and maker; what it cannot tell is noted, for each."""
    gpus, missing = look_at(pair, NOTHING)
    assert gpus == tuple(Gpu(address, "NVIDIA", "10de:20b2", "nvidia") for address in (FIRST, SECOND))
    assert missing == [(f"gpus.{one.id}", Why.NO_TOOL, "nvidia-smi is not installed") for one in gpus]


@pytest.mark.parametrize(
    ("ids", "driver", "why", "words"),
    [
        ("10de:20b2", "", Why.NO_DRIVER, "it has no driver, and only nvidia tells how the GPU is"),
        ("10de:20b2", "vfio-pci", Why.NO_DRIVER, "it has the driver vfio-pci, and only nvidia tells how the GPU is"),
        ("1002:738c", "", Why.NO_DRIVER, "it has no driver, and only amdgpu tells how the GPU is"),
        ("8086:0bd5", "i915", Why.NO_TOOL, "no tool is known here that tells of this maker's"),
        ("1da3:1020", "habanalabs", Why.NO_TOOL, "no tool is known here that tells of this maker's"),
    ],
)
def test_without_its_driver(tmp_path: Path, ids: str, driver: str, why: Why, words: str) -> None:
    link = {"current_link_speed": "2.5 GT/s PCIe", "current_link_width": "16"}
    add_device(tmp_path, FIRST, ids, "120000", driver, **link)
    (gpu,), missing = look_at(tmp_path, NOTHING)
    assert (gpu.model, gpu.driver, gpu.memory, gpu.answers) == (ids, driver, None, None)
    assert gpu.link == Link(2.5, 16, None, None) and missing == [(f"gpus.{FIRST}", why, words)]


@pytest.mark.corpus
def test_both_answer(pair: Path, smi: Mapping[str, str]) -> None:
    gpus, missing = look_at(pair, say({QUERY: smi["both"], "nvidia-smi": "all is well"}))
    assert [(gpu.id, gpu.model, gpu.driver, gpu.answers) for gpu in gpus] == [
        (address, "NVIDIA A100-SXM4-80GB", "nvidia", True) for address in (FIRST, SECOND)
    ]
    assert [gpu.inforom_corrupted for gpu in gpus] == [False, False] and missing == []


@pytest.mark.corpus
def test_rows_are_not_told_while_mig_is_on(pair: Path, corpus: Path) -> None:
    text = (corpus / "nvidia-smi" / "telegraf-a100-sxm4-v12.xml").read_text()
    _, missing = look_at(pair, say({QUERY: text}))
    assert (f"gpus.{FIRST}.remapped", Why.NOT_ASKED, "the driver does not tell while MIG is on") in missing


@pytest.mark.corpus
def test_one_that_is_not_listed(pair: Path, smi: Mapping[str, str]) -> None:
    """The driver has two, and the tool lists one."""
    gpus, missing = look_at(pair, say({QUERY: smi[FIRST], "nvidia-smi": "all is well"}))
    assert [gpu.answers for gpu in gpus] == [True, False] and missing == []
    assert gpus[1] == Gpu(SECOND, "NVIDIA", "10de:20b2", "nvidia", answers=False, faults={"nvidia-smi": "not listed"})


@pytest.mark.corpus
def test_one_that_is_lost_ends_the_question_for_all(pair: Path, smi: Mapping[str, str]) -> None:
    lost = (
        f"Unable to determine the device handle for GPU {FIRST}: GPU is lost.  Reboot the system to recover this GPU\n"
    )
    gpus, missing = look_at(pair, say({QUERY: (15, lost), f"{QUERY} -i {SECOND}": smi[SECOND]}))
    assert [gpu.answers for gpu in gpus] == [False, True] and gpus[1].memory == 81920 * 2**20
    assert gpus[0].faults == {"nvidia-smi": "GPU is lost.  Reboot the system to recover this GPU"} and missing == []


@pytest.mark.corpus
def test_one_that_is_lost_beside_the_answer(pair: Path, smi: Mapping[str, str]) -> None:
    """It is believed in words, whether the document has the GPU as well or not."""
    lost = f"Unable to determine the device handle for GPU {SECOND}: Unknown Error\n"
    for document in (smi[FIRST], smi["both"]):
        gpus, _ = look_at(pair, say({QUERY: (255, f"{lost}{document}")}))
        assert [gpu.answers for gpu in gpus] == [True, False] and gpus[1].faults == {"nvidia-smi": "Unknown Error"}


def test_none_is_listed(pair: Path) -> None:
    gpus, missing = look_at(pair, say({QUERY: (6, "No devices were found\n")}))
    assert [gpu.answers for gpu in gpus] == [False, False] and missing == []


FAILED = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA "
    "driver is installed and running.\n\n"
)


@pytest.mark.parametrize(
    ("said", "why", "words"),
    [
        ((9, FAILED), Why.NO_DRIVER, "communicate with the NVIDIA driver"),
        ((255, "Failed to initialize NVML: Driver/library version mismatch"), Why.NOT_UNDERSTOOD, "version mismatch"),
        ((0, "<nvidia_smi_log><gpu>"), Why.NOT_UNDERSTOOD, "no whole <nvidia_smi_log>"),
        ((0, ""), Why.NOT_UNDERSTOOD, "no whole <nvidia_smi_log>"),
    ],
)
def test_an_answer_about_none(pair: Path, said: tuple[int, str], why: Why, words: str) -> None:
    """Where the driver or the tool has failed, nothing is known of any GPU, and none is called lost."""
    gpus, missing = look_at(pair, say({QUERY: said}))
    assert [gpu.answers for gpu in gpus] == [None, None]
    assert [(part, reason) for part, reason, _ in missing] == [(f"gpus.{gpu.id}", why) for gpu in gpus]
    assert all(words in detail for _, _, detail in missing)


def test_a_tool_that_hangs_is_asked_once(pair: Path) -> None:
    asked: list[str] = []

    def answer(argv: object) -> str:
        asked.append(str(argv))
        raise Hangs

    gpus, missing = look_at(pair, answer)
    assert len(gpus) == 2 and len(asked) == 1
    assert [(part, why) for part, why, _ in missing] == [(f"gpus.{gpu.id}", Why.NO_ANSWER) for gpu in gpus]


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("short", "corrupted"),
    [
        ("WARNING: infoROM is corrupted at gpu 0000:41:00.0", [False, True]),
        ((14, "WARNING: infoROM is corrupted at gpu 0000:41:00.0"), [False, True]),
        ((14, ""), [None, None]),
        ((1, ""), [None, None]),
        ("", [False, False]),
    ],
)
def test_an_inforom(
    pair: Path, smi: Mapping[str, str], short: str | tuple[int, str], corrupted: list[bool | None]
) -> None:
    """Only the short answer tells, by its status as well."""
    gpus, _ = look_at(pair, say({QUERY: smi["both"], "nvidia-smi": short}))
    assert [gpu.inforom_corrupted for gpu in gpus] == corrupted


@pytest.mark.corpus
def test_amd_by_the_kernel_and_by_the_tool(tmp_path: Path, corpus: Path) -> None:
    """Memory and sensors are the kernel's, the name is the tool's; without the tool nothing of weight is missing."""
    memory = {"mem_info_vram_total": "34342961152", "mem_info_vram_used": "1000"}
    add_device(tmp_path, "0000:63:00.0", "1002:66a1", "038000", "amdgpu", **memory)
    text = (corpus / "rocm-smi" / "vega-20-wks-gl-xe.json").read_text()
    (gpu,), missing = look_at(tmp_path, say({"rocm-smi -a --json": text}))
    assert (gpu.model, gpu.serial, gpu.memory_used) == ("Radeon Instinct MI50 32GB", "692024000810", 1000)
    uncounted = ("gpus.0000:63:00.0.ecc", Why.ABSENT, "the driver counts no errors of this card")
    assert missing == [uncounted]
    (gpu,), missing = look_at(tmp_path, NOTHING)
    assert (gpu.model, gpu.serial, gpu.memory) == ("1002:66a1", "", 34342961152) and missing == [uncounted]
    _, missing = look_at(tmp_path, say({"rocm-smi -a --json": "Traceback"}))
    assert [(part, why) for part, why, _ in missing[1:]] == [("gpus.0000:63:00.0.driver_version", Why.NOT_UNDERSTOOD)]


@pytest.mark.corpus
def test_a_captured_guest(unpack_tree: UnpackTree) -> None:
    """A P100 that was passed through to a guest; the guest's own display is none."""
    host: Host = unpack_tree("ghw-tree/linux-amd64-accel-nvidia.tar.gz", r"/(bus/pci|devices/pci)")
    look = Look(host)
    (gpu,) = probe_gpus(look)
    assert (gpu.id, gpu.vendor, gpu.model, gpu.driver) == ("0000:06:00.0", "NVIDIA", "10de:15f8", "nvidia")
    assert re.match("nothing is run", look.missing[0].detail)
