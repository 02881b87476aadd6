"""GeM: generalized-mean pooling."""

import numpy as np

from resight.vectors import l2_normalize


def gem(feature_map: np.ndarray, power: float = 3.0) -> np.ndarray:
    """Take the generalized mean of each channel: (C, H, W) to (C,) of unit length.

    Args:
        feature_map: values >= 0; a zero map gives zeros.
        power: p, above 0; 1 is the average, and larger values approach the maximum.

    Source: Radenovic, Tolias and Chum, "Fine-tuning CNN image retrieval with no human annotation",
    PAMI 2018, section 3.1.
    """
    return l2_normalize(generalized_mean(feature_map, power))


def generalized_mean(feature_map: np.ndarray, power: float) -> np.ndarray:
    """Return `(mean of x^p)^(1/p)` of each channel, not normalized: float32 (C,)."""
    peak = feature_map.max(initial=0)
    if peak == 0 or np.isinf(power):
        return np.asarray(feature_map.max(axis=(1, 2)), np.float32)
    # Relative to the largest value, so that no power overflows.
    means = ((feature_map / peak) ** power).mean(axis=(1, 2), dtype=np.float64) ** (1 / power)
    return np.asarray(means * peak, np.float32)
