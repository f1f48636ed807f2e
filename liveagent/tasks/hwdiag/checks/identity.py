"""Whether this server can be told from every other."""

from __future__ import annotations

from collections.abc import Iterator

from liveagent.events import Finding, Verdict
from liveagent.machine.inventory import Inventory
from liveagent.tasks.hwdiag.check import Check, Code
from liveagent.tasks.hwdiag.policy import Policy

NO_SERIAL = Code(
    "identity.serial",
    Verdict.WARN,
    "there is no serial, or a firmware's filler in its place: this server cannot be told from its siblings",
    "SMBIOS 3.x, type 1; fillers as firmware of many makers writes them",
)
NO_UUID = Code(
    "identity.uuid",
    Verdict.WARN,
    "there is no UUID, or one that came with the firmware's source",
    "SMBIOS 3.x, type 1, 7.2.1",
)


def find(inventory: Inventory, policy: Policy) -> Iterator[Finding]:
    identity = inventory.identity
    if identity is None:
        return
    name = identity.product or "machine"
    unread = {one.part for one in inventory.missing}
    if identity.serial is None and "identity.serial" not in unread:
        yield NO_SERIAL.found(name, "no usable serial is set; have it written with the maker's tool")
    if identity.uuid is None and "identity.uuid" not in unread:
        yield NO_UUID.found(name, "no usable UUID is set; have it written with the maker's tool")


CHECKS = (Check((NO_SERIAL, NO_UUID), find),)
