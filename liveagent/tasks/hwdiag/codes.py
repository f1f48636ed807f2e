"""Every code and threshold there is, of checks and of judges: what a policy may name, and what a report can hold."""

from __future__ import annotations

from liveagent.events import Verdict
from liveagent.tasks import Table
from liveagent.tasks.hwdiag import checks, compare, expect
from liveagent.tasks.hwdiag.check import Code
from liveagent.tasks.hwdiag.policy import Limit

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
CHECK = Code("hwdiag.check", Verdict.ERROR, "a check or a comparison failed in itself", "a defect of the agent")
POLICY = Code(
    "hwdiag.policy", Verdict.ERROR, "the policy cannot be had or understood: the defaults counted", "the policy"
)
OWN = (SILENT, FAILED, REQUIRED, CHECK, POLICY)
CODES: tuple[Code, ...] = (*OWN, *checks.CODES, *expect.CODES, *compare.CODES)
LIMITS: tuple[Limit, ...] = tuple({limit.name: limit for code in CODES for limit in code.limits}.values())


def list_tables() -> tuple[Table, ...]:
    """Codes and thresholds, for people."""
    codes = tuple(
        (code.code, code.verdict.value, code.says, code.source) for code in sorted(CODES, key=lambda c: c.code)
    )
    limits = tuple(
        (limit.name, f"{limit.default:g} {limit.unit}", limit.source)
        for limit in sorted(LIMITS, key=lambda one: one.name)
    )
    return (
        Table("what it may find", ("code", "verdict", "what that is", "source of the rule"), codes),
        Table("thresholds, which a policy may set", ("name", "default", "source"), limits),
    )
