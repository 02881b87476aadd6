"""Photos as points of Qdrant, and filters as its conditions."""

import base64
import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from qdrant_client import models

from resight.backends.store import SIDES, Filter, Layout, Record
from resight.collection.reader import Photo
from resight.config import BackendConfig
from resight.descriptors.extractor import Description
from resight.ranking.exact import Database, Query

WHOLE = ("whole_global", "whole_local")
"""Vectors before the selection; they are not searched, and lie on the disk."""
PHOTO = ["path", "path_bytes", "content", "size", "mtime_ns", "width", "height"]
"""What a photo's row is made of, in a payload."""
PAYLOAD_INDEXES = {
    "content": models.PayloadSchemaType.KEYWORD,
    "folders": models.PayloadSchemaType.KEYWORD,
    "taken": models.PayloadSchemaType.DATETIME,
    "width": models.PayloadSchemaType.INTEGER,
    "height": models.PayloadSchemaType.INTEGER,
}
DISTANCES = {"manhattan": models.Distance.MANHATTAN, "cosine": models.Distance.COSINE}
QUANTILE = 0.99
"""Share of the values that the 8-bit codes tell apart; those beyond are cut off."""
NUMBER_BITS = 52
"""Of a point's number, so that it is a whole number in JavaScript as well."""


def settings(layout: Layout, config: BackendConfig) -> dict[str, Any]:
    """How the collection is made."""
    links = models.HnswConfigDiff(
        m=config.links, ef_construct=max(config.build_effort, config.links)
    )
    vectors = {
        side: models.VectorParams(
            size=layout.dimensions,
            distance=DISTANCES[layout.distance],
            hnsw_config=links,
            quantization_config=models.ScalarQuantization(
                scalar=models.ScalarQuantizationConfig(
                    type=models.ScalarType.INT8, quantile=QUANTILE, always_ram=True
                )
            ),
            on_disk=True,
        )
        for side in layout.sides
    }
    if layout.keeps_whole:
        vectors |= {
            side: models.VectorParams(
                size=layout.whole_dimensions,
                distance=models.Distance.MANHATTAN,
                hnsw_config=models.HnswConfigDiff(m=0),  # never searched
                on_disk=True,
            )
            for side in WHOLE[: 1 + layout.local]
        }
    return {
        "vectors_config": vectors,
        "shard_number": config.shards,
        "replication_factor": config.replicas,
        "on_disk_payload": True,
    }


def settings_beside(config: BackendConfig) -> dict[str, Any]:
    """How the small collection beside it is made."""
    return {"vectors_config": {}, "shard_number": 1, "replication_factor": config.replicas}


def search_params(config: BackendConfig, *, exact: bool) -> models.SearchParams:
    """How a search is made."""
    return models.SearchParams(
        exact=exact,
        hnsw_ef=config.search_effort,
        quantization=models.QuantizationSearchParams(
            rescore=True, oversampling=config.oversampling
        ),
    )


def number_of(path: Path, step: int = 0) -> int:
    """The number of a photo's point, from 1 on; `step` beyond where others have it already."""
    digest = hashlib.sha256(os.fsencode(path)).digest()
    number = int.from_bytes(digest[:8], "big") >> (64 - NUMBER_BITS)
    return 1 + (number + step) % (2**NUMBER_BITS - 1)


def places(
    photos: Sequence[Photo], retrieve: Callable[[list[int]], Sequence[models.Record]]
) -> dict[Photo, tuple[int, bool]]:
    """The number of each photo's point, and whether it is there with the same content.

    A number is a hash of the path. Where another path has it already, the next one is taken, as in
    a hash table.
    """
    left, found, step = list(photos), dict[Photo, tuple[int, bool]](), 0
    while left:
        numbers = {photo: number_of(photo.path, step) for photo in left}
        there = {int(point.id): photo_of(point) for point in retrieve(list(numbers.values()))}
        for photo in left:
            at = there.get(numbers[photo])
            if at is None or at.path == photo.path:
                same = at is not None and at.content == photo.content
                found[photo] = numbers[photo], same
        left, step = [photo for photo in left if photo not in found], step + 1
    return found


