"""A task that comes in a package of its own: whether the kernel has entropy enough to make keys."""

from __future__ import annotations

import dataclasses

from liveagent.events import Finding, Verdict
from liveagent.host import Host
from liveagent.machine import Machine
from liveagent.options import integer, option
from liveagent.tasks import Context, Outcome, Preview, Task

ENTROPY = "/proc/sys/kernel/random/entropy_avail"


@dataclasses.dataclass(frozen=True)
class EntropyOptions:
    least: int = option(integer(1, 4096), 128, "how many bits there have to be")


class Entropy(Task):
    name = "entropy"
    summary = "check that there is entropy enough to make keys"
    Options = EntropyOptions
    limit = 60.0

    def preview(self, host: Host, machine: Machine, options: EntropyOptions) -> Preview:
        return Preview(("reads", "wants"), ((ENTROPY, f"{options.least} bits"),))

    def run(self, context: Context, options: EntropyOptions) -> Outcome:
        bits = int(context.host.read(ENTROPY))
        context.line(f"{bits} bits")
        summary = f"{bits} bits of entropy"
        if bits >= options.least:
            return Outcome(Verdict.PASS, summary, {"bits": bits})
        measured = {"bits": bits, "least": options.least}
        context.finding(Finding("entropy.low", Verdict.FAIL, "machine", summary, measured))
        return Outcome(Verdict.FAIL, summary, {"bits": bits})


TASK = Entropy()
