"""A collection: one folder with a SQLite database of photos and descriptors; reading it.

Descriptors are stored by the content of the photo (SHA-256), so that a photo that is moved, renamed
or stored twice is described once. Write-ahead logging lets readers work while a run writes;
`writer` writes. Everything else in the folder is derived from the database (`search_arrays`).
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
from typing import Any, Literal, Self

import numpy as np

from resight.collection.database import Connections, explained
from resight.collection.decided import read_hints, read_names
from resight.collection.hints import Hints
from resight.collection.names import Names
from resight.collection.provenance import FittedName, Provenance
from resight.collection.row_sums import has_sums, is_damaged, row_crc32
from resight.errors import CollectionError
from resight.methods.model import params_to_bytes
from resight.photos import PathLike
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
    """Descriptors of one content, float32 (D,); `intact` if their checksum is right."""

    content: str
    global_: np.ndarray
    local: np.ndarray | None
    intact: bool


class Collection(Provenance):
    """An open collection, readable from any thread; close it, or use it in a `with` statement."""

    def __init__(self, folder: Path, connections: Connections) -> None:
        self.folder = folder
        self.name = str(folder)
        self._connections = connections

    @classmethod
    def open(cls, folder: PathLike) -> Self:
        """Open an existing collection.

        Raises:
            CollectionError: there is none, it is damaged, or of a newer format.
        """
        path = Path(folder)
        if not cls.exists(path):
            raise CollectionError(
                f"{path}: no collection here; make one with: resight index PHOTOS -c {path}"
            )
        with explained(path):
            return cls(path, Connections(path / COLLECTION_MARK))

    @classmethod
    def exists(cls, folder: PathLike) -> bool:
        """Return whether a folder is a collection."""
        return (Path(folder) / COLLECTION_MARK).is_file()

    @property
    def connection(self) -> sqlite3.Connection:
        """Connection of the current thread."""
        return self._connections.current()

    def close(self) -> None:
        """Close the connections of all threads."""
        self._connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all reads of this thread in the block see one state of the database."""
        connection = self.connection
        if connection.in_transaction:
            yield
            return
        connection.execute("BEGIN")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")

    # Provenance

    def meta(self, key: str) -> Any:
        """Return a value of the table `meta`, None where there is none."""
        row = self._row("SELECT value FROM meta WHERE key = ?", key)
        with explained(self.folder):
            return None if row is None else json.loads(row[0])

    def fit_info(self, name: FittedName) -> dict[str, Any] | None:
        """Return what a part was fitted on, if there is one: photos, time, configuration."""
        former = "vocabulary" if name == "learned" else name  # see `fitted_data`
        row = self._row("SELECT how FROM fitted WHERE name IN (?, ?)", name, former)
        with explained(self.folder):
            return None if row is None else json.loads(row[0])

    def fitted_data(self, name: FittedName) -> bytes | None:
        """Return a fitted part as stored, if there is one."""
        row = self._row("SELECT name, how, data FROM fitted WHERE name = ?", name)
        if row is not None:
            if is_damaged(self.connection, "fitted", name, row):
                raise CollectionError(
                    f"{self.folder}: fitted parameters are damaged; restore the collection from a "
                    "backup, or index the photos into a new one"
                )
            return row[2]
        # Format 1 stored only the vocabulary of `sift-vlad`, as plain float32.
        row = self._row("SELECT data FROM fitted WHERE name = 'vocabulary'")
        if row is None or name != "learned":
            return None
        return params_to_bytes({"words": np.frombuffer(row[0], "<f4").reshape(-1, 128)})

    @property
    def stamp(self) -> str:
        """Token that changes with everything that changes search results."""
        return f"{self.generation}-{self.last_change}"

    @property
    def generation(self) -> str:
        """Part of the stamp that changes when all descriptors do, as with another reduction."""
        return str(self.meta("stamp"))

    @property
    def last_change(self) -> int:
        """Number of the last change that searches see."""
        row = self._row(
            "SELECT number FROM changes WHERE what != 'unseen' ORDER BY number DESC LIMIT 1"
        )
        return int(row[0]) if row else 0

    def changed_since(self, number: int) -> list[int]:
        """Return the IDs of the photos whose searchable descriptor has changed since a change."""
        rows = self._rows(
            "SELECT DISTINCT photo FROM changes WHERE number > ? AND what = 'descriptor'", number
        )
        return [id_ for (id_,) in rows]

    # Photos

    def photos(self, state: State | None = None) -> Iterator[Photo]:
        """Yield the photos (in a state) by ascending ID."""
        rows = self._rows(
            f"SELECT {PHOTO} FROM photos WHERE ?1 IS NULL OR state = ?1 ORDER BY id", state
        )
        yield from map(_photo, rows)

    def photos_under(self, place: Path) -> list[Photo]:
        """Return the photo at an absolute path, or the photos below it, by ascending ID.

        Only their rows are read, through the index on paths: the names below a folder sort between
        the folder with a slash and the folder with the character after the slash.
        """
        start = os.fsencode(os.path.join(place, ""))
        end = start[:-1] + bytes([start[-1] + 1])
        rows = self._rows(
            f"SELECT {PHOTO} FROM photos WHERE path = ?1 OR (path > ?2 AND path < ?3) ORDER BY id",
            os.fsencode(place),
            start,
            end,
        )
        return [_photo(row) for row in rows]

    def photos_with(self, contents: Iterable[str]) -> list[Photo]:
        """Return the searchable photos with one of some contents, by ascending ID."""
        select = f"SELECT {PHOTO} FROM photos WHERE content = ? AND state = 'ok'"
        rows = [row for content in contents for row in self._rows(select, content)]
        return [_photo(row) for row in sorted(rows, key=lambda row: int(row[0]))]

    def photo_at(self, path: Path) -> Photo | None:
        """Return the photo at an absolute path, if there is one."""
        row = self._row(f"SELECT {PHOTO} FROM photos WHERE path = ?", os.fsencode(path))
        return None if row is None else _photo(row)

    def photos_by_id(self, ids: Iterable[int]) -> dict[int, Photo]:
        """Return the searchable photos with these IDs, by ID."""
        select = "SELECT * FROM photos WHERE id = ? AND state = 'ok'"
        rows = (self._row(select, int(id_)) for id_ in ids)
        return {row[0]: self._intact(row) for row in rows if row is not None}

    def _intact(self, row: tuple[Any, ...]) -> Photo:
        """Return the photo of a whole row, which is a result; refuse it if it was damaged."""
        if self._has_sums:
            stored = self._row("SELECT crc32 FROM photo_sums WHERE photo = ?", row[0])
            if stored is not None and stored[0] not in (None, row_crc32(row)):
                raise CollectionError(
                    f"{self.folder}: the entry of photo {row[0]} is damaged; run resight check"
                )
        return _photo(row[: len(PHOTO.split(","))])

    @cached_property
    def _has_sums(self) -> bool:
        return has_sums(self.connection)

    def photos_after(self, after: int, count: int) -> list[Photo]:
        """Return the next searchable photos by ascending ID."""
        rows = self._rows(
            f"SELECT {PHOTO} FROM photos WHERE state = 'ok' AND id > ? ORDER BY id LIMIT ?",
            after,
            count,
        )
        return [_photo(row) for row in rows]

    def count(self, state: State) -> int:
        """Return the number of photos in a state."""
        return int(self._row("SELECT count(*) FROM photos WHERE state = ?", state)[0])

    def file_states(self) -> dict[int, tuple[int, int]]:
        """Return the change time in nanoseconds and inode of files, by the photo's ID."""
        if self._row("SELECT 1 FROM sqlite_master WHERE name = 'file_states'") is None:
            return {}
        rows = self._rows("SELECT photo, ctime_ns, inode FROM file_states")
        return {id_: (ctime_ns, inode) for id_, ctime_ns, inode in rows}

    # Descriptors

    def is_described(self, content: str) -> bool:
        """Return whether a content has descriptors."""
        return self._row("SELECT 1 FROM descriptors WHERE content = ?", content) is not None

    def described_contents(self) -> set[str]:
        """Return the contents that have descriptors."""
        return {content for (content,) in self._rows("SELECT content FROM descriptors")}

    def descriptors(self, content: str) -> StoredDescriptors | None:
        """Return the descriptors of a content, if it has any."""
        with explained(self.folder):
            return next(self._stored("WHERE content = ?", content), None)

    def sample_contents(self, count: int) -> dict[str, Path]:
        """Return at most `count` described contents, and a photo of each.

        They are the first by their hash: a random sample that depends on nothing but the photos.
        """
        rows = self._rows(
            "SELECT content, min(path) FROM photos JOIN descriptors USING (content) "
            "WHERE state = 'ok' GROUP BY content ORDER BY content LIMIT ?",
            count,
        )
        return {content: Path(os.fsdecode(path)) for content, path in rows}

    def has_copies(self) -> bool:
        """Return whether varied copies were ever described."""
        return self._row("SELECT 1 FROM sqlite_master WHERE name = 'copies'") is not None

    def copies(self, content: str) -> np.ndarray | None:
        """Return the descriptors of varied copies of a content, float32 (V, D), if intact."""
        if not self.has_copies():
            return None
        row = self._row("SELECT descriptors, crc32 FROM copies WHERE content = ?", content)
        original = self.descriptors(content)
        if row is None or original is None or zlib.crc32(row[0]) != row[1]:
            return None
        values = np.frombuffer(row[0], "<f2")
        if len(values) % len(original.global_):
            return None  # the photo's own descriptor is damaged
        return values.reshape(-1, len(original.global_)).astype(np.float32)

    def has_evidence(self) -> bool:
        """Return whether evidence was ever recorded."""
        return self._row("SELECT 1 FROM sqlite_master WHERE name = 'evidence'") is not None

    def evidence(self, contents: Iterable[str]) -> dict[str, bytes]:
        """Return the intact evidence by content; contents without any are omitted."""
        if not self.has_evidence():
            return {}
        select = "SELECT data, crc32 FROM evidence WHERE content = ?"
        rows = {content: self._row(select, content) for content in contents}
        return {c: row[0] for c, row in rows.items() if row and zlib.crc32(row[0] or b"") == row[1]}

    def contents_with_evidence(self) -> set[str]:
        """Return the contents that have evidence."""
        if not self.has_evidence():
            return set()
        return {content for (content,) in self._rows("SELECT content FROM evidence")}

    def all_evidence(self) -> Iterator[tuple[str, bytes]]:
        """Yield the content and the intact evidence of every content that has any."""
        if self.has_evidence():
            rows = self.connection.execute("SELECT content, data, crc32 FROM evidence")
            blobs = ((content, data or b"", crc32) for content, data, crc32 in rows)
            yield from ((content, data) for content, data, crc in blobs if zlib.crc32(data) == crc)

    def hints(self) -> Hints:
        """Return what a person decided about photos."""
        with explained(self.folder):
            return read_hints(self.connection)

    def names(self) -> Names:
        """Return what a person called the things in photos."""
        with explained(self.folder):
            return read_names(self.connection)

    def photo_descriptors(
        self, since: int | None = None, *, distinct: bool = False
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray | None]]:
        """Yield ID, global and local descriptor (float32) of each searchable photo by ascending ID.

        Args:
            since: yield only photos whose descriptor changed after the change of this number.
            distinct: yield only the first photo of each content.

        Raises:
            CollectionError: a descriptor is damaged.
        """
        changed = "AND p.id IN (SELECT photo FROM changes WHERE number > ? AND what = 'descriptor')"
        rows = self.connection.execute(
            f"SELECT {'min(p.id)' if distinct else 'p.id'} AS first, d.global, d.local, d.crc32 "
            "FROM photos p JOIN descriptors d USING (content) WHERE p.state = 'ok' "
            f"{'' if since is None else changed} {'GROUP BY content' if distinct else ''} "
            "ORDER BY first",
            () if since is None else (since,),
        )
        for id_, global_, local, crc32 in rows:
            if blob_crc32(global_, local) != crc32:
                raise CollectionError(
                    f"{self.folder}: the descriptor of photo {id_} is damaged; run resight check, "
                    "and then resight index once more"
                )
            yield id_, self._decode(global_), None if local is None else self._decode(local)

    def encode(self, values: np.ndarray) -> bytes:
        """Return the stored form of a descriptor (D,)."""
        return values.astype(self._dtype).tobytes()

    def _stored(self, where: str, *values: object) -> Iterator[StoredDescriptors]:
        rows = self.connection.execute(
            f"SELECT content, global, local, crc32 FROM descriptors {where}", values
        )
        for content, global_, local, crc32 in rows:
            intact = blob_crc32(global_, local) == crc32
            decoded = None if local is None else self._decode(local)
            yield StoredDescriptors(content, self._decode(global_), decoded, intact)

    def _decode(self, blob: bytes) -> np.ndarray:
        complete = len(blob) - len(blob) % self._dtype.itemsize
        return np.frombuffer(blob[:complete], self._dtype).astype(np.float32)

    @cached_property
    def _dtype(self) -> np.dtype[Any]:
        return np.dtype(self.config.dtype).newbyteorder("<")

    def _row(self, sql: str, *values: object) -> Any:
        with explained(self.folder):
            return self.connection.execute(sql, values).fetchone()

    def _rows(self, sql: str, *values: object) -> list[Any]:
        with explained(self.folder):
            return self.connection.execute(sql, values).fetchall()


def _photo(row: tuple[Any, ...]) -> Photo:
    """Return the photo of a row of the columns `PHOTO`."""
    return Photo(row[0], Path(os.fsdecode(row[1])), *row[2:])


def blob_crc32(global_: bytes, local: bytes | None) -> int:
    """Return the checksum of a content's descriptors."""
    return zlib.crc32(local or b"", zlib.crc32(global_))
