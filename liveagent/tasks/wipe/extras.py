"""What a wipe clears beside the disks, when they are done: boot entries, the BMC's log, the TPM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Callable

from liveagent.host import Host
from liveagent.tasks.wipe.bmc_log import clear_bmc_log, describe_bmc_log
from liveagent.tasks.wipe.boot_entries import clear_boot_entries, describe_boot_entries
from liveagent.tasks.wipe.extra import Extra
from liveagent.tasks.wipe.tpm import clear_tpm, describe_tpm

# In the order in which they are done: the BMC's log last, so that it does not record the others.
EXTRAS: Mapping[str, Callable[[Host], Extra]] = {
    "boot_entries": clear_boot_entries,
    "tpm": clear_tpm,
    "bmc_log": clear_bmc_log,
}
# The same, said and not done: a line each for a dry run.
PLANS: Mapping[str, Callable[[Host], str]] = {
    "boot_entries": describe_boot_entries,
    "tpm": describe_tpm,
    "bmc_log": describe_bmc_log,
}

__all__ = ["EXTRAS", "PLANS", "Extra"]
