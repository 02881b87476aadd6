"""What each layer of a descriptor counts, learned from photos without labels (section 4).

Li, Xu, Wang, Miao and Zhang, "MS-RMAC: Multiscale regional maximum activation of convolutions for
image retrieval", IEEE Signal Processing Letters 2017, learn it from labels by the parameter-free
hedge algorithm of Chaudhuri, Freund and Hsu, NIPS 2009: layers are experts, a query is a round, and
the gain of an expert is how well its layer alone answers. Here, instead of labels, an answer is
right where the layers together say so: two photos that are each other's nearest.
"""

from collections.abc import Sequence

import numpy as np

ORDERS = 10
"""Random orders of the rounds, over which the weights are averaged."""


def learn_layer_weights(layers: Sequence[np.ndarray], seed: int = 0) -> np.ndarray:
    """The share of each layer in the cosine of two descriptors, float64 (L,), of sum 1.

    It is the mean over the rounds: the last ones leave hardly anything to any but the best layer.

    Args:
        layers: for each layer the photos' vectors, float32 (N, C), of unit length.
        seed: of the order of the rounds.
    """
    gains = agreement(layers)
    generator = np.random.default_rng(seed)
    orders = [generator.permutation(len(gains)) for _ in range(ORDERS)]
    return np.mean([hedge(gains[order]).mean(axis=0) for order in orders], axis=0)


def agreement(layers: Sequence[np.ndarray]) -> np.ndarray:
    """How well each layer alone finds what all of them find together, float64 (T, L).

    One row for each photo that has a mutual neighbor: a photo that is its nearest, as it is the
    other's, by the cosines of all layers. Its value for a layer is 1 / rank of that neighbor.
    """
    similar = np.stack([np.asarray(vectors @ vectors.T, np.float64) for vectors in layers])
    for one in similar:
        np.fill_diagonal(one, -np.inf)
    nearest = similar.mean(axis=0).argmax(axis=1)
    photos = np.arange(len(nearest))
    photos = photos[(nearest[nearest] == photos) & (nearest != photos)]
    reached = similar[:, photos, nearest[photos]]
    ranks = 1 + (similar[:, photos] > reached[..., None]).sum(axis=2)
    return (1 / ranks).T


def hedge(gains: np.ndarray) -> np.ndarray:
    """The weights of experts in each round, and after the last: (T, L) to float64 (T + 1, L).

    The algorithm NormalHedge: an expert whose regret R (what it gained more than the weighted mean
    of all) is above 0 has a weight of R / c exp(R^2 / 2c), relative to the others, with c such that
    the mean of exp(max(R, 0)^2 / 2c) over all experts is e. Where none is, all weights are equal.

    Args:
        gains: what each expert gains in each round, from 0 to 1.
    """
    regrets = np.zeros(gains.shape[1])
    found = [_weights(regrets)]
    for gain in gains:
        regrets = regrets + gain - found[-1] @ gain
        found.append(_weights(regrets))
    return np.array(found)


def _weights(regrets: np.ndarray) -> np.ndarray:
    ahead = np.maximum(regrets, 0)
    if ahead.max() == 0:
        return np.full(len(ahead), 1 / len(ahead))
    squares = (ahead / ahead.max()) ** 2 / 2
    low, high = 1e-3, 0.5  # of c, relative to the largest regret: the mean is above e, and below
    for _ in range(60):
        middle = (low + high) / 2
        too_small = np.exp(squares / middle).mean() > np.e
        low, high = (middle, high) if too_small else (low, middle)
    weights = np.sqrt(squares) * np.exp(squares / high - 0.5 / high)
    return np.asarray(weights / weights.sum())
