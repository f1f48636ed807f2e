"""The wipe on real block devices: loop devices over scratch files, read back from the file by the test."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from liveagent.events import Event, Type, Verdict
from liveagent.host import Host
from liveagent.machine import Machine, probe_machine
from liveagent.tasks import Context, Outcome
from liveagent.tasks.wipe import TASK
from liveagent.tasks.wipe import samples as sampling
from liveagent.tasks.wipe.flow import CHUNK, Flow, Span, Work, spans
from liveagent.tasks.wipe.guards import Armed, Refusal, arm
from liveagent.tasks.wipe.options import WipeOptions
from liveagent.tasks.wipe.overwrite import Damage, Medium
from liveagent.tasks.wipe.pattern import Buffer, Random, make_pattern
from tests.conftest import MakeLoop

pytestmark = pytest.mark.loop

MIB = 1024 * 1024
MARK = b"what must not survive the wipe! "
SIZE = 24 * MIB


class Heard:
    """What a task said, as (type, subject, data)."""

    def __init__(self) -> None:
        self.said: list[tuple[Type, str, dict[str, object]]] = []

    def __call__(self, type: Type, data: dict[str, object], subject: str = "") -> Event | None:
        self.said.append((type, subject, data))
        return None

    def of(self, type: Type) -> list[tuple[str, dict[str, object]]]:
        return [(subject, data) for kind, subject, data in self.said if kind is type]


def wipe(options: WipeOptions, machine: Machine | None = None, host: Host | None = None) -> tuple[Outcome, Heard]:
    host = host or Host()
    heard = Heard()
    context = Context(host, machine or probe_machine(host), "wipe", heard)
    return TASK.run(context, options), heard


def backing(device: str) -> Path:
    return Path(Path(f"/sys/block/{Path(device).name}/loop/backing_file").read_text().strip())


@pytest.mark.parametrize("pattern", ["random", "zero", "ones", "c0ffee"])
def test_overwrite(make_loop: MakeLoop, pattern: str) -> None:
    """Nothing of what was on the disk is left, and what the result says of it is what the file holds."""
    device = make_loop(SIZE, MARK)
    outcome, heard = wipe(WipeOptions(disks=(device,), pattern=pattern))
    data = backing(device).read_bytes()
    row = outcome.data["disks"][0]
    assert outcome.verdict is Verdict.PASS
    assert (row["status"], row["bytes_written"], row["technique"]) == ("erased", SIZE, "overwrite")
    assert MARK[:16] not in data and len(data) == SIZE
    if pattern == "random":
        assert Random(bytes.fromhex(row["seed"])).expected(5 * MIB, 4096) == data[5 * MIB : 5 * MIB + 4096]
    else:
        unit = {"zero": b"\0", "ones": b"\xff"}.get(pattern) or bytes.fromhex(pattern)
        assert data == (unit * (SIZE // len(unit) + 1))[:SIZE]
    assert row["verification"]["bytes"] == SIZE and row["verification"]["mismatches"] == 0
    last = heard.of(Type.PROGRESS)[-1][1]
    assert last["done"] == last["total"]


def test_size_that_is_no_multiple_of_a_chunk(make_loop: MakeLoop) -> None:
    """The last bytes of a disk of an odd number of blocks are wiped too."""
    size = 9 * MIB + 512 * 7
    device = make_loop(size, MARK)
    outcome, _ = wipe(WipeOptions(disks=(device,), pattern="zero", passes=2))
    assert outcome.verdict is Verdict.PASS
    assert backing(device).read_bytes() == bytes(size)
    assert outcome.data["disks"][0]["bytes_written"] == 2 * size


def test_read_back_finds_what_was_not_written(make_loop: MakeLoop) -> None:
    """A disk that drops a write is found out: the read-back compares, it does not trust."""
    device = make_loop(SIZE, MARK)
    host = Host()
    disk = next(disk for disk in probe_machine(host).disks if disk.path == device)
    pattern = make_pattern("random")
    with arm(host, disk) as armed:
        assert isinstance(armed, Armed)
        damage = Damage()
        with Medium(armed) as medium:
            run_flow(spans(0, disk.size), medium.writer(pattern, Damage()))
            # Behind the agent's back, as a lying drive would.
            with backing(device).open("r+b") as stream:
                stream.seek(7 * MIB + 4096)
                stream.write(MARK)
            medium.drop_caches()
            run_flow(sampling.choose_samples(disk.size, "full", 512, 1), medium.checker(pattern, damage))
    assert [trouble.offset for trouble in damage.troubles] == [7 * MIB + 4096]


def run_flow(places: Iterable[Span], work: Work) -> None:
    Flow(places, work, lambda length: None, lambda: None).run()


def test_samples_are_stratified_and_keep_the_ends() -> None:
    """The first and the last megabyte always, no two samples on the same bytes, one in each stratum."""
    size = 4 * 10**11
    for verify, count in (("sample", sampling.SAMPLES), ("1%", None)):
        samples = sampling.choose_samples(size, verify, 4096, 42)
        assert samples == sampling.choose_samples(size, verify, 4096, 42)
        assert samples[0] == Span(0, MIB)
        assert samples[-1].offset + samples[-1].length == size
        assert all(left.offset + left.length <= right.offset for left, right in zip(samples, samples[1:]))
        assert all(span.offset % 4096 == 0 for span in samples)
        if count:
            assert len(samples) == count + 2
        else:
            assert sum(span.length for span in samples) == pytest.approx(size / 100, rel=0.01)
    gaps = [right.offset - left.offset for left, right in zip(samples, samples[1:])]
    assert max(gaps[1:-1]) < 3 * size / len(samples)


def test_random_stream_is_the_cipher_of_its_offset() -> None:
    """Any place of the stream can be made again without the bytes before it."""
    pattern = make_pattern("random")
    whole = pattern.expected(0, 64 * 1024)
    assert pattern.expected(4096, 512) == whole[4096 : 4096 + 512]
    assert make_pattern("random").expected(0, 4096) != whole[:4096]
    buffer = Buffer(512)
    pattern.fill(buffer, 512, 512)
    assert bytes(buffer.view[:512]) == whole[512:1024]
    buffer.close()


def test_mounted_disk_is_refused_and_untouched(make_loop: MakeLoop, tmp_path: Path) -> None:
    """A mount is seen, said, and the disk stays byte for byte what it was; the other disk is wiped all the same."""
    device, other = make_loop(SIZE), make_loop(SIZE, MARK)
    subprocess.run(["mkfs.ext4", "-q", device], check=True, timeout=60)
    place = tmp_path / "mounted"
    place.mkdir()
    subprocess.run(["mount", "-o", "ro", device, str(place)], check=True, timeout=30)
    try:
        before = backing(device).read_bytes()
        outcome, heard = wipe(WipeOptions(disks=(device, other)))
        assert backing(device).read_bytes() == before
    finally:
        subprocess.run(["umount", str(place)], check=True, timeout=30)
    rows = {row["path"]: row for row in outcome.data["disks"]}
    assert outcome.verdict is Verdict.REFUSED
    assert (rows[device]["verdict"], rows[device]["status"]) == ("refused", "not-erased")
    assert str(place) in rows[device]["reasons"][0]["text"]
    assert rows[other]["status"] == "erased" and MARK not in backing(other).read_bytes()


def test_arm_looks_again(make_loop: MakeLoop, tmp_path: Path) -> None:
    """A disk that was free when it was chosen and is mounted a moment later is refused by the last look."""
    device = make_loop(SIZE)
    subprocess.run(["mkfs.ext4", "-q", device], check=True, timeout=60)
    host = Host()
    chosen = next(disk for disk in probe_machine(host).disks if disk.path == device)
    place = tmp_path / "mounted"
    place.mkdir()
    subprocess.run(["mount", device, str(place)], check=True, timeout=30)
    try:
        with arm(host, chosen) as answer:
            assert isinstance(answer, Refusal)
            assert [reason.code for reason in answer.reasons] == ["wipe.guard.mounted"]
    finally:
        subprocess.run(["umount", str(place)], check=True, timeout=30)


def test_kernel_refuses_what_procfs_does_not_show(make_loop: MakeLoop, tmp_path: Path) -> None:
    """A mount in another namespace is in nobody's mountinfo here; the exclusive open is refused by the kernel."""
    device = make_loop(SIZE)
    subprocess.run(["mkfs.ext4", "-q", device], check=True, timeout=60)
    place = tmp_path / "elsewhere"
    place.mkdir()
    script = f"mount {device} {place} && echo mounted && read line"
    holder = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout and holder.stdout.readline() == "mounted\n"
        outcome, _ = wipe(WipeOptions(disks=(device,)))
    finally:
        holder.communicate("\n", timeout=30)
    row = outcome.data["disks"][0]
    assert (row["verdict"], row["reasons"][0]["code"]) == ("refused", "wipe.guard.busy")


