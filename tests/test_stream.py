"""What a command prints, cut into lines: each as a terminal would show it, in bounded memory, while it is drawn too."""

from __future__ import annotations

import pytest

from liveagent import stream
from liveagent.stream import LINE_LIMIT, Stream, draw


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("plain", "plain"),
        ("10%\r20%\r100%", "100%"),
        ("long text\rshort", "shorttext"),  # what is not drawn over stays
        ("long text\r\x1b[Kshort", "short"),  # and what is erased does not
        ("abc\b\bX", "aXc"),
        ("\b\bstart", "start"),
        ("ab\x1b[1KX", "  X"),
        ("gone\x1b[2K\rall", "all"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;a title\x07text", "text"),
        ("\x1bcreset", "reset"),
        ("broken \x1b", "broken "),
        ("größe ✓\r✓", "✓röße ✓"),
    ],
)
def test_a_line_as_a_terminal_shows_it(printed: str, shown: str) -> None:
    """A bar that is drawn a thousand times is one line of a report, as it stood at the end."""
    assert draw(printed)[0] == shown


@pytest.mark.parametrize("piece", [1, 7, 4096])
def test_lines_however_they_are_cut(piece: int) -> None:
    """Where a read ends says nothing about where a letter or a line does."""
    text = "eins\r\n 10%\r 20% ✓\nzwei\b\bXX\nende\r".encode()
    heard: list[str] = []
    lines = Stream(heard.append)
    for start in range(0, len(text), piece):
        lines.take(text[start : start + piece])
    lines.end()
    assert heard == ["eins", " 20% ✓", "zwXX", "ende"]
    assert bytes(lines.kept) == text


def test_a_line_that_is_drawn_for_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is heard now and then, kept small, and its end is what stands there in the end."""
    monkeypatch.setattr(stream, "REDRAW", 0.0)
    heard: list[str] = []
    lines = Stream(heard.append)
    for percent in range(5001):
        lines.take(f"{percent / 50:6.2f}% done ✓".encode() + b"\b" * 14)
        assert len(lines._line) <= LINE_LIMIT
    lines.take(b"finished      \n")
    assert heard[0] == "  0.00% done ✓" and heard[-2] == "100.00% done ✓"
    assert heard[-1] == "finished"
    assert heard[len(heard) // 2].endswith("% done ✓")


def test_a_line_that_is_drawn_is_not_told_all_the_time() -> None:
    """Ten seconds lie between two looks at a line that has no end yet."""
    heard: list[str] = []
    lines = Stream(heard.append)
    for percent in range(1000):
        lines.take(f"{percent}\r".encode())
    assert heard == []
    lines.end()
    assert heard == ["999"]
