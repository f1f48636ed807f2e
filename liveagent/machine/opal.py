"""Whether a drive encrypts by TCG Opal, and whether it is locked: the kernel is asked first, sedutil second."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import re
import struct

from liveagent.host import Host, NotRecorded
from liveagent.machine.disks import Disk
from liveagent.machine.question import Questions

# <linux/sed-opal.h>: IOC_OPAL_GET_STATUS, _IOR('p', 236, struct opal_status), and the flags of that structure.
GET_STATUS = 0x800870EC
STATUS = struct.Struct("=II")
FL_SUPPORTED, FL_LOCKING_ENABLED, FL_LOCKED = 0x01, 0x04, 0x08


@dataclasses.dataclass(frozen=True)
class OpalFacts:
    """What level 0 discovery says: `locking_enabled` is a drive that was taken into use, `locked` one that is shut."""

    supported: bool
    locking_enabled: bool
    locked: bool


def parse_flags(flags: int) -> OpalFacts:
    """The flags of struct opal_status."""
    return OpalFacts(bool(flags & FL_SUPPORTED), bool(flags & FL_LOCKING_ENABLED), bool(flags & FL_LOCKED))


def parse_query(text: str) -> OpalFacts | None:
    """`sedutil-cli --query`; None where it names no locking function, as of a drive without one."""
    _, heading, block = text.partition("Locking function (0x0002)")
    said = dict(re.findall(r"\b(Locked|LockingEnabled|LockingSupported) ?= ?([YN])\b", block))
    if not heading or len(said) < 3:
        return None
    return OpalFacts(said["LockingSupported"] == "Y", said["LockingEnabled"] == "Y", said["Locked"] == "Y")


def probe_opal(host: Host, disk: Disk, questions: Questions | None = None) -> OpalFacts | None:
    """What the drive says; None where it has no such thing, or neither kernel nor sedutil can ask for it."""
    if questions and questions.silent:
        return None  # to open a drive that hangs is to hang with it
    try:
        return parse_flags(probe_flags(host, disk.path))
    # ENOTTY, EINVAL: a kernel without the question (before 6.2). EOPNOTSUPP, ENOTSUPP: a drive without an answer.
    except (OSError, NotRecorded):
        return parse_query((questions or Questions(host)).read(["sedutil-cli", "--query", disk.path]))


def probe_flags(host: Host, path: str) -> int:
    """The kernel's answer. Raises OSError, NotRecorded."""
    descriptor = host.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        answer = fcntl.ioctl(descriptor, GET_STATUS, bytes(STATUS.size))
    finally:
        os.close(descriptor)
    return int(STATUS.unpack(answer)[0])
