"""What the kickstart's scripts and the image's own files make of a system, looked at in the guest that runs from it."""

from __future__ import annotations

import base64
import json

import pytest

from .guest import Guest
from .image import BUILD
from .lab import Lab

pytestmark = [pytest.mark.vm, pytest.mark.timeout(600)]

# As `openssl passwd -6 -salt lab rack` prints it.
HASH = "$6$lab$OctRQ4/us6d.uHFyb3Ej3nt.CJLPo..Cm1Qg8/uucew0mCmcmUJQn7ohGn4g0i.Fwi9NMkbS2X/4hs1FCoTmF1"


def test_build_number_is_everywhere(idle_guest: Guest) -> None:
    """Whoever looks at the server in whatever way knows which build it runs."""
    assert f"Live image speedtest {BUILD} (lab)" in idle_guest.run("cat /etc/motd")
    assert f"Live image speedtest {BUILD} on" in idle_guest.run("cat /etc/issue")
    assert f"speedtest {BUILD}" in idle_guest.console.text
    assert f"IMAGE_VERSION={BUILD}\n" in idle_guest.run("cat /etc/os-release")
    assert idle_guest.run("liveagent status").startswith(f"image speedtest {BUILD} (lab)\n")
    assert json.loads(idle_guest.run("liveagent status --json"))["image"] == f"speedtest {BUILD} (lab)"


def test_who_logs_in_is_told(idle_guest: Guest) -> None:
    """pam_motd(8) and agetty(8) find what the agent says of this machine in their own places."""
    for place in ("/run/motd.d/liveagent", "/run/issue.d/liveagent.issue"):
        told = idle_guest.run(f"cat {place}")
        assert told.startswith(f"speedtest {BUILD} (lab), serial LABIDLE, addresses {idle_guest.plug.address}")
        assert "`liveagent list` shows what can be done" in told


def test_without_a_task_the_first_terminal_is_for_logging_in(idle_guest: Guest) -> None:
    """A plain system has its prompt there, whatever was drawn over it by a run that somebody ordered since."""
    assert idle_guest.run("systemctl is-active getty@tty1.service").strip() == "active"


def test_image_was_checked(idle_guest: Guest, lab: Lab) -> None:
    """Before anything of it was mounted, and the console says so."""
    assert f"liveagent: the image is the one that was meant (SHA-256 {lab.image.sha256})" in idle_guest.console.text


def test_nobody_gets_in_by_a_password(idle_guest: Guest) -> None:
    """Keys only: that of the command line alone, and root has no password."""
    assert idle_guest.run("systemctl is-active image-access.service").strip() == "active"
    assert len(idle_guest.run("cat /root/.ssh/authorized_keys").splitlines()) == 1
    configured = idle_guest.run("sshd -T").splitlines()
    assert {"passwordauthentication no", "kbdinteractiveauthentication no"} <= set(configured)
    assert "permitrootlogin without-password" in configured or "permitrootlogin prohibit-password" in configured
    assert idle_guest.run("getent shadow root").split(":")[1] in ("*", "!", "!*", "!!")


def test_password_of_the_command_line(idle_guest: Guest) -> None:
    """A hash lets somebody in at the console; SSH takes keys all the same."""
    word = base64.b64encode(HASH.encode()).decode()
    idle_guest.run(
        f"echo 'quiet image.rootpw={word}' > /run/cmdline && mount --bind /run/cmdline /proc/cmdline"
        " && /usr/libexec/liveagent/image-access; status=$?; umount /proc/cmdline; exit $status"
    )
    assert idle_guest.run("getent shadow root").split(":")[1] == HASH
    idle_guest.run("passwd --lock root && usermod --password '*' root")


def test_nothing_is_kept_and_nothing_is_put_together(idle_guest: Guest) -> None:
    """The journal is in memory and bounded, nothing swaps, and what assembles disks is switched off."""
    assert "Storage=volatile" in idle_guest.run("systemd-analyze cat-config systemd/journald.conf")
    assert idle_guest.run("journalctl --header | grep -c 'File path: /run/' || true").strip() != "0"
    assert idle_guest.run("swapon --show --noheadings") == ""
    for unit in ("lvm2-monitor.service", "mdmonitor.service", "multipathd.service", "swap.target"):
        assert idle_guest.attempt(f"systemctl is-enabled {unit}").stdout.strip() == "masked", unit
    for rule in ("64-md-raid-assembly", "65-md-incremental", "69-dm-lvm", "69-bcache"):
        assert idle_guest.run(f"grep -vc '^#' /etc/udev/rules.d/{rule}.rules || true").strip() == "0"
    assert idle_guest.run("systemctl --failed --no-legend") == ""
