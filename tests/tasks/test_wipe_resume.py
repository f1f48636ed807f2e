"""A power cut in the middle of a wipe: what was done is believed only where it is there, and nothing is left of it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import threading
import time
from pathlib import Path

import pytest

from liveagent.host import Cancelled, Host
from liveagent.issue import Issuer
from liveagent.machine import probe_machine
from liveagent.machine.disks import Disk, Transport
from liveagent.report.lines import render_bytes
from liveagent.tasks import Context
from liveagent.tasks.wipe import work
from liveagent.tasks.wipe.account import Account
from liveagent.tasks.wipe.guards import Armed, arm
from liveagent.tasks.wipe.options import WipeOptions
from liveagent.tasks.wipe.overwrite import Trouble
from liveagent.tasks.wipe.passes import Overwrite, find_passed
from liveagent.tasks.wipe.pattern import Random, make_patterns
from liveagent.tasks.wipe.record import (
    MAGIC,
    RESERVED,
    SEALED,
    SLOT,
    UNSEALED,
    Record,
    Sitting,
    find_reserved,
    parse_record,
    render_record,
    why_not_same,
)
from tests.conftest import MakeLoop
from tests.keys import Key
from tests.tasks.test_wipe_select import make_disk

pytestmark = pytest.mark.loop

MIB = 1024 * 1024
SIZE = 64 * MIB
MARK = b"what must not survive the wipe! "
CUT_AT = 20 * MIB


class PowerCut(BaseException):
    """Nothing is tidied up after it."""


class Cut(Account):
    """An account whose disk loses power once `at` bytes are written and a record of the way there is on the disk."""

    file: Path
    at = 0
    moved = 0
    is_dead = False

    def step(self, length: int) -> None:
        self.moved += length
        if self.at and self.moved >= self.at:
            limit = time.monotonic() + 30
            while not has_progress(self.file) and time.monotonic() < limit:
                threading.Event().wait(0.02)
            self.is_dead = True
        super().step(length)

    def check(self) -> None:
        if self.is_dead:
            raise PowerCut
        super().check()


class Stopped(Account):
    """An account whose run somebody cancels when `at` bytes are written."""

    at = 0
    moved = 0

    def step(self, length: int) -> None:
        self.moved += length
        if self.at and self.moved >= self.at:
            self.context.host.cancel.set()
        super().step(length)


def records(file: Path) -> list[Record]:
    """The whole records at the end of a disk's file, oldest first."""
    data = file.read_bytes()[-RESERVED:]
    found = [parse_record(data[at : at + SLOT]) for at in range(0, RESERVED, SLOT)]
    return sorted((one for one in found if one), key=lambda one: one.sequence)


def has_progress(file: Path) -> bool:
    return any(one.written for one in records(file))


def sit(device: str, options: WipeOptions, run: str, cut_at: int = 0, key: str = "") -> tuple[Account, list[str]]:
    """One sitting at a disk; with `cut_at`, until the power goes; with `key`, the record is sealed by it."""
    host = Host()
    disk = next(disk for disk in probe_machine(host).disks if disk.path == device)
    said: list[str] = []

    def hear(type: object, data: dict[str, object], subject: str = "") -> None:
        said.append(str(data.get("code") or data.get("line") or ""))

    issuer = Issuer(host, hear, secret=key) if key else None
    context = Context(host, probe_machine(host), "wipe", hear, run=run, issuer=issuer)
    account: Account
    if cut_at:
        account = Cut(context, disk)
        account.file, account.at = backing(device), cut_at  # type: ignore[attr-defined]
    else:
        account = Account(context, disk)
    with arm(host, disk) as armed:
        assert isinstance(armed, Armed)
        work = Overwrite(account, armed, options, run, every=0.0)
        if cut_at:
            with pytest.raises(PowerCut):
                work.run()
        else:
            work.run()
    return account, said


def backing(device: str) -> Path:
    return Path(Path(f"/sys/block/{Path(device).name}/loop/backing_file").read_text().strip())


def assert_wiped(device: str, account: Account) -> None:
    """The whole disk is the stream of the row's seed, record and all."""
    data = backing(device).read_bytes()
    assert data == Random(bytes.fromhex(str(account.row["seed"]))).expected(0, SIZE)
    assert MAGIC not in data


