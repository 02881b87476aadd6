"""What the pages of a collection show, read from its database in bounded portions."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resight.storage.collection import Collection, Photo
from resight.storage.database import explained
from resight.web.problems import Problem

COLUMNS = "id, path, size, mtime_ns, content, width, height, state, reason"


def photo_by_id(collection: Collection, id_: int) -> Photo:
    """A photo that can be searched.

    Raises:
        Problem: there is none of this id.
    """
    found = photos_by_id(collection, [id_])
    if id_ not in found:
        raise Problem(404, f"There is no photo {id_} in this collection.")
    return found[id_]


def photos_by_id(collection: Collection, ids: Iterable[int]) -> dict[int, Photo]:
    """Those of some photos that are (still) there and can be searched, by id."""
    found = {}
    with explained(collection.folder):
        for id_ in ids:
            row = collection.database.execute(
                f"SELECT {COLUMNS} FROM photos WHERE id = ? AND state = 'ok'", (int(id_),)
            ).fetchone()
            if row is not None:
                found[int(id_)] = _photo(row)
    return found


def photos_after(collection: Collection, after: int, count: int) -> list[Photo]:
    """The next photos by ascending id."""
    with explained(collection.folder):
        rows = collection.database.execute(
            f"SELECT {COLUMNS} FROM photos WHERE state = 'ok' AND id > ? ORDER BY id LIMIT ?",
            (after, count),
        ).fetchall()
    return [_photo(row) for row in rows]


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


def _photo(row: Sequence[Any]) -> Photo:
    return Photo(row[0], Path(os.fsdecode(row[1])), *row[2:])
