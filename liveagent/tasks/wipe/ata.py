"""ATA Sanitize and Security Erase, by hdparm, which exits 0 when a drive refuses: only states that were seen count.

A Security Erase needs a password. It is always the same, written down here and in the manual, it is taken off on
every way out, and a drive that is found with it is freed: none ever leaves locked.
"""

from __future__ import annotations

import threading

from liveagent.events import Verdict
from liveagent.host import Cancelled, CommandError, CommandNotFound, Completed, Host
from liveagent.machine.ata import (
    AtaFacts,
    AtaSanitizeState,
    AtaSanitizeStatus,
    is_refused,
    parse_identify,
    probe_sanitize_status,
)
from liveagent.machine.disks import Disk
from liveagent.machine.question import Questions
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

PASSWORD = "liveagent"
CONSENT = "--yes-i-know-what-i-am-doing"
SANITIZE = {
    "block": ("--sanitize-block-erase",),
    "crypto": ("--sanitize-crypto-scramble",),
    # 0 passes would be 16 of them.
    "overwrite": ("--sanitize-overwrite-passes", "1", "--sanitize-overwrite", "0x00000000"),
}
# Drives say how long they take in steps of two minutes, and many say too little.
ERASE_FACTOR, ERASE_MORE = 4, 3600.0
ERASE_UNSAID = 24 * 3600.0
# A drive that refuses an erase does so at once.
REFUSED_WITHIN = 5.0


def erase(job: Job, technique: str) -> Erased:
    """Raises NotBegun, Unconfirmed."""
    if job.drive.ata is None:
        raise NotBegun("the drive does not answer as an ATA drive")
    if technique.startswith("ata-sanitize-"):
        return _sanitize(job, technique.rpartition("-")[2])
    return _secure_erase(job, technique == "ata-secure-erase-enhanced")


def read_status(status: AtaSanitizeStatus | None) -> Look | None:
    """Where a drive's sanitize stands; idle is done only where the drive says that the last one ended well."""
    if status is None:
        return None
    if status.state is AtaSanitizeState.RUNNING:
        return Look(Stage.RUNNING, status.progress)
    if status.state is AtaSanitizeState.FAILED:
        return Look(Stage.FAILED)
    return Look(Stage.DONE if status.completed else Stage.IDLE)


def look_at(job: Job) -> Look | None:
    """Where the drive says that its sanitize stands."""
    return read_status(probe_sanitize_status(job.host, job.disk.path))


def _sanitize(job: Job, action: str) -> Erased:
    path = job.disk.path
    before = probe_sanitize_status(job.host, path)
    job.account.say(f"ATA sanitize: {action}")
    said = _run(job.host, [CONSENT, *SANITIZE[action], path], START_TIMEOUT)
    if is_refused(said):
        raise NotBegun(f"the drive refused it: {_first_line(said)}")
    last, seen = follow(job, lambda: look_at(job))
    if last.stage is Stage.IDLE and not seen:
        raise NotBegun("the drive is idle, and has completed no sanitize: hdparm said that it was started")
    if last.stage is not Stage.DONE:
        raise Unconfirmed(f"the drive says {last.stage.value} after the sanitize was started")
    # An idle drive goes on saying for years that its last sanitize went well.
    return Erased(_version(job), seen or (before is not None and not before.completed))


