"""A guest's serial console: kept in a file, followed line by line, waited on without polling."""

from __future__ import annotations

import os
import re
import threading
import time
from pathlib import Path
from typing import IO

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[()][A-Z0-9]|\x1b[=>78cM]|\x1b\][^\x07]*\x07|[\x00\x07\x08\r]")
TAIL = 3000  # characters of the console in a failure's message


class ConsoleTimeout(Exception):
    """What was waited for did not appear in time; the message ends with the console's tail."""


class ConsoleClosed(Exception):
    """QEMU has ended, so what was waited for can no longer appear."""


class Console:
    """Reads QEMU's stdout, which is the guest's first serial port, until QEMU ends."""

    def __init__(self, stream: IO[bytes], log: Path) -> None:
        self._stream = stream
        self._log = log
        self._lines = ""  # whole lines, without the terminal's escapes
        self._partial = ""  # the line that is being written, as it came
        self._arrived: list[tuple[int, float]] = []  # (length of the text, when)
        self._news = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._follow, name=f"console-{log.parent.name}", daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        with self._stream, self._log.open("wb") as log:
            while chunk := os.read(self._stream.fileno(), 65536):
                log.write(chunk)
                log.flush()
                with self._news:
                    *whole, self._partial = (self._partial + chunk.decode(errors="replace")).split("\n")
                    self._lines += "".join(ESCAPES.sub("", line) + "\n" for line in whole)
                    self._arrived.append((len(self._lines), time.monotonic()))
                    self._news.notify_all()
        with self._news:
            self._closed = True
            self._news.notify_all()

    @property
    def text(self) -> str:
        """All that the console has shown so far, without escapes."""
        with self._news:
            return self._text()

    def _text(self) -> str:
        return self._lines + ESCAPES.sub("", self._partial)

    @property
    def closed(self) -> bool:
        """Whether QEMU has ended."""
        with self._news:
            return self._closed

    def wait_for(self, expected: str, timeout: float, *, since: int = 0) -> re.Match[str]:
        """Wait until the console has shown the regular expression, at `since` or later in its text."""
        wanted = re.compile(expected, re.MULTILINE)
        deadline = time.monotonic() + timeout
        with self._news:
            while True:
                if found := wanted.search(self._text(), since):
                    return found
                if self._closed:
                    raise ConsoleClosed(f"QEMU ended before the console showed {expected!r}:\n{self._text()[-TAIL:]}")
                if not self._news.wait(max(0.0, deadline - time.monotonic())) and time.monotonic() >= deadline:
                    raise ConsoleTimeout(
                        f"The console did not show {expected!r} within {timeout:.0f} s:\n{self._text()[-TAIL:]}"
                    )

    def wait_news(self, timeout: float) -> None:
        """Wait for anything at all: more text, or QEMU's end."""
        with self._news:
            if not self._closed:
                self._news.wait(timeout)

    def seen_at(self, found: re.Match[str]) -> float:
        """When this match was on the console, on the host's monotonic clock."""
        with self._news:
            return next((when for length, when in self._arrived if length >= found.start()), time.monotonic())

    def join(self, timeout: float) -> None:
        """Wait until the last byte has been read, once QEMU is gone."""
        self._thread.join(timeout)
