"""`make bench`: the wipe against dd, shred and nwipe, on loop devices over memory. Nothing is judged.

Both sides go past the page cache (O_DIRECT, loop devices with direct I/O) but for nwipe, which has no such mode.
Rounds are interleaved, so that a noisy moment hits all of them; ratios are of medians. Memory is a loop device's
fastest backing there is: the copying itself is most of the work, and a real disk leaves the processors idle beside it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Callable

import psutil
import pytest

from tests.bench.engine import is_scratch
from tests.conftest import REPOSITORY, need

pytestmark = [pytest.mark.bench, pytest.mark.loop, pytest.mark.timeout(1200)]

MIB, GIB = 1 << 20, 1 << 30
ROUNDS = 7
# nwipe needs many seconds a round.
SLOW_ROUNDS = 3
# The fastest that version 0.33 has; `--prng=twister` took 1.1 of its time. Later versions have faster ones.
PRNG = "isaac64"
ENGINE = str(Path(__file__).with_name("engine.py"))
SAMPLE_EVERY = 0.02


@dataclasses.dataclass(frozen=True)
class Figures:
    """Of one run: wall seconds, and processor seconds of the process and its children (a loop's own copying aside)."""

    wall: float
    processor: float


Run = Callable[[], Figures]


class Scratch:
    """Loop devices over files on a tmpfs of the bench's own."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.made: list[str] = []

    def make(self, size: int) -> str:
        file = self.place / f"disk{len(self.made)}.img"
        with file.open("wb") as stream:
            for _ in range(size // MIB):  # pages that have to be found first would be found by whoever is first
                stream.write(bytes(MIB))
        argv = ["losetup", "--find", "--show", "--direct-io=on", str(file)]
        device = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=30).stdout.strip()
        self.made.append(device)
        subprocess.run(["blockdev", "--setrw", device], check=True, timeout=30)
        return device

    def release(self) -> None:
        for device in self.made:
            subprocess.run(["losetup", "--detach", device], check=True, timeout=30)
        for file in self.place.glob("disk*.img"):
            file.unlink()
        self.made.clear()

    def guard(self, device: str) -> str:
        """The device, which is one of ours: the last look before a tool that writes is started."""
        assert is_scratch(device, str(self.place)) and device in self.made
        return device


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Scratch]:
    need(os.geteuid() == 0 and os.path.exists("/dev/loop-control"), "root and loop devices")
    need(psutil.virtual_memory().available > 6 * GIB, "6 GiB of free memory")
    place = tmp_path / "memory"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=5g,mode=0700", "tmpfs", str(place)], check=True, timeout=30)
    disks = Scratch(place)
    try:
        yield disks
    finally:
        disks.release()
        subprocess.run(["umount", str(place)], check=True, timeout=60)


# -- what is measured ------------------------------------------------------------------------------


def measure(*commands: Sequence[str]) -> Figures:
    """Commands side by side, from the start of the first to the end of the last."""
    started, processor = time.perf_counter(), 0.0
    running = [subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for argv in commands]
    for process in running:
        with process:
            said = process.stderr.read() if process.stderr else b""
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            processor += usage.ru_utime + usage.ru_stime
        assert process.returncode == 0, said.decode("utf-8", "replace")
    return Figures(time.perf_counter() - started, processor)


def dd_write(scratch: Scratch, *devices: str) -> Figures:
    plain = ["dd", "if=/dev/zero", "oflag=direct", "conv=fsync", "bs=4M"]
    return measure(
        *([*plain, f"of={scratch.guard(device)}", f"count={size_of(device) // (4 * MIB)}"] for device in devices)
    )


def dd_read(device: str) -> Figures:
    return measure(["dd", f"if={device}", "of=/dev/null", "iflag=direct", "bs=4M"])


def shred(scratch: Scratch, device: str) -> Figures:
    return measure(["shred", "--iterations=1", scratch.guard(device)])


def nwipe(scratch: Scratch, device: str, prng: str) -> Figures:
    """One random pass. It is given one device and told to leave alone every other that the machine has."""
    others = [f"/dev/{name}" for name in os.listdir("/sys/block") if f"/dev/{name}" != device]
    argv = ["nwipe", "--autonuke", "--nogui", "--nowait", "--method=random", "--rounds=1", "--verify=off", "--noblank"]
    argv += [f"--prng={prng}", f"--exclude={','.join(sorted(others, key=_is_loop)[:10])}", scratch.guard(device)]
    said = scratch.place / "nwipe.log"
    return measure([*argv[:-1], f"--logfile={said}", argv[-1]])


def _is_loop(device: str) -> bool:
    return device.startswith("/dev/loop")


def engine(scratch: Scratch, verb: str, pattern: str, *devices: str) -> Figures:
    argv = [sys.executable, ENGINE, str(scratch.place), verb, pattern, *(scratch.guard(device) for device in devices)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    wall, processor, errors = json.loads(done.stdout)
    assert errors == 0, f"{errors} places do not hold the pattern"
    return Figures(wall, processor)


def size_of(device: str) -> int:
    return int(Path(f"/sys/block/{Path(device).name}/size").read_text()) * 512


def compare(rounds: int, runs: Mapping[str, Run]) -> dict[str, Figures]:
    """Medians of each, after a round that is not counted."""
    seen: dict[str, list[Figures]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            figures = run()
            if number:
                seen[name].append(figures)
    return {
        name: Figures(statistics.median(one.wall for one in rows), statistics.median(one.processor for one in rows))
        for name, rows in seen.items()
    }


def show(medians: Mapping[str, Figures], size: int, peers: Mapping[str, Sequence[str]]) -> None:
    """A line each; `peers`: against which others, a ratio over 1 being faster than they."""
    load = os.getloadavg()[0]
    print(f"\n{size / MIB:.0f} MiB in all, load of the machine {load:.1f}")
    for name, figures in medians.items():
        ratios = [f"x{medians[peer].wall / figures.wall:.2f} of {peer}" for peer in peers.get(name, ())]
        print(
            f"{name:24} {size / figures.wall / GIB:6.2f} GiB/s  "
            f"{figures.processor * GIB / size:6.3f} s/GiB of processor   {', '.join(ratios)}"
        )


# -- the benches -----------------------------------------------------------------------------------


def test_one_disk(scratch: Scratch) -> None:
    """One zero pass, one random pass and their read-back, against dd on the same device."""
    device = scratch.make(GIB)
    medians = compare(
        ROUNDS,
        {
            "dd zero": lambda: dd_write(scratch, device),
            "zero": lambda: engine(scratch, "write", "zero", device),
            "verify zero": lambda: engine(scratch, "verify", "zero", device),
            "dd read": lambda: dd_read(device),
            "random": lambda: engine(scratch, "write", "random", device),
            "verify random": lambda: engine(scratch, "verify", "random", device),
        },
    )
    show(
        medians,
        GIB,
        {"zero": ["dd zero"], "random": ["dd zero"], "verify zero": ["dd read"], "verify random": ["dd read"]},
    )


def test_shred(scratch: Scratch) -> None:
    """One random pass against shred's, which is one as well."""
    device = scratch.make(GIB)
    medians = compare(
        ROUNDS,
        {
            "random": lambda: engine(scratch, "write", "random", device),
            "shred -n1": lambda: shred(scratch, device),
        },
    )
    show(medians, GIB, {"random": ["shred -n1"]})
    _show_processor(medians, "shred -n1")


def test_nwipe(scratch: Scratch) -> None:
    """One random pass against nwipe with its fastest generator.

    nwipe looks at its threads once a second, and takes some before and after the pass: a small device shows how
    much, and what is left is good to a second. It writes through the page cache, since it has no other way.
    """
    need(shutil.which("nwipe"), "nwipe")
    size = 512 * MIB
    device, small = scratch.make(size), scratch.make(8 * MIB)
    version = subprocess.run(["nwipe", "--version"], capture_output=True, text=True, timeout=30).stdout.strip()
    medians = compare(
        SLOW_ROUNDS,
        {
            "random": lambda: engine(scratch, "write", "random", device),
            "nwipe": lambda: nwipe(scratch, device, PRNG),
            "nwipe, small": lambda: nwipe(scratch, small, PRNG),
        },
    )
    whole, start = medians["nwipe"], medians.pop("nwipe, small")
    medians["nwipe, pass alone"] = Figures(whole.wall - start.wall, whole.processor - start.processor)
    show(medians, size, {"random": ["nwipe", "nwipe, pass alone"]})
    _show_processor(medians, "nwipe, pass alone")
    print(f"{version}, --prng={PRNG}")


def _show_processor(medians: Mapping[str, Figures], peer: str) -> None:
    print(f"processor time a gigabyte: x{medians['random'].processor / medians[peer].processor:.2f} of {peer}")


def test_eight_disks(scratch: Scratch) -> None:
    """Eight disks at once in one process against eight dd at once."""
    devices = [scratch.make(256 * MIB) for _ in range(8)]
    medians = compare(
        ROUNDS,
        {
            "eight dd zero": lambda: dd_write(scratch, *devices),
            "eight zero": lambda: engine(scratch, "write", "zero", *devices),
            "eight random": lambda: engine(scratch, "write", "random", *devices),
        },
    )
    show(medians, 8 * 256 * MIB, {name: ["eight dd zero"] for name in ("eight zero", "eight random")})


@pytest.mark.parametrize(
    ("count", "size", "verify"),
    [(1, 256 * MIB, "full"), (1, 2 * GIB, "full"), (8, 256 * MIB, "full"), (8, 256 * MIB, "sample")],
    ids=["one of 256 MiB", "one of 2 GiB", "eight of 256 MiB", "eight of 256 MiB, samples"],
)
def test_memory_and_the_whole_command(scratch: Scratch, tmp_path: Path, count: int, size: int, verify: str) -> None:
    """The peak of the whole process tree of `liveagent run wipe`, and what the command takes beside the passes."""
    devices = [scratch.guard(scratch.make(size)) for _ in range(count)]
    argv = [str(Path(sys.executable).with_name("liveagent")), "--state", str(tmp_path / "state"), "run", "wipe"]
    argv += [f"--disks={','.join(devices)}", "--pattern=random", f"--verify={verify}", "--yes", "--json"]
    environment = {**os.environ, "LIVEAGENT_RUNTIME_DIR": str(tmp_path / "run")}
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    peaks = {"pss": 0, "rss": 0}
    ended = threading.Event()
    watcher = threading.Thread(target=_watch_memory, args=(process.pid, peaks, ended))
    watcher.start()
    started = time.perf_counter()
    stdout, stderr = process.communicate(timeout=600)
    seconds = time.perf_counter() - started
    ended.set()
    watcher.join()
    assert process.returncode == 0, stderr.decode("utf-8", "replace")
    rows = json.loads(stdout)["tasks"][0]["data"]["disks"]
    assert [row["status"] for row in rows if row["path"] in devices] == ["erased"] * count
    slowest = max(row["seconds"] for row in rows if row["path"] in devices)
    print(
        f"\n{count} x {size / MIB:.0f} MiB, verify={verify}: peak of the tree {peaks['pss'] / MIB:.1f} MiB PSS,"
        f" {peaks['rss'] / MIB:.1f} MiB RSS; {slowest:.2f} s for the slowest disk, {seconds:.2f} s in all"
    )


def _watch_memory(pid: int, peaks: dict[str, int], ended: threading.Event) -> None:
    """Note the highest sums over a process and its descendants. PSS counts what they share once."""
    while not ended.wait(SAMPLE_EVERY):
        sums = {"pss": 0, "rss": 0}
        try:
            root = psutil.Process(pid)
            for one in [root, *root.children(recursive=True)]:
                sums["rss"] += one.memory_info().rss
                text = Path(f"/proc/{one.pid}/smaps_rollup").read_text()
                sums["pss"] += (
                    next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) * 1024
                )
        except (psutil.Error, OSError, StopIteration):
            continue  # one that has just ended
        for name, value in sums.items():
            peaks[name] = max(peaks[name], value)