def test_a_preview_says_what_goes_on(make_loop: MakeLoop) -> None:
    """Before a person confirms: this wipe goes on, another one begins anew, and an untouched disk is just wiped."""
    device, whole = make_loop(SIZE, MARK), make_loop(SIZE, MARK)
    options = WipeOptions(disks=(device, whole))
    sit(device, options, "RUN-1", CUT_AT)
    written = records(backing(device))[-1].written
    host = Host()
    rows = {row[0]: row[-1] for row in work.preview(host, probe_machine(host), options).rows}
    assert f"; goes on at {render_bytes(written)}, the last point that run RUN-1 saved" in rows[device]
    assert "goes on" not in rows[whole]
    shown = work.preview(host, probe_machine(host), dataclasses.replace(options, passes=2))
    assert not any("goes on" in row[-1] for row in shown.rows)
    assert not any(row["unfinished"] for row in shown.data["wipe"])
    # What a disk holds is one thing, whatever is to be done with it.
    for one in (options, dataclasses.replace(options, passes=2)):
        held = {row[0]: row[4] for row in work.preview(host, probe_machine(host), one).rows}
        assert (held[device], held[whole]) == ("a wipe that has not ended", "nothing recognised")
    machine = probe_machine(host)
    attached = [dataclasses.replace(disk, transport=Transport.SCSI) for disk in machine.disks if disk.path == device]
    machine = dataclasses.replace(machine, disks=(*machine.disks, *attached))
    shown = work.preview(host, machine, dataclasses.replace(options, disks=(whole,)))
    other = {row[0]: row for row in shown.rows}
    assert other[device][4:] == ("a wipe that has not ended", "left alone: not named")
    assert shown.serious.startswith(f"Everything on {Path(whole).name} ")
    assert Path(device).name in shown.serious.partition("Nothing is done to ")[2]


def test_a_preview_of_quick_says_what_it_is_not(make_loop: MakeLoop) -> None:
    """Before a person confirms: the data stays, and a wipe that was broken off cannot go on afterwards."""
    device, whole = make_loop(SIZE, MARK), make_loop(SIZE, MARK)
    sit(device, WipeOptions(disks=(device, whole)), "RUN-1", CUT_AT)
    host = Host()
    shown = work.preview(host, probe_machine(host), WipeOptions(disks=(device, whole), method="quick"))
    rows = {row[0]: row[-1] for row in shown.rows}
    assert "the last point that run RUN-1 saved, and cannot after this" in rows[device]
    assert rows[whole].endswith("NOT ERASED afterwards")
    assert "Most of the data stays" in shown.serious and "will be lost" not in shown.serious


def test_goes_on_where_the_power_went(make_loop: MakeLoop) -> None:
    """The second sitting writes only the rest, and the end is one stream over the whole disk, with both on the row."""
    device = make_loop(SIZE, MARK)
    options = WipeOptions(verify="full")
    sit(device, options, "RUN-1", CUT_AT)
    kept = records(backing(device))[-1]
    assert 0 < kept.written <= SIZE and kept.sittings[0].run == "RUN-1"
    account, said = sit(device, options, "RUN-2")
    assert "wipe.resumed" in said
    assert_wiped(device, account)
    first, second = account.row["sittings"]
    assert (first["run"], second["run"]) == ("RUN-1", "RUN-2")
    assert second["from"] == kept.written and second["to"] == account.row["bytes_written"] == SIZE
    assert account.row["before"]["digest"] == kept.digest
    assert account.row["started"] == first["started"]
    assert account.row["verification"]["mismatches"] == 0


@pytest.mark.parametrize(("at", "phase"), [(CUT_AT, "write"), (SIZE + MIB, "verify")])
def test_who_cancels_loses_nothing(make_loop: MakeLoop, at: int, phase: str) -> None:
    """The next sitting goes on at the very point that the result of this one names, and says the same of it."""
    device = make_loop(SIZE, MARK)
    host = Host()
    machine = probe_machine(host)
    disk = next(disk for disk in machine.disks if disk.path == device)
    account = Stopped(Context(host, machine, "wipe", lambda *_: None, run="RUN-1"), disk)
    account.row["started"] = account.now()
    account.at = at
    with arm(host, disk) as armed, pytest.raises(Cancelled):
        assert isinstance(armed, Armed)
        Overwrite(account, armed, WipeOptions(verify="full"), "RUN-1").run()
    host.cancel.clear()
    kept = records(backing(device))[-1]
    assert kept.phase == phase and kept.written == account.row["bytes_written"] > 0
    assert [sitting.encode() for sitting in kept.sittings] == account.row["sittings"]
    second, _ = sit(device, WipeOptions(verify="full"), "RUN-2")
    assert second.row["sittings"][0] == account.row["sittings"][0]
    assert second.row["sittings"][1]["from"] == account.row["bytes_written"]
    assert_wiped(device, second)


