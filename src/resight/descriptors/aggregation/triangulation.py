"""Triangulation embedding and democratic aggregation of local descriptors.

Jegou and Zisserman, "Triangulation embedding and democratic aggregation for image search", CVPR
2014: sections 3 (the embedding), 4 (democratic weights) and 5 (the power law).

A descriptor is seen from each of a few anchors as a direction: it does not matter how far it is.
All directions together are centered and whitened, and the first components, which all
descriptors of a photo share, are left out. Democratic weights let every descriptor count alike in
the comparison of a photo with itself, so that many of one kind do not drown the others.
"""

from collections.abc import Mapping

import numpy as np
from threadpoolctl import threadpool_limits

from resight.errors import FitError

ROUNDS = 10
"""Rounds of the search for the weights, as in the paper."""
GAMMA = 0.5
"""Its exponent, likewise; below 1, so that it converges."""
LEAST = 1e-10
"""Variance, as a share of the largest, below which a direction is not there."""


def directions(descriptors: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """The unit vectors from each anchor to each descriptor, float64 (N, K * D).

    A descriptor that lies on an anchor has the direction zero there.
    """
    x, middles = np.asarray(descriptors, np.float64), np.asarray(anchors, np.float64)
    offsets = x[:, None, :] - middles[None]
    lengths = np.linalg.norm(offsets, axis=2, keepdims=True)
    units = np.divide(offsets, lengths, out=np.zeros_like(offsets), where=lengths > 0)
    return units.reshape(len(x), middles.size)


def fit_embedding(descriptors: np.ndarray, anchors: np.ndarray) -> dict[str, np.ndarray]:
    """Center and whitening of the directions, without their first D components.

    Args:
        descriptors: float32 (M, D).
        anchors: float32 (K, D), from k-means.

    Returns:
        float32 arrays: `anchors` (K, D), `mean` (K * D,), `projection` (K * D, r), where r is
        K * D - D, or fewer where the directions vary in fewer.

    Raises:
        FitError: the descriptors vary in D directions or fewer.
    """
    size = anchors.size
    count, total, square = 0, np.zeros(size), np.zeros((size, size))
    with threadpool_limits(1):  # the same numbers whatever the number of threads
        for start in range(0, len(descriptors), 2048):
            block = directions(descriptors[start : start + 2048], anchors)
            count, total = count + len(block), total + block.sum(axis=0)
            square += block.T @ block
        mean = total / max(1, count)
        values, vectors = np.linalg.eigh(square / max(1, count) - np.outer(mean, mean))
    values, vectors = values[::-1], vectors[:, ::-1]
    skipped = anchors.shape[1]
    kept = int(np.count_nonzero(values > LEAST * values[0]))
    if kept <= skipped:
        raise FitError(
            f"the local descriptors vary in {kept} directions around the {len(anchors)} anchors, "
            f"and more than {skipped} are needed: index more photos with texture"
        )
    chosen = vectors[:, skipped:kept]
    largest = chosen[np.abs(chosen).argmax(axis=0), np.arange(chosen.shape[1])]
    chosen = chosen * np.sign(largest)  # the signs of a decomposition are arbitrary
    return {
        "anchors": anchors.astype(np.float32),
        "mean": mean.astype(np.float32),
        # Laid out as it will be read again: the order of a sum is part of its rounding.
        "projection": np.ascontiguousarray(chosen / np.sqrt(values[skipped:kept]), np.float32),
    }


def embed(descriptors: np.ndarray, embedding: Mapping[str, np.ndarray]) -> np.ndarray:
    """Descriptors (N, D) embedded, float32 (N, r), of unit length."""
    seen = (directions(descriptors, embedding["anchors"]) - embedding["mean"]).astype(np.float32)
    embedded = seen @ embedding["projection"]
    lengths = np.linalg.norm(embedded, axis=1, keepdims=True)
    return np.divide(embedded, lengths, out=np.zeros_like(embedded), where=lengths > 0)


def democratic_weights(embedded: np.ndarray) -> np.ndarray:
    """Weights l (N,) by which every descriptor counts alike: l_i sum_j l_j K_ij is near 1.

    K is the positive part of the products of the embedded descriptors (N, r).
    """
    kernel = np.maximum(embedded @ embedded.T, 0).astype(np.float64)
    weights = np.ones(len(embedded))
    for _ in range(ROUNDS):
        shares = weights * (kernel @ weights)
        weights /= np.where(shares > 0, shares, 1.0) ** GAMMA
    return weights


def triangulation(
    descriptors: np.ndarray, embedding: Mapping[str, np.ndarray], power: float = 0.5
) -> np.ndarray:
    """The embedded descriptors of one photo, added with democratic weights.

    Args:
        descriptors: float32 (N, D); their order does not matter.
        embedding: what `fit_embedding` gives.
        power: exponent of the signed power law.

    Returns:
        float32 (r,) of unit length; zeros when there is no descriptor.
    """
    embedded = embed(descriptors, embedding)
    vector = democratic_weights(embedded) @ embedded
    vector = np.sign(vector) * np.abs(vector) ** power
    length = np.linalg.norm(vector)
    return np.asarray(vector / length if length > 0 else vector, np.float32)
