"""What a command prints, as it comes: bounded in memory, cut into lines."""

from __future__ import annotations

from typing import Callable

# What is kept of one command's output; a tool that prints more than this is not read for its text.
OUTPUT_LIMIT = 16 * 1024 * 1024
LINE_LIMIT = 64 * 1024

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


class Stream:
    """What was read of one pipe: kept up to a limit, and cut into lines for whoever listens. `taken` counts bytes."""

    def __init__(self, on_line: OnLine | None) -> None:
        self.kept = bytearray()
        self.taken = 0
        self.truncated = False
        self._on_line = on_line
        self._line = bytearray()

    def take(self, data: bytes) -> None:
        self.taken += len(data)
        room = OUTPUT_LIMIT - len(self.kept)
        self.kept += data[:room]
        self.truncated = self.truncated or len(data) > room
        if self._on_line is None:
            return
        self._line += data
        *lines, rest = bytes(self._line).split(b"\n")
        self._line = bytearray(rest)
        for line in lines:
            self._tell(line)
        if len(self._line) > LINE_LIMIT:
            self._tell(bytes(self._line))
            self._line.clear()

    def end(self) -> None:
        if self._on_line is not None and self._line:
            self._tell(bytes(self._line))
            self._line.clear()

    def _tell(self, line: bytes) -> None:
        assert self._on_line is not None
        self._on_line(line.decode("utf-8", "replace").rstrip("\r"))

    @property
    def text(self) -> str:
        return self.kept.decode("utf-8", "replace")
