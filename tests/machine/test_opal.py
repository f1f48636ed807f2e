from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from liveagent.host import Host
from liveagent.machine.opal import GET_STATUS, STATUS, OpalFacts, parse_flags, parse_query, probe_opal
from tests.conftest import need
from tests.machine.replies import DISK, HANGS, NOT_INSTALLED, Reply, make_replay
from tests.machine.tools import MakeLoop


def test_the_number_of_the_question() -> None:
    """_IOR('p', 236, struct opal_status), as <asm-generic/ioctl.h> puts it together: direction, size, type, number."""
    read = 2
    assert (read << 30 | STATUS.size << 16 | ord("p") << 8 | 236) == GET_STATUS


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (0x00, OpalFacts(False, False, False)),
        (0x03, OpalFacts(True, False, False)),
        (0x07, OpalFacts(True, True, False)),
        (0x0F, OpalFacts(True, True, True)),
        # A shadow MBR says nothing of a lock.
        (0x33, OpalFacts(True, False, False)),
    ],
)
def test_flags(flags: int, expected: OpalFacts) -> None:
    """OPAL_FL_* of <linux/sed-opal.h>."""
    assert parse_flags(flags) == expected


# Written after sedutil-cli 1.15's form.
QUERY = """
/dev/sda ATA Samsung SSD 850 EVO 500GB                EMT02B6Q S21HNXAG000000Z
TPer function (0x0001)
    ACKNAK = N, ASYNC = N. BufferManagement = N, comIDManagement  = N, Streaming = Y, SYNC = Y
Locking function (0x0002)
    Locked = Y, LockingEnabled = Y, LockingSupported = Y, MBRDone = N, MBREnabled = Y, MediaEncrypt = Y
OPAL 2.0 function (0x0203)
    Base comID = 0x1004, Initial PIN = 0x0, Reverted PIN = 0x0, comIDs = 1
    Locking Admins = 4, Locking Users = 9, Range Crossing = N
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (QUERY, OpalFacts(True, True, True)),
        (QUERY.replace("Locked = Y", "Locked = N"), OpalFacts(True, True, False)),
        (
            QUERY.replace("Locked = Y", "Locked = N").replace("Enabled = Y", "Enabled = N"),
            OpalFacts(True, False, False),
        ),
        # Older versions break the line.
        (QUERY.replace("MBRDone = N,", "MBRDone = N,\n   "), OpalFacts(True, True, True)),
        ("/dev/sda ATA WDC WD20EZRX\nInvalid or unsupported disk /dev/sda\n", None),
        (QUERY.partition("LockingEnabled")[0], None),
        ("", None),
    ],
)
def test_query(text: str, expected: OpalFacts | None) -> None:
    """A locked drive answers every erase with "Data protect": it has to be known before."""
    assert parse_query(text) == expected


@pytest.mark.parametrize(
    ("reply", "expected"),
    [(QUERY, OpalFacts(True, True, True)), (NOT_INSTALLED, None), (HANGS, None), (Reply(status=1), None)],
)
def test_sedutil_stands_in_for_the_kernel(tmp_path: Path, reply: str | Reply, expected: OpalFacts | None) -> None:
    """A kernel before 6.2 cannot be asked; neither can a recording."""
    assert probe_opal(make_replay(tmp_path, {"sedutil-cli --query /dev/sda": reply}), DISK) == expected


@pytest.mark.loop
def test_a_device_without_opal(make_loop: MakeLoop) -> None:
    """The real question to a real kernel, which has no answer for a loop device."""
    need(not shutil.which("sedutil-cli"), "a machine without sedutil-cli")
    assert probe_opal(Host(), dataclasses.replace(DISK, path=make_loop(1 << 20))) is None
