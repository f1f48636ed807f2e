"""QEMU's own control socket: pull a disk, take a picture of the screen, end the machine."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any


class QmpError(Exception):
    """QEMU refused a command, or has gone away."""


class Qmp:
    """One connection to QEMU's control socket."""

    def __init__(self, path: Path, *, timeout: float = 30) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout)
        self._socket.connect(str(path))
        self._stream = self._socket.makefile("r")
        self._read()  # the greeting
        self.execute("qmp_capabilities")

    def __enter__(self) -> Qmp:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def execute(self, command: str, arguments: Mapping[str, object] | None = None) -> Any:
        """Run one command and return what it returns."""
        request = json.dumps({"execute": command, "arguments": arguments or {}})
        self._socket.sendall(request.encode() + b"\n")
        while True:
            answer = self._read()
            if "error" in answer:
                raise QmpError(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def wait_event(self, name: str) -> dict[str, Any]:
        """Wait for the next event of this name, such as DEVICE_DELETED."""
        while True:
            answer = self._read()
            if answer.get("event") == name:
                return answer

    def close(self) -> None:
        """Hang up; the machine goes on."""
        self._stream.close()
        self._socket.close()

    def _read(self) -> dict[str, Any]:
        line = self._stream.readline()
        if not line:
            raise QmpError("QEMU closed its control socket")
        answer: dict[str, Any] = json.loads(line)
        return answer
