"""Shards: the photos of a run split into units of work."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from resight.photos.files import PhotoFile

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
    """Split photos into shards, in their order.

    Args:
        files: the photos to extract.
        finished: segments and their photos. A segment counts if all its photos are among the
            files, unchanged; its shard takes the place of its first photo.
        size: maximum number of photos of a shard.
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
