"""Segments: what became of the photos of one shard, in a file that never changes.

A segment is a safetensors file (`global`, `local`: the descriptors; the photos and the fingerprint
are its metadata) followed by a footer: a mark and the SHA-256 of all before it. It appears under
its name only when it is whole, and its name is made of what it describes, so that a shard is done
if and only if its segment is there.
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
from resight.indexing.extraction import PhotoResult
from resight.output_files import write_atomically
from resight.photos.files import PhotoFile

MARK = b"RESIGHT1"
SUFFIX = ".segment"
_FOOTER = len(MARK) + hashlib.sha256().digest_size


@dataclass(frozen=True)
class Segment:
    """What became of the photos of a shard, in their order, and the descriptors' fingerprint."""

    fingerprint: str
    outcomes: tuple[PhotoResult, ...]


def segment_name(fingerprint: str, files: Sequence[PhotoFile]) -> str:
    """The file name of a segment: a hash of its fingerprint and of the files it describes."""
    named = [[str(file.path), file.size, file.mtime_ns] for file in files]
    return hashlib.sha256(json.dumps([fingerprint, named]).encode()).hexdigest()[:24] + SUFFIX


def encode(segment: Segment) -> bytes:
    """The bytes of a segment, footer included; equal for equal segments."""
    from safetensors.numpy import save

    described = [o.description for o in segment.outcomes if o.description is not None]
    tensors = {}
    if described:
        tensors["global"] = np.stack([description.global_ for description in described])
    local = [description.local for description in described if description.local is not None]
    if local:
        tensors["local"] = np.stack(local)
    rows = iter(range(len(described)))
    photos = [
        [
            *(str(o.file.path), o.file.size, o.file.mtime_ns, o.content, o.pixels, o.reason),
            None if o.description is None else next(rows),
        ]
        for o in segment.outcomes
    ]
    told = {"fingerprint": segment.fingerprint, "photos": photos}
    body = save(tensors, {"segment": json.dumps(told)})  # of several, the order would be any
    return body + MARK + hashlib.sha256(body).digest()


def decode(data: bytes, name: object) -> Segment:
    """The segment of some bytes; descriptors keep the dtype they were written in.

    Raises:
        SegmentError: they are not as they were written; `name` is told.
    """
    from safetensors.numpy import load

    body, footer = data[:-_FOOTER], data[-_FOOTER:]
    if footer != MARK + hashlib.sha256(body).digest():
        raise SegmentError(
            f"{name}: is no segment, or damaged; delete it and index its photos again"
        )
    length = int.from_bytes(body[:8], "little")
    told = json.loads(json.loads(body[8 : 8 + length])["__metadata__"]["segment"])
    tensors = load(body)
    outcomes = [_outcome(photo, tensors) for photo in told["photos"]]
    return Segment(told["fingerprint"], tuple(outcomes))


def write_segment(path: Path, data: bytes) -> None:
    """Write the bytes of a segment; it is on the disk, and whole, when it has its name.

    Raises:
        SegmentError: it cannot be written; nothing of it stays.
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
        SegmentError: it cannot be read, or is not as it was written.
    """
    try:
        return decode(path.read_bytes(), path)
    except OSError as error:
        raise SegmentError(f"{path}: {error.strerror or error}") from error


def find_segments(folder: Path) -> list[Path]:
    """The segments in a folder, by name; what was not finished is none of them."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def _outcome(photo: list[Any], tensors: dict[str, np.ndarray]) -> PhotoResult:
    path, size, mtime_ns, content, pixels, reason, row = photo
    description = None
    if row is not None:
        local = tensors.get("local")
        description = Description(tensors["global"][row], None if local is None else local[row])
    file = PhotoFile(Path(path), size, mtime_ns)
    return PhotoResult(file, content, tuple(pixels) if pixels else None, description, reason)
