"""A drive that was found erasing itself, as an earlier boot told it to: it is waited for, and never told again."""

from __future__ import annotations

import dataclasses

from liveagent.host import Host
from liveagent.machine.disks import probe_disk
from liveagent.machine.drive import Drive
from liveagent.tasks.wipe import ata, nvme, scsi
from liveagent.tasks.wipe.account import Account
from liveagent.tasks.wipe.firmware import Job, Look, Stage, Unconfirmed, follow


@dataclasses.dataclass(frozen=True)
class Running:
    """A sanitize that runs: its technique, as far as the drive says, and the look that found it."""

    name: str
    first: Look

    def wait(self, job: Job) -> None:
        """Until it has ended well. Raises Unconfirmed."""
        last, _ = follow(job, lambda: _look_at(job), self.first)
        if last.stage is not Stage.DONE:
            raise Unconfirmed(f"the sanitize that was found running ended {last.stage.value}")


def find_running(drive: Drive) -> Running | None:
    """The sanitize that runs on a drive by its own word. Pure."""
    name, look = "", None
    if drive.nvme and drive.nvme.log:
        name, look = f"nvme-sanitize-{drive.nvme.log.action}", nvme.read_log(drive.nvme.log)
    elif drive.ata and drive.ata.status:
        name, look = "ata-sanitize", ata.read_status(drive.ata.status)
    elif drive.scsi:
        name, look = "scsi-sanitize", scsi.read_state(drive.scsi.state, drive.scsi.progress)
    return Running(name, look) if look and look.stage is Stage.RUNNING else None


def _look_at(job: Job) -> Look | None:
    """Where the drive says now that its sanitize stands; None where it does not answer."""
    if job.drive.nvme:
        return nvme.look_at(job.host, job.drive.nvme.controller)
    return ata.look_at(job) if job.drive.ata else scsi.look_at(job)


def measure_anew(host: Host, account: Account) -> None:
    """A SCSI drive that was erasing itself when the kernel found it has no size before it is asked again."""
    name = account.disk.name
    try:
        host.write(f"/sys/block/{name}/device/rescan", "1")
    except OSError as error:
        account.say(f"Failed to have {name} measured anew: {error.strerror}, ignoring")
    now = probe_disk(host, name)
    account.row["size"] = now.size if now else 0
