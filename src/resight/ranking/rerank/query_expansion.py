"""Query expansion and database augmentation: descriptors averaged with their nearest ones.

Average query expansion: Chum et al. [7], "Total recall", ICCV 2007, section 3. Alpha query
expansion: Radenovic et al., "Fine-tuning CNN image retrieval", PAMI 2018, section 3.4. Database
augmentation: Arandjelovic and Zisserman, "Three things everyone should know", CVPR 2012, section
5; weights as in alpha expansion.
"""

from collections.abc import Sequence

import numpy as np

from resight.config import RerankConfig
from resight.ranking.exact import Query
from resight.ranking.rerank.rerank_set import (
    EPSILON,
    RerankSet,
    distances_between,
    neighbor_order,
)


def average_query_expansion(
    items: RerankSet, queries: np.ndarray, config: RerankConfig
) -> np.ndarray:
    """Average each query's descriptor with its nearest ones."""
    nearest = neighbor_order(items.matrix[queries])[:, : config.expanded + 1]
    averages = tuple(_rescaled(rows[nearest].mean(axis=1), rows) for rows in items.descriptors)
    return distances_between(averages, items.descriptors, items.distance)


def average_query(queries: Sequence[Query]) -> Query:
    """Return the average of some queries' descriptors, as long as they are on average."""
    sides = [[query.global_ for query in queries]]
    local = [query.local for query in queries if query.local is not None]
    if len(local) == len(queries):
        sides.append(local)
    stacked = [np.stack(rows) for rows in sides]
    return Query(*(_rescaled(rows.mean(axis=0, keepdims=True), rows)[0] for rows in stacked))


def alpha_query_expansion(
    items: RerankSet, queries: np.ndarray, config: RerankConfig
) -> np.ndarray:
    """Average as in `average_query_expansion`, weighted by a power of the cosine."""
    averages = _weighted_averages(items, queries, config)
    return distances_between(averages, items.descriptors, items.distance)


def database_augmentation(
    items: RerankSet, queries: np.ndarray, config: RerankConfig
) -> np.ndarray:
    """Average every item's descriptor with its nearest ones, those of queries too."""
    averages = _weighted_averages(items, np.arange(len(items.matrix)), config)
    of_queries = tuple(rows[queries] for rows in averages)
    return distances_between(of_queries, averages, items.distance)


def _weighted_averages(
    items: RerankSet, queries: np.ndarray, config: RerankConfig
) -> tuple[np.ndarray, ...]:
    nearest = neighbor_order(items.matrix[queries])[:, : config.expanded + 1]
    averages = []
    for rows in items.descriptors:
        lengths = np.maximum(np.linalg.norm(rows, axis=1), EPSILON)
        cosines = np.einsum("qd,qnd->qn", rows[queries], rows[nearest])
        cosines /= lengths[queries][:, None] * lengths[nearest]
        weights = np.clip(cosines, 0, 1) ** config.alpha
        sums = np.einsum("qn,qnd->qd", weights, rows[nearest])
        totals = np.maximum(weights.sum(axis=1), EPSILON)
        averages.append(_rescaled(sums / totals[:, None], rows))
    return tuple(averages)


def _rescaled(averages: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Scale averages, which are shorter than their parts, to the mean length of descriptors."""
    target = float(np.linalg.norm(rows, axis=1).mean())
    lengths = np.maximum(np.linalg.norm(averages, axis=1, keepdims=True), EPSILON)
    return (averages * (target / lengths)).astype(np.float32)
