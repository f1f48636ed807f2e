"""Whatever a tool, a file or a drive says: a parser has a value of it or None, and raises nothing."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from liveagent.machine.ata import parse_dco, parse_identify, parse_max_sectors, parse_sanitize_status
from liveagent.machine.dmi import parse_boot_mac
from liveagent.machine.nameplate import parse_vpd_serial
from liveagent.machine.nvme import parse_id_ctrl, parse_id_ns, parse_sanitize_log
from liveagent.machine.system import parse_secure_boot

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20))
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner))
DIGITS = st.one_of(st.integers().map(str), st.just("9" * 5000), st.text(alphabet="0123456789٣²①", max_size=6))


def documents(*keys: str) -> st.SearchStrategy[dict[str, Any]]:
    """A mapping with some of the keys that are looked for, and anything behind them."""
    rows = st.lists(st.one_of(st.fixed_dictionaries({}, optional={"ds": SCALARS, "ms": SCALARS}), JSON), max_size=4)
    return st.fixed_dictionaries({}, optional={key: st.one_of(JSON, rows) for key in keys})


@given(documents("oacs", "sn", "mn", "fr", "fna", "sanicap", "rpmbs", "vid", "cntlid", "cmic", "tnvmcap", "nn"))
def test_id_ctrl(document: dict[str, Any]) -> None:
    parse_id_ctrl(document)


@given(documents("flbas", "lbafs", "dps", "nsze", "ncap", "nmic", "rescap"))
def test_id_ns(document: dict[str, Any]) -> None:
    found = parse_id_ns(document)
    assert found is None or found.block_size >= 512


@given(
    st.one_of(
        documents("sprog", "sstat", "cdw10_info", "time_over_write", "nvme0").map(str),
        st.lists(st.tuples(st.sampled_from(("Sanitize Progress", "SPROG", "SSTAT", "SCDW10")), DIGITS)).map(
            lambda rows: "\n".join(f"{name} : {value}" for name, value in rows)
        ),
        st.text(),
    )
)
def test_sanitize_log(text: str) -> None:
    found = parse_sanitize_log(text)
    assert found is None or 0 <= found.progress <= 1


LINES = (
    *("ATA device, with non-removable media", "\tModel Number:       {}", "\tLogical  Sector size:   {} bytes"),
    *("\tLogical/Physical Sector size: {} bytes", "\tNominal Media Rotation Rate: {}"),
    *("\tLBA48  user addressable sectors: {}", "\t   *\tSANITIZE feature set", "Security: "),
    *("\tMaster password revision code = {}", "\t\tsupported", "\tnot\tlocked"),
    *(
        "\t{}min for SECURITY ERASE UNIT. {}min for ENHANCED SECURITY ERASE UNIT.",
        " max sectors   = {}/{}, HPA is enabled",
    ),
    *("Progress: 0x{}", "State: SD2 Sanitize operation In Process", "Real max sectors: {}"),
)


@given(
    st.lists(
        st.one_of(st.builds(lambda line, value: line.replace("{}", value), st.sampled_from(LINES), DIGITS), st.text())
    )
)
def test_identify(lines: list[str]) -> None:
    text = "\n".join(lines)
    parse_identify(text)
    parse_sanitize_status(text)
    parse_max_sectors(text)
    parse_dco(text)


@given(st.one_of(st.binary(), st.binary(max_size=20).map(lambda data: b"BOOTIF=" + data)))
def test_boot_mac(cmdline: bytes) -> None:
    found = parse_boot_mac(cmdline)
    assert found is None or len(found) == 17


@given(st.one_of(st.binary(), st.binary(max_size=30).map(lambda data: b"\0\x80" + data)))
def test_vpd_serial(page: bytes) -> None:
    assert parse_vpd_serial(page).isprintable()


@given(st.binary(max_size=8))
def test_secure_boot(data: bytes) -> None:
    assert parse_secure_boot(data) in (True, False, None)
