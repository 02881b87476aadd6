"""Seeded mutations of files: flipped, cut, repeated, overwritten, spliced, and their inverses."""

import random
import struct
import zlib
from collections.abc import Callable, Sequence

NUMBERS = (0, 1, 2, 7, 127, 128, 255, 256, 32767, 32768, 65535, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
"""Values at which sizes, counts and offsets overflow."""
WORDS = (
    b"{", b"[", b'"', b"]", b"}", b":", b",", b"=", b".", b"-", b"null", b"true", b"-1", b"1e999",
    b"NaN", b"\\u0000", b"\\ud800", b"\xff", b"\xef\xbb\xbf", b"\r\n", b"/../", b"/", b"9" * 5000,
    b"[" * 5000, b'{"a":' * 2000, b"x" * 300,
)  # fmt: skip
"""Texts that mean something to a parser."""
HEADER = 120
"""Bytes at the start in which half of the mutations happen."""
LARGEST = 64
"""Mutations of one file, at most."""

PNG = b"\x89PNG\r\n\x1a\n"

Mutation = Callable[[bytearray, int, random.Random], None]


def mutate(data: bytes, chance: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """Return a mutated copy; parts of `others` may be copied into it."""
    mutated = bytearray(data)
    for _ in range(min(LARGEST, 1 + int(chance.expovariate(0.5)))):
        end = min(len(mutated), HEADER) if chance.random() < 0.5 else len(mutated)
        place = chance.randrange(end) if end else 0
        if others and chance.random() < 0.1:
            _splice(mutated, place, chance, chance.choice(others))
        else:
            chance.choice(MUTATIONS)(mutated, place, chance)
    if mutated.startswith(PNG) and chance.random() < 0.7:
        return repair_png(bytes(mutated))
    return bytes(mutated)


def repair_png(data: bytes) -> bytes:
    """Correct the checksums of a PNG, so that its content is decoded."""
    parts, place = [PNG], len(PNG)
    while place + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        chunk = data[place + 4 : place + 8 + length]
        parts.append(struct.pack(">I", length) + chunk + struct.pack(">I", zlib.crc32(chunk)))
        place += 12 + length
    return b"".join(parts)


def _flip_bit(data: bytearray, place: int, chance: random.Random) -> None:
    if data:
        data[place] ^= 1 << chance.randrange(8)


def _set_byte(data: bytearray, place: int, chance: random.Random) -> None:
    if data:
        data[place] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))


def _set_number(data: bytearray, place: int, chance: random.Random) -> None:
    """Overwrite 2, 4 or 8 bytes by a number, in either byte order."""
    order, kind = chance.choice("<>"), chance.choice("HIQ")
    size = struct.calcsize(kind)
    number = chance.choice(NUMBERS) % 2 ** (8 * size)
    data[place : place + size] = struct.pack(order + kind, number)[: len(data) - place]


def _cut_end(data: bytearray, place: int, chance: random.Random) -> None:
    if chance.random() < 0.3:
        del data[place:]


def _delete(data: bytearray, place: int, chance: random.Random) -> None:
    del data[place : place + _length(chance)]


def _repeat(data: bytearray, place: int, chance: random.Random) -> None:
    data[place:place] = data[place : place + _length(chance)] * chance.choice((1, 1, 2, 50))


def _clear(data: bytearray, place: int, chance: random.Random) -> None:
    part = slice(place, place + _length(chance))
    data[part] = bytes([chance.choice((0, 255))]) * len(data[part])


def _insert_noise(data: bytearray, place: int, chance: random.Random) -> None:
    data[place:place] = chance.randbytes(_length(chance))


def _insert_word(data: bytearray, place: int, chance: random.Random) -> None:
    data[place:place] = chance.choice(WORDS)


def _move(data: bytearray, place: int, chance: random.Random) -> None:
    """Move a part to another place."""
    part = data[place : place + _length(chance)]
    del data[place : place + len(part)]
    other = chance.randrange(len(data) + 1)
    data[other:other] = part


def _splice(data: bytearray, place: int, chance: random.Random, other: bytes) -> None:
    """Copy a part of another file."""
    start = chance.randrange(len(other) + 1)
    length = _length(chance)
    data[place : place + length] = other[start : start + length]


def _length(chance: random.Random) -> int:
    return 1 + int(chance.expovariate(1 / chance.choice((2, 16, 300))))


MUTATIONS: tuple[Mutation, ...] = (
    _flip_bit, _flip_bit, _set_byte, _set_number, _set_number, _cut_end, _delete, _repeat, _clear,
    _insert_noise, _insert_word, _move,
)  # fmt: skip
