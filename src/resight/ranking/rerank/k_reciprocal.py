"""k-reciprocal encoding.

Zhong et al., "Re-ranking person re-identification with k-reciprocal encoding", CVPR 2017.
"""

import numpy as np

from resight.config import RerankConfig
from resight.ranking.rerank.rerank_set import EPSILON, RerankSet, neighbor_order


def k_reciprocal(items: RerankSet, queries: np.ndarray, config: RerankConfig) -> np.ndarray:
    """Blend Jaccard distances of sets of mutual neighbors with the distances themselves."""
    order = neighbor_order(items.matrix)
    half_k = max(1, round(config.k1 / 2))
    reciprocal = [_mutual_neighbors(order, item, config.k1) for item in range(len(order))]
    half = [_mutual_neighbors(order, item, half_k) for item in range(len(order))]
    scaled = items.matrix / np.maximum(items.matrix.max(axis=1, keepdims=True), EPSILON)
    encodings = np.zeros(items.matrix.shape)
    for item, members in enumerate(reciprocal):
        expanded = [members]
        for candidate in members:
            shared = np.intersect1d(half[candidate], members)
            if len(shared) > 2 / 3 * len(half[candidate]):
                expanded.append(half[candidate])
        neighbors = np.unique(np.concatenate(expanded))
        weights = np.exp(-scaled[item, neighbors])
        encodings[item, neighbors] = weights / weights.sum()
    encodings = encodings[order[:, : config.k2]].mean(axis=1)
    minima = np.stack([np.minimum(encodings[query], encodings).sum(axis=1) for query in queries])
    jaccard = 1 - minima / (2 - minima)  # rows of the encodings sum to 1
    return (1 - config.share) * jaccard + config.share * scaled[queries]


def _mutual_neighbors(order: np.ndarray, item: int, k: int) -> np.ndarray:
    """Return the k nearest of an item (itself included) that have it among their k nearest."""
    forward = order[item, : k + 1]
    return forward[(order[forward, : k + 1] == item).any(axis=1)]
