"""SCSI Sanitize, by sg_sanitize: started, then watched by asking the drive itself."""

from __future__ import annotations

from liveagent.host import CommandError, CommandNotFound
from liveagent.machine.scsi import ScsiState, probe_state
from liveagent.tasks.wipe.firmware import START_TIMEOUT, Erased, Job, Look, NotBegun, Stage, Unconfirmed, follow

ACTIONS = {"block": ("--block",), "crypto": ("--crypto",), "overwrite": ("--overwrite", "--zero", "--count=1")}
# sg3_utils' exit statuses: the command is not there, or is there and not with these fields, or the disk is reserved.
REFUSED = (5, 9, 24)


def erase(job: Job, technique: str) -> Erased:
    """Raises NotBegun, Unconfirmed."""
    action = technique.rpartition("-")[2]
    job.account.say(f"SCSI sanitize: {action}")
    argv = ["sg_sanitize", *ACTIONS[action], "--quick", "--early", job.disk.path]
    try:
        sent = job.host.run(argv, timeout=START_TIMEOUT, success=None)
    except CommandNotFound as error:
        raise NotBegun(str(error)) from None
    except CommandError as error:
        raise Unconfirmed(f"the sanitize was sent, and no answer came: {error}") from None
    said = ([line for line in sent.stderr.splitlines() if line.strip()] or [f"exit status {sent.status}"])[0]
    if sent.status in REFUSED:
        raise NotBegun(f"the drive refused it: {said}")
    first = look_at(job)
    if sent.status != 0 and (first is None or first.stage is not Stage.RUNNING):
        raise Unconfirmed(f"the sanitize was sent, and its answer says neither yes nor no: {said}")
    if first is not None and first.stage is Stage.DONE:
        last, seen = first, False
    else:
        last, seen = follow(job, lambda: look_at(job), first)
    if last.stage is not Stage.DONE:
        raise Unconfirmed("the drive says that the sanitize failed")
    return Erased(job.version(["sg_sanitize", "--version"], "sg_sanitize"), seen)


def look_at(job: Job) -> Look | None:
    """A drive that is ready has nothing left to do; one that says nothing is asked again."""
    state, progress = probe_state(job.host, job.disk.path)
    return read_state(state, progress)


def read_state(state: ScsiState, progress: float | None) -> Look | None:
    stages = {
        ScsiState.SANITIZING: Stage.RUNNING,
        ScsiState.SANITIZE_FAILED: Stage.FAILED,
        ScsiState.READY: Stage.DONE,
    }
    return Look(stages[state], progress) if state in stages else None
