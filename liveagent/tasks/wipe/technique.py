"""How a disk is erased: what the drive says of itself and the method asked for, to techniques or a refusal. Pure.

Which technique is a purge and which only a clear follows the tables of NIST SP 800-88r1, Appendix A. The revision
that replaced it (r2, 2025) has no tables any more and points to IEEE 2883, which ranks them alike. Where the two
are silent the lower word is taken.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator

from liveagent.machine.ata import AtaFacts, AtaSanitizeState
from liveagent.machine.disks import Disk, Transport
from liveagent.machine.drive import Drive
from liveagent.machine.nvme import NvmeFacts
from liveagent.machine.scsi import ScsiFacts
from liveagent.tasks.wipe.guards import Reason
from liveagent.tasks.wipe.options import FIRMWARE, WipeOptions

PURGE, CLEAR, NONE = "purge", "clear", "none"
# Of flash, cells that are erased can be looked at, a key that is gone has to be believed. A spinning disk is
# overwritten from end to end by its own firmware, remapped sectors included.
FLASH_ORDER = ("block", "crypto", "overwrite")
SPINNING_ORDER = ("overwrite", "crypto", "block")


@dataclasses.dataclass(frozen=True)
class Technique:
    """What will be done, which method of sanitization that is, and why just this one."""

    name: str
    method: str
    why: str

    @property
    def is_firmware(self) -> bool:
        return self.name in FIRMWARE


@dataclasses.dataclass(frozen=True)
class Choice:
    """The technique that will be tried, and those that follow only where the one before never began.

    `unlock`: the drive has a password, which has to be taken off first.
    """

    techniques: tuple[Technique, ...]
    unlock: bool = False

    @property
    def first(self) -> Technique:
        return self.techniques[0]


ZONED = "it is a host-managed zoned disk, whose zones take writes in order only"


@dataclasses.dataclass(frozen=True)
class Offers:
    """What a drive offers, strongest first, and why not more."""

    techniques: tuple[Technique, ...] = ()
    obstacles: tuple[str, ...] = ()
    can_overwrite: bool = True
    unlock: bool = False


def choose_techniques(
    disk: Disk, drive: Drive, options: WipeOptions, companions: Collection[int] = ()
) -> Choice | Reason:
    """The techniques for one disk, in the order in which they are tried, or why there is none.

    `companions`: the other namespaces of the same NVMe drive that are wiped in this run, by number; a sanitize takes
    them along.
    """
    held = find_lock(drive, options.find_psid(disk.serial))
    if held:
        return held
    offers = find_offers(disk, drive, options, companions)
    method = options.method
    if not offers.can_overwrite and (method == "quick" or options.also_overwrite):
        # Said before the first byte: after a good purge it would be a wipe that failed.
        what = "quick" if method == "quick" else "also_overwrite"
        return Reason("wipe.method.zoned", f"{what} is not possible: {ZONED}")
    overwrite = Technique("overwrite", CLEAR, "; ".join(offers.obstacles) or "asked for")
    if method == "quick":
        return Choice((Technique("quick", NONE, "asked for"),))
    if method in FIRMWARE:
        named = tuple(dataclasses.replace(one, why="asked for") for one in offers.techniques if one.name == method)
        if not named:
            why = "; ".join(offers.obstacles) or "the drive does not offer it"
            return Reason("wipe.method.unsupported", f"{method} is not possible: {why}")
        return Choice(named, offers.unlock)
    if method == "purge":
        purges = tuple(one for one in offers.techniques if one.method == PURGE)
        if not purges:
            why = "; ".join(offers.obstacles) or "the drive offers none"
            return Reason("wipe.method.no_purge", f"a purge is not possible, only a clear: {why}")
        return Choice(purges, offers.unlock)
    if method == "auto":
        last = (dataclasses.replace(overwrite, why=overwrite.why if offers.obstacles else "nothing else began"),)
        found = offers.techniques + (last if offers.can_overwrite else ())
        if not found:
            return Reason("wipe.method.none", f"there is no way to erase it: {'; '.join(offers.obstacles)}")
        return Choice(found, offers.unlock)
    if not offers.can_overwrite:
        return Reason("wipe.method.zoned", f"it cannot be overwritten: {'; '.join(offers.obstacles)}")
    return Choice((dataclasses.replace(overwrite, why="asked for"),), offers.unlock)


def find_lock(drive: Drive, psid: str = "") -> Reason | None:
    """Why a drive lets nobody read or write, with what a person can do; None where it does."""
    if drive.opal and drive.opal.locked and not psid:
        text = (
            "is locked by its own encryption (TCG Opal): give the PSID from its label (liveagent.wipe.psid), "
            "or unlock it with the owner's password"
        )
        return Reason("wipe.drive.locked", text)
    security = drive.ata.security if drive.ata else None
    if not security or not security.locked:
        return None
    if security.frozen:
        how = "and takes no password now, frozen by the firmware: plug it in while the server runs, or suspend once"
    elif security.expired:
        how = "and takes no password now, after too many wrong ones: cycle its power"
    else:
        how = (
            "which is not the agent's own: unlock it with hdparm --security-unlock, or erase it by its master password"
        )
    return Reason("wipe.drive.locked", f"is locked by an ATA password, {how}")


def find_offers(disk: Disk, drive: Drive, options: WipeOptions, companions: Collection[int] = ()) -> Offers:
    """What this drive's own firmware can do. Pure."""
    psid = options.find_psid(disk.serial)
    opal = tuple(_offer_opal(drive, psid))
    if drive.volume:
        why = f"it is a volume of a RAID controller ({drive.volume}), whose disks do not take commands through it"
        return Offers((), (why,))
    if disk.transport is Transport.NVME:
        wants_all = any(word.lower() == "all" for word in options.disks)
        # What a key is thrown away for takes every namespace along.
        alone = _why_not_alone(drive.nvme, companions, wants_all) if drive.nvme else "may not be the drive's only one"
        found, obstacles = _offer_nvme(drive.nvme, alone)
        return _add_zoned(Offers(_insert_opal(found, () if alone else opal), obstacles), drive)
    found, obstacles, unlock = (), (f"a {disk.transport.value} disk takes no erase command of its own",), False
    if drive.ata:
        found, obstacles = _offer_ata(disk, drive.ata)
        unlock = drive.ata.security.enabled
    elif drive.scsi:
        found, obstacles = _offer_scsi(disk, drive.scsi)
    elif disk.transport in (Transport.SATA, Transport.SAS, Transport.SCSI):
        obstacles = ("the drive does not say what it offers",)
    return _add_zoned(Offers(_insert_opal(found, opal), obstacles, unlock=unlock), drive)