def point_of(number: int, record: Record, layout: Layout) -> models.PointStruct:
    """A photo as a point."""
    photo, taken = record.photo, record.taken
    vectors = dict(zip(SIDES, (record.searched.global_, record.searched.local), strict=True))
    if record.whole is not None:
        vectors |= zip(WHOLE, (record.whole.global_, record.whole.local), strict=True)
    path = text_of(photo.path)
    payload: dict[str, Any] = {
        "path": path,
        "folders": [text_of(folder) for folder in photo.path.parents],
        "content": photo.content,
        "size": photo.size,
        "mtime_ns": photo.mtime_ns,
        "width": photo.width,
        "height": photo.height,
        # A camera's time knows no zone; here it is taken for UTC.
        "taken": None if taken is None else taken.replace(tzinfo=UTC).isoformat(),
    }
    if os.fsencode(photo.path) != path.encode():
        payload["path_bytes"] = base64.b64encode(os.fsencode(photo.path)).decode()
    kept = {n: np.asarray(v, np.float32).tolist() for n, v in vectors.items() if v is not None}
    return models.PointStruct(id=number, vector=kept, payload=payload)


def photo_of(point: models.Record) -> Photo:
    """The photo that a point is."""
    said = point.payload or {}
    path = Path(said["path"])
    if said.get("path_bytes"):
        path = Path(os.fsdecode(base64.b64decode(said["path_bytes"])))
    sizes = said["size"], said["mtime_ns"], said["content"], said["width"], said["height"]
    return Photo(int(point.id), path, *sizes, "ok", None)


def query_of(point: models.Record) -> Query:
    """A point's descriptors."""
    vectors = _vectors(point)
    return Query(vectors["global"], vectors.get("local"))


def database_of(found: Iterable[models.Record], ids: np.ndarray, layout: Layout) -> Database:
    """The descriptors of points in the order of some ids; those that are gone left out."""
    by_id = {int(point.id): query_of(point) for point in found}
    there = [id_ for id_ in ids.tolist() if id_ in by_id]
    shape = (len(there), layout.dimensions)
    global_ = np.array([by_id[id_].global_ for id_ in there], np.float32).reshape(shape)
    local = None
    if layout.local:
        local = np.array([by_id[id_].local for id_ in there], np.float32).reshape(shape)
    return Database(np.array(there, np.int64), global_, local)


def record_of(point: models.Record, layout: Layout) -> Record:
    """A photo with all that is known of it."""
    vectors, said = _vectors(point), point.payload or {}
    taken = datetime.fromisoformat(said["taken"]).replace(tzinfo=None) if said["taken"] else None
    whole = None
    if layout.keeps_whole:
        whole = Description(vectors[WHOLE[0]], vectors.get(WHOLE[1]))
    return Record(photo_of(point), taken, query_of(point), whole)


def condition(where: Filter | None) -> models.Filter | None:
    """A filter as Qdrant's."""
    if where is None or where == Filter():
        return None
    must: list[models.Condition] = []
    if where.under is not None:
        text = text_of(where.under)
        must.append(models.Filter(should=[_is("folders", text), _is("path", text)]))
    if where.taken_from is not None or where.taken_before is not None:
        times = [t and t.replace(tzinfo=UTC) for t in (where.taken_from, where.taken_before)]
        between = models.DatetimeRange(gte=times[0], lt=times[1])
        must.append(models.FieldCondition(key="taken", range=between))
    if where.min_side is not None:
        long_enough = models.Range(gte=where.min_side)
        must += [models.FieldCondition(key=k, range=long_enough) for k in ("width", "height")]
    return models.Filter(must=must)


def is_content(content: str) -> models.FieldCondition:
    """That a photo has a content."""
    return _is("content", content)


def text_of(path: Path) -> str:
    """A path as text; bytes that are none are escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _is(key: str, value: str) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))


def _vectors(point: models.Record) -> dict[str, np.ndarray]:
    found = point.vector if isinstance(point.vector, dict) else {}
    return {name: np.array(values, np.float32) for name, values in found.items()}
