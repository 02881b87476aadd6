"""The stored form of evidence: about 26 kB a photo, 32 kB at most.

Descriptors of features have 3 bits a value, coordinates 16, angles and sizes 8, all deflated:
against floats, 1 % fewer views of the same thing agree. Columns are 16 bytes and their position.
The layout has a version; evidence of another version counts as missing.
"""

import math
import struct
import zlib

import numpy as np

from resight.config.local import SIFT_VALUES
from resight.descriptors.columns import BITS, Columns
from resight.evidence import LONGEST_SIDE, THUMBNAIL_SIDE, Evidence
from resight.vectors import l2_normalize_rows

VERSION = 3
LEVELS = 7
"""Largest code of a descriptor's value; values from `LARGEST` on share it."""
LARGEST = 0.35
POINT_STEP = 1 / 64
"""Pixels per unit of a coordinate, which is 0 at the left or upper edge of the corner pixel."""
SIZE_STEP = 0.03
"""Natural logarithm of the ratio of neighboring codes of a feature's size."""

HEADER = struct.Struct("<BHHHfHBB")
"""Version, number of features, width, height, sharpness; number of columns, width and height of
their map, all zero without a network."""
THUMBNAIL_BYTES = THUMBNAIL_SIDE**2 * 3
FEATURE_BYTES = 4 + 2 + SIFT_VALUES // 2
COLUMN_BYTES = 2 + BITS // 8

assert LONGEST_SIDE / POINT_STEP < 2**16


def to_bytes(evidence: Evidence) -> bytes:
    """Return the stored form of evidence."""
    count = len(evidence)
    points = np.rint((evidence.points.astype(np.float64) + 0.5) / POINT_STEP)
    angles = np.rint(evidence.frames[:, 0] / (2 * math.pi) * 256) % 256
    sizes = np.rint(np.log(np.maximum(evidence.frames[:, 1], 1.0)) / SIZE_STEP)
    codes = np.clip(np.rint(evidence.descriptors / LARGEST * LEVELS), 0, LEVELS).astype(np.uint8)
    arrays = [
        np.clip(points, 0, 2**16 - 1).astype("<u2").T.tobytes(),
        angles.astype(np.uint8).tobytes(),
        np.clip(sizes, 0, 255).astype(np.uint8).tobytes(),
        (codes[:, 0::2] << 4 | codes[:, 1::2]).tobytes(),
    ]
    # Nothing occurs twice, so that looking for it would only take ten times as long.
    deflate = zlib.compressobj(strategy=zlib.Z_HUFFMAN_ONLY)
    body = deflate.compress(b"".join([evidence.thumbnail.tobytes(), *arrays])) + deflate.flush()
    columns = evidence.columns
    if columns is None:
        return HEADER.pack(VERSION, count, *evidence.size, evidence.sharpness, 0, 0, 0) + body
    header = HEADER.pack(
        VERSION, count, *evidence.size, evidence.sharpness, len(columns), *columns.shape
    )
    return header + columns.places.tobytes() + columns.codes.tobytes() + body


def sharpness_of(data: bytes) -> float | None:
    """Return the sharpness in stored evidence; None if it is of another version."""
    if not is_current(data):
        return None
    return float(HEADER.unpack_from(data)[4])


def is_current(data: bytes) -> bool:
    """Return whether stored evidence is of this version."""
    return len(data) >= HEADER.size and data[0] == VERSION


def from_bytes(data: bytes) -> Evidence | None:
    """Return stored evidence; None if it is damaged or of another version."""
    if not is_current(data):
        return None
    _, count, width, height, sharpness, number, *shape = HEADER.unpack_from(data)
    start = HEADER.size + number * COLUMN_BYTES
    try:
        body = zlib.decompress(data[start:], bufsize=THUMBNAIL_BYTES + count * FEATURE_BYTES)
    except zlib.error:
        return None
    if len(body) != THUMBNAIL_BYTES + count * FEATURE_BYTES or not width or not height:
        return None
    thumbnail = np.frombuffer(body, np.uint8, THUMBNAIL_BYTES)
    offset = THUMBNAIL_BYTES
    points = np.frombuffer(body, "<u2", 2 * count, offset).reshape(2, count).T
    offset += 4 * count
    angles, sizes = np.frombuffer(body, np.uint8, 2 * count, offset).reshape(2, count)
    offset += 2 * count
    pairs = np.frombuffer(body, np.uint8, count * SIFT_VALUES // 2, offset)
    codes = np.stack([pairs >> 4, pairs & 15], axis=1).reshape(count, SIFT_VALUES)
    descriptors = l2_normalize_rows(codes.astype(np.float32))
    frames = np.stack([angles / 256 * (2 * math.pi), np.exp(sizes * SIZE_STEP)], axis=1)
    return Evidence(
        (width, height),
        (points * np.float32(POINT_STEP) - np.float32(0.5)).astype(np.float32),
        frames.astype(np.float32),
        descriptors,
        thumbnail.reshape(THUMBNAIL_SIDE, THUMBNAIL_SIDE, 3),
        sharpness,
        _columns(data, number, (shape[0], shape[1])) if shape[0] else None,
    )


def _columns(data: bytes, count: int, shape: tuple[int, int]) -> Columns:
    """Return the stored columns."""
    places = np.frombuffer(data, np.uint8, 2 * count, HEADER.size).reshape(count, 2)
    offset = HEADER.size + 2 * count
    codes = np.frombuffer(data, np.uint8, count * BITS // 8, offset).reshape(count, BITS // 8)
    return Columns(shape, places, codes)
