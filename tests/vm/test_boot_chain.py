"""From a published build to a server that has done its work and said so, and back to the build before."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import REPOSITORY

from .chain import CENTRE, MIRROR, SECURE_SITE, Chain, run_chain
from .contract import FINISHED, STARTED, assert_in_order, result_of
from .disks import make_disk
from .guest import Guest, Hardware
from .image import BUILD, NEXT_BUILD, build_image
from .lab import Lab
from .receiver import Event, Receiver

pytestmark = pytest.mark.timeout(1800)

BOOT_TIMEOUT = 420.0  # a UEFI's own network boot and a larger image on top of what others need


@pytest.fixture(scope="module")
def chain(lab: Lab) -> Iterator[Chain]:
    """A site whose live build is the lab's own."""
    with run_chain(lab) as chain:
        chain.publish(lab.image)
        yield chain


def wait_result(lab: Lab, guest: Guest, receiver: Receiver, build: str) -> list[Event]:
    """The events of a run that passed on this build, which is also what the server says to whoever logs in."""
    events = receiver.wait_for(FINISHED, BOOT_TIMEOUT)
    posted = next(request.at for request in receiver.requests if request.method == "POST")
    lab.note(f"{guest.folder.name}: QEMU to the first event {posted - guest.started:.1f} s")
    assert_in_order(events)
    assert result_of(events)["verdict"] == "pass", result_of(events)
    assert [event["data"]["image"] for event in events if event["type"] == STARTED] == [f"speedtest {build} (lab)"]
    guest.wait_ssh()
    assert f"Live image speedtest {build} (lab)" in guest.run("cat /etc/motd")
    return events


@pytest.mark.vm
def test_build_becomes_a_wiped_server(lab: Lab, chain: Chain) -> None:
    """UEFI and GRUB; the image over HTTPS with the site's own CA, checked by the signed description of its build."""
    disk = make_disk(lab.disk_folder(), "scsi", "CHAIN001")
    receiver = lab.receiver("chain-wipe")
    hardware = Hardware(serial="LABCHAIN", disks=(disk,), uefi=True)
    parameters = {
        "hk_speedtest_autotask": "wipe",
        "liveagent_host": "chain-wipe.lab.example.com",
        "liveagent_expect_serial": "LABCHAIN",
        "liveagent_callback": receiver.url,
        "liveagent_options": "wipe.disks=all countdown=1",
    }
    with chain.boot("chain-wipe", "grub2", hardware, parameters) as guest:
        events = wait_result(lab, guest, receiver, BUILD)
        assert result_of(events)["tasks"][0]["data"]["disks"][0]["status"] == "erased"
        assert "liveagent: the image is the one that was meant" in guest.console.text
        assert guest.run("test -d /sys/firmware/efi && echo uefi").strip() == "uefi"
        # The way that was meant, and no other: the centre is not to be reached from the rack.
        assert f"image.build={SECURE_SITE}/build.json" in guest.get("/proc/cmdline")
        assert guest.attempt(f"curl --max-time 5 --insecure https://{CENTRE}/", timeout=30).returncode != 0
        guest.cut_power()
    assert {line.split()[0] for line in chain.central.log.read_text().splitlines()} == {MIRROR}
    fetched = sum(int(line["bytes"]) for line in chain.central.read_log(".squashfs") if line["status"] == "206")
    assert fetched == lab.image.squashfs.stat().st_size


@pytest.mark.vm_long
def test_next_build_and_back(lab: Lab, chain: Chain) -> None:
    """A new build is what the next boot gets, and after a roll-back the one after that gets the old one again."""
    following = build_image(REPOSITORY, NEXT_BUILD)
    assert following.sha256 != lab.image.sha256
    parameters = {"hk_speedtest_autotask": "hello", "liveagent_harmless": "hello", "liveagent_options": "countdown=1"}
    chain.publish(following)
    for name, loader, build in (("chain-next", "ipxe", NEXT_BUILD), ("chain-back", "pxelinux", BUILD)):
        if build == BUILD:
            assert f"build speedtest {BUILD} is live" in chain.deliver("rollback")
        receiver = lab.receiver(name)
        with chain.boot(name, loader, Hardware(), {**parameters, "liveagent_callback": receiver.url}) as guest:
            wait_result(lab, guest, receiver, build)
            guest.cut_power()
