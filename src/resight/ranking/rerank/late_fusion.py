"""Query-adaptive late fusion: the parts of a descriptor, weighted for each query.

The scores of a part that recognizes the query's object are a few high ones and then low ones; those
of other parts fall off slowly. So each part's weight follows from its own sorted scores, for
every query and without labels.

Source: Zheng, Wang, Tian, He, Liu and Tian [49], "Query-adaptive late fusion for image search and
person re-identification", CVPR 2015. Choices of this implementation: the features are the parts of
one descriptor (layers of the network, scales); a score is 1 at distance 0 and 0 at the part's
largest distance; and the irrelevant queries, which the paper takes from other photos, are the
collection's own photos without their first results, which may show the same thing.
"""

import numpy as np

from resight.config import RerankConfig
from resight.ranking.rerank.rerank_set import EPSILON, RerankSet


def late_fusion(items: RerankSet, queries: np.ndarray, config: RerankConfig) -> np.ndarray:
    """Compute costs, float64 (Q, M), in -1..0: the negative product of all parts' scores.

    `sim(q, x) = prod_i s_i(q, x)^w_i`, the weights of a query summing to 1.
    """
    scores = [1 - matrix / max(EPSILON, float(matrix.max())) for matrix in items.part_matrices]
    flatness = np.stack([areas(score, queries, config) for score in scores])
    weights = 1 / np.maximum(flatness, EPSILON)
    weights /= weights.sum(axis=0)
    powers = [
        score[queries] ** weight[:, None] for score, weight in zip(scores, weights, strict=True)
    ]
    return -np.prod(powers, axis=0)


def areas(scores: np.ndarray, queries: np.ndarray, config: RerankConfig) -> np.ndarray:
    """Compute the area under each query's normalized score curve, float64 (Q,), in 0..1.

    The curve is the query's scores of the others, sorted, minus the reference: the mean of the
    `references` curves of irrelevant queries whose lower halves are most similar to the query's. It
    is scaled to 0..1; where nothing stands out the area is 1. Scores (M, M) are between all items,
    higher is nearer.
    """
    # Each item's scores of all others, highest first.
    others = scores[~np.eye(len(scores), dtype=bool)].reshape(len(scores), len(scores) - 1)
    curves = -np.sort(-others, axis=1)
    length = curves.shape[1]
    if length == 0:
        return np.ones(len(queries))
    # An irrelevant query's curve begins where the relevant results of a photo have ended.
    later = np.minimum(np.arange(length) + min(config.related, length), length - 1)
    tails = curves[:, length // 2 :]
    results = []
    for query in queries:
        difference = np.abs(tails - tails[query]).sum(axis=1)
        difference[query] = np.inf
        closest = np.argsort(difference, kind="stable")[: min(config.references, len(curves) - 1)]
        lifted = curves[query] - curves[np.ix_(closest, later)].mean(axis=0)
        lifted -= lifted.min()
        highest = lifted.max()
        results.append(lifted.mean() / highest if highest > 0 else 1.0)
    return np.array(results)
