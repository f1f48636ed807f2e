"""How a server was started, and its clocks."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveagent.host import Host
from liveagent.machine.clock import parse_timedatectl, parse_tracking, probe_clock
from liveagent.machine.look import Look
from liveagent.machine.system import parse_chassis, parse_date, parse_secure_boot, parse_virtualization, probe_system
from tests.conftest import UnpackTree
from tests.machine.replies import Reply, make_replay

# chronyc 4.3, of two daemons made for it on one machine: one with `local stratum 8`, one that has its time from that
# one, and a third that has nobody.
LOCAL = (
    "7F7F0101,,8,1795931811.732798328,0.000000000,0.000000000,0.000000000,0.000,0.000,0.000,0.000000000,0.000000000,"
    "0.0,Normal\n"
)
TRACKING = (
    "7F000001,127.0.0.1,9,1795931823.594359916,-0.000001498,-0.000000038,0.000001725,0.007,-0.001,0.057,0.000007234,"
    "0.000002102,1.0,Normal\n"
)
ALONE = (
    "00000000,,0,0.000000000,0.000000000,0.000000000,0.000000000,0.000,0.000,0.000,1.000000000,1.000000000,0.0,"
    "Not synchronised\n"
)
# And of the second, at the same moment, in words.
WORDS = "System time     : 0.000001498 seconds fast of NTP time"


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
    """A clock that is fast is before the server's, whatever sign the values have."""
    assert parse_tracking(TRACKING) == (True, 0.000001498, 9) and "0.000001498 seconds fast" in WORDS
    assert parse_tracking(ALONE) == (False, 0.0, 0)
    assert parse_tracking(LOCAL) == (False, 0.0, 8)


@pytest.mark.parametrize(
    "text",
    [
        *("", "506 Cannot talk to daemon", TRACKING[:60], TRACKING.replace("0.000001498", "zwölf")),
        *(TRACKING.replace("-0.000001498", "nan"), TRACKING.replace(",9,", ",999,"), f"x,{TRACKING}"),
    ],
)
def test_what_is_no_tracking(text: str) -> None:
    assert parse_tracking(text) is None


@pytest.mark.parametrize(
    ("reply", "clock", "missing"),
    [
        (Reply(TRACKING), (True, 0.000001498, 9), []),
        (Reply(LOCAL), (False, None, None), []),
        (Reply("506 Cannot talk to daemon\n", status=1), (True, None, None), ["clock.offset"]),
        (Reply("garbage\n"), (True, None, None), ["clock.offset"]),
    ],
)
def test_clock(tmp_path: Path, reply: Reply, clock: tuple[object, ...], missing: list[str]) -> None:
    """Where chrony does not answer, the kernel's own word for it is taken, and there is no offset."""
    replies = {"chronyc -c tracking": reply, "timedatectl show --property=NTPSynchronized": "NTPSynchronized=yes\n"}
    files = {"/sys/class/rtc/rtc0/since_epoch": f"{int(time.time()) - 60}\n"}
    look = Look(make_replay(tmp_path, replies, files, {"exists /run/chrony": ("yes",)}))
    found = probe_clock(look)
    assert (found.synchronised, found.offset, found.stratum) == clock
    assert found.rtc_offset is not None and -63 < found.rtc_offset < -57
    assert [one.part for one in look.missing] == missing


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("04/12/2021", "2021-04-12"), ("7/8/2019", "2019-07-08"), ("001/22/2018", "2018-01-22"),
        ("05/04/12", "2012-05-04"), ("09/21/23 12:21:29", "2023-09-21"), ("10/12/99", "1999-10-12"),
        ("2021-05-15T00:00:00Z", "2021-05-15"), ("13/40/2020", ""), ("02/30/2020", ""), ("N/A", ""), ("", ""),
    ],
)  # fmt: skip
def test_dates(text: str, date: str) -> None:
    """As SMBIOS wants them, and as Dell, Kontron, Supermicro, Loongson and ASRock have them."""
    assert parse_date(text) == date


@pytest.mark.parametrize(
    ("text", "hypervisor"), [("none\n", ""), ("kvm\n", "kvm"), ("vmware\n", "vmware"), ("", None), ("Bus error!", None)]
)
def test_hypervisor(text: str, hypervisor: str | None) -> None:
    assert parse_virtualization(text) == hypervisor


@given(st.text())
def test_noise(text: str) -> None:
    parse_tracking(text), parse_timedatectl(text), parse_chassis(text), parse_date(text), parse_virtualization(text)


def test_this_machine() -> None:
    clock = probe_clock(Look(Host()))
    assert clock.rtc_offset is None or abs(clock.rtc_offset) < 24 * 3600
