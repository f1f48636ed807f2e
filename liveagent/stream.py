"""What a command prints, as it comes: bounded in memory, cut into lines, each as a terminal would show it."""

from __future__ import annotations

import re
import time
from typing import Callable

# What is kept of one command's output; a tool that prints more than this is not read for its text.
OUTPUT_LIMIT = 16 * 1024 * 1024
LINE_LIMIT = 64 * 1024
# So far back a place between words is looked for, to cut there.
WORD_LIMIT = 4 * 1024
# How often a line that draws over itself (a bar, a count) is told while it has no end yet, in seconds.
REDRAW = 10.0

OnLine = Callable[[str], None]


def until_it_raises(on_line: OnLine) -> OnLine:
    """A listener that is not called again once it has raised: its first fault is the one that counts."""
    listening = True

    def tell(line: str) -> None:
        nonlocal listening
        if listening:
            listening = False
            on_line(line)
            listening = True

    return tell


# What moves a terminal's cursor within a line, erases in it (ECMA-48, EL), or shows nothing at all.
_MOVES = re.compile(
    r"(?P<text>[^\r\x08\x1b]+)|\r|\x08|\x1b\[(?P<erase>[0-2]?)K"
    r"|\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.?"
)


def draw(line: str) -> tuple[str, int]:
    """(what a terminal shows of a line, where its cursor then stands); colours leave nothing."""
    cells: list[str] = []
    cursor = 0
    for move in _MOVES.finditer(line):
        text, erase = move["text"], move["erase"]
        if text:
            cells += " " * (cursor - len(cells))
            cells[cursor : cursor + len(text)] = text
            cursor += len(text)
        elif erase is not None:
            if erase != "1":
                del cells[cursor if erase != "2" else 0 :]
            if erase == "1":
                cells[:cursor] = " " * cursor
        elif move[0] == "\r":
            cursor = 0
        elif move[0] == "\b":
            cursor = max(cursor - 1, 0)
    return "".join(cells), cursor


def is_drawn(line: bytes | bytearray) -> bool:
    """Whether a line is more than its text: most are not, and cost nothing."""
    return b"\r" in line or b"\b" in line or b"\x1b" in line


class Stream:
    """What was read of one pipe: the first `keep` bytes, and lines for whoever listens. `taken` counts bytes."""

    def __init__(self, on_line: OnLine | None, keep: int = OUTPUT_LIMIT) -> None:
        self._keep = keep
        self.kept = bytearray()
        self.taken = 0
        self.truncated = False
        self._on_line = on_line
        self._line = bytearray()
        self._redrawn = (time.monotonic(), "")

    def take(self, data: bytes) -> None:
        self.taken += len(data)
        room = self._keep - len(self.kept)
        self.kept += data[:room]
        self.truncated = self.truncated or len(data) > room
        if self._on_line is None:
            return
        self._line += data
        *lines, rest = bytes(self._line).split(b"\n")
        self._line = bytearray(rest)
        for line in lines:
            self._tell(line)
        if self._line and is_drawn(self._line):
            self._redraw()
        if len(self._line) > LINE_LIMIT:
            # Between words, so that one that has to be hidden stands in one piece.
            cut = max(self._line.rfind(space, -WORD_LIMIT) for space in (b" ", b"\t")) + 1 or len(self._line)
            self._tell(bytes(self._line[:cut]))
            del self._line[:cut]

    def _redraw(self) -> None:
        """Shorten a line that draws over itself to what is to be seen of it, and tell it now and then."""
        told, before = self._redrawn
        is_due = time.monotonic() - told >= REDRAW
        end = max(self._line.rfind(mark) for mark in (b"\r", b"\b")) + 1
        if not end or not (is_due or end > LINE_LIMIT // 2):
            return
        # The same picture with the cursor at the same place; what follows may be half a letter.
        shown, cursor = draw(self._line[:end].decode("utf-8", "replace"))
        self._line[:end] = f"{shown}\r{shown[:cursor]}".encode()
        shown = shown.rstrip()
        if is_due and self._on_line and shown and shown != before:
            self._on_line(shown)
        if is_due:
            self._redrawn = (time.monotonic(), shown)

    def end(self) -> None:
        if self._on_line is not None and self._line:
            self._tell(bytes(self._line))
            self._line.clear()

    def _tell(self, line: bytes) -> None:
        assert self._on_line is not None
        text = line.decode("utf-8", "replace")
        self._on_line(draw(text)[0].rstrip() if is_drawn(line) else text)

    @property
    def text(self) -> str:
        return self.kept.decode("utf-8", "replace")
