"""Describe a collection on any backend, and move or remove photos of it."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resight.backends import Location, open_remote, open_store
from resight.backends.local import LocalStore
from resight.collection import Collection, Photo
from resight.collection.ann_index import ApproximateIndex, read_ann_status
from resight.collection.folders import follow_move, forget, known_folders
from resight.collection.writer import writing
from resight.errors import UsageError
from resight.photos import PathLike, absolute, as_paths, path_text


@dataclass(frozen=True)
class Info:
    """Description of a collection: counts, configuration, model, fitted parts, failures, size.

    Attributes:
        folders: folders that the photos were indexed from; none of a remote collection.
        names: names of things, and how many photos carry each.
        precisions: arithmetic with which the descriptors were computed, where it was recorded.
        details: further properties of a remote collection, by a short title.
        bytes_on_disk: None where the backend does not report it.
    """

    photos: int
    failed: list[tuple[Path, str]]
    folders: list[Path]
    names: dict[str, int]
    config: dict[str, Any]
    model: dict[str, Any] | None
    fingerprint: str | None
    precisions: list[str]
    selection: dict[str, Any] | None
    learned: dict[str, Any] | None
    approximate: ApproximateIndex | None
    details: dict[str, str]
    created: str
    bytes_on_disk: int | None

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as JSON values."""
        failed = [{"path": str(path), "reason": reason} for path, reason in self.failed]
        folders = [path_text(folder) for folder in self.folders]
        approximate = self.approximate and vars(self.approximate)
        return {**vars(self), "failed": failed, "folders": folders, "approximate": approximate}


def info(collection: Location | Collection) -> Info:
    """Describe a collection in a folder or on a remote backend."""
    with open_store(collection) as store:
        provenance = store.provenance
        local = store.collection if isinstance(store, LocalStore) else None
        return Info(
            photos=store.count("ok"),
            failed=[(photo.path, str(photo.reason)) for photo in store.photos("failed")],
            folders=[] if local is None else known_folders(local),
            names={
                name: len(store.photos_with(contents))
                for name, contents in store.names().things.items()
            },
            config=provenance.config.to_dict(),
            model=provenance.meta("model"),
            fingerprint=provenance.meta("fingerprint"),
            precisions=provenance.meta("precisions") or [],
            selection=provenance.fit_info("selection"),
            learned=provenance.fit_info("learned"),
            approximate=None if local is None else read_ann_status(local),
            details=store.details(),
            created=str(provenance.meta("created")),
            bytes_on_disk=store.bytes_on_disk(),
        )


def move(source: PathLike, target: PathLike, collection: PathLike) -> list[Path]:
    """Follow a folder of photos (or one photo) that was moved or renamed.

    Only paths in the collection change; photos keep their IDs. Files whose size or time has
    changed are read by the next index run.

    Returns:
        The new paths of the photos.

    Raises:
        UsageError: the collection has no photos at the source or some at the target, or none of
            the files is at the target. Nothing is changed then.
    """
    before, after = absolute(Path(source)), absolute(Path(target))
    with writing(collection) as writer:
        opened = writer.collection
        photos = _photos_at([before], opened.photos_under, opened.name)
        moved = {photo.id: after / photo.path.relative_to(before) for photo in photos}
        if not any(path.exists() for path in moved.values()):
            raise UsageError(f"{after}: none of the {len(photos)} photos of {before} is there")
        own = {photo.path for photo in photos}
        taken = [path for path in moved.values() if path in own or opened.photo_at(path)]
        if taken:
            raise UsageError(f"{taken[0]}: is in the collection already")
        with writer.transaction():
            writer.move(moved)
            follow_move(writer, before, after)
    return list(moved.values())


def remove(
    paths: PathLike | Sequence[PathLike], collection: Location, *, everything: bool = False
) -> list[Path]:
    """Remove photos (or all below a folder) from a collection; the files are never touched.

    A folder of the collection that is removed is forgotten, so that no run looks there again.

    Args:
        paths: photos and folders.
        collection: a folder, or the address of a database.
        everything: remove even all photos of the collection, which is refused otherwise.

    Returns:
        The paths removed.

    Raises:
        UsageError: a path names no photo of the collection, or all photos would be removed;
            nothing is removed then.
    """
    remote = open_remote(collection)
    if remote is not None:
        with contextlib.closing(remote):
            photos = _photos_at(as_paths(paths), remote.photos_under, remote.name)
            _check_rest(photos, remote.count("ok"), everything=everything)
            remote.remove([photo.id for photo in photos])
    else:
        with writing(collection) as writer:
            opened = writer.collection
            photos = _photos_at(as_paths(paths), opened.photos_under, opened.name)
            _check_rest(photos, opened.count("ok"), everything=everything)
            writer.remove(photos)
            forget(writer, {absolute(path) for path in as_paths(paths)})
    return [photo.path for photo in photos]


def _check_rest(photos: Sequence[Photo], total: int, *, everything: bool) -> None:
    """Refuse to remove all photos of a collection that has several, unless it was meant."""
    removed = sum(photo.state == "ok" for photo in photos)
    if removed == total > 1 and not everything:
        raise UsageError(
            f"needed to remove all {total} photos of the collection", parameter="everything"
        )


def _photos_at(
    paths: Sequence[Path], photos_under: Callable[[Path], list[Photo]], collection: str
) -> list[Photo]:
    """Return the photos at or below some paths, by ascending ID."""
    by_id: dict[int, Photo] = {}
    for path in paths:
        photos = photos_under(absolute(path))
        if not photos:
            raise UsageError(f"{path}: no photo of {collection} is there; nothing was removed")
        by_id |= {photo.id: photo for photo in photos}
    return [by_id[id_] for id_ in sorted(by_id)]
