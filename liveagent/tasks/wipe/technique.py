"""How a disk is erased: its facts and the method that was asked for, to a technique or a refusal. Pure."""

from __future__ import annotations

import dataclasses

from liveagent.machine.disks import Disk, Transport
from liveagent.tasks.wipe.guards import Reason
from liveagent.tasks.wipe.nvme import NvmeFacts


@dataclasses.dataclass(frozen=True)
class Technique:
    """What will be done, and why just that."""

    name: str
    why: str


def choose_technique(disk: Disk, method: str, facts: NvmeFacts | None) -> Technique | Reason:
    """`facts` is None for a disk that is not NVMe, or whose controller does not say."""
    if method == "overwrite":
        return Technique("overwrite", "asked for")
    offered, why_not = _offered(disk, facts)
    if method == "auto":
        if offered:
            return Technique(offered[0], "the drive offers it")
        return Technique("overwrite", why_not)
    if method in offered:
        return Technique(method, "asked for")
    return Reason("wipe.method.unsupported", f"{method} is not possible: {why_not or 'the drive does not offer it'}")


def _offered(disk: Disk, facts: NvmeFacts | None) -> tuple[tuple[str, ...], str]:
    """(the Format techniques that are possible, strongest first; why there are none)."""
    if disk.transport is not Transport.NVME:
        return (), f"a {disk.transport.value} disk has no NVMe Format"
    if facts is None:
        return (), "its controller does not say what it offers"
    if not facts.format:
        return (), "the drive does not offer Format"
    if facts.all_namespaces and len(facts.namespaces) > 1:
        # A format would erase the other namespaces too, whether or not they may be touched.
        others = ", ".join(str(number) for number in facts.namespaces if number != disk.nvme_namespace)
        return (), f"Format would erase the drive's other namespaces as well ({others})"
    return (("nvme-format-crypto",) if facts.crypto else ()) + ("nvme-format-user",), ""
