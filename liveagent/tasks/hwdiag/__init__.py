"""`hwdiag`: what this server is, what is wrong with it, and how it differs from what it should be."""

from __future__ import annotations

from collections.abc import Sequence

from liveagent.tasks import Context, Outcome, Table, Task
from liveagent.tasks.hwdiag.options import HwdiagOptions


class Hwdiag(Task):
    """The declaration; the job itself is in `work`, imported when there is one."""

    name = "hwdiag"
    summary = "look at every part: what it is, what is wrong with it, how it differs from what it should be"
    Options = HwdiagOptions
    tools = ("smartctl", "nvme", "sg_logs", "dmidecode", "ipmitool", "ethtool")
    # A long self-test of a large disk takes two days; without one, a minute or two are enough.
    limit = 4 * 24 * 3600.0

    def tables(self) -> Sequence[Table]:
        from liveagent.tasks.hwdiag.codes import list_tables

        return list_tables()

    def run(self, context: Context, options: HwdiagOptions) -> Outcome:
        from liveagent.tasks.hwdiag import work

        return work.run(context, options)


TASK = Hwdiag()
