"""Photos as points of Qdrant, and filters as its conditions."""

import base64
import hashlib
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from qdrant_client import models

from resight.backends.remote import SIDES, Layout, Record
from resight.backends.store import Filter
from resight.collection import Photo
from resight.config import BackendConfig
from resight.descriptors.extractor import Description
from resight.photos import escape_undecodable
from resight.ranking.exact import Query

WHOLE = ("whole_global", "whole_local")
"""Descriptors before the reduction; they are stored on disk and never searched."""
PHOTO = ["path", "path_bytes", "content", "size", "mtime_ns", "width", "height"]
"""The fields of a payload that make a `Photo`."""
PAYLOAD_INDEXES = {
    "content": models.PayloadSchemaType.KEYWORD,
    "folders": models.PayloadSchemaType.KEYWORD,
    "taken": models.PayloadSchemaType.DATETIME,
    "width": models.PayloadSchemaType.INTEGER,
    "height": models.PayloadSchemaType.INTEGER,
}
DISTANCES = {
    "manhattan": models.Distance.MANHATTAN,
    "euclidean": models.Distance.EUCLID,
    "cosine": models.Distance.COSINE,
}
QUANTILE = 0.99
"""Fraction of the values within the range of the 8-bit codes; outliers are clipped."""
ID_BITS = 52
"""Bits of a point's ID, so that JavaScript represents it exactly."""


def settings(layout: Layout, config: BackendConfig) -> dict[str, Any]:
    """Return the parameters of a new collection."""
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


def search_params(config: BackendConfig, *, exact: bool) -> models.SearchParams:
    """Return the parameters of a search."""
    return models.SearchParams(
        exact=exact,
        hnsw_ef=config.search_effort,
        quantization=models.QuantizationSearchParams(
            rescore=True, oversampling=config.oversampling
        ),
    )


def path_id(path: Path, step: int = 0) -> int:
    """Return the ID (>= 1) of a photo's point: a hash of its path, plus `step` after collisions."""
    digest = hashlib.sha256(os.fsencode(path)).digest()
    id_ = int.from_bytes(digest[:8], "big") >> (64 - ID_BITS)
    return 1 + (id_ + step) % (2**ID_BITS - 1)


def locate(
    photos: Sequence[Photo], retrieve: Callable[[list[int]], Sequence[models.Record]]
) -> dict[Photo, tuple[int, str | None]]:
    """Return the ID of each photo's point, and the content that is stored there, if any.

    IDs are a hash table with linear probing: if another path has the ID, the next one is taken.
    """
    located: dict[Photo, tuple[int, str | None]] = {}
    remaining = list(photos)
    step = 0
    while remaining:
        ids = {photo: path_id(photo.path, step) for photo in remaining}
        stored = {int(point.id): photo_of(point) for point in retrieve(list(ids.values()))}
        for photo in remaining:
            other = stored.get(ids[photo])
            if other is None or other.path == photo.path:
                located[photo] = ids[photo], None if other is None else other.content
        remaining = [photo for photo in remaining if photo not in located]
        step += 1
    return located


def point_of(id_: int, record: Record, layout: Layout) -> models.PointStruct:
    """Return a photo as a point."""
    photo, taken = record.photo, record.taken
    vectors = dict(zip(SIDES, (record.reduced.global_, record.reduced.local), strict=True))
    if record.whole is not None:
        vectors |= zip(WHOLE, (record.whole.global_, record.whole.local), strict=True)
    path = escape_undecodable(photo.path)
    payload: dict[str, Any] = {
        "path": path,
        "folders": [escape_undecodable(folder) for folder in photo.path.parents],
        "content": photo.content,
        "size": photo.size,
        "mtime_ns": photo.mtime_ns,
        "width": photo.width,
        "height": photo.height,
        # EXIF times have no zone; they are stored as UTC.
        "taken": None if taken is None else taken.replace(tzinfo=UTC).isoformat(),
    }
    if os.fsencode(photo.path) != path.encode():
        payload["path_bytes"] = base64.b64encode(os.fsencode(photo.path)).decode()
    lists = {n: np.asarray(v, np.float32).tolist() for n, v in vectors.items() if v is not None}
    return models.PointStruct(id=id_, vector=lists, payload=payload)


def photo_of(point: models.Record) -> Photo:
    """Return the photo of a point."""
    payload = point.payload or {}
    path = Path(payload["path"])
    if payload.get("path_bytes"):
        path = Path(os.fsdecode(base64.b64decode(payload["path_bytes"])))
    content, size, mtime_ns, width, height = (payload[name] for name in PHOTO[2:])
    return Photo(int(point.id), path, size, mtime_ns, content, width, height, "ok", None)


def query_of(point: models.Record) -> Query:
    """Return the compared descriptors of a point."""
    vectors = _vectors(point)
    return Query(vectors["global"], vectors.get("local"))


def taken_of(point: models.Record) -> datetime | None:
    """Return when the photo of a point was taken."""
    text = (point.payload or {})["taken"]
    return datetime.fromisoformat(text).replace(tzinfo=None) if text else None


def record_of(point: models.Record, layout: Layout) -> Record:
    """Return the photo of a point with all its descriptors."""
    vectors = _vectors(point)
    whole = None
    if layout.keeps_whole:
        whole = Description(vectors[WHOLE[0]], vectors.get(WHOLE[1]))
    return Record(photo_of(point), taken_of(point), query_of(point), whole)


def condition(where: Filter | None, ids: Sequence[int] | None = None) -> models.Filter | None:
    """Return a filter in Qdrant's form, which cannot match names: `ids` are their photos."""
    where = where or Filter()
    must: list[models.Condition] = []
    if ids is not None:
        must.append(models.HasIdCondition(has_id=list(ids)))
    if where.under is not None:
        text = escape_undecodable(where.under)
        must.append(models.Filter(should=[equals("folders", text), equals("path", text)]))
    if where.taken_from is not None or where.taken_before is not None:
        between = models.DatetimeRange(gte=_utc(where.taken_from), lt=_utc(where.taken_before))
        must.append(models.FieldCondition(key="taken", range=between))
    if where.min_side is not None:
        at_least = models.Range(gte=where.min_side)
        must += [models.FieldCondition(key=k, range=at_least) for k in ("width", "height")]
    return models.Filter(must=must) if must else None


def equals(key: str, value: str) -> models.FieldCondition:
    """Return the condition that a field of the payload has a value."""
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))


def _vectors(point: models.Record) -> dict[str, np.ndarray]:
    vectors = point.vector if isinstance(point.vector, dict) else {}
    return {name: np.array(values, np.float32) for name, values in vectors.items()}


def _utc(time: datetime | None) -> datetime | None:
    return None if time is None else time.replace(tzinfo=UTC)
