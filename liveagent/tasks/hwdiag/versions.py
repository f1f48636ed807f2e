"""Which of two versions of firmware is the newer one, where that can be told.

No two makers write them alike, and none says how they are to be compared: numbers are compared as numbers, in order,
as rpm and dpkg do. Where two are not built alike (other letters, another number of parts in the middle) a guess would
be as often wrong as right: GDC5902Q and EDA5402Q are two products, not an old and a new one.
"""

from __future__ import annotations

import re

DIGITS = "0123456789"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
_TOKEN = re.compile(r"0x[0-9a-f]+|[0-9]+|[a-z]+|[^0-9a-z]+")
# As HPE's and many others' firmware has it; SMBIOS 3.x, 7.1: the date of a BIOS is mm/dd/yyyy.
_DATE = re.compile(r"\b(\d\d)/(\d\d)/(\d{4})\b")
# `v2.54` and `2.54`; what stands in parentheses beside a version names a variant (Mellanox: its PSID).
_PREFIX = re.compile(r"\bv(?=\d)")
_VARIANT = re.compile(r"\((?!\d{4}\.)[^()]*\)")


def compare_versions(one: str, other: str) -> int | None:
    """-1, 0 or 1: `one` is older than, the same as, or newer than `other`; None where that cannot be told."""
    plain = [_PREFIX.sub("", _DATE.sub(r"\3.\1.\2", text.strip().casefold())) for text in (one, other)]
    if plain[0] == plain[1]:
        return 0
    if _VARIANT.findall(plain[0]) != _VARIANT.findall(plain[1]):
        return None
    left, right = (_TOKEN.findall(_VARIANT.sub("", text)) for text in plain)
    found = 0
    for mine, theirs in zip(left, right):
        step = _compare_tokens(mine, theirs)
        if step is None:
            return None
        found = found or step
    if not found and len(left) != len(right):
        rest = left[len(right) :] or right[len(left) :]
        is_newer = rest[0] == "." or re.fullmatch("[a-z]", rest[0])  # 2.10 and 2.10.1, 3.1 and 3.1a
        return (1 if len(left) > len(right) else -1) if is_newer else None
    return found or None


def _compare_tokens(mine: str, theirs: str) -> int | None:
    if mine == theirs:
        return 0
    if mine[0] in DIGITS and theirs[0] in DIGITS:
        # 1.05 and 1.4: is it five or a half? Of equal length it makes no difference.
        is_padded = any(text.startswith("0") and text != "0" and not text.startswith("0x") for text in (mine, theirs))
        if is_padded and len(mine) != len(theirs):
            return None
        numbers = [int(text, 16 if text.startswith("0x") else 10) for text in (mine, theirs)]
        return (numbers[0] > numbers[1]) - (numbers[0] < numbers[1])
    if len(mine) == len(theirs) == 1 and mine in LETTERS and theirs in LETTERS:
        return 1 if mine > theirs else -1  # 3.1a and 3.1c
    return None
