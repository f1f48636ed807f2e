"""The options of `wipe`."""

from __future__ import annotations

import dataclasses
import re

from liveagent.options import LIST, BadValue, Kind, choice, integer, option

RELEASABLE = ("vmfs", "gfs2", "ocfs2", "gpfs", "removable", "usb")


def parse_pattern(word: str) -> str:
    """`random`, `zero`, `ones`, or bytes in hex (`a5`, `00ff`), at most 512 of them."""
    folded = word.strip().lower()
    if folded in ("random", "zero", "ones"):
        return folded
    if re.fullmatch(r"(0x)?([0-9a-f]{2}){1,512}", folded):
        return folded.removeprefix("0x")
    raise BadValue(f"{word!r} is none of random, zero, ones, nor bytes in hex such as a5 or 00ff")


def parse_verify(word: str) -> str:
    """`none`, `sample`, `full` or `N%` with 0 < N <= 100."""
    folded = word.strip().lower()
    if folded in ("none", "sample", "full"):
        return folded
    match = re.fullmatch(r"(\d{1,3}(?:\.\d+)?)\s*%", folded)
    if match and 0 < float(match.group(1)) <= 100:
        return f"{float(match.group(1)):g}%"
    raise BadValue(f"{word!r} is none of none, sample, full or a percentage such as 10%")


def parse_release(word: str) -> tuple[str, ...]:
    guards: tuple[str, ...] = LIST.parse(word)
    unknown = [guard for guard in guards if guard not in RELEASABLE]
    if unknown:
        raise BadValue(f"{', '.join(unknown)} cannot be released; only {', '.join(RELEASABLE)} can")
    return guards


@dataclasses.dataclass(frozen=True)
class WipeOptions:
    disks: tuple[str, ...] = option(
        LIST, ("all",), "which: all, or names, /dev paths, by-id names, serials, serial: wwn: model: size: kind: slot:"
    )
    except_: tuple[str, ...] = option(LIST, (), "which of those to leave alone, in the same terms")
    release: tuple[str, ...] = option(
        Kind("guard[,guard…]", parse_release),
        (),
        "guards to lift for disks named by serial or WWN: " + ", ".join(RELEASABLE),
    )
    method: str = option(
        choice("auto", "overwrite", "nvme-format-crypto", "nvme-format-user"),
        "auto",
        "auto takes NVMe Format where the drive offers it, else overwrite",
    )
    passes: int = option(integer(1, 35), 1, "how often to overwrite")
    pattern: str = option(Kind("random|zero|ones|HEX", parse_pattern), "random", "what to overwrite with")
    verify: str = option(Kind("none|sample|full|N%", parse_verify), "sample", "how much is read back")
