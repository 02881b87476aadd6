"""Weights of the layers of a descriptor, fitted on photos without labels (section 4).

Li, Xu, Wang, Miao and Zhang, "MS-RMAC: Multiscale regional maximum activation of convolutions for
image retrieval", IEEE Signal Processing Letters 2017, fit them on labels by the parameter-free
hedge algorithm of Chaudhuri, Freund and Hsu, NIPS 2009: layers are experts, a query is a round, and
the gain of an expert is how well its layer answers by itself. Instead of
labels, the ground truth comes from all layers together: mutual nearest neighbors match.
"""

from collections.abc import Sequence

import numpy as np

ORDERS = 10
"""Number of random orders of the rounds, over which the weights are averaged."""


def fit_layer_weights(layers: Sequence[np.ndarray], seed: int = 0) -> np.ndarray:
    """Return the weight of each layer in the cosine of two descriptors, float64 (L,), of sum 1.

    Weights are averaged over the rounds: in the last rounds the best layer has nearly all.

    Args:
        layers: for each layer the photos' vectors, float32 (N, C), of unit length.
        seed: of the order of the rounds.
    """
    gains = agreement(layers)
    generator = np.random.default_rng(seed)
    orders = [generator.permutation(len(gains)) for _ in range(ORDERS)]
    return np.mean([hedge(gains[order]).mean(axis=0) for order in orders], axis=0)


def agreement(layers: Sequence[np.ndarray]) -> np.ndarray:
    """Measure how well each layer finds the neighbors of all layers together, float64 (T, L).

    One row for each photo with a mutual nearest neighbor by the mean cosine of all layers. Its
    value for a layer is 1 / rank of that neighbor by the layer.
    """
    similarity = np.stack([np.asarray(vectors @ vectors.T, np.float64) for vectors in layers])
    for matrix in similarity:
        np.fill_diagonal(matrix, -np.inf)
    nearest = similarity.mean(axis=0).argmax(axis=1)
    photos = np.arange(len(nearest))
    photos = photos[(nearest[nearest] == photos) & (nearest != photos)]
    mutual = similarity[:, photos, nearest[photos]]
    ranks = 1 + (similarity[:, photos] > mutual[..., None]).sum(axis=2)
    return (1 / ranks).T


def hedge(gains: np.ndarray) -> np.ndarray:
    """Return the weights of experts in each round and after the last: (T, L) to float64 (T + 1, L).

    The algorithm NormalHedge: an expert whose regret R (its gain beyond the weighted mean of all)
    is above 0 has a weight proportional to R / c exp(R^2 / 2c), with c such that the mean of
    exp(max(R, 0)^2 / 2c) over all experts is e. If no regret is above 0, all weights are equal.

    Args:
        gains: of each expert in each round, from 0 to 1.
    """
    regrets = np.zeros(gains.shape[1])
    weights = [_weights(regrets)]
    for gain in gains:
        regrets = regrets + gain - weights[-1] @ gain
        weights.append(_weights(regrets))
    return np.array(weights)


def _weights(regrets: np.ndarray) -> np.ndarray:
    positive = np.maximum(regrets, 0)
    if positive.max() == 0:
        return np.full(len(positive), 1 / len(positive))
    squares = (positive / positive.max()) ** 2 / 2
    # Bounds of c, relative to the largest regret: the mean is above e at `low`, below at `high`.
    low, high = 1e-3, 0.5
    for _ in range(60):
        middle = (low + high) / 2
        if np.exp(squares / middle).mean() > np.e:
            low = middle
        else:
            high = middle
    weights = np.sqrt(squares) * np.exp(squares / high - 0.5 / high)
    return np.asarray(weights / weights.sum())
