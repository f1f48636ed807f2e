"""The one door to the machine: commands, files, udev, time.

Nothing else in the package imports `subprocess` or opens an absolute path, so a recorded machine
(`recording.Replay`) or a tree on a desk (`--root DIR`) can stand in for the real one.

    HostError
    ├── CommandError          .completed says what was run and what it printed
    │   ├── CommandNotFound
    │   ├── CommandFailed     an exit status that was not expected
    │   └── CommandTimedOut   its whole process group was ended
    ├── NotRecorded           a replayed machine was asked something that nobody recorded
    └── Cancelled             the run was cancelled
"""

from __future__ import annotations

import copy
import dataclasses
import fnmatch
import json
import logging
import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from liveagent.child import step_back
from liveagent.paths import walk
from liveagent.process import How, Process
from liveagent.stream import OUTPUT_LIMIT, OnLine, Stream, until_it_raises

log = logging.getLogger(__name__)

STDERR_TAIL = 1024
# Marks every process that a command leaves behind, also one that made a session of its own.
MARK = "LIVEAGENT_COMMAND"
HIDDEN = "[secret]"

ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "HOME": "/",
    "TERM": "dumb",
}


class HostError(Exception):
    """Something at the door went wrong; the parent of all below."""


class NotRecorded(HostError):
    """A replayed machine was asked something that nobody recorded."""


class Cancelled(HostError):
    """The run was cancelled."""


@dataclasses.dataclass(frozen=True)
class Completed:
    """A command that ended. `status` is its exit status, negative for a signal; None where it never ended.

    `left`: how many processes it had left running when it ended by itself; they were ended.
    """

    argv: tuple[str, ...]
    status: int | None
    stdout: str
    stderr: str
    seconds: float
    truncated: bool = False
    left: int = 0


class CommandError(HostError):
    def __init__(self, message: str, completed: Completed) -> None:
        super().__init__(message)
        self.completed = completed


class CommandNotFound(CommandError):
    """There is no such program."""


class CommandFailed(CommandError):
    """The exit status was not one of those expected."""


class CommandTimedOut(CommandError):
    """The command did not end in time, and was ended with all that it had started."""


@dataclasses.dataclass(frozen=True)
class UdevDevice:
    """A device as udev knows it. `path` is below /sys, e.g. `/devices/pci0000:00/…/block/sda`."""

    name: str
    path: str
    properties: Mapping[str, str]


def make_command_line(argv: Sequence[str], secret: Iterable[str] = ()) -> str:
    """The command as one could paste it into a shell, secrets left out."""
    # Before quoting: what a shell needs quoted would not be found any more.
    return shlex.join(hide(word, secret) for word in argv)


def hide(text: str, secret: Iterable[str]) -> str:
    """The text without those secrets; the longest first, so that one that holds another leaves nothing."""
    for word in sorted(filter(None, secret), key=len, reverse=True):
        text = text.replace(word, HIDDEN)
    return text


