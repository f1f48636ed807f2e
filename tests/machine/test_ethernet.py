"""What ethtool says of links and transceivers: figures compared with the recorded texts by eye."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveagent.host import Host
from liveagent.machine.ethernet import (
    Lane,
    Settings,
    Transceiver,
    parse_driver,
    parse_module,
    parse_permanent,
    parse_settings,
    probe_interfaces,
)
from liveagent.machine.look import Look, Why
from tests.machine.bench import Bench, Hangs


def read(corpus: Path, name: str) -> str:
    return (corpus / "ethtool" / name).read_text(encoding="utf-8", errors="replace")


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("default1.txt", Settings(1000, None, "full", True, "Twisted Pair")),
        # 56 Gbit/s is Mellanox's own, and its partner is a switch of 40.
        ("default2.txt", Settings(40000, None, "full", False, "FIBRE")),
        ("ne-eth0-settings.txt", Settings(10000, None, "full", True, "Twisted Pair")),
        ("ohai-linux_ethtool-l353.txt", Settings(10000, None, "full", True, "FIBRE")),
        ("insights-test_ethtool_docs.txt", Settings(100, 100, "full", True, "MII")),
        # A bridge, and lines of other commands: nothing is known, and nothing is zero.
        ("percona-006-devices.txt", Settings(None, None, "", False, "Other")),
        ("insights-test_ethtool_g_docs.txt", Settings(None, None, "", None, "")),
    ],
)
def test_settings_of_real_interfaces(corpus: Path, file: str, expected: Settings) -> None:
    assert parse_settings(read(corpus, file)) == expected


@pytest.mark.corpus
def test_an_optical_module_in_the_dark(corpus: Path) -> None:
    assert parse_module(read(corpus, "module-info-convert-units.txt")) == Transceiver(
        kind="SFP",
        vendor="EDGE",
        part="SFP-10/25GLR-31",
        serial="EO11111111111",
        temperature=34.99,
        voltage=3.2995,
        lanes=(Lane(1, -0.87, -40.0, 51.494),),
        alarms=("Laser rx power low alarm",),
        warnings=("Laser rx power low warning",),
        monitored=True,
    )


@pytest.mark.corpus
def test_a_copper_cable_measures_nothing(corpus: Path) -> None:
    module = parse_module(read(corpus, "module-info.txt"))
    assert module is not None
    assert (module.vendor, module.part, module.monitored) == ("UbiquitiNetworks", "UDC-2", False)
    assert (module.temperature, module.voltage, module.lanes, module.alarms) == (None, None, (), ())


def test_lanes_of_a_quad_module() -> None:
    """Lines as ethtool's own qsfp.c prints them, with the two spellings of a channel that it has."""
    text = """\tIdentifier                                : 0x11 (QSFP28)
\tVendor name                               : FINISAR CORP
\tLaser tx bias current (Channel 1)         : 41.250 mA
\tLaser tx bias current (Channel 2)         : 0.000 mA
\tTransmit avg optical power (Channel 1)    : 1.1270 mW / 0.52 dBm
\tTransmit avg optical power (Channel 2)    : 0.0000 mW / -inf dBm
\tRcvr signal avg optical power(Channel 1)  : 0.8370 mW / -0.77 dBm
\tRcvr signal avg optical power(Channel 2)  : 0.0001 mW / -40.00 dBm
\tModule temperature                        : 31.42 degrees C / 88.55 degrees F
\tRx power low alarm (Chan 2)               : On
"""
    module = parse_module(text)
    assert module is not None
    assert module.kind == "QSFP28" and module.temperature == 31.42
    assert module.lanes == (Lane(1, 0.52, -0.77, 41.25), Lane(2, -40.0, -40.0, 0.0))
    assert module.alarms == ("Rx power low alarm (Chan 2)",)


@pytest.mark.corpus
def test_drivers(corpus: Path) -> None:
    assert parse_driver(read(corpus, "ne-eth0-driver.txt"))["firmware-version"] == "0.5-4"
    assert parse_driver(read(corpus, "insights-test_ethtool_i_good.txt"))["firmware-version"] == ""
    assert "version" not in parse_driver(read(corpus, "insights-test_ethtool_i_missing_keys.txt"))


@pytest.mark.corpus
def test_every_file_goes_through_every_parser(corpus: Path) -> None:
    """Rings, pauses, offloads, statistics and cut texts: none reads as a link or a module."""
    linked, modules = [], []
    for file in sorted((corpus / "ethtool").iterdir()):
        text = read(corpus, file.name)
        for part in (text, text[: len(text) // 2], text[: len(text) // 3]):
            settings = parse_settings(part)
            assert settings.speed_max_mbit is None or 10 <= settings.speed_max_mbit <= 800_000
            parse_driver(part)
            parse_module(part)
        linked += [file.name] if parse_settings(text).speed_max_mbit else []
        modules += [file.name] if parse_module(text) else []
    assert len(linked) == 5 and len(modules) == 2


@given(st.text())
def test_noise(text: str) -> None:
    parse_settings(text), parse_driver(text), parse_module(text), parse_module(f"Identifier : 0x03 (SFP)\n{text}")


def test_permanent_addresses() -> None:
    """A bond gives its members the first one's address; the card keeps its own."""
    links = [{"ifname": "eth1", "address": "02:00:00:00:00:01", "permaddr": "3C:FD:FE:00:00:02"}, {"ifname": "lo"}]
    assert parse_permanent(json.dumps(links)) == {"eth1": "3c:fd:fe:00:00:02"}
    for text in ("", "{}", "null", "[1]x"):
        with pytest.raises(ValueError):
            parse_permanent(text)


def test_this_machine() -> None:
    look = Look(Host())
    found = {nic.name: nic for nic in probe_interfaces(look)}
    assert found
    for nic in found.values():
        assert nic.id and (nic.mtu is None or nic.mtu > 0)
        assert not nic.bus or nic.driver


@pytest.mark.corpus
def test_one_of_two_hundred_hangs(tmp_path: Path, corpus: Path) -> None:
    """The others are complete, and the one is there, with what the kernel knows of it."""
    for number in range(200):
        below = tmp_path / f"sys/class/net/eth{number}"
        (below / "device").mkdir(parents=True)
        (below / "address").write_text(f"52:54:00:00:00:{number:02x}\n")
        (below / "type").write_text("1\n")
        (below / "carrier").write_text("1\n")
    said = {(): read(corpus, "ne-eth0-settings.txt"), ("-i",): read(corpus, "ne-eth0-driver.txt")}

    def answer(argv: Sequence[str]) -> str:
        program, *flags, name = argv
        if program != "ethtool":
            raise LookupError(program)
        if name == "eth117":
            raise Hangs
        return said[tuple(flags)]

    look = Look(Bench(tmp_path, answer))
    found = probe_interfaces(look)
    assert len(found) == 200 and len({nic.id for nic in found}) == 200
    silent = [nic for nic in found if nic.port != "Twisted Pair"]
    assert [(nic.name, nic.mac, nic.carrier) for nic in silent] == [("eth117", "52:54:00:00:00:75", True)]
    assert {nic.speed_max_mbit for nic in found} == {10000, None}
    assert ("nics.eth117", Why.NO_ANSWER) in [(note.part, note.why) for note in look.missing]
