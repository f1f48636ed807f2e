"""What a wipe clears beside the disks: boot entries, the BMC's log, the TPM. What the tools say afterwards decides."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from liveagent.events import Verdict
from liveagent.host import CommandNotFound, CommandTimedOut, Completed, Host, check
from liveagent.tasks.wipe.bmc_log import KEPT_TEXT, choose_kept_text, parse_count, parse_log
from liveagent.tasks.wipe.boot_entries import Start, choose_start, parse_boot_list
from liveagent.tasks.wipe.extras import EXTRAS, PLANS, Extra
from liveagent.tasks.wipe.options import WipeOptions
from liveagent.tasks.wipe.tpm import TpmState, choose_hierarchies, parse_ppi_operation, parse_state
from tests.conftest import need

# What a tool is asked and what it answers: (command, stdout, stderr, status).
Told = tuple[str, str, str, int]
GONE, SLOW = -1000, -1001


def told(command: str, stdout: str = "", stderr: str = "", status: int = 0) -> Told:
    return (command, stdout, stderr, status)


class Server(Host):
    """A tree whose tools answer in the order of a script; what is asked out of turn is an error."""

    def __init__(self, root: Path, script: Sequence[Told] = (), files: Sequence[str] = ()) -> None:
        super().__init__(str(root))
        self.script = list(script)
        self.paused = 0.0
        for file in files:
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_text("")

    @property
    def can_run(self) -> bool:
        return True

    def pause(self, seconds: float) -> None:
        self.paused += seconds

    def run(self, argv: Sequence[str], **more: object) -> Completed:  # type: ignore[override]
        line = " ".join(argv)
        assert self.script, f"nobody expected {line}"
        command, stdout, stderr, status = self.script.pop(0)
        assert command == line
        if status == GONE:
            raise CommandNotFound(f"{argv[0]} is not installed", Completed(tuple(argv), None, "", "", 0.0))
        done = Completed(tuple(argv), None if status == SLOW else status, stdout, stderr, 1.0)
        if status == SLOW:
            raise CommandTimedOut(f"{argv[0]} did not end within 30 s", done)
        return check(done, more.get("success", (0,)))  # type: ignore[arg-type]

    def clear(self, what: str) -> Extra:
        """Clear it; every answer of the script must have been asked for."""
        extra = EXTRAS[what](self)
        assert not self.script
        assert extra.what == what
        return extra


def test_each_option_has_its_extra_and_its_plan() -> None:
    """An option of the wipe that nothing answers to would be silently without effect."""
    options = {name[len("clear_") :] for name in vars(WipeOptions()) if name.startswith("clear_")}
    assert set(EXTRAS) == set(PLANS) == options


def test_no_tool_of_the_desk_answers_for_a_tree(tmp_path: Path) -> None:
    """Below another root nothing is asked: efibootmgr or ipmitool would speak of the machine on the desk."""
    for place in ("sys/firmware/efi", "dev/ipmi0", "sys/class/tpm/tpm0"):
        (tmp_path / place).mkdir(parents=True)
    host = Host(str(tmp_path))
    assert "another machine" in PLANS["boot_entries"](host)
    assert "another machine" in PLANS["bmc_log"](host)
    assert EXTRAS["boot_entries"](host).verdict is not Verdict.PASS
    assert EXTRAS["bmc_log"](host).verdict is not Verdict.PASS


# -- boot entries -----------------------------------------------------------------------------------

# efibootmgr 17 (Debian 12) over variables in a scratch directory.
LISTED = (
    "BootNext: 0003\n"
    "BootCurrent: 0001\n"
    "Timeout: 3 seconds\n"
    "BootOrder: 0003,000A,0002,0001,0004,0005,0000\n"
    "Boot0000* UiApp\tFvVol(7cb8bdc9-f8eb-4f34-aaea-3ee4af6516a1)/FvFile(7c04a583-9e3e-4f1c-ad65-e05268d0b4d1)\n"
    "Boot0001* UEFI PXEv4 (MAC:525400123456)\tPciRoot(0x0)/Pci(0x2,0x0)/MAC(525400123456,1)"
    "/IPv4(0.0.0.00.0.0.0,0,0)N.....YM....R,Y.\n"
    "Boot0002* UEFI QEMU NVMe Ctrl nvme-1 1\tPciRoot(0x0)/Pci(0x3,0x0)/NVMe(0x1,00-11-22-33-44-55-66-77)"
    "N.....YM....R,Y.\n"
    "Boot0003* Fedora\tHD(1,GPT,c2a1b4a6-7a2f-4f7d-9e62-6c8d1a0f5b11,0x800,0x32000)"
    "/File(\\EFI\\fedora\\shimx64.efi)\n"
    "Boot0004* UEFI HTTPv4\tPciRoot(0x0)/Pci(0x2,0x0)/MAC(525400123456,1)/IPv4(0.0.0.00.0.0.0,0,0)"
    "/Uri(http://images.example.test/boot.efi)\n"
    "Boot0005  UEFI: SanDisk, Partition 1\tPciRoot(0x0)/Pci(0x14,0x0)/USB(5,0)"
    "/HD(1,GPT,c2a1b4a6-7a2f-4f7d-9e62-6c8d1a0f5b11,0x800,0x32000)\n"
    "Boot000A* ubuntu\tPciRoot(0x0)/Pci(0x17,0x0)/Sata(0,65535,0)"
    "/HD(1,GPT,c2a1b4a6-7a2f-4f7d-9e62-6c8d1a0f5b11,0x800,0x32000)/File(\\EFI\\ubuntu\\grubx64.efi)RC\n"
)
LIST = "efibootmgr --verbose"


def delete(number: str, **more: object) -> Told:
    return told(f"efibootmgr --bootnum={number} --delete-bootnum", **more)  # type: ignore[arg-type]


def without(text: str, *numbers: str) -> str:
    """The list as it is after these were deleted; version 17 leaves BootNext as it was."""
    return "".join(f"{line}\n" for line in text.splitlines() if not line.startswith(tuple(f"Boot{n}" for n in numbers)))


def uefi(tmp_path: Path, *script: Told) -> Server:
    return Server(tmp_path, script, ["sys/firmware/efi/fw_platform_size"])


@pytest.mark.parametrize(
    ("path", "start"),
    [
        # Printed by efibootmgr on real machines, versions 11 to 18, as people showed them.
        ("HD(1,800,f3800,b1a1b6ea-3938-4d00-be43-50f768c6f589)File(\\EFI\\steamos\\grubx64.efi)", Start.DISK),
        ("ACPI(a0341d0,0)PCI(1f,2)SATA(0,0,0)HD(1,1000,80000,b7245b9a-d13f-4d97-8bff-901255bfd7ad)RC", Start.DISK),
        ("ACPI(a0341d0,0)PCI(1c,0)PCI(0,0)MAC(MAC(3417eb7eda76,0)RC", Start.OTHER),
        ("BBS(HD,THNSN5512GPU7 NVMe TOSHIBA 512GB,0x0)..BO", Start.DISK),
        ("BBS(Floppy,Diskette Drive,0x0)..BO", Start.OTHER),
        ("HD(1,GPT,82f3e1c8-8654-4797-a584-90f373331323,0x800,0x96000)/\\EFI\\BOOT\\vmlinuz.root=/dev/x", Start.DISK),
        ("PciRoot(0x0)/Pci(0x8,0x0)/Sata(0,65535,0)걎脈鼑䵙຅᫢ⱒ뉙", Start.DISK),
        ("PciRoot(0x0)/Pci(0x1,0x3)/Pci(0x0,0x0)/SD(0)/HD(2,MBR,0x677a4f08,0x3baf0000,0x10000)RC", Start.DISK),
        ("FvVol(7cb8bdc9-f8eb-4f34-aaea-3ee4af6516a1)/FvFile(eec25bdc-67f2-4d95-b1d5-f81b2039d11d)", Start.FIRMWARE),
        ("VenHw(99e275e7-75a0-4b37-a2e6-c5385e6c00cb)72006f006f007400", Start.OTHER),
        ("Vendor(5023b95c-db26-429b-a648-bd47664c8012,)..BO", Start.OTHER),
        ("BIOS(9,0,00)..GO..NO........i.E.x.t. .H.a.r.d. .D.i.s.k...", Start.OTHER),
        ("RC", Start.OTHER),
        # Written after their form: what must never be taken for a disk of this machine.
        ("PciRoot(0x0)/Pci(0x3,0x0)/Pci(0x0,0x0)/Fibre(0x5006016941e0a2d1,0x0)/HD(1,GPT,0,0x800,0x1)", Start.NETWORK),
        ("PciRoot(0x0)/Pci(0x2,0x0)/MAC(525400123456,1)/IPv4(0.0.0.0,0,0)/iSCSI(iqn,0,0,0,0,0,0)/HD(1)", Start.NETWORK),
        ("PciRoot(0x0)/Pci(0x14,0x0)/USB(5,0)/CDROM(0,0x0,0x1000)", Start.OPTICAL),
        ("VenHw(99e275e7-75a0-4b37-a2e6-c5385e6c00cb)data that says HD(1,GPT,0,0,0)", Start.OTHER),
        ("BBS(Network,PXE IP4 Intel(R) I350,0x0)", Start.OTHER),
        (None, Start.UNKNOWN),
    ],
)
def test_where_a_device_path_starts(path: str | None, start: Start) -> None:
    """Only what surely is a disk's goes: a network entry that is deleted costs somebody a trip to the rack."""
    assert choose_start(path) is start