@pytest.fixture
def swap(make_loop: MakeLoop) -> Iterator[str]:
    device = make_loop(SIZE)
    subprocess.run(["mkswap", device], check=True, capture_output=True, timeout=30)
    subprocess.run(["swapon", device], check=True, timeout=30)
    yield device
    subprocess.run(["swapoff", device], check=True, timeout=60)


def test_swap_is_refused(swap: str) -> None:
    """A disk that the kernel pages to is held back, with that reason."""
    outcome, _ = wipe(WipeOptions(disks=(swap,)))
    assert outcome.data["disks"][0]["reasons"][0]["code"] == "wipe.guard.swap"


def test_read_only_is_refused(make_loop: MakeLoop) -> None:
    """A write-protected disk is refused, not reported as a failed write."""
    device = make_loop(SIZE, MARK)
    subprocess.run(["blockdev", "--setro", device], check=True, timeout=30)
    outcome, _ = wipe(WipeOptions(disks=(device,)))
    assert outcome.data["disks"][0]["reasons"][0]["code"] == "wipe.guard.read_only"
    assert backing(device).read_bytes()[: len(MARK)] == MARK


CLUSTER_TABLES = [
    ("label: gpt\ntype=37AFFC90-EF7D-4E96-91C3-2D7AE055B174\n", "wipe.guard.gpfs"),
    ("label: gpt\ntype=AA31E02A-400F-11DB-9590-000C2911D1B8\n", "wipe.guard.vmfs"),
    ("label: dos\ntype=fb\n", "wipe.guard.vmfs"),
]


