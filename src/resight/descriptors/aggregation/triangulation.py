"""Triangulation embedding and democratic aggregation of local descriptors.

Jegou and Zisserman, "Triangulation embedding and democratic aggregation for image search", CVPR
2014: sections 3 (the embedding), 4 (democratic weights) and 5 (the power law).

A descriptor is embedded as its directions from a few anchors; the distances do not count. The
directions are centered and whitened, without the first components, which all descriptors of a photo
share. Democratic weights give every descriptor the same influence on the comparison of a photo with
itself, so that many similar ones do not drown the others.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from resight.config import LocalConfig
from resight.descriptors.aggregation.vocabulary import fit_vocabulary
from resight.descriptors.extractor import FittedParams
from resight.errors import FitError
from resight.vectors import l2_normalize, l2_normalize_rows, signed_power, with_positive_peaks

ITERATIONS = 10
"""Of the search for the weights, as in the paper."""
GAMMA = 0.5
"""Exponent of that search, as in the paper; below 1, so that it converges."""
MIN_VARIANCE = 1e-10
"""Fraction of the largest variance below which a direction counts as constant."""


def fit(photos: Sequence[np.ndarray], config: LocalConfig) -> FittedParams:
    """Fit the embedding, see `fit_embedding`."""
    descriptors = np.concatenate(photos)
    return fit_embedding(descriptors, fit_vocabulary(descriptors, config.centers, config.seed))


def apply(
    features: np.ndarray, frames: np.ndarray | None, params: FittedParams, config: LocalConfig
) -> np.ndarray:
    """Aggregate the features of one photo."""
    return triangulation(features, params, config.power)


def fit_embedding(descriptors: np.ndarray, anchors: np.ndarray) -> dict[str, np.ndarray]:
    """Fit the centering and whitening of the directions, without their first D components.

    Args:
        descriptors: float32 (M, D).
        anchors: float32 (K, D), from k-means.

    Returns:
        float32 arrays: `anchors` (K, D), `mean` (K * D,), `projection` (K * D, r), where r is
        K * D - D, or less if the directions vary in fewer dimensions.

    Raises:
        FitError: the directions vary in D dimensions or fewer.
    """
    size = anchors.size
    count, total, square = 0, np.zeros(size), np.zeros((size, size))
    with threadpool_limits(1):  # the same numbers for any number of threads
        for start in range(0, len(descriptors), 2048):
            block = directions(descriptors[start : start + 2048], anchors)
            count += len(block)
            total += block.sum(axis=0)
            square += block.T @ block
        mean = total / max(1, count)
        values, vectors = np.linalg.eigh(square / max(1, count) - np.outer(mean, mean))
    values, vectors = values[::-1], vectors[:, ::-1]
    skipped = anchors.shape[1]
    rank = int(np.count_nonzero(values > MIN_VARIANCE * values[0]))
    if rank <= skipped:
        raise FitError(
            f"the local descriptors vary in {rank} directions around the {len(anchors)} anchors, "
            f"and more than {skipped} are needed: index more photos with texture"
        )
    components = with_positive_peaks(vectors[:, skipped:rank])
    return {
        "anchors": anchors.astype(np.float32),
        "mean": mean.astype(np.float32),
        # In the memory layout of the stored array: the order of a sum decides its rounding.
        "projection": np.ascontiguousarray(components / np.sqrt(values[skipped:rank]), np.float32),
    }


def triangulation(
    descriptors: np.ndarray, embedding: Mapping[str, np.ndarray], power: float = 0.5
) -> np.ndarray:
    """Add the embedded descriptors of one photo with democratic weights.

    Args:
        descriptors: float32 (N, D); their order does not matter.
        embedding: as `fit_embedding` returns it.
        power: exponent of the signed power law.

    Returns:
        float32 (r,) of unit length; zeros without descriptors.
    """
    embedded = embed(descriptors, embedding)
    vector = signed_power(democratic_weights(embedded) @ embedded, power)
    return np.asarray(l2_normalize(vector), np.float32)


def embed(descriptors: np.ndarray, embedding: Mapping[str, np.ndarray]) -> np.ndarray:
    """Embed descriptors (N, D): float32 (N, r), of unit length."""
    offsets = directions(descriptors, embedding["anchors"]) - embedding["mean"]
    return l2_normalize_rows(offsets.astype(np.float32) @ embedding["projection"])


def directions(descriptors: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Return the unit vectors from each anchor to each descriptor, float64 (N, K * D).

    The direction from an anchor to a descriptor equal to it is zero.
    """
    x, centers = np.asarray(descriptors, np.float64), np.asarray(anchors, np.float64)
    return l2_normalize_rows(x[:, None, :] - centers).reshape(len(x), centers.size)


def democratic_weights(embedded: np.ndarray) -> np.ndarray:
    """Return weights l (N,) that equalize the descriptors: l_i sum_j l_j K_ij is near 1.

    K is the positive part of the products of the embedded descriptors (N, r).
    """
    kernel = np.maximum(embedded @ embedded.T, 0).astype(np.float64)
    weights = np.ones(len(embedded))
    for _ in range(ITERATIONS):
        influence = weights * (kernel @ weights)
        weights /= np.where(influence > 0, influence, 1.0) ** GAMMA
    return weights