def test_boot_list_of_version_18() -> None:
    """Version 18 prints the bytes of path and data below each entry; they are no entries and no part of one."""
    # efibootmgr 18 on a handheld, as somebody showed it.
    text = (
        "BootNext: 0001\nBootCurrent: 0000\nTimeout: 2 seconds\nBootOrder: 0003,0001,0000\n"
        "Boot0000* SteamOS       \tHD(1,GPT,89b12540-1027-4c4b-a1d3-0eaecb2a5805,0x800,0x20000)"
        "/File(\\EFI\\steamos\\steamcl.efi)\n"
        "      dp: 04 01 2a 00 01 00 00 00 00 08 00 00 00 00 00 00 / 7f ff 04 00\n"
        "    data: 4e ac 08 81 11 9f 59 4d\n"
        "Boot2001* EFI USB Device\tRC\n"
        "Boot0003  switched off\n"
    )
    boot = parse_boot_list(text)
    assert [(e.number, e.label, e.active, e.start) for e in boot.entries] == [
        ("0000", "SteamOS", True, Start.DISK),
        ("2001", "EFI USB Device", True, Start.OTHER),
        ("0003", "switched off", False, Start.UNKNOWN),
    ]
    assert (boot.current, boot.next) == ("0000", "0001")


def test_boot_entries_of_disks_go_and_others_stay(tmp_path: Path) -> None:
    """Disk entries are deleted one by one and seen to be gone; PXE, HTTP, USB and the firmware's own stay."""
    host = uefi(
        tmp_path,
        told(LIST, LISTED),
        delete("0002"),
        delete("0003"),
        delete("000A"),
        told(LIST, without(LISTED, "0002", "0003", "000A")),
    )
    extra = host.clear("boot_entries")
    assert extra.verdict is Verdict.PASS
    assert extra.summary == "3 boot entries deleted; 4 stay (2 network, 1 USB, 1 firmware)"
    assert [entry["number"] for entry in extra.data["to_delete"]] == ["0002", "0003", "000A"]
    assert (extra.data["boot_current"], extra.data["boot_next"], extra.data["left"]) == ("0001", "0003", [])