class Host:
    """This machine, or a tree that looks like one where `root` is not `/`."""

    def __init__(self, root: str = "/", environment: Mapping[str, str] | None = None) -> None:
        self.root = os.path.abspath(root)
        self.environment: Mapping[str, str] = dict(environment or {})
        self.cancel = threading.Event()

    @property
    def is_real(self) -> bool:
        """Whether files come from this machine's own `/`."""
        return self.root == "/"

    @property
    def can_run(self) -> bool:
        """Whether what a command prints is about this machine: below another root it is about the desk."""
        return self.is_real

    def cancelled_by(self, cancel: threading.Event) -> Host:
        """The same door, for a run that `cancel` ends."""
        other = copy.copy(self)
        other.cancel = cancel
        return other

    # -- time ---------------------------------------------------------------------------------------

    def now(self) -> float:
        """Seconds since the epoch, by the machine's clock, which may be wrong."""
        return time.time()

    def pause(self, seconds: float) -> None:
        """Wait; raises Cancelled as soon as the run is."""
        if self.cancel.wait(seconds):
            raise Cancelled("cancelled")

    # -- files --------------------------------------------------------------------------------------

    def locate(self, path: str) -> Path:
        """Where `path` really lies: below `root`, links followed without leaving it."""
        return walk(self.root, path)[0]

    def _place(self, path: str) -> Path:
        """Where `path` is opened. Below `/` the kernel follows the links; a look opens thousands of files."""
        return Path("/", path) if self.is_real else self.locate(path)

    def read_bytes(self, path: str, limit: int = -1) -> bytes:
        """What is in a file, or its first `limit` bytes. Raises OSError."""
        with self._place(path).open("rb") as file:
            return file.read(limit)

    def read(self, path: str) -> str:
        """The text of a file; what is not UTF-8 becomes U+FFFD. Raises OSError."""
        return self.read_bytes(path).decode("utf-8", "replace")

    def read_or(self, path: str, default: str = "") -> str:
        """The stripped text of a file, or `default` where it cannot be read (sysfs answers EIO, EINVAL, …)."""
        try:
            return self.read(path).strip()
        except OSError:
            return default

    def exists(self, path: str) -> bool:
        """Whether there is something at the end of the path; of a loop of links there is not."""
        try:
            return self._place(path).exists()
        except OSError:
            return False

    def read_config(self, path: str, limit: int = -1) -> bytes | OSError:
        """A file that was named by a person (its first `limit` bytes): where it stands, not below `root`.

        An error is a value here.
        """
        try:
            with Path(path).open("rb") as file:
                return file.read(limit)
        except OSError as error:
            return error

    def list(self, path: str) -> tuple[str, ...]:
        """The sorted names in a directory; empty where there is none."""
        try:
            return tuple(sorted(os.listdir(self._place(path))))
        except OSError:
            return ()

    def glob(self, pattern: str) -> tuple[str, ...]:
        """The paths that match, sorted; wildcards stand within one part of the path."""
        paths = ["/"]
        for part in pattern.strip("/").split("/"):
            if any(wildcard in part for wildcard in "*?["):
                paths = [
                    os.path.join(path, name)
                    for path in paths
                    for name in self.list(path)
                    if fnmatch.fnmatchcase(name, part)
                ]
            else:
                paths = [found for found in (os.path.join(path, part) for path in paths) if self.exists(found)]
        return tuple(sorted(paths))

    def resolve(self, path: str) -> str:
        """The path with every link followed, as seen below `root`. Raises OSError on a loop of links."""
        located = str(self.locate(path))
        return located if self.is_real else "/" + os.path.relpath(located, self.root)

    def status(self, path: str) -> os.stat_result:
        """What `stat` says of a file, links followed. Raises OSError."""
        return self._place(path).stat()

    def open(self, path: str, flags: int) -> int:
        """A file descriptor of a file or device; the caller closes it. Raises OSError."""
        return os.open(self._place(path), flags | os.O_CLOEXEC)

    def write(self, path: str, text: str) -> None:
        """Write to an attribute of sysfs, or another file that is there; none is made. Raises OSError."""
        file = self.open(path, os.O_WRONLY)
        try:
            os.write(file, text.encode("utf-8"))
        finally:
            os.close(file)

    # -- udev ---------------------------------------------------------------------------------------

    def udev(self, subsystem: str) -> tuple[UdevDevice, ...]:
        """The devices of a subsystem, by name. Below another root: what was recorded there in `udev.json`."""
        if not self.is_real:
            return self._recorded_udev(subsystem)
        import pyudev  # costs 20 ms, and most commands need no udev

        devices = pyudev.Context().list_devices(subsystem=subsystem)
        found = [UdevDevice(d.sys_name, d.device_path, dict(d.properties)) for d in devices]
        return tuple(sorted(found, key=lambda device: device.name))

    def _recorded_udev(self, subsystem: str) -> tuple[UdevDevice, ...]:
        try:
            document = json.loads(Path(self.root, "udev.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return ()
        return tuple(UdevDevice(d["name"], d["path"], d["properties"]) for d in document.get(subsystem, []))

    # -- commands -----------------------------------------------------------------------------------

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
        """Run a command in a process group of its own, with an environment built from nothing and stdin closed.

        `success` are the exit statuses that are not an error; None takes every one. Of stdout and of stderr the first
        `keep` bytes are returned. `on_line` is given each line of both as it comes (without its end); `on_error` takes
        those of stderr instead. Whatever the command started and left running is ended when it ends, when `timeout`
        (seconds) is over, and when the run is cancelled.
        """
        if self.cancel.is_set():
            raise Cancelled("cancelled")
        mark = os.urandom(8).hex()
        environment = {**ENVIRONMENT, **self.environment, **(environment or {}), MARK: mark}
        listener, other = (until_it_raises(one) if one else None for one in (on_line, on_error))
        stdout, stderr = Stream(listener, keep), Stream(other or listener, keep)
        shown = make_command_line(argv, secret)
        started = time.monotonic()
        child = _start(argv, environment, has_input=input is not None)
        fed = None if input is None else memoryview(input.encode("utf-8", "surrogateescape"))
        process = Process(child, argv[0], f"{MARK}={mark}", fed, stdout, stderr)
        try:
            how = process.follow(self.cancel, started + timeout)
        finally:
            process.end()
        if how is How.CANCELLED:
            raise Cancelled(f"cancelled while {argv[0]} was running")
        completed = Completed(
            argv=tuple(argv),
            status=child.returncode,
            stdout=stdout.text,
            stderr=stderr.text,
            seconds=time.monotonic() - started,
            truncated=stdout.truncated or stderr.truncated,
            left=process.strays if how is How.ENDED else 0,
        )
        if how is How.LATE:
            log.warning("Failed to run %s: no end within %g s%s", shown, timeout, _tail(completed, secret))
            raise CommandTimedOut(f"{argv[0]} did not end within {timeout:g} s", completed)
        return check(completed, success, secret)


def _start(argv: Sequence[str], environment: Mapping[str, str], has_input: bool) -> subprocess.Popen[bytes]:
    """In a session of its own. Raises CommandError where there is no such program, or it cannot be executed."""
    try:
        return subprocess.Popen(
            tuple(argv),
            env=environment,
            stdin=subprocess.PIPE if has_input else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            preexec_fn=step_back,
        )
    except OSError as error:
        never = Completed(tuple(argv), None, "", "", 0.0)
        if isinstance(error, (FileNotFoundError, NotADirectoryError)):
            raise CommandNotFound(f"{argv[0]} is not installed", never) from None
        raise CommandError(f"{argv[0]} cannot be run: {error.strerror}", never) from None


def check(completed: Completed, success: Sequence[int] | None, secret: Sequence[str] = ()) -> Completed:
    """The command itself where its exit status was expected; raises CommandFailed, logged once, where not."""
    if success is None or completed.status in success:
        return completed
    words = f"{describe(completed.status)}{_tail(completed, secret)}"
    log.warning("Failed to run %s: %s", make_command_line(completed.argv, secret), words)
    raise CommandFailed(f"{completed.argv[0]}: {words}", completed)


def describe(status: int | None) -> str:
    """An exit status in words."""
    if status is None:
        return "did not end"
    if status < 0:
        try:
            return f"ended by {signal.Signals(-status).name}"
        except ValueError:
            return f"ended by signal {-status}"
    return f"exit status {status}"


def _tail(completed: Completed, secret: Iterable[str]) -> str:
    # Hidden first: of a secret that is cut in two, the second half would stay.
    text = hide(completed.stderr.strip() or completed.stdout.strip(), secret)[-STDERR_TAIL:]
    return f": {text}" if text else ""
