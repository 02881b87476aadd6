"""CroW: cross-dimensional weighting."""

import numpy as np

from resight.vectors import l2_normalize

EPSILON = 1e-6
"""Keeps the weight of a channel that is never active finite."""


def crow(feature_map: np.ndarray) -> np.ndarray:
    """Sum with weights per position and per channel: (C, H, W) to (C,) of unit length.

    A position's weight is the square root of its share of all activations (a = b = 2 in the
    paper), a channel's the logarithm of how rarely it is active. A zero map gives zeros.

    Source: Kalantidis, Mellina and Osindero, "Cross-dimensional weighting for aggregated deep
    convolutional features", ECCV workshops 2016, sections 3.2 to 3.4. Their whitening is a separate
    reduction.
    """
    positions, channels = crow_weights(feature_map)
    sums = np.tensordot(feature_map, positions, axes=2)
    return l2_normalize((sums * channels).astype(np.float32))


def crow_weights(feature_map: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of the positions, float32 (H, W), and of the channels, float64 (C,)."""
    positions = feature_map.sum(axis=0, dtype=np.float64)
    length = np.linalg.norm(positions)
    activity = np.count_nonzero(feature_map, axis=(1, 2)) / positions.size
    rarity = np.log((len(activity) * EPSILON + activity.sum()) / (EPSILON + activity))
    if length == 0:
        return np.zeros(positions.shape, np.float32), rarity
    return np.sqrt(positions / length).astype(np.float32), rarity
