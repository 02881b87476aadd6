"""`.npy` files to which rows are added at the end; how many of them count is said elsewhere.

Readers that mapped such a file keep what they mapped while rows are added. A process that dies in
the midst of it leaves rows behind that do not count, and the next one writes over them.
"""

import hashlib
from pathlib import Path
from typing import IO, Literal

import numpy as np
from numpy.lib import format as npy

PIECE_ROWS = 4096
"""A piece with a check sum of its own is closed once it has so many rows."""

READ_BYTES = 1 << 22

Piece = tuple[int, str]
"""The row a piece ends before (it begins where the piece before it ends), and its SHA-256."""


def create(path: Path, shape: tuple[int, ...], dtype: str) -> None:
    """A file without rows of a `shape`, `()` for single values; `dtype` as NumPy writes it."""
    with path.open("wb") as file:
        _write_header(file, (0, *shape), np.dtype(dtype))


def append(path: Path, count: int, rows: np.ndarray) -> None:
    """Add rows (n, ...) behind the first `count` ones, in place of all that stood there.

    Raises:
        ValueError: the file is not whole, or its rows are of another shape.
    """
    with path.open("r+b") as file:
        shape, dtype, start = _read_header(file)
        if shape[1:] != rows.shape[1:] or shape[0] < count:
            raise ValueError(f"{path.name} has rows {shape}, not {count} of {rows.shape[1:]}")
        end = start + count * _row_bytes(shape, dtype)
        if file.seek(0, 2) < end:
            raise ValueError(f"{path.name} is cut off")
        file.truncate(end)
        file.seek(end)
        file.write(np.ascontiguousarray(rows, dtype).tobytes())
        file.seek(0)
        # NumPy leaves room in the header for a longer shape, so that the values stay in place.
        _write_header(file, (count + len(rows), *shape[1:]), dtype)
        if file.tell() != start:
            raise ValueError(f"{path.name}: its header has no room for more rows")


def load(path: Path, count: int, mmap_mode: Literal["r"] | None = "r") -> np.ndarray:
    """The first `count` rows, mapped or read.

    Raises:
        ValueError: there are fewer.
    """
    rows = np.load(path, mmap_mode=mmap_mode)
    if len(rows) < count:
        raise ValueError(f"{path.name} has {len(rows)} rows, not {count}")
    return rows[:count]


def add_sums(path: Path, pieces: list[Piece], count: int) -> list[Piece]:
    """Check sums of the first `count` rows, of which `pieces` cover those before."""
    kept = list(pieces)
    if kept and kept[-1][0] - (kept[-2][0] if len(kept) > 1 else 0) < PIECE_ROWS:
        kept.pop()  # the last piece has room
    start = kept[-1][0] if kept else 0
    return [*kept, (count, _sum(path, start, count))] if count > start else kept


def is_damaged(path: Path, pieces: list[Piece]) -> bool:
    """Whether a row is not what it was; every byte is read."""
    starts = [0, *(end for end, _ in pieces)]
    return any(
        _sum(path, start, end) != kept for start, (end, kept) in zip(starts, pieces, strict=False)
    )


def _sum(path: Path, start: int, stop: int) -> str:
    """SHA-256 (hex) of rows, and of what the header says of each."""
    with path.open("rb") as file:
        shape, dtype, first = _read_header(file)
        found = hashlib.sha256(f"{dtype.str} {shape[1:]}".encode())
        size = _row_bytes(shape, dtype)
        file.seek(first + start * size)
        left = (stop - start) * size
        while left and (data := file.read(min(left, READ_BYTES))):
            found.update(data)
            left -= len(data)
    return found.hexdigest()


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype, int]:
    """Shape, dtype, and where the values begin."""
    npy.read_magic(file)
    shape, _, dtype = npy.read_array_header_1_0(file)
    return shape, dtype, file.tell()


def _write_header(file: IO[bytes], shape: tuple[int, ...], dtype: np.dtype) -> None:
    description = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(file, description)


def _row_bytes(shape: tuple[int, ...], dtype: np.dtype) -> int:
    return int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize
