"""Drives that erase themselves: every way in which that begins, ends, or does not, by the same code that runs them."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from liveagent.host import Cancelled
from liveagent.machine.ata import AtaFacts, parse_identify, parse_sanitize_status
from liveagent.machine.disks import Transport
from liveagent.machine.drive import Drive
from liveagent.machine.nvme import NvmeFacts, parse_sanitize_log
from liveagent.machine.opal import OpalFacts
from liveagent.machine.scsi import ScsiFacts, ScsiState
from liveagent.tasks.wipe.ata import recover
from liveagent.tasks.wipe.decide import can_be_blind
from liveagent.tasks.wipe.firmware import Erased, Joint, NotBegun
from liveagent.tasks.wipe.options import WipeOptions
from liveagent.tasks.wipe.select import Held
from tests.conftest import MakeLoop
from tests.tasks.scripted import Answer, Bench, ScriptedHost
from tests.tasks.test_wipe_select import make_disk

pytestmark = pytest.mark.loop

MIB = 1024 * 1024
SIZE = 16 * MIB
MARK = b"what must not survive the wipe! "
PSID = "A1B2C3D4E5F6A1B2C3D4E5F6A1B2C3D4"

# -- NVMe: the shape of nvme-cli 2.3's JSON (field notes of 2.3, and the human form in the corpus) ---------------------


def log_text(sprog: int, status: str, code: int, action: int) -> str:
    """`nvme sanitize-log -o json` in nvme-cli 2.3's form."""
    sstat = f'{{"global_erased": 0, "no_cmplted_passes": 0, "status": "({code}) {status}"}}'
    times = '"time_over_write": 4294967295, "time_block_erase": 4294967295, "time_crypto_erase": 4294967295'
    return f'{{"nvme0": {{"sprog": {sprog}, "sstat": {sstat}, "cdw10_info": {action}, {times}}}}}'


NEVER = log_text(65535, "Most Recent Sanitize Command Completed Successfully.", 0, 0)
RUNNING = log_text(23297, "Sanitize in Progress.", 2, 2)
DONE = log_text(65535, "Most Recent Sanitize Command Completed Successfully.", 1, 2)
DONE_CRYPTO = log_text(65535, "Most Recent Sanitize Command Completed Successfully.", 1, 4)
FAILED = log_text(30000, "Most Recent Sanitize Command Failed.", 3, 2)


def nvme_facts(**more: object) -> NvmeFacts:
    """A drive that offers all it can, changed as asked."""
    plain = NvmeFacts(
        controller="nvme0", serial="", model="QEMU NVMe Ctrl", firmware="1.0", format=True, format_crypto=True,
        format_all=False, sanitize=frozenset(("block", "crypto", "overwrite")), namespaces=(1,), attached=(1,),
        namespace=1, block_size=512, metadata_size=0, protection=0, rpmb=False, log=parse_sanitize_log(NEVER),
    )  # fmt: skip
    return dataclasses.replace(plain, **more)  # type: ignore[arg-type]


def nvme_bench(make_loop: MakeLoop, method: str = "auto", **facts: object) -> Bench:
    plate = {"transport": Transport.NVME, "nvme_namespace": 1, "serial": ""}
    return Bench(make_loop(SIZE, MARK), Drive(nvme=nvme_facts(**facts)), WipeOptions(method=method), **plate)


ASK_LOG = "nvme sanitize-log /dev/nvme0"


def test_nvme_sanitize_is_seen_from_start_to_end(make_loop: MakeLoop) -> None:
    """Accepted, in progress, success, and the marks gone: a purge by block erase, the strongest that was offered."""
    bench = nvme_bench(make_loop)
    row = bench.run(
        [
            Answer(ASK_LOG, NEVER),
            Answer("nvme sanitize /dev/nvme0 --sanact=2", effect=bench.blank),
            Answer(ASK_LOG, RUNNING),
            Answer(ASK_LOG, DONE),
            Answer(ASK_LOG, DONE),
            Answer("nvme version", "nvme version 2.3 (git 2.3)\nlibnvme version 1.3 (git 1.3)\n"),
        ]
    )
    assert (row["verdict"], row["status"], row["method"]) == ("pass", "erased", "purge"), bench.codes()
    assert (row["technique"], row["tool"]) == ("nvme-sanitize-block", "nvme-cli 2.3")
    assert row["verification"]["mismatches"] == 0 and row["verification"]["bytes"] == SIZE  # type: ignore[index]


