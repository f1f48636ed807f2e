"""What a command prints: colours on a terminal alone, and nothing that is not text anywhere."""

from __future__ import annotations

import io

import pytest

from liveagent.report.words import print_lines, print_table

EVIL = "model \x1b[2J\x1b]0;title\x07 [bold]:smile:[/bold]"
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
    """Clean everywhere; a verdict is coloured where it is a word of its own, and a long line stays one."""
    for stream in (io.StringIO(), Terminal()):
        print_lines([EVIL], stream)
        assert stream.getvalue() == CLEAN + "\n"
    stream = Terminal()
    print_lines(["wipe: FAIL: PASSAGE " + "x" * 200], stream)
    assert stream.getvalue() == "wipe: \x1b[1;31mFAIL\x1b[0m: PASSAGE " + "x" * 200 + "\n"


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
