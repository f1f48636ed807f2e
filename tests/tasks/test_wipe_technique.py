"""Drive facts and a method, to techniques or a refusal: by tables."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from liveagent.machine.ata import AtaFacts, AtaSanitizeState, AtaSanitizeStatus, AtaSecurity, parse_identify
from liveagent.machine.disks import Disk, Transport
from liveagent.machine.drive import Drive
from liveagent.machine.nvme import NvmeFacts
from liveagent.machine.opal import OpalFacts
from liveagent.machine.scsi import ScsiFacts, ScsiState
from liveagent.options import Setting, parse_options
from liveagent.tasks.wipe.guards import Reason
from liveagent.tasks.wipe.options import FIRMWARE, WipeOptions, find_faults
from liveagent.tasks.wipe.technique import CLEAR, PURGE, Choice, Technique, choose_techniques, find_exceptions
from tests.tasks.test_wipe_select import make_disk

PSID = "A1B2C3D4E5F6A1B2C3D4E5F6A1B2C3D4"
ALL = frozenset(("block", "crypto", "overwrite"))


def nvme(**more: object) -> NvmeFacts:
    plain = NvmeFacts("nvme0", "SN", "M", "F", True, True, False, ALL, (1,), (1,), 1, 512, 0, 0, False, None)
    return dataclasses.replace(plain, **more)  # type: ignore[arg-type]


def ata(rotation: int | None = 0, sanitize: frozenset[str] = ALL, **security: object) -> AtaFacts:
    state = dataclasses.replace(AtaSecurity(True, False, False, False, False, True), **security)  # type: ignore[arg-type]
    return AtaFacts("M", "SN", "F", rotation, 1000, 512, state, sanitize, False, None, 0, 0, False, False, "none")


def scsi(*kinds: str, rotation: int | None = 0) -> ScsiFacts:
    return ScsiFacts(frozenset(kinds), 0, 512, False, False, rotation, ScsiState.READY, None)


NVME = make_disk("nvme0n1", transport=Transport.NVME, nvme_controllers=("nvme0",), nvme_namespace=1, rotational=False)
SSD = make_disk(rotational=False)
HDD = make_disk()
SAS = make_disk(transport=Transport.SAS, rotational=False)
SECURE = ("ata-secure-erase-enhanced", "ata-secure-erase")
FORMATS = ("nvme-format-crypto", "nvme-format-user")


def sanitizes(bus: str, *kinds: str) -> tuple[str, ...]:
    return tuple(f"{bus}-sanitize-{kind}" for kind in kinds)


# disk, facts, what auto tries in order, the method of the first
AUTO = [
    (NVME, Drive(nvme=nvme()), (*sanitizes("nvme", "block", "crypto", "overwrite"), *FORMATS, "overwrite"), PURGE),
    (NVME, Drive(nvme=nvme(sanitize=frozenset())), (*FORMATS, "overwrite"), PURGE),
    (NVME, Drive(nvme=nvme(sanitize=frozenset(), format_crypto=False)), ("nvme-format-user", "overwrite"), PURGE),
    (NVME, Drive(nvme=nvme(sanitize=frozenset(), format=False)), ("overwrite",), CLEAR),
    (NVME, Drive(), ("overwrite",), CLEAR),
    (SSD, Drive(ata=ata()), (*sanitizes("ata", "block", "crypto", "overwrite"), *SECURE, "overwrite"), PURGE),
    (SSD, Drive(ata=ata(sanitize=frozenset())), (*SECURE, "overwrite"), CLEAR),
    (SSD, Drive(ata=ata(sanitize=frozenset(), enhanced=False)), ("ata-secure-erase", "overwrite"), CLEAR),
    (SSD, Drive(ata=ata(sanitize=frozenset(), frozen=True)), ("overwrite",), CLEAR),
    (SSD, Drive(ata=ata(sanitize=frozenset(), expired=True)), ("overwrite",), CLEAR),
    (SSD, Drive(ata=ata(sanitize=frozenset(), supported=False)), ("overwrite",), CLEAR),
    (HDD, Drive(ata=ata(7200)), (*sanitizes("ata", "overwrite", "crypto", "block"), *SECURE, "overwrite"), PURGE),
    (HDD, Drive(ata=ata(7200, frozenset())), (*SECURE, "overwrite"), PURGE),
    (SAS, Drive(scsi=scsi("block", "crypto")), (*sanitizes("scsi", "block", "crypto"), "overwrite"), PURGE),
    (SAS, Drive(scsi=scsi()), ("overwrite",), CLEAR),
    (SAS, Drive(scsi=scsi("overwrite"), zoned="host-managed"), sanitizes("scsi", "overwrite"), PURGE),
    (SAS, Drive(volume="PERC H730P"), ("overwrite",), CLEAR),
    (make_disk("vda", transport=Transport.VIRTIO), Drive(), ("overwrite",), CLEAR),
    (make_disk("mmcblk0", transport=Transport.MMC), Drive(), ("overwrite",), CLEAR),
]


@pytest.mark.parametrize(("disk", "drive", "names", "method"), AUTO)
def test_auto(disk: Disk, drive: Drive, names: tuple[str, ...], method: str) -> None:
    """The strongest purge first, a clear last, and each with a reason that can be read."""
    choice = choose_techniques(disk, drive, WipeOptions())
    assert isinstance(choice, Choice)
    assert tuple(technique.name for technique in choice.techniques) == names
    assert choice.first.method == method
    assert all(technique.why for technique in choice.techniques)


@pytest.mark.parametrize(("disk", "drive", "names", "method"), AUTO)
def test_purge(disk: Disk, drive: Drive, names: tuple[str, ...], method: str) -> None:
    """`purge` takes nothing less: where only a clear is possible it is refused, with what stands in the way."""
    choice = choose_techniques(disk, drive, WipeOptions(method="purge"))
    if method == PURGE:
        assert isinstance(choice, Choice)
        assert {technique.method for technique in choice.techniques} == {PURGE}
    else:
        assert isinstance(choice, Reason)
        assert choice.code == "wipe.method.no_purge" and len(choice.text) > 60


@pytest.mark.parametrize("name", FIRMWARE)
def test_technique_by_name(name: str) -> None:
    """A technique that was asked for by name is the only one, and one that the drive lacks is a refusal."""
    full = {"nvme": (NVME, Drive(nvme=nvme())), "ata": (SSD, Drive(ata=ata())), "scsi": (SAS, Drive(scsi=scsi(*ALL)))}
    full["opal"] = (SSD, Drive(ata=ata(), opal=OpalFacts(True, False, False)))
    options = WipeOptions(method=name, psid=(("", PSID),))
    disk, drive = full[name.partition("-")[0]]
    choice = choose_techniques(disk, drive, options)
    assert isinstance(choice, Choice) and [one.name for one in choice.techniques] == [name]
    bare = choose_techniques(make_disk("vda", transport=Transport.VIRTIO), Drive(), options)
    assert isinstance(bare, Reason) and bare.code == "wipe.method.unsupported" and name in bare.text


# namespaces, attached, companions, all was said: whether a command for the whole drive may be given
NAMESPACES = [
    ((1,), (1,), (), False, True),
    ((1, 2), (1, 2), (), False, False),
    ((1, 2), (1, 2), (2,), False, True),
    ((1, 2), (1, 2), (2,), True, True),
    ((1, 2, 3), (1, 2), (2,), False, False),
    ((1, 2, 3), (1, 2), (2,), True, True),
    ((1, 2, 3), (1, 2, 3), (3,), True, False),
    ((1, 2), (1,), (), False, False),
    ((1, 2), (1,), (), True, True),
]


@pytest.mark.parametrize(("exist", "attached", "companions", "wants_all", "whole"), NAMESPACES)
def test_other_namespaces_are_not_taken_along(
    exist: tuple[int, ...], attached: tuple[int, ...], companions: tuple[int, ...], wants_all: bool, whole: bool
) -> None:
    """A sanitize erases every namespace of a drive: it is only tried where all of them were asked for."""
    options = WipeOptions(disks=("all",) if wants_all else ("nvme0n1",))
    facts = nvme(namespaces=exist, attached=attached)
    choice = choose_techniques(NVME, Drive(nvme=facts), options, companions)
    assert isinstance(choice, Choice)
    assert choice.first.name == ("nvme-sanitize-block" if whole else "nvme-format-crypto")
    every = choose_techniques(NVME, Drive(nvme=dataclasses.replace(facts, format_all=True)), options, companions)
    assert isinstance(every, Choice)
    assert any(one.name.startswith("nvme-format") for one in every.techniques) is whole


def test_namespaces_of_another_port_are_not_taken_along() -> None:
    """On a drive with several controllers, what is not attached here may be in use by another host, `all` or not."""
    facts = nvme(namespaces=(1, 2), attached=(1,), shared=True)
    choice = choose_techniques(NVME, Drive(nvme=facts), WipeOptions())
    assert isinstance(choice, Choice) and choice.first.name == "nvme-format-crypto"


def test_zero_passes_and_unknown_techniques_are_faults() -> None:
    """A config that asks for nothing, or for what nobody knows, is told so with what there is."""
    given = {
        "passes": Setting("0", "conf"),
        "method": Setting("nvme-sanitise-block", "conf"),
        "psid": Setting("X", "conf"),
    }
    faults = {str(fault) for fault in parse_options(WipeOptions, given, "liveagent.wipe.").faults}
    assert len(faults) == 3
    assert any("0 is not between 1 and 35" in fault for fault in faults)
    assert any("did you mean nvme-sanitize-block?" in fault for fault in faults)
    assert not any("'X'" in fault for fault in faults)


def test_psid_revert_takes_every_namespace_along() -> None:
    """It throws the key of the whole drive away: not offered where another namespace is to live."""
    drive = Drive(nvme=nvme(namespaces=(1, 2), attached=(1, 2)), opal=OpalFacts(True, False, False))
    options = WipeOptions(disks=("nvme0n1",), psid=(("", PSID),))
    one = choose_techniques(NVME, drive, options)
    assert isinstance(one, Choice) and "opal-psid-revert" not in [technique.name for technique in one.techniques]
    both = choose_techniques(NVME, drive, options, (2,))
    assert isinstance(both, Choice) and "opal-psid-revert" in [technique.name for technique in both.techniques]
    named = dataclasses.replace(options, method="opal-psid-revert")
    assert isinstance(choose_techniques(NVME, drive, named), Reason)


def test_unlisted_namespaces_hold_a_command_for_the_whole_drive() -> None:
    """A drive that does not list what it has may hold what another host uses: neither sanitize nor a format of all."""
    facts = nvme(all_listed=False, shared=True, format_all=True)
    choice = choose_techniques(NVME, Drive(nvme=facts), WipeOptions())
    assert isinstance(choice, Choice) and [one.name for one in choice.techniques] == ["overwrite"]


def test_unattached_namespace_is_an_exception() -> None:
    """What a format of one namespace leaves behind on the drive stands on the certificate."""
    drive = Drive(nvme=nvme(namespaces=(1, 7)))
    assert exceptions(drive, "nvme-format-user") == ["namespaces that are not attached: 7"]
    assert exceptions(drive, "nvme-sanitize-block") == []


def exceptions(drive: Drive, name: str) -> list[str]:
    return list(find_exceptions(drive, Technique(name, CLEAR, "")))


def test_hidden_areas_are_exceptions_of_what_does_not_reach_them() -> None:
    """An overwrite misses an HPA and a DCO, a sanitize does not."""
    facts = dataclasses.replace(ata(7200), hpa_hidden=2113, dco_hidden=10)
    for name in ("overwrite", "ata-secure-erase"):
        texts = exceptions(Drive(ata=facts), name)
        assert len(texts) == 2 and "2113" in texts[0]
    for name in ("ata-sanitize-overwrite", "ata-secure-erase-enhanced"):
        assert exceptions(Drive(ata=facts), name) == []


def test_frozen_sanitize_is_said() -> None:
    """A drive whose sanitize the firmware froze offers none until its power is cycled."""
    facts = dataclasses.replace(ata(), status=AtaSanitizeStatus(AtaSanitizeState.FROZEN, None, False))
    choice = choose_techniques(SSD, Drive(ata=facts), WipeOptions(method="purge"))
    assert isinstance(choice, Reason) and "power" in choice.text


LOCKED = [
    (Drive(ata=ata(enabled=True, locked=True, frozen=True)), "plug it in while the server runs"),
    (Drive(ata=ata(enabled=True, locked=True, expired=True)), "cycle its power"),
    (Drive(ata=ata(enabled=True, locked=True)), "security-unlock"),
    (Drive(opal=OpalFacts(True, True, True)), "PSID"),
]


@pytest.mark.parametrize(("drive", "remedy"), LOCKED)
def test_locked_drive_is_refused_with_the_remedy(drive: Drive, remedy: str) -> None:
    """A drive that lets nobody write is said to be locked, with what a person can do."""
    choice = choose_techniques(SSD, drive, WipeOptions())
    assert isinstance(choice, Reason)
    assert choice.code == "wipe.drive.locked" and remedy in choice.text


def test_psid_opens_a_locked_drive() -> None:
    """With its PSID a locked Opal drive is reverted; a PSID for another serial does not count."""
    drive = Drive(ata=ata(sanitize=frozenset()), opal=OpalFacts(True, True, True))
    mine = choose_techniques(SSD, drive, WipeOptions(psid=((SSD.serial, PSID),)))
    assert isinstance(mine, Choice) and mine.first.name == "opal-psid-revert" and mine.first.method == PURGE
    other = choose_techniques(SSD, drive, WipeOptions(psid=(("SN-other", PSID),)))
    assert isinstance(other, Reason)


def test_zoned_disk_is_not_overwritten() -> None:
    """Zones that take writes in order only: no overwrite is tried, and why is said."""
    for method in ("auto", "clear", "overwrite", "dod-3"):
        choice = choose_techniques(SAS, Drive(scsi=scsi(), zoned="host-managed"), WipeOptions(method=method))
        assert isinstance(choice, Reason) and "zoned" in choice.text
    # Before the first byte, and not after a purge that went well.
    for drive in (Drive(scsi=scsi("crypto"), zoned="host-managed"), Drive(nvme=nvme(), zoned="host-managed")):
        disk = SAS if drive.scsi else NVME
        for options in (WipeOptions(also_overwrite=True), WipeOptions(method="quick")):
            choice = choose_techniques(disk, drive, options)
            assert isinstance(choice, Reason) and "zoned" in choice.text


def test_logical_volume_is_never_purged() -> None:
    """A volume of a RAID controller is overwritten, called a clear, and its disks stand among the exceptions."""
    drive = Drive(ata=ata(), volume="PERC H730P Mini")
    choice = choose_techniques(SSD, drive, WipeOptions())
    assert isinstance(choice, Choice) and [one.method for one in choice.techniques] == [CLEAR]
    assert "PERC" in exceptions(drive, "overwrite")[0]


def test_real_identify_data(corpus: Path) -> None:
    """Recorded drives get what their own words offer: a frozen Micron keeps its sanitize, a 7-pin has nothing left."""
    names = {
        "micron-1920g-sanitize-all-three-frozen-cut-head.txt": "ata-sanitize-block",
        "ironlib-i.txt": "ata-secure-erase-enhanced",
        "ipa-7pin-sata-frozen.txt": "overwrite",
        "vm-hdparm-i.txt": "overwrite",
    }
    for name, first in names.items():
        facts = parse_identify((corpus / "hdparm" / name).read_text())
        choice = choose_techniques(SSD, Drive(ata=facts), WipeOptions())
        assert isinstance(choice, Choice) and choice.first.name == first, name


FAULTY = [
    (WipeOptions(method="opal-psid-revert"), "psid"),
    (WipeOptions(method="dod-3", passes=2), "dod-3"),
    (WipeOptions(method="dod-3", pattern="zero"), "dod-3"),
    (WipeOptions(method="overwrite", also_overwrite=True), "also_overwrite"),
    (WipeOptions(release=("vmfs",)), "release"),
    (WipeOptions(method="quick", verify="full"), "verify"),
]


@pytest.mark.parametrize(("options", "word"), FAULTY)
def test_options_that_contradict_each_other(options: WipeOptions, word: str) -> None:
    """What cannot go together is a fault of the plan, before anything runs."""
    faults = find_faults(options)
    assert len(faults) == 1 and word in faults[0]
    assert not find_faults(WipeOptions())
