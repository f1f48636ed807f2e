"""`make bench`: what a boot costs, by the image's compression and the initramfs's size. Nothing is judged.

Firmware, PXE, kernel, initramfs, image, agent, up to its first event at the receiver, in the boot lab. Bytes are those
that the web server sent. An emulated processor unpacks far slower than a real one: the order is that of a fast line and
a slow processor. Rounds are interleaved; ratios are of medians.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Iterator

import pytest

from .command import run
from .guest import Hardware
from .image import BUILD, MODULES, OMITTED, Image, build_root, cache_dir
from .lab import Lab
from .names import KICKSTART

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]

MIB = 1 << 20
ROUNDS = 3
COMPRESSIONS = ("xz", "zstd:3", "zstd:12", "zstd:22")


@dataclasses.dataclass(frozen=True)
class Variant:
    """One image with one initramfs; `seconds` of packing."""

    name: str
    image: Image
    seconds: float


@pytest.fixture
def variants(lab: Lab) -> Iterator[list[Variant]]:
    """The lab's image in each compression, and with an initramfs that has every driver."""
    place = lab.disk_folder()
    tree = place / "tree"
    run(["unsquashfs", "-no-progress", "-dest", str(tree), str(lab.image.squashfs)], timeout=600)
    made = []
    for compression in COMPRESSIONS:
        squashfs = place / f"{compression.replace(':', '-')}.squashfs"
        started = time.monotonic()
        run([str(KICKSTART / "make-squashfs"), str(tree), str(squashfs), f"--compression={compression}"], timeout=1800)
        sha256 = run(["sha256sum", str(squashfs)], timeout=120).split()[0]
        image = dataclasses.replace(lab.image, squashfs=squashfs, sha256=sha256)
        made.append(Variant(compression, image, time.monotonic() - started))
    words = ["--build", BUILD, "--out", str(place), "--modules", MODULES, "--omit", OMITTED]
    words += ["--module-dir", str(KICKSTART / "dracut")]
    started = time.monotonic()
    run([str(KICKSTART / "build-initramfs"), str(build_root(cache_dir())), *words], timeout=1800)
    (initramfs,) = place.glob("initrd-*")
    large = dataclasses.replace(made[1].image, initramfs=initramfs)
    made.append(Variant(f"{made[1].name}, all drivers", large, time.monotonic() - started))
    yield made


def boot(lab: Lab, image: Image, name: str) -> tuple[float, int]:
    """Seconds from the firmware's start to the first event, and bytes over HTTP."""
    bench = dataclasses.replace(lab, image=image)
    bench.network.serve(image.boot_files)
    receiver = bench.receiver(name)
    words = f"systemd.setenv=SPEEDISO=hello liveagent.countdown=0 liveagent.callback={receiver.url}"
    with bench.boot(name, words, Hardware(serial="LABBENCH")) as guest:
        receiver.wait_until(bool, 600)
        posted = next(request.at for request in receiver.requests if request.method == "POST")
        guest.cut_power()
    return posted - guest.started, bench.network.sent


def test_boot(lab: Lab, variants: list[Variant]) -> None:
    """Firmware to the first event."""
    try:
        seen: dict[str, list[tuple[float, int]]] = {variant.name: [] for variant in variants}
        for number in range(ROUNDS):
            for at, variant in enumerate(variants):
                seen[variant.name].append(boot(lab, variant.image, f"bench-{at}-{number}"))
    finally:
        lab.network.serve(lab.image.boot_files)
    first = statistics.median(seconds for seconds, _ in seen[variants[0].name])
    print(f"\n{lab.accelerator}, {ROUNDS} rounds, medians; ratios are to {variants[0].name}")
    for variant in variants:
        seconds = statistics.median(seconds for seconds, _ in seen[variant.name])
        sizes = (variant.image.squashfs.stat().st_size / MIB, variant.image.initramfs.stat().st_size / MIB)
        print(
            f"{variant.name:20} image {sizes[0]:6.1f} MiB, initramfs {sizes[1]:5.1f} MiB,"
            f" made in {variant.seconds:4.0f} s; {seen[variant.name][0][1] / MIB:6.1f} MiB over the wire,"
            f" {seconds:6.1f} s, x{seconds / first:.2f}"
        )