@pytest.mark.parametrize(("table", "code"), CLUSTER_TABLES)
def test_cluster_partition_types_are_refused(make_loop: MakeLoop, table: str, code: str) -> None:
    """A partition of a cluster's file system is found by its type, on a table that sfdisk wrote."""
    device = make_loop(SIZE)
    subprocess.run(["sfdisk", "--quiet", device], input=table, text=True, check=True, timeout=30)
    before = backing(device).read_bytes()
    outcome, _ = wipe(WipeOptions(disks=(device,)))
    assert code in [reason["code"] for reason in outcome.data["disks"][0]["reasons"]]
    assert backing(device).read_bytes() == before


def test_cancel_in_the_middle(make_loop: MakeLoop) -> None:
    """A cancelled disk is not erased and is said not to be; the device is let go of."""
    device = make_loop(256 * MIB, MARK)
    host = Host().cancelled_by(threading.Event())
    heard = Heard()
    context = Context(host, probe_machine(host), "wipe", heard)
    options = WipeOptions(disks=(device,), passes=35)
    box: list[Outcome] = []
    thread = threading.Thread(target=lambda: box.append(TASK.run(context, options)))
    moved = threading.Event()
    said = heard.said

    class Watch(Heard):
        def __call__(self, type: Type, data: dict[str, object], subject: str = "") -> None:
            said.append((type, subject, data))
            if type is Type.PROGRESS and "overwrite" in str(data["label"]) and int(str(data["done"])) >= 16 * MIB:
                moved.set()

    context._emit = Watch()
    thread.start()
    assert moved.wait(30)
    host.cancel.set()
    thread.join(30)
    row = box[0].data["disks"][0]
    assert (box[0].verdict, row["status"]) == (Verdict.CANCELLED, "not-erased")
    # However soon it was: how far it came is what was written.
    (sitting,) = row["sittings"]
    assert 0 < sitting["to"] == row["bytes_written"] and sitting["finished"]
    assert row["attempted"] == "clear, overwrite"
    os.close(os.open(device, os.O_RDWR | os.O_EXCL))


