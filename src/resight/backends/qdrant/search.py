"""Searches in Qdrant: codes find candidates, which the server compares exactly."""

from collections.abc import Sequence

import numpy as np
from qdrant_client import QdrantClient, models

from resight.backends.qdrant import points
from resight.backends.remote_base import RemoteState
from resight.backends.store import SIDES, Filter
from resight.ranking.exact import Neighbors, Query, ranking

MOST_APPROXIMATE = 1000
"""Neighbors that the index is asked for at most; for more, all photos are compared."""
TIES = 16
"""Points that are asked for beyond the neighbors wanted: of ties the lowest ids count."""


def nearest(
    client: QdrantClient,
    collection: str,
    kept: RemoteState[str],
    queries: Sequence[Query],
    k: int,
    where: Filter | None,
    *,
    indexed: bool,
) -> list[Neighbors]:
    """The k nearest photos to each query; not `indexed` where the client has no server."""
    sides = [
        (side, values)
        for query in queries
        for side, values in zip(SIDES, (query.global_, query.local), strict=True)
        if values is not None and side in kept.layout.sides
    ]
    params = None
    if indexed:
        params = points.search_params(kept.config, exact=k > MOST_APPROXIMATE)
    requests = [
        models.QueryRequest(
            query=np.asarray(values, np.float32).tolist(),
            using=side,
            limit=k + TIES,
            filter=points.condition(where),
            params=params,
        )
        for side, values in sides
    ]
    answers = [answer.points for answer in client.query_batch_points(collection, requests)]
    each = len(sides) // max(1, len(queries))
    cosine = kept.layout.distance == "cosine"
    starts = range(0, len(answers), each or 1)
    return [_joined(answers[start : start + each], k, cosine=cosine) for start in starts]


def _joined(sides: Sequence[Sequence[models.ScoredPoint]], k: int, *, cosine: bool) -> Neighbors:
    """The nearest photos by the smaller of their distances.

    What is on one list alone is farther by the other descriptor than all on that other list.
    """
    smallest: dict[int, float] = {}
    for point in (point for side in sides for point in side):
        distance = min(2.0, max(0.0, 1 - point.score)) if cosine else point.score
        smallest[int(point.id)] = min(distance, smallest.get(int(point.id), np.inf))
    ids = np.array(list(smallest), np.int64)
    distances = np.array(list(smallest.values()), np.float32)
    order = ranking(distances, ids, k)
    return Neighbors(ids[order], distances[order])
