"""How a server was started, and its clocks."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveagent.events import Finding
from liveagent.host import Host
from liveagent.machine.clock import Clock, parse_timedatectl, parse_tracking, probe_clock
from liveagent.machine.inventory import Inventory
from liveagent.machine.look import Look
from liveagent.machine.system import parse_chassis, parse_secure_boot, probe_system
from liveagent.tasks.hwdiag.checks import system as checks
from liveagent.tasks.hwdiag.policy import Policy
from tests.conftest import UnpackTree

# chronyc 4.5 on a machine with a time server, and without.
TRACKING = (
    "C0248F97,192.36.143.151,2,1795609501.123,0.000012345,-0.000001,0.000023,1.234,0.001,0.02,0.01,0.001,64.2,Normal\n"
)
ALONE = "7F7F0101,,0,0.000000000,0.000000000,0.000000000,0.000000000,0.000,0.000,0.000,0.0,0.0,0.0,Not synchronised\n"


@pytest.mark.parametrize(
    ("data", "state"),
    [(b"\x06\0\0\0\x01", True), (b"\x06\0\0\0\0", False), (b"", None), (b"\x06\0\0\0\x02", None), (b"\x01", None)],
)
def test_secure_boot(data: bytes, state: bool | None) -> None:
    assert parse_secure_boot(data) is state


@pytest.mark.parametrize(
    ("text", "word"), [("23", "rack mount"), ("151", "rack mount"), ("", ""), ("x", ""), ("99", "type 99")]
)
def test_chassis(text: str, word: str) -> None:
    assert parse_chassis(text) == word


def test_started_by_uefi_with_secure_boot(tmp_path: Path) -> None:
    variables = tmp_path / "sys/firmware/efi/efivars"
    variables.mkdir(parents=True)
    (variables / "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c").write_bytes(b"\x06\0\0\0\x01")
    system = probe_system(Look(Host(str(tmp_path))))
    assert (system.boot_mode, system.secure_boot) == ("uefi", True)


def test_started_by_a_bios_has_no_secure_boot(tmp_path: Path) -> None:
    (tmp_path / "sys/class/dmi/id").mkdir(parents=True)
    (tmp_path / "sys/class/dmi/id/bios_vendor").write_text("SeaBIOS\n")
    system = probe_system(Look(Host(str(tmp_path))))
    assert (system.boot_mode, system.secure_boot, system.tpm) == ("bios", None, "")


@pytest.mark.corpus
def test_a_captured_machine(unpack_tree: UnpackTree) -> None:
    system = probe_system(Look(unpack_tree("sysfs-tree/node_exporter-dmi.tar.gz", "/dmi/")))
    assert (system.product, system.chassis, system.bios_version) == ("PowerEdge R6515", "rack mount", "2.2.4")
    assert system.bios_date == "04/12/2021" and system.board == "07PXPY"


def test_tracking() -> None:
    assert parse_tracking(TRACKING) == (True, 0.000012345, 2)
    assert parse_tracking(ALONE) == (False, 0.0, 0)
    for text in ("", "506 Cannot talk to daemon", TRACKING[:60], TRACKING.replace("0.000012345", "zwölf")):
        assert parse_tracking(text) is None


@given(st.text())
def test_noise(text: str) -> None:
    parse_tracking(text), parse_timedatectl(text), parse_chassis(text)


def test_this_machine() -> None:
    clock = probe_clock(Look(Host()))
    assert clock.rtc_offset is None or abs(clock.rtc_offset) < 24 * 3600


def find(clock: Clock) -> list[Finding]:
    return [finding for check in checks.CHECKS for finding in check.find(Inventory(clock=clock), Policy())]


@pytest.mark.parametrize(
    ("clock", "codes"),
    [
        (Clock(True, 0.0001, 2, 0.4), []),
        (Clock(True, -3.5, 2, 0.4), ["clock.offset"]),
        (Clock(True, None, None, -86400.0), ["clock.rtc"]),
        # Nobody knows which of the two is right.
        (Clock(None, None, None, -86400.0), []),
        (Clock(False, None, None, None), ["clock.unkept"]),
        (Clock(None, None, None, None), []),
    ],
)
def test_clocks(clock: Clock, codes: list[str]) -> None:
    assert [finding.code for finding in find(clock)] == codes