def test_boot_entries_plan_only_reads(tmp_path: Path) -> None:
    """The dry run says the very entries that the run deletes, and deletes nothing."""
    line = PLANS["boot_entries"](uefi(tmp_path, told(LIST, LISTED)))
    assert line == (
        "3 boot entries that start from a disk would be deleted: Boot0002 UEFI QEMU NVMe Ctrl nvme-1 1, "
        "Boot0003 Fedora, Boot000A ubuntu; 4 stay (2 network, 1 USB, 1 firmware)"
    )
    rest = without(LISTED, "0002", "0003", "000A")
    assert "none starts from a disk" in PLANS["boot_entries"](uefi(tmp_path, told(LIST, rest)))


ONE = "BootCurrent: 0001\nBootOrder: 0003\nBoot0003* Fedora\tHD(1,GPT,c2a1b4a6,0x800,0x32000)\n"
NONE = "BootCurrent: 0001\nNo BootOrder is set; firmware will attempt recovery\n"


@pytest.mark.parametrize(
    ("script", "verdict", "says"),
    [
        # The tool says it is done, and the firmware lists it still.
        ([told(LIST, ONE), delete("0003"), told(LIST, ONE)], Verdict.FAIL, "is still listed"),
        # The tool says it failed (version 17's words and status), and it is gone all the same.
        (
            [told(LIST, ONE), delete("0003", stderr="Could not delete variable", status=15), told(LIST, NONE)],
            Verdict.PASS,
            "1 boot entry deleted",
        ),
        (
            [told(LIST, ONE), delete("0003", stderr="Could not delete variable", status=15), told(LIST, ONE)],
            Verdict.FAIL,
            "Boot0003 Fedora: Could not delete variable",
        ),
        ([told(LIST, ONE), delete("0003"), told(LIST, status=SLOW)], Verdict.UNKNOWN, "cannot be listed"),
        ([told(LIST, NONE)], Verdict.PASS, "no boot entry starts from a disk"),
        ([told(LIST, NONE + "Boot0007* odd\n")], Verdict.WARN, "Boot0007 odd"),
        ([told(LIST, status=GONE)], Verdict.ERROR, "not installed"),
        (
            [told(LIST, stderr="EFI variables are not supported on this system.\n", status=2)],
            Verdict.UNKNOWN,
            "not supported",
        ),
        # It stops at what it cannot read: those behind it are not listed.
        (
            [told(LIST, ONE, "Could not parse device path: Invalid argument", status=18)],
            Verdict.UNKNOWN,
            "cannot be read",
        ),
    ],
)
def test_boot_entries_by_what_is_listed(tmp_path: Path, script: list[Told], verdict: Verdict, says: str) -> None:
    """The list after the deletion decides, never the exit status of the deletion."""
    extra = uefi(tmp_path, *script).clear("boot_entries")
    assert extra.verdict is verdict
    assert says in extra.summary


