"""What runs now, told at a glance: the service answers over a socket of its own, and nothing heavy is imported to ask.

`liveagent status` is what people type first, and what watches a server types all day; nearly all of its time went into
imports. Where no service answers, the command looks for itself.
"""

from __future__ import annotations

import _socket  # what `socket` is built on: that module's own imports take longer than all that is done here
import os

RUNTIME = "/run/liveagent"  # as in places.py, whose imports would cost more than the question
NAME = "glance"
# A service that does not answer by then is waited for no longer, and who does not ask is not heard.
PATIENCE = 2.0
TEXT, JSON = b"text\n", b"json\n"


def ask_for_text() -> bytes:
    """The question for lines that a terminal's words do not break in: it names the columns, where there is one."""
    try:
        return b"text %d\n" % os.get_terminal_size(1).columns
    except OSError:
        return TEXT


def ask(question: bytes) -> str | None:
    """The service's answer to a question for text or to `JSON`; None where there is none, or another state is meant."""
    if os.environ.get("LIVEAGENT_STATE_DIR") or os.environ.get("STATE_DIRECTORY"):
        return None
    path = os.path.join(os.environ.get("LIVEAGENT_RUNTIME_DIR") or RUNTIME, NAME)
    told = b""
    try:
        asking = _socket.socket(_socket.AF_UNIX)
        try:
            asking.settimeout(PATIENCE)
            asking.connect(path)
            asking.sendall(question)
            while part := asking.recv(65536):
                told += part
        finally:
            asking.close()
    except OSError:
        return None
    # Half an answer is none: each ends with a line.
    return told.decode(errors="replace") if told.endswith(b"\n") else None