def _add_zoned(offers: Offers, drive: Drive) -> Offers:
    """Zones that must be written from their start are not overwritten."""
    if drive.zoned != "host-managed":
        return offers
    return dataclasses.replace(offers, can_overwrite=False, obstacles=(*offers.obstacles, ZONED))


def _insert_opal(found: tuple[Technique, ...], opal: tuple[Technique, ...]) -> tuple[Technique, ...]:
    """A PSID revert behind the sanitizes: it leaves the drive without its owner's settings as well."""
    sanitizes = tuple(one for one in found if "-sanitize-" in one.name)
    return (*sanitizes, *opal, *(one for one in found if one not in sanitizes))


def _offer_opal(drive: Drive, psid: str) -> Iterator[Technique]:
    if psid and drive.opal and drive.opal.supported:
        yield Technique("opal-psid-revert", PURGE, "the drive encrypts, and its PSID was given")


def _offer_nvme(facts: NvmeFacts | None, alone: str) -> tuple[tuple[Technique, ...], tuple[str, ...]]:
    """`alone`: why a command for the whole drive must not be given, "" where it may."""
    if facts is None:
        return (), ("its controller does not say what it offers",)
    found: list[Technique] = []
    obstacles: list[str] = []
    if facts.sanitize and not alone:
        kinds = [kind for kind in FLASH_ORDER if kind in facts.sanitize]
        found += [Technique(f"nvme-sanitize-{kind}", PURGE, "the drive offers it") for kind in kinds]
    else:
        obstacles.append(f"Sanitize {alone}" if facts.sanitize else "the drive does not offer Sanitize")
    if facts.format and not (facts.format_all and alone):
        found += [Technique("nvme-format-crypto", PURGE, "the drive offers it")] if facts.format_crypto else []
        found.append(Technique("nvme-format-user", PURGE, "the drive offers it"))
    else:
        obstacles.append(f"Format {alone}" if facts.format else "the drive does not offer Format")
    return tuple(found), tuple(obstacles)