def test_boot_entries_without_uefi(tmp_path: Path) -> None:
    """A machine that starts by BIOS has none, which is no fault."""
    assert Server(tmp_path).clear("boot_entries").verdict is Verdict.SKIPPED
    assert "not started by UEFI" in PLANS["boot_entries"](Server(tmp_path))


def test_boot_entries_by_the_real_tool(tmp_path: Path) -> None:
    """The installed efibootmgr takes our options and prints what we read: variables in a scratch directory."""
    need(shutil.which("efibootmgr"), "efibootmgr")
    guid = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
    end = bytes.fromhex("7fff0400")
    disk = bytes.fromhex("04012a000100000000080000000000000020030000000000") + bytes(range(16)) + b"\x02\x02"
    firmware = bytes.fromhex("04061400") + bytes(range(16))
    for number, label, path in ((0, "UiApp", firmware), (0x1A, "Fedora", disk)):
        option = (1).to_bytes(4, "little") + (len(path) + 4).to_bytes(2, "little")
        option += label.encode("utf-16-le") + b"\0\0" + path + end
        (tmp_path / f"Boot{number:04X}-{guid}").write_bytes(bytes([7, 0, 0, 0]) + option)
    (tmp_path / f"BootOrder-{guid}").write_bytes(bytes([7, 0, 0, 0]) + bytes([0x1A, 0, 0, 0]))

    class Scratch(Host):
        """This machine, if it had been started by UEFI."""

        def exists(self, path: str) -> bool:
            return path == "/sys/firmware/efi" or super().exists(path)

    extra = EXTRAS["boot_entries"](Scratch(environment={"EFIVARFS_PATH": f"{tmp_path}/"}))
    assert (extra.verdict, extra.summary) == (Verdict.PASS, "1 boot entry deleted; 1 stays (1 firmware)")
    assert sorted(path.name[:8] for path in tmp_path.iterdir()) == ["Boot0000", "BootOrde"]


# -- the BMC's log ----------------------------------------------------------------------------------

