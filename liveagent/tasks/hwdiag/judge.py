"""A judge: what looks at an inventory beside something else (an order, other inventories), and what it says."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Callable

from liveagent.events import JSON, Finding
from liveagent.tasks import Context
from liveagent.tasks.hwdiag.options import HwdiagOptions
from liveagent.tasks.hwdiag.policy import Policy


@dataclasses.dataclass(frozen=True)
class Case:
    """What every judge has before it. `document` is the inventory as its JSON."""

    context: Context
    options: HwdiagOptions
    document: Mapping[str, JSON]
    policy: Policy


@dataclasses.dataclass(frozen=True)
class Judged:
    """What a judge found, and what it has for the task's data."""

    findings: Sequence[Finding] = ()
    data: Mapping[str, JSON] = dataclasses.field(default_factory=dict)


Judge = Callable[[Case], Judged]
