"""Every name in the tree at the centre."""

from __future__ import annotations

import dataclasses
import re
import secrets

from delivery.place import Fault

SUMS = "SHA256SUMS"
DOCUMENT = "build.json"
# What make-build signs, and where the signatures of it lie.
SIGNED = (SUMS, DOCUMENT)
SIGNATURES = tuple(f"{name}.sig" for name in SIGNED)
CURRENT = "current"
BUILDS = "builds"
BRANCH = ".branch"
LOCK = ".lock"
# The unversioned names, which are links in a build's folder.
LINKS = ("vmlinuz", "initrd", "speedtest.squashfs", "speedtest.iso")
# What boot configurations name. In a branch's folder each is a link through `current`.
ROOT_NAMES = (*LINKS, *SIGNED, *SIGNATURES)
INCOMING = ".incoming-"
GONE = ".gone-"
PIN = ".pin-"
WITHDRAWN = ".withdrawn-"
HIGHEST = ".highest"
# A link that is being made, which has its own name only once it is renamed.
UNFINISHED = ".link-"

_PREFIX = "live-"
_LONGEST = 100
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+~-]*")
# A link of ours, or one that somebody made by hand, by way of whatever leads to the tree. That way may hold such names
# as well: what stands last counts.
_IN_BUILDS = re.compile(rf"(?:(?:.*/)?({_PREFIX}[^/]+)/|(?:.*/)?){BUILDS}/([^/]+)/([1-9][0-9]{{0,8}})(?:/|$)", re.S)


@dataclasses.dataclass(frozen=True, order=True)
class Name:
    """A build's name: the job that made it, and its number there."""

    job: str
    number: int

    def __str__(self) -> str:
        return f"{self.job} {self.number}"

    @property
    def path(self) -> str:
        """Below the branch's folder; what `current` holds."""
        return f"{BUILDS}/{self.job}/{self.number}"


def is_safe(name: str) -> bool:
    """Whether it can be a name in the tree: no path, nothing hidden, nothing that a shell or FTP would split."""
    return bool(_SAFE.fullmatch(name)) and ".." not in name and len(name) <= 2 * _LONGEST


def parse_number(text: str) -> int | None:
    """A build's number; None where it is none."""
    return int(text) if _NUMBER.fullmatch(text) else None


def make_folder(branch: str) -> str:
    """`live-release-2.1` of the git branch `release/2.1`. Raises Fault for what git itself would not take."""
    if not branch or len(branch) > _LONGEST or not branch.isprintable():
        raise Fault(f"a branch's name has 1 to {_LONGEST} printable characters, not {branch!r}")
    if ".." in branch or branch[0] in "/-." or branch[-1] in "/.":
        raise Fault(f"{branch!r} cannot be a branch: no name in git holds '..', or begins or ends so")
    return _PREFIX + re.sub(r"[^A-Za-z0-9._+~-]+", "-", branch)


def is_folder(name: str) -> bool:
    """Whether a folder of this name is a branch's."""
    return name.startswith(_PREFIX) and is_safe(name)


def check_job(job: str) -> str:
    """The job's name, as it is. Raises Fault where it cannot be a folder's."""
    if not is_safe(job) or len(job) > _LONGEST:
        raise Fault(f"{job!r} cannot be a job's folder: letters, digits, '.', '_' and '-' (in Jenkins, JOB_BASE_NAME)")
    return job


def make_links(files: frozenset[str], number: int) -> dict[str, str]:
    """The unversioned names in a build's folder, each with the file that it leads to."""
    wanted = {
        "vmlinuz": [name for name in files if name.startswith("vmlinuz-")],
        "initrd": [name for name in files if name.startswith("initrd-") and name.endswith(f"-{number}.img")],
        "speedtest.squashfs": [f"speedtest-{number}.squashfs"],
        "speedtest.iso": [f"speedtest-{number}.iso"],
    }
    return {link: names[0] for link, names in wanted.items() if len(names) == 1 and names[0] in files}


def make_incoming(name: Name) -> str:
    """A folder for an upload that no other publisher has, below the branch's folder."""
    return f"{BUILDS}/{name.job}/{INCOMING}{name.number}-{secrets.token_hex(6)}"


def make_gone(name: Name) -> str:
    """What a build is called while it is removed, so that nobody meets a half of it."""
    return f"{BUILDS}/{name.job}/{GONE}{name.number}-{secrets.token_hex(6)}"


def make_pin(name: Name) -> str:
    return f"{BUILDS}/{name.job}/{PIN}{name.number}"


def make_withdrawn(name: Name) -> str:
    return f"{BUILDS}/{name.job}/{WITHDRAWN}{name.number}"


def make_highest(job: str) -> str:
    """The record of the highest number that a job ever had, below the branch's folder."""
    return f"{BUILDS}/{job}/{HIGHEST}"


def moves_along(link: str, folder: str) -> bool:
    """Whether a release of the branch's folder moves a link, whose path is given as it is below the place."""
    return link in (f"{folder}/{name}" for name in (CURRENT, *ROOT_NAMES))


def parse_target(target: str, folder: str) -> Name | None:
    """Which build of the branch's folder a link leads to or into; None where it leads elsewhere.

    An FTP server's links are absolute, and shown with every link on the way resolved: the path's end is what counts.
    """
    found = _IN_BUILDS.match(target)
    if not found or found.group(1) not in (None, folder):
        return None
    return Name(found.group(2), int(found.group(3)))