INFO, SEL, CLEAR = "ipmitool sel info", "ipmitool sel list", "ipmitool sel clear"
# ipmitool 1.8.19's words; the clear's as shown beside an OpenBMC, the note's as many BMCs print it.
CLEARING = told(CLEAR, "Clearing SEL.  Please allow a few seconds to erase.\n")
NO_ENTRIES = told(SEL, stderr="SEL has no entries\n")
NOTED = told(SEL, "   1 | 11/25/2026 | 10:00:01 | Event Logging Disabled #0x72 | Log area reset/cleared | Asserted\n")
FRESH = "   2 | 11/25/2026 | 10:00:03 | Fan #0x41 | Lower Critical going low  | Asserted\n"


def bmc(tmp_path: Path, *script: Told) -> Server:
    return Server(tmp_path, script, ["dev/ipmi0"])


def test_log_as_recorded(corpus: Path) -> None:
    """What real BMCs print is read: the count with and without allocation info, the entries, a list with a hole."""
    assert parse_count((corpus / "ipmitool-sel/info-20-entries.txt").read_text()) == 20
    assert parse_count((corpus / "ipmitool-sel/info-490-entries.txt").read_text()) == 490
    entries = (corpus / "ipmitool-sel/sos-2015.txt").read_text()
    log = parse_log(entries, "")
    assert log is not None and log.complete and len(log.lines) == 3
    failed = (corpus / "ipmitool-error/sel-failed.txt").read_text()
    assert parse_count(failed) is None
    damaged = parse_log(entries, failed)
    assert damaged is not None and not damaged.complete and len(damaged.lines) == 3
    assert parse_log("", failed) is None
    assert parse_log("", (corpus / "ipmitool-error/no-device.txt").read_text()) is None
    assert parse_log("", "") is None


def test_log_is_kept_then_cleared(tmp_path: Path, corpus: Path) -> None:
    """The entries are in the result before they are gone, and the BMC, which erases late, is asked until they are."""
    entries = (corpus / "ipmitool-sel/sos-2015.txt").read_text()
    host = bmc(tmp_path, told(INFO, "Entries          : 3\n"), told(SEL, entries), CLEARING, told(SEL, entries), NOTED)
    extra = host.clear("bmc_log")
    assert (extra.verdict, extra.summary) == (Verdict.PASS, "the BMC's log was cleared, 3 entries kept")
    assert [line.strip() for line in entries.splitlines()] == extra.data["text"].splitlines()
    assert (extra.data["entries"], extra.data["truncated"], extra.data["left"]) == (3, False, 0)
    assert host.paused > 0


OLD = "   1 | 02/20/2024 | 05:22:19 | System Event #0x4a | Undetermined system hardware failure | Asserted\n"
# From an OpenBMC: the same event again, at another time, under the same number.
AGAIN = OLD.replace("05:22:19", "06:02:42")
HOLE = "Get SEL Entry 8 command failed : Requested Sensor, data, or record not found\n"
ONE_ENTRY = told(INFO, "Entries          : 1\n")


