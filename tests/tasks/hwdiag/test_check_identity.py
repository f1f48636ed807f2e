"""A server that cannot be told from others, and one whose serial was only not read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from liveagent.host import Host
from liveagent.machine.dmi import Identity
from liveagent.machine.inventory import Inventory, look_at_identity
from liveagent.machine.look import Look, Missing, Why
from liveagent.tasks.hwdiag.check import run_checks
from liveagent.tasks.hwdiag.checks import identity
from liveagent.tasks.hwdiag.policy import Policy

NOBODY = Identity(None, None, "ACME", "X1", None, None, None)


def find(*missing: Missing, who: Identity = NOBODY) -> list[str]:
    inventory = Inventory(identity=who, missing=missing)
    return [finding.code for finding in run_checks(identity.CHECKS, inventory, Policy())]


def test_what_was_not_read_is_not_missing() -> None:
    assert find() == ["identity.serial", "identity.uuid"]
    assert find(Missing("identity.serial", Why.NO_RIGHTS, "")) == ["identity.uuid"]
    assert find(who=Identity("S1", "4c4c4544-0032-4a10-8046-b2c04f313533", None, None, None, None, None)) == []


class Barred(Host):
    """Another user's view: sysfs has the file, and does not give it."""

    def read_bytes(self, path: str, limit: int = -1) -> bytes:
        if path.endswith(("product_serial", "product_uuid")):
            raise PermissionError(13, os.strerror(13), path)
        return super().read_bytes(path, limit)


@pytest.mark.parametrize(("door", "noted"), [(Barred, ["identity.serial", "identity.uuid"]), (Host, [])])
def test_it_is_noted(tmp_path: Path, door: type[Host], noted: list[str]) -> None:
    look = Look(door(str(tmp_path)))
    look_at_identity(look)
    assert [one.part for one in look.missing] == noted
