"""The service's side of a glance: answers from the records, as the command itself would."""

from __future__ import annotations

import contextlib
import grp
import json
import logging
import os
import re
import socket
import threading

from liveagent.glance import JSON, NAME, PATIENCE
from liveagent.host import Host
from liveagent.image import probe_image
from liveagent.places import Places
from liveagent.records import Disk
from liveagent.report.lines import clean, fold
from liveagent.report.status import render_status

log = logging.getLogger(__name__)

GROUP = "liveagent"
QUESTION = 16
_TEXT = re.compile(rb"text(?: (?P<columns>\d{1,4}))?\n")


class Glance:
    """Answers from `start` to `stop`, one after the other, in a thread of its own."""

    def __init__(self, host: Host, places: Places) -> None:
        self._host = host
        self._places = places
        self._path = str(places.runtime / NAME)
        self._listening: socket.socket | None = None

    def start(self) -> None:
        """Begin to answer; where that cannot be, it is logged, and `status` is slower and says the same."""
        records = Disk(self._places, probe_image(self._host))
        try:
            self._places.runtime.mkdir(parents=True, exist_ok=True, mode=0o755)
            self._listening = self._listen()
        except OSError as error:
            log.warning("Failed to listen for `status` at %s: %s, ignoring", self._path, error.strerror)
            return
        threading.Thread(target=_serve, args=(self._listening, records), name="glance", daemon=True).start()

    def stop(self) -> None:
        """Answer no more."""
        if self._listening:
            listening, self._listening = self._listening, None
            # A close alone does not wake who waits for the next one.
            listening.shutdown(socket.SHUT_RDWR)
            listening.close()
            self._remove()

    def _listen(self) -> socket.socket:
        self._remove()
        listening = socket.socket(socket.AF_UNIX)
        # Until it has its group it is root's alone, from its first moment (unix(7)).
        os.fchmod(listening.fileno(), 0o600)
        listening.bind(self._path)
        with contextlib.suppress(KeyError, PermissionError):
            os.chown(self._path, -1, grp.getgrnam(GROUP).gr_gid)
            os.chmod(self._path, 0o660)
        listening.listen()
        return listening

    def _remove(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)


def _serve(listening: socket.socket, records: Disk) -> None:
    while True:
        try:
            asking, _ = listening.accept()
        except OSError:
            return
        with asking:
            try:
                asking.settimeout(PATIENCE)
                question = asking.recv(QUESTION)
                match = _TEXT.fullmatch(question)
                if match or question == JSON:
                    width = int(match["columns"] or 0) if match else 0
                    asking.sendall(_render(records, width, question == JSON).encode(errors="replace"))
            except Exception as error:
                # Whoever asked looks for himself, and says what is wrong.
                log.warning("Failed to answer `status`: %s: %s, ignoring", type(error).__name__, error)


def _render(records: Disk, width: int, as_json: bool) -> str:
    """As `liveagent status` prints it; `width` in columns, 0 where nothing is to be folded."""
    status = records.status()
    if as_json:
        return json.dumps(status, indent=2, ensure_ascii=False) + "\n"
    lines = (clean(line) for line in render_status(status, width))
    folded = (part for line in lines for part in (fold(line, width - 1) if 0 < width <= len(line) else [line]))
    return "".join(f"{line}\n" for line in folded)
