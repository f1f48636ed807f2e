"""A machine captured and played back: `Recorder` stands before the real door, `Replay` in its place.

A recording is a directory that looks like a root: `sys/`, `proc/`, `etc/` with the files that were read and
the links on the way, beside `udev.json` (devices), `commands.jsonl` (what was run and what it printed) and
`missing.json` (what was looked for and not there, or could not be read). A reply that nobody recorded is an
error in the replay, never a default.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable

from liveagent.host import (
    Cancelled,
    CommandError,
    CommandNotFound,
    CommandTimedOut,
    Completed,
    Host,
    NotRecorded,
    UdevDevice,
    check,
    hide,
    make_command_line,
)
from liveagent.paths import walk
from liveagent.stream import OUTPUT_LIMIT, OnLine, Stream

Scrub = Callable[[str], str]

# What a command may raise whatever its exit status; that is judged by whoever asks.
RAISED: Mapping[str, type[CommandError]] = {
    kind.__name__: kind for kind in (CommandError, CommandNotFound, CommandTimedOut)
}


class Recorder(Host):
    """The real machine, with everything that is read of it written to a directory as well."""

    def __init__(self, directory: Path, scrub: Scrub) -> None:
        super().__init__("/")
        self.directory = directory
        self._scrub = scrub
        self._missing: dict[str, int] = {}
        self._lists: dict[str, tuple[str, ...]] = {}
        self._udev: dict[str, list[dict[str, object]]] = {}
        self._commands: list[dict[str, object]] = []

    def read_bytes(self, path: str, limit: int = -1) -> bytes:
        try:
            data = super().read_bytes(path, limit)
        except OSError as error:
            self._missing[path] = error.errno or 0
            raise
        self._missing.pop(path, None)
        place = self._mirror(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(self._scrub(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape"))
        return data

    def exists(self, path: str) -> bool:
        found = super().exists(path)
        if found:
            place = self._mirror(path)
            if not place.exists() and super().locate(path).is_dir():
                place.mkdir(parents=True, exist_ok=True)
            self._lists.setdefault(f"exists {path}", ("yes",))
        else:
            self._lists.setdefault(f"exists {path}", ())
        return found

    def list(self, path: str) -> tuple[str, ...]:
        names = super().list(path)
        self._lists[path] = names
        return names

    def resolve(self, path: str) -> str:
        self._mirror(path)
        resolved = super().resolve(path)
        self._lists[f"resolve {path}"] = (resolved,)
        return resolved

    def udev(self, subsystem: str) -> tuple[UdevDevice, ...]:
        devices = super().udev(subsystem)
        self._udev[subsystem] = [
            {"name": d.name, "path": d.path, "properties": {k: self._scrub(v) for k, v in d.properties.items()}}
            for d in devices
        ]
        return devices

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        success: Sequence[int] | None = (0,),
        keep: int = OUTPUT_LIMIT,
        input: str | None = None,
        on_line: OnLine | None = None,
        on_error: OnLine | None = None,
        secret: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Completed:
        try:
            completed = super().run(
                argv,
                timeout=timeout,
                success=None,
                input=input,
                on_line=on_line,
                on_error=on_error,
                secret=secret,
                environment=environment,
            )
        except CommandError as error:
            self._note(error.completed, secret, error)
            raise
        self._note(completed, secret)
        return check(completed, success, secret)

    def _note(self, completed: Completed, secret: Sequence[str], error: CommandError | None = None) -> None:
        def scrub(text: str) -> str:
            return self._scrub(hide(text, secret))

        clean = dataclasses.replace(
            completed,
            argv=tuple(hide(word, secret) for word in completed.argv),
            stdout=scrub(completed.stdout),
            stderr=scrub(completed.stderr),
        )
        raised = {"raised": type(error).__name__ if error else "", "message": scrub(str(error or ""))}
        self._commands.append({**dataclasses.asdict(clean), **raised})

    def save(self) -> None:
        """Write what is not a file of the tree: udev, commands, directories, and what was missing."""
        self.directory.mkdir(parents=True, exist_ok=True)
        documents: dict[str, object] = {"udev.json": self._udev, "missing.json": self._missing, "now.json": self.now()}
        documents["lists.json"] = {path: list(names) for path, names in sorted(self._lists.items())}
        for name, document in documents.items():
            text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False)
            (self.directory / name).write_text(text + "\n", encoding="utf-8")
        lines = [json.dumps(command, sort_keys=True, ensure_ascii=False) + "\n" for command in self._commands]
        (self.directory / "commands.jsonl").write_text("".join(lines), encoding="utf-8")

    def _mirror(self, path: str) -> Path:
        """The place of `path` in the recording, with the links on the way made there too."""
        located, links = walk("/", path)
        for link in links:
            copy = self.directory / link.lstrip("/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                copy.symlink_to(os.readlink(link))
        return self.directory / str(located).lstrip("/")


class Replay(Host):
    """A recorded machine. What nobody recorded raises NotRecorded."""

    def __init__(self, directory: Path) -> None:
        super().__init__(str(directory))
        self._missing: dict[str, int] = json.loads((directory / "missing.json").read_text(encoding="utf-8"))
        self._lists: dict[str, Sequence[str]] = json.loads((directory / "lists.json").read_text(encoding="utf-8"))
        with (directory / "commands.jsonl").open(encoding="utf-8") as lines:
            self._commands = [json.loads(line) for line in lines]
        # Of a recording that was made before it was noted there is none.
        now = directory / "now.json"
        self._now: float | None = json.loads(now.read_text(encoding="utf-8")) if now.exists() else None

    @property
    def can_run(self) -> bool:
        return True

    def now(self) -> float:
        """When it was recorded: what its clocks said then is compared with that."""
        return super().now() if self._now is None else self._now

    def read_bytes(self, path: str, limit: int = -1) -> bytes:
        if path in self._missing:
            raise OSError(self._missing[path], os.strerror(self._missing[path]), path)
        try:
            return super().read_bytes(path, limit)
        except FileNotFoundError:
            raise NotRecorded(f"{path} was not read when {self.root} was recorded") from None

    def exists(self, path: str) -> bool:
        answer = self._lists.get(f"exists {path}")
        if answer is None:
            raise NotRecorded(f"{path} was not looked for when {self.root} was recorded")
        return bool(answer)

    def list(self, path: str) -> tuple[str, ...]:
        if path not in self._lists:
            raise NotRecorded(f"{path} was not listed when {self.root} was recorded")
        return tuple(self._lists[path])

    def udev(self, subsystem: str) -> tuple[UdevDevice, ...]:
        document = json.loads((Path(self.root) / "udev.json").read_text(encoding="utf-8"))
        if subsystem not in document:
            raise NotRecorded(f"The {subsystem} devices were not asked for when {self.root} was recorded")
        return super().udev(subsystem)

    def resolve(self, path: str) -> str:
        answer = self._lists.get(f"resolve {path}")
        if answer is None:
            raise NotRecorded(f"{path} was not followed when {self.root} was recorded")
        return answer[0]

    def status(self, path: str) -> os.stat_result:
        raise NotRecorded(f"The owner and mode of {path} are not known: {self.root} is a recording")

    def open(self, path: str, flags: int) -> int:
        raise NotRecorded(f"{path} cannot be opened: {self.root} is a recording")

    def write(self, path: str, text: str) -> None:
        raise NotRecorded(f"{path} cannot be written: {self.root} is a recording")

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        success: Sequence[int] | None = (0,),
        keep: int = OUTPUT_LIMIT,
        input: str | None = None,
        on_line: OnLine | None = None,
        on_error: OnLine | None = None,
        secret: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Completed:
        if self.cancel.is_set():
            raise Cancelled("cancelled")
        wanted = [hide(word, secret) for word in argv]
        for command in self._commands:
            if command["argv"] == wanted:
                return check(_play(command, tuple(argv), (on_line, on_error or on_line)), success, secret)
        raise NotRecorded(f"{make_command_line(argv, secret)} was not run when {self.root} was recorded")


def _play(
    command: Mapping[str, Any], argv: tuple[str, ...], listeners: tuple[OnLine | None, OnLine | None]
) -> Completed:
    """What the command printed then; raises what it raised then."""
    # What an older recording does not say is as it is by default.
    fields = {field.name: command[field.name] for field in dataclasses.fields(Completed) if field.name in command}
    completed = Completed(**{**fields, "argv": argv})
    for text, on_line in zip((completed.stdout, completed.stderr), listeners):
        stream = Stream(on_line)
        stream.take(text.encode("utf-8", "replace"))
        stream.end()
    if command["raised"]:
        raise RAISED[command["raised"]](command["message"], completed)
    return completed
