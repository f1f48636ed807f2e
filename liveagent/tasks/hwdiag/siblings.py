"""In what a machine differs from its siblings: of the same product, and of the same CPU where there are enough.

Nobody knows how they should be; what most of them agree on is taken for it. Of versions the newest counts as well.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from liveagent.events import JSON, Finding, Verdict
from liveagent.tasks.hwdiag.check import Code
from liveagent.tasks.hwdiag.facts import Fact, Facts, How, Key
from liveagent.tasks.hwdiag.parts import dig, is_unknown
from liveagent.tasks.hwdiag.policy import Limit, Policy
from liveagent.tasks.hwdiag.quantity import is_number
from liveagent.tasks.hwdiag.versions import compare_versions

LEAST = Limit(
    "compare.siblings", 2, "machines", "of two that differ nobody knows which one is right; two against one say so"
)
MAJORITY = Limit("compare.majority", 75, "%", "a fleet of two builds, half and half, has no deviants")
_LIMITS = (LEAST, MAJORITY)
_RULE = "what most of the machines of the same product have"

FEWER = Code(
    "compare.sibling.fewer", Verdict.WARN, "its siblings have more of a part, or one where it has none", _RULE, _LIMITS
)
MORE = Code("compare.sibling.more", Verdict.WARN, "its siblings have less of a part, or none", _RULE, _LIMITS)
OLDER = Code(
    "compare.sibling.older",
    Verdict.WARN,
    "a sibling has newer firmware or microcode",
    "the newest among siblings",
    (LEAST,),
)
SLOWER = Code("compare.sibling.slower", Verdict.WARN, "its siblings are faster here", _RULE, _LIMITS)
DIFFERS = Code("compare.sibling.differs", Verdict.WARN, "its siblings are alike in this, and it is not", _RULE, _LIMITS)
CODES = (FEWER, MORE, OLDER, SLOWER, DIFFERS)
CPU = "cpu.model"
PLACES = 6


def choose_siblings(
    document: Mapping[str, JSON], others: Sequence[Mapping[str, JSON]], least: float
) -> list[Mapping[str, JSON]]:
    """Those of the same product, this machine itself left out, each once by its newest inventory.

    Of the same CPU only, where there are enough: a product is sold in several builds.
    """
    product = _product(document)
    if product is None:
        return []
    newest: dict[str, Mapping[str, JSON]] = {}
    for index, other in enumerate(sorted(others, key=lambda other: str(other.get("taken")))):
        if _product(other) == product and not is_same_machine(document, other):
            newest[_name(other) or f"#{index}"] = other
    alike = [other for other in newest.values() if dig(other, CPU) == dig(document, CPU)]
    return alike if len(alike) >= least else list(newest.values())


def is_same_machine(one: Mapping[str, JSON], other: Mapping[str, JSON]) -> bool:
    """Whether serial or UUID say so, and neither contradicts: nodes of one chassis may share the serial."""
    pairs = [(dig(one, f"identity.{name}"), dig(other, f"identity.{name}")) for name in ("serial", "uuid")]
    known = [mine == theirs for mine, theirs in pairs if mine and theirs]
    return bool(known) and all(known)


def find(document: Mapping[str, JSON], siblings: Sequence[Mapping[str, JSON]], policy: Policy) -> list[Finding]:
    """What this machine differs in. Pure."""
    own, theirs = Facts(document), [Facts(sibling) for sibling in siblings]
    keys = dict.fromkeys(key for facts in (own, *theirs) for key in facts.by_key)
    made = [_compare(key, own, theirs, policy) for key in keys]
    return list(_fold([deviation for deviation in made if deviation]))


@dataclasses.dataclass(frozen=True)
class _Deviation:
    """This machine's fact beside its siblings': `votes` of `voters` siblings have the other one."""

    code: Code
    fact: Fact
    other: Fact
    votes: int
    voters: int


def _compare(key: Key, own: Facts, theirs: Sequence[Facts], policy: Policy) -> _Deviation | None:
    mine = own.get(key)
    facts = [fact for fact in (facts.get(key) for facts in theirs) if fact]
    least = policy.limit(LEAST)
    if mine is None or len(facts) < max(1, least):
        return None
    votes = [fact.vote for fact in facts]
    counted, by_vote = collections.Counter(votes), dict(zip(votes, facts))
    newest = _find_newest(mine, list(by_vote.values()))
    if newest:
        return _Deviation(OLDER, mine, newest, counted[newest.vote], len(facts))
    top, most = counted.most_common(1)[0]
    if top == mine.vote or most < least or 100 * most < policy.limit(MAJORITY) * len(facts):
        return None
    other = by_vote[top]
    # Where there are more or fewer of them, that is said, and not that their list is another.
    return _Deviation(_choose_code(mine, other), mine, other, most, len(facts)) if _same_number(mine, other) else None


def _find_newest(mine: Fact, facts: Sequence[Fact]) -> Fact | None:
    """The newest of those that are newer than this machine's; None where none is, or these are no versions."""
    newer = [fact for fact in facts if mine.how is How.VERSION and is_older(mine, fact)]
    return next((one for one in newer if not any(is_older(one, other) for other in newer)), newer[0] if newer else None)


def is_older(mine: Fact, other: Fact) -> bool:
    """Whether the oldest of one's versions is older than the newest of the other's, as far as that can be told."""
    return any(compare_versions(str(one), str(newer)) == -1 for one in mine.values for newer in other.values)


def _same_number(mine: Fact, other: Fact) -> bool:
    return len(mine.values) == len(other.values)


def _choose_code(mine: Fact, other: Fact) -> Code:
    pairs = list(zip(mine.values, other.values))
    if mine.how not in (How.AMOUNT, How.SPEED) or not all(is_number(value) for pair in pairs for value in pair):
        return DIFFERS
    is_less = any(one < another for one, another in pairs)
    if mine.how is How.SPEED:
        return SLOWER if is_less else DIFFERS
    return FEWER if is_less else MORE


def _fold(deviations: Sequence[_Deviation]) -> Iterator[Finding]:
    """A finding for all places in which the same is to be said."""
    folded: dict[tuple[object, ...], list[_Deviation]] = {}
    for one in deviations:
        key = one.fact.key
        alike = (one.code.code, key.path, key.name, key.field, one.fact.vote, one.other.vote, one.votes, one.voters)
        folded.setdefault(alike, []).append(one)
    for several in folded.values():
        first = several[0]
        places = [one.fact.key.kind for one in several if one.fact.key.kind]
        shown = ", ".join(places[:PLACES]) + (f" and {len(places) - PLACES} more" if len(places) > PLACES else "")
        what = " ".join(word for word in (first.fact.key.name, shown, first.fact.key.field) if word)
        summary = f"{what}: {first.votes} of {first.voters + 1} have {first.other.text}, this one {first.fact.text}"
        measured = {
            "path": first.fact.key.path,
            "here": list(first.fact.values),
            "siblings": list(first.other.values),
            "agree": first.votes,
            "compared": first.voters,
        }
        yield first.code.found(", ".join(dict.fromkeys(one.fact.part for one in several)), summary, **measured)


def _product(document: Mapping[str, JSON]) -> tuple[JSON, JSON] | None:
    product = dig(document, "identity.product")
    return None if is_unknown(product) else (dig(document, "identity.vendor"), product)


def _name(document: Mapping[str, JSON]) -> str:
    """What tells a sibling from the others; "" where nothing does."""
    return str(dig(document, "identity.serial") or "") + str(dig(document, "identity.uuid") or "")