def test_nvme_success_without_an_erase_is_found_out(make_loop: MakeLoop) -> None:
    """A drive whose log says that all went well, and that did nothing: its marks are still there."""
    bench = nvme_bench(make_loop)
    version = Answer("nvme version", "nvme version 2.3\n")
    row = bench.run(
        [Answer(ASK_LOG, DONE), Answer("--sanact=2"), Answer(ASK_LOG, DONE), Answer(ASK_LOG, DONE), version]
    )
    assert (row["verdict"], row["status"], row["method"]) == ("fail", "not-erased", "none")
    assert bench.codes() == ["wipe.verify.unchanged"]


def test_nvme_sanitize_that_is_refused_falls_back(make_loop: MakeLoop) -> None:
    """What never began may be followed by something else, each in its turn, and the result says which and why.

    The refusals are nvme-cli 2.3's, as QEMU's drive answers it.
    """
    refused = "NVMe status: Invalid Command Opcode: A reserved coded value or an unsupported value(0x4001)\n"
    bench = nvme_bench(make_loop)
    script: list[Answer] = []
    for action in ("--sanact=2", "--sanact=4", "--sanact=3"):
        script += [Answer(ASK_LOG, NEVER), Answer(action, stderr=refused, status=1), Answer(ASK_LOG, NEVER)]
    script += [
        Answer("nvme format /dev/nvme0 --namespace-id=1 --ses=2", "Success formatting namespace:1", effect=bench.blank),
        Answer("nvme version", "nvme version 2.3\n"),
    ]
    row = bench.run(script)
    assert (row["verdict"], row["technique"], row["method"]) == ("pass", "nvme-format-crypto", "purge")
    assert [one["technique"] for one in row["fallbacks"]] == [  # type: ignore[attr-defined]
        "nvme-sanitize-block",
        "nvme-sanitize-crypto",
        "nvme-sanitize-overwrite",
    ]


@pytest.mark.parametrize(
    ("ending", "says"),
    [
        ([Answer(ASK_LOG, RUNNING), Answer(ASK_LOG, FAILED)], "failed"),
        ([Answer(ASK_LOG, RUNNING)] + [Answer(ASK_LOG, "", status=1)] * 40, "did not answer"),
    ],
    ids=["failed", "silent"],
)
def test_nvme_sanitize_that_began_is_never_followed(make_loop: MakeLoop, ending: list[Answer], says: str) -> None:
    """One that began and was not seen to end well is unknown: no overwrite comes after it to make it look good."""
    bench = nvme_bench(make_loop)
    row = bench.run([Answer(ASK_LOG, NEVER), Answer("--sanact=2"), *ending])
    assert (row["verdict"], row["status"]) == ("unknown", "not-erased")
    finding = next(data for kind, data in bench.said if kind == "liveagent.finding")
    assert says in str(finding["summary"])


@pytest.mark.parametrize("code", ["Internal Error: The command was not completed(0x6)", "Host Aborted Command(0x371)"])
def test_nvme_format_that_may_have_begun_is_unknown(make_loop: MakeLoop, code: str) -> None:
    """A status that is no refusal: the format may have erased half of it, and no overwrite hides that."""
    bench = nvme_bench(make_loop, sanitize=frozenset())
    row = bench.run([Answer("--ses=2", stderr=f"NVMe status: {code}\n", status=1)])
    assert (row["verdict"], row["status"], row["fallbacks"]) == ("unknown", "not-erased", [])


def test_nvme_no_answer_to_the_command_is_unknown(make_loop: MakeLoop) -> None:
    """A command that ran out of time may have been taken: nobody knows, and nothing follows."""
    bench = nvme_bench(make_loop)
    row = bench.run([Answer(ASK_LOG, NEVER), Answer("--sanact=2", status=1, times_out=True), Answer(ASK_LOG, NEVER)])
    assert (row["verdict"], row["fallbacks"]) == ("unknown", [])


