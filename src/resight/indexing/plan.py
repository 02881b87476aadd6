"""Compare the photos on disk with a collection, and check that the resources suffice."""

import os
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resight.collection import Collection, Photo
from resight.collection.database import check_disk_space
from resight.errors import CollectionError, UsageError
from resight.memory import available_bytes
from resight.photos import is_remote, is_under, path_text
from resight.photos.files import PhotoFile, ScanResult


@dataclass(frozen=True)
class Plan:
    """The difference between the disk and the collection.

    Attributes:
        scan: the photos on disk.
        todo: files that are new, changed or touched, or failed before.
        unchanged: number of files that are as they were.
        unknown: unchanged files whose change time and inode are not stored yet.
        vanished: photos of the collection whose files are gone.
        outdated: failures of files that are gone, or of folders that can be read now; further names
            of a file.
        indexed: the collection's photos by path.
    """

    scan: ScanResult
    todo: list[PhotoFile]
    unchanged: int
    unknown: list[PhotoFile]
    vanished: list[Photo]
    outdated: list[Photo]
    indexed: dict[Path, Photo]


def plan_run(
    collection: Collection, places: Sequence[Path], scan: ScanResult, *, rehash: bool = False
) -> Plan:
    """Compare the photos found under some (absolute) places with the collection's.

    A photo counts as unchanged if its size and modification time are, and its change time and
    inode where they are known, unless all are to be read (`rehash`); a failed one is retried.
    """
    indexed = {photo.path: photo for photo in collection.photos()}
    states = collection.file_states()
    todo: list[PhotoFile] = []
    unknown: list[PhotoFile] = []
    for file in scan.photos:
        photo = indexed.get(file.path)
        if rehash or photo is None or not _is_unchanged(file, photo, states):
            todo.append(file)
        elif photo.id not in states:
            unknown.append(file)
    present = {file.path for file in scan.photos}
    roots = set(places)
    unreadable = {path for path, _ in scan.unreadable}
    missing = [
        photo
        for path, photo in indexed.items()
        if path not in present and is_under(path, roots) and not is_under(path, unreadable)
    ]
    vanished = [photo for photo in missing if photo.state == "ok" and not photo.path.exists()]
    outdated = [p for p in missing if p.state == "failed" or p.path in scan.aliases]
    return Plan(scan, todo, len(scan.photos) - len(todo), unknown, vanished, outdated, indexed)


def find_gone_places(folder: Path, places: Sequence[Path]) -> list[Path]:
    """Return the (absolute) places that do not exist, but where a collection has photos."""
    missing = [place for place in places if not is_remote(place) and not os.path.lexists(place)]
    if not missing or not Collection.exists(folder):
        return []
    with Collection.open(folder) as collection:
        return [place for place in missing if collection.photos_under(place)]


def check_prunable(plan: Plan, places: Sequence[Path], gone: AbstractSet[Path]) -> None:
    """Refuse to prune if most photos of a place are gone, as when a drive is not mounted.

    Raises:
        UsageError: more than half of the photos known below one of the places are in `gone`.
    """
    for place in places:
        known = sum(
            photo.state == "ok" and is_under(path, {place}) for path, photo in plan.indexed.items()
        )
        lost = sum(is_under(path, {place}) for path in gone)
        if 2 * lost > known:
            raise UsageError(
                f"needed to prune, because {lost} of {known} photos of {path_text(place)} are "
                "gone, as if a drive were not mounted",
                parameter="prune_most",
            )


def _is_unchanged(file: PhotoFile, photo: Photo, states: Mapping[int, tuple[int, int]]) -> bool:
    if photo.state != "ok" or (photo.size, photo.mtime_ns) != (file.size, file.mtime_ns):
        return False
    known = zip(states.get(photo.id, (0, 0)), (file.ctime_ns, file.inode), strict=True)
    return all(before == now or 0 in (before, now) for before, now in known)


def check_resources(
    collection: Collection, plan: Plan, dimensions: int, *, on_cluster: bool = False
) -> None:
    """Refuse a run for which the disk or (unless `on_cluster`) the memory does not suffice.

    Photos that may only have moved are not counted. A descriptor has `dimensions` values.

    Raises:
        CollectionError: gives the needed and the available bytes.
    """
    config = collection.config
    descriptors = 2 if config.cam else 1
    photos = max(0, len(plan.todo) - len(plan.vanished))
    needed = photos * descriptors * dimensions * np.dtype(config.dtype).itemsize
    check_disk_space(collection.folder, needed, f"{photos} photos need")
    if on_cluster or not plan.todo:
        return
    memory = available_bytes()
    needed = config.memory_bytes()
    if memory is not None and needed > memory:
        raise CollectionError(
            f"{collection.folder}: too little memory (describing photos needs "
            f"{needed >> 20:,} MiB, {memory >> 20:,} are available); close other programs, or use "
            "smaller resolutions, such as those of the method `fast`"
        )
