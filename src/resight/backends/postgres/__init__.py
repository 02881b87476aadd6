"""A collection in PostgreSQL: the index returns candidates, which are compared exactly."""

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import psycopg
from psycopg.types.json import Jsonb

from resight.backends.postgres import evidence as kept_evidence
from resight.backends.postgres import sql as statements
from resight.backends.postgres.server import MIGRATION_LOCK, Server
from resight.backends.remote import (
    Layout,
    Record,
    Remote,
    RemoteState,
    database_from,
    state_from_json,
    state_to_json,
)
from resight.backends.store import Filter
from resight.collection import Photo
from resight.collection.hints import Hint, Hints
from resight.collection.names import Names, Naming
from resight.collection.provenance import ProvenanceSnapshot
from resight.config import BackendConfig
from resight.errors import CollectionError
from resight.progress import Progress
from resight.ranking.exact import Database, Neighbors, Query

T = TypeVar("T")
Connection = psycopg.Connection[Any]

MIN_INDEXED_PHOTOS = 10_000
"""Minimum number of photos for an index; fewer are all compared."""
MAX_INDEX_NEIGHBORS = 1000
"""Maximum number of neighbors from pgvector's index; for more, all photos are compared."""
CANDIDATES = 4
"""Candidates from the index for each neighbor, which are then compared exactly."""
MAX_SCANNED = 200_000
"""Maximum number of photos that an index scan may visit for a filter."""
POLL_S = 1.0
"""Seconds between reports of the progress of an index."""