@pytest.mark.parametrize(
    ("script", "verdict", "says"),
    [
        ([ONE_ENTRY, told(SEL, OLD), CLEARING, NO_ENTRIES], Verdict.PASS, "1 entry kept"),
        ([ONE_ENTRY, told(SEL, OLD), CLEARING, told(SEL, AGAIN)], Verdict.PASS, "was cleared"),
        ([ONE_ENTRY, told(SEL, OLD), CLEARING, told(SEL, NOTED[1] + FRESH)], Verdict.PASS, "was cleared"),
        # Told and never done.
        ([ONE_ENTRY, told(SEL, OLD), CLEARING, *[told(SEL, OLD)] * 30], Verdict.FAIL, "still holds 1 entry"),
        (
            [ONE_ENTRY, told(SEL, OLD), told(CLEAR, stderr="Unable to clear SEL", status=1), *[told(SEL, OLD)] * 30],
            Verdict.FAIL,
            "Unable to clear SEL",
        ),
        # Refused, says the tool, and empty, says the log.
        ([ONE_ENTRY, told(SEL, OLD), told(CLEAR, status=1), NO_ENTRIES], Verdict.PASS, "was cleared"),
        (
            [ONE_ENTRY, told(SEL, OLD), CLEARING, *[told(SEL, stderr="Get SEL Info command failed", status=1)] * 30],
            Verdict.UNKNOWN,
            "nobody saw it done",
        ),
        # Some entries could not be kept: cleared on request, and said.
        ([ONE_ENTRY, told(SEL, OLD, HOLE), CLEARING, NO_ENTRIES], Verdict.WARN, "others could not be read"),
        ([ONE_ENTRY, told(SEL, OLD, HOLE), CLEARING, *[told(SEL, FRESH)] * 30], Verdict.UNKNOWN, "nobody saw"),
        # Nothing could be kept: not cleared.
        ([told(INFO, stderr=HOLE, status=1), told(SEL, "", HOLE, 1)], Verdict.UNKNOWN, "was not cleared"),
        ([told(INFO, status=GONE), told(SEL, status=GONE)], Verdict.ERROR, "not installed"),
        ([told(INFO, status=SLOW), told(SEL, status=SLOW)], Verdict.UNKNOWN, "did not end"),
        # Nothing to do.
        ([told(INFO, "Entries          : 0\n"), NO_ENTRIES], Verdict.PASS, "holds no events"),
        ([ONE_ENTRY, NOTED], Verdict.PASS, "holds no events"),
    ],
)
def test_log_by_what_it_holds(tmp_path: Path, script: list[Told], verdict: Verdict, says: str) -> None:
    """What the log holds afterwards decides; the order that was taken, and its exit status, say nothing."""
    extra = bmc(tmp_path, *script).clear("bmc_log")
    assert extra.verdict is verdict
    assert says in extra.summary


def test_long_log_is_kept_in_part() -> None:
    """64 KiB at most go into the result: whole lines, the newest, and it is said that they are not all."""
    lines = tuple(f"{number:4x} | {'x' * 90}" for number in range(3000))
    text, whole = choose_kept_text(lines)
    assert not whole and KEPT_TEXT - 100 < len(text) <= KEPT_TEXT
    assert text.splitlines() == list(lines[-len(text.splitlines()) :])
    assert choose_kept_text(lines[:3]) == ("".join(f"{line}\n" for line in lines[:3]), True)


def test_log_without_a_bmc(tmp_path: Path) -> None:
    """No BMC is no fault; a BMC that the board tells of, and whose driver is not there, is not `none`."""
    assert Server(tmp_path).clear("bmc_log").verdict is Verdict.SKIPPED
    lacking = Server(tmp_path, files=["sys/firmware/dmi/entries/38-0/raw"])
    assert lacking.clear("bmc_log").verdict is Verdict.UNKNOWN
    assert "ipmi_devintf" in PLANS["bmc_log"](lacking)


def test_log_plan_only_reads(tmp_path: Path, corpus: Path) -> None:
    """The dry run tells how many entries would go; an answer that is none is not "0 entries"."""
    text = (corpus / "ipmitool-sel/info-490-entries.txt").read_text()
    assert PLANS["bmc_log"](bmc(tmp_path, told(INFO, text))).startswith("BMC log: 490 entries would be kept")
    failed = (corpus / "ipmitool-error/sel-failed.txt").read_text()
    assert "cannot be read" in PLANS["bmc_log"](bmc(tmp_path, told(INFO, stderr=failed, status=1)))


# -- the TPM ----------------------------------------------------------------------------------------

PROPERTIES, CLOCK, HANDLES = "tpm2_getcap properties-variable", "tpm2_readclock", "tpm2_getcap handles-persistent"
PLATFORM, LOCKOUT = "tpm2_clear --auth-hierarchy=p", "tpm2_clear --auth-hierarchy=l"


def properties(owner: int = 0, lockout: int = 0, disable_clear: int = 0, in_lockout: int = 0) -> str:
    """tpm2-tools 5.4 with swtpm 0.7."""
    return (
        "TPM2_PT_PERMANENT:\n"
        f"  ownerAuthSet:              {owner}\n"
        "  endorsementAuthSet:        0\n"
        f"  lockoutAuthSet:            {lockout}\n"
        "  reserved1:                 0\n"
        f"  disableClear:              {disable_clear}\n"
        f"  inLockout:                 {in_lockout}\n"
        "  tpmGeneratedEPS:           1\n"
        "TPM2_PT_STARTUP_CLEAR:\n"
        "  phEnable:                  1\n"
    )


