"""Whether this is the server that was ordered: `expect=URL|FILE`, read, compared, and said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from liveagent.events import JSON, Finding, Verdict
from liveagent.machine.form import make_form
from liveagent.machine.schema import make_schema
from liveagent.tasks.hwdiag.check import Code
from liveagent.tasks.hwdiag.difference import Difference, Match, compare
from liveagent.tasks.hwdiag.expectation import BadExpectation, parse_expectation
from liveagent.tasks.hwdiag.judge import Case, Judged
from liveagent.tasks.hwdiag.source import BadSource, read_document, show

_ORDER = "the expectation"
BAD = Code("hwdiag.expect", Verdict.ERROR, "the expectation cannot be had or understood: nothing was compared", _ORDER)
MISSING = Code("expect.missing", Verdict.FAIL, "what was ordered is not there", _ORDER)
DIFFERS = Code("expect.differs", Verdict.FAIL, "it is another than was ordered", _ORDER)
EXTRA = Code("expect.extra", Verdict.WARN, "more is there than was ordered", _ORDER)
UNKNOWN = Code(
    "expect.unknown", Verdict.UNKNOWN, "it could not be seen whether this is what was ordered", "no pass without a look"
)
CODES = (BAD, MISSING, DIFFERS, EXTRA, UNKNOWN)
_BY_MATCH: Mapping[Match, Code] = {
    Match.MISSING: MISSING,
    Match.DIFFERS: DIFFERS,
    Match.EXTRA: EXTRA,
    Match.UNKNOWN: UNKNOWN,
}
COLUMNS = ("what", "ordered", "found", "")


def judge(case: Case) -> Judged:
    """Compare the inventory with the expectation, where there is one."""
    word = case.options.expect
    if not word:
        return Judged()
    try:
        expected = parse_expectation(read_document(case.context, word), make_form(make_schema()))
    except BadSource as error:
        return Judged(list(_complain(word, [str(error)])))
    except BadExpectation as error:
        return Judged(list(_complain(word, error.faults)))
    compared = compare(expected, case.document)
    differences = [one for one in compared if one.match is not Match.HELD]
    for line in render_table(differences):
        case.context.line(line)
    counts = {"origin": show(word), "held": len(compared) - len(differences), "differ": len(differences)}
    return Judged(list(find(differences)), {"expectation": counts, "differences": [encode(one) for one in differences]})


def find(differences: Iterable[Difference]) -> Iterator[Finding]:
    """A finding for each difference. Pure."""
    for one in differences:
        measured = {"path": one.path, "ordered": one.ordered, "found": one.found}
        yield _BY_MATCH[one.match].found(one.part, render(one), **measured)


def render(one: Difference) -> str:
    """A difference in a sentence."""
    detail = f": {one.detail}" if one.detail else ""
    if one.match is Match.UNKNOWN:
        return f"{one.path} could not be seen{detail}; ordered is {one.ordered}"
    if one.match is Match.MISSING and one.found is None:
        return f"{one.path} is not there, ordered is {one.ordered}"
    if one.match in (Match.MISSING, Match.EXTRA) and one.detail:
        return f"{one.path}: {one.detail}: found {one.shown}, ordered {one.ordered}"
    return f"{one.path} is {one.shown}, ordered is {one.ordered}{f' ({one.detail})' if one.detail else ''}"


def encode(one: Difference) -> dict[str, JSON]:
    """A row of `differences` in the task's data: `found` in the units of the order, `value` as the inventory has it."""
    code = _BY_MATCH[one.match]
    return {
        "path": one.path,
        "ordered": one.ordered,
        "found": one.shown,
        "verdict": code.verdict.value,
        "code": code.code,
        "value": one.found,
        "part": one.part,
        "detail": one.detail,
    }


def render_table(differences: Sequence[Difference]) -> list[str]:
    """What was ordered beside what was found, for people: aligned, a line each."""
    rows = [COLUMNS, *((one.path, one.ordered, one.shown, one.match.value) for one in differences)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return lines if differences else []


def _complain(word: str, faults: Iterable[str]) -> Iterator[Finding]:
    for fault in faults:
        yield BAD.found(show(word), fault)
