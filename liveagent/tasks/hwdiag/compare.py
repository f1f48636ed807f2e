"""How this machine differs from its siblings (`compare=DIR|URL`), and from itself at its last inventory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from liveagent.events import JSON, Finding, Verdict
from liveagent.tasks.hwdiag import earlier, siblings
from liveagent.tasks.hwdiag.check import Code
from liveagent.tasks.hwdiag.inventories import Found, Other, read_earlier, read_inventories
from liveagent.tasks.hwdiag.judge import Case, Judged
from liveagent.tasks.hwdiag.siblings import LEAST, choose_siblings, is_same_machine
from liveagent.tasks.hwdiag.source import BadSource, show

BAD = Code(
    "hwdiag.compare", Verdict.ERROR, "there are no inventories to compare with: nothing was compared", "`compare`"
)
PASSED_OVER = Code("compare.passed_over", Verdict.PASS, "some of what was to be compared is no inventory", "`compare`")
FEW = Code("compare.few", Verdict.PASS, "too few of the inventories are of like machines", "`compare`", (LEAST,))
CODES = (BAD, PASSED_OVER, FEW, *siblings.CODES, *earlier.CODES)


def judge(case: Case) -> Judged:
    """Compare the inventory with those of its siblings and its own earlier ones, as far as there are any."""
    kept = read_earlier(case.context, lambda other: is_same_machine(case.document, other))
    given, findings = Found(), []
    if case.options.compare:
        try:
            given = read_inventories(case.context, case.options.compare)
        except BadSource as error:
            findings.append(BAD.found(show(case.options.compare), str(error)))
    others = [*given.others, *kept.others]
    before = find_before(case.document, others)
    like = choose_siblings(case.document, [other.document for other in given.others], case.policy.limit(LEAST))
    if given.others:
        findings += _find_like(case, like, len(given.others))
    if before:
        findings += earlier.find(case.document, before.document)
    passed = [*given.passed_over, *kept.passed_over]
    if passed:
        more = f" and {len(passed) - 3} more" if len(passed) > 3 else ""
        findings.append(PASSED_OVER.found("compare", f"passed over: {'; '.join(passed[:3])}{more}", passed_over=passed))
    data = {
        "siblings": len(like),
        "before": {"origin": before.origin, "taken": before.document["taken"]} if before else None,
    }
    return Judged(findings, {"compared": data})


def _find_like(case: Case, like: Sequence[Mapping[str, JSON]], given: int) -> list[Finding]:
    if len(like) >= case.policy.limit(LEAST):
        return siblings.find(case.document, like, case.policy)
    summary = f"only {len(like)} of {given} inventories are of like machines: they are not compared"
    return [FEW.found("compare", summary, siblings=len(like), inventories=given)]


def find_before(document: Mapping[str, JSON], others: Sequence[Other]) -> Other | None:
    """This machine's newest inventory among others; one that was taken at the same moment is this very one."""
    same = [other for other in others if is_same_machine(document, other.document)]
    earlier_ones = [other for other in same if other.document.get("taken") != document.get("taken")]
    return max(earlier_ones, key=lambda other: str(other.document.get("taken")), default=None)
