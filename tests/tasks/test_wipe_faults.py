"""Disks that fail in the middle: real write errors, a disk that hangs in the kernel, several side by side."""

from __future__ import annotations

import copy
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from liveagent.events import Type, Verdict
from liveagent.host import Host
from liveagent.issue import Issuer
from liveagent.machine import probe_machine
from liveagent.tasks import Context
from liveagent.tasks.wipe import work
from liveagent.tasks.wipe.options import WipeOptions
from liveagent.tasks.wipe.overwrite import RANGE_LIMIT, Damage, Span, TooManyErrors, Trouble, cut_out
from liveagent.tasks.wipe.side_by_side import Patience
from tests.conftest import MakeLoop, need
from tests.tasks.test_wipe_disk import MARK, Heard, backing
from tests.tasks.test_wipe_evidence import check_schema

pytestmark = pytest.mark.loop

MIB = 1024 * 1024
SIZE = 24 * MIB
HOLE, HOLE_SIZE = 9 * MIB + 64 * 1024, 256 * 1024


def attach(file: Path) -> str:
    argv = ["losetup", "--find", "--show", str(file)]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=30).stdout.strip()


@pytest.fixture
def bad_disk(tmp_path: Path) -> Iterator[str]:
    """A loop device over a file with a hole, on a file system that has no room left to fill it: writes there fail."""
    need(Path("/dev/loop-control").exists(), "loop devices")
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE + MIB}", "tmpfs", str(place)], check=True, timeout=30)
    file = place / "disk.img"
    content = (MARK * (SIZE // len(MARK)))[:SIZE]
    with file.open("wb") as stream:
        stream.write(content[:HOLE])
        stream.seek(HOLE + HOLE_SIZE)
        stream.write(content[HOLE + HOLE_SIZE :])
    with (place / "filler").open("wb", buffering=0) as stream, pytest.raises(OSError):
        while True:
            stream.write(bytes(4096))
    device = attach(file)
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", device], check=True, timeout=30)
        subprocess.run(["umount", "--lazy", str(place)], check=True, timeout=30)


def test_place_that_takes_no_data_is_named(bad_disk: str) -> None:
    """Real places that cannot be written: no pass, the place is named to the byte, and everything else is wiped.

    Kernels before 6.10 or so answer the write with an error. Later ones say that all was written, which it was not,
    and the read-back is what finds it out.
    """
    file = backing(bad_disk)
    host = Host()
    context = Context(host, probe_machine(host), "wipe", Heard())
    outcome = work.run(context, WipeOptions(disks=(bad_disk,), pattern="ones", verify="full"))
    row = outcome.data["disks"][0]
    assert row["verdict"] == "fail" and row["status"] != "erased", context.findings
    assert row["errors"][0]["offset"] == HOLE
    assert sum(error["length"] for error in row["errors"]) >= HOLE_SIZE
    data = file.read_bytes()
    assert set(data[:HOLE]) == set(data[10 * MIB :]) == {0xFF}


def test_neighbours_become_one_range_and_too_many_end_it() -> None:
    """Sectors in a row are one stretch on a certificate; hundreds of them far apart end the wipe."""
    damage = Damage()
    for sector in (3, 1, 2, 9):
        damage.add(Trouble(sector * 512, 512, "I/O"))
    assert [(one.offset, one.length) for one in damage.troubles] == [(512, 1536), (9 * 512, 512)]
    with pytest.raises(TooManyErrors):
        for sector in range(RANGE_LIMIT + 2):
            damage.add(Trouble(sector * 4096 + 10**6, 512, "I/O"))


def test_read_back_passes_over_bad_places() -> None:
    """A place that is known to be bad is not compared, and what lies around it is."""
    troubles = (Trouble(100, 50, ""), Trouble(300, 100, ""))
    places = [Span(0, 120), Span(120, 100), Span(250, 200), Span(500, 10)]
    left = [(span.offset, span.length) for span in cut_out(places, troubles)]
    assert left == [(0, 100), (150, 70), (250, 50), (400, 50), (500, 10)]


@pytest.fixture
def frozen_disk(make_loop: MakeLoop, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """(a loop device, the mount below it): with that frozen, every write hangs in the kernel, as on a dead bus."""
    below = make_loop(96 * MIB, name="below.img")
    subprocess.run(["mkfs.ext4", "-q", below], check=True, timeout=60)
    place = tmp_path / "below"
    place.mkdir()
    subprocess.run(["mount", below, str(place)], check=True, timeout=30)
    file = place / "disk.img"
    with file.open("wb") as stream:
        stream.truncate(SIZE)
    device = attach(file)
    try:
        yield device, place
    finally:
        subprocess.run(["fsfreeze", "--unfreeze", str(place)], check=False, capture_output=True, timeout=30)
        # Whoever hung comes back now, and lets go of the device.
        subprocess.run(["udevadm", "settle"], check=False, capture_output=True, timeout=30)
        subprocess.run(["losetup", "--detach", device], check=True, timeout=30)
        subprocess.run(["umount", "--lazy", str(place)], check=True, timeout=30)


def join_all(place: Path) -> None:
    """Let the kernel answer, and wait for all that hung."""
    subprocess.run(["fsfreeze", "--unfreeze", str(place)], check=True, timeout=30)
    for thread in threading.enumerate():
        if thread.name.startswith(("wipe-", "lane-")):
            thread.join(30)


def test_disk_that_hangs_does_not_hold_up_a_cancel(
    frozen_disk: tuple[str, Path], make_loop: MakeLoop, tmp_path: Path
) -> None:
    """Told to end, the run ends within the engine's patience, with every certificate, and with what is known."""
    device, place = frozen_disk
    other = make_loop(SIZE, MARK, name="other.img")
    host = Host().cancelled_by(threading.Event())
    heard = Heard()
    context = Context(host, probe_machine(host), "wipe", heard, run="RUN", issuer=Issuer(host, heard))
    subprocess.run(["fsfreeze", "--freeze", str(place)], check=True, timeout=30)

    def cancel(type: Type, data: dict[str, object], subject: str = "") -> None:
        heard(type, data, subject)
        # Not the other one's: on a busy machine it may well stand still for a moment.
        if type is Type.OUTPUT and "stalled" in str(data["line"]) and subject == f"wipe/{Path(device).name}":
            host.cancel.set()

    context._emit = cancel
    try:
        options = WipeOptions(disks=(device, other), passes=35)
        outcome = work.run(context, options, Patience(stalled=2.0, given_up=600.0, cancelled=1.0))
        told = copy.deepcopy((outcome.data, outcome.verdict, heard.said))
    finally:
        join_all(place)
    rows = {row["path"]: row for row in outcome.data["disks"]}
    assert (rows[device]["verdict"], rows[device]["status"]) == ("unknown", "not-erased")
    certificates = [data["certificate"] for _, data in heard.of(Type.CERTIFICATE)]
    assert certificates[-1]["kind"] == "machine"
    done = next(one for one in certificates if one["kind"] == "disk" and one["media"]["path"] == device)
    assert done["sanitization"]["attempted"] == "clear, overwrite"
    assert done["sanitization"]["started"] < done["sanitization"]["finished"]
    assert [sitting["run"] for sitting in done["sanitization"]["sittings"]] == ["RUN"]
    assert done["state_before"]["digest"] and done["sanitization"]["seed"] and done["reasons"]
    check_schema(done)
    # What its thread says when it comes back changes nothing any more.
    assert (outcome.data, outcome.verdict, heard.said) == told
    assert rows[device]["summary"].endswith("what it holds is unknown")


def test_certificate_that_cannot_be_made(make_loop: MakeLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent's own mistake costs the evidence, not the run: the rows stand, and it is said."""

    def fail(*_: object) -> None:
        raise RuntimeError("no certificate today")

    monkeypatch.setattr(work, "make_disk_certificate", fail)
    monkeypatch.setattr(work, "make_machine_certificate", fail)
    device = make_loop(SIZE, MARK)
    host, heard = Host(), Heard()
    outcome = work.run(Context(host, probe_machine(host), "wipe", heard), WipeOptions(disks=(device,)))
    assert outcome.data["disks"][0]["status"] == "erased"
    told = [data for _, data in heard.of(Type.FINDING) if data["code"] == "wipe.certificate"]
    assert [(data["part"], data["verdict"]) for data in told] == [(device, "warn"), ("machine", "warn")]
    assert all("no certificate today" in str(data["summary"]) for data in told)


def test_disk_that_hangs_is_left_behind(frozen_disk: tuple[str, Path], make_loop: MakeLoop) -> None:
    """It is said to be stalled at once, the other disk ends, and the run does not wait for ever: it is `unknown`."""
    device, place = frozen_disk
    other = make_loop(SIZE, MARK, name="other.img")
    host = Host()
    heard = Heard()
    context = Context(host, probe_machine(host), "wipe", heard)
    subprocess.run(["fsfreeze", "--freeze", str(place)], check=True, timeout=30)
    try:
        options = WipeOptions(disks=(device, other))
        outcome = work.run(context, options, Patience(stalled=1.0, given_up=3.0))
    finally:
        join_all(place)
    rows = {row["path"]: row for row in outcome.data["disks"]}
    assert (rows[device]["verdict"], rows[device]["status"]) == ("unknown", "not-erased")
    assert rows[other]["status"] == "erased"
    assert outcome.verdict is Verdict.UNKNOWN
    assert any("stalled" in str(data["line"]) for _, data in heard.of(Type.OUTPUT))
    assert [subject for subject, data in heard.of(Type.FINDING) if data["code"] == "wipe.stalled"]