def test_nvme_failure_mode_is_left_first(make_loop: MakeLoop) -> None:
    """After a sanitize that failed long ago a drive takes nothing before it is told to leave that mode."""
    bench = nvme_bench(make_loop, "nvme-sanitize-crypto", log=parse_sanitize_log(FAILED))
    row = bench.run(
        [
            Answer(ASK_LOG, FAILED),
            Answer("--sanact=1"),
            Answer("--sanact=4", effect=bench.blank),
            Answer(ASK_LOG, DONE_CRYPTO),
            Answer(ASK_LOG, DONE_CRYPTO),
            Answer("nvme version", "nvme version 2.3\n"),
        ]
    )
    assert (row["verdict"], row["technique"]) == ("pass", "nvme-sanitize-crypto")


def test_running_sanitize_is_waited_for(make_loop: MakeLoop) -> None:
    """After a power cut the drive goes on by itself: no new sanitize is started, and its own log is the evidence."""
    bench = nvme_bench(make_loop, log=parse_sanitize_log(RUNNING))
    bench.blank()
    row = bench.run([Answer(ASK_LOG, RUNNING), Answer(ASK_LOG, DONE)])
    assert (row["verdict"], row["status"], row["method"]) == ("warn", "erased", "purge")
    assert bench.codes() == ["wipe.sanitize.found", "wipe.not_verified"]
    assert not any("--sanact" in command for command in bench.host.asked)


def test_controller_that_became_another_is_not_sent_anything(make_loop: MakeLoop) -> None:
    """A reset may hand a controller's name to another drive: its serial is read again just before the command."""
    bench = nvme_bench(make_loop, "nvme-sanitize-block")
    bench.plate["serial"] = "S4EWNX0N1"
    order_serial = bench.disk.serial
    assert order_serial == "S4EWNX0N1"
    row = bench.run([])
    # The guards see a disk with another serial than the one that was chosen, and hold it.
    assert (row["verdict"], row["reasons"][0]["code"]) == ("refused", "wipe.guard.changed")  # type: ignore[index]


def test_no_technique_began_fails(make_loop: MakeLoop) -> None:
    """A technique that was asked for by name and refused by the drive: a failure, nothing else is tried."""
    bench = nvme_bench(make_loop, "nvme-format-user")
    row = bench.run([Answer("--ses=1", stderr="NVMe status: Access Denied(0x4286)\n", status=1)])
    assert (row["verdict"], row["status"]) == ("fail", "not-erased")
    assert bench.codes() == ["wipe.technique.refused"]
    assert row["attempted"] is None


def test_also_overwrite_comes_on_top(make_loop: MakeLoop) -> None:
    """Both are done and both are on the row: the firmware's read-back, and the overwrite's."""
    bench = nvme_bench(make_loop, "nvme-format-crypto")
    bench.options = dataclasses.replace(bench.options, also_overwrite=True, verify="full")
    row = bench.run([Answer("--ses=2", effect=bench.blank), Answer("nvme version", "nvme version 2.3\n")])
    assert (row["verdict"], row["technique"], row["also_overwrite"]) == ("pass", "nvme-format-crypto", True)
    assert row["verification_firmware"]["verify"] == "marks" and row["verification"]["verify"] == "full"  # type: ignore[index]
    # What was done first counts: the sitting is as long as the work on the disk.
    assert row["started"] == row["sittings"][0]["started"] < row["finished"]  # type: ignore[index]
    assert len(set(bench.file.read_bytes()[:4096])) > 200


# -- ATA -------------------------------------------------------------------------------------------


@pytest.fixture
def identify(corpus: Path) -> str:
    """`hdparm -I` of a real SSD, not frozen, no password, enhanced erase."""
    return (corpus / "hdparm" / "ironlib-i.txt").read_text()


def with_security(text: str, enabled: bool = False, locked: bool = False, frozen: bool = False) -> str:
    """The same drive in another state, in the words and tabs of hdparm's Security block."""
    for word, is_so in (("enabled", enabled), ("locked", locked), ("frozen", frozen)):
        text = text.replace(f"\tnot\t{word}", f"\t{'' if is_so else 'not'}\t{word}")
    return text


