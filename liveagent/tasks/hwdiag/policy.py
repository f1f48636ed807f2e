"""The policy: thresholds, verdicts and what has to be measured, for all machines or for a model."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from liveagent.events import WORST_FIRST, Finding, Verdict
from liveagent.machine.look import Missing, Why
from liveagent.options import suggest

# What a diagnosis is not one without. Patterns of paths as `Missing` has them.
REQUIRED = ("identity", "system", "cpu", "memory", "disks", "nics", "pci")


@dataclasses.dataclass(frozen=True)
class Limit:
    """A threshold: its name in a policy, the default, its unit, and where the default comes from."""

    name: str
    default: float
    unit: str
    source: str


@dataclasses.dataclass(frozen=True)
class Rules:
    """What a policy sets, for the models that match `models` (none: for all)."""

    models: tuple[str, ...] = ()
    limits: Mapping[str, float] = dataclasses.field(default_factory=dict)
    verdicts: Mapping[str, Verdict] = dataclasses.field(default_factory=dict)

    def covers(self, model: str) -> bool:
        return any(fnmatch.fnmatchcase(model.lower(), pattern.lower()) for pattern in self.models)


@dataclasses.dataclass(frozen=True)
class Policy:
    """Thresholds and verdicts: of the rules that cover a model the last counts, then those for all, then the default.

    `model` is the server's own product name. `required`: parts that have to be measured, `gpus.*` all that is to
    be known of each.
    """

    general: Rules = Rules()
    special: tuple[Rules, ...] = ()
    required: tuple[str, ...] = REQUIRED
    model: str = ""

    def serving(self, model: str | None) -> Policy:
        """This policy for a server of that model."""
        return dataclasses.replace(self, model=model or "")

    def limit(self, limit: Limit, model: str = "") -> float:
        """The threshold for a part's model, or else for the server's."""
        for rules in [*self._covering(model), *self._covering(self.model), self.general]:
            if limit.name in rules.limits:
                return rules.limits[limit.name]
        return limit.default

    def judge(self, findings: Sequence[Finding], models: Mapping[str, str] | None = None) -> list[Finding]:
        """Findings with this policy's verdicts, worst first; one that it sets to `skipped` is left out.

        `models`: what the parts are that findings name, by those names.
        """
        known = models or {}
        judged = [dataclasses.replace(one, verdict=self._verdict(one, known.get(one.part, ""))) for one in findings]
        kept = [one for one in judged if one.verdict is not Verdict.SKIPPED]
        return sorted(kept, key=lambda one: WORST_FIRST.index(one.verdict))

    def unmeasured(self, missing: Iterable[Missing]) -> list[Missing]:
        """What is missing of what has to be measured. That there is no such thing is a measurement."""
        return [one for one in missing if one.why is not Why.ABSENT and self._requires(one.part)]

    def _requires(self, part: str) -> bool:
        return any(fnmatch.fnmatchcase(part, pattern) for pattern in self.required)

    def _verdict(self, finding: Finding, model: str) -> Verdict:
        for rules in [*self._covering(model), *self._covering(self.model), self.general]:
            if finding.code in rules.verdicts:
                return rules.verdicts[finding.code]
        return finding.verdict

    def _covering(self, model: str) -> list[Rules]:
        return [rules for rules in reversed(self.special) if model and rules.covers(model)]


class BadPolicy(Exception):
    """What is wrong with a policy; every fault at once."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)


KEYS = ("limits", "verdicts", "required", "models")


def parse_policy(document: Any, limits: Iterable[str], codes: Iterable[str]) -> Policy:
    """A policy document: `limits`, `verdicts`, `required`, and `models` with the first two for each. Raises BadPolicy.

    `limits` and `codes` are the names that there are.
    """
    known_limits, known_codes = sorted(limits), sorted(codes)
    faults: list[str] = []
    if not isinstance(document, dict):
        raise BadPolicy([f"a policy is a mapping with {', '.join(KEYS)}, and this is a {type(document).__name__}"])
    faults += [f"{key!r} is no key of a policy{suggest(str(key), KEYS)}" for key in document if key not in KEYS]
    general = _parse_rules((), document, "", known_limits, known_codes, faults)
    models = _mapping(document, "models", "", faults)
    special = []
    for name, section in models.items():
        where = f"models: {name}: "
        if not isinstance(section, dict):
            faults.append(f"{where}a mapping is expected")
            continue
        faults += [f"{where}{key!r} is no key of a model" for key in section if key not in ("limits", "verdicts")]
        special.append(_parse_rules((str(name),), section, where, known_limits, known_codes, faults))
    required = document.get("required", list(REQUIRED))
    if not isinstance(required, list) or not all(isinstance(part, str) for part in required):
        faults.append("required: a list of parts is expected")
        required = []
    if faults:
        raise BadPolicy(faults)
    return Policy(general, tuple(special), tuple(required))


def _mapping(document: Mapping[str, Any], key: str, where: str, faults: list[str]) -> Mapping[str, Any]:
    value = document.get(key) or {}
    if isinstance(value, dict):
        return value
    faults.append(f"{where}{key}: a mapping is expected")
    return {}


def _parse_rules(
    models: tuple[str, ...],
    document: Mapping[str, Any],
    where: str,
    known_limits: Sequence[str],
    known_codes: Sequence[str],
    faults: list[str],
) -> Rules:
    limits: dict[str, float] = {}
    for name, value in _mapping(document, "limits", where, faults).items():
        if name not in known_limits:
            faults.append(f"{where}limits: {name!r} is no threshold{suggest(str(name), known_limits)}")
        elif isinstance(value, bool) or not isinstance(value, (int, float)):
            faults.append(f"{where}limits: {name}: {value!r} is no number")
        else:
            limits[name] = float(value)
    verdicts: dict[str, Verdict] = {}
    words = [verdict.value for verdict in Verdict]
    for code, word in _mapping(document, "verdicts", where, faults).items():
        if code not in known_codes:
            faults.append(f"{where}verdicts: {code!r} is no finding's code{suggest(str(code), known_codes)}")
        elif word not in words:
            faults.append(f"{where}verdicts: {code}: {word!r} is none of {', '.join(words)}")
        else:
            verdicts[code] = Verdict(word)
    return Rules(models, limits, verdicts)
