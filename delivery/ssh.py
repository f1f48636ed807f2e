"""A place on another machine: files by rsync, everything else by a shell there, over one connection of ssh."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import os
import re
import secrets
import select
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NoReturn

from delivery.address import Address
from delivery.place import (
    LARGEST_DOCUMENT,
    NOT_OURS,
    Entry,
    Exists,
    Fault,
    Kind,
    NoSpace,
    NotThere,
    Place,
    make_relative,
)

CONNECT_TIMEOUT = 30.0
COMMAND_TIMEOUT = 120.0
# Reading or writing gigabytes on slow disks, or through a slow line.
BULK_TIMEOUT = 4 * 3600.0
STALL_TIMEOUT = 120
_NOT_THERE, _EXISTS = 44, 45
_KINDS = {"f": Kind.FILE, "d": Kind.FOLDER, "l": Kind.LINK}
_FULL = re.compile(r"No space left on device|Disk quota exceeded")
_SUM = re.compile(r"([0-9a-f]{64}) [ *](.+)")

# Scripts for the far end's sh, with GNU coreutils and findutils there. $1 … are the paths. Others work there too: what
# was there a moment ago may be gone, and is then said to be not there, or be there again.
_LIST = r"""at=; for attempt in 1 2 3; do cd -- "$1" && at=1 && break; [ -d "$1" ] || exit 44; done; [ "$at" ] || exit 1
find . -ignore_readdir_race -mindepth 1 -maxdepth 1 -printf '%y/%s/%T@/%f\0%l\0'"""
# Each link's name, and where it ends.
_LINKS = f"""cd -P -- "$1" && printf '%s\\0' "$PWD" &&
find . -ignore_readdir_race -name {NOT_OURS} -prune -o -type l -exec sh -c 'for f; do
printf "%s\\0" "${{f#./}}"; realpath -mz -- "$f" || exit 1; done' sh {{}} +"""
# Opened or not, so that what was replaced in between is read anew, and what broke off in the middle is not.
_READ = f"""at=; for attempt in 1 2 3; do [ -f "$1" ] || exit 44
{{ at=1; head -c {LARGEST_DOCUMENT}; }} <"$1" && exit 0; [ -z "$at" ] || exit 1; done; exit 1"""
_WRITE = """umask 022; p=$(mktemp "${1%/*}/.part-XXXXXXXX") || exit 1
printf %s "$2" | base64 -d >"$p" && chmod 644 "$p" && sync "$p" && mv -T -- "$p" "$1" || { rm -f -- "$p"; exit 1; }"""
_MAKE = """for attempt in 1 2 3; do mkdir -m 755 -- "$1" && exit 0; [ -e "$1" ] && exit 45; done; exit 1"""
_SUMS = """cd -- "$1" && shift && for f; do [ ! -f "$f" ] || sha256sum -b -- "$f" || exit 1; done"""
_SYNC = """cd -- "$1" && sync -- * ."""
_RENAME = """[ ! -e "$2" ] && [ ! -L "$2" ] || exit 45; mv -T -- "$1" "$2" || { [ -e "$2" ] && exit 45; exit 1; }
sync "${2%/*}\""""
_LINK = """t="${2%/*}/.link-$3"; ln -s -- "$1" "$t" && mv -T -- "$t" "$2" || { rm -f -- "$t"; exit 1; }
sync "${2%/*}\""""
_REMOVE = """rm -f -- "$1\""""
_REMOVE_FOLDER = """rm -rf -- "$1\""""
_FREE = """stat -f -c '%a %S' -- "$1\""""
# A script's output stands between marks that it cannot know, its status and what it said on stderr behind it. It must
# not read the shell's own input, in which the next script comes.
_FRAME = """{{ printf '\\000{mark}'; said=$( ( set -- {words}; {script}
) 2>&1 >&3 </dev/null ); printf '\\000{mark}%d %s\\000{mark}' $? "$said"; }} 3>&1
"""


@dataclasses.dataclass(frozen=True)
class _Command:
    """ssh as it is started for a place. `options` come before the host."""

    options: tuple[str, ...]
    host: str

    def make(self, *more: str, command: str) -> list[str]:
        return ["ssh", *more, *self.options, "--", self.host, command]


