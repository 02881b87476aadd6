"""Photos as rows of a PostgreSQL table, and their upload."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from psycopg import sql

from resight.backends.store import Record
from resight.collection.reader import Photo
from resight.descriptors.extractor import Description
from resight.ranking.exact import Query

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
    connection: psycopg.Connection[Any],
    table: sql.Identifier,
    records: Sequence[Record],
    dtype: np.dtype[Any],
) -> None:
    """Add photos by COPY, replacing those at the same paths.

    Args:
        connection: in a transaction.
        table: the collection's photos.
        records: the photos.
        dtype: of the descriptors before the reduction.
    """
    columns = sql.SQL(", ").join(map(sql.Identifier, UPLOADED))
    updates = sql.SQL(", ").join(
        sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in UPLOADED
    )
    # The same storage as the table's, so that nothing is compressed on the way.
    connection.execute(
        sql.SQL(
            "CREATE TEMP TABLE incoming (LIKE {} INCLUDING STORAGE) ON COMMIT DROP; "
            "ALTER TABLE incoming DROP COLUMN id"
        ).format(table)
    )
    copy_from = sql.SQL("COPY incoming ({}) FROM STDIN (FORMAT binary)").format(columns)
    with connection.cursor() as cursor, cursor.copy(copy_from) as copy:
        copy.set_types(list(UPLOADED.values()))
        # All writers go by the order of the paths, so that they cannot deadlock.
        for record in sorted(records, key=lambda record: record.photo.path):
            copy.write_row(_row(record, dtype))
    connection.execute(
        sql.SQL(
            "INSERT INTO {} ({}) SELECT {} FROM incoming ON CONFLICT (path) DO UPDATE SET {}"
        ).format(table, columns, columns, updates)
    )


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
