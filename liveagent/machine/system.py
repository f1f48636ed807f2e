"""The server as its firmware describes it: board, chassis, BIOS; how it was started, and what guards that."""

from __future__ import annotations

import dataclasses
import datetime
import re

from liveagent.host import Host
from liveagent.machine.dmi import DMI, is_usable
from liveagent.machine.look import Look, Why

EFI_VARIABLES = "/sys/firmware/efi/efivars"
# UEFI specification: the variable SecureBoot of the global namespace; four bytes of attributes, then the value.
SECURE_BOOT = f"{EFI_VARIABLES}/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
# SMBIOS specification 3.x, 7.4.1: types of chassis; bit 7 is the lock.
CHASSIS = {
    1: "other", 2: "unknown", 3: "desktop", 4: "low-profile desktop", 5: "pizza box", 6: "mini tower", 7: "tower",
    8: "portable", 9: "laptop", 10: "notebook", 11: "hand held", 12: "docking station", 13: "all in one",
    14: "sub notebook", 15: "space-saving", 16: "lunch box", 17: "main server", 18: "expansion", 19: "sub chassis",
    20: "bus expansion", 21: "peripheral", 22: "RAID", 23: "rack mount", 24: "sealed PC", 25: "multi-system",
    26: "CompactPCI", 27: "AdvancedTCA", 28: "blade", 29: "blade enclosure", 30: "tablet", 31: "convertible",
    32: "detachable", 33: "IoT gateway", 34: "embedded PC", 35: "mini PC", 36: "stick PC",
}  # fmt: skip
NOT_VIRTUAL = "none"  # systemd-detect-virt(1)


@dataclasses.dataclass(frozen=True)
class System:
    """The server. Texts are "" where the firmware says nothing, or a filler.

    `boot_mode` is uefi or bios; `secure_boot` is None where it was not started by UEFI, or it does not say. `tpm` is
    the version (`2.0`, `1.2`), "" without one. `chassis` in a word of SMBIOS. `hypervisor` is what it runs under
    (`kvm`, `vmware`, `microsoft`), "" where that is the bare machine, None where it is not known. `bios_date` is as the
    firmware writes it, mostly month/day/year, and `bios_released` that as year-month-day, "" where it is no day.
    """

    product: str
    sku: str
    family: str
    board_vendor: str
    board: str
    board_version: str
    board_serial: str
    chassis: str
    chassis_serial: str
    asset_tag: str
    bios_vendor: str
    bios_version: str
    bios_date: str
    bios_released: str
    bios_release: str
    boot_mode: str
    secure_boot: bool | None
    tpm: str
    hypervisor: str | None
    kernel: str


def parse_secure_boot(data: bytes) -> bool | None:
    """The variable as efivarfs has it; None for what is none."""
    return {0: False, 1: True}.get(data[4]) if len(data) == 5 else None


def parse_chassis(text: str) -> str:
    """A number of SMBIOS in words; "" where there is none."""
    return CHASSIS.get(int(text) & 0x7F, f"type {int(text) & 0x7F}") if text.isdecimal() else ""


def parse_date(text: str) -> str:
    """Year-month-day of what SMBIOS wants as `04/12/2021`; some firmware has `2021-04-12…`, or `04/12/21`.

    "" for what is no day of any calendar.
    """
    american = re.match(r"(?P<m>\d{1,3})/(?P<d>\d{1,2})/(?P<y>\d{4}|\d{2})\b", text, re.ASCII)
    match = american or re.match(r"(?P<y>\d{4})-(?P<m>\d{2})-(?P<d>\d{2})", text, re.ASCII)
    if not match:
        return ""
    year = int(match["y"])
    try:
        # Two digits are of before 2000 in SMBIOS's own words, 7.1; and firmware of after it has them all the same.
        return datetime.date(
            year + (0 if year > 99 else 1900 if year > 79 else 2000), int(match["m"]), int(match["d"])
        ).isoformat()
    except ValueError:
        return ""


def parse_virtualization(text: str) -> str | None:
    """What systemd-detect-virt says; None where that is nothing."""
    word = text.strip()
    return ("" if word == NOT_VIRTUAL else word) if re.fullmatch(r"[a-z0-9-]{1,40}", word) else None


def probe_system(look: Look) -> System:
    """All of it from sysfs but the hypervisor; serials can be read by root only."""
    host = look.host
    if not host.list(DMI):
        look.note("system.bios_version", Why.ABSENT, "the firmware has no SMBIOS tables")
    # A machine without any tables was started by something else than a PC's firmware.
    mode = "uefi" if host.exists("/sys/firmware/efi") else "bios" if host.list(DMI) else ""
    date = _read(host, "bios_date")
    # It says `none` with status 1.
    said = look.text("system.hypervisor", ["systemd-detect-virt", "--vm"], success=(0, 1))
    secure_boot = _read_secure_boot(host) if mode == "uefi" else None
    if mode == "uefi" and secure_boot is None:
        look.note("system.secure_boot", Why.NO_DRIVER, "the variables of UEFI are not mounted, or have no SecureBoot")
    return System(
        product=_read(host, "product_name"),
        sku=_read(host, "product_sku"),
        family=_read(host, "product_family"),
        board_vendor=_read(host, "board_vendor"),
        board=_read(host, "board_name"),
        board_version=_read(host, "board_version"),
        board_serial=_read(host, "board_serial"),
        chassis=parse_chassis(host.read_or(f"{DMI}/chassis_type")),
        chassis_serial=_read(host, "chassis_serial"),
        asset_tag=_read(host, "chassis_asset_tag"),
        bios_vendor=_read(host, "bios_vendor"),
        bios_version=_read(host, "bios_version"),
        bios_date=date,
        bios_released=parse_date(date),
        bios_release=_read(host, "bios_release"),
        boot_mode=mode,
        secure_boot=secure_boot,
        tpm=_read_tpm(host),
        hypervisor=parse_virtualization(said),
        kernel=host.read_or("/proc/sys/kernel/osrelease"),
    )


def _read(host: Host, name: str) -> str:
    text = host.read_or(f"{DMI}/{name}")
    return text if is_usable(text) else ""


def _read_secure_boot(host: Host) -> bool | None:
    try:
        return parse_secure_boot(host.read_bytes(SECURE_BOOT))
    except OSError:
        return None


def _read_tpm(host: Host) -> str:
    major = host.read_or("/sys/class/tpm/tpm0/tpm_version_major")
    # Kernels before 5.6 have no version, and 1.2's own attributes are below its device.
    old = host.exists("/sys/class/tpm/tpm0/device/caps")
    return {"2": "2.0", "1": "1.2"}.get(major, "1.2" if old else "2.0" if host.exists("/sys/class/tpm/tpm0") else "")