def test_nothing_to_wipe_fails() -> None:
    """A machine without a disk was not wiped."""
    host = Host()
    machine = probe_machine(host)
    empty = Machine(machine.identity, (), (), type(machine.live)(True, "for the test", ()))
    outcome, heard = wipe(WipeOptions(), machine=empty, host=host)
    assert [data["code"] for _, data in heard.of(Type.FINDING)] == ["wipe.no_disks"]
    assert outcome.data["disks"] == []


def test_result_follows_its_schema(make_loop: MakeLoop) -> None:
    """What the result holds is what the shipped schema says."""
    import jsonschema

    device, protected = make_loop(SIZE, MARK), make_loop(SIZE)
    subprocess.run(["blockdev", "--setro", protected], check=True, timeout=30)
    outcome, _ = wipe(WipeOptions(disks=(device, protected), verify="none"))
    schema = json.loads((Path(sampling.__file__).parents[2] / "schemas" / "wipe.json").read_text())
    jsonschema.validate(outcome.data, schema)
    assert {row["verdict"] for row in outcome.data["disks"]} == {"warn", "refused"}


def test_errors_of_every_pass_count(make_loop: MakeLoop) -> None:
    """A sector that could not be written in the first pass is not forgotten because the second one could."""
    device = make_loop(SIZE, MARK)
    real = os.pwrite
    failures = []
    bad = 5 * MIB + 7 * 512
    # From a whole stretch by halves down to the sector, once.
    halves = (CHUNK // 512).bit_length()

    def failing(file: int, data: memoryview, offset: int) -> int:
        if offset <= bad < offset + len(data) and len(failures) < halves:
            failures.append(len(data))
            raise OSError(5, "Input/output error")
        return real(file, data, offset)

    os.pwrite = failing  # type: ignore[assignment]
    try:
        outcome, _ = wipe(WipeOptions(disks=(device,), passes=2))
    finally:
        os.pwrite = real
    row = outcome.data["disks"][0]
    assert (failures[0], failures[-1]) == (CHUNK, 512)
    assert (row["verdict"], row["status"]) == ("fail", "erased-with-exceptions")
    assert [(error["offset"], error["length"]) for error in row["errors"]] == [(bad, 512)]
    assert row["bytes_written"] == 2 * SIZE - 512


def test_flush_that_fails_is_the_disks_own(make_loop: MakeLoop) -> None:
    """A drive whose cache does not go down ends fail with its row, and raises nothing past it."""
    device = make_loop(SIZE, MARK)
    real = os.fdatasync

    def failing(file: int) -> None:
        if os.readlink(f"/proc/self/fd/{file}") == device:
            raise OSError(5, "Input/output error")
        real(file)

    os.fdatasync = failing  # type: ignore[assignment]
    try:
        outcome, heard = wipe(WipeOptions(disks=(device,)))
    finally:
        os.fdatasync = real
    row = outcome.data["disks"][0]
    assert (outcome.verdict, row["status"]) == (Verdict.FAIL, "not-erased")
    assert [subject for subject, _ in heard.of(Type.STEP_FINISHED)] == [f"wipe/{Path(device).name}"]


def test_hundred_percent_is_every_byte() -> None:
    """`100%` leaves nothing out, whatever the size."""
    size = 10 * sampling.SAMPLES * sampling.SAMPLE + 512 * 33
    samples = sampling.choose_samples(size, "100%", 512, 1)
    assert sum(span.length for span in samples) == size


def test_loop_over_a_mounted_device_is_refused(make_loop: MakeLoop, tmp_path: Path) -> None:
    """A loop device over a device in use: the kernel would give it exclusively, and the file system would be gone."""
    device = make_loop(SIZE)
    subprocess.run(["mkfs.ext4", "-q", device], check=True, timeout=60)
    place = tmp_path / "mounted"
    place.mkdir()
    subprocess.run(["mount", device, str(place)], check=True, timeout=30)
    argv = ["losetup", "--find", "--show", device]
    over = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=30).stdout.strip()
    try:
        outcome, _ = wipe(WipeOptions(disks=(over,)))
    finally:
        subprocess.run(["losetup", "--detach", over], check=True, timeout=30)
        subprocess.run(["umount", str(place)], check=True, timeout=30)
    row = outcome.data["disks"][0]
    assert "wipe.guard.loop" in [reason["code"] for reason in row["reasons"]] and row["status"] == "not-erased"
