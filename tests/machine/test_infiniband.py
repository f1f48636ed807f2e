"""Ports of RDMA adapters out of sysfs: rates and states as kernels write them, and counters that are none."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveagent.host import Host
from liveagent.machine.infiniband import (
    WIDTHS,
    Rate,
    RdmaPort,
    choose_transport,
    parse_lid,
    parse_rate,
    parse_state,
    probe_infiniband,
)
from liveagent.machine.look import Look, Why
from tests.conftest import UnpackTree

INFINIBAND = r"/(class/infiniband/|.*/infiniband/)"


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("56 Gb/sec (4X FDR)", Rate(56 * 10**9, 4, "FDR")),
        ("2.5 Gb/sec (1X)", Rate(2_500_000_000, 1, "SDR")),
        ("2.5 Gb/sec (1X SDR)", Rate(2_500_000_000, 1, "SDR")),
        ("40 Gb/sec (4X FDR10)", Rate(40 * 10**9, 4, "FDR10")),
        ("100 Gb/sec (2X HDR)", Rate(100 * 10**9, 2, "HDR")),
        ("800 Gb/sec (4X XDR)", Rate(800 * 10**9, 4, "XDR")),
        ("300 Gb/sec (12X EDR)", Rate(300 * 10**9, 12, "EDR")),
        ("100 Gb/sec (3X EDR)", None),
        ("100 Gb/sec (4X E", None),
        ("2,5 Gb/sec (1X)", None),
        ("", None),
        ("\ufffd", None),
    ],
)
def test_rates(text: str, rate: Rate | None) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    ("text", "word"),
    [("4: ACTIVE", "ACTIVE"), ("5: LinkUp", "LinkUp"), ("7: Phy Test", "Phy Test"), ("0: <unknown>", ""), ("4", "")],
)
def test_states(text: str, word: str) -> None:
    assert parse_state(text) == word


@pytest.mark.parametrize(
    ("node_type", "link_layer", "transport"),
    [
        ("1: CA", "InfiniBand", "InfiniBand"),
        ("", "InfiniBand", "InfiniBand"),
        ("1: CA", "Ethernet", "RoCE"),
        ("4: RNIC", "Ethernet", "iWARP"),
        ("7: UNSPECIFIED", "Ethernet", ""),
        ("1: CA", "Unknown", ""),
    ],
)
def test_what_a_port_speaks(node_type: str, link_layer: str, transport: str) -> None:
    assert choose_transport(node_type, link_layer) == transport


@given(st.text())
def test_no_text_raises_or_makes_an_absurd_figure(text: str) -> None:
    rate, lid = parse_rate(text), parse_lid(text)
    assert rate is None or (rate.width in WIDTHS and rate.rate >= 0)
    assert lid is None or lid >= 0
    assert isinstance(parse_state(text), str)


def by_name(host: Host) -> dict[str, RdmaPort]:
    return {port.name: port for port in probe_infiniband(Look(host))}


@pytest.mark.corpus
def test_a_port_of_a_cluster_node(unpack_tree: UnpackTree) -> None:
    """Compared with the files by eye. What stands beside it is a coprocessor's, without a port."""
    look = Look(unpack_tree("hwloc-tree/32em64t-2n8c+dax+nvme+mic+dimms.tar.bz2", INFINIBAND))
    [port] = probe_infiniband(look)
    assert (port.id, port.name, port.bus) == ("0002:c903:00f9:bfa0/1", "mlx4_0/1", "0000:82:00.0")
    assert (port.model, port.board, port.firmware) == ("MT4099", "DEL0A30000019", "2.11.500")
    assert (port.state, port.physical, port.transport) == ("ACTIVE", "LinkUp", "InfiniBand")
    assert (port.rate, port.width, port.generation) == (56 * 10**9, 4, "FDR")
    assert (port.lid, port.manager_lid, port.capabilities) == (932, 1, "0x02514868")
    assert port.description == "c412-603 HCA-1"
    assert port.counters["port_rcv_packets"] == 7620680 and port.counters["symbol_error"] == 0
    assert [(one.part, one.why) for one in look.missing] == [("infiniband.scif0", Why.NOT_UNDERSTOOD)]


@pytest.mark.corpus
def test_an_adapter_without_firmware(unpack_tree: UnpackTree) -> None:
    port = by_name(unpack_tree("hwloc-tree/40intel64-2g2n4c+pcilocality.tar.bz2", INFINIBAND))["qib0/1"]
    assert (port.model, port.firmware, port.bus) == ("InfiniPath_QLE7340", "", "0000:43:00.0")
    assert (port.rate, port.generation, port.lid) == (40 * 10**9, "QDR", 298)


@pytest.mark.corpus
def test_counters_that_nobody_counts_are_not_zero(unpack_tree: UnpackTree) -> None:
    look = Look(unpack_tree("sysfs-tree/node_exporter-infiniband.tar.gz", INFINIBAND))
    ports = {port.name: port for port in probe_infiniband(look)}
    assert list(ports) == ["i40iw0/1", "mlx4_0/1", "mlx4_0/2"]
    assert ports["i40iw0/1"].counters == {}
    assert "symbol_error" not in ports["mlx4_0/1"].counters
    assert ports["mlx4_0/1"].counters["port_xmit_discards"] == 5
    assert ports["mlx4_0/2"].counters == {"link_error_recovery": 0, "link_downed": 0}
    assert ports["mlx4_0/2"].id == "mlx4_0/2" and ports["mlx4_0/2"].lid is None
    assert [(one.part, one.why) for one in look.missing] == [("infiniband.i40iw0/1.counters", Why.NO_DRIVER)]


def test_a_port_without_a_link_has_no_rate(tmp_path: Path) -> None:
    """Drivers give one all the same; ports are ordered by number, and bytes that are no text cost nothing."""
    for number in (10, 2):
        port = tmp_path / f"sys/class/infiniband/mlx5_0/ports/{number}"
        port.mkdir(parents=True)
        (port / "phys_state").write_text("2: Polling\n")
        (port / "state").write_text("1: DOWN\n")
        (port / "rate").write_text("10 Gb/sec (4X SDR)\n")
        (port / "link_layer").write_text("InfiniBand\n")
    (tmp_path / "sys/class/infiniband/mlx5_0/node_desc").write_bytes(b"\xff\xfe")
    (tmp_path / "sys/class/infiniband/mlx5_0/node_guid").write_text("0000:0000:0000:0000\n")
    ports = by_name(Host(str(tmp_path)))
    assert list(ports) == ["mlx5_0/2", "mlx5_0/10"]
    port_2 = ports["mlx5_0/2"]
    assert (port_2.rate, port_2.width, port_2.generation) == (None, None, "")
    assert (port_2.physical, port_2.state, port_2.id) == ("Polling", "DOWN", "mlx5_0/2")


def test_a_machine_without_an_adapter(tmp_path: Path) -> None:
    look = Look(Host(str(tmp_path)))
    assert probe_infiniband(look) == ()
    assert [(one.part, one.why) for one in look.missing] == [("infiniband", Why.ABSENT)]
