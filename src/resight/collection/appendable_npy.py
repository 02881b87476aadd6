"""`.npy` files to which rows are appended; their valid number of rows is stored elsewhere.

Readers that mapped such a file keep their rows while others are appended. A process that dies while
appending leaves rows behind that do not count, and the next one overwrites them.
"""

import hashlib
import math
from pathlib import Path
from tokenize import TokenError
from typing import IO, Literal

import numpy as np
from numpy.lib import format as npy

CHUNK_ROWS = 4096
"""Minimum number of rows of a complete chunk; each chunk has its own checksum."""

READ_BYTES = 1 << 22

Chunk = tuple[int, str]
"""The row that a chunk ends before (it starts where the previous one ends), and its SHA-256."""


def create(path: Path, shape: tuple[int, ...], dtype: str) -> None:
    """Create a file without rows; rows have a `shape`, `()` for scalars, and a NumPy `dtype`."""
    with path.open("wb") as file:
        _write_header(file, (0, *shape), np.dtype(dtype))


def append(path: Path, count: int, rows: np.ndarray) -> None:
    """Append rows (n, ...) to the first `count` ones, in place of any others.

    Raises:
        ValueError: the file is truncated, or its rows have another shape.
    """
    with path.open("r+b") as file:
        shape, dtype, start = _read_header(file)
        if shape[1:] != rows.shape[1:] or shape[0] < count:
            raise ValueError(f"{path.name} has rows {shape}, not {count} of {rows.shape[1:]}")
        end = start + count * _row_bytes(shape, dtype)
        if file.seek(0, 2) < end:
            raise ValueError(f"{path.name} is truncated")
        file.truncate(end)
        file.seek(end)
        file.write(np.ascontiguousarray(rows, dtype).tobytes())
        file.seek(0)
        # NumPy pads the header for a longer shape, so that the values stay in place.
        _write_header(file, (count + len(rows), *shape[1:]), dtype)
        if file.tell() != start:
            raise ValueError(f"{path.name}: its header cannot hold more rows")


def load(path: Path, count: int, mmap_mode: Literal["r"] | None = "r") -> np.ndarray:
    """Return the first `count` rows, mapped or read.

    Raises:
        ValueError: there are fewer.
    """
    with path.open("rb") as file:
        _read_header(file)
    rows = np.load(path, mmap_mode=mmap_mode)
    if len(rows) < count:
        raise ValueError(f"{path.name} has {len(rows)} rows, not {count}")
    return rows[:count]


def extend_checksums(path: Path, chunks: list[Chunk], count: int) -> list[Chunk]:
    """Return checksums of the first `count` rows, given `chunks` of the rows before appending."""
    complete = list(chunks)
    if complete and complete[-1][0] - (complete[-2][0] if len(complete) > 1 else 0) < CHUNK_ROWS:
        complete.pop()  # the last chunk grows
    start = complete[-1][0] if complete else 0
    return [*complete, (count, _checksum(path, start, count))] if count > start else complete


def is_damaged(path: Path, chunks: list[Chunk], start: float = 0.0, end: float = 1.0) -> bool:
    """Return whether any row has changed; chunks that begin from `start` to `end` are read."""
    firsts = [0, *(last for last, _ in chunks)]
    among = range(math.ceil(start * len(chunks)), math.ceil(end * len(chunks)))
    return any(_checksum(path, firsts[i], chunks[i][0]) != chunks[i][1] for i in among)


def _checksum(path: Path, start: int, stop: int) -> str:
    """Return the SHA-256 (hex) of rows and of their dtype and shape."""
    with path.open("rb") as file:
        shape, dtype, first = _read_header(file)
        digest = hashlib.sha256(f"{dtype.str} {shape[1:]}".encode())
        row_bytes = _row_bytes(shape, dtype)
        file.seek(first + start * row_bytes)
        remaining = (stop - start) * row_bytes
        while remaining and (data := file.read(min(remaining, READ_BYTES))):
            digest.update(data)
            remaining -= len(data)
    return digest.hexdigest()


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype, int]:
    """Return the shape, the dtype and the offset of the values."""
    try:
        npy.read_magic(file)
        shape, _, dtype = npy.read_array_header_1_0(file)
    except (TokenError, SyntaxError, TypeError, UnicodeError) as error:
        raise ValueError(f"its header is damaged ({error})") from None
    return shape, dtype, file.tell()


def _write_header(file: IO[bytes], shape: tuple[int, ...], dtype: np.dtype) -> None:
    description = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(file, description)


def _row_bytes(shape: tuple[int, ...], dtype: np.dtype) -> int:
    return int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize
