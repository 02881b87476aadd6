"""A collection: one folder with one SQLite database, the truth about photos and descriptors.

Descriptors are kept by the content of the photo (SHA-256), so that a photo that is moved, renamed
or stored twice is described once. Write-ahead logging lets readers work while a run writes;
writing is in `writer`. Whatever else lies in the folder is derived from the database (`arrays`).
"""

import contextlib
import json
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from resight.collection import fitted_params as fitted_params_io
from resight.collection.database import explained, open_database
from resight.collection.provenance import FittedName, Provenance
from resight.errors import CollectionError
from resight.photos.files import COLLECTION_MARK

State = Literal["ok", "failed"]
PHOTO = "id, path, size, mtime_ns, content, width, height, state, reason"
"""The columns of a `Photo`."""


@dataclass(frozen=True)
class Photo:
    """A photo's row: `content` is the file's SHA-256, sizes in pixels (upright) and bytes."""

    id: int
    path: Path
    size: int
    mtime_ns: int
    content: str | None
    width: int | None
    height: int | None
    state: State
    reason: str | None


@dataclass(frozen=True)
class StoredDescriptors:
    """One content's descriptors, float32 (D,), and whether their check sum is right."""

    content: str
    global_: np.ndarray
    local: np.ndarray | None
    intact: bool


class Collection(Provenance):
    """An open collection, for reading; close it, or use it in a `with` statement."""

    def __init__(self, folder: Path, database: sqlite3.Connection) -> None:
        self.folder = folder
        self.database = database

    @classmethod
    def open(cls, folder: Path) -> "Collection":
        """An existing collection.

        Raises:
            CollectionError: there is none, it is damaged, or of a newer format.
        """
        if not cls.exists(folder):
            raise CollectionError(
                f"{folder}: no collection here; make one with: resight index PHOTOS -c {folder}"
            )
        with explained(folder):
            return cls(folder, open_database(folder / COLLECTION_MARK))

    @classmethod
    def exists(cls, folder: Path) -> bool:
        """Whether a folder is a collection."""
        return (folder / COLLECTION_MARK).is_file()

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def __enter__(self) -> "Collection":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """One state of the database for several reads, whatever a writer does meanwhile."""
        if self.database.in_transaction:
            yield
            return
        self.database.execute("BEGIN")
        try:
            yield
        finally:
            self.database.execute("ROLLBACK")

    # What it was made with

    @property
    def name(self) -> str:
        """The folder."""
        return str(self.folder)

    def meta(self, key: str) -> Any:
        """A value of the table `meta`, None where there is none."""
        row = self._row("SELECT value FROM meta WHERE key = ?", key)
        return None if row is None else json.loads(row[0])

    def how_fitted(self, name: FittedName) -> dict[str, Any] | None:
        """What one of them was fitted on: photos, time, configuration."""
        names = [name, "vocabulary"] if name == "learned" else [name]  # see `fitted_data`
        row = self._row("SELECT how FROM fitted WHERE name IN (?, ?)", names[0], names[-1])
        return None if row is None else json.loads(row[0])

    def fitted_data(self, name: FittedName) -> bytes | None:
        """The fitted numbers themselves."""
        row = self._row("SELECT data FROM fitted WHERE name = ?", name)
        if row is not None or name != "learned":
            return None if row is None else row[0]
        # Of `sift-vlad`, before there were other methods that learn.
        row = self._row("SELECT data FROM fitted WHERE name = 'vocabulary'")
        if row is None:
            return None
        return fitted_params_io.to_bytes({"words": np.frombuffer(row[0], "<f4").reshape(-1, 128)})

    @property
    def stamp(self) -> str:
        """A token that changes with everything that changes the answers to a search."""
        return f"{self.generation}-{self.last_change}"

    @property
    def generation(self) -> str:
        """The part of the stamp that changes when all descriptors do, as by another selection."""
        return str(self.meta("stamp"))

    @property
    def last_change(self) -> int:
        """The number of the last change that searches see."""
        row = self._row(
            "SELECT number FROM changes WHERE what != 'unseen' ORDER BY number DESC LIMIT 1"
        )
        return int(row[0]) if row else 0

    def changed_since(self, number: int) -> list[int]:
        """The ids of the photos of which searches see another descriptor since a change."""
        rows = self._rows(
            "SELECT DISTINCT photo FROM changes WHERE number > ? AND what = 'descriptor'", number
        )
        return [id_ for (id_,) in rows]

    # What is in it

    def photos(self, state: State | None = None) -> Iterator[Photo]:
        """The photos (of a state) by ascending id."""
        rows = self._rows(
            f"SELECT {PHOTO} FROM photos WHERE ?1 IS NULL OR state = ?1 ORDER BY id", state
        )
        yield from map(_photo, rows)

    def photos_under(self, place: Path) -> list[Photo]:
        """The photo at an absolute path, or the photos below it, by ascending id.

        Only their rows are read, by the index of the paths: the names below a folder are those
        between it with a slash and it with what comes after a slash.
        """
        below = os.fsencode(os.path.join(place, ""))
        end = below[:-1] + bytes([below[-1] + 1])
        rows = self._rows(
            f"SELECT {PHOTO} FROM photos WHERE path = ?1 OR (path > ?2 AND path < ?3) ORDER BY id",
            *(os.fsencode(place), below, end),
        )
        return [_photo(row) for row in rows]

    def photo_at(self, path: Path) -> Photo | None:
        """The photo at an absolute path, if it is known."""
        row = self._row(f"SELECT {PHOTO} FROM photos WHERE path = ?", os.fsencode(path))
        return None if row is None else _photo(row)

    def photos_by_id(self, ids: Iterable[int]) -> dict[int, Photo]:
        """Those of some photos that are (still) there and can be searched, by id."""
        select = f"SELECT {PHOTO} FROM photos WHERE id = ? AND state = 'ok'"
        rows = (self._row(select, int(id_)) for id_ in ids)
        return {row[0]: _photo(row) for row in rows if row is not None}

    def photos_after(self, after: int, count: int) -> list[Photo]:
        """The next photos that can be searched by ascending id."""
        rows = self._rows(
            f"SELECT {PHOTO} FROM photos WHERE state = 'ok' AND id > ? ORDER BY id LIMIT ?",
            after,
            count,
        )
        return [_photo(row) for row in rows]

    def count(self, state: State) -> int:
        """How many photos are of a state."""
        return int(self._rows("SELECT count(*) FROM photos WHERE state = ?", state)[0][0])

    def is_described(self, content: str) -> bool:
        """Whether there are descriptors of a content."""
        return self._row("SELECT 1 FROM descriptors WHERE content = ?", content) is not None

    def described(self) -> set[str]:
        """The contents there are descriptors of."""
        return {content for (content,) in self._rows("SELECT content FROM descriptors")}

    def descriptors(self, content: str) -> StoredDescriptors | None:
        """The descriptors of a content, if it was described."""
        with explained(self.folder):
            return next(self._stored("WHERE content = ?", content), None)

    def all_descriptors(self) -> Iterator[StoredDescriptors]:
        """The descriptors of every content."""
        return self._stored("")

    def photo_descriptors(
        self, since: int | None = None
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray | None]]:
        """Id, global and local descriptor (float32) of each searchable photo, by ascending id.

        Args:
            since: only of photos that have another descriptor since the change of this number.
        """
        changed = "AND p.id IN (SELECT photo FROM changes WHERE number > ? AND what = 'descriptor')"
        rows = self.database.execute(
            "SELECT p.id, d.global, d.local FROM photos p JOIN descriptors d USING (content) "
            f"WHERE p.state = 'ok' {'' if since is None else changed} ORDER BY p.id",
            () if since is None else (since,),
        )
        for id_, global_, local in rows:
            yield id_, self._decode(global_), None if local is None else self._decode(local)

    def encode(self, values: np.ndarray) -> bytes:
        """A descriptor (D,) as it is stored."""
        return values.astype(self._dtype).tobytes()

    def _stored(self, where: str, *values: object) -> Iterator[StoredDescriptors]:
        rows = self.database.execute(
            f"SELECT content, global, local, crc32 FROM descriptors {where}", values
        )
        for content, global_, local, crc32 in rows:
            intact = blob_crc32(global_, local) == crc32
            decoded = None if local is None else self._decode(local)
            yield StoredDescriptors(content, self._decode(global_), decoded, intact)

    def _decode(self, blob: bytes) -> np.ndarray:
        whole = len(blob) - len(blob) % self._dtype.itemsize
        return np.frombuffer(blob[:whole], self._dtype).astype(np.float32)

    @cached_property
    def _dtype(self) -> np.dtype[Any]:
        return np.dtype(self.config.dtype).newbyteorder("<")

    def _row(self, sql: str, *values: object) -> Any:
        with explained(self.folder):
            return self.database.execute(sql, values).fetchone()

    def _rows(self, sql: str, *values: object) -> list[Any]:
        with explained(self.folder):
            return self.database.execute(sql, values).fetchall()


def _photo(row: tuple[Any, ...]) -> Photo:
    """A photo from its `PHOTO` columns."""
    return Photo(row[0], Path(os.fsdecode(row[1])), *row[2:])


def blob_crc32(global_: bytes, local: bytes | None) -> int:
    """The check sum of a content's descriptors."""
    return zlib.crc32(local or b"", zlib.crc32(global_))
