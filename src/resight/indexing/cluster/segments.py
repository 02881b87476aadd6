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
from collections.abc import Mapping, Sequence
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


MAX_SHARD_PHOTOS = 512
"""Bounds what is lost with a worker, and the size of a segment (some megabytes)."""

SHARDS_PER_WORKER = 4
"""Shards of each worker in a short run, so that all finish at about the same time."""


@dataclass(frozen=True)
class Shard:
    """Consecutive photos of a run, and their segment if they are extracted already."""

    files: tuple[PhotoFile, ...]
    segment: Path | None = None


def shard_size(photos: int, workers: int) -> int:
    """Return the number of photos of a shard.

    >>> shard_size(40, 2), shard_size(10**6, 100), shard_size(0, 1)
    (5, 512, 1)
    """
    return max(1, min(MAX_SHARD_PHOTOS, -(-photos // (SHARDS_PER_WORKER * max(1, workers)))))


def split_into_shards(
    files: Sequence[PhotoFile], finished: Mapping[Path, tuple[PhotoFile, ...]], size: int
) -> list[Shard]:
    """Split photos into shards of at most `size` photos, in their order.

    A finished segment counts if all its photos are among the files, unchanged; its shard takes the
    place of its first photo.
    """
    todo = set(files)
    segment_of: dict[PhotoFile, Path] = {}
    for path, photos in finished.items():
        if todo.issuperset(photos) and segment_of.keys().isdisjoint(photos):
            segment_of.update(dict.fromkeys(photos, path))
    shards: list[Shard] = []
    placed: set[Path] = set()
    pending: list[PhotoFile] = []
    for file in files:
        segment = segment_of.get(file)
        if segment is None:
            pending.append(file)
        if pending and (segment is not None or len(pending) == size):
            shards.append(Shard(tuple(pending)))
            pending = []
        if segment is not None and segment not in placed:
            placed.add(segment)
            shards.append(Shard(finished[segment], segment))
    if pending:
        shards.append(Shard(tuple(pending)))
    return shards
