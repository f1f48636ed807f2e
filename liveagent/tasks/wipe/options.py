"""The options of `wipe`."""

from __future__ import annotations

import dataclasses
import re

from liveagent.options import DISKS, FLAG, LIST, BadValue, Kind, choice, integer, option

# What `method` may be, beside the technique's own name: a policy, which leaves the choice to the drive's facts.
POLICIES = ("auto", "purge", "clear", "quick", "overwrite", "dod-3")
FIRMWARE = (
    *(
        "nvme-sanitize-block",
        "nvme-sanitize-crypto",
        "nvme-sanitize-overwrite",
        "nvme-format-crypto",
        "nvme-format-user",
    ),
    *("ata-sanitize-block", "ata-sanitize-crypto", "ata-sanitize-overwrite"),
    *("ata-secure-erase-enhanced", "ata-secure-erase"),
    *("scsi-sanitize-block", "scsi-sanitize-crypto", "scsi-sanitize-overwrite", "opal-psid-revert"),
)
# DoD 5220.22-M as contracts quote it. On any disk of this century one pass is as good.
DOD_3 = ("zero", "ones", "random")
RELEASABLE = ("vmfs", "gfs2", "ocfs2", "gpfs", "removable", "usb")


def parse_pattern(word: str) -> str:
    """`random`, `zero`, `ones`, or bytes in hex (`a5`, `00ff`), at most 512 of them."""
    folded = word.strip().lower()
    if folded in ("random", "zero", "ones"):
        return folded
    if re.fullmatch(r"(0x)?([0-9a-f]{2}){1,512}", folded):
        return folded.removeprefix("0x")
    raise BadValue(f"{word!r} is none of random, zero, ones, nor bytes in hex such as a5 or 00ff")


def parse_verify(word: str) -> str:
    """`none`, `sample`, `full` or `N%` with 0 < N <= 100."""
    folded = word.strip().lower()
    if folded in ("none", "sample", "full"):
        return folded
    match = re.fullmatch(r"(\d{1,3}(?:\.\d+)?)\s*%", folded)
    if match and 0 < float(match.group(1)) <= 100:
        return f"{float(match.group(1)):g}%"
    raise BadValue(f"{word!r} is none of none, sample, full or a percentage such as 10%")


def parse_release(word: str) -> tuple[str, ...]:
    guards: tuple[str, ...] = LIST.parse(word)
    unknown = [guard for guard in guards if guard not in RELEASABLE]
    if unknown:
        raise BadValue(f"{', '.join(unknown)} cannot be released; only {', '.join(RELEASABLE)} can")
    return guards


def parse_psids(word: str) -> tuple[tuple[str, str], ...]:
    """`PSID`, or `SERIAL=PSID[,SERIAL=PSID…]` where several disks have one: (serial or "", PSID) each.

    A PSID is printed on the drive's label: 32 letters and digits.
    """
    found = []
    for part in LIST.parse(word):
        serial, _, psid = part.rpartition("=")
        bare = psid.replace("-", "").replace(" ", "").upper()
        if not re.fullmatch(r"[0-9A-Z]{32}", bare):
            raise BadValue("a PSID is the 32 letters and digits on the drive's label")
        found.append((serial.strip(), bare))
    return tuple(found)


@dataclasses.dataclass(frozen=True)
class WipeOptions:
    disks: tuple[str, ...] = option(
        Kind("list", DISKS.parse, ("all",), names_disks=True),
        ("all",),
        "which: all, or a list of serials, names, /dev paths, by-id names; also serial:S wwn:W model:GLOB size:>=1TB "
        "kind:nvme slot:3",
    )
    except_: tuple[str, ...] = option(DISKS, (), "which of those to leave alone, in the same terms")
    release: tuple[str, ...] = option(
        Kind("guard[,guard…]", parse_release),
        (),
        "guards to lift for disks named by serial or WWN: " + ", ".join(RELEASABLE),
    )
    method: str = option(
        Kind("POLICY|TECHNIQUE", choice(*POLICIES, *FIRMWARE).parse, (*POLICIES, *FIRMWARE)),
        "auto",
        "auto: the strongest purge that the drive offers, else clear; purge: refuse where only clear is possible; "
        "clear, overwrite: passes over the whole disk; dod-3: zeros, ones, random; quick: signatures and both ends, "
        "never called erased; or one technique by name: " + ", ".join(FIRMWARE),
    )
    passes: int = option(
        integer(1, 35),
        1,
        "how often to overwrite; what was broken off goes on where it stood, with other passes or another pattern anew",
    )
    pattern: str = option(
        Kind("random|zero|ones|HEX", parse_pattern, ("random", "zero", "ones")), "random", "what to overwrite with"
    )
    verify: str = option(
        Kind("none|sample|full|N%", parse_verify, ("none", "sample", "full")), "sample", "how much is read back"
    )
    also_overwrite: bool = option(FLAG, False, "overwrite on top of what the drive's own firmware has erased")
    psid: tuple[tuple[str, str], ...] = option(
        Kind("PSID|SERIAL=PSID,…", parse_psids), (), "from the drive's label, for opal-psid-revert", secret=True
    )
    clear_tpm: bool = option(FLAG, False, "clear the TPM when the disks are done")
    clear_bmc_log: bool = option(FLAG, False, "clear the BMC's event log when the disks are done")
    clear_boot_entries: bool = option(FLAG, False, "delete the UEFI boot entries that start from a disk")

    @property
    def patterns(self) -> tuple[str, ...]:
        """What is written, pass by pass."""
        return DOD_3 if self.method == "dod-3" else (self.pattern,) * self.passes

    def find_psid(self, serial: str) -> str:
        """The PSID for the disk of that serial; "" where there is none."""
        return next((psid for name, psid in self.psid if name in ("", serial)), "")


def find_faults(options: WipeOptions) -> list[str]:
    """What is wrong with options that are each right by themselves."""
    faults = []
    plain = WipeOptions()
    if options.release and all(word.lower() == "all" for word in options.disks):
        faults.append("liveagent.wipe.release only goes together with disks named by serial or WWN")
    if options.method == "dod-3" and (options.passes, options.pattern) != (plain.passes, plain.pattern):
        faults.append("liveagent.wipe.method=dod-3 has three passes of its own: leave passes and pattern out")
    if options.method == "opal-psid-revert" and not options.psid:
        faults.append("liveagent.wipe.method=opal-psid-revert needs liveagent.wipe.psid, which is on the drive's label")
    if options.also_overwrite and options.method in ("overwrite", "clear", "dod-3", "quick"):
        faults.append(f"liveagent.wipe.also_overwrite adds nothing to liveagent.wipe.method={options.method}")
    if options.method == "quick" and options.verify not in (plain.verify, "none"):
        faults.append("liveagent.wipe.method=quick erases next to nothing, so there is nothing to verify")
    return faults
