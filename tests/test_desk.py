"""Orders by hand beside the boot's own plan."""

from __future__ import annotations

from pathlib import Path

from liveagent.desk import Desk
from liveagent.host import Host
from liveagent.lock import Lock
from liveagent.order import Order
from liveagent.places import Places


def test_the_boots_own_plan_comes_first(tmp_path: Path) -> None:
    """An order that came before it would take its place, and the boot's plan would never be carried out."""
    places = Places(tmp_path / "state", tmp_path / "run")
    desk = Desk(Host(), places, "", {}, print, lambda _: (), lambda *_: None, lambda: None)
    order = Order("no-such-task", False, {}).encode()
    early = desk.submit(order)
    assert early["kind"] == "early" and "this boot's own plan" in str(early["error"])
    assert not desk.running and Lock(places.runtime).holder() is None
    desk.open()
    assert desk.submit(order)["run"]
    desk.join(60)
    assert not desk.running and Lock(places.runtime).holder() is None
