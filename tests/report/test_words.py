"""What a command prints: colours on a terminal alone, and nothing that is not text anywhere."""

from __future__ import annotations

import collections
import io
import re

import pytest
from rich.cells import cell_len

from liveagent.report.words import GAP, SENTENCE, print_lines, print_table

EVIL = "model \x1b[2J\x1b]0;title\x07 [bold]:smile:[/bold]"
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
CLEAN = "model ?[2J?]0;title? [bold]:smile:[/bold]"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_lines() -> None:
    """Clean everywhere; a verdict is coloured where it is a word of its own, and a long word stays one."""
    for stream in (io.StringIO(), Terminal()):
        print_lines([EVIL], stream)
        assert stream.getvalue() == CLEAN + "\n"
    stream = Terminal()
    print_lines(["wipe: FAIL: PASSAGE " + "x" * 200], stream)
    assert stream.getvalue() == "wipe: \x1b[1;31mFAIL\x1b[0m: PASSAGE\n  " + "x" * 200 + "\n"


def test_a_command_is_not_parted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line breaks between words, and not within a command that somebody copies; elsewhere it is one line."""
    text = "certificate: /var/lib/liveagent/runs/a/certificate.html (`liveagent verify --unsigned a` checks it)"
    monkeypatch.setenv("COLUMNS", "80")
    plain, terminal = io.StringIO(), Terminal()
    for stream in (plain, terminal):
        print_lines([text], stream)
    assert plain.getvalue() == f"{text}\n"
    first, second = terminal.getvalue().splitlines()
    assert f"{first} {second.strip()}" == text and second.startswith("  (`liveagent verify --unsigned a` checks")


def test_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR is respected: the verdict is a word as well."""
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    print_lines(["wipe: WARN"], stream)
    assert stream.getvalue() == "wipe: WARN\n"


def test_tables() -> None:
    """The same cells on a terminal and elsewhere; a disk's model is text in both."""
    rows = [("20260102", "fail", EVIL), ("20260103", "pass", "a failure")]
    plain, terminal = io.StringIO(), Terminal()
    for stream in (plain, terminal):
        print_table(("run", "verdict", "summary"), rows, stream)
    assert plain.getvalue().splitlines() == [
        "run       verdict  summary",
        f"20260102  fail     {CLEAN}",
        "20260103  pass     a failure",
    ]
    assert CLEAN in terminal.getvalue() and "\x1b[1;31mfail\x1b[0m" in terminal.getvalue()
    assert "\x1b[2J" not in terminal.getvalue() and "\x1b[1;31mfail\x1b[0mure" not in terminal.getvalue()


# -- where a table does not fit ---------------------------------------------------------------------

RUNS = (
    ("run", "tasks", "verdict", "summary", "disks"),
    [
        ("20261129T222349Z-aa11bb", "wipe", "pass", "wipe: 2 disks erased (2 purged)", "/dev/sda, /dev/sdb"),
        (
            "20261129T224349Z-cc11cc",
            "hwdiag, wipe",
            "fail",
            "hwdiag: 3 findings; wipe: 17 of 18 disks erased, 1 failed",
            "",
        ),
    ],
)
NVME = "nvme-sanitize-block (purge: the drive offers it), else nvme-format-user, overwrite"
DISKS = (
    ("disk", "model", "serial", "size", "holds", "what will be done"),
    [
        ("/dev/nvme0n1", "SAMSUNG MZQL2960HCJR-00A07", "S64GNX0T100001", "960 GB", "gpt, ext4", NVME),
        (
            "/dev/sda",
            "-",
            "S4EWNX0N123456789000",
            "4.00 TB",
            "nothing recognised",
            "REFUSED: is mounted at /; is mounted at /run",
        ),
        ("", "", "", "", "", "REFUSED: `all` is refused: this is not a live image; name the disks"),
    ],
)
CHECKS = (
    ("verdict", "part", "what was found"),
    [
        ("pass", "/var/lib/liveagent", "can be written"),
        ("fail", "wipe", "needs hdparm, sg_sanitize, smartctl, mdadm, which is not installed"),
    ],
)
FACTS = ("", ""), [("model", "Xeon"), ("flags", "aes sha_ni avx " * 9)]


