"""The modified R-MAC of Seddati et al.: sum-pooled squares of regional maxima."""

import math

import numpy as np

from resight.vectors import l2_normalize


def modified_rmac(feature_map: np.ndarray, *, levels: int = 3, stride: float = 0.4) -> np.ndarray:
    """Compute the maxima over square regions, square sum-pooled at each scale.

    A level adds to each channel the square root of the sum of its squared maxima.

    Args:
        feature_map: float32 (C, H, W). A negative maximum counts as 0: its square would count like
            that of a positive one. So the descriptor is that of the map after a ReLU.
        levels: scales L of the grid.
        stride: step between regions as a fraction of their side; 0.4 is an overlap of 60 %.

    Returns:
        float32 (C,) of unit length; zeros for a zero map.

    Source: Seddati et al. 2017, algorithm 1, OS_RMAC; after Tolias et al. 2015.
    """
    vector = np.zeros(len(feature_map), np.float32)
    for side, step in rmac_grid(feature_map.shape[1:], levels=levels, stride=stride):
        maxima = np.maximum(region_maxima(feature_map, side, step), 0)
        vector += np.sqrt(np.square(maxima).sum(axis=(1, 2)))
    return l2_normalize(vector)


def rmac_grid(
    shape: tuple[int, ...], *, levels: int = 3, stride: float = 0.4
) -> list[tuple[int, int]]:
    """Return the side and step of the square regions at each level, in positions of a map (H, W).

    Level l has regions of side k = ceil(2 min(H, W) / (l + 1)), every floor(stride * k) positions.
    """
    sides = [max(1, math.ceil(2 * min(shape) / (level + 1))) for level in range(1, levels + 1)]
    return [(side, max(1, math.floor(stride * side))) for side in sides]


def region_maxima(feature_map: np.ndarray, side: int, step: int) -> np.ndarray:
    """Return the maximum of each region of a regular grid: (C, H, W) to (C, rows, columns).

    Regions are squares of `side` positions, one every `step` positions, all inside the map.
    """
    _, height, width = feature_map.shape
    tops, lefts = range(0, height - side + 1, step), range(0, width - side + 1, step)
    bands = np.stack([feature_map[:, y : y + side].max(axis=1) for y in tops], axis=1)
    return np.stack([bands[:, :, x : x + side].max(axis=2) for x in lefts], axis=2)
