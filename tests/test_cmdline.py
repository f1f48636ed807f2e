"""The kernel's quoting rule, checked by tables and against the kernel's own function written out anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liveagent.cmdline import CUT_AT, Word, parse_cmdline

SPACES = b" \t\n\v\f\r"


def next_arg(memory: bytearray, args: int) -> tuple[int, int, int | None]:
    """`next_arg` of Linux 6.x, lib/cmdline.c, step by step: it cuts the line up in place; (rest, param, val)."""
    i = equals = 0
    in_quote = quoted = False
    if memory[args] == ord('"'):
        args += 1
        in_quote = quoted = True
    while memory[args + i]:
        if memory[args + i] in SPACES and not in_quote:
            break
        if equals == 0 and memory[args + i] == ord("="):
            equals = i
        if memory[args + i] == ord('"'):
            in_quote = not in_quote
        i += 1
    param, val = args, None
    if equals:
        memory[args + equals] = 0
        val = args + equals + 1
        if memory[val] == ord('"'):
            val += 1
            if memory[args + i - 1] == ord('"'):
                memory[args + i - 1] = 0
    if quoted and i > 0 and memory[args + i - 1] == ord('"'):
        memory[args + i - 1] = 0
    if memory[args + i]:
        memory[args + i] = 0
        args += i + 1
    else:
        args += i
    return skip_spaces(memory, args), param, val


def skip_spaces(memory: bytearray, at: int) -> int:
    while memory[at] in SPACES:
        at += 1
    return at


def parse_args(line: bytes) -> list[tuple[bytes, bytes | None]]:
    """`parse_args` of kernel/params.c: the words up to `--`."""
    memory = bytearray(line + b"\0")

    def string(at: int) -> bytes:
        return bytes(memory[at : memory.index(0, at)])

    words: list[tuple[bytes, bytes | None]] = []
    at = skip_spaces(memory, 0)
    while memory[at]:
        at, param, val = next_arg(memory, at)
        word = string(param), None if val is None else string(val)
        if word == (b"--", None):
            break
        words.append(word)
    return words


def shown(line: bytes) -> list[tuple[str, str | None]]:
    return [(word.name, word.value) for word in parse_cmdline(line).words]


# What the rule turns on comes often; 0xA0 is left out, since the kernel takes half of a letter for a space.
ODD = st.lists(st.sampled_from([b'"', b"=", b" ", b"--", b"a", b"SPEEDISO", b"\t", b"\xc3\xa4", b"\xff"])).map(b"".join)
ANY = st.binary(max_size=60).map(lambda line: line.replace(b"\0", b"").replace(b"\xa0", b""))


@settings(deadline=None, database=None, max_examples=400)
@given(ODD | ANY)
def test_the_kernel_reads_the_same_words(line: bytes) -> None:
    """Any line gives the words that the kernel's own function gives."""
    expected = [
        (name.decode("utf-8", "replace"), None if value is None else value.decode("utf-8", "replace"))
        for name, value in parse_args(line)
    ]
    assert shown(line + b"\n") == expected


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"", []),
        (b" \t\n", []),
        (b"ro quiet\n", [("ro", None), ("quiet", None)]),
        (b"  ro\t\tquiet  \n", [("ro", None), ("quiet", None)]),
        (b"SPEEDISO=wipe", [("SPEEDISO", "wipe")]),
        (b"SPEEDISO=", [("SPEEDISO", "")]),
        (b'SPEEDISO=""', [("SPEEDISO", "")]),
        (b'a.b="c d" e', [("a.b", "c d"), ("e", None)]),
        (b'"a.b=c d" e', [("a.b", "c d"), ("e", None)]),
        (b'a="b=c d"', [("a", "b=c d")]),
        (b'a=b" "c', [("a", 'b" "c')]),
        (b'a=b"c d"', [("a", 'b"c d"')]),
        (b"a=b=c", [("a", "b=c")]),
        # Only one quote is taken off the end, the one of the value or the one of the word.
        (b'"a="b""', [("a", 'b"')]),
        (b'"a="b" c', [("a", 'b" c')]),
        (b"=a=b", [("=a", "b")]),
        (b"ro -- SPEEDISO=wipe", [("ro", None)]),
        (b'ro "--" SPEEDISO=wipe', [("ro", None)]),
        (b"ro --x SPEEDISO=wipe", [("ro", None), ("--x", None), ("SPEEDISO", "wipe")]),
        (b"x=-- SPEEDISO=wipe", [("x", "--"), ("SPEEDISO", "wipe")]),
        (b"a='b c'", [("a", "'b"), ("c'", None)]),
        (b'a=\\"b c', [("a", '\\"b c')]),
        ("a=größe".encode(), [("a", "größe")]),
        # The byte 0xA0 of this letter is a space for the kernel, and not for us.
        ("a=à".encode(), [("a", "à")]),
        (b"a=1\0b=2\n", [("a", "1")]),
    ],
)
def test_words(line: bytes, words: list[tuple[str, str | None]]) -> None:
    """Quotes, spaces, `=` and `--` mean what they mean to the kernel."""
    assert shown(line) == words


