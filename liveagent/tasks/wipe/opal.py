"""TCG Opal: back to the factory by the PSID on the drive's label, which throws the key of all data away."""

from __future__ import annotations

import errno
import fcntl
import struct

from liveagent.host import CommandError, CommandNotFound
from liveagent.tasks.wipe.firmware import Erased, Job, NotBegun, Unconfirmed

# <linux/sed-opal.h>: _IOW('p', 232, struct opal_key), and struct opal_key {lr, key_len, 6 bytes, key[256]}.
IOC_OPAL_PSID_REVERT_TPR = 0x410870E8
KEY_FORMAT = "BB6x256s"
# TCG Core, method status codes.
NOT_AUTHORIZED, AUTHORITY_LOCKED_OUT = 0x01, 0x12
REVERT_TIMEOUT = 600.0
# How a kernel says that it does not know the request, or the drive not Opal.
NOT_HERE = (errno.ENOTTY, errno.EINVAL, errno.EOPNOTSUPP)


def erase(job: Job, technique: str) -> Erased:
    """By the kernel where it knows Opal, else by sedutil. Raises NotBegun, Unconfirmed."""
    if not job.psid:
        raise NotBegun("no PSID was given for it")
    key = job.psid.encode()
    request = bytearray(struct.pack(KEY_FORMAT, 0, len(key), key))
    try:
        status = fcntl.ioctl(job.armed.file, IOC_OPAL_PSID_REVERT_TPR, request)
    except OSError as error:
        if error.errno in NOT_HERE:
            return _by_sedutil(job)
        raise Unconfirmed(f"the revert was sent, and its answer is no refusal: {error.strerror}") from None
    if status in (NOT_AUTHORIZED, AUTHORITY_LOCKED_OUT):
        raise NotBegun("the drive does not take this PSID: read it again from the label, each 0 and O, 1 and I")
    if status != 0:
        raise Unconfirmed(f"the drive answered the revert with TCG status {status}")
    return Erased("the kernel's sed-opal", seen=True)


def _by_sedutil(job: Job) -> Erased:
    argv = ["sedutil-cli", "--yesIreallywanttoERASEALLmydatausingthePSID", job.psid, job.disk.path]
    try:
        done = job.host.run(argv, timeout=REVERT_TIMEOUT, success=None, secret=[job.psid])
    except CommandNotFound:
        raise NotBegun("neither this kernel nor an installed sedutil-cli speaks TCG Opal to it") from None
    except CommandError as error:
        raise Unconfirmed(str(error)) from None
    said = f"{done.stdout}\n{done.stderr}"
    if "NOT_AUTHORIZED" in said or "AUTHORITY_LOCKED_OUT" in said:
        raise NotBegun("the drive does not take this PSID: read it again from the label, each 0 and O, 1 and I")
    if done.status != 0 or "completed successfully" not in said:
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        raise Unconfirmed(f"sedutil-cli: {lines[-1] if lines else f'exit status {done.status}'}")
    return Erased("sedutil-cli", seen=True)
