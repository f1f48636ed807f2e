"""NVMe Sanitize and Format: having a drive erase itself, and seeing it done."""

from __future__ import annotations

import re

from liveagent.host import Cancelled, CommandError, CommandNotFound, Completed, Host
from liveagent.machine.nameplate import clean_serial
from liveagent.machine.nvme import NvmeFacts, SanitizeLog, SanitizeState, probe_sanitize_log
from liveagent.tasks.wipe.firmware import (
    START_TIMEOUT,
    Erased,
    Job,
    Look,
    NotBegun,
    Stage,
    Unconfirmed,
    follow,
)

# A Format of a large drive without crypto erase may take hours.
FORMAT_TIMEOUT = 4 * 3600.0
# Secure Erase Settings of the Format command.
SES = {"nvme-format-user": 1, "nvme-format-crypto": 2}
# Sanitize Action of the Sanitize command.
SANACT = {"block": 2, "overwrite": 3, "crypto": 4}
EXIT_FAILURE_MODE = 1
# Status codes, type and code, with which a drive says that it did not begin: invalid opcode, field, namespace or
# format; operation denied, access denied, sanitize failed before, sanitize in progress, write protected, sanitize
# prohibited by a memory region. Any other may come of a command that was begun.
REFUSALS = frozenset((0x001, 0x002, 0x00B, 0x010A, 0x015, 0x286, 0x01C, 0x01D, 0x020, 0x123))
STATUS_MASK = 0x7FF


def erase(job: Job, technique: str) -> Erased:
    """Raises NotBegun, Unconfirmed."""
    facts = job.drive.nvme
    if facts is None:
        raise NotBegun("the controller does not say what it offers")
    serial = clean_serial(job.host.read_or(f"/sys/class/nvme/{facts.controller}/serial"))
    if serial != clean_serial(job.disk.serial):
        # A reset may have given the name to another drive.
        raise NotBegun(f"{facts.controller} is {serial or 'gone'} now, another drive than a moment ago")
    if technique in SES:
        return _format(job, facts, technique)
    return _sanitize(job, facts, technique.rpartition("-")[2])


def is_refusal(sent: Completed) -> bool:
    """Whether the drive itself answered, and that it did not begin: `NVMe status: Invalid Field…(0x4002)`."""
    found = re.search(r"NVMe status:.*\(0x([0-9a-fA-F]+)\)", sent.stderr + sent.stdout)
    return found is not None and int(found.group(1), 16) & STATUS_MASK in REFUSALS


def look_at(host: Host, controller: str) -> Look | None:
    """Where the drive's own log says that its last sanitize stands."""
    return read_log(probe_sanitize_log(host, controller))


def read_log(log: SanitizeLog | None) -> Look | None:
    if log is None:
        return None
    stages = {
        SanitizeState.RUNNING: Stage.RUNNING,
        SanitizeState.FAILED: Stage.FAILED,
        SanitizeState.COMPLETED: Stage.DONE,
        SanitizeState.NEVER: Stage.IDLE,
    }
    return Look(stages[log.state], log.progress if log.state is SanitizeState.RUNNING else None)


def _sanitize(job: Job, facts: NvmeFacts, action: str) -> Erased:
    device = f"/dev/{facts.controller}"
    before = probe_sanitize_log(job.host, facts.controller)
    if before and before.state is SanitizeState.FAILED:
        # After a sanitize that failed the drive takes nothing but this.
        _send(job, device, EXIT_FAILURE_MODE)
    job.account.say(f"nvme sanitize: {action}, the whole drive {facts.controller}")
    sent = _send(job, device, SANACT[action])
    if sent.status != 0 and (
        read_log(probe_sanitize_log(job.host, facts.controller)) or Look(Stage.IDLE)
    ).stage is not (Stage.RUNNING):
        said = (sent.stderr or sent.stdout).strip().splitlines()[:1]
        words = said[0] if said else f"exit status {sent.status}"
        if not is_refusal(sent):
            raise Unconfirmed(f"the sanitize command was sent, and its answer is no refusal: {words}")
        raise NotBegun(f"the drive refused it: {words}")
    last, seen = follow(job, lambda: look_at(job.host, facts.controller))
    if last.stage is not Stage.DONE:
        raise Unconfirmed(f"the drive's log says {last.stage.value} after the sanitize was accepted")
    after = probe_sanitize_log(job.host, facts.controller)
    # A drive whose log said the same before proves nothing by saying it again.
    changed = before is not None and after is not None and (before.state, before.action) != (after.state, after.action)
    return Erased(job.version(["nvme", "version"], "nvme-cli"), seen or changed)


def _send(job: Job, device: str, action: int) -> Completed:
    argv = ["nvme", "sanitize", device, f"--sanact={action}", "--ause"]
    if action == SANACT["overwrite"]:
        argv += ["--owpass=1", "--ovrpat=0"]
    try:
        return job.host.run(argv, timeout=START_TIMEOUT, success=None)
    except CommandError as error:
        return error.completed


def _format(job: Job, facts: NvmeFacts, technique: str) -> Erased:
    """The namespace with its block size kept. The exit status is only the drive's word: the caller reads back."""
    argv = [
        "nvme", "format", f"/dev/{facts.controller}",
        f"--namespace-id={facts.namespace}",
        f"--ses={SES[technique]}",
        f"--timeout={int(FORMAT_TIMEOUT * 1000)}",
        "--force",
    ]  # fmt: skip
    try:
        with job.at_work():
            job.host.run(argv, timeout=FORMAT_TIMEOUT + 60)
    except CommandNotFound as error:
        raise NotBegun(str(error)) from None
    except CommandError as error:
        if is_refusal(error.completed):
            raise NotBegun(f"the drive refused it: {error}") from None
        raise Unconfirmed(f"the format was sent, and its answer is no refusal: {error}") from None
    except Cancelled:
        raise Unconfirmed("cancelled while the drive was formatting itself") from None
    return Erased(job.version(["nvme", "version"], "nvme-cli"), seen=False)
