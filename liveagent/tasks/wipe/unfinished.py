"""What a preview says of wipes that were broken off: the record on the disk, looked at and not believed yet."""

from __future__ import annotations

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


def find_unfinished(host: Host, orders: Iterable[Order], patterns: tuple[str, ...]) -> Mapping[str, str]:
    """By kernel name what would become of a broken off wipe, of disks that carry the record of the one wanted."""
    concerned = [order for order in orders if order.choice.first.name in _RENDER]
    jobs = [Job(order.disk.name, functools.partial(_probe, order.disk, patterns), LIMIT) for order in concerned]
    found = look_side_by_side(host, jobs).values if host.is_real else {}
    return {
        order.disk.name: _RENDER[order.choice.first.name](record)
        for order in concerned
        if (record := found.get(order.disk.name))
    }


def _render_point(record: Record) -> str:
    return f"{render_bytes(record.written)}, the last point that run {record.sittings[-1].run} saved"


def _render_going_on(record: Record) -> str:
    """The wipe looks whether the disk holds what its record claims, which takes longer than a preview may."""
    return f"goes on at {_render_point(record)}, if what was written until then is still there; else it begins anew"


def _render_given_up(record: Record) -> str:
    return f"an overwrite could go on at {_render_point(record)}, and cannot after this"


_RENDER = {"overwrite": _render_going_on, "quick": _render_given_up}


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