# hdparm 9.65's form, of drives that public notes show.
IDLE = "/dev/sda:\nIssuing SANITIZE_STATUS command\nSanitize status:\n    State:    SD0 Sanitize Idle\n"
BUSY = IDLE.replace("SD0 Sanitize Idle", "SD2 Sanitize operation In Process\n    Progress: 0x41c2 (25%)")
ENDED = IDLE + "    Last Sanitize Operation Completed Without Error\n"
BROKEN = IDLE.replace("SD0 Sanitize Idle", "SD3 Sanitize Operation Failed")
STARTED = "/dev/sda:\nIssuing SANITIZE_BLOCK_ERASE command\nOperation started in background\n"


def ata_facts(text: str, **more: object) -> AtaFacts:
    facts = parse_identify(text)
    assert facts
    return dataclasses.replace(facts, status=parse_sanitize_status(IDLE), **more)  # type: ignore[arg-type]


def ata_bench(make_loop: MakeLoop, facts: AtaFacts, method: str = "auto") -> Bench:
    return Bench(make_loop(SIZE, MARK), Drive(ata=facts), WipeOptions(method=method), transport=Transport.SATA)


def sanitizing(identify: str) -> AtaFacts:
    return ata_facts(identify, sanitize=frozenset(("block", "crypto")))


def test_ata_sanitize_is_seen_from_start_to_end(make_loop: MakeLoop, identify: str) -> None:
    """Started, in process, completed without error, marks gone."""
    bench = ata_bench(make_loop, sanitizing(identify))
    row = bench.run(
        [
            Answer("--sanitize-status", IDLE),
            Answer("hdparm --yes-i-know-what-i-am-doing --sanitize-block-erase", STARTED, effect=bench.blank),
            Answer("--sanitize-status", BUSY),
            Answer("--sanitize-status", ENDED),
            Answer("hdparm -V", "hdparm v9.65\n"),
        ]
    )
    assert (row["verdict"], row["technique"], row["method"]) == ("pass", "ata-sanitize-block", "purge")
    assert row["tool"] == "hdparm 9.65"


def test_ata_refusal_at_exit_status_0_falls_back(make_loop: MakeLoop, identify: str, corpus: Path) -> None:
    """A real MX500: the drive aborted the block erase, hdparm said "started" and exited 0. Nothing had begun."""
    both = (corpus / "hdparm" / "mx500-block-erase-refused-then-idle.txt").read_text()
    refused = both.partition("\n/dev/sda:\nIssuing SANITIZE_STATUS")[0]
    bench = ata_bench(make_loop, sanitizing(identify), "purge")
    row = bench.run(
        [
            Answer("--sanitize-status", IDLE),
            Answer("--sanitize-block-erase", refused),
            Answer("--sanitize-status", IDLE),
            Answer("--sanitize-crypto-scramble", STARTED, effect=bench.blank),
            Answer("--sanitize-status", BUSY),
            Answer("--sanitize-status", ENDED),
            Answer("hdparm -V", "hdparm v9.65\n"),
        ]
    )
    assert (row["verdict"], row["technique"]) == ("pass", "ata-sanitize-crypto")
    assert [one["technique"] for one in row["fallbacks"]] == ["ata-sanitize-block"]  # type: ignore[attr-defined]


def test_idle_drive_that_says_success_does_not_count(make_loop: MakeLoop, identify: str) -> None:
    """It said so before, and was never seen at work: only the marks, which are still there, tell the truth."""
    bench = ata_bench(make_loop, sanitizing(identify), "ata-sanitize-block")
    row = bench.run(
        [
            Answer("--sanitize-status", ENDED),
            Answer("--sanitize-block-erase", STARTED),
            Answer("--sanitize-status", ENDED),
            Answer("hdparm -V", "hdparm v9.65\n"),
        ]
    )
    assert (row["verdict"], row["status"]) == ("fail", "not-erased")


def test_ata_sanitize_that_fails_is_unknown(make_loop: MakeLoop, identify: str) -> None:
    """SD3 after SD2: begun, and not confirmed; no overwrite follows."""
    bench = ata_bench(make_loop, sanitizing(identify))
    row = bench.run(
        [
            Answer("--sanitize-status", IDLE),
            Answer("--sanitize-block-erase", STARTED),
            Answer("--sanitize-status", BUSY),
            Answer("--sanitize-status", BROKEN),
        ]
    )
    assert (row["verdict"], row["fallbacks"]) == ("unknown", [])


SET_PASSWORD = "hdparm --user-master u --security-set-pass liveagent"
ERASE = "hdparm --user-master u --security-erase-enhanced liveagent"
DISABLE = "hdparm --user-master u --security-disable liveagent"
UNLOCK = "hdparm --user-master u --security-unlock liveagent"
ABORTED = "SG_IO: bad/missing sense data, sb[]:  f0 00 0b 04 51 40 00 0a a0 72 45 6b 00 00 00 00 00 00 00 00\n"


def test_security_erase_takes_its_password_off(make_loop: MakeLoop, identify: str) -> None:
    """Password set and seen, erased, seen gone. On flash an enhanced erase is a clear, and is called one."""
    bench = ata_bench(make_loop, ata_facts(identify), "ata-secure-erase-enhanced")
    row = bench.run(
        [
            Answer("hdparm -I", identify),
            Answer(SET_PASSWORD),
            Answer("hdparm -I", with_security(identify, enabled=True)),
            Answer(ERASE, effect=bench.blank),
            Answer("hdparm -I", identify),
            Answer("hdparm -V", "hdparm v9.65\n"),
            Answer("hdparm -I", identify),
        ]
    )
    assert (row["verdict"], row["status"], row["method"]) == ("pass", "erased", "clear"), bench.codes()


@pytest.mark.parametrize("way", ["refused", "timed out", "still enabled"])
def test_failed_security_erase_leaves_no_password(make_loop: MakeLoop, identify: str, way: str) -> None:
    """Whatever became of the erase, the password is taken off on the way out, locked or not."""
    enabled = with_security(identify, enabled=True)
    locked = with_security(identify, enabled=True, locked=True)
    erase = {
        "refused": [Answer(ERASE, stderr=ABORTED), Answer("hdparm -I", enabled)],
        "timed out": [Answer(ERASE, times_out=True)],
        "still enabled": [Answer(ERASE), Answer("hdparm -I", locked)],
    }[way]
    found = enabled if way == "refused" else locked
    free = [Answer("hdparm -I", found)]
    free += [Answer(UNLOCK), Answer("hdparm -I", enabled)] if found is locked else []
    free += [Answer(DISABLE), Answer("hdparm -I", identify)]
    bench = ata_bench(make_loop, ata_facts(identify), "ata-secure-erase-enhanced")
    start = [Answer("hdparm -I", identify), Answer(SET_PASSWORD), Answer("hdparm -I", enabled)]
    row = bench.run([*start, *erase, *free])
    assert row["status"] == "not-erased"
    assert row["verdict"] == ("fail" if way == "refused" else "unknown")
    assert "wipe.ata.password" not in bench.codes()


def test_security_erase_that_gave_up_late_is_unknown(make_loop: MakeLoop, identify: str) -> None:
    """The drive worked for an hour and then aborted: that is no refusal, and nothing weaker follows."""
    enabled = with_security(identify, enabled=True)
    bench = ata_bench(make_loop, ata_facts(identify, sanitize=frozenset()))
    row = bench.run(
        [
            Answer("hdparm -I", identify),
            Answer(SET_PASSWORD),
            Answer("hdparm -I", enabled),
            Answer(ERASE, stderr=ABORTED, seconds=3600.0),
            Answer("hdparm -I", enabled),
            Answer("hdparm -I", enabled),
            Answer(DISABLE),
            Answer("hdparm -I", identify),
        ]
    )
    assert (row["verdict"], row["fallbacks"]) == ("unknown", [])


def test_exceptions_are_those_of_what_was_done(make_loop: MakeLoop, identify: str) -> None:
    """A sanitize would have reached the hidden area; the overwrite that followed its refusal did not, and says so."""
    refused = STARTED + ABORTED
    facts = dataclasses.replace(ata_facts(identify, sanitize=frozenset(("block",))), hpa_hidden=5000)
    frozen = dataclasses.replace(facts, security=dataclasses.replace(facts.security, frozen=True))
    bench = ata_bench(make_loop, frozen)
    row = bench.run([Answer("--sanitize-status", IDLE), Answer("--sanitize-block-erase", refused)])
    assert (row["verdict"], row["status"], row["technique"]) == ("warn", "erased-with-exceptions", "overwrite")
    assert "5000" in str(row["exceptions"])


