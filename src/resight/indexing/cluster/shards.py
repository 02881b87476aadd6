"""Shards: the list of photos cut into the units of work, those that are done already left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from resight.photos.files import PhotoFile

MOST = 512
"""Photos of a shard at most: what is lost with a worker, and some megabytes of descriptors."""

PER_WORKER = 4
"""Shards that each worker gets in a short run, so that all end at about the same time."""


@dataclass(frozen=True)
class Shard:
    """Photos that follow each other in the list, and their segment if they are done."""

    files: tuple[PhotoFile, ...]
    segment: Path | None = None


def shard_size(photos: int, workers: int) -> int:
    """Photos of a shard.

    >>> shard_size(40, 2), shard_size(10**6, 100), shard_size(0, 1)
    (5, 512, 1)
    """
    return max(1, min(MOST, -(-photos // (PER_WORKER * max(1, workers)))))


def cut(
    files: Sequence[PhotoFile], done: Mapping[Path, tuple[PhotoFile, ...]], size: int
) -> list[Shard]:
    """Cut a list into shards, in its order.

    Args:
        files: the photos to describe.
        done: segments, and what they describe. One counts if all of that is still to be described
            as it was; it takes the place of the first of its photos.
        size: photos of a shard at most.
    """
    todo, taken = set(files), dict[PhotoFile, Path]()
    for path, described in done.items():
        if todo.issuperset(described) and taken.keys().isdisjoint(described):
            taken.update(dict.fromkeys(described, path))
    shards, placed = list[Shard](), set[Path]()
    waiting: list[PhotoFile] = []
    for file in files:
        segment = taken.get(file)
        if segment is None:
            waiting.append(file)
        if waiting and (segment is not None or len(waiting) == size):
            shards.append(Shard(tuple(waiting)))
            waiting = []
        if segment is not None and segment not in placed:
            placed.add(segment)
            shards.append(Shard(done[segment], segment))
    return [*shards, Shard(tuple(waiting))] if waiting else shards
