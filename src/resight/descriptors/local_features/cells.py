"""Maxima over the cells of a grid on a feature map.

Source: Razavian et al. [33], "Visual instance retrieval with deep convolutional networks", 2016,
section 3.
"""

import numpy as np

from resight.config import LocalConfig
from resight.descriptors.local_features.columns import prepare
from resight.networks.runtimes import Network
from resight.vectors import l2_normalize_rows

__all__ = ["cells", "extract", "prepare"]


def extract(prepared: np.ndarray, config: LocalConfig, network: Network) -> list[np.ndarray]:
    """Return the cells of the configured layer at each scale."""
    feature_map = network.feature_maps(prepared)[config.layer]
    return [cells(feature_map, scale) for scale in config.scales]


def cells(feature_map: np.ndarray, parts: int) -> np.ndarray:
    """Return the maxima of each channel in the cells of a grid over a map (C, H, W), row by row.

    Returns:
        float32 (parts * parts, C), each of unit length; a cell that is empty or zero stays zero.
    """
    channels, height, width = feature_map.shape
    maxima = np.zeros((parts * parts, channels), np.float32)
    for i, (y, x) in enumerate(np.ndindex(parts, parts)):
        top, bottom = y * height // parts, (y + 1) * height // parts
        left, right = x * width // parts, (x + 1) * width // parts
        if bottom > top and right > left:
            maxima[i] = feature_map[:, top:bottom, left:right].max(axis=(1, 2))
    return l2_normalize_rows(maxima)