def test_erase_of_a_disk_that_took_no_mark_and_did_not_change(make_loop: MakeLoop) -> None:
    """A drive that lets nobody write before its erase, and holds the same afterwards, whatever it says."""
    bench = nvme_bench(make_loop, "nvme-format-crypto")
    real = os.pwrite

    def failing(file: int, data: object, offset: int) -> int:
        raise OSError(5, "Input/output error")

    def restore() -> None:
        os.pwrite = real  # type: ignore[assignment]

    os.pwrite = failing  # type: ignore[assignment]
    try:
        row = bench.run([Answer("--ses=2", effect=restore), Answer("nvme version", "nvme version 2.3\n")])
    finally:
        restore()
    assert (row["verdict"], row["status"]) == ("fail", "not-erased"), bench.codes()
    assert row["before"]["digest"] == row["after"]["digest"]  # type: ignore[index]
    assert row["bytes_written"] == 0


def test_password_that_stays_is_said_with_the_remedy(make_loop: MakeLoop, identify: str) -> None:
    """Where the drive keeps it in spite of all, a person is told the password and the command."""
    enabled = with_security(identify, enabled=True)
    bench = ata_bench(make_loop, ata_facts(identify), "ata-secure-erase-enhanced")
    row = bench.run(
        [
            Answer("hdparm -I", identify),
            Answer(SET_PASSWORD),
            Answer("hdparm -I", enabled),
            Answer(ERASE, stderr=ABORTED),
            Answer("hdparm -I", enabled),
            Answer("hdparm -I", enabled),
            Answer(DISABLE, stderr=ABORTED),
            Answer("hdparm -I", enabled),
        ]
    )
    assert row["status"] == "not-erased"
    text = next(str(data["summary"]) for kind, data in bench.said if data.get("code") == "wipe.ata.password")
    assert "hdparm --security-disable liveagent" in text


# -- SCSI ------------------------------------------------------------------------------------------

# sg_requests' and sg_turs' form, sg3_utils 1.46.
SCSI_BUSY = (
    "Fixed format, current; Sense key: Not Ready\nAdditional sense: Logical unit not ready, sanitize in progress\n"
)
SCSI_BUSY += "  Sense Key Specific: Progress indication: 12.34% done\n"
SCSI_FAILED = "Fixed format, current; Sense key: Medium Error\nAdditional sense: Sanitize command failed\n"
SCSI_GOOD = "Fixed format, current; Sense key: No Sense\nAdditional sense: No additional sense information\n"
TUR_GOOD = "    test unit ready cdb: [00 00 00 00 00 00]\n"


def scsi_bench(make_loop: MakeLoop, *kinds: str, method: str = "auto", state: ScsiState = ScsiState.READY) -> Bench:
    facts = ScsiFacts(frozenset(kinds), 0, 512, False, False, 0, state, None)
    return Bench(make_loop(SIZE, MARK), Drive(scsi=facts), WipeOptions(method=method), transport=Transport.SAS)


def test_scsi_sanitize_is_seen_from_start_to_end(make_loop: MakeLoop) -> None:
    """Started, in progress, ready again, marks gone."""
    bench = scsi_bench(make_loop, "block", "crypto")
    row = bench.run(
        [
            Answer("sg_sanitize --block --quick --early", effect=bench.blank),
            Answer("sg_requests", SCSI_BUSY),
            Answer("sg_requests", SCSI_GOOD),
            Answer("sg_turs", stderr=TUR_GOOD),
            Answer("sg_sanitize --version", stderr="version: 1.14 20191220\n"),
        ]
    )
    assert (row["verdict"], row["technique"], row["method"]) == ("pass", "scsi-sanitize-block", "purge"), bench.codes()


def test_scsi_refusal_falls_back_to_a_clear_and_says_so(make_loop: MakeLoop, corpus: Path) -> None:
    """A real MX500 behind SAT: invalid opcode, exit status 9. The disk is overwritten, which is less, and said."""
    refused = (corpus / "sg3" / "mx500-illegal-request.txt").read_text()
    bench = scsi_bench(make_loop, "block")
    row = bench.run([Answer("sg_sanitize --block", stderr=refused, status=9)])
    assert (row["verdict"], row["status"], row["method"]) == ("warn", "erased", "clear")
    assert "wipe.fell_back" in bench.codes()