def _secure_erase(job: Job, enhanced: bool) -> Erased:
    host, disk = job.host, job.disk
    before = _ask(host, disk)
    if not before or not before.security.supported or before.security.frozen:
        raise NotBegun("the drive does not take a password now")
    if before.security.enabled:
        raise NotBegun("the drive has somebody else's password")
    erase = "--security-erase-enhanced" if enhanced else "--security-erase"
    minutes = before.security.enhanced_minutes if enhanced else before.security.erase_minutes
    limit = minutes * 60 * ERASE_FACTOR + ERASE_MORE if minutes else ERASE_UNSAID
    begun = False
    job.account.has_password = True
    try:
        said = _run(host, ["--user-master", "u", "--security-set-pass", PASSWORD, disk.path], START_TIMEOUT)
        now = _ask(host, disk)
        if is_refused(said) or not now or not now.security.enabled:
            raise NotBegun(f"the drive did not take a password: {_first_line(said)}")
        job.account.say(f"ATA {'enhanced ' if enhanced else ''}security erase, the drive says {minutes or '?'} minutes")
        begun = True
        with job.at_work():
            answer = _send(host, ["--user-master", "u", erase, PASSWORD, disk.path], limit)
        said = f"{answer.stdout}\n{answer.stderr}"
        now = _ask(host, disk)
        # One that worked for a while and then gave up had begun.
        if (
            answer.seconds < REFUSED_WITHIN
            and is_refused(said)
            and now
            and now.security.enabled
            and not now.security.locked
        ):
            begun = False
            raise NotBegun(f"the drive refused it: {_first_line(said)}")
        if not now:
            raise Unconfirmed("the drive does not answer after the security erase")
        if now.security.enabled:
            raise Unconfirmed("the drive still has its password after the security erase, so it was not done")
        return Erased(_version(job), seen=True)
    except Cancelled:
        if begun:
            raise Unconfirmed("cancelled while the drive was erasing itself") from None
        raise
    finally:
        _leave_free(job)


def _leave_free(job: Job) -> None:
    """No way out leaves a password behind; where the drive keeps it all the same, a person is told how to."""
    try:
        left = _free(job.host, job.disk)
    except (NotBegun, Unconfirmed):
        left = None
    job.account.has_password = left is None or left.security.enabled
    if left is None or left.security.enabled:
        state = "cannot be asked whether it still has" if left is None else "still has"
        job.account.find("wipe.ata.password", Verdict.UNKNOWN, explain_password(state, job.disk))


def explain_password(state: str, disk: Disk) -> str:
    """How a person takes our password off a drive that `state` it."""
    return f"{state} the password of its security erase: hdparm --security-disable {PASSWORD} {disk.path}"


def recover(host: Host, disk: Disk) -> AtaFacts | None:
    """Take our own password off a drive that was left with it, and say how it stands then.

    One try: each wrong password brings a drive nearer to where it takes none. Somebody else's password stays.
    """
    return _free(host, disk)


def _free(host: Host, disk: Disk) -> AtaFacts | None:
    """Unlock with our password and take it off, whether or not the run was cancelled."""
    host = host.cancelled_by(threading.Event())
    facts = _ask(host, disk)
    if facts and facts.security.enabled and not facts.security.frozen:
        words = ["--user-master", "u"]
        if facts.security.locked:
            if facts.security.expired:
                return facts
            _run(host, [*words, "--security-unlock", PASSWORD, disk.path], START_TIMEOUT)
            facts = _ask(host, disk)
        if facts and not facts.security.locked:
            _run(host, [*words, "--security-disable", PASSWORD, disk.path], START_TIMEOUT)
            facts = _ask(host, disk)
    return facts


def _ask(host: Host, disk: Disk) -> AtaFacts | None:
    """The drive's identify data alone: at this moment nothing else matters."""
    return parse_identify(Questions(host).read(["hdparm", "-I", disk.path]))


def _run(host: Host, words: list[str], timeout: float) -> str:
    """All that hdparm prints."""
    said = _send(host, words, timeout)
    return f"{said.stdout}\n{said.stderr}"


def _send(host: Host, words: list[str], timeout: float) -> Completed:
    """Run hdparm; what could not be run at all never began. Raises NotBegun, Unconfirmed."""
    try:
        return host.run(["hdparm", *words], timeout=timeout, success=None)
    except CommandNotFound as error:
        raise NotBegun(str(error)) from None
    except CommandError as error:
        raise Unconfirmed(str(error)) from None


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if "SG_IO" in line or "not supported" in line]
    return lines[0] if lines else "it gave no reason"


def _version(job: Job) -> str:
    return job.version(["hdparm", "-V"], "hdparm")
