"""`wipe`: every disk that was asked for is overwritten or erased by its own firmware, read back, and accounted for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from liveagent.tasks import Context, Outcome, Preview, Rest, Task
from liveagent.tasks.wipe.options import WipeOptions, find_faults
from liveagent.tasks.wipe.rest import find_rest

if TYPE_CHECKING:
    from liveagent.events import JSON, Finding
    from liveagent.host import Host
    from liveagent.machine import Machine


class Wipe(Task):
    """The declaration; the job itself is in `work`, imported when there is one: `list` shall not wait for it."""

    name = "wipe"
    summary = "erase disks and read back that it was done"
    Options = WipeOptions
    destructive = True
    tools = ("blkid", "partx", "dd", "nvme", "hdparm", "sg_sanitize", "smartctl", "mdadm", "dmsetup")

    notes = (
        "Before a drive erases itself, marks are written to sampled places of it (`marks before erase`), and looked "
        "for afterwards: what they were written over is gone, also where the erase is cancelled.",
    )

    def faults(self, options: WipeOptions) -> Sequence[str]:
        return find_faults(options)

    def resume(self, machine: Machine, options: WipeOptions, begun: Mapping[str, Mapping[str, JSON]]) -> Rest | None:
        return find_rest(machine.disks, options, begun)

    def refuse(self, host: Host, machine: Machine, options: WipeOptions) -> Sequence[Finding]:
        from liveagent.tasks.wipe import work

        return work.refuse(machine, options)

    def preview(self, host: Host, machine: Machine, options: WipeOptions) -> Preview:
        from liveagent.tasks.wipe import work

        return work.preview(host, machine, options)

    def run(self, context: Context, options: WipeOptions) -> Outcome:
        from liveagent.tasks.wipe import work

        return work.run(context, options)


TASK = Wipe()
