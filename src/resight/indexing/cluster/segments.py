"""Segments: the results of a shard's photos, in a file that never changes.

A segment is a safetensors file (tensors `global` and `local`; the photos and the fingerprint are
its metadata) followed by a footer: a mark and the SHA-256 of everything before it. It gets its
name only when it is complete, and the name is a hash of what it describes: a shard is finished if
and only if its segment exists.
"""

import errno
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resight.collection.database import DISK_FULL
from resight.descriptors.extractor import Description
from resight.errors import SegmentError
from resight.files import write_atomically
from resight.indexing.extraction import PhotoResult
from resight.photos.files import PhotoFile

MARK = b"RESIGHT1"
SUFFIX = ".segment"
_FOOTER_BYTES = len(MARK) + hashlib.sha256().digest_size


@dataclass(frozen=True)
class Segment:
    """The results of a shard's photos, in their order, and the descriptors' fingerprint."""

    fingerprint: str
    results: tuple[PhotoResult[Description], ...]


def segment_name(fingerprint: str, files: Sequence[PhotoFile]) -> str:
    """Return the file name of a segment: a hash of its fingerprint and its photo files."""
    photos = [[str(file.path), file.size, file.mtime_ns] for file in files]
    return hashlib.sha256(json.dumps([fingerprint, photos]).encode()).hexdigest()[:24] + SUFFIX


def encode(segment: Segment) -> bytes:
    """Return the bytes of a segment, footer included; equal for equal segments."""
    from safetensors.numpy import save

    photos = []
    globals_: list[np.ndarray] = []
    locals_: list[np.ndarray] = []
    for result in segment.results:
        row = None
        if result.description is not None:
            row = len(globals_)
            globals_.append(result.description.global_)
            if result.description.local is not None:
                locals_.append(result.description.local)
        file = [str(result.file.path), result.file.size, result.file.mtime_ns]
        photos.append([*file, result.content, result.pixels, result.reason, row])
    tensors = {
        name: np.stack(rows) for name, rows in (("global", globals_), ("local", locals_)) if rows
    }
    metadata = json.dumps({"fingerprint": segment.fingerprint, "photos": photos})
    body = save(tensors, {"segment": metadata})  # one key, as safetensors orders keys at random
    return body + MARK + hashlib.sha256(body).digest()


def decode(data: bytes, name: object) -> Segment:
    """Return the segment of some bytes; descriptors keep the dtype they were written in.

    Raises:
        SegmentError: the bytes are damaged; the message starts with `name`.
    """
    from safetensors.numpy import load

    body, footer = data[:-_FOOTER_BYTES], data[-_FOOTER_BYTES:]
    if footer != MARK + hashlib.sha256(body).digest():
        raise SegmentError(
            f"{name}: is no segment, or damaged; delete it and index its photos again"
        )
    length = int.from_bytes(body[:8], "little")
    metadata = json.loads(json.loads(body[8 : 8 + length])["__metadata__"]["segment"])
    tensors = load(body)
    results = [_decode_result(photo, tensors) for photo in metadata["photos"]]
    return Segment(metadata["fingerprint"], tuple(results))


def write_segment(path: Path, data: bytes) -> None:
    """Write the bytes of a segment; under its name it is complete and on the disk.

    Raises:
        SegmentError: it cannot be written; nothing is left behind.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_atomically(path) as unfinished, unfinished.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise SegmentError(f"{path.parent}: {DISK_FULL if full else error.strerror}") from error


def read_segment(path: Path) -> Segment:
    """Read a segment.

    Raises:
        SegmentError: it cannot be read, or is damaged.
    """
    try:
        return decode(path.read_bytes(), path)
    except OSError as error:
        raise SegmentError(f"{path}: {error.strerror or error}") from error


def find_segments(folder: Path) -> list[Path]:
    """Return the complete segments in a folder, by name."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def _decode_result(photo: list[Any], tensors: dict[str, np.ndarray]) -> PhotoResult[Description]:
    path, size, mtime_ns, content, pixels, reason, row = photo
    description = None
    if row is not None:
        local = tensors.get("local")
        description = Description(tensors["global"][row], None if local is None else local[row])
    file = PhotoFile(Path(path), size, mtime_ns)
    return PhotoResult(file, content, tuple(pixels) if pixels else None, description, reason)
