from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from liveagent.machine.nvme import (
    Namespace,
    SanitizeLog,
    SanitizeState,
    parse_id_ctrl,
    parse_id_ns,
    parse_list_ns,
    parse_sanitize_log,
    probe_nvme,
    probe_sanitize_log,
)
from tests.machine.replies import HANGS, NOT_INSTALLED, NVME, Reply, make_replay

NO_TIMES = {"block": None, "overwrite": None, "crypto": None}


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("vm-nvme-id-ctrl.json", ("QNVME0001", True, False, False, set(), True)),
        (
            "ipa-nvme-cli-info-template-crypto-supported.json",
            ("1951B3444502", True, True, False, {"crypto", "block"}, False),
        ),
        (
            "ipa-nvme-cli-info-template-format-unsupported.json",
            ("1951B3444502", False, False, False, {"crypto", "block"}, False),
        ),
        ("ironlib-id-ctrl-human.txt", ("S5P2NG0R824326R", True, True, False, set(), False)),
    ],
)
def test_id_ctrl_of_real_drives(corpus: Path, file: str, expected: tuple[Any, ...]) -> None:
    """What a drive offers decides how it is erased: Format, crypto erase, and what sanitize can do."""
    found = parse_id_ctrl(json.loads((corpus / "nvme" / file).read_text()))
    assert found is not None
    offers = (found.serial, found.format, found.format_crypto, found.format_all, set(found.sanitize))
    assert (*offers, found.manages_namespaces) == expected
    assert not found.rpmb


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"oacs": 0b10}, {"format": True}),
        ({"fna": 0b01}, {"format_all": True}),
        ({"fna": 0b10}, {"format_all": True}),
        ({"fna": 0b100}, {"format_crypto": True}),
        ({"sanicap": 0b100}, {"sanitize": frozenset({"overwrite"})}),
        ({"sanicap": 0xA0000007}, {"sanitize": frozenset({"crypto", "block", "overwrite"})}),
        ({"sanicap": 0xA0000000}, {"sanitize": frozenset()}),
        ({"rpmbs": 0x40001}, {"rpmb": True}),
        ({"rpmbs": 0x40000}, {"rpmb": False}),
        # nvme-cli writes some numbers as text, and which ones changes.
        ({"fna": "0x4"}, {"format_crypto": True}),
        ({"sn": "00000000", "mn": " A\0"}, {"serial": "", "model": "A"}),
    ],
)
def test_id_ctrl_bits(change: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Each bit by itself; the upper bits of SANICAP are no operations."""
    none = parse_id_ctrl({"sn": "S", "oacs": 0})
    found = parse_id_ctrl({"sn": "S", "oacs": 0, **change})
    assert none and found
    assert found == dataclasses.replace(none, **expected)


@pytest.mark.parametrize("document", [{}, {"error": "No such device"}, {"sn": "S"}])
def test_what_is_no_id_ctrl_offers_nothing(document: Mapping[str, Any]) -> None:
    """An error in JSON must not read as a drive that merely lacks Format."""
    assert parse_id_ctrl(document) is None


FORMATS = [{"ms": 0, "ds": 9, "rp": 0}, {"ms": 8, "ds": 12, "rp": 0}] + [{"ms": 0, "ds": 12}] * 16


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"flbas": 0, "dps": 0, "lbafs": FORMATS}, Namespace(512, 0, 0)),
        ({"flbas": 1, "dps": 1, "lbafs": FORMATS}, Namespace(4096, 8, 1)),
        # Bit 4: metadata at the end of the block. DPS bit 3: protection information before it.
        ({"flbas": 0x11, "dps": 0b1011, "lbafs": FORMATS}, Namespace(4096, 8, 3)),
        # Format 17 of 18: bits 6:5 stand above bits 3:0.
        ({"flbas": 0x21, "dps": 0, "lbafs": FORMATS}, Namespace(4096, 0, 0)),
        ({"flbas": 2, "dps": 0, "lbafs": FORMATS[:2]}, None),
        # What a drive answers for a namespace that is not attached: zeros.
        ({"flbas": 0, "dps": 0, "lbafs": [{"ms": 0, "ds": 0, "rp": 0}]}, None),
        ({"flbas": 0}, None),
        ({}, None),
    ],
)
def test_id_ns(document: Mapping[str, Any], expected: Namespace | None) -> None:
    """A format keeps the block size; one that was misread would leave a drive that the next system cannot use."""
    assert parse_id_ns(document) == expected


@pytest.mark.corpus
def test_id_ns_of_a_drive(corpus: Path) -> None:
    """The form of nvme-cli 2.3."""
    document = json.loads((corpus / "nvme" / "vm-nvme-id-ns.json").read_text())
    assert parse_id_ns(document) == Namespace(512, 0, 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[   0]:0x1\n[   1]:0x2\n[   2]:0x10\n", (1, 2, 16)),
        ("", ()),
        ("NVMe status: Invalid Field in Command: A reserved coded value [0]:0x2002\n", ()),
    ],
)
def test_list_ns(text: str, expected: tuple[int, ...]) -> None:
    """The text form of nvme-cli; ids are hexadecimal."""
    assert parse_list_ns(text) == expected


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (
            "in-progress-35-percent-human.txt",
            SanitizeLog(SanitizeState.RUNNING, 23297 / 65536, "block", 0, NO_TIMES),
        ),
        ("libnvme-1.11-completed.txt", SanitizeLog(SanitizeState.COMPLETED, 65535 / 65536, "block", 0, NO_TIMES)),
        (
            "libnvme-1.12-all-zero.txt",
            SanitizeLog(SanitizeState.NEVER, 0.0, "", 0, {"block": 0.0, "overwrite": None, "crypto": None}),
        ),
        ("vm-nvme-sanitize-log.txt", None),
        ("in-progress-old-layout.txt", None),
        ("vm-nvme-id-ctrl.json", None),
        ("own-nvme-id-ctrl-no-device.txt", None),
    ],
)
def test_sanitize_log_of_real_drives(corpus: Path, file: str, expected: SanitizeLog | None) -> None:
    """The form for people; a log of zeros is a drive that never sanitized, and no evidence that it did not."""
    assert parse_sanitize_log((corpus / "nvme" / file).read_text()) == expected


def make_log(sstat: Any, **more: Any) -> str:
    """The log as nvme-cli 2.3 prints it; nobody recorded one."""
    values = {"sprog": 65535, "sstat": sstat, "cdw10_info": 4, "time_over_write": 36000, "time_block_erase": 120}
    return json.dumps({"nvme0": {**values, "time_crypto_erase": 4294967295, **more}})


def status(text: str, passes: int = 0, key: str = "status") -> dict[str, Any]:
    return {"global_erased": 1, "no_cmplted_passes": passes, key: text}


OK = "(1) Most Recent Sanitize Command Completed Successfully."
NO_DEALLOCATE = "(4) Most Recent Sanitize Command (No-Deallocate After Sanitize) Completed Successfully."


@pytest.mark.parametrize(
    ("text", "state", "action", "passes"),
    [
        (make_log(status("(0) NVM Subsystem has never been sanitized."), cdw10_info=0), "never", "", 0),
        (make_log(status(OK)), "completed", "crypto", 0),
        (make_log(status(NO_DEALLOCATE)), "completed", "crypto", 0),
        (make_log(status("(2) Sanitize in Progress.", passes=3), cdw10_info=0x23), "running", "overwrite", 3),
        (make_log(status("(3) Most Recent Sanitize Command Failed."), cdw10_info=2), "failed", "block", 0),
        (make_log(status("(3) Most Recent Sanitize Command Failed."), cdw10_info=1), "failed", "exit-failure", 0),
        # Some versions wrote the state's own words for the key.
        (make_log(status(OK, key=OK[4:])), "completed", "crypto", 0),
        # The register as a number (1.x), and as text, below the controller's name or by itself.
        (make_log(0x10A), "running", "crypto", 1),
        (make_log("0x101"), "completed", "crypto", 0),
        ('{"sprog": 100, "sstat": 2, "scdw10": 2}', "running", "block", 0),
        # nvme-cli 2.11 has more keys than 2.3.
        (make_log({"media_verification_canceled": 0, **status(OK)}, sanitize_state=0), "completed", "crypto", 0),
    ],
)
def test_sanitize_log_as_json(text: str, state: str, action: str, passes: int) -> None:
    """Every shape that nvme-cli has given the log: what is misread here would be called erased, or waited for."""
    log = parse_sanitize_log(text)
    assert log is not None
    assert (log.state.value, log.action, log.passes) == (state, action, passes)


def test_sanitize_log_times() -> None:
    """No time given is None: 136 years would be a strange thing to tell people."""
    log = parse_sanitize_log(make_log(status("(2) Sanitize in Progress."), sprog=16384))
    assert log is not None
    assert log.progress == 0.25
    assert log.estimates == {"overwrite": 36000.0, "block": 120.0, "crypto": None}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"nvme0": {"sprog": 65535}}',
        make_log({}),
        make_log(status("Sanitize in Progress.")),
        make_log(5),
        make_log(status(OK), sprog=None),
        make_log(status(OK), sprog=70000),
        make_log(status(OK))[:60],
    ],
)
def test_sanitize_log_that_says_nothing_is_unknown(text: str) -> None:
    """A log that is cut, or of a state that nobody knows, is neither a success nor a reason to start anew."""
    assert parse_sanitize_log(text) is None


ID_CTRL = json.dumps(
    {"sn": "S4EWNX0N123456      ", "mn": "Model", "fr": "1.0", "oacs": 0b1010, "fna": 4, "sanicap": 3, "rpmbs": 0}
)
ID_NS = json.dumps({"flbas": 0, "dps": 0, "lbafs": FORMATS})
INVALID_FIELD = Reply(stderr="NVMe status: Invalid Field in Command(0x2002)\n", status=1)


def make_replies(controller: str = "nvme0", **change: str | Reply) -> dict[str, str | Reply]:
    replies: dict[str, str | Reply] = {
        "id_ctrl": ID_CTRL,
        "list": "[   0]:0x1\n",
        "list_all": "[   0]:0x1\n[   1]:0x2\n",
        "id_ns": ID_NS,
        "log": make_log(status(OK)),
    }
    commands = {
        "id_ctrl": f"nvme id-ctrl /dev/{controller} --output-format=json",
        "list": f"nvme list-ns /dev/{controller}",
        "list_all": f"nvme list-ns /dev/{controller} --all",
        "id_ns": f"nvme id-ns /dev/{controller} --namespace-id=1 --output-format=json",
        "log": f"nvme sanitize-log /dev/{controller} --output-format=json",
    }
    return {commands[name]: reply for name, reply in {**replies, **change}.items()}


def test_probe(tmp_path: Path) -> None:
    """A drive with a namespace that is not attached: a format of the disk alone would leave it."""
    facts = probe_nvme(make_replay(tmp_path, make_replies()), NVME)
    assert facts is not None
    assert (facts.controller, facts.serial, facts.model, facts.firmware) == ("nvme0", "S4EWNX0N123456", "Model", "1.0")
    assert (facts.namespaces, facts.attached, facts.namespace, facts.all_listed) == ((1, 2), (1,), 1, True)
    assert (facts.format, facts.format_crypto, facts.format_all) == (True, True, False)
    assert (facts.block_size, facts.metadata_size, facts.protection, facts.rpmb) == (512, 0, 0, False)
    assert facts.sanitize == {"crypto", "block"}
    assert facts.log is not None and facts.log.state is SanitizeState.COMPLETED


def test_the_controller_is_the_one_with_the_disks_serial(tmp_path: Path) -> None:
    """After a reset nvme0 may be another drive; a command sent to it would erase that one."""
    other = ID_CTRL.replace("S4EWNX0N123456", "ANOTHER")
    disk = dataclasses.replace(NVME, nvme_controllers=("nvme0", "nvme3"))
    replies = {**make_replies(id_ctrl=other), **make_replies("nvme3")}
    facts = probe_nvme(make_replay(tmp_path, replies), disk)
    assert facts is not None and facts.controller == "nvme3"
    assert probe_nvme(make_replay(tmp_path, make_replies(id_ctrl=other)), NVME) is None


def test_a_drive_without_a_serial_is_known_by_topology_alone(tmp_path: Path) -> None:
    """With one controller there is nothing to mix up; with two there is."""
    nameless = ID_CTRL.replace("S4EWNX0N123456", "00000000000000")
    host = make_replay(tmp_path, make_replies(id_ctrl=nameless))
    disk = dataclasses.replace(NVME, serial="")
    assert probe_nvme(host, disk) is not None
    assert probe_nvme(host, dataclasses.replace(disk, nvme_controllers=("nvme0", "nvme0"))) is None
    assert probe_nvme(host, NVME) is None


@pytest.mark.parametrize(
    ("oacs", "is_known"),
    [(0b0010, True), (0b1010, False)],
)
def test_namespaces_that_were_not_listed(tmp_path: Path, oacs: int, is_known: bool) -> None:
    """A drive that manages namespaces and does not list them may hide some; one that cannot has what is attached."""
    id_ctrl = json.dumps({**json.loads(ID_CTRL), "oacs": oacs})
    facts = probe_nvme(make_replay(tmp_path, make_replies(id_ctrl=id_ctrl, list_all=INVALID_FIELD)), NVME)
    assert facts is not None
    assert (facts.namespaces, facts.all_listed) == ((1,), is_known)


@pytest.mark.parametrize(
    "change",
    [
        {"id_ctrl": NOT_INSTALLED},
        {"id_ctrl": HANGS},
        {"id_ctrl": Reply(ID_CTRL, status=1)},
        {"id_ctrl": "not json"},
        {"list": INVALID_FIELD},
        {"list": "[   0]:0x2\n"},
        {"list": HANGS},
        {"id_ns": INVALID_FIELD},
    ],
)
def test_a_drive_that_does_not_say_has_no_facts(tmp_path: Path, change: dict[str, str | Reply]) -> None:
    """Half an answer must not look like a drive that offers less, or holds fewer namespaces, than it does."""
    replies = make_replies(**change)
    if change.get("id_ctrl") is NOT_INSTALLED:
        replies = dict.fromkeys(replies, NOT_INSTALLED)
    assert probe_nvme(make_replay(tmp_path, replies), NVME) is None


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (make_log(status("(2) Sanitize in Progress.")), SanitizeState.RUNNING),
        (Reply(make_log(status(OK)), status=1), None),
        (INVALID_FIELD, None),
        (HANGS, None),
    ],
)
def test_probe_sanitize_log(tmp_path: Path, reply: str | Reply, expected: SanitizeState | None) -> None:
    """What is polled while a sanitize runs: no answer is None, and not the end of it."""
    log = probe_sanitize_log(make_replay(tmp_path, make_replies(log=reply)), "nvme0")
    assert (log.state if log else None) is expected


def test_a_drive_without_sanitize_is_not_asked_for_its_log(tmp_path: Path) -> None:
    """The question would leave an entry in the drive's error log."""
    id_ctrl = json.dumps({**json.loads(ID_CTRL), "sanicap": 0})
    replies = make_replies(id_ctrl=id_ctrl)
    del replies["nvme sanitize-log /dev/nvme0 --output-format=json"]
    facts = probe_nvme(make_replay(tmp_path, replies), NVME)
    assert facts is not None and facts.log is None