def looked(clock: int, resets: int, handles: str = "", **auth: int) -> list[Told]:
    """One look at the TPM, as tpm2-tools 5.4 printed it with swtpm 0.7 before and after a clear."""
    times = f"time: 3097\nclock_info:\n  clock: {clock}\n  reset_count: {resets}\n  restart_count: 0\n  safe: yes\n"
    return [told(PROPERTIES, properties(**auth)), told(CLOCK, times), told(HANDLES, handles)]


USED = looked(3097, 1, "- 0x81000001\n")
OWNED = looked(3097, 1, owner=1, lockout=1)
NEW = looked(7, 0)
BLIND = [told(PROPERTIES, status=1), told(CLOCK, status=1), told(HANDLES, status=1)]
# tpm2-tools 5.4 with swtpm 0.7, a platform password set.
DENIED = told(
    PLATFORM,
    stderr="WARNING:esys:src/tss2-esys/api/Esys_Clear.c:291:Esys_Clear_Finish() Received TPM Error \n"
    "ERROR:esys:src/tss2-esys/api/Esys_Clear.c:97:Esys_Clear() Esys Finish ErrorCode (0x000009a2) \n"
    "ERROR: Esys_Clear(0x9A2) - tpm:session(1):authorization failure without DA implications\n"
    "ERROR: Unable to run tpm2_clear\n",
    status=1,
)


def with_tpm(tmp_path: Path, *script: Told, family: str = "2", ppi: str | None = "4: User not required") -> Server:
    """A server with a TPM; `ppi`: what its firmware says of operation 5, None where it has no such interface."""
    host = Server(tmp_path, script, ["sys/class/tpm/tpm0/tpm_version_major"])
    tpm = tmp_path / "sys/class/tpm/tpm0"
    (tpm / "tpm_version_major").write_text(f"{family}\n")
    if ppi is not None:
        (tpm / "ppi").mkdir(exist_ok=True)
        (tpm / "ppi/request").write_text("")
        # Written after drivers/char/tpm/tpm_ppi.c.
        (tpm / "ppi/tcg_operations").write_text(f"1 4: User not required\n5 {ppi}\n14 3: User required\n")
    return host


def test_state_of_a_tpm() -> None:
    """What could not be read is None, never "no password" or "not locked"."""
    times = looked(3097, 12)[1][1]
    assert parse_state(properties(owner=1), times, "- 0x81000001\n- 0x81010001\n") == TpmState(
        3097, 12, ("owner",), False, False, ("0x81000001", "0x81010001")
    )
    assert parse_state("", "", None) == TpmState()


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        (properties(), ("p", "l")),
        (properties(owner=1), ("p", "l")),
        (properties(lockout=1), ("p",)),
        (properties(disable_clear=1), ("p",)),
        (properties(in_lockout=1), ("p",)),
        ("", ("p",)),
    ],
)
def test_lockout_is_tried_only_where_it_is_open(text: str, chosen: tuple[str, ...]) -> None:
    """A wrong try at the lockout hierarchy locks it, mostly for a day: nothing is tried that must fail."""
    assert choose_hierarchies(parse_state(text, "", None)) == chosen


