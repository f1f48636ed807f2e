"""The server as its firmware describes it: board, chassis, BIOS; how it was started, and what guards that."""

from __future__ import annotations

import dataclasses

from liveagent.host import Host
from liveagent.machine.dmi import DMI, is_usable
from liveagent.machine.look import Look, Why

EFI_VARIABLES = "/sys/firmware/efi/efivars"
# UEFI specification: the variable SecureBoot of the global namespace; four bytes of attributes, then the value.
SECURE_BOOT = f"{EFI_VARIABLES}/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
# SMBIOS specification 3.x, 7.4.1: types of chassis; bit 7 is the lock.
CHASSIS = {
    1: "other", 2: "unknown", 3: "desktop", 4: "low-profile desktop", 6: "mini tower", 7: "tower", 8: "portable",
    9: "laptop", 10: "notebook", 13: "all in one", 17: "main server", 18: "expansion", 23: "rack mount",
    25: "multi-system", 28: "blade", 29: "blade enclosure", 30: "tablet", 31: "convertible", 35: "mini PC",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class System:
    """The server. Texts are "" where the firmware says nothing, or a filler.

    `boot_mode` is uefi or bios; `secure_boot` is None where it was not started by UEFI, or it does not say. `tpm` is
    the version (`2.0`, `1.2`), "" without one. `chassis` in a word of SMBIOS. The date is as the firmware writes it.
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
    bios_release: str
    boot_mode: str
    secure_boot: bool | None
    tpm: str
    kernel: str


def parse_secure_boot(data: bytes) -> bool | None:
    """The variable as efivarfs has it; None for what is none."""
    return {0: False, 1: True}.get(data[4]) if len(data) == 5 else None


def parse_chassis(text: str) -> str:
    """A number of SMBIOS in words; "" where there is none."""
    return CHASSIS.get(int(text) & 0x7F, f"type {int(text) & 0x7F}") if text.isdecimal() else ""


def probe_system(look: Look) -> System:
    """All of it from sysfs; serials can be read by root only."""
    host = look.host
    if not host.list(DMI):
        look.note("system.bios_version", Why.ABSENT, "the firmware has no SMBIOS tables")
    # A machine without any tables was started by something else than a PC's firmware.
    mode = "uefi" if host.exists("/sys/firmware/efi") else "bios" if host.list(DMI) else ""
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
        bios_date=_read(host, "bios_date"),
        bios_release=_read(host, "bios_release"),
        boot_mode=mode,
        secure_boot=secure_boot,
        tpm=_read_tpm(host),
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