def test_goes_on_in_a_later_pass(make_loop: MakeLoop, tmp_path: Path) -> None:
    """Three passes, power lost in the second: the first is not written again, and the last one is what is there."""
    device, key = make_loop(SIZE, MARK), Key(tmp_path / "key").text
    options = WipeOptions(method="dod-3", verify="full")
    sit(device, options, "RUN-1", SIZE + CUT_AT, key=key)
    kept = records(backing(device))[-1]
    assert kept.number == 1
    account, said = sit(device, options, "RUN-2", key=key)
    assert "wipe.resumed" in said and account.row["passes"] == 3
    assert_wiped(device, account)


def test_behind_the_record_both_passes_are_believed(make_loop: MakeLoop, tmp_path: Path) -> None:
    """Between the last record and the power cut the pass went on: what it wrote there is no sign of somebody else."""
    device, key = make_loop(SIZE, MARK), Key(tmp_path / "key").text
    options = WipeOptions(passes=2, verify="full")
    sit(device, options, "RUN-1", SIZE + CUT_AT, key=key)
    kept = records(backing(device))[-1]
    assert kept.number == 1
    # As if the record were older than it is: the second pass has gone on from an odd place behind it.
    second = make_patterns(kept.patterns, bytes.fromhex(kept.seed))[1]
    end = kept.offset + 3 * MIB + 512 * 5
    with backing(device).open("r+b") as stream:
        stream.seek(kept.offset)
        stream.write(second.expected(kept.offset, end - kept.offset))
    account, said = sit(device, options, "RUN-2", key=key)
    assert "wipe.resumed" in said
    assert_wiped(device, account)


def test_goes_on_in_the_read_back(make_loop: MakeLoop) -> None:
    """Power lost while reading back: nothing is written again but the record's own space, and all is read again."""
    device = make_loop(SIZE, MARK)
    options = WipeOptions(verify="full")
    sit(device, options, "RUN-1", 2 * SIZE - 8 * MIB)
    kept = records(backing(device))[-1]
    assert kept.phase == "verify"
    account, _ = sit(device, options, "RUN-2")
    second = account.row["sittings"][1]
    assert second["to"] - second["from"] == RESERVED
    assert account.row["verification"]["bytes"] == SIZE
    assert_wiped(device, account)


def test_disk_that_was_used_since_is_begun_anew(make_loop: MakeLoop) -> None:
    """Somebody's data over what the record claims: it is not believed, and everything is written again."""
    device = make_loop(SIZE, MARK)
    sit(device, WipeOptions(), "RUN-1", CUT_AT)
    with backing(device).open("r+b") as stream:
        stream.seek(4096)
        stream.write(b"a file system that was made since")
    account, said = sit(device, WipeOptions(verify="full"), "RUN-2")
    assert "wipe.resumed" not in said and any("used since" in line for line in said)
    assert [sitting["run"] for sitting in account.row["sittings"]] == ["RUN-2"]
    assert_wiped(device, account)


@pytest.mark.parametrize("options", [WipeOptions(pattern="zero"), WipeOptions(passes=2)], ids=["pattern", "passes"])
def test_record_of_another_wipe_is_not_followed(make_loop: MakeLoop, options: WipeOptions) -> None:
    """Another pattern, other passes: begun anew."""
    device = make_loop(SIZE, MARK)
    sit(device, WipeOptions(), "RUN-1", CUT_AT)
    account, said = sit(device, options, "RUN-2")
    assert "wipe.resumed" not in said and any("another wipe" in line for line in said)
    assert MARK not in backing(device).read_bytes() and MAGIC not in backing(device).read_bytes()
    assert account.row["bytes_written"] == SIZE * options.passes


def test_torn_record_leaves_the_one_before(make_loop: MakeLoop) -> None:
    """A power cut in the middle of writing the record: the other slot is whole, and is the one that counts."""
    device = make_loop(SIZE, MARK)
    sit(device, WipeOptions(), "RUN-1", CUT_AT)
    found = records(backing(device))
    assert len(found) == 2
    reserved = find_reserved(make_disk(size=SIZE))
    assert reserved
    with backing(device).open("r+b") as stream:
        stream.seek(reserved.offset + found[-1].sequence % 2 * SLOT + 200)
        stream.write(b"torn")
    assert records(backing(device)) == found[:1]
    account, _ = sit(device, WipeOptions(verify="full"), "RUN-2")
    assert_wiped(device, account)