def test_scsi_sanitize_that_fails_is_unknown(make_loop: MakeLoop) -> None:
    """The drive's own sense says that it failed: unknown, and nothing follows."""
    bench = scsi_bench(make_loop, "overwrite")
    row = bench.run(
        [Answer("sg_sanitize --overwrite --zero"), Answer("sg_requests", SCSI_BUSY), Answer("sg_requests", SCSI_FAILED)]
    )
    assert (row["verdict"], row["status"]) == ("unknown", "not-erased")


# -- Opal ------------------------------------------------------------------------------------------


def opal_bench(make_loop: MakeLoop) -> Bench:
    drive = Drive(opal=OpalFacts(True, True, True))
    options = WipeOptions(method="opal-psid-revert", psid=(("", PSID),))
    return Bench(make_loop(SIZE, MARK), drive, options, transport=Transport.SATA)


def test_wrong_psid_never_began(make_loop: MakeLoop) -> None:
    """The drive refuses it: a failure that says what to look at, and the disk is as it was but for the marks.

    sedutil 1.15's words; the kernel's own ioctl does not exist on a loop device.
    """
    bench = opal_bench(make_loop)
    row = bench.run([Answer("sedutil-cli", "method status code NOT_AUTHORIZED\n", status=1)])
    assert (row["verdict"], row["status"]) == ("fail", "not-erased")
    assert "label" in str(
        next(data["summary"] for _, data in bench.said if data.get("code") == "wipe.technique.refused")
    )
    assert PSID not in str(bench.said) and PSID not in str(row)


def test_psid_revert(make_loop: MakeLoop) -> None:
    """The revert is confirmed by the tool's words and by the marks."""
    bench = opal_bench(make_loop)
    row = bench.run([Answer("sedutil-cli", "revertTper completed successfully\n", effect=bench.blank)])
    assert (row["verdict"], row["technique"], row["method"]) == ("pass", "opal-psid-revert", "purge")


# -- several namespaces ----------------------------------------------------------------------------


class Member:
    """As much of a job as a joint looks at."""

    def __init__(self, name: str) -> None:
        self.disk = self
        self.account = self
        self.name = name

    def check(self) -> None:
        """Nobody cancels here."""

    def alive(self, progress: float | None) -> None:
        """Nobody watches here."""


def join(joint: Joint, name: str, command: Any, box: dict[str, object]) -> threading.Thread:
    def work() -> None:
        try:
            box[name] = joint.run("nvme-sanitize-block", Member(name), command)  # type: ignore[arg-type]
        except NotBegun as error:
            box[name] = error

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_joint_command_is_given_once_when_all_are_ready() -> None:
    """Two namespaces of a drive: one sanitize, after both are marked; both get what came of it."""
    joint, given, box = Joint(frozenset(("nvme0n1", "nvme0n2"))), [], {}  # type: ignore[var-annotated]

    def command() -> Erased:
        given.append(1)
        return Erased("nvme-cli 2.3", True)

    threads = [join(joint, name, command, box) for name in ("nvme0n1", "nvme0n2")]
    for thread in threads:
        thread.join(10)
    assert given == [1]
    assert [type(one) for one in box.values()] == [Erased, Erased]


def test_giver_that_is_cancelled_leaves_nobody_waiting() -> None:
    """The one that was to give the command was ready, and then left: the other goes on with something else."""
    joint, given, box = Joint(frozenset(("nvme0n1", "nvme0n2"))), [], {}  # type: ignore[var-annotated]

    class Leaving(Member):
        def check(self) -> None:
            raise Cancelled("cancelled")

    with pytest.raises(Cancelled):
        joint.run("nvme-sanitize-block", Leaving("nvme0n1"), lambda: given.append(1))  # type: ignore[arg-type]
    joint.leave("nvme0n1")
    thread = join(joint, "nvme0n2", lambda: given.append(1), box)
    thread.join(10)
    assert not thread.is_alive() and not given and isinstance(box["nvme0n2"], NotBegun)


def test_joint_command_is_not_given_when_a_member_left() -> None:
    """A namespace that is refused at the last look must not be erased by its sibling's command."""
    joint, given, box = Joint(frozenset(("nvme0n1", "nvme0n2"))), [], {}  # type: ignore[var-annotated]
    thread = join(joint, "nvme0n1", lambda: given.append(1), box)
    joint.leave("nvme0n2")
    thread.join(10)
    assert not given and isinstance(box["nvme0n1"], NotBegun)