def _why_not_alone(facts: NvmeFacts, companions: Collection[int], wants_all: bool) -> str:
    """Why a command for the whole drive would touch what is not to be wiped; "" where it would not.

    `all` is every local disk, and so every namespace of the drive, attached or not; but where the drive has another
    port, what is not attached here may be in use there.
    """
    takes_hidden = wants_all and not facts.shared
    if not facts.all_listed and not takes_hidden:
        return "would erase namespaces that the drive does not list"
    others = set(facts.namespaces) - {facts.namespace}
    spared = others - set(companions) - (others - set(facts.attached) if takes_hidden else set())
    names = ", ".join(str(number) for number in sorted(spared))
    return f"would erase the drive's other namespaces as well ({names})" if spared else ""


def _offer_ata(disk: Disk, facts: AtaFacts) -> tuple[tuple[Technique, ...], tuple[str, ...]]:
    is_flash = _is_flash(disk, facts.rotation)
    found: list[Technique] = []
    obstacles: list[str] = []
    frozen = facts.status is not None and facts.status.state is AtaSanitizeState.FROZEN
    if facts.sanitize and not frozen:
        order = FLASH_ORDER if is_flash else SPINNING_ORDER
        found += [
            Technique(f"ata-sanitize-{kind}", PURGE, "the drive offers it") for kind in order if kind in facts.sanitize
        ]
    else:
        why = "Sanitize is frozen until the drive's power is cycled" if frozen else "the drive does not offer Sanitize"
        obstacles.append(why)
    security = facts.security
    if not security.supported:
        obstacles.append("the drive does not offer Security Erase")
    elif security.frozen:
        obstacles.append(
            "Security Erase is frozen by the firmware: plug the drive in while the server runs, or suspend it once"
        )
    elif security.expired:
        obstacles.append("Security Erase is locked by too many wrong passwords until the drive's power is cycled")
    else:
        # On flash what was remapped or set aside is not promised to be reached.
        enhanced = CLEAR if is_flash else PURGE
        if security.enhanced:
            found.append(Technique("ata-secure-erase-enhanced", enhanced, "the drive offers it"))
        found.append(Technique("ata-secure-erase", CLEAR, "the drive offers it"))
    return tuple(found), tuple(obstacles)


def _offer_scsi(disk: Disk, facts: ScsiFacts) -> tuple[tuple[Technique, ...], tuple[str, ...]]:
    if not facts.sanitize:
        return (), ("the drive does not offer Sanitize",)
    order = FLASH_ORDER if _is_flash(disk, facts.rotation) else SPINNING_ORDER
    kinds = [kind for kind in order if kind in facts.sanitize]
    return tuple(Technique(f"scsi-sanitize-{kind}", PURGE, "the drive offers it") for kind in kinds), ()


def _is_flash(disk: Disk, rotation: int | None) -> bool:
    """Whether it has no platters, by its own word first; what nobody knows is taken for flash, the lower grade."""
    return rotation == 0 if rotation is not None else disk.rotational is not True


def find_exceptions(drive: Drive, technique: Technique) -> Iterator[str]:
    """What a technique does not reach on this drive, in words for a certificate."""
    if technique.name == "quick":
        yield "all but signatures and both ends"
    whole = "-sanitize-" in technique.name or technique.name in ("ata-secure-erase-enhanced", "opal-psid-revert")
    ata = drive.ata
    if ata and not whole:
        if ata.hpa_hidden:
            yield f"a host protected area of {ata.hpa_hidden} sectors"
        if ata.dco_hidden:
            yield f"{ata.dco_hidden} sectors hidden by a device configuration overlay"
    nvme = drive.nvme
    if nvme and not whole:
        hidden = [number for number in nvme.namespaces if number not in nvme.attached]
        if hidden:
            yield f"namespaces that are not attached: {', '.join(str(number) for number in hidden)}"
    if drive.volume:
        yield f"the disks behind the RAID controller ({drive.volume})"
