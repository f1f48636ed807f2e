"""What is noted for the rest of a boot, in files of the runtime directory that only root reads."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

from liveagent.document import Document
from liveagent.events import JSON
from liveagent.host import Host
from liveagent.report.spool import write_synced

BOOT_ID = "/proc/sys/kernel/random/boot_id"


class BootNote:
    """A JSON object in a file. It counts in the boot that it was written in, and in no other.

    Where another root stands in for this machine nothing is noted: the file would be the real one's.
    """

    def __init__(self, host: Host, path: Path) -> None:
        self.path = path
        self._boot_id = host.read_or(BOOT_ID) if host.is_real else ""

    def read(self) -> Mapping[str, JSON] | None:
        """What was noted in this boot; None where nothing was, or where it cannot be read."""
        try:
            document = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        is_ours = isinstance(document, dict) and self._boot_id and document.get("boot_id") == self._boot_id
        return document if is_ours else None

    def write(self, document: Mapping[str, JSON]) -> None:
        """Put it, as a whole, in the place of what was noted before. Raises OSError."""
        if not self._boot_id:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        write_synced(self.path, json.dumps({**document, "boot_id": self._boot_id}).encode(), mode=0o600)

    def clear(self) -> None:
        """Forget what was noted."""
        with contextlib.suppress(OSError):
            self.path.unlink()


class KeptDocument:
    """`RUNTIME/config-document`: what the boot's config URL said; a token in that URL may be good for one look only."""

    def __init__(self, host: Host, runtime: Path) -> None:
        self._note = BootNote(host, runtime / "config-document")

    def read(self, url: str) -> Document | None:
        """The document as it was had at this URL in this boot; None where it was not."""
        noted = self._note.read()
        if noted is None or noted.get("url") != url:
            return None
        try:
            return Document(**noted["document"])
        except (KeyError, TypeError):
            return None

    def write(self, url: str, document: Document) -> None:
        """Keep what was had. The first URL of a boot is the boot's own, and another one does not push it out."""
        noted = self._note.read()
        if noted is None or noted.get("url") == url:
            # Without it the next look needs the server again, as the first one did.
            with contextlib.suppress(OSError):
                self._note.write({"url": url, "document": dataclasses.asdict(document)})
