"""The tables of Resight in a PostgreSQL database, and the statements on them.

One schema, `resight`: the collections with their provenance, and for each collection a table of its
photos, because the length of a descriptor belongs to the column type, and one of their evidence
(see `evidence`). Photos and descriptors share a row, so that a search and its filters are one
statement. Statements are composed of constants and numbers; everything else is a parameter.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

from resight.backends.file_names import postgres_pattern
from resight.backends.remote import SIDES, Layout, Record
from resight.backends.store import Filter
from resight.collection import Photo
from resight.config import BackendConfig
from resight.descriptors.extractor import Description
from resight.errors import UsageError
from resight.ranking.exact import Query

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE resight.collections (
        id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text NOT NULL UNIQUE,
        identity jsonb NOT NULL,       -- configuration, fingerprint, what was fitted on what
        layout jsonb NOT NULL,         -- lengths of descriptors, distance
        config jsonb NOT NULL,         -- of the index and of searches
        created timestamptz NOT NULL DEFAULT now()
    );
    CREATE TABLE resight.fitted (
        collection int NOT NULL REFERENCES resight.collections ON DELETE CASCADE,
        name text NOT NULL,            -- selection, learned or network
        data bytea NOT NULL,
        PRIMARY KEY (collection, name)
    );
    """,
)
"""Statements from one version of the schema to the next; their number is its version."""

OLDEST_SERVER = 140000
OLDEST_PGVECTOR = (0, 8)
"""The first with iterative index scans for filters."""
MAX_VALUES, MAX_VALUES_HALF = 2000, 4000
"""Maximum length of descriptors that pgvector's HNSW indexes, as `vector` and as `halfvec`."""
PAGE_BYTES = 7000
"""Size up to which descriptors are stored in their row's page rather than out of line."""
OPERATORS = {"manhattan": "<+>", "euclidean": "<->", "cosine": "<=>"}
OPERATOR_CLASSES = {"manhattan": "l1_ops", "euclidean": "l2_ops", "cosine": "cosine_ops"}


def check_layout(shown: str, layout: Layout) -> None:
    """Refuse descriptors that pgvector could store but not index.

    Raises:
        UsageError: the message says how to shorten them.
    """
    if layout.dimensions > MAX_VALUES_HALF:
        raise UsageError(
            f"{shown}: pgvector indexes at most {MAX_VALUES_HALF} values, and these descriptors "
            f"have {layout.dimensions}; select fewer first (resight fit -c COLLECTION; sift-vlad "
            "has 128 times its centers)"
        )


def is_half(layout: Layout, config: BackendConfig) -> bool:
    """Return whether the index is in half precision; its results are compared exactly."""
    return config.half or layout.dimensions > MAX_VALUES


def photos_table(key: str) -> str:
    """Return the table of a collection's photos."""
    return f"resight.photos_{key}"


def changes(key: str) -> str:
    """Return the sequence that counts a collection's changes."""
    return f"resight.changes_{key}"


def index_name(key: str, side: str) -> str:
    """Return the name of the index of one of the descriptors."""
    return f"photos_{key}_{side}"


def create_photos(key: str, layout: Layout) -> str:
    """Return the statements that create a collection's table."""
    table, vector = photos_table(key), f"vector({int(layout.dimensions)})"
    storage = {"whole_global": "EXTERNAL", "whole_local": "EXTERNAL"}  # they do not compress
    if 4 * layout.dimensions * len(layout.sides) <= PAGE_BYTES:
        storage |= dict.fromkeys(layout.sides, "PLAIN")
    columns = (f'ALTER "{column}" SET STORAGE {kind}' for column, kind in storage.items())
    return f"""
        CREATE TABLE {table} (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            path bytea NOT NULL UNIQUE,
            content text NOT NULL,
            size bigint NOT NULL,
            mtime_ns bigint NOT NULL,
            width int,
            height int,
            taken timestamp,
            "global" {vector} NOT NULL,
            "local" {vector},
            whole_global bytea,
            whole_local bytea
        );
        ALTER TABLE {table} {", ".join(columns)};
        CREATE INDEX ON {table} (content);
        CREATE INDEX ON {table} (taken);
        CREATE SEQUENCE {changes(key)};
    """


