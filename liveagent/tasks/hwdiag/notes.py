"""What an inventory says it could not see: the difference between a part that is not there and one nobody looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from liveagent.events import JSON
from liveagent.machine.look import Why
from liveagent.tasks.hwdiag.parts import dig


class Notes:
    """The reasons why something is missing in the document of an inventory."""

    def __init__(self, document: Mapping[str, JSON]) -> None:
        self._document = document
        noted = document.get("missing")
        self._notes = [note for note in noted if isinstance(note, dict)] if isinstance(noted, list) else []

    def unseen(self, path: str) -> str:
        """Why the value at a path is not known; "" where nothing says that it could not be seen."""
        notes = [note for note in self._about(path) if note.get("why") != Why.ABSENT.value]
        return str(notes[0].get("detail") or notes[0].get("why")) if notes else ""

    def is_absent(self, path: str) -> bool:
        """Whether it was looked for, and is not there."""
        return bool(self._about(path)) and not self.unseen(path)

    def is_seen(self, path: str) -> bool:
        """Whether the list at a path is what there is: of an empty one nothing says that it could not be seen."""
        value = dig(self._document, path)
        return isinstance(value, list) and not (not value and self.unseen(path))

    def _about(self, path: str) -> Sequence[Mapping[str, JSON]]:
        """The notes on a path, or on what it is a part of."""
        return [note for note in self._notes if f"{path}.".startswith(f"{note.get('part')}.")]