@pytest.mark.parametrize(
    ("script", "verdict", "says"),
    [
        ([*USED, told(PLATFORM), *NEW], Verdict.PASS, "platform authority"),
        ([*USED, DENIED, *USED, told(LOCKOUT), *NEW], Verdict.PASS, "lockout authority"),
        # Done, says the tool, and the clock goes on: something answers that clears nothing.
        ([*USED, told(PLATFORM), *looked(3120, 1)], Verdict.UNKNOWN, "cannot be confirmed"),
        ([*USED, told(PLATFORM), *looked(7, 0, owner=1)], Verdict.UNKNOWN, "cannot be confirmed"),
        ([*USED, told(PLATFORM), *BLIND], Verdict.UNKNOWN, "cannot be confirmed"),
        ([*BLIND, told(PLATFORM), *NEW], Verdict.UNKNOWN, "cannot be confirmed"),
        ([*USED, told(PLATFORM, status=SLOW), *USED], Verdict.UNKNOWN, "cannot be confirmed"),
        # No answer of the tool, and a clock that began anew.
        ([*USED, told(PLATFORM, status=SLOW), *NEW], Verdict.PASS, "began anew"),
        # Nobody may from here: the firmware is asked.
        ([*OWNED, DENIED, *OWNED], Verdict.WARN, "next start"),
        ([*[told(c, status=GONE) for c in (PROPERTIES, CLOCK, HANDLES, PLATFORM)]], Verdict.WARN, "next start"),
    ],
)
def test_tpm_by_its_own_clock(tmp_path: Path, script: list[Told], verdict: Verdict, says: str) -> None:
    """Cleared is what the TPM itself shows: a clock set back, no resets, no passwords. The rest is unknown."""
    host = with_tpm(tmp_path, *script)
    extra = host.clear("tpm")
    assert extra.verdict is verdict
    assert says in extra.summary
    denied = "tpm:session(1):authorization failure without DA implications"
    assert extra.data["tried"].get("platform") == denied or DENIED not in script
    asked_firmware = (tmp_path / "sys/class/tpm/tpm0/ppi/request").read_text() == "5"
    assert asked_firmware is (verdict is Verdict.WARN), "the firmware is asked where nothing was begun, and only there"


@pytest.mark.parametrize(
    ("ppi", "verdict", "says"),
    [
        ("4: User not required", Verdict.WARN, "not cleared yet: that takes effect at the next start"),
        ("3: User required", Verdict.WARN, "when somebody confirms it at the console"),
        ("", Verdict.WARN, "may ask somebody"),
        ("2: Blocked for OS by system firmware", Verdict.FAIL, "clear it in the firmware's setup"),
        ("1: BIOS only", Verdict.FAIL, "in its own setup only"),
        ("0: Not implemented", Verdict.FAIL, "does not know how"),
        (None, Verdict.FAIL, "clear it in the firmware's setup"),
    ],
)
def test_firmware_is_asked_for_a_tpm_1(tmp_path: Path, ppi: str | None, verdict: Verdict, says: str) -> None:
    """What takes effect at the next start is not done: warn at best, and a refusal says what a person can do."""
    host = with_tpm(tmp_path, family="1", ppi=ppi)
    extra = host.clear("tpm")
    assert extra.verdict is verdict
    assert says in extra.summary


def test_firmware_that_forgets_the_order(tmp_path: Path) -> None:
    """An order that does not read back as pending is unknown; one that sysfs refuses is a failure."""

    class Forgetful(Server):
        def write(self, path: str, text: str) -> None:
            super().write(path, "0")

    class Refusing(Server):
        def write(self, path: str, text: str) -> None:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    with_tpm(tmp_path, family="1")
    assert Forgetful(tmp_path).clear("tpm").verdict is Verdict.UNKNOWN
    assert Refusing(tmp_path).clear("tpm").verdict is Verdict.FAIL


def test_ppi_operation() -> None:
    """Operation 5 is read, not 15 or 25; an interface that says nothing is None, not "not implemented"."""
    assert parse_ppi_operation("1 4: User not required\n15 0: Not implemented\n5 3: User required\n") == 3
    assert parse_ppi_operation("") is None


def test_no_tpm(tmp_path: Path) -> None:
    """A machine without a TPM has nothing to clear, which is no fault."""
    assert Server(tmp_path).clear("tpm").verdict is Verdict.SKIPPED
    assert "none" in PLANS["tpm"](Server(tmp_path))


def test_tpm_plan_only_reads(tmp_path: Path) -> None:
    """The dry run says by which ways, and asks the firmware for nothing."""
    assert "platform and lockout authority" in PLANS["tpm"](with_tpm(tmp_path, *USED))
    assert "by platform authority" in PLANS["tpm"](with_tpm(tmp_path, *OWNED))
    assert (tmp_path / "sys/class/tpm/tpm0/ppi/request").read_text() == ""