def create_index(key: str, side: str, layout: Layout, config: BackendConfig) -> str:
    """Return the statement that creates the index of one of the descriptors."""
    kind = "halfvec" if is_half(layout, config) else "vector"
    effort = max(config.build_effort, 2 * config.links)
    return (
        f"CREATE INDEX IF NOT EXISTS {index_name(key, side)} ON {photos_table(key)} USING hnsw "
        f"(({_indexed(side, layout, config)}) {kind}_{OPERATOR_CLASSES[layout.distance]}) "
        f"WITH (m = {int(config.links)}, ef_construction = {int(effort)})"
    )


def nearest_by_index(
    key: str, layout: Layout, config: BackendConfig, *, local: bool, filtered: str
) -> str:
    """Return the query for the nearest photos by the index: ID and exact distance, nearest first.

    Its parameters are `global` and `local` (descriptors), `k`, `candidates`, and the filter's.
    """
    sides = SIDES if local else SIDES[:1]
    operator, half = OPERATORS[layout.distance], "::halfvec" if is_half(layout, config) else ""
    near = " UNION ".join(
        f"(SELECT id FROM {photos_table(key)} WHERE {filtered} "
        f"ORDER BY {_indexed(side, layout, config)} {operator} %({side})s::vector{half} "
        "LIMIT %(candidates)s)"
        for side in sides
    )
    return (
        f"WITH near AS MATERIALIZED ({near}) SELECT id, {_distance(layout, sides)} AS distance "
        f"FROM {photos_table(key)} JOIN near USING (id) ORDER BY distance, id LIMIT %(k)s"
    )


def nearest_by_scan(key: str, layout: Layout, *, local: bool, filtered: str) -> str:
    """Return the same query as a comparison with all photos."""
    distance = _distance(layout, SIDES if local else SIDES[:1])
    return (
        f"SELECT id, {distance} AS distance FROM {photos_table(key)} WHERE {filtered} "
        "ORDER BY distance, id LIMIT %(k)s"
    )


def condition(where: Filter | None) -> tuple[str, dict[str, object]]:
    """Return a filter as a condition, and its parameters."""
    where = where or Filter()
    parts = ["true"]
    values: dict[str, object] = {}
    if where.under is not None:
        folder = bytes(where.under)
        start = folder.rstrip(b"/") + b"/"
        # All paths in "folder/" sort before "folder0", because "0" follows "/".
        parts.append("(path = %(folder)s OR (path >= %(start)s AND path < %(end)s))")
        values |= {"folder": folder, "start": start, "end": start[:-1] + b"0"}
    if where.taken_from is not None:
        parts.append("taken >= %(taken_from)s")
        values["taken_from"] = where.taken_from
    if where.taken_before is not None:
        parts.append("taken < %(taken_before)s")
        values["taken_before"] = where.taken_before
    if where.min_side is not None:
        parts.append("least(width, height) >= %(min_side)s")
        values["min_side"] = where.min_side
    if where.file_name is not None:
        parts.append("convert_from(path, 'LATIN1') ~ %(file_name)s")
        values["file_name"] = postgres_pattern(where.file_name)
    return " AND ".join(parts), values


def _indexed(side: str, layout: Layout, config: BackendConfig) -> str:
    """Return a column of descriptors as its index has it."""
    half = f"::halfvec({int(layout.dimensions)})" if is_half(layout, config) else ""
    return f'"{side}"{half}'


def _distance(layout: Layout, sides: tuple[str, ...]) -> str:
    """Return a photo's exact distance; a zero vector is at cosine distance 1 from everything."""
    operator = OPERATORS[layout.distance]
    distances = (
        f"""coalesce(nullif("{side}" {operator} %({side})s::vector, 'NaN'), 1)""" for side in sides
    )
    return f"least({', '.join(distances)})"


