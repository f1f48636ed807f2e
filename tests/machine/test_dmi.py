from __future__ import annotations

import re
from pathlib import Path
from typing import Callable

import pytest

from liveagent.host import Host
from liveagent.machine.dmi import Identity, is_usable, parse_boot_mac, probe_identity


@pytest.mark.parametrize(
    "filler",
    [
        *("To Be Filled By O.E.M.", "To be filled by O.E.M.   ", "Default string", "System Serial Number", "None"),
        *("0123456789", "Not Specified", "........", ".........", "0", "00000000", "XXXXXXXXXX", "", "   ", "N/A"),
        *("Chassis Serial Number", "No Asset Tag     ", "Asset-1234567890", "System Product Name", "UNKNOWN"),
        *("00000000-0000-0000-0000-000000000000", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF"),
        *("03000200-0400-0500-0006-000700080009", "12345678-1234-5678-90AB-CDDEEFAABBCC"),
    ],
)
def test_fillers_are_not_an_identity(filler: str) -> None:
    """A filler taken for a serial would make many servers one in Foreman, NetBox and on certificates."""
    assert not is_usable(filler)


@pytest.mark.parametrize(
    "text",
    [
        *("H3RJL13", "2WF88P2", "VMware-56 4d fd 28 89 33 f8 e2-64 74 01 59 92 3b 58 0e", "A177950X7709591", "42"),
        *("4C4C4544-0057-4610-8038-B2C04F385032", "00000000-0000-0000-0000-0CC47A4B18C0", "Supermicro", "SR"),
    ],
)
def test_real_values_are_usable(text: str) -> None:
    """`expect_serial` refuses a machine whose serial was thrown away as filler."""
    assert is_usable(text)


@pytest.mark.corpus
def test_what_real_firmware_says(corpus: Path) -> None:
    """Of 60 dmidecode outputs, exactly the known fillers are dropped: a new rule must not eat a real serial."""
    dropped, kept = set(), set()
    for path in sorted((corpus / "dmidecode").iterdir()):
        text = path.read_text(encoding="utf-8", errors="replace")
        for block in re.findall(r"^System Information\n((?:\t.*\n)+)", text, re.MULTILINE):
            for value in re.findall(r"^\t(?:Serial Number|UUID): *(.*)$", block, re.MULTILINE):
                (kept if is_usable(value) else dropped).add(value.strip())
    assert dropped == {
        *("--", "0", ".........", "Not Specified", "System Serial Number", "To Be Filled By O.E.M.", "XXXXXXXXXX"),
        *("03000200-0400-0500-0006-000700080009", "12345678-1234-5678-90AB-CDDEEFAABBCC"),
        "EEEEEEEE-EEEE-EEEE-EEEE-EEEEEEEEEEEE",
    }
    assert len(kept) > 35


@pytest.mark.parametrize(
    ("cmdline", "mac"),
    [
        (b"BOOTIF=01-AA-bb-cc-dd-ee-ff quiet\n", "aa:bb:cc:dd:ee:ff"),
        (b"BOOTIF=aa:bb:cc:dd:ee:ff", "aa:bb:cc:dd:ee:ff"),
        (b"BOOTIF=20-aa-bb-cc-dd-ee-ff", "aa:bb:cc:dd:ee:ff"),
        (b"BOOTIF=01-00-00-00-00-00-01 BOOTIF=01-00-00-00-00-00-02", "00:00:00:00:00:02"),
        (b"BOOTIF=01-{mac_address}", None),
        (b"BOOTIF=01-$net_default_mac", None),
        (b"quiet -- BOOTIF=01-aa-bb-cc-dd-ee-ff", None),
        (b"", None),
    ],
)
def test_boot_mac(cmdline: bytes, mac: str | None) -> None:
    """The NIC that booted names a server whose firmware has no serial."""
    assert parse_boot_mac(cmdline) == mac


@pytest.mark.corpus
def test_identity_of_a_captured_machine(unpack: Callable[[str], Host]) -> None:
    """The DMI tree of a real machine in sysfs, serials included."""
    identity = probe_identity(unpack("sysfs-tree/node_exporter-dmi.tar.gz"))
    assert (identity.vendor, identity.product) == ("Dell Inc.", "PowerEdge R6515")
    assert identity.serial == "7N62AI2"
    assert identity.uuid == "83340ca8-cb49-4474-8c29-d2088ca84dd9"
    assert identity.asset_tag is None


def test_encode_has_the_keys_of_the_contract() -> None:
    """SPEC.md, section 3: `machine` of a result."""
    identity = Identity("S", None, "V", "P", None, "h", None)
    assert set(identity.encode()) == {
        *("serial", "uuid", "vendor", "product", "hostname", "boot_mac"),
        "asset_tag",
    }
