"""Diffusion on the graph of mutual neighbors.

Iscen et al., "Efficient diffusion on region manifolds", CVPR 2017, sections 3.1 and 3.2, the query
being a node of the graph.
"""

import numpy as np

from resight.config import RerankConfig
from resight.ranking.rerank.rerank_set import EPSILON, RerankSet, neighbor_order


def diffusion(items: RerankSet, queries: np.ndarray, config: RerankConfig) -> np.ndarray:
    """Compute how much of what starts at a query arrives at each item along the graph."""
    count = len(items.matrix)
    near = np.zeros((count, count), bool)
    neighbors = neighbor_order(items.matrix)[:, 1 : config.mutual + 1]
    np.put_along_axis(near, neighbors, True, axis=1)
    largest = max(EPSILON, float(items.matrix.max()))
    similarities = 1 - items.matrix / largest
    weights = np.where(near & near.T, similarities**config.gamma, 0.0)
    degrees = np.maximum(weights.sum(axis=1), EPSILON)
    normalized = weights / np.sqrt(degrees[:, None] * degrees)
    start = np.zeros((count, len(queries)))
    start[queries, np.arange(len(queries))] = 1
    arrived = np.linalg.solve(np.eye(count) - config.damping * normalized, start).T
    # Items at which nothing arrives keep their order by distance, after the others.
    return -arrived + 1e-6 * (items.matrix[queries] / largest)
