"""The job of `hwdiag`: look at everything, check it, say it."""

from __future__ import annotations

from collections.abc import Sequence

from liveagent.events import Finding, Verdict, worst
from liveagent.machine.inventory import LISTENING, Inventory, probe_inventory
from liveagent.tasks import Context, Outcome
from liveagent.tasks.hwdiag.check import Code, run_checks
from liveagent.tasks.hwdiag.checks import CHECKS
from liveagent.tasks.hwdiag.options import HwdiagOptions
from liveagent.tasks.hwdiag.policy import Policy
from liveagent.tasks.hwdiag.selftest import run_selftests

SILENT = Code(
    "hwdiag.silent", Verdict.UNKNOWN, "a part did not answer in time, and was left behind", "limits of the collectors"
)
FAILED = Code("hwdiag.failed", Verdict.ERROR, "the agent itself failed at a part", "a defect of the agent")
REQUIRED = Code(
    "hwdiag.not_measured",
    Verdict.UNKNOWN,
    "a part that the policy requires was not measured",
    "the policy's `required`",
)


def run(context: Context, options: HwdiagOptions) -> Outcome:
    """Look at the whole machine, and judge it."""
    policy = Policy(model=context.machine.identity.product or "")
    inventory = probe_inventory(context.host, LISTENING)
    findings = judge(inventory, policy)
    for finding in findings:
        context.finding(finding)
    if options.selftest != "none":
        tested = policy.judge(run_selftests(context, inventory, options.selftest))
        for finding in tested:
            context.finding(finding)
        findings += tested
    verdict = worst([Verdict.PASS, *(finding.verdict for finding in findings)])
    data = {"inventory": inventory.encode(), "not_measured": [str(one) for one in inventory.missing]}
    return Outcome(verdict, summarize(inventory, findings), data)


def judge(inventory: Inventory, policy: Policy) -> list[Finding]:
    """All findings about an inventory, worst first. Pure."""
    found = run_checks(CHECKS, inventory, policy)
    found += [SILENT.found(name, f"{name} did not answer in time") for name in inventory.silent]
    found += [FAILED.found(name, f"Failed to look at {name}: {said}") for name, said in inventory.failed.items()]
    seen = {*inventory.silent, *inventory.failed}
    for missing in policy.unmeasured(inventory.missing):
        if missing.part not in seen:
            found.append(REQUIRED.found(missing.part, f"{missing.part} was not measured: {missing.detail}"))
    return policy.judge(found)


def summarize(inventory: Inventory, findings: Sequence[Finding]) -> str:
    """The machine in a sentence."""
    troubles = [finding for finding in findings if finding.verdict is not Verdict.PASS]
    return f"{len(inventory.disks)} disks; {len(troubles) or 'no'} findings"
