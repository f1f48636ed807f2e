"""The journal sink: a run's events in systemd's journal, each with fields that `journalctl LIVEAGENT_RUN=…` finds.

The native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): one datagram an event, of `KEY=value` lines; a value with
a newline in it stands as `KEY`, newline, its length in 64 bits little-endian, itself, newline.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterable
from pathlib import Path

from liveagent.events import Event, Type, Verdict
from liveagent.report.record import Reader
from liveagent.report.sink import Say, Sink, say_nothing
from liveagent.report.troubles import make_trouble

SOCKET = "/run/systemd/journal/socket"
IDENTIFIER = "liveagent"
# A datagram must fit the socket's buffer (net.core.wmem_default, 208 KiB); journald keeps at most 48 KiB of a line.
MESSAGE_LIMIT = 32 * 1024
FIELD_LIMIT = 1024
READ = 100

# syslog(3)
ERR, WARNING, NOTICE, INFO = 3, 4, 5, 6
PRIORITY = {
    Verdict.FAIL: ERR,
    Verdict.ERROR: ERR,
    Verdict.REFUSED: WARNING,
    Verdict.UNKNOWN: WARNING,
    Verdict.CANCELLED: WARNING,
    Verdict.WARN: WARNING,
    Verdict.PASS: NOTICE,
    Verdict.SKIPPED: NOTICE,
}


def want_journal(event: Event) -> bool:
    """Whether an event goes to the journal: what is durable, and output."""
    return event.type.durable or event.type is Type.OUTPUT


def render_message(event: Event) -> str:
    """The event as a line for a person."""
    data = event.data
    if event.type is Type.OUTPUT:
        return str(data.get("line", ""))
    if event.type is Type.FINDING:
        return f"{data.get('verdict', '')}: {make_trouble(data, {}).text} ({data.get('code', '')})"
    # liveagent.step.finished → step finished
    what = event.type.value.partition(".")[2].replace(".", " ")
    end = ": ".join(str(data[key]) for key in ("verdict", "summary") if data.get(key))
    return f"{event.subject or event.run} {what}" + (f": {end}" if end else "")


def make_fields(event: Event) -> tuple[tuple[str, str], ...]:
    """The fields of an event's entry; those that it has no value for are left out."""
    verdict = str(event.data.get("verdict") or "")
    known = verdict in {one.value for one in Verdict}
    priority = INFO if event.type is Type.OUTPUT or not known else PRIORITY[Verdict(verdict)]
    fields = (
        ("MESSAGE", render_message(event)),
        ("PRIORITY", str(priority)),
        ("SYSLOG_IDENTIFIER", IDENTIFIER),
        ("LIVEAGENT_RUN", event.run),
        ("LIVEAGENT_TYPE", event.type.value),
        ("LIVEAGENT_SUBJECT", event.subject),
        ("LIVEAGENT_SEQUENCE", str(event.sequence)),
        ("LIVEAGENT_VERDICT", verdict if known else ""),
        ("LIVEAGENT_CODE", str(event.data.get("code") or "") if event.type is Type.FINDING else ""),
    )
    limits = {"MESSAGE": MESSAGE_LIMIT}
    return tuple((name, _clean(value, limits.get(name, FIELD_LIMIT))) for name, value in fields if value)


def make_datagram(fields: Iterable[tuple[str, str]]) -> bytes:
    """The fields in the native protocol."""
    return b"".join(_make_field(name, value.encode("utf-8", "replace")) for name, value in fields)


def open_journal(reader: Reader, path: Path = Path(SOCKET), say: Say = say_nothing) -> Journal | None:
    """The sink, not started yet; None where this system has no journal."""
    try:
        is_there = stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return None
    return Journal(reader, path, say) if is_there else None


class Journal(Sink):
    """Sends each event to journald and never waits for it: what it does not take at once is dropped, said once."""

    def __init__(self, reader: Reader, path: Path = Path(SOCKET), say: Say = say_nothing) -> None:
        super().__init__("journal", reader, say)
        self.dropped = 0
        self._path = os.fspath(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)

    def run_once(self) -> bool:
        events = self.reader.read(READ)
        for event in events:
            if want_journal(event):
                self._send(make_datagram(make_fields(event)))
            self._took(event.sequence)
        return bool(events)

    def close(self) -> None:
        self._socket.close()

    def _send(self, datagram: bytes) -> None:
        try:
            # By name and not connected: a journald that was restarted is found again.
            self._socket.sendto(datagram, self._path)
        except OSError as error:
            self._drop(error)
        else:
            self.trouble = ""

    def _drop(self, error: OSError) -> None:
        busy = error.errno in (errno.EAGAIN, errno.ENOBUFS)
        self.trouble = f"Failed to write to the journal: {'it does not keep up' if busy else error.strerror}"
        if not self.dropped:
            self._say(f"{self.trouble}, ignoring")
        self.dropped += 1


def _make_field(name: str, value: bytes) -> bytes:
    if b"\n" in value:
        return name.encode() + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"
    return name.encode() + b"=" + value + b"\n"


def _clean(text: str, limit: int) -> str:
    """Bounded, without control characters: journalctl shows a text with one of them as a blob."""
    kept = "".join(one for one in text[:limit] if one.isprintable() or one in "\n\t")
    return kept if len(text) <= limit else kept + "…"
