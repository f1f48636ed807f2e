"""What a preview says of wipes that were broken off: the record on the disk, looked at and not believed yet."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterable, Mapping

from liveagent.host import Host
from liveagent.machine.disks import Disk
from liveagent.machine.look import Job, Look, look_side_by_side
from liveagent.report.lines import render_bytes
from liveagent.tasks.wipe.decide import Order
from liveagent.tasks.wipe.record import Record, find_reserved, read_record, why_not_same

# A disk that hangs is asked about nothing more than this; the wipe itself has patience of its own.
LIMIT = 5.0


def find_records(host: Host, disks: Iterable[Disk]) -> Mapping[str, Record]:
    """By kernel name the record of a wipe that was broken off, of disks that carry their own."""
    jobs = [Job(disk.name, functools.partial(_probe, disk), LIMIT) for disk in disks]
    found = look_side_by_side(host, jobs).values if host.is_real else {}
    return {name: record for name, record in found.items() if record}


def describe_unfinished(
    records: Mapping[str, Record], orders: Iterable[Order], patterns: tuple[str, ...]
) -> Mapping[str, str]:
    """By kernel name what would become of a broken off wipe, of disks whose record is of the one wanted."""
    told = {}
    for order in orders:
        render, record = _RENDER.get(order.choice.first.name), records.get(order.disk.name)
        if render and record and not why_not_same(record, dataclasses.replace(record, patterns=patterns)):
            told[order.disk.name] = render(record)
    return told


def _render_point(record: Record) -> str:
    return f"{render_bytes(record.written)}, the last point that run {record.sittings[-1].run} saved"


def _render_going_on(record: Record) -> str:
    """The wipe looks whether the disk holds what its record claims, which takes longer than a preview may."""
    return f"goes on at {_render_point(record)}, if what was written until then is still there; else it begins anew"


def _render_given_up(record: Record) -> str:
    return f"an overwrite could go on at {_render_point(record)}, and cannot after this"


_RENDER = {"overwrite": _render_going_on, "quick": _render_given_up}


def _probe(disk: Disk, look: Look) -> Record | None:
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
    if not found:
        return None
    own = dataclasses.replace(found, serial=disk.serial, model=disk.model, size=disk.size, body=reserved.offset)
    return None if why_not_same(found, own) else found