def show(table: tuple[tuple[str, ...], list[tuple[str, ...]]], width: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """What stands on a terminal so wide."""
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    print_table(*table, stream)
    return ESCAPE.sub("", stream.getvalue())


@pytest.mark.parametrize("width", [30, 40, 60, 80, 100, 120, 200])
@pytest.mark.parametrize("table", [RUNS, DISKS, CHECKS, FACTS], ids=["history", "dry-run", "doctor", "facts"])
def test_no_word_is_broken(
    table: tuple[tuple[str, ...], list[tuple[str, ...]]], width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run is copied and a serial compared: on no terminal is one cut, and no line is left to it to be broken."""
    text = show(table, width, monkeypatch)
    words = collections.Counter(word for row in table[1] for cell in row for word in cell.split())
    assert not words - collections.Counter(text.split())
    assert all(cell_len(line) <= width for line in text.splitlines())


def test_what_does_not_fit_stands_below(monkeypatch: pytest.MonkeyPatch) -> None:
    """Side by side what a row is known by, and below it by name what is long; a note is about no row above it."""
    assert show(DISKS, 80, monkeypatch).splitlines() == [
        "disk          model                       serial                size",
        "/dev/nvme0n1  SAMSUNG MZQL2960HCJR-00A07  S64GNX0T100001        960 GB",
        "  holds: gpt, ext4",
        "  what will be done: nvme-sanitize-block (purge: the drive offers it), else",
        "    nvme-format-user, overwrite",
        "/dev/sda      -                           S4EWNX0N123456789000  4.00 TB",
        "  holds: nothing recognised",
        "  what will be done: REFUSED: is mounted at /; is mounted at /run",
        "what will be done: REFUSED: `all` is refused: this is not a live image; name the",
        "  disks",
    ]
    assert show(RUNS, 60, monkeypatch).splitlines() == [
        "run                      tasks         verdict",
        "20261129T222349Z-aa11bb  wipe          pass",
        "  summary: wipe: 2 disks erased (2 purged)",
        "  disks: /dev/sda, /dev/sdb",
        "20261129T224349Z-cc11cc  hwdiag, wipe  fail",
        "  summary: hwdiag: 3 findings; wipe: 17 of 18 disks erased,",
        "    1 failed",
    ]


def test_a_sentence_wraps_where_it_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stays a table as long as a sentence can be read in its column, which is as wide as there is room for."""
    assert [line.rstrip() for line in show(CHECKS, 80, monkeypatch).splitlines()] == [
        "verdict  part                what was found",
        "pass     /var/lib/liveagent  can be written",
        "fail     wipe                needs hdparm, sg_sanitize, smartctl, mdadm, which",
        "                             is not installed",
    ]
    least = len("verdict  /var/lib/liveagent  ") + SENTENCE + GAP
    assert "what was found: " not in show(CHECKS, least, monkeypatch)
    assert "\n  what was found: can be written\n" in show(CHECKS, least - 1, monkeypatch)
    lines = show((("a", "b"), [("one two " * 10, "three four " * 40)]), 120, monkeypatch).splitlines()
    assert lines[0].index("b") == 60 and max(map(len, lines)) <= 120


def test_colours_of_what_stands_below(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verdict is in its colour wherever it stands, and a word of a sentence is not."""
    monkeypatch.setenv("COLUMNS", "30")
    stream = Terminal()
    print_table(("run", "verdict", "summary"), [("20261129T222349Z-aa11bb", "fail", "to fail is \x1b[2Jhuman")], stream)
    assert "  verdict: \x1b[1;31mfail\x1b[0m\n  summary: to fail is" in stream.getvalue()
    assert "\x1b[2J" not in stream.getvalue()
