"""Remove photos from a collection."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from resight.backends.open import open_remote
from resight.collection.reader import Photo
from resight.collection.writer import writing
from resight.errors import UsageError
from resight.photos.files import absolute


def remove(paths: Sequence[Path], collection: Path | str) -> list[Path]:
    """Forget photos (or all below a folder); the files themselves are never touched.

    Returns:
        The paths removed.

    Raises:
        UsageError: a path names no photo of the collection; nothing is removed then.
    """
    remote = open_remote(collection)
    if remote is not None:
        with contextlib.closing(remote):
            chosen = _chosen(paths, remote.photos_under, remote.name)
            remote.remove([photo.id for photo in chosen])
    else:
        with writing(Path(collection)) as writer:
            chosen = _chosen(paths, writer.collection.photos_under, str(collection))
            writer.remove(chosen)
    return [photo.path for photo in chosen]


def _chosen(
    paths: Sequence[Path], photos_under: Callable[[Path], list[Photo]], collection: str
) -> list[Photo]:
    """The photos at or below some paths, by ascending id."""
    chosen: dict[int, Photo] = {}
    for path in paths:
        found = photos_under(absolute(path))
        if not found:
            raise UsageError(f"{path}: no photo of {collection} is there; nothing was removed")
        chosen |= {photo.id: photo for photo in found}
    return [chosen[id_] for id_ in sorted(chosen)]
