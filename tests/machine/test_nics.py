from __future__ import annotations

from pathlib import Path
from typing import Callable

import pytest

from liveagent.host import Host
from liveagent.machine.nics import Nic, parse_addresses, probe_nics


def test_addresses_of_ip() -> None:
    """`ip --json address show`: what one can connect to; link-local addresses help nobody before the rack."""
    text = """[{"ifname":"lo","addr_info":[{"family":"inet","local":"127.0.0.1","scope":"host"}]},
    {"ifname":"eth0","addr_info":[{"family":"inet","local":"192.0.2.2","scope":"global"},
    {"family":"inet6","local":"fd00::2","scope":"global"},{"family":"inet6","local":"fe80::1","scope":"link"}]},{}]"""
    assert parse_addresses(text) == {"lo": ("127.0.0.1",), "eth0": ("192.0.2.2", "fd00::2"), "": ()}


@pytest.mark.corpus
def test_nics_of_a_captured_server(unpack: Callable[[str], Host]) -> None:
    """Ports without a link have no speed, not the speed 0; InfiniBand has a long address; no `lo`."""
    nics = probe_nics(unpack("hwloc-tree/40intel64-2g2n4c+pcilocality.tar.bz2"))
    assert nics[:2] == (
        Nic("eth0", "78:2b:cb:38:ac:1b", (), True, 1000),
        Nic("eth1", "78:2b:cb:38:ac:1d", (), None, None),
    )
    assert [nic.name for nic in nics] == ["eth0", "eth1", "eth2", "eth3", "ib0"]


@pytest.mark.parametrize(("speed", "mbit"), [("25000", 25000), ("-1", None), ("4294967295", None), ("", None)])
def test_speed(tmp_path: Path, speed: str, mbit: int | None) -> None:
    """Drivers say -1 for unknown, old ones the same as unsigned."""
    nic = tmp_path / "sys/class/net/eth0"
    (nic / "device").mkdir(parents=True)
    (nic / "speed").write_text(speed)
    (found,) = probe_nics(Host(str(tmp_path)))
    assert found.speed_mbit == mbit
