"""NVMe Format: what the drive offers, and having it done. Field meanings: NVM Express base specification 2.0."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from liveagent.host import CommandError, Host
from liveagent.machine.disks import Disk
from liveagent.tasks.wipe.guards import Armed

QUERY_TIMEOUT = 30.0
# A Format of a large drive without crypto erase may take hours.
FORMAT_TIMEOUT = 4 * 3600.0
# Identify Controller: OACS bit 1 Format NVM; FNA bit 0 a format, bit 1 a secure erase is for all namespaces,
# bit 2 cryptographic erase is offered.
OACS_FORMAT = 1 << 1
FNA_FORMAT_ALL = 1 << 0
FNA_ERASE_ALL = 1 << 1
FNA_CRYPTO = 1 << 2
# Secure Erase Settings of the Format command.
SES = {"nvme-format-user": 1, "nvme-format-crypto": 2}


@dataclasses.dataclass(frozen=True)
class NvmeFacts:
    """What a controller says of Format. `namespaces`: the ids of all that exist on it, attached or not."""

    format: bool
    crypto: bool
    all_namespaces: bool
    namespaces: tuple[int, ...]


def parse_id_ctrl(document: Mapping[str, Any], namespaces: tuple[int, ...]) -> NvmeFacts:
    """`nvme id-ctrl -o json`. A field that is missing is an offer that is not made."""
    oacs, fna = int(document.get("oacs", 0)), int(document.get("fna", 0))
    return NvmeFacts(
        format=bool(oacs & OACS_FORMAT),
        crypto=bool(fna & FNA_CRYPTO),
        all_namespaces=bool(fna & (FNA_FORMAT_ALL | FNA_ERASE_ALL)),
        namespaces=namespaces,
    )


def parse_list_ns(text: str) -> tuple[int, ...]:
    """`nvme list-ns` in its text form, `[   0]:0x1`; the JSON form differs from version to version."""
    numbers = []
    for line in text.splitlines():
        _, colon, number = line.partition("]:")
        if colon:
            numbers.append(int(number.strip(), 16))
    return tuple(numbers)


def probe_nvme(host: Host, disk: Disk) -> NvmeFacts | None:
    """What the disk's controller offers; None where it does not say, or there are several."""
    if len(disk.nvme_controllers) != 1 or disk.nvme_namespace is None:
        return None
    device = f"/dev/{disk.nvme_controllers[0]}"
    try:
        shown = host.run(["nvme", "id-ctrl", device, "--output-format=json"], timeout=QUERY_TIMEOUT)
        document = json.loads(shown.stdout)
        # `--all` is answered only by drives with namespace management; the others have what is attached.
        listed = host.run(["nvme", "list-ns", device, "--all"], timeout=QUERY_TIMEOUT, success=None)
        if listed.status != 0:
            listed = host.run(["nvme", "list-ns", device], timeout=QUERY_TIMEOUT)
    except (CommandError, ValueError):
        return None
    namespaces = parse_list_ns(listed.stdout)
    return parse_id_ctrl(document, namespaces) if disk.nvme_namespace in namespaces else None


def read_controller_serial(host: Host, disk: Disk) -> str:
    """The serial of the controller that a Format would be sent to: a reset may have given its name to another."""
    return host.read_or(f"/sys/class/nvme/{disk.nvme_controllers[0]}/serial")


def format_namespace(host: Host, armed: Armed, technique: str) -> str:
    """Have the drive erase the namespace, block size kept. Returns nvme-cli's version. Raises CommandError.

    The exit status is only the drive's word: the caller reads back.
    """
    version = host.run(["nvme", "version"], timeout=QUERY_TIMEOUT).stdout.splitlines()[0]
    disk = armed.disk
    argv = [
        "nvme", "format", f"/dev/{disk.nvme_controllers[0]}",
        f"--namespace-id={disk.nvme_namespace}",
        f"--ses={SES[technique]}",
        f"--timeout={int(FORMAT_TIMEOUT * 1000)}",
        "--force",
    ]  # fmt: skip
    host.run(argv, timeout=FORMAT_TIMEOUT + 60)
    return version