def make_record(**more: object) -> Record:
    plain = Record(
        serial="SN", model="M", size=SIZE, body=SIZE - RESERVED, patterns=("random",), seed="ab" * 32,
        digest_seed=7, digest="d" * 64, contents=("ext4",), offset=4096, errors=(Trouble(512, 512, "I/O"),),
        sittings=(Sitting("R", "2026-01-01T00:00:00Z", "2026-01-01T00:00:05Z", 0, 4096),), sequence=3,
    )  # fmt: skip
    return dataclasses.replace(plain, **more)  # type: ignore[arg-type]


def test_record_round_trip() -> None:
    """What is written is what is read, and one byte altered is no record at all."""
    slot = render_record(make_record())
    assert len(slot) == SLOT and parse_record(slot) == make_record()
    for at in (0, 30, 100, 400):
        assert parse_record(slot[:at] + bytes((slot[at] ^ 1,)) + slot[at + 1 :]) is None
    assert parse_record(bytes(SLOT)) is None


def test_record_holds_as_many_errors_as_a_disk_may_have() -> None:
    """The largest record there can be fits its slot."""
    many = tuple(Trouble(SIZE // 2 + index * 4096, 512, "Input/output error") for index in range(256))
    sittings = tuple(Sitting(f"20260101T000000Z-{n:06x}", "2026-01-01T00:00:00Z", "", 0, 10**13) for n in range(100))
    record = make_record(errors=many, sittings=sittings)
    assert parse_record(render_record(record)) == record


NONSENSE = [
    {"number": 99},
    {"seed": "zz"},
    {"offset": -4096},
    {"offset": SIZE * 2},
    {"offset": 4097},
    {"phase": "done"},
    {"patterns": ()},
    {"sittings": ()},
    {"errors": (Trouble(0, SIZE, "all of it"),)},
    {"errors": (Trouble(SIZE, 512, "beyond the end"),)},
    {"contents": ("x" * 1000,)},
    {"seal": "é"},
    {"claimed": SIZE * 2},
    {"claimed": 1},
    {"suspected": (Trouble(0, SIZE, "all of it"),)},
    {"sittings": (Sitting("R\nERASED", "2026-01-01T00:00:00Z", "", 0, 1),)},
]


@pytest.mark.parametrize("change", NONSENSE)
def test_record_that_makes_no_sense_is_none(change: dict[str, object]) -> None:
    """Whoever had the disk may have written a record himself: it can neither excuse a place nor stop the wipe."""
    assert parse_record(render_record(make_record(**change))) is None


@pytest.mark.parametrize(
    "text",
    [
        "[" * 40_000,
        "null",
        "[]",
        "{}",
        '{"serial": 1}',
        json.dumps({**make_record().encode(), "errors": [{"offset": "0", "length": 512, "message": "x"}]}),
        json.dumps({**make_record().encode(), "errors": [{"offset": 0, "length": 512, "message": 7}]}),
        json.dumps({**make_record().encode(), "errors": [7]}),
        json.dumps({**make_record().encode(), "sittings": [{}]}),
        json.dumps({**make_record().encode(), "patterns": 7}),
        json.dumps({**make_record().encode(), "size": "many"}),
    ],
)
def test_record_that_holds_anything(text: str) -> None:
    """Its sum is right, since somebody made it: whatever else it holds, it is none, and nothing raises."""
    data = text.encode()
    slot = (MAGIC + hashlib.sha256(data).hexdigest().encode() + f" {len(data)}\n".encode() + data).ljust(SLOT, b"\0")
    assert parse_record(slot) is None


def test_forged_record_is_found_out(make_loop: MakeLoop) -> None:
    """A record that says that all is done, with the stream in the few places where an honest one would have looked."""
    device = make_loop(SIZE, MARK)
    disk = next(disk for disk in probe_machine(Host()).disks if disk.path == device)
    reserved = find_reserved(disk)
    assert reserved
    forged = make_record(
        serial=disk.serial, model=disk.model, size=disk.size, body=reserved.offset, phase="verify", number=1, errors=()
    )  # fmt: skip
    stream = make_patterns(forged.patterns, bytes.fromhex(forged.seed))[0]
    with backing(device).open("r+b") as file:
        for offset in (0, reserved.offset - 8 * MIB):
            file.seek(offset)
            file.write(stream.expected(offset, 8 * MIB))
        file.seek(reserved.offset)
        file.write(render_record(forged))
    account, said = sit(device, WipeOptions(), "RUN-2")
    assert "wipe.resumed" not in said and account.row["bytes_written"] == SIZE
    assert_wiped(device, account)


def plant(device: str, spared: int, key: str = "", **more: object) -> None:
    """A record that says that all is done, with its stream on the whole disk but one page."""
    disk = next(disk for disk in probe_machine(Host()).disks if disk.path == device)
    reserved = find_reserved(disk)
    assert reserved
    plain = {"phase": "verify", "number": 1, "errors": (), **more}
    forged = make_record(serial=disk.serial, model=disk.model, size=disk.size, body=reserved.offset, **plain)
    if key:
        forged = dataclasses.replace(forged, seal=Issuer(Host(), lambda *_: None, secret=key).seal(forged.sealed_text))
    data = bytearray(make_patterns(forged.patterns, bytes.fromhex(forged.seed))[0].expected(0, SIZE))
    data[spared : spared + 4096] = (MARK * 4096)[:4096]
    data[reserved.offset : reserved.offset + SLOT] = render_record(forged)
    backing(device).write_bytes(data)


@pytest.mark.parametrize("seals", ["nothing", "another key", "other words"])
def test_forged_record_spares_no_place(
    make_loop: MakeLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seals: str
) -> None:
    """Somebody may have written all but what he wants to keep: what nothing seals is read back whole."""
    # Samples may miss a page, and here they do.
    monkeypatch.setattr(Overwrite, "_why_not_believed", lambda self, record: "")
    device, mine = make_loop(SIZE, MARK), Key(tmp_path / "mine").text
    spared = 20 * MIB + 8192
    if seals == "nothing":
        plant(device, spared)
    elif seals == "another key":
        plant(device, spared, Key(tmp_path / "other").text)
    else:
        plant(device, spared, mine)
        data = bytearray(backing(device).read_bytes())
        at = data.index(MAGIC)
        record = parse_record(bytes(data[at : at + SLOT]))
        assert record
        data[at : at + SLOT] = render_record(dataclasses.replace(record, contents=("xfs",)))
        backing(device).write_bytes(data)
    account, said = sit(device, WipeOptions(), "RUN-2", key=mine)
    assert "wipe.resumed" in said and "wipe.verify.mismatch" in said
    assert account.row["resumed"] == UNSEALED
    assert account.row["errors"][0]["offset"] == spared


def test_record_excuses_no_place(make_loop: MakeLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place that a record without a seal says to be bad is written again, and not passed over on its word."""
    monkeypatch.setattr(Overwrite, "_why_not_believed", lambda self, record: "")
    device, spared = make_loop(SIZE, MARK), 20 * MIB + 8192
    plant(device, spared, errors=(Trouble(spared + 512, 1024, "Input/output error"),))
    account, said = sit(device, WipeOptions(), "RUN-2")
    assert "wipe.resumed" in said and "wipe.verify.mismatch" not in said and account.row["errors"] == []
    assert_wiped(device, account)


def test_forged_record_is_not_made_good_by_a_cut(
    make_loop: MakeLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sitting that goes on from a record without a seal, and is cut itself, leaves a record of its own with one: what
    the first claimed stays to be read back whole."""
    monkeypatch.setattr(Overwrite, "_why_not_believed", lambda self, record: "")
    device, key, spared = make_loop(SIZE, MARK), Key(tmp_path / "key").text, 54 * MIB
    errors = (Trouble(40 * MIB, 4096, "Input/output error"),)
    plant(device, spared, phase="write", number=0, offset=SIZE - 8 * MIB, errors=errors)
    data = bytearray(backing(device).read_bytes())
    data[40 * MIB : 40 * MIB + 4096] = (MARK * 4096)[:4096]
    backing(device).write_bytes(data)
    sit(device, WipeOptions(), "RUN-2", 12 * MIB, key=key)
    kept = records(backing(device))[-1]
    assert kept.seal and kept.claimed >= SIZE - 8 * MIB and kept.suspected
    account, said = sit(device, WipeOptions(), "RUN-3", key=key)
    assert account.row["resumed"] == UNSEALED and "wipe.verify.mismatch" in said
    assert [error["offset"] for error in account.row["errors"]] == [spared]


def test_what_the_read_back_had_found_is_not_lost(
    make_loop: MakeLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read-back that is cancelled after it found a place says so, and whoever goes on writes it all again."""
    monkeypatch.setattr(Overwrite, "_why_not_believed", lambda self, record: "")
    device, key = make_loop(SIZE, MARK), Key(tmp_path / "key").text
    options = WipeOptions(verify="full")
    sit(device, options, "RUN-1", 2 * SIZE - 60 * MIB, key=key)
    with backing(device).open("r+b") as stream:
        stream.seek(20 * MIB)
        stream.write(MARK)
    account, said = sit(device, options, "RUN-2", 40 * MIB, key=key)
    assert "wipe.verify.mismatch" in said and account.row["errors"][0]["offset"] == 20 * MIB
    kept = records(backing(device))[-1]
    assert (kept.phase, kept.number, kept.offset) == ("write", 0, 0)
    account, said = sit(device, WipeOptions(), "RUN-3", key=key)
    assert_wiped(device, account)


def test_passes_that_nothing_seals_are_made_again(make_loop: MakeLoop) -> None:
    """Only the last pass can be read back: that there were others before is no record's own word."""
    device = make_loop(SIZE, MARK)
    sit(device, WipeOptions(passes=2), "RUN-1", SIZE + CUT_AT)
    account, said = sit(device, WipeOptions(passes=2), "RUN-2")
    assert "wipe.resumed" not in said and any("begun anew" in line for line in said)
    assert_wiped(device, account)


def test_no_record_switches_a_purge_off(make_loop: MakeLoop, tmp_path: Path) -> None:
    """That a stronger technique never began counts by a sealed record alone; by another's word it is tried again."""
    device, key = make_loop(SIZE, MARK), Key(tmp_path / "key").text
    passed = ("nvme-sanitize-block",)
    for seals, expected in (("", ()), (key, passed)):
        plant(device, 0, seals, phase="write", number=0, offset=0, passed=passed)
        host = Host()
        disk = next(disk for disk in probe_machine(host).disks if disk.path == device)
        context = Context(host, probe_machine(host), "wipe", lambda *_: None, issuer=Issuer(host, print, secret=key))
        with arm(host, disk) as armed:
            assert isinstance(armed, Armed)
            assert find_passed(Account(context, disk), armed, WipeOptions()) == expected


def test_sealed_record_is_believed(make_loop: MakeLoop, tmp_path: Path) -> None:
    """A record by the agent's own key is gone on from with samples, as one sitting would be looked at."""
    device, key = make_loop(SIZE, MARK), Key(tmp_path / "key").text
    sit(device, WipeOptions(), "RUN-1", CUT_AT, key=key)
    account, said = sit(device, WipeOptions(), "RUN-2", key=key)
    assert "wipe.resumed" in said and account.row["resumed"] == SEALED
    assert account.row["verification"]["bytes"] < SIZE and not account.row["verification"]["mismatches"]
    assert_wiped(device, account)


def test_claims_of_an_earlier_pass_are_written_over(make_loop: MakeLoop) -> None:
    """Where the last pass is all of this sitting's, nothing stands on the disk by the word of a record."""
    device = make_loop(SIZE, MARK)
    options = WipeOptions(passes=2)
    sit(device, options, "RUN-1", CUT_AT)
    account, said = sit(device, options, "RUN-2")
    assert "wipe.resumed" in said and account.row["verification"]["bytes"] < SIZE
    assert_wiped(device, account)


@pytest.mark.parametrize("change", [{"serial": "X"}, {"model": "X"}, {"size": 1}, {"body": 1}, {"patterns": ("zero",)}])
def test_record_of_another_disk(change: dict[str, object]) -> None:
    """A record that was cloned with the disk it lay on is of no use on another one."""
    assert not why_not_same(make_record(), make_record(offset=0, seed="00" * 32))
    assert next(iter(change)) in why_not_same(make_record(**change), make_record())


def test_small_disk_has_no_record() -> None:
    """Below 8 MiB there is nothing to resume; above, the space is at the end, on whole pages."""
    assert find_reserved(make_disk(size=4 * MIB)) is None
    odd: Disk = make_disk(size=SIZE + 512 * 7)
    reserved = find_reserved(odd)
    assert reserved and reserved.offset % 4096 == 0 and reserved.end == odd.size and reserved.length >= RESERVED
