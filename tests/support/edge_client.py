"""Qdrant's engine in this process, behind the part of its client's interface that Resight uses.

`qdrant_edge` is the server's engine as a library, with its storage, HNSW and 8-bit codes. It has
one shard and no HTTP, so this module translates the client's models.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import qdrant_edge as edge
from qdrant_client import models

DISTANCES = {
    models.Distance.MANHATTAN: edge.Distance.Manhattan,
    models.Distance.EUCLID: edge.Distance.Euclid,
    models.Distance.COSINE: edge.Distance.Cosine,
}
INDEXED_FROM_KB = 200
"""Size of vectors from which on they are indexed; the server's 10 MB would need larger tests."""


class EdgeClient:
    """The methods of `QdrantClient` that Resight calls."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shards: dict[str, edge.EdgeShard] = {}

    def info(self) -> SimpleNamespace:
        return SimpleNamespace(version="edge")

    def close(self) -> None:
        for shard in self._shards.values():
            shard.close()
        self._shards.clear()

    def collection_exists(self, name: str) -> bool:
        return name in self._shards

    def create_collection(self, name: str, vectors_config: dict[str, Any], **_: Any) -> None:
        place = self._folder / f"{name}-{len(list(self._folder.glob('*')))}"
        place.mkdir(parents=True)
        vectors = {side: _vector(params) for side, params in vectors_config.items()}
        config = edge.EdgeConfig(
            # A shard needs at least one kind of vector.
            vectors=vectors or {"none": edge.EdgeVectorParams(1, edge.Distance.Dot)},
            wal_enabled=False,
            optimizers=edge.EdgeOptimizersConfig(indexing_threshold=INDEXED_FROM_KB),
        )
        self._shards[name] = edge.EdgeShard.create(str(place), config)

    def delete_collection(self, name: str) -> None:
        self._shards.pop(name).close()

    def create_payload_index(self, name: str, field: str, kind: models.PayloadSchemaType) -> None:
        kinds = edge.PayloadSchemaType
        kinds_by_name = {
            "keyword": kinds.Keyword,
            "datetime": kinds.Datetime,
            "integer": kinds.Integer,
        }
        operation = edge.UpdateOperation.create_field_index(field, kinds_by_name[kind.value])
        self._shards[name].update(operation)

    def upsert(self, name: str, points: list[models.PointStruct], *, wait: bool) -> None:
        assert wait
        converted = [edge.Point(point.id, point.vector, point.payload) for point in points]
        self._shards[name].update(edge.UpdateOperation.upsert_points(converted))

    def delete(self, name: str, points: models.PointIdsList, *, wait: bool) -> None:
        assert wait
        self._shards[name].update(edge.UpdateOperation.delete_points(points.points))

    def set_payload(
        self, name: str, payload: dict[str, Any], *, points: list[int], wait: bool
    ) -> None:
        assert wait
        self._shards[name].update(edge.UpdateOperation.set_payload(points, payload))

    def retrieve(
        self, name: str, ids: list[int], *, with_payload: Any, with_vectors: Any = False
    ) -> list[Any]:
        return self._shards[name].retrieve(ids, with_payload, with_vectors)

    def scroll(
        self,
        name: str,
        scroll_filter: models.Filter | None = None,
        *,
        limit: int,
        offset: int | None = None,
        with_payload: Any,
        with_vectors: Any,
    ) -> tuple[list[Any], Any]:
        request = edge.ScrollRequest(
            offset, limit, _filter(scroll_filter), with_payload, with_vectors
        )
        return self._shards[name].scroll(request)

    def count(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(count=self._shards[name].count(edge.CountRequest(exact=True)))

    def get_collection(self, name: str) -> SimpleNamespace:
        self._shards[name].optimize()  # a server optimizes by itself
        return SimpleNamespace(status=models.CollectionStatus.GREEN)

    def indexed_vectors(self, name: str) -> int:
        return self._shards[name].info().indexed_vectors_count

    def query_batch_points(self, name: str, requests: list[models.QueryRequest]) -> list[Any]:
        return [
            SimpleNamespace(points=self._shards[name].query(_query(request)))
            for request in requests
        ]


def _vector(params: models.VectorParams) -> edge.EdgeVectorParams:
    hnsw, quantization = params.hnsw_config, params.quantization_config
    links = hnsw.m if hnsw and hnsw.m is not None else 16
    effort = hnsw.ef_construct if hnsw and hnsw.ef_construct else 100
    codes = None
    if quantization is not None:
        scalar = quantization.scalar
        codes = edge.ScalarQuantizationConfig(
            edge.ScalarType.Int8, scalar.quantile, always_ram=scalar.always_ram
        )
    return edge.EdgeVectorParams(
        params.size,
        DISTANCES[params.distance],
        on_disk=params.on_disk,
        quantization_config=codes,
        hnsw_config=edge.HnswIndexConfig(links, effort, full_scan_threshold=10),
    )


def _query(request: models.QueryRequest) -> edge.QueryRequest:
    params, codes = request.params, request.params.quantization
    return edge.QueryRequest(
        limit=request.limit,
        query=edge.Query.Nearest(request.query, using=request.using),
        filter=_filter(request.filter),
        params=edge.SearchParams(
            hnsw_ef=params.hnsw_ef,
            exact=params.exact,
            quantization=edge.QuantizationSearchParams(
                rescore=codes.rescore, oversampling=codes.oversampling
            ),
        ),
    )


def _filter(filter_: models.Filter | None) -> edge.Filter | None:
    if filter_ is None:
        return None
    return edge.Filter(
        must=[_condition(part) for part in filter_.must or []],
        should=[_condition(part) for part in filter_.should or []] or None,
    )


def _condition(condition: Any) -> Any:
    if isinstance(condition, models.Filter):
        return _filter(condition)
    if isinstance(condition, models.HasIdCondition):
        return edge.HasIdCondition(set(condition.has_id))
    if condition.match is not None:
        return edge.FieldCondition(condition.key, match=edge.MatchValue(condition.match.value))
    between = condition.range
    if isinstance(between, models.Range):
        return edge.FieldCondition(condition.key, range=edge.RangeFloat(gte=between.gte))
    return edge.FieldCondition(
        condition.key,
        range=edge.RangeDateTime(
            gte=between.gte and between.gte.isoformat(), lt=between.lt and between.lt.isoformat()
        ),
    )
