"""One at a time in a branch's tree: a folder that only one can make, which says who made it."""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import json
import secrets
import socket
import time
from collections.abc import Iterator
from typing import Callable

from delivery.layout import LOCK
from delivery.place import Exists, Fault, NoSpace, NotThere, Place

# Links are moved in seconds, and uploads need no lock: who waits longer meets one that was left behind.
WAIT = 30.0
_PAUSE = 0.5
_OWNER = "owner"
_TOKEN = "token"

Tell = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Held:
    """The lock while it is ours. `token` is "" where the owner's text could not be written."""

    place: Place
    folder: str
    token: str

    def check(self) -> None:
        """Raises Fault where somebody broke the lock: the next step might meet theirs."""
        if self.token and (probe_owner(self.place, self.folder) or {}).get(_TOKEN) != self.token:
            raise Fault(f"{self.place.describe(self.folder)}: somebody broke this lock meanwhile; nothing more is done")


def probe_owner(place: Place, folder: str) -> dict[str, str] | None:
    """What the lock says of its owner: who, what, since; None where there is no lock, {} where it says nothing."""
    path = f"{folder}/{LOCK}"
    try:
        if _OWNER not in place.list_folder(path):
            return {}
        said = json.loads(place.read(f"{path}/{_OWNER}"))
    except NotThere:
        return None
    except ValueError:
        return {}
    return {str(k): str(v) for k, v in said.items() if str(v).isprintable()} if isinstance(said, dict) else {}


def describe_owner(owner: dict[str, str]) -> str:
    """Who holds a lock, for what, since when."""
    if not owner.get("who"):
        return "somebody who left no name"
    return f"{owner['who']}, for {owner.get('what', 'something')}, since {owner.get('since', 'an unknown time')}"


def break_lock(place: Place, folder: str) -> str:
    """Take a lock away from whoever has it; who that was, "" where there was none."""
    owner = probe_owner(place, folder)
    if owner is None:
        return ""
    place.remove_folder(f"{folder}/{LOCK}")
    return describe_owner(owner)


@contextlib.contextmanager
def hold(place: Place, folder: str, what: str, tell: Tell, wait: float = WAIT) -> Iterator[Held]:
    """Have the tree for oneself. Raises Fault where somebody else has it for longer than `wait` seconds."""
    path = f"{folder}/{LOCK}"
    _take(place, folder, tell, wait)
    held = None
    try:
        held = Held(place, folder, _sign(place, path, what, tell))
        yield held
    finally:
        _leave(place, path, held, tell)


def _take(place: Place, folder: str, tell: Tell, wait: float) -> None:
    path = f"{folder}/{LOCK}"
    end = time.monotonic() + wait
    told = False
    while True:
        try:
            place.make_folder(path)
            return
        except NoSpace as error:
            raise NoSpace(f"{error}: not even a lock fits in. Remove a file there, and run this again") from None
        except Exists:
            owner = probe_owner(place, folder)
        # None: it was given back just now.
        who = describe_owner(owner or {})
        if time.monotonic() >= end:
            raise Fault(
                f"{place.describe(path)} is held by {who}. If that is no longer at work, the same command with"
                " --break-lock goes on"
            )
        if not told and owner is not None:
            tell(f"waiting for {who}")
            told = True
        time.sleep(_PAUSE)


def _sign(place: Place, path: str, what: str, tell: Tell) -> str:
    token = secrets.token_hex(8)
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    owner = {"who": _name_self(), "what": what, "since": since, _TOKEN: token}
    try:
        place.write(f"{path}/{_OWNER}", json.dumps(owner).encode())
        return token
    except Fault as error:
        # On a full disk a roll-back must still be possible.
        tell(f"Failed to write who holds the lock, ignoring: {error}")
        return ""


def _leave(place: Place, path: str, held: Held | None, tell: Tell) -> None:
    try:
        if held:
            held.check()
        place.remove_folder(path)
    except Fault as error:
        tell(f"Failed to give the lock back, ignoring: {error}")


def _name_self() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "somebody"
    return f"{user}@{socket.gethostname()}"
