"""Features of a descriptor fused for each query by how well each of them tells things apart.

A feature that knows the query's thing gives a few high scores and then low ones; one that does not
gives scores that fall off slowly. So what each counts is read off its own sorted scores, for every
query anew and without labels.

Source: Zheng, Wang, Tian, He, Liu and Tian [49], "Query-adaptive late fusion for image search and
person re-identification", CVPR 2015. What is ours: the features are the parts of one descriptor
(layers of the network, scales); a score is 1 at distance 0 and 0 at the feature's largest distance;
and the irrelevant queries, which the paper takes from other photos, are the collection's own photos
without their first results, which may show the same thing.
"""

from collections.abc import Sequence

import numpy as np

from resight.config import RerankConfig

LEAST = 1e-12
"""In place of zero where something is divided by it."""


def query_adaptive_fusion(
    features: Sequence[np.ndarray], queries: np.ndarray, config: RerankConfig
) -> np.ndarray:
    """Costs from some items to all, float64 (Q, M), in -1..0: the product of all features' scores.

    `sim(q, x) = prod_i s_i(q, x)^w_i`, the weights of a query summing to 1.

    Args:
        features: distances between all items by each feature alone, float (M, M).
        queries: rows of the queries, int (Q,).
        config: reference curves, and what is left out of them.
    """
    scores = [1 - matrix / max(LEAST, float(matrix.max())) for matrix in features]
    flatness = np.stack([areas(score, queries, config) for score in scores])
    weights = 1 / np.maximum(flatness, LEAST)
    weights /= weights.sum(axis=0)
    powers = [
        score[queries] ** weight[:, None] for score, weight in zip(scores, weights, strict=True)
    ]
    return -np.prod(powers, axis=0)


def areas(scores: np.ndarray, queries: np.ndarray, config: RerankConfig) -> np.ndarray:
    """The area under each query's normalised score curve, float64 (Q,), in 0..1.

    The curve is the query's scores of the others, sorted, minus the reference: the mean of the
    `references` curves of irrelevant queries whose lower halves are the most like the query's. It
    is brought to 0..1; where nothing stands out the area is 1.

    Args:
        scores: between all items, (M, M); higher is nearer.
        queries: rows of the queries, int (Q,).
        config: how many reference curves, and how many first results they leave out.
    """
    curves = _curves(scores)
    length = curves.shape[1]
    if length == 0:
        return np.ones(len(queries))
    # An irrelevant query's curve begins where the relevant results of a photo have ended.
    later = np.minimum(np.arange(length) + min(config.related, length), length - 1)
    tails = curves[:, length // 2 :]
    found = []
    for query in queries:
        unlike = np.abs(tails - tails[query]).sum(axis=1)
        unlike[query] = np.inf
        alike = np.argsort(unlike, kind="stable")[: min(config.references, len(curves) - 1)]
        lifted = curves[query] - curves[np.ix_(alike, later)].mean(axis=0)
        lifted -= lifted.min()
        highest = lifted.max()
        found.append(lifted.mean() / highest if highest > 0 else 1.0)
    return np.array(found)


def _curves(scores: np.ndarray) -> np.ndarray:
    """Each item's scores of all others, highest first, (M, M - 1)."""
    others = ~np.eye(len(scores), dtype=bool)
    return -np.sort(-scores[others].reshape(len(scores), len(scores) - 1), axis=1)
