"""The kernel command line, read by the kernel's own rule (`next_arg` in lib/cmdline.c)."""

from __future__ import annotations

import dataclasses

# COMMAND_LINE_SIZE is 2,048 on x86, its end included: a longer line was cut without a word.
CUT_AT = 2047
_SPACES = b" \t\n\v\f\r"


@dataclasses.dataclass(frozen=True)
class Word:
    """One word: `value` is None where there is no `=`. `is_utf8` says whether its bytes were text."""

    name: str
    value: str | None
    is_utf8: bool = True


@dataclasses.dataclass(frozen=True)
class Cmdline:
    """The words before `--`, and what is wrong with the line as a whole."""

    words: tuple[Word, ...]
    may_be_cut: bool = False
    unterminated: str = ""


def parse_cmdline(line: bytes) -> Cmdline:
    """Words as the kernel sees them: `"` may enclose a value or the whole word; what follows `--` is init's.

    Unlike the kernel, byte 0xA0 is not taken as a space: in UTF-8 it is half of a letter.
    """
    # /proc/cmdline ends in one newline of its own; a NUL ends the line for the kernel.
    line = line.removesuffix(b"\n").partition(b"\0")[0]
    words: list[Word] = []
    unterminated = ""
    at = 0
    while at < len(line):
        if line[at] in _SPACES:
            at += 1
            continue
        end, raw, is_open = _next_word(line, at)
        if raw == (b"--", None):
            break
        word = _make_word(*raw)
        if is_open:
            unterminated = word.name or '"'
        words.append(word)
        at = end
    return Cmdline(tuple(words), len(line) >= CUT_AT, unterminated)


def _next_word(line: bytes, start: int) -> tuple[int, tuple[bytes, bytes | None], bool]:
    """(where the word ends, (name, value), whether a quote was left open)."""
    quoted = line[start : start + 1] == b'"'
    begin = start + 1 if quoted else start
    in_quote, equals, at = quoted, -1, begin
    while at < len(line) and (in_quote or line[at] not in _SPACES):
        # The kernel takes an `=` at the very start of a word as part of the name.
        if line[at : at + 1] == b"=" and equals < 0 and at > begin:
            equals = at
        if line[at : at + 1] == b'"':
            in_quote = not in_quote
        at += 1
    text = line[begin:at]
    if quoted and text.endswith(b'"'):
        text = text[:-1]
    if equals < 0:
        return at, (text, None), in_quote
    name, value = text[: equals - begin], text[equals - begin + 1 :]
    if value.startswith(b'"'):
        value = value[1:]
        if value.endswith(b'"') and not quoted:
            value = value[:-1]
    return at, (name, value), in_quote


def _make_word(name: bytes, value: bytes | None) -> Word:
    try:
        return Word(name.decode("utf-8"), None if value is None else value.decode("utf-8"))
    except UnicodeDecodeError:
        shown = None if value is None else value.decode("utf-8", "replace")
        return Word(name.decode("utf-8", "replace"), shown, is_utf8=False)