PHOTO = "id, path, content, size, mtime_ns, width, height"
"""The columns of a `Photo`."""
RECORD = f'{PHOTO}, taken, "global", "local", whole_global, whole_local'
"""The columns of a `Record`."""
UPLOADED = {
    "path": "bytea",
    "content": "text",
    "size": "int8",
    "mtime_ns": "int8",
    "width": "int4",
    "height": "int4",
    "taken": "timestamp",
    "global": "vector",
    "local": "vector",
    "whole_global": "bytea",
    "whole_local": "bytea",
}
"""The columns of an upload, with their types."""


def upsert(
    connection: psycopg.Connection[Any], table: str, records: Sequence[Record], dtype: np.dtype[Any]
) -> set[str]:
    """Add photos by COPY, replacing those at the same paths; the connection is in a transaction.

    Descriptors before the reduction are stored in the `dtype`.

    Returns:
        The former contents of the photos whose content changed.
    """
    columns = ", ".join(f'"{name}"' for name in UPLOADED)
    updates = ", ".join(f'"{name}" = excluded."{name}"' for name in UPLOADED)
    # The same storage as the table's, so that nothing is compressed on the way.
    connection.execute(
        f"CREATE TEMP TABLE incoming (LIKE {table} INCLUDING STORAGE) ON COMMIT DROP; "
        "ALTER TABLE incoming DROP COLUMN id"
    )
    copy_from = f"COPY incoming ({columns}) FROM STDIN (FORMAT binary)"
    with connection.cursor() as cursor, cursor.copy(copy_from) as copy:
        copy.set_types(list(UPLOADED.values()))
        # All writers go by the order of the paths, so that they cannot deadlock.
        for record in sorted(records, key=lambda record: record.photo.path):
            copy.write_row(_row(record, dtype))
    replaced = connection.execute(
        f"SELECT old.content FROM {table} AS old JOIN incoming USING (path) "
        "WHERE old.content <> incoming.content"
    ).fetchall()
    connection.execute(
        f"INSERT INTO {table} ({columns}) SELECT {columns} FROM incoming "
        f"ON CONFLICT (path) DO UPDATE SET {updates}"
    )
    return {content for (content,) in replaced}


def _row(record: Record, dtype: np.dtype[Any]) -> tuple[Any, ...]:
    """Return the `UPLOADED` columns of a record."""
    photo, whole = record.photo, record.whole
    return (
        os.fsencode(photo.path),
        photo.content,
        photo.size,
        photo.mtime_ns,
        photo.width,
        photo.height,
        record.taken,
        record.reduced.global_,
        record.reduced.local,
        None if whole is None else whole.global_.astype(dtype).tobytes(),
        None if whole is None or whole.local is None else whole.local.astype(dtype).tobytes(),
    )


def photo_of(row: Sequence[Any]) -> Photo:
    """Return the photo of a row of the columns `PHOTO`."""
    id_, path, content, size, mtime_ns, width, height = row
    return Photo(id_, path_of(path), size, mtime_ns, content, width, height, "ok", None)


def record_of(row: Sequence[Any], dtype: np.dtype[Any]) -> Record:
    """Return the record of a row of the columns `RECORD`; `dtype` is as in `upsert`."""
    *photo, taken, global_, local, whole_global, whole_local = row
    whole = None
    if whole_global is not None:
        decoded = [
            None if data is None else np.frombuffer(data, dtype).astype(np.float32)
            for data in (whole_global, whole_local)
        ]
        whole = Description(np.asarray(decoded[0]), decoded[1])
    return Record(photo_of(photo), taken, query_of(global_, local), whole)


def path_of(data: bytes) -> Path:
    """Return a path from the file system's bytes."""
    return Path(os.fsdecode(bytes(data)))


def query_of(global_: Any, local: Any) -> Query:
    """Return the descriptors of a row, float32."""
    return Query(
        np.array(global_.to_numpy(), np.float32),
        None if local is None else np.array(local.to_numpy(), np.float32),
    )