class SshPlace(Place):
    """A folder that a user may write to who logs in by key. One connection carries all; `close` ends it.

    `config`: a configuration file for ssh instead of the user's own. Raises Fault where there is no way in.
    """

    def __init__(self, address: Address, config: str = "") -> None:
        super().__init__(address.url)
        self._root = address.path
        self._address = address
        # A socket's path has at most 108 bytes, and ssh adds to it for a moment.
        scratch = tempfile.gettempdir()
        self._folder = tempfile.mkdtemp(prefix="deliver-", dir=scratch if len(scratch) <= 60 else "/tmp")
        self._ssh = _Command(_make_options(address, config, f"{self._folder}/ssh"), _make_host(address))
        self._shell: subprocess.Popen[bytes] | None = None
        try:
            self._shell = self._connect()
            self._run("", "true", timeout=CONNECT_TIMEOUT)
        except BaseException:
            self.close()
            raise

    def _connect(self) -> subprocess.Popen[bytes]:
        """The connection that rsync shares. Its shell ends with its stdin, so none is left by a killed publisher."""
        with open(f"{self._folder}/errors", "wb") as errors:
            argv = self._ssh.make("-o", "ControlMaster=yes", command="exec sh")
            return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)

    def close(self) -> None:
        if self._shell:
            _end(self._shell)
            self._shell = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def list_folder(self, folder: str) -> dict[str, Entry]:
        words = self._run(folder, _LIST, self._at(folder)).decode("utf-8", "surrogateescape").split("\0")[:-1]
        return {entry.name: entry for entry in map(_parse_entry, words[::2], words[1::2])}

    def find_links(self) -> dict[str, str]:
        said = self._run("", _LINKS, self._at(""), timeout=BULK_TIMEOUT).decode("utf-8", "surrogateescape")
        root, *words = said.split("\0")[:-1]
        return {link: make_relative(target, root) for link, target in zip(words[::2], words[1::2])}

    def read(self, path: str) -> bytes:
        return self._run(path, _READ, self._at(path))

    def write(self, path: str, content: bytes) -> None:
        self._run(path, _WRITE, self._at(path), base64.b64encode(content).decode())

    def make_folder(self, path: str) -> None:
        self._run(path, _MAKE, self._at(path))

    def send(self, sources: Mapping[str, Path], folder: str) -> None:
        if any(path.name != name for name, path in sources.items()):
            raise ValueError("rsync gives each file the name that it has")
        argv = [
            "rsync", "--protect-args", "--whole-file", "--chmod=F644", f"--timeout={STALL_TIMEOUT}",
            "--rsh", " ".join(shlex.quote(word) for word in ("ssh", *self._ssh.options)),
            "--", *(str(path.absolute()) for path in sources.values()),
            f"{_make_rsync_host(self._address)}:{self._at(folder)}/",
        ]  # fmt: skip
        try:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=BULK_TIMEOUT)
        except FileNotFoundError:
            raise Fault("rsync is not installed here") from None
        except subprocess.TimeoutExpired:
            raise Fault(f"{self.describe(folder)}: rsync was not done within {BULK_TIMEOUT:.0f} s") from None
        if done.returncode:
            self._fail(folder, 1, done.stderr.decode("utf-8", "replace"))
        self._run(folder, _SYNC, self._at(folder), timeout=BULK_TIMEOUT)

    def sums(self, folder: str, names: Iterable[str]) -> dict[str, str]:
        said = self._run(folder, _SUMS, self._at(folder), *names, timeout=BULK_TIMEOUT).decode("utf-8", "replace")
        return {found.group(2): found.group(1) for line in said.splitlines() if (found := _SUM.fullmatch(line))}

    def rename(self, old: str, new: str) -> None:
        self._run(new, _RENAME, self._at(old), self._at(new))

    def link(self, target: str, path: str) -> None:
        self._run(path, _LINK, target, self._at(path), secrets.token_hex(6))

    def remove(self, path: str) -> None:
        self._run(path, _REMOVE, self._at(path))

    def remove_folder(self, path: str) -> None:
        self._run(path, _REMOVE_FOLDER, self._at(path), timeout=BULK_TIMEOUT)

    def free(self) -> int:
        blocks, size = self._run("", _FREE, self._at("")).split()
        return int(blocks) * int(size)

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root

    def _run(self, path: str, script: str, *words: str, timeout: float = COMMAND_TIMEOUT) -> bytes:
        """Run a script there with words; what it prints. `path` is what a failure is said of."""
        # It begins with a letter: printf would take digits for a part of the zero.
        mark = f"m{secrets.token_hex(8)}"
        frame = _FRAME.format(mark=mark, words=" ".join(shlex.quote(word) for word in words), script=script)
        # What an earlier script, which was interrupted, still had to say comes first.
        _, out, end = self._ask(frame.encode("utf-8", "surrogateescape"), b"\0" + mark.encode(), timeout)
        status, _, said = end.decode("utf-8", "replace").partition(" ")
        if status != "0":
            self._fail(path, int(status), said)
        return out

    def _ask(self, frame: bytes, mark: bytes, timeout: float) -> list[bytes]:
        """Give the shell a script; what it says before, between and behind the marks. Raises Fault."""
        shell, said, end = self._shell, b"", time.monotonic() + timeout
        if not shell or not shell.stdin or not shell.stdout:
            raise Fault(f"{self.url}: the connection is closed")
        try:
            shell.stdin.write(frame)
            shell.stdin.flush()
            while said.count(mark) < 3:
                ready, _, _ = select.select([shell.stdout], [], [], max(end - time.monotonic(), 0))
                if not ready:
                    raise Fault(f"{self.url} gave no answer within {timeout:.0f} s")
                chunk = os.read(shell.stdout.fileno(), 1 << 16)
                if not chunk:
                    raise BrokenPipeError
                said += chunk
        except BrokenPipeError:
            with contextlib.suppress(subprocess.TimeoutExpired):
                shell.wait(5)
            reason = _last_line(Path(self._folder, "errors").read_text("utf-8", "replace"))
            raise Fault(f"Failed to reach {self.url}: {reason}") from None
        return said.split(mark)[:3]

    def _fail(self, path: str, status: int, said: str) -> NoReturn:
        if status == _NOT_THERE:
            raise NotThere(f"{self.describe(path)} is not there")
        if status == _EXISTS:
            raise Exists(f"{self.describe(path)} is there already")
        if full := _FULL.search(said):
            raise NoSpace(f"Failed at {self.describe(path)}: {full.group()}")
        raise Fault(f"Failed at {self.describe(path)}: {_last_line(said)}")


