"""Complaints of the kernel: each under its own name, corrected ones never as uncorrected, and a plain boot none."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveagent.machine.kernel_log import PATTERNS, parse_kernel_log
from liveagent.tasks.hwdiag.checks.kernel_log import CODES


def read(corpus: Path, name: str) -> list[tuple[str, str, int]]:
    log = parse_kernel_log((corpus / name).read_text(encoding="utf-8", errors="replace"))
    return [(one.code, one.part, one.count) for one in log.complaints]


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("file", "complaints"),
    [
        (
            "dmesg-errors/aer-nvme-rxerr.txt",
            [("kernel.aer.corrected", "0000:00:1d.0", 1), ("kernel.aer.corrected", "0000:03:00.0", 1)],
        ),
        ("dmesg-errors/edac-sbridge-overflow-262-ce.txt", [("kernel.edac.corrected", "MC1", 1)]),
        ("dmesg-errors/edac-sbridge-scrub-ce.txt", [("kernel.mce", "", 1), ("kernel.edac.corrected", "MC1", 1)]),
        ("dmesg-errors/nvme-timeout-reset-removed.txt", [("kernel.nvme", "nvme2", 4), ("kernel.nvme", "nvme3", 4)]),
        ("dmesg/vm-dmesg-medium-error.txt", [("kernel.medium", "sdc", 6)]),
        # Whole boots of healthy machines, 1,550 and 465 lines.
        ("dmesg/hw-full-boot.txt", []),
        ("dmesg/percona-005.txt", []),
        ("dmesg/percona-001.txt", [("kernel.firmware", "", 1)]),
        ("journal/jc-syslog-3164.txt", []),
    ],
)
def test_real_logs(corpus: Path, file: str, complaints: list[tuple[str, str, int]]) -> None:
    assert read(corpus, file) == complaints


@pytest.mark.parametrize(
    ("line", "code", "part"),
    [
        ("EDAC MC0: 1 UE memory read error on CPU_SrcID#0", "kernel.edac.uncorrected", "MC0"),
        ("nvme 0000:01:00.0: PCIe Bus Error: severity=Uncorrectable", "kernel.aer.uncorrected", "0000:01:00.0"),
        ("{1}[Hardware Error]: event severity: corrected", "kernel.ghes.corrected", ""),
        ("{1}[Hardware Error]: event severity: fatal", "kernel.ghes.uncorrected", ""),
        ("I/O error, dev sda, sector 2048 op 0x0:(READ)", "kernel.io", "sda"),
        ("ata3: hard resetting link", "kernel.ata.reset", "ata3"),
        ("ata3.00: failed command: READ FPDMA QUEUED", "kernel.ata.failed", "ata3.00"),
        ("NETDEV WATCHDOG: eth0 (ixgbe): transmit queue 3 timed out", "kernel.nic.reset", "eth0"),
        ("CPU12: Core temperature above threshold, cpu clock throttled", "kernel.throttle", "CPU12"),
        ("INFO: task fsck:412 blocked for more than 120 seconds.", "kernel.hang", "fsck"),
        ("NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus.", "kernel.xid", "0000:3b:00"),
    ],
)  # fmt: skip
def test_lines(line: str, code: str, part: str) -> None:
    for stamp in ("", "[   12.345678] ", "Feb 23 03:28:16 host kernel: ", "<3>[   12.345678] "):
        [found] = parse_kernel_log(stamp + line).complaints
        assert (found.code, found.part, found.last) == (code, part, line)


@pytest.mark.parametrize(
    "line",
    [
        "I/O error, dev loop0, sector 0",  # a file that was taken away under it
        "I/O error, dev sr0, sector 0",  # no medium
        "EXT4-fs (sda7): re-mounted. Opts: errors=remount-ro",
        "Buffer I/O error on dev sdc, logical block 582, async page read",
        "mei_me 0000:00:16.0: initialization failed.",
    ],
)
def test_what_is_no_complaint(line: str) -> None:
    assert parse_kernel_log(f"[    1.000000] {line}").complaints == ()


def test_every_pattern_has_a_code_and_the_other_way_round() -> None:
    assert {pattern.code for pattern in PATTERNS} == set(CODES)


@given(st.text())
def test_noise(text: str) -> None:
    for complaint in parse_kernel_log(text).complaints:
        assert complaint.first.isprintable()