class PostgresStore(Remote):
    """A collection in a database; thread-safe."""

    def __init__(self, address: str, collection: str, shown: str) -> None:
        """Name a collection, whether or not it exists; its first use connects."""
        self._server = Server(address, shown)
        self._collection = collection
        self.name = shown
        self._cached_count: tuple[str, int] | None = None

    def close(self) -> None:
        self._server.close()

    # State

    def stamp(self) -> str:
        last_value, is_called = self._rows("SELECT last_value, is_called FROM {changes}")[0]
        return f"{self._state().key}-{last_value}-{is_called}"

    def _count(self) -> int:
        stamp, cached = self.stamp(), self._cached_count
        if cached is None or cached[0] != stamp:
            cached = stamp, int(self._rows("SELECT count(*) FROM {photos}")[0][0])
            self._cached_count = cached
        return cached[1]

    def ids(self) -> np.ndarray:
        ids = self._rows("SELECT id FROM {photos} ORDER BY id")
        return np.array([id_ for (id_,) in ids], np.int64)

    def photos_by_id(self, ids: Iterable[int]) -> dict[int, Photo]:
        select = f"SELECT {statements.PHOTO} FROM {{photos}} WHERE id = ANY(%s)"
        photos = map(statements.photo_of, self._rows(select, ([int(id_) for id_ in ids],)))
        return {photo.id: photo for photo in photos}

    def photos_after(self, after: int, count: int) -> list[Photo]:
        select = f"SELECT {statements.PHOTO} FROM {{photos}} WHERE id > %s ORDER BY id LIMIT %s"
        return [statements.photo_of(row) for row in self._rows(select, (after, count))]

    def photos_with(self, contents: Iterable[str]) -> list[Photo]:
        select = f"SELECT {statements.PHOTO} FROM {{photos}} WHERE content = ANY(%s) ORDER BY id"
        return [statements.photo_of(row) for row in self._rows(select, (list(contents),))]

    def details(self) -> dict[str, str]:
        state = self._state()
        postgres, pgvector = self._rows(
            "SELECT current_setting('server_version'), extversion FROM pg_extension "
            "WHERE extname = 'vector'"
        )[0]
        half = ", half precision" if statements.is_half(state.layout, state.config) else ""
        return {
            "backend": f"PostgreSQL {postgres.split()[0]}, pgvector {pgvector}",
            "index": f"HNSW, {state.config.links} links{half}" if self._is_indexed() else "none",
            "can be pulled": "yes" if state.layout.keeps_whole else "no",
        }

    def bytes_on_disk(self) -> int:
        sizes = self._rows(
            "SELECT pg_total_relation_size('{photos}'::regclass), "
            "pg_total_relation_size(to_regclass('{evidence}'))"
        )
        return sum(int(size or 0) for size in sizes[0])

    def evidence(self, contents: Iterable[str]) -> dict[str, bytes]:
        key, wanted = self._state().key, list(contents)
        return self._run(lambda connection: kept_evidence.read(connection, key, wanted))

    def hints(self) -> Hints:
        select = "SELECT identity -> 'hints' FROM resight.collections WHERE id = %s"
        rows = self._rows(select, (int(self._state().key),))
        return Hints(map(Hint.from_dict, rows[0][0] or ()) if rows else ())

    def names(self) -> Names:
        select = "SELECT identity -> 'names' FROM resight.collections WHERE id = %s"
        rows = self._rows(select, (int(self._state().key),))
        return Names(map(Naming.from_dict, rows[0][0] or ()) if rows else ())

    # Searching

    def stored_query(self, content: str) -> Query | None:
        select = 'SELECT "global", "local" FROM {photos} WHERE content = %s LIMIT 1'
        stored = self._rows(select, (content,))
        return statements.query_of(*stored[0]) if stored else None

    def rows(self, ids: np.ndarray) -> Database:
        select = 'SELECT id, "global", "local" FROM {photos} WHERE id = ANY(%s)'
        stored = self._rows(select, (ids.tolist(),))
        queries = {id_: statements.query_of(*descriptors) for id_, *descriptors in stored}
        return database_from(ids, queries, self.layout())

    def _nearest(
        self, state: RemoteState, queries: Sequence[Query], k: int, where: Filter | None
    ) -> list[Neighbors]:
        return self._run(lambda c: [_nearest(c, state, query, k, where) for query in queries])

    # Writing

    def create(self, provenance: ProvenanceSnapshot, layout: Layout, config: BackendConfig) -> None:
        """Create the collection, with the extension and the tables that it needs."""
        statements.check_layout(self.name, layout)
        self._server.prepare()
        metadata = state_to_json(provenance, layout, config)

        def insert(connection: Connection) -> None:
            row = connection.execute(
                "INSERT INTO resight.collections (name, identity, layout, config) "
                "VALUES (%s, %s, %s, %s) ON CONFLICT (name) DO NOTHING RETURNING id",
                (self._collection, *(Jsonb(metadata[n]) for n in ("identity", "layout", "config"))),
            ).fetchone()
            if row is None:  # another program was faster
                return
            for name, data in provenance.data.items():
                insert_fitted = "INSERT INTO resight.fitted VALUES (%s, %s, %s)"
                connection.execute(insert_fitted, (row[0], name, data))
            connection.execute(statements.create_photos(row[0], layout))
            connection.execute(kept_evidence.create_evidence(row[0]))

        self._server.run(insert)
        self._cached_state = None

    def drop(self) -> None:
        state = self._read_state()
        if state is not None:
            delete = (
                f"DELETE FROM resight.collections WHERE id = {int(state.key)}; "
                f"DROP TABLE {statements.photos_table(state.key)}; "
                f"DROP TABLE IF EXISTS {kept_evidence.evidence_table(state.key)}; "
                f"DROP SEQUENCE {statements.changes(state.key)}"
            )
            self._server.run(lambda connection: connection.execute(delete))
        self._cached_state = None

    def existing_paths(self, photos: Sequence[Photo]) -> set[Path]:
        paths = self._rows(
            "SELECT path FROM {photos} JOIN unnest(%s::bytea[], %s::text[]) "
            "AS sent (path, content) USING (path, content)",
            ([os.fsencode(p.path) for p in photos], [p.content for p in photos]),
        )
        return {statements.path_of(path) for (path,) in paths}

    def upsert(self, records: Sequence[Record]) -> None:
        """Add or replace photos in one transaction, by COPY."""
        key, dtype = self._state().key, self._dtype()

        def work(connection: Connection) -> None:
            table = statements.photos_table(key)
            replaced = statements.upsert(connection, table, records, dtype)
            kept_evidence.remove_unused(connection, key, replaced)

        self._run(work)
        self._note_change()

    def without_evidence(self, contents: Collection[str]) -> set[str]:
        key = self._state().key
        return self._run(lambda connection: kept_evidence.without(connection, key, contents))

    def add_evidence(self, evidence: Mapping[str, bytes]) -> None:
        key = self._state().key
        self._run(lambda connection: kept_evidence.add(connection, key, evidence))
        self._note_change()

    def store_hints(self, hints: Hints) -> None:
        self._store_in_identity("{hints}", [hint.to_dict() for hint in hints])

    def store_names(self, names: Names) -> None:
        self._store_in_identity("{names}", [naming.to_dict() for naming in names])

    def _store_in_identity(self, path: str, values: list[dict[str, Any]]) -> None:
        parameters = path, Jsonb(values), int(self._state().key)
        update = (
            "UPDATE resight.collections SET identity = jsonb_set(identity, %s::text[], %s) "
            "WHERE id = %s"
        )
        self._run(lambda connection: connection.execute(update, parameters))
        self._note_change()

    def photos_where(self, where: Filter) -> list[Photo]:
        condition, values = statements.condition(where)
        select = f"SELECT {statements.PHOTO} FROM {{photos}} WHERE {condition} ORDER BY id"
        return [statements.photo_of(row) for row in self._rows(select, values)]

    def taken_times(self, photos: Sequence[Photo]) -> dict[int, datetime]:
        select = "SELECT id, taken FROM {photos} WHERE id = ANY(%s) AND taken IS NOT NULL"
        return dict(self._rows(select, ([photo.id for photo in photos],)))

    def remove(self, ids: Sequence[int]) -> None:
        key = self._state().key

        def work(connection: Connection) -> None:
            delete = f"DELETE FROM {statements.photos_table(key)} WHERE id = ANY(%s)"
            removed = connection.execute(f"{delete} RETURNING content", (list(ids),)).fetchall()
            kept_evidence.remove_unused(connection, key, {content for (content,) in removed})

        self._run(work)
        self._note_change()

    def build_index(self, progress: Progress) -> None:
        state, count = self._state(), self.count("ok")
        if count < MIN_INDEXED_PHOTOS or self._is_indexed():
            return
        with _reported(self._indexed_photos, progress, count):
            for side in state.layout.sides:
                self._server.run(functools.partial(_create_index, state=state, side=side))

    def records(self, after: int, count: int) -> list[Record]:
        dtype = self._dtype()
        select = f"SELECT {statements.RECORD} FROM {{photos}} WHERE id > %s ORDER BY id LIMIT %s"
        return [statements.record_of(row, dtype) for row in self._rows(select, (after, count))]

    # Statements

    def _dtype(self) -> np.dtype[Any]:
        """Return the dtype of descriptors before the reduction, as in the folder."""
        return np.dtype(self.provenance.config.dtype).newbyteorder("<")

    def _read_state(self) -> RemoteState | None:
        return self._server.run(self._select_state)

    def _select_state(self, connection: Connection) -> RemoteState | None:
        schema = connection.execute("SELECT to_regclass('resight.collections')").fetchone()
        if schema is None or schema[0] is None:
            return None
        row = connection.execute(
            "SELECT id, identity, layout, config FROM resight.collections WHERE name = %s",
            (self._collection,),
        ).fetchone()
        if row is None:
            return None
        id_, identity, layout, config = row
        fitted = connection.execute(
            "SELECT name, data FROM resight.fitted WHERE collection = %s", (id_,)
        ).fetchall()
        metadata = {"identity": identity, "layout": layout, "config": config}
        data = {name: bytes(value) for name, value in fitted}
        return state_from_json(str(id_), self.name, metadata, data)

    def _rows(self, statement: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
        """Run a statement on the collection's tables and return its rows."""
        key = self._state().key
        names = {
            "photos": statements.photos_table(key),
            "evidence": kept_evidence.evidence_table(key),
            "changes": statements.changes(key),
        }
        composed = statement.format(**names)
        return self._run(lambda c: c.execute(composed, values or None).fetchall())

    def _run(self, work: Callable[[Connection], T]) -> T:
        """Run a function of a connection that uses the collection's table."""
        try:
            return self._server.run(work)
        except CollectionError as error:
            if isinstance(error.__cause__, psycopg.errors.UndefinedTable):
                self._cached_state = None  # it was replaced; the next use reads the new one
            raise

    def _is_indexed(self) -> bool:
        state = self._state()
        name = f"resight.{statements.index_name(state.key, state.layout.sides[-1])}"
        return self._rows("SELECT to_regclass(%s)", (name,))[0][0] is not None

    def _note_change(self) -> None:
        """Change the stamp, after the change itself is visible."""
        self._rows("SELECT nextval('{changes}'::regclass)")

    def _indexed_photos(self) -> int:
        """Return the number of photos in the index under construction."""
        with contextlib.suppress(CollectionError):
            progress = self._rows(
                "SELECT tuples_done FROM pg_stat_progress_create_index "
                "WHERE datname = current_database()"
            )
            return int(progress[0][0]) if progress else 0
        return 0


def _nearest(
    connection: Connection, state: RemoteState, query: Query, k: int, where: Filter | None
) -> Neighbors:
    """Return the k nearest photos to one query, by the index if there is one."""
    local = state.layout.local and query.local is not None
    filtered, values = statements.condition(where)
    candidates = CANDIDATES * k
    values |= {"global": np.asarray(query.global_, np.float32), "k": k, "candidates": candidates}
    if local:
        values["local"] = np.asarray(query.local, np.float32)
    nearest: list[Any] = []
    if k <= MAX_INDEX_NEIGHBORS and _use_index(connection, state, candidates):
        by_index = statements.nearest_by_index(
            state.key, state.layout, state.config, local=local, filtered=filtered
        )
        nearest = connection.execute(by_index, values).fetchall()
    if len(nearest) < k:  # no index, or an index scan that ended early
        connection.execute("SET LOCAL enable_indexscan = off; SET LOCAL enable_seqscan = on")
        by_scan = statements.nearest_by_scan(
            state.key, state.layout, local=local, filtered=filtered
        )
        nearest = connection.execute(by_scan, values).fetchall()
    return Neighbors(
        np.array([id_ for id_, _ in nearest], np.int64),
        np.array([distance for _, distance in nearest], np.float32),
    )


def _use_index(connection: Connection, state: RemoteState, candidates: int) -> bool:
    """Set the search effort of the index; return whether there is one."""
    effort = min(MAX_INDEX_NEIGHBORS, max(state.config.search_effort, candidates))
    # By default the planner scans a whole table of 10,000 photos, which takes twice as long.
    row = connection.execute(
        "SELECT to_regclass(%s), set_config('hnsw.ef_search', %s, true), "
        "set_config('enable_indexscan', 'on', true), set_config('enable_seqscan', 'off', true), "
        "set_config('hnsw.iterative_scan', 'relaxed_order', true), "
        "set_config('hnsw.max_scan_tuples', %s, true)",
        (f"resight.{statements.index_name(state.key, 'global')}", str(effort), str(MAX_SCANNED)),
    ).fetchone()
    return row is not None and row[0] is not None


def _create_index(connection: Connection, *, state: RemoteState, side: str) -> None:
    """Create the index of one of the descriptors, unless another program has."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATION_LOCK + int(state.key),))
    connection.execute(
        "SELECT set_config('maintenance_work_mem', greatest("
        "pg_size_bytes(current_setting('maintenance_work_mem')) / 1024, %s)::text, true)",
        (state.config.build_memory * 1024,),
    )
    connection.execute(statements.create_index(state.key, side, state.layout, state.config))


@contextlib.contextmanager
def _reported(indexed: Callable[[], int], progress: Progress, count: int) -> Iterator[None]:
    """Report the server's progress on an index from another thread while the block runs."""
    stopped = threading.Event()

    def report() -> None:
        while not stopped.wait(POLL_S):
            progress("building the index", min(count, indexed()), count)

    reporter = threading.Thread(target=report, daemon=True)
    reporter.start()
    try:
        yield
    finally:
        stopped.set()
        reporter.join()
    progress("building the index", count, count)
