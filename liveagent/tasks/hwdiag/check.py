"""What a check is: codes and thresholds with where they come from, and a pure function that makes findings."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Callable

from liveagent.events import JSON, Finding, Verdict
from liveagent.machine.inventory import Inventory
from liveagent.tasks.hwdiag.policy import Limit, Policy


@dataclasses.dataclass(frozen=True)
class Code:
    """A thing that can be found: its stable code, its verdict unless the policy has another, and what it says.

    A verdict of PASS is a remark. `limits` are the thresholds behind it, `source` is where the rule comes from.
    """

    code: str
    verdict: Verdict
    says: str
    source: str
    limits: tuple[Limit, ...] = ()

    def found(self, part: str, summary: str, **measured: JSON) -> Finding:
        """The finding, about a part that a person can find: kernel name, slot and serial. Figures in base units."""
        return Finding(self.code, self.verdict, part, summary, measured)


@dataclasses.dataclass(frozen=True)
class Check:
    """One look at an inventory. `find` is pure, and yields findings of `codes` alone."""

    codes: tuple[Code, ...]
    find: Callable[[Inventory, Policy], Iterable[Finding]]


def run_checks(checks: Sequence[Check], inventory: Inventory, policy: Policy) -> list[Finding]:
    """The findings of all checks, worst first, with the policy's own verdicts."""
    found = [finding for check in checks for finding in _run(check, inventory, policy)]
    return policy.judge(found, list_models(inventory))


def list_models(inventory: Inventory) -> dict[str, str]:
    """The models of the parts that a policy may have a section for, by how findings name them."""
    models = {device.label: device.model for device in inventory.disks}
    models.update((gpu.label, gpu.model) for gpu in inventory.gpus)
    return models


def _run(check: Check, inventory: Inventory, policy: Policy) -> Iterator[Finding]:
    """A check that fails is the agent's fault, and costs the others nothing."""
    try:
        yield from list(check.find(inventory, policy))
    except Exception as error:  # a value that nobody thought of must not cost the other checks
        codes = ", ".join(code.code for code in check.codes)
        yield Finding("hwdiag.check", Verdict.ERROR, codes, f"the check failed: {type(error).__name__}: {error}")