def _make_options(address: Address, config: str, socket: str) -> tuple[str, ...]:
    return (
        *(("-F", config) if config else ()),
        *(("-p", str(address.port)) if address.port else ()),
        "-o", "BatchMode=yes",
        "-o", "ConnectTimeout=20",
        "-o", "ServerAliveInterval=15",
        "-o", "ServerAliveCountMax=4",
        "-o", "ForwardAgent=no",
        "-o", "ForwardX11=no",
        "-o", f"ControlPath={socket}",
    )  # fmt: skip


def _make_host(address: Address) -> str:
    return f"{address.user}@{address.host}" if address.user else address.host


def _make_rsync_host(address: Address) -> str:
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{address.user}@{host}" if address.user else host


def _end(shell: subprocess.Popen[bytes]) -> None:
    """Close the connection."""
    for stream in (shell.stdin, shell.stdout):
        if stream:
            with contextlib.suppress(OSError):
                stream.close()
    try:
        shell.wait(5)
    except subprocess.TimeoutExpired:
        shell.kill()
        shell.wait(5)


def _parse_entry(about: str, target: str) -> Entry:
    kind, size, modified, name = about.split("/", 3)
    return Entry(name, _KINDS.get(kind, Kind.OTHER), int(size), float(modified), target)


def _last_line(said: str) -> str:
    """The reason among what ssh, rsync or a tool said."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    # rsync ends with its own status, and ssh adds a remark on the connection; the reason stands before.
    reasons = [line for line in lines if not line.startswith(("rsync error:", "rsync: connection unexpectedly"))]
    return (reasons or lines or ["no reason was given"])[-1]
