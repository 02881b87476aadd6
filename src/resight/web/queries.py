"""What the pages of a collection show, read from its database in bounded portions."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resight.backends.store import Store
from resight.collection.database import explained
from resight.collection.reader import Collection, Photo
from resight.web.problems import Problem


def photo_by_id(store: Store, id_: int) -> Photo:
    """A photo that can be searched.

    Raises:
        Problem: there is none of this id.
    """
    found = store.photos_by_id([id_])
    if id_ not in found:
        raise Problem(404, f"There is no photo {id_} in this collection.")
    return found[id_]


def known_places(collection: Collection) -> list[Path]:
    """The uppermost folders that photos of the collection lie in, those that still exist."""
    with explained(collection.folder):
        rows = collection.database.execute("SELECT path FROM photos").fetchall()
    folders = {Path(os.fsdecode(path)).parent for (path,) in rows}
    return sorted(
        folder for folder in folders if folders.isdisjoint(folder.parents) and folder.is_dir()
    )


def photo_dict(photo: Photo, *, with_path: bool) -> dict[str, Any]:
    """A photo as the interface shows it; where it lies only to those who sit at the machine.

    `version` changes with the content: an address with `?v=` and it never shows another photo.
    """
    entry = {
        "id": photo.id,
        "name": shown(Path(photo.path.name)),
        "width": photo.width,
        "height": photo.height,
        "version": version(photo),
    }
    return {**entry, "path": shown(photo.path)} if with_path else entry


def version(photo: Photo) -> str:
    """A short name of the content of a photo."""
    return str(photo.content)[:16]


def shown(path: Path) -> str:
    """A path as text: bytes that are no UTF-8 and control characters are replaced."""
    text = os.fsencode(path).decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def in_order(ids: Sequence[int] | np.ndarray, found: dict[int, Photo]) -> list[Photo]:
    """Photos in the order of their ids, without those that are gone."""
    return [found[int(id_)] for id_ in ids if int(id_) in found]