@pytest.mark.parametrize(
    ("line", "unterminated"),
    [
        (b'a="b c" d', ""),
        (b'a="b c d', "a"),
        (b'"a=b c d', "a"),
        (b'ro "', '"'),
        (b'ro -- a="b', ""),
    ],
)
def test_an_open_quote_is_told_by_the_word_it_opens_in(line: bytes, unterminated: str) -> None:
    """A quote that is never closed swallows the rest of the line, and must not pass unseen."""
    assert parse_cmdline(line).unterminated == unterminated


@pytest.mark.parametrize(("length", "may_be_cut"), [(CUT_AT - 1, False), (CUT_AT, True), (CUT_AT + 1, True)])
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_line_as_long_as_the_kernel_keeps_may_be_cut(length: int, may_be_cut: bool, end: bytes) -> None:
    """2,047 bytes are what the kernel keeps at most; the newline of /proc/cmdline does not count."""
    assert parse_cmdline(b"x" * length + end).may_be_cut is may_be_cut


def test_blanks_at_the_end_of_a_long_line_count() -> None:
    """A line that was cut just behind a blank or a newline is still as long as one that was cut."""
    assert parse_cmdline(b"x".ljust(CUT_AT, b"\n") + b"\n").may_be_cut


def test_bytes_that_are_not_text_are_marked() -> None:
    """Bytes that are not UTF-8 are shown as such, never dropped and never an exception."""
    words = parse_cmdline(b"a=\xff\xfe b=c \xe4=d").words
    assert words == (Word("a", "\ufffd\ufffd", False), Word("b", "c"), Word("\ufffd", "d", False))


@pytest.mark.corpus
def test_real_lines(corpus: Path) -> None:
    """Every recorded cmdline gives the kernel's words, none lost, none marked."""
    paths = sorted((corpus / "cmdline").glob("*.txt"))
    assert paths
    for path in paths:
        line = path.read_bytes()
        parsed = parse_cmdline(line)
        assert [(w.name.encode(), None if w.value is None else w.value.encode()) for w in parsed.words] == parse_args(
            line.rstrip(b"\n")
        ), path.name
        assert not parsed.unterminated and not parsed.may_be_cut and all(word.is_utf8 for word in parsed.words)


@pytest.mark.corpus
def test_lines_that_boot_templates_render(corpus: Path) -> None:
    """What Foreman's templates put behind `APPEND` and `linux` is read, the MAC and the kickstart URL whole."""
    appended = 0
    for path in sorted((corpus / "pxe-rendered").glob("*.txt")):
        for line in path.read_bytes().splitlines():
            command, _, rest = line.strip().partition(b" ")
            if command.lower() not in (b"append", b"linux", b"linuxefi", b"kernel") or b"BOOTIF=01-00" not in rest:
                continue
            appended += 1
            words = dict(shown(rest))
            assert words["BOOTIF"] == "01-00-f0-54-1a-7e-e0", path.name
            assert "ks" not in words or str(words["ks"]).startswith("http://foreman.example.com/unattended/")
    assert appended > 5
