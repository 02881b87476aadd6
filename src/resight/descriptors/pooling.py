"""From a feature map to a vector (section 4)."""

import math

import numpy as np


def modified_rmac(feature_map: np.ndarray, *, levels: int = 3, stride: float = 0.4) -> np.ndarray:
    """The paper's modified R-MAC: maxima over square regions, square sum-pooled at each scale.

    Its share of the vector at each level is the root of the sum of the squared maxima, for each
    channel.

    Args:
        feature_map: float32 (C, H, W), values >= 0.
        levels: scales L of the grid.
        stride: step between regions as a share of their side, 0.4 for 60 % overlap.

    Returns:
        float32 (C,) of unit length; zero for a zero map.

    Source: Seddati et al. 2017, algorithm 1, OS_RMAC; after Tolias et al. 2015.
    """
    vector = np.zeros(len(feature_map), np.float32)
    for side, step in rmac_grid(feature_map.shape[1:], levels=levels, stride=stride):
        maxima = region_maxima(feature_map, side, step)
        vector += np.sqrt(np.square(maxima).sum(axis=(1, 2)))
    return l2_normalize(vector)


def rmac_grid(
    shape: tuple[int, ...], *, levels: int = 3, stride: float = 0.4
) -> list[tuple[int, int]]:
    """Side and step of the square regions at each level, in positions of a map (H, W).

    Level l has regions of side k = ceil(2 min(H, W) / (l + 1)), every floor(stride * k) positions.
    """
    sides = [max(1, math.ceil(2 * min(shape) / (level + 1))) for level in range(1, levels + 1)]
    return [(side, max(1, math.floor(stride * side))) for side in sides]


def region_maxima(feature_map: np.ndarray, side: int, step: int) -> np.ndarray:
    """The maximum of each region of a regular grid: (C, H, W) to (C, rows, columns).

    Regions are squares of `side` positions, one every `step` positions, all inside the map.
    """
    _, height, width = feature_map.shape
    tops, lefts = range(0, height - side + 1, step), range(0, width - side + 1, step)
    bands = np.stack([feature_map[:, y : y + side].max(axis=1) for y in tops], axis=1)
    return np.stack([bands[:, :, x : x + side].max(axis=2) for x in lefts], axis=2)


def l2_normalize(vector: np.ndarray) -> np.ndarray:
    """A vector (D,) divided by its Euclidean length; a zero vector stays zero."""
    length = np.linalg.norm(vector)
    return vector / length if length > 0 else vector


def mac(feature_map: np.ndarray) -> np.ndarray:
    """The maximum of each channel: (C, H, W) to (C,), of unit length; zero for a zero map.

    Source: Tolias, Sicre and Jegou, "Particular object retrieval with integral max-pooling of CNN
    activations", ICLR 2016, section 3.1; Razavian et al. [33].
    """
    return l2_normalize(feature_map.max(axis=(1, 2)))


def spoc(feature_map: np.ndarray, *, center: bool = False) -> np.ndarray:
    """Sums over the positions: (C, H, W) to (C,), of unit length; zero for a zero map.

    Args:
        feature_map: values >= 0.
        center: the centring prior, which the authors use for buildings: positions are weighted by
            a Gaussian around the middle, whose standard deviation is a third of the way from there
            to the nearest border.

    Source: Babenko and Lempitsky, "Aggregating deep convolutional features for image retrieval",
    ICCV 2015, section 4.1; PCA-whitening is a step of its own.
    """
    height, width = feature_map.shape[1:]
    if not center:
        return l2_normalize(feature_map.sum(axis=(1, 2)))
    sigma = min(height, width) / 6
    rows, columns = (np.arange(n) + 0.5 - n / 2 for n in (height, width))
    weights = np.exp(-(rows[:, None] ** 2 + columns**2) / (2 * sigma**2))
    return l2_normalize(np.tensordot(feature_map, weights.astype(np.float32), axes=2))


def crow(feature_map: np.ndarray) -> np.ndarray:
    """Sums weighted by place and by channel: (C, H, W) to (C,), of unit length.

    A place counts by the root of its share of all activations (a = b = 2 in the paper), a channel
    by the logarithm of how rarely it is active.

    Source: Kalantidis, Mellina and Osindero, "Cross-dimensional weighting for aggregated deep
    convolutional features", ECCV workshops 2016, sections 3.2 to 3.4; whitening is a step of its
    own.
    """
    places = feature_map.sum(axis=0, dtype=np.float64)
    length = np.linalg.norm(places)
    if length == 0:
        return np.zeros(len(feature_map), np.float32)
    active = np.count_nonzero(feature_map, axis=(1, 2)) / places.size
    rare = np.log((len(active) * CROW_EPSILON + active.sum()) / (CROW_EPSILON + active))
    sums = np.tensordot(feature_map, np.sqrt(places / length).astype(np.float32), axes=2)
    return l2_normalize((sums * rare).astype(np.float32))


CROW_EPSILON = 1e-6
"""Keeps channels that are never active from an infinite weight."""


def gem(feature_map: np.ndarray, power: float = 3.0) -> np.ndarray:
    """Generalized means: (C, H, W), values >= 0, to (C,), of unit length; zero for a zero map.

    Args:
        feature_map: values >= 0.
        power: p, above 0; 1 is the average, and the larger the nearer to the maximum.

    Source: Radenovic, Tolias and Chum, "Fine-tuning CNN image retrieval with no human annotation",
    PAMI 2018, section 3.1.
    """
    return l2_normalize(generalized_mean(feature_map, power))


def generalized_mean(feature_map: np.ndarray, power: float) -> np.ndarray:
    """`(mean of x^p)^(1/p)` of each channel, as `gem`, but as long as it is: float32 (C,)."""
    peak = feature_map.max(initial=0)
    if peak == 0 or np.isinf(power):
        return np.asarray(feature_map.max(axis=(1, 2)), np.float32)
    # Relative to the largest value, so that no power overflows.
    means = ((feature_map / peak) ** power).mean(axis=(1, 2), dtype=np.float64) ** (1 / power)
    return np.asarray(means * peak, np.float32)
