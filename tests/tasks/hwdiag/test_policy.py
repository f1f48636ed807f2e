"""A policy: whose threshold counts, and every fault of a bad one at once."""

from __future__ import annotations

import re

import pytest

from liveagent.events import Finding, Verdict
from liveagent.machine.look import Missing, Why
from liveagent.tasks.hwdiag.checks import CHECKS, CODES, LIMITS
from liveagent.tasks.hwdiag.policy import BadPolicy, Limit, Policy, parse_policy

WEAR = Limit("disk.wear", 90.0, "%", "a test")
DOCUMENT = {
    "limits": {"disk.wear": 80},
    "verdicts": {"identity.serial": "fail"},
    "required": ["disks"],
    "models": {
        "SAMSUNG MZ*": {"limits": {"disk.wear": 70}},
        "PowerEdge*": {"limits": {"disk.wear": 60}, "verdicts": {"identity.serial": "skipped"}},
    },
}


def parse(document: object) -> Policy:
    return parse_policy(document, [WEAR.name], ["identity.serial"])


def test_the_most_special_threshold_counts() -> None:
    policy = parse(DOCUMENT)
    assert policy.limit(WEAR, "samsung mz7lh480") == 70
    assert policy.limit(WEAR, "INTEL SSDSC2") == 80
    assert Policy().limit(WEAR, "INTEL SSDSC2") == 90
    on_a_model = Policy(policy.general, policy.special, model="PowerEdge R640")
    assert on_a_model.limit(WEAR, "INTEL SSDSC2") == 60


def test_verdicts_of_the_policy_and_worst_first() -> None:
    finding = Finding("identity.serial", Verdict.WARN, "machine", "none")
    other = Finding("disk.x", Verdict.PASS, "sda", "fine")
    policy = parse(DOCUMENT)
    assert [one.verdict for one in policy.judge([other, finding])] == [Verdict.FAIL, Verdict.PASS]
    assert Policy(policy.general, policy.special, model="PowerEdge R640").judge([finding]) == []


def test_a_verdict_for_the_model_of_a_part() -> None:
    """Of the part before the server's, as thresholds are."""
    policy = parse({"models": {"INTEL SSDSC2*": {"verdicts": {"identity.serial": "skipped"}}}})
    finding = Finding("identity.serial", Verdict.WARN, "sda SN1", "none")
    assert policy.judge([finding], {"sda SN1": "INTEL SSDSC2BB240G4"}) == []
    assert policy.judge([finding], {"sda SN1": "SAMSUNG MZ7"}) == [finding] == policy.judge([finding])


@pytest.mark.parametrize(
    ("required", "counted"),
    [
        (["disks"], ["disks"]),
        (["disks.*"], ["disks.sda.health", "disks.sdb.slot"]),
        (["disks.*.health", "gpus.*"], ["disks.sda.health"]),
        ([], []),
    ],
)
def test_what_has_to_be_measured(required: list[str], counted: list[str]) -> None:
    """A part as a whole, or what is to be known of each; that there is no such thing is a measurement."""
    missing = [Missing(part, Why.NO_ANSWER, "") for part in ("disks", "disks.sda.health", "disks.sdb.slot")]
    missing.append(Missing("gpus.0000:01:00.0", Why.ABSENT, ""))
    assert [one.part for one in parse({"required": required}).unmeasured(missing)] == counted


def test_every_fault_is_listed() -> None:
    bad = {
        "limit": {},
        "limits": {"disk.waer": 1, "disk.wear": "much"},
        "verdicts": {"identity.serial": "bad", "no.such": "fail"},
        "models": {"x": 1, "y": {"required": []}},
        "required": "disks",
    }
    with pytest.raises(BadPolicy) as caught:
        parse(bad)
    assert len(caught.value.faults) == 8
    assert any("did you mean disk.wear?" in fault for fault in caught.value.faults)


@pytest.mark.parametrize("document", [None, [], "<html>", 3])
def test_what_is_no_policy(document: object) -> None:
    with pytest.raises(BadPolicy):
        parse(document)


def test_the_table_of_codes_is_whole() -> None:
    """Codes and thresholds are relied on by name: each once, dotted, with its meaning and its source."""
    codes = [code.code for code in CODES]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]\w*(\.[a-z0-9_]+)+", code) for code in codes)
    assert all(code.says and code.source for code in CODES)
    assert len({limit.name for limit in LIMITS}) == len(LIMITS)
    assert all(limit.source for limit in LIMITS)
    assert all(check.codes for check in CHECKS)
