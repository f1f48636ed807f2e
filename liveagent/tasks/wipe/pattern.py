"""What is written, and therefore what must be read back: any byte of it can be made again from the seed."""

from __future__ import annotations

import abc
import mmap
import secrets

PAGE = 4096
KEY_BYTES = 32


class Pattern(abc.ABC):
    """An endless sequence of bytes that starts at offset 0 of the disk."""

    name: str
    seed: str = ""

    @abc.abstractmethod
    def fill(self, buffer: Buffer, offset: int, length: int) -> None:
        """Put the bytes `offset … offset+length` into the buffer. `offset` is a multiple of 16."""

    def expected(self, offset: int, length: int) -> bytes:
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
        self.view.release()
        self._map.close()


class Repeated(Pattern):
    """The same few bytes over and over."""

    def __init__(self, name: str, unit: bytes) -> None:
        self.name = name
        self._unit = unit

    def fill(self, buffer: Buffer, offset: int, length: int) -> None:
        phase = offset % len(self._unit)
        if buffer.holds == (self._unit, phase):
            return
        count = buffer.size // len(self._unit) + 2
        buffer.view[: buffer.size] = (self._unit * count)[phase : phase + buffer.size]
        buffer.holds = (self._unit, phase)


class Random(Pattern):
    """The AES-256-CTR stream of a key; the counter is the offset in 16-byte blocks."""

    name = "random"

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(KEY_BYTES)
        self.seed = self._key.hex()
        self._zeros = b""

    def fill(self, buffer: Buffer, offset: int, length: int) -> None:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        if len(self._zeros) != length:
            self._zeros = bytes(length)
        counter = (offset // 16).to_bytes(16, "big")
        buffer.holds = None
        Cipher(algorithms.AES(self._key), modes.CTR(counter)).encryptor().update_into(self._zeros, buffer.view)


def make_pattern(name: str) -> Pattern:
    """The pattern of the option `pattern`: `random`, `zero`, `ones`, or bytes in hex. A new seed each time."""
    if name == "random":
        return Random()
    units = {"zero": b"\0", "ones": b"\xff"}
    return Repeated(name, units.get(name) or bytes.fromhex(name))
