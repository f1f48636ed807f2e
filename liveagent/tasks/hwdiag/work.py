"""The job of `hwdiag`: look at everything, check it, say it."""

from __future__ import annotations

import collections
import json
import logging
import time
from collections.abc import Sequence

from liveagent.events import WORST_FIRST, Finding, Verdict, worst
from liveagent.host import Cancelled
from liveagent.machine.inventory import LISTENING, Inventory, probe_inventory
from liveagent.machine.lldp import LISTEN
from liveagent.report.spool import write_synced
from liveagent.tasks import Context, Outcome
from liveagent.tasks.hwdiag import compare, expect
from liveagent.tasks.hwdiag.check import list_models, run_checks
from liveagent.tasks.hwdiag.checks import CHECKS
from liveagent.tasks.hwdiag.codes import CHECK, CODES, FAILED, LIMITS, POLICY, REQUIRED, SILENT
from liveagent.tasks.hwdiag.inventories import FILE
from liveagent.tasks.hwdiag.judge import Case, Judge, Judged
from liveagent.tasks.hwdiag.options import HwdiagOptions
from liveagent.tasks.hwdiag.overview import make_overview
from liveagent.tasks.hwdiag.policy import BadPolicy, Policy, parse_policy
from liveagent.tasks.hwdiag.selftest import run_selftests
from liveagent.tasks.hwdiag.source import BadSource, read_document, show

log = logging.getLogger(__name__)

# What a row of the screen has room for.
LABEL_MOST = 25

# What looks at the inventory beside something else. Each is given the whole case, and costs the others nothing.
JUDGES: tuple[Judge, ...] = (expect.judge, compare.judge)


def run(context: Context, options: HwdiagOptions, judges: Sequence[Judge] = JUDGES) -> Outcome:
    """Look at the whole machine, and judge it."""
    policy, findings = read_policy(context, options.policy)
    begun = time.monotonic()

    def tell(awaited: Sequence[str]) -> None:
        label = f"waits for {', '.join(awaited)}" if awaited else "judges"
        eta = None
        if awaited == ["lldp"]:
            label, eta = "waits for switches (LLDP)", max(0.0, LISTEN - (time.monotonic() - begun))
        elif len(label) > LABEL_MOST:
            label = f"waits for {len(awaited)} parts"
        context.progress("", len(LISTENING) - len(awaited), len(LISTENING), "parts", label, eta=eta)

    context.line(f"looking at {len(LISTENING)} parts of this machine …")
    inventory = probe_inventory(context.host, LISTENING, tell)
    case = Case(context, options, inventory.encode(), policy)
    findings += judge(inventory, policy)
    data = {
        "overview": make_overview(inventory),
        "inventory": case.document,
        "not_measured": [str(one) for one in inventory.missing],
    }
    for judged in [ask(one, case) for one in judges]:
        findings += judged.findings
        data.update(judged.data)
    context.data = data
    keep(case)
    models = list_models(inventory)
    findings = policy.judge(findings, models)
    for finding in findings:
        context.finding(finding)
    if options.selftest != "none":
        tested = policy.judge(run_selftests(context, inventory, options.selftest), models)
        for finding in tested:
            context.finding(finding)
        findings += tested
    verdict = worst([Verdict.PASS, *(finding.verdict for finding in findings)])
    return Outcome(verdict, summarize(inventory, findings), data)


def read_policy(context: Context, word: str) -> tuple[Policy, list[Finding]]:
    """The policy for this machine. Of one with faults the defaults count, and each fault is a finding.

    What the defaults let pass is shown then, and never called a pass: nobody knows what the operator's would say.
    """
    policy = Policy()
    faults: Sequence[str] = ()
    try:
        if word:
            policy = parse_policy(
                read_document(context, word),
                [limit.name for limit in LIMITS],
                [code.code for code in CODES],
            )
    except BadSource as error:
        faults = [str(error)]
    except BadPolicy as error:
        faults = error.faults
    return policy.serving(context.machine.identity.product), [POLICY.found(show(word), fault) for fault in faults]


def judge(inventory: Inventory, policy: Policy) -> list[Finding]:
    """All findings about an inventory, worst first. Pure."""
    found = run_checks(CHECKS, inventory, policy)
    found += [SILENT.found(name, f"{name} did not answer in time") for name in inventory.silent]
    found += [FAILED.found(name, f"Failed to look at {name}: {said}") for name, said in inventory.failed.items()]
    seen = {*inventory.silent, *inventory.failed}
    for missing in policy.unmeasured(inventory.missing):
        if missing.part not in seen:
            found.append(REQUIRED.found(missing.part, f"{missing.part} was not measured: {missing.detail}"))
    return policy.judge(found, list_models(inventory))


def ask(judge: Judge, case: Case) -> Judged:
    """What a judge says; one that fails is the agent's fault, and costs the others nothing. Raises Cancelled."""
    try:
        return judge(case)
    except Cancelled:
        raise
    except Exception as error:  # what others wrote may hold anything
        name = judge.__module__.rpartition(".")[2]
        log.error("Failed to judge by %s", name, exc_info=error)
        return Judged([CHECK.found(name, f"Failed to {name}: {type(error).__name__}: {error}")])


def keep(case: Case) -> None:
    """Leave the inventory with the run, for the next one to compare with; what cannot be written is passed over."""
    directory = case.context.directory
    if directory is None:
        return
    text = json.dumps(case.document, indent=2, ensure_ascii=False) + "\n"
    try:
        write_synced(directory / FILE, text.encode("utf-8", "replace"))
    except OSError as error:
        log.error("Failed to write %s: %s, ignoring", directory / FILE, error.strerror)


def summarize(inventory: Inventory, findings: Sequence[Finding]) -> str:
    """What was looked at, and what was found, in a sentence."""
    counts: collections.Counter[Verdict] = collections.Counter(one.verdict for one in findings)
    del counts[Verdict.PASS]
    words = ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in WORST_FIRST if counts[verdict])
    missing = f"; {len(inventory.missing)} not measured" if inventory.missing else ""
    return f"{words or 'no fault found'} on {len(inventory.took)} parts{missing}"
