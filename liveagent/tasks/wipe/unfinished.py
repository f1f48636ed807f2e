"""What a preview says of wipes that were broken off: the record on the disk, looked at and not believed yet."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Mapping

from liveagent.host import Host
from liveagent.machine.disks import Disk
from liveagent.machine.look import Job, Look, look_side_by_side
from liveagent.report.lines import render_bytes
from liveagent.tasks.wipe.record import Record, find_reserved, read_record, why_not_same

# A disk that hangs is asked about nothing more than this; the wipe itself has patience of its own.
LIMIT = 5.0


def find_unfinished(host: Host, disks: Iterable[Disk], patterns: tuple[str, ...]) -> Mapping[str, str]:
    """By kernel name what would go on, of disks that carry the record of just the wipe that is wanted."""
    jobs = [Job(disk.name, functools.partial(_probe, disk, patterns), LIMIT) for disk in disks]
    found = look_side_by_side(host, jobs).values if host.is_real else {}
    return {name: _render(record) for name, record in found.items() if record}


def _render(record: Record) -> str:
    """The wipe looks whether the disk holds what its record claims, which takes longer than a preview may."""
    point = f"{render_bytes(record.written)}, the last point that run {record.sittings[-1].run} saved"
    return f"goes on at {point}, if that holds; begins anew with another pattern or number of passes"


def _probe(disk: Disk, patterns: tuple[str, ...], look: Look) -> Record | None:
    reserved = find_reserved(disk)
    if reserved is None:
        return None
    try:
        file = look.host.open(disk.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = read_record(lambda place: os.pread(file, place.length, place.offset), reserved)
    finally:
        os.close(file)
    wanted = Record(disk.serial, disk.model, disk.size, reserved.offset, patterns, seed="", digest_seed=0)
    return found if found and not why_not_same(found, wanted) else None
