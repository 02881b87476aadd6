"""Photos as rows of a PostgreSQL table."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resight.backends.store import Record
from resight.collection.reader import Photo
from resight.descriptors.extractor import Description
from resight.ranking.exact import Query

PHOTO = "id, path, content, size, mtime_ns, width, height"
"""The columns that a `Photo` is made of."""
RECORD = f'{PHOTO}, taken, "global", "local", whole_global, whole_local'
"""The columns that a `Record` is made of."""
COLUMNS = (
    *("path", "content", "size", "mtime_ns", "width", "height", "taken"),
    *("global", "local", "whole_global", "whole_local"),
)
"""The columns of an upload."""
COPIED = (
    *("bytea", "text", "int8", "int8", "int4", "int4", "timestamp"),
    *("vector", "vector", "bytea", "bytea"),
)
"""Their types."""


def copied(record: Record, encode: Callable[[np.ndarray], bytes]) -> tuple[Any, ...]:
    """A photo as it is copied; `encode` makes bytes of whole descriptors."""
    photo, searched, whole = record.photo, record.searched, record.whole
    return (
        os.fsencode(photo.path),
        photo.content,
        photo.size,
        photo.mtime_ns,
        photo.width,
        photo.height,
        record.taken,
        searched.global_,
        searched.local,
        None if whole is None else encode(whole.global_),
        None if whole is None or whole.local is None else encode(whole.local),
    )


def photo_of(row: Sequence[Any]) -> Photo:
    """The photo of a row of the columns `PHOTO`."""
    id_, path, content, size, mtime_ns, width, height = row
    return Photo(id_, path_of(path), size, mtime_ns, content, width, height, "ok", None)


def record_of(row: Sequence[Any], dtype: np.dtype[Any]) -> Record:
    """The record of a row of the columns `RECORD`; `dtype` is that of whole descriptors."""
    photo, (taken, global_, local), whole = row[:7], row[7:10], row[10:]
    sides = [np.frombuffer(data, dtype).astype(np.float32) for data in whole if data is not None]
    return Record(
        photo_of(photo), taken, query_of(global_, local), Description(*sides) if sides else None
    )


def path_of(data: bytes) -> Path:
    """A path from the file system's bytes."""
    return Path(os.fsdecode(bytes(data)))


def query_of(global_: Any, local: Any) -> Query:
    """The descriptors of a row."""
    return Query(np.asarray(values_of(global_)), values_of(local))


def values_of(vector: Any) -> np.ndarray | None:
    """A column's values, float32."""
    return None if vector is None else np.array(vector.to_numpy(), np.float32)