# -- drives that nobody can read yet ---------------------------------------------------------------


def test_drive_left_with_our_password_is_freed(make_loop: MakeLoop, identify: str) -> None:
    """A wipe that the power ended in the middle of a security erase: unlocked, and the password taken off."""
    locked, enabled = (
        with_security(identify, enabled=True, locked=True),
        with_security(identify, enabled=True),
    )
    bench = ata_bench(make_loop, ata_facts(identify))
    script = [Answer("hdparm -I", locked), Answer(UNLOCK), Answer("hdparm -I", enabled)]
    host = ScriptedHost([*script, Answer(DISABLE), Answer("hdparm -I", identify)])
    facts = recover(host, bench.disk)
    assert facts and not facts.security.enabled and not host.script


def test_somebody_else_s_password_is_tried_once(make_loop: MakeLoop, identify: str) -> None:
    """Each wrong password brings a drive nearer to where it takes none: one try, and the drive stays as it was."""
    locked = with_security(identify, enabled=True, locked=True)
    bench = ata_bench(make_loop, ata_facts(identify))
    host = ScriptedHost([Answer("hdparm -I", locked), Answer(UNLOCK, stderr=ABORTED), Answer("hdparm -I", locked)])
    facts = recover(host, bench.disk)
    assert facts and facts.security.locked and not host.script


BLIND = [
    (Drive(nvme=nvme_facts(log=parse_sanitize_log(RUNNING))), "", SIZE, True),
    (Drive(nvme=nvme_facts()), "", SIZE, False),
    (Drive(scsi=ScsiFacts(frozenset(), 0, None, False, False, None, ScsiState.SANITIZING, 0.1)), "", 0, True),
    (Drive(scsi=ScsiFacts(frozenset(), 0, 520, False, False, None, ScsiState.READY, None)), "", 0, False),
    (Drive(opal=OpalFacts(True, True, True)), PSID, SIZE, True),
    (Drive(opal=OpalFacts(True, True, True)), PSID, 0, False),
    (Drive(opal=OpalFacts(True, True, True)), "", SIZE, False),
    (Drive(opal=OpalFacts(True, True, False)), PSID, SIZE, False),
    (Drive(), PSID, SIZE, False),
]


@pytest.mark.parametrize(("drive", "psid", "size", "is_taken"), BLIND)
def test_who_need_not_be_read(drive: Drive, psid: str, size: int, is_taken: bool) -> None:
    """A disk that cannot be read may belong to a cluster; only a drive that erases itself, or is reverted, may not."""
    assert can_be_blind(Held(make_disk(size=size), ()), drive, psid) is is_taken


def test_running_ata_and_scsi_sanitizes_are_waited_for(make_loop: MakeLoop, identify: str) -> None:
    """The same for the other protocols: nothing is sent but the question how it stands."""
    running = dataclasses.replace(sanitizing(identify), status=parse_sanitize_status(BUSY))
    bench = ata_bench(make_loop, running)
    bench.blank()
    row = bench.run([Answer("--sanitize-status", BUSY), Answer("--sanitize-status", ENDED)])
    assert (row["verdict"], row["status"], row["method"]) == ("warn", "erased", "purge")
    bench = scsi_bench(make_loop, "block", state=ScsiState.SANITIZING)
    bench.blank()
    row = bench.run([Answer("sg_requests", SCSI_BUSY), Answer("sg_requests", SCSI_FAILED)])
    assert (row["verdict"], row["status"]) == ("unknown", "not-erased")


def test_sanitize_that_was_waited_for_and_left_a_file_system(make_loop: MakeLoop) -> None:
    """The drive says that it is done, and an ext4 is still there: the only witness there is, and it is heard."""
    bench = nvme_bench(make_loop, log=parse_sanitize_log(RUNNING))
    subprocess.run(["mkfs.ext4", "-q", "-F", bench.device], check=True, timeout=60)
    row = bench.run([Answer(ASK_LOG, RUNNING), Answer(ASK_LOG, DONE)])
    assert (row["verdict"], row["status"]) == ("unknown", "not-erased")
    assert "ext4" in row["after"]["holds"]  # type: ignore[index]
