"""A collection in PostgreSQL with the extension pgvector."""

import contextlib
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import psycopg
from psycopg import sql

from resight.backends.identity import Identity
from resight.backends.postgres import catalog, rows, writing
from resight.backends.postgres import search as searching
from resight.backends.postgres import sql as statements
from resight.backends.postgres.server import Server
from resight.backends.remote_base import RemoteBase, RemoteState
from resight.backends.store import Filter, Layout, Record, check_queries
from resight.collection.reader import Photo, State
from resight.config import BackendConfig
from resight.errors import CollectionError
from resight.progress import Progress
from resight.ranking.exact import Database, Neighbors, Query

T = TypeVar("T")

INDEXED_FROM = 10_000
"""Photos from which on there is an index; fewer are all compared."""


class PostgresStore(RemoteBase[int]):
    """A collection by its name in a database; thread-safe."""

    def __init__(self, server: Server, collection: str) -> None:
        self._server = server
        self._collection = collection
        self._counted: tuple[str, int] | None = None

    @classmethod
    def connect(cls, address: str, collection: str, shown: str) -> "PostgresStore":
        """A collection that is there or not; the first look connects."""
        return cls(Server(address, shown), collection)

    @property
    def name(self) -> str:
        """The address, without any password."""
        return self._server.shown

    def close(self) -> None:
        """Close the connections."""
        self._server.close()

    # What it is

    def stamp(self) -> str:
        """Changes with every push."""
        change = self._rows("SELECT last_value, is_called FROM {changes}")[0]
        return f"{self._kept().key}-{change[0]}-{change[1]}"

    def count(self, state: State) -> int:
        """How many photos there are; failed ones are not pushed."""
        if state == "failed":
            return 0
        stamp = self.stamp()
        if self._counted is None or self._counted[0] != stamp:
            self._counted = stamp, int(self._rows("SELECT count(*) FROM {photos}")[0][0])
        return self._counted[1]

    def ids(self) -> np.ndarray:
        """The ids of all photos, ascending."""
        found = self._rows("SELECT id FROM {photos} ORDER BY id")
        return np.array([id_ for (id_,) in found], np.int64)

    def photos_by_id(self, ids: Iterable[int]) -> dict[int, Photo]:
        """Those of some photos that are there, by id."""
        wanted = [int(id_) for id_ in ids]
        found = self._rows(f"SELECT {rows.PHOTO} FROM {{photos}} WHERE id = ANY(%s)", (wanted,))
        return {row[0]: rows.photo_of(row) for row in found}

    def photos_after(self, after: int, count: int) -> list[Photo]:
        """The next photos by ascending id."""
        select = f"SELECT {rows.PHOTO} FROM {{photos}} WHERE id > %s ORDER BY id LIMIT %s"
        return [rows.photo_of(row) for row in self._rows(select, (after, count))]

    def about(self) -> dict[str, str]:
        """Versions, and what searches are made by."""
        kept = self._kept()
        postgres, pgvector = self._rows(
            "SELECT current_setting('server_version'), extversion FROM pg_extension "
            "WHERE extname = 'vector'"
        )[0]
        half = ", half precision" if statements.is_half(kept.layout, kept.config) else ""
        return {
            "engine": f"PostgreSQL {postgres.split()[0]}, pgvector {pgvector}",
            "index": f"HNSW, {kept.config.links} links{half}" if self._is_indexed() else "none",
            "can be pulled": "yes" if kept.layout.keeps_whole else "no",
        }

    def bytes_on_disk(self) -> int:
        """The table with its indexes."""
        table = statements.photos_table(self._kept().key).as_string()
        return int(self._rows("SELECT pg_total_relation_size(%s::regclass)", (table,))[0][0])

    # Searching

    def known(self, content: str) -> Query | None:
        """The descriptors of a content."""
        found = self._rows(
            'SELECT "global", "local" FROM {photos} WHERE content = %s LIMIT 1', (content,)
        )
        return rows.query_of(*found[0]) if found else None

    def rows(self, ids: np.ndarray) -> Database:
        """The descriptors of photos, in the order of the ids."""
        found = self._rows(
            'SELECT id, "global", "local" FROM {photos} WHERE id = ANY(%s) '
            "ORDER BY array_position(%s, id)",
            (ids.tolist(), ids.tolist()),
        )
        layout = self.layout()
        shape = len(found), layout.dimensions
        sides = [
            np.array([rows.values_of(row[i]) for row in found], np.float32).reshape(shape)
            for i in (1, 2)[: 1 + layout.local]
        ]
        ids = np.array([row[0] for row in found], np.int64)
        return Database(ids, sides[0], sides[1] if layout.local else None)

    def nearest(
        self,
        queries: Sequence[Query],
        k: int,
        where: Filter | None = None,
        *,
        approximate: bool = False,
    ) -> list[Neighbors]:
        """The k nearest photos to each query, by the index where there is one."""
        kept = self._kept()
        check_queries(self.name, queries, kept.layout.dimensions)
        return self._run(lambda c: [searching.nearest(c, kept, q, k, where) for q in queries])

    # Writing

    def create(self, identity: Identity, layout: Layout, config: BackendConfig) -> None:
        """Make the collection, with the extension and the tables it needs."""
        statements.check_layout(self.name, layout)
        self._server.prepare()
        self._server.run(lambda c: catalog.create(c, self._collection, identity, layout, config))
        self._known = None

    def drop(self) -> None:
        """Remove the collection."""
        kept = self._look()
        if kept is not None:
            self._server.run(lambda connection: catalog.drop(connection, kept.key))
        self._known = None

    def present(self, photos: Sequence[Photo]) -> set[Path]:
        """The paths of those that are there with the same content."""
        found = self._rows(
            "SELECT path FROM {photos} JOIN unnest(%s::bytea[], %s::text[]) "
            "AS asked (path, content) USING (path, content)",
            ([os.fsencode(p.path) for p in photos], [p.content for p in photos]),
        )
        return {rows.path_of(path) for (path,) in found}

    def add(self, records: Sequence[Record]) -> None:
        """Add or replace photos in one transaction, by COPY."""
        kept, dtype = self._kept(), self._dtype()

        def encode(values: np.ndarray) -> bytes:
            return values.astype(dtype).tobytes()

        self._run(lambda connection: writing.write(connection, kept, records, encode))
        self._changed()

    def photos_under(self, place: Path) -> list[Photo]:
        """The photos at or below a path, by ascending id."""
        condition, values = statements.condition(Filter(under=place))
        statement = sql.SQL("SELECT {} FROM {} WHERE {} ORDER BY id").format(
            sql.SQL(rows.PHOTO), statements.photos_table(self._kept().key), condition
        )
        found = self._run(lambda c: c.execute(statement, values).fetchall())
        return [rows.photo_of(row) for row in found]

    def remove(self, ids: Sequence[int]) -> None:
        """Forget photos."""
        self._rows("DELETE FROM {photos} WHERE id = ANY(%s) RETURNING id", (list(ids),))
        self._changed()

    def finish(self, progress: Progress) -> None:
        """Make the index once there are enough photos for one."""
        kept, count = self._kept(), self.count("ok")
        if count < INDEXED_FROM or self._is_indexed():
            return
        with writing.watched(self._linked, progress, count):
            for side in kept.layout.sides:
                self._server.run(lambda c, side=side: writing.make_index(c, kept, side))  # type: ignore[misc]

    def records(self, after: int, count: int) -> list[Record]:
        """The next photos by ascending id, with all their descriptors."""
        dtype = self._dtype()
        select = f"SELECT {rows.RECORD} FROM {{photos}} WHERE id > %s ORDER BY id LIMIT %s"
        return [rows.record_of(row, dtype) for row in self._rows(select, (after, count))]

    # How it is done

    def _dtype(self) -> np.dtype[Any]:
        """Of whole descriptors, as in the folder."""
        return np.dtype(self.provenance.config.dtype).newbyteorder("<")

    def _look(self) -> RemoteState[int] | None:
        return self._server.run(lambda c: catalog.look(c, self._collection, self.name))

    def _rows(self, select: str, values: Sequence[Any] = ()) -> list[Any]:
        """The rows of a statement over the collection's table."""
        number = self._kept().key
        statement = sql.SQL(select).format(
            photos=statements.photos_table(number), changes=statements.changes(number)
        )
        return self._run(lambda c: c.execute(statement, values or None).fetchall())

    def _run(self, work: Callable[[psycopg.Connection[Any]], T]) -> T:
        """Do something with the collection's table."""
        try:
            return self._server.run(work)
        except CollectionError as error:
            if isinstance(error.__cause__, psycopg.errors.UndefinedTable):
                self._known = None  # it was replaced; the next look finds the new one
            raise

    def _is_indexed(self) -> bool:
        kept = self._kept()
        name = f"resight.{statements.index_name(kept.key, kept.layout.sides[-1])}"
        return self._rows("SELECT to_regclass(%s)", (name,))[0][0] is not None

    def _changed(self) -> None:
        """Let others see that there was a change, after it can be seen."""
        self._rows(
            "SELECT nextval(%s::regclass)", (statements.changes(self._kept().key).as_string(),)
        )

    def _linked(self) -> int:
        """How many photos the index that is being made has so far."""
        with contextlib.suppress(CollectionError):
            done = self._rows(writing.LINKED)
            return int(done[0][0]) if done else 0
        return 0
