"""An image that is not the one that was meant: the boot stops before anything of it is mounted, and says so."""

from __future__ import annotations

import pytest

from .disks import file_hash, make_disk
from .guest import Hardware
from .lab import Lab

pytestmark = [pytest.mark.vm, pytest.mark.timeout(600)]


def test_another_image_is_never_started(lab: Lab) -> None:
    """A mirror that hands out something else than was asked for costs a boot, never a disk: nothing of it runs."""
    disk = make_disk(lab.disk_folder(), "scsi", "OTHER001")
    before = file_hash(disk.path)
    hardware = Hardware(serial="LABOTHER", disks=(disk,), direct=True, sha256="0" * 64)
    words = "systemd.setenv=SPEEDISO=wipe liveagent.wipe.disks=all liveagent.countdown=0"
    with lab.boot("another-image", words, hardware) as guest:
        guest.console.wait_for(r"STOPPED: THE IMAGE IS NOT THE ONE THAT WAS MEANT", 400)
        guest.console.wait_for(f"{lab.image.sha256}, and not {'0' * 64}", 10)
        guest.console.wait_for(r"Refusing to continue|[Hh]alt|[Pp]ower", 60)
        text = guest.console.text
        guest.cut_power()
    assert "Task Agent of the Live Image" not in text and "login:" not in text
    assert file_hash(disk.path) == before
