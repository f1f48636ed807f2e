"""The dozen lines of a server: what bonds and ports are in them."""

from __future__ import annotations

import dataclasses

from liveagent.events import JSON
from liveagent.machine.inventory import Inventory
from liveagent.tasks.hwdiag.overview import make_overview
from tests.tasks.hwdiag.test_check_bonds import BOND, DOWN, ONE
from tests.tasks.hwdiag.test_check_infiniband import NO_LINK, PORT


def show(inventory: Inventory) -> dict[str, JSON]:
    return {line["name"]: line["text"] for line in make_overview(inventory)}


def test_bonds_and_ports() -> None:
    roce = dataclasses.replace(PORT, transport="RoCE")
    ports = (PORT, PORT, dataclasses.replace(PORT, **NO_LINK), roce)
    lines = show(Inventory(bonds=(dataclasses.replace(BOND, legs=(ONE, DOWN)),), infiniband=ports))
    assert lines["bonds"] == "bond0 IEEE 802.3ad Dynamic link aggregation, 1 of 2 legs up"
    assert lines["InfiniBand"] == (
        "2 × MT4123, firmware 20.31.1014, 200 Gbit/s (4X HDR); 1 × MT4123, firmware 20.31.1014, no link"
    )


def test_a_server_without_them_has_no_such_lines() -> None:
    assert not {"bonds", "InfiniBand"} & set(show(Inventory()))
