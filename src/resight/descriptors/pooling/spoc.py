"""SPoC: sum-pooled convolutional features."""

import numpy as np

from resight.vectors import l2_normalize


def spoc(feature_map: np.ndarray, *, center: bool = False) -> np.ndarray:
    """Sum over the positions: (C, H, W) to (C,) of unit length; zeros for a zero map.

    Args:
        feature_map: values >= 0.
        center: apply the centering prior, which the authors use for buildings: a Gaussian weight
            around the center, whose standard deviation is a third of the distance from there to
            the nearest border.

    Source: Babenko and Lempitsky, "Aggregating deep convolutional features for image retrieval",
    ICCV 2015, section 4.1. Their PCA-whitening is a separate reduction.
    """
    if not center:
        return l2_normalize(feature_map.sum(axis=(1, 2)))
    return l2_normalize(np.tensordot(feature_map, center_prior(feature_map.shape[1:]), axes=2))


def center_prior(size: tuple[int, ...]) -> np.ndarray:
    """Return the weights of the centering prior, float32 (H, W)."""
    height, width = size
    sigma = min(height, width) / 6
    rows = np.arange(height) + 0.5 - height / 2
    columns = np.arange(width) + 0.5 - width / 2
    weights = np.exp(-(rows[:, None] ** 2 + columns**2) / (2 * sigma**2))
    return weights.astype(np.float32)
