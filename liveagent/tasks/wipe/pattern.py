"""What is written, and therefore what must be read back: any byte of it can be made again from the seed."""

from __future__ import annotations

import abc
import contextlib
import functools
import hashlib
import mmap
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import CipherContext

PAGE = 4096
# AES-128: the stream has to be unlike anything, and made again from its key; it hides nothing. A third faster than 256.
KEY_BYTES = 16


class Pattern(abc.ABC):
    """An endless sequence of bytes that starts at offset 0 of the disk. Several threads may use one at a time."""

    name: str
    seed: str = ""

    @abc.abstractmethod
    def fill(self, buffer: Buffer, offset: int, length: int) -> None:
        """Put the bytes `offset … offset+length` into the buffer. `offset` is a multiple of 16."""

    @abc.abstractmethod
    def find_difference(self, buffer: Buffer, offset: int, length: int) -> int | None:
        """Where the first `length` bytes of a buffer differ from those of `offset`; None where they do not."""

    def expected(self, offset: int, length: int) -> bytes:
        """The bytes themselves."""
        buffer = Buffer(length)
        try:
            self.fill(buffer, offset, length)
            return bytes(buffer.view[:length])
        finally:
            buffer.close()


class Buffer:
    """Memory that O_DIRECT takes: whole pages, at the start of a page."""

    def __init__(self, size: int) -> None:
        # A page more than asked for: a cipher wants room for a block behind what it writes.
        self._map = mmap.mmap(-1, (size + PAGE - 1) // PAGE * PAGE + PAGE)
        self.view = memoryview(self._map)
        self.size = size
        # What it holds, noted by a pattern that need not write the same again.
        self.holds: object = None

    def close(self) -> None:
        # An error on its way up still refers to a part of it: then it is freed when that is forgotten.
        with contextlib.suppress(BufferError):
            self.view.release()
            self._map.close()


class Repeated(Pattern):
    """The same few bytes over and over."""

    def __init__(self, name: str, unit: bytes) -> None:
        self.name = name
        self._unit = unit
        # The stretch that was compared last, and what it stands for: the next one is mostly the same.
        self._expected: tuple[tuple[int, int], bytearray] = ((0, 0), bytearray())

    def fill(self, buffer: Buffer, offset: int, length: int) -> None:
        phase = offset % len(self._unit)
        if buffer.holds == (self._unit, phase):
            return
        count = buffer.size // len(self._unit) + 2
        buffer.view[: buffer.size] = (self._unit * count)[phase : phase + buffer.size]
        buffer.holds = (self._unit, phase)

    def find_difference(self, buffer: Buffer, offset: int, length: int) -> int | None:
        phase = offset % len(self._unit)
        key, expected = self._expected
        if key != (phase, length):
            count = length // len(self._unit) + 2
            expected = bytearray((self._unit * count)[phase : phase + length])
            self._expected = ((phase, length), expected)
        return _find_difference(expected, buffer.view[:length])


class Random(Pattern):
    """The AES-128-CTR stream of a key; the counter is the offset in 16-byte blocks."""

    name = "random"

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(KEY_BYTES)
        self.seed = self._key.hex()

    def fill(self, buffer: Buffer, offset: int, length: int) -> None:
        buffer.holds = None
        self._cipher(offset).update_into(_zeros(length), buffer.view)

    def find_difference(self, buffer: Buffer, offset: int, length: int) -> int | None:
        # What was encrypted is decrypted where it lies: what is right becomes zeros.
        buffer.holds = None
        self._cipher(offset).update_into(buffer.view[:length], buffer.view)
        return _find_difference(_zeros(length), buffer.view[:length])

    def _cipher(self, offset: int) -> CipherContext:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        counter = (offset // 16).to_bytes(16, "big")
        return Cipher(algorithms.AES(self._key), modes.CTR(counter)).encryptor()


def _find_difference(expected: bytearray, found: memoryview) -> int | None:
    """Where two stretches of one length first differ.

    A bytearray compares with any memory at the speed of memcmp, and copies nothing; two views do it byte by byte.
    """
    if expected == found:
        return None
    pairs = enumerate(zip(expected, found))
    return next(index for index, (one, other) in pairs if one != other)


@functools.lru_cache(maxsize=8)
def _zeros(length: int) -> bytearray:
    """So many zero bytes, the same ones for all disks; nobody writes to them."""
    return bytearray(length)


def make_pattern(name: str, key: bytes | None = None) -> Pattern:
    """The pattern of an option: `random` (a new key unless one is given), `zero`, `ones`, or bytes in hex."""
    if name == "random":
        return Random(key)
    units = {"zero": b"\0", "ones": b"\xff"}
    return Repeated(name, units.get(name) or bytes.fromhex(name))


def make_patterns(names: Sequence[str], seed: bytes) -> list[Pattern]:
    """The pattern of each pass; the keys of random ones come from one seed, so that a record of it is enough."""
    return [
        make_pattern(name, hashlib.sha256(seed + bytes((number,))).digest()[:KEY_BYTES])
        for number, name in enumerate(names)
    ]
